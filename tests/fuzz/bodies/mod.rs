//! What each fuzz target does with the bytes it is given, and what it begins with. `tests/hostile_input.rs` does the same with a
//! few thousand damaged inputs, so that an ordinary `cargo test` keeps all of this alive.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "here a panic is a finding")]

mod archive;
mod elf;
mod libraries;
mod manifest;
mod once;
mod parts;
mod place;
mod reference;
mod resolve;
mod seeds;
mod text;

use std::fs;
use std::path::Path;

use stockade::manifest::libs::hostile;

/// One fuzz target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and its program's.
    pub name: &'static str,
    /// What it does with its input: panics where something is wrong.
    pub body: fn(&[u8]),
    /// The inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words that mean something in them.
    pub words: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "manifest", body: manifest::load, seeds: manifest::seeds, words: manifest::words },
    Target { name: "manifest_resolve", body: resolve::resolve, seeds: resolve::seeds, words: resolve::words },
    Target { name: "once", body: once::options, seeds: once::seeds, words: once::words },
    Target { name: "libraries", body: libraries::closure, seeds: libraries::seeds, words: libraries::words },
    Target { name: "elf", body: elf::read, seeds: elf::seeds, words: elf::words },
    Target { name: "ld_so_cache", body: ld_so_cache, seeds: seeds::ld_so_cache, words: seeds::none },
    Target { name: "script", body: hostile::script, seeds: seeds::scripts, words: seeds::script_words },
    Target { name: "dlopen_note", body: hostile::note, seeds: seeds::notes, words: seeds::note_words },
    Target { name: "record", body: text::record, seeds: text::records, words: text::record_words },
    Target { name: "accounts", body: text::accounts, seeds: text::account_files, words: seeds::none },
    Target { name: "packages", body: text::packages, seeds: text::package_lists, words: seeds::none },
    Target { name: "glob", body: text::glob, seeds: text::patterns, words: text::pattern_words },
    Target { name: "value", body: text::value, seeds: text::values, words: text::value_words },
    Target { name: "proc", body: text::proc, seeds: text::proc_files, words: seeds::none },
    Target { name: "archive", body: archive::read, seeds: archive::seeds, words: archive::words },
    Target { name: "report", body: text::report, seeds: text::reports, words: seeds::none },
    Target { name: "running", body: text::running, seeds: text::running_records, words: seeds::none },
    Target {
        name: "subordinate",
        body: text::subordinate,
        seeds: text::subordinate_files,
        words: seeds::none,
    },
];

/// The target of this name.
pub fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).expect("a target of TARGETS")
}

/// The whole program of a target.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        libfuzzer_sys::fuzz_target!(
            init: $crate::begin($name),
            |data: &[u8]| ($crate::target($name).body)(data)
        );
    };
}

/// Called by a target's program before it fuzzes: where `STOCKADE_FUZZ_PLACE` names a directory, the target's seeds are written to
/// `seeds/` in it, and `words` for libFuzzer's `-dict`.
pub fn begin(name: &str) {
    let Some(place) = std::env::var_os("STOCKADE_FUZZ_PLACE") else { return };
    let (target, place) = (target(name), Path::new(&place));
    let seeds = place.join("seeds");
    fs::create_dir_all(&seeds).expect("a directory that can be written");
    for (number, seed) in (target.seeds)().iter().enumerate() {
        fs::write(seeds.join(format!("seed-{number}")), seed).expect("a directory that can be written");
    }
    let line = |word: &Vec<u8>| {
        let bytes = word.iter().fold(String::new(), |text, byte| text + &format!("\\x{byte:02x}"));
        format!("\"{bytes}\"\n")
    };
    let words: String = (target.words)().iter().map(line).collect();
    fs::write(place.join("words"), words).expect("a directory that can be written");
}

/// The name asked for comes first, then the cache.
fn ld_so_cache(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(0);
    hostile::cache(data.get(end + 1..).unwrap_or_default(), &data[..end]);
}
