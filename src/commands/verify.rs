//! `verify`: compares trees with their records, and with what the host has now.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::build::{self, Foreseen};
use super::prepare::{ATTEMPTS, Jail, Result, state_directory};
use super::{remove, select};
use crate::cli;
use crate::error::{self, Failure, exit};
use crate::jail;
use crate::jail::running::Running;
use crate::manifest::schema::MountKind;
use crate::plan::JailName;
use crate::report::diagnostic::{Diagnostic, Style};
use crate::report::printed;
use crate::report::rows::{self, Row};
use crate::tree::record::Entry;
use crate::tree::{
    self, Change, ChangeKind, Deviation, DeviationKind, Error, Generation, Record, Store, Verified,
};

/// Where a program puts files of its own, which it may delete while they are mapped, as some compilers at run time do.
const OWN_FILES: [&str; 6] = ["/dev", "/run", "/tmp", "/var/tmp", "/memfd:", "/SYSV"];

/// Verifies each of these jails; 1 if anything is found.
pub(super) fn verify(options: &cli::Verify) -> Result<u8> {
    let state = state_directory()?;
    let store = Store::find(&state).map_err(|error| remove::failed("cannot verify any jail", &error))?;
    let named = match (options.all, &options.jails[..]) {
        (false, []) => {
            let nothing = Diagnostic::error("no jail is named")
                .hint("write `stockade verify JAIL`, or `stockade verify --all`");
            return Err(Failure::new(nothing, exit::USAGE));
        }
        (true, []) => {
            let jails = store.as_ref().map_or(Ok(Vec::new()), Store::jails);
            jails.map_err(|error| remove::failed("cannot tell which jails are built", &error))?
        }
        (true, _) => {
            let both = Diagnostic::error("`--all` names every jail already");
            return Err(Failure::new(both.hint("name some, or write `--all`"), exit::USAGE));
        }
        (false, jails) => jails.to_vec(),
    };
    let mut code = 0;
    let mut values = Vec::new();
    for word in &named {
        let name = if options.all { JailName::parse(word).ok() } else { None };
        let found = match name.map_or_else(|| remove::named(word), Ok) {
            Ok(name) => one(store.as_ref(), &state, &name, options.all),
            Err(failure) => Err(failure),
        };
        match found {
            Ok(Some(report)) => {
                if report.is_finding() {
                    code = code.max(exit::FINDING);
                }
                if options.json {
                    values.push(report.json());
                } else {
                    code = code.max(error::print(&report.text()));
                }
            }
            // What was never finished is no jail.
            Ok(None) => {}
            Err(failure) => code = code.max(failure.report()),
        }
    }
    if options.json {
        let value = json!({ "format": 1, "jails": values });
        code = code.max(error::print(&printed::json(&value)));
    }
    Ok(code)
}

/// What there is to say of one jail.
struct Report {
    generation: Generation,
    verified: Verified,
    rows: Vec<Row>,
}

impl Report {
    fn is_finding(&self) -> bool {
        !self.rows.is_empty()
    }

    fn text(&self) -> String {
        let name = &self.generation.jail;
        let paths = self.verified.paths;
        if !self.is_finding() {
            return format!(
                "jail `{name}`: {paths} paths are as they were built, and as the host has them\n"
            );
        }
        let text = rows::text(&self.rows, Style::for_stdout().has_colour());
        let more = match self.verified.untold {
            0 => String::new(),
            untold => format!("and {untold} more that were added\n"),
        };
        let count = |word: &str| {
            let untold = if word == "added" { self.verified.untold } else { 0 };
            untold + self.rows.iter().filter(|row| row.word == word).count()
        };
        let counts = ["altered", "missing", "added", "stale"].map(|word| format!("{} {word}", count(word)));
        format!("{text}{more}jail `{name}`: {} of {paths} paths\n", counts.join(", "))
    }

    fn json(&self) -> Value {
        json!({
            "jail": self.generation.jail.as_str(),
            "generation": self.generation.number,
            "paths": self.verified.paths,
            "bytes": self.verified.bytes,
            "findings": rows::json(&self.rows),
            "untold": self.verified.untold,
        })
    }
}

