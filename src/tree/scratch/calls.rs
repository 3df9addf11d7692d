//! What a commit does to the host's directory, call by call: names beside a place, renames that replace nothing, copies with their holes.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;

use nix::errno::Errno;
use nix::libc;
use nix::sys::stat::fstat;
use nix::unistd::{LinkatFlags, UnlinkatFlags, ftruncate, linkat, unlinkat};

use super::{Why, called};
use crate::sys::fs;
use crate::tree::copy::next_data;
use crate::tree::error::errno;
use crate::tree::remove;

/// Somebody has put something where there was nothing.
pub(super) const APPEARED: Why = Why::Meanwhile("has appeared");

/// A name that nobody has.
pub(super) fn temporary_name() -> Result<OsString, Why> {
    let number = fs::random().map_err(called("getrandom"))?;
    Ok(format!(".stockade-{number:016x}").into())
}

/// Takes away what was made and is not wanted. What stays is told by the error that led here.
pub(super) fn discard(parent: &OwnedFd, name: &OsStr) {
    let _ = unlinkat(parent, name, UnlinkatFlags::NoRemoveDir);
}

/// A name as the kernel takes it.
pub(super) fn terminated(name: &OsStr) -> Result<CString, Why> {
    CString::new(name.as_bytes()).map_err(|_| called("renameat2")(Errno::EINVAL))
}

/// Renames to what must not be a name yet.
pub(super) fn rename_new(parent: &OwnedFd, from: &OsStr, to: &OsStr) -> Result<(), Why> {
    match fs::rename(parent, &terminated(from)?, parent, &terminated(to)?, libc::RENAME_NOREPLACE) {
        Err(Errno::EEXIST) => Err(APPEARED),
        // Not on this file system (NFS): a second name refuses as well.
        Err(Errno::EINVAL | Errno::ENOSYS) => {
            linkat(parent, from, parent, to, LinkatFlags::empty()).map_err(|errno| match errno {
                Errno::EEXIST => APPEARED,
                errno => called("linkat")(errno),
            })?;
            discard(parent, from);
            Ok(())
        }
        renamed => renamed.map_err(called("renameat2")),
    }
}

/// Two names change places.
pub(super) fn exchange(parent: &OwnedFd, one: &OsStr, other: &OsStr) -> Result<(), Why> {
    fs::rename(parent, &terminated(one)?, parent, &terminated(other)?, libc::RENAME_EXCHANGE)
        .map_err(called("renameat2"))
}

/// Removes a file, or a directory with everything in it.
pub(super) fn remove(parent: &OwnedFd, name: &OsStr) -> Result<(), Why> {
    remove::remove(parent, &terminated(name)?).map_err(|resisted| called(resisted.call)(resisted.errno))
}

/// Copies what a file has, and no more: a hole stays one, or a small layer could fill a large disk.
pub(super) fn copy(source: &File, target: &File) -> Result<(), Why> {
    let size = fstat(source).map_err(called("fstat"))?.st_size as u64;
    let mut buffer = vec![0; 1 << 16];
    let mut at = 0;
    while at < size {
        let (begin, end) = next_data(source, at, size)?;
        at = begin;
        while at < end {
            let most = buffer.len().min((end - at) as usize);
            let read = source.read_at(&mut buffer[..most], at);
            let read = read.map_err(|error| called("read")(errno(&error)))?;
            if read == 0 {
                break;
            }
            let written = target.write_all_at(&buffer[..read], at);
            written.map_err(|error| called("write")(errno(&error)))?;
            at += read as u64;
        }
        at = at.max(end);
    }
    ftruncate(target, size as libc::off_t).map_err(called("ftruncate"))
}
