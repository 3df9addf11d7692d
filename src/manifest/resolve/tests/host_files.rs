//! What `host` shows: a place for each file in the tree, whatever the host has there.

use super::program;
use crate::manifest::host_files::{self, HostFiles};
use crate::manifest::resolve::key::tree_key;
use crate::manifest::resolve::testing::Scene;
use crate::manifest::schema::Manifest;

/// A manifest with these words, as it is loaded.
fn manifest(scene: &Scene, words: &[HostFiles]) -> Manifest {
    let mut manifest = Manifest::default();
    manifest.tree.host = words.iter().map(|word| scene.at(1, *word)).collect();
    manifest.mounts = host_files::mounts(&manifest.tree.host);
    manifest
}

/// A host whose resolver and zone are links, as they are with systemd.
fn linked(name: &str) -> Scene {
    let scene = Scene::new(name);
    scene.file("run/systemd/resolve/stub-resolv.conf", "nameserver 127.0.0.53\n");
    scene.link("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf");
    scene
        .file("usr/share/zoneinfo/Europe/Berlin", "TZif2")
        .link("etc/localtime", "/usr/share/zoneinfo/Europe/Berlin");
    scene
}

#[test]
fn every_file_has_a_place_of_its_own_where_the_host_has_a_link() {
    let scene = linked("host-links");
    let expected = [
        "dir 0755 /etc",
        "text 0644 /etc/localtime",
        "text 0644 /etc/resolv.conf",
        "dir 0755 /usr",
        "dir 0755 /usr/share",
        "dir 0755 /usr/share/zoneinfo",
    ];
    let mut manifest = manifest(&scene, &[HostFiles::Dns, HostFiles::TimeZone]);
    assert_eq!(scene.steps(&manifest), expected);
    // The links that come along with a directory give way.
    manifest.tree.files = vec![scene.files(2, "/etc")];
    assert_eq!(scene.steps(&manifest), expected);
}

#[test]
fn a_directory_that_is_a_link_on_the_host_is_one_in_the_tree() {
    let scene = Scene::new("host-pki");
    scene.directory("etc/pki/tls/certs", 0o755).link("etc/ssl/certs", "../pki/tls/certs");
    let steps = scene.steps(&manifest(&scene, &[HostFiles::Certificates]));
    assert!(steps.contains(&"dir 0755 /etc/ssl/certs".to_owned()), "{steps:?}");
    assert!(steps.contains(&"dir 0755 /etc/pki/tls/certs".to_owned()), "{steps:?}");
}

#[test]
fn what_is_shown_is_not_copied_as_well() {
    let scene = linked("host-twice");
    let mut manifest = manifest(&scene, &[HostFiles::Dns]);
    manifest.tree.files = vec![scene.files(2, "/etc/resolv.conf")];
    assert_eq!(
        scene.errors(&manifest),
        [
            "two entries want different things at `/etc/resolv.conf`; take one of them out; what comes with a directory or a glob is left out with `exclude`"
        ]
    );
}

#[test]
fn what_the_host_has_not_is_an_error() {
    let scene = Scene::new("host-nothing");
    let errors = scene.errors(&manifest(&scene, &[HostFiles::Hosts, HostFiles::Certificates]));
    let cure = |word: &str| format!("take `{word}` out of `host`, or bring a file of the jail's own");
    assert_eq!(
        errors,
        [
            format!("`/etc/hosts` cannot be found on the host; {}", cure("hosts")),
            format!("`/etc/ssl/certs` cannot be found on the host; {}", cure("certificates")),
        ]
    );
}

#[test]
fn what_the_host_has_otherwise_is_an_error() {
    let scene = Scene::new("host-kinds");
    scene.directory("etc/hosts", 0o755).file("usr/lib/locale", "");
    let errors = scene.errors(&manifest(&scene, &[HostFiles::Hosts, HostFiles::Locale]));
    assert_eq!(
        errors,
        ["`/etc/hosts` of the host is not a file; ", "`/usr/lib/locale` of the host is not a directory; "]
    );
}

#[test]
fn what_comes_into_being_on_the_host_builds_the_tree_anew() {
    let scene = Scene::new("host-key");
    scene.directory("etc/ssl/certs", 0o755).program("bin/tool", 0o755);
    let mut manifest = manifest(&scene, &[HostFiles::Certificates]);
    manifest.tree.programs = vec![scene.at(2, program("/bin/tool"))];
    let key = || tree_key(&manifest, &scene.host, false);
    let before = key();
    scene.file("etc/ssl/certs/new.pem", "");
    assert_eq!(before, key());
    scene.directory("usr/local/share/ca-certificates", 0o755);
    assert_ne!(before, key());
}
