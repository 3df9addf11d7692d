//! The libraries we find are those the dynamic loader finds: for every program of this machine, and for programs built
//! here to be awkward. The loader is asked with `--list`, which maps the libraries but does not start the program.
//!
//! A test that cannot run prints `SKIP: why`, or fails if `STOCKADE_NO_SKIP` is set.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use stockade::manifest::libs::{Closure, Error, Kind, Note, Resolver, Why, closure, describe};
use stockade::manifest::links::Root;

fn skip(why: &str) {
    assert!(std::env::var_os("STOCKADE_NO_SKIP").is_none(), "must not skip: {why}");
    println!("SKIP: {why}");
}

/// What `LOADER --list PROGRAM` prints.
#[derive(Default)]
struct Listing {
    files: BTreeSet<PathBuf>,
    not_found: BTreeSet<String>,
    /// The loader gave up for another reason.
    failed: Option<String>,
}

fn ask_loader(loader: &Path, program: &Path) -> Listing {
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
    // musl reports on stderr what is missing, and says nothing else.
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    for line in errors.lines().filter_map(|line| line.strip_prefix("Error loading shared library ")) {
        listing.not_found.extend(line.split(':').next().map(str::to_owned));
    }
    if !output.status.success() && listing.not_found.is_empty() {
        listing.failed = Some(errors.trim().to_owned());
    }
    listing
}

/// The part of a closure the loader knows at start: neither what is loaded later, nor files for other processors.
fn at_start(closure: &Closure) -> BTreeSet<PathBuf> {
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
fn real(paths: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    paths.iter().map(|path| fs::canonicalize(path).unwrap_or_else(|_| path.clone())).collect()
}

/// Every ELF file with a loader below the directories where programs are.
fn programs() -> Vec<(PathBuf, PathBuf)> {
    let root = Root::host();
    let mut found = Vec::new();
    let roots = ["/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec", "/usr/local"];
    for entry in roots.iter().flat_map(|root| walkdir::WalkDir::new(root).same_file_system(true)).flatten() {
        if entry.file_type().is_file()
            && let Ok(Kind::Elf { interpreter: Some(interpreter), .. }) = describe(&root, entry.path())
        {
            found.push((entry.into_path(), interpreter));
        }
    }
    found
}

/// What one comparison came to.
enum Verdict {
    Same,
    /// Other spellings of the same files.
    SameFiles(String),
    /// Both say that something is missing.
    BothMiss(String),
    /// Not comparable, for a reason that is not ours.
    Skipped(String),
    Different(String),
}

fn compare(resolver: &mut Resolver, program: &Path, loader: &Path) -> (Verdict, Option<Closure>) {
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
            let same = names == listing.not_found;
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

#[test]
fn every_program_of_this_machine() {
    let programs = programs();
    if programs.len() < 100 {
        return skip("fewer than 100 dynamic programs on this machine");
    }
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let root = Root::host();
                let mut resolver = Resolver::new(&root);
                while let Some((program, loader)) = programs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = compare(&mut resolver, program, loader);
                    results.lock().unwrap().insert(program.clone(), result);
                }
            });
        }
    });

    let results = results.into_inner().unwrap();
    let (mut same, mut files, mut both_miss, mut unwinder) = (0, 0, 0, Vec::new());
    let (mut private, mut listed) = (Vec::new(), Vec::new());
    let mut different = Vec::new();
    let mut skipped = 0;
    for (program, (verdict, ours)) in &results {
        let program = program.display();
        match verdict {
            Verdict::Same => same += 1,
            Verdict::SameFiles(text) => {
                same += 1;
                println!("same files by other paths: {program}: {text}");
            }
            Verdict::BothMiss(text) => {
                both_miss += 1;
                println!("missing for the loader and for us: {program}: {text}");
            }
            Verdict::Skipped(text) => {
                skipped += 1;
                println!("SKIPPED {program}: {text}");
            }
            Verdict::Different(text) => different.push(format!("{program}: {text}")),
        }
        let Some(ours) = ours else { continue };
        files += ours.files.len();
        for file in &ours.files {
            match file.why {
                Why::ThreadExit => unwinder.push(format!("{program} (by {})", file.by.display())),
                Why::SearchPath { .. } => listed.push(format!("{program} ({})", file.why)),
                Why::Needed { .. }
                    if !["/lib", "/usr/lib"].iter().any(|top| {
                        file.path.parent().is_some_and(|parent| {
                            let rest = parent.strip_prefix(top).map(|rest| rest.components().count());
                            rest.is_ok_and(|depth| depth <= 1)
                        })
                    }) =>
                {
                    private.push(format!("{program}: {}", file.path.display()))
                }
                _ => {}
            }
        }
        for note in &ours.notes {
            println!("note: {program}: {note}");
        }
    }
    let text = |list: &[String]| list.iter().map(|line| format!("\n  {line}")).collect::<String>();
    println!("libraries in private directories: {}{}", private.len(), text(&private));
    println!("found only with a list of the host: {}{}", listed.len(), text(&listed));
    println!("libgcc_s.so.1 added for threads that end early: {}{}", unwinder.len(), text(&unwinder));
    println!(
        "programs {}, same {same}, missing for both {both_miss}, skipped {skipped}, different {}; {files} files",
        results.len(),
        different.len()
    );
    assert!(different.is_empty(), "unexplained differences:{}", text(&different));
    assert!(same > 100, "only {same} programs compared");
}
