//! Paths are real, links are the host's, and what the run needs is there.

use std::path::Path;

use super::super::accounts::Accounts;
use super::super::testing::{Scene, brief};
use super::super::tree::{Nodes, tree_steps};
use super::*;
use crate::manifest::schema::{DeviceName, Link, Manifest};
use crate::plan::Mode;
use crate::plan::step::{Action, DEVICES};
use crate::sys::host::Host;

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
fn every_mount_has_its_place() {
    let scene = Scene::new("mounts");
    scene.file("srv/one", "").directory("srv/zones", 0o700).directory("tmp", 0o1777).link("var/run", "/run");
    let mut manifest = Manifest::default();
    let tmpfs = MountKind::Tmpfs { size: None, inodes: None, mode: None, owner: None, group: None };
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
    assert!(scene.errors(&manifest)[0].starts_with("`/srv/zones/tool` cannot be found"));
    scene.program("srv/zones/tool", 0o755);
    assert_eq!(scene.resolve(&manifest).unwrap().program, Some(jail("/etc/zones/tool")));
}

#[test]
fn no_mount_is_on_a_link() {
    let scene = Scene::new("mount-link");
    scene.directory("srv/run", 0o755).directory("run", 0o755).link("var/run", "/run");
    let mut manifest =
        Manifest { mounts: vec![scene.at(1, bind("/srv/run", "/var/run"))], ..Manifest::default() };
    assert_eq!(
        scene.errors(&manifest),
        ["nothing can be mounted on the link `/var/run`; write `target = \"/run\"`"]
    );
    manifest.mounts = vec![scene.at(1, bind("/srv/run", "/run"))];
    assert_eq!(scene.steps(&manifest), ["dir 0755 /run"]);
}

#[test]
fn an_ordinary_user_gets_places_for_devices() {
    let scene = Scene::new("ordinary");
    let ordinary = Host { uid: 1000, ..scene.host.clone() };
    let steps = tree_steps(&Manifest::default(), &ordinary, &Accounts::default(), Nodes::Made).unwrap().steps;
    assert!(steps.iter().map(brief).any(|step| step == "text 0644 /dev/null"));
}

#[test]
fn a_device_that_is_named_twice_is_one() {
    let scene = Scene::new("devices");
    let steps = |names: &[DeviceName]| {
        let mut manifest = Manifest::default();
        let listed = names.iter().zip(1..).map(|(name, line)| scene.at(line, *name));
        manifest.tree.devices = Some(listed.collect());
        let run = scene.run(&manifest).unwrap();
        run.steps.iter().map(|step| step.action.to_string()).collect::<Vec<_>>()
    };
    let (null, pts, shm, log) =
        (DeviceName::Node(DEVICES[0]), DeviceName::Pts, DeviceName::Shm, DeviceName::Log);
    assert_eq!(steps(&[null, pts, pts, shm, log, null, log, shm]), steps(&[null, pts, shm, log]));
}
