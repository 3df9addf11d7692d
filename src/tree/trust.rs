//! Whether a path leads where its owner meant, or where somebody else can make it lead.
//!
//! A path is walked component by component with a descriptor on each directory, so that what was checked is what is
//! used (no second lookup by name), as OpenSSH does for `ChrootDirectory` (sshd_config(5)): every component must be
//! root's or the caller's and writable by nobody else.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mkdirat};

use super::error::tree_hint;
use crate::sys::creds::is_own_or_roots;

/// Most links followed on one path, as in path_resolution(7).
const MAX_LINKS: usize = 40;

/// A component that cannot be trusted, or cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distrust {
    /// The path up to it.
    pub path: PathBuf,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A directory that belongs to this user, who can replace what is below it.
    Owner(u32),
    /// A directory that its group or everybody may write to; its permission bits.
    Writable(u32),
    /// A symbolic link that belongs to this user, who can turn it elsewhere.
    Link(u32),
    /// Neither a directory nor a link.
    NotDirectory,
    /// The path is not absolute.
    Relative,
    /// A call failed.
    Call(&'static str, Errno),
}

impl Distrust {
    /// Whether somebody else could use it, and not merely we cannot.
    pub fn is_of_others(&self) -> bool {
        matches!(self.fault, Fault::Owner(_) | Fault::Writable(_) | Fault::Link(_))
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        let path = self.path.display();
        match self.fault {
            // Nobody else can own `/`: its owner is one whom this user namespace does not know.
            Fault::Owner(_) if self.path == Path::new("/") => {
                "run stockade outside this user namespace, which does not know the host's root".to_owned()
            }
            Fault::Owner(_) => {
                format!("chown root '{path}', or set STOCKADE_STATE_DIR to a directory that is yours")
            }
            Fault::Writable(_) => {
                format!(
                    "chmod go-w '{path}': whoever can write to it can put another tree in the jail's place"
                )
            }
            Fault::Link(_) => {
                "name the directory by a path without this link, or let root own the link".to_owned()
            }
            Fault::NotDirectory => {
                format!("move `{path}` away, or set STOCKADE_STATE_DIR to another directory")
            }
            Fault::Relative => "write the path from `/` on".to_owned(),
            Fault::Call(call, errno) => tree_hint(call, errno)
                .unwrap_or("STOCKADE_STATE_DIR names another state directory")
                .to_owned(),
        }
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.fault {
            Fault::Owner(uid) => write!(f, "`{path}` belongs to user {uid}"),
            Fault::Writable(mode) => {
                write!(f, "`{path}` is writable by its group or by others (mode {mode:04o})")
            }
            Fault::Link(uid) => write!(f, "`{path}` is a symbolic link of user {uid}"),
            Fault::NotDirectory => write!(f, "`{path}` is not a directory"),
            Fault::Relative => write!(f, "`{path}` is not absolute"),
            Fault::Call(call, errno) => write!(f, "`{path}`: {call}(2): {} ({errno:?})", errno.desc()),
        }
    }
}

/// Opens (`O_PATH`) the state directory, making what is missing of it with mode 0700. Refuses it unless root or the
/// caller owns every component and nobody else may write to any. A parent writable by all but sticky (`/tmp`) passes:
/// in it nobody can replace what is root's or the caller's, see inode(7), and the next component has to be. With its path, in which no link
/// is any more.
pub(super) fn open_store(path: &Path) -> Result<(OwnedFd, PathBuf), Distrust> {
    walk(path, true)
}

/// The same, making nothing; `None` if it is not there.
pub(super) fn find_store(path: &Path) -> Result<Option<(OwnedFd, PathBuf)>, Distrust> {
    match walk(path, false) {
        Err(Distrust { fault: Fault::Call("openat", Errno::ENOENT), .. }) => Ok(None),
        found => found.map(Some),
    }
}

