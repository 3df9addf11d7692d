//! One step of a plan: a typed action with its phase and its origin. `Display` (in `display.rs`) prints an action like its man
//! page; [`Action::calls`] lists the system calls it is made of, in order, as strace(1) would name them.

use std::ffi::OsString;
use std::time::Duration;

use super::control::ControlGroup;
use super::landlock::{AccessSet, Beneath, NetworkSet, ScopeSet};
pub use super::operand::{
    Bound, CEILINGS, CapabilitySet, Ceiling, DEVICES, Device, Furniture, IdSpace, Idmap, Keep, LOG_DIRECTORY,
    Listener, MountFlags, NOTIFY_DIRECTORY, Namespaces, OVERLAY, Owner, Reopen, RootMethod, SOCKET,
    Scheduling, TMPFS_SIZE, overlay_options, tmpfs_inodes,
};
use super::secure_bits::SecureBits;
use super::system_calls::Filter;
use super::{HostPath, IdMap, JailPath, Mode, Origin, Phase};

/// One step: what, when, and because of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// When and by whom.
    pub phase: Phase,
    /// Because of what.
    pub origin: Origin,
}

/// What is done by one step. Paths of the Build phase are below the tree's root; paths of the run phases are the jail's
/// own once the root has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant's line says what its fields are")]
pub enum Action {
    // Build
    /// A directory of the tree.
    MakeDirectory { path: JailPath, mode: Mode, owner: Owner },
    /// A regular file copied from the host: content, times and xattrs; mode and owner as given.
    CopyFile { source: HostPath, path: JailPath, mode: Mode, owner: Owner, keep: Keep },
    /// A regular file unpacked from an archive: the member of this number, of `size` bytes; content, times and xattrs.
    UnpackFile {
        archive: HostPath,
        member: usize,
        size: u64,
        path: JailPath,
        mode: Mode,
        owner: Owner,
        keep: Keep,
    },
    /// A second name of a file copied by an earlier step (the host's file has both names too).
    MakeHardLink { existing: JailPath, path: JailPath },
    /// A symbolic link with this text.
    MakeSymlink { text: OsString, path: JailPath, owner: Owner },
    /// A small file with this content.
    WriteFile { path: JailPath, content: Vec<u8>, mode: Mode, owner: Owner },
    /// A device node, as root.
    MakeDevice { path: JailPath, device: Device },

    // Parent
    /// Control groups of this name, one in each hierarchy, with their limits; nobody is in them yet.
    MakeControlGroups { name: String, groups: Vec<ControlGroup> },
    /// A user namespace, made by a process that ends at once, and kept by descriptor. With it, if wanted, a network namespace that
    /// belongs to it, with `lo` up; `is_last` means that no user namespace can be made inside it, and
    /// that its handles of inotify are limited as by `LimitInotify`.
    MakeUserNamespace { space: IdSpace, map: IdMap, network: bool, is_last: bool, ceilings: Vec<Ceiling> },
    /// The new process with its namespaces.
    Clone { namespaces: Namespaces },

