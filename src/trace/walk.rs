//! From a path as a program gives it to the file it means: the links on the way, and what is there, found by looking only
//! (`lstat`, `readlink`), one component after the other. What directories and links are is remembered, so that most paths take one call.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, readlinkat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, fstatat};

use super::credentials::Attributes;
use crate::seen::Kind;

/// As many links as the kernel follows, see path_resolution(7).
const LINKS: usize = 40;
/// As much as is remembered, so that a program that looks at everything does not fill the memory.
const REMEMBERED: usize = 1 << 16;

/// One tree of paths, with what is known of it.
#[derive(Debug)]
pub(super) struct Walker {
    root: OwnedFd,
    /// Whether it is a jail's: what was a directory a moment ago may be a link by now that leads to the host, and is not followed.
    guarded: bool,
    known: HashMap<Vec<u8>, Known>,
}

/// What a path is.
#[derive(Clone, Debug)]
enum Known {
    /// A directory, and whether everybody may search it and all above it.
    Directory(Attributes, bool),
    /// A link to this.
    Link(Vec<u8>),
}

/// From where a process looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct From<'a> {
    /// Its root directory: empty, or a path without a slash at its end.
    pub root: &'a [u8],
    /// Where a relative path begins, likewise.
    pub base: &'a [u8],
    /// Its id, for `/proc/self`.
    pub process: i32,
}

/// Where a path led.
#[derive(Clone, Debug)]
pub(super) struct Walked {
    /// The path that was arrived at, absolute and without links, `.`, `..`.
    pub path: Vec<u8>,
    /// Links on the way, in order.
    pub links: Vec<Vec<u8>>,
    /// What is there.
    pub found: Found,
    /// Directories on the way that not everybody may search.
    pub closed: Vec<Attributes>,
}

/// What is at a path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    /// This.
    There(Attributes),
    /// Nothing.
    Nothing,
    /// It cannot be told.
    Unknown,
}

impl Found {
    /// For [`crate::seen::File::kind`].
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::There(attributes) => attributes.kind,
            Self::Nothing | Self::Unknown => Kind::Nothing,
        }
    }

    /// What is there, if something is.
    pub(super) fn attributes(self) -> Option<Attributes> {
        match self {
            Self::There(attributes) => Some(attributes),
            Self::Nothing | Self::Unknown => None,
        }
    }
}

/// What one look at a path found.
enum Look {
    Link(Vec<u8>),
    There(Attributes, bool),
    Nothing,
    Unknown,
}

impl Walker {
    /// Over this process's own tree.
    pub(super) fn own() -> Result<Self, Errno> {
        Self::over(Path::new("/"), false)
    }

    /// Over the tree of a jail.
    pub(super) fn below(root: &Path) -> Result<Self, Errno> {
        Self::over(root, true)
    }

