//! A file to be written that the caller names: of `--report`, of `--log`, of `-o`.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::stat::{Mode, fstat};

use crate::error::{Failure, exit};
use crate::report::diagnostic::Diagnostic;
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

/// A file that cannot be written, by what it is.
pub(super) fn not_written(what: &str, path: &Path, error: &io::Error) -> Failure {
    let errno = error.raw_os_error().map(Errno::from_raw);
    let why = errno.map_or_else(|| error.to_string(), why);
    let failed = Diagnostic::error(format!("cannot write the {what} `{}`", path.display())).why(why);
    let hint = match errno {
        Some(Errno::ENOSPC | Errno::EDQUOT) => {
            "its file system is full (blocks or inodes); see df(1) with and without `-i`"
        }
        errno => errno.and_then(sys::shortage).unwrap_or("name a file that you may write"),
    };
    Failure::new(failed.hint(hint), exit::FAILED)
}

/// Why, in words.
fn why(errno: Errno) -> String {
    match errno {
        Errno::ELOOP => "it is a symbolic link, which is not followed".to_owned(),
        Errno::EINVAL | Errno::ENXIO => "it is no regular file".to_owned(),
        errno => sys::describe(errno),
    }
}
