//! What a jail may call: made from the words of a manifest, one after the other.

use super::super::step::CapabilitySet;
use super::arguments::Node;
use super::decisions::{Decision, Decisions, REASONS};
use super::groups::{GROUPS, Group};
use super::profiles::{COMPUTE, Profile};
use super::table::{self, CALLS, COUNT};
use super::{Architecture, Call, Errno, Refused, Rule, groups};

/// Words of 64 calls each.
const WORDS: usize = COUNT.div_ceil(64);

/// What is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A bit for each call of the table.
    allowed: [u64; WORDS],
    /// Decisions that are not in force.
    opened: Decisions,
    /// What personality(2) may set.
    pub persona: u32,
}

/// One word of a list.
#[derive(Clone, Copy, Debug)]
pub enum Word {
    /// All that a profile allows.
    Profile(Profile),
    /// A group, but what a decision refuses; with what it opens.
    Group(&'static Group),
    /// A call, by its place in the table.
    Call(usize),
}

/// An entry of a list: a word that is added, or taken away.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Whether it has a `-` before it.
    pub removes: bool,
    /// What.
    pub word: Word,
}

/// Calls that every policy allows: without them the program would not even start, or could not end. A filter cannot tell the
/// execve(2) that starts the program from those that it makes.
pub const ALWAYS: [&str; 6] =
    ["execve", "exit", "exit_group", "restart_syscall", "rt_sigreturn", "sigreturn"];

impl Word {
    /// Reads a word without its `-`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(name) = text.strip_prefix('@') {
            return groups::find(name).map(Self::Group);
        }
        let profile = Profile::ALL.into_iter().find(|profile| profile.name() == text);
        profile.map(Self::Profile).or_else(|| table::find(text).map(Self::Call))
    }

    /// Every word there is.
    pub fn all() -> impl Iterator<Item = String> {
        let groups = GROUPS.iter().map(|group| format!("@{}", group.name));
        let names = Profile::ALL.into_iter().map(Profile::name).chain(CALLS.iter().map(|call| call.name));
        groups.chain(names.map(str::to_owned))
    }
}

impl Policy {
    /// Nothing.
    const EMPTY: Self = Self { allowed: [0; WORDS], opened: Decisions::NONE, persona: 0 };

    /// The profile `default`: all calls that the table does not refuse.
    pub const DEFAULT: Self = {
        let mut policy = Self::EMPTY;
        policy.opened = policy.opened.with(Decision::Datagrams);
        let mut at = 0;
        while at < COUNT {
            if !matches!(CALLS[at].rule, Rule::Refuse(..)) {
                policy.allow(at);
            }
            at += 1;
        }
        policy
    };

    /// What PID 1 needs to wait for the program and to pass signals on.
    pub(super) const INIT: Self = {
        let mut policy = Self::EMPTY;
        let mut at = 0;
        while at < COUNT {
            let name = CALLS[at].name.as_bytes();
            let mut needed = 0;
            while needed < INIT.len() {
                if equal(name, INIT[needed].as_bytes()) {
                    policy.allow(at);
                }
                needed += 1;
            }
            at += 1;
        }
        policy
    };

    /// A profile, where the program has these capabilities.
    pub fn profile(profile: Profile, capabilities: CapabilitySet) -> Self {
        match profile {
            Profile::Default => Self::DEFAULT,
            Profile::Daemon => {
                let mut policy = Self::DEFAULT;
                for reason in &REASONS {
                    if reason.capability.is_some_and(|number| capabilities.has(number)) {
                        policy.open(reason.decision);
                    }
                }
                policy
            }
            Profile::Compute => Self::list(COMPUTE.into_iter().filter_map(Entry::parse), capabilities),
            Profile::All => Self { allowed: [u64::MAX; WORDS], opened: Decisions::ALL, persona: 0 },
        }
    }

    /// A list. One that begins by taking away begins with `default`.
    pub fn list(entries: impl IntoIterator<Item = Entry>, capabilities: CapabilitySet) -> Self {
        let mut entries = entries.into_iter().peekable();
        let mut policy = match entries.peek() {
            Some(Entry { removes: true, .. }) => Self::DEFAULT,
            _ => Self::EMPTY,
        };
        for Entry { removes, word } in entries {
            match word {
                Word::Profile(profile) => policy.join(&Self::profile(profile, capabilities)),
                Word::Group(group) => policy.group(group, !removes),
                Word::Call(at) if removes => policy.refuse(at),
                Word::Call(at) => policy.allow(at),
            }
        }
        for at in ALWAYS.into_iter().filter_map(table::find) {
            policy.allow(at);
        }
        policy
    }

