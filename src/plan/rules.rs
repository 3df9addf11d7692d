//! The rules of order, as data: what stands before what in every plan, and why. [`super::order`] holds plans against them.

use super::class::Class;
use super::order::Rule;

/// Short for a rule.
const fn rule(before: Class, after: Class, because: &'static str) -> Rule {
    Rule { before, after, because }
}

/// Every rule, roughly in the order of a run.
pub const RULES: &[Rule] = &[
    rule(Class::Clone, Class::Inside, "without the new namespaces it would happen to the host"),
    rule(
        Class::UserNamespaces,
        Class::Clone,
        "the jail's first process gets their descriptors by being a copy of the supervisor",
    ),
    rule(
        Class::ControlGroups,
        Class::Clone,
        "the jail's first process joins them by descriptors, which it gets by being a copy of the supervisor",
    ),
    rule(
        Class::Joining,
        Class::Joined,
        "what a process uses up before it joins is counted in the caller's group, and what it has made by then stays there",
    ),
    rule(
        Class::IdMaps,
        Class::Owning,
        "until the maps are written every id is the overflow id 65534: no other id can be taken on, and a new file system would have no owner (user_namespaces(7))",
    ),
    rule(Class::IdMaps, Class::Root, "they are written through the host's /proc, and the jail may have none"),
    rule(
        Class::IdMaps,
        Class::Undumpable,
        "/proc/self/uid_map of undumpable memory belongs to root, so an ordinary user could not open it any more (proc(5))",
    ),
    rule(
        Class::IdMaps,
        Class::Connection,
        "pasta(1) enters the user namespace, where it has no id until the maps are written",
    ),
    rule(
        Class::Connection,
        Class::Undumpable,
        "the supervisor opens /proc/PID/ns/net, which of a process with undumpable memory no ordinary user may (namespaces(7))",
    ),
    rule(
        Class::NamespaceLimits,
        Class::Root,
        "it is written through the host's /proc: the jail's is read-only, or there is none",
    ),
    rule(
        Class::NamespaceLimits,
        Class::Capabilities,
        "setting a limit in /proc/sys/user needs CAP_SYS_RESOURCE in the user namespace it is for",
    ),
    rule(
        Class::OomScore,
        Class::Undumpable,
        "/proc/self/oom_score_adj of undumpable memory belongs to root, so an ordinary user could not open it any more (proc(5))",
    ),
    rule(
        Class::OomScore,
        Class::Root,
        "the jail's own /proc may be read-only, reduced or absent; the host's is not",
    ),
    rule(
        Class::Propagation,
        Class::Mounting,
        "a mount made or copied while propagation is shared appears on the host as well, and pivot_root(2) refuses a shared parent",
    ),
    rule(
        Class::Source,
        Class::Root,
        "a host's path has its meaning only while the host's tree is the root; a descriptor keeps it afterwards",
    ),
    rule(Class::RootTree, Class::Root, "the new root has to be a mount of its own (pivot_root(2))"),
    rule(
        Class::Root,
        Class::Attach,
        "a target looked up in the host's tree can be led out of the jail by a symbolic link planted in it (CVE-2021-30465)",
    ),
    rule(Class::Proc, Class::ProcMask, "a new /proc mounted on top would uncover what was covered"),
    rule(Class::Sys, Class::SysMask, "a new /sys mounted on top would uncover what was covered"),
    rule(
        Class::Network,
        Class::NewSys,
        "a new /sys shows the network devices of the namespace it is made in (sysfs(5))",
    ),
    rule(Class::Ruleset, Class::Rule, "a rule is added to a ruleset"),
    rule(
        Class::Source,
        Class::Rule,
        "a rule names a file by the descriptor of its mount: no path is looked up that could lead elsewhere",
    ),
    rule(Class::Rule, Class::Root, "the descriptors of the mounts are closed as they are put in place"),
    rule(
        Class::Standard,
        Class::Rule,
        "a rule for a standard descriptor is about the file behind it: made before the descriptor is replaced it would allow the caller's own",
    ),
    rule(
        Class::Rule,
        Class::Landlock,
        "the domain is a copy of the ruleset: a rule added later would allow nothing (landlock_restrict_self(2))",
    ),
    rule(
        Class::Mounting,
        Class::Landlock,
        "a process in a Landlock domain can neither mount nor change its root, whatever capability it has (landlock(7))",
    ),
    rule(
        Class::Landlock,
        Class::Ids,
        "without no_new_privs landlock_restrict_self(2) needs CAP_SYS_ADMIN, which leaves with uid 0",
    ),
    rule(
        Class::Landlock,
        Class::Capabilities,
        "without no_new_privs landlock_restrict_self(2) needs CAP_SYS_ADMIN, which capset(2) takes away",
    ),
    rule(Class::Source, Class::Furnishing, "there has to be a file system to make it in"),
    rule(
        Class::IdMaps,
        Class::Furnishing,
        "until the maps are written whoever makes a file has no id to own it by (user_namespaces(7))",
    ),
    rule(Class::Furnishing, Class::Sealing, "nothing can be made where nothing can be written"),
    rule(
        Class::Sealing,
        Class::Root,
        "it is reached by its descriptor: in a root that can be written somebody could have put another in its place",
    ),
    rule(
        Class::Furnishing,
        Class::Attach,
        "once mounts are attached a path in it may lead to what is mounted there",
    ),
    rule(Class::Source, Class::Listener, "the socket is made in a file system that has to be there"),
    rule(
        Class::Listener,
        Class::Root,
        "it is named from within its file system, and the change of root puts the first process elsewhere",
    ),
    rule(
        Class::Listener,
        Class::Attach,
        "once it is mounted the file system is to be read-only, with the socket in it",
    ),
    rule(
        Class::Session,
        Class::Terminal,
        "only the leader of a session without a terminal can take one (TIOCSCTTY in ioctl_tty(2))",
    ),
    rule(
        Class::Keyring,
        Class::Ids,
        "a keyring made by the jail's user counts against that user's few (keyrings(7)), one made by root does not",
    ),
    rule(
        Class::Limits,
        Class::Ids,
        "raising a hard limit needs CAP_SYS_RESOURCE and a negative nice value CAP_SYS_NICE, which leave with uid 0",
    ),
    rule(
        Class::Limits,
        Class::Capabilities,
        "a jail whose program stays root loses the capabilities they may need by capset(2)",
    ),
    rule(Class::Mounting, Class::Ids, "every mount call needs CAP_SYS_ADMIN, which leaves with uid 0"),
    rule(
        Class::Mounting,
        Class::Capabilities,
        "a jail whose program stays root loses CAP_SYS_ADMIN by capset(2), and with it every mount call",
    ),
    rule(
        Class::Limits,
        Class::Entering,
        "raising a hard limit needs CAP_SYS_RESOURCE, and a negative nice value CAP_SYS_NICE, in the host's own user namespace",
    ),
    rule(
        Class::Mounting,
        Class::Entering,
        "the mounts belong to the host's own user namespace, in which nobody inside has a right: so they stay as they are, whatever capabilities the program has",
    ),
    rule(
        Class::HostName,
        Class::Entering,
        "the UTS namespace belongs to the host's own user namespace, and sethostname(2) needs CAP_SYS_ADMIN there",
    ),
    rule(
        Class::Entering,
        Class::Credentials,
        "who enters a user namespace has every capability in it and the whole bounding set, and ids have another meaning there: what was given up before would be back",
    ),
    rule(Class::Bounding, Class::Ids, "PR_CAPBSET_DROP needs CAP_SETPCAP, which leaves with uid 0"),
    rule(
        Class::Bounding,
        Class::Capabilities,
        "PR_CAPBSET_DROP needs CAP_SETPCAP, which capset(2) takes away",
    ),
    rule(
        Class::SecureBits,
        Class::Ids,
        "PR_SET_SECUREBITS needs CAP_SETPCAP, which leaves with uid 0; and what is to be kept over that change has to be said before it",
    ),
    rule(
        Class::SecureBits,
        Class::Capabilities,
        "PR_SET_SECUREBITS needs CAP_SETPCAP, which capset(2) takes away",
    ),
    rule(
        Class::Groups,
        Class::Gid,
        "the kernel would take either order, but the list is what gets forgotten: groups, gid, uid is the order every reader checks for",
    ),
    rule(
        Class::Groups,
        Class::Uid,
        "setgroups(2) needs CAP_SETGID, which leaves with uid 0: the supplementary groups of root would stay",
    ),
    rule(Class::Gid, Class::Uid, "setresgid(2) needs CAP_SETGID, which leaves with uid 0: gid 0 would stay"),
    rule(
        Class::Ids,
        Class::Capabilities,
        "changing ids needs CAP_SETUID and CAP_SETGID, and leaving uid 0 empties the effective set that capset(2) is to fill",
    ),
    rule(Class::Uid, Class::Ambient, "leaving uid 0 empties the ambient set (capabilities(7))"),
    rule(
        Class::Capabilities,
        Class::Ambient,
        "only what is permitted and inheritable can be raised to ambient (PR_CAP_AMBIENT in prctl(2))",
    ),
    rule(
        Class::Ids,
        Class::ParentDeath,
        "a change of effective ids clears the parent-death signal (PR_SET_PDEATHSIG in prctl(2))",
    ),
    rule(
        Class::ParentDeath,
        Class::Fork,
        "a child does not inherit it: it is PID 1, the supervisor's own child, that has to die, and the kernel kills the rest",
    ),
    rule(
        Class::Fork,
        Class::JoinerDeath,
        "a child does not inherit it, and no end of a PID namespace ends the one without the other",
    ),
    rule(
        Class::Standard,
        Class::JoiningJail,
        "the caller's files and terminal are the host's: paths of the jail lead elsewhere",
    ),
    rule(
        Class::OomScore,
        Class::JoiningJail,
        "the jail's own /proc may be read-only, reduced or absent; the host's is not",
    ),
    rule(
        Class::Joining,
        Class::JoiningJail,
        "they are joined through the host's cgroup file systems, of which a jail has none",
    ),
    rule(
        Class::JoiningJail,
        Class::Rule,
        "a rule names a mount of the jail's, which is found only in its mount namespace",
    ),
    rule(
        Class::JoiningJail,
        Class::Confinement,
        "joining namespaces needs rights over them, which are given up",
    ),
    rule(
        Class::Undumpable,
        Class::Fork,
        "from the fork on the program lives beside PID 1 under the same user id and could trace it",
    ),
    rule(
        Class::Confinement,
        Class::Fork,
        "PID 1 is to keep no right that the program has not: what is dropped after the fork is dropped by one of the two only",
    ),
    rule(
        Class::Fork,
        Class::Signals,
        "PID 1 goes on with every signal blocked and reads them from a descriptor; only the program gets the defaults",
    ),
    rule(
        Class::Fork,
        Class::ProcessGroup,
        "a session leader, as PID 1 may be, cannot change its process group (EPERM in setpgid(2))",
    ),
    rule(
        Class::Foreground,
        Class::Signals,
        "tcsetpgrp(3) from a background group stops the caller by SIGTTOU unless that signal is blocked",
    ),
    rule(
        Class::Root,
        Class::Directory,
        "a working directory outside the new root is the classic way out of chroot(2)",
    ),
    rule(
        Class::Confinement,
        Class::Directory,
        "with root's rights it could be a directory that the program's user may not enter",
    ),
    rule(
        Class::Directory,
        Class::Verify,
        "a working directory outside the root is noticed there (CVE-2024-21626)",
    ),
    rule(Class::Confinement, Class::Verify, "what is read back must be what the program will have"),
    rule(
        Class::Opening,
        Class::Close,
        "a descriptor opened afterwards would not be closed (CVE-2024-21626 was one that stayed)",
    ),
    rule(
        Class::Close,
        Class::Directory,
        "a link that a jailed root left in its tree may lead to /proc/self/fd: whatever of the host is still open there would become the working directory (CVE-2024-21626)",
    ),
    rule(
        Class::NoNewPrivileges,
        Class::Filter,
        "seccomp(2) takes a filter only from who has CAP_SYS_ADMIN or can gain no rights any more: a setuid program could be misled by one",
    ),
    rule(
        Class::Entering,
        Class::PrivilegedFilter,
        "a filter that lets nobody change namespaces refuses setns(2)",
    ),
    rule(
        Class::PrivilegedFilter,
        Class::Ids,
        "without no_new_privs a filter needs CAP_SYS_ADMIN, which leaves with uid 0",
    ),
    rule(
        Class::PrivilegedFilter,
        Class::Capabilities,
        "without no_new_privs a filter needs CAP_SYS_ADMIN, which capset(2) takes away",
    ),
    rule(
        Class::BeforeFilter,
        Class::Filter,
        "what comes after it is held by it, and the program may be forbidden what the set-up needs",
    ),
    rule(
        Class::BeforeExecute,
        Class::Execute,
        "execve(2) replaces the process: nothing of ours runs after it",
    ),
];
