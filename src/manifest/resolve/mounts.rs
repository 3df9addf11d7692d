//! What is mounted in the jail beside its tree: /proc, devices, and what the manifest shows of the host.

use super::run::{Context, Steps, shown_proc};
use crate::manifest::schema::{DeviceName, MountKind, Proc};
use crate::plan::landlock::{AccessSet, Beneath};
use crate::plan::step::{Action, DEVICES, Device, MountFlags, TMPFS_SIZE};
use crate::plan::{HostPath, JailPath, Mode, Origin, Phase};

/// One mount: something of the host, detached before the root changes and attached after, or a new file system.
pub(super) struct Planned {
    target: JailPath,
    flags: MountFlags,
    origin: Origin,
    what: What,
}

/// What is mounted.
enum What {
    /// A copy of a host's mount.
    Host { source: HostPath, recursive: bool },
    /// A file system of the jail's own.
    New { kind: &'static str, options: Vec<(&'static str, String)> },
}

impl Planned {
    /// What is to be done while the host's files are in reach.
    pub(super) fn detach(&self, steps: &mut Steps) {
        let (target, flags) = (self.target.clone(), self.flags);
        let action = match &self.what {
            What::Host { source, recursive } => {
                Action::CloneTree { source: source.clone(), target, flags, recursive: *recursive }
            }
            What::New { kind, options } => {
                Action::CreateFileSystem { kind, target, flags, options: options.clone() }
            }
        };
        steps.push(Phase::Enter, action, &self.origin);
    }

    /// What Landlock is to allow on it beside reading and running, which it allows in the whole jail.
    pub(super) fn rule(&self, context: &Context<'_>) -> (Beneath, AccessSet, &Origin) {
        let access = match (&self.what, self.flags) {
            // Devices are opened and given commands; nothing else is on such a mount.
            (_, MountFlags { no_dev: false, .. }) => AccessSet::WRITE_FILE.and(AccessSet::IOCTL_DEV),
            (_, MountFlags { read_only: true, .. }) => AccessSet::NONE,
            (What::Host { source, .. }, _) if !context.host.path(source.as_path()).is_dir() => {
                AccessSet::WRITE_FILE.and(AccessSet::CHANGE).of_file()
            }
            _ => AccessSet::WRITE_FILE.and(AccessSet::CHANGE),
        };
        (Beneath::Mount(self.target.clone()), access, &self.origin)
    }

    /// What is to be done once every path is the jail's.
    pub(super) fn attach(&self, steps: &mut Steps) {
        steps.push(Phase::Enter, Action::AttachTree { target: self.target.clone() }, &self.origin);
    }
}

/// All mounts in the order in which they are attached: the kernel's file systems, then the manifest's own.
pub(super) fn planned(context: &Context<'_>) -> Vec<Planned> {
    let mut mounts = Vec::new();
    proc(context, &mut mounts);
    devices(context, &mut mounts);
    manifest_mounts(context, &mut mounts);
    mounts
}

/// A path of this file's own, known to be well-formed.
fn known(path: &str) -> (Option<JailPath>, Option<HostPath>) {
    (JailPath::parse(path).ok(), HostPath::parse(path).ok())
}

/// Files of /proc that tell of the host or act on it; covered where the kernel has them. The list is runc's, without what kernels
/// that have the mount API no longer have there (`sched_debug`, `timer_stats`).
const COVERED_FILES: [&str; 2] = ["/proc/keys", "/proc/latency_stats"];

/// More of them, which only the host's root can read: covered when the program may be that.
const COVERED_ROOT_FILES: [&str; 7] = [
    "/proc/iomem",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/kmsg",
    "/proc/slabinfo",
    "/proc/timer_list",
    "/proc/vmallocinfo",
];

/// Directories that only it can do anything with.
const COVERED_ROOT_DIRECTORIES: [&str; 2] = ["/proc/acpi", "/proc/scsi"];

