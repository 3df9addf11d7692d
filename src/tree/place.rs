//! Makes one thing after the other beneath the root descriptor of a tree.
//!
//! The staging directory is private and was empty, so nothing hostile should be in it. All the same, every parent is
//! opened with openat2(2) beneath the root, without following any link or crossing a mount, and every name is made
//! new (`O_EXCL`, mkdirat, …), so that no link in the tree, whoever put it there, leads a privileged build outside.
//! The plan names real paths, parents before children: a path that leads over a link made by an earlier step (`/lib
//! -> usr/lib`) is an error, not followed.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode as Bits, SFlag, UtimensatFlags, fchmod, fchmodat, futimens, makedev,
    mkdirat, mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, LinkatFlags, Uid, fchown, fchownat, linkat, symlinkat};

use super::attributes::{self, Attributes};
use super::base::{self, Base};
use super::copy::{Copier, Source, digest, state};
use super::error::{Called as _, Cause, errno};
use super::record::{Digest, Entry, Kind, Name, Ownership, on_disk};
use crate::archive::Archive;
use crate::plan::step::{Device, Keep, Owner};
use crate::plan::{Action, HostPath, JailPath, Mode, Origin, Step};
use crate::sys::held::HeldSignals;

/// A tree being made.
pub(super) struct Tree<'a> {
    root: OwnedFd,
    ownership: Ownership,
    /// The time of everything that has no source.
    now: TimeSpec,
    copier: Copier<'a>,
    /// What members of an archive are unpacked from.
    archive: Option<&'a Archive>,
    /// The generation whose files are shared if they are the same.
    base: Option<&'a Base>,
    /// How many were.
    shared: u64,
    /// The directory things are being made in, because steps come directory by directory.
    parent: Option<(PathBuf, OwnedFd)>,
    /// What has been made, for the record.
    entries: Vec<Entry>,
    /// Which entry is at a path.
    by_path: HashMap<JailPath, usize>,
    /// The directories in the order they were made: their entry, and the step that asked for it.
    directories: Vec<(usize, Option<usize>)>,
}

impl<'a> Tree<'a> {
    /// A tree in the empty directory `root`. Its root is 0755 and root's unless a step says otherwise.
    pub(super) fn new(
        root: OwnedFd,
        ownership: Ownership,
        now: TimeSpec,
        held: &'a HeldSignals,
        base: Option<&'a Base>,
        archive: Option<&'a Archive>,
    ) -> Self {
        let mut tree = Self {
            root,
            ownership,
            now,
            copier: Copier::new(held),
            archive,
            base,
            shared: 0,
            parent: None,
            entries: Vec::new(),
            by_path: HashMap::new(),
            directories: Vec::new(),
        };
        let why = Origin::Default("a tree has a root");
        tree.note(entry(&JailPath::root(), Kind::Directory, Mode(0o755), Owner::default(), now, &why));
        tree.directories.push((0, None));
        tree
    }

    /// Does one step, the plan's `index`th.
    pub(super) fn apply(&mut self, index: usize, step: &Step) -> Result<(), Cause> {
        let why = &step.origin;
        match &step.action {
            Action::MakeDirectory { path, mode, owner } => self.directory(index, path, *mode, *owner, why),
            Action::CopyFile { source, path, mode, owner, keep } => {
                self.copy(source, path, *mode, *owner, *keep, why)
            }
            Action::UnpackFile { member, path, mode, owner, keep, .. } => {
                self.unpack(*member, path, *mode, *owner, *keep, why)
            }
            Action::MakeHardLink { existing, path } => self.hard_link(existing, path, why),
            Action::MakeSymlink { text, path, owner } => self.symlink(text, path, *owner, why),
            Action::WriteFile { path, content, mode, owner } => self.write(path, content, *mode, *owner, why),
            Action::MakeDevice { path, device } => self.device(path, *device, why),
            _ => Err(Cause::NotBuildable),
        }
    }

