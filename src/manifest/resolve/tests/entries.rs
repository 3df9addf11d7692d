//! What files, packages and users bring.

use std::path::Path;

use super::super::accounts::Accounts;
use super::super::testing::{Scene, brief};
use super::super::tree::{Nodes, tree_steps};
use super::*;
use crate::manifest::schema::Manifest;
use crate::plan::step::Action;
use crate::plan::{Account, Mode};
use crate::sys::host::Host;

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

    let list = "/bin/alias\n/etc/alias\n";
    scene
        .link("usr/bin/alias", "tool")
        .link("etc/alias", "/usr/bin/tool")
        .file("var/lib/dpkg/info/alias.list", list);
    manifest.tree.packages = vec![scene.at(1, "alias".into())];
    let linked = [
        "link /etc/alias -> /usr/bin/tool",
        "dir 0755 /usr",
        "dir 0755 /usr/bin",
        "link /usr/bin/alias -> tool",
    ];
    assert_eq!(scene.steps(&manifest)[2..6], linked);
    assert_eq!(scene.steps(&manifest)[6], "copy 0755 /usr/bin/tool", "a program that is a link is brought");

    manifest.tree.packages = vec![scene.at(1, "tool".into())];
    scene.file("var/lib/dpkg/info/tool:i386.list", "");
    assert_eq!(
        scene.errors(&manifest),
        ["the package `tool` is installed for several machines; write one of `tool:amd64`, `tool:i386`"]
    );
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

#[test]
fn programs_are_found_by_pattern_too() {
    let scene = Scene::new("program-pattern");
    scene.program("usr/lib/app/a", 0o755).program("usr/lib/app/b", 0o755).file("usr/lib/app/c.txt", "");
    let mut manifest = Manifest::default();
    manifest.tree.programs.push(scene.at(1, program("/usr/lib/app/?")));
    assert_eq!(scene.steps(&manifest)[3..], ["copy 0755 /usr/lib/app/a", "copy 0755 /usr/lib/app/b"]);
}
