//! `build`: makes a jail's tree anew, says beforehand what that would change, or goes back to the tree before.

use std::ffi::OsStr;
use std::path::Path;

use serde_json::{Value, json};

use super::prepare::{Jail, Result, state_directory};
use super::{remove, test};
use crate::cli;
use crate::error::{self, Failure, exit};
use crate::manifest::finding::Finding;
use crate::manifest::resolve::tree::TreeSteps;
use crate::manifest::{Request, lookup};
use crate::plan::JailName;
use crate::report::amount;
use crate::report::diagnostic::{Diagnostic, Style};
use crate::report::printed;
use crate::report::rows::{self, Row};
use crate::tree::{self, Built, Change, ChangeKind, Distrust, Generation, Record, Store};

/// Builds one jail's tree, or those of all jails that have one.
pub(super) fn build(options: &cli::Build) -> Result<u8> {
    if let Some(jail) = &options.jail {
        if options.rollback {
            return roll_back(options, &built_as(jail)?);
        }
        let request = cli::request(jail, &options.set, Vec::new());
        let jail = Jail::load(&request)?;
        let value = one(options, &jail, &request)?;
        return Ok(if options.json { print(&value) } else { 0 });
    }
    let mut code = 0;
    let mut values = Vec::new();
    for asked in built_jails()? {
        match asked.and_then(|(jail, request)| one(options, &jail, &request)) {
            Ok(value) => values.push(value),
            Err(failure) => code = code.max(failure.report()),
        }
    }
    Ok(if options.json { code.max(print(&values.into())) } else { code })
}

/// A jail, if its manifest still calls it what its tree is called.
fn named_so(name: &JailName, jail: Jail) -> Result<Jail> {
    if jail.name == *name {
        return Ok(jail);
    }
    let other = Diagnostic::error(format!(
        "the manifest that jail `{name}` was built from is of jail `{}` now",
        jail.name
    ))
    .why(format!("it is `{}`", jail.loaded.path.display()))
    .hint(format!(
        "build that by its path, and write `stockade remove {name}` if this one is not wanted any more"
    ));
    Err(Failure::new(other, exit::FINDING))
}

/// Prints JSON.
fn print(value: &Value) -> u8 {
    error::print(&printed::json(value))
}

/// Every jail of the state directory, with what was asked for, to be asked for again.
fn built_jails() -> Result<Vec<Result<(Jail, Request)>>> {
    let state = state_directory()?;
    let cannot = |error: &tree::Error| {
        let failed =
            Diagnostic { hint: error.hint(), ..Diagnostic::error("cannot tell which jails are built") };
        Failure::new(failed.why(error.to_string()), exit::FAILED)
    };
    let Some(store) = Store::find(&state).map_err(|error| cannot(&error))? else { return Ok(Vec::new()) };
    let names = store.jails().map_err(|error| cannot(&error))?;
    let mut jails = Vec::new();
    for name in names.iter().filter_map(|name| JailName::parse(name).ok()) {
        // What was never finished is no jail.
        if let Some(generation) = store.latest(&name).map_err(|error| cannot(&error))? {
            jails.push(asked_again(&store, &generation));
        }
    }
    Ok(jails)
}

/// A jail as its tree was built, which is what it goes back with: with the same `--set`, and where the word leads to no manifest from
/// that which the tree was built from.
fn built_as(word: &str) -> Result<Jail> {
    let given = cli::request(word, &[], Vec::new());
    let name = remove::named(word)?;
    let state = state_directory()?;
    let latest = Store::find(&state).and_then(|store| {
        let Some(store) = store else { return Ok(None) };
        Ok(store.latest(&name)?.map(|generation| (store, generation)))
    });
    // What cannot be looked at is told when it is to be gone back from.
    let Ok(Some((store, generation))) = latest else { return Jail::load(&given) };
    if lookup::find(OsStr::new(word)).is_ok_and(|path| path.symlink_metadata().is_ok()) {
        let made_from = store.record(&generation).ok().and_then(|record| made_from(&record));
        let sets = made_from.map(|request| request.sets).unwrap_or_default();
        return Jail::load(&Request { sets, ..given });
    }
    asked_again(&store, &generation).map(|(jail, _)| jail)
}

