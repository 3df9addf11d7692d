//! From a policy to a program of classic BPF, as seccomp(2) takes it.
//!
//! The calls of a processor are ranges of numbers with one verdict each. A binary tree of comparisons finds the range of a number; a
//! range may have a few single numbers in it that differ, which cost one comparison each where a split would cost two. At the leaves
//! stand verdicts, or the tests of arguments. The kernel runs the program for every number it knows when the filter is
//! installed, to remember which are always allowed, so a short way to each leaf is what makes an installation quick; a
//! chain of one comparison a number, as libseccomp and seccompiler make it, takes about ten times as long.
//!
//! Jumps go forward only and, if they depend on a comparison, at most 255 instructions far. So the program is made from its end to its
//! beginning: where a jump leads is known when it is made, and what has come to be too far away is repeated or jumped to.
//!
//! All of it can be run by the compiler of this crate, which is how the program of the profile `default` comes to be part of
//! the binary.

use std::borrow::Cow;

use super::arguments::{Node, Test, Values};
use super::policy::Policy;
use super::table::CALLS;
use super::{Architecture, Errno, Instruction, Refusal, Rule};

/// A number that no kernel knows, below those of x32. With it a process can ask whether the filter is in force.
pub const PROBE: u32 = 0x3FFF_FFFF;
/// What the filter answers then: an error no system call fails with, the last one that is one (`MAX_ERRNO` of linux/err.h).
pub const PROBE_ANSWER: u16 = 4095;

/// Results of a filter, see linux/seccomp.h.
const KILL_PROCESS: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;
const TRACE: u32 = 0x7FF0_0000;
const LOG: u32 = 0x7FFC_0000;
const ALLOW: u32 = 0x7FFF_0000;

/// Operations, see linux/bpf_common.h: load a word, the accumulator and a mask, jumps, return.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Where `struct seccomp_data` of linux/seccomp.h has what a program loads: the number, the processor, the low half of the
/// first argument. All processors of the table are little-endian.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

/// Where the low half of an argument is; its high half follows.
const fn argument_at(argument: u8) -> u32 {
    FIRST_ARGUMENT + 8 * argument as u32
}

/// As far as a comparison can jump, less what may have to be put in before it.
const FAR: usize = 250;

/// The bit that tells a number of the x32 ABI, and the first number past them.
const X32: u32 = 0x4000_0000;
const PAST_X32: u32 = 0x8000_0000;

/// The program of `default`, refusing by an error, for this binary's own processor.
static DEFAULT_PROGRAM: [Instruction; DEFAULT.length] = DEFAULT.program();
const DEFAULT: Buffer = compile(&Policy::DEFAULT, Answers::of(Refusal::Errno), &NATIVE);

/// The filter of PID 1 itself: what waiting and passing signals on takes; anything else kills it, and with it the jail.
pub static INIT_PROGRAM: [Instruction; INIT.length] = INIT.program();
const INIT: Buffer = compile(&Policy::INIT, Answers::KILL, &NATIVE);

/// This binary's own processor, where there is a table of it.
const NATIVE: [Architecture; 1] = match Architecture::NATIVE {
    Some(native) => [native],
    // Never used: without a table there is no filter.
    None => [Architecture::X86_64],
};

/// Compiles a policy, or finds it compiled.
pub(super) fn program(
    policy: &Policy,
    refusal: Refusal,
    architectures: &[Architecture],
) -> Cow<'static, [Instruction]> {
    if refusal == Refusal::Errno && *policy == Policy::DEFAULT && *architectures == NATIVE {
        return Cow::Borrowed(&DEFAULT_PROGRAM);
    }
    Cow::Owned(compiled(policy, refusal, architectures))
}

/// Compiles a policy. Apart, since what this needs of the stack is touched at the beginning of whatever function it is part of.
#[inline(never)]
fn compiled(policy: &Policy, refusal: Refusal, architectures: &[Architecture]) -> Vec<Instruction> {
    let buffer = compile(policy, Answers::of(refusal), architectures);
    buffer.instructions[buffer.instructions.len() - buffer.length..].to_vec()
}

/// A program that refuses nothing: what a policy does not allow stops for a tracer, see `SECCOMP_RET_TRACE` in seccomp(2). Of the calls
/// of other processors nothing is known, and they are left alone.
#[inline(never)]
pub fn watching(policy: &Policy, architectures: &[Architecture]) -> Vec<Instruction> {
    let buffer = compile(policy, Answers::TRACE, architectures);
    buffer.instructions[buffer.instructions.len() - buffer.length..].to_vec()
}

