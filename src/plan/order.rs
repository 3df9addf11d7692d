//! The rules of order between the steps of a plan, as data, each with its reason. [`check`] holds every plan against them and
//! `explain` quotes them: the order cannot drift from its reasons.

use std::fmt;

pub use super::class::Class;
use super::class::{on_disk, targets};
use super::step::{Action, Step};
use super::{JailPath, Phase};

/// One rule: whatever is in `before` stands before whatever is in `after`.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// What comes first.
    pub before: Class,
    /// What comes later.
    pub after: Class,
    /// Why, as the end of a sentence: "…, because …".
    pub because: &'static str,
}

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
        Class::NoMoreUserNamespaces,
        Class::Root,
        "it is written through the host's /proc: the jail's is read-only, or there is none",
    ),
    rule(
        Class::NoMoreUserNamespaces,
        Class::Capabilities,
        "lowering user.max_user_namespaces needs CAP_SYS_RESOURCE in the user namespace it is for",
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

/// Why the target of a mount must not lie above that of an earlier one.
const HIDES: &str = "a mount hides what was mounted below it before";

/// On which side of a rule an action stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It comes first.
    Before,
    /// It comes later.
    After,
}

/// The rules an action is bound by, with its side of each.
pub fn rules_for(action: &Action) -> impl Iterator<Item = (Side, &'static Rule)> {
    RULES.iter().filter_map(move |rule| {
        if rule.before.has(action) {
            Some((Side::Before, rule))
        } else {
            rule.after.has(action).then_some((Side::After, rule))
        }
    })
}

/// A plan whose steps stand in a wrong order: a mistake of whoever made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A step belongs to an earlier phase than the one before it.
    Phase {
        /// Its index.
        at: usize,
    },
    /// A step of the build in a phase that runs, or the other way round.
    Foreign {
        /// Its index.
        at: usize,
    },
    /// A step stands after one it must stand before.
    Order {
        /// Index of the step that is too late.
        late: usize,
        /// Index of the step it must precede.
        early: usize,
        /// The rule they break.
        rule: &'static Rule,
    },
    /// A mount covers an earlier one.
    Hidden {
        /// Index of the mount on top.
        late: usize,
        /// Index of the mount that disappears.
        early: usize,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phase { at } => write!(f, "step {} belongs to an earlier phase", at + 1),
            Self::Foreign { at } => write!(f, "step {} does not belong to its phase", at + 1),
            Self::Order { late, early, rule } => write!(
                f,
                "step {} ({}) must come before step {} ({}), because {}",
                late + 1,
                rule.before.name(),
                early + 1,
                rule.after.name(),
                rule.because
            ),
            Self::Hidden { late, early } => {
                write!(f, "step {} must come before step {}, because {HIDES}", late + 1, early + 1)
            }
        }
    }
}

impl std::error::Error for Violation {}

/// Holds the steps of a plan against every rule; tells the first one broken.
pub fn check(steps: &[Step]) -> Result<(), Violation> {
    if let Some(at) = steps.windows(2).position(|pair| pair[1].phase < pair[0].phase) {
        return Err(Violation::Phase { at: at + 1 });
    }
    if let Some(at) = steps.iter().position(|step| on_disk(&step.action) != (step.phase == Phase::Build)) {
        return Err(Violation::Foreign { at });
    }
    let run = || steps.iter().enumerate().filter(|(_, step)| step.phase != Phase::Build);
    for rule in RULES {
        let Some((early, _)) = run().find(|(_, step)| rule.after.has(&step.action)) else { continue };
        if let Some((late, _)) =
            run().skip_while(|(at, _)| *at <= early).find(|(_, s)| rule.before.has(&s.action))
        {
            return Err(Violation::Order { late, early, rule });
        }
    }
    let mut mounted: Vec<(usize, &JailPath)> = Vec::new();
    let mounts = run().flat_map(|(at, step)| targets(&step.action).iter().map(move |path| (at, path)));
    for (late, path) in mounts {
        if let Some((early, _)) = mounted.iter().find(|(_, earlier)| earlier.starts_with(path)) {
            return Err(Violation::Hidden { late, early: *early });
        }
        mounted.push((late, path));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_good_order_breaks_no_rule() {
        let mut steps: Vec<Step> =
            sample::build().into_iter().map(|action| sample::step(Phase::Build, action)).collect();
        steps.extend(sample::run());
        assert_eq!(check(&steps), Ok(()));
    }

    #[test]
    fn every_rule_can_be_broken() {
        let mut all: Vec<Step> = sample::run();
        let mask = Action::AttachTree { target: sample::jail("/proc/kcore") };
        all.push(sample::step(Phase::Enter, mask));
        all.push(sample::step(Phase::Confine, sample::filter(true)));
        for rule in RULES {
            let first = all.iter().find(|step| rule.before.has(&step.action)).unwrap();
            let second = all.iter().find(|step| rule.after.has(&step.action)).unwrap();
            let same_phase = |step: &Step| sample::step(Phase::Enter, step.action.clone());
            let right = [same_phase(first), same_phase(second)];
            let wrong = [same_phase(second), same_phase(first)];
            assert_eq!(check(&right), Ok(()), "{rule:?}");
            let Err(Violation::Order { late: 1, early: 0, rule: broken }) = check(&wrong) else {
                panic!("{rule:?} is not checked");
            };
            // Another rule of the table may forbid the same pair.
            assert!(broken.before.has(&first.action) && broken.after.has(&second.action), "{broken:?}");
        }
    }

    #[test]
    fn phases_ascend_and_keep_to_their_own() {
        let mut steps = sample::run();
        let mkdir = sample::step(Phase::Build, sample::build().remove(0));
        steps.push(mkdir.clone());
        assert_eq!(check(&steps), Err(Violation::Phase { at: steps.len() - 1 }));
        assert_eq!(check(&[sample::step(Phase::Enter, mkdir.action)]), Err(Violation::Foreign { at: 0 }));
    }

    #[test]
    fn a_mount_must_not_hide_another() {
        let attach = |path| sample::step(Phase::Enter, Action::AttachTree { target: sample::jail(path) });
        assert_eq!(check(&[attach("/var"), attach("/var/www"), attach("/variant")]), Ok(()));
        let hidden = check(&[attach("/var/www"), attach("/var")]).unwrap_err();
        assert_eq!(hidden, Violation::Hidden { late: 1, early: 0 });
        assert_eq!(
            hidden.to_string(),
            "step 2 must come before step 1, because a mount hides what was mounted below it before"
        );
    }

    #[test]
    fn a_violation_names_both_steps_and_the_reason() {
        let steps = [
            sample::step(Phase::Confine, Action::SetUid { uid: 33 }),
            sample::step(Phase::Confine, Action::SetGid { gid: 33 }),
        ];
        assert_eq!(
            check(&steps).unwrap_err().to_string(),
            "step 2 (the group ids) must come before step 1 (the user ids), because setresgid(2) needs CAP_SETGID, \
             which leaves with uid 0: gid 0 would stay"
        );
        let rules: Vec<_> = rules_for(&steps[1].action).filter(|(side, _)| *side == Side::After).collect();
        assert!(rules.iter().any(|(_, rule)| rule.before == Class::Groups), "{rules:?}");
    }
}
