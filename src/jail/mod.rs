//! Running a plan. Theory of operation:
//!
//! ```text
//! supervisor   the caller's own process: lowers the plan to operations, makes its control groups (cgroup.rs) and
//!     |        the user namespace of a jail started by root (spaces.rs), clones PID 1, then only watches: passes signals and
//!     |        terminal bytes, writes the program's output to files of the caller's, shows what it logs, keeps the time
//!     |        limit, and ends with its exit code. Keeps its rights.
//!     | socket (reports, and each side's sight of the other's death)
//! PID 1        in the new namespaces: runs the Enter and Confine operations, so it ends up with the program's rights; then
//!     |        closes what it inherited, makes the program's process, reaps, forwards signals.
//! program      runs the Exec operations and becomes the program. With `init = false` PID 1 does so itself.
//! ```
//!
//! Nothing is allocated between clone and execve; a failing operation is reported as (operation, call, errno) and ends the
//! jail; PID 1's end ends every process of its namespace, and mounts and other namespaces end with the last process in them. Control
//! groups do not: the supervisor removes them, or, if it was killed, whoever finds them unlocked.
//! What a run is found by later is its record (state.rs; records.rs reads them), which the supervisor writes when PID 1 has left the host's
//! tree and goes on with the jail's, and PID 1 waits for that before it makes the program's process.
//! PID 1 ends when the supervisor does, however that came about: by the parent-death signal, and, should that be lost, because
//! its end of the socket hangs up.

mod announce;
mod cgroup;
mod child;
mod clock;
mod encode;
mod furnish;
mod grant;
pub mod groups;
mod holder;
mod inbox;
mod init;
mod input;
mod log;
mod lower;
mod mapped;
mod mounts;
mod notify;
mod output;
mod pasta;
mod processes;
mod program;
pub mod records;
mod report;
pub mod running;
mod spaces;
pub mod state;
mod stream;
mod supervise;
mod terminal;
mod verify;

use std::fmt;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::Instant;

use nix::fcntl::OFlag;
use nix::libc;

pub use announce::{Started, Tell};
pub use cgroup::{Effect, Hit, Peaks, paths as control_groups, sweep};
pub use mapped::{Mapped, mapped};
pub use notify::Manager;
pub use processes::transferred;
pub use program::Program;
pub use report::is_report;

use crate::plan::step::{Clock, Watch};
use crate::sys::signal::{self, SignalSet};
use crate::sys::{self, pass, process};
use announce::Announcement;
use child::Inherited;
use clock::ProcessorTime;
use inbox::Inbox;
use log::Log;
use output::{Budget, Output};
use pasta::Connection;
use state::Unwritten;
use supervise::Supervisor;
use terminal::Relay;

/// How a jail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum End {
    /// The program ended by itself.
    Exited(i32),
    /// The program was killed by this signal.
    Signaled(i32),
    /// A time limit was over.
    TimedOut(Clock),
    /// It wrote more to standard output and error than it may.
    TooMuchOutput,
}

impl End {
    /// From a raw wait status.
    fn of(status: i32) -> Self {
        if libc::WIFEXITED(status) {
            Self::Exited(libc::WEXITSTATUS(status))
        } else {
            Self::Signaled(libc::WTERMSIG(status))
        }
    }

    /// The exit code by the conventions of timeout(1), chroot(1) and the shells.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Exited(code) => code as u8,
            Self::Signaled(signal) => 128 + signal as u8,
            Self::TimedOut(_) => 124,
            Self::TooMuchOutput => 128 + libc::SIGXFSZ as u8,
        }
    }
}

/// What can go wrong with running a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A step failed in the child; nothing was executed, unless the step is the execution itself.
    Failed {
        /// Index of the step in the plan.
        step: usize,
        /// The call and why.
        error: sys::Error,
    },
    /// A call of the supervisor's own failed.
    Supervisor(sys::Error),
    /// Another program did not do what a step takes; nothing was executed.
    Helper {
        /// Index of the step in the plan.
        step: usize,
        /// What it said, or which call failed.
        why: String,
    },
    /// A NUL byte in a path, an argument or a variable.
    NulByte {
        /// Index of the step in the plan.
        step: usize,
    },
    /// A step that cannot stand where it does: a mistake in the plan.
    Misplaced {
        /// Index of the step in the plan.
        step: usize,
    },
    /// The program ran, but a file of the caller's did not take its output.
    Output {
        /// The standard descriptor of that file.
        descriptor: i32,
        /// The call and why.
        error: sys::Error,
        /// How the program ended.
        end: End,
    },
    /// What others are to find it by could not be written; nothing was executed.
    Unrecorded(Unwritten),
    /// Others could write where that belongs; nothing was executed.
    Untrusted {
        /// The directory.
        place: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// A signal ended the set-up.
    Interrupted {
        /// Which.
        signal: i32,
        /// Whether a process sent it, and not the terminal.
        by_process: bool,
    },
}

impl From<Unwritten> for Error {
    fn from(error: Unwritten) -> Self {
        Self::Unrecorded(error)
    }
}

