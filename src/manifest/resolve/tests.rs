//! Whole manifests to whole lists of steps.

use std::path::Path;

use super::testing::{Scene, brief};
use super::tree::{Nodes, tree_steps};
use crate::manifest::resolve::accounts::Accounts;
use crate::manifest::schema::{Directory, Link, Manifest, Mount, MountKind, ProgramFile, Text};
use crate::plan::step::{Action, Keep};
use crate::plan::{Account, HostPath, JailPath, Mode};
use crate::sys::host::Host;

fn jail(path: &str) -> JailPath {
    JailPath::parse(path).unwrap()
}

fn host(path: &str) -> HostPath {
    HostPath::parse(path).unwrap()
}

fn program(path: &str) -> ProgramFile {
    ProgramFile { path: host(path), keep: Keep::default() }
}

fn text(path: &str, content: &str) -> Text {
    Text { path: jail(path), content: content.into(), owner: None, group: None, mode: None }
}

fn directory(path: &str) -> Directory {
    Directory { path: jail(path), owner: None, group: None, mode: None }
}

fn bind(source: &str, target: &str) -> Mount {
    let kind = MountKind::Bind { source: host(source), recursive: None, optional: false };
    Mount { target: jail(target), kind, read_only: None, executable: None }
}

/// A host with merged /usr.
fn merged(name: &str) -> Scene {
    let scene = Scene::new(name);
    scene.directory("usr/bin", 0o755).link("bin", "usr/bin");
    scene
}

#[test]
fn an_empty_manifest_has_devices_and_names() {
    let scene = Scene::new("empty");
    let steps: Vec<_> = scene.resolve(&Manifest::default()).unwrap().steps.iter().map(brief).collect();
    assert_eq!(
        steps,
        [
            "dir 0755 /dev",
            "link /dev/fd -> /proc/self/fd",
            "device /dev/full",
            "device /dev/null",
            "device /dev/random",
            "link /dev/stderr -> /proc/self/fd/2",
            "link /dev/stdin -> /proc/self/fd/0",
            "link /dev/stdout -> /proc/self/fd/1",
            "device /dev/urandom",
            "device /dev/zero",
            "dir 0755 /etc",
            "text 0644 /etc/group",
            "text 0644 /etc/nsswitch.conf",
            "text 0644 /etc/passwd",
            "dir 0555 /proc",
        ]
    );
}

#[test]
fn links_are_as_on_the_host_and_what_they_lead_to_is_at_its_real_path() {
    let scene = merged("links");
    scene.program("usr/bin/mawk", 0o4755).link("usr/bin/awk", "/etc/alternatives/awk");
    scene.link("etc/alternatives/awk", "/usr/bin/mawk");
    let mut manifest = Manifest::default();
    manifest.tree.programs.push(scene.at(3, program("/bin/awk")));
    assert_eq!(
        scene.steps(&manifest),
        [
            "link /bin -> usr/bin",
            "dir 0755 /etc",
            "dir 0755 /etc/alternatives",
            "link /etc/alternatives/awk -> /usr/bin/mawk",
            "dir 0755 /usr",
            "dir 0755 /usr/bin",
            "link /usr/bin/awk -> /etc/alternatives/awk",
            "copy 0755 /usr/bin/mawk",
        ]
    );
}

#[test]
fn setuid_is_kept_when_asked_for() {
    let scene = Scene::new("setuid");
    scene.program("bin/su", 0o4755);
    let mut manifest = Manifest::default();
    let keep = Keep { setid: true, capabilities: false };
    manifest.tree.programs.push(scene.at(1, ProgramFile { path: host("/bin/su"), keep }));
    assert_eq!(scene.steps(&manifest), ["dir 0755 /bin", "copy 4755 /bin/su"]);
}

