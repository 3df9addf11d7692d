//! Whole closures, in small trees of files written by hand.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::super::links::Root;
use super::testing::{AUXILIARY, Builder, NEEDED, RPATH, RUNPATH, SONAME, XorShift};
use super::{Error, Kind, Problem, Resolver, closure, describe};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// A tree for one test, removed at the end. It begins with a loader that searches `/lib64` and `/usr/lib64`.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("stockade-libs-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        let tree = Self(path);
        let mut loader = elf(&[(SONAME, "ld-linux-x86-64.so.2")]).build();
        loader.extend(b"\0/lib64/\0/usr/lib64/\0");
        tree.bytes(LOADER, &loader)
            .add("/lib64/libc.so.6", &elf(&[(SONAME, "libc.so.6"), (NEEDED, "ld-linux-x86-64.so.2")]));
        tree
    }

    fn bytes(&self, path: &str, bytes: &[u8]) -> &Self {
        let path = self.0.join(&path[1..]);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn add(&self, path: &str, builder: &Builder) -> &Self {
        self.bytes(path, &builder.build())
    }

    fn program(&self, entries: &[(u64, &str)]) -> &Self {
        self.add("/bin/p", &elf(entries).interpreter(LOADER))
    }

    fn link(&self, path: &str, target: &str) -> &Self {
        symlink(target, self.0.join(&path[1..])).unwrap();
        self
    }

    fn root(&self) -> Root {
        Root::at(&self.0)
    }

    fn closure(&self, path: &str) -> Result<super::Closure, Error> {
        let root = self.root();
        let mut resolver = Resolver::with_levels(&root, &["x86-64-v3", "x86-64-v2"]);
        resolver.closure(Path::new(path))
    }

    /// The paths of the closure of `/bin/p`, without the program and its loader; then the notes.
    fn found(&self) -> Vec<String> {
        let closure = self.closure("/bin/p").unwrap_or_else(|error| panic!("{error}"));
        let paths = closure.files[2..].iter().map(|file| file.path.display().to_string());
        paths.chain(closure.notes.iter().map(ToString::to_string)).collect()
    }

    fn error(&self) -> String {
        self.closure("/bin/p").unwrap_err().to_string()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn elf(entries: &[(u64, &str)]) -> Builder {
    entries.iter().fold(Builder::default(), |builder, (tag, text)| builder.name(*tag, text))
}

#[test]
fn breadth_first_and_each_once() {
    let tree = Tree::new("breadth");
    tree.program(&[(NEEDED, "a.so"), (NEEDED, "b.so"), (NEEDED, "libc.so.6")]);
    tree.add("/lib64/a.so", &elf(&[(NEEDED, "c.so"), (NEEDED, "libc.so.6")]));
    tree.add("/usr/lib64/b.so", &elf(&[(NEEDED, "c.so"), (NEEDED, "a.so")])).add("/lib64/c.so", &elf(&[]));
    assert_eq!(tree.found(), ["/lib64/a.so", "/usr/lib64/b.so", "/lib64/libc.so.6", "/lib64/c.so"]);
    let closure = tree.closure("/bin/p").unwrap();
    let reasons: Vec<_> =
        closure.files.iter().map(|file| format!("{}: {}", file.by.display(), file.why)).collect();
    assert_eq!(reasons[0], "/bin/p: the program");
    assert_eq!(reasons[1], "/bin/p: the dynamic loader (PT_INTERP)");
    assert_eq!(reasons[5], "/lib64/a.so: c.so (DT_NEEDED)");
}

#[test]
fn a_loaded_soname_is_not_searched_again() {
    let tree = Tree::new("soname");
    tree.program(&[(NEEDED, "/opt/real.so"), (NEEDED, "b.so")])
        .add("/opt/real.so", &elf(&[(SONAME, "alias.so")]));
    tree.add("/lib64/b.so", &elf(&[(NEEDED, "alias.so")]));
    assert_eq!(
        tree.found(),
        ["/opt/real.so", "/lib64/b.so"],
        "there is no file alias.so, and none is wanted"
    );
}

#[test]
fn the_same_file_by_another_name_is_named_too() {
    let tree = Tree::new("names");
    tree.program(&[(NEEDED, "a.so"), (NEEDED, "a.so.1")])
        .add("/lib64/a.so.1", &elf(&[]))
        .link("/lib64/a.so", "a.so.1");
    assert_eq!(tree.found(), ["/lib64/a.so", "/lib64/a.so.1"]);
}

#[test]
fn libraries_for_other_processors_are_passed_over() {
    let tree = Tree::new("foreign");
    tree.program(&[(RUNPATH, "/opt/32:/opt/arm:/opt/64"), (NEEDED, "a.so")]);
    tree.add("/opt/32/a.so", &Builder { wide: false, machine: 3, ..elf(&[]) });
    tree.add("/opt/arm/a.so", &Builder { machine: 183, ..elf(&[]) });
    let error = tree.error();
    assert!(error.contains("`a.so` is nowhere to be found; needed by `/bin/p`"), "{error}");
    assert!(
        error
            .contains("`/opt/32/a.so` (RUNPATH of /bin/p): built for i386 (32-bit), not for x86-64 (64-bit)"),
        "{error}"
    );
    assert!(error.contains("`/opt/arm/a.so` (RUNPATH of /bin/p): built for aarch64 (64-bit)"), "{error}");
    assert!(error.contains("`/usr/lib64/a.so` (the loader's own list): no such file"), "{error}");
    tree.add("/opt/64/a.so", &elf(&[]));
    assert_eq!(tree.found(), ["/opt/64/a.so"]);
}

#[test]
fn all_missing_libraries_are_named_with_the_whole_chain() {
    let tree = Tree::new("missing");
    tree.program(&[(NEEDED, "a.so"), (NEEDED, "y.so")]).add("/lib64/a.so", &elf(&[(NEEDED, "b.so")]));
    tree.add("/lib64/b.so", &elf(&[(NEEDED, "x.so")]));
    let Err(Error::Missing(missing)) = tree.closure("/bin/p") else { panic!() };
    assert_eq!(missing.len(), 2);
    assert_eq!(missing[1].chain, ["/bin/p", "/lib64/a.so", "/lib64/b.so"].map(PathBuf::from));
    assert_eq!(missing[1].tried.len(), 2);
}

#[test]
fn a_broken_candidate_ends_the_search_as_it_does_for_the_loader() {
    let tree = Tree::new("broken");
    tree.program(&[(RUNPATH, "/opt"), (NEEDED, "a.so")]).add("/lib64/a.so", &elf(&[]));
    tree.bytes("/opt/a.so", b"/* GNU ld script */");
    assert!(tree.error().starts_with("`/opt/a.so`: neither an ELF file nor a script"), "{}", tree.error());
    tree.bytes("/opt/a.so", b"\x7fELF\x02");
    assert_eq!(
        tree.error(),
        "`/opt/a.so`: truncated in the ELF header: 16 bytes expected, 5 there; needed by `/bin/p`"
    );
}

#[test]
fn rpath_reaches_down_and_origin_follows_links_for_the_program_only() {
    let tree = Tree::new("rpath");
    tree.add("/opt/app/bin/p", &elf(&[(RPATH, "$ORIGIN/../lib"), (NEEDED, "a.so")]).interpreter(LOADER));
    tree.add("/opt/app/lib/a.so", &elf(&[(NEEDED, "b.so")])).add("/opt/app/lib/b.so", &elf(&[]));
    fs::create_dir_all(tree.0.join("bin")).unwrap();
    tree.link("/bin/p", "/opt/app/bin/p");
    assert_eq!(tree.found(), ["/opt/app/bin/../lib/a.so", "/opt/app/bin/../lib/b.so"]);
    tree.add("/opt/app/bin/p", &elf(&[(RUNPATH, "$ORIGIN/../lib"), (NEEDED, "a.so")]).interpreter(LOADER));
    assert!(tree.error().contains("`b.so` is nowhere"), "a RUNPATH does not reach down");
}

#[test]
fn hwcaps_and_the_baseline_beside_it() {
    let tree = Tree::new("hwcaps");
    tree.program(&[(NEEDED, "a.so")])
        .add("/lib64/a.so", &elf(&[(NEEDED, "plain.so")]))
        .add("/lib64/plain.so", &elf(&[]));
    tree.add("/lib64/glibc-hwcaps/x86-64-v2/a.so", &elf(&[]))
        .add("/lib64/glibc-hwcaps/x86-64-v4/a.so", &elf(&[]));
    tree.add("/lib64/glibc-hwcaps/x86-64-v3/a.so", &elf(&[(NEEDED, "libc.so.6")]));
    assert_eq!(
        tree.found(),
        ["/lib64/glibc-hwcaps/x86-64-v3/a.so", "/lib64/a.so", "/lib64/libc.so.6", "/lib64/plain.so"]
    );
}

#[test]
fn without_a_cache_the_conf_is_read() {
    let tree = Tree::new("conf");
    tree.program(&[(NEEDED, "a.so"), (NEEDED, "b.so")])
        .add("/opt/one/a.so", &elf(&[]))
        .add("/opt/two/b.so", &elf(&[]));
    tree.bytes("/etc/ld.so.conf", b"# first\ninclude ld.so.conf.d/*.conf\n/opt/two # more\nhwcap 1 x\n");
    tree.bytes("/etc/ld.so.conf.d/one.conf", b"/opt/one\ninclude /etc/ld.so.conf\n");
    tree.bytes("/etc/ld.so.conf.d/.hidden.conf", b"/opt/hidden\n")
        .bytes("/etc/ld.so.conf.d/x.conf~", b"/opt/x\n");
    let found = tree.found();
    assert_eq!(found[..2], ["/opt/one/a.so", "/opt/two/b.so"]);
    assert!(found[2].contains("there is no /etc/ld.so.cache"), "{found:?}");
}

#[test]
fn dlopen_notes_by_priority() {
    let tree = Tree::new("dlopen");
    let program = elf(&[]).interpreter(LOADER);
    let entry = |priority: &str, names: &str| {
        format!(r#"[{{"feature":"f","priority":"{priority}","soname":[{names}]}}]"#)
    };
    tree.add("/bin/p", &program.clone().note(&entry("recommended", r#""x.so","a.so","b.so""#)));
    tree.add("/lib64/a.so", &elf(&[(NEEDED, "libc.so.6")])).add("/lib64/b.so", &elf(&[]));
    assert_eq!(tree.found(), ["/lib64/a.so", "/lib64/libc.so.6"]);
    tree.add("/bin/p", &program.clone().note(&entry("suggested", r#""a.so""#)));
    assert_eq!(tree.found(), ["`/bin/p` can use a.so (f), left out: only suggested"]);
    tree.add("/bin/p", &program.clone().note(&entry("recommended", r#""x.so""#)).note("{"));
    let notes = tree.found();
    assert!(notes.contains(&"`/bin/p` recommends x.so (f), not found here".to_owned()), "{notes:?}");
    assert!(notes.iter().any(|note| note.contains("cannot be read")), "{notes:?}");
    tree.add("/bin/p", &program.note(&entry("required", r#""x.so","y.so""#)));
    assert!(tree.error().contains("`x.so or y.so` is nowhere to be found"), "{}", tree.error());
}

#[test]
fn the_unwinder_comes_with_threads_that_end_early() {
    let tree = Tree::new("unwinder");
    tree.program(&[(NEEDED, "a.so"), (NEEDED, "libc.so.6")]);
    tree.add("/lib64/a.so", &elf(&[]).symbol("pthread_create", 0x12, 0));
    assert_eq!(tree.found(), ["/lib64/a.so", "/lib64/libc.so.6"]);
    tree.add("/lib64/a.so", &elf(&[]).symbol("pthread_exit", 0x12, 0));
    assert!(tree.found()[2].contains("not found here"), "{:?}", tree.found());
    tree.add("/lib64/libgcc_s.so.1", &elf(&[(NEEDED, "libc.so.6")]));
    assert_eq!(tree.found(), ["/lib64/a.so", "/lib64/libc.so.6", "/lib64/libgcc_s.so.1"]);
}

#[test]
fn auxiliary_libraries_may_be_absent() {
    let tree = Tree::new("auxiliary");
    tree.program(&[(AUXILIARY, "a.so"), (AUXILIARY, "x.so")]).add("/lib64/a.so", &elf(&[]));
    assert_eq!(tree.found(), ["/lib64/a.so", "`/bin/p` would use x.so (DT_AUXILIARY), not found here"]);
}

#[test]
fn musl_has_its_own_rules() {
    let tree = Tree::new("musl");
    let loader = "/lib/ld-musl-x86_64.so.1";
    tree.add(loader, &elf(&[]))
        .add("/bin/p", &elf(&[(RUNPATH, "/opt"), (NEEDED, "a.so"), (NEEDED, "libc.so")]).interpreter(loader));
    tree.add("/opt/a.so", &elf(&[(NEEDED, "b.so"), (NEEDED, "libc.musl-x86_64.so.1")]))
        .add("/opt/b.so", &elf(&[(NEEDED, "c.so")]));
    tree.add("/usr/local/lib/c.so", &elf(&[]));
    assert_eq!(
        tree.found(),
        ["/opt/a.so", "/opt/b.so", "/usr/local/lib/c.so"],
        "RUNPATH reaches down in musl"
    );
    tree.bytes("/etc/ld-musl-x86_64.path", b"/srv\n/srv/two").add("/srv/two/c.so", &elf(&[]));
    assert_eq!(tree.found(), ["/opt/a.so", "/opt/b.so", "/srv/two/c.so", "/etc/ld-musl-x86_64.path"]);
}

#[test]
fn static_programs_need_nothing_and_lone_libraries_what_they_name() {
    let tree = Tree::new("static");
    tree.add("/bin/static", &elf(&[])).add("/lib64/mod.so", &elf(&[(NEEDED, "libc.so.6")]));
    assert_eq!(tree.closure("/bin/static").unwrap().files.len(), 1);
    let paths: Vec<_> =
        tree.closure("/lib64/mod.so").unwrap().files.into_iter().map(|file| file.path).collect();
    assert_eq!(paths, ["/lib64/mod.so", "/lib64/libc.so.6", LOADER].map(PathBuf::from));
}

#[test]
fn scripts_lead_to_interpreters() {
    let tree = Tree::new("scripts");
    tree.program(&[]).add("/usr/bin/env", &elf(&[]).interpreter(LOADER)).bytes("/bin/one", b"#!/bin/p -x\n");
    tree.bytes("/bin/two", b"#!/usr/bin/env -S A=1 one y\n");
    let text = |path: &str| match tree.closure(path) {
        Ok(closure) => {
            closure.files.iter().map(|file| format!("{}: {}", file.path.display(), file.why)).collect()
        }
        Err(error) => vec![error.to_string()],
    };
    assert_eq!(text("/bin/one")[1], "/bin/p: the first line, #!/bin/p -x");
    let found = text("/bin/two");
    assert_eq!(found[1], "/usr/bin/env: the first line, #!/usr/bin/env -S A=1 one y");
    assert_eq!((found[3].split(':').next(), found.len()), (Some("/bin/one"), 5));

    tree.bytes("/bin/dos", b"#!/bin/p\r\n")
        .bytes("/bin/lost", b"#!/usr/bin/env nosuch\n")
        .bytes("/bin/data", b"x");
    assert_eq!(text("/bin/dos"), ["`/bin/dos` is to be started by `/bin/p\\r`: no such file"]);
    assert_eq!(text("/bin/lost"), ["`/bin/lost` is to be started by `nosuch`: no such file"]);
    assert_eq!(text("/bin/data"), ["`/bin/data`: neither an ELF file nor a script that begins with #!"]);
    assert_eq!(text("/bin"), ["`/bin`: not a regular file"]);
    assert_eq!(text("/bin/none"), ["`/bin/none`: no such file"]);
}

#[test]
fn five_scripts_deep_and_no_deeper() {
    let tree = Tree::new("depth");
    tree.program(&[]).bytes("/bin/s0", b"#!/bin/p\n").bytes("/bin/loop", b"#!/bin/loop\n");
    for number in 1..6 {
        tree.bytes(&format!("/bin/s{number}"), format!("#!/bin/s{}\n", number - 1).as_bytes());
    }
    assert_eq!(tree.closure("/bin/s4").unwrap().files.len(), 7);
    assert!(matches!(tree.closure("/bin/s5"), Err(Error::Scripts { chain }) if chain.len() == 7));
    assert!(matches!(tree.closure("/bin/loop"), Err(Error::Scripts { .. })));
    // env(1) starts anew each time, so only the number of programs ends this.
    tree.add("/usr/bin/env", &elf(&[]).interpreter(LOADER)).bytes("/bin/e0", b"#!/usr/bin/env e1\n");
    for number in 1..80 {
        tree.bytes(&format!("/bin/e{number}"), format!("#!/usr/bin/env e{}\n", number + 1).as_bytes());
    }
    tree.bytes("/bin/e80", b"#!/usr/bin/env e0\n");
    assert!(matches!(tree.closure("/bin/e0"), Err(Error::TooMuch { .. })));
}

#[test]
fn a_missing_loader_is_its_own_error() {
    let tree = Tree::new("loader");
    tree.add("/bin/p", &elf(&[]).interpreter("/lib/ld-other.so.1"));
    assert_eq!(tree.error(), "`/bin/p` is to be started by `/lib/ld-other.so.1`: no such file");
    tree.add("/lib/ld-other.so.1", &Builder { machine: 183, ..elf(&[]) });
    assert!(matches!(
        tree.closure("/bin/p"),
        Err(Error::Interpreter { problem: Problem::Foreign { .. }, .. })
    ));
}

#[test]
fn fifos_and_links_out_of_the_root_do_no_harm() {
    let tree = Tree::new("special");
    tree.program(&[(NEEDED, "a.so")]);
    nix::unistd::mkfifo(&tree.0.join("lib64/a.so"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(tree.error().starts_with("`/lib64/a.so`: not a regular file"), "{}", tree.error());
    fs::remove_file(tree.0.join("lib64/a.so")).unwrap();
    tree.link("/lib64/a.so", "../../../../../../../../lib64/ld-linux-x86-64.so.2");
    assert_eq!(tree.found(), ["/lib64/a.so"], "the link ends at the tree's own loader");
}

#[test]
fn kinds_of_files() {
    let tree = Tree::new("kinds");
    tree.program(&[]).bytes("/s", b"#!/bin/sh -e x\n").bytes("/o", b"hello").bytes("/empty", b"");
    tree.add("/arm", &Builder { wide: false, machine: 40, ..elf(&[]) });
    let kind = |path: &str| describe(&tree.root(), Path::new(path)).unwrap();
    assert!(
        matches!(kind("/bin/p"), Kind::Elf { interpreter: Some(path), is_static: false, .. } if path == Path::new(LOADER))
    );
    assert!(
        matches!(kind("/arm"), Kind::Elf { machine, is_static: true, .. } if machine.to_string() == "arm")
    );
    assert!(matches!(kind("/s"), Kind::Script { argument: Some(text), .. } if text == "-e x"));
    assert_eq!((kind("/o"), kind("/empty")), (Kind::Other, Kind::Other));
}

#[test]
fn a_hostile_tree_costs_little() {
    let tree = Tree::new("hostile");
    // 1000 names, each looked for in 3000 directories.
    let paths = (0..3000).map(|number| format!("/{number}")).collect::<Vec<_>>().join(":");
    let program = (0..1000)
        .fold(elf(&[(RUNPATH, &paths)]), |program, number| program.name(NEEDED, &format!("{number}.so")));
    tree.add("/bin/p", &program.interpreter(LOADER));
    // In time on a processor, of which a busy machine takes no more.
    let spent = || {
        use nix::sys::{resource, time::TimeValLike as _};
        resource::getrusage(resource::UsageWho::RUSAGE_THREAD).unwrap().user_time().num_seconds()
    };
    let start = spent();
    assert!(matches!(tree.closure("/bin/p"), Err(Error::TooMuch { .. })), "{:?}", tree.closure("/bin/p"));
    assert!(spent() - start < 20, "{} s", spent() - start);
}

#[test]
fn damaged_trees_are_survived() {
    let tree = Tree::new("damaged");
    let program = elf(&[(RUNPATH, "$ORIGIN/x:/opt"), (NEEDED, "a.so")])
        .interpreter(LOADER)
        .note(r#"[{"soname":["a.so"]}]"#);
    let (program, library) = (program.build(), elf(&[(SONAME, "a.so"), (NEEDED, "libc.so.6")]).build());
    let mut random = XorShift::new(4);
    for _ in 0..1000 {
        tree.bytes("/bin/p", &random.mutate(&program)).bytes("/opt/a.so", &random.mutate(&library));
        if let Err(error) = closure(&tree.root(), Path::new("/bin/p")) {
            assert!(!error.to_string().is_empty());
        }
    }
}