impl From<sys::Error> for Error {
    fn from(error: sys::Error) -> Self {
        Self::Supervisor(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { step, error } => write!(f, "step {step}: {error}"),
            Self::Supervisor(error) => write!(f, "{error}"),
            Self::Helper { step, why } => write!(f, "step {step}: {why}"),
            Self::NulByte { step } => write!(f, "step {step}: a NUL byte inside a text"),
            Self::Misplaced { step } => write!(f, "step {step} cannot stand there"),
            Self::Output { descriptor, error, .. } => {
                let name = if *descriptor == 2 { "error" } else { "output" };
                write!(f, "standard {name}: {error}")
            }
            Self::Unrecorded(Unwritten { path, error }) => write!(f, "`{}`: {error}", path.display()),
            Self::Untrusted { place, owner, mode } => write!(
                f,
                "records of running jails go to `{}`, which belongs to user {owner}, mode {mode:04o}: others could write them",
                place.display()
            ),
            Self::Interrupted { signal, .. } => write!(f, "interrupted by signal {signal}"),
        }
    }
}

impl std::error::Error for Error {}

/// Runs a lowered plan to its end, without anybody being told.
pub fn run(program: &Program, watch: Watch) -> Result<End, Error> {
    run_as(program, watch, Notice::default())
}

/// By what others find a run.
#[derive(Clone, Copy, Default)]
pub struct Notice<'a> {
    /// Its record.
    pub record: Option<&'a state::Draft>,
    /// Who is told when the program has been executed, and when another process has taken its place.
    pub program: Option<Tell<'a>>,
    /// Who is told what the program says of itself.
    pub manager: Option<&'a Manager>,
}

/// Runs a lowered plan to its end.
pub fn run_as(program: &Program, watch: Watch, notice: Notice<'_>) -> Result<End, Error> {
    // Writing to a reader that has gone is an error to be seen, not a death.
    signal::ignore(libc::SIGPIPE).map_err(sys::Error::of("rt_sigaction"))?;
    if !program.outputs.is_empty() {
        // And so is writing more than a limit allows, the program's or the caller's.
        signal::ignore(libc::SIGXFSZ).map_err(sys::Error::of("rt_sigaction"))?;
    }
    // Ignored, as some callers leave it, it would let the kernel collect children before we have seen how they ended.
    signal::reset(libc::SIGCHLD).map_err(sys::Error::of("rt_sigaction"))?;
    let (status, child_status) = report::channel()?;
    let pipes = program.outputs.iter().map(|to| Output::open(to, program.owner, program.file_size));
    let (outputs, child_outputs) = pipes.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let relay = match program.terminal.as_slice() {
        [] => None,
        onto => {
            let opened = Relay::open(onto, program.owner);
            // Made for a step of the jail's: what is wrong with it is told of that.
            let step = program.attaches_terminal().and_then(|at| program.step_of(at)).unwrap_or(0);
            Some(opened.map_err(|error| Error::Failed { step, error })?)
        }
    };
    let log = if program.log { Some(Log::open(relay.is_some())?) } else { None };
    let inbox = if program.notify { Some(Inbox::open(notice.manager)?) } else { None };
    // Blocked in the child too, until just before execve: nothing may end PID 1 half-way but SIGKILL.
    let before = signal::set_mask(SignalSet(u64::MAX)).map_err(sys::Error::of("rt_sigprocmask"))?;
    let wanted = [program.grant.is_some(), program.pasta.is_some()];
    let pipes = wanted.map(|is_wanted| is_wanted.then(|| nix::unistd::pipe2(OFlag::O_CLOEXEC)).transpose());
    let [ids, network] = pipes.map(|pipe| pipe.map(Option::unzip).map_err(sys::Error::of("pipe2")));
    let ((child_ids, ids), (child_network, network)) = (ids?, network?);
    let layers = if program.overlays > 0 { Some(pass::channel()?) } else { None };
    let (layers, child_layers) = layers.unzip();
    let child = ChildEnds {
        status: child_status,
        outputs: child_outputs,
        releases: [child_ids, child_network],
        layers: child_layers,
    };
    let ends = Ends { status, relay, outputs, log, inbox, releases: [ids, network] };
    let result = supervise(program, watch, notice, child, ends);
    if let (Ok(_), Some(layers)) = (&result, layers) {
        program.layers.set(pass::receive_all(layers.as_fd(), program.overlays)?);
    }
    // What was meant for the program and came too late is not ours to die of; neither is, once that has ended, what asked for its end: who
    // signals a whole service means this process as well, and is answered by the program's exit code.
    if result.is_ok() {
        let pending = signal::pending().map_err(sys::Error::of("rt_sigpending"))?;
        for number in pending.numbers().filter(|number| *number != libc::SIGINT) {
            signal::discard(number).map_err(sys::Error::of("rt_sigaction"))?;
        }
    }
    for number in [libc::SIGUSR1, libc::SIGUSR2, libc::SIGALRM] {
        signal::ignore(number).map_err(sys::Error::of("rt_sigaction"))?;
    }
    signal::set_mask(before).map_err(sys::Error::of("rt_sigprocmask"))?;
    result.map_err(|error| match error {
        Error::Failed { step: operation, error } => {
            Error::Failed { step: program.step_of(operation).unwrap_or(operation), error }
        }
        Error::Helper { step: operation, why } => {
            Error::Helper { step: program.step_of(operation).unwrap_or(operation), why }
        }
        other => other,
    })
}

