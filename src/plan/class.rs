//! Kinds of actions, as far as their order is concerned: what the rules of [`super::order`] speak of.

use std::path::Path;

use super::JailPath;
use super::step::Action;

/// A set of actions that a rule speaks of. An action may be in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// clone(2) with the new namespaces.
    Clone,
    /// User namespaces made beforehand.
    UserNamespaces,
    /// Control groups made beforehand.
    ControlGroups,
    /// The jail's first process joining them.
    Joining,
    /// What follows that.
    Joined,
    /// Everything a process of the jail does.
    Inside,
    /// The id maps of a user namespace.
    IdMaps,
    /// Limits of the user namespace.
    NamespaceLimits,
    /// What takes on an id, or needs one to own what it makes.
    Owning,
    /// Propagation made private.
    Propagation,
    /// Everything that makes, moves or copies a mount.
    Mounting,
    /// A host's tree copied by descriptor, to be shown inside.
    Source,
    /// The jail's own tree, copied and mounted.
    RootTree,
    /// What is made in a file system of the jail's own.
    Furnishing,
    /// Its being made read-only.
    Sealing,
    /// The socket of the log.
    Listener,
    /// The change of root.
    Root,
    /// A mount becoming visible at a path of the jail.
    Attach,
    /// Standard descriptors becoming others.
    Standard,
    /// The Landlock ruleset.
    Ruleset,
    /// A rule of it.
    Rule,
    /// Its being enforced.
    Landlock,
    /// The way out of the jail's network.
    Connection,
    /// The network namespace, entered or with `lo` up.
    Network,
    /// A new /sys in the making.
    NewSys,
    /// A new /sys.
    Sys,
    /// What is mounted on something below /sys.
    SysMask,
    /// A new /proc.
    Proc,
    /// What is mounted on something below /proc.
    ProcMask,
    /// A session of its own.
    Session,
    /// The session keyring.
    Keyring,
    /// The program's terminal.
    Terminal,
    /// The out-of-memory score.
    OomScore,
    /// Memory made undumpable.
    Undumpable,
    /// The host name.
    HostName,
    /// The jail's own user namespace being entered.
    Entering,
    /// Joining a running jail.
    JoiningJail,
    /// Limits and priorities whose raising needs a capability.
    Limits,
    /// The bounding set.
    Bounding,
    /// The secure bits.
    SecureBits,
    /// Supplementary groups.
    Groups,
    /// Group ids.
    Gid,
    /// User ids.
    Uid,
    /// Group or user ids.
    Ids,
    /// Capability sets.
    Capabilities,
    /// Ambient capabilities.
    Ambient,
    /// no_new_privs.
    NoNewPrivileges,
    /// Ids, groups and capabilities.
    Credentials,
    /// Everything that takes a right away for good.
    Confinement,
    /// The parent-death signal.
    ParentDeath,
    /// The same for a program whose parent stands outside its PID namespace.
    JoinerDeath,
    /// The fork of the program's process.
    Fork,
    /// A process group for the program.
    ProcessGroup,
    /// That group taking the terminal's foreground.
    Foreground,
    /// Default dispositions and an empty mask.
    Signals,
    /// The working directory.
    Directory,
    /// Reading back what the kernel holds.
    Verify,
    /// Closing descriptors.
    Close,
    /// What opens a descriptor or needs one.
    Opening,
    /// The program's filter of system calls, where no_new_privs allows it.
    Filter,
    /// The same, where `CAP_SYS_ADMIN` does.
    PrivilegedFilter,
    /// All but filtering and executing.
    BeforeFilter,
    /// All but executing.
    BeforeExecute,
    /// execve(2).
    Execute,
}

/// Some classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Classes(u128);

impl Classes {
    /// The members of a list.
    const fn of(mut list: &[Class]) -> Self {
        let mut bits = 0;
        while let [class, rest @ ..] = list {
            bits |= class.bit();
            list = rest;
        }
        Self(bits)
    }

