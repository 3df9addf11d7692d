//! PID 1 of the jail: makes the program's process, reaps whatever is orphaned to it, forwards signals, and ends with the
//! program, which ends every other process of the PID namespace, see pid_namespaces(7). It allocates nothing, holds no file
//! of the host but the socket to its supervisor and the program's standard input, a file shown read-only or a pipe, and ends when the socket
//! closes.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd as _, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Whence, lseek};

use super::child::Inherited;
use super::input::Input;
use super::report::Report;
use crate::sys::Error;
use crate::sys::process::{self, Waited};
use crate::sys::seccomp;
use crate::sys::signal::{self, SignalSet};

/// Signals that are passed on to the program: by PID 1 when they are sent to it, beside SIGCHLD, which it takes itself, and by the
/// supervisor.
pub(super) const FORWARDED: [i32; 9] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGCONT,
    libc::SIGWINCH,
];

/// Makes the program's process, which runs `child`, and serves as PID 1 until the program has ended: its exit code. A process that has
/// joined a jail leaves a descriptor of its own in `itself`, for the child to see whether it is still there.
pub(super) fn serve(
    inherited: Inherited<'_>,
    itself: Option<&Cell<Option<OwnedFd>>>,
    (forking, relays_input): (bool, bool),
    filter: Option<&[libc::sock_filter]>,
    child: &impl Fn() -> libc::c_int,
) -> Result<libc::c_int, Error> {
    // Descriptors of the caller are not PID 1's to hold; and the jail's limit of open files, which counts already, leaves room.
    process::close_others(inherited.status, inherited.passed).map_err(Error::of("close_range"))?;
    if let Some(itself) = itself {
        let own = process::pidfd_open(nix::unistd::getpid().as_raw()).map_err(Error::of("pidfd_open"))?;
        itself.set(Some(own));
    }
    // Every signal is blocked since before clone(2), so that none is lost between here and the first poll.
    let mut set = SignalSet::of(&FORWARDED);
    set.0 |= SignalSet::of(&[libc::SIGCHLD]).0;
    // Closed by this process's end: its filter allows nothing that is not needed.
    let signals = ManuallyDrop::new(signal::descriptor(set).map_err(Error::of("signalfd"))?);
    let mut input = relays_input.then(Input::open).transpose()?;
    process::set_name(c"stockade").map_err(Error::of("prctl"))?;
    let program = process::spawn(child).map_err(Error::of("clone"))?;
    process::close_passed(inherited.passed).map_err(Error::of("close_range"))?;
    // A pipe's reader sees the end when the program closes it. A file that is read on tells how far, at the end.
    process::close_standard_descriptors(inherited.shares_input.into()).map_err(Error::of("close_range"))?;
    if let Some(filter) = filter {
        seccomp::install(filter).map_err(Error::of("seccomp"))?;
    }
    let mut served = Served { program, code: 0, killed: false, forking };
    let code = reap(&mut served, inherited, &signals, &mut input);
    end(&mut input);
    Ok(code)
}

/// Lets go of the caller's pipe, in which all stays that the program has not read.
fn end(input: &mut Option<Input>) {
    // One that cannot be counted any more is nobody's: it is given up with what is in it.
    if let Some(Ok(()) | Err(_)) = input.as_mut().map(Input::settle) {
        *input = None;
    }
}

/// What PID 1 serves.
struct Served {
    /// The program's process; 0 once it has gone into the background.
    program: i32,
    /// What the jail's exit code is to be then: that of the process that has ended last, but for one that was killed.
    code: libc::c_int,
    /// Whether one was.
    killed: bool,
    /// Whether it may go there.
    forking: bool,
}