    /// Gives every directory its owner, mode and times, innermost first: each is complete by then, and a mode
    /// that shuts out its owner no longer matters. The error comes with the step that asked for the directory.
    pub(super) fn finish(mut self) -> Result<Made, (Option<usize>, Cause)> {
        for (entry, step) in std::mem::take(&mut self.directories).into_iter().rev() {
            self.finish_directory(&self.entries[entry]).map_err(|cause| (step, cause))?;
        }
        Ok(Made { entries: self.entries, shared: self.shared })
    }

    fn finish_directory(&self, entry: &Entry) -> Result<(), Cause> {
        let path = entry.path.0.strip_prefix("/").ok().filter(|path| *path != Path::new(""));
        let directory = self.open_beneath(path.unwrap_or(Path::new(".")), OFlag::O_RDONLY)?;
        self.own(&directory, Owner { uid: entry.uid, gid: entry.gid })?;
        fchmod(&directory, bits(on_disk(self.ownership, Kind::Directory, entry.mode))).call("fchmod")?;
        futimens(&directory, &self.now, &self.now).call("utimensat")
    }

    fn directory(
        &mut self,
        index: usize,
        path: &JailPath,
        mode: Mode,
        owner: Owner,
        why: &Origin,
    ) -> Result<(), Cause> {
        let entry = self.entry(path, Kind::Directory, mode, owner, why);
        if *path == JailPath::root() {
            self.entries[0] = entry;
            self.directories[0].1 = Some(index);
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        mkdirat(parent, name, Bits::S_IRWXU).call("mkdir")?;
        let at = self.note(entry);
        self.directories.push((at, Some(index)));
        Ok(())
    }

    fn copy(
        &mut self,
        source: &HostPath,
        path: &JailPath,
        mode: Mode,
        owner: Owner,
        keep: Keep,
        why: &Origin,
    ) -> Result<(), Cause> {
        let root = self.ownership == Ownership::Real;
        // First, so that nothing is made for a source that is not to be had.
        let opened = self.copier.open(source)?;
        let offered = attributes::read(&opened.file, keep, root)?;
        let (mode, lacks) = attributes::mode(mode, opened.stat.st_mode, keep, root);
        let wanted = self.entry(path, Kind::File, mode, owner, why);
        let wanted = copied(wanted, source, &opened.stat, self.now, offered.attributes(), &lacks);
        if let Some(sha256) = self.share(&opened, &wanted, path)? {
            self.note(Entry { sha256: Some(sha256), ..wanted });
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        let target = create(parent, name)?;
        let done = self.copier.copy(&opened, &target)?;
        self.own(&target, owner)?;
        let attributes = attributes::write(offered, &target)?;
        // After the owner: chown(2) takes the set-id bits off.
        fchmod(&target, bits(on_disk(self.ownership, Kind::File, mode))).call("fchmod")?;
        let stat = done.stat;
        let mtime = TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec);
        futimens(&target, &TimeSpec::new(stat.st_atime, stat.st_atime_nsec), &mtime).call("utimensat")?;
        let entry = copied(wanted, source, &stat, self.now, attributes, &lacks);
        self.note(Entry { sha256: Some(done.digest), ..entry });
        Ok(())
    }

    /// Gives the file of the generation before a name in this tree as well, if it is the same in everything; its digest then.
    fn share(&mut self, source: &Source, wanted: &Entry, path: &JailPath) -> Result<Option<Digest>, Cause> {
        let Some(candidate) = self.base.and_then(|base| base.candidate(wanted)) else { return Ok(None) };
        let Some(digest) = self.copier.same(source, &candidate)? else { return Ok(None) };
        self.link_shared(&candidate, path).map(|linked| linked.then_some(digest))
    }

    /// Gives an open file of the generation before a name in this tree; false if it cannot have one.
    fn link_shared(&mut self, candidate: &File, path: &JailPath) -> Result<bool, Cause> {
        let (parent, name) = self.parent(path)?;
        let linked = base::link(candidate, parent, name).is_ok();
        self.shared += u64::from(linked);
        Ok(linked)
    }

    fn write(
        &mut self,
        path: &JailPath,
        content: &[u8],
        mode: Mode,
        owner: Owner,
        why: &Origin,
    ) -> Result<(), Cause> {
        let (parent, name) = self.parent(path)?;
        let target = create(parent, name)?;
        target.write_all_at(content, 0).map_err(|error| Cause::Call("pwrite", errno(&error)))?;
        self.own(&target, owner)?;
        fchmod(&target, bits(on_disk(self.ownership, Kind::File, mode))).call("fchmod")?;
        futimens(&target, &self.now, &self.now).call("utimensat")?;
        self.note(Entry {
            size: Some(content.len() as u64),
            sha256: Some(digest(content)),
            ..self.entry(path, Kind::File, mode, owner, why)
        });
        Ok(())
    }

    fn hard_link(&mut self, existing: &JailPath, path: &JailPath, why: &Origin) -> Result<(), Cause> {
        let first = self.by_path.get(existing).map(|at| &self.entries[*at]);
        let Some(first) = first.filter(|entry| entry.kind == Kind::File) else {
            return Err(Cause::NothingToLink);
        };
        let group = first.hard_link_to.clone().unwrap_or_else(|| first.path.clone());
        let entry = Entry {
            path: path.as_path().into(),
            hard_link_to: Some(group),
            reason: why.to_string(),
            ..first.clone()
        };
        let (from, from_name) = split(existing)?;
        let from = self.open_beneath(from, OFlag::O_PATH)?;
        let (parent, name) = self.parent(path)?;
        linkat(&from, from_name, parent, name, LinkatFlags::empty()).call("linkat")?;
        self.note(entry);
        Ok(())
    }

    fn symlink(&mut self, text: &OsStr, path: &JailPath, owner: Owner, why: &Origin) -> Result<(), Cause> {
        let real = self.ownership == Ownership::Real;
        let now = self.now;
        let (parent, name) = self.parent(path)?;
        symlinkat(text, parent, name).call("symlinkat")?;
        if real {
            let (uid, gid) = ids(owner);
            fchownat(parent, name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW).call("fchown")?;
        }
        utimensat(parent, name, &now, &now, UtimensatFlags::NoFollowSymlink).call("utimensat")?;
        let target = Some(Name(text.into()));
        self.note(Entry { target, ..self.entry(path, Kind::Link, Mode(0o777), owner, why) });
        Ok(())
    }

    fn device(&mut self, path: &JailPath, device: Device, why: &Origin) -> Result<(), Cause> {
        let (real, now) = (self.ownership == Ownership::Real, self.now);
        let entry = Entry {
            device: Some((device.major, device.minor)),
            ..self.entry(path, Kind::Device, Mode(0o666), Owner::default(), why)
        };
        let (parent, name) = self.parent(path)?;
        if real {
            let number = makedev(u64::from(device.major), u64::from(device.minor));
            mknodat(parent, name, SFlag::S_IFCHR, bits(entry.mode), number).call("mknod")?;
            let (uid, gid) = ids(Owner::default());
            fchownat(parent, name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW).call("fchown")?;
            // By name, because opening a device to have a descriptor of it would be more than making it.
            fchmodat(parent, name, bits(entry.mode), FchmodatFlags::NoFollowSymlink).call("fchmod")?;
        } else {
            let placeholder = create(parent, name)?;
            fchmod(&placeholder, bits(on_disk(Ownership::Recorded, Kind::Device, entry.mode)))
                .call("fchmod")?;
        }
        utimensat(parent, name, &now, &now, UtimensatFlags::NoFollowSymlink).call("utimensat")?;
        self.note(entry);
        Ok(())
    }

    /// The directory a path stands in, opened, and its last component.
    fn parent<'p>(&mut self, path: &'p JailPath) -> Result<(BorrowedFd<'_>, &'p OsStr), Cause> {
        let (parent, name) = split(path)?;
        let opened = match self.parent.take() {
            Some((known, opened)) if known == parent => opened,
            _ => self.open_beneath(parent, OFlag::O_PATH)?,
        };
        let (_, opened) = &*self.parent.insert((parent.to_owned(), opened));
        Ok((opened.as_fd(), name))
    }

