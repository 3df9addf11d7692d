//! Tests of the compiler: its programs are run by an interpreter of classic BPF, for every number and for arguments around every
//! value that a test knows, and held against the table itself, read in the plainest way, and against what seccompiler makes of it.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use super::super::step::CapabilitySet;
use super::arguments::Node;
use super::profiles::Profile;
use super::*;

const ALLOW: u32 = 0x7FFF_0000;
const KILL: u32 = 0x8000_0000;
const LOG: u32 = 0x7FFC_0000;

const fn error(number: u16) -> u32 {
    0x0005_0000 | number as u32
}

/// `struct seccomp_data`.
#[derive(Clone, Copy, Debug)]
struct Data {
    number: u32,
    audit: u32,
    arguments: [u64; 6],
}

impl Data {
    fn new(architecture: Architecture, number: u32) -> Self {
        // Numbers that nobody looks for.
        Self { number, audit: architecture.audit(), arguments: [0xDEAD_BEEF_0BAD_F00D; 6] }
    }

    /// The 32-bit word at an offset.
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.audit,
            8 | 12 => 0,
            _ => (self.arguments[(offset as usize - 16) / 8] >> (offset % 8 * 8)) as u32,
        }
    }
}

/// Runs a program as the kernel does.
fn run(program: &[Instruction], data: &Data) -> u32 {
    let (mut accumulator, mut at) = (0, 0);
    loop {
        let Instruction { code, then, otherwise, operand } = program[at];
        let jump = |holds: bool| usize::from(if holds { then } else { otherwise });
        at += 1;
        match code {
            0x20 => accumulator = data.word(operand),
            0x54 => accumulator &= operand,
            0x05 => at += operand as usize,
            0x15 => at += jump(accumulator == operand),
            0x25 => at += jump(accumulator > operand),
            0x35 => at += jump(accumulator >= operand),
            0x45 => at += jump(accumulator & operand != 0),
            0x06 => return operand,
            _ => panic!("operation {code:#x}"),
        }
    }
}

/// What is to be answered, by the table and nothing else.
fn expected(policy: &Policy, refusal: Refusal, architectures: &[Architecture], data: &Data) -> u32 {
    let Some(architecture) = architectures.iter().find(|each| each.audit() == data.audit) else {
        return KILL;
    };
    if data.number == PROBE {
        return error(PROBE_ANSWER);
    }
    if *architecture == Architecture::X86_64 && (0x4000_0000..0x8000_0000).contains(&data.number) {
        return KILL;
    }
    let refused = |errno: Errno| match (errno, refusal) {
        (Errno::ENOSYS | Errno::Success, _) | (_, Refusal::Errno) => error(errno.number()),
        (_, Refusal::Kill) => KILL,
        (_, Refusal::Log) => LOG,
    };
    policy.refuses(*architecture, data.number, &data.arguments).map_or(ALLOW, refused)
}

/// Arguments that a test tells apart: for every argument it looks at, each value it knows, one more and one less, with every bit
/// of a mask by itself, and all of them with bits above the 32 that count.
fn interesting(node: &Node, policy: &Policy, found: &mut BTreeMap<usize, Vec<u64>>) {
    if let Node::If { argument, mask, is, then, otherwise } = node {
        let known = found.entry(usize::from(*argument)).or_insert_with(|| vec![0, u64::MAX]);
        for value in policy.values(is) {
            known.extend([value, value.wrapping_add(1), value.wrapping_sub(1)].map(u64::from));
        }
        if *mask != u32::MAX {
            known.extend((0..32).map(|bit| 1 << bit).filter(|bit| u64::from(*mask) & bit != 0));
        }
        interesting(then, policy, found);
        interesting(otherwise, policy, found);
    }
    if let Node::IfNull { argument, then, otherwise } = node {
        found.entry(usize::from(*argument)).or_insert_with(|| vec![0, 1, 1 << 31, 1 << 63, u64::MAX]);
        interesting(then, policy, found);
        interesting(otherwise, policy, found);
    }
}

