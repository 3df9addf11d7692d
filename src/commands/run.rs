//! `run`: builds the tree if it is not there, then runs the program in it, in the foreground.

use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use nix::libc;
use nix::sys::resource::{RLIM_INFINITY, Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeVal;

use super::background::{self, Background};
use super::outcome::{NOT_FOUND, explain_filter, explain_loader, not_lowered, outcome};
use super::overlay::Overlays;
use super::pid_file::PidFile;
use super::prepare::{Jail, Result};
use super::{failure, limits, report_file};
use crate::cli;
use crate::error::{self, Failure, exit};
use crate::jail::state::Unwritten;
use crate::jail::{self, End, Manager, Notice, Peaks, Program, Started};
use crate::manifest::Request;
use crate::manifest::resolve::hosts_tree;
use crate::manifest::resolve::run::{Run, Tree};
use crate::manifest::resolve::standard;
use crate::manifest::schema::ProgramType;
use crate::plan::step::{Action, Interrupt};
use crate::plan::{At, HostPath, Origin, Step};
use crate::report::diagnostic::Diagnostic;
use crate::report::printed;
use crate::report::run::{self as report, Course, Ended, Used};
use crate::sys;
use crate::sys::{memory, probe};

/// Until when an end is taken for a failure to start.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Runs a jail; the program's exit code, by the conventions in README.
pub(super) fn run(options: &cli::Run, request: &Request) -> Result<u8> {
    // Whatever is wrong before the program runs, the exit code tells it from the program's own.
    let run = |background: Option<&Background>| {
        reported(options, request, background).map_err(|failure| failure.code(exit::FAILED))
    };
    if options.detach {
        return background::detached(options.log.as_deref(), |background| run(Some(background)));
    }
    run(None)
}

/// Runs a jail that others find if there is a place for its record; `listener` is told the program's process when it has been executed,
/// and `overlays` get what was written to them.
pub(super) fn run_once(
    jail: &Jail,
    listener: Option<&dyn Fn(i32)>,
    overlays: Option<&Overlays>,
    course: &mut Course,
) -> Result<u8> {
    let waiting = Waiting { listener, overlays, must_be_recorded: false, ..Waiting::for_nobody() };
    attempt(jail, None, &waiting, course)
}

/// Runs a jail in a process of its own for a command that goes on with something else, with more in its environment, and tells nobody;
/// its exit code.
pub(super) fn run_beside(request: &Request, environment: &[(&str, String)]) -> Result<u8> {
    let mut jail = Jail::load(request).map_err(|failure| failure.code(exit::FAILED))?;
    for (name, value) in environment {
        let origin = Origin::Default("the program is told who is at the other end");
        // What the manifest says itself stays.
        let known = jail.loaded.manifest.program.environment.entry((*name).to_owned());
        known.or_insert(At { value: value.clone(), origin });
    }
    attempt(&jail, None, &Waiting::for_nobody(), &mut Course::default())
        .map_err(|failure| failure.code(exit::FAILED))
}

/// Runs a jail and writes the report, if one is wanted.
fn reported(options: &cli::Run, request: &Request, background: Option<&Background>) -> Result<u8> {
    let jail = Jail::load(request)?;
    // A report that cannot be written is found out before the program has run for a week.
    let report = options
        .report
        .as_deref()
        .map(|path| report_file::create(path).map(|file| (path, file)))
        .transpose()?;
    let pid_file = options.pid_file.as_deref().map(|path| PidFile::open(Path::new(path)));
    let pid_file = pid_file.transpose().map_err(|error| not_written(&error))?;
    let (manager, kind, told) = (manager(), jail.kind(), Cell::new(false));
    let waiting = Waiting {
        pid_file,
        background,
        manager,
        kind,
        told,
        listener: None,
        overlays: None,
        must_be_recorded: true,
        is_last: true,
    };
    let mut course = Course { tells_bytes: report.is_some(), ..Course::default() };
    let result = attempt(&jail, options.generation, &waiting, &mut course);
    if let Some((path, mut file)) = report {
        let code = result.as_ref().map_or(exit::FAILED, |code| *code);
        let report = report::json(&jail.name, &course, code);
        if let Err(error) = file.write_all(printed::json(&report).as_bytes()) {
            if let Err(failure) = result {
                failure.report();
            }
            return Err(report_file::not_written(path, &error));
        }
    }
    end_if_interrupted(course.interrupted);
    if background.is_none() && std::io::stderr().is_terminal() && has_failed_at_once(&course) {
        let manifest = jail.loaded.path.display();
        error::note(&format!(
            "note: `stockade diagnose {manifest}` tells what it lacked, if it lacked anything"
        ));
    }
    result
}

/// Dies of SIGINT as the program did, if the user meant both: a shell that runs this in a loop ends the loop only if it sees that, and a
/// script only if it gets the signal itself, see bash(1), "SIGNALS". sudo(8), timeout(1) and unshare(1) do the same.
pub(super) fn end_if_interrupted(interrupt: Option<Interrupt>) {
    let to = match interrupt {
        None => return,
        Some(Interrupt::Signal) => nix::unistd::getpid().as_raw(),
        // What the terminal would have done: the process group.
        Some(Interrupt::Key) => 0,
    };
    match sys::process::kill(to, libc::SIGINT) {
        // Ignored by whoever started this: then its exit code says it.
        Ok(()) | Err(_) => {}
    }
}

/// By what the user has interrupted what has come to this end by it.
pub(super) fn interrupt(
    program: &Program,
    result: &std::result::Result<End, jail::Error>,
) -> Option<Interrupt> {
    match result {
        Ok(End::Signaled(libc::SIGINT)) => program.interrupt(),
        Err(jail::Error::Interrupted { signal: libc::SIGINT, .. }) => Some(Interrupt::Signal),
        _ => None,
    }
}

/// Whether the program ended with an error as soon as it started, as those do that miss something.
fn has_failed_at_once(course: &Course) -> bool {
    let is_soon = course.used.as_ref().is_some_and(|used| used.wall < AT_ONCE);
    is_soon && matches!(course.ended, Ended::Exited(status) if status != 0)
}

/// Who waits for the program.
struct Waiting<'a> {
    /// Whoever reads this file.
    pid_file: Option<PidFile>,
    /// The command that the user has started.
    background: Option<&'a Background>,
    /// The service manager.
    manager: Option<Manager>,
    /// When that is told.
    kind: ProgramType,
    /// Whether it has been.
    told: Cell<bool>,
    /// Whoever else is told the program's process.
    listener: Option<&'a dyn Fn(i32)>,
    /// Who gets what was written to overlays.
    overlays: Option<&'a Overlays>,
    /// Whether others have to find the run, and not only if that can be.
    must_be_recorded: bool,
    /// Whether this process ends when the program has ended.
    is_last: bool,
}