    // Enter
    /// This process joins the control groups, so many of them, and whatever it makes is in them too; with `namespace`, what it can
    /// see of their hierarchies begins there.
    EnterControlGroups { groups: usize, namespace: bool },
    /// This process joins control groups that a running jail is in.
    JoinControlGroups { directories: Vec<HostPath> },
    /// The id maps of the user namespace an ordinary user's jail is made in: what the user itself may map.
    MapIds { map: IdMap },
    /// The same maps with ids that the host grants to that user, by programs of the host's that may write them: the jail waits until
    /// the supervisor has called them.
    GrantIds { map: IdMap, programs: [HostPath; 2] },
    /// No user namespace can be made inside this one.
    ForbidUserNamespaces,
    /// Each user in this user namespace has so many handles of inotify(7) at most.
    LimitInotify,
    /// No mount event goes to the host or comes from it.
    MakePrivate,
    /// A session of its own: the caller's terminal is not its controlling terminal.
    NewSession,
    /// A session keyring of its own, empty.
    NewKeyring,
    /// Memory, environment and descriptors of the jail's first process are nobody else's to read.
    SetUndumpable,
    /// The program's own terminal, relayed by the supervisor, becomes the controlling one and these descriptors.
    AttachTerminal { onto: Vec<i32> },
    /// The namespaces of a jail that runs already, and with its mount namespace its root, which is looked at: it has to be that of
    /// the tree the jail was started from. From here on every path is the jail's.
    JoinNamespaces { namespaces: Namespaces, tree: HostPath },
    /// The jail waits here until the supervisor has started this program, pasta(1), which then has a device in the jail's network and
    /// makes of what comes there connections of its own.
    ConnectNetwork { program: HostPath, arguments: Vec<String> },
    /// The network namespace that was made together with the jail's user namespace.
    EnterNetwork,
    /// `lo` up in the new network namespace.
    LoopbackUp,
    /// The host name inside.
    SetHostname { name: String },
    /// How the kernel's out-of-memory killer rates the jail.
    SetOomScore { adjustment: i32 },
    /// A detached copy of a host's file or directory, kept by descriptor until its target can be reached safely.
    CloneTree { source: HostPath, target: JailPath, flags: MountFlags, recursive: bool, idmap: Option<Idmap> },
    /// A new file system, `proc`, `tmpfs`, `devpts` or `mqueue`, detached as well: a user namespace may make a `proc` only while
    /// it sees one that is not covered.
    CreateFileSystem {
        kind: &'static str,
        target: JailPath,
        flags: MountFlags,
        options: Vec<(&'static str, String)>,
    },
    /// A host's directory below a scratch layer that takes what is written: a tmpfs with these options, which is mounted nowhere by
    /// the end of the step. The supervisor gets a descriptor of what is in it. `own_ids`: within a user namespace.
    CreateOverlay {
        source: HostPath,
        target: JailPath,
        flags: MountFlags,
        idmap: Option<Idmap>,
        layer: Vec<(&'static str, String)>,
        own_ids: bool,
    },
    /// A detached copy of the tree as the root to be.
    CloneRoot { tree: HostPath, flags: MountFlags, idmap: Option<Idmap> },
    /// Something made in the file system that is for `within`, where `path` leads once that is mounted there. `owner` is who it
    /// belongs to outside, if that is not who makes it.
    Furnish { within: JailPath, path: JailPath, what: Furniture, owner: Option<Owner> },
    /// The file system for this target is read-only from here on, with what was made in it.
    Seal { target: JailPath },
    /// A file of the caller's behind a standard descriptor, opened again through a mount of its own that allows no more than
    /// what it is for; `file` is its device and inode number.
    ReopenDescriptor {
        descriptor: i32,
        source: HostPath,
        flags: MountFlags,
        access: Reopen,
        file: (u64, u64),
    },
    /// A pipe to the supervisor, which passes on to what the caller has there what is written to these descriptors: to a file, or to a stream
    /// that may have no room.
    RelayOutput { onto: Vec<i32>, stream: bool },
    /// A socket of which the supervisor reads, made in the file system for this target, which is read-only then.
    Listen { to: Listener, target: JailPath },
    /// A Landlock ruleset without a rule: once it is enforced, what it handles is refused.
    CreateRuleset { handled: AccessSet, network: NetworkSet, scoped: ScopeSet },
    /// A rule of that ruleset: what is allowed all the same.
    AllowAccess { beneath: Beneath, access: AccessSet },
    /// The copy is mounted over the tree it was made of, and becomes the root; from here on every path is the jail's.
    EnterRoot { tree: HostPath, method: RootMethod },
    /// What `CloneTree` copied or `CreateFileSystem` made becomes visible at its target.
    AttachTree { target: JailPath },
    /// Nobody can read or write these any more: mounted over each is what is at `with`, or else what `CloneTree` copied for the first
    /// of them. They are named from the directory that holds them all, [`super::calls::place_of_cover`].
    Cover { with: Option<JailPath>, over: Vec<JailPath> },
    // Confine
    /// A resource limit, see setrlimit(2); `resource` is the kernel's name, `RLIMIT_NOFILE`.
    SetLimit { resource: &'static str, soft: Bound, hard: Bound },
    /// File mode creation mask.
    SetUmask { mask: Mode },
    /// Execution domain, see personality(2): flag names and their value.
    SetPersonality { flags: Vec<&'static str>, value: u64 },
    /// Scheduling priority.
    SetNice { nice: i32 },
    /// What the kernel keeps of the caller's being favoured, each back to its default.
    ResetScheduling { what: Vec<Scheduling> },
    /// The processors the jail may use.
    SetAffinity { processors: Vec<u32> },
    /// The Landlock ruleset is enforced.
    RestrictSelf,
    /// The jail's own user namespace: from here on no right counts outside it.
    EnterUserNamespace,
    /// Capabilities outside this set can never be had again.
    DropBounding { keep: CapabilitySet },
    /// What user id 0 means to the kernel, for good; and whether the next change of ids keeps capabilities.
    LockSecureBits { bits: SecureBits },
    /// Supplementary groups.
    SetGroups { groups: Vec<u32> },
    /// Real, effective and saved group id.
    SetGid { gid: u32 },
    /// Real, effective and saved user id.
    SetUid { uid: u32 },
    /// Effective, permitted and inheritable sets.
    SetCapabilities { set: CapabilitySet },
    /// Ambient set: what a program that is not root keeps across execve(2).
    SetAmbient { set: CapabilitySet },
    /// No program can gain rights by execve(2).
    NoNewPrivileges,
    /// The jail dies with its supervisor.
    DieWithParent,

    // Exec
    /// PID 1 forks the program's process and stays to reap; if it is filtered, it makes from then on only the calls that takes. It stays
    /// for as long as the program, or, for one that puts itself into the background, as any process. It passes standard input on if that
    /// is a pipe which the program could open again.
    ForkProgram { filtered: bool, forking: bool, passed: u32, input: bool },
    /// The program dies with the process that has joined a running jail for it.
    DieWithJoiner,
    /// Default signal dispositions, empty mask.
    ResetSignals,
    /// The program's own process group, in the foreground if it has a terminal (as this descriptor).
    NewProcessGroup { terminal: Option<i32> },
    /// Working directory.
    ChangeDirectory { path: JailPath },
    /// Ids, groups, capabilities, secure bits and no_new_privs read back and compared.
    Verify {
        uid: u32,
        gid: u32,
        groups: Option<Vec<u32>>,
        capabilities: CapabilitySet,
        secure_bits: SecureBits,
        no_new_privileges: bool,
    },
    /// Every descriptor above 2 but the one an error is reported to, which execve(2) closes.
    CloseDescriptors { passed: u32 },
    /// Which system calls the program may make. What allows it is no_new_privs, or else `CAP_SYS_ADMIN`, and then it comes before
    /// that is given up. The filter is asked at once whether it is there.
    FilterSystemCalls { filter: Filter, privileged: bool },
    /// The program.
    Execute { path: JailPath, arguments: Vec<OsString>, environment: Vec<(OsString, OsString)> },
}

/// Limits that are not a step of the child: kept by the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Watch {
    /// Wall time after which the jail is killed and the exit code is 124.
    pub runtime_max: Option<Duration>,
    /// Time on processors, of all processes together, after which it is.
    pub cpu_time_max: Option<Duration>,
    /// Bytes of standard output and error together, after which it is (exit code 153, as by SIGXFSZ).
    pub output_size: Option<u64>,
}

/// How a user interrupts what runs in a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// By SIGINT, which all of the terminal's job have got.
    Signal,
    /// By the key for it, which only the program has got, since its terminal is another.
    Key,
}

/// By what the time is measured that a jail has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The one on the wall.
    Wall,
    /// That of the processors, for all its processes together.
    Processors,
}

impl Clock {
    /// The limit by its key in a manifest.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Wall => "runtime_max",
            Self::Processors => "cpu_time_max",
        }
    }
}
