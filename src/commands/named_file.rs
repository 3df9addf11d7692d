//! A file to be written that the caller names: of `--report`, of `--log`.

use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::stat::{Mode, fstat};

use crate::sys;

/// Opens a regular file, which is made if there is none. A link in the place of one is not followed, nor a FIFO waited for: whoever may
/// write to the directory, as a jail that shares it, could have put it there, and have root write over any file of the host.
pub(super) fn open_regular(path: &Path, how: OFlag, mode: Mode) -> Result<OwnedFd, Errno> {
    let guards = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = open(path, OFlag::O_WRONLY | OFlag::O_CREAT | how | guards, mode)?;
    match fstat(&file)?.st_mode & libc::S_IFMT {
        libc::S_IFREG => Ok(file),
        _ => Err(Errno::EINVAL),
    }
}

/// Why [`open_regular`] has failed.
pub(super) fn why(errno: Errno) -> String {
    match errno {
        Errno::ELOOP => "it is a symbolic link, which is not followed".to_owned(),
        Errno::EINVAL | Errno::ENXIO => "it is no regular file".to_owned(),
        errno => sys::describe(errno),
    }
}
