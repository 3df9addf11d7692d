//! Removing a directory with everything in it, whatever a jailed root planted there, and whatever still goes on in it.
//!
//! Every call is on a descriptor and one name, and never follows a link. A directory is not descended into: what it
//! holds is unlinked, its own directories are renamed into one landing directory at the top, and it is removed; so
//! three descriptors do for any depth, no path grows too long, and a directory moved elsewhere meanwhile takes nobody
//! along (no `..` is ever used). Mount points are not crossed: openat2(2) with `RESOLVE_NO_XDEV` sees bind mounts of the
//! same file system too, which a comparison of `st_dev` does not.
//!
//! Nothing is kept for each name: a directory that waits is a number, its name in the landing directory.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, renameat};
use nix::libc;
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use super::error::Error;
use crate::sys::fs;

/// How often a directory is emptied again because it was not empty after all. A process that goes on writing to it
/// ends this.
const ATTEMPTS: usize = 16;

/// How many waiting directories are remembered by the name they had, for messages. A tree may have millions.
const REMEMBERED: usize = 1024;

/// Why something is still there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resisted {
    /// Its name below the name of its directory.
    pub(super) entry: PathBuf,
    /// The call that failed.
    pub(super) call: &'static str,
    /// Its error.
    pub(super) errno: Errno,
}

impl Resisted {
    /// The error of a removal of `path`.
    pub(super) fn of(self, path: PathBuf) -> Error {
        Error::NotRemoved { path, entry: self.entry, call: self.call, errno: self.errno }
    }
}

/// Removes the directory `name` of `parent`. A name that is not there counts as removed. What resists (immutable, a
/// mount point) does not keep the rest from being removed; the first of it is reported, and its directory stays.
pub(super) fn remove(parent: impl AsFd, name: &CStr) -> Result<(), Resisted> {
    let parent = parent.as_fd();
    let resisted = |call, errno| Resisted { entry: OsStr::from_bytes(name.to_bytes()).into(), call, errno };
    for _ in 0..ATTEMPTS {
        let top = match open_directory(parent, name) {
            Ok(top) => top,
            Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
                    Ok(()) | Err(Errno::ENOENT) => return Ok(()),
                    // A directory again.
                    Err(Errno::EISDIR) => continue,
                    Err(errno) => return Err(resisted("unlinkat", errno)),
                }
            }
            Err(errno) => return Err(resisted("openat2", errno)),
        };
        let first = empty(&top, name);
        match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::ENOTEMPTY | Errno::ENOTDIR) if first.is_none() => {}
            Err(errno) => return Err(first.unwrap_or_else(|| resisted("unlinkat", errno))),
        }
    }
    Err(resisted("unlinkat", Errno::ENOTEMPTY))
}

/// Where inner directories are moved to: a directory of its own at the top. Without room for one (a full disk) it is the
/// top itself; some file systems then list again what was just moved there, at worst until the removal gives up.
struct Landing {
    own: Option<(CString, OwnedFd)>,
}

impl Landing {
    fn make(top: &OwnedFd) -> Self {
        // Names that a jailed root took before, and those of removals cut short, are passed over.
        for number in 0..1024 {
            let name = numbered(number);
            match mkdirat(top, name.as_c_str(), Mode::S_IRWXU) {
                Ok(()) => {
                    return Self { own: open_directory(top.as_fd(), &name).ok().map(|own| (name, own)) };
                }
                Err(Errno::EEXIST) => {}
                Err(_) => break,
            }
        }
        Self { own: None }
    }

    fn name(&self) -> Option<&CStr> {
        self.own.as_ref().map(|(name, _)| name.as_c_str())
    }
}

/// The name of a number.
fn numbered(number: u64) -> CString {
    CString::new(format!(".{number:x}")).unwrap_or_default()
}

/// One removal under way.
struct Removal<'a> {
    /// Where inner directories are moved to.
    landing: BorrowedFd<'a>,
    /// The highest number taken there.
    taken: u64,
    /// Those that are still to be emptied.
    waiting: Vec<u64>,
    /// The names some of them had.
    names: HashMap<u64, CString>,
    /// The first that resisted.
    first: Option<Resisted>,
}

/// Empties a directory; what resisted first.
fn empty(top: &OwnedFd, name: &CStr) -> Option<Resisted> {
    let landing = Landing::make(top);
    let mut removal = Removal {
        landing: landing.own.as_ref().map_or(top.as_fd(), |(_, own)| own.as_fd()),
        taken: 0,
        waiting: Vec::new(),
        names: HashMap::new(),
        first: None,
    };
    removal.empty(top.as_fd(), name, landing.name());
    while let Some(next) = removal.waiting.pop() {
        removal.remove_moved(next);
    }
    if let Some(landing) = landing.name() {
        // Not empty if something resisted; then the top stays too.
        let _ = unlinkat(top, landing, UnlinkatFlags::RemoveDir);
    }
    removal.first
}

