//! `tree = "host"`: a program in the host's own tree, for hosts that refuse user namespaces. There are no namespaces and no mounts; Landlock
//! and the filter of system calls are all there is around it, so neither may be missing, and what takes more than them is refused.

#![forbid(unsafe_code)]

use std::path::Path;

use super::context::{Context, Steps};
use super::control_groups::Controls;
use super::devices::is_default;
use super::run::{self, Run, shown_proc};
use super::{circumstances, identity, landlock, standard};
use crate::manifest::finding::Finding;
use crate::manifest::schema::{DeviceName, Link, Manifest, MountKind, Network, Proc};
use crate::plan::landlock::{AccessSet, Beneath, NetworkSet};
use crate::plan::secure_bits::SecureBits;
use crate::plan::step::{Action, CapabilitySet, DEVICES, Namespaces};
use crate::plan::{At, HostPath, JailName, JailPath, Origin, Phase, Step};

/// What such a jail has not, in a line.
pub const LACKS: &str = "no namespaces: Landlock and a filter of system calls alone stand between the program and the host; it sees the names \
    of all files and processes, has no /tmp, home, /proc, host name or ids of its own, and what it leaves behind outlives a killed supervisor";

/// Landlock does not ask about these, see landlock(7), BUGS: modes, owners and attributes of files, by their paths or by a descriptor, for
/// which it is enough that the file may be read.
const ATTRIBUTES: [&str; 20] = [
    "-chmod",
    "-fchmod",
    "-fchmodat",
    "-fchmodat2",
    "-chown",
    "-chown32",
    "-fchown",
    "-fchown32",
    "-lchown",
    "-lchown32",
    "-fchownat",
    "-setxattr",
    "-lsetxattr",
    "-fsetxattr",
    "-setxattrat",
    "-removexattr",
    "-lremovexattr",
    "-fremovexattr",
    "-removexattrat",
    "-@attributes",
];

/// Nor about these, whose names are the host's without a namespace: sysvipc(7), and mq_unlink(3).
const HOSTS_IPC: [&str; 14] = [
    "-ipc",
    "-msgctl",
    "-msgget",
    "-msgrcv",
    "-msgsnd",
    "-semctl",
    "-semget",
    "-semop",
    "-semtimedop",
    "-semtimedop_time64",
    "-shmat",
    "-shmctl",
    "-shmget",
    "-mq_unlink",
];

/// Nor about sockets, but for TCP: those of the host's services, by their paths too.
const SOCKETS: [&str; 2] = ["-@network-io", "socketpair"];

/// System calls that are refused there beside what every filter refuses: words of a list.
pub(super) fn refused_calls(manifest: &Manifest) -> impl Iterator<Item = &'static str> {
    let is_hosts = matches!(manifest.namespaces.network, Some(At { value: Network::Host, .. }));
    let sockets = if is_hosts { [].as_slice() } else { &SOCKETS };
    ATTRIBUTES.into_iter().chain(HOSTS_IPC).chain(sockets.iter().copied())
}

/// What cannot be had without namespaces, with what asks for it.
fn refused(manifest: &Manifest, context: &Context<'_>) -> Vec<Finding> {
    let (namespaces, tree) = (&manifest.namespaces, &manifest.tree);
    let is_root = context.host.is_root();
    let identity = &context.identity;
    let foreign = !is_root && (identity.uid, identity.gid) != (context.host.uid, context.host.gid);
    let capability = manifest.privileges.capabilities.iter().chain(&manifest.privileges.bounding).next();
    let pasta = namespaces.network.as_ref().filter(|network| network.value == Network::Pasta);
    // What the host has itself is there.
    let is_hosts = |link: &Link| {
        let found = std::fs::read_link(context.host.path(link.path.as_path()));
        found.is_ok_and(|text| text.as_os_str() == link.target)
    };
    let wanted = [
        ("a host name of its own", namespaces.hostname.as_ref().map(|at| &at.origin)),
        ("a range of ids", namespaces.id_range.as_ref().filter(|at| at.value).map(|at| &at.origin)),
        (
            "a user namespace",
            namespaces
                .user
                .as_ref()
                .filter(|at| at.value && namespaces.network.is_none())
                .map(|at| &at.origin),
        ),
        ("a network that pasta connects", pasta.map(|at| &at.origin)),
        ("another id than the caller's", foreign.then_some(&identity.user_origin)),
        ("a capability", capability.map(|at| &at.origin)),
        ("supplementary groups", manifest.program.supplementary_groups.first().map(|at| &at.origin)),
        ("a file of the jail's own", tree.text.first().map(|at| &at.origin)),
        ("a link of the jail's own", tree.links.iter().find(|at| !is_hosts(&at.value)).map(|at| &at.origin)),
        ("a directory of the jail's own", tree.directories.first().map(|at| &at.origin)),
    ];
    let named = wanted.into_iter().filter_map(|(what, origin)| origin.map(|origin| (what, origin)));
    let mounts = manifest.mounts.iter().filter_map(|mount| match &mount.value.kind {
        MountKind::Bind { source, .. } if source.as_path() == mount.value.target.as_path() => None,
        MountKind::Bind { .. } => Some(("something at another path than on the host", &mount.origin)),
        _ => Some(("a file system of the jail's own", &mount.origin)),
    });
    let finding = |(what, origin): (&str, &Origin)| {
        Finding::error(format!("{what} cannot be had without namespaces"), origin)
            .why("with `tree = \"host\"` (`once --landlock-only`) the program is in the host's own tree and namespaces")
            .hint("take it out, or do without `--landlock-only` where user namespaces are to be had")
    };
    named.chain(mounts).map(finding).collect()
}

