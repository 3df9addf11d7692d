//! `run`: builds the tree if it is not there, then runs the program in it, in the foreground.

use super::prepare::{Held, Jail, Result};
use super::{diagnose, failure};
use crate::jail::{self, End, Program};
use crate::manifest::Request;
use crate::manifest::finding::Finding;
use crate::plan::step::Action;
use crate::plan::{HostPath, JailPath, Step};
use crate::report;

/// Exit code of a program that is there but cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// Exit code of a program that is not there.
const NOT_FOUND: u8 = 127;

/// Runs a jail; the program's exit code, by the conventions in README.
pub(super) fn run(request: &Request) -> Result<u8> {
    let jail = Jail::load(request)?;
    let Held { tree, lock } = jail.held(|built, warnings| super::build::announce(&jail, built, warnings))?;
    let command = jail.command(&tree)?;
    let (steps, watch) = jail.run_steps(&tree, &command)?;
    let plan = jail.plan(steps)?;
    let program = Program::lower(&plan.steps).map_err(|error| vec![not_lowered(&plan.steps, &error)])?;
    let end = jail::run(&program, watch);
    // Held until here: a build meanwhile left this tree alone.
    drop(lock);
    match end {
        Ok(end) => Ok(ended(end, &plan.steps, &tree, &command)),
        Err(jail::Error::Failed { step, error }) => match plan.steps.get(step).map(|step| &step.action) {
            Some(Action::Execute { path, .. }) => {
                let finding = not_executed(&jail, &plan.steps, step, error, &tree, path);
                report::diagnostic::findings(&[finding.into()]);
                Ok(if error.errno == nix::errno::Errno::ENOENT { NOT_FOUND } else { NOT_EXECUTABLE })
            }
            _ => Err(failure::of_step(&plan.steps, step, error, jail.name.as_str(), &jail.host)
                .into_iter()
                .collect()),
        },
        Err(jail::Error::Interrupted { signal, .. }) => Ok(128 + signal as u8),
        Err(error) => {
            Err(vec![Finding::plain(format!("cannot run jail `{}`", jail.name)).why(error.to_string())])
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

/// The exit code; and, for one that looks like the loader's, what the loader missed.
fn ended(end: End, steps: &[Step], tree: &HostPath, command: &JailPath) -> u8 {
    if end == End::Exited(NOT_FOUND.into())
        && let Some(found) = diagnose::missing_libraries(steps, tree.as_path(), command)
    {
        let mut finding = Finding::plain(format!("`{command}` could not be loaded"));
        (finding.why, finding.hint) = (found.why, found.hint);
        finding.origin = steps.last().map(|step| step.origin.clone());
        report::diagnostic::findings(&[finding.into()]);
    }
    end.exit_code()
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
