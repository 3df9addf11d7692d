//! Trying what this kernel lets this user do, each in a process of its own that ends with the attempt, so that nothing of it is left.

use std::os::fd::AsFd as _;

use nix::errno::Errno;
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::fs::{get_xattr, open_place};
use super::mount::{self, attribute};
use super::process;

/// Runs `child` in a new process with these flags of clone(2), and tells how it ended.
fn attempt(flags: libc::c_int, child: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    let attempt = process::clone(flags, || match child() {
        Ok(()) => 0,
        Err(errno) => errno as libc::c_int,
    })?;
    let status = process::wait(attempt.pid)?;
    if libc::WIFSIGNALED(status) {
        // The only signals sent here are those of an outer system call filter.
        return Err(Errno::ENOSYS);
    }
    match libc::WEXITSTATUS(status) {
        0 => Ok(()),
        errno => Err(Errno::from_raw(errno)),
    }
}

/// Whether these namespaces can be made; of a user namespace, also whether ids can be mapped in it.
pub fn namespaces(flags: libc::c_int) -> Result<(), Errno> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    attempt(flags, || {
        if flags & libc::CLONE_NEWUSER == 0 { Ok(()) } else { map_ids(uid.as_raw(), gid.as_raw()) }
    })
}

/// Whether mounts can be detached, changed and attached in a new mount namespace, as setting up a jail's root does.
pub fn mounts(flags: libc::c_int) -> Result<(), Errno> {
    attempt(flags | libc::CLONE_NEWNS, || {
        mount::make_private()?;
        let copy = mount::clone_tree(open_place(c"/")?.as_fd(), true)?;
        mount::set_attributes(copy.as_fd(), attribute::READ_ONLY | attribute::NO_SUID, true)?;
        mount::attach(copy.as_fd(), c"/")
    })
}

/// Whether file systems in memory keep extended attributes of users, which the scratch layer of an overlay in a user namespace needs to
/// remember that a directory is gone (user.overlay.opaque): since Linux 6.6. A file of memfd_create(2) is in one.
pub fn keeps_user_attributes() -> Result<(), Errno> {
    let file = memfd_create(c"stockade", MFdFlags::MFD_CLOEXEC)?;
    match get_xattr(&file, c"user.overlay.opaque", &mut []) {
        Ok(_) | Err(Errno::ENODATA) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Whether a new file system of this kind can be made in new mount and PID namespaces.
pub fn file_system(flags: libc::c_int, kind: &std::ffi::CStr) -> Result<(), Errno> {
    attempt(flags | libc::CLONE_NEWNS | libc::CLONE_NEWPID, || {
        let context = mount::open_file_system(kind)?;
        mount::create(context.as_fd())?;
        mount::mount_created(context.as_fd(), attribute::NO_SUID).map(drop)
    })
}

/// One id of the caller's as root of the new user namespace, see user_namespaces(7).
fn map_ids(uid: u32, gid: u32) -> Result<(), Errno> {
    let write = |path: &str, text: &str| {
        std::fs::write(path, text).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
    };
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", &format!("0 {gid} 1"))
}
