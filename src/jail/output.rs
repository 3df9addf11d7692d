//! The program's output on its way to a file of the caller's. The program has a pipe: with the file itself it could cut a log,
//! write over its earlier lines, or make it set-user-id. The supervisor writes what comes out of the pipe.
//!
//! Where output is limited, what goes to the caller's pipes, sockets and devices comes this way as well: see stream.rs.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::stream::{Stream, Waited};
use crate::sys::{Error, process};

/// Bytes that are passed on at once.
const PIECE: usize = 16 << 10;

/// Bytes of the first look: a program that writes little, or nothing, does not cost the memory for more.
const FIRST_PIECE: usize = 512;

/// Bytes that a pipe can be made to hold, see pipe(7): fs.pipe-max-size, which hardly anybody changes.
const LARGEST_PIPE: usize = 1 << 20;

/// How much the program may write yet, by whatever descriptor.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
    is_exceeded: bool,
}

impl Budget {
    /// So many bytes.
    pub(super) fn of(left: u64) -> Self {
        Self { left, is_exceeded: false }
    }

    /// How much of what was written is to be passed on.
    pub(super) fn take(&mut self, count: usize) -> usize {
        let taken = self.left.min(count as u64);
        self.left -= taken;
        self.is_exceeded |= taken < count as u64;
        taken as usize
    }

    /// Whether more was written.
    pub(super) fn is_exceeded(&self) -> bool {
        self.is_exceeded
    }
}

/// One pipe and the file or stream it leads to.
#[derive(Debug)]
pub(super) struct Output {
    /// The reading end, until the program has no writing end any more, or the file takes nothing any more.
    pipe: Option<OwnedFd>,
    /// The standard descriptor whose file is written: of several that share a pipe the first.
    descriptor: i32,
    /// Whether that is a stream: no file, but what may have no room.
    is_stream: bool,
    /// Whether the program has written more than a little at once.
    is_busy: bool,
    /// What is on its way there, if that is one.
    stream: Stream,
    /// Why the file takes nothing any more.
    failed: Option<Errno>,
    /// The program's own limit on the size of files, if the caller's is no lower: what is written for it counts as its own.
    limit: Option<u64>,
}

impl Output {
    /// A pipe in the place of the descriptors in `onto`, owned by `owner`: its other end is for the child.
    pub(super) fn open(
        (onto, is_stream): &(Vec<i32>, bool),
        owner: u32,
        limit: Option<u64>,
    ) -> Result<(Self, OwnedFd), Error> {
        let (ours, theirs) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(Error::of("pipe2"))?;
        fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(Error::of("fcntl"))?;
        // So that the program can open /dev/stdout, which its mode allows to the owner alone. Only root may give it away; for an
        // ordinary user the program's user is the caller outside.
        if nix::unistd::geteuid().is_root() {
            nix::unistd::fchown(&theirs, Some(owner.into()), None).map_err(Error::of("fchown"))?;
        }
        let descriptor = onto.first().copied().unwrap_or(1);
        let (callers, _) = getrlimit(Resource::RLIMIT_FSIZE).map_err(Error::of("getrlimit"))?;
        let limit = limit.filter(|own| *own <= callers && !is_stream);
        let (pipe, is_stream) = (Some(ours), *is_stream);
        Ok((
            Self {
                pipe,
                descriptor,
                is_stream,
                is_busy: false,
                stream: Stream::new(descriptor),
                failed: None,
                limit,
            },
            theirs,
        ))
    }

