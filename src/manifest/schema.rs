//! The manifest as values: one struct for each table of the TOML, every value with its place. Nothing here has a default:
//! what nobody wrote is `None` or empty, and `resolve` decides.

mod limits;
mod program;

use std::collections::BTreeMap;
use std::ffi::OsString;

pub use limits::{DevicePolicy, IO_RATES, IoMax, Limits, RESOURCES, Resource, ResourceLimit, Unit};
pub use program::{Personality, ProgramType};

use super::host_files::HostFiles;
use crate::plan::step::{Keep, RootMethod};
use crate::plan::system_calls::profiles::Profile;
use crate::plan::system_calls::{Architecture, Entry, Refusal};
use crate::plan::value::{Account, HostPath, JailName, JailPath, Mode, Size, Span};
use crate::plan::{At, Layer, Listen, Port, Publish};

/// A manifest with everything it includes and every command-line option, decoded.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// `name`: the jail's name; the file's name without `.toml` if absent.
    pub name: Option<At<JailName>>,
    /// `summary`: one line for `list` and `plan`.
    pub summary: Option<At<String>>,
    /// `[program]`
    pub program: Program,
    /// `[tree]`
    pub tree: Tree,
    /// `[[mounts]]`
    pub mounts: Vec<At<Mount>>,
    /// `[root]`
    pub root: Root,
    /// `[namespaces]`
    pub namespaces: Namespaces,
    /// `[limits]`
    pub limits: Limits,
    /// `[privileges]`
    pub privileges: Privileges,
    /// `[test]`
    pub test: Option<At<Test>>,
}

/// `[program]`: what runs, as whom and in which circumstances.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// `command`: the program (absolute, or a name found in the jail's PATH) and its arguments.
    pub command: Option<At<Vec<OsString>>>,
    /// Arguments given after `--`, appended to the command.
    pub extra_arguments: Vec<OsString>,
    /// `user`
    pub user: Option<At<Account>>,
    /// `group`; the user's own if absent.
    pub group: Option<At<Account>>,
    /// `supplementary_groups`
    pub supplementary_groups: Vec<At<Account>>,
    /// `working_directory`
    pub working_directory: Option<At<JailPath>>,
    /// `umask`
    pub umask: Option<At<Mode>>,
    /// `environment`: names and values.
    pub environment: BTreeMap<String, At<String>>,
    /// `pass_environment`: names taken from the caller's environment when set there.
    pub pass_environment: Vec<At<String>>,
    /// `unset_environment`: names that it does not have, whoever would have set them.
    pub unset_environment: Vec<At<String>>,
    /// `nice`: -20 (most favoured) to 19.
    pub nice: Option<At<i32>>,
    /// `oom_score_adjust`: -1000 (never killed) to 1000 (first).
    pub oom_score_adjust: Option<At<i32>>,
    /// `cpu_affinity`: processor numbers; written `[0, 2]` or `"0-3,8"`.
    pub cpu_affinity: Option<At<Vec<u32>>>,
    /// `personality`: flags of personality(2).
    pub personality: Vec<At<Personality>>,
    /// `init`: whether our own PID 1 reaps and forwards signals (default) or the program is PID 1.
    pub init: Option<At<bool>>,
    /// `type`: whether the jail ends with the program's first process or with its last.
    pub kind: Option<At<ProgramType>>,
    /// `sockets`: whether the program gets the sockets that a service manager has passed; false if absent.
    pub sockets: Option<At<bool>>,
    /// `listen`: the addresses of these.
    pub listen: Vec<At<Listen>>,
    /// `watchdog`: the longest that a service manager waits for the program to say that it is well.
    pub watchdog: Option<At<Span>>,
}