#[test]
fn a_script_brings_its_interpreters() {
    let scene = merged("script");
    scene.program("usr/bin/env", 0o755).program("usr/bin/awk", 0o755);
    scene.file_with("srv/run", b"#!/usr/bin/env awk\n", 0o755);
    let mut manifest = Manifest::default();
    manifest.program.command = Some(scene.at(7, vec!["/srv/run".into()]));
    let resolved = scene.resolve(&manifest).unwrap();
    assert_eq!(resolved.program, Some(jail("/srv/run")));
    let origin = |path: &str| {
        let copied = |action: &Action| matches!(action, Action::CopyFile { path: at, .. } if at.as_path() == Path::new(path));
        resolved.steps.iter().find(|step| copied(&step.action)).unwrap().origin.to_string()
    };
    assert_eq!(origin("/srv/run"), "test.toml:7");
    assert_eq!(origin("/usr/bin/env"), "first line of /srv/run, #!/usr/bin/env awk; test.toml:7");
    assert!(origin("/usr/bin/awk").ends_with("test.toml:7"));
}

#[test]
fn what_the_manifest_adds_goes_behind_the_hosts_links() {
    let scene = merged("behind");
    scene.program("usr/bin/sh", 0o755);
    let mut manifest = Manifest::default();
    let script = Text { mode: Some(Mode(0o755)), ..text("/bin/hello", "#!/bin/sh\n") };
    manifest.tree.text.push(scene.at(1, script));
    manifest.tree.links.push(scene.at(2, Link { path: jail("/bin/hi"), target: "hello".into() }));
    manifest.tree.directories.push(scene.at(3, directory("/bin")));
    assert_eq!(
        scene.steps(&manifest),
        [
            "link /bin -> usr/bin",
            "dir 0755 /usr",
            "dir 0755 /usr/bin",
            "text 0755 /usr/bin/hello",
            "link /usr/bin/hi -> hello",
            "copy 0755 /usr/bin/sh",
        ]
    );
}

#[test]
fn the_manifests_own_links_shape_the_tree() {
    let scene = Scene::new("shape");
    scene.file("etc/app/conf", "");
    let mut manifest = Manifest::default();
    manifest.tree.links.push(scene.at(1, Link { path: jail("/etc"), target: "config".into() }));
    manifest.tree.files.push(scene.files(2, "/etc/app"));
    assert_eq!(
        scene.steps(&manifest),
        [
            "dir 0755 /config",
            "dir 0755 /config/app",
            "copy 0644 /etc/app/conf => /config/app/conf",
            "link /etc -> config"
        ]
    );
}

#[test]
fn links_that_lead_round_are_found() {
    let scene = Scene::new("round");
    let mut manifest = Manifest::default();
    for (line, path, target) in [(1, "/a", "b"), (2, "/b", "a")] {
        manifest.tree.links.push(scene.at(line, Link { path: jail(path), target: target.into() }));
    }
    manifest.tree.text.push(scene.at(3, text("/a/file", "")));
    manifest.tree.text.push(scene.at(4, text(&"/d".repeat(100_000), "")));
    assert_eq!(scene.errors(&manifest).len(), 2);
    assert!(scene.errors(&manifest)[0].starts_with("`/a` leads nowhere"));
}

#[test]
fn a_directory_is_copied_with_modes_links_and_second_names() {
    let scene = Scene::new("walk");
    scene.file_with("srv/d/a", b"", 0o640).hard_link("srv/d/z", "srv/d/a").link("srv/d/l", "a");
    scene
        .directory("srv/d/empty", 0o1777)
        .file("srv/d/keep.bak", "")
        .file("srv/d/x/cache/f", "")
        .file("srv/d/x/ok", "");
    let mut manifest = Manifest::default();
    let mut files = scene.files(1, "/srv/d");
    files.value.exclude = vec!["*.bak".into(), "x/cache".into()];
    files.value.owner = Some(Account::Id(4242));
    manifest.tree.files.push(files.clone());
    assert_eq!(
        scene.steps(&manifest),
        [
            "dir 0755 /srv",
            "dir 0755 4242:4242 /srv/d",
            "copy 0640 4242:4242 /srv/d/a",
            "dir 1777 4242:4242 /srv/d/empty",
            "link /srv/d/l -> a",
            "dir 0755 4242:4242 /srv/d/x",
            "copy 0644 4242:4242 /srv/d/x/ok",
            "hard /srv/d/a => /srv/d/z",
        ]
    );
    files.value.owner = None;
    files.value.target = Some(jail("/opt/e"));
    files.value.mode = Some(Mode(0o440));
    files.value.exclude = vec!["/srv/d/[xkz]*".into(), "l".into()];
    manifest.tree.files = vec![files];
    assert_eq!(
        scene.steps(&manifest),
        ["dir 0755 /opt", "dir 0550 /opt/e", "copy 0440 /srv/d/a => /opt/e/a", "dir 0550 /opt/e/empty"]
    );
}

