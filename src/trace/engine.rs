//! The loop: waits for whatever a traced thread, a child beside them, the clock or the user does, and lets threads go on.

use std::collections::{HashSet, VecDeque};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;

use super::launch::Child;
use super::watch::Watch;
use super::{Command, Error, Seen};
use crate::sys::ptrace::{self, Report, Tick, option};
use crate::sys::signal::{self, SignalSet};
use crate::sys::{Error as CallError, process};

/// How often the clock and signals are looked at while nothing happens.
const TICK: Duration = Duration::from_millis(50);
/// What ends a command; passed on instead.
const ENDING: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];
const OPTIONS: u64 =
    option::SYSCALL_BIT | option::CHILDREN | option::EXEC | option::SECCOMP | option::KILLED_WITH_TRACER;
/// `PTRACE_EVENT_STOP`, which libc has for glibc alone.
const EVENT_STOP: i32 = 128;

/// What [`Tracer::run`] came back for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The time is up.
    Deadline,
    /// This process got a signal that would have ended it. From a terminal, the program has got it as well; otherwise it was passed
    /// on to the program.
    Signal(i32),
    /// The jail's program has been executed, see [`Command::jail`].
    Entered,
    /// The program has ended; what it has started may still run.
    Ended(ExitStatus),
    /// No traced process is left.
    AllEnded,
    /// A child beside them has ended.
    Beside(u32, ExitStatus),
}

/// A traced program.
#[derive(Debug)]
pub struct Tracer {
    watch: Watch,
    /// The first process.
    first: i32,
    /// How it ended.
    ended: Option<ExitStatus>,
    /// How the process ended that ended last.
    last: Option<ExitStatus>,
    /// Threads that stopped before the one that made them said so.
    early: HashSet<i32>,
    /// Those of them that have ended already.
    stillborn: HashSet<i32>,
    /// Children that are not traced.
    beside: HashSet<i32>,
    happened: VecDeque<Happened>,
    executed: bool,
    looked: Instant,
    signals: SignalSet,
    mask: SignalSet,
    _tick: Tick,
}

impl Tracer {
    /// Starts a program under trace; back when it has been executed.
    pub fn start(command: &Command) -> Result<Self, Error> {
        let kept = |signal: &i32| !signal::is_ignored(*signal).unwrap_or(false);
        let signals = ENDING.into_iter().filter(kept).fold(SignalSet::EMPTY, SignalSet::with);
        let failed = CallError::of("rt_sigprocmask");
        let mask = signal::set_mask(signals).map_err(&failed)?;
        signal::set_mask(SignalSet(mask.0 | signals.0)).map_err(&failed)?;
        let mut child = Child::make(command, mask)?;
        let mut tracer = Self {
            watch: Watch::new(command.jail).map_err(CallError::of("openat"))?,
            first: child.pid,
            ended: None,
            last: None,
            early: HashSet::new(),
            stillborn: HashSet::new(),
            beside: HashSet::new(),
            happened: VecDeque::new(),
            executed: false,
            looked: Instant::now(),
            signals,
            mask,
            _tick: Tick::every(TICK).map_err(CallError::of("timer_create"))?,
        };
        ptrace::seize(child.pid, OPTIONS).map_err(CallError::of("ptrace"))?;
        tracer.watch.first(child.pid);
        child.release()?;
        tracer.watch.record.begin();
        while !tracer.executed {
            tracer.next()?;
            if tracer.ended.is_some() {
                return Err(child.failure());
            }
        }
        Ok(tracer)
    }

    /// Starts a child that is not traced; [`Self::run`] tells when it has ended, and nobody else may wait for it.
    pub fn beside(&mut self, command: &mut std::process::Command) -> std::io::Result<u32> {
        let child = command.spawn()?;
        self.beside.insert(child.id() as i32);
        Ok(child.id())
    }

    /// Goes on until something happens. With nothing left to wait for that is [`Happened::AllEnded`], again and again.
    pub fn run(&mut self, deadline: Option<Instant>) -> Result<Happened, Error> {
        loop {
            if let Some(happened) = self.happened.pop_front() {
                return Ok(happened);
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Ok(Happened::Deadline);
            }
            if now - self.looked >= TICK {
                self.looked = now;
                self.pass_signal_on();
                continue;
            }
            self.next()?;
        }
    }

    /// Ends everything: asks the program with SIGTERM, after half the time all that is left, and kills what is left after it. A
    /// signal from the user ends the waiting. Children beside are not waited for. Whether SIGTERM
    /// did not do: the program goes on in the second half, or what it left behind after it.
    pub fn stop(&mut self, grace: Duration) -> Result<bool, Error> {
        let began = Instant::now();
        let alone = self.ended.is_none();
        if alone {
            let _ = process::kill(self.first, libc::SIGTERM);
            let _ = process::kill(self.first, libc::SIGCONT);
            self.run_down(began + grace / 2)?;
        }
        let slow = alone && self.ended.is_none();
        self.signal_all(libc::SIGTERM);
        self.signal_all(libc::SIGCONT);
        self.run_down(began + grace)?;
        let slow = slow || !alone && !self.watch.is_empty();
        while !self.watch.is_empty() {
            self.signal_all(libc::SIGKILL);
            self.run_down(Instant::now() + TICK)?;
        }
        Ok(slow)
    }