/// Waits for the program, reaping and forwarding; returns its exit code by the shells' convention.
fn reap(
    served: &mut Served,
    inherited: Inherited<'_>,
    signals: &OwnedFd,
    input: &mut Option<Input>,
) -> libc::c_int {
    let status = inherited.status;
    loop {
        let nothing = || PollFd::new(status, PollFlags::empty());
        let [first, second] = input.as_ref().map_or_else(|| [nothing(), nothing()], Input::awaited);
        let mut ready = [nothing(), PollFd::new(signals.as_fd(), PollFlags::POLLIN), first, second];
        let timeout = input.as_ref().map_or(PollTimeout::NONE, Input::timeout);
        match poll(&mut ready, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return LOST,
        }
        let events = ready.map(|each| each.revents().unwrap_or(PollFlags::empty()));
        // The other end of the socket is gone, and the supervisor with it.
        if !events[0].is_empty() {
            return LOST;
        }
        let is_closed = events[3].contains(PollFlags::POLLERR);
        let is_due = !(events[2] | events[3]).is_empty() || timeout != PollTimeout::NONE;
        if is_due && input.as_mut().is_some_and(|input| !input.pass(is_closed)) {
            end(input);
        }
        while let Ok(Some((number, _))) = signal::next(signals.as_fd()) {
            if number == libc::SIGCHLD {
                if let Some(ended) = collect(served, inherited) {
                    return ended;
                }
            } else if pass(served, number).is_err() {
                // It has just ended, or has become another user's: SIGCHLD says the rest, and the supervisor can signal both.
            }
        }
    }
}

/// Passes a signal on. Which of the processes in the background is meant the supervisor knows, and signals it; what reaches PID 1 all
/// the same is for everybody, if it asks for an end.
fn pass(served: &Served, number: i32) -> Result<(), Errno> {
    match (served.program, number) {
        (0, libc::SIGTERM | libc::SIGINT | libc::SIGQUIT) => process::kill(-1, number),
        (0, _) => Ok(()),
        (program, _) => process::kill(program, number),
    }
}

/// Collects every child that changed; the jail's exit code if it has ended by that.
fn collect(served: &mut Served, inherited: Inherited<'_>) -> Option<libc::c_int> {
    loop {
        match process::wait_any() {
            Ok(Waited::Ended { pid, status: raw }) if pid == served.program => {
                let code = process::exit_code(raw);
                if inherited.shares_input && report_input(inherited).is_err() {
                    return Some(LOST);
                }
                if served.forking && raw == 0 {
                    served.program = 0;
                    match Report::Background.send(inherited.status) {
                        Ok(()) => continue,
                        Err(_) => return Some(LOST),
                    }
                }
                // PID 1's own exit code says it all, unless it was a signal: told as code 128 + n, it would pass for an exit.
                if libc::WIFSIGNALED(raw) && (Report::Ended { status: raw }).send(inherited.status).is_err() {
                    return Some(LOST);
                }
                return Some(code);
            }
            Ok(Waited::Ended { status: raw, .. }) if served.program == 0 && !served.killed => {
                (served.code, served.killed) = (process::exit_code(raw), libc::WIFSIGNALED(raw));
                if served.killed && (Report::Ended { status: raw }).send(inherited.status).is_err() {
                    return Some(LOST);
                }
            }
            // Nobody is left.
            Err(Errno::ECHILD) if served.program == 0 => return Some(served.code),
            // Told only where the supervisor listens, which is where it has a terminal to give back: elsewhere the messages of a
            // program that is stopped again and again would fill the socket.
            Ok(Waited::Stopped { pid, signal }) if pid == served.program && inherited.terminal.is_some() => {
                if (Report::Stopped { signal }).send(inherited.status).is_err() {
                    return Some(LOST);
                }
            }
            Ok(Waited::Ended { .. } | Waited::Stopped { .. }) | Err(Errno::EINTR) => {}
            // ECHILD cannot be before: the program is a child until it is collected above.
            Ok(Waited::Nothing) | Err(_) => return None,
        }
    }
}

/// Tells the supervisor how far the program has read its standard input, which PID 1 shares with it.
fn report_input(inherited: Inherited<'_>) -> Result<(), Errno> {
    let offset = lseek(process::standard_descriptor(0), 0, Whence::SeekCur)?;
    Report::Read { offset }.send(inherited.status)
}

/// Exit status of PID 1 when its supervisor is gone.
const LOST: libc::c_int = 125;