/// Verifies one jail. `None` if it has no tree and `lenient` is content with that.
fn one(store: Option<&Store>, state: &Path, name: &JailName, lenient: bool) -> Result<Option<Report>> {
    let failed = |error: &Error| remove::failed(&format!("cannot verify jail `{name}`"), error);
    let mut attempts = 1..ATTEMPTS;
    loop {
        let found = store.map_or(Ok(None), |store| store.latest(name)).map_err(|error| failed(&error))?;
        let (Some(store), Some(generation)) = (store, found) else {
            return if lenient { Ok(None) } else { Err(remove::absent(store, state, name)) };
        };
        let verified = store
            .record(&generation)
            .and_then(|record| Ok((tree::verify(store, &generation, &record)?, record)));
        match verified {
            Ok((verified, record)) => {
                return Ok(Some(compared(store, generation, verified, &record)));
            }
            // A build replaced it in between; its record went first.
            Err(error @ (Error::Gone { .. } | Error::Store { errno: nix::errno::Errno::ENOENT, .. })) => {
                if attempts.next().is_none() {
                    return Err(failed(&store.lost(&generation, error)));
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            Err(error @ Error::Unreadable { .. }) => return Err(failed(&error).code(exit::FINDING)),
            Err(error) => return Err(failed(&error)),
        }
    }
}

/// Adds what the host has to say to what the tree had.
fn compared(store: &Store, generation: Generation, verified: Verified, record: &Record) -> Report {
    let cure = format!("`stockade build {}` makes the tree anew", build_word(record));
    let mut rows: Vec<Row> =
        verified.deviations.iter().map(|deviation| tampered(deviation, record, &cure)).collect();
    rows.extend(stale(record, &cure));
    rows.extend(running(store, &generation, record));
    Report { generation, verified, rows }
}

/// What `build` is to be given: the manifest's path, or the jail's name.
fn build_word(record: &Record) -> String {
    record.head.made_from.as_ref().map_or(record.head.jail.clone(), |from| from.path.0.display().to_string())
}

/// A path that is not as it was built.
fn tampered(deviation: &Deviation, record: &Record, cure: &str) -> Row {
    let mut details = deviation.details.clone();
    if record.head.writable && deviation.kind != DeviationKind::Missing {
        details.push("the program may write to its tree, so this may be its own doing".to_owned());
    }
    Row {
        word: deviation.kind.name(),
        path: deviation.path.clone(),
        details,
        reason: deviation.reason.clone(),
        hint: Some(cure.to_owned()),
    }
}

/// What the host has otherwise by now, as the manifest asks for it.
fn stale(record: &Record, cure: &str) -> Vec<Row> {
    let row = |path: &Path, details: Vec<String>, reason: &str| Row {
        word: "stale",
        path: path.to_owned(),
        details,
        reason: Some(reason.to_owned()),
        hint: Some(cure.to_owned()),
    };
    let jail = match build::unasked(record) {
        Some(jail) if jail.name.as_str() == record.head.jail => jail,
        // What it would be built from cannot be asked, but the sources can.
        _ => {
            error::note(&format!(
                "the manifest of jail `{}` cannot be used any more, or can be changed by others: its sources alone are looked at",
                record.head.jail
            ));
            let gone = record.entries.iter().filter_map(|entry| Some((entry, source_differs(entry)?)));
            return gone.map(|(entry, detail)| row(&entry.path.0, vec![detail], &entry.reason)).collect();
        }
    };
    match build::foresee(&jail, Some(record)) {
        Ok(Foreseen { changes, .. }) => {
            changes.iter().map(|change| row(&change.path, changed(change, record), &change.reason)).collect()
        }
        // It cannot be built any more as things are: told as a build would, and a finding.
        Err(failure) => {
            failure.report();
            let detail = "a build would fail now".to_owned();
            vec![row(Path::new("/"), vec![detail], "the manifest and the host as they are now")]
        }
    }
}

/// What is said of a change that a build would make.
fn changed(change: &Change, record: &Record) -> Vec<String> {
    let entry = || record.entries.iter().find(|entry| entry.path.0 == change.path);
    let first = match change.kind {
        ChangeKind::Added => "the host has it now, the tree has not".to_owned(),
        ChangeKind::Changed => "the host has it otherwise now".to_owned(),
        ChangeKind::Removed => match entry().and_then(source_differs) {
            Some(gone) => gone,
            None => "nothing asks for it any more".to_owned(),
        },
    };
    std::iter::once(first).chain(change.details.iter().cloned()).collect()
}

/// How the source of an entry differs from what was copied, as far as its state tells.
fn source_differs(entry: &Entry) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let source = &entry.source.as_ref()?.0;
    match source.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Some(format!("its source {} is gone", source.display()))
        }
        Err(error) => Some(format!("its source {} cannot be looked at: {error}", source.display())),
        Ok(found) if !found.is_file() => Some(format!("its source {} is no file any more", source.display())),
        Ok(found) => {
            let now = (Some(found.size()), (found.mtime(), found.mtime_nsec()));
            let detail = || format!("its source {} has been changed since", source.display());
            (now != (entry.size, entry.mtime)).then(detail)
        }
    }
}

