//! What becomes of each layer of confinement on this host: the one place where a layer is found missing, and where that is either
//! an error, since layers are required, or noted, since the manifest says `best_effort`.

use super::landlock;
use super::run::Context;
use super::system_calls;
use crate::manifest::finding::Finding;
use crate::manifest::schema::Proc;
use crate::plan::{Enforcement, Layer, LayerState, Origin};

/// What became of one layer; an error if it is required and this host lacks something of it.
pub(super) fn state(context: &Context<'_>, layer: Layer) -> Result<LayerState, Finding> {
    let (enforcement, origin) = match layer {
        Layer::UserNamespace => user_namespace(context),
        Layer::Keyring => keyring(context),
        Layer::Proc => proc(context),
        Layer::Landlock => landlock::enforcement(context),
        Layer::Seccomp => system_calls::layer(context),
        Layer::Limits => (Enforcement::Off("not there yet".into()), Origin::Default("not there yet")),
    };
    let Enforcement::Degraded(missing) = &enforcement else {
        return Ok(LayerState { layer, enforcement, origin });
    };
    match context.manifest.privileges.best_effort.iter().find(|allowed| allowed.value == layer) {
        Some(allowed) => Ok(LayerState { layer, enforcement, origin: allowed.origin.clone() }),
        None => Err(Finding::error(format!("this host cannot enforce the layer `{}`", layer.name()), &origin)
            .why(missing.clone())
            .hint(format!(
                "`stockade doctor` tells the cure; `best_effort = [\"{}\"]` under `[privileges]` goes on without it",
                layer.name()
            ))),
    }
}

/// Whether ids inside are the host's own.
fn user_namespace(context: &Context<'_>) -> (Enforcement, Origin) {
    let given = context.manifest.namespaces.user.as_ref().map(|given| given.origin.clone());
    if context.user_namespace {
        let default = Origin::Default("ids inside mean nothing to the host");
        (Enforcement::Enforced, given.unwrap_or(default))
    } else {
        let default = Origin::Default("a jail started by root has the host's own ids");
        (Enforcement::Off("ids inside are the host's own".into()), given.unwrap_or(default))
    }
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

/// How much of /proc is shown.
fn proc(context: &Context<'_>) -> (Enforcement, Origin) {
    let (shown, origin) = super::run::shown_proc(context.manifest);
    match shown {
        Proc::Full => (Enforcement::Off("the whole of /proc is shown, writable".into()), origin),
        Proc::Masked if context.covers.is_none() => {
            let missing = "the host's /proc does not show which files the kernel has there to be covered";
            (Enforcement::Degraded(missing.into()), origin)
        }
        Proc::Masked | Proc::Processes | Proc::None => (Enforcement::Enforced, origin),
    }
}
