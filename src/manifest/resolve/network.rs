//! The jail's network: loopback only, or with a way out by pasta(1), which the supervisor starts.

#![forbid(unsafe_code)]

use std::path::Path;

use super::context::{Context, Ids, Steps};
use crate::manifest::finding::Finding;
use crate::manifest::host_files::RESOLVER;
use crate::manifest::schema::{Manifest, Network};
use crate::plan::forward::NETWORK;
use crate::plan::step::Action;
use crate::plan::{At, HostPath, Origin, Phase, Port, SocketKind};

/// Where distributions put pasta, and where who has built it does. The caller's PATH has no say: this may be root.
pub const PLACES: [&str; 2] = ["/usr/bin/pasta", "/usr/local/bin/pasta"];

/// What pasta is always told. Nothing of the host's loopback can be reached by the gateway's address, and the jail is told its
/// addresses by the kernel alone. The number that pasta writes when it is ready goes to the supervisor.
const ALWAYS: [&str; 9] = [
    "--foreground",
    "--quiet",
    "--pid=/proc/self/fd/1",
    "--netns-only",
    "--no-netns-quit",
    "--config-net",
    "--no-map-gw",
    "--no-dhcp",
    "--no-dhcpv6",
];

/// Whether the jail has a network of its own.
pub(super) fn is_own(manifest: &Manifest) -> bool {
    !matches!(manifest.namespaces.network, Some(At { value: Network::Host, .. }))
}

/// The jail's own network with `lo` up, if it has one.
pub(super) fn enter(context: &Context<'_>, steps: &mut Steps) {
    if is_own(context.manifest) {
        let (action, reason) = match context.ids {
            Ids::Range(_) => {
                (Action::EnterNetwork, "the network is the jail's own unless the manifest says otherwise")
            }
            Ids::Host | Ids::One | Ids::Granted => {
                (Action::LoopbackUp, "a network namespace begins with `lo` down")
            }
        };
        let named = context.manifest.namespaces.network.as_ref();
        let origin = named.map_or(Origin::Default(reason), |network| network.origin.clone());
        steps.push(Phase::Enter, action, &origin);
    }
}

/// Its way out, if it has one.
pub(super) fn connect(context: &Context<'_>, steps: &mut Steps) -> Result<(), Finding> {
    let network = context.manifest.namespaces.network.as_ref();
    let Some(At { origin, .. }) = network.filter(|network| network.value == Network::Pasta) else {
        return Ok(());
    };
    if context.ids == Ids::Host {
        return Err(Finding::error(
            "pasta needs a user namespace of the jail's own, which it has not here",
            origin,
        )
        .why("it is there that it may make a device, and without it it would have to be the host's root")
        .hint("start stockade as an ordinary user, or as root outside of any container"));
    }
    let is_there = |place: &&&str| context.host.path(Path::new(place)).is_file();
    let found = PLACES.iter().find(is_there).and_then(|place| HostPath::parse(*place).ok());
    let program = found.ok_or_else(|| {
        Finding::error("pasta, which is to connect the jail's network, is not installed", origin)
            .why(format!("there is no {}", PLACES.map(|place| format!("`{place}`")).join(" and no ")))
            .hint("install the package `passt` (Debian 12, Ubuntu 23.04, Fedora 36 and newer), or share the host's network: `network = \"host\"` (`once --share-net`)")
    })?;
    let arguments = arguments(context.manifest);
    steps.push(Phase::Enter, Action::ConnectNetwork { program, arguments }, origin);
    Ok(())
}

/// The words for pasta.
fn arguments(manifest: &Manifest) -> Vec<String> {
    let mut words: Vec<String> = ALWAYS.map(str::to_owned).into();
    words.push(format!("--netns={}", NETWORK.to_string_lossy()));
    words.push(format!("--dns-forward={RESOLVER}"));
    let (publish, allow) = (&manifest.namespaces.publish, &manifest.namespaces.allow);
    for (kind, inwards, outwards) in
        [(SocketKind::Stream, "tcp-ports", "tcp-ns"), (SocketKind::Datagram, "udp-ports", "udp-ns")]
    {
        let published = publish.iter().map(|at| at.value).filter(|publish| publish.outside.kind == kind);
        let published: Vec<_> = published.map(|publish| publish.specification()).collect();
        let allowed = allow.iter().map(|at| at.value).filter(|port: &Port| port.kind == kind);
        let allowed: Vec<_> = allowed.map(|port| port.number.to_string()).collect();
        for (option, mut ports) in [(inwards, published), (outwards, allowed)] {
            // Without a word it would look for itself which ports to connect.
            if ports.is_empty() {
                ports.push("none".into());
            }
            words.extend(ports.into_iter().map(|port| format!("--{option}={port}")));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Publish;

    #[test]
    fn no_port_is_connected_that_is_not_named() {
        let mut manifest = Manifest::default();
        let ports = |manifest: &Manifest| arguments(manifest).split_off(ALWAYS.len() + 2).join(" ");
        assert_eq!(ports(&manifest), "--tcp-ports=none --tcp-ns=none --udp-ports=none --udp-ns=none");
        let at =
            |text: &str| At { value: Publish::parse(text).unwrap(), origin: Origin::Default("asked for") };
        manifest.namespaces.publish = vec![at("8080:80"), at("0.0.0.0:8443:443"), at("53/udp")];
        let port =
            |text: &str| At { value: Port::parse(text).unwrap(), origin: Origin::Default("asked for") };
        manifest.namespaces.allow = vec![port("5432"), port("53/udp")];
        assert_eq!(
            ports(&manifest),
            "--tcp-ports=127.0.0.1/8080:80 --tcp-ports=0.0.0.0/8443:443 --tcp-ns=5432 \
             --udp-ports=127.0.0.1/53:53 --udp-ns=53"
        );
    }
}
