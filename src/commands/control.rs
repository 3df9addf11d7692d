//! `limit`, `freeze`, `thaw`: what is done to running jails by their control groups.

use super::prepare::{Jail, Result};
use super::select;
use crate::cli;
use crate::error::{Failure, exit};
use crate::jail::groups::{Error, Groups};
use crate::jail::running::Running;
use crate::manifest::resolve::Rate;
use crate::manifest::resolve::control_groups::Missing;
use crate::manifest::suggest;
use crate::plan::{Control, ControlLimit};
use crate::report::diagnostic::Diagnostic;

/// Changes limits of a jail, of each run of it; 1 if it does not run or has no group for one of them.
pub(super) fn limit(options: &cli::Limit) -> Result<u8> {
    if options.limits.is_empty() {
        return Err(usage("no limit is given", "write `stockade limit JAIL memory=64M`".into()));
    }
    let is_rate = |text: &&String| text.contains('=') && Rate::find(key(text)).is_some();
    let (rates, amounts): (Vec<&String>, Vec<&String>) = options.limits.iter().partition(is_rate);
    let limits = amounts.into_iter().map(|text| parsed(text)).collect::<Result<Vec<_>>>()?;
    // By what the kernel needs, not by how it was typed: swap is counted from the limit on memory.
    let in_order = Control::ALL.into_iter();
    let in_order = in_order.flat_map(|control| limits.iter().filter(move |limit| limit.control == control));
    let limits: Vec<ControlLimit> = in_order.copied().collect();
    for running in select::some(&options.jail)? {
        change(&running, &limits, &rates)?;
    }
    Ok(0)
}

/// What `limit` does to a jail.
const CHANGE: &str = "change the limits of";

/// Changes limits of one run: amounts, and what is no single number, which is read as its manifest with that over it.
fn change(running: &Running, amounts: &[ControlLimit], rates: &[&String]) -> Result<()> {
    let sets: Vec<String> = rates.iter().map(|text| format!("limits.{}", bare(text))).collect();
    // All of it is read before any of it is written.
    let jail = (!sets.is_empty()).then(|| Jail::of_running_with(&running.entry, &sets)).transpose();
    let jail = jail.map_err(|failure| failure.code(exit::USAGE))?;
    on(running, CHANGE, &|groups| groups.set(amounts))?;
    let (Some(jail), Some(groups)) = (jail, running.groups()) else { return Ok(()) };
    let failed = |error| failure(running, CHANGE, error);
    for rate in rates.iter().filter_map(|text| Rate::find(key(text))) {
        let held = groups.held(rate.controllers, rate.key).map_err(failed)?;
        let (limits, parent) = (&jail.loaded.manifest.limits, held.parent());
        let settings = rate
            .again(limits, &jail.host, (held.version(), &parent), &|file| held.read(file))
            .map_err(|Missing { what, cure }| {
                let failed = Diagnostic::error(format!("cannot {CHANGE} jail `{}`", running.entry.jail));
                Failure::new(failed.why(what).hint(cure), exit::FINDING)
            })?;
        held.write(&settings, rate.key).map_err(failed)?;
    }
    Ok(())
}

/// Stops all processes of jails.
pub(super) fn freeze(options: &cli::Freeze) -> Result<u8> {
    each(&options.jails, "freeze", Groups::freeze)
}

/// Lets them go on.
pub(super) fn thaw(options: &cli::Thaw) -> Result<u8> {
    each(&options.jails, "thaw", Groups::thaw)
}

/// A limit as it is typed, without the table it is in.
fn bare(text: &str) -> &str {
    text.strip_prefix("limits.").unwrap_or(text)
}

/// The key of one.
fn key(text: &str) -> &str {
    bare(text).split('=').next().unwrap_or_default()
}

