//! Applies what a scratch layer changes to the host's directory, with the caller's own rights, path by path: what fails is told, and
//! the rest goes on.
//!
//! A file is written under a name of its own beside its place, and renamed: nobody sees half of one, and a directory that somebody has put
//! there meanwhile is not written through. Never applied are set-id bits, file capabilities and devices: with these a program in the jail
//! would have left something on the host that it could not have made there. What the host's users have changed since the program was
//! started stays as it is: a file says so by its time of last change (`st_ctime`), which nobody can set.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, UtimensatFlags, fchmod, fchmodat, fstat, fstatat, futimens, mkdirat,
    utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{
    Gid, LinkatFlags, Uid, UnlinkatFlags, fchown, fchownat, geteuid, linkat, symlinkat, unlinkat,
};

use super::calls::{APPEARED, copy, discard, exchange, remove, rename_new, temporary_name};
use super::compare::{names, open_own};
use super::{Change, Edit, Layer, Node, Trouble, Why, beneath, called, is_directory, modified, split};
use crate::plan::step::Keep;
use crate::tree::attributes;

/// What became of it.
#[derive(Debug, Default)]
pub struct Committed {
    /// How many paths are as the layer has them.
    pub done: usize,
    /// What is not applied, and why.
    pub troubles: Vec<Trouble>,
    /// What is in a directory that could not be made.
    pub within: usize,
    /// What has lost its set-id bits.
    pub stripped: Vec<PathBuf>,
}

/// Applies these changes, of which the host's files changed at or after `since` are left alone.
pub fn commit(layer: &Layer<'_>, changes: &[Change], since: TimeSpec) -> Committed {
    let mut commit = Commit {
        layer,
        since,
        is_root: geteuid().is_root(),
        linked: HashMap::new(),
        touched: HashSet::new(),
        failed: None,
        directories: Vec::new(),
        committed: Committed::default(),
    };
    // By path: a directory comes before what is in it.
    for change in changes {
        if commit.failed.is_some_and(|failed| change.path.starts_with(failed)) {
            commit.committed.within += 1;
            continue;
        }
        if let Err(why) = commit.apply(change) {
            if change.node == Node::Directory {
                commit.failed = Some(&change.path);
            }
            commit.committed.troubles.push(Trouble { path: change.path.clone(), why });
        }
    }
    // Last and innermost first: a mode may shut out who is still to make something.
    for change in std::mem::take(&mut commit.directories).into_iter().rev() {
        if let Err(why) = commit.finish_directory(change) {
            commit.committed.troubles.push(Trouble { path: change.path.clone(), why });
        }
    }
    let Commit { mut committed, .. } = commit;
    committed.done = changes.len() - committed.troubles.len() - committed.within;
    committed
}

struct Commit<'a> {
    layer: &'a Layer<'a>,
    since: TimeSpec,
    /// Whether owners can be given away.
    is_root: bool,
    /// Where a file of the layer with several names was written first, by its number there.
    linked: HashMap<u64, (&'a Path, (u64, u64))>,
    /// Files of the host's of which one name of several is gone, or is about to be.
    touched: HashSet<(u64, u64)>,
    /// The last directory that could not be made: what is in it comes next.
    failed: Option<&'a Path>,
    /// Those whose mode and owner are still to be set.
    directories: Vec<&'a Change>,
    committed: Committed,
}

/// A place in a directory of the host's.
struct Place<'a> {
    parent: OwnedFd,
    name: &'a OsStr,
    /// What is there, when it was looked at last.
    found: Option<FileStat>,
}

impl Place<'_> {
    fn look(&mut self) -> Result<(), Why> {
        self.found = match fstatat(&self.parent, self.name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => None,
            found => Some(found.map_err(called("fstatat"))?),
        };
        Ok(())
    }
}

impl<'a> Commit<'a> {
    fn apply(&mut self, change: &'a Change) -> Result<(), Why> {
        let Some((parent, name)) = split(&change.path) else {
            self.directories.push(change);
            return Ok(());
        };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let parent = beneath(self.layer.lower, parent, flags).map_err(called("openat2"))?;
        let mut place = Place { parent, name, found: None };
        place.look()?;
        match (change.node, &change.stat) {
            (Node::Directory, _) => self.directory(change, &mut place),
            (Node::File, Some(stat)) => {
                let temporary = self.file(change, stat, &place)?;
                self.put(change, &temporary, &mut place)
            }
            (Node::Link, Some(stat)) => {
                let temporary = self.link(change, stat, &place)?;
                self.put(change, &temporary, &mut place)
            }
            (Node::Special(what), _) => Err(Why::Special(what)),
            (Node::Nothing | Node::File | Node::Link, _) => match &place.found {
                None => Ok(()),
                Some(found) => {
                    self.unchanged(&change.path, found)?;
                    remove(&place.parent, name)
                }
            },
        }
    }