/// Everything worth trying on one processor.
fn cases(policy: &Policy, architecture: Architecture) -> Vec<Data> {
    let numbers = (0..1024).chain([PROBE - 1, PROBE, PROBE + 1, 0x4000_0000, 0x4000_003B, 0x7FFF_FFFF]);
    let mut cases: Vec<Data> = numbers
        .chain([0x8000_0000, u32::MAX - 1, u32::MAX])
        .map(|number| Data::new(architecture, number))
        .collect();
    for call in &CALLS {
        let (Rule::Test(test), Some(number)) = (call.rule, call.number(architecture)) else { continue };
        let mut found = BTreeMap::new();
        interesting(test.node(), policy, &mut found);
        let mut of_call = vec![Data::new(architecture, number.into())];
        for (argument, mut known) in found {
            known.sort_unstable();
            known.dedup();
            let above = known.clone().into_iter().map(|value| value | 1 << 32);
            known.extend(above);
            let each = |data: &Data| {
                let data = *data;
                known.iter().map(move |value| {
                    let mut arguments = data.arguments;
                    arguments[argument] = *value;
                    Data { arguments, ..data }
                })
            };
            of_call = of_call.iter().flat_map(each).collect();
        }
        cases.extend(of_call);
    }
    cases
}

/// Policies of all kinds.
fn policies() -> Vec<(String, Policy)> {
    let capabilities = CapabilitySet(u64::MAX);
    let mut policies: Vec<(String, Policy)> = Profile::ALL
        .into_iter()
        .map(|profile| (profile.name().to_owned(), Policy::profile(profile, capabilities)))
        .collect();
    for words in [
        "@default @basic-io",
        "@system-service",
        "default @namespaces @setid @sockets @memfd @personality",
        "default @debug @mount -@network-io -mlock",
        "-ioctl -clone",
        "all -@debug -read",
        "ptrace",
    ] {
        policies.push((words.to_owned(), list(words)));
    }
    let mut persona = Policy::DEFAULT;
    persona.persona = 0x6_0000;
    policies.push(("a personality".into(), persona));
    // As many ranges as there can be.
    let every_other = CALLS.iter().step_by(2).filter_map(|call| Entry::parse(call.name));
    policies.push(("every other call".into(), Policy::list(every_other, CapabilitySet(0))));
    policies
}

/// A list in one text.
fn list(words: &str) -> Policy {
    Policy::list(words.split(' ').map(|word| Entry::parse(word).unwrap()), CapabilitySet(0))
}

const ALL: [&[Architecture]; 4] = [
    &[Architecture::X86_64],
    &[Architecture::Aarch64],
    &[Architecture::X86_64, Architecture::X86_32],
    &[Architecture::X86_32],
];

#[test]
fn a_program_answers_what_the_table_says() {
    for (name, policy) in policies() {
        // What becomes of a refused call is the same for each.
        let all = [Refusal::Errno, Refusal::Kill, Refusal::Log];
        let refusals = if name == "default" { &all[..] } else { &all[..1] };
        for architecture in [Architecture::X86_64, Architecture::X86_32, Architecture::Aarch64] {
            let cases = cases(&policy, architecture);
            for refusal in refusals.iter().copied() {
                for architectures in ALL {
                    let filter = Filter::new(String::new(), policy, refusal, architectures.to_vec());
                    for data in &cases {
                        let expected = expected(&policy, refusal, architectures, data);
                        let found = run(&filter.program, data);
                        assert_eq!(found, expected, "{name}, {refusal:?}, {architectures:?}: {data:x?}");
                    }
                }
            }
        }
    }
}

/// The conjunctions under which a test allows, for seccompiler, which has no masked comparison but for equality.
fn allowing(node: &Node, policy: &Policy, path: &[SeccompCondition], found: &mut Vec<Vec<SeccompCondition>>) {
    match node {
        _ if matches!(policy.verdict(node), Some(Node::Allow)) => found.push(path.to_vec()),
        Node::Allow | Node::Refuse(..) => {}
        Node::IfNull { argument, then, otherwise } => {
            for (operator, node) in [(SeccompCmpOp::Eq, then), (SeccompCmpOp::Ne, otherwise)] {
                let condition =
                    SeccompCondition::new(*argument, SeccompCmpArgLen::Qword, operator, 0).unwrap();
                allowing(node, policy, &[path, &[condition]].concat(), found);
            }
        }
        Node::If { argument, mask, is, then, otherwise } => {
            let known = policy.values(is);
            let condition = |operator, value: u32| {
                SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, operator, value.into()).unwrap()
            };
            let mut with = |node, more: Vec<SeccompCondition>| {
                allowing(node, policy, &[path, &more].concat(), found);
            };
            let equal = |value| match *mask {
                u32::MAX => condition(SeccompCmpOp::Eq, value),
                mask => condition(SeccompCmpOp::MaskedEq(mask.into()), value),
            };
            for value in &known {
                with(then, vec![equal(*value)]);
            }
            if *mask == u32::MAX {
                with(otherwise, known.iter().map(|value| condition(SeccompCmpOp::Ne, *value)).collect());
            } else {
                // Every other value that the mask leaves.
                let mut value = *mask;
                loop {
                    if !known.contains(&value) {
                        with(otherwise, vec![equal(value)]);
                    }
                    if value == 0 {
                        break;
                    }
                    value = (value - 1) & mask;
                }
            }
        }
    }
}

