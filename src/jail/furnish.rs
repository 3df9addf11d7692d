//! What is made in a file system of the jail's own while it is mounted nowhere: directories, links and small files, each by the
//! descriptor of that file system. Nothing is allocated.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd};

use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, mkdirat};
use nix::unistd::{Gid, Uid, fchownat, symlinkat, write};

use crate::plan::step::Owner;
use crate::sys::Error;

/// What is made, ready for the kernel.
#[derive(Debug)]
pub(super) enum Piece {
    /// A directory of this mode.
    Directory(u32),
    /// A link with this text.
    Link(CString),
    /// A file with this content, of this mode.
    File(Vec<u8>, u32),
}

/// Makes it at a path below `place`; `mode` is what the umask would take away.
pub(super) fn make(
    place: BorrowedFd<'_>,
    path: &CStr,
    what: &Piece,
    owner: Option<Owner>,
    mode: Option<u32>,
) -> Result<(), Error> {
    match what {
        Piece::Directory(mode) => mkdirat(place, path, bits(*mode)).map_err(Error::of("mkdirat"))?,
        Piece::Link(text) => symlinkat(text.as_c_str(), place, path).map_err(Error::of("symlinkat"))?,
        Piece::File(content, mode) => {
            let flags =
                OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let file = openat(place, path, flags, bits(*mode)).map_err(Error::of("openat"))?;
            let mut rest = content.as_slice();
            while !rest.is_empty() {
                let written = write(file.as_fd(), rest).map_err(Error::of("write"))?;
                rest = &rest[written..];
            }
        }
    }
    if let Some(Owner { uid, gid }) = owner {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        fchownat(place, path, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
            .map_err(Error::of("fchownat"))?;
    }
    // After the owner, whose change takes away what of it is a right (chown(2)).
    match mode {
        Some(mode) => {
            fchmodat(place, path, bits(mode), FchmodatFlags::FollowSymlink).map_err(Error::of("fchmodat"))
        }
        None => Ok(()),
    }
}

/// Permission bits as nix has them.
fn bits(mode: u32) -> Mode {
    Mode::from_bits_truncate(mode)
}
