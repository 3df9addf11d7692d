//! Control sockets of the host: whoever can connect to one has somebody outside do what he says, as docker.sock shows. A mount that
//! would show one is refused unless the manifest names that as intended; read-only is no help, since connecting writes nothing.

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::context::Context;
use crate::manifest::control_sockets;
use crate::manifest::finding::Finding;
use crate::manifest::links::Root;
use crate::plan::{HostPath, Origin};

/// Variables that name a socket of the caller's own, or the directory they are in.
const VARIABLES: [&str; 6] =
    ["SSH_AUTH_SOCK", "DOCKER_HOST", "XDG_RUNTIME_DIR", "TMUX", "TMUX_TMPDIR", "SCREENDIR"];

/// How the names of directories in /tmp begin in which an agent of ssh(1) and a server of tmux(1), which starts what it is told to, have
/// their sockets. Each belongs to one user, whom the program may be.
const OF_USERS: [&str; 2] = ["ssh-", "tmux-"];

/// Where there is more than sockets: one that is not there yet makes no place of them.
const COMMON: [&str; 2] = ["/run", "/tmp"];

/// Whether a path is a control socket, leads to some, or is in a place of theirs.
pub(in crate::manifest) fn is_control(path: &Path) -> bool {
    let mut known = control_sockets::known().map(Path::to_owned).chain(of_caller());
    known.any(|known| path.starts_with(&known) || known.starts_with(path))
}

/// Those that the caller's variables name.
fn of_caller() -> impl Iterator<Item = PathBuf> {
    let named = VARIABLES.into_iter().filter_map(|variable| {
        let value = std::env::var_os(variable)?;
        let text = value.to_str()?;
        // TMUX says more, behind commas.
        let path = text.strip_prefix("unix://").unwrap_or(text).split(',').next();
        path.map(|path| match variable {
            "TMUX_TMPDIR" => Path::new(path).join(format!("tmux-{}", nix::unistd::geteuid())),
            _ => PathBuf::from(path),
        })
    });
    named.filter(|path| path.is_absolute())
}

/// Those of users that are in the host's /tmp.
fn of_users(context: &Context<'_>) -> impl Iterator<Item = PathBuf> {
    let found = std::fs::read_dir(context.host.path(Path::new("/tmp"))).into_iter().flatten();
    found.filter_map(Result::ok).filter_map(|entry| {
        let name = entry.file_name();
        let is_one = OF_USERS.iter().any(|start| name.as_encoded_bytes().starts_with(start.as_bytes()));
        is_one.then(|| Path::new("/tmp").join(name))
    })
}

/// A place of control sockets.
pub(super) struct Known {
    path: PathBuf,
    /// Whether it is there by now: a service may be started after the jail.
    is_there: bool,
}

/// The control sockets there may be, where their paths lead: what is known by a link, as by /var/run, is where the link leads.
pub(super) fn known(context: &Context<'_>) -> Vec<Known> {
    let root = Root::at(&context.host.root);
    let there = |path: &Path| root.real(path).ok().map(|path| Known { path, is_there: true });
    let of_services = control_sockets::known()
        .map(|path| there(path).unwrap_or_else(|| Known { path: path.to_owned(), is_there: false }));
    of_services.chain(of_caller().chain(of_users(context)).filter_map(|path| there(&path))).collect()
}

/// An error if showing `source`, whose links are followed, would show a control socket.
pub(super) fn check(
    context: &Context<'_>,
    known: &[Known],
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
fn shown<'a>(context: &Context<'_>, known: &'a [Known], source: &'a Path) -> Option<&'a Path> {
    let on_host = context.host.path(source);
    if on_host.symlink_metadata().is_ok_and(|found| found.file_type().is_socket()) {
        return Some(source);
    }
    let shows = |Known { path, is_there }: &Known| {
        let is_place =
            path.parent() == Some(source) && !COMMON.iter().any(|common| source == Path::new(common));
        source.starts_with(path) || if *is_there { path.starts_with(source) } else { is_place }
    };
    known.iter().find(|known| shows(known)).map(|known| known.path.as_path())
}