    /// How the program ended, if it has.
    pub fn status(&self) -> Option<ExitStatus> {
        self.ended
    }

    /// How the process ended that ended last.
    pub fn last_status(&self) -> Option<ExitStatus> {
        self.last
    }

    /// What was seen. What still runs is killed.
    pub fn finish(mut self) -> Result<Seen, Error> {
        self.stop(Duration::ZERO)?;
        Ok(self.watch.finish())
    }

    /// Waits until none is left, or so long.
    fn run_down(&mut self, until: Instant) -> Result<(), Error> {
        while !self.watch.is_empty() {
            match self.run(Some(until))? {
                Happened::Deadline | Happened::Signal(_) | Happened::AllEnded => return Ok(()),
                Happened::Ended(_) | Happened::Beside(..) | Happened::Entered => {}
            }
        }
        Ok(())
    }

    /// Sends a signal to every process; one that has just ended needs none.
    fn signal_all(&self, signal: i32) {
        for process in self.watch.processes() {
            let _ = process::kill(process, signal);
        }
    }

    /// A signal that this process has got.
    fn pass_signal_on(&mut self) {
        if let Some((signal, from_process)) = ptrace::take_signal(self.signals) {
            if from_process && self.ended.is_none() {
                let _ = process::kill(self.first, signal);
            }
            self.happened.push_back(Happened::Signal(signal));
        }
    }

    /// The next report, or a tick.
    fn next(&mut self) -> Result<(), Error> {
        match ptrace::wait() {
            Ok(report) => match self.report(report) {
                // It has been killed in the meantime, which is reported next.
                Ok(()) | Err(CallError { errno: Errno::ESRCH, .. }) => {}
                Err(error) => return Err(error.into()),
            },
            Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => self.happened.push_back(Happened::AllEnded),
            Err(errno) => return Err(CallError { call: "wait4", errno }.into()),
        }
        Ok(())
    }

    fn report(&mut self, Report { pid, status }: Report) -> Result<(), CallError> {
        if !libc::WIFSTOPPED(status) {
            self.over(pid, status);
            return Ok(());
        }
        if !self.watch.knows(pid) {
            // It goes on when it is known whose it is.
            self.early.insert(pid);
            return Ok(());
        }
        let failed = CallError::of("ptrace");
        let signal = libc::WSTOPSIG(status);
        match status >> 16 {
            libc::PTRACE_EVENT_SECCOMP => {
                let info = ptrace::call_info(pid).map_err(failed)?;
                self.watch.stopped(pid, &info);
                self.go_on(pid, 0)
            }
            event @ (libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE) => {
                let child = ptrace::event_message(pid).map_err(failed)?;
                if !self.stillborn.remove(&child) {
                    self.watch.born(pid, child, event != libc::PTRACE_EVENT_CLONE);
                    if self.early.remove(&child) {
                        match self.go_on(child, 0) {
                            // Killed in the meantime, which is reported next.
                            Ok(()) | Err(CallError { errno: Errno::ESRCH, .. }) => {}
                            failed => return failed,
                        }
                    }
                }
                self.go_on(pid, 0)
            }
            libc::PTRACE_EVENT_EXEC => {
                let before = ptrace::event_message(pid).map_err(&failed)?;
                if before != pid {
                    self.watch.renamed(before, pid);
                }
                let info = ptrace::call_info(pid).map_err(failed)?;
                if self.watch.executed(pid, &info) {
                    self.happened.push_back(Happened::Entered);
                }
                self.executed = true;
                self.go_on(pid, 0)
            }
            // A signal has stopped its process; it is woken up by SIGCONT.
            EVENT_STOP if signal != libc::SIGTRAP => ptrace::listen(pid).map_err(failed),
            0 if signal == libc::SIGTRAP | 0x80 => {
                let info = ptrace::call_info(pid).map_err(failed)?;
                self.watch.stopped(pid, &info);
                self.go_on(pid, 0)
            }
            0 => self.go_on(pid, signal),
            _ => self.go_on(pid, 0),
        }
    }

    /// A thread goes on, to the end of its call if that is of interest.
    fn go_on(&self, pid: i32, signal: i32) -> Result<(), CallError> {
        let result = if self.watch.is_pending(pid) {
            ptrace::go_on_to_call(pid, signal)
        } else {
            ptrace::go_on(pid, signal)
        };
        result.map_err(CallError::of("ptrace"))
    }

    /// A thread or a child has ended.
    fn over(&mut self, pid: i32, status: i32) {
        let status = ExitStatus::from_raw(status);
        if self.beside.remove(&pid) {
            self.happened.push_back(Happened::Beside(pid as u32, status));
            return;
        }
        if !self.watch.knows(pid) {
            self.early.remove(&pid);
            self.stillborn.insert(pid);
            return;
        }
        if self.watch.process(pid) == pid {
            self.last = Some(status);
        }
        self.watch.gone(pid);
        if pid == self.first {
            self.ended = Some(status);
            self.happened.push_back(Happened::Ended(status));
        }
        if self.watch.is_empty() {
            self.happened.push_back(Happened::AllEnded);
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // The kernel kills what is traced when this process ends; if it goes on, that is up to us.
        self.signal_all(libc::SIGKILL);
        // Fails for a wrong `how` only.
        let _ = signal::set_mask(self.mask);
    }
}
