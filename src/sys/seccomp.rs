//! Filters of system calls, see seccomp(2).
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::libc::{self, sock_filter, sock_fprog};

use super::check;

/// seccomp(2) with `SECCOMP_SET_MODE_FILTER`: this thread, and what it makes and executes, runs `program` at every system call. It
/// needs no_new_privs, or CAP_SYS_ADMIN in its user namespace.
pub fn install(program: &[sock_filter]) -> Result<(), Errno> {
    let length = program.len().try_into().map_err(|_| Errno::EINVAL)?;
    let program = sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel reads `len` instructions and keeps a copy; it checks each.
    check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) })
        .map(drop)
}

/// Whether filters can be installed: not on a kernel without them, nor under a filter that refuses seccomp(2).
pub fn is_available() -> bool {
    let action = libc::SECCOMP_RET_KILL_PROCESS;
    // SAFETY: the kernel reads one u32.
    check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) })
        .is_ok()
}

/// What is answered to a system call by this number, which no kernel knows: ENOSYS, or what a filter says. The errno as a number.
pub fn answer(number: u32) -> i32 {
    // SAFETY: without such a call there is nobody to read the arguments.
    match unsafe { libc::syscall(libc::c_long::from(number), 0, 0, 0, 0, 0, 0) } {
        -1 => Errno::last_raw(),
        _ => 0,
    }
}
