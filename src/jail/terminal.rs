//! The program's own terminal. The host's is never given to it: through a descriptor of the host's terminal it could put
//! input into the shell that started it (TIOCSTI, CVE-2017-5226). The supervisor plays the terminal and passes bytes both ways.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::termios::Termios;

use super::output::Budget;
use super::stream::{Stream, Waited};
use crate::sys::terminal::{self, Pty};
use crate::sys::{Error, process};

/// Bytes that a terminal holds at most for who plays it, with room to spare: the kernel's buffer and what waits before it, see n_tty.c
/// and pty.c of drivers/tty.
const HELD: usize = 64 << 10;

/// A relay between the caller's terminal and the program's.
#[derive(Debug)]
pub(super) struct Relay {
    master: OwnedFd,
    /// The program's end; closed here once the child has it, so that its end can be seen.
    slave: Option<OwnedFd>,
    /// The caller's terminal for input, if standard input is one.
    input: Option<BorrowedFd<'static>>,
    /// The caller's terminal, where the program's output goes.
    output: BorrowedFd<'static>,
    /// What is on its way there. A terminal may be full for long, as one that is read over a network.
    shown: Stream,
    /// The modes of the caller's terminal, to be put back.
    saved: Option<Termios>,
    /// Whether the caller's terminal is raw now.
    raw: bool,
    /// Whether others have the caller's terminal as well, as a pager has behind the program in a pipeline: see [`Relay::follow`].
    shares: bool,
    /// What was typed and the program's terminal had no room for yet. Not waited for: the program may itself be waiting for its
    /// output to be taken.
    typed: Vec<u8>,
    /// Whether nobody has the program's terminal open any more, which then never comes back.
    closed: bool,
}

impl Relay {
    /// A new terminal for the standard descriptors in `onto`, owned by `owner`, with the modes and size of the caller's.
    pub(super) fn open(onto: &[i32], owner: u32) -> Result<Self, Error> {
        let Pty { master, slave } = terminal::open_pty()?;
        let input = onto.contains(&0).then(|| process::standard_descriptor(0));
        let descriptor = [1, 2].into_iter().find(|fd| onto.contains(fd)).unwrap_or(0);
        let output = process::standard_descriptor(descriptor);
        let modes = terminal::modes(output).map_err(Error::of("ioctl"))?;
        let shares = input.is_some() && !onto.contains(&1);
        match input {
            Some(_) if shares => terminal::set_modes(slave.as_fd(), &terminal::external(&modes)),
            Some(_) => terminal::set_modes(slave.as_fd(), &modes),
            // Nobody makes the caller's terminal raw then, and it adds the carriage returns itself.
            None => terminal::set_modes(slave.as_fd(), &terminal::raw(&modes)),
        }
        .map_err(Error::of("ioctl"))?;
        terminal::copy_size(output, slave.as_fd()).map_err(Error::of("ioctl"))?;
        // Only root may give it away; for an ordinary user the program's user is the caller outside.
        if nix::unistd::geteuid().is_root() {
            nix::unistd::fchown(&slave, Some(owner.into()), None).map_err(Error::of("fchown"))?;
        }
        let flags = nix::fcntl::OFlag::O_NONBLOCK;
        nix::fcntl::fcntl(&master, nix::fcntl::FcntlArg::F_SETFL(flags)).map_err(Error::of("fcntl"))?;
        let saved = input.map(|_| modes);
        Ok(Self {
            master,
            slave: Some(slave),
            input,
            output,
            shown: Stream::new(descriptor),
            saved,
            raw: false,
            shares,
            typed: Vec::new(),
            closed: false,
        })
    }