/// What the filter answers where a call is refused.
#[derive(Clone, Copy)]
struct Answers {
    /// Instead of an error; none: the error.
    refused: Option<u32>,
    /// For what is not in the table, and what the table answers with ENOSYS.
    unknown: u32,
    /// Instead of success without a call.
    pretended: u32,
    /// For other processors, and for the x32 ABI.
    foreign: u32,
    /// For the [`PROBE`], if it is answered.
    probe: Option<u32>,
}

impl Answers {
    /// Those of PID 1.
    const KILL: Self = Self {
        refused: Some(KILL_PROCESS),
        unknown: KILL_PROCESS,
        pretended: ERRNO,
        foreign: KILL_PROCESS,
        probe: None,
    };

    /// Those of a tracer.
    const TRACE: Self =
        Self { refused: Some(TRACE), unknown: TRACE, pretended: TRACE, foreign: ALLOW, probe: None };

    const fn of(refusal: Refusal) -> Self {
        let refused = match refusal {
            Refusal::Errno => None,
            Refusal::Kill => Some(KILL_PROCESS),
            Refusal::Log => Some(LOG),
        };
        let unknown = ERRNO | Errno::ENOSYS.number() as u32;
        let probe = Some(ERRNO | PROBE_ANSWER as u32);
        Self { refused, unknown, pretended: ERRNO, foreign: KILL_PROCESS, probe }
    }

    /// For an error of the table's.
    const fn to(self, errno: Errno) -> u32 {
        match (errno, self.refused) {
            (Errno::ENOSYS, _) => self.unknown,
            (Errno::Success, _) => self.pretended,
            (_, Some(refused)) => refused,
            (errno, None) => ERRNO | errno.number() as u32,
        }
    }
}

/// What is at the end of a way through the tree.
#[derive(Clone, Copy)]
enum Leaf {
    /// This result.
    Result(u32),
    /// A test of the arguments.
    Test(Test),
}

impl Leaf {
    const fn is(self, other: Self) -> bool {
        match (self, other) {
            (Self::Result(one), Self::Result(other)) => one == other,
            (Self::Test(one), Self::Test(other)) => one as u8 == other as u8,
            _ => false,
        }
    }

    /// What becomes of a call of the table.
    const fn of(policy: &Policy, at: usize, answers: Answers) -> Self {
        match (CALLS[at].rule, policy.allows(at)) {
            (Rule::Allow | Rule::Refuse(..), true) => Self::Result(ALLOW),
            (Rule::Test(test), true) => match policy.verdict(test.node()) {
                Some(Node::Allow) => Self::Result(ALLOW),
                _ => Self::Test(test),
            },
            (Rule::Refuse(_, errno), false) => Self::Result(answers.to(errno)),
            (Rule::Allow | Rule::Test(_), false) => Self::Result(answers.to(Errno::EPERM)),
        }
    }
}

/// All numbers of one processor in ranges, each from its start to the next one's.
struct Ranges {
    starts: [u32; Self::MOST],
    leaves: [Leaf; Self::MOST],
    count: usize,
}

/// Numbers in the table are below this.
const LIMIT: usize = 480;

impl Ranges {
    /// Every number may be a range, and there are a few more past them.
    const MOST: usize = LIMIT + 5;
    /// So many single numbers are compared one by one; of more, the ranges are split.
    const CHAIN: usize = 3;

    const fn of(policy: &Policy, answers: Answers, architecture: Architecture) -> Self {
        let unknown = Leaf::Result(answers.unknown);
        let mut of_number = [unknown; LIMIT];
        let mut at = 0;
        while at < CALLS.len() {
            if let Some(number) = CALLS[at].number(architecture) {
                of_number[number as usize] = Leaf::of(policy, at, answers);
            }
            at += 1;
        }
        let mut ranges = Self { starts: [0; Self::MOST], leaves: [unknown; Self::MOST], count: 0 };
        let mut number = 0;
        while number < LIMIT {
            ranges.add(number as u32, of_number[number]);
            number += 1;
        }
        ranges.add(LIMIT as u32, unknown);
        if let Some(probe) = answers.probe {
            ranges.add(PROBE, Leaf::Result(probe));
            ranges.add(PROBE + 1, unknown);
        }
        if matches!(architecture, Architecture::X86_64) {
            ranges.add(X32, Leaf::Result(answers.foreign));
            ranges.add(PAST_X32, unknown);
        }
        ranges
    }

    /// From `start` on it is `leaf`.
    const fn add(&mut self, start: u32, leaf: Leaf) {
        if self.count > 0 && self.starts[self.count - 1] == start {
            self.count -= 1;
        }
        if self.count > 0 && self.leaves[self.count - 1].is(leaf) {
            return;
        }
        self.starts[self.count] = start;
        self.leaves[self.count] = leaf;
        self.count += 1;
    }

