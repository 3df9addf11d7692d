//! Where control sockets of the host are: whoever can connect to one has somebody outside do what he says. `check` warns of those that
//! start containers, `resolve` refuses to show any unless that is meant, `learn` proposes none.

use std::path::Path;

use Acts::{Otherwise, StartsContainers};

/// What the owner of a socket does for its clients.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Acts {
    /// It starts containers with any mount, as root.
    StartsContainers,
    /// Something else that a jail has no business with.
    Otherwise,
}

/// Where sockets are whose owners act for their clients, or directories of such sockets.
const KNOWN: [(&str, Acts); 22] = [
    ("/run/acpid.socket", Otherwise),
    ("/run/containerd/containerd.sock", StartsContainers),
    ("/run/crio/crio.sock", StartsContainers),
    ("/run/dbus/system_bus_socket", Otherwise),
    ("/run/docker.sock", StartsContainers),
    ("/run/libvirt", Otherwise),
    ("/run/lxd.socket", Otherwise),
    ("/run/multipathd.sock", Otherwise),
    ("/run/podman/podman.sock", StartsContainers),
    ("/run/screen", Otherwise),
    ("/run/snapd-snap.socket", Otherwise),
    ("/run/snapd.socket", Otherwise),
    ("/run/systemd/io.systemd.Hostname", Otherwise),
    ("/run/systemd/notify", Otherwise),
    ("/run/systemd/private", Otherwise),
    ("/run/udev/control", Otherwise),
    ("/run/user", Otherwise),
    ("/tmp/.ICE-unix", Otherwise),
    ("/tmp/.X11-unix", Otherwise),
    ("/var/lib/incus/unix.socket", Otherwise),
    ("/var/lib/lxd/unix.socket", Otherwise),
    ("/var/snap/lxd/common/lxd/unix.socket", Otherwise),
];

/// The same socket as /run/docker.sock by the link /var/run: so it is most often written, and whoever follows no links knows it too.
const BY_LINK: &str = "/var/run/docker.sock";

/// All of them, by paths without links.
pub(super) fn known() -> impl Iterator<Item = &'static Path> {
    KNOWN.into_iter().map(|(path, _)| Path::new(path))
}

/// Whether who can talk to this socket is root on the host, as far as its path tells.
pub(super) fn starts_containers(path: &Path) -> bool {
    let mut engines = KNOWN.into_iter().filter(|(_, acts)| *acts == StartsContainers);
    path == Path::new(BY_LINK) || engines.any(|(socket, _)| path == Path::new(socket))
}
