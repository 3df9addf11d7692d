//! Writing to what the caller has given for output: a pipe, a socket, a terminal. It may be full for as long as its reader likes, and the
//! supervisor has time limits to keep and signals to pass on meanwhile. So it is written only when it has room, and what it had none for
//! is kept.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys::{Error, fs, process, signal, terminal};

/// Bytes that a pipe takes at once if it has any room, see pipe(7): `PIPE_BUF`. Sockets have as much when poll(2) says so.
const ATOMIC: usize = 4096;

/// The same of a terminal: the kernel gives a pty room by 256 bytes (drivers/tty/tty_buffer.c), and a line's end may become two.
const ATOMIC_TERMINAL: usize = 128;

/// One of the standard descriptors, and what is on its way there.
#[derive(Debug)]
pub(super) struct Stream {
    descriptor: i32,
    /// What there was no room for yet.
    pending: Vec<u8>,
    /// How much it takes at once, where the kernel cannot be told not to wait.
    atomic: Option<usize>,
}

/// What has come of waiting for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Waited {
    /// There may be some.
    Room,
    /// Time is over.
    Late,
    /// Somebody has asked for an end meanwhile.
    Ended,
}

impl Stream {
    /// Nothing is on its way.
    pub(super) const fn new(descriptor: i32) -> Self {
        Self { descriptor, pending: Vec::new(), atomic: None }
    }

    /// Whether something waits for room.
    pub(super) const fn is_full(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The room that is waited for, if so.
    pub(super) fn awaited(&self) -> Option<PollFd<'static>> {
        self.is_full().then(|| PollFd::new(self.to(), PollFlags::POLLOUT))
    }

    /// Sends this after what is pending, as far as there is room; whether there was for all.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<bool, Errno> {
        self.pending.extend_from_slice(bytes);
        self.flush()
    }

    /// Writes what there is room for; whether that was all. Of what cannot be written nothing is kept.
    pub(super) fn flush(&mut self) -> Result<bool, Errno> {
        let mut written = 0;
        while written < self.pending.len() {
            match self.write(written) {
                Ok(count) => written += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    self.pending.drain(..written);
                    return Ok(false);
                }
                Err(errno) => {
                    self.clear();
                    return Err(errno);
                }
            }
        }
        self.clear();
        Ok(true)
    }

    /// Forgets what is pending.
    pub(super) fn clear(&mut self) {
        self.pending.clear();
    }

    /// Waits until there is room, until a time is over, or until one of these signals asks for an end. The others that come meanwhile were
    /// for a program that has ended.
    pub(super) fn wait(
        &self,
        signals: Option<BorrowedFd<'_>>,
        until: Option<Instant>,
    ) -> Result<Waited, Error> {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let mut ready: Vec<_> = signals.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)).collect();
        ready.extend(self.awaited());
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut ready, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error { call: "poll", errno }),
        }
        if let Some(signals) = signals {
            while let Some((number, _)) = signal::next(signals).map_err(Error::of("read"))? {
                if [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT].contains(&number) {
                    return Ok(Waited::Ended);
                }
            }
        }
        Ok(if left.is_some_and(|left| left.is_zero()) { Waited::Late } else { Waited::Room })
    }

    fn to(&self) -> BorrowedFd<'static> {
        process::standard_descriptor(self.descriptor)
    }

    /// As much as there is room for of what follows so many bytes, without waiting and without making the caller's own descriptor one
    /// that does not wait.
    fn write(&mut self, from: usize) -> Result<usize, Errno> {
        let (to, bytes) = (self.to(), &self.pending[from..]);
        if self.atomic.is_none() {
            match fs::write_at_once(to, bytes) {
                // Pipes know that since Linux 6.4, terminals do not.
                Err(Errno::EOPNOTSUPP) => {
                    self.atomic = Some(if terminal::is_terminal(to) { ATOMIC_TERMINAL } else { ATOMIC });
                }
                // A file says so where it would wait for the disk, and poll(2) does not wait for that.
                Err(Errno::EAGAIN) => {}
                result => return result,
            }
        }
        let mut ready = [PollFd::new(to, PollFlags::POLLOUT)];
        if poll(&mut ready, PollTimeout::ZERO)? == 0 {
            return Err(Errno::EAGAIN);
        }
        // There is room for so much, unless somebody else fills it just now.
        let most = bytes.len().min(self.atomic.unwrap_or(ATOMIC));
        nix::unistd::write(to, &bytes[..most])
    }
}
