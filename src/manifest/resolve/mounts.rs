//! What is mounted in the jail beside its tree: /proc, devices, and what the manifest shows of the host.

use std::cell::OnceCell;

use super::context::{Context, Ids, Steps};
use super::devices::is_default;
use super::filesystems::FileSystems;
use super::ids;
use super::network;
use super::overlay;
use super::proc::{self, Covers};
use super::run::{shown_proc, shown_sys};
use super::shared::{self, Shown};
use super::sockets;
use super::sys;
use super::view::View;
use crate::manifest::finding::Finding;
use crate::manifest::schema::{DeviceName, MountKind, Proc, Sys};
use crate::plan::ids::COUNT;
use crate::plan::landlock::{AccessSet, Beneath};
use crate::plan::step::{
    Action, DEVICES, Device, IdSpace, Idmap, LOG_DIRECTORY, Listener, MountFlags, NOTIFY_DIRECTORY, Owner,
    TMPFS_SIZE, tmpfs_inodes,
};
use crate::plan::{HostPath, JailPath, Mode, Origin, Phase};

/// One mount: something of the host, detached before the root changes and attached after, or a new file system.
pub(super) struct Planned {
    target: JailPath,
    flags: MountFlags,
    /// Because of what.
    pub(super) origin: Origin,
    what: What,
    /// If it is a cover, everything it is to be mounted over: its target and more.
    covers: Vec<JailPath>,
}

/// On what something would be made that is to be below a mount.
pub(super) enum Ground<'a> {
    /// A tmpfs of the jail's own.
    Memory,
    /// What is at this path of the host.
    Host(&'a HostPath),
    /// A file system in which nobody makes anything.
    Kernel,
}