#[test]
fn a_pattern_brings_what_it_matches() {
    let scene = Scene::new("pattern");
    scene.file("etc/a.conf", "").file("etc/b.conf", "").file("etc/c", "").file("etc/d.conf/x", "");
    let mut manifest = Manifest::default();
    let mut files = scene.files(1, "/etc/*.conf");
    files.value.exclude = vec!["b*".into()];
    manifest.tree.files.push(files.clone());
    let copied =
        ["dir 0755 /etc", "copy 0644 /etc/a.conf", "dir 0755 /etc/d.conf", "copy 0644 /etc/d.conf/x"];
    assert_eq!(scene.steps(&manifest), copied);
    files.value.target = Some(jail("/conf"));
    manifest.tree.files = vec![files, scene.files(2, "/etc/*.cnof")];
    assert_eq!(
        scene.errors(&manifest),
        ["nothing matches `/etc/*.cnof`; write `optional = true` if it may be so"]
    );
    manifest.tree.files[1].value.optional = true;
    assert_eq!(
        scene.steps(&manifest)[1..3],
        ["copy 0644 /etc/a.conf => /conf/a.conf", "dir 0755 /conf/d.conf"]
    );
}

#[test]
fn entries_that_disagree_are_named() {
    let scene = Scene::new("conflict");
    scene.file("etc/app/conf", "");
    let mut manifest = Manifest::default();
    manifest.tree.files = vec![scene.files(2, "/etc/app"), scene.files(3, "/etc/app/conf")];
    manifest.tree.text.push(scene.at(5, text("/etc/app/conf", "mine")));
    let findings = scene.resolve(&manifest).unwrap_err();
    assert_eq!(findings.len(), 1, "a file that came along gives way, a named one does not");
    assert_eq!(findings[0].message, "two entries want different things at `/etc/app/conf`");
    assert_eq!(
        findings[0].why,
        [
            "a file of 4 bytes, mode 0644, owner 0:0: test.toml:5".to_owned(),
            format!("{}: test.toml:3", copy_of(&findings[0].why[1])),
        ]
    );
    manifest.tree.files.pop();
    assert_eq!(scene.steps(&manifest), ["dir 0755 /etc", "dir 0755 /etc/app", "text 0644 /etc/app/conf"]);
    manifest.tree.text.push(scene.at(6, text("/etc/app/conf/below", "")));
    assert_eq!(scene.errors(&manifest), ["`/etc/app/conf/below` needs a directory at `/etc/app/conf`; "]);
}

/// The part of a line that depends on who runs the test.
fn copy_of(why: &str) -> &str {
    assert!(why.starts_with("a copy of `/etc/app/conf`, mode 0644, owner "));
    why.strip_suffix(": test.toml:3").unwrap()
}

