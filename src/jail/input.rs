//! A pipe of the caller's on its way to the program. The program has another pipe: its user owns the caller's, and could open it again by
//! /proc/self/fd/0 to write to it, which whoever reads after the program then takes for the caller's own words: a shell that has
//! its script from there would execute them. PID 1, which nobody inside takes hold of, passes on what comes.
//!
//! Nothing is taken from the caller that the program has not read, as a shell may go on with what is left: tee(2) copies a piece into
//! the program's pipe, which holds one, and only when that has been read is it taken out of the caller's.

use std::os::fd::{AsFd as _, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout};

use crate::sys::{Error, pipe, process};

/// The two pipes, in PID 1.
#[derive(Debug)]
pub(super) struct Input {
    from: OwnedFd,
    to: OwnedFd,
    /// What the program has been given of what is still in the caller's pipe.
    ahead: usize,
    /// Whether that is in several pieces, as the program has made its pipe larger: then it has room, read or not.
    is_crowded: bool,
}

/// How often it is looked whether those have been read, in milliseconds.
const GLANCE: u8 = 10;

impl Input {
    /// Puts a pipe in the place of standard input, which is the caller's.
    pub(super) fn open() -> Result<Self, Error> {
        let (theirs, to) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(Error::of("pipe2"))?;
        pipe::set_smallest(to.as_fd()).map_err(Error::of("fcntl"))?;
        let from = process::duplicate(0).map_err(Error::of("fcntl"))?;
        process::duplicate_onto(theirs.as_fd(), 0).map_err(Error::of("dup2"))?;
        Ok(Self { from, to, ahead: 0, is_crowded: false })
    }

    /// What is waited for: that the program has read what it was given, or that there is something to give; and always whether it
    /// has closed its end.
    pub(super) fn awaited(&self) -> [PollFd<'_>; 2] {
        let (from, to) = (self.from.as_fd(), self.to.as_fd());
        let awaited = match (self.ahead, self.is_crowded) {
            (0, _) => PollFd::new(from, PollFlags::POLLIN),
            (_, false) => PollFd::new(to, PollFlags::POLLOUT),
            (_, true) => PollFd::new(to, PollFlags::empty()),
        };
        [awaited, PollFd::new(to, PollFlags::empty())]
    }

    /// For how long.
    pub(super) fn timeout(&self) -> PollTimeout {
        if self.is_crowded { GLANCE.into() } else { PollTimeout::NONE }
    }

    /// Passes on what can be; whether there may be more.
    pub(super) fn pass(&mut self, is_closed: bool) -> bool {
        if is_closed {
            return false;
        }
        if self.ahead > 0 {
            if self.settle().is_err() {
                return false;
            }
            self.is_crowded = self.ahead > 0 && pipe::set_smallest(self.to.as_fd()).is_err();
            return true;
        }
        // It is empty now, so that this is refused only if the program has just written to it itself.
        self.is_crowded = pipe::set_smallest(self.to.as_fd()).is_err();
        match pipe::tee(self.from.as_fd(), self.to.as_fd()) {
            Ok(copied) => {
                self.ahead = copied;
                copied > 0
            }
            // Somebody else has read it.
            Err(errno) => [Errno::EAGAIN, Errno::EINTR].contains(&errno),
        }
    }

    /// Takes what the program has read out of the caller's pipe.
    #[inline(never)] // its buffer would else be touched on the stack of every start
    pub(super) fn settle(&mut self) -> Result<(), Errno> {
        let left = pipe::unread(self.to.as_fd())?.min(self.ahead);
        let mut buffer = [0; 4096];
        let mut read = self.ahead - left;
        self.ahead = left;
        while read > 0 {
            // Not what somebody else has taken meanwhile: it would be waited for.
            let there = pipe::unread(self.from.as_fd())?.min(read).min(buffer.len());
            if there == 0 {
                break;
            }
            read -= nix::unistd::read(&self.from, &mut buffer[..there])?.min(read);
        }
        Ok(())
    }
}