    /// Both.
    const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether they have one in common.
    const fn meets(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// The number of each, by which a table may know it.
    pub(super) fn numbers(self) -> impl Iterator<Item = usize> {
        let mut bits = self.0;
        std::iter::from_fn(move || {
            let number = bits.trailing_zeros() as usize;
            bits &= bits.checked_sub(1)?;
            Some(number)
        })
    }
}

/// Classes that are made of others. Each of these comes before it.
const WIDER: [(Class, Classes); 6] = [
    (Class::Ids, Classes::of(&[Class::Gid, Class::Uid])),
    (Class::Owning, Classes::of(&[Class::Groups, Class::Ids])),
    (Class::Mounting, Classes::of(&[Class::Source, Class::RootTree, Class::Root, Class::Attach])),
    (
        Class::Credentials,
        Classes::of(&[
            Class::Bounding,
            Class::SecureBits,
            Class::Groups,
            Class::Ids,
            Class::Capabilities,
            Class::Ambient,
        ]),
    ),
    (Class::Confinement, Classes::of(&[Class::Landlock, Class::Credentials, Class::NoNewPrivileges])),
    (
        Class::Opening,
        Classes::of(&[
            Class::IdMaps,
            Class::NamespaceLimits,
            Class::OomScore,
            Class::Standard,
            Class::Mounting,
            Class::Ruleset,
            Class::Furnishing,
            Class::Network,
            Class::Entering,
            Class::JoiningJail,
        ]),
    ),
];

/// What happens in no process of the jail.
const OUTSIDE: Classes = Classes::of(&[Class::Clone, Class::UserNamespaces, Class::ControlGroups]);

impl Class {
    /// How many there are.
    pub(super) const COUNT: usize = Self::Execute as usize + 1;

    /// Its place in a set.
    const fn bit(self) -> u128 {
        1 << self as u32
    }

    /// Whether an action belongs to it.
    pub fn has(self, action: &Action) -> bool {
        Self::all_of(action).meets(Classes::of(&[self]))
    }

    /// All that an action belongs to.
    pub(super) fn all_of(action: &Action) -> Classes {
        if on_disk(action) {
            return Classes::of(&[]);
        }
        let mut all = Self::own_of(action);
        for (wider, narrower) in WIDER {
            if all.meets(narrower) {
                all = all.with(Classes::of(&[wider]));
            }
        }
        let unless = |other: Classes, class| {
            if all.meets(other) { Classes::of(&[]) } else { Classes::of(&[class]) }
        };
        let joining = Classes::of(&[Self::Joining]);
        let execution = Classes::of(&[Self::Execute]);
        let inside = unless(OUTSIDE, Self::Inside).with(unless(OUTSIDE.with(joining), Self::Joined));
        let filtering = Classes::of(&[Self::Filter]);
        let before = unless(execution, Self::BeforeExecute)
            .with(unless(execution.with(filtering), Self::BeforeFilter));
        all.with(inside).with(before)
    }