#[test]
fn everything_wrong_is_said_at_once() {
    let scene = merged("wrong");
    scene
        .file("etc/passwd", "nobody:x:65534:65534::/:/\nwww-data:x:33:33::/:/\n")
        .file("etc/nginx/nginx.conf", "");
    scene
        .program("usr/bin/named", 0o755)
        .file("usr/bin/notes", "text")
        .file("var/lib/dpkg/info/nginx.list", "");
    let mut manifest = Manifest::default();
    manifest.program.command = Some(scene.at(1, vec!["namde".into()]));
    manifest.program.user = Some(scene.at(2, Account::Name("wwwdata".into())));
    manifest.tree.programs = vec![scene.at(3, program("/usr/bin/nmaed")), scene.at(4, program("/bin/notes"))];
    manifest.tree.files = vec![scene.files(5, "/etc/ngnix/nginx.conf"), scene.files(6, "/proc")];
    manifest.tree.packages.push(scene.at(7, "ngix".into()));
    manifest.tree.users.push(scene.at(8, "bind".into()));
    manifest.mounts.push(scene.at(9, bind("/srv", "/srv")));
    scene.directory("proc", 0o555);
    assert_eq!(
        scene.errors(&manifest),
        [
            "`/usr/bin/nmaed` cannot be found on the host; did you mean `/usr/bin/named`?",
            "`/bin/notes` cannot be run: neither an ELF file nor a script that begins with #!; list it under `files`, which brings it as it is",
            "`/etc/ngnix/nginx.conf` cannot be found on the host; did you mean `/etc/nginx/nginx.conf`?; or write `optional = true` if it may be missing",
            "`/proc` belongs to the kernel and is not copied; the jail has its own /proc; see `proc` under `[root]`",
            "the package `ngix` is not installed on the host; did you mean `nginx`?",
            "there is no program `namde`, neither in the tree nor on the host; did you mean `named`?",
            "`/srv` cannot be found on the host; install what brings it, or take the entry out; or write `optional = true` if it may be missing",
            "there is no user `wwwdata`; did you mean `www-data`? An id by number needs no entry",
            "there is no user `bind`; create the user on the host, or write its id as a number",
        ]
    );
}

#[test]
fn secrets_come_only_by_name() {
    let scene = Scene::new("secrets");
    scene.file_with("etc/shadow", b"", 0o640).file("etc/hosts", "").file_with("etc/app.key", b"", 0o600);
    let mut manifest = Manifest::default();
    manifest.tree.files.push(scene.files(1, "/etc"));
    assert_eq!(scene.steps(&manifest), ["dir 0755 /etc", "copy 0600 /etc/app.key", "copy 0644 /etc/hosts"]);
    let warnings = scene.resolve(&manifest).unwrap().warnings;
    assert_eq!(warnings[0].message, "1 file of `/etc` left out: secrets of the host");
    if Host::current(Path::new("/")).is_root() {
        assert_eq!(warnings[1].message, "1 file of `/etc` can be read by root only");
        assert_eq!(warnings[1].why, ["/etc/app.key"]);
    }
    manifest.tree.files.insert(0, scene.files(2, "/etc/shadow"));
    assert!(scene.steps(&manifest).contains(&"copy 0640 /etc/shadow".into()));
}

#[test]
fn a_link_to_what_is_left_behind_is_a_warning() {
    let scene = Scene::new("dangling");
    scene
        .link("etc/mods/a", "/usr/mods/a")
        .file("usr/mods/a", "")
        .link("etc/mods/b", "../nowhere")
        .link("etc/mods/c", "a");
    let mut manifest = Manifest::default();
    manifest.tree.files.push(scene.files(4, "/etc/mods"));
    let warnings = scene.resolve(&manifest).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].why, ["/etc/mods/a -> /usr/mods/a", "/etc/mods/c -> /etc/mods/a"]);
    manifest.tree.files.push(scene.files(5, "/usr/mods/*"));
    assert_eq!(scene.resolve(&manifest).unwrap().warnings, []);
}

