//! The scratch layer of an overlay, when the program has ended: what it changes about the host's directory below it ([`changes`]), and
//! applying that to the directory ([`commit`]).
//!
//! The layer was written by whoever was in the jail: its names, modes, types and depth are theirs. It is read by descriptors, beneath its
//! root, without following a link. The host's directory may be changed by others meanwhile, and what is in it may be links to
//! anywhere: every path below it is opened anew beneath its root by openat2(2), without following a link or crossing a mount.

#![forbid(unsafe_code)]

mod calls;
mod commit;
mod compare;
#[cfg(test)]
mod tests;

use std::ffi::{CStr, OsStr};
use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::FileStat;
use nix::sys::time::TimeSpec;

use super::error::Cause;
use crate::plan::IdMap;
use crate::plan::step::Owner;
use crate::sys;

pub use commit::{Committed, commit};
pub use compare::{Found, changes};

/// A scratch layer and the directory below it.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// What was written.
    pub upper: BorrowedFd<'a>,
    /// The host's directory.
    pub lower: BorrowedFd<'a>,
    /// By which ids on disk were translated; `None` if they were not.
    pub owners: Option<&'a IdMap>,
    /// Whether it was mounted within a user namespace.
    pub own_ids: bool,
}

impl Layer<'_> {
    /// Whose something of the layer is on the host.
    fn owner(&self, stat: &FileStat) -> Owner {
        let owner = Owner { uid: stat.st_uid, gid: stat.st_gid };
        self.owners.map_or(owner, |map| map.inside(owner))
    }

    /// The attribute by which overlayfs notes that nothing of the directory below is to be seen. The other's of the two names anybody
    /// may have set: to overlayfs it means nothing.
    const fn opaque(&self) -> &'static CStr {
        if self.own_ids { c"user.overlay.opaque" } else { c"trusted.overlay.opaque" }
    }
}

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// The host has nothing there.
    Added,
    /// It is another than the host's: in type, content, mode, owner or time.
    Modified,
    /// It is gone, with everything in it.
    Deleted,
}

impl Edit {
    /// The letter for it.
    pub const fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Modified => 'M',
            Self::Deleted => 'D',
        }
    }

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Modified => "modified",
            Self::Deleted => "deleted",
        }
    }
}

/// What something is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Nothing,
    Directory,
    File,
    Link,
    /// What is of use only where it was made, by its name.
    Special(&'static str),
}

/// A path that is not as it is on the host.
#[derive(Clone, Debug)]
pub struct Change {
    /// Below the directory; empty for the directory itself.
    pub path: PathBuf,
    /// What became of it.
    pub edit: Edit,
    node: Node,
    /// Its state in the layer; of what is deleted none.
    stat: Option<FileStat>,
}

/// Why something could not be told or applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// A call failed.
    Call(sys::Error),
    /// Somebody else did this to the host's meanwhile.
    Meanwhile(&'static str),
    /// It is of a type that is not applied.
    Special(&'static str),
    /// Its path is longer than the kernel takes one.
    Deep,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => error.fmt(f),
            Self::Meanwhile(what) => write!(f, "the host's {what} since the program was started"),
            Self::Special(what) => write!(f, "it is {what}"),
            Self::Deep => f.write_str("its path is longer than 4095 bytes"),
        }
    }
}

impl From<Cause> for Why {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Call(call, errno) | Cause::SourceCall(call, errno) => {
                Self::Call(sys::Error { call, errno })
            }
            // Nothing else is called here.
            _ => Self::Call(sys::Error { call: "read", errno: Errno::EIO }),
        }
    }
}

/// A path that something is wrong with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Below the directory.
    pub path: PathBuf,
    /// What is wrong.
    pub why: Why,
}

/// Names the call of an errno.
fn called(call: &'static str) -> impl Fn(Errno) -> Why {
    move |errno| Why::Call(sys::Error { call, errno })
}

/// Opens something below a root, never outside of it, through no link and on no other mount.
fn beneath(root: BorrowedFd<'_>, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(
        ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS
            | ResolveFlag::RESOLVE_NO_XDEV,
    );
    openat2(root, if path == Path::new("") { Path::new(".") } else { path }, how)
}

/// The directory something is in, and its name there; `None` for the root.
fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    path.parent().zip(path.file_name())
}

/// The type of a file, as st_mode has it.
const fn kind(stat: &FileStat) -> u32 {
    stat.st_mode & nix::libc::S_IFMT
}

/// Whether it is a directory.
const fn is_directory(stat: &FileStat) -> bool {
    kind(stat) == nix::libc::S_IFDIR
}

/// When a file was last written to.
const fn modified(stat: &FileStat) -> TimeSpec {
    TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec)
}
