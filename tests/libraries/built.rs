//! Programs built here, and trees built from closures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use stockade::manifest::libs::{Closure, Error, Kind, Resolver, Why, closure, describe};
use stockade::manifest::links::{self, Root};

use super::{Verdict, ask_loader, at_start, compare, skip};

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

/// Copies what is to be executed. By another process: a descriptor open for writing here would be every process's that another test
/// starts at this moment (ETXTBSY).
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

/// Copies the files of `found`, and the links on the way to each, below `tree`.
fn plant(found: &Closure, tree: &Path) {
    for file in &found.files {
        for link in links::chain(&Root::host(), &file.path).unwrap() {
            let inside = tree.join(link.path.strip_prefix("/").unwrap());
            fs::create_dir_all(inside.parent().unwrap()).unwrap();
            match link.kind {
                _ if inside.symlink_metadata().is_ok() => {}
                links::Kind::Symlink { target } => std::os::unix::fs::symlink(target, inside).unwrap(),
                links::Kind::Directory => fs::create_dir(inside).unwrap(),
                _ => copy(&link.path, &inside),
            }
        }
    }
}

/// A library in a directory that only ldconfig(8) knows, with a variant for newer processors.
#[test]
fn libraries_of_the_cache_and_their_hwcaps() {
    let shop = Workshop::new("cache");
    let tree = shop.path("root");
    if !shop.compile("gcc", "libone.so", "int one(void) { return 0; }", &["-shared", "-Wl,-soname,libone.so"])
        || !shop.compile(
            "gcc",
            "program",
            "int one(void); int main(void) { return one(); }",
            &["-L.", "-lone"],
        )
    {
        return skip("gcc cannot build shared libraries here");
    }
    plant(&closure(&Root::host(), Path::new("/bin/true")).unwrap(), &tree);
    for directory in ["opt/one", "opt/one/glibc-hwcaps/x86-64-v2", "opt/one/glibc-hwcaps/x86-64-v4"] {
        fs::create_dir_all(tree.join(directory)).unwrap();
        fs::copy(shop.path("libone.so"), tree.join(directory).join("libone.so")).unwrap();
    }
    copy(&shop.path("program"), &tree.join("program"));
    fs::create_dir(tree.join("etc")).unwrap();
    fs::write(tree.join("etc/ld.so.conf"), "/opt/one\n").unwrap();
    let ldconfig = Command::new("/sbin/ldconfig").arg("-r").arg(&tree).output();
    if !ldconfig.is_ok_and(|output| output.status.success()) {
        return skip("no ldconfig -r here");
    }

    let found = closure(&Root::at(&tree), Path::new("/program")).unwrap();
    let has = |path: &str| found.files.iter().any(|file| file.path == Path::new(path));
    assert!(has("/etc/ld.so.cache") && has("/opt/one/libone.so"), "{found:#?}");
    let output = Command::new("/usr/sbin/chroot")
        .arg(&tree)
        .args(["/lib64/ld-linux-x86-64.so.2", "--list", "/program"])
        .output();
    let Ok(output) = output else { return skip("no chroot(1)") };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some(line) = text.lines().find(|line| line.contains("libone.so =>")) else {
        return skip("chroot(1) needs root, and this an x86-64 with glibc");
    };
    println!("{}", line.trim());
    let path = line.split(" => ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(has(path), "the loader takes {path}, we {found:#?}");
    let ours: Vec<_> = found.files.iter().filter(|file| matches!(file.why, Why::Needed { .. })).collect();
    assert_eq!(ours[0].path, Path::new(path));
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
        ["/usr/bin/curl", "--version"],
        ["/usr/bin/qemu-img", "--version"],
        ["/usr/sbin/nginx", "-v"],
        ["/usr/bin/ldd", "--version"],
    ];
    for [program, argument] in programs {
        let Ok(found) = resolver.closure(Path::new(program)) else { continue };
        let shop = Workshop::new("tree");
        let tree = shop.path("root");
        plant(&found, &tree);
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

/// What this thread has spent on processors, in milliseconds: however busy the machine is, it is the same for the same work.
fn processor_time() -> i64 {
    use nix::sys::{resource, time::TimeValLike as _};
    let used = resource::getrusage(resource::UsageWho::RUSAGE_THREAD).unwrap();
    (used.user_time() + used.system_time()).num_milliseconds()
}

#[test]
fn a_closure_takes_little_time() {
    let root = Root::host();
    for program in
        ["/usr/bin/python3", "/usr/bin/python3.11", "/usr/sbin/nginx", "/usr/bin/gdb"].map(Path::new)
    {
        let start = processor_time();
        let Ok(found) = closure(&root, program) else { continue };
        let spent = processor_time() - start;
        println!("{}: {} files, {spent} ms", program.display(), found.files.len());
        assert!(spent < 500, "{}: {spent} ms", program.display());
    }
}