/// /proc, and its covers.
fn proc(context: &Context<'_>, mounts: &mut Vec<Planned>) {
    let (shown, origin) = shown_proc(context.manifest);
    let flags = MountFlags::GUARDED.no_exec();
    let flags = match shown {
        Proc::None => return,
        Proc::Full => flags,
        // Read-only as a whole: sys, sysrq-trigger, irq, bus, fs and every file of them at once.
        Proc::Masked => flags.read_only(),
    };
    let mut push = |path: &str, what: What| {
        if let (Some(target), _) = known(path) {
            mounts.push(Planned { target, flags, origin: origin.clone(), what });
        }
    };
    push("/proc", What::New { kind: "proc", options: Vec::new() });
    if shown != Proc::Masked {
        return;
    }
    let there = |path: &&&str| context.host.path(path.as_ref()).exists();
    let (root_files, root_directories): (&[&str], &[&str]) =
        if context.privileged() { (&COVERED_ROOT_FILES, &COVERED_ROOT_DIRECTORIES) } else { (&[], &[]) };
    for path in COVERED_FILES.iter().chain(root_files).filter(there) {
        // The host's null device on a mount without devices cannot even be opened.
        if let (_, Some(source)) = known("/dev/null") {
            push(path, What::Host { source, recursive: false });
        }
    }
    for path in root_directories.iter().filter(there) {
        // The tree's own /proc is an empty directory, and cheaper than a new file system.
        if let Ok(source) = HostPath::parse(context.tree.as_path().join("proc")) {
            push(path, What::Host { source, recursive: false });
        }
    }
}

/// Devices of a jail whose manifest names none.
pub(super) const DEFAULT_DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// /dev: the tree's own nodes where it has them, the host's one by one where it could not.
fn devices(context: &Context<'_>, mounts: &mut Vec<Planned>) {
    let default = Origin::Default("few programs run without them, and none of them reaches anything");
    let wanted: Vec<(DeviceName, Origin)> = match &context.manifest.tree.devices {
        Some(named) => named.iter().map(|name| (name.value, name.origin.clone())).collect(),
        None => DEVICES
            .into_iter()
            .filter(|device| DEFAULT_DEVICES.contains(&device.name))
            .map(|device| (DeviceName::Node(device), default.clone()))
            .collect(),
    };
    // Devices work on this mount, and nothing else does.
    let flags = MountFlags { read_only: true, no_suid: true, no_dev: false, no_exec: true };
    let nodes = || {
        wanted.iter().filter_map(|(name, origin)| match name {
            DeviceName::Node(device) => Some((*device, origin)),
            DeviceName::Pts | DeviceName::Shm => None,
        })
    };
    let mut push = |path: &str, flags, origin: &Origin, what: What| {
        if let (Some(target), _) = known(path) {
            mounts.push(Planned { target, flags, origin: origin.clone(), what });
        }
    };
    if context.host.device_nodes {
        if let (Some((_, origin)), Ok(source)) =
            (nodes().next(), HostPath::parse(context.tree.as_path().join("dev")))
        {
            push("/dev", flags, origin, What::Host { source, recursive: false });
        }
    } else {
        for (Device { name, .. }, origin) in nodes() {
            let path = format!("/dev/{name}");
            if let (_, Some(source)) = known(&path) {
                push(&path, flags, origin, What::Host { source, recursive: false });
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
                let options = vec![("size", TMPFS_SIZE.to_string()), ("mode", "1777".into())];
                push("/dev/shm", MountFlags::GUARDED.no_exec(), origin, What::New { kind: "tmpfs", options });
            }
            DeviceName::Node(_) => {}
        }
    }
}

/// The `[[mounts]]` of the manifest, in its order.
fn manifest_mounts(context: &Context<'_>, mounts: &mut Vec<Planned>) {
    for mount in &context.manifest.mounts {
        let entry = &mount.value;
        let flags = |read_only: bool, executable: bool| MountFlags {
            read_only: entry.read_only.unwrap_or(read_only),
            no_exec: !entry.executable.unwrap_or(executable),
            ..MountFlags::GUARDED
        };
        let (flags, what) = match &entry.kind {
            MountKind::Bind { source, recursive, optional } => {
                if *optional && !context.host.path(source.as_path()).exists() {
                    continue;
                }
                let recursive = recursive.unwrap_or(true);
                (flags(true, true), What::Host { source: context.without_link(source), recursive })
            }
            MountKind::Tmpfs { size, inodes, mode } => {
                let mut options = vec![
                    ("size", size.unwrap_or(TMPFS_SIZE).to_string()),
                    ("mode", mode.unwrap_or(Mode(0o1777)).to_string()),
                ];
                options.extend(inodes.map(|inodes| ("nr_inodes", inodes.to_string())));
                (flags(false, false), What::New { kind: "tmpfs", options })
            }
            MountKind::Mqueue => (flags(false, false), What::New { kind: "mqueue", options: Vec::new() }),
        };
        mounts.push(Planned { target: entry.target.clone(), flags, origin: mount.origin.clone(), what });
    }
}
