//! The supervisor's loop: waits for PID 1, passes signals to the program and bytes to its terminal, keeps the time limit.

use std::cell::Cell;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Whence, lseek};

use super::announce::Announcement;
use super::cgroup;
use super::clock::ProcessorTime;
use super::grant;
use super::inbox::Inbox;
use super::init::FORWARDED;
use super::log::Log;
use super::output::{Budget, Output};
use super::pasta::Connection;
use super::processes;
use super::report::{self, Received, Report, Service};
use super::running::has_ended;
use super::terminal::Relay;
use super::{End, Error};
use crate::plan::step::{Clock, Interrupt};
use crate::sys;
use crate::sys::process::{self, Child};
use crate::sys::signal::{self, SignalSet};

/// The signals the supervisor takes for the program: those that are forwarded, and SIGTSTP, which stops both, unless the caller
/// ignores them: under nohup(1) a hang-up reaches neither. And SIGCHLD, where it adopts what the program leaves.
pub(super) fn signals(adopts: bool) -> Result<OwnedFd, sys::Error> {
    let children = adopts.then_some(libc::SIGCHLD);
    let mut signals = FORWARDED.into_iter().chain([libc::SIGTSTP]).chain(children);
    let taken = signals.try_fold(SignalSet::EMPTY, |taken, number| {
        let ignored = signal::is_ignored(number).map_err(sys::Error::of("rt_sigaction"))?;
        Ok(if ignored { taken } else { taken.with(number) })
    })?;
    signal::descriptor(taken).map_err(sys::Error::of("signalfd"))
}

/// How often a supervisor in its terminal's background looks whether it has come to the foreground: no signal says so.
const GLANCE: Duration = Duration::from_millis(250);

/// Everything the loop looks at.
pub(super) struct Supervisor<'a> {
    /// PID 1 of the jail.
    pub(super) first: Child,
    /// What the jail's first processes report.
    pub(super) status: OwnedFd,
    /// Whether they have closed the other end: with `init = false`, when the program is executed.
    pub(super) is_silent: bool,
    /// The signals of [`signals`].
    pub(super) signals: OwnedFd,
    /// The program's terminal, if it has one.
    pub(super) relay: Option<Relay>,
    /// What the program writes to files of the caller's.
    pub(super) outputs: Vec<Output>,
    /// How much that may be.
    pub(super) budget: Option<Budget>,
    /// What the jail logs.
    pub(super) log: Option<Log>,
    /// What the program says of itself.
    pub(super) inbox: Option<Inbox<'a>>,
    /// What maps the jail's ids, and by what it is told that this is done, until it has asked for it.
    pub(super) grant: Option<(&'a grant::Wanted, OwnedFd)>,
    /// The jail's way out.
    pub(super) connection: Option<Connection<'a>>,
    /// When the jail is to be killed.
    pub(super) deadline: Option<Instant>,
    /// The limit on time on processors.
    pub(super) processor_time: Option<ProcessorTime<'a>>,
    /// Whether the user has interrupted it.
    pub(super) interrupt: &'a Cell<Option<Interrupt>>,
    /// Whether PID 1 has ended and been waited for.
    pub(super) collected: bool,
    /// The control group of version 1 by which the jail may be stopped, if it has one.
    pub(super) freezer: Option<OwnedFd>,
    /// The program's own process, once it has started.
    pub(super) program: Option<Running>,
    /// Whether that may leave others behind when it ends.
    pub(super) forking: bool,
    /// Who is told of it.
    pub(super) announcement: Announcement<'a>,
}

/// The program's own process, as the host sees it, or who stands for it in the background.
#[derive(Debug)]
pub(super) struct Running {
    pid: i32,
    /// None where there is none to be had, and once it is known to have ended without anybody in its place.
    pidfd: Option<OwnedFd>,
    stand: Stand,
    /// Whether it was stopped on its terminal, and the job is to stop with it.
    stopped: bool,
}