/// What running jails have of older trees, or of files that are gone. Which run is told by their records; where these cannot be
/// read, `list` says why.
fn running(store: &Store, current: &Generation, record: &Record) -> Vec<Row> {
    let mut rows = Vec::new();
    for run in select::all().unwrap_or_default().iter().filter(|run| run.entry.jail == current.jail) {
        let supervisor = run.supervisor.unsigned_abs();
        let mapped = jail::mapped(supervisor);
        let number = run.entry.tree.parent().and_then(|place| place.file_name()?.to_str()?.parse().ok());
        let generation = number.filter(|number| *number != current.number);
        let generation = generation.and_then(|number| store.numbered(&current.jail, number));
        let mut older = Vec::new();
        if let Some(generation) = generation {
            older = store.record(&generation).map(|older| older.entries).unwrap_or_default();
            let differs = tree::changes(&older, &record.entries);
            if !differs.is_empty() {
                rows.push(outdated(&generation, current, supervisor, &differs, &mapped));
            }
        }
        rows.extend(mapped.iter().filter(|file| is_gone(file, [&older, &record.entries])).map(deleted));
        rows.extend(replaced(run));
    }
    rows
}

/// What a jail shows of the host that the host has put something else in the place of since.
fn replaced(run: &Running) -> Vec<Row> {
    let targets = run.replaced();
    if targets.is_empty() {
        return Vec::new();
    }
    // What the jail mounts by itself, or is given as standard input, is no affair of the host's.
    let Ok(jail) = Jail::of_running(&run.entry) else { return Vec::new() };
    let mounts = jail.loaded.manifest.mounts.iter().filter_map(|mount| match &mount.value.kind {
        MountKind::Bind { source, .. } => Some((&mount.value.target, source, &mount.origin)),
        _ => None,
    });
    let gone = mounts.filter(|(target, ..)| targets.iter().any(|gone| gone == target.as_path()));
    gone.map(|(target, source, origin)| Row {
        word: "stale",
        path: target.as_path().to_owned(),
        details: vec![format!(
            "process {} still shows it as it was: {source} has been replaced or deleted since",
            run.supervisor
        )],
        reason: Some(origin.to_string()),
        hint: Some("start the jail anew".to_owned()),
    })
    .collect()
}

/// A jail that runs from a tree that was replaced.
fn outdated(
    generation: &Generation,
    current: &Generation,
    supervisor: u32,
    differs: &[Change],
    mapped: &[jail::Mapped],
) -> Row {
    let (old, new) = (generation.number, current.number);
    let mut details = vec![format!(
        "process {supervisor} still runs it from generation {old}, and {new} is the current one"
    )];
    let mut paths: Vec<&PathBuf> = mapped
        .iter()
        .map(|file| &file.path)
        .filter(|path| differs.iter().any(|change| change.path == **path && change.kind != ChangeKind::Added))
        .collect();
    paths.dedup();
    details.extend(paths.iter().map(|path| format!("it has {} mapped as it was there", path.display())));
    Row {
        word: "stale",
        path: "/".into(),
        details,
        reason: None,
        hint: Some("start the jail anew".to_owned()),
    }
}

/// Whether a mapped file was deleted that is not the program's own affair: one that a tree has too, or one elsewhere than where
/// programs put such files.
fn is_gone(file: &jail::Mapped, built: [&[Entry]; 2]) -> bool {
    let path = file.path.as_os_str().as_encoded_bytes();
    let is_own = || OWN_FILES.iter().any(|own| path.starts_with(own.as_bytes()));
    let is_built = || built.iter().any(|entries| entries.iter().any(|entry| entry.path.0 == file.path));
    file.is_deleted && (is_built() || !is_own())
}

/// A file that a running program maps and that has no name any more.
fn deleted(file: &jail::Mapped) -> Row {
    Row {
        word: "stale",
        path: file.path.clone(),
        details: vec![format!("process {} has it mapped, and it is deleted", file.pid)],
        reason: None,
        hint: Some("start the jail anew".to_owned()),
    }
}
