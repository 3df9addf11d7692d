//! `run --detach`: the run goes on in the background, and the command returns when the program has been executed.

use std::fs::File;
use std::io::{PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::named_file;
use super::prepare::Result;
use crate::error::{self, Failure, exit};
use crate::report::diagnostic::Diagnostic;
use crate::sys::{self, process};

/// The way back to the command that the user has started.
pub(super) struct Background {
    caller: PipeWriter,
}

impl Background {
    /// The program has been executed: the command returns, and messages go to the log.
    pub(super) fn started(&self) {
        error::redirect(None);
        // A command that was killed waits for nothing.
        match (&self.caller).write_all(&[0]) {
            Ok(()) | Err(_) => {}
        }
    }
}

/// Does `run` in a process of its own, in a session of its own, with its output in the log, and waits until it says that its program
/// has started. Its exit code if it ends before.
pub(super) fn detached(log: Option<&str>, run: impl FnOnce(&Background) -> Result<u8>) -> Result<u8> {
    let failed = |call| move |errno| cannot(&sys::Error { call, errno }.to_string());
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).map_err(failed("open"))?;
    let output = match log {
        Some(path) => {
            let opened = open_log(Path::new(path));
            Some(opened.map_err(|errno| named_file::not_written("log", Path::new(path), &errno.into()))?)
        }
        None => None,
    };
    let messages = process::standard_descriptor(2).try_clone_to_owned().map(File::from);
    let messages = messages.map_err(|error| cannot(&error.to_string()))?;
    let (reader, writer) = std::io::pipe().map_err(|error| cannot(&error.to_string()))?;
    let background = Background { caller: writer };
    let child = process::clone(0, || {
        error::redirect(Some(messages));
        let gone = go(&null, output.as_ref().unwrap_or(&null)).map_err(|error| cannot(&error.to_string()));
        gone.and_then(|()| run(&background)).unwrap_or_else(|failure| failure.report()).into()
    })
    .map_err(failed("clone"))?;
    // The writing end was the child's alone.
    drop(background);
    let mut word = [0];
    if (&reader).read_exact(&mut word).is_ok() {
        return Ok(0);
    }
    let status = process::wait(child.pid).map_err(failed("wait4"))?;
    Ok(process::exit_code(status) as u8)
}

/// Out of the caller's session, and off its files.
fn go(null: &OwnedFd, output: &OwnedFd) -> std::result::Result<(), sys::Error> {
    process::new_session().map_err(sys::Error::of("setsid"))?;
    let onto = [(null, 0), (output, 1), (output, 2)];
    let mut each = onto.into_iter().map(|(file, fd)| process::duplicate_onto(file.as_fd(), fd));
    each.try_for_each(|done| done.map_err(sys::Error::of("dup2")))
}

/// Opens a log to append to.
fn open_log(path: &Path) -> std::result::Result<OwnedFd, Errno> {
    let mode = Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IRGRP;
    named_file::open_regular(path, OFlag::O_APPEND, mode)
}

/// The process that is to go on cannot be made.
fn cannot(why: &str) -> Failure {
    Failure::new(Diagnostic::error("cannot go into the background").why(why), exit::FAILED)
}