/// How it stands with the program's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// It is the program's own: its end is PID 1's to judge.
    Own,
    /// It is one of those that PID 1 has inherited, and when it ends another takes its place.
    Background,
    /// It has ended, and nobody was there to take its place. Its number may be a stranger's by now.
    Ended,
}

/// For so many milliseconds the supervisor waits for PID 1 to leave the host's tree before it does its own work.
const MOMENT: u8 = 100;

/// How long PID 1 has for ending by itself when a time limit has ended the program, and the terminal's reader when the program has stopped.
const LAST_MOMENT: Duration = Duration::from_millis(20);

/// Lets a process of the jail go on that waits for a byte. One that has ended instead has said why, or is seen to have ended.
pub(super) fn let_go_on(waiting: &OwnedFd) -> Result<(), sys::Error> {
    match nix::unistd::write(waiting, b"\n") {
        Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
        Err(errno) => Err(sys::Error { call: "write", errno }),
    }
}

/// What could not be done for a jail because that has ended meanwhile is no failure: how it has ended is told.
fn unless_ended(first: &OwnedFd, done: Result<(), Error>) -> Result<(), Error> {
    match done {
        Err(_) if has_ended(first) => Ok(()),
        done => done,
    }
}

impl Supervisor<'_> {
    /// Sleeps until PID 1 has left the host's tree, or has something else to say, or a signal comes; not longer than [`MOMENT`], as it may be a
    /// network's file system that keeps PID 1, and others are to find that jail too.
    ///
    /// So that both work at once. Where the other processors sleep, as in a virtual machine with little to do, the kernel leaves a new process
    /// on its parent's, where it waits for all that this has to do first. Leaving the host's tree waits for every processor anyway
    /// (umount2(2) and RCU), and PID 1 is woken from another one then.
    pub(super) fn await_entry(&self) -> Result<(), Error> {
        let mut ready = [&self.status, &self.signals].map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
        match poll(&mut ready, PollTimeout::from(MOMENT)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(sys::Error { call: "poll", errno }.into()),
        }
    }

    /// Lets PID 1 go on to what the program is executed by; see `DieWithParent`.
    pub(super) fn release(&self) -> Result<(), Error> {
        Ok(let_go_on(&self.status)?)
    }

    /// Runs until PID 1 has ended, and with it every process of the jail.
    pub(super) fn run(mut self) -> Result<End, Error> {
        let mut reported = None;
        let mut over = None;
        let until = self.deadline;
        loop {
            let [ended, signals, status, output, input] = self.wait()?;
            // The order matters: what the jail said before its end is read before its end is believed, and a signal needs to
            // know whether the program has started.
            if status || signals || ended {
                self.take_all(&mut reported)?;
            }
            // Once, however often it was meanwhile: a program that stops itself again and again does not keep this from its limits.
            let stopped = self.program.as_mut().is_some_and(|program| std::mem::take(&mut program.stopped));
            if stopped && !ended && over.is_none() {
                self.stop_with_program()?;
            }
            if self.followed().is_some_and(has_ended) {
                self.succeed();
            }
            self.announce(&mut reported)?;
            if let Some(connection) = &mut self.connection {
                unless_ended(&self.first.pidfd, connection.pass())?;
            }
            // PID 1 has ended, and the program with it: its number may be another's by now.
            if signals && !ended {
                while let Some((number, by_process)) =
                    signal::next(self.signals.as_fd()).map_err(sys::Error::of("read"))?
                {
                    self.pass_signal(number, by_process)?;
                }
            }
            if let Some(relay) = &mut self.relay {
                if output || relay.room().is_some() {
                    relay.pass_input_on()?;
                    relay.pass_output(self.budget.as_mut())?;
                }
                if input && relay.pass_input()? {
                    self.interrupt.set(Some(Interrupt::Key));
                }
                if relay.is_watched() {
                    relay.resume();
                }
            }
            self.pass_outputs(&mut reported)?;
            if let Some(log) = &mut self.log {
                log.pass()?;
            }
            if let Some(inbox) = &mut self.inbox {
                inbox.pass()?;
            }
            if ended {
                break;
            }
            match (self.over(over.is_some()), over) {
                (None, _) => {}
                (Some(_), Some(_)) => {
                    self.deadline = None;
                    self.kill_all()?;
                }
                (reached, None) => {
                    over = reached;
                    self.deadline = Some(Instant::now() + LAST_MOMENT);
                    // The program first, so that PID 1 counts what it has used: the kernel forgets that when PID 1 is killed.
                    self.take_all(&mut reported)?;
                    self.signal_group(libc::SIGKILL)?;
                }
            }
        }
        // Reached after the last look, it was reached all the same.
        if over.is_none() && self.processor_time.as_mut().is_some_and(|time| time.was_over(self.first.pid)) {
            over = Some(End::TimedOut(Clock::Processors));
        }
        over = over.or(self.pass_the_rest(until)?);
        let raw = process::wait(self.first.pid).map_err(sys::Error::of("wait4"))?;
        self.collected = true;
        let end = match reported {
            Some(Report::Failed { operation, error }) => {
                return Err(Error::Failed { step: operation, error });
            }
            ended => match (over, ended) {
                (Some(end), _) => end,
                // Whatever came of the signal, or if the end came before it.
                (None, _) if self.outputs.iter().any(Output::is_over) => End::Signaled(libc::SIGXFSZ),
                (None, Some(Report::Ended { status })) => End::of(status),
                // Killed from outside, or the program was PID 1 itself.
                (None, _) => End::of(raw),
            },
        };
        match self.outputs.iter().find_map(Output::failure) {
            Some((descriptor, error)) => Err(Error::Output { descriptor, error, end }),
            None => Ok(end),
        }
    }

    /// The end by a limit that is over, if one is. No time is looked at twice: what follows has a time of its own.
    fn over(&mut self, was_over: bool) -> Option<End> {
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            self.processor_time = None;
            return Some(End::TimedOut(Clock::Wall));
        }
        if self.processor_time.take_if(|time| time.is_over(self.first.pid)).is_some() {
            return Some(End::TimedOut(Clock::Processors));
        }
        self.budget.as_ref().filter(|budget| !was_over && budget.is_exceeded()).map(|_| End::TooMuchOutput)
    }

    /// What is left to be passed on when PID 1 has ended; the end by a limit that is over then. Who does not read is waited for until a
    /// time.
    fn pass_the_rest(&mut self, until: Option<Instant>) -> Result<Option<End>, Error> {
        let mut is_late = false;
        if let Some(relay) = &mut self.relay {
            is_late |= relay.pass_held(self.budget.as_mut(), Some(self.signals.as_fd()), until)?;
        }
        for output in &mut self.outputs {
            is_late |= output.finish(self.budget.as_mut(), self.signals.as_fd(), until)?;
        }
        if let Some(log) = &mut self.log {
            is_late |= log.finish(self.signals.as_fd(), until)?;
        }
        if let Some(inbox) = &mut self.inbox {
            inbox.finish()?;
        }
        if let Some(connection) = &mut self.connection {
            connection.finish();
        }
        let is_exceeded = self.budget.as_ref().is_some_and(Budget::is_exceeded);
        Ok(is_exceeded.then_some(End::TooMuchOutput).or(is_late.then_some(End::TimedOut(Clock::Wall))))
    }

    /// Waits for something to happen: PID 1's end, a signal, a report, the program's terminal, the caller's input. Without a
    /// terminal no report is urgent: each waits in the socket for PID 1's end, or for a signal that needs it, and the start of
    /// a jail is spared the wake-ups.
    fn wait(&self) -> Result<[bool; 5], Error> {
        let left = self
            .deadline
            .into_iter()
            .chain(self.processor_time.as_ref().map(ProcessorTime::next))
            .min()
            .map(|next| next.saturating_duration_since(Instant::now()) + Duration::from_millis(1));
        let glance = self.relay.as_ref().filter(|relay| relay.is_watched()).map(|_| GLANCE);
        let pause = self.log.as_ref().and_then(Log::pause);
        let silence = self.inbox.as_ref().and_then(Inbox::pause);
        let others = glance.into_iter().chain(self.announcement.glance()).chain(pause).chain(silence);
        let timeout = match left.into_iter().chain(others).min() {
            None => PollTimeout::NONE,
            Some(left) => PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
        };
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut ready = Vec::with_capacity(5);
        ready.extend([self.first.pidfd.as_fd(), self.signals.as_fd()].map(readable));
        let is_awaited = self.grant.is_some() || self.connection.as_ref().is_some_and(Connection::is_awaited);
        if self.relay.is_some() || self.announcement.is_urgent() || is_awaited {
            // A socket whose other ends are closed would be ready for ever; PID 1's end stands in for it.
            ready.push(if self.is_silent {
                readable(self.first.pidfd.as_fd())
            } else {
                readable(self.status.as_fd())
            });
        }
        if let Some(relay) = &self.relay
            && let Some(awaited) = relay.awaited()
        {
            ready.push(awaited);
            ready.extend(relay.input().map(readable));
        }
        // Looked at each time, whatever woke the loop.
        let named = ready.len();
        ready.extend(self.relay.iter().filter_map(Relay::room));
        ready.extend(self.outputs.iter().filter_map(Output::awaited));
        ready.extend(self.log.iter().filter_map(Log::awaited));
        let inbox = self.inbox.iter().filter(|inbox| inbox.pause().is_none());
        ready.extend(inbox.map(|inbox| readable(inbox.socket())));
        ready.extend(self.connection.iter().filter_map(Connection::ready).map(readable));
        ready.extend(self.followed().map(|pidfd| readable(pidfd.as_fd())));
        match poll(&mut ready, timeout) {
            Ok(_) => Ok([0, 1, 2, 3, 4].map(|at: usize| {
                ready[..named].get(at).and_then(PollFd::revents).is_some_and(|events| !events.is_empty())
            })),
            Err(Errno::EINTR) => Ok([false; 5]),
            Err(errno) => Err(sys::Error { call: "poll", errno }.into()),
        }
    }

    /// Tells of the program once it is executed. One that has ended already was, unless a report says otherwise.
    fn announce(&mut self, reported: &mut Option<Report>) -> Result<(), Error> {
        if !self.announcement.is_due() {
            return Ok(());
        }
        self.take_all(reported)?;
        match reported {
            Some(Report::Failed { .. }) => Ok(()),
            _ => Ok(self.announcement.make()?),
        }
    }

    /// Takes every report that is there.
    fn take_all(&mut self, reported: &mut Option<Report>) -> Result<(), Error> {
        loop {
            match report::receive(self.status.as_fd()).map_err(sys::Error::of("recvmsg"))? {
                Received::Message(message, sender) => self.take(message, sender, reported)?,
                Received::Nothing => return Ok(()),
                Received::End => {
                    self.is_silent = true;
                    return Ok(());
                }
            }
        }
    }

    /// Takes one report of the jail's first processes.
    fn take(&mut self, message: Report, sender: i32, reported: &mut Option<Report>) -> Result<(), Error> {
        match message {
            Report::Entered => {}
            Report::Started => {
                self.announcement.is(sender);
                let (pidfd, stand) = match process::pidfd_open(sender) {
                    Ok(pidfd) => (Some(pidfd), Stand::Own),
                    // There is nothing left to be signalled, unless it has left others.
                    Err(Errno::ESRCH) => (None, Stand::Ended),
                    // No such call, a filter, no descriptor left: no reason to end a program that runs.
                    Err(_) => (None, Stand::Own),
                };
                self.program = Some(Running { pid: sender, pidfd, stand, stopped: false });
            }
            Report::Stopped { .. } => {
                if let Some(program) = &mut self.program {
                    program.stopped = self.relay.is_some();
                }
            }
            Report::Background => self.succeed(),
            Report::Asks { operation, service: Service::Ids } => {
                if let Some((wanted, release)) = self.grant.take() {
                    let made = grant::make(wanted, &release, operation, self.first.pid);
                    unless_ended(&self.first.pidfd, made)?;
                }
            }
            Report::Asks { operation, service: Service::Network } => {
                if let Some(connection) = &mut self.connection {
                    let started = connection.start(operation, self.first.pid);
                    unless_ended(&self.first.pidfd, started.map_err(Error::from))?;
                }
            }
            Report::Failed { .. } => *reported = Some(message),
            Report::Ended { .. } => *reported = reported.or(Some(message)),
            Report::Read { offset } => {
                lseek(process::standard_descriptor(0), offset, Whence::SeekSet)
                    .map_err(sys::Error::of("lseek"))?;
            }
        }
        Ok(())
    }

    /// Passes what the program has written on to files of the caller's.
    fn pass_outputs(&mut self, reported: &mut Option<Report>) -> Result<(), Error> {
        for at in 0..self.outputs.len() {
            self.outputs[at].pass(self.budget.as_mut())?;
            // As the kernel tells a program that writes a file itself, and before it sees that nobody reads.
            if self.outputs[at].is_full() {
                self.take_all(reported)?;
                self.signal_group(libc::SIGXFSZ)?;
                self.outputs[at].close();
            }
        }
        Ok(())
    }

    /// Passes a signal sent to the supervisor on to the program.
    fn pass_signal(&mut self, number: i32, by_process: bool) -> Result<(), Error> {
        if number == libc::SIGCHLD {
            return Ok(processes::reap_adopted(self.first.pid)?);
        }
        if number == libc::SIGINT {
            self.interrupt.set(Some(Interrupt::Signal));
        }
        match (number, &mut self.relay) {
            (libc::SIGWINCH, Some(relay)) => {
                relay.resize();
                return Ok(());
            }
            (libc::SIGCONT, Some(relay)) => relay.resume(),
            (libc::SIGINT | libc::SIGQUIT | libc::SIGTSTP, Some(relay))
                if !by_process && relay.signal(number) =>
            {
                return Ok(());
            }
            _ => {}
        }
        self.look_after_background();
        match (&self.program, number) {
            (Some(_), libc::SIGTSTP) => {
                self.signal_group(libc::SIGSTOP)?;
                self.stop_with_program()
            }
            (Some(_), libc::SIGCONT) => self.signal_group(libc::SIGCONT),
            (Some(program), _) => match program.pidfd.as_ref().map(|pidfd| signal_by(pidfd, number)) {
                // PID 1 passes it on: the program's number alone might be another's by now.
                None | Some(Err(Errno::ENOSYS)) => self.signal_first(number),
                Some(result) => ended_is_fine(result, "pidfd_send_signal"),
            },
            // Nothing has started yet that could take it: what would end the program ends the set-up.
            (None, libc::SIGTERM | libc::SIGINT | libc::SIGHUP | libc::SIGQUIT) => {
                self.kill_all()?;
                Err(Error::Interrupted { signal: number, by_process })
            }
            (None, _) => Ok(()),
        }
    }

    /// What is watched for the end of who stands for the program, if anybody is to be told of another.
    fn followed(&self) -> Option<&OwnedFd> {
        let program = self.program.as_ref().filter(|program| program.stand == Stand::Background)?;
        program.pidfd.as_ref().filter(|_| self.announcement.follows())
    }

    /// Sees to it that a signal reaches who stands for a program in the background now.
    fn look_after_background(&mut self) {
        if self.forking && self.program.as_ref().is_some_and(Running::has_ended) {
            self.succeed();
        }
    }

    /// The place of one that has ended goes to the oldest of those that PID 1 has inherited. An orphan is one before the end of its
    /// parent is told, so that none is missed here; if there is none, whoever comes later is found when there is a signal for it.
    fn succeed(&mut self) {
        match (processes::oldest_child(self.first.pid), &mut self.program) {
            (Some((pid, pidfd)), program) => {
                self.announcement.has_become(pid);
                let stand = Stand::Background;
                *program = Some(Running { pid, pidfd: Some(pidfd), stand, stopped: false });
            }
            (None, Some(program)) => (program.pidfd, program.stand) = (None, Stand::Ended),
            (None, None) => {}
        }
    }

    /// The program was stopped, by its terminal, by itself, by somebody else or by us: the caller's job stops with it, and continues it
    /// when continued.
    fn stop_with_program(&mut self) -> Result<(), Error> {
        if let Some(relay) = &mut self.relay {
            // What it wrote before it stopped is seen before the shell's prompt, or, if nobody reads so fast, when it goes on.
            let _is_late = relay.pass_held(self.budget.as_mut(), None, Some(Instant::now() + LAST_MOMENT))?;
            relay.suspend();
        }
        // The whole job: a shell takes it as stopped only when each of its processes is. Where there is no shell to continue it
        // (an orphaned process group, see setpgid(2)) the kernel discards the signal, and the program goes on at once.
        process::kill(0, libc::SIGTSTP).map_err(sys::Error::of("kill"))?;
        let blocked = signal::set_mask(SignalSet(!SignalSet::of(&[libc::SIGTSTP]).0))
            .map_err(sys::Error::of("rt_sigprocmask"))?;
        signal::set_mask(blocked).map_err(sys::Error::of("rt_sigprocmask"))?;
        if let Some(relay) = &mut self.relay {
            relay.resume();
        }
        self.signal_group(libc::SIGCONT)
    }

    /// Signals the program's process group: it leads one, see `NewProcessGroup`. Of one that has ended the number may be a stranger's by
    /// now; in the background another has taken its place, if there is one.
    fn signal_group(&mut self, number: i32) -> Result<(), Error> {
        self.look_after_background();
        match self.program.as_ref().filter(|program| !program.has_ended()) {
            Some(program) => ended_is_fine(process::kill(-program.pid, number), "kill"),
            None => Ok(()),
        }
    }

    /// Kills PID 1, and with it every process of its namespace.
    fn kill_all(&self) -> Result<(), Error> {
        let killed = self.signal_first(libc::SIGKILL);
        // SIGKILL waits for it, so that nothing runs any more.
        self.freezer.iter().for_each(cgroup::thaw);
        killed
    }

    /// Signals PID 1. Its number will do too: it is our child, and nobody else's until it has been waited for.
    fn signal_first(&self, number: i32) -> Result<(), Error> {
        match signal_by(&self.first.pidfd, number) {
            Err(Errno::ENOSYS) => ended_is_fine(process::kill(self.first.pid, number), "kill"),
            result => ended_is_fine(result, "pidfd_send_signal"),
        }
    }
}

