//! The content of one regular file, from the host into the tree.
//!
//! Blocks are shared where the file system can (ioctl_ficlone(2)); otherwise the data is read, hashed and written in
//! one pass. copy_file_range(2) is not used: where it saves work it shares blocks, as the former does, and elsewhere
//! the data would be read a second time for the digest, from a file that may have changed in between. Holes stay
//! holes.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::sys::statfs::{self, FsType, fstatfs};
use nix::sys::statvfs::{Statvfs, fstatvfs, statvfs};
use nix::unistd::{Whence, ftruncate, geteuid, lseek};
use sha2::{Digest as _, Sha256};

use super::error::{Called as _, Cause, errno};
use super::record::{Digest, SourceState};
use crate::archive::{Archive, Member};
use crate::plan::HostPath;
use crate::sys::fs::{reflink, reopen};
use crate::sys::held::HeldSignals;

/// How much is read at once: fits the second-level cache, so that hashing and writing find it there.
const CHUNK: usize = 256 << 10;

/// What a hole reads as.
static ZEROS: [u8; 4 << 10] = [0; 4 << 10];

/// File systems whose files have no stored content: a copy would be empty, endless or about another moment.
const SYNTHETIC: [FsType; 8] = [
    statfs::PROC_SUPER_MAGIC,
    statfs::SYSFS_MAGIC,
    statfs::DEBUGFS_MAGIC,
    statfs::TRACEFS_MAGIC,
    statfs::SECURITYFS_MAGIC,
    statfs::CGROUP_SUPER_MAGIC,
    statfs::CGROUP2_SUPER_MAGIC,
    statfs::NSFS_MAGIC,
];

/// An open regular file of the host.
pub(super) struct Source {
    /// The file.
    pub(super) file: File,
    /// What it was when it was opened.
    pub(super) stat: FileStat,
}

/// What has been copied.
pub(super) struct Copied {
    /// The source as it was while it was copied.
    pub(super) stat: FileStat,
    /// Digest of the content.
    pub(super) digest: Digest,
}

/// What becomes of data that is read.
#[derive(Clone, Copy)]
enum Sink<'f> {
    /// It is hashed, and no more.
    Nowhere,
    /// It is written to this file.
    Into(&'f File),
    /// It is compared with this file's.
    Against(&'f File),
}

/// Copies one file after the other, remembering what holds for the next one too.
pub(super) struct Copier<'a> {
    held: &'a HeldSignals,
    buffer: Vec<u8>,
    /// For what is compared with it; empty until then.
    other: Vec<u8>,
    /// The directory of the last source, because sources come directory by directory.
    directory: Option<(PathBuf, OwnedFd)>,
    /// The device of the last source that was found to be on a file system that stores content.
    stored_on: Option<u64>,
    /// A device whose blocks cannot be shared with the tree's.
    not_shared: Option<u64>,
    /// The size of the tree's file system, once it was asked for.
    room: Option<u64>,
}

impl<'a> Copier<'a> {
    /// Stops between two chunks when a signal waits in `held`.
    pub(super) fn new(held: &'a HeldSignals) -> Self {
        Self {
            held,
            buffer: vec![0; CHUNK],
            other: Vec::new(),
            directory: None,
            stored_on: None,
            not_shared: None,
            room: None,
        }
    }

    /// For a tree that is not made: what a file system of this size has no room for is refused all the same.
    pub(super) fn within(self, room: Option<u64>) -> Self {
        Self { room, ..self }
    }

