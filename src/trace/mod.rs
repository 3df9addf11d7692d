//! Watching a program run: which files, sockets, rights and calls it uses, see ptrace(2). It runs on the host as it would without.
//!
//! Theory of operation:
//!
//! 1. [`Tracer::start`] makes a child, which waits. It is seized, so that all it will ever make is traced from the first instruction on
//!    and killed if this process ends. Then it installs a filter and executes the program (`launch`).
//! 2. The filter is what makes this quick: the kernel runs a small program at each call and stops the thread only at those
//!    that are looked at, `SECCOMP_RET_TRACE` in seccomp(2). `calls` says which they are and where they have their paths.
//! 3. At a stop, `engine` asks which call it is, and `watch` reads the paths from the program's memory, walks them (`walk`) and works out what
//!    will come of it: if it only looks or reads, what is there and the modes of files tell. Where they do not, the thread stops once
//!    more when the call has been made (`pending`).
//! 4. What is new is recorded with who, which call and when (`record`); the result is a [`Seen`].
//!
//! In a jail it is the other way round ([`Command::jail`]): what failed is of interest, and the jail's own filter would answer before ours. So
//! there is no filter, whoever sets the jail up runs on undisturbed but for new processes, and what is executed in another mount
//! namespace is the program: it and all it makes stop at the beginning and at the end of every call.
//!
//! A program can change its memory between our look and the kernel's: it misleads the record, and nothing else, as nothing is done with
//! its paths but `lstat` and `readlink` on one component at a time. An ordinary user's program is traced with no_new_privs, without which
//! the kernel takes no filter, so set-user-id programs do not get their rights; root's is not, and they do.

mod calls;
mod credentials;
mod engine;
mod files;
mod jailed;
mod launch;
mod memory;
mod pending;
mod place;
mod program;
mod record;
mod rights;
mod sockets;
mod walk;
mod watch;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::plan::system_calls::Policy;
pub use crate::seen::Seen;
pub use engine::{Happened, Tracer};

/// A program to be traced.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// The program and its arguments. Without a slash it is looked for in `PATH`.
    pub arguments: Vec<OsString>,
    /// Its environment; none: this process's.
    pub environment: Option<Vec<(OsString, OsString)>>,
    /// Where it runs; none: where this process does.
    pub directory: Option<PathBuf>,
    /// The program runs a jail, and what is of interest is the program inside: what it lacks there, where system calls are filtered by this
    /// policy.
    pub jail: Option<Policy>,
}

/// Why a program cannot be traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The command has no program.
    Empty,
    /// An argument, a variable or a path has a NUL in it.
    Nul,
    /// The program is in no directory of `PATH`.
    NotFound(OsString),
    /// It cannot be executed.
    Execute(PathBuf, Errno),
    /// The directory where it is to run cannot be entered.
    Directory(PathBuf, Errno),
    /// A call of the tracer's own failed.
    Call(crate::sys::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = crate::sys::describe;
        match self {
            Self::Empty => write!(f, "there is no program to run"),
            Self::Nul => write!(f, "an argument, a variable or a path has a NUL in it"),
            Self::NotFound(name) => write!(f, "cannot find `{}` in PATH", name.display()),
            Self::Execute(path, errno) => {
                write!(f, "cannot execute `{}`: execve(2): {}", path.display(), why(*errno))
            }
            Self::Directory(path, errno) => {
                write!(f, "cannot enter `{}`: chdir(2): {}", path.display(), why(*errno))
            }
            Self::Call(error) => write!(f, "cannot trace: {error}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<crate::sys::Error> for Error {
    fn from(error: crate::sys::Error) -> Self {
        Self::Call(error)
    }
}

impl Error {
    /// What to do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Call(error) if error.call == "ptrace" && error.errno == Errno::EPERM => Some(
                "another tracer has this process already, or a filter of system calls or kernel.yama.ptrace_scope forbids tracing",
            ),
            Self::Call(error) => crate::sys::shortage(error.errno),
            _ => None,
        }
    }
}