    /// What is waited for: room where it goes, or something to be passed on.
    pub(super) fn awaited(&self) -> Option<PollFd<'_>> {
        let piped = || self.pipe.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
        self.stream.awaited().or_else(piped)
    }

    /// Whether the program has written more than its limit lets a file be.
    pub(super) fn is_over(&self) -> bool {
        self.limit.is_some() && self.failed == Some(Errno::EFBIG)
    }

    /// The same, and it has not been told.
    pub(super) fn is_full(&self) -> bool {
        self.is_over() && self.pipe.is_some()
    }

    /// The program sees a pipe without a reader, as from `program | head`.
    pub(super) fn close(&mut self) {
        self.pipe = None;
    }

    /// Passes on what is there and may be, at most a buffer full; `false` when nothing is left, or there is no room for it.
    pub(super) fn pass(&mut self, budget: Option<&mut Budget>) -> Result<bool, Error> {
        if self.is_busy { self.pass_piece::<PIECE>(budget) } else { self.pass_piece::<FIRST_PIECE>(budget) }
    }

    /// The same with a buffer of so many bytes.
    #[inline(never)] // else the larger one would be touched on the stack of every start
    fn pass_piece<const SIZE: usize>(&mut self, budget: Option<&mut Budget>) -> Result<bool, Error> {
        if self.stream.is_full() {
            return Ok(self.send(&[]));
        }
        let Some(pipe) = &self.pipe else { return Ok(false) };
        let mut buffer = [0; SIZE];
        match nix::unistd::read(pipe, &mut buffer) {
            Ok(0) => {
                self.pipe = None;
                Ok(false)
            }
            Ok(count) => {
                self.is_busy |= count == SIZE;
                let count = budget.map_or(count, |budget| budget.take(count));
                if self.is_stream {
                    return Ok(self.send(&buffer[..count]));
                }
                let file = process::standard_descriptor(self.descriptor);
                let written =
                    FileSize::limit(self.limit).and_then(|_limit| write_all(file, &buffer[..count]));
                if let Err(errno) = written {
                    self.failed = Some(errno);
                    if !self.is_full() {
                        self.close();
                    }
                }
                Ok(self.failed.is_none())
            }
            Err(Errno::EAGAIN) => Ok(false),
            Err(Errno::EINTR) => Ok(true),
            Err(errno) => Err(Error { call: "read", errno }),
        }
    }

    /// Writes to a stream what it has room for; whether that was all.
    fn send(&mut self, bytes: &[u8]) -> bool {
        match self.stream.send(bytes) {
            Ok(is_all) => is_all && self.pipe.is_some(),
            Err(errno) => {
                // Whose reader has gone the program sees itself: it has a pipe without a reader, too.
                self.failed = Some(errno).filter(|errno| ![Errno::EPIPE, Errno::ECONNRESET].contains(errno));
                self.close();
                false
            }
        }
    }

    /// Passes on what is left when the jail has ended. Not more than a pipe holds: the program may have given its end to somebody
    /// outside, who goes on writing. A stream's reader is waited for; whether it still is when time is over. What asks for an end
    /// meanwhile ends the waiting as well, and what was not read has failed.
    pub(super) fn finish(
        &mut self,
        mut budget: Option<&mut Budget>,
        signals: BorrowedFd<'_>,
        until: Option<Instant>,
    ) -> Result<bool, Error> {
        // The first may be a small one.
        let (mut pieces, mut is_late) = (1 + LARGEST_PIPE / PIECE, false);
        while pieces > 0 && !is_late {
            if self.pass(budget.as_deref_mut())? {
                pieces -= 1;
            } else if !self.stream.is_full() {
                break;
            } else {
                match self.stream.wait(Some(signals), until)? {
                    Waited::Room => {}
                    Waited::Late => is_late = true,
                    Waited::Ended => {
                        self.failed = Some(Errno::EINTR);
                        self.stream.clear();
                        self.close();
                    }
                }
            }
        }
        self.pipe = None;
        Ok(is_late)
    }

    /// The descriptor whose file could not be written, and why, if that is not the program's own limit.
    pub(super) fn failure(&self) -> Option<(i32, Error)> {
        self.failed.filter(|_| !self.is_over()).map(|errno| (self.descriptor, Error { call: "write", errno }))
    }
}

/// write(2) until everything is written.
fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match nix::unistd::write(to, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// The program's limit on the size of files, held by the supervisor as well for as long as this lives.
struct FileSize {
    before: (u64, u64),
}

impl FileSize {
    /// Lowers the supervisor's own limit, if the program has one.
    fn limit(soft: Option<u64>) -> Result<Option<Self>, Errno> {
        let Some(soft) = soft else { return Ok(None) };
        let before = getrlimit(Resource::RLIMIT_FSIZE)?;
        setrlimit(Resource::RLIMIT_FSIZE, soft, before.1)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for FileSize {
    fn drop(&mut self) {
        // Back to what was allowed before: cannot fail.
        match setrlimit(Resource::RLIMIT_FSIZE, self.before.0, self.before.1) {
            Ok(()) | Err(_) => {}
        }
    }
}