#[test]
fn every_mount_has_its_place() {
    let scene = Scene::new("mounts");
    scene.file("srv/one", "").directory("srv/zones", 0o700).directory("tmp", 0o1777).link("var/run", "/run");
    let mut manifest = Manifest::default();
    let tmpfs = MountKind::Tmpfs { size: None, inodes: None, mode: None };
    manifest.mounts = vec![
        scene.at(1, bind("/srv/one", "/etc/one")),
        scene.at(2, bind("/srv/zones", "/etc/zones")),
        scene.at(3, Mount { target: jail("/tmp"), kind: tmpfs.clone(), read_only: None, executable: None }),
        scene.at(4, Mount { target: jail("/var/run/app"), kind: tmpfs, read_only: None, executable: None }),
        scene.at(5, bind("/srv/one", "/etc/hosts")),
    ];
    manifest.tree.text.push(scene.at(6, text("/etc/hosts", "")));
    manifest.program.working_directory = Some(scene.at(7, jail("/home/app")));
    assert_eq!(
        scene.steps(&manifest),
        [
            "dir 0755 /etc",
            "text 0644 /etc/hosts",
            "text 0644 /etc/one",
            "dir 0755 /etc/zones",
            "dir 0755 /home",
            "dir 0755 /home/app",
            "dir 0755 /run",
            "dir 0755 /run/app",
            "dir 1777 /tmp",
            "dir 0755 /var",
            "link /var/run -> /run",
        ]
    );
    manifest.program.command = Some(scene.at(8, vec!["/etc/zones/tool".into()]));
    assert!(scene.errors(&manifest)[0].starts_with("`/etc/zones/tool` cannot be found"));
    scene.program("srv/zones/tool", 0o755);
    assert_eq!(scene.resolve(&manifest).unwrap().program, Some(jail("/etc/zones/tool")));
}

#[test]
fn the_jail_knows_its_own_users_only() {
    let scene = Scene::new("names");
    let passwd = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n\
        bind:hash:105:113:BIND,,:/var/cache/bind:/bin/sh\nalice:x:1000:1000:Alice:/home/alice:/bin/bash\n";
    let group = "root:x:0:\nadm:x:4:bind,alice\nnogroup:x:65534:\nbind:x:113:\nalice:x:1000:\nkeys:x:50:\n";
    scene.file("etc/passwd", passwd).file("etc/group", group).program("bin/sh", 0o755);
    let mut manifest = Manifest::default();
    manifest.tree.programs.push(scene.at(1, program("/bin/sh")));
    manifest.program.user = Some(scene.at(2, Account::Id(105)));
    manifest.program.supplementary_groups = vec![scene.at(3, Account::Name("adm".into()))];
    manifest.tree.groups = vec![scene.at(4, "keys".into())];
    let written = |manifest: &Manifest, wanted: &str| {
        let steps = scene.resolve(manifest).unwrap().steps;
        let content = steps.into_iter().find_map(|step| match step.action {
            Action::WriteFile { path, content, .. } if path.as_path() == Path::new(wanted) => Some(content),
            _ => None,
        });
        String::from_utf8(content.unwrap()).unwrap()
    };
    assert_eq!(
        written(&manifest, "/etc/passwd"),
        "root:*:0:0:root:/root:/usr/sbin/nologin\nnobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n\
         bind:*:105:113:BIND,,:/var/cache/bind:/bin/sh\n"
    );
    assert_eq!(
        written(&manifest, "/etc/group"),
        "root:*:0:\nadm:*:4:bind\nkeys:*:50:\nbind:*:113:\nnogroup:*:65534:\n"
    );

    manifest.tree.text.push(scene.at(5, text("/etc/passwd", "app:x:500:600::/:/\n")));
    manifest.program.user = Some(scene.at(2, Account::Name("app".into())));
    assert_eq!(written(&manifest, "/etc/passwd"), "app:x:500:600::/:/\n");
}

