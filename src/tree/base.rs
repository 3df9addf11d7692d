//! The generation a new one is compared with, and shares the files with that did not change.
//!
//! A shared file is one inode with a name in each tree: a hard link. So nothing that could write to one tree may come to the
//! other. Three things see to that:
//!
//! - A tree that its program may write to ([`Head::writable`]) shares nothing, neither with the one before nor with the one
//!   after it; and since that is part of what a tree depends on, a jail that is given a writable root later gets a new tree first.
//! - What is shared has been compared byte by byte with its source, and its owner, mode, times and attributes with what the new
//!   file would have: neither the old record nor the file's times are believed.
//! - The link is made of the file that was opened and compared, not of a name (linkat(2) of `/proc/self/fd/N`).
//!
//! Whoever tampers with a shared file all the same is found out by the record of either generation, since each has the digest.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::libc;
use nix::sys::stat::{FileStat, fstat};
use nix::unistd::linkat;

use super::record::{Entry, Kind, Record, on_disk};
use crate::sys::fs::reopen;

/// A finished generation.
#[derive(Debug)]
pub(super) struct Base {
    /// Its tree's root.
    tree: OwnedFd,
    /// Its record.
    pub(super) record: Record,
    by_path: HashMap<PathBuf, usize>,
}

impl Base {
    pub(super) fn new(tree: OwnedFd, record: Record) -> Self {
        let by_path =
            record.entries.iter().enumerate().map(|(at, entry)| (entry.path.0.clone(), at)).collect();
        Self { tree, record, by_path }
    }

    /// What its record says of a path.
    pub(super) fn entry(&self, path: &Path) -> Option<&Entry> {
        self.by_path.get(path).map(|at| &self.record.entries[*at])
    }

    /// Opens the file at the path of `wanted`, if it is what `wanted` is to be in everything but, perhaps, its content.
    pub(super) fn candidate(&self, wanted: &Entry) -> Option<File> {
        let like = self.entry(&wanted.path.0).is_some_and(|old| {
            let key = |entry: &Entry| (entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime, entry.size);
            key(old) == key(wanted) && old.xattrs_sha256 == wanted.xattrs_sha256 && old.hard_link_to.is_none()
        });
        if !like {
            return None;
        }
        let found = open_beneath(&self.tree, wanted.path.0.strip_prefix("/").ok()?, OFlag::O_PATH).ok()?;
        if !self.is_as(&fstat(&found).ok()?, wanted) {
            return None;
        }
        let file = File::from(reopen(&found, OFlag::O_RDONLY | OFlag::O_NONBLOCK).ok()?);
        let (_, attributes) = super::attributes::found(&file).ok()?;
        (attributes == wanted.xattrs_sha256).then_some(file)
    }

    /// Whether a file on disk has the type, mode, owner, size and time of an entry.
    fn is_as(&self, stat: &FileStat, wanted: &Entry) -> bool {
        let ownership = self.record.head.ownership;
        let owned = match ownership {
            super::record::Ownership::Real => (stat.st_uid, stat.st_gid) == (wanted.uid, wanted.gid),
            super::record::Ownership::Recorded => stat.st_uid == self.record.head.uid,
        };
        stat.st_mode & libc::S_IFMT == libc::S_IFREG
            && stat.st_mode & 0o7777 == on_disk(ownership, Kind::File, wanted.mode).0
            && owned
            && Some(stat.st_size as u64) == wanted.size
            && (stat.st_mtime, stat.st_mtime_nsec) == wanted.mtime
    }
}

/// Gives an open file another name. An error is no failure of a build: the file is copied then (`EMLINK`, `EXDEV`, `EPERM` by
/// `protected_hardlinks`, `ENOENT` without /proc).
pub(super) fn link(file: &File, parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    linkat(AT_FDCWD, &path, parent, name, AtFlags::AT_SYMLINK_FOLLOW)
}

/// Opens something of a tree by its relative path: itself, never what a link leads to, and nothing that is mounted there.
pub(super) fn open_beneath(tree: &OwnedFd, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    let path = if path == Path::new("") { Path::new(".") } else { path };
    let how = OpenHow::new().flags(flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).resolve(
        ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS
            | ResolveFlag::RESOLVE_NO_XDEV,
    );
    openat2(tree, path, how)
}
