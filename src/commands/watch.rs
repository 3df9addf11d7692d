//! Watching a program, or a jail, while something uses it: what `learn` and `diagnose` begin with.

use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::prepare::Result;
use crate::error::{self, Failure, exit};
use crate::report::diagnostic::Diagnostic;
use crate::seen::Seen;
use crate::sys::process;
use crate::trace::{Command, Error, Happened, Tracer};

/// Between two tries of the probe.
const PAUSE: Duration = Duration::from_millis(200);
/// How long what the probe has set off may still go on.
const SETTLE: Duration = Duration::from_millis(300);
/// How long the program may take to end.
const GRACE: Duration = Duration::from_secs(12);

/// A run that was watched.
pub(super) struct Watched {
    /// What it did.
    pub(super) seen: Seen,
    /// Whether others went on when the first process had ended.
    pub(super) forking: bool,
    /// How the first process ended, if it did by itself.
    pub(super) status: Option<i32>,
    /// How it ended after SIGTERM, if not by that: the first process, or the last of those that went on.
    pub(super) stopped: Option<i32>,
    /// Whether the probe succeeded.
    pub(super) passed: bool,
}

/// Runs the program and what tries it.
pub(super) fn watch(command: &Command, probe: Option<&str>, duration: Option<Duration>) -> Result<Watched> {
    let mut tracer = Tracer::start(command).map_err(|error| cannot(&error))?;
    let is_jail = command.jail.is_some();
    let mut deadline = duration.filter(|_| !is_jail).map(|duration| Instant::now() + duration);
    let (mut ended, mut all_ended) = (false, false);
    let mut probing =
        Probe { command: probe, running: None, next: Some(Instant::now() + PAUSE), passed: false };
    loop {
        let until = [probing.next, deadline].into_iter().flatten().min();
        match tracer.run(until).map_err(|error| cannot(&error))? {
            Happened::Deadline if deadline.is_some_and(|deadline| Instant::now() >= deadline) => break,
            Happened::Deadline => probing.start(&mut tracer)?,
            Happened::Beside(pid, status) if probing.running == Some(pid) => {
                probing.running = None;
                probing.next = Some(Instant::now() + if status.success() { SETTLE } else { PAUSE });
                probing.passed = status.success();
            }
            Happened::Ended(_) => ended = true,
            Happened::AllEnded => {
                all_ended = true;
                break;
            }
            // A jail has got it as well, and ends by it if it means that.
            Happened::Signal(_) if !is_jail => break,
            // Not what its tree takes to be built.
            Happened::Entered => deadline = deadline.or(duration.map(|duration| Instant::now() + duration)),
            Happened::Beside(..) | Happened::Signal(_) => {}
        }
        if probing.passed && probing.next.is_some_and(|next| Instant::now() >= next) {
            break;
        }
    }
    let status = tracer.status().and_then(|status| status.code());
    let slow = tracer.stop(GRACE).map_err(|error| cannot(&error))?;
    probing.end();
    let forking = ended && !all_ended;
    let stopped = if forking { tracer.last_status() } else { tracer.status() };
    let stopped = match stopped.filter(|_| !all_ended) {
        Some(_) if slow => Some(128 + nix::libc::SIGKILL),
        status => status.and_then(|status| status.code()),
    };
    let seen = tracer.finish().map_err(|error| cannot(&error))?;
    if seen.is_cut {
        error::note("it used more paths, addresses and calls than are kept: what came last is not told");
    }
    Ok(Watched { seen, forking, status, stopped, passed: probing.passed })
}

/// The command that tries the program.
struct Probe<'a> {
    command: Option<&'a str>,
    /// Its process, while it runs.
    running: Option<u32>,
    /// When it is to be started, or, once it has passed, when all is over.
    next: Option<Instant>,
    passed: bool,
}

impl Probe<'_> {
    /// Starts it, if it is time.
    fn start(&mut self, tracer: &mut Tracer) -> Result<()> {
        let Some(text) = self.command.filter(|_| !self.passed && self.running.is_none()) else {
            self.next = self.next.filter(|_| self.passed);
            return Ok(());
        };
        let mut command = std::process::Command::new("sh");
        command.args(["-c", text]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.process_group(0);
        let started = tracer.beside(process::killed_with_parent(&mut command));
        self.running = Some(started.map_err(|error| {
            let cannot = Diagnostic::error("the probe cannot be started").why(error.to_string());
            Failure::new(cannot.hint("`sh` is needed for it"), exit::FAILED)
        })?);
        self.next = None;
        Ok(())
    }

    /// Ends it with all it has started.
    fn end(&self) {
        if let Some(pid) = self.running {
            match process::kill(-(pid as i32), nix::libc::SIGKILL) {
                Ok(()) | Err(_) => {}
            }
        }
    }
}

/// A program that cannot be watched.
pub(super) fn cannot(error: &Error) -> Failure {
    let failed = Diagnostic::error("the program cannot be watched").why(error.to_string());
    let failed = Diagnostic { hint: error.hint().map(str::to_owned), ..failed };
    Failure::new(failed, exit::FAILED)
}
