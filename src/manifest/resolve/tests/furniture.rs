//! What is made in memory at every start: a whole tree, and below a tmpfs the places for other mounts.

use super::{bind, directory, jail, text};
use crate::manifest::resolve::run::{Run, Tree, run_steps};
use crate::manifest::resolve::testing::{FIRST_ID, Scene};
use crate::manifest::resolve::tree::Nodes;
use crate::manifest::resolve::{accounts::Accounts, tree::tree_steps};
use crate::manifest::schema::{Link, Manifest, Mount, MountKind, RootTree};
use crate::plan::step::{Action, Furniture};
use crate::plan::{HostPath, JailName, Mode, order};
use crate::sys::host::Host;

/// A manifest whose tree is in memory, with a tmpfs and what the host has of /usr.
fn in_memory(scene: &Scene) -> Manifest {
    let mut manifest = Manifest::default();
    manifest.root.tree = Some(scene.at(1, RootTree::Memory));
    manifest.program.command = Some(scene.at(2, vec!["/bin/sh".into()]));
    manifest.tree.devices = Some(Vec::new());
    manifest.tree.links = vec![scene.at(3, Link { path: jail("/bin"), target: "usr/bin".into() })];
    manifest.mounts = vec![scene.at(4, bind("/usr", "/usr"))];
    manifest
}

/// A tmpfs at this path.
fn tmpfs(target: &str) -> Mount {
    let kind = MountKind::Tmpfs { size: None, inodes: None, mode: None, owner: None, group: None };
    Mount { target: jail(target), kind, read_only: None, executable: None }
}

/// The run of a manifest, as `stockade run` comes to it; or the first of what is found wrong.
fn run(scene: &Scene, manifest: &Manifest) -> Result<Run, String> {
    let accounts = Accounts::of(manifest, &scene.host).unwrap();
    let found = |findings: Vec<crate::manifest::finding::Finding>| findings[0].message.clone();
    let tree = tree_steps(manifest, &scene.host, &accounts, Nodes::Bound).map_err(found)?;
    let command = tree.program.ok_or("no program")?;
    let (name, path) = (JailName::parse("web").unwrap(), HostPath::parse("/").unwrap());
    let tree = Tree { path: &path, made: &tree.steps };
    let run = run_steps(manifest, &scene.host, &accounts, &name, &tree, &command, || Ok(FIRST_ID));
    let run = run.map_err(found)?;
    assert_eq!(order::check(&run.steps), Ok(()));
    Ok(run)
}

/// What is made, and what is sealed.
fn made(run: &Run) -> Vec<String> {
    let shown = run.steps.iter().filter_map(|step| match &step.action {
        Action::Furnish { within, path, what, owner } => {
            let what = match what {
                Furniture::Directory { mode } => format!("dir {mode}"),
                Furniture::Link { text } => format!("link {}", text.display()),
                Furniture::File { content, mode } => format!("file {mode} {}", content.len()),
            };
            let owner = owner.map_or(String::new(), |owner| format!(" {owner}"));
            Some(format!("{within}: {what} {path}{owner}"))
        }
        Action::Seal { target } => Some(format!("seal {target}")),
        _ => None,
    });
    shown.collect()
}

/// A host with merged /usr and a shell, for an ordinary user.
fn scene(name: &str) -> Scene {
    let mut scene = Scene::new(name);
    scene.program("usr/bin/sh", 0o755).link("bin", "usr/bin").directory("srv/data", 0o755);
    scene.host = Host { uid: 1000, gid: 1000, ..scene.host.clone() };
    scene
}

#[test]
fn a_tree_in_memory_is_made_and_sealed_before_anybody_sees_it() {
    let scene = scene("memory");
    let mut manifest = in_memory(&scene);
    manifest.tree.directories = vec![scene.at(5, directory("/var/tmp"))];
    manifest.tree.directories[0].value.mode = Some(Mode(0o1777));
    let run = run(&scene, &manifest).unwrap();
    let made = made(&run);
    for line in ["/: link usr/bin /bin", "/: dir 0555 /proc", "/: dir 0755 /usr", "/: dir 1777 /var/tmp"] {
        assert!(made.iter().any(|made| made == line), "{line} in {made:#?}");
    }
    assert_eq!(made.last().map(String::as_str), Some("seal /"));
    assert!(!run.steps.iter().any(|step| matches!(step.action, Action::CloneRoot { .. })));
    // The host's file is the program, by the link that the tree has.
    manifest.tree.links.clear();
    assert_eq!(super::furniture::run(&scene, &manifest).unwrap_err(), "no program");
}

#[test]
fn a_place_below_a_tmpfs_is_made_in_it() {
    let scene = scene("below");
    let mut manifest = in_memory(&scene);
    let inner = Mount { read_only: Some(true), ..tmpfs("/home") };
    manifest.mounts.extend([scene.at(6, inner), scene.at(7, bind("/srv/data", "/home/eve/data"))]);
    manifest.tree.text = vec![scene.at(8, text("/home/note", "x"))];
    let made = made(&run(&scene, &manifest).unwrap());
    let in_home: Vec<_> =
        made.iter().filter(|line| line.contains("/home: ") || line.contains("seal")).collect();
    assert_eq!(
        in_home,
        [
            "/home: dir 0755 /home/eve",
            "/home: dir 0755 /home/eve/data",
            "/home: file 0644 1 /home/note",
            "seal /home",
            "seal /",
        ]
    );
}

#[test]
fn what_is_made_for_roots_jail_is_its_own_roots() {
    let mut scene = scene("owners");
    scene.host = Host { uid: 0, gid: 0, ..scene.host.clone() };
    let made = made(&run(&scene, &in_memory(&scene)).unwrap());
    assert!(made.contains(&"/: link usr/bin /bin 600000000:600000000".to_owned()), "{made:#?}");
}

#[test]
fn nothing_is_ever_made_on_the_host() {
    let scene = scene("host");
    let mut manifest = in_memory(&scene);
    manifest.mounts.push(scene.at(6, bind("/srv/data", "/usr/data")));
    assert_eq!(run(&scene, &manifest).unwrap_err(), "there is no `/usr/data`, and it cannot be made");
    scene.directory("usr/data", 0o755);
    assert!(run(&scene, &manifest).is_ok());
}