impl Waiting<'_> {
    /// A run that is recorded, and of which nobody is told.
    fn for_nobody() -> Self {
        Self {
            pid_file: None,
            background: None,
            manager: None,
            kind: ProgramType::Simple,
            told: Cell::new(false),
            listener: None,
            overlays: None,
            must_be_recorded: true,
            is_last: false,
        }
    }

    /// The program has been executed, or another process has taken its place.
    fn tell(&self, started: Started) -> std::result::Result<(), Unwritten> {
        self.pid_file.as_ref().map_or(Ok(()), |file| record(file, started.pid))?;
        if let Some(background) = self.background {
            background.started();
        }
        if let Some(listener) = self.listener {
            listener(started.pid);
        }
        let is_ready = match self.kind {
            ProgramType::Simple => true,
            // What goes wrong before is its own process's to say, as with `Type=forking` of systemd's.
            ProgramType::Forking => started.in_background,
            // It tells it itself.
            ProgramType::Notify => false,
        };
        match self.manager.as_ref().filter(|_| is_ready) {
            Some(manager) if self.told.replace(true) => manager.replaced(started.pid),
            Some(manager) => manager.ready(Some(started.pid)),
            None => {}
        }
        Ok(())
    }

    /// Whether there is anybody.
    fn is_anybody(&self) -> bool {
        let waits = self.manager.is_some() && self.kind != ProgramType::Notify;
        self.pid_file.is_some() || self.background.is_some() || self.listener.is_some() || waits
    }
}