/// Whether nobody but root and the caller decides what is in a file: it and every directory on the way to it are theirs, and nobody
/// else may write to them.
pub fn trust_file(path: &Path) -> Result<(), Distrust> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let fault = |fault| Distrust { path: path.clone(), fault };
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(fault(Fault::NotDirectory));
        };
        let (directory, _) = walk(parent, false)?;
        let found =
            open_component(Some(&directory), name).map_err(|errno| fault(Fault::Call("openat", errno)))?;
        let stat = fstat(&found).map_err(|errno| fault(Fault::Call("fstat", errno)))?;
        if kind(&stat) != SFlag::S_IFLNK {
            return check(&found, &path, true);
        }
        if !is_own_or_roots(stat.st_uid) {
            return Err(fault(Fault::Link(stat.st_uid)));
        }
        let text = readlinkat(&found, "").map_err(|errno| fault(Fault::Call("readlinkat", errno)))?;
        path = parent.join(text);
    }
    Err(Distrust { path, fault: Fault::Call("openat", Errno::ELOOP) })
}

/// What is still to be walked.
fn push_front(rest: &mut VecDeque<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => rest.push_front(name.to_owned()),
            Component::ParentDir => rest.push_front("..".into()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
}

/// Opens a directory, with its path, in which no link is any more.
fn walk(path: &Path, make: bool) -> Result<(OwnedFd, PathBuf), Distrust> {
    let fault = |fault| Distrust { path: path.to_owned(), fault };
    if !path.is_absolute() {
        return Err(fault(Fault::Relative));
    }
    let mut rest = VecDeque::new();
    push_front(&mut rest, path);
    let mut walked = PathBuf::from("/");
    let root = open_component(None, OsStr::new("/")).map_err(|errno| fault(Fault::Call("openat", errno)))?;
    check(&root, &walked, false)?;
    // The directories down to where the walk is, for `..` in a link's text.
    let mut open = vec![root];
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            if open.len() > 1 {
                open.pop();
                walked.pop();
            }
            continue;
        }
        let Some(directory) = open.last() else { break };
        let here = walked.join(&name);
        let fault = |fault| Distrust { path: here.clone(), fault };
        let found = match open_component(Some(directory), &name) {
            Err(Errno::ENOENT) if make => {
                match mkdirat(directory, name.as_os_str(), Mode::S_IRWXU) {
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(errno) => return Err(fault(Fault::Call("mkdir", errno))),
                }
                open_component(Some(directory), &name)
            }
            found => found,
        };
        let found = found.map_err(|errno| fault(Fault::Call("openat", errno)))?;
        let stat = fstat(&found).map_err(|errno| fault(Fault::Call("fstat", errno)))?;
        match kind(&stat) {
            SFlag::S_IFLNK => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(fault(Fault::Call("openat", Errno::ELOOP)));
                }
                if !is_own_or_roots(stat.st_uid) {
                    return Err(fault(Fault::Link(stat.st_uid)));
                }
                let text = readlinkat(&found, "").map_err(|errno| fault(Fault::Call("readlinkat", errno)))?;
                if Path::new(&text).is_absolute() {
                    open.truncate(1);
                    walked = PathBuf::from("/");
                }
                push_front(&mut rest, Path::new(&text));
            }
            SFlag::S_IFDIR => {
                walked = here;
                check(&found, &walked, false)?;
                open.push(found);
            }
            _ => return Err(fault(Fault::NotDirectory)),
        }
    }
    // Not when it was come to: what `..` leads back to was on the way first.
    let last = open.pop().ok_or_else(|| fault(Fault::Relative))?;
    check(&last, &walked, true)?;
    Ok((last, walked))
}

/// Opens one component without following it.
fn open_component(directory: Option<&OwnedFd>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(directory.map_or(AT_FDCWD, |directory| directory.as_fd()), name, flags, Mode::empty())
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & libc::S_IFMT)
}

