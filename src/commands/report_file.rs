//! The file of `--report`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;

use nix::errno::Errno;
use nix::libc;

use crate::error::{Failure, exit};
use crate::report::diagnostic::Diagnostic;
use crate::sys;

/// Makes it. A link in the place of one is not followed: a jail that may write to the directory could have put it there, and have root
/// write over any file of the host. Those in /dev lead to descriptors of the caller's, and there no jail writes.
pub(super) fn create(path: &str) -> Result<File, Failure> {
    let follow = if path.starts_with("/dev/") { 0 } else { libc::O_NOFOLLOW };
    let options = OpenOptions::new().write(true).create(true).truncate(true).custom_flags(follow).open(path);
    options.map_err(|error| not_written(path, &error))
}

/// A report that cannot be written.
pub(super) fn not_written(path: &str, error: &io::Error) -> Failure {
    let errno = error.raw_os_error().map(Errno::from_raw);
    let why = match errno {
        Some(Errno::ELOOP) => "it is a symbolic link, which is not followed".to_owned(),
        Some(errno) => sys::describe(errno),
        None => error.to_string(),
    };
    let failed = Diagnostic::error(format!("cannot write the report `{path}`")).why(why);
    let hint = match errno {
        Some(Errno::ENOSPC | Errno::EDQUOT) => {
            "its file system is full (blocks or inodes); see df(1) with and without `-i`"
        }
        errno => errno.and_then(sys::shortage).unwrap_or("name a file that you may write"),
    };
    Failure::new(failed.hint(hint), exit::FAILED)
}