    /// Whether a call is made, for some arguments at least.
    pub const fn allows(&self, at: usize) -> bool {
        self.allowed[at / 64] & 1 << (at % 64) != 0
    }

    /// Whether a decision is opened: its refusals do not count.
    pub const fn opens(&self, decision: Decision) -> bool {
        self.opened.has(decision)
    }

    /// What a test comes to in any case, if its questions do not matter; a decision may be opened.
    pub(super) const fn verdict<'a>(&self, node: &'a Node) -> Option<&'a Node> {
        match node {
            Node::Allow => Some(&Node::Allow),
            Node::Refuse(decision, _) => Some(if self.opens(*decision) { &Node::Allow } else { node }),
            Node::If { then, otherwise, .. } | Node::IfNull { then, otherwise, .. } => {
                match (self.verdict(then), self.verdict(otherwise)) {
                    (Some(Node::Allow), Some(Node::Allow)) => Some(&Node::Allow),
                    _ => None,
                }
            }
        }
    }

    /// What it refuses, decision by decision; last, what is no matter of a decision, but left out by a list.
    pub fn refusals(&self, architectures: &[Architecture]) -> Vec<Refused> {
        let has_number = |call: &Call| architectures.iter().any(|each| call.number(*each).is_some());
        let calls = || {
            let numbered = CALLS.iter().enumerate().filter(|(_, call)| has_number(call));
            numbered.map(|(at, call)| (call, self.allows(at)))
        };
        let mut refused: Vec<Refused> = REASONS
            .iter()
            .map(|reason| {
                let mut found = Refused {
                    name: reason.name,
                    calls: Vec::new(),
                    when: "",
                    errors: Vec::new(),
                    why: reason.why,
                };
                for (call, allowed) in calls() {
                    match call.rule {
                        Rule::Refuse(decision, errno) if decision == reason.decision && !allowed => {
                            found.calls.push(call.name);
                            found.error(errno);
                        }
                        Rule::Test(test) if allowed && !self.opens(reason.decision) => {
                            for errno in test.node().errors(reason.decision) {
                                found.when = reason.when;
                                found.error(errno);
                            }
                        }
                        _ => {}
                    }
                }
                found
            })
            .collect();
        let left_out = calls().filter(|(call, allowed)| !allowed && !matches!(call.rule, Rule::Refuse(..)));
        refused.push(Refused {
            name: "not allowed by the list",
            calls: left_out.map(|(call, _)| call.name).collect(),
            when: "",
            errors: vec![Errno::EPERM],
            why: "What a list does not name is refused.",
        });
        refused.retain(|found| !found.calls.is_empty() || !found.when.is_empty());
        refused
    }

    /// The same without a call, by its place in the table.
    #[must_use]
    pub const fn without(mut self, at: usize) -> Self {
        self.refuse(at);
        self
    }

    /// The same with every decision in force, for the page that tells of all of them.
    #[cfg(test)]
    pub(crate) const fn closed(mut self) -> Self {
        self.opened = Decisions::NONE;
        self
    }

    const fn allow(&mut self, at: usize) {
        self.allowed[at / 64] |= 1 << (at % 64);
    }

    const fn refuse(&mut self, at: usize) {
        self.allowed[at / 64] &= !(1 << (at % 64));
    }

    /// All that another allows as well.
    fn join(&mut self, other: &Self) {
        for (mine, other) in self.allowed.iter_mut().zip(other.allowed) {
            *mine |= other;
        }
        self.opened = self.opened.and(other.opened);
    }

    /// A decision is not in force.
    pub fn open(&mut self, decision: Decision) {
        self.opened = self.opened.with(decision);
        self.each(|call| matches!(call.rule, Rule::Refuse(of, _) if of == decision), true);
    }

    /// A group is added, or taken away.
    fn group(&mut self, group: &Group, adds: bool) {
        self.each(|call| group.has(call) && !(adds && matches!(call.rule, Rule::Refuse(..))), adds);
        for reason in REASONS.iter().filter(|reason| reason.groups.contains(&group.name)) {
            if adds {
                self.open(reason.decision);
            } else {
                self.opened = self.opened.without(reason.decision);
                self.each(|call| matches!(call.rule, Rule::Refuse(of, _) if of == reason.decision), false);
            }
        }
    }

    /// Allows or refuses the calls that `which` picks.
    fn each(&mut self, which: impl Fn(&Call) -> bool, allowed: bool) {
        for (at, _) in CALLS.iter().enumerate().filter(|(_, call)| which(call)) {
            if allowed {
                self.allow(at);
            } else {
                self.refuse(at);
            }
        }
    }
}