    /// A new directory; one that is there gets mode and owner at the end.
    fn directory(&mut self, change: &'a Change, place: &mut Place<'_>) -> Result<(), Why> {
        match &place.found {
            Some(found) if is_directory(found) => {
                if change.edit == Edit::Added {
                    return Err(APPEARED);
                }
            }
            found => {
                let temporary = match found {
                    None => place.name.to_owned(),
                    Some(_) => temporary_name()?,
                };
                mkdirat(&place.parent, temporary.as_os_str(), Mode::S_IRWXU).map_err(called("mkdirat"))?;
                if found.is_some() {
                    self.put(change, &temporary, place)?;
                }
            }
        }
        self.directories.push(change);
        Ok(())
    }

    /// Owner and mode of a directory. The set-group-id bit is the host's to give: what is made in there gets its group.
    fn finish_directory(&mut self, change: &Change) -> Result<(), Why> {
        let Some(stat) = &change.stat else { return Ok(()) };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let directory = beneath(self.layer.lower, &change.path, flags).map_err(called("openat2"))?;
        let before = fstat(&directory).map_err(called("fstat"))?;
        if self.is_root && split(&change.path).is_some() {
            let (uid, gid) = self.ids(stat);
            fchownat(&directory, "", uid, gid, AtFlags::AT_EMPTY_PATH).map_err(called("fchownat"))?;
        }
        if stat.st_mode & !before.st_mode & 0o6000 != 0 {
            self.committed.stripped.push(change.path.clone());
        }
        let mode = (stat.st_mode & 0o1777) | (before.st_mode & 0o2000);
        // By its descriptor, which is not open for anything else: fchmod(2) does not take it.
        let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let mode = Mode::from_bits_truncate(mode);
        fchmodat(nix::fcntl::AT_FDCWD, path.as_str(), mode, FchmodatFlags::FollowSymlink)
            .map_err(called("fchmodat"))
    }

    /// Writes a file beside its place; its name there.
    fn file(&mut self, change: &'a Change, stat: &FileStat, place: &Place<'_>) -> Result<OsString, Why> {
        let source = File::from(open_own(self.layer.upper, &change.path, OFlag::O_NONBLOCK)?);
        let name = temporary_name()?;
        // Another name of what was written before: nothing is written twice, however many names it has.
        if self.link_again(stat, place, &name) {
            return Ok(name);
        }
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let target = openat(&place.parent, name.as_os_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR);
        let target = File::from(target.map_err(called("openat"))?);
        let filled = self.fill(&source, stat, &target);
        let found = filled.and_then(|()| fstat(&target).map_err(called("fstat")));
        let found = found.inspect_err(|_| discard(&place.parent, &name))?;
        if stat.st_nlink > 1 {
            // By its descriptor: whatever is at its place when another name is made, it is this file or it is not.
            let first = (change.path.as_path(), (found.st_dev, found.st_ino));
            self.linked.insert(stat.st_ino, first);
        }
        if stat.st_mode & 0o6000 != 0 {
            self.committed.stripped.push(change.path.clone());
        }
        Ok(name)
    }

    /// Content, owner, attributes, mode and time.
    fn fill(&self, source: &File, stat: &FileStat, target: &File) -> Result<(), Why> {
        copy(source, target)?;
        if self.is_root {
            let (uid, gid) = self.ids(stat);
            fchown(target, uid, gid).map_err(called("fchown"))?;
        }
        let mut offered = attributes::read(source, Keep::default(), false)?;
        // Orders to an overlayfs that is mounted over this directory another time.
        offered.kept.retain(|(name, _)| !name.as_bytes().starts_with(b"user.overlay."));
        attributes::write(offered, target)?;
        fchmod(target, Mode::from_bits_truncate(stat.st_mode & 0o777)).map_err(called("fchmod"))?;
        let mtime = modified(stat);
        futimens(target, &mtime, &mtime).map_err(called("futimens"))
    }