impl Running {
    /// Whether it has ended, as far as can be told.
    fn has_ended(&self) -> bool {
        self.stand == Stand::Ended || self.pidfd.as_ref().is_some_and(has_ended)
    }
}

/// pidfd_send_signal(2), borrowing.
fn signal_by(pidfd: &OwnedFd, number: i32) -> Result<(), Errno> {
    process::signal_process(pidfd.as_fd(), number)
}

/// A process that has just ended needs no signal any more.
fn ended_is_fine(result: Result<(), Errno>, call: &'static str) -> Result<(), Error> {
    match result {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(sys::Error { call, errno }.into()),
    }
}

/// Also when the loop ends by an error, nothing of the jail is left behind.
impl Drop for Supervisor<'_> {
    fn drop(&mut self) {
        if !self.collected
            && let (Ok(()), Ok(_) | Err(_)) = (self.kill_all(), process::wait(self.first.pid))
        {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_for_a_jail_that_has_ended_is_no_failure() {
        let failed = || Err(sys::Error { call: "open", errno: Errno::ENOENT }.into());
        let first = process::clone(0, || {
            nix::unistd::pause();
            0
        })
        .unwrap();
        assert!(unless_ended(&first.pidfd, failed()).is_err());
        process::kill(first.pid, libc::SIGKILL).unwrap();
        while !has_ended(&first.pidfd) {
            std::thread::yield_now();
        }
        assert!(unless_ended(&first.pidfd, failed()).is_ok());
        process::wait(first.pid).unwrap();
    }
}