/// The jail that a generation was built for, with what was asked for.
fn asked_again(store: &Store, generation: &Generation) -> Result<(Jail, Request)> {
    let unknown = |why: String| {
        let jail = &generation.jail;
        let message = format!("it is not known which manifest jail `{jail}` was built from");
        let hint = "name the manifest: `stockade build PATH`";
        Failure::new(Diagnostic::error(message).why(why).hint(hint), exit::FINDING)
    };
    let record = store.record(generation).map_err(|error| unknown(error.to_string()))?;
    let request = made_from(&record).ok_or_else(|| unknown("its record does not say".to_owned()))?;
    match load_unasked(&request)? {
        Ok(jail) => Ok((named_so(&generation.jail, jail)?, request)),
        Err(distrust) => {
            let unasked = Diagnostic::error(format!("jail `{}` is not built unasked", generation.jail))
                .why(format!("its manifest can be changed by others: {distrust}"))
                .hint(format!("look at it, and write `stockade build {}`", request.jail.display()));
            Err(Failure::new(unasked, exit::FINDING))
        }
    }
}

/// The jail of a manifest that is used unasked; where root asks, the reason why not, if others can change the manifest or what that
/// includes: nobody has looked at it since, and what a user writes into it by now is not what root has meant to build, to run as a
/// test, or to read.
fn load_unasked(request: &Request) -> Result<std::result::Result<Jail, Distrust>> {
    let is_root = nix::unistd::geteuid().is_root();
    let distrust =
        |path: &Path| tree::trust_file(path).err().filter(|distrust| is_root && distrust.is_of_others());
    if let Some(distrust) = distrust(Path::new(&request.jail)) {
        return Ok(Err(distrust));
    }
    let jail = Jail::load(request)?;
    // Of the very files that were read.
    let distrusted = jail.loaded.sources.iter().find_map(|source| distrust(&source.path));
    Ok(distrusted.map_or(Ok(jail), Err))
}

/// The jail that a tree was built for, as its manifest is by now; none if that cannot be used, or not unasked.
pub(super) fn unasked(record: &Record) -> Option<Jail> {
    load_unasked(&made_from(record)?).ok()?.ok()
}

/// What a record says its tree was built from.
fn made_from(record: &Record) -> Option<Request> {
    let from = record.head.made_from.as_ref()?;
    Some(Request { jail: from.path.0.clone().into(), sets: from.sets.clone(), extra_arguments: Vec::new() })
}

/// Builds one jail, or says what a build would change; the same for programs.
fn one(options: &cli::Build, jail: &Jail, request: &Request) -> Result<Value> {
    if options.dry_run {
        return dry_run(options, jail);
    }
    if options.test {
        test::refuse_beside_a_running(jail)?;
    }
    let mut refused = None;
    let mut trial = |generation: &Generation| {
        let passed = if options.test { test::trial(jail, request, generation) } else { Ok(()) };
        refused = passed.err();
        refused.is_none()
    };
    match jail.build(options.keep, &mut trial) {
        Ok((built, warnings)) => {
            announce(jail, &built, &warnings);
            let since = built.since.as_ref().map(|(number, changes)| (*number, &changes[..]));
            Ok(value(jail, Some(built.generation.number), since))
        }
        Err(failure) => Err(match refused {
            Some(mut refused) => {
                refused.diagnostics.extend(failure.diagnostics);
                refused.code(exit::FINDING)
            }
            None => failure,
        }),
    }
}

/// Says what a build would change. That something would is no failure: the exit code is a build's.
fn dry_run(options: &cli::Build, jail: &Jail) -> Result<Value> {
    let Foreseen { since, changes, stay, warnings } = foresee(jail, jail.record()?.as_ref())?;
    let all: Vec<_> = jail.loaded.warnings.iter().chain(&warnings).cloned().map(Diagnostic::from).collect();
    error::eprint_all(&all, &jail.loaded.path.display().to_string());
    if !options.json {
        let against = since.map_or_else(
            || format!("jail `{}` is not built yet; a build would make:\n", jail.name),
            |number| format!("jail `{}`, compared with generation {number}:\n", jail.name),
        );
        let rows: Vec<Row> = changes.iter().map(row).collect();
        let text = rows::text(&rows, Style::for_stdout().has_colour());
        let summary = format!("{}; {stay} stay as they are\n", counted(&changes));
        let code = error::print(&[against, text, summary].concat());
        if code != 0 {
            return Err(Failure { diagnostics: Vec::new(), subject: String::new(), code });
        }
    }
    Ok(value(jail, None, Some((since.unwrap_or(0), &changes))))
}

/// What a build would come to.
pub(super) struct Foreseen {
    /// The generation it is compared with.
    since: Option<u64>,
    /// What would differ.
    pub(super) changes: Vec<Change>,
    /// How many paths would not.
    stay: usize,
    /// What should be known although it is no error.
    warnings: Vec<Finding>,
}

