//! `run`: builds the tree if it is not there, then runs the program in it, in the foreground.

use super::prepare::{Held, Jail, Result};
use super::{diagnose, failure};
use crate::error::exit;
use crate::jail::{self, End, Program};
use crate::manifest::Request;
use crate::manifest::finding::Finding;
use crate::manifest::resolve::run::Run;
use crate::plan::step::Action;
use crate::plan::{HostPath, JailPath, Step};

/// Exit code of a program that is there but cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// Exit code of a program that is not there.
const NOT_FOUND: u8 = 127;

/// Runs a jail; the program's exit code, by the conventions in README.
pub(super) fn run(request: &Request) -> Result<u8> {
    // Whatever is wrong before the program runs, the exit code tells it from the program's own.
    attempt(request).map_err(|failure| failure.code(exit::FAILED))
}

fn attempt(request: &Request) -> Result<u8> {
    let jail = Jail::load(request)?;
    let Held { tree, lock } = jail.held(|built, warnings| super::build::announce(&jail, built, warnings))?;
    let command = match jail.command(&tree) {
        Ok(command) => command,
        Err(failure) => {
            failure.report();
            return Ok(NOT_FOUND);
        }
    };
    let Run { steps, layers, watch } = jail.run_steps(&tree, &command)?;
    let plan = jail.plan(steps, layers)?;
    let program =
        Program::lower(&plan.steps).map_err(|error| jail.findings(vec![not_lowered(&plan.steps, &error)]))?;
    let end = jail::run(&program, watch);
    // Held until here: a build meanwhile left this tree alone.
    drop(lock);
    match end {
        Ok(end) => {
            explain_loader(end, &jail, &plan.steps, &tree, &command);
            Ok(end.exit_code())
        }
        Err(jail::Error::Failed { step, error }) => {
            if let Some(Action::Execute { path, .. }) = plan.steps.get(step).map(|step| &step.action) {
                let finding = not_executed(&jail, &plan.steps, step, error, &tree, path);
                jail.findings(vec![finding]).report();
                return Ok(if error.errno == nix::errno::Errno::ENOENT { NOT_FOUND } else { NOT_EXECUTABLE });
            }
            Err(jail.findings(not_done(&jail, &plan.steps, step, error, &tree)))
        }
        // The first process could not even be made.
        Err(jail::Error::Supervisor(error)) if error.call == "clone" => {
            let step = plan.steps.iter().position(|step| matches!(step.action, Action::Clone { .. }));
            Err(jail.findings(not_done(&jail, &plan.steps, step.unwrap_or(0), error, &tree)))
        }
        Err(jail::Error::Interrupted { signal, .. }) => Ok(128 + signal as u8),
        Err(error @ jail::Error::Directory { .. }) => {
            let finding = Finding::plain(format!("cannot run jail `{}`", jail.name)).why(error.to_string());
            Err(jail.findings(vec![finding.hint("give it a file, a pipe or /dev/null instead")]))
        }
        Err(error) => {
            let finding = Finding::plain(format!("cannot run jail `{}`", jail.name)).why(error.to_string());
            Err(jail.findings(vec![finding]))
        }
    }
}

/// A plan that cannot be lowered: a NUL byte in something of the manifest's.
fn not_lowered(steps: &[Step], error: &jail::Error) -> Finding {
    let origin = match error {
        jail::Error::NulByte { step } | jail::Error::Misplaced { step } => {
            steps.get(*step).map(|step| step.origin.clone())
        }
        _ => None,
    };
    Finding { origin, ..Finding::plain("this cannot be handed to the kernel").why(error.to_string()) }
}

/// The message for any other step that failed.
fn not_done(
    jail: &Jail,
    steps: &[Step],
    step: usize,
    error: crate::sys::Error,
    tree: &HostPath,
) -> Vec<Finding> {
    let mut finding = failure::of_step(steps, step, error, jail.name.as_str(), &jail.host);
    if let (Some(finding), Some(Action::ChangeDirectory { path })) =
        (&mut finding, steps.get(step).map(|step| &step.action))
        && let Some(found) = diagnose::no_directory(steps, tree.as_path(), path, error.errno)
    {
        finding.why.extend(found.why);
        finding.hint = found.hint.or(finding.hint.take());
    }
    finding.into_iter().collect()
}

/// For an exit code that looks like the loader's: what the loader missed.
fn explain_loader(end: End, jail: &Jail, steps: &[Step], tree: &HostPath, command: &JailPath) {
    if end == End::Exited(NOT_FOUND.into())
        && let Some(found) = diagnose::missing_libraries(steps, tree.as_path(), command)
    {
        let mut finding = Finding::plain(format!("`{command}` could not be loaded"));
        (finding.why, finding.hint) = (found.why, found.hint);
        finding.origin = steps.last().map(|step| step.origin.clone());
        jail.findings(vec![finding]).report();
    }
}

/// The message for an execve(2) that failed.
fn not_executed(
    jail: &Jail,
    steps: &[Step],
    step: usize,
    error: crate::sys::Error,
    tree: &HostPath,
    program: &JailPath,
) -> Finding {
    let found = diagnose::refused(steps, tree.as_path(), program, error.errno);
    let mut finding = failure::of_step(steps, step, error, jail.name.as_str(), &jail.host)
        .unwrap_or_else(|| Finding::plain(format!("cannot execute `{program}`")));
    finding.why.extend(found.why);
    finding.hint = found.hint.or(finding.hint);
    finding
}