    /// The program's end, for the child.
    pub(super) fn slave(&self) -> Option<BorrowedFd<'_>> {
        self.slave.as_ref().map(OwnedFd::as_fd)
    }

    /// The child has the program's end: this process lets go of it and takes over the caller's terminal.
    pub(super) fn begin(&mut self) {
        self.slave = None;
        self.resume();
    }

    /// What it waits for: something to be shown, or room for what was typed. While the caller's terminal is full the program's is not
    /// read: its program is to wait.
    pub(super) fn awaited(&self) -> Option<PollFd<'_>> {
        let room = if self.typed.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
        match self.shown.awaited() {
            Some(full) if self.typed.is_empty() => Some(full),
            Some(_) => Some(PollFd::new(self.master.as_fd(), room)),
            None => (!self.closed).then(|| PollFd::new(self.master.as_fd(), PollFlags::POLLIN | room)),
        }
    }

    /// Room on the caller's terminal, if that is waited for.
    pub(super) fn room(&self) -> Option<PollFd<'_>> {
        self.shown.awaited()
    }

    /// Where to read what is typed, once the program has got what was typed before; not while another job has the terminal, which
    /// would stop this process (SIGTTIN).
    pub(super) fn input(&self) -> Option<BorrowedFd<'static>> {
        let is_ours = |input: &BorrowedFd<'_>| {
            self.raw || self.shares && is_foreground(*input) && terminal::is_canonical(*input)
        };
        self.input.filter(|_| self.typed.is_empty()).filter(is_ours)
    }

    /// Whether it is to be looked now and then who has the caller's terminal, and how: no signal tells.
    pub(super) fn is_watched(&self) -> bool {
        self.input.is_some() && (self.shares || !self.raw)
    }

    /// Makes the caller's terminal raw if this process is in its foreground, and passes its size on.
    pub(super) fn resume(&mut self) {
        self.resize();
        if self.shares {
            self.follow();
        } else if let (Some(input), Some(saved)) = (self.input, &self.saved) {
            self.raw = is_foreground(input) && terminal::set_modes(input, &terminal::raw(saved)).is_ok();
        }
    }

    /// Where others have the caller's terminal as well it stays as it is: it edits lines, its keys are signals, and what is written to it
    /// looks as it should. Lines are read from it while nobody has made it raw, and the program's terminal takes them as they are
    /// (`EXTPROC`). Only for a program that wants to see each key, or not to have them shown, it is raw for so long.
    fn follow(&mut self) {
        let Some(input) = self.input else { return };
        let Ok(own) = terminal::modes(self.master.as_fd()) else { return };
        let wants_keys = !terminal::is_usual(&own);
        let done = match terminal::modes(input) {
            Ok(callers)
                if wants_keys && !self.raw && is_foreground(input) && terminal::is_usual(&callers) =>
            {
                let raw = terminal::raw_input(&callers);
                self.saved = Some(callers);
                self.raw = terminal::set_modes(input, &raw).is_ok();
                terminal::set_external(self.master.as_fd(), &own, false)
            }
            _ if !wants_keys && self.raw => {
                self.suspend();
                terminal::set_external(self.master.as_fd(), &own, true)
            }
            _ => Ok(()),
        };
        // A program's terminal that has gone needs no modes.
        if done.is_err() {}
    }

    /// Passes a key's signal on that the caller's terminal has made of it; whether that is for this to do.
    pub(super) fn signal(&self, number: i32) -> bool {
        !self.raw && terminal::signal_foreground(self.master.as_fd(), number).is_ok()
    }

    /// Gives the caller's terminal back as it was.
    pub(super) fn suspend(&mut self) {
        if let (true, Some(input), Some(saved)) = (self.raw, self.input, &self.saved) {
            // A terminal that went away has no modes to put back.
            match terminal::set_modes(input, saved) {
                Ok(()) | Err(_) => self.raw = false,
            }
        }
    }

    /// Lets the keys of the caller's terminal be signals again, while lines that the program's has completed are still to be shown.
    fn return_keys(&mut self) {
        if self.shares {
            self.suspend();
        } else if let (true, Some(input), Some(saved)) = (self.raw, self.input, &self.saved) {
            // As above.
            match terminal::set_modes(input, &terminal::raw_output(saved)) {
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// The caller's window has a new size, or may have.
    pub(super) fn resize(&self) {
        // A terminal without a size (a serial line) keeps the program's at its default.
        match terminal::copy_size(self.output, self.master.as_fd()) {
            Ok(()) | Err(_) => {}
        }
    }

    /// Passes what was typed to the program; whether its terminal makes SIGINT of that. The end of the caller's terminal is passed on as a hang-up by its signal.
    #[inline(never)] // its buffer would else be touched on the stack of every start
    pub(super) fn pass_input(&mut self) -> Result<bool, Error> {
        let Some(input) = self.input() else { return Ok(false) };
        let mut buffer = [0; 4096];
        match nix::unistd::read(input, &mut buffer) {
            // Another job has got the terminal meanwhile.
            Err(Errno::EIO) if !is_foreground(input) => {
                self.raw = false;
                Ok(false)
            }
            // The key for the end of a file, which a terminal that has gone also looks like.
            Ok(0) if self.shares && !terminal::has_hung_up(input) => {
                let modes = terminal::modes(self.master.as_fd()).map_err(Error::of("ioctl"))?;
                self.typed.push(terminal::end_of_file(&modes));
                self.pass_input_on().map(|()| false)
            }
            Ok(0) | Err(Errno::EIO) => {
                self.input = None;
                Ok(false)
            }
            Ok(count) => {
                let interrupts = terminal::is_interrupt(self.master.as_fd(), &buffer[..count]);
                self.typed.extend_from_slice(&buffer[..count]);
                self.pass_input_on().map(|()| interrupts)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(false),
            Err(errno) => Err(Error { call: "read", errno }),
        }
    }

    /// Gives the program as much of what was typed as its terminal has room for.
    pub(super) fn pass_input_on(&mut self) -> Result<(), Error> {
        while !self.typed.is_empty() {
            match nix::unistd::write(&self.master, &self.typed) {
                Ok(count) => drop(self.typed.drain(..count)),
                // Nobody will read it.
                Err(Errno::EIO) => self.typed.clear(),
                Err(Errno::EAGAIN) if terminal::has_hung_up(self.master.as_fd()) => self.typed.clear(),
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
                Err(errno) => return Err(Error { call: "write", errno }),
            }
        }
        Ok(())
    }

    /// Passes what the program wrote and may to the caller: how many bytes it was, at most a buffer full; none when nothing is left, or
    /// there is no room for it.
    #[inline(never)] // its buffer would else be touched on the stack of every start
    pub(super) fn pass_output(&mut self, budget: Option<&mut Budget>) -> Result<usize, Error> {
        if !self.show(&[])? {
            return Ok(0);
        }
        let mut buffer = [0; 16384];
        loop {
            match nix::unistd::read(&self.master, &mut buffer) {
                Ok(0) | Err(Errno::EIO) => {
                    // The program goes on without a terminal; the caller's works as without a relay, so that its keys are signals.
                    self.closed = true;
                    self.suspend();
                    self.input = None;
                    return Ok(0);
                }
                Err(Errno::EAGAIN) => return Ok(0),
                Ok(count) => {
                    let allowed = budget.map_or(count, |budget| budget.take(count));
                    return self.show(&buffer[..allowed]).map(|_| count);
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error { call: "read", errno }),
            }
        }
    }

    /// Shows this as far as there is room; whether there was for all.
    fn show(&mut self, bytes: &[u8]) -> Result<bool, Error> {
        match self.shown.send(bytes) {
            // Nobody reads any more, as when the terminal's window was closed: its hang-up signal says so.
            Err(Errno::EIO | Errno::EPIPE) => Ok(true),
            result => result.map_err(Error::of("write")),
        }
    }

    /// Passes on all that the program's terminal holds now, as when the program has stopped or ended; whoever else has it may go on
    /// writing. Who reads the caller's is waited for until a time, or until one of these signals asks for an end; whether it still is when
    /// time is over.
    pub(super) fn pass_held(
        &mut self,
        mut budget: Option<&mut Budget>,
        signals: Option<BorrowedFd<'_>>,
        until: Option<Instant>,
    ) -> Result<bool, Error> {
        let mut passed = 0;
        while passed < HELD {
            match self.pass_output(budget.as_deref_mut())? {
                0 if !self.shown.is_full() => break,
                0 => {
                    self.return_keys();
                    match self.shown.wait(signals, until)? {
                        Waited::Room => {}
                        Waited::Late => return Ok(true),
                        Waited::Ended => break,
                    }
                }
                count => passed += count,
            }
        }
        Ok(false)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.suspend();
    }
}

/// Whether this process is in the terminal's foreground.
fn is_foreground(terminal: BorrowedFd<'_>) -> bool {
    nix::unistd::tcgetpgrp(terminal) == Ok(nix::unistd::getpgrp())
}