/// Compares what the manifest and the host ask for now with a record; writes nothing.
pub(super) fn foresee(jail: &Jail, record: Option<&Record>) -> Result<Foreseen> {
    let TreeSteps { steps, warnings, archive, .. } = jail.build_steps()?;
    let plan = jail.plan(steps, Vec::new())?;
    let entries = tree::foresee(&plan, jail.state(), jail.host.is_root(), record, archive.as_deref())
        .map_err(|error| jail.tree_failure(&error))?;
    let old = record.map(|record| &record.entries[..]).unwrap_or_default();
    let changes = tree::changes(old, &entries);
    let gone = changes.iter().filter(|change| change.kind == ChangeKind::Removed).count();
    let stay = entries.len() + gone - changes.len();
    Ok(Foreseen { since: record.map(|record| record.head.generation), changes, stay, warnings })
}

/// A change as it is shown.
fn row(change: &Change) -> Row {
    Row {
        word: change.kind.name(),
        path: change.path.clone(),
        details: change.details.clone(),
        reason: Some(change.reason.clone()),
        hint: None,
    }
}

/// How many changes there are of each kind.
fn counted(changes: &[Change]) -> String {
    let count = |kind| changes.iter().filter(|change| change.kind == kind).count();
    let kinds = [ChangeKind::Added, ChangeKind::Changed, ChangeKind::Removed];
    kinds.map(|kind| format!("{} {}", count(kind), kind.name())).join(", ")
}

/// What a build changed or would change, for programs: `generation` is null for a dry run, `since` for a first build.
fn value(jail: &Jail, generation: Option<u64>, since: Option<(u64, &[Change])>) -> Value {
    let (since, changes) = since.unwrap_or_default();
    let rows: Vec<Row> = changes.iter().map(row).collect();
    json!({
        "format": 1,
        "jail": jail.name.as_str(),
        "generation": generation,
        "since": (since != 0).then_some(since),
        "changes": rows::json(&rows),
    })
}

/// Goes back to the generation before.
fn roll_back(options: &cli::Build, jail: &Jail) -> Result<u8> {
    let name = &jail.name;
    let failed = |error: &tree::Error| {
        let failed = Diagnostic::error(format!("cannot go back to an older tree of jail `{name}`"));
        let code = match error {
            tree::Error::OfAnotherManifest { .. } => exit::FINDING,
            _ => exit::FAILED,
        };
        Failure::new(Diagnostic { hint: error.hint(), ..failed.why(error.to_string()) }, code)
    };
    let done = jail.store()?.roll_back(name, &jail.key, options.keep).map_err(|error| failed(&error))?;
    let Some((generation, left)) = done else {
        let nothing = Diagnostic::error(format!("jail `{name}` has no older tree to go back to"))
            .hint("`stockade build --keep COUNT` says how many are kept from then on");
        return Err(Failure::new(nothing, exit::FINDING));
    };
    let left: Vec<_> = left.iter().map(self::left).collect();
    error::eprint_all(&left, &jail.loaded.path.display().to_string());
    error::note(&format!("jail `{name}` is back at generation {}", generation.number));
    Ok(0)
}

/// Says what was built, and what should be known about it.
pub(super) fn announce(jail: &Jail, built: &Built, warnings: &[Finding]) {
    let all: Vec<_> = jail
        .loaded
        .warnings
        .iter()
        .filter(|known| !warnings.contains(known))
        .chain(warnings)
        .map(|finding| finding.clone().into())
        .chain(built.left.iter().map(left))
        .collect();
    error::eprint_all(&all, &jail.loaded.path.display().to_string());
    error::note(&format!(
        "built jail `{}`: {} files, {} directories, {} links, {} in `{}`",
        jail.name,
        built.files,
        built.directories,
        built.links,
        amount::bytes(built.bytes),
        built.generation.tree().display()
    ));
    if let Some((number, changes)) = &built.since {
        let changed = if changes.is_empty() { "nothing has changed".to_owned() } else { counted(changes) };
        error::note(&format!(
            "since generation {number}: {changed}; {} files are shared with it",
            built.shared
        ));
    }
}

/// Something of an older tree that is still there.
fn left(error: &tree::Error) -> Diagnostic {
    let left = Diagnostic::warning("something of an older tree is left, and tried again by the next build");
    Diagnostic { hint: error.hint(), ..left.why(error.to_string()) }
}