    /// Gives the file that was written for another name of the same a second one; false if that cannot be.
    fn link_again(&self, stat: &FileStat, place: &Place<'_>, name: &OsStr) -> bool {
        let Some((first, number)) = self.linked.get(&stat.st_ino).filter(|_| stat.st_nlink > 1) else {
            return false;
        };
        let Some((parent, first)) = split(first) else { return false };
        let Ok(parent) = beneath(self.layer.lower, parent, OFlag::O_PATH | OFlag::O_DIRECTORY) else {
            return false;
        };
        if linkat(&parent, first, &place.parent, name, LinkatFlags::empty()).is_err() {
            return false;
        }
        // Somebody may have put another in its place.
        let linked = fstatat(&place.parent, name, AtFlags::AT_SYMLINK_NOFOLLOW);
        let is_same = linked.is_ok_and(|linked| (linked.st_dev, linked.st_ino) == *number);
        if !is_same {
            discard(&place.parent, name);
        }
        is_same
    }

    /// A symbolic link beside its place.
    fn link(&self, change: &Change, stat: &FileStat, place: &Place<'_>) -> Result<OsString, Why> {
        let link = beneath(self.layer.upper, &change.path, OFlag::O_PATH | OFlag::O_NOFOLLOW);
        let text = link.and_then(|link| readlinkat(&link, "")).map_err(called("readlinkat"))?;
        let name = temporary_name()?;
        symlinkat(text.as_os_str(), &place.parent, name.as_os_str()).map_err(called("symlinkat"))?;
        let (uid, gid) = self.ids(stat);
        let owned = if self.is_root {
            fchownat(&place.parent, name.as_os_str(), uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)
        } else {
            Ok(())
        };
        let mtime = modified(stat);
        owned
            .map_err(called("fchownat"))
            .and_then(|()| {
                let flags = UtimensatFlags::NoFollowSymlink;
                utimensat(&place.parent, name.as_os_str(), &mtime, &mtime, flags).map_err(called("utimensat"))
            })
            .inspect_err(|_| discard(&place.parent, &name))?;
        Ok(name)
    }

    /// Puts what stands beside a place into it, if the host has there what it had.
    fn put(&mut self, change: &Change, temporary: &OsStr, place: &mut Place<'_>) -> Result<(), Why> {
        let done = place.look().and_then(|()| match &place.found {
            None => rename_new(&place.parent, temporary, place.name),
            Some(_) if change.edit == Edit::Added => Err(APPEARED),
            Some(found) => {
                self.unchanged(&change.path, found)?;
                if is_directory(found) || change.node == Node::Directory {
                    // What was there stands beside it then, and goes.
                    exchange(&place.parent, temporary, place.name)?;
                    return remove(&place.parent, temporary);
                }
                renameat(&place.parent, temporary, &place.parent, place.name).map_err(called("renameat"))
            }
        });
        done.inspect_err(|_| {
            let flag = match change.node {
                Node::Directory => UnlinkatFlags::RemoveDir,
                _ => UnlinkatFlags::NoRemoveDir,
            };
            // What is there after an exchange resists anyway, and is told.
            let _ = unlinkat(&place.parent, temporary, flag);
        })
    }

    /// An error if the host's file, or anything in the host's directory, was changed meanwhile.
    fn unchanged(&mut self, path: &Path, found: &FileStat) -> Result<(), Why> {
        self.is_as_it_was(found)?;
        let mut waiting = if is_directory(found) { vec![path.to_owned()] } else { Vec::new() };
        while let Some(path) = waiting.pop() {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
            let directory = beneath(self.layer.lower, &path, flags).map_err(called("openat2"))?;
            for name in names(&directory)? {
                let found = fstatat(&directory, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
                let found = found.map_err(called("fstatat"))?;
                self.is_as_it_was(&found)?;
                if is_directory(&found) {
                    waiting.push(path.join(name));
                }
            }
        }
        Ok(())
    }

    /// Of a file with several names the time of change is ours once one of them has gone: it counts as it was before.
    fn is_as_it_was(&mut self, found: &FileStat) -> Result<(), Why> {
        let (number, changed) =
            ((found.st_dev, found.st_ino), TimeSpec::new(found.st_ctime, found.st_ctime_nsec));
        if changed >= self.since && !self.touched.contains(&number) {
            return Err(Why::Meanwhile("was changed"));
        }
        if found.st_nlink > 1 && !is_directory(found) {
            self.touched.insert(number);
        }
        Ok(())
    }

    fn ids(&self, stat: &FileStat) -> (Option<Uid>, Option<Gid>) {
        let owner = self.layer.owner(stat);
        (Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
    }
}
