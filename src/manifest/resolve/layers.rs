//! What becomes of each layer of confinement on this host: the one place where a layer is found missing, and where that is either
//! an error, since layers are required, or noted, since the manifest says `best_effort`.

use std::path::Path;

use super::context::{Context, Ids};
use super::hosts_tree;
use super::landlock;
use super::system_calls;
use crate::manifest::finding::Finding;
use crate::manifest::schema::{Manifest, Network, Proc};
use crate::plan::calls;
use crate::plan::{Enforcement, Layer, LayerState, Origin};
use crate::sys::host::Host;

/// What became of one layer; an error if it is required and this host lacks something of it.
pub(super) fn state(context: &Context<'_>, layer: Layer) -> Result<LayerState, Finding> {
    let (enforcement, origin) = match layer {
        Layer::UserNamespace => user_namespace_state(context),
        Layer::Keyring => keyring(context),
        Layer::Proc => proc(context),
        Layer::Landlock => landlock::enforcement(context),
        Layer::Limits => limits(context),
        Layer::Seccomp => system_calls::layer(context),
    };
    let Enforcement::Degraded(missing) = &enforcement else {
        return Ok(LayerState { layer, enforcement, origin });
    };
    match context.manifest.privileges.best_effort.iter().find(|allowed| allowed.value == layer) {
        Some(allowed) => Ok(LayerState { layer, enforcement, origin: allowed.origin.clone() }),
        None => Err(Finding::error(format!("this host cannot enforce the layer `{}`", layer.name()), &origin)
            .why(missing.clone())
            .hint(if context.manifest.root.is_hosts() {
                "`stockade doctor` tells the cure; with namespaces, so without `--landlock-only` or `tree = \"host\"`, more than one layer holds".to_owned()
            } else {
                format!(
                    "`stockade doctor` tells the cure; `best_effort = [\"{}\"]` under `[privileges]` goes on without it",
                    layer.name()
                )
            })),
    }
}

/// Whether ids inside are the host's own.
fn user_namespace_state(context: &Context<'_>) -> (Enforcement, Origin) {
    let (wanted, origin) = user_namespace_origin(context.manifest);
    if let Some(tree) = context.manifest.root.tree.as_ref().filter(|_| context.manifest.root.is_hosts()) {
        return (Enforcement::Off(hosts_tree::LACKS.into()), tree.origin.clone());
    }
    let host = context.host;
    let enforcement = match context.ids {
        Ids::One | Ids::Granted | Ids::Range(_) if !may_forbid_user_namespaces(context.manifest, host) => Enforcement::Degraded(
            "/proc/sys is read-only here, and so the limit on user namespaces made inside cannot be set".into(),
        ),
        Ids::One if context.is_hosts_root_with_one_id() => Enforcement::EnforcedBut(
            "root has not the capabilities for other ids than its own here: files of root's are the program's".into(),
        ),
        Ids::One | Ids::Granted | Ids::Range(_) => Enforcement::Enforced,
        Ids::Host if wanted && !host.first_user_namespace => Enforcement::Off(
            "stockade runs in a user namespace already: uid 0 inside is uid 0 of that, which is not the host's".into(),
        ),
        Ids::Host if wanted => Enforcement::Degraded(format!(
            "{}: uid 0 inside is uid 0 outside",
            no_user_namespaces(host).unwrap_or("this host has no user namespaces")
        )),
        Ids::Host => Enforcement::Off("ids are the host's own: uid 0 inside is uid 0 outside".into()),
    };
    (enforcement, origin)
}

/// Whether a manifest wants a user namespace for a jail started by root, and because of what.
pub(super) fn user_namespace_origin(manifest: &Manifest) -> (bool, Origin) {
    let namespaces = &manifest.namespaces;
    match (&namespaces.user, &namespaces.network) {
        (Some(given), _) => (given.value, given.origin.clone()),
        (None, Some(network)) if network.value == Network::Host => (false, network.origin.clone()),
        (None, _) => (true, Origin::Default("ids inside mean nothing to the host")),
    }
}