/// A limit as it is typed.
fn parsed(text: &str) -> Result<ControlLimit> {
    let keys = || Control::ALL.into_iter().map(Control::key).chain(Rate::ALL.map(|rate| rate.key));
    let Some((key, value)) = bare(text).split_once('=') else {
        return Err(usage(&format!("`{text}` is no limit"), "write KEY=VALUE, such as `memory=64M`".into()));
    };
    let Some(control) = Control::find(key) else {
        let hint = match suggest::nearest(key, keys()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("while a jail runs these can be changed: {}", suggest::listed(keys())),
        };
        return Err(usage(&format!("`{key}` is no limit of a control group"), hint));
    };
    let wrong = |text: String| {
        let (message, hint) = text.split_once("; ").unwrap_or((&text, "see `[limits]` in README"));
        usage(message, hint.to_owned())
    };
    Ok(ControlLimit { control, amount: control.parse(value).map_err(wrong)? })
}

/// A command line that says nothing.
fn usage(message: &str, hint: String) -> Failure {
    Failure::new(Diagnostic::error(message).hint(hint), exit::USAGE)
}

/// Does the same to every run of these jails; the worst exit code.
fn each(
    jails: &[String],
    purpose: &str,
    act: impl Fn(&Groups) -> std::result::Result<(), Error>,
) -> Result<u8> {
    if jails.is_empty() {
        return Err(usage("no jail is named", "`stockade list` shows those that run".into()));
    }
    let mut code = 0;
    for jail in jails {
        let done = select::some(jail).and_then(|all| all.iter().try_for_each(|one| on(one, purpose, &act)));
        if let Err(failure) = done {
            code = code.max(failure.report());
        }
    }
    Ok(code)
}

/// Does it to one run.
fn on(
    running: &Running,
    purpose: &str,
    act: &impl Fn(&Groups) -> std::result::Result<(), Error>,
) -> Result<()> {
    // One that has ended meanwhile has nothing left to be changed.
    let Some(groups) = running.groups() else { return Ok(()) };
    act(&groups).map_err(|error| failure(running, purpose, error))
}

/// What people are told of a change that was not made.
fn failure(running: &Running, purpose: &str, error: Error) -> Failure {
    let name = &running.entry.jail;
    let failed = Diagnostic::error(format!("cannot {purpose} jail `{name}`"));
    let (failed, code) = match error {
        Error::Absent(key) => (
            failed.why(format!("it has no control group that holds `{key}`")).hint(format!(
                "write `{key}` under `[limits]` and start it again: a jail gets the groups that its limits need"
            )),
            exit::FINDING,
        ),
        Error::NoFreezer => (
            failed
                .why("it has no control group by which all its processes can be stopped")
                .hint("write a limit such as `tasks` under `[limits]` and start it again"),
            exit::FINDING,
        ),
        Error::NoMemory => (
            failed
                .why("cgroup v1 counts swap together with memory, of which it has no limit")
                .hint("give `memory=` too"),
            exit::FINDING,
        ),
        Error::Late => (
            failed
                .why("some process did not stop, and they were all let go on")
                .hint("one that waits for a disk or a file server stops when it gets its answer: try again"),
            exit::FAILED,
        ),
        Error::Call(error) => {
            let failed = failed.why(error.to_string());
            let failed = match error.errno {
                nix::errno::Errno::EBUSY => {
                    failed.hint("it uses more than that, and the kernel cannot take it back")
                }
                nix::errno::Errno::EACCES | nix::errno::Errno::EPERM => {
                    failed.hint("its groups belong to whoever started it: be that user")
                }
                _ => failed,
            };
            (failed, exit::FAILED)
        }
    };
    Failure::new(failed, code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_typed_as_a_manifest_has_it() {
        let limit = |control, amount| Ok(ControlLimit { control, amount });
        let read = |text| parsed(text).map_err(|failure| failure.code);
        assert_eq!(read("memory=64M"), limit(Control::Memory, Some(64 << 20)));
        assert_eq!(read("limits.tasks=unlimited"), limit(Control::Tasks, None));
        assert_eq!(read("cpu=1.5"), limit(Control::Cpu, Some(150_000)));
        for wrong in ["memory", "memory=", "memory=much", "open_files=3", "=3", "tasks=0"] {
            assert_eq!(read(wrong), Err(exit::USAGE), "{wrong}");
        }
    }
}
