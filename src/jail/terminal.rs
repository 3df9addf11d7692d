//! The program's own terminal. The host's is never given to it: through a descriptor of the host's terminal it could put
//! input into the shell that started it (TIOCSTI, CVE-2017-5226). The supervisor plays the terminal and passes bytes both ways.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::Termios;

use super::output::Budget;
use crate::sys::terminal::{self, Pty};
use crate::sys::{Error, process};

/// A relay between the caller's terminal and the program's.
#[derive(Debug)]
pub(super) struct Relay {
    master: OwnedFd,
    /// The program's end; closed here once the child has it, so that its end can be seen.
    slave: Option<OwnedFd>,
    /// The caller's terminal for input, if standard input is one.
    input: Option<BorrowedFd<'static>>,
    /// Where the program's output goes.
    output: BorrowedFd<'static>,
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
        let output =
            process::standard_descriptor([1, 2].into_iter().find(|fd| onto.contains(fd)).unwrap_or(0));
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

    /// The relay's own end, and what it waits for there.
    pub(super) fn master(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let room = if self.typed.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
        (!self.closed).then(|| (self.master.as_fd(), PollFlags::POLLIN | room))
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
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
                // Nobody will read it.
                Err(Errno::EIO) => self.typed.clear(),
                Err(errno) => return Err(Error { call: "write", errno }),
            }
        }
        Ok(())
    }

    /// Passes what the program wrote and may to the caller; `false` when nothing is left and nobody holds the other end.
    #[inline(never)] // its buffer would else be touched on the stack of every start
    pub(super) fn pass_output(&mut self, budget: Option<&mut Budget>) -> Result<bool, Error> {
        let mut buffer = [0; 16384];
        match nix::unistd::read(&self.master, &mut buffer) {
            Ok(0) | Err(Errno::EIO) => {
                // The program goes on without a terminal; the caller's works as without a relay, so that its keys are signals.
                self.closed = true;
                self.suspend();
                self.input = None;
                Ok(false)
            }
            Err(Errno::EAGAIN) => Ok(false),
            Ok(count) => {
                let count = budget.map_or(count, |budget| budget.take(count));
                write_all(self.output, &buffer[..count]).map(|()| true)
            }
            Err(Errno::EINTR) => Ok(true),
            Err(errno) => Err(Error { call: "read", errno }),
        }
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

/// write(2) until everything is written; a full terminal is waited for.
fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Error> {
    while !bytes.is_empty() {
        match nix::unistd::write(to, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EAGAIN) => {
                let mut ready = [PollFd::new(to, PollFlags::POLLOUT)];
                match poll(&mut ready, PollTimeout::NONE) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(errno) => return Err(Error { call: "poll", errno }),
                }
            }
            Err(Errno::EINTR) => {}
            // Nobody reads any more, as when the terminal's window was closed: its hang-up signal says so.
            Err(Errno::EIO | Errno::EPIPE) => return Ok(()),
            Err(errno) => return Err(Error { call: "write", errno }),
        }
    }
    Ok(())
}
