//! Whatever the bytes, every parser answers: the bodies of the fuzz targets (`tests/fuzz/`) over their seeds, and over some
//! thousands of damaged ones. `tests/fuzz/run` looks much further; this keeps its targets alive in an ordinary `cargo test`.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[allow(
    dead_code,
    unreachable_pub,
    unused_macros,
    reason = "the fuzz targets' programs use the rest, as a library"
)]
#[path = "fuzz/bodies/mod.rs"]
mod bodies;

use bodies::{TARGETS, Target};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

/// Damaged inputs for each target.
const TRIES: usize = 2000;

/// Marsaglia's xorshift: the same damage on every run, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }

    fn damage(&mut self, seed: &[u8], words: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let end = (at + self.below(40)).min(bytes.len());
            let inserted = match self.below(5) {
                0 => vec![self.below(256) as u8],
                1 => vec![[0, 0xff, 0x7f, 0x80][self.below(4)]; 1 + self.below(8)],
                2 => Vec::new(),
                3 if !words.is_empty() => words[self.below(words.len())].clone(),
                _ => bytes[at..end].to_vec(),
            };
            let until = if self.below(2) == 0 { (at + inserted.len()).min(bytes.len()) } else { at };
            let until = if inserted.is_empty() { end } else { until };
            bytes.splice(at..until, inserted);
        }
        bytes
    }
}

/// Runs one target's body.
fn survives(name: &str) {
    let target = bodies::target(name);
    let (seeds, words) = ((target.seeds)(), (target.words)());
    for seed in &seeds {
        (target.body)(seed);
    }
    (target.body)(b"");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..TRIES {
        let seed = &seeds[random.below(seeds.len())];
        (target.body)(&random.damage(seed, &words));
    }
}

macro_rules! survive {
    ($($name:ident)+) => {
        const TESTED: &[&str] = &[$(stringify!($name)),+];

        $(#[test]
        fn $name() {
            survives(stringify!($name));
        })+
    };
}

survive! {
    manifest manifest_resolve once libraries elf ld_so_cache script dlopen_note record accounts packages glob value proc archive report
    running subordinate
}

#[test]
fn every_target_has_a_program_and_is_tested_here() {
    let programs: Vec<&str> = include_str!("fuzz/Cargo.toml")
        .split("[[bin]]\nname = \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let names: Vec<&str> = TARGETS.iter().map(|target: &Target| target.name).collect();
    assert_eq!(programs, names);
    assert_eq!(TESTED, names);
}

/// A pattern of a few pieces, so that most are patterns.
fn pattern() -> impl Strategy<Value = String> {
    let pieces = [
        "a", "b", ".", "/", "*", "**", "**/", "/**", "?", "[ab]", "[!a]", "[.-b]", "{a,b}", "{a,{b,}}",
        "{**,a}/", "{", ",", "}", "\\*",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..7).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(Config { cases: 5000, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::default() })]

    /// The body of the target compares with a plain matcher.
    #[test]
    fn a_pattern_matches_as_it_is_told(pattern in pattern(), text in "[ab./]{0,10}") {
        (bodies::target("glob").body)(&[pattern.as_bytes(), b"\0", text.as_bytes()].concat());
    }
}