    /// Opens a regular file of the host for reading, never waiting and never opening anything else: opening a fifo lets
    /// its other end go on, and opening some devices does something (a tape rewinds, a watchdog starts).
    ///
    /// No link is followed, not even one of root's: what the plan names is a path without any, so a link found now was
    /// put there since, by whom it may not be left to say what root reads (as CVE-2018-15664 let for `docker cp`).
    pub(super) fn open(&mut self, path: &HostPath) -> Result<Source, Cause> {
        let path = path.as_path();
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Cause::NotRegular("a directory"));
        };
        let directory = match self.directory.take() {
            Some((known, directory)) if known == parent => directory,
            _ => open_directory(parent)?,
        };
        let (_, directory) = self.directory.insert((parent.to_owned(), directory));
        let open = |flags| {
            openat(&*directory, name, flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
                .source_call("openat")
        };
        let found = open(OFlag::O_PATH)?;
        regular(&fstat(&found).source_call("fstat")?)?;
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = File::from(match reopen(&found, flags) {
            // Without /proc it is looked up once more, and may be another by now.
            Err(Errno::ENOENT) => open(flags)?,
            file => file.source_call("openat")?,
        });
        let stat = fstat(&file).source_call("fstat")?;
        regular(&stat)?;
        if planted(&stat, &fstat(&*directory).source_call("fstat")?) {
            return Err(Cause::Planted { owner: stat.st_uid });
        }
        if self.stored_on != Some(stat.st_dev) {
            let kind = fstatfs(&file).source_call("fstatfs")?.filesystem_type();
            if SYNTHETIC.contains(&kind) {
                return Err(Cause::Synthetic);
            }
            self.stored_on = Some(stat.st_dev);
        }
        Ok(Source { file, stat })
    }

    /// Fills `target`, which is empty, with the content of `source`. A source that changes meanwhile is copied once
    /// more; one that changes again is an error, because half of each state is worse than none.
    pub(super) fn copy(&mut self, source: &Source, target: &File) -> Result<Copied, Cause> {
        let mut before = source.stat;
        if may_have_holes(&before) {
            self.refuse_vast(before.st_size as u64, Some(target))?;
        }
        for attempt in 0..2 {
            if attempt > 0 {
                ftruncate(target, 0).call("ftruncate")?;
            }
            let digest = self.content(&source.file, &before, target)?;
            let after = fstat(&source.file).source_call("fstat")?;
            if let Some(digest) = digest.filter(|_| unchanged(&before, &after)) {
                return Ok(Copied { stat: before, digest });
            }
            before = after;
        }
        Err(Cause::Changed)
    }

    /// The digest of `source`, and nothing is written. `None` for one that ends before its size, or that changes meanwhile.
    pub(super) fn digest(&mut self, source: &Source) -> Result<Option<Digest>, Cause> {
        if may_have_holes(&source.stat) {
            self.refuse_vast(source.stat.st_size as u64, None)?;
        }
        self.looked_through(source, Sink::Nowhere)
    }

    /// The digest of `source` if `other` has the very same content, byte by byte: no record and no time of a file is
    /// trusted. Both are of the same size and without holes.
    pub(super) fn same(&mut self, source: &Source, other: &File) -> Result<Option<Digest>, Cause> {
        if may_have_holes(&source.stat) {
            return Ok(None);
        }
        self.looked_through(source, Sink::Against(other))
    }

    /// The digest of a member of an archive, which is written to `target` if there is one, and is empty.
    pub(super) fn unpack(
        &mut self,
        archive: &Archive,
        member: &Member,
        target: Option<&File>,
    ) -> Result<Digest, Cause> {
        if member.has_holes() {
            self.refuse_vast(member.size, target)?;
        }
        let Some(target) = target else {
            return self.member(archive, member, Sink::Nowhere)?.ok_or(Cause::Changed);
        };
        let digest = self.member(archive, member, Sink::Into(target))?.ok_or(Cause::Changed)?;
        if member.has_holes() {
            // The last hole has no data behind it that would have made the file so long.
            ftruncate(target, member.size as libc::off_t).call("ftruncate")?;
        }
        Ok(digest)
    }

    /// The digest of a member if `other`, of the same size, has the very same content.
    pub(super) fn same_member(
        &mut self,
        archive: &Archive,
        member: &Member,
        other: &File,
    ) -> Result<Option<Digest>, Cause> {
        if member.has_holes() { Ok(None) } else { self.member(archive, member, Sink::Against(other)) }
    }

    fn member(
        &mut self,
        archive: &Archive,
        member: &Member,
        sink: Sink<'_>,
    ) -> Result<Option<Digest>, Cause> {
        let mut hash = Sha256::new();
        let mut reached = 0;
        for piece in member.pieces() {
            self.hash_hole(&mut hash, piece.at - reached)?;
            let mut done = 0;
            while done < piece.length {
                let read = match archive.read(member, *piece, done, &mut self.buffer) {
                    Ok(0) => return Ok(None),
                    Ok(read) => read,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(Cause::SourceCall("pread", errno(&error))),
                };
                if !self.took(&mut hash, sink, read, piece.at + done)? {
                    return Ok(None);
                }
                done += read as u64;
                self.go_on()?;
            }
            reached = piece.at + piece.length;
        }
        self.hash_hole(&mut hash, member.size - reached)?;
        Ok(Some(Digest(hash.finalize().into())))
    }

    /// Hashes what was read to the buffer and does with it what `sink` says; false if it was not the same.
    fn took(&mut self, hash: &mut Sha256, sink: Sink<'_>, read: usize, at: u64) -> Result<bool, Cause> {
        let data = &self.buffer[..read];
        hash.update(data);
        match sink {
            Sink::Nowhere => {}
            Sink::Into(to) => {
                to.write_all_at(data, at).map_err(|error| Cause::Call("pwrite", errno(&error)))?;
            }
            Sink::Against(other) => {
                self.other.resize(CHUNK, 0);
                // What cannot be read whole is not the same.
                if other.read_exact_at(&mut self.other[..read], at).is_err() || self.other[..read] != *data {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn looked_through(&mut self, source: &Source, sink: Sink<'_>) -> Result<Option<Digest>, Cause> {
        let digest = self.stream(&source.file, &source.stat, sink)?;
        let after = fstat(&source.file).source_call("fstat")?;
        Ok(digest.filter(|_| unchanged(&source.stat, &after)))
    }

    /// Refuses a file with holes that would not fit into the tree's file system even if it were the only one: hashing them could take
    /// years, and anybody can make one of 8 EiB.
    fn refuse_vast(&mut self, size: u64, target: Option<&File>) -> Result<(), Cause> {
        if let (None, Some(target)) = (self.room, target) {
            self.room = Some(size_of(&fstatvfs(target).call("fstatfs")?));
        }
        match self.room {
            Some(room) if size > room => Err(Cause::Vast { size }),
            Some(_) | None => Ok(()),
        }
    }

    /// One attempt; `None` when the source ended before its size.
    fn content(&mut self, source: &File, stat: &FileStat, target: &File) -> Result<Option<Digest>, Cause> {
        if self.not_shared != Some(stat.st_dev) && stat.st_size > 0 {
            match reflink(source, target) {
                // Read back from the tree: the source may have changed since.
                Ok(()) => return self.stream(target, stat, Sink::Nowhere),
                // Not on this file system, or not this file (swap, differing flags): copying will tell if it is worse
                // than that.
                Err(_) => self.not_shared = Some(stat.st_dev),
            }
        }
        let digest = self.stream(source, stat, Sink::Into(target))?;
        if may_have_holes(stat) {
            // The last hole has no data behind it that would have made the file so long.
            ftruncate(target, stat.st_size).call("ftruncate")?;
        }
        Ok(digest)
    }

    /// Hashes `from` and does with its data what `sink` says. `None` when it ended before its size, or was not the same.
    fn stream(&mut self, from: &File, stat: &FileStat, sink: Sink<'_>) -> Result<Option<Digest>, Cause> {
        let size = stat.st_size as u64;
        let mut hash = Sha256::new();
        let mut at = 0;
        while at < size {
            let (begin, end) = if may_have_holes(stat) { next_data(from, at, size)? } else { (at, size) };
            self.hash_hole(&mut hash, begin - at)?;
            at = begin;
            while at < end {
                let length = self.buffer.len().min((end - at) as usize);
                let read = match from.read_at(&mut self.buffer[..length], at) {
                    Ok(0) => return Ok(None),
                    Ok(read) => read,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(Cause::SourceCall("pread", errno(&error))),
                };
                if !self.took(&mut hash, sink, read, at)? {
                    return Ok(None);
                }
                at += read as u64;
                if at < end {
                    self.go_on()?;
                }
            }
        }
        Ok(Some(Digest(hash.finalize().into())))
    }

    /// Hashes as many zeros.
    fn hash_hole(&self, hash: &mut Sha256, mut length: u64) -> Result<(), Cause> {
        while length > 0 {
            let chunk = length.min(ZEROS.len() as u64);
            hash.update(&ZEROS[..chunk as usize]);
            length -= chunk;
            self.go_on()?;
        }
        Ok(())
    }

    fn go_on(&self) -> Result<(), Cause> {
        if self.held.pending().is_some() { Err(Cause::Interrupted) } else { Ok(()) }
    }
}

/// The size of the file system that a directory is on, or would be if it were made; `None` where that cannot be told.
pub(super) fn room_at(directory: &Path) -> Option<u64> {
    let directory = std::path::absolute(directory).ok()?;
    directory.ancestors().find_map(|place| statvfs(place).ok()).as_ref().map(size_of)
}

fn size_of(found: &Statvfs) -> u64 {
    found.blocks().saturating_mul(found.fragment_size())
}

/// What the record says of a source's state.
pub(super) fn state(stat: &FileStat) -> SourceState {
    (stat.st_ino, stat.st_ctime, stat.st_ctime_nsec)
}

/// Digest of content that is at hand.
pub(super) fn digest(content: &[u8]) -> Digest {
    Digest(Sha256::digest(content).into())
}

/// Opens a source's directory, following no link.
fn open_directory(path: &Path) -> Result<OwnedFd, Cause> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(AT_FDCWD, path, how).source_call("openat2")
}

/// Whether a file may be a second name that somebody gave another's file to have root copy it: it has a further name,
/// the directory is neither root's nor the file's owner's alone, and the kernel does not keep users from linking what is
/// not theirs (proc_sys_fs(5), `protected_hardlinks`).
fn planted(file: &FileStat, directory: &FileStat) -> bool {
    let is_of_others = ![0, file.st_uid].contains(&directory.st_uid) || directory.st_mode & 0o022 != 0;
    file.st_nlink > 1
        && is_of_others
        && geteuid().is_root()
        && std::fs::read("/proc/sys/fs/protected_hardlinks").map_or(true, |text| text.starts_with(b"0"))
}

/// Refuses what is not a regular file, by the name inode(7) has for it.
fn regular(stat: &FileStat) -> Result<(), Cause> {
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => Ok(()),
        _ => Err(Cause::NotRegular(kind_of(stat))),
    }
}

/// What a file is, by the name inode(7) has for it.
pub(super) fn kind_of(stat: &FileStat) -> &'static str {
    match SFlag::from_bits_truncate(stat.st_mode & libc::S_IFMT) {
        SFlag::S_IFREG => "a file",
        SFlag::S_IFDIR => "a directory",
        SFlag::S_IFLNK => "a symbolic link",
        SFlag::S_IFIFO => "a fifo",
        SFlag::S_IFSOCK => "a socket",
        SFlag::S_IFCHR => "a character device",
        SFlag::S_IFBLK => "a block device",
        _ => "of an unknown type",
    }
}

fn unchanged(before: &FileStat, after: &FileStat) -> bool {
    let key = |stat: &FileStat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
    key(before) == key(after)
}

/// Fewer blocks than its size needs: worth asking where the data is. (st_blocks counts in 512 bytes, see inode(7).)
fn may_have_holes(stat: &FileStat) -> bool {
    stat.st_blocks * 512 < stat.st_size
}

/// The next stretch of data at or after `at`, see lseek(2), `SEEK_DATA`; empty and at the end when only a hole follows.
pub(super) fn next_data(file: &File, at: u64, size: u64) -> Result<(u64, u64), Cause> {
    let seek = |at: u64, whence| lseek(file, at as libc::off_t, whence);
    let start = match seek(at, Whence::SeekData) {
        Err(Errno::ENXIO) => return Ok((size, size)),
        start => start.source_call("lseek")? as u64,
    };
    let end = seek(start, Whence::SeekHole).source_call("lseek")? as u64;
    Ok((start.min(size), end.min(size)))
}
