//! Mounts by descriptor: open_tree(2), mount_setattr(2), move_mount(2), fsopen(2), and pivot_root(2). A descriptor cannot be
//! swapped for another file between two calls, as a path can.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc;

use super::check;

/// Attribute bits of mount_setattr(2) and fsmount(2).
pub mod attribute {
    /// `MOUNT_ATTR_RDONLY`
    pub const READ_ONLY: u64 = 0x1;
    /// `MOUNT_ATTR_NOSUID`
    pub const NO_SUID: u64 = 0x2;
    /// `MOUNT_ATTR_NODEV`
    pub const NO_DEV: u64 = 0x4;
    /// `MOUNT_ATTR_NOEXEC`
    pub const NO_EXEC: u64 = 0x8;
    /// `MOUNT_ATTR_IDMAP`
    pub(super) const IDMAP: u64 = 0x10_0000;
}

/// `struct mount_attr` of mount_setattr(2), first version.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

const OPEN_TREE_CLONE: libc::c_uint = 1;
const AT_RECURSIVE: libc::c_int = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x4;
const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const CLOEXEC: libc::c_uint = 1;

/// Takes the new descriptor a raw call returned.
fn owned(result: libc::c_long) -> Result<OwnedFd, Errno> {
    // SAFETY: the calls below return a descriptor that nobody else owns.
    check(result).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// open_tree(2) with `OPEN_TREE_CLONE`: a detached copy of the mount that `place` is in, from there on, of what is mounted below it too if
/// `recursive`.
pub fn clone_tree(place: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd, Errno> {
    let flags = OPEN_TREE_CLONE
        | libc::O_CLOEXEC as libc::c_uint
        | libc::AT_EMPTY_PATH as libc::c_uint
        | if recursive { AT_RECURSIVE as libc::c_uint } else { 0 };
    // SAFETY: a C string and integers.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, place.as_raw_fd(), c"".as_ptr(), flags) })
}

/// mount_setattr(2): sets attributes of a detached mount, of all mounts of it if `recursive`.
pub fn set_attributes(mount: BorrowedFd<'_>, set: u64, recursive: bool) -> Result<(), Errno> {
    set_attr(mount, &MountAttr { set, clear: 0, propagation: 0, userns_fd: 0 }, recursive)
}

/// The same, and owners on it are translated by the maps of a user namespace: EINVAL where the file system cannot do that.
pub fn translate_owners(
    mount: BorrowedFd<'_>,
    set: u64,
    recursive: bool,
    maps: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let userns_fd = maps.as_raw_fd() as u64;
    set_attr(
        mount,
        &MountAttr { set: set | attribute::IDMAP, clear: 0, propagation: 0, userns_fd },
        recursive,
    )
}

/// mount_setattr(2) of a detached mount.
fn set_attr(mount: BorrowedFd<'_>, attributes: &MountAttr, recursive: bool) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the kernel reads `size_of::<MountAttr>()` bytes of a value that lives through the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            ptr::from_ref(attributes),
            size_of::<MountAttr>(),
        )
    })
    .map(drop)
}

/// move_mount(2): attaches a detached mount. A symbolic link as the last component of `target` is not followed.
pub fn attach(mount: BorrowedFd<'_>, target: &CStr) -> Result<(), Errno> {
    // SAFETY: a descriptor, C strings and integers.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// fsopen(2): a file system to be configured.
pub fn open_file_system(kind: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: a C string and an integer.
    owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), CLOEXEC) })
}

/// fsconfig(2): one option; an empty value makes it a flag.
pub fn configure(context: BorrowedFd<'_>, key: &CStr, value: &CStr) -> Result<(), Errno> {
    let (command, value) = if value.is_empty() {
        (FSCONFIG_SET_FLAG, ptr::null())
    } else {
        (FSCONFIG_SET_STRING, value.as_ptr())
    };
    // SAFETY: C strings or null, as the command wants it.
    check(unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, key.as_ptr(), value, 0) })
        .map(drop)
}

/// fsconfig(2) with `FSCONFIG_CMD_CREATE`: the configured file system comes into being.
pub fn create(context: BorrowedFd<'_>) -> Result<(), Errno> {
    let null = ptr::null::<u8>();
    // SAFETY: this command takes null for key and value.
    check(unsafe {
        libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), FSCONFIG_CMD_CREATE, null, null, 0)
    })
    .map(drop)
}

/// fsmount(2): a detached mount of a created file system.
pub fn mount_created(context: BorrowedFd<'_>, attributes: u64) -> Result<OwnedFd, Errno> {
    // SAFETY: a descriptor and integers.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOEXEC, attributes) })
}

/// mount(2) that makes every mount of this namespace private: no event leaves it or comes in.
pub fn make_private() -> Result<(), Errno> {
    nix::mount::mount(
        None::<&CStr>,
        c"/",
        None::<&CStr>,
        nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE,
        None::<&CStr>,
    )
}

/// pivot_root(2) with the current directory as both arguments: see NOTES there, the old root is then stacked on the new one.
pub fn pivot_here() -> Result<(), Errno> {
    nix::unistd::pivot_root(c".", c".")
}

/// umount2(2) with `MNT_DETACH` of the mount on top of the current directory.
pub fn detach_here() -> Result<(), Errno> {
    nix::mount::umount2(c".", nix::mount::MntFlags::MNT_DETACH)
}

/// mount(2) with `MS_BIND`: another mount of what is at `source`, with the same flags, over `target`.
pub fn bind(source: &CStr, target: &CStr) -> Result<(), Errno> {
    nix::mount::mount(Some(source), target, None::<&CStr>, nix::mount::MsFlags::MS_BIND, None::<&CStr>)
}

/// mount(2) with `MS_MOVE`: the current directory's mount over `/`.
pub fn move_here_to_root() -> Result<(), Errno> {
    nix::mount::mount(Some(c"."), c"/", None::<&CStr>, nix::mount::MsFlags::MS_MOVE, None::<&CStr>)
}
