//! `remove`: takes jails out of the state directory, each with its trees, records and locks, whatever is in them.

use std::ffi::OsStr;
use std::path::Path;

use super::prepare::{Result, records, state_directory};
use crate::error::{self, Failure, exit};
use crate::jail::records;
use crate::manifest::{self, Request, lookup, suggest};
use crate::plan::JailName;
use crate::report::diagnostic::Diagnostic;
use crate::tree::{self, Store};

/// Removes each of these jails; the worst of the exit codes.
pub(super) fn remove(jails: &[String]) -> Result<u8> {
    if jails.is_empty() {
        let nothing = Diagnostic::error("no jail is named").hint("write `stockade remove JAIL`");
        return Err(Failure::new(nothing, exit::USAGE));
    }
    let state = state_directory()?;
    let store = Store::find(&state).map_err(|error| {
        let failed = Diagnostic { hint: error.hint(), ..Diagnostic::error("cannot remove any jail") };
        Failure::new(failed.why(error.to_string()), exit::FAILED)
    })?;
    let mut code = 0;
    // What an earlier removal had to leave, or could not finish.
    for error in store.iter().flat_map(|store| store.sweep().unwrap_or_else(|error| vec![error])) {
        code = code.max(failed("cannot remove what is left of a jail that was removed", &error).report());
    }
    for jail in jails {
        match one(store.as_ref(), &state, jail) {
            Ok(line) => error::note(&line),
            Err(failure) => code = code.max(failure.report()),
        }
    }
    records::tidy(&records(&state));
    Ok(code)
}

/// Removes one jail; what to say of it.
fn one(store: Option<&Store>, state: &Path, jail: &str) -> Result<String> {
    let name = named(jail)?;
    let removed = match store {
        Some(store) => store.remove(&name),
        None => Ok(None),
    };
    match removed {
        Ok(Some(1)) => Ok(format!("removed jail `{name}` with its tree")),
        Ok(Some(count)) => Ok(format!("removed jail `{name}` with {count} trees")),
        Ok(None) => Err(absent(store, state, &name)),
        Err(error) => Err(failed(&format!("cannot remove jail `{name}`"), &error)),
    }
}

/// The name that a jail has in the state directory: its manifest's, or, when that is gone, what the user calls it.
pub(super) fn named(jail: &str) -> Result<JailName> {
    let request = Request { jail: jail.into(), ..Request::default() };
    let found = lookup::find(OsStr::new(jail)).ok().filter(|path| path.symlink_metadata().is_ok());
    // As `lookup` tells them apart.
    let is_path = jail.contains('/') || Path::new(jail).extension() == Some(OsStr::new("toml"));
    match (manifest::load(&request), found) {
        (Ok(loaded), _) => {
            if let Some(name) = loaded.manifest.name {
                return Ok(name.value);
            }
        }
        // It is there, and what it calls its jail is not known.
        (Err(findings), Some(_)) if is_path => {
            let mut failure = Failure::manifest(findings, OsStr::new(jail));
            let other = Diagnostic::error("the name of the jail to be removed is not known")
                .hint("write `stockade remove NAME`, which needs no manifest");
            failure.diagnostics.push(other);
            return Err(failure);
        }
        (Err(_), _) => {}
    }
    let stem = Path::new(jail).file_stem().unwrap_or_default().to_string_lossy();
    let word = if is_path { &*stem } else { jail };
    JailName::parse(word).map_err(|why| {
        let failure = Diagnostic::error(format!("`{jail}` names no jail")).why(why);
        Failure::new(failure.hint("write the path of its manifest, or its name"), exit::FINDING)
    })
}

/// Nothing is there of a jail.
pub(super) fn absent(store: Option<&Store>, state: &Path, name: &JailName) -> Failure {
    let jails = store.and_then(|store| store.jails().ok()).unwrap_or_default();
    let nothing = Diagnostic::error(format!("there is nothing of jail `{name}`"))
        .why(format!("the state directory `{}` has no `{name}`", state.display()));
    let near = suggest::nearest(name.as_str(), jails.iter().map(String::as_str));
    let nothing = match near {
        Some(near) => nothing.hint(format!("did you mean `{near}`?")),
        None if jails.is_empty() => nothing.hint("STOCKADE_STATE_DIR names another state directory"),
        None => nothing.hint(format!("what is there: {}", suggest::listed(jails.iter().map(String::as_str)))),
    };
    Failure::new(nothing, exit::FINDING)
}

/// A failure of the tree's, as a message.
pub(super) fn failed(what: &str, error: &tree::Error) -> Failure {
    let failed = Diagnostic { hint: error.hint(), ..Diagnostic::error(what) };
    Failure::new(failed.why(error.to_string()), exit::FAILED)
}