impl Removal<'_> {
    fn resisted(&mut self, directory: &CStr, name: &CStr, call: &'static str, errno: Errno) {
        // That a name means something else than it did is seen by the next attempt.
        if !matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EISDIR) {
            let path = |name: &CStr| PathBuf::from(OsStr::from_bytes(name.to_bytes()));
            self.first.get_or_insert_with(|| Resisted {
                entry: path(directory).join(path(name)),
                call,
                errno,
            });
        }
    }

    /// Unlinks what `directory` (once named `original`) holds, but for `spared`, and moves its directories away.
    fn empty(&mut self, directory: BorrowedFd<'_>, original: &CStr, spared: Option<&CStr>) {
        // A descriptor of its own, because reading moves the position that a duplicate would share.
        let listing = open_directory(directory, c".").and_then(Dir::from_fd);
        let mut listing = match listing {
            Ok(listing) => listing,
            Err(errno) => return self.resisted(original, c".", "openat2", errno),
        };
        for entry in listing.iter() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(errno) => return self.resisted(original, c".", "getdents64", errno),
            };
            let name = entry.file_name();
            if name == c"." || name == c".." || Some(name) == spared {
                continue;
            }
            if entry.file_type() != Some(Type::Directory) {
                match unlinkat(directory, name, UnlinkatFlags::NoRemoveDir) {
                    Ok(()) | Err(Errno::ENOENT) => continue,
                    // A directory after all: the file system tells no types, or it was swapped.
                    Err(Errno::EISDIR) => {}
                    Err(errno) => {
                        self.resisted(original, name, "unlinkat", errno);
                        continue;
                    }
                }
            }
            // Most are empty or hold files only, and many are empty by now.
            match unlinkat(directory, name, UnlinkatFlags::RemoveDir) {
                Ok(()) => {}
                Err(Errno::ENOTEMPTY | Errno::EEXIST) => self.move_away(directory, original, name),
                Err(errno) => self.resisted(original, name, "unlinkat", errno),
            }
        }
    }

    /// Gives `name` of `directory` a name of its own in the landing directory, where it waits to be emptied.
    fn move_away(&mut self, directory: BorrowedFd<'_>, original: &CStr, name: &CStr) {
        // Moving a directory rewrites its `..`, so its own write permission counts, see rename(2), EACCES.
        if let Err(errno) = open_directory(directory, name) {
            return self.resisted(original, name, "openat2", errno);
        }
        loop {
            self.taken += 1;
            let target = numbered(self.taken);
            match rename(directory, name, self.landing, &target) {
                Ok(()) => {
                    if self.names.len() < REMEMBERED {
                        self.names.insert(self.taken, name.to_owned());
                    }
                    return self.waiting.push(self.taken);
                }
                // The name was there before, planted or not: it is removed under it, and this one takes the next.
                Err(Errno::EEXIST) => {}
                Err(errno) => return self.resisted(original, name, "renameat2", errno),
            }
        }
    }

    /// Empties and removes a directory that has been moved away.
    fn remove_moved(&mut self, number: u64) {
        let name = numbered(number);
        let original = self.names.remove(&number).unwrap_or_else(|| name.clone());
        let directory = match open_directory(self.landing, &name) {
            Ok(directory) => directory,
            Err(errno) => return self.resisted(&original, c".", "openat2", errno),
        };
        self.empty(directory.as_fd(), &original, None);
        match unlinkat(self.landing, name.as_c_str(), UnlinkatFlags::RemoveDir) {
            // Not empty: something resisted and is noted, or was added meanwhile and is seen by the next attempt.
            Ok(()) | Err(Errno::ENOTEMPTY | Errno::EEXIST) => {}
            Err(errno) => self.resisted(&original, c".", "unlinkat", errno),
        }
    }
}

/// Renames a directory to what is no name yet.
fn rename(from: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>, target: &CStr) -> Result<(), Errno> {
    match fs::rename(from, name, to, target, libc::RENAME_NOREPLACE) {
        // Not on this file system (NFS), or not in this kernel. Without the flag an empty directory of that name is
        // replaced, which is to go as well.
        Err(Errno::EINVAL | Errno::ENOSYS) => match renameat(from, name, to, target) {
            Err(Errno::ENOTEMPTY | Errno::ENOTDIR) => Err(Errno::EEXIST),
            renamed => renamed,
        },
        renamed => renamed,
    }
}