/// Whether the jail gets a user namespace. An ordinary user's must have one. Root's has one where its network is not the host's:
/// capabilities for that network, such as for a port below 1024, count only outside.
pub(super) fn user_namespace(manifest: &Manifest, host: &Host) -> Result<bool, Finding> {
    if manifest.root.is_hosts() {
        return Ok(false);
    }
    let (wanted, origin) = user_namespace_origin(manifest);
    let named = manifest.namespaces.user.is_some();
    if !host.is_root() {
        return if wanted || !named {
            Ok(true)
        } else {
            Err(Finding::error("an ordinary user cannot run a jail without a user namespace", &origin)
                .why("the other namespaces, and chroot(2), need CAP_SYS_ADMIN, which only a user namespace gives to an ordinary user")
                .hint("leave `user` out, or run as root"))
        };
    }
    if wanted && !host.first_user_namespace {
        return if named {
            Err(Finding::error("a user namespace cannot be made from within another one", &origin)
                .why("owners of files can be translated only by the root of the host (MOUNT_ATTR_IDMAP in mount_setattr(2))")
                .hint("leave `user` out, or start stockade outside"))
        } else {
            Ok(false)
        };
    }
    Ok(wanted && !(is_best_effort(manifest, Layer::UserNamespace) && no_user_namespaces(host).is_some()))
}

/// Why this host makes no user namespaces, if it says so. Looked at only where there is something to decide: where the layer is
/// required the step that makes one fails, and says why.
fn no_user_namespaces(host: &Host) -> Option<&'static str> {
    let limit = std::fs::read_to_string(host.path(Path::new(calls::MAX_USER_NAMESPACES)));
    match limit.as_deref().map(str::trim_end) {
        Ok("0") => Some("user namespaces are forbidden here (user.max_user_namespaces)"),
        Ok(_) => None,
        Err(_) => Some("this kernel has no user namespaces"),
    }
}

/// Whether the jail's own limit on user namespaces is set. Where the layer is required it is, and an error is one.
pub(super) fn may_forbid_user_namespaces(manifest: &Manifest, host: &Host) -> bool {
    if !is_best_effort(manifest, Layer::UserNamespace) {
        return true;
    }
    let found = nix::sys::statvfs::statvfs(&host.path(Path::new(calls::MAX_USER_NAMESPACES)));
    found.is_ok_and(|found| !found.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY))
}

/// Whether the manifest says that a layer may be missing.
fn is_best_effort(manifest: &Manifest, layer: Layer) -> bool {
    manifest.privileges.best_effort.iter().any(|allowed| allowed.value == layer)
}

/// Whether the caller's keys are out of reach.
fn keyring(context: &Context<'_>) -> (Enforcement, Origin) {
    let origin = Origin::Default("the caller's keys are not the jail's");
    if context.host.keyrings {
        (Enforcement::Enforced, origin)
    } else {
        (Enforcement::Off("keyctl(2) cannot be used here, by the program neither".into()), origin)
    }
}

/// What the jail can use up.
fn limits(context: &Context<'_>) -> (Enforcement, Origin) {
    if let Some((missing, origin)) = context.controls.missing() {
        return (Enforcement::Degraded(missing), origin);
    }
    let origin = Origin::Default("what one jail uses up, the host and other jails lack");
    if context.has_no_limit_of_processes() && !context.controls.holds_tasks() {
        let but = "a limit on processes does not hold a program with rights of the host's root (RLIMIT_NPROC in getrlimit(2))";
        (Enforcement::EnforcedBut(but.into()), origin)
    } else {
        (Enforcement::Enforced, origin)
    }
}

/// How much of /proc is shown.
fn proc(context: &Context<'_>) -> (Enforcement, Origin) {
    let (shown, origin) = super::run::shown_proc(context.manifest);
    match shown {
        _ if context.manifest.root.is_hosts() => {
            (Enforcement::Off("the host's /proc is shown, with every process".into()), origin)
        }
        Proc::Full => (Enforcement::Off("the whole of /proc is shown, writable".into()), origin),
        Proc::Masked if context.covers.is_none() => {
            let missing = "the host's /proc does not show which files the kernel has there to be covered";
            (Enforcement::Degraded(missing.into()), origin)
        }
        Proc::Masked | Proc::Processes | Proc::None => (Enforcement::Enforced, origin),
    }
}