/// `[tree]`: what is copied into the jail.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// `programs`: each with every shared library it needs; by path or glob.
    pub programs: Vec<At<ProgramFile>>,
    /// `libraries`: shared objects a program opens by itself (plugins), each with the libraries it needs in
    /// turn; by path or glob.
    pub libraries: Vec<At<HostPath>>,
    /// `files`: files and directories, by path or glob.
    pub files: Vec<At<Files>>,
    /// `packages`: every file of a distribution package, without its documentation.
    pub packages: Vec<At<String>>,
    /// `directories`: empty directories.
    pub directories: Vec<At<Directory>>,
    /// `users`: entries of the jail's passwd and group beside root, nobody and the program's user.
    pub users: Vec<At<String>>,
    /// `groups`: entries of the jail's group file beside those of the users.
    pub groups: Vec<At<String>>,
    /// `devices`: names below /dev: null zero full random urandom tty pts ptmx shm log. `None` means the default set.
    pub devices: Option<Vec<At<DeviceName>>>,
    /// `links`: symbolic links.
    pub links: Vec<At<Link>>,
    /// `text`: small files given inline.
    pub text: Vec<At<Text>>,
    /// `host`: files of the host, shown as they are at each start.
    pub host: Vec<At<HostFiles>>,
    /// `base`: an existing root, which everything else comes over.
    pub base: Option<At<Base>>,
}

/// `base`: a path, or a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Base {
    /// `path`: a directory, a tar archive, or a directory with an OCI image layout.
    pub path: HostPath,
    /// `image`: the name of an image of the layout.
    pub image: Option<String>,
    /// `architecture`: of an image, such as `386`; this machine's if absent.
    pub architecture: Option<String>,
    /// `keep`
    pub keep: Keep,
}

/// One entry of `programs`: a path, or a table `{ path, keep }`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProgramFile {
    /// Where it is on the host, and at the same path in the jail.
    pub path: HostPath,
    /// `keep = ["setid", "capabilities"]`
    pub keep: Keep,
}

/// One entry of `files`: a path or glob, or a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Files {
    /// `path`: on the host; `*`, `?`, `[a-z]` match within one component, `**` across components.
    pub path: HostPath,
    /// `target`: where it goes, if elsewhere than on the host (a directory when `path` is a glob).
    pub target: Option<JailPath>,
    /// `exclude`: globs; one without `/` is matched against each name, else against the path below `path`.
    pub exclude: Vec<String>,
    /// `owner`; the host file's own if absent.
    pub owner: Option<Account>,
    /// `group`
    pub group: Option<Account>,
    /// `mode`, of regular files; a directory gets search permission wherever it has read permission.
    pub mode: Option<Mode>,
    /// `keep`
    pub keep: Keep,
    /// `optional`: no error when nothing is there.
    pub optional: bool,
}

impl Files {
    /// An entry that says nothing but a path.
    pub fn at(path: HostPath) -> Self {
        Self {
            path,
            target: None,
            exclude: Vec::new(),
            owner: None,
            group: None,
            mode: None,
            keep: Keep::default(),
            optional: false,
        }
    }
}

/// One entry of `directories`: a path, or a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Directory {
    /// `path`, in the jail.
    pub path: JailPath,
    /// `owner`; root if absent.
    pub owner: Option<Account>,
    /// `group`; the owner's own if absent.
    pub group: Option<Account>,
    /// `mode`; 0755 if absent.
    pub mode: Option<Mode>,
}

/// One entry of `links`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    /// `path`, in the jail.
    pub path: JailPath,
    /// `target`: the text of the link, relative or absolute inside the jail.
    pub target: OsString,
}

/// One entry of `text`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Text {
    /// `path`, in the jail.
    pub path: JailPath,
    /// `content`
    pub content: String,
    /// `owner`; root if absent.
    pub owner: Option<Account>,
    /// `group`
    pub group: Option<Account>,
    /// `mode`; 0644 if absent.
    pub mode: Option<Mode>,
}

/// One entry of `devices`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceName {
    /// A node of [`crate::plan::step::DEVICES`].
    Node(crate::plan::step::Device),
    /// `pts`: a devpts instance of the jail's own at /dev/pts, with /dev/ptmx (`ptmx` means the same).
    Pts,
    /// `shm`: a tmpfs at /dev/shm.
    Shm,
    /// `log`: a socket at /dev/log, of which the supervisor reads.
    Log,
}

