//! Mistakes, and what is said about them.

use std::path::Path;

use super::super::testing::Scene;
use super::*;
use crate::manifest::schema::{Link, Manifest, Mount};
use crate::plan::Account;
use crate::sys::host::Host;

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
    assert_eq!(
        scene.errors(&manifest),
        [
            "`/etc/app/conf/below` needs a directory at `/etc/app/conf`; take one of them out, or choose another path for it"
        ]
    );
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
            "`/etc/ngnix/nginx.conf` cannot be found on the host; did you mean `/etc/nginx/nginx.conf`? Or write `optional = true` if it may be missing",
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
fn a_directory_that_is_to_be_written_to_is_made_and_not_installed() {
    let mut scene = merged("state");
    let mut manifest = Manifest::default();
    manifest.program.command = Some(scene.at(1, vec!["/usr/bin/sh".into()]));
    manifest.program.user = Some(scene.at(2, Account::Name("redis".into())));
    scene.program("usr/bin/sh", 0o755).file("etc/passwd", "redis:x:105:33::/:/\n");
    let state = Mount { read_only: Some(false), ..bind("/state/redis", "/srv/redis") };
    manifest.mounts.push(scene.at(3, state));
    for (uid, command) in [(0, "install -d -o redis /state/redis"), (1000, "mkdir -p /state/redis")] {
        scene.host.uid = uid;
        let expected = format!(
            "`/state/redis` cannot be found on the host; make it: `{command}`; or write `optional = true` if it may be missing"
        );
        assert_eq!(scene.errors(&manifest), [expected]);
    }
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
fn a_missing_library_is_named_with_who_needs_it() {
    const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
    let (Ok(program), Ok(loader)) = (std::fs::read("/usr/bin/true"), std::fs::read(LOADER)) else {
        eprintln!("SKIP: no /usr/bin/true of x86-64 here");
        return;
    };
    let scene = Scene::new("missing");
    scene.file_with("usr/bin/true", &program, 0o644);
    let mut manifest = Manifest::default();
    manifest.tree.programs.push(scene.at(3, self::program("/usr/bin/true")));
    let hint = "install what it is to be started by at that very path";
    assert_eq!(scene.errors(&manifest), [format!("`/usr/bin/true` would not start; {hint}")]);

    scene.file_with(&LOADER[1..], &loader, 0o755);
    let findings = scene.resolve(&manifest).unwrap_err();
    assert_eq!(findings[0].message, "the library `libc.so.6` is not on the host");
    assert_eq!(findings[0].why[0], "needed by `/usr/bin/true`");
    assert!(findings[0].why[1].starts_with("looked for at `/"), "{:?}", findings[0].why);

    scene.program("usr/bin/true", 0o644);
    let expected = "`/usr/bin/true` is no program: nobody may execute it; \
        set its x bit with chmod(1), or list it under `libraries` or `files`";
    assert_eq!(scene.errors(&manifest), [expected]);
}

#[test]
fn a_user_namespace_within_another_takes_one_id_or_none() {
    use crate::plan::step::Action;
    let mut scene = Scene::new("nested");
    let mut manifest = Manifest::default();
    manifest.program.command = Some(scene.at(1, vec!["/program".into()]));
    manifest.namespaces.user = Some(scene.at(2, true));
    // The root of a container, who has a range of ids.
    scene.host = Host { first_user_namespace: false, ..scene.host.clone() };
    let findings = scene.run(&manifest).unwrap_err();
    assert_eq!(findings[0].message, "a user namespace cannot be made from within another one");
    assert_eq!(findings[0].hint.as_deref(), Some("leave `user` out, or start stockade outside"));
    // That of `unshare -r`, who has one.
    scene.host = Host { has_one_id: true, ..scene.host.clone() };
    let run = scene.run(&manifest).unwrap();
    assert!(run.steps.iter().any(|step| matches!(step.action, Action::MapIds { .. })));
    assert!(!run.steps.iter().any(|step| matches!(step.action, Action::SetGroups { .. })));
}