    /// Those that it belongs to by what it is, which no other class tells.
    #[allow(clippy::too_many_lines, reason = "a table: one line an action")]
    fn own_of(action: &Action) -> Classes {
        use Action as A;
        let own: &[Self] = match action {
            A::MakeDirectory { .. }
            | A::CopyFile { .. }
            | A::UnpackFile { .. }
            | A::MakeHardLink { .. }
            | A::MakeSymlink { .. }
            | A::WriteFile { .. }
            | A::MakeDevice { .. }
            | A::SetUmask { .. }
            | A::SetPersonality { .. }
            | A::SetAffinity { .. } => &[],
            A::MakeControlGroups { .. } => &[Self::ControlGroups],
            A::MakeUserNamespace { .. } => &[Self::UserNamespaces],
            A::Clone { .. } => &[Self::Clone],
            A::EnterControlGroups { .. } | A::JoinControlGroups { .. } => &[Self::Joining],
            A::MapIds { .. } | A::GrantIds { .. } => &[Self::IdMaps],
            A::ForbidUserNamespaces | A::LimitInotify => &[Self::NamespaceLimits],
            A::MakePrivate => &[Self::Propagation],
            A::NewSession => &[Self::Session],
            A::NewKeyring => &[Self::Keyring],
            A::SetUndumpable => &[Self::Undumpable],
            A::AttachTerminal { .. } => &[Self::Terminal, Self::Standard],
            A::JoinNamespaces { .. } => &[Self::JoiningJail],
            A::ConnectNetwork { .. } => &[Self::Connection],
            A::EnterNetwork | A::LoopbackUp => &[Self::Network],
            A::SetHostname { .. } => &[Self::HostName],
            A::SetOomScore { .. } => &[Self::OomScore, Self::Limits],
            A::CloneTree { .. } => &[Self::Source],
            A::CreateFileSystem { kind, target, .. } => match (*kind, target.parent()) {
                ("sysfs", None) => &[Self::Source, Self::Owning, Self::NewSys, Self::RootTree],
                ("sysfs", Some(_)) => &[Self::Source, Self::Owning, Self::NewSys],
                (_, None) => &[Self::Source, Self::Owning, Self::RootTree],
                (_, Some(_)) => &[Self::Source, Self::Owning],
            },
            A::CreateOverlay { .. } => &[Self::Source, Self::Owning],
            A::CloneRoot { .. } => &[Self::RootTree],
            A::Furnish { .. } => &[Self::Furnishing],
            A::Seal { .. } => &[Self::Sealing],
            A::ReopenDescriptor { .. } => &[Self::Source, Self::Standard],
            A::RelayOutput { .. } => &[Self::Standard],
            A::Listen { .. } => &[Self::Listener],
            A::CreateRuleset { .. } => &[Self::Ruleset],
            A::AllowAccess { .. } => &[Self::Rule],
            A::EnterRoot { .. } => &[Self::Root],
            A::AttachTree { .. } | A::Cover { .. } => return Self::of_mount(action),
            A::SetLimit { .. } | A::SetNice { .. } | A::ResetScheduling { .. } => &[Self::Limits],
            A::RestrictSelf => &[Self::Landlock],
            A::EnterUserNamespace => &[Self::Entering],
            A::DropBounding { .. } => &[Self::Bounding],
            A::LockSecureBits { .. } => &[Self::SecureBits],
            A::SetGroups { .. } => &[Self::Groups],
            A::SetGid { .. } => &[Self::Gid],
            A::SetUid { .. } => &[Self::Uid],
            A::SetCapabilities { .. } => &[Self::Capabilities],
            A::SetAmbient { .. } => &[Self::Ambient],
            A::NoNewPrivileges => &[Self::NoNewPrivileges],
            A::DieWithParent => &[Self::ParentDeath],
            A::ForkProgram { .. } => &[Self::Fork],
            A::DieWithJoiner => &[Self::JoinerDeath],
            A::ResetSignals => &[Self::Signals],
            A::NewProcessGroup { terminal: Some(_) } => &[Self::ProcessGroup, Self::Foreground],
            A::NewProcessGroup { terminal: None } => &[Self::ProcessGroup],
            A::ChangeDirectory { .. } => &[Self::Directory],
            A::Verify { .. } => &[Self::Verify],
            A::CloseDescriptors { .. } => &[Self::Close],
            A::FilterSystemCalls { privileged: false, .. } => &[Self::Filter],
            A::FilterSystemCalls { privileged: true, .. } => &[Self::PrivilegedFilter],
            A::Execute { .. } => &[Self::Execute],
        };
        Classes::of(own)
    }

    /// Those of what makes mounts visible, by where.
    fn of_mount(action: &Action) -> Classes {
        let mut all = Classes::of(if targets(action).is_empty() { &[] } else { &[Self::Attach] });
        for (place, whole, part) in
            [("/sys", Self::Sys, Self::SysMask), ("/proc", Self::Proc, Self::ProcMask)]
        {
            if attaches(action, place) {
                all = all.with(Classes::of(&[whole]));
            } else if targets(action).iter().any(|path| path.as_path().starts_with(place)) {
                all = all.with(Classes::of(&[part]));
            }
        }
        all
    }