#[test]
fn a_package_comes_without_its_documentation() {
    let scene = merged("package");
    scene.program("usr/bin/tool", 0o755).file("usr/share/doc/tool/README", "").file("etc/tool.conf", "");
    scene.file("etc/tool.conf.distrib", "").directory("var/lib/tool", 0o755);
    let list = "/.\n/bin\n/bin/tool\n/usr/share/doc/tool/README\n/etc\n/etc/tool.conf\n/var/lib/tool\n/usr/lib/gone\n";
    scene.file("var/lib/dpkg/info/tool:amd64.list", list);
    scene.file(
        "var/lib/dpkg/diversions",
        "/etc/tool.conf\n/etc/tool.conf.distrib\nother\n/bin/tool\n/bin/tool.real\ntool\n",
    );
    let mut manifest = Manifest::default();
    manifest.tree.packages.push(scene.at(1, "tool".into()));
    assert_eq!(
        scene.steps(&manifest),
        [
            "link /bin -> usr/bin",
            "dir 0755 /etc",
            "copy 0644 /etc/tool.conf.distrib",
            "dir 0755 /usr",
            "dir 0755 /usr/bin",
            "copy 0755 /usr/bin/tool",
            "dir 0755 /var",
            "dir 0755 /var/lib",
            "dir 0755 /var/lib/tool",
        ]
    );
    assert_eq!(scene.resolve(&manifest).unwrap().warnings[0].why, ["/usr/lib/gone"]);
    scene.file("var/lib/dpkg/info/tool:i386.list", "");
    assert_eq!(
        scene.errors(&manifest),
        ["the package `tool` is installed for several machines; write one of `tool:amd64`, `tool:i386`"]
    );
}

#[test]
fn an_ordinary_user_gets_places_for_devices() {
    let scene = Scene::new("ordinary");
    let ordinary = Host { uid: 1000, ..scene.host.clone() };
    let steps = tree_steps(&Manifest::default(), &ordinary, &Accounts::default(), Nodes::Made).unwrap().steps;
    assert!(steps.iter().map(brief).any(|step| step == "text 0644 /dev/null"));
}

/// nginx on the host running the test: skipped, and said so, where it is not installed.
#[test]
fn nginx_of_this_host_is_resolved() {
    if !Path::new("/usr/sbin/nginx").exists() {
        eprintln!("SKIP: nginx is not installed");
        return;
    }
    let scene = Scene::new("nginx");
    let host = Host::current(Path::new("/"));
    let mut manifest = Manifest::default();
    manifest.program.command = Some(scene.at(1, vec!["nginx".into(), "-g".into(), "daemon off;".into()]));
    manifest.tree.files.push(scene.files(2, "/etc/nginx"));
    manifest.tree.packages.push(scene.at(3, "nginx-common".into()));
    let accounts = Accounts::of(&manifest, &host).unwrap();
    let resolved = tree_steps(&manifest, &host, &accounts, Nodes::Made).unwrap();
    assert_eq!(resolved.program, Some(jail("/usr/sbin/nginx")));
    let steps: Vec<_> = resolved.steps.iter().map(brief).collect();
    assert!(steps.contains(&"copy 0644 /etc/nginx/nginx.conf".into()));
    let libc = resolved.steps.iter().find(|step| brief(step).ends_with("/libc.so.6")).unwrap();
    assert!(libc.origin.to_string().starts_with("DT_NEEDED libc.so.6 of /usr/"));

    // The builder's rules: parents before children, each a directory and no link, and nothing twice.
    let mut directories = std::collections::HashSet::from([std::path::PathBuf::from("/")]);
    let mut seen = std::collections::HashSet::new();
    for step in &resolved.steps {
        let (path, is_directory) = match &step.action {
            Action::MakeDirectory { path, .. } => (path, true),
            Action::CopyFile { path, .. }
            | Action::MakeHardLink { path, .. }
            | Action::MakeSymlink { path, .. }
            | Action::WriteFile { path, .. }
            | Action::MakeDevice { path, .. } => (path, false),
            other => panic!("{other:?} is not of the Build phase"),
        };
        assert!(directories.contains(path.as_path().parent().unwrap()), "{path} stands in no directory");
        assert!(seen.insert(path.clone()), "{path} is there twice");
        if is_directory {
            directories.insert(path.as_path().to_owned());
        }
    }
}