    fn over(root: &Path, guarded: bool) -> Result<Self, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self { root: nix::fcntl::open(root, flags, Mode::empty())?, guarded, known: HashMap::new() })
    }

    /// Forgets everything: something was renamed, removed or mounted.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// Walks a path. `follow`: also the link that it may end at.
    pub(super) fn walk(&mut self, from: From<'_>, path: &[u8], follow: bool) -> Walked {
        self.at_once(from, path, follow).unwrap_or_else(|| self.step_by_step(from, path, follow))
    }

    /// The parent of what is at a path that was arrived at, as it is now: it may have been given another owner or mode since.
    pub(super) fn parent(&mut self, path: &[u8], process: i32) -> Option<Attributes> {
        let parent = above(path);
        self.known.remove(parent);
        match self.look(parent, process) {
            Look::There(attributes, _) => Some(attributes),
            _ => None,
        }
    }

    /// A path whose directory is known and open to everybody: one look.
    fn at_once(&self, from: From<'_>, path: &[u8], follow: bool) -> Option<Walked> {
        let whole = match path.first() {
            Some(b'/') if from.root.is_empty() => path.to_owned(),
            Some(b'/') => [from.root, path].concat(),
            _ => [from.base, b"/", path].concat(),
        };
        let slash = whole.iter().rposition(|byte| *byte == b'/')?;
        if matches!(&whole[slash + 1..], b"" | b"." | b"..") || is_in_proc(&whole) {
            return None;
        }
        // What is known has neither links nor dots nor doubled slashes in it.
        let Some(Known::Directory(_, true)) = self.known.get(&whole[..slash]) else { return None };
        let found = match self.stat(&whole) {
            Ok(stat) => Found::There(Attributes::of(&stat)),
            Err(Errno::ENOENT) => Found::Nothing,
            Err(_) => return None,
        };
        match found {
            Found::There(attributes) if attributes.kind == Kind::Link && follow => None,
            // So that it is remembered.
            Found::There(attributes) if attributes.kind == Kind::Directory => None,
            found => Some(Walked { path: whole, links: Vec::new(), found, closed: Vec::new() }),
        }
    }

    fn step_by_step(&mut self, from: From<'_>, path: &[u8], follow: bool) -> Walked {
        let mut rest = path.to_owned();
        let mut at = 0;
        let start = if path.first() == Some(&b'/') { from.root } else { from.base };
        let mut walked =
            Walked { path: start.to_owned(), links: Vec::new(), found: Found::Unknown, closed: Vec::new() };
        match self.look(start, from.process) {
            Look::There(attributes, _) if attributes.mode & 0o111 != 0o111 => walked.closed.push(attributes),
            _ => {}
        }
        loop {
            while rest.get(at) == Some(&b'/') {
                at += 1;
            }
            if at == rest.len() {
                return self.at_end(walked, from.process);
            }
            let end = rest[at..].iter().position(|byte| *byte == b'/').map_or(rest.len(), |slash| at + slash);
            let component = rest[at..end].to_owned();
            at = end;
            match component.as_slice() {
                b"." => continue,
                b".." => {
                    if walked.path != from.root {
                        walked.path.truncate(above(&walked.path).len());
                    }
                    continue;
                }
                _ => push(&mut walked.path, &component, from.process),
            }
            let is_last = end == rest.len();
            match self.look(&walked.path, from.process) {
                Look::Link(target) if !is_last || follow => {
                    if is_magic(&walked.path) {
                        // What it leads to is open, or where a process is: no path.
                        append(&mut walked.path, &rest[at..]);
                        return walked;
                    }
                    walked.links.push(walked.path.clone());
                    if walked.links.len() > LINKS || target.is_empty() {
                        return walked;
                    }
                    let parent = above(&walked.path).len();
                    walked.path.truncate(parent);
                    if target[0] == b'/' {
                        from.root.clone_into(&mut walked.path);
                    }
                    rest = [target.as_slice(), &rest[at..]].concat();
                    at = 0;
                }
                Look::Link(_) => {
                    walked.found = Found::There(Attributes::LINK);
                    return walked;
                }
                Look::There(attributes, open) if attributes.kind == Kind::Directory => {
                    if is_last {
                        walked.found = Found::There(attributes);
                        return walked;
                    }
                    if !open && attributes.mode & 0o111 != 0o111 {
                        walked.closed.push(attributes);
                    }
                }
                Look::There(attributes, _) if is_last => {
                    walked.found = Found::There(attributes);
                    return walked;
                }
                // On the way there is no directory, or nothing.
                Look::There(..) | Look::Nothing => {
                    append(&mut walked.path, &rest[at..]);
                    walked.found = Found::Nothing;
                    return walked;
                }
                Look::Unknown => {
                    append(&mut walked.path, &rest[at..]);
                    return walked;
                }
            }
        }
    }

    /// A path that ended with a slash or dots, or is the root.
    fn at_end(&mut self, mut walked: Walked, process: i32) -> Walked {
        walked.found = match self.look(&walked.path, process) {
            Look::There(attributes, _) => Found::There(attributes),
            Look::Nothing => Found::Nothing,
            Look::Link(_) | Look::Unknown => Found::Unknown,
        };
        if walked.path.is_empty() {
            walked.path.push(b'/');
        }
        walked
    }

    /// What is at a path whose directory is known to be one.
    fn look(&mut self, path: &[u8], process: i32) -> Look {
        match self.known.get(path) {
            Some(Known::Directory(attributes, open)) => return Look::There(*attributes, *open),
            Some(Known::Link(target)) => return Look::Link(target.clone()),
            None => {}
        }
        let in_proc = is_in_proc(path);
        let real = if in_proc { of_process(path, process) } else { path.to_owned() };
        let attributes = match self.stat(&real) {
            Ok(stat) => Attributes::of(&stat),
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Look::Nothing,
            Err(_) => return Look::Unknown,
        };
        let known = match attributes.kind {
            Kind::Link => match self.read_link(&real) {
                Ok(target) => Known::Link(target.into_vec()),
                Err(_) => return Look::Unknown,
            },
            Kind::Directory => {
                let above_is_open =
                    path.is_empty() || matches!(self.known.get(above(path)), Some(Known::Directory(_, true)));
                Known::Directory(attributes, above_is_open && attributes.mode & 0o111 == 0o111)
            }
            _ => return Look::There(attributes, true),
        };
        if !in_proc {
            if self.known.len() >= REMEMBERED {
                self.known.clear();
            }
            self.known.insert(path.to_owned(), known.clone());
        }
        match known {
            Known::Directory(attributes, open) => Look::There(attributes, open),
            Known::Link(target) => Look::Link(target),
        }
    }

    /// openat2(2) of a path, whatever it is, without any link on the way.
    fn open(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
        nix::fcntl::openat2(self.root.as_fd(), relative(path), OpenHow::new().flags(flags).resolve(resolve))
    }

    /// readlink(2).
    fn read_link(&self, path: &[u8]) -> Result<OsString, Errno> {
        if self.guarded {
            return readlinkat(self.open(path)?.as_fd(), "");
        }
        readlinkat(self.root.as_fd(), relative(path))
    }

    /// fstatat(2) that follows nothing.
    fn stat(&self, path: &[u8]) -> Result<FileStat, Errno> {
        if self.guarded {
            return nix::sys::stat::fstat(self.open(path)?);
        }
        let flags = AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_NO_AUTOMOUNT;
        fstatat(self.root.as_fd(), relative(path), flags)
    }
}

