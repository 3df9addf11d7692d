//! What a plan says, as the kernel takes it: strings ended by NUL, flags, masks, numbers.

#![forbid(unsafe_code)]

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use nix::fcntl::OFlag;
use nix::libc::{self, sock_filter};

use super::Error;
use crate::plan::step::{MountFlags, Namespaces, Reopen};
use crate::plan::system_calls::Instruction;
use crate::sys::creds;
use crate::sys::mount::attribute;

/// A C string of anything made of bytes; a NUL inside is an error of the step.
pub(super) fn text(step: usize, bytes: impl AsRef<OsStr>) -> Result<CString, Error> {
    CString::new(bytes.as_ref().as_bytes()).map_err(|_| Error::NulByte { step })
}

/// `NAME=value`.
pub(super) fn variable(step: usize, name: &OsStr, value: &OsStr) -> Result<CString, Error> {
    let mut both = OsString::from(name).into_vec();
    both.push(b'=');
    both.extend_from_slice(value.as_bytes());
    text(step, OsString::from_vec(both))
}

/// The access mode of open(2).
pub(super) fn open_flags(access: Reopen) -> OFlag {
    match access {
        Reopen::File | Reopen::ReadDevice => OFlag::O_RDONLY,
        Reopen::WriteDevice => OFlag::O_WRONLY,
        Reopen::Device => OFlag::O_RDWR,
    }
}

/// The bits of mount_setattr(2).
pub(super) fn attributes(flags: MountFlags) -> u64 {
    [
        (flags.read_only, attribute::READ_ONLY),
        (flags.no_suid, attribute::NO_SUID),
        (flags.no_dev, attribute::NO_DEV),
        (flags.no_exec, attribute::NO_EXEC),
    ]
    .iter()
    .map(|(on, bit)| if *on { *bit } else { 0 })
    .sum()
}

/// The flags of clone(2).
pub(super) fn clone_flags(namespaces: Namespaces) -> libc::c_int {
    [
        (namespaces.user, libc::CLONE_NEWUSER),
        (namespaces.mount, libc::CLONE_NEWNS),
        (namespaces.pid, libc::CLONE_NEWPID),
        (namespaces.ipc, libc::CLONE_NEWIPC),
        (namespaces.uts, libc::CLONE_NEWUTS),
        (namespaces.cgroup, libc::CLONE_NEWCGROUP),
        (namespaces.network, libc::CLONE_NEWNET),
    ]
    .iter()
    .map(|(on, flag)| if *on { *flag } else { 0 })
    .sum()
}

/// A filter as the kernel takes it.
pub(super) fn instructions(program: &[Instruction]) -> Vec<sock_filter> {
    let kernels = |each: &Instruction| sock_filter {
        code: each.code,
        jt: each.then,
        jf: each.otherwise,
        k: each.operand,
    };
    program.iter().map(kernels).collect()
}

/// The kernel's number of a resource; one that it does not know, and refuses (EINVAL), if the name is none.
pub(super) fn resource_number(name: &str) -> u32 {
    creds::LIMITS.iter().position(|known| *known == name).map_or(u32::MAX, |at| at as u32)
}

/// A bit for each processor, 64 to a word.
pub(super) fn affinity_mask(processors: &[u32]) -> Vec<u64> {
    let words = processors.iter().max().map_or(1, |last| last / 64 + 1);
    let mut mask = vec![0; words as usize];
    for processor in processors {
        mask[(processor / 64) as usize] |= 1 << (processor % 64);
    }
    mask
}
