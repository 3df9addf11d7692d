//! The file of `--report`.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::named_file;
use crate::error::Failure;

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
    named_file::not_written("report", Path::new(path), error)
}
