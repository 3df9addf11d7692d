//! What a scratch layer changes: its files against the host's.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, readlinkat};
use nix::libc;
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmodat, fstat, fstatat};

use super::{Change, Edit, Layer, Node, Trouble, Why, beneath, called, is_directory, kind, modified, split};
use crate::sys::fs::get_xattr;
use crate::tree::error::errno;

/// Longest path that the kernel takes, without the NUL at its end.
const LONGEST_PATH: usize = libc::PATH_MAX as usize - 1;

/// What a layer changes.
#[derive(Debug, Default)]
pub struct Found {
    /// By path.
    pub changes: Vec<Change>,
    /// What could not be looked at.
    pub troubles: Vec<Trouble>,
}

/// What is seen of the host's directory below one of the layer's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Below {
    /// Everything that the layer has nothing at.
    Shown,
    /// It is there, and hidden: what the layer has not is deleted.
    Hidden,
    /// There is none.
    Nothing,
}

/// A directory of the layer that is still to be looked at.
struct Waiting {
    path: PathBuf,
    below: Below,
}

/// Compares. Nothing of the host is changed, nor of the layer but modes that would keep its owner out.
pub fn changes(layer: &Layer<'_>) -> Found {
    let mut walk = Walk { layer, found: Found::default() };
    let mut waiting = vec![Waiting { path: PathBuf::new(), below: Below::Shown }];
    if let Err(why) = walk.root() {
        walk.found.troubles.push(Trouble { path: PathBuf::new(), why });
    }
    // None is entered before the one it is in, and each is opened by its path: one descriptor does for any depth.
    while let Some(next) = waiting.pop() {
        if let Err(why) = walk.directory(&next, &mut waiting) {
            walk.found.troubles.push(Trouble { path: next.path, why });
        }
    }
    walk.found.changes.sort_by(|one, other| one.path.cmp(&other.path));
    walk.found.troubles.sort_by(|one, other| one.path.cmp(&other.path));
    walk.found
}

struct Walk<'a> {
    layer: &'a Layer<'a>,
    found: Found,
}

impl Walk<'_> {
    /// The mode of the directory itself. Its owner is not always the host's, see `CreateOverlay`.
    fn root(&mut self) -> Result<(), Why> {
        let own = fstat(self.layer.upper).map_err(called("fstat"))?;
        let host = fstat(self.layer.lower).map_err(called("fstat"))?;
        if own.st_mode != host.st_mode {
            self.note(PathBuf::new(), Edit::Modified, Node::Directory, Some(own));
        }
        Ok(())
    }

    fn note(&mut self, path: PathBuf, edit: Edit, node: Node, stat: Option<FileStat>) {
        self.found.changes.push(Change { path, edit, node, stat });
    }

    /// Everything in a directory of the layer.
    fn directory(&mut self, at: &Waiting, waiting: &mut Vec<Waiting>) -> Result<(), Why> {
        let own = open_own(self.layer.upper, &at.path, OFlag::O_DIRECTORY)?;
        let names = names(&own)?;
        let host = match at.below {
            Below::Nothing => None,
            Below::Shown | Below::Hidden => {
                match beneath(self.layer.lower, &at.path, OFlag::O_PATH | OFlag::O_DIRECTORY) {
                    // Somebody has removed it meanwhile, or put something else in its place.
                    Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => None,
                    host => Some(host.map_err(called("openat2"))?),
                }
            }
        };
        if let (Below::Hidden, Some(host)) = (at.below, &host) {
            self.hidden(&at.path, host.as_fd(), &names)?;
        }
        for name in names {
            let path = at.path.join(&name);
            if path.as_os_str().len() > LONGEST_PATH {
                self.found.troubles.push(Trouble { path, why: Why::Deep });
                continue;
            }
            let entry = self.entry(&path, &name, own.as_fd(), host.as_ref().map(OwnedFd::as_fd), at.below);
            match entry {
                Ok(next) => waiting.extend(next),
                Err(why) => self.found.troubles.push(Trouble { path, why }),
            }
        }
        Ok(())
    }

    /// What of the host's directory the layer hides and has not itself.
    fn hidden(
        &mut self,
        path: &Path,
        host: BorrowedFd<'_>,
        names_here: &BTreeSet<OsString>,
    ) -> Result<(), Why> {
        let host = beneath(host, Path::new("."), OFlag::O_RDONLY | OFlag::O_DIRECTORY);
        for name in names(&host.map_err(called("openat2"))?)? {
            if !names_here.contains(&name) {
                self.note(path.join(name), Edit::Deleted, Node::Nothing, None);
            }
        }
        Ok(())
    }

    /// One entry of a directory; if it is one itself, what is still to be looked at.
    fn entry(
        &mut self,
        path: &Path,
        name: &OsStr,
        own: BorrowedFd<'_>,
        host: Option<BorrowedFd<'_>>,
        below: Below,
    ) -> Result<Option<Waiting>, Why> {
        let stat = fstatat(own, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(called("fstatat"))?;
        let others = match host.map(|host| fstatat(host, name, AtFlags::AT_SYMLINK_NOFOLLOW)) {
            None | Some(Err(Errno::ENOENT)) => None,
            Some(found) => Some(found.map_err(called("fstatat"))?),
        };
        let node = node(&stat);
        // A whiteout, see the kernel's Documentation/filesystems/overlayfs.rst: what is below is gone.
        if kind(&stat) == libc::S_IFCHR && stat.st_rdev == 0 {
            if others.is_some() {
                self.note(path.to_owned(), Edit::Deleted, Node::Nothing, None);
            }
            return Ok(None);
        }
        let edit = match &others {
            None => Some(Edit::Added),
            Some(others) => self.differs(path, name, own, host, &stat, others)?.then_some(Edit::Modified),
        };
        if let Some(edit) = edit {
            self.note(path.to_owned(), edit, node, Some(stat));
        }
        if node != Node::Directory {
            return Ok(None);
        }
        let below = match others {
            Some(others) if is_directory(&others) => {
                let is_opaque = below == Below::Hidden || self.is_opaque(path)?;
                if is_opaque { Below::Hidden } else { Below::Shown }
            }
            _ => Below::Nothing,
        };
        Ok(Some(Waiting { path: path.to_owned(), below }))
    }

    fn is_opaque(&self, path: &Path) -> Result<bool, Why> {
        let own = open_own(self.layer.upper, path, OFlag::O_DIRECTORY)?;
        let mut value = [0; 8];
        match get_xattr(&own, self.layer.opaque(), &mut value) {
            Ok(length) => Ok(value[..length] == *b"y"),
            Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(false),
            Err(errno) => Err(called("fgetxattr")(errno)),
        }
    }

    /// Whether something of the layer is not what the host has there. A file that was only opened for writing is a copy that is the same.
    fn differs(
        &self,
        path: &Path,
        name: &OsStr,
        own: BorrowedFd<'_>,
        host: Option<BorrowedFd<'_>>,
        stat: &FileStat,
        others: &FileStat,
    ) -> Result<bool, Why> {
        let owner = self.layer.owner(stat);
        if stat.st_mode != others.st_mode || (owner.uid, owner.gid) != (others.st_uid, others.st_gid) {
            return Ok(true);
        }
        match (node(stat), host) {
            (Node::Link, Some(host)) => {
                let text = |at| readlinkat(at, name).map_err(called("readlinkat"));
                Ok(text(own)? != text(host)?)
            }
            (Node::File, Some(host)) => {
                if stat.st_size != others.st_size || modified(stat) != modified(others) {
                    return Ok(true);
                }
                let own = File::from(open_own(self.layer.upper, path, OFlag::O_NONBLOCK)?);
                let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
                let host = beneath(host, Path::new(name), flags).map_err(called("openat2"))?;
                content_differs(&own, &File::from(host))
            }
            _ => Ok(false),
        }
    }
}

