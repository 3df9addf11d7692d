//! `diagnose`: runs a jail under trace, tells what its program lacked there, and with which line of the manifest it has it.

use std::ffi::OsString;
use std::time::Duration;

use super::learn::span;
use super::manifest_file::write_edited;
use super::prepare::{Jail, Result};
use super::watch::{Watched, watch};
use crate::cli;
use crate::error::{self, Failure, exit};
use crate::manifest::edit::{self, Line, Place};
use crate::manifest::learn::{Facts, Lack, is_powerful, lacks};
use crate::manifest::resolve::system_calls;
use crate::manifest::{Loaded, Request};
use crate::report::diagnostic::Diagnostic;
use crate::report::lacks::{self as report, Given, Lacking};
use crate::report::printed;
use crate::trace::Command;

/// Runs it, and tells.
pub(super) fn diagnose(options: &cli::Diagnose, request: &Request) -> Result<u8> {
    let duration = options.duration.as_deref().map(span).transpose()?;
    let jail = Jail::load(request).map_err(|failure| failure.code(exit::FAILED))?;
    let lacks = lacking(&jail, request, None, duration)?;
    let text = if options.json { printed::json(&as_json(&jail, &lacks)) } else { told(&jail, &lacks) };
    let printed = error::print(&text);
    if lacks.is_empty() {
        return Ok(printed);
    }
    if options.apply {
        apply(&jail.loaded, &lacks)?;
    }
    Ok(if printed == 0 { exit::FINDING } else { printed })
}

/// Runs the jail as `run` does, by this same binary, to its end, for so long or until the probe succeeds; everything that it lacked.
pub(super) fn lacking(
    jail: &Jail,
    request: &Request,
    probe: Option<&str>,
    duration: Option<Duration>,
) -> Result<Vec<Lack>> {
    let mut arguments: Vec<OsString> = vec!["run".into()];
    for set in &request.sets {
        arguments.extend(["--set".into(), set.into()]);
    }
    arguments.extend([request.jail.clone(), "--".into()]);
    arguments.extend(request.extra_arguments.iter().cloned());
    let (watched, lacks) = watched(jail, arguments, probe, duration)?;
    if watched.seen.executions.is_empty() {
        let nothing = Diagnostic::error(format!("the program of jail `{}` has not been executed", jail.name));
        return Err(Failure::new(nothing.hint("what is said above is in the way"), exit::FAILED));
    }
    Ok(lacks)
}

/// Runs this same binary with these words, which start the jail; how it went, and what it lacked.
pub(super) fn watched(
    jail: &Jail,
    words: Vec<OsString>,
    probe: Option<&str>,
    duration: Option<Duration>,
) -> Result<(Watched, Vec<Lack>)> {
    let (_, policy) = system_calls::of(&jail.loaded.manifest);
    let arguments = std::iter::once("/proc/self/exe".into()).chain(words).collect();
    let command = Command { arguments, jail: Some(policy), ..Command::default() };
    let watched = watch(&command, probe, duration)?;
    let accounts = jail.accounts()?;
    let facts = Facts::new(jail.name.as_str().to_owned(), jail.loaded.path.clone(), &jail.host, &accounts);
    let lacks = lacks(&watched.seen, &facts, &jail.loaded.manifest);
    Ok((watched, lacks))
}

/// Everything that was lacking, as JSON.
fn as_json(jail: &Jail, lacks: &[Lack]) -> serde_json::Value {
    let line = |line: &Line| {
        let (table, key, is_entry) = match line.place {
            Place::Value(table, key) => (Some(table), Some(key), false),
            Place::Entry(table, key) => (Some(table), Some(key), true),
            Place::Table(list) | Place::Within(list) => (Some(list), None, true),
            Place::Remark(_) => (None, None, false),
        };
        let is_powerful = is_powerful(line, &jail.loaded.manifest);
        let (text, value) = (line.told(), line.value.clone());
        Given { text, table, key, value, is_entry, is_powerful }
    };
    let lack = |lack: &Lack| Lacking {
        what: lack.what.clone(),
        lines: lack.lines.iter().map(line).collect(),
        hint: lack.hint.clone(),
    };
    report::json(jail.name.as_str(), &lacks.iter().map(lack).collect::<Vec<_>>())
}

/// Everything that was lacking, as text.
fn told(jail: &Jail, lacks: &[Lack]) -> String {
    let mut text = match lacks.len() {
        0 => return format!("jail `{}`: nothing is lacking\n", jail.name),
        1 => format!("jail `{}`: one thing is lacking\n", jail.name),
        count => format!("jail `{}`: {count} things are lacking\n", jail.name),
    };
    for lack in lacks {
        text.extend([&lack.what, "\n"]);
        // Entries of one list are told together.
        let mut lines = lack.lines.iter().peekable();
        while let Some(line) = lines.next() {
            let mut told = line.told();
            while let Some(next) = lines.next_if(|next| is_same_list(line, next)) {
                told = format!("{}, {}]", told.trim_end_matches(']'), next.value);
            }
            text.extend(["    ", &told, "\n"]);
        }
        if let Some(hint) = &lack.hint {
            text.extend(["    ", hint, "\n"]);
        }
    }
    text
}

/// Whether two lines are entries of the same list.
fn is_same_list(one: &Line, other: &Line) -> bool {
    matches!(one.place, Place::Entry(..)) && one.place == other.place
}

/// Adds the lines to the manifest.
fn apply(loaded: &Loaded, lacks: &[Lack]) -> Result<()> {
    let path = &loaded.path;
    let text = std::fs::read_to_string(path).map_err(|error| {
        let cannot = Diagnostic::error(format!("cannot read the manifest `{}`", path.display()));
        Failure::new(cannot.why(error.to_string()), exit::FAILED)
    })?;
    let mut lines: Vec<Line> = Vec::new();
    for line in lacks.iter().flat_map(|lack| &lack.lines) {
        if !lines.iter().any(|known| (known.place, &known.value) == (line.place, &line.value)) {
            lines.push(line.clone());
        }
    }
    // Who runs a program in a jail does not trust it, and it chooses what it asks for.
    let withheld: Vec<Line> = lines.extract_if(.., |line| is_powerful(line, &loaded.manifest)).collect();
    // A value takes the place of the one that is there; what is in a list already is not said twice.
    let (values, others): (Vec<Line>, Vec<Line>) =
        lines.into_iter().partition(|line| matches!(line.place, Place::Value(..)));
    let mut lines = edit::unsaid(&text, &others);
    lines.extend(values);
    let (text, left) = edit::add(&text, &lines);
    write_edited(path, text)?;
    let left = left.into_iter().map(|left| {
        let warning = Diagnostic::warning(format!("`{}` has no place in the manifest", left.line.told()));
        warning.why(left.because).hint("write it in yourself")
    });
    let withheld = withheld.iter().map(|line| {
        let warning = Diagnostic::warning(format!("`{}` is not written unasked", line.told()));
        let hint = "write it in yourself, if the program is to be trusted with that";
        warning.why("it has power over the host").hint(hint)
    });
    error::eprint_all(&left.chain(withheld).collect::<Vec<_>>(), &path.display().to_string());
    Ok(())
}
