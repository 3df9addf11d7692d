//! The libraries we find are those the dynamic loader finds: for every program of this machine, and for programs built
//! here to be awkward. The loader is asked with `--list`, which maps the libraries but does not start the program.
//!
//! A test that cannot run prints `SKIP: why`, or fails if `STOCKADE_NO_SKIP` is set.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are outside the functions clippy takes for tests"
)]

mod built;
mod machine;

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use stockade::manifest::libs::{Closure, Error, Resolver, Why};

pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("STOCKADE_NO_SKIP").is_none(), "must not skip: {why}");
    println!("SKIP: {why}");
}

/// What `LOADER --list PROGRAM` prints.
#[derive(Default)]
pub(crate) struct Listing {
    pub(crate) files: BTreeSet<PathBuf>,
    pub(crate) not_found: BTreeSet<String>,
    /// The loader gave up for another reason.
    pub(crate) failed: Option<String>,
}

pub(crate) fn ask_loader(loader: &Path, program: &Path) -> Listing {
    let mut command = Command::new(loader);
    command.arg("--list").arg(program).env_clear().env("LC_ALL", "C");
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return Listing { failed: Some(error.to_string()), ..Listing::default() },
    };
    let mut listing = Listing::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        // `name => path (address)`, `path (address)` or `name => not found`
        let (name, path) = line.trim().split_once(" => ").unwrap_or(("", line.trim()));
        let path = path.split(" (0x").next().unwrap_or(path);
        if path.starts_with("not found") {
            listing.not_found.insert(name.to_owned());
        } else if path.starts_with('/') {
            listing.files.insert(PathBuf::from(path));
        }
    }
    // On stderr musl names each that is missing, glibc the first.
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    for line in errors.lines().filter(|line| !line.contains("invalid ELF header")) {
        let glibc = line.split_once(": error while loading shared libraries: ").map(|(_, rest)| rest);
        let rest = glibc.or_else(|| line.strip_prefix("Error loading shared library "));
        listing.not_found.extend(rest.and_then(|rest| rest.split(':').next()).map(str::to_owned));
    }
    if !output.status.success() && listing.not_found.is_empty() {
        listing.failed = Some(errors.trim().to_owned());
    }
    listing
}

/// The part of a closure the loader knows at start: neither what is loaded later, nor files for other processors.
pub(crate) fn at_start(closure: &Closure) -> BTreeSet<PathBuf> {
    let mut later: HashSet<&Path> = HashSet::new();
    let mut found = BTreeSet::new();
    for file in &closure.files {
        let late = matches!(
            file.why,
            Why::Dlopen { .. } | Why::ThreadExit | Why::Baseline { .. } | Why::SearchPath { .. }
        );
        if late || later.contains(file.by.as_path()) {
            later.insert(&file.path);
        } else if file.why != Why::Program {
            found.insert(file.path.clone());
        }
    }
    found
}

/// Every path with all links resolved.
pub(crate) fn real(paths: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    paths.iter().map(|path| fs::canonicalize(path).unwrap_or_else(|_| path.clone())).collect()
}

/// What one comparison came to.
pub(crate) enum Verdict {
    Same,
    /// Other spellings of the same files.
    SameFiles(String),
    /// Both say that something is missing.
    BothMiss(String),
    /// Not comparable, for a reason that is not ours.
    Skipped(String),
    Different(String),
}

pub(crate) fn compare(resolver: &mut Resolver, program: &Path, loader: &Path) -> (Verdict, Option<Closure>) {
    let listing = ask_loader(loader, program);
    let ours = match resolver.closure(program) {
        Ok(ours) => ours,
        Err(Error::Interpreter { path, problem, .. }) if listing.failed.is_some() => {
            return (Verdict::BothMiss(format!("{}: {problem}", path.display())), None);
        }
        Err(Error::Missing(missing)) => {
            let names: BTreeSet<_> =
                missing.iter().map(|one| one.name.to_string_lossy().into_owned()).collect();
            let text = format!("{names:?}");
            let same = !listing.not_found.is_empty() && listing.not_found.is_subset(&names);
            return (if same { Verdict::BothMiss(text) } else { Verdict::Different(text) }, None);
        }
        Err(error) => return (Verdict::Different(format!("{error}; loader: {:?}", listing.failed)), None),
    };
    let found = at_start(&ours);
    let verdict = if let Some(reason) = listing.failed {
        Verdict::Skipped(format!("the loader itself fails: {reason}"))
    } else if !listing.not_found.is_empty() {
        Verdict::Different(format!("the loader does not find {:?}, we do", listing.not_found))
    } else if found == listing.files {
        Verdict::Same
    } else {
        let missing: Vec<_> = listing.files.difference(&found).collect();
        let extra: Vec<_> = found.difference(&listing.files).collect();
        let text = format!("loader only {missing:?}, we only {extra:?}");
        if real(&found) == real(&listing.files) { Verdict::SameFiles(text) } else { Verdict::Different(text) }
    };
    (verdict, Some(ours))
}