/// The service manager, if there is one to be told.
pub(super) fn manager() -> Option<Manager> {
    Manager::of_environment()?
        .map_err(|error| {
            let failed =
                Diagnostic::warning("the service manager cannot be told that the program has started");
            let failed = failed.why(format!("NOTIFY_SOCKET: {error}"));
            error::eprint_all(&[failed.hint("`NotifyAccess=none`, or `Type=exec`, goes without")], "");
        })
        .ok()
}

fn attempt(jail: &Jail, generation: Option<u64>, waiting: &Waiting<'_>, course: &mut Course) -> Result<u8> {
    if let Some(finding) = standard::refused(&jail.host) {
        return Err(jail.findings(vec![finding]));
    }
    if jail.is_in_memory() && generation.is_none() {
        return run_in(jail, &jail.tree_path()?, waiting, course);
    }
    let held = match generation {
        Some(number) => jail.held_as(number)?,
        None => jail.held(|built, warnings| super::build::announce(jail, built, warnings))?,
    };
    // Held to the end: a build meanwhile leaves this tree alone, also while a failure is looked into.
    let result = run_in(jail, &held.tree, waiting, course);
    jail.release(held);
    result
}

fn run_in(jail: &Jail, tree: &HostPath, waiting: &Waiting<'_>, course: &mut Course) -> Result<u8> {
    if jail.loaded.manifest.root.is_hosts() {
        error::note(&format!("note: {}", hosts_tree::LACKS));
    }
    let Some((command, made)) = jail.program(tree)? else { return Ok(NOT_FOUND) };
    let Run { steps, layers, watch } = jail.run_steps(&Tree { path: tree, made: &made }, &command)?;
    let plan = jail.plan(steps, layers)?;
    let has_overlay = plan.steps.iter().any(|step| matches!(step.action, Action::CreateOverlay { .. }));
    if has_overlay && probe::keeps_user_attributes().is_err() {
        error::note(
            "note: before Linux 6.6 no directory of the host's can be removed or replaced in an overlay: rmdir(2) and rename(2) fail with EIO",
        );
    }
    let program =
        Program::lower(&plan.steps).map_err(|error| jail.findings(vec![not_lowered(&plan.steps, &error)]))?;
    course.layers.clone_from(&plan.layers);
    course.network = Some(network(&plan.steps));
    let tell = |started| waiting.tell(started);
    let record = jail.notice(tree, &plan.steps, program.keeps_init(), waiting.must_be_recorded);
    // What killed supervisors have left is in the same places.
    jail::sweep(&plan.steps);
    waiting.overlays.map_or(Ok(()), |overlays| overlays.open(&plan.steps))?;
    let result = jail::run_as(
        &program,
        watch,
        Notice {
            record: record.as_ref(),
            program: waiting.is_anybody().then_some(&tell),
            manager: waiting.manager.as_ref(),
        },
    );
    if waiting.is_last {
        memory::keep_all();
    }
    if let Some(overlays) = waiting.overlays {
        overlays.take(program.layers());
    }
    if let Some(manager) = &waiting.manager {
        manager.stopping();
    }
    let bytes = if course.tells_bytes { jail::transferred() } else { None };
    course.used = result.as_ref().ok().map(|_| Used { bytes, ..used(program.wall(), program.peaks()) });
    course.interrupted = interrupt(&program, &result);
    if let Ok(End::Signaled(_)) = result {
        let seconds = bound(&plan.steps, "RLIMIT_CPU", Resource::RLIMIT_CPU);
        course.cpu_time = seconds.map(Duration::from_secs);
        course.file_size = bound(&plan.steps, "RLIMIT_FSIZE", Resource::RLIMIT_FSIZE);
    }
    course.hits = limits::tell(jail, &plan.steps, &program, &result);
    if let Err(jail::Error::Unrecorded(unwritten)) = &result
        && waiting.pid_file.as_ref().is_some_and(|file| file.path() == unwritten.path)
    {
        return Err(not_written(unwritten));
    }
    if let Some(said) = program.lost_connection() {
        let lost = Diagnostic::warning(format!(
            "pasta ended before jail `{}` did, and its network with it",
            jail.name
        ));
        error::eprint_all(&[lost.why(said)], "");
    }
    if let Ok(end) = result {
        explain_loader(end, jail, &plan.steps, tree, &command);
        explain_filter(end, jail, &plan.steps);
    }
    outcome(jail, (&plan.steps, &plan.steps), tree, result, &mut course.ended)
}