/// All of it during which every signal is blocked, so that the record goes before one ends this process.
fn supervise(
    program: &Program,
    watch: Watch,
    notice: Notice<'_>,
    child: ChildEnds,
    ends: Ends<'_>,
) -> Result<End, Error> {
    let write = || notice.record.map(state::Draft::write_if_needed).transpose().map(Option::flatten);
    // Control groups outlast a killed supervisor, and some are told of by nothing else. Else it is written while the jail is prepared.
    let comes_first = program.makes_control_groups();
    let mut record = if comes_first { write()? } else { None };
    if program.adopts {
        process::adopt_orphans().map_err(sys::Error::of("prctl"))?;
    }
    let result = start(program, watch, notice, &child, ends).and_then(|supervisor| {
        drop(child);
        if program.enters_root() {
            supervisor.await_entry()?;
        }
        if !comes_first {
            record = write()?;
        }
        supervisor.release()?;
        if let Some(draft) = notice.record {
            // What killed supervisors have left is in the same place.
            records::sweep_dead(&draft.place, record.as_ref().and_then(state::Record::name));
        }
        supervisor.run()
    });
    if program.adopts {
        processes::end_children();
    }
    // While there is a record that tells of them.
    program.groups.finish();
    drop(record);
    result
}

/// The supervisor's ends of what it shares with the jail.
struct Ends<'a> {
    status: OwnedFd,
    relay: Option<Relay>,
    outputs: Vec<Output>,
    log: Option<Log>,
    inbox: Option<Inbox<'a>>,
    /// By which the jail is told that it may go on, once its ids are mapped, and once its network is connected.
    releases: [Option<OwnedFd>; 2],
}

/// The jail's ends.
struct ChildEnds {
    status: OwnedFd,
    outputs: Vec<OwnedFd>,
    releases: [Option<OwnedFd>; 2],
    layers: Option<OwnedFd>,
}

/// Clones PID 1 and hands everything to its supervisor.
fn start<'a>(
    program: &'a Program,
    watch: Watch,
    notice: Notice<'a>,
    child: &ChildEnds,
    ends: Ends<'a>,
) -> Result<Supervisor<'a>, Error> {
    let Ends { status, mut relay, outputs, log, inbox, releases: [ids, network] } = ends;
    // All are blocked already, so that none is lost. Once there is a child nothing may fail before there is a `Supervisor` to end it.
    let signals = supervise::signals(program.adopts)?;
    let inherited = Inherited {
        status: child.status.as_fd(),
        supervisor: status.as_raw_fd(),
        terminal: relay.as_ref().and_then(Relay::slave),
        outputs: &child.outputs,
        log: log.as_ref().map(Log::socket),
        notify: inbox.as_ref().map(Inbox::socket),
        releases: [(&child.releases[0], &ids), (&child.releases[1], &network)].map(|(theirs, ours)| {
            theirs.as_ref().map(OwnedFd::as_fd).zip(ours.as_ref().map(OwnedFd::as_raw_fd))
        }),
        layers: child.layers.as_ref().map(OwnedFd::as_fd),
        passed: program.passed,
        shares_input: program.shares_input,
    };
    child::prepare(program, inherited)?;
    let first = process::clone(program.namespaces, || child::run(program, inherited, program.prepared))
        .map_err(sys::Error::of("clone"))?;
    // Nothing waits for a look at the clock here, whose first maps the kernel's pages for it. What is told of the time and what limits it
    // begin together.
    let began = Instant::now();
    program.began.set(Some(began));
    let connection = program.pasta.as_ref().zip(network);
    let connection = connection.map(|(wanted, release)| Connection::new(wanted, &program.spaces, release));
    let grant = program.grant.as_ref().zip(ids);
    program.spaces.close();
    program.groups.started();
    if let Some(relay) = &mut relay {
        relay.begin();
    }
    let supervisor = Supervisor {
        first,
        status,
        is_silent: false,
        signals,
        relay,
        outputs,
        log,
        inbox,
        grant,
        connection,
        deadline: watch.runtime_max.map(|limit| began + limit),
        budget: watch.output_size.map(Budget::of),
        interrupt: &program.interrupt,
        processor_time: watch.cpu_time_max.map(|limit| ProcessorTime::new(limit, &program.groups)),
        collected: false,
        freezer: program.groups.freezer(),
        program: None,
        forking: program.is_forking(),
        announcement: Announcement::new(notice.program, program.is_forking()),
    };
    // The program's alone from here on: whoever is at the other end of one is to see when it is closed.
    process::close_passed(program.passed).map_err(sys::Error::of("close_range"))?;
    Ok(supervisor)
}
