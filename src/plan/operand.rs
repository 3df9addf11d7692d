//! What steps are about: owners, devices, flags of mounts, namespaces, ways to change the root, and the like. Small values, each with its
//! names in a manifest, in `--json` and in the kernel's headers.

use std::ffi::OsString;
use std::fmt;

use super::{Mode, Size};

/// Who owns a file of the tree. Ids are those seen inside; an ordinary user's tree keeps them in its record only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Which privileged marks of a file are copied with it; none unless a manifest says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub struct Keep {
    /// Set-user-id and set-group-id bits.
    pub setid: bool,
    /// File capabilities (`security.capability`).
    pub capabilities: bool,
}

/// Kind of a device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    /// Name below `/dev`.
    pub name: &'static str,
    /// Major number, see Documentation/admin-guide/devices.txt of the kernel.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// The character devices a jail may ask for. None reaches hardware or another process.
pub const DEVICES: [Device; 6] = [
    Device { name: "null", major: 1, minor: 3 },
    Device { name: "zero", major: 1, minor: 5 },
    Device { name: "full", major: 1, minor: 7 },
    Device { name: "random", major: 1, minor: 8 },
    Device { name: "urandom", major: 1, minor: 9 },
    Device { name: "tty", major: 5, minor: 0 },
];

/// Where the socket of the log is, to which `/dev/log` leads: in a file system of its own, as the jail's `/dev` is read-only.
pub const LOG_DIRECTORY: &str = "/dev/.log";

/// Where the socket is to which a program says that it is ready, likewise.
pub const NOTIFY_DIRECTORY: &str = "/dev/.notify";

/// The name of either there.
pub const SOCKET: &str = "socket";

/// Something small in a file system of the jail's own, made while that is not mounted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant's line says what its fields are")]
pub enum Furniture {
    /// A directory.
    Directory { mode: Mode },
    /// A symbolic link with this text.
    Link { text: OsString },
    /// A regular file with this content.
    File { content: Vec<u8>, mode: Mode },
}

impl Furniture {
    /// The mode it is given by a call of its own: what the umask of the supervisor, 022, would take away.
    pub const fn mode(&self) -> Option<Mode> {
        match self {
            Self::Directory { mode } | Self::File { mode, .. } if mode.0 & 0o7022 != 0 => Some(*mode),
            _ => None,
        }
    }
}

/// What the supervisor reads from a socket that it has in the jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Lines of syslog(3).
    Log,
    /// Messages of sd_notify(3).
    Notify,
}

impl Listener {
    /// Its name, as it is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Notify => "notify",
        }
    }
}

/// Flags of a mount, see mount_setattr(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "four independent bits of the kernel's own mask")]
pub struct MountFlags {
    /// `MOUNT_ATTR_RDONLY`
    pub read_only: bool,
    /// `MOUNT_ATTR_NOSUID`
    pub no_suid: bool,
    /// `MOUNT_ATTR_NODEV`
    pub no_dev: bool,
    /// `MOUNT_ATTR_NOEXEC`
    pub no_exec: bool,
}

impl MountFlags {
    /// Neither setuid nor devices: the least every mount has.
    pub const GUARDED: Self = Self { read_only: false, no_suid: true, no_dev: true, no_exec: false };

    /// The same, read-only.
    #[must_use]
    pub const fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// The same, without execution.
    #[must_use]
    pub const fn no_exec(mut self) -> Self {
        self.no_exec = true;
        self
    }

    /// The flags with the kernel's names for mount_setattr(2) and fsmount(2).
    pub fn attributes(self) -> impl Iterator<Item = &'static str> {
        [
            (self.read_only, "MOUNT_ATTR_RDONLY"),
            (self.no_suid, "MOUNT_ATTR_NOSUID"),
            (self.no_dev, "MOUNT_ATTR_NODEV"),
            (self.no_exec, "MOUNT_ATTR_NOEXEC"),
        ]
        .into_iter()
        .filter_map(|(on, name)| on.then_some(name))
    }
}

impl fmt::Display for MountFlags {
    /// As mount(8) writes them: `ro,nosuid,nodev`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.read_only { "ro" } else { "rw" })?;
        for (on, name) in [(self.no_suid, ",nosuid"), (self.no_dev, ",nodev"), (self.no_exec, ",noexec")] {
            if on {
                f.write_str(name)?;
            }
        }
        Ok(())
    }
}

/// For what a file is opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reopen {
    /// To be read, from where the caller was.
    File,
    /// A device, to be read.
    ReadDevice,
    /// A device, to be written.
    WriteDevice,
    /// A device, for both.
    Device,
}

impl Reopen {
    /// The access mode of open(2).
    pub const fn mode(self) -> &'static str {
        match self {
            Self::File | Self::ReadDevice => "O_RDONLY",
            Self::WriteDevice => "O_WRONLY",
            Self::Device => "O_RDWR",
        }
    }
}

/// A set of namespaces that clone(2) makes new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "seven independent bits of the kernel's own mask")]
pub struct Namespaces {
    /// `CLONE_NEWUSER`
    pub user: bool,
    /// `CLONE_NEWNS`
    pub mount: bool,
    /// `CLONE_NEWPID`
    pub pid: bool,
    /// `CLONE_NEWIPC`
    pub ipc: bool,
    /// `CLONE_NEWUTS`
    pub uts: bool,
    /// `CLONE_NEWCGROUP`
    pub cgroup: bool,
    /// `CLONE_NEWNET`
    pub network: bool,
}