/// Whether a directory on the way to the store can be trusted.
fn check(directory: &OwnedFd, path: &Path, last: bool) -> Result<(), Distrust> {
    let fault = |fault| Err(Distrust { path: path.to_owned(), fault });
    let stat = match fstat(directory) {
        Ok(stat) => stat,
        Err(errno) => return fault(Fault::Call("fstat", errno)),
    };
    let mode = stat.st_mode & 0o7777;
    let sticky = mode & libc::S_ISVTX != 0 && !last;
    if !is_own_or_roots(stat.st_uid) {
        fault(Fault::Owner(stat.st_uid))
    } else if mode & 0o022 != 0 && !sticky {
        fault(Fault::Writable(mode))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir, remove_dir_all, set_permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A private directory in the sticky `/tmp`.
    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("stockade-trust-{name}-{}", std::process::id()));
        let _ = remove_dir_all(&path);
        create_dir(&path).unwrap();
        set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        path
    }

    #[test]
    fn a_missing_store_is_made_private() {
        let base = scratch("made");
        open_store(&base.join("a/b")).unwrap();
        for name in ["a", "a/b"] {
            assert_eq!(base.join(name).metadata().unwrap().permissions().mode() & 0o777, 0o700);
        }
        remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_component_writable_by_others_is_refused() {
        let base = scratch("writable");
        create_dir(base.join("open")).unwrap();
        for (mode, passes) in [(0o777, false), (0o775, false), (0o755, true), (0o1777, true)] {
            set_permissions(base.join("open"), PermissionsExt::from_mode(mode)).unwrap();
            let result = open_store(&base.join("open/store"));
            assert_eq!(result.is_ok(), passes, "{mode:o}");
            if let Err(distrust) = result {
                assert_eq!(distrust, Distrust { path: base.join("open"), fault: Fault::Writable(mode) });
            }
        }
        // Sticky is good enough for a parent, not for the store itself.
        assert!(open_store(&base.join("open")).is_err());
        assert!(open_store(&base.join("open/store/..")).is_err());
        remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_file_is_trusted_where_nobody_else_decides_what_is_in_it() {
        let base = scratch("file");
        let (file, link) = (base.join("file"), base.join("link"));
        std::fs::write(&file, "").unwrap();
        symlink("file", &link).unwrap();
        symlink("loop", base.join("loop")).unwrap();
        for (mode, passes) in [(0o644, true), (0o664, false), (0o646, false), (0o600, true)] {
            set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(trust_file(&file).is_ok(), passes, "{mode:o}");
            assert_eq!(trust_file(&link).is_ok(), passes, "{mode:o}");
        }
        set_permissions(&base, PermissionsExt::from_mode(0o777)).unwrap();
        assert_eq!(trust_file(&file).unwrap_err().fault, Fault::Writable(0o777));
        set_permissions(&base, PermissionsExt::from_mode(0o700)).unwrap();
        assert!(trust_file(&base.join("loop")).is_err());
        assert!(trust_file(Path::new("file")).is_err());
        remove_dir_all(base).unwrap();
    }

    #[test]
    fn links_are_followed_relative_to_where_they_stand() {
        let base = scratch("links");
        create_dir(base.join("real")).unwrap();
        create_dir(base.join("side")).unwrap();
        symlink("../real", base.join("side/link")).unwrap();
        symlink("loop", base.join("loop")).unwrap();
        open_store(&base.join("side/link/below")).unwrap();
        assert!(base.join("real/below").is_dir());
        let distrust = open_store(&base.join("loop")).unwrap_err();
        assert_eq!(distrust.fault, Fault::Call("openat", Errno::ELOOP));
        remove_dir_all(base).unwrap();
    }

    #[test]
    fn somebody_elses_link_is_not_followed() {
        let base = scratch("foreign");
        symlink("/etc", base.join("link")).unwrap();
        if std::os::unix::fs::lchown(base.join("link"), Some(12345), Some(12345)).is_err() {
            println!("SKIP: giving a link away needs root");
        } else {
            let fault = open_store(&base.join("link")).unwrap_err().fault;
            assert_eq!(fault, Fault::Link(12345));
        }
        remove_dir_all(base).unwrap();
    }
}