    /// What it is, to stand after "before" or "after".
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clone => "clone(2)",
            Self::UserNamespaces => "making the user namespaces",
            Self::ControlGroups => "making the control groups",
            Self::Joining => "joining the control groups",
            Self::Joined => "everything else inside",
            Self::Inside => "everything inside",
            Self::IdMaps => "the id maps",
            Self::NamespaceLimits => "the limits of the user namespace",
            Self::Owning => "whatever takes an id",
            Self::Propagation => "private propagation",
            Self::Mounting => "the mount calls",
            Self::Source => "copying what comes from the host",
            Self::RootTree => "mounting the tree",
            Self::Furnishing => "making what is in a file system of the jail's own",
            Self::Sealing => "making that read-only",
            Self::Listener => "a socket of the supervisor's",
            Self::Root => "the change of root",
            Self::Attach => "mounting at a path of the jail",
            Self::Standard => "replacing standard descriptors",
            Self::Ruleset => "the Landlock ruleset",
            Self::Rule => "the rules of Landlock",
            Self::Landlock => "enforcing Landlock",
            Self::Connection => "the jail's way out",
            Self::Network => "the jail's network",
            Self::NewSys => "making /sys",
            Self::Sys => "mounting /sys",
            Self::SysMask => "covering parts of /sys",
            Self::Proc => "mounting /proc",
            Self::ProcMask => "covering parts of /proc",
            Self::Session => "the new session",
            Self::Keyring => "the new session keyring",
            Self::Terminal => "the terminal",
            Self::OomScore => "the out-of-memory score",
            Self::Undumpable => "making memory undumpable",
            Self::HostName => "the host name",
            Self::JoiningJail => "joining the namespaces of a running jail",
            Self::Entering => "entering the jail's user namespace",
            Self::Limits => "limits, priority and out-of-memory score",
            Self::Bounding => "the bounding set",
            Self::SecureBits => "the secure bits",
            Self::Groups => "the supplementary groups",
            Self::Gid => "the group ids",
            Self::Uid => "the user ids",
            Self::Ids => "the user and group ids",
            Self::Capabilities => "the capability sets",
            Self::Ambient => "the ambient set",
            Self::NoNewPrivileges => "no_new_privs",
            Self::Credentials => "ids, groups and capabilities",
            Self::Confinement => "everything that takes rights away",
            Self::ParentDeath => "the parent-death signal",
            Self::JoinerDeath => "the parent-death signal of a program that has joined",
            Self::Fork => "the fork",
            Self::ProcessGroup => "the process group",
            Self::Foreground => "taking the foreground",
            Self::Signals => "resetting signals",
            Self::Directory => "the working directory",
            Self::Verify => "reading back",
            Self::Close => "closing descriptors",
            Self::Opening => "whatever opens a descriptor",
            Self::Filter => "the filter of system calls",
            Self::PrivilegedFilter => "the filter of system calls, installed with CAP_SYS_ADMIN",
            Self::BeforeFilter | Self::BeforeExecute => "everything else",
            Self::Execute => "execve(2)",
        }
    }
}

/// Whether an action is one of the build.
pub(super) fn on_disk(action: &Action) -> bool {
    use Action as A;
    matches!(
        action,
        A::MakeDirectory { .. }
            | A::CopyFile { .. }
            | A::UnpackFile { .. }
            | A::MakeHardLink { .. }
            | A::MakeSymlink { .. }
            | A::WriteFile { .. }
            | A::MakeDevice { .. }
    )
}

/// Whether an action makes a mount visible at just this path.
fn attaches(action: &Action, place: &str) -> bool {
    matches!(action, Action::AttachTree { target } if target.as_path() == Path::new(place))
}

/// Where an action makes a mount visible.
pub(super) fn targets(action: &Action) -> &[JailPath] {
    match action {
        Action::AttachTree { target } => std::slice::from_ref(target),
        Action::Cover { over, .. } => over,
        _ => &[],
    }
}
