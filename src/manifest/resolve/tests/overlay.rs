//! Overlays: what they become, and over what there can be none.

use super::super::testing::Scene;
use super::*;
use crate::manifest::schema::Manifest;
use crate::plan::Size;

fn overlay(source: &str) -> Mount {
    let kind =
        MountKind::Overlay { source: host(source), size: Some(Size(1 << 20)), inodes: None, sockets: false };
    Mount { target: jail(source), kind, read_only: None, executable: Some(true) }
}

/// A host with a directory that is on one file system, and one with another mounted in it.
fn scene(name: &str) -> Scene {
    let scene = Scene::new(name);
    scene.directory("srv/work", 0o755).directory("mnt/disk", 0o755).file("srv/file", "");
    scene.link("work", "/srv/work").directory("net", 0o755);
    scene.file(
        "proc/self/mountinfo",
        "21 1 254:0 / / rw - ext4 /dev/vda rw\n22 21 0:21 / /mnt/disk rw - xfs /dev/vdb rw\n\
         23 21 0:22 / /net rw - nfs4 host:/ rw\n",
    );
    scene
}

/// The step that makes it, or what is found wrong: message and why.
fn made(scene: &Scene, source: &str) -> Result<Vec<String>, Vec<String>> {
    let manifest = Manifest { mounts: vec![scene.at(1, overlay(source))], ..Manifest::default() };
    let told =
        |finding: crate::manifest::finding::Finding| [vec![finding.message], finding.why].concat().join(": ");
    let steps =
        scene.run(&manifest).map_err(|findings| findings.into_iter().map(told).collect::<Vec<_>>())?;
    Ok(steps
        .steps
        .iter()
        .map(|step| step.action.to_string())
        .filter(|line| line.starts_with("overlay("))
        .collect())
}

#[test]
fn an_overlay_is_a_layer_over_a_directory_without_links() {
    for (name, source) in [("overlay", "/srv/work"), ("overlay-link", "/work")] {
        assert_eq!(
            made(&scene(name), source).unwrap(),
            [format!(
                "overlay(\"/srv/work\" → \"{source}\", rw nosuid nodev, idmap, size=1M mode=0700 nr_inodes=1024)"
            )]
        );
    }
}

#[test]
fn an_overlay_is_over_one_file_system() {
    assert_eq!(
        made(&scene("overlay-below"), "/mnt").unwrap_err(),
        [
            "an overlay cannot be over `/mnt`: `/mnt/disk` is mounted below, and an overlay shows what is in one file system"
        ]
    );
    assert!(made(&scene("overlay-at"), "/mnt/disk").is_ok());
    assert_eq!(
        made(&scene("overlay-file"), "/srv/file").unwrap_err(),
        ["`/srv/file` is no directory, and an overlay is of one"]
    );
}
