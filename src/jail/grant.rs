//! The ids that the host grants to an ordinary user, mapped by newuidmap(1) and newgidmap(1): set-user-id programs, which write the maps of
//! the jail's first process while that waits. They are told nothing but its number and the ranges, and judge for themselves.

use std::cell::RefCell;
use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};

use nix::fcntl::OFlag;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use super::child;
use super::supervise::let_go_on;
use crate::sys::Error;
use crate::sys::process::{self, Child, PointerArray};
use crate::sys::signal::{self, SignalSet};

/// One of the programs: its path, and the numbers that follow that of the process.
pub(super) struct Mapper {
    pub(super) path: CString,
    pub(super) ranges: Vec<CString>,
}

/// What is to be called for a jail.
pub(super) struct Wanted {
    pub(super) mappers: [Mapper; 2],
    /// Those that have ended, and are waited for when all of this goes: until then what they have used is not counted as the jail's.
    pub(super) ended: RefCell<Vec<Ended>>,
}

/// A process that has ended, and was not waited for yet.
pub(super) struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let ended = process::wait(self.0.pid);
        debug_assert!(ended.is_ok(), "{ended:?}");
    }
}

/// Has both maps of the jail's first process written, and lets it go on; `operation` is the one that has asked.
pub(super) fn make(
    wanted: &Wanted,
    release: &OwnedFd,
    operation: usize,
    first: i32,
) -> Result<(), super::Error> {
    for mapper in &wanted.mappers {
        let (child, said) = call(mapper, first)?;
        let status = waitid(Id::PIDFd(child.pidfd.as_fd()), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
        wanted.ended.borrow_mut().push(Ended(child));
        if !matches!(status.map_err(Error::of("waitid"))?, WaitStatus::Exited(_, 0)) {
            return Err(super::Error::Helper { step: operation, why: child::last_line(&said) });
        }
    }
    Ok(let_go_on(release)?)
}

/// Starts one of the programs; where what it says can be read when it has ended.
fn call(mapper: &Mapper, first: i32) -> Result<(Child, OwnedFd), Error> {
    let (said, its) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(Error::of("pipe2"))?;
    let null = child::open(c"/dev/null", OFlag::O_RDWR)?;
    let number = CString::new(first.to_string()).unwrap_or_default();
    let words = [mapper.path.clone(), number].into_iter().chain(mapper.ranges.iter().cloned());
    let (arguments, environment) = (PointerArray::new(words.collect()), PointerArray::new(Vec::new()));
    let child = process::clone(0, || {
        let failed = match prepare([&null, &null, &its]) {
            Ok(()) => {
                Error { call: "execve", errno: process::execve(&mapper.path, &arguments, &environment) }
            }
            Err(error) => error,
        };
        child::say(failed)
    })
    .map_err(Error::of("clone"))?;
    Ok((child, said))
}

/// By the process that becomes the program: nothing of the supervisor's but these descriptors.
fn prepare(standard: [&OwnedFd; 3]) -> Result<(), Error> {
    child::take_standard(standard)?;
    process::new_session().map_err(Error::of("setsid"))?;
    signal::reset_dispositions().map_err(Error::of("rt_sigaction"))?;
    signal::set_mask(SignalSet::EMPTY).map_err(Error::of("rt_sigprocmask"))?;
    process::close_at_execution().map_err(Error::of("close_range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That it has ended, and how, is told elsewhere.
    #[test]
    fn a_jail_that_has_ended_meanwhile_is_no_failure() {
        let program = || Mapper { path: c"/bin/true".to_owned(), ranges: Vec::new() };
        let wanted = Wanted { mappers: [program(), program()], ended: RefCell::default() };
        let (jail, release) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
        drop(jail);
        make(&wanted, &release, 0, 1).unwrap();
        let (jail, release) = super::super::report::channel().unwrap();
        nix::unistd::write(&release, b"unread").unwrap();
        drop(jail);
        make(&wanted, &release, 0, 1).unwrap();
        // What cannot be written to at all is one.
        let (reader, _writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
        assert!(make(&wanted, &reader, 0, 1).is_err());
    }
}