/// What is mounted.
pub(super) enum What {
    /// A copy of a host's mount.
    Host { source: HostPath, recursive: bool, idmap: Option<Idmap> },
    /// A file system of the jail's own.
    New { kind: &'static str, options: Vec<(&'static str, String)> },
    /// A directory of the host's below a scratch layer, which is a tmpfs with these options.
    Overlay { source: HostPath, idmap: Option<Idmap>, layer: Vec<(&'static str, String)>, own_ids: bool },
    /// Such a file system for a socket of the supervisor's, read-only once that is there.
    Socket { of: Listener, options: Vec<(&'static str, String)> },
    /// What is at its target already, over its covers.
    Here,
}

impl Planned {
    /// Where it is mounted.
    pub(super) fn target(&self) -> &JailPath {
        &self.target
    }

    /// What is below it.
    pub(super) fn ground(&self) -> Ground<'_> {
        match &self.what {
            What::Host { source, .. } | What::Overlay { source, .. } => Ground::Host(source),
            What::New { kind: "tmpfs", .. } => Ground::Memory,
            What::New { .. } | What::Socket { .. } | What::Here => Ground::Kernel,
        }
    }

    /// Whether it is a tmpfs that is to be read-only: it becomes so when what is in it has been made.
    pub(super) fn is_sealed(&self) -> bool {
        self.flags.read_only && matches!(self.ground(), Ground::Memory)
    }

    /// What is to be done while the host's files are in reach; what is `furnished` can be written to until that is done.
    pub(super) fn detach(&self, furnished: bool, steps: &mut Steps) {
        let read_only = self.flags.read_only && !(furnished && self.is_sealed());
        let (target, flags) = (self.target.clone(), MountFlags { read_only, ..self.flags });
        let action = match &self.what {
            What::Here => return,
            What::Host { source, recursive, idmap } => Action::CloneTree {
                source: source.clone(),
                target,
                flags,
                recursive: *recursive,
                idmap: *idmap,
            },
            What::New { kind, options } => {
                Action::CreateFileSystem { kind, target, flags, options: options.clone() }
            }
            What::Overlay { source, idmap, layer, own_ids } => Action::CreateOverlay {
                source: source.clone(),
                target,
                flags,
                idmap: *idmap,
                layer: layer.clone(),
                own_ids: *own_ids,
            },
            What::Socket { options, .. } => {
                Action::CreateFileSystem { kind: "tmpfs", target, flags, options: options.clone() }
            }
        };
        steps.push(Phase::Enter, action, &self.origin);
    }

    /// What is to be done in it before it is mounted.
    pub(super) fn furnish(&self, steps: &mut Steps) {
        if let What::Socket { of: to, .. } = self.what {
            steps.push(Phase::Enter, Action::Listen { to, target: self.target.clone() }, &self.origin);
        }
    }

    /// What Landlock is to allow on it beside reading and running, which it allows in the whole jail.
    pub(super) fn rule(&self, context: &Context<'_>) -> (Beneath, AccessSet, &Origin) {
        let access = match (&self.what, self.flags) {
            // Devices are opened and given commands; nothing else is on such a mount.
            (What::Host { source, .. }, MountFlags { no_dev: false, read_only: false, .. })
                if context.host.path(source.as_path()).is_dir() =>
            {
                AccessSet::WRITE_FILE.and(AccessSet::IOCTL_DEV).and(AccessSet::CHANGE)
            }
            (_, MountFlags { no_dev: false, .. }) => AccessSet::WRITE_FILE.and(AccessSet::IOCTL_DEV),
            (_, MountFlags { read_only: true, .. }) | (What::Socket { .. }, _) => AccessSet::NONE,
            (What::Host { source, .. }, _) if !context.host.path(source.as_path()).is_dir() => {
                AccessSet::WRITE_FILE.and(AccessSet::CHANGE).of_file()
            }
            _ => AccessSet::WRITE_FILE.and(AccessSet::CHANGE),
        };
        (Beneath::Mount(self.target.clone()), access, &self.origin)
    }

    /// Whether owners on it are translated by the maps of this user namespace.
    pub(super) fn is_in(&self, wanted: IdSpace) -> bool {
        matches!(&self.what, What::Host { idmap: Some(Idmap { space, .. }), .. } if *space == wanted)
    }

    /// What is to be done once every path is the jail's.
    pub(super) fn attach(&self, steps: &mut Steps) {
        let (target, over) = (self.target.clone(), self.covers.clone());
        let action = match &self.what {
            What::Here => Action::Cover { with: Some(target), over },
            _ if over.is_empty() => Action::AttachTree { target },
            _ => Action::Cover { with: None, over },
        };
        steps.push(Phase::Enter, action, &self.origin);
    }
}

/// All mounts in the order in which they are attached: the kernel's file systems, then the manifest's own.
pub(super) fn planned(context: &Context<'_>) -> Result<Vec<Planned>, Vec<Finding>> {
    let mut mounts = Vec::new();
    kernel_processes(context, &mut mounts);
    kernel_objects(context, &mut mounts)?;
    devices(context, &mut mounts);
    manifest_mounts(context, &mut mounts)?;
    Ok(mounts)
}

/// A path of this file's own, known to be well-formed.
fn known(path: &str) -> (Option<JailPath>, Option<HostPath>) {
    (JailPath::parse(path).ok(), HostPath::parse(path).ok())
}

/// /proc, and its covers.
fn kernel_processes(context: &Context<'_>, mounts: &mut Vec<Planned>) {
    let (shown, origin) = shown_proc(context.manifest);
    let flags = MountFlags::GUARDED.no_exec();
    // Read-only as a whole: sys, sysrq-trigger, irq, bus, fs and every file of them at once. And of the processes only those that the
    // program could trace, which PID 1, the supervisor's copy, is not. The milder `invisible` makes an exception for group 0.
    let masked = [("hidepid", "ptraceable".to_owned())];
    let (flags, options) = match shown {
        Proc::None => return,
        Proc::Full => (flags, Vec::new()),
        Proc::Masked => (flags.read_only(), masked.into()),
        Proc::Processes => {
            (flags.read_only(), masked.into_iter().chain([("subset", "pid".to_owned())]).collect())
        }
    };
    kernels_own("proc", "/proc", flags, options, &origin, mounts);
    if let Some(covers) = &context.covers {
        cover(covers, proc::EMPTY, flags, &origin, mounts);
    }
}

/// /sys, and its covers.
fn kernel_objects(context: &Context<'_>, mounts: &mut Vec<Planned>) -> Result<(), Vec<Finding>> {
    let (Sys::Masked, origin) = shown_sys(context.manifest) else { return Ok(()) };
    if matches!(context.ids, Ids::One | Ids::Granted) && !network::is_own(context.manifest) {
        return Err(vec![
            Finding::error("an ordinary user's jail cannot have a /sys and the host's network", &origin)
                .why("it shows network devices, so it is mounted by whoever owns their namespace: the host's root")
                .hint("leave `sys` out, or say `network = \"none\"` under `[namespaces]`"),
        ]);
    }
    let Some(covers) = sys::covers(context) else {
        return Err(vec![
            Finding::error("this host's /sys cannot be masked", &origin)
                .why("it does not show what the kernel has there to be covered")
                .hint("leave `sys` out, or have sysfs mounted on the host's /sys"),
        ]);
    };
    let flags = MountFlags::GUARDED.no_exec().read_only();
    kernels_own("sysfs", "/sys", flags, Vec::new(), &origin, mounts);
    cover(&covers, sys::EMPTY, flags, &origin, mounts);
    Ok(())
}

/// A new file system of the kernel's.
fn kernels_own(
    kind: &'static str,
    target: &str,
    flags: MountFlags,
    options: Vec<(&'static str, String)>,
    origin: &Origin,
    mounts: &mut Vec<Planned>,
) {
    if let (Some(target), _) = known(target) {
        let what = What::New { kind, options };
        mounts.push(Planned { target, flags, origin: origin.clone(), what, covers: Vec::new() });
    }
}

/// What hides a part of such a file system; `empty` is a directory in it that never has anything in it.
fn cover(covers: &Covers, empty: &str, flags: MountFlags, origin: &Origin, mounts: &mut Vec<Planned>) {
    let mut push = |target: JailPath, covers: Vec<JailPath>, what: What| {
        mounts.push(Planned { target, flags, origin: origin.clone(), what, covers });
    };
    // The host's null device on a mount without devices cannot even be opened. One copy is attached, and then mounted again over
    // the others, which is half as dear as a copy for each. For directories the file system has a cover itself.
    if let (Some(first), (_, Some(source))) = (covers.files.first(), known("/dev/null")) {
        push(first.clone(), covers.files.clone(), What::Host { source, recursive: false, idmap: None });
    }
    if let (Some(_), (Some(empty), _)) = (covers.directories.first(), known(empty)) {
        push(empty, covers.directories.clone(), What::Here);
    }
}

/// /dev: the tree's own nodes where it has them, the host's one by one where it could not.
fn devices(context: &Context<'_>, mounts: &mut Vec<Planned>) {
    let default = Origin::Default("few programs run without them, and none of them reaches anything");
    let wanted: Vec<(DeviceName, Origin)> = match &context.manifest.tree.devices {
        // Named twice, by an included file as well or as `ptmx` beside `pts`, it is one.
        Some(named) => named
            .iter()
            .enumerate()
            .filter(|(at, name)| !named[..*at].iter().any(|other| other.value == name.value))
            .map(|(_, name)| (name.value, name.origin.clone()))
            .collect(),
        None => DEVICES
            .into_iter()
            .filter(|device| is_default(device.name))
            .map(|device| (DeviceName::Node(device), default.clone()))
            .collect(),
    };
    // Devices work on this mount, and nothing else does.
    let flags = MountFlags { read_only: true, no_suid: true, no_dev: false, no_exec: true };
    let nodes = || {
        wanted.iter().filter_map(|(name, origin)| match name {
            DeviceName::Node(device) => Some((*device, origin)),
            DeviceName::Pts | DeviceName::Shm | DeviceName::Log => None,
        })
    };
    let mut push = |path: &str, flags, origin: &Origin, what: What| {
        if let (Some(target), _) = known(path) {
            mounts.push(Planned { target, flags, origin: origin.clone(), what, covers: Vec::new() });
        }
    };
    if context.host.device_nodes && !context.manifest.root.is_in_memory() {
        if let (Some((_, origin)), Ok(source)) =
            (nodes().next(), HostPath::parse(context.tree.as_path().join("dev")))
        {
            let idmap = context.translated(IdSpace::Jail);
            push("/dev", flags, origin, What::Host { source, recursive: false, idmap });
        }
    } else {
        for (Device { name, .. }, origin) in nodes() {
            let path = format!("/dev/{name}");
            if let (_, Some(source)) = known(&path) {
                push(&path, flags, origin, What::Host { source, recursive: false, idmap: None });
            }
        }
    }
    for (name, origin) in &wanted {
        match name {
            DeviceName::Pts => {
                let options = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")];
                let options = options.map(|(key, value)| (key, value.to_owned())).to_vec();
                let flags = MountFlags { no_dev: false, ..MountFlags::GUARDED }.no_exec();
                push("/dev/pts", flags, origin, What::New { kind: "devpts", options });
            }
            DeviceName::Shm => {
                let mut options = vec![("size", TMPFS_SIZE.to_string()), ("mode", "1777".into())];
                options.extend(tmpfs_inodes(TMPFS_SIZE).map(|inodes| ("nr_inodes", inodes.to_string())));
                options.extend(owned_by_root(context));
                push("/dev/shm", MountFlags::GUARDED.no_exec(), origin, What::New { kind: "tmpfs", options });
            }
            DeviceName::Log => {
                let what = What::Socket { of: Listener::Log, options: of_a_socket(context) };
                push(LOG_DIRECTORY, MountFlags::GUARDED.no_exec(), origin, what);
            }
            DeviceName::Node(_) => {}
        }
    }
    if let Some(kind) = context.manifest.program.notifies() {
        let what = What::Socket { of: Listener::Notify, options: of_a_socket(context) };
        push(NOTIFY_DIRECTORY, MountFlags::GUARDED.no_exec(), &kind.origin, what);
    }
}

/// The options of a tmpfs with nothing but a socket in it.
fn of_a_socket(context: &Context<'_>) -> Vec<(&'static str, String)> {
    let options = [("size", "4096"), ("nr_inodes", "2"), ("mode", "0755")];
    let mut options = options.map(|(key, value)| (key, value.to_owned())).to_vec();
    options.extend(owned_by_root(context));
    options
}

/// The options that make a tmpfs the jail's root's, whose id outside is not that of whoever mounts it.
fn owned_by_root(context: &Context<'_>) -> Vec<(&'static str, String)> {
    match context.ids {
        Ids::Range(first) => vec![("uid", first.to_string()), ("gid", first.to_string())],
        Ids::Host | Ids::One | Ids::Granted => Vec::new(),
    }
}

/// The options that make a tmpfs somebody's: of the ids an ordinary user's jail has there is one, which it belongs to anyway.
fn owned_by(context: &Context<'_>, owner: Owner) -> Vec<(&'static str, String)> {
    let first = match context.ids {
        Ids::Range(first) => first,
        Ids::Host | Ids::Granted => 0,
        Ids::One => return Vec::new(),
    };
    [("uid", owner.uid), ("gid", owner.gid)]
        .map(|(key, id)| (key, first.saturating_add(id).to_string()))
        .into()
}

/// What is wrong with an owner that the jail's range of ids does not reach to.
fn beyond(context: &Context<'_>, owner: Owner, origin: &Origin) -> Vec<Finding> {
    let ids = [("owner", owner.uid), ("group", owner.gid)];
    let beyond = ids.into_iter().filter(|(_, id)| matches!(context.ids, Ids::Range(_)) && *id >= COUNT);
    let map = context.granted.as_ref().map(|granted| &granted.map);
    let owner_is_there = map.is_none_or(|map| map.outside_user(owner.uid).is_some());
    let group_is_there = map.is_none_or(|map| map.has_group(owner.gid));
    let not_granted = [("owner", owner.uid, owner_is_there), ("group", owner.gid, group_is_there)];
    let not_granted = not_granted.into_iter().filter(|(.., is_there)| !is_there);
    let beyond = beyond.map(|(what, id)| ids::out_of_range(what, id, origin));
    beyond.chain(not_granted.map(|(what, id, _)| ids::not_granted(what, id, origin))).collect()
}

/// The `[[mounts]]` of the manifest, in its order.
fn manifest_mounts(context: &Context<'_>, mounts: &mut Vec<Planned>) -> Result<(), Vec<Finding>> {
    let mut findings = Vec::new();
    // Read for nothing but a mount of the host's.
    let file_systems = OnceCell::new();
    let known_sockets = OnceCell::new();
    for mount in &context.manifest.mounts {
        let entry = &mount.value;
        let mut origin = mount.origin.clone();
        let flags = |read_only: bool, executable: bool| MountFlags {
            read_only: entry.read_only.unwrap_or(read_only),
            no_exec: !entry.executable.unwrap_or(executable),
            ..MountFlags::GUARDED
        };
        let (flags, what) = match &entry.kind {
            MountKind::Bind { source, recursive, optional, root_squash, sockets, devices } => {
                if *optional && !context.host.path(source.as_path()).exists() {
                    continue;
                }
                // What a program can write it is not to run, or whoever breaks into it brings his own.
                let flags = MountFlags { no_dev: !devices, ..flags(true, entry.read_only.unwrap_or(true)) };
                let source = match context.without_link(source) {
                    Ok(source) => source,
                    Err(error) => {
                        let view = View::new(context.host, context.manifest);
                        findings.push(view.missing(source.as_path(), &error, &mount.origin));
                        continue;
                    }
                };
                if !sockets {
                    let known = known_sockets.get_or_init(|| sockets::known(context));
                    findings.extend(sockets::check(context, known, &source, &mount.origin));
                }
                let mut shown = Shown { source, recursive: recursive.unwrap_or(true), idmap: None };
                if matches!(context.ids, Ids::Range(_)) {
                    let squash = root_squash.unwrap_or(true);
                    let known = file_systems.get_or_init(|| FileSystems::read(context.host));
                    match shown.translate(context, known, flags.read_only, squash) {
                        Ok(Some(note)) => origin = origin.found(note),
                        Ok(None) => {}
                        Err(why) => {
                            findings.push(shared::cannot_translate(&shown.source, why, &mount.origin));
                        }
                    }
                }
                (flags, What::Host { source: shown.source, recursive: shown.recursive, idmap: shown.idmap })
            }
            MountKind::Tmpfs { size, inodes, mode, owner, group } => {
                let size = size.unwrap_or(TMPFS_SIZE);
                let named = owner.is_some() || group.is_some();
                let mode = mode.unwrap_or(Mode(if named { 0o755 } else { 0o1777 }));
                let mut options = vec![("size", size.to_string()), ("mode", mode.to_string())];
                options.extend(inodes.or(tmpfs_inodes(size)).map(|inodes| ("nr_inodes", inodes.to_string())));
                let owner =
                    context.accounts.owner(owner.as_ref(), group.as_ref(), Owner::default(), &mount.origin);
                match owner {
                    Ok(owner) if named => {
                        options.extend(owned_by(context, owner));
                        findings.extend(beyond(context, owner, &mount.origin));
                    }
                    Ok(_) => options.extend(owned_by_root(context)),
                    Err(finding) => findings.push(finding),
                }
                (flags(false, false), What::New { kind: "tmpfs", options })
            }
            MountKind::Overlay { source, size, inodes, sockets } => {
                let known = file_systems.get_or_init(|| FileSystems::read(context.host));
                let source = match overlay::source(context, known, source, &mount.origin) {
                    Ok(source) => source,
                    Err(finding) => {
                        findings.push(*finding);
                        continue;
                    }
                };
                if !sockets {
                    let known = known_sockets.get_or_init(|| sockets::known(context));
                    findings.extend(sockets::check(context, known, &source, &mount.origin));
                }
                (flags(false, false), overlay::what(context, source, *size, *inodes))
            }
            MountKind::Mqueue => (flags(false, false), What::New { kind: "mqueue", options: Vec::new() }),
        };
        let target = entry.target.clone();
        mounts.push(Planned { target, flags, origin, what, covers: Vec::new() });
    }
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}