    /// Where to split: where half of the numbers that kernels know are on each side, as the kernel goes through each of them once.
    const fn middle(&self, first: usize, end: usize) -> usize {
        let last = if end < self.count { self.starts[end] } else { LIMIT as u32 };
        let half = u32::midpoint(self.starts[first], if last < LIMIT as u32 { last } else { LIMIT as u32 });
        let mut middle = first + 1;
        while middle + 1 < end && self.starts[middle + 1] <= half {
            middle += 1;
        }
        middle
    }

    /// Whether the ranges from `first` up to `end` have the verdict of range `base`, but for a few single numbers.
    const fn is_chain(&self, first: usize, end: usize, base: usize) -> bool {
        let mut exceptions = 0;
        let mut at = first;
        while at < end {
            if !self.leaves[at].is(self.leaves[base]) {
                exceptions += 1;
                if exceptions > Self::CHAIN
                    || at + 1 == self.count
                    || self.starts[at + 1] != self.starts[at] + 1
                {
                    return false;
                }
            }
            at += 1;
        }
        true
    }
}

/// Where a jump leads.
#[derive(Clone, Copy)]
enum Label {
    /// To an instruction, by how many there are from it to the end, itself included.
    At(usize),
    /// To any instruction that returns this.
    Result(u32),
}

/// Results that have been made, and where the nearest of each is.
const RESULTS: usize = 12;

/// A program in the making, filled from its end.
struct Buffer {
    instructions: [Instruction; Self::MOST],
    /// How many there are.
    length: usize,
    results: [(u32, usize); RESULTS],
    /// Where each test of the processor at hand begins.
    tests: [Option<usize>; Test::ALL.len()],
}

/// Compiles a policy for some processors.
const fn compile(policy: &Policy, answers: Answers, architectures: &[Architecture]) -> Buffer {
    let mut buffer = Buffer::new();
    let mut labels = [Label::Result(answers.foreign); Buffer::ARCHITECTURES];
    // The first one's are made last, and so are nearest.
    let mut left = architectures.len();
    while left > 0 {
        left -= 1;
        buffer.tests = [None; Test::ALL.len()];
        let ranges = Ranges::of(policy, answers, architectures[left]);
        let tree = Tree { policy, answers, ranges: &ranges };
        let root = tree.between(&mut buffer, 0, ranges.count);
        buffer.reach(root);
        labels[left] = Label::At(buffer.push(LOAD, NUMBER));
    }
    let mut otherwise = Label::Result(answers.foreign);
    let mut left = architectures.len();
    while left > 0 {
        left -= 1;
        otherwise = Label::At(buffer.branch(IF_EQUAL, architectures[left].audit(), labels[left], otherwise));
    }
    buffer.reach(otherwise);
    buffer.push(LOAD, ARCHITECTURE);
    buffer
}

/// What the tree of one processor is made from.
struct Tree<'a> {
    policy: &'a Policy,
    answers: Answers,
    ranges: &'a Ranges,
}

