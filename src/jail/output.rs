//! The program's output on its way to a file of the caller's. The program has a pipe: with the file itself it could cut a log,
//! write over its earlier lines, or make it set-user-id. The supervisor writes what comes out of the pipe.
//!
//! Where output is limited, what goes to the caller's pipes, sockets and devices comes this way as well. Such a stream may be full
//! for as long as its reader likes, so it is written only when it has room: the supervisor has time limits to keep meanwhile.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::sys::{Error, fs, process, signal};

/// Bytes that are passed on at once.
const PIECE: usize = 16 << 10;

/// Bytes of the first look: a program that writes little, or nothing, does not cost the memory for more.
const FIRST_PIECE: usize = 512;

/// Bytes that a pipe can be made to hold, see pipe(7): fs.pipe-max-size, which hardly anybody changes.
const LARGEST_PIPE: usize = 1 << 20;

/// Bytes that a pipe takes at once if it has any room, see pipe(7): PIPE_BUF.
const ATOMIC: usize = 4096;

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
    /// Whether that is no file, but may have no room.
    is_stream: bool,
    /// Whether the program has written more than a little at once.
    is_busy: bool,
    /// What a stream had no room for yet.
    pending: Vec<u8>,
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
            Self { pipe, descriptor, is_stream, is_busy: false, pending: Vec::new(), failed: None, limit },
            theirs,
        ))
    }

    /// What is waited for: room where it goes, or something to be passed on.
    pub(super) fn awaited(&self) -> Option<PollFd<'_>> {
        if !self.pending.is_empty() {
            return Some(PollFd::new(process::standard_descriptor(self.descriptor), PollFlags::POLLOUT));
        }
        self.pipe.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN))
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
        if !self.pending.is_empty() {
            return Ok(self.flush());
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
                    self.pending.extend_from_slice(&buffer[..count]);
                    return Ok(self.flush());
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
    fn flush(&mut self) -> bool {
        let stream = process::standard_descriptor(self.descriptor);
        while !self.pending.is_empty() {
            match write_at_once(stream, &self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return false,
                Err(errno) => {
                    // Whose reader has gone the program sees itself: it has a pipe without a reader, too.
                    self.failed =
                        Some(errno).filter(|errno| ![Errno::EPIPE, Errno::ECONNRESET].contains(errno));
                    self.pending.clear();
                    self.close();
                }
            }
        }
        self.pipe.is_some()
    }

    /// Passes on what is left when the jail has ended. Not more than a pipe holds: the program may have given its end to somebody
    /// outside, who goes on writing. A stream's reader is waited for; whether it still is when time is over.
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
            } else if self.pending.is_empty() {
                break;
            } else {
                is_late = self.wait_for_reader(signals, until)?;
            }
        }
        self.pipe = None;
        Ok(is_late)
    }

    /// Waits until a stream has room, or time is over: whether it is. What asks for an end meanwhile ends the waiting as well, and what
    /// was not read has failed.
    fn wait_for_reader(&mut self, signals: BorrowedFd<'_>, until: Option<Instant>) -> Result<bool, Error> {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let stream = process::standard_descriptor(self.descriptor);
        let mut ready = [PollFd::new(stream, PollFlags::POLLOUT), PollFd::new(signals, PollFlags::POLLIN)];
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut ready, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error { call: "poll", errno }),
        }
        while let Some((number, _)) = signal::next(signals).map_err(Error::of("read"))? {
            if [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT].contains(&number) {
                self.failed = Some(Errno::EINTR);
                self.pending.clear();
                self.close();
            }
        }
        Ok(left.is_some_and(|left| left.is_zero()))
    }

    /// The descriptor whose file could not be written, and why, if that is not the program's own limit.
    pub(super) fn failure(&self) -> Option<(i32, Error)> {
        self.failed.filter(|_| !self.is_over()).map(|errno| (self.descriptor, Error { call: "write", errno }))
    }
}

/// As much as a stream has room for, without waiting and without making the caller's own descriptor one that does not wait.
fn write_at_once(stream: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    match fs::write_at_once(stream, bytes) {
        // Pipes know that since Linux 6.4. One that has any room has it for so much, unless somebody else fills it just now.
        Err(Errno::EOPNOTSUPP) => {
            let mut ready = [PollFd::new(stream, PollFlags::POLLOUT)];
            match poll(&mut ready, PollTimeout::ZERO)? {
                0 => Err(Errno::EAGAIN),
                _ => nix::unistd::write(stream, &bytes[..bytes.len().min(ATOMIC)]),
            }
        }
        result => result,
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