/// One `[[mounts]]` table: what is shown inside beside the tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mount {
    /// `target`, in the jail.
    pub target: JailPath,
    /// What is mounted.
    pub kind: MountKind,
    /// `read_only`; true for a bind and false for a tmpfs if absent.
    pub read_only: Option<bool>,
    /// `executable`: whether programs on it may be run; if absent, on a bind that is read-only.
    pub executable: Option<bool>,
}

/// `type` of a mount with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MountKind {
    /// `type = "bind"` (default): a host's file or directory.
    Bind {
        /// `source`, on the host.
        source: HostPath,
        /// `recursive`: with what is mounted below it; true if absent.
        recursive: Option<bool>,
        /// `optional`: nothing is mounted when the source is absent.
        optional: bool,
        /// `root_squash`: whether root inside is not root there, as on NFS; true if absent.
        root_squash: Option<bool>,
        /// `sockets`: whether control sockets of the host may be shown by it.
        sockets: bool,
        /// `devices`: whether device files on it work.
        devices: bool,
    },
    /// `type = "tmpfs"`: empty memory.
    Tmpfs {
        /// `size`
        size: Option<Size>,
        /// `inodes`
        inodes: Option<u64>,
        /// `mode`; if absent 1777, or 0755 with an owner.
        mode: Option<Mode>,
        /// `owner`; root if absent.
        owner: Option<Account>,
        /// `group`; the owner's own if absent.
        group: Option<Account>,
    },
    /// `type = "mqueue"`: POSIX message queues.
    Mqueue,
    /// `type = "overlay"`: a host's directory below a scratch layer in memory, which takes what is written.
    Overlay {
        /// `source`, on the host.
        source: HostPath,
        /// `size`
        size: Option<Size>,
        /// `inodes`
        inodes: Option<u64>,
        /// `sockets`: whether control sockets of the host may be shown by it.
        sockets: bool,
    },
}

impl MountKind {
    /// What of the host is shown.
    pub fn source(&self) -> Option<&HostPath> {
        match self {
            Self::Bind { source, .. } | Self::Overlay { source, .. } => Some(source),
            Self::Tmpfs { .. } | Self::Mqueue => None,
        }
    }
}

/// `[root]`: the root directory and what the kernel shows in it.
#[derive(Clone, Debug, Default)]
pub struct Root {
    /// `method`: pivot, move or chroot.
    pub method: Option<At<RootMethod>>,
    /// `read_only`: true if absent.
    pub read_only: Option<At<bool>>,
    /// `proc`: masked, processes, full or none.
    pub proc: Option<At<Proc>>,
    /// `sys`: none or masked.
    pub sys: Option<At<Sys>>,
    /// `tree`: disk or memory.
    pub tree: Option<At<RootTree>>,
}

impl Root {
    /// Whether the tree is made in memory at every start, and nothing of it is kept.
    pub fn is_in_memory(&self) -> bool {
        self.tree.as_ref().is_some_and(|tree| matches!(tree.value, RootTree::Memory | RootTree::Host))
    }

    /// Whether there is none, and the program stays in the host's.
    pub fn is_hosts(&self) -> bool {
        self.tree.as_ref().is_some_and(|tree| tree.value == RootTree::Host)
    }
}

/// Where the tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RootTree {
    /// `disk`: in the state directory, where a build has put it. The default.
    Disk,
    /// `host`: none of its own, and no namespaces.
    Host,
    /// `memory`: in a file system of the jail's own, made at every start.
    Memory,
}

/// What of /proc is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proc {
    /// `masked`: read-only, with what tells of the host covered and PID 1 hidden. The default.
    Masked,
    /// `processes`: only the jail's processes, nothing of the system.
    Processes,
    /// `full`: writable and uncovered, as the kernel gives it.
    Full,
    /// `none`
    None,
}

