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
    /// The end of further user namespaces.
    NoMoreUserNamespaces,
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

impl Class {
    /// How many there are.
    pub(super) const COUNT: usize = Self::Execute as usize + 1;

    /// Whether an action belongs to it.
    #[allow(clippy::too_many_lines, reason = "a table: one line a class")]
    pub fn has(self, action: &Action) -> bool {
        use Action as A;
        match self {
            Self::Clone => matches!(action, A::Clone { .. }),
            Self::UserNamespaces => matches!(action, A::MakeUserNamespace { .. }),
            Self::ControlGroups => matches!(action, A::MakeControlGroups { .. }),
            Self::Joining => {
                matches!(action, A::EnterControlGroups { .. } | A::JoinControlGroups { .. })
            }
            Self::Joined => Self::Inside.has(action) && !Self::Joining.has(action),
            Self::Inside => {
                let outside = [Self::Clone, Self::UserNamespaces, Self::ControlGroups];
                !on_disk(action) && !outside.iter().any(|class| class.has(action))
            }
            Self::IdMaps => matches!(action, A::MapIds { .. } | A::GrantIds { .. }),
            Self::NoMoreUserNamespaces => matches!(action, A::ForbidUserNamespaces),
            Self::Owning => {
                matches!(action, A::CreateFileSystem { .. } | A::CreateOverlay { .. })
                    || Self::Groups.has(action)
                    || Self::Ids.has(action)
            }
            Self::Propagation => matches!(action, A::MakePrivate),
            Self::Mounting => {
                [Self::Source, Self::RootTree, Self::Root, Self::Attach].iter().any(|class| class.has(action))
            }
            Self::Source => {
                matches!(
                    action,
                    A::CloneTree { .. }
                        | A::CreateFileSystem { .. }
                        | A::CreateOverlay { .. }
                        | A::ReopenDescriptor { .. }
                )
            }
            Self::Standard => {
                matches!(
                    action,
                    A::AttachTerminal { .. } | A::ReopenDescriptor { .. } | A::RelayOutput { .. }
                )
            }
            Self::RootTree => match action {
                A::CreateFileSystem { target, .. } => target.parent().is_none(),
                _ => matches!(action, A::CloneRoot { .. }),
            },
            Self::Furnishing => matches!(action, A::Furnish { .. }),
            Self::Sealing => matches!(action, A::Seal { .. }),
            Self::Listener => matches!(action, A::Listen { .. }),
            Self::Root => matches!(action, A::EnterRoot { .. }),
            Self::Ruleset => matches!(action, A::CreateRuleset { .. }),
            Self::Rule => matches!(action, A::AllowAccess { .. }),
            Self::Landlock => matches!(action, A::RestrictSelf),
            Self::Attach => !targets(action).is_empty(),
            Self::Connection => matches!(action, A::ConnectNetwork { .. }),
            Self::Network => matches!(action, A::LoopbackUp | A::EnterNetwork),
            Self::NewSys => matches!(action, A::CreateFileSystem { kind: "sysfs", .. }),
            Self::Sys => attaches(action, "/sys"),
            Self::SysMask => attaches_below(action, "/sys"),
            Self::Proc => attaches(action, "/proc"),
            Self::ProcMask => attaches_below(action, "/proc"),
            Self::Session => matches!(action, A::NewSession),
            Self::Keyring => matches!(action, A::NewKeyring),
            Self::Terminal => matches!(action, A::AttachTerminal { .. }),
            Self::OomScore => matches!(action, A::SetOomScore { .. }),
            Self::Undumpable => matches!(action, A::SetUndumpable),
            Self::HostName => matches!(action, A::SetHostname { .. }),
            Self::JoiningJail => matches!(action, A::JoinNamespaces { .. }),
            Self::Entering => matches!(action, A::EnterUserNamespace),
            Self::Limits => matches!(
                action,
                A::SetLimit { .. } | A::SetNice { .. } | A::SetOomScore { .. } | A::ResetScheduling { .. }
            ),
            Self::Bounding => matches!(action, A::DropBounding { .. }),
            Self::SecureBits => matches!(action, A::LockSecureBits { .. }),
            Self::Groups => matches!(action, A::SetGroups { .. }),
            Self::Gid => matches!(action, A::SetGid { .. }),
            Self::Uid => matches!(action, A::SetUid { .. }),
            Self::Ids => matches!(action, A::SetGid { .. } | A::SetUid { .. }),
            Self::Capabilities => matches!(action, A::SetCapabilities { .. }),
            Self::Ambient => matches!(action, A::SetAmbient { .. }),
            Self::NoNewPrivileges => matches!(action, A::NoNewPrivileges),
            Self::Credentials => {
                let classes = [
                    Self::Bounding,
                    Self::SecureBits,
                    Self::Groups,
                    Self::Ids,
                    Self::Capabilities,
                    Self::Ambient,
                ];
                classes.iter().any(|class| class.has(action))
            }
            Self::Confinement => {
                let classes = [Self::Landlock, Self::Credentials, Self::NoNewPrivileges];
                classes.iter().any(|class| class.has(action))
            }
            Self::ParentDeath => matches!(action, A::DieWithParent),
            Self::JoinerDeath => matches!(action, A::DieWithJoiner),
            Self::Fork => matches!(action, A::ForkProgram { .. }),
            Self::ProcessGroup => matches!(action, A::NewProcessGroup { .. }),
            Self::Foreground => matches!(action, A::NewProcessGroup { terminal: Some(_) }),
            Self::Signals => matches!(action, A::ResetSignals),
            Self::Directory => matches!(action, A::ChangeDirectory { .. }),
            Self::Verify => matches!(action, A::Verify { .. }),
            Self::Close => matches!(action, A::CloseDescriptors { .. }),
            Self::Opening => {
                let classes = [
                    Self::IdMaps,
                    Self::NoMoreUserNamespaces,
                    Self::OomScore,
                    Self::Standard,
                    Self::Mounting,
                    Self::Ruleset,
                ];
                classes.iter().any(|class| class.has(action))
                    || matches!(
                        action,
                        A::Furnish { .. }
                            | A::LoopbackUp
                            | A::EnterNetwork
                            | A::EnterUserNamespace
                            | A::JoinNamespaces { .. }
                    )
            }
            Self::Filter => matches!(action, A::FilterSystemCalls { privileged: false, .. }),
            Self::PrivilegedFilter => matches!(action, A::FilterSystemCalls { privileged: true, .. }),
            Self::BeforeFilter => Self::BeforeExecute.has(action) && !Self::Filter.has(action),
            Self::BeforeExecute => !on_disk(action) && !Self::Execute.has(action),
            Self::Execute => matches!(action, A::Execute { .. }),
        }
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
            Self::NoMoreUserNamespaces => "the end of further user namespaces",
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

/// Whether it makes one visible below.
fn attaches_below(action: &Action, place: &str) -> bool {
    targets(action).iter().any(|path| path.as_path().starts_with(place)) && !attaches(action, place)
}

/// Where an action makes a mount visible.
pub(super) fn targets(action: &Action) -> &[JailPath] {
    match action {
        Action::AttachTree { target } => std::slice::from_ref(target),
        Action::Cover { over, .. } => over,
        _ => &[],
    }
}