impl Tree<'_> {
    /// The tree for the ranges from `first` up to `end`.
    const fn between(&self, buffer: &mut Buffer, first: usize, end: usize) -> Label {
        let ranges = self.ranges;
        if ranges.is_chain(first, end, first) {
            return self.chain(buffer, first, end, first);
        }
        if ranges.is_chain(first, end, end - 1) {
            return self.chain(buffer, first, end, end - 1);
        }
        let middle = ranges.middle(first, end);
        let above = self.between(buffer, middle, end);
        let below = self.between(buffer, first, middle);
        Label::At(buffer.branch(IF_AT_LEAST, ranges.starts[middle], above, below))
    }

    /// One verdict, that of range `base`, but for single numbers.
    const fn chain(&self, buffer: &mut Buffer, first: usize, end: usize, base: usize) -> Label {
        let ranges = self.ranges;
        let mut rest = self.leaf(buffer, ranges.leaves[base]);
        let mut at = end;
        while at > first {
            at -= 1;
            if !ranges.leaves[at].is(ranges.leaves[base]) {
                let leaf = self.leaf(buffer, ranges.leaves[at]);
                rest = Label::At(buffer.branch(IF_EQUAL, ranges.starts[at], leaf, rest));
            }
        }
        rest
    }

    const fn leaf(&self, buffer: &mut Buffer, leaf: Leaf) -> Label {
        match leaf {
            Leaf::Result(result) => Label::Result(result),
            Leaf::Test(test) => {
                if let Some(at) = buffer.tests[test as usize] {
                    return Label::At(at);
                }
                let label = self.node(buffer, test.node());
                if let Label::At(at) = label {
                    buffer.tests[test as usize] = Some(at);
                }
                label
            }
        }
    }

    /// A node of a test.
    const fn node(&self, buffer: &mut Buffer, node: &Node) -> Label {
        match node {
            Node::Allow => Label::Result(ALLOW),
            Node::Refuse(decision, _) if self.policy.opens(*decision) => Label::Result(ALLOW),
            Node::Refuse(_, errno) => Label::Result(self.answers.to(*errno)),
            Node::If { argument, mask, is, then, otherwise } => {
                let then = self.node(buffer, then);
                let mut next = self.node(buffer, otherwise);
                match is {
                    Values::Any([0]) if *mask != u32::MAX => {
                        next = Label::At(buffer.branch(IF_ANY_BIT, *mask, next, then));
                    }
                    Values::Any(values) => {
                        let mut left = values.len();
                        while left > 0 {
                            left -= 1;
                            next = Label::At(buffer.branch(IF_EQUAL, values[left], then, next));
                        }
                        if *mask != u32::MAX {
                            buffer.reach(next);
                            next = Label::At(buffer.push(AND, *mask));
                        }
                    }
                    Values::Personality => {
                        next = Label::At(buffer.branch(IF_EQUAL, self.policy.persona, then, next));
                        next = Label::At(buffer.branch(IF_EQUAL, u32::MAX, then, next));
                    }
                }
                buffer.reach(next);
                Label::At(buffer.push(LOAD, argument_at(*argument)))
            }
            Node::IfNull { argument, then, otherwise } => {
                let then = self.node(buffer, then);
                let otherwise = self.node(buffer, otherwise);
                let at = argument_at(*argument);
                let low = Label::At(buffer.branch(IF_EQUAL, 0, then, otherwise));
                buffer.reach(low);
                let low = Label::At(buffer.push(LOAD, at));
                let high = Label::At(buffer.branch(IF_EQUAL, 0, low, otherwise));
                buffer.reach(high);
                Label::At(buffer.push(LOAD, at + 4))
            }
        }
    }
}

impl Buffer {
    /// More than any policy needs: two comparisons a number, twice, with what is repeated.
    const MOST: usize = 2048;
    /// At most so many processors.
    const ARCHITECTURES: usize = 2;

    const fn new() -> Self {
        let nothing = Instruction { code: 0, then: 0, otherwise: 0, operand: 0 };
        Self {
            instructions: [nothing; Self::MOST],
            length: 0,
            results: [(0, 0); RESULTS],
            tests: [None; Test::ALL.len()],
        }
    }

    /// The program, where its length is known beforehand.
    const fn program<const LENGTH: usize>(&self) -> [Instruction; LENGTH] {
        let mut program = [self.instructions[0]; LENGTH];
        let mut at = 0;
        while at < LENGTH {
            program[at] = self.instructions[Self::MOST - self.length + at];
            at += 1;
        }
        program
    }

    /// Puts an instruction before all that there are; its place.
    const fn put(&mut self, instruction: Instruction) -> usize {
        self.length += 1;
        self.instructions[Self::MOST - self.length] = instruction;
        self.length
    }

    /// An instruction that compares nothing.
    const fn push(&mut self, code: u16, operand: u32) -> usize {
        self.put(Instruction { code, then: 0, otherwise: 0, operand })
    }

    /// A comparison with its two ways; its place.
    const fn branch(&mut self, code: u16, operand: u32, then: Label, otherwise: Label) -> usize {
        let then = self.near(then);
        let otherwise = self.near(otherwise);
        let [then, otherwise] = [(self.length - then) as u8, (self.length - otherwise) as u8];
        self.put(Instruction { code, then, otherwise, operand })
    }

    /// A place where a label is that can be jumped to from here.
    const fn near(&mut self, label: Label) -> usize {
        match label {
            Label::At(at) if self.length - at <= FAR => at,
            Label::At(at) => self.push(JUMP, (self.length - at) as u32),
            Label::Result(result) => {
                let mut slot = 0;
                while self.results[slot].1 > 0 && self.results[slot].0 != result {
                    slot += 1;
                }
                let at = self.results[slot].1;
                if at > 0 && self.length - at <= FAR {
                    return at;
                }
                let at = self.push(RETURN, result);
                self.results[slot] = (result, at);
                at
            }
        }
    }

    /// What is put next goes on at this label.
    const fn reach(&mut self, label: Label) {
        match label {
            Label::At(at) if at == self.length => {}
            Label::At(at) => {
                self.push(JUMP, (self.length - at) as u32);
            }
            Label::Result(result) => {
                self.push(RETURN, result);
            }
        }
    }
}
