//! Mounts that would show a control socket of the host.

use std::os::unix::net::UnixListener;

use super::super::testing::Scene;
use super::*;
use crate::manifest::schema::Manifest;

/// What is found wrong with showing `source`, as a message and the socket meant by it.
fn found(scene: &Scene, source: &str, intended: bool) -> Vec<String> {
    let mut mount = bind(source, "/shown");
    if let MountKind::Bind { sockets, .. } = &mut mount.kind {
        *sockets = intended;
    }
    let manifest = Manifest { mounts: vec![scene.at(1, mount)], ..Manifest::default() };
    let result = scene.run(&manifest);
    result.err().unwrap_or_default().into_iter().map(|finding| finding.message).collect()
}

#[test]
fn a_control_socket_is_shown_only_if_that_is_meant() {
    let scene = Scene::new("sockets");
    scene.directory("run/user/1000", 0o700).directory("run/docker", 0o755).directory("srv/www", 0o755);
    scene.file("run/docker.sock", "").link("var/run", "/run").file("tmp/.X11-unix/X0", "");
    let refused = |source: &str, real: &str, socket: &str| {
        let expected = format!("the mount of `{real}` would show the control socket `{socket}`");
        assert_eq!(found(&scene, source, false), [expected], "{source}");
        assert_eq!(found(&scene, source, true), [""; 0], "{source}");
    };
    refused("/run/docker.sock", "/run/docker.sock", "/run/docker.sock");
    refused("/var/run/docker.sock", "/run/docker.sock", "/run/docker.sock");
    refused("/var/run", "/run", "/run/docker.sock");
    refused("/run/user/1000", "/run/user/1000", "/run/user");
    refused("/tmp", "/tmp", "/tmp/.X11-unix");
    for harmless in ["/run/docker", "/srv/www", "/srv"] {
        assert_eq!(found(&scene, harmless, false), [""; 0], "{harmless}");
    }
}

/// A service that listens there is perhaps started after the jail.
#[test]
fn the_place_of_a_control_socket_is_one_before_that_is_there() {
    let scene = Scene::new("sockets-later");
    scene.directory("run/podman", 0o755).directory("run/lock", 0o755).directory("tmp/mine", 0o755);
    let expected = "the mount of `/run/podman` would show the control socket `/run/podman/podman.sock`";
    assert_eq!(found(&scene, "/run/podman", false), [expected]);
    for harmless in ["/run", "/run/lock", "/tmp", "/tmp/mine"] {
        assert_eq!(found(&scene, harmless, false), [""; 0], "{harmless}");
    }
}

/// `tmux run-shell COMMAND` has the server do it, outside.
#[test]
fn servers_of_users_have_their_sockets_in_tmp() {
    let scene = Scene::new("sockets-users");
    scene.directory("tmp/tmux-1000", 0o700).directory("tmp/ssh-Xyz", 0o700).directory("tmp/mine", 0o755);
    for source in ["/tmp", "/tmp/tmux-1000", "/tmp/ssh-Xyz"] {
        assert_eq!(found(&scene, source, false).len(), 1, "{source}");
    }
    assert_eq!(found(&scene, "/tmp/mine", false), [""; 0]);
}

#[test]
fn any_socket_is_one() {
    let scene = Scene::new("sockets-any");
    scene.directory("srv", 0o755);
    let _listener = UnixListener::bind(scene.host.root.join("srv/s")).unwrap();
    assert_eq!(found(&scene, "/srv/s", false).len(), 1);
    assert_eq!(found(&scene, "/srv/s", true), [""; 0]);
    // A directory with a socket of no known name: a service's own business, often the very purpose.
    assert_eq!(found(&scene, "/srv", false), [""; 0]);
}
