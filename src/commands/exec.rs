//! `exec`: runs another program in a jail that runs, confined as the jail's own.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use super::prepare::{Jail, Result, host_path};
use super::{outcome, run, select};
use crate::cli;
use crate::error::{Failure, exit};
use crate::jail::running::{Confinement, Processes, Running};
use crate::jail::{self, Notice, Program};
use crate::manifest::resolve::run::Run;
use crate::manifest::resolve::standard;
use crate::plan::step::{Action, Watch};
use crate::plan::{Account, At, Origin, Step};
use crate::report::diagnostic::Diagnostic;
use crate::report::run::Ended;

/// `CAP_SYS_PTRACE` as a mask, see capabilities(7).
const SYS_PTRACE: u64 = 1 << 19;

/// How long a jail may take to be one: it takes a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs a program in a running jail; its exit code, by the conventions of `run`.
pub(super) fn exec(options: &cli::Exec, command: Vec<OsString>) -> Result<u8> {
    // Whatever is wrong before the program runs, the exit code tells it from the program's own.
    attempt(options, command).map_err(|failure| failure.code(exit::FAILED))
}

fn attempt(options: &cli::Exec, command: Vec<OsString>) -> Result<u8> {
    let running = select::one(&options.jail)?;
    if !running.wait_for_program(Instant::now() + PATIENCE) {
        return Err(starting(&running));
    }
    if running.entry.sources.is_empty() {
        return Err(made_of_options(&running));
    }
    let mut jail = Jail::of_running(&running.entry)?;
    if let Some(finding) = standard::refused(&jail.host) {
        return Err(jail.findings(vec![finding]));
    }
    // Its control groups are there, and joined.
    let limits = &mut jail.loaded.manifest.limits;
    limits.controls.clear();
    limits.io_max.clear();
    (limits.allowed_cpus, limits.device_policy) = (None, None);
    let program = &mut jail.loaded.manifest.program;
    program.command = Some(At { value: command, origin: Origin::CommandLine("exec".into()) });
    // The jail has a PID 1 already; what is needed is a process that joins it, and one in it that becomes the program.
    (program.init, program.kind) = (None, None);
    // What a service manager says to whoever joins is not said to the jail's service, whose sockets the jail's program has.
    program.sockets = None;
    if let Some(user) = &options.user {
        let value = Account::parse(user).map_err(|why| wrong_user(user, why))?;
        program.user = Some(At { value, origin: Origin::CommandLine(format!("--user {user}")) });
        (program.group, program.supplementary_groups) = (None, Vec::new());
    }
    let tree = host_path(running.entry.tree.clone())?;
    let path = match jail.command(&tree) {
        Ok(path) => path,
        Err(mut failure) => {
            // The jail runs: what is not in it now is not brought by a build.
            for diagnostic in &mut failure.diagnostics {
                (diagnostic.hint, diagnostic.origin) = (None, None);
            }
            failure.subject.clear();
            failure.report();
            return Ok(outcome::NOT_FOUND);
        }
    };
    let confinement = running.confinement().ok_or_else(|| gone(&running))?;
    if confinement.first_id.is_none() && confinement.bounding & SYS_PTRACE != 0 {
        return Err(could_be_grabbed(&running));
    }
    if running.groups().is_some_and(|groups| groups.is_frozen()) {
        return Err(frozen(&running));
    }
    let groups: Vec<_> = running.control_groups().into_iter().map(host_path).collect::<Result<_>>()?;
    // One that cannot be found or read is not one that the jail has not: its limits would not hold.
    if groups.len() != running.entry.cgroups.len() {
        return Err(differs(&running, "its control groups"));
    }
    let (Run { steps, layers, .. }, started) =
        jail.join_steps(&tree, &path, confinement.first_id, &groups)?;
    // PID 1 may be the program, which has given the capability up where a process that it made before has not.
    if confinement.first_id.is_none() && kept(&steps) & SYS_PTRACE != 0 {
        return Err(could_be_grabbed(&running));
    }
    if let Some(difference) = difference(&steps, &confinement, running.entry.init) {
        return Err(differs(&running, difference));
    }
    let plan = jail.plan(steps, layers)?;
    let mut lowered = Program::lower(&plan.steps)
        .map_err(|error| jail.findings(vec![outcome::not_lowered(&plan.steps, &error)]))?;
    let door = running.door(&Processes::now()).map_err(|error| cannot(&running, &error.to_string()))?;
    lowered.join(door, &confinement.users).map_err(|error| cannot(&running, &error.to_string()))?;
    let result = jail::run_as(&lowered, Watch::default(), Notice::default());
    let interrupted = run::interrupt(&lowered, &result);
    // What is mounted there no step of these tells.
    let shown = [plan.steps.clone(), started].concat();
    let code = outcome::outcome(&jail, (&plan.steps, &shown), &tree, result, &mut Ended::Failed);
    run::end_if_interrupted(interrupted);
    code
}

