//! The child that becomes the traced program: it waits until it is seized, installs the filter, executes.

use std::ffi::{CString, OsStr, OsString};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc::sock_filter;

use super::calls::Calls;
use super::{Command, Error};
use crate::sys::process::{self, PointerArray};
use crate::sys::signal::{self, SignalSet};
use crate::sys::{Error as CallError, seccomp};

/// Where a shell looks that has no `PATH`, see execvp(3).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A child that waits.
pub(super) struct Child {
    pub pid: i32,
    /// The program that it will execute.
    program: PathBuf,
    directory: Option<PathBuf>,
    channel: UnixStream,
}

/// Where the child failed.
const DIRECTORY: u8 = 1;
const FILTER: u8 = 2;
const EXECUTE: u8 = 3;
const GROUP: u8 = 4;

/// Everything the child needs, made before it.
struct Prepared {
    program: CString,
    arguments: PointerArray,
    environment: PointerArray,
    directory: Option<CString>,
    filter: Vec<sock_filter>,
    mask: SignalSet,
    own_group: bool,
}

impl Child {
    /// Makes it. `mask`: the signals that it shall have blocked.
    pub(super) fn make(command: &Command, mask: SignalSet) -> Result<Self, Error> {
        let name = command.arguments.first().ok_or(Error::Empty)?;
        let program = find(command, name)?;
        let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(|_| Error::Nul);
        let variable = |(name, value): (OsString, OsString)| {
            let mut both = name;
            both.push("=");
            both.push(value);
            text(&both)
        };
        let environment = command.environment.clone().unwrap_or_else(|| std::env::vars_os().collect());
        let arguments: Result<_, Error> = command.arguments.iter().map(|argument| text(argument)).collect();
        let environment: Result<_, Error> = environment.into_iter().map(variable).collect();
        let filter = if command.jail.is_some() { Vec::new() } else { Calls::filter() };
        let prepared = Prepared {
            program: text(program.as_os_str())?,
            arguments: PointerArray::new(arguments?),
            environment: PointerArray::new(environment?),
            directory: command.directory.as_deref().map(|path| text(path.as_os_str())).transpose()?,
            filter: filter
                .iter()
                .map(|each| sock_filter {
                    code: each.code,
                    jt: each.then,
                    jf: each.otherwise,
                    k: each.operand,
                })
                .collect(),
            mask,
            own_group: !has_terminal(),
        };
        let failed = |error: std::io::Error| {
            let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
            CallError { call: "socketpair", errno }
        };
        let (channel, inner) = UnixStream::pair().map_err(failed)?;
        let child = process::clone(0, || {
            // The parent's end, so that its death is seen.
            let _ = process::close(std::os::fd::AsRawFd::as_raw_fd(&channel));
            run(&prepared, &inner)
        });
        let child = child.map_err(CallError::of("clone"))?;
        drop(inner);
        Ok(Self { pid: child.pid, program, directory: command.directory.clone(), channel })
    }

    /// It is seized and may go on.
    pub(super) fn release(&mut self) -> Result<(), Error> {
        self.channel.write_all(&[0]).map_err(|error| {
            CallError { call: "write", errno: Errno::from_raw(error.raw_os_error().unwrap_or(0)) }.into()
        })
    }

    /// Why it ended without having executed anything.
    pub(super) fn failure(mut self) -> Error {
        let mut report = [0; 5];
        if self.channel.read_exact(&mut report).is_err() {
            return CallError { call: "execve", errno: Errno::ESRCH }.into();
        }
        let errno = Errno::from_raw(i32::from_ne_bytes([report[1], report[2], report[3], report[4]]));
        match report[0] {
            DIRECTORY => Error::Directory(self.directory.unwrap_or_default(), errno),
            FILTER => CallError { call: "seccomp", errno }.into(),
            GROUP => CallError { call: "setpgid", errno }.into(),
            _ => Error::Execute(self.program, errno),
        }
    }
}

/// What the child does; it allocates nothing.
fn run(prepared: &Prepared, channel: &UnixStream) -> i32 {
    let mut byte = [0];
    if !matches!(nix::unistd::read(channel, &mut byte), Ok(1)) {
        return 0;
    }
    let (step, errno) = match prepare(prepared) {
        Err(failed) => failed,
        Ok(()) => (EXECUTE, process::execve(&prepared.program, &prepared.arguments, &prepared.environment)),
    };
    let number = (errno as i32).to_ne_bytes();
    let report = [step, number[0], number[1], number[2], number[3]];
    // If this fails the parent finds no report.
    let _ = nix::unistd::write(channel.as_fd(), &report);
    127
}

/// Whether this process has a controlling terminal, see tty(4): ENXIO without.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// All before execve(2).
fn prepare(prepared: &Prepared) -> Result<(), (u8, Errno)> {
    // A daemon may end all of its process group with itself, as the prefork server of Apache does: not the caller's script. At a
    // terminal it stays in the group that reads the keys, which is a job of its own there.
    if prepared.own_group {
        process::new_process_group().map_err(|errno| (GROUP, errno))?;
    }
    if let Some(directory) = &prepared.directory {
        nix::unistd::chdir(directory.as_c_str()).map_err(|errno| (DIRECTORY, errno))?;
    }
    signal::set_mask(prepared.mask).map_err(|errno| (FILTER, errno))?;
    if prepared.filter.is_empty() {
        return Ok(());
    }
    match seccomp::install(&prepared.filter) {
        // Not root: set-user-id programs lose their rights, or the kernel would not take it.
        Err(Errno::EACCES) => process::set_no_new_privileges()
            .and_then(|()| seccomp::install(&prepared.filter))
            .map_err(|errno| (FILTER, errno)),
        done => done.map_err(|errno| (FILTER, errno)),
    }
}

/// The program's path. Looked for here, so that the places where it is not do not become part of what was seen.
fn find(command: &Command, name: &OsStr) -> Result<PathBuf, Error> {
    if name.as_bytes().contains(&b'/') {
        return Ok(name.into());
    }
    let path = match &command.environment {
        Some(variables) => variables.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone()),
        None => std::env::var_os("PATH"),
    };
    let is_program = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let directory = |path: PathBuf| match &command.directory {
        Some(directory) => directory.join(path),
        None => path,
    };
    std::env::split_paths(&path.unwrap_or_else(|| DEFAULT_PATH.into()))
        .map(|place| directory(place).join(name))
        .find(|path| is_program(path))
        .ok_or_else(|| Error::NotFound(name.to_owned()))
}
