//! What Landlock is to allow: from a manifest and the host's version of it to rules.

use nix::errno::Errno;

use super::super::testing::Scene;
use super::*;
use crate::manifest::schema::{DeviceName, Manifest, Network, Proc, RootTree, Share};
use crate::plan::{Layer, LayerState};
use crate::sys::descriptor::{Descriptor, Kind};

/// The steps of Landlock as text, without the root's rule and that of /dev.
fn steps(scene: &Scene, manifest: &Manifest) -> Vec<String> {
    let run = scene.run(manifest).unwrap();
    let shown = run.steps.iter().map(|step| step.action.to_string());
    shown.filter(|step| step.starts_with("landlock_add_rule(")).collect()
}

/// What became of the layer.
fn state(scene: &Scene, manifest: &Manifest) -> LayerState {
    let layers = scene.run(manifest).unwrap().layers;
    layers.into_iter().find(|state| state.layer == Layer::Landlock).unwrap()
}

const ROOT: &str = "landlock_add_rule(\"/\", execute read_file read_dir)";
const DEV: &str = "landlock_add_rule(\"/dev\", write_file ioctl_dev)";

#[test]
fn nothing_is_written_but_devices() {
    assert_eq!(steps(&Scene::new("landlock-default"), &Manifest::default()), [ROOT, DEV]);
}

#[test]
fn what_the_manifest_shows_writable_is() {
    let scene = Scene::new("landlock-writable");
    scene.directory("srv/data", 0o755).file("srv/file", "");
    let mut manifest = Manifest::default();
    let writable = |mount: Mount| Mount { read_only: Some(false), ..mount };
    for mount in [
        bind("/srv", "/srv"),
        writable(bind("/srv/data", "/data")),
        writable(bind("/srv/file", "/file")),
        Mount {
            kind: MountKind::Tmpfs { size: None, inodes: None, mode: None, owner: None, group: None },
            ..bind("/", "/tmp")
        },
        Mount {
            kind: MountKind::Tmpfs { size: None, inodes: None, mode: None, owner: None, group: None },
            read_only: Some(true),
            ..bind("/", "/empty")
        },
        Mount { kind: MountKind::Mqueue, ..bind("/", "/queues") },
    ] {
        manifest.mounts.push(scene.at(1, mount));
    }
    manifest.root.proc = Some(scene.at(2, Proc::Full));
    manifest.tree.devices = Some(vec![scene.at(3, DeviceName::Pts), scene.at(3, DeviceName::Shm)]);
    assert_eq!(
        steps(&scene, &manifest),
        [
            ROOT,
            "landlock_add_rule(\"/proc\", write_file change)",
            "landlock_add_rule(\"/dev/pts\", write_file ioctl_dev)",
            "landlock_add_rule(\"/dev/shm\", write_file change)",
            "landlock_add_rule(\"/data\", write_file change)",
            "landlock_add_rule(\"/file\", write_file truncate)",
            "landlock_add_rule(\"/tmp\", write_file change)",
            "landlock_add_rule(\"/queues\", write_file change)",
        ]
    );
    manifest = Manifest::default();
    manifest.root.read_only = Some(scene.at(4, false));
    let root = "landlock_add_rule(\"/\", execute write_file read_file read_dir change)";
    assert_eq!(steps(&scene, &manifest), [root, DEV]);
}

/// A descriptor of this kind, opened for reading, for writing, or for both.
fn opened(kind: Kind, readable: bool, writable: bool) -> Descriptor {
    Descriptor { kind, readable, writable, owner: 12345, ..Descriptor::UNKNOWN }
}

#[test]
fn a_standard_descriptor_is_opened_again_as_what_it_is_for() {
    let mut scene = Scene::new("landlock-standard");
    let file = Kind::File { file_system: 0, named: true };
    let (null, pipe) = (Kind::Device { major: 1, minor: 3 }, Kind::Pipe { named: true });
    for (standard, expected) in [
        // A file that is written is behind a pipe.
        (
            [opened(file, true, false), opened(file, false, true), opened(file, true, true)],
            vec!["0, read_file"],
        ),
        (
            [opened(file, true, true), opened(file, true, false), Descriptor::PIPE],
            vec!["0, read_file", "1, read_file"],
        ),
        (
            [opened(null, true, false), opened(Kind::Terminal, false, true), opened(pipe, false, true)],
            vec!["0, read_file ioctl_dev", "1, write_file ioctl_dev", "2, write_file"],
        ),
        (
            [
                opened(Kind::Socket { family: 1, kind: 1, protocol: 0 }, true, true),
                opened(Kind::Anonymous, true, true),
                Descriptor::UNKNOWN,
            ],
            vec![],
        ),
    ] {
        scene.host.standard = standard;
        let found = steps(&scene, &Manifest::default());
        let expected = expected.iter().map(|rule| format!("landlock_add_rule(descriptor {rule})"));
        assert_eq!(found[2..], expected.collect::<Vec<_>>());
    }
}

