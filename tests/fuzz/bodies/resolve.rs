//! `manifest_resolve`: a manifest that can be used meets a host, and becomes steps; they are shown, and lowered to what the jail's
//! first process does. The host is a small tree of every kind of file, and its files may be the input's too.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::errno::Errno;
use stockade::jail::Program;
use stockade::manifest::resolve::accounts::Accounts;
use stockade::manifest::resolve::ids;
use stockade::manifest::resolve::run::{Tree, run_steps};
use stockade::manifest::resolve::tree::{Nodes, tree_steps};
use stockade::manifest::resolve::tree_key;
use stockade::plan::{Action, HostPath, JailPath, Plan, Step, order};
use stockade::report;
use stockade::report::plan::TextOptions;
use stockade::sys::descriptor::Kind;
use stockade::sys::host::Host;

use super::manifest::{harmless, load_in, shown};
use super::place::{self, Place};
use super::{elf, parts, seeds};

/// Files of the host that an input may give, and what is in them when it does not.
const FILES: [(&str, &str); 5] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\nbind:x:104:112::/:/bin/false\n",
    ),
    ("etc/group", "root:x:0:\nwww-data:x:33:\nssl-cert:x:101:www-data,bind\nbind:x:112:\n"),
    (
        "var/lib/dpkg/info/pkg.list",
        "/.\n/etc\n/etc/pkg.conf\n/bin/tool\n/usr/lib/libz.so.1\n/usr/share/doc/pkg\n",
    ),
    ("var/lib/dpkg/diversions", "/bin/tool\n/bin/tool.real\nother\n"),
    ("usr/bin/own", "#!/usr/bin/env -S tool -x\n"),
];

/// What this host can do, where an input does not say otherwise.
static FACTS: OnceLock<Host> = OnceLock::new();

pub(super) fn resolve(data: &[u8]) {
    place::with(|place| {
        let Some(loaded) = load_in(place, data) else { return };
        let root = place.path("host");
        if !root.exists() {
            make_host(place, &root);
        }
        let (_, parts) = parts::split(data);
        let given = |name: &str| parts.iter().find(|(what, _)| what.strip_prefix("host ") == Some(name));
        for (name, _) in FILES {
            if let Some((_, content)) = given(name) {
                place.write(&format!("host/{name}"), content);
            }
        }
        let says = |word: &str| parts.iter().any(|(what, _)| *what == word);
        let uid = if says("user") { 1000 } else { 0 };
        let facts = FACTS.get_or_init(|| Host::current(Path::new("/"))).clone();
        let mut host = Host { root, uid, gid: uid, device_nodes: !says("bound"), ..facts };
        if says("terminal") {
            host.standard.iter_mut().for_each(|descriptor| descriptor.kind = Kind::Terminal);
        }
        if says("old") {
            (host.keyrings, host.landlock, host.seccomp) = (false, Err(Errno::ENOSYS), false);
        }
        steps(&loaded.manifest, &host);
        for (name, content) in FILES.iter().filter(|(name, _)| given(name).is_some()) {
            place.write(&format!("host/{name}"), content.as_bytes());
        }
    });
}

fn steps(manifest: &stockade::manifest::schema::Manifest, host: &Host) {
    assert_eq!(tree_key(manifest, host, false), tree_key(manifest, host, false));
    let accounts = Accounts::of(manifest, host).expect("files that can be read");
    let nodes = if host.device_nodes { Nodes::Made } else { Nodes::Bound };
    let resolved = match tree_steps(manifest, host, &accounts, nodes) {
        Ok(resolved) => resolved,
        Err(findings) => return shown(&findings),
    };
    shown(&resolved.warnings);
    parents_come_first(&resolved.steps);
    let (Some(name), Some(program)) = (&manifest.name, resolved.program) else { return };
    let tree = HostPath::parse(format!("/var/lib/stockade/{}/current/tree", name.value)).unwrap();
    let first_id = || ids::choose(host, manifest, &name.value, &[], None);
    let run =
        match run_steps(manifest, host, &accounts, &name.value, &Tree::on_disk(&tree), &program, first_id) {
            Ok(run) => run,
            Err(findings) => return shown(&findings),
        };
    let mut steps = resolved.steps;
    steps.extend(run.steps);
    order::check(&steps).unwrap_or_else(|violation| panic!("{violation}"));
    Program::lower(&steps).unwrap_or_else(|error| panic!("{error}"));
    let plan = Plan { jail: name.value.clone(), steps, layers: run.layers };
    for (all, explain) in [(true, false), (false, true)] {
        harmless(&report::plan::text(&plan, TextOptions { all, explain, ..TextOptions::default() }));
    }
    assert!(report::json::json(&plan).is_object());
}

/// What [`stockade::manifest::resolve::tree::TreeSteps`] promises: each path once, its directory before it, never through a link.
fn parents_come_first(steps: &[Step]) {
    let mut made: HashMap<PathBuf, bool> = HashMap::from([("/".into(), true)]);
    for step in steps {
        let (path, directory) = match &step.action {
            Action::MakeDirectory { path, .. } => (path, true),
            Action::CopyFile { path, .. }
            | Action::MakeSymlink { path, .. }
            | Action::WriteFile { path, .. }
            | Action::MakeDevice { path, .. } => (path, false),
            Action::MakeHardLink { existing, path } => {
                assert!(made.contains_key(existing.as_path()), "{existing} is linked before it is made");
                (path, false)
            }
            other => panic!("{other:?} builds no tree"),
        };
        let parent = path.parent().as_ref().map(JailPath::as_path).map(Path::to_owned);
        assert!(
            parent.is_none_or(|parent| made.get(&parent) == Some(&true)),
            "{path} has no directory to be in"
        );
        let before = made.insert(path.as_path().to_owned(), directory);
        assert!(before.is_none() || path.as_path() == Path::new("/"), "{path} is made twice");
    }
}