    /// Opens a directory of the tree by its relative path.
    fn open_beneath(&self, path: &Path, access: OFlag) -> Result<OwnedFd, Cause> {
        let how = OpenHow::new().flags(access | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC).resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_MAGICLINKS
                | ResolveFlag::RESOLVE_NO_XDEV,
        );
        openat2(&self.root, path, how).call("openat2")
    }

    /// Sets the owner through the descriptor, where it is real.
    fn own(&self, file: impl std::os::fd::AsFd, owner: Owner) -> Result<(), Cause> {
        if self.ownership == Ownership::Recorded {
            return Ok(());
        }
        let (uid, gid) = ids(owner);
        fchown(file, uid, gid).call("fchown")
    }

    fn entry(&self, path: &JailPath, kind: Kind, mode: Mode, owner: Owner, why: &Origin) -> Entry {
        entry(path, kind, mode, owner, self.now, why)
    }

    fn note(&mut self, entry: Entry) -> usize {
        let at = self.entries.len();
        if let Ok(path) = JailPath::parse(&entry.path.0) {
            self.by_path.insert(path, at);
        }
        self.entries.push(entry);
        at
    }
}

/// What became of a plan.
pub(super) struct Made {
    /// What was made.
    pub(super) entries: Vec<Entry>,
    /// How many of the files are those of the generation before.
    pub(super) shared: u64,
}