#[test]
fn an_older_landlock_is_enough_and_what_it_lacks_is_told() {
    let mut scene = Scene::new("landlock-versions");
    let mut manifest = Manifest::default();
    for (version, lacks) in [
        (7, None),
        (6, None),
        (4, Some("version 4 of the kernel's Landlock: commands to devices are left to modes")),
        (
            1,
            Some(
                "version 1 of the kernel's Landlock: no file can be renamed or linked into another directory; \
                 cutting a file is left to mount flags and modes; commands to devices are left to modes",
            ),
        ),
    ] {
        scene.host.landlock = Ok(version);
        let state = state(&scene, &manifest).enforcement;
        assert_eq!((state.name(), state.reason()), ("enforced", lacks), "{version}");
    }
    // Rights that a version does not know are not asked for.
    assert_eq!(steps(&scene, &manifest)[1], "landlock_add_rule(\"/dev\", write_file)");
    manifest.namespaces.network = Some(scene.at(1, Network::Host));
    scene.host.landlock = Ok(5);
    let reason = "version 5 of the kernel's Landlock: the host's abstract sockets are in reach";
    assert_eq!(state(&scene, &manifest).enforcement.reason(), Some(reason));
}

/// Elsewhere mount flags are there as well.
#[test]
fn in_the_hosts_tree_a_version_that_lets_files_be_cut_is_none() {
    let mut scene = Scene::new("landlock-cut");
    let mut manifest = Manifest::default();
    manifest.root.tree = Some(scene.at(1, RootTree::Host));
    scene.host.landlock = Ok(2);
    let findings = scene.run(&manifest).unwrap_err();
    assert_eq!(findings[0].message, "this host cannot enforce the layer `landlock`");
    assert!(findings[0].why[0].ends_with("that came with Linux 6.2"), "{:?}", findings[0].why);
    scene.host.landlock = Ok(3);
    let reason = "version 3 of the kernel's Landlock: commands to devices are left to modes; the caller's other processes can be signalled";
    assert_eq!(state(&scene, &manifest).enforcement.reason(), Some(reason));
}

#[test]
fn without_landlock_a_jail_starts_only_if_it_may() {
    let mut scene = Scene::new("landlock-absent");
    scene.host.landlock = Err(Errno::ENOSYS);
    let mut manifest = Manifest::default();
    let findings = scene.run(&manifest).unwrap_err();
    assert_eq!(findings[0].message, "this host cannot enforce the layer `landlock`");
    manifest.privileges.best_effort.push(scene.at(1, Layer::Landlock));
    assert_eq!(state(&scene, &manifest).enforcement.name(), "degraded");
    assert_eq!(steps(&scene, &manifest), [""; 0]);
    manifest = Manifest::default();
    manifest.privileges.landlock = Some(scene.at(1, false));
    assert_eq!(state(&scene, &manifest).enforcement.name(), "off");
    assert_eq!(steps(&scene, &manifest), [""; 0]);
}

#[test]
fn scopes_are_what_the_version_and_the_manifest_say() {
    let mut scene = Scene::new("landlock-scopes");
    let mut manifest = Manifest::default();
    let scopes = |scene: &Scene, manifest: &Manifest| {
        let run = scene.run(manifest).unwrap();
        let shown = run.steps.iter().map(|step| step.action.to_string());
        let ruleset = shown.into_iter().find(|step| step.starts_with("landlock_create_ruleset(")).unwrap();
        ruleset.rsplit_once("scope of ").unwrap().1.trim_end_matches(')').to_owned()
    };
    assert_eq!(scopes(&scene, &manifest), "abstract_unix_socket signal");
    manifest.namespaces.network = Some(scene.at(1, Network::Host));
    manifest.namespaces.abstract_sockets = Some(scene.at(1, Share::Host));
    assert_eq!(scopes(&scene, &manifest), "signal");
    scene.host.landlock = Ok(5);
    assert_eq!(scopes(&scene, &manifest), "nothing");
}