/// Opens a directory on the same mount and makes sure that its owner, if that is the caller, may read and change it.
fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_MAGICLINKS
                | ResolveFlag::RESOLVE_NO_XDEV,
        );
    let directory = match openat2(parent, name, how) {
        // Not readable by its owner. Never through a link: the call is refused for one, see fchmodat(2).
        Err(Errno::EACCES) => {
            fchmodat(parent, name, Mode::S_IRWXU, FchmodatFlags::NoFollowSymlink)?;
            openat2(parent, name, how)?
        }
        directory => directory?,
    };
    let stat = fstat(&directory)?;
    if stat.st_mode & 0o700 != 0o700 && stat.st_uid == geteuid().as_raw() {
        fchmod(&directory, Mode::S_IRWXU)?;
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A directory holding `victim` to be removed and `canary` to be kept.
    fn scratch(name: &str) -> (PathBuf, File) {
        scratch_in(&std::env::temp_dir(), name)
    }

    fn scratch_in(place: &std::path::Path, name: &str) -> (PathBuf, File) {
        let path = place.join(format!("stockade-remove-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::create_dir(path.join("victim")).unwrap();
        fs::create_dir(path.join("canary")).unwrap();
        fs::write(path.join("canary/file"), "sings").unwrap();
        let parent = File::open(&path).unwrap();
        (path, parent)
    }

    fn assert_only_the_canary_lives(path: &PathBuf) {
        assert!(!path.join("victim").exists());
        assert_eq!(fs::read_to_string(path.join("canary/file")).unwrap(), "sings");
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn links_are_removed_not_followed() {
        let (path, parent) = scratch("links");
        symlink(path.join("canary"), path.join("victim/to-directory")).unwrap();
        symlink(path.join("canary/file"), path.join("victim/to-file")).unwrap();
        symlink("/", path.join("victim/.1")).unwrap();
        fs::create_dir_all(path.join("victim/a/b/c")).unwrap();
        fs::write(path.join("victim/a/b/c/file"), "").unwrap();
        assert_eq!(remove(&parent, c"victim"), Ok(()));
        assert_eq!(remove(&parent, c"victim"), Ok(()), "what is not there is removed already");
        symlink(path.join("canary"), path.join("victim")).unwrap();
        assert_eq!(remove(&parent, c"victim"), Ok(()));
        assert_only_the_canary_lives(&path);
    }

    #[test]
    fn odd_names_and_modes_are_removed() {
        let (path, parent) = scratch("odd");
        let odd = path.join("victim/line\nbreak").join(OsStr::from_bytes(b"\xff\xfe"));
        fs::create_dir_all(odd.join("inner")).unwrap();
        fs::write(odd.join("inner/-rf"), "").unwrap();
        for directory in [odd.join("inner"), odd.clone()] {
            fs::set_permissions(&directory, PermissionsExt::from_mode(0o000)).unwrap();
        }
        assert_eq!(remove(&parent, c"victim"), Ok(()));
        assert_only_the_canary_lives(&path);
    }

    #[test]
    fn a_hundred_thousand_levels_need_no_long_path() {
        // In memory where there is such a place: on a disk each level takes a block.
        let memory = PathBuf::from("/dev/shm");
        let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let (path, parent) = scratch_in(&place, "deep");
        let mut at = OwnedFd::from(File::open(path.join("victim")).unwrap());
        for _ in 0..100_000 {
            mkdirat(&at, "directory-of-a-deep-tree", Mode::S_IRWXU).unwrap();
            at = open_directory(at.as_fd(), c"directory-of-a-deep-tree").unwrap();
        }
        drop(at);
        assert_eq!(remove(&parent, c"victim"), Ok(()));
        assert_only_the_canary_lives(&path);
    }
    #[test]
    fn names_that_the_removal_would_give_are_nothing_special() {
        let (path, parent) = scratch("numbered");
        for inner in [".0", ".1/.0/.1", ".2/.2/.2/x", "a/.0/.1/.2/x"] {
            fs::create_dir_all(path.join("victim").join(inner)).unwrap();
            fs::write(path.join("victim").join(inner).join(".3"), "").unwrap();
        }
        for number in 10..40 {
            fs::write(path.join(format!("victim/.2/.{number}")), "").unwrap();
        }
        assert_eq!(remove(&parent, c"victim"), Ok(()));
        assert_only_the_canary_lives(&path);
    }
}
