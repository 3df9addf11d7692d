//! Control sockets of the host: whoever can connect to one has somebody outside do what he says, as docker.sock shows. A mount that
//! would show one is refused unless the manifest names that as intended; read-only is no help, since connecting writes nothing.

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::run::Context;
use crate::manifest::finding::Finding;
use crate::manifest::links::Root;
use crate::plan::{HostPath, Origin};

/// Where sockets are whose owners act for their clients, or directories of such sockets.
const KNOWN: [&str; 21] = [
    "/run/acpid.socket",
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/dbus/system_bus_socket",
    "/run/docker.sock",
    "/run/libvirt",
    "/run/lxd.socket",
    "/run/multipathd.sock",
    "/run/podman/podman.sock",
    "/run/snapd-snap.socket",
    "/run/snapd.socket",
    "/run/systemd/io.systemd.Hostname",
    "/run/systemd/notify",
    "/run/systemd/private",
    "/run/udev/control",
    "/run/user",
    "/tmp/.ICE-unix",
    "/tmp/.X11-unix",
    "/var/lib/incus/unix.socket",
    "/var/lib/lxd/unix.socket",
    "/var/snap/lxd/common/lxd/unix.socket",
];

/// Variables that name a socket of the caller's own, or the directory they are in.
const VARIABLES: [&str; 3] = ["SSH_AUTH_SOCK", "DOCKER_HOST", "XDG_RUNTIME_DIR"];

/// Whether a path is a control socket, leads to some, or is in a place of theirs.
pub(in crate::manifest) fn is_control(path: &Path) -> bool {
    let mut known = KNOWN.into_iter().map(PathBuf::from).chain(of_caller());
    known.any(|known| path.starts_with(&known) || known.starts_with(path))
}

/// Those that the caller's variables name.
fn of_caller() -> impl Iterator<Item = PathBuf> {
    let named = VARIABLES.into_iter().filter_map(std::env::var_os).filter_map(|value| {
        let text = value.to_str()?;
        Some(PathBuf::from(text.strip_prefix("unix://").unwrap_or(text)))
    });
    named.filter(|path| path.is_absolute())
}

/// The control sockets there are, where their paths lead: what is known by a link, as by /var/run, is where the link leads.
pub(super) fn known(context: &Context<'_>) -> Vec<PathBuf> {
    let known = KNOWN.into_iter().map(PathBuf::from).chain(of_caller());
    let root = Root::at(&context.host.root);
    known.filter_map(|path| root.real(&path).ok()).collect()
}

/// An error if showing `source`, whose links are followed, would show a control socket.
pub(super) fn check(
    context: &Context<'_>,
    known: &[PathBuf],
    source: &HostPath,
    origin: &Origin,
) -> Option<Finding> {
    let socket = shown(context, known, source.as_path())?;
    let socket = socket.display();
    Some(
        Finding::error(format!("the mount of `{source}` would show the control socket `{socket}`"), origin)
            .why("who listens there does on the host what the jail asks for; mounting it read-only does not prevent that")
            .hint("show only what the program needs, put something over that place (`--hide` of `stockade once`), or write `sockets = true` in this mount if it is meant"),
    )
}

/// The socket that would be shown, if any.
fn shown<'a>(context: &Context<'_>, known: &'a [PathBuf], source: &'a Path) -> Option<&'a Path> {
    let on_host = context.host.path(source);
    if on_host.symlink_metadata().is_ok_and(|found| found.file_type().is_socket()) {
        return Some(source);
    }
    known.iter().map(PathBuf::as_path).find(|path| path.starts_with(source) || source.starts_with(path))
}