/// The steps of such a run. `filter` is the filter of system calls.
pub(super) fn run(
    mut context: Context<'_>,
    name: &JailName,
    command: &JailPath,
    (run, filter): (Run, Vec<Step>),
) -> Result<Run, Vec<Finding>> {
    let manifest = context.manifest;
    let findings = refused(manifest, &context);
    if !findings.is_empty() {
        return Err(findings);
    }
    let mut steps = Steps::default();
    let controls = std::mem::take::<Controls>(&mut context.controls);
    controls.make(name, &mut steps);
    let origin =
        manifest.root.tree.as_ref().map_or(Origin::Default("the host's tree"), |tree| tree.origin.clone());
    steps.push(Phase::Parent, Action::Clone { namespaces: Namespaces::default() }, &origin);
    controls.enter(false, &mut steps);
    circumstances::oom_score(&context, &mut steps);
    run::session(&context, &mut steps);
    standard::relay_outputs(&context, &mut steps).map_err(|finding| vec![finding])?;
    rules(&context, &mut steps);
    circumstances::steps(&context, &mut steps);
    confine(&context, &mut steps);
    run::execute_itself(&context, command, filter, &mut steps);
    Ok(Run { steps: steps.0, ..run })
}

/// The ruleset: what is shown elsewhere is allowed here, at the host's own paths.
fn rules(context: &Context<'_>, steps: &mut Steps) {
    let Some(version) = landlock::version(context) else { return };
    let (_, origin) = landlock::enforcement(context);
    let handled = AccessSet::known_to(version);
    let is_hosts = matches!(context.manifest.namespaces.network, Some(At { value: Network::Host, .. }));
    let network = if is_hosts || version < crate::plan::landlock::NETWORK_SINCE {
        NetworkSet::default()
    } else {
        NetworkSet::TCP
    };
    let action = Action::CreateRuleset { handled, network, scoped: landlock::scoped(context, version) };
    steps.push(Phase::Enter, action, &origin);
    let mut allow = |path: &HostPath, access: AccessSet, origin: &Origin| {
        let found = context.host.path(path.as_path());
        let is_there = found.exists();
        let access = access.within(handled);
        let access = if found.is_dir() { access } else { access.of_file() };
        if is_there && access != AccessSet::NONE {
            steps.push(
                Phase::Enter,
                Action::AllowAccess { beneath: Beneath::Host(path.clone()), access },
                origin,
            );
        }
    };
    let read = AccessSet::READ_FILE.and(AccessSet::READ_DIR);
    for At { value: mount, origin } in &context.manifest.mounts {
        let MountKind::Bind { source, devices, .. } = &mount.kind else { continue };
        let read_only = mount.read_only.unwrap_or(true);
        let mut access = read;
        if mount.executable.unwrap_or(read_only) {
            access = access.and(AccessSet::EXECUTE);
        }
        if !read_only {
            access = access.and(AccessSet::WRITE_FILE).and(AccessSet::CHANGE);
        }
        if *devices {
            access = access.and(AccessSet::IOCTL_DEV);
        }
        allow(source, access, origin);
    }
    let (proc, origin) = shown_proc(context.manifest);
    if let (true, Ok(path)) = (proc != Proc::None, HostPath::parse("/proc")) {
        allow(&path, read, &origin);
    }
    let default = Origin::Default("few programs run without them, and none of them reaches anything");
    let named = context.manifest.tree.devices.iter().flatten().filter_map(|device| match device.value {
        DeviceName::Node(node) => Some((node, &device.origin)),
        _ => None,
    });
    let usual = DEVICES.into_iter().filter(|node| is_default(node.name)).map(|node| (node, &default));
    let devices: Vec<_> = match context.manifest.tree.devices {
        Some(_) => named.collect(),
        None => usual.collect(),
    };
    for (node, origin) in devices {
        if let Ok(path) = HostPath::parse(Path::new("/dev").join(node.name)) {
            allow(&path, AccessSet::READ_FILE.and(AccessSet::WRITE_FILE).and(AccessSet::IOCTL_DEV), origin);
        }
    }
}

/// What takes rights away, of that what the caller may: an ordinary user has no say over its groups and bounding set.
fn confine(context: &Context<'_>, steps: &mut Steps) {
    let mut push = |action, reason| steps.push(Phase::Confine, action, &Origin::Default(reason));
    let none = CapabilitySet::EMPTY;
    push(Action::NoNewPrivileges, "without it an ordinary user may enforce neither Landlock nor a filter");
    push(Action::RestrictSelf, "the only fence there is around files");
    if context.host.is_root() {
        push(Action::DropBounding { keep: none }, "no capability is to be had again");
        push(Action::LockSecureBits { bits: secure_bits(context) }, "user 0 is a user like any other");
        push(Action::SetGroups { groups: Vec::new() }, "the caller's groups are not the program's");
    }
    push(Action::SetGid { gid: context.identity.gid }, "the caller's group, as all of its group ids");
    push(Action::SetUid { uid: context.identity.uid }, "the caller, as all of its user ids");
    push(Action::SetCapabilities { set: none }, "no capability");
    push(Action::SetAmbient { set: none }, "no capability");
    push(Action::DieWithParent, "the program is not left behind when the supervisor is killed");
}

/// Only root may set them.
pub(super) fn secure_bits(context: &Context<'_>) -> SecureBits {
    if context.host.is_root() { identity::secure_bits(context.manifest) } else { SecureBits::default() }
}