/// What something is.
fn node(stat: &FileStat) -> Node {
    match kind(stat) {
        libc::S_IFDIR => Node::Directory,
        libc::S_IFREG => Node::File,
        libc::S_IFLNK => Node::Link,
        libc::S_IFIFO => Node::Special("a named pipe"),
        libc::S_IFSOCK => Node::Special("a socket"),
        _ => Node::Special("a device"),
    }
}

/// The names in a directory but `.` and `..`.
pub(super) fn names(directory: &OwnedFd) -> Result<BTreeSet<OsString>, Why> {
    // A descriptor of its own: what has been read of this one counts for every copy of it.
    let own = beneath(directory.as_fd(), Path::new("."), OFlag::O_RDONLY | OFlag::O_DIRECTORY);
    let mut listing = own.and_then(Dir::from_fd).map_err(called("openat2"))?;
    let mut names = BTreeSet::new();
    for entry in listing.iter() {
        let entry = entry.map_err(called("getdents64"))?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.insert(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

/// Opens a directory or file of the layer for reading. A mode that keeps its owner out is no obstacle: the layer goes after this.
pub(super) fn open_own(layer: BorrowedFd<'_>, path: &Path, flags: OFlag) -> Result<OwnedFd, Why> {
    let open = || {
        let opened = beneath(layer, path, flags | OFlag::O_RDONLY)?;
        let wanted = if flags.contains(OFlag::O_DIRECTORY) { 0o700 } else { 0o400 };
        let is_open = fstat(&opened)?.st_mode & wanted == wanted;
        Ok((opened, is_open))
    };
    let failed = match open() {
        Ok((opened, true)) => return Ok(opened),
        Ok((opened, false)) if nix::unistd::geteuid().is_root() => return Ok(opened),
        Ok((_, false)) => Errno::EACCES,
        Err(errno) => errno,
    };
    let (Errno::EACCES, Some((parent, name))) = (failed, split(path)) else {
        return Err(called("openat2")(failed));
    };
    let parent = beneath(layer, parent, OFlag::O_PATH | OFlag::O_DIRECTORY).map_err(called("openat2"))?;
    // It may be another's, where the caller has more than one id to give.
    fchmodat(&parent, name, Mode::S_IRWXU, FchmodatFlags::NoFollowSymlink)
        .map_err(|_| called("openat2")(failed))?;
    open().map(|(opened, _)| opened).map_err(called("openat2"))
}

/// Compares two files of one size.
fn content_differs(one: &File, other: &File) -> Result<bool, Why> {
    let [mut ours, mut theirs] = [vec![0; 1 << 16], vec![0; 1 << 16]];
    let mut at = 0;
    loop {
        let read = one.read_at(&mut ours, at).map_err(|error| called("read")(errno(&error)))?;
        if read == 0 {
            return Ok(false);
        }
        match other.read_exact_at(&mut theirs[..read], at) {
            Ok(()) if ours[..read] == theirs[..read] => at += read as u64,
            // It has become shorter meanwhile.
            Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
                return Err(called("read")(errno(&error)));
            }
            _ => return Ok(true),
        }
    }
}
