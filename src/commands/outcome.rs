//! How a run ended, or why it did not begin: the exit code by the conventions in README, the report's word for it, and the message.

use nix::errno::Errno;
use nix::libc;

use super::prepare::{Jail, Result};
use super::{failure, obstacle};
use crate::jail::state::Unwritten;
use crate::jail::{self, End};
use crate::manifest::finding::Finding;
use crate::plan::step::Action;
use crate::plan::system_calls::Refusal;
use crate::plan::{HostPath, JailPath, Step};
use crate::report::run::Ended;
use crate::sys;

/// Exit code of a program that is there but cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// Exit code of a program that is not there.
pub(super) const NOT_FOUND: u8 = 127;

/// The exit code for how a program ended, or did not even begin. `shown`: with the steps that have made what it finds.
pub(super) fn outcome(
    jail: &Jail,
    (steps, shown): (&[Step], &[Step]),
    tree: &HostPath,
    result: std::result::Result<End, jail::Error>,
    course: &mut Ended,
) -> Result<u8> {
    match result {
        Ok(end) => {
            *course = ended(end);
            Ok(end.exit_code())
        }
        Err(jail::Error::Failed { step, error }) => {
            if let Some(Action::Execute { path, .. }) = steps.get(step).map(|step| &step.action) {
                let finding = not_executed(jail, (steps, shown), step, error, tree, path);
                jail.findings(vec![finding]).report();
                return Ok(if error.errno == Errno::ENOENT { NOT_FOUND } else { NOT_EXECUTABLE });
            }
            Err(jail.findings(not_done(jail, (steps, shown), step, error, tree)))
        }
        Err(jail::Error::Helper { step, why }) => {
            Err(jail.findings(failure::of_helper(steps, step, &why, jail.name.as_str())))
        }
        // The first process could not even be made.
        Err(jail::Error::Supervisor(error)) if error.call == "clone" => {
            let step = steps.iter().position(|step| matches!(step.action, Action::Clone { .. }));
            Err(jail.findings(not_done(jail, (steps, shown), step.unwrap_or(0), error, tree)))
        }
        Err(jail::Error::Interrupted { signal, .. }) => Ok(128 + signal as u8),
        // The program ran, but somebody who reads only its exit code must not take its output for whole.
        Err(ref error @ jail::Error::Output { end, .. }) => {
            *course = ended(end);
            let finding = Finding::plain(format!("the output of jail `{}` could not be written", jail.name));
            Err(jail.findings(vec![finding.why(error.to_string())]))
        }
        Err(jail::Error::Unrecorded(unwritten)) => Err(jail.findings(vec![not_recorded(jail, &unwritten)])),
        Err(error) => {
            let finding = Finding::plain(format!("cannot run jail `{}`", jail.name)).why(error.to_string());
            let hint = match error {
                jail::Error::Supervisor(error) => failure::general(error),
                _ => None,
            };
            Err(jail.findings(vec![Finding { hint, ..finding }]))
        }
    }
}

/// A jail that nobody could list, stop or come to again.
fn not_recorded(jail: &Jail, Unwritten { path, error }: &Unwritten) -> Finding {
    let finding = Finding::plain(format!("cannot record that jail `{}` runs", jail.name));
    let place = match error.errno {
        Errno::ENOENT => {
            "XDG_RUNTIME_DIR names a directory that is not there; STOCKADE_RUN_DIR names another place"
        }
        _ => "STOCKADE_RUN_DIR names another place for the records of running jails",
    };
    let hint = failure::general(*error).unwrap_or_else(|| place.to_owned());
    finding.why(format!("`{}`: {error}", path.display())).hint(hint)
}

/// How a program ended, for the report.
fn ended(end: End) -> Ended {
    match end {
        End::Exited(status) => Ended::Exited(status),
        End::Signaled(signal) => Ended::Signaled(signal),
        End::TimedOut(clock) => Ended::TimedOut(clock),
        End::TooMuchOutput => Ended::TooMuchOutput,
    }
}

/// A plan that cannot be lowered: a NUL byte in something of the manifest's.
pub(super) fn not_lowered(steps: &[Step], error: &jail::Error) -> Finding {
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
    (steps, shown): (&[Step], &[Step]),
    step: usize,
    error: sys::Error,
    tree: &HostPath,
) -> Vec<Finding> {
    let mut finding = failure::of_step(steps, step, error, jail.name.as_str(), &jail.host);
    if let (Some(finding), Some(Action::ChangeDirectory { path })) =
        (&mut finding, steps.get(step).map(|step| &step.action))
        && let Some(found) = obstacle::no_directory(shown, tree.as_path(), path, error.errno)
    {
        finding.why.extend(found.why);
        finding.hint = found.hint.or(finding.hint.take());
    }
    finding.into_iter().collect()
}

/// For an exit code that looks like the loader's: what the loader missed.
pub(super) fn explain_loader(end: End, jail: &Jail, steps: &[Step], tree: &HostPath, command: &JailPath) {
    if end == End::Exited(NOT_FOUND.into())
        && let Some(found) = obstacle::missing_libraries(steps, tree.as_path(), command)
    {
        let mut finding = Finding::plain(format!("`{command}` could not be loaded"));
        (finding.why, finding.hint) = (found.why, found.hint);
        finding.origin = steps.last().map(|step| step.origin.clone());
        jail.findings(vec![finding]).report();
    }
}

/// For a program killed by SIGSYS: what the filter kills for.
pub(super) fn explain_filter(end: End, jail: &Jail, steps: &[Step]) {
    let filter = steps.iter().find_map(|step| match &step.action {
        Action::FilterSystemCalls { filter, .. } => Some((filter, &step.origin)),
        _ => None,
    });
    let (End::Signaled(libc::SIGSYS), Some((filter, origin))) = (end, filter) else { return };
    let finding = Finding::error("the program was killed by SIGSYS", origin);
    let finding = if filter.refusal == Refusal::Kill {
        finding
            .why("it made a system call that is refused, and `system_calls_action` is `kill`")
            .hint("`--set privileges.system_calls_action=log` lets the kernel log which; docs/system-calls.md lists them")
    } else {
        finding
            .why("it made a system call by the numbers of another processor than this one, as a 32-bit program does, unless one of its own processes sent the signal")
            .hint("write `architectures = [\"x86-32\"]` under `[privileges]` if a 32-bit program is to be started in this jail")
    };
    jail.findings(vec![finding]).report();
}

/// The message for an execve(2) that failed.
fn not_executed(
    jail: &Jail,
    (steps, shown): (&[Step], &[Step]),
    step: usize,
    error: sys::Error,
    tree: &HostPath,
    program: &JailPath,
) -> Finding {
    let found = obstacle::refused(shown, tree.as_path(), program, error.errno);
    let mut finding = failure::of_step(steps, step, error, jail.name.as_str(), &jail.host)
        .unwrap_or_else(|| Finding::plain(format!("cannot execute `{program}`")));
    finding.why.extend(found.why);
    finding.hint = found.hint.or(finding.hint);
    finding
}
