//! Landlock: what a process and its descendants may do with files, and whom they may reach, see landlock(7). Rules name a file by a
//! descriptor, so no path is looked up; nothing here allocates.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc;

use super::check;

const LANDLOCK_CREATE_RULESET_VERSION: libc::c_uint = 1;
const LANDLOCK_RULE_PATH_BENEATH: libc::c_int = 1;

/// `struct landlock_ruleset_attr` of version 6. An older kernel takes the longer structure as long as what it does not know is 0.
#[repr(C)]
struct RulesetAttr {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr`
#[repr(C, packed)]
struct PathBeneathAttr {
    allowed_access: u64,
    parent_fd: i32,
}

/// The version of the interface this kernel has: `ENOSYS` if it was built without, `EOPNOTSUPP` if it was started without.
pub fn version() -> Result<u32, Errno> {
    let none = ptr::null::<u8>();
    // SAFETY: this flag wants null and a size of 0.
    check(unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, none, 0, LANDLOCK_CREATE_RULESET_VERSION)
    })
    .map(|version| version as u32)
}

/// landlock_create_ruleset(2): a ruleset that refuses these rights over files and over connections, and what these scopes are about.
pub fn create_ruleset(access: u64, network: u64, scoped: u64) -> Result<OwnedFd, Errno> {
    let attr = RulesetAttr { handled_access_fs: access, handled_access_net: network, scoped };
    // SAFETY: the kernel reads `size_of::<RulesetAttr>()` bytes of a value that lives through the call; the result is a new
    // descriptor that nobody else owns, closed by execve(2).
    check(unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attr, size_of::<RulesetAttr>(), 0)
    })
    .map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// landlock_add_rule(2): allows these rights over a file, and over everything below it if it is a directory.
pub fn allow_beneath(ruleset: BorrowedFd<'_>, parent: BorrowedFd<'_>, access: u64) -> Result<(), Errno> {
    let attr = PathBeneathAttr { allowed_access: access, parent_fd: parent.as_raw_fd() };
    // SAFETY: the kernel reads one attribute of this type, which lives through the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            LANDLOCK_RULE_PATH_BENEATH,
            &raw const attr,
            0,
        )
    })
    .map(drop)
}

/// landlock_restrict_self(2): for this thread and its descendants, for good. Needs no_new_privs or `CAP_SYS_ADMIN`.
pub fn restrict_self(ruleset: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: a descriptor and an integer.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) }).map(drop)
}