/// What of /sys is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sys {
    /// `none`. The default.
    None,
    /// `masked`: read-only, processors, memory and the jail's own network devices; the rest is covered.
    Masked,
}

/// `[namespaces]`; mount and pid are always new.
#[derive(Clone, Debug, Default)]
pub struct Namespaces {
    /// `network`: host, none or pasta.
    pub network: Option<At<Network>>,
    /// `publish`: ports of the host that lead to the jail.
    pub publish: Vec<At<Publish>>,
    /// `allow`: ports of the host's loopback that the jail has on its own.
    pub allow: Vec<At<Port>>,
    /// `user`: a user namespace; needed when not root, and for root the default where the network is not the host's.
    pub user: Option<At<bool>>,
    /// `first_id`: the id outside that 0 inside stands for, in a jail started by root.
    pub first_id: Option<At<u32>>,
    /// `id_range`: whether an ordinary user's jail has the ids that the host grants to the user.
    pub id_range: Option<At<bool>>,
    /// `ipc = "host"` shares System V IPC and POSIX queues.
    pub ipc: Option<At<Share>>,
    /// `uts = "host"` shares the host name.
    pub uts: Option<At<Share>>,
    /// `cgroup = "host"` shows the host's cgroup paths.
    pub cgroup: Option<At<Share>>,
    /// `abstract_sockets = "host"` leaves the host's in reach where the network is the host's.
    pub abstract_sockets: Option<At<Share>>,
    /// `hostname`; the jail's name if absent.
    pub hostname: Option<At<String>>,
}

/// Which network the jail has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The host's.
    Host,
    /// Its own, with nothing but loopback.
    None,
    /// Its own, which pasta(1) connects to others.
    Pasta,
}

/// Whether a namespace is new or the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// `new`: the jail's own. The default.
    New,
    /// `host`: shared.
    Host,
}

/// `[privileges]`
#[derive(Clone, Debug, Default)]
pub struct Privileges {
    /// `capabilities`: names with or without `CAP_`; each by its number, see [`crate::plan::capability`].
    pub capabilities: Vec<At<u8>>,
    /// `bounding`: capabilities that may still be had through setuid programs or file capabilities, beside `capabilities`.
    pub bounding: Vec<At<u8>>,
    /// `no_new_privileges`: true if absent.
    pub no_new_privileges: Option<At<bool>>,
    /// `landlock`: true if absent.
    pub landlock: Option<At<bool>>,
    /// `system_calls`: a profile, or a list of words.
    pub system_calls: Option<At<SystemCalls>>,
    /// `system_calls_action`: what becomes of a call that is refused; errno if absent.
    pub system_calls_action: Option<At<Refusal>>,
    /// `architectures`: processors whose system calls are let in beside this one's; found out from the program if absent.
    pub architectures: Option<Vec<At<Architecture>>>,
    /// `best_effort`: layers that may be weaker, or missing, where the host lacks something. All others are required.
    pub best_effort: Vec<At<Layer>>,
}

/// `system_calls`
#[derive(Clone, Debug)]
pub enum SystemCalls {
    /// One word.
    Profile(Profile),
    /// A list, each entry as written and what it means.
    List(Vec<(String, Entry)>),
}

/// `[test]`: how `stockade test` proves that the jail works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Test {
    /// `command`: a client run on the host, repeated until it succeeds or `timeout` is over. Without one, the jail's
    /// program itself is run to its end and its output is looked at.
    pub command: Option<Vec<OsString>>,
    /// `arguments`: appended to the program's command, for the test only.
    pub arguments: Vec<OsString>,
    /// `input`: given to the program on its standard input.
    pub input: Option<String>,
    /// `expect`: each must stand in the output; a string or a list.
    pub expect: Vec<String>,
    /// `status`: exit status of the client, or of the program; 0 if absent.
    pub status: Option<i32>,
    /// `stop_status`: how the program may end after SIGTERM, beside 0 and by the signal.
    pub stop_status: Option<i32>,
    /// `timeout`: 10s if absent.
    pub timeout: Option<Span>,
}
