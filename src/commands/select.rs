//! Which of the running jails a user means.

use std::path::Path;

use super::failure;
use super::prepare::{Result, records, state_directory};
use super::remove::named;
use crate::error::{Failure, exit};
use crate::jail::records::{self, Runs, Unreadable};
use crate::jail::running::{Processes, Running, Selector};
use crate::manifest::suggest;
use crate::plan::JailName;
use crate::report::diagnostic::Diagnostic;

/// Every jail of this user that runs.
pub(super) fn all() -> Result<Vec<Running>> {
    Ok(runs()?.here)
}

/// The same, and those out of reach.
pub(super) fn runs() -> Result<Runs> {
    records::all(&records(&state_directory()?)).map_err(|error| unreadable(&error))
}

/// Those of them that a name, a manifest's path or `NAME@PID` means; at least one.
pub(super) fn some(jail: &str) -> Result<Vec<Running>> {
    let selector = selector(jail)?;
    let (runs, processes) = (runs()?, Processes::now());
    let (meant, others): (Vec<_>, Vec<_>) =
        runs.here.into_iter().partition(|running| selector.matches(running, &processes));
    if !meant.is_empty() {
        Ok(meant)
    } else if runs.elsewhere.iter().any(|other| selector.matches_elsewhere(other)) {
        Err(out_of_reach(jail))
    } else {
        Err(absent(jail, &others))
    }
}

/// The one of them that is meant.
pub(super) fn one(jail: &str) -> Result<Running> {
    let mut meant = some(jail)?;
    match (meant.pop(), meant.as_slice()) {
        (Some(running), []) => Ok(running),
        (last, others) => {
            let names = others
                .iter()
                .chain(&last)
                .map(|running| format!("{}@{}", running.entry.jail, running.supervisor));
            let names: Vec<String> = names.collect();
            let several = Diagnostic::error(format!("jail `{jail}` runs {} times", names.len()));
            let hint = format!("name one of them: {}", suggest::listed(names.iter().map(String::as_str)));
            Err(Failure::new(several.hint(hint), exit::FINDING))
        }
    }
}

/// What is meant, whether or not it runs.
pub(super) fn selector(jail: &str) -> Result<Selector> {
    let is_path =
        jail.contains('/') || Path::new(jail).extension().is_some_and(|extension| extension == "toml");
    if let (false, Some((name, number))) = (is_path, jail.rsplit_once('@'))
        && let (Ok(jail), Ok(number)) = (JailName::parse(name), number.parse())
    {
        return Ok(Selector { jail, number: Some(number) });
    }
    // A name needs no manifest here, which may be gone by now.
    let jail = match JailName::parse(jail) {
        Ok(name) if !is_path => name,
        _ => named(jail)?,
    };
    Ok(Selector { jail, number: None })
}

/// What is called so runs where its numbers mean other processes.
fn out_of_reach(jail: &str) -> Failure {
    let elsewhere = Diagnostic::error(format!("jail `{jail}` runs elsewhere"))
        .why("by /proc/locks the process that holds its record is in another PID namespace, or on another host")
        .hint("call stockade where it was started");
    Failure::new(elsewhere, exit::FINDING)
}

/// Nothing that runs is called so.
fn absent(jail: &str, others: &[Running]) -> Failure {
    let mut names: Vec<&str> = others.iter().map(|running| running.entry.jail.as_str()).collect();
    names.dedup();
    let absent = Diagnostic::error(format!("jail `{jail}` does not run"));
    let hint = match suggest::nearest(jail, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "no jail of this user runs: see `stockade list`".to_owned(),
        None => format!("what runs: {}", suggest::listed(names)),
    };
    Failure::new(absent.hint(hint), exit::FINDING)
}

/// The records cannot be read, or not be trusted.
fn unreadable(error: &Unreadable) -> Failure {
    let failed = Diagnostic::error("cannot find out which jails run");
    let failed = match error {
        Unreadable::Untrusted { path, owner, mode } => failed
            .why(format!(
                "`{}` belongs to user {owner}, mode {mode:04o}: others could have written what is in it",
                path.display()
            ))
            .hint("remove it, if no jail of yours runs; STOCKADE_RUN_DIR names another place"),
        Unreadable::Call { path, error } => Diagnostic {
            hint: failure::general(*error),
            ..failed.why(format!("`{}`: {error}", path.display()))
        },
    };
    Failure::new(failed, exit::FAILED)
}
