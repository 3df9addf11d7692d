//! The file of `--report`.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::named_file;
use crate::error::{Failure, exit};
use crate::report::diagnostic::Diagnostic;
use crate::sys;

/// Makes it, or opens what the caller has open already; a file that is the program's output as well is written to at its end.
pub(super) fn create(path: &str) -> Result<File, Failure> {
    let opened = if is_callers_own(path) {
        OpenOptions::new().append(true).open(path)
    } else {
        let mode = Mode::from_bits_truncate(0o666);
        named_file::open_regular(Path::new(path), OFlag::O_TRUNC, mode).map(File::from).map_err(Into::into)
    };
    opened.map_err(|error| not_written(path, &error))
}

/// Whether it is one of the links in /dev that lead to the caller's descriptors, or what drops everything. Of the rest of /dev no more is
/// known than of other directories: everybody may write to /dev/shm.
fn is_callers_own(path: &str) -> bool {
    let is_number = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    ["/dev/stdout", "/dev/stderr", "/dev/null"].contains(&path)
        || path.strip_prefix("/dev/fd/").is_some_and(is_number)
}

/// A report that cannot be written.
pub(super) fn not_written(path: &str, error: &io::Error) -> Failure {
    let errno = error.raw_os_error().map(Errno::from_raw);
    let why = match errno {
        Some(errno) => named_file::why(errno),
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
