//! What of /proc is covered: from the files a kernel has there to steps.

use super::super::testing::Scene;
use crate::manifest::schema::{Manifest, Proc};
use crate::plan::value::Account;
use crate::plan::{Enforcement, Layer};

/// The steps about /proc as text.
fn steps(scene: &Scene, manifest: &Manifest) -> Vec<String> {
    let shown = scene.run(manifest).unwrap().steps.into_iter().map(|step| step.action.to_string());
    shown.filter(|step| step.contains("\"/proc") && !step.starts_with("landlock")).collect()
}

/// A host whose kernel has something of every kind there.
fn scene(name: &str) -> Scene {
    let scene = Scene::new(name);
    for file in ["cpuinfo", "keys", "key-users", "kcore", "new-driver", "1/cmdline"] {
        scene.file(&format!("proc/{file}"), "");
    }
    scene.directory("proc/fs", 0o555).directory("proc/acpi", 0o555).directory("proc/sys", 0o555);
    // They lead to what the jail has, or to nothing.
    scene.link("proc/mounts", "self/mounts").link("proc/device-tree", "/sys/firmware/devicetree/base");
    scene
}

/// A jail whose ids are the host's own.
fn with_the_hosts_ids(scene: &Scene) -> Manifest {
    let mut manifest = Manifest::default();
    manifest.namespaces.user = Some(scene.at(9, false));
    manifest
}

const COVER: &str = "open_tree(\"/dev/null\" \u{2192} \"/proc/key-users\", bind, ro nosuid nodev noexec)";
const PROC: &str = "fsmount(\"proc\" \u{2192} \"/proc\", ro nosuid nodev noexec, hidepid=ptraceable)";
const ATTACH: &str = "move_mount(<mount>, \"/proc\")";
const DIRECTORIES: &str = "cover(\"/proc/acpi\", \"/proc/fs\")";

#[test]
fn what_is_not_known_as_harmless_is_covered() {
    let scene = scene("proc-default");
    assert_eq!(
        steps(&scene, &with_the_hosts_ids(&scene)),
        [
            PROC,
            COVER,
            ATTACH,
            "cover(\"/proc/key-users\", \"/proc/keys\", \"/proc/new-driver\")",
            DIRECTORIES
        ]
    );
}

#[test]
fn a_program_that_may_be_the_hosts_root_finds_more_covered() {
    let scene = scene("proc-root");
    let mut manifest = with_the_hosts_ids(&scene);
    manifest.program.user = Some(scene.at(1, Account::Id(0)));
    let cover = COVER.replace("key-users", "kcore");
    let files = "cover(\"/proc/kcore\", \"/proc/key-users\", \"/proc/keys\", \"/proc/new-driver\")";
    assert_eq!(steps(&scene, &manifest), [PROC, cover.as_str(), ATTACH, files, DIRECTORIES]);
    // With ids of its own it is not.
    manifest.namespaces.user = None;
    assert_eq!(steps(&scene, &manifest)[3], "cover(\"/proc/keys\", \"/proc/new-driver\")");
    let mut manifest = with_the_hosts_ids(&scene);
    manifest.privileges.capabilities = vec![scene.at(1, 1)];
    assert_eq!(steps(&scene, &manifest).len(), 5);
    assert_eq!(steps(&scene, &manifest)[3], files);
}

#[test]
fn a_user_namespace_has_key_users_of_its_own() {
    let mut scene = scene("proc-user");
    scene.host.uid = 1000;
    let steps = steps(&scene, &Manifest::default());
    assert!(steps.contains(&"cover(\"/proc/keys\", \"/proc/new-driver\")".into()), "{steps:?}");
}

#[test]
fn what_is_not_masked_needs_no_cover() {
    let scene = scene("proc-others");
    let mut manifest = Manifest::default();
    for (proc, expected) in [
        (Proc::Processes, vec![PROC.replace("ptraceable", "ptraceable subset=pid"), ATTACH.into()]),
        (
            Proc::Full,
            vec!["fsmount(\"proc\" \u{2192} \"/proc\", rw nosuid nodev noexec)".into(), ATTACH.into()],
        ),
        (Proc::None, Vec::new()),
    ] {
        manifest.root.proc = Some(scene.at(1, proc));
        assert_eq!(steps(&scene, &manifest), expected);
    }
}

#[test]
fn a_host_that_does_not_show_its_proc_is_no_place_for_a_masked_one() {
    let scene = scene("proc-hidden");
    std::fs::remove_file(scene.host.root.join("proc/version")).unwrap();
    let mut manifest = Manifest::default();
    let refused = scene.run(&manifest).unwrap_err();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].message, "this host cannot enforce the layer `proc`");
    manifest.privileges.best_effort = vec![scene.at(1, Layer::Proc)];
    let layers = scene.run(&manifest).unwrap().layers;
    let state = layers.into_iter().find(|state| state.layer == Layer::Proc).unwrap();
    assert!(matches!(state.enforcement, Enforcement::Degraded(_)), "{state:?}");
    // Without one it runs.
    let mut manifest = Manifest::default();
    manifest.root.proc = Some(scene.at(1, Proc::Processes));
    assert!(scene.run(&manifest).is_ok());
}