/// What somebody who joins would have otherwise than the jail: then this host is not what it was when the jail was started.
fn difference(steps: &[Step], confinement: &Confinement, init: bool) -> Option<&'static str> {
    let mut own_ids = false;
    let (keep, mut no_new_privileges) = (kept(steps), false);
    for step in steps {
        match &step.action {
            Action::EnterUserNamespace => own_ids = true,
            Action::JoinNamespaces { namespaces, .. } => own_ids |= namespaces.user,
            Action::NoNewPrivileges => no_new_privileges = true,
            _ => {}
        }
    }
    if own_ids != confinement.first_id.is_some() {
        Some("its ids")
    } else if init && keep & !confinement.bounding != 0 {
        Some("its capabilities")
    } else if init && confinement.no_new_privileges && !no_new_privileges {
        Some("whether it can gain privileges")
    } else {
        None
    }
}

/// Its first process is still on its way from the host's tree to the jail's.
fn starting(running: &Running) -> Failure {
    let jail = &running.entry.jail;
    let starting = Diagnostic::error(format!("jail `{jail}` is only starting"))
        .why("its first process is not yet confined, and what joins it would not be either");
    Failure::new(starting.hint("wait until `stockade list` shows it as running"), exit::FAILED)
}

/// The capabilities that these steps leave in the bounding set.
fn kept(steps: &[Step]) -> u64 {
    let keep = steps.iter().find_map(|step| match &step.action {
        Action::DropBounding { keep } => Some(keep.0),
        _ => None,
    });
    keep.unwrap_or(u64::MAX)
}

/// A run of `once`, of which nothing is kept.
fn made_of_options(running: &Running) -> Failure {
    let refused = Diagnostic::error(format!("jail `{}` cannot be joined", running.entry.jail))
        .why("it is a run of `stockade once`, of which no manifest is kept that would say how what joins it is confined");
    let hint = "write its options as a manifest with `stockade once --save FILE`, and start the jail with `stockade run FILE`";
    Failure::new(refused.hint(hint), exit::FAILED)
}

/// It has ended between two looks at it.
fn gone(running: &Running) -> Failure {
    Failure::new(Diagnostic::error(format!("jail `{}` has just ended", running.entry.jail)), exit::FAILED)
}

/// What is not dumpable is closed to everybody but who has this capability over the user namespace it came from: the host's.
fn could_be_grabbed(running: &Running) -> Failure {
    let refused = Diagnostic::error(format!("jail `{}` is not to be joined", running.entry.jail))
        .why("it has SYS_PTRACE and the host's ids, and could read the memory of the joining process, and reach the host's files through it");
    let hint =
        "take `SYS_PTRACE` out of `capabilities` and `bounding`, or say `user = true` under [namespaces]";
    Failure::new(refused.hint(hint), exit::FAILED)
}

/// Whoever joins a frozen group is frozen before it has joined the rest.
fn frozen(running: &Running) -> Failure {
    let jail = &running.entry.jail;
    let frozen =
        Diagnostic::error(format!("jail `{jail}` is frozen")).why("what joins it would stop with it");
    Failure::new(frozen.hint(format!("let it go on first: `stockade thaw {jail}`")), exit::FAILED)
}

/// It would not be the same confinement.
fn differs(running: &Running, what: &str) -> Failure {
    let jail = &running.entry.jail;
    let differs = Diagnostic::error(format!("jail `{jail}` cannot be joined as it was started"))
        .why(format!("of what confines it, this differs by now: {what}"));
    Failure::new(differs.hint("start the jail again"), exit::FAILED)
}

/// Its processes cannot be taken hold of.
fn cannot(running: &Running, why: &str) -> Failure {
    let jail = &running.entry.jail;
    Failure::new(Diagnostic::error(format!("cannot join jail `{jail}`")).why(why), exit::FAILED)
}

/// A user that nobody can be.
fn wrong_user(user: &str, why: String) -> Failure {
    let wrong = Diagnostic::error(format!("`--user {user}` names nobody")).why(why);
    Failure::new(wrong.hint("write a name that the jail or the host knows, or a number"), exit::USAGE)
}
