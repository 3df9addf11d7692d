//! System calls. The only directory that may contain `unsafe`: each wrapper is one call with a safe signature, borrowed
//! descriptors and `&CStr`, no policy and no logging. nix has most calls; what it lacks is here, with its man page.
//! Everything that the jail's first processes use between clone(2) and execve(2) allocates nothing.

pub mod cgroup;
pub mod creds;
pub mod descriptor;
pub mod device_filter;
pub mod fs;
pub mod held;
pub mod host;
pub mod landlock;
pub mod listen;
pub mod locks;
pub mod memory;
pub mod mount;
pub mod network;
pub mod pass;
pub mod pipe;
pub mod priority;
pub mod probe;
pub mod process;
pub mod ptrace;
pub mod seccomp;
pub mod signal;
pub mod terminal;

use std::fmt;

use nix::errno::Errno;

/// A system call that failed: its name and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The call, by the name of its man page.
    pub call: &'static str,
    /// Why.
    pub errno: Errno,
}

impl Error {
    /// For `map_err`: names the call of an errno.
    pub fn of(call: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self { call, errno }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(2): {}", self.call, describe(self.errno))
    }
}

impl std::error::Error for Error {}

/// An errno in words with its name: `Operation not permitted (EPERM)`.
pub fn describe(errno: Errno) -> String {
    format!("{} ({errno:?})", errno.desc())
}

/// What to do where something has run out, whatever was being done.
pub fn shortage(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::ENOMEM => "the host is out of memory, or a limit on it is reached",
        Errno::EMFILE => "too many open files: raise the limit, see `ulimit -n`",
        Errno::ENFILE => "the host has too many open files: see fs.file-max in sysctl(8)",
        _ => return None,
    })
}

/// The same for an error of std's.
pub fn shortage_of(error: &std::io::Error) -> Option<&'static str> {
    error.raw_os_error().and_then(|number| shortage(Errno::from_raw(number)))
}

/// The result of a raw system call as a value or an errno.
fn check(result: nix::libc::c_long) -> Result<i64, Errno> {
    Errno::result(result)
}