/// For the calls that begin at the root's descriptor.
fn relative(path: &[u8]) -> &Path {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    if path.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(path)) }
}

/// A path without its last component.
fn above(path: &[u8]) -> &[u8] {
    &path[..path.iter().rposition(|byte| *byte == b'/').unwrap_or(0)]
}

/// Adds a component. A process's own directory in /proc is always `self`.
fn push(path: &mut Vec<u8>, component: &[u8], process: i32) {
    let is_own =
        path == b"/proc" && (component == b"thread-self" || component == process.to_string().as_bytes());
    path.push(b'/');
    path.extend_from_slice(if is_own { b"self" } else { component });
}

/// Adds what is left of a path, which nobody has walked.
fn append(path: &mut Vec<u8>, rest: &[u8]) {
    for component in rest.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => path.truncate(above(path).len()),
            component => {
                path.push(b'/');
                path.extend_from_slice(component);
            }
        }
    }
}

/// Whether a path is below /proc, where each process sees something else.
fn is_in_proc(path: &[u8]) -> bool {
    path.starts_with(b"/proc/")
}

/// Whether a link leads to where its text does not say: those of a process. `/proc/self` itself is taken as a directory.
fn is_magic(path: &[u8]) -> bool {
    path.strip_prefix(b"/proc/").is_some_and(|below| below.contains(&b'/'))
}

/// A path as this process finds it: `/proc/self` is somebody else here.
fn of_process(path: &[u8], process: i32) -> Vec<u8> {
    match path.strip_prefix(b"/proc/self") {
        Some(rest) if rest.is_empty() || rest[0] == b'/' => {
            [b"/proc/", process.to_string().as_bytes(), rest].concat()
        }
        _ => path.to_owned(),
    }
}

impl Attributes {
    /// A link, which everybody may read.
    const LINK: Self = Self { kind: Kind::Link, mode: 0o777, uid: 0, gid: 0 };

    fn of(stat: &FileStat) -> Self {
        let kind = match stat.st_mode & libc::S_IFMT {
            libc::S_IFREG => Kind::Regular,
            libc::S_IFDIR => Kind::Directory,
            libc::S_IFLNK => Kind::Link,
            libc::S_IFCHR => Kind::Character(stat.st_rdev),
            libc::S_IFBLK => Kind::Block(stat.st_rdev),
            libc::S_IFIFO => Kind::Fifo,
            _ => Kind::Socket,
        };
        Self { kind, mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid }
    }
}
