//! What of /sys is covered: from what a kernel has there to steps.

use super::super::testing::Scene;
use crate::manifest::schema::{Manifest, Network, Sys};

/// A host whose kernel has something of every kind there, and a manifest that asks for it.
fn scene(name: &str) -> (Scene, Manifest) {
    let scene = Scene::new(name);
    for directory in [
        "class/net",
        "class/tty",
        "devices/system",
        "devices/virtual/net",
        "fs/cgroup",
        "fs/new",
        "kernel/mm",
    ] {
        scene.directory(&format!("sys/{directory}"), 0o755);
    }
    scene.file("sys/kernel/notes", "").file("sys/fs/file", "").directory("sys/bus", 0o755);
    let mut manifest = Manifest::default();
    manifest.root.sys = Some(scene.at(1, Sys::Masked));
    (scene, manifest)
}

/// The steps about /sys as text.
fn steps(scene: &Scene, manifest: &Manifest) -> Vec<String> {
    let shown = scene.run(manifest).unwrap().steps.into_iter().map(|step| step.action.to_string());
    shown.filter(|step| step.contains("\"/sys") && !step.starts_with("landlock")).collect()
}

#[test]
fn what_is_not_known_as_harmless_is_covered() {
    let (scene, manifest) = scene("sys-masked");
    assert_eq!(
        steps(&scene, &manifest),
        [
            "fsmount(\"sysfs\" \u{2192} \"/sys\", ro nosuid nodev noexec)",
            "open_tree(\"/dev/null\" \u{2192} \"/sys/fs/file\", bind, ro nosuid nodev noexec)",
            "move_mount(<mount>, \"/sys\")",
            "cover(\"/sys/fs/file\", \"/sys/kernel/notes\")",
            "cover(\"/sys/bus\", \"/sys/class/tty\", \"/sys/fs/new\")",
        ]
    );
    assert_eq!(steps(&scene, &Manifest::default()), Vec::<String>::new());
}

#[test]
fn a_host_that_does_not_show_its_sys_is_no_place_for_a_masked_one() {
    let (scene, manifest) = scene("sys-hidden");
    std::fs::remove_dir(scene.host.root.join("sys/class/net")).unwrap();
    std::fs::remove_dir(scene.host.root.join("sys/class/tty")).unwrap();
    std::fs::remove_dir(scene.host.root.join("sys/class")).unwrap();
    let refused = scene.run(&manifest).unwrap_err();
    assert_eq!(refused[0].message, "this host's /sys cannot be masked");
}

#[test]
fn an_ordinary_user_has_none_with_the_hosts_network() {
    let (mut scene, mut manifest) = scene("sys-network");
    manifest.namespaces.network = Some(scene.at(2, Network::Host));
    assert_eq!(steps(&scene, &manifest).len(), 5);
    scene.host.uid = 1000;
    let refused = scene.run(&manifest).unwrap_err();
    assert_eq!(refused[0].message, "an ordinary user's jail cannot have a /sys and the host's network");
}