/// An entry of something that has no source.
pub(super) fn entry(
    path: &JailPath,
    kind: Kind,
    mode: Mode,
    owner: Owner,
    now: TimeSpec,
    why: &Origin,
) -> Entry {
    Entry {
        path: path.as_path().into(),
        kind,
        mode,
        uid: owner.uid,
        gid: owner.gid,
        mtime: (now.tv_sec(), now.tv_nsec()),
        size: None,
        sha256: None,
        target: None,
        device: None,
        hard_link_to: None,
        source: None,
        source_state: None,
        xattrs: Vec::new(),
        xattrs_sha256: None,
        not_kept: Vec::new(),
        reason: why.to_string(),
    }
}

/// The entry of a copy of a file in this state; the digest is still to come.
pub(super) fn copied(
    entry: Entry,
    source: &HostPath,
    stat: &FileStat,
    now: TimeSpec,
    attributes: Attributes,
    lacks: &[String],
) -> Entry {
    // A file changed this moment may be changed again without its time showing it, as clocks of file systems tick slowly.
    let settled = stat.st_ctime < now.tv_sec() - 1;
    Entry {
        size: Some(stat.st_size as u64),
        mtime: (stat.st_mtime, stat.st_mtime_nsec),
        source: Some(source.as_path().into()),
        source_state: settled.then(|| state(stat)),
        xattrs: attributes.kept,
        xattrs_sha256: attributes.digest,
        not_kept: [lacks, &attributes.not_kept].concat(),
        ..entry
    }
}

/// A path's directory, relative to the root, and its last component; the root itself has neither.
fn split(path: &JailPath) -> Result<(&Path, &OsStr), Cause> {
    let relative = path.relative();
    let (Some(parent), Some(name)) = (relative.parent(), relative.file_name()) else {
        return Err(Cause::Call("openat2", Errno::EEXIST));
    };
    Ok((if parent == Path::new("") { Path::new(".") } else { parent }, name))
}

/// Makes a file that nobody but the caller can open yet.
fn create(parent: BorrowedFd<'_>, name: &OsStr) -> Result<File, Cause> {
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Bits::S_IRUSR | Bits::S_IWUSR).call("openat").map(File::from)
}

fn bits(mode: Mode) -> Bits {
    Bits::from_bits_truncate(mode.0)
}

fn ids(owner: Owner) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
}

#[cfg(test)]
mod properties;
pub(super) mod unpack;
