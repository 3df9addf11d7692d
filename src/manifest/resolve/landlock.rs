//! Landlock: which rights over files the program has where, and what of the host it cannot reach. A second fence behind mount
//! flags and modes, and the only one around what has no place in the jail: the caller's files among the standard descriptors.

use nix::errno::Errno;

use super::context::{Context, Steps};
use super::mounts::Planned;
use super::standard;
use crate::manifest::schema::{Network, Share};
use crate::plan::landlock::{AccessSet, Beneath, NetworkSet, SCOPES_SINCE, ScopeSet};
use crate::plan::step::Action;
use crate::plan::{At, Enforcement, JailPath, Origin, Phase};
use crate::sys::descriptor::{Descriptor, Kind};

/// What versions of the interface did not have yet, each with what follows from the lack, and the first version that has it.
const LACKS: [(u32, &str); 3] = [
    (2, "no file can be renamed or linked into another directory"),
    (CUTS_SINCE, "cutting a file is left to mount flags and modes"),
    (5, "commands to devices are left to modes"),
];

/// The first version with a right to truncate.
const CUTS_SINCE: u32 = 3;

/// Whether Landlock holds here, and what of it this kernel has not.
pub(super) fn enforcement(context: &Context<'_>) -> (Enforcement, Origin) {
    let given = context.manifest.privileges.landlock.as_ref();
    if let Some(off) = given.filter(|given| !given.value) {
        return (Enforcement::Off("the manifest does without it".into()), off.origin.clone());
    }
    let default = Origin::Default("what the program may change is what the manifest says");
    let origin = given.map_or(default, |given| given.origin.clone());
    let version = match context.host.landlock {
        Ok(version) => version,
        Err(errno) => return (Enforcement::Degraded(absent(errno)), origin),
    };
    if context.manifest.root.is_hosts() && version < CUTS_SINCE {
        let why = format!(
            "version {version} of the kernel's Landlock does not keep a program from cutting files off, and in the host's tree nothing else does: that came with Linux 6.2"
        );
        return (Enforcement::Degraded(why), origin);
    }
    let mut lacks: Vec<&str> =
        LACKS.iter().filter(|(since, _)| version < *since).map(|(_, lack)| *lack).collect();
    if version < SCOPES_SINCE && shows_abstract_sockets(context) {
        lacks.push("the host's abstract sockets are in reach");
    }
    if context.manifest.root.is_hosts() && version < SCOPES_SINCE {
        lacks.push("the caller's other processes can be signalled");
    }
    let enforcement = match lacks.as_slice() {
        [] => Enforcement::Enforced,
        lacks => Enforcement::EnforcedBut(format!(
            "version {version} of the kernel's Landlock: {}",
            lacks.join("; ")
        )),
    };
    (enforcement, origin)
}

/// Why there is no Landlock.
fn absent(errno: Errno) -> String {
    match errno {
        Errno::ENOSYS => "this kernel has no Landlock: it came with Linux 5.13, as CONFIG_SECURITY_LANDLOCK".into(),
        Errno::EOPNOTSUPP => {
            "Landlock is not switched on: `landlock` is not in the list that the kernel was started with (`lsm=`)".into()
        }
        errno => format!(
            "landlock_create_ruleset(2) is refused, as by the filter of a container: {}",
            crate::sys::describe(errno)
        ),
    }
}

/// Whether the jail has the host's network, and with it the host's abstract sockets.
fn shows_abstract_sockets(context: &Context<'_>) -> bool {
    matches!(context.manifest.namespaces.network, Some(At { value: Network::Host, .. }))
}

/// The version that is enforced, if it is.
pub(super) fn version(context: &Context<'_>) -> Option<u32> {
    let wanted = context.manifest.privileges.landlock.as_ref().is_none_or(|given| given.value);
    context.host.landlock.ok().filter(|_| wanted)
}

/// The ruleset with its rules, while each mount is still known by its descriptor.
pub(super) fn rules(
    context: &Context<'_>,
    planned: &[Planned],
    root_read_only: bool,
    root_origin: &Origin,
    steps: &mut Steps,
) {
    let Some(version) = version(context) else { return };
    let (_, origin) = enforcement(context);
    let handled = AccessSet::known_to(version);
    let network = if standard::holds_connection(context) { NetworkSet::TCP } else { NetworkSet::default() };
    let action = Action::CreateRuleset { handled, network, scoped: scoped(context, version) };
    steps.push(Phase::Enter, action, &origin);

    let read = AccessSet::READ_FILE.and(AccessSet::READ_DIR).and(AccessSet::EXECUTE);
    let write = if root_read_only { AccessSet::NONE } else { AccessSet::WRITE_FILE.and(AccessSet::CHANGE) };
    let root = (Beneath::Mount(JailPath::root()), read.and(write), root_origin);
    let again = Origin::Default("/dev/stdin and its like are opened again as they were opened");
    let standard = (0..).zip(&context.host.standard);
    let standard =
        standard.map(|(number, found)| (Beneath::Descriptor(number), opened(context, number, found), &again));
    let mounts = planned.iter().map(|mount| mount.rule(context));
    for (beneath, access, origin) in std::iter::once(root).chain(mounts).chain(standard) {
        let access = access.within(handled);
        if access != AccessSet::NONE {
            steps.push(Phase::Enter, Action::AllowAccess { beneath, access }, origin);
        }
    }
}

/// What of the host is out of reach beside its files.
pub(super) fn scoped(context: &Context<'_>, version: u32) -> ScopeSet {
    let sockets = context.manifest.namespaces.abstract_sockets.as_ref().map(|given| given.value);
    match (version < SCOPES_SINCE, sockets) {
        (true, _) => ScopeSet::default(),
        (false, Some(Share::Host)) => ScopeSet::SIGNAL,
        (false, _) => ScopeSet::SIGNAL.and(ScopeSet::ABSTRACT_UNIX_SOCKET),
    }
}

/// The rights to open again what is behind a standard descriptor, if that is a file with a path: it is outside the jail.
fn opened(context: &Context<'_>, number: i32, found: &Descriptor) -> AccessSet {
    if standard::is_relayed(context, number, found) || number == 0 && standard::is_input_relayed(context) {
        return AccessSet::NONE;
    }
    let access = match standard::reopens(number, found) {
        (false, false) => return AccessSet::NONE,
        (true, false) => AccessSet::READ_FILE,
        (false, true) => AccessSet::WRITE_FILE,
        (true, true) => AccessSet::READ_FILE.and(AccessSet::WRITE_FILE),
    };
    match found.kind {
        Kind::Terminal | Kind::Device { .. } => access.and(AccessSet::IOCTL_DEV),
        _ => access,
    }
}

/// From here on the rules hold.
pub(super) fn restrict(context: &Context<'_>, steps: &mut Steps) {
    if version(context).is_some() {
        let (_, origin) = enforcement(context);
        steps.push(Phase::Confine, Action::RestrictSelf, &origin);
    }
}
