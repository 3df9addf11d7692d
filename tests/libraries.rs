//! The libraries we find are those the dynamic loader finds: for every program of this machine, and for programs built
//! here to be awkward. The loader is asked with `--list`, which maps the libraries but does not start the program.
//!
//! A test that cannot run prints `SKIP: why`, or fails if `STOCKADE_NO_SKIP` is set.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are outside the functions clippy takes for tests"
)]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use stockade::manifest::libs::{Closure, Error, Kind, Resolver, Why, closure, describe};
use stockade::manifest::links::{self, Root};

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

/// Programs compiled for one test, in a directory of its own.
struct Workshop(PathBuf);

impl Workshop {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("stockade-libraries-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("lib")).unwrap();
        // Without links, as $ORIGIN will be.
        Self(fs::canonicalize(path).unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Compiles `code` to `name`; `false` if this compiler or this kind of program is not available.
    fn compile(&self, compiler: &str, name: &str, code: &str, arguments: &[&str]) -> bool {
        let source = self.path(&format!("{}.c", name.replace('/', "_")));
        fs::write(&source, code).unwrap();
        let mut command = Command::new(compiler);
        command.current_dir(&self.0).arg(&source).args(["-o", name]).args(arguments);
        command.output().is_ok_and(|output| {
            if !output.status.success() {
                println!("{}", String::from_utf8_lossy(&output.stderr));
            }
            output.status.success()
        })
    }

    /// `lib/libouter.so`, which needs `lib/libinner.so`.
    fn compile_chain(&self, arguments: &[&str]) -> bool {
        let with = |more: &[&'static str]| [arguments, &["-shared", "-fPIC", "-Llib"], more].concat();
        self.compile("gcc", "lib/libinner.so", "int inner(void) { return 1; }", &with(&[]))
            && self.compile(
                "gcc",
                "lib/libouter.so",
                "int inner(void); int outer(void) { return inner(); }",
                &with(&["-linner"]),
            )
    }

    fn closure(&self, name: &str) -> Result<Closure, Error> {
        closure(&Root::host(), &self.path(name))
    }

    /// Ours is what the loader lists.
    fn agrees(&self, name: &str) -> Closure {
        let program = self.path(name);
        let Ok(Kind::Elf { interpreter: Some(loader), .. }) = describe(&Root::host(), &program) else {
            panic!("{name} names no loader")
        };
        match compare(&mut Resolver::new(&Root::host()), &program, &loader) {
            (Verdict::Same | Verdict::SameFiles(_), Some(closure)) => closure,
            (Verdict::Skipped(text) | Verdict::BothMiss(text) | Verdict::Different(text), _) => {
                panic!("{name}: {text}")
            }
            _ => unreachable!(),
        }
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const OUTER: &str = "int outer(void); int main(void) { return outer(); }";
const EMPTY: &str = "int main(void) { return 0; }";

#[test]
fn rpath_and_runpath() {
    let shop = Workshop::new("rpath");
    let link = ["-Llib", "-louter", "-Wl,-rpath-link,lib", "-Wl,-rpath,$ORIGIN/lib"];
    let with = |tags: &'static str| [link.as_slice(), &[tags]].concat();
    if !shop.compile_chain(&[])
        || !shop.compile("gcc", "old", OUTER, &with("-Wl,--disable-new-dtags"))
        || !shop.compile("gcc", "new", OUTER, &with("-Wl,--enable-new-dtags"))
    {
        return skip("gcc cannot build shared libraries here");
    }
    let old = shop.agrees("old");
    assert!(old.files.iter().any(|file| file.path == shop.path("lib/libinner.so")));
    // RUNPATH is not inherited: the program finds libouter, libouter does not find libinner.
    let Err(Error::Missing(missing)) = shop.closure("new") else { panic!() };
    assert_eq!(missing[0].name, "libinner.so");
    assert_eq!(missing[0].chain, [shop.path("new"), shop.path("lib/libouter.so")]);
    let Ok(Kind::Elf { interpreter: Some(loader), .. }) = describe(&Root::host(), &shop.path("new")) else {
        panic!()
    };
    assert!(
        ask_loader(&loader, &shop.path("new")).not_found.contains("libinner.so"),
        "the loader says the same"
    );
}

#[test]
fn a_32_bit_program_beside_64_bit_libraries() {
    let shop = Workshop::new("narrow");
    let link =
        ["-m32", "-Lnarrow", "-louter", "-Wl,-rpath-link,narrow", "-Wl,-rpath,$ORIGIN/lib:$ORIGIN/narrow"];
    let old = [link.as_slice(), &["-Wl,--disable-new-dtags"]].concat();
    let ready = shop.compile_chain(&["-m32"])
        && fs::rename(shop.path("lib"), shop.path("narrow")).is_ok()
        && fs::create_dir(shop.path("lib")).is_ok()
        && shop.compile_chain(&[])
        && shop.compile("gcc", "program", OUTER, &old);
    if !ready {
        return skip("gcc -m32 does not work here");
    }
    let found = shop.agrees("program");
    assert!(found.files.iter().any(|file| file.path == shop.path("narrow/libinner.so")), "{found:?}");
    let kind = describe(&Root::host(), &shop.path("program")).unwrap();
    assert!(matches!(kind, Kind::Elf { machine, .. } if machine.to_string() == "i386"));
}

#[test]
fn static_programs() {
    let shop = Workshop::new("static");
    for how in ["-static", "-static-pie"] {
        if !shop.compile("gcc", "program", EMPTY, &[how]) {
            return skip("gcc -static does not work here");
        }
        let found = shop.closure("program").unwrap();
        assert_eq!(found.files.len(), 1, "{how}: {found:?}");
        let kind = describe(&Root::host(), &shop.path("program")).unwrap();
        assert!(matches!(kind, Kind::Elf { is_static: true, interpreter: None, .. }), "{how}: {kind:?}");
    }
}

#[test]
fn threads_that_end_early_need_the_unwinder() {
    let shop = Workshop::new("threads");
    let code = |end: &str| {
        format!(
            "#include <pthread.h>\n#include <stddef.h>\nstatic void *run(void *x) {{ {end}; return x; }}\n\
             int main(void) {{ pthread_t t; pthread_create(&t, NULL, run, NULL); return pthread_join(t, NULL); }}"
        )
    };
    if !shop.compile("gcc", "returns", &code(""), &["-pthread"])
        || !shop.compile("gcc", "exits", &code("pthread_exit(x)"), &["-pthread"])
        || !shop.compile("gcc", "cancels", &code("pthread_cancel(pthread_self())"), &["-pthread"])
    {
        return skip("gcc -pthread does not work here");
    }
    let unwinder = |name| shop.agrees(name).files.iter().any(|file| file.why == Why::ThreadExit);
    assert_eq!([unwinder("returns"), unwinder("exits"), unwinder("cancels")], [false, true, true]);
    // The truth of it: what the running program opens.
    let output = Command::new("strace").args(["-f", "-e", "trace=openat"]).arg(shop.path("exits")).output();
    let Ok(output) = output else { return skip("no strace to see what the program opens") };
    assert!(String::from_utf8_lossy(&output.stderr).contains("libgcc_s.so.1"));
    let output =
        Command::new("strace").args(["-f", "-e", "trace=openat"]).arg(shop.path("returns")).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("libgcc_s.so.1"));
}

#[test]
fn musl_programs() {
    let shop = Workshop::new("musl");
    let library = ["-shared", "-fPIC"];
    if !shop.compile("musl-gcc", "lib/libinner.so", "int inner(void) { return 1; }", &library)
        || !shop.compile(
            "musl-gcc",
            "lib/libouter.so",
            "int inner(void); int outer(void) { return inner(); }",
            &["-shared", "-fPIC", "-Llib", "-linner"],
        )
        || !shop.compile(
            "musl-gcc",
            "program",
            OUTER,
            &["-Llib", "-louter", "-Wl,-rpath-link,lib", "-Wl,-rpath,$ORIGIN/lib", "-Wl,--enable-new-dtags"],
        )
    {
        return skip("no musl-gcc");
    }
    // Unlike glibc, musl inherits a RUNPATH. It lists itself for libc.so, which is no file of its own.
    let found = shop.closure("program").unwrap();
    let loader = PathBuf::from("/lib/ld-musl-x86_64.so.1");
    let listing = ask_loader(&loader, &shop.path("program"));
    assert!(listing.failed.is_none() && listing.not_found.is_empty(), "{:?}", listing.failed);
    let libraries = [shop.path("lib/libinner.so"), shop.path("lib/libouter.so")];
    assert_eq!(at_start(&found), libraries.iter().cloned().chain([loader]).collect());
    assert!(libraries.iter().all(|library| listing.files.contains(library)), "{:?}", listing.files);
}

/// The proof: a tree of the closure's files and links, nothing else, and the program starts in it.
#[test]
fn programs_start_in_a_tree_of_their_closure() {
    let host = Root::host();
    let mut resolver = Resolver::new(&host);
    let mut started = 0;
    let programs = [
        ["/bin/ls", "--version"],
        ["/usr/bin/awk", "BEGIN{}"],
        ["/usr/bin/git", "--version"],
        ["/usr/bin/systemctl", "--version"],
        ["/usr/bin/gdb", "--version"],
        ["/usr/sbin/nginx", "-v"],
        ["/usr/bin/ldd", "--version"],
    ];
    for [program, argument] in programs {
        let Ok(found) = resolver.closure(Path::new(program)) else { continue };
        let shop = Workshop::new("tree");
        let tree = shop.path("root");
        for file in &found.files {
            for link in links::chain(&host, &file.path).unwrap() {
                let inside = tree.join(link.path.strip_prefix("/").unwrap());
                fs::create_dir_all(inside.parent().unwrap()).unwrap();
                match link.kind {
                    _ if inside.symlink_metadata().is_ok() => {}
                    links::Kind::Symlink { target } => std::os::unix::fs::symlink(target, inside).unwrap(),
                    links::Kind::Directory => fs::create_dir(inside).unwrap(),
                    _ => _ = fs::copy(&link.path, inside).unwrap(),
                }
            }
        }
        // git insists on one; a file will do for printing a version.
        fs::create_dir_all(tree.join("dev")).unwrap();
        fs::write(tree.join("dev/null"), "").unwrap();
        let inside = closure(&Root::at(&tree), Path::new(program)).unwrap();
        assert_eq!(inside.files.len(), found.files.len(), "{program} seen from its own tree");
        let output = Command::new("/usr/sbin/chroot")
            .arg(&tree)
            .args([program, argument])
            .env_clear()
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        if errors.contains("cannot change root") {
            return skip("chroot(1) needs root");
        }
        assert!(output.status.success(), "{program}: {errors}");
        println!("{program} starts with {} files", found.files.len());
        started += 1;
    }
    assert!(started > 1, "only {started} programs started");
}

#[test]
fn a_closure_takes_little_time() {
    let root = Root::host();
    for program in
        ["/usr/bin/python3", "/usr/bin/python3.11", "/usr/sbin/nginx", "/usr/bin/gdb"].map(Path::new)
    {
        let start = std::time::Instant::now();
        let Ok(found) = closure(&root, program) else { continue };
        let elapsed = start.elapsed();
        println!("{}: {} files, {elapsed:?}", program.display(), found.files.len());
        assert!(elapsed.as_millis() < 500, "{}: {elapsed:?}", program.display());
    }
}