impl Namespaces {
    /// Each namespace with its clone(2) flag and the name `unshare(1)` knows it by, if it is made new.
    pub fn flags(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        // The order in which strace(1) prints them.
        [
            (self.mount, "CLONE_NEWNS", "mount"),
            (self.cgroup, "CLONE_NEWCGROUP", "cgroup"),
            (self.uts, "CLONE_NEWUTS", "uts"),
            (self.ipc, "CLONE_NEWIPC", "ipc"),
            (self.user, "CLONE_NEWUSER", "user"),
            (self.pid, "CLONE_NEWPID", "pid"),
            (self.network, "CLONE_NEWNET", "net"),
        ]
        .into_iter()
        .filter_map(|(on, flag, name)| on.then_some((flag, name)))
    }
}

/// Which user namespace is spoken of, of those that the supervisor makes for a jail started by root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdSpace {
    /// The jail's own, in which the program lives.
    Jail,
    /// One that nobody enters: its maps say how owners are translated on what is shown writable, see [`IdMap::squashed`].
    Shared,
}

impl IdSpace {
    /// The name in `--json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jail => "jail",
            Self::Shared => "shared",
        }
    }
}

/// Owners on a mount are translated, see `MOUNT_ATTR_IDMAP` in mount_setattr(2): an id on disk is what the maps of a user
/// namespace say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idmap {
    /// By the maps of which.
    pub space: IdSpace,
    /// Whether owners on what is mounted below are translated as well.
    pub below: bool,
}

/// A resource limit that is counted for a user namespace as a whole too, where it can be no higher than its maker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// The kernel's name of it.
    pub resource: &'static str,
    /// Soft bound.
    pub soft: Bound,
    /// Hard bound.
    pub hard: Bound,
}

/// The resources that have such a ceiling, see `ucounts` in the kernel's include/linux/user_namespace.h. Processes are counted too,
/// but without one if the maker is root.
pub const CEILINGS: [&str; 3] = ["RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_SIGPENDING"];

/// How the program's root is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootMethod {
    /// pivot_root(2), then the old root is detached: nothing of the host's tree is mounted any more.
    Pivot,
    /// mount(2) with `MS_MOVE` and chroot(2), for hosts whose root is a ramfs; the host's tree stays below, out of sight.
    Move,
    /// chroot(2) alone: a pointer, no boundary against root.
    Chroot,
}

impl RootMethod {
    /// The name in a manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pivot => "pivot",
            Self::Move => "move",
            Self::Chroot => "chroot",
        }
    }
}

/// Something by which the kernel favours a process over others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheduling {
    /// How late a sleep may end.
    TimerSlack,
    /// The policy, see sched(7).
    Policy,
    /// Whose reads and writes go first, see ioprio_set(2).
    Io,
    /// On which nodes memory is taken, see set_mempolicy(2).
    Memory,
    /// That equal pages of it are one with those of other processes, see `PR_SET_MEMORY_MERGE` in prctl(2).
    Merging,
}

impl Scheduling {
    /// Timer slack of a process nobody has touched, in nanoseconds.
    pub const TIMER_SLACK: u64 = 50_000;

    /// The call that resets it, name and arguments as strace(1) writes them.
    pub const fn call(self) -> (&'static str, &'static str) {
        match self {
            Self::TimerSlack => ("prctl", "PR_SET_TIMERSLACK, 50000"),
            Self::Policy => ("sched_setscheduler", "0, SCHED_OTHER, [0]"),
            Self::Io => ("ioprio_set", "IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_NONE, 0)"),
            Self::Memory => ("set_mempolicy", "MPOL_DEFAULT, NULL, 0"),
            Self::Merging => ("prctl", "PR_SET_MEMORY_MERGE, 0, 0, 0, 0"),
        }
    }

    /// Its name in `--json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TimerSlack => "timer_slack",
            Self::Policy => "policy",
            Self::Io => "io_priority",
            Self::Memory => "memory_policy",
            Self::Merging => "memory_merge",
        }
    }
}

/// One bound of a resource limit; `None` is `RLIM_INFINITY`.
pub type Bound = Option<u64>;

/// Capabilities by kernel number as a mask, bit n for capability n; see capabilities(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CapabilitySet(pub u64);

/// Default size of a tmpfs whose manifest gives none.
pub const TMPFS_SIZE: Size = Size(64 << 20);

/// How many files a tmpfs of this size may have if its manifest does not say: one for each page of 4 KiB, and some in any case. An
/// inode without content takes about a KiB of the kernel's memory and nothing of the size. Without a size there is no number either.
pub fn tmpfs_inodes(size: Size) -> Option<u64> {
    (size.0 != 0).then_some((size.0 / 4096).max(1024))
}

/// The directories of an overlay: what of the host is below, what takes the changes, and what the kernel needs beside that.
pub const OVERLAY: [&str; 3] = ["lower", "upper", "work"];

/// The options of an overlay. Nothing in the scratch layer tells the kernel where to look for anything (`redirect_dir`, `metacopy`,
/// `index`): its files are whole, and stand where they are seen. In a user namespace its notes are attributes that need no right.
pub fn overlay_options(own_ids: bool) -> Vec<(&'static str, &'static str)> {
    let [lower, upper, work] = OVERLAY;
    let mut options = vec![
        ("lowerdir", lower),
        ("upperdir", upper),
        ("workdir", work),
        ("redirect_dir", "nofollow"),
        ("metacopy", "off"),
        ("index", "off"),
    ];
    if own_ids {
        options.push(("userxattr", ""));
    }
    options
}