impl Entry {
    /// Reads an entry as a manifest has it.
    pub fn parse(text: &str) -> Option<Self> {
        let (removes, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        Word::parse(text).map(|word| Self { removes, word })
    }
}

/// What PID 1 calls once the program's process is there. `ppoll` is what poll(3) calls where there is no `poll`.
const INIT: [&str; 15] = [
    "poll",
    "ppoll",
    "read",
    "wait4",
    "kill",
    "write",
    "lseek",
    // To pass standard input on.
    "tee",
    "ioctl",
    "fcntl",
    "close",
    "exit",
    "exit_group",
    "restart_syscall",
    "rt_sigreturn",
];

/// Whether two texts are equal, also while compiling.
const fn equal(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list in one text.
    fn list(words: &str) -> Policy {
        Policy::list(words.split_whitespace().map(|word| Entry::parse(word).unwrap()), CapabilitySet(0))
    }

    fn allows(policy: &Policy, name: &str) -> bool {
        policy.allows(table::find(name).unwrap())
    }

    #[test]
    fn a_list_is_read_from_the_left() {
        assert_eq!(list("default"), Policy::DEFAULT);
        for (words, allowed, refused) in [
            ("", "execve exit_group", "read write brk"),
            ("@default @basic-io", "brk read execve", "openat socket ptrace"),
            ("@basic-io -@basic-io read", "read", "write"),
            ("-mlock", "openat mlockall", "mlock ptrace"),
            ("ptrace", "ptrace", "openat"),
            // A group brings nothing that a decision refuses, but for the group that opens it.
            (
                "@system-service",
                "clone unshare kill",
                "clone3 setns keyctl mbind userfaultfd openat2 io_uring_setup",
            ),
            ("@process @namespaces", "clone3 setns", "ptrace"),
            ("default @debug", "ptrace process_vm_readv perf_event_open kcmp", "bpf mount"),
            ("default @debug -ptrace", "process_vm_readv", "ptrace"),
            ("default @mount -@mount", "openat", "mount chroot"),
            ("default bpf", "bpf", "perf_event_open"),
            ("all -@debug", "mount bpf keyctl", "ptrace kcmp"),
            ("compute", "sendto socketpair clone execve", "socket connect bind setuid"),
        ] {
            let policy = list(words);
            for name in allowed.split(' ') {
                assert!(allows(&policy, name), "{words}: {name}");
            }
            for name in refused.split(' ') {
                assert!(!allows(&policy, name), "{words}: {name}");
            }
        }
    }

    #[test]
    fn a_decision_is_opened_by_its_group() {
        for reason in &REASONS {
            for group in reason.groups {
                assert!(groups::find(group).is_some(), "@{group}");
                let policy = list(&format!("default @{group}"));
                assert!(policy.opens(reason.decision), "@{group}");
                assert!(!list(&format!("default @{group} -@{group}")).opens(reason.decision), "@{group}");
            }
        }
        assert!(Policy::DEFAULT.opens(Decision::Datagrams));
        assert!(!list("compute").opens(Decision::Datagrams));
    }

    #[test]
    fn a_daemon_may_do_what_its_capabilities_are_for() {
        let policy = |capabilities| Policy::profile(Profile::Daemon, CapabilitySet(capabilities));
        assert_eq!(policy(0), Policy::DEFAULT);
        assert!(allows(&policy(1 << 18), "chroot") && !allows(&policy(1 << 18), "clock_settime"));
        assert!(policy(1 << 13).opens(Decision::RawSockets));
        // Those that are as good as root's are not among them.
        assert!(!allows(&policy(u64::MAX), "mount") && !allows(&policy(u64::MAX), "bpf"));
    }

    #[test]
    fn words_are_known_by_their_names() {
        assert!(Entry::parse("@nothing").is_none() && Entry::parse("opena").is_none());
        assert!(Entry::parse("-@debug").is_some_and(|entry| entry.removes));
        for word in Word::all() {
            assert!(Entry::parse(&word).is_some(), "{word}");
        }
        // What profiles are made of, and what is always allowed.
        assert!(COMPUTE.into_iter().all(|word| Entry::parse(word).is_some()));
        assert!(ALWAYS.into_iter().chain(INIT).all(|name| table::find(name).is_some()));
    }
}