/// The same policy by seccompiler, which knows one answer beside allowing.
fn by_seccompiler(policy: &Policy, architecture: Architecture) -> Vec<Instruction> {
    let mut rules = BTreeMap::new();
    for (_, call) in CALLS.iter().enumerate().filter(|(at, _)| policy.allows(*at)) {
        let Some(number) = call.number(architecture) else { continue };
        let mut alternatives = Vec::new();
        if let Rule::Test(test) = call.rule {
            allowing(test.node(), policy, &[], &mut alternatives);
        }
        // A rule without conditions is one that always matches, and is given as no rule.
        let always = alternatives.iter().any(Vec::is_empty);
        let of_call = alternatives.into_iter().filter(|_| !always).map(|all| SeccompRule::new(all).unwrap());
        rules.insert(i64::from(number), of_call.collect());
    }
    let target = match architecture {
        Architecture::X86_64 => TargetArch::x86_64,
        _ => TargetArch::aarch64,
    };
    let filter = SeccompFilter::new(rules, SeccompAction::Errno(1), SeccompAction::Allow, target).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    let ours = |each: seccompiler::sock_filter| Instruction {
        code: each.code,
        then: each.jt,
        otherwise: each.jf,
        operand: each.k,
    };
    program.into_iter().map(ours).collect()
}

#[test]
fn a_program_allows_what_seccompilers_allows() {
    for (name, policy) in policies() {
        for architecture in [Architecture::X86_64, Architecture::Aarch64] {
            let theirs = by_seccompiler(&policy, architecture);
            let ours = Filter::new(String::new(), policy, Refusal::Errno, vec![architecture]);
            for data in cases(&policy, architecture) {
                let [ours, theirs] = [&ours.program, &theirs[..]].map(|program| run(program, &data) == ALLOW);
                assert_eq!(ours, theirs, "{name}: {data:x?}");
            }
        }
    }
}

#[test]
fn the_default_is_small() {
    let native = Architecture::NATIVE.unwrap();
    let filter = |architectures| Filter::new(String::new(), Policy::DEFAULT, Refusal::Errno, architectures);
    let ready = filter(vec![native]);
    assert!(matches!(ready.program, Cow::Borrowed(_)), "it is compiled at every start");
    let theirs = by_seccompiler(&Policy::DEFAULT, native).len();
    assert!(
        ready.program.len() < 200 && theirs > 5 * ready.program.len(),
        "{} {theirs}",
        ready.program.len()
    );
}

#[test]
fn pid_1_may_do_what_it_does_and_nothing_else() {
    let native = Architecture::NATIVE.unwrap();
    let number = |name: &str| CALLS[table::find(name).unwrap()].number(native);
    let needed = ["poll", "ppoll", "read", "write", "lseek", "wait4", "kill", "exit_group", "tee", "close"];
    for name in needed {
        if let Some(number) = number(name) {
            assert_eq!(run(&INIT_PROGRAM, &Data::new(native, number.into())), ALLOW, "{name}");
        }
    }
    let allowed = (0..1024).filter(|number| run(&INIT_PROGRAM, &Data::new(native, *number)) == ALLOW).count();
    assert!(allowed <= 15, "{allowed}");
    let refused = [number("openat"), number("clone"), number("execve"), Some(1000)];
    for number in refused.into_iter().flatten() {
        assert_eq!(run(&INIT_PROGRAM, &Data::new(native, number.into())), KILL);
    }
}

#[test]
fn a_watching_program_stops_what_a_policy_refuses_and_nothing_else() {
    const TRACE: u32 = 0x7FF0_0000;
    let architectures = [Architecture::X86_64, Architecture::X86_32];
    for (name, policy) in policies() {
        let program = watching(&policy, &architectures);
        for architecture in architectures {
            for number in 0..600 {
                let data = Data::new(architecture, number);
                let refused = policy.refuses(architecture, number, &data.arguments).is_some();
                let expected = if refused { TRACE } else { ALLOW };
                assert_eq!(run(&program, &data), expected, "{name}: {number} on {architecture:?}");
            }
        }
        // Of other processors, and of x32, nothing is known.
        assert_eq!(run(&program, &Data::new(Architecture::Aarch64, 221)), ALLOW, "{name}");
        assert_eq!(run(&program, &Data::new(Architecture::X86_64, 0x4000_0000 + 59)), ALLOW, "{name}");
    }
}
