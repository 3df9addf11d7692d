//! The program's output on its way to a file of the caller's. The program has a pipe: with the file itself it could cut a log,
//! write over its earlier lines, or make it set-user-id. The supervisor writes what comes out of the pipe.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::sys::{Error, process};

/// Bytes that are passed on at once.
const PIECE: usize = 16 << 10;

/// Bytes that a pipe can be made to hold, see pipe(7): fs.pipe-max-size, which hardly anybody changes.
const LARGEST_PIPE: usize = 1 << 20;

/// One pipe and the file it leads to.
#[derive(Debug)]
pub(super) struct Output {
    /// The reading end, until the program has no writing end any more, or the file takes nothing any more.
    pipe: Option<OwnedFd>,
    /// The standard descriptor whose file is written: of several that share a pipe the first.
    descriptor: i32,
    /// Why the file takes nothing any more.
    failed: Option<Errno>,
    /// The program's own limit on the size of files, if the caller's is no lower: what is written for it counts as its own.
    limit: Option<u64>,
}

impl Output {
    /// A pipe in the place of the descriptors in `onto`, owned by `owner`: its other end is for the child.
    pub(super) fn open(onto: &[i32], owner: u32, limit: Option<u64>) -> Result<(Self, OwnedFd), Error> {
        let (ours, theirs) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(Error::of("pipe2"))?;
        fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(Error::of("fcntl"))?;
        // So that the program can open /dev/stdout, which its mode allows to the owner alone. Only root may give it away; for an
        // ordinary user the program's user is the caller outside.
        if nix::unistd::geteuid().is_root() {
            nix::unistd::fchown(&theirs, Some(owner.into()), None).map_err(Error::of("fchown"))?;
        }
        let descriptor = onto.first().copied().unwrap_or(1);
        let (callers, _) = getrlimit(Resource::RLIMIT_FSIZE).map_err(Error::of("getrlimit"))?;
        let limit = limit.filter(|own| *own <= callers);
        Ok((Self { pipe: Some(ours), descriptor, failed: None, limit }, theirs))
    }

    /// Where there may be something to be passed on.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(OwnedFd::as_fd)
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

    /// Passes on what is there, at most a buffer full; `false` when nothing is left.
    #[inline(never)] // its buffer would else be touched on the stack of every start
    pub(super) fn pass(&mut self) -> Result<bool, Error> {
        let Some(pipe) = &self.pipe else { return Ok(false) };
        let mut buffer = [0; PIECE];
        match nix::unistd::read(pipe, &mut buffer) {
            Ok(0) => {
                self.pipe = None;
                Ok(false)
            }
            Ok(count) => {
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

    /// Passes on what is left when the jail has ended. Not more than a pipe holds: the program may have given its end to somebody
    /// outside, who goes on writing.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        for _ in 0..LARGEST_PIPE / PIECE {
            if !self.pass()? {
                break;
            }
        }
        self.pipe = None;
        Ok(())
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