/// A host with programs and their libraries, links of every kind, and what cannot be copied.
fn make_host(place: &Place, root: &Path) {
    let program = |names: &[(u64, &str)], interpreter| elf::made(true, true, interpreter, names, "x", "[]");
    let loader = Some("/lib64/ld-linux-x86-64.so.2");
    for (name, content) in [
        ("usr/bin/sh", program(&[(1, "libz.so.1")], loader)),
        ("usr/bin/tool", program(&[], None)),
        ("usr/bin/script", b"#!/bin/sh -e\n".to_vec()),
        ("usr/bin/broken", b"\x7fELF\x02\x01\x01".to_vec()),
        ("usr/lib/libz.so.1.2", program(&[(14, "libz.so.1")], None)),
        ("usr/lib/ld.so", program(&[], None)),
        ("etc/pkg.conf", b"x".to_vec()),
        ("etc/.hidden", b"x".to_vec()),
        ("etc/app/a/b.conf", b"x".to_vec()),
        ("srv/www/index.html", b"x".to_vec()),
    ] {
        place.write(&format!("host/{name}"), &content);
    }
    for (name, content) in FILES {
        place.write(&format!("host/{name}"), content.as_bytes());
    }
    for entry in fs::read_dir(root.join("usr/bin")).unwrap() {
        fs::set_permissions(entry.unwrap().path(), PermissionsExt::from_mode(0o755)).unwrap();
    }
    for (link, target) in [
        ("bin", "usr/bin"),
        ("lib", "usr/lib"),
        ("lib64", "/usr/lib"),
        ("usr/lib/libz.so.1", "libz.so.1.2"),
        ("usr/lib/ld-linux-x86-64.so.2", "ld.so"),
        ("etc/loop", "loop"),
        ("etc/nowhere", "/not/there"),
        ("etc/app/up", "../.."),
        ("etc/app/out", "../../../../../etc/passwd"),
        ("srv/absolute", "/srv/www"),
    ] {
        symlink(target, root.join(link)).unwrap();
    }
    fs::hard_link(root.join("etc/pkg.conf"), root.join("etc/second.conf")).unwrap();
    nix::unistd::mkfifo(&root.join("srv/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
}

/// The manifests of `jails/`, and one for this host that asks for something of everything.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = seeds::jails();
    let manifest = br#"name = "a"
[program]
command = ["/bin/sh", "-c", "x"]
user = "www-data"
[tree]
programs = ["/bin/sh", "/usr/bin/{tool,script}"]
libraries = ["/lib/libz.so.1"]
files = ["/etc/app", { path = "/etc/*.conf", target = "/conf", exclude = ["second*"], mode = "0600", optional = true }, "/srv/**"]
packages = ["pkg"]
directories = [{ path = "/var/x", owner = "bind", mode = "0750" }]
users = ["bind"]
links = [{ path = "/bin", target = "usr/bin" }]
text = [{ path = "/etc/motd", content = "hello\n" }]
devices = ["null", "pts"]
[[mounts]]
source = "/srv/www"
target = "/www"
[[mounts]]
type = "tmpfs"
target = "/tmp"
[limits]
open_files = "10:20"
[privileges]
capabilities = ["NET_BIND_SERVICE"]
"#;
    seeds.push(manifest.to_vec());
    let simple = b"name = \"a\"\n[program]\ncommand = [\"own\"]\n[tree]\nprograms = [\"/bin/own\"]\npackages = [\"pkg\"]\n";
    seeds.push(parts::join(
        simple,
        &[("user", b""), ("terminal", b""), ("bound", b""), ("host usr/bin/own", b"#!/bin/sh\n")],
    ));
    seeds.push(parts::join(
        simple,
        &[("host var/lib/dpkg/info/pkg.list", b"/..\n/bin/../etc\n/etc/loop/x\n/srv/fifo\n")],
    ));
    seeds.push(parts::join(
        simple,
        &[("host etc/passwd", b"www-data:x:1:1:::\n"), ("host etc/group", b"a:x:1:b,c\n")],
    ));
    seeds
}

/// The manifest's words, and the paths of this host.
pub(super) fn words() -> Vec<Vec<u8>> {
    let mut words = super::manifest::words();
    let paths = [
        "/bin/sh",
        "/usr/bin/own",
        "/etc/app/up",
        "/etc/loop",
        "/srv/absolute",
        "/lib64",
        "**",
        "{a,b}",
        "/dev/",
        "/proc/",
    ];
    words.extend(paths.map(|word| word.as_bytes().to_vec()));
    words.extend(FILES.map(|(name, _)| format!("\n%% host {name}\n").into_bytes()));
    words.extend(["user", "terminal", "bound", "old"].map(|word| format!("\n%% {word}\n").into_bytes()));
    words
}
