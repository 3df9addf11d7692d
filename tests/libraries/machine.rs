//! Everything installed here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use stockade::manifest::libs::{Error, Kind, Resolver, Why, describe};
use stockade::manifest::links::Root;

use super::{Listing, Verdict, ask_loader, at_start, compare, real, skip};

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

/// Not directly in `/lib`, `/usr/lib` or one of their subdirectories for an architecture.
fn is_private(path: &Path) -> bool {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let below = |top| parent.strip_prefix(top).is_ok_and(|rest| rest.components().count() <= 1);
    !below("/lib") && !below("/usr/lib")
}

/// How many programs each line concerns; the first thirty lines.
fn report(title: &str, counts: &BTreeMap<String, usize>) {
    println!("{title}: {} in {} programs", counts.len(), counts.values().sum::<usize>());
    for (line, count) in counts.iter().take(30) {
        println!("  {line}: {count}");
    }
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
    let (mut same, mut files, mut both_miss, mut skipped) = (0, 0, 0, 0);
    let (mut private, mut listed, mut unwinder) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut different = Vec::new();
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
            let count = |map: &mut BTreeMap<String, usize>, key: String| *map.entry(key).or_default() += 1;
            match &file.why {
                Why::ThreadExit => count(&mut unwinder, file.by.display().to_string()),
                Why::SearchPath { library } => count(&mut listed, library.display().to_string()),
                Why::Needed { .. } if is_private(&file.path) => {
                    count(&mut private, file.path.display().to_string());
                }
                _ => {}
            }
        }
        for note in &ours.notes {
            println!("note: {program}: {note}");
        }
    }
    report("libraries in private directories, by RPATH or RUNPATH", &private);
    report("libraries found only with the host's list", &listed);
    report("libgcc_s.so.1 added, as these end threads early", &unwinder);
    println!(
        "programs {}, same {same}, missing for both {both_miss}, skipped {skipped}, different {}; {files} files",
        results.len(),
        different.len()
    );
    assert!(different.is_empty(), "unexplained differences:\n{}", different.join("\n"));
    assert!(same > 100, "only {same} programs compared");
}

/// Plugins have no loader of their own; the one that maps them is that of the program.
#[test]
fn every_shared_library_of_this_machine() {
    let root = Root::host();
    let mut resolver = Resolver::new(&root);
    let (mut same, mut both_miss, mut different) = (0, 0, Vec::new());
    for entry in
        walkdir::WalkDir::new("/usr/lib").same_file_system(true).sort_by_file_name().into_iter().flatten()
    {
        let path = entry.path();
        if !entry.file_type().is_file() || !entry.file_name().to_string_lossy().contains(".so") {
            continue;
        }
        let loader = match describe(&root, path) {
            Ok(Kind::Elf { machine, interpreter: None, is_static: false }) => {
                match machine.to_string().as_str() {
                    "x86-64" => Path::new("/lib64/ld-linux-x86-64.so.2"),
                    "i386" => Path::new("/lib/ld-linux.so.2"),
                    _ => continue,
                }
            }
            _ => continue,
        };
        let listing = ask_loader(loader, path);
        let found = resolver.closure(path);
        match (found, listing) {
            (Err(Error::Missing(_)), listing) if !listing.not_found.is_empty() => {
                both_miss += 1;
                println!("missing for the loader and for us: {}: {:?}", path.display(), listing.not_found);
            }
            (Ok(found), Listing { mut files, not_found, failed: None }) if not_found.is_empty() => {
                // The loader always lists itself; we only if a library names it.
                files.insert(loader.to_owned());
                let mut ours = at_start(&found);
                ours.insert(loader.to_owned());
                if real(&ours) == real(&files) {
                    same += 1;
                } else {
                    different.push(format!(
                        "{}: {:?}",
                        path.display(),
                        real(&ours).symmetric_difference(&real(&files))
                    ));
                }
            }
            (found, listing) => different.push(format!(
                "{}: we {:?}, loader {:?} {:?}",
                path.display(),
                found.err(),
                listing.not_found,
                listing.failed
            )),
        }
    }
    println!("libraries: same {same}, missing for both {both_miss}, different {}", different.len());
    assert!(different.is_empty(), "unexplained differences:\n{}", different.join("\n"));
    if same < 100 {
        skip("fewer than 100 shared libraries on this machine");
    }
}