/// The soft bound of a resource that a jail has: its own, or else the caller's.
fn bound(steps: &[Step], name: &str, resource: Resource) -> Option<u64> {
    let own = steps.iter().rev().find_map(|step| match &step.action {
        Action::SetLimit { resource, soft, .. } if *resource == name => Some(*soft),
        _ => None,
    });
    own.unwrap_or_else(|| {
        getrlimit(resource).ok().map(|(soft, _)| soft).filter(|soft| *soft != RLIM_INFINITY)
    })
}

/// Which network a jail has, by the word of its manifest.
fn network(steps: &[Step]) -> &'static str {
    let has = |kind: fn(&Action) -> bool| steps.iter().any(|step| kind(&step.action));
    if has(|action| matches!(action, Action::ConnectNetwork { .. })) {
        "pasta"
    } else if has(|action| matches!(action, Action::EnterNetwork | Action::LoopbackUp)) {
        "none"
    } else {
        "host"
    }
}

/// What the jail's processes have used, as PID 1 has counted them together.
fn used(wall: Duration, peaks: Peaks) -> Used {
    let Ok(found) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return Used { wall, ..Used::default() } };
    let time = |time: TimeVal| {
        Duration::from_secs(time.tv_sec() as u64) + Duration::from_micros(time.tv_usec() as u64)
    };
    Used {
        wall,
        user: time(found.user_time()),
        system: time(found.system_time()),
        // In KiB, see getrusage(2).
        peak_memory: found.max_rss() as u64 * 1024,
        time_together: peaks.time,
        peak_together: peaks.memory,
        peak_tasks: peaks.tasks,
        voluntary_switches: found.voluntary_context_switches() as u64,
        involuntary_switches: found.involuntary_context_switches() as u64,
        bytes: None,
        blocks_read: found.block_reads() as u64,
        blocks_written: found.block_writes() as u64,
    }
}

/// Writes which process the program is. That of a program which is running by now, and has gone into the background since, is not ended
/// because /run has become full.
fn record(file: &PidFile, pid: i32) -> std::result::Result<(), Unwritten> {
    match file.write(pid) {
        Err(Unwritten { error, .. }) if file.is_written() => {
            let failed = Diagnostic::warning(format!(
                "`{}` still has the number of a process that the program was",
                file.path().display()
            ));
            let failed = failed.why(error.to_string());
            error::eprint_all(&[failed.hint(format!("it is {pid} now, as `stockade list` says"))], "");
            Ok(())
        }
        result => result,
    }
}

/// A file that was to say which process the program is.
fn not_written(Unwritten { path, error }: &Unwritten) -> Failure {
    let failed = Diagnostic::error(format!("cannot write the process id to `{}`", path.display()));
    let hint = failure::general(*error).unwrap_or_else(|| "name a file that you may write".to_owned());
    Failure::new(failed.why(error.to_string()).hint(hint), exit::FAILED)
}
