//! Whatever the bytes, loading ends with a manifest or with findings: no panic, no endless work.

use stockade::error::Failure;
use stockade::manifest::finding::Finding;
use stockade::manifest::{self, Request};
use stockade::report::diagnostic::{self, Style};

use super::common::Dir;

/// A finding is for people: it quotes no more of a manifest than they read.
const LONGEST: usize = 16_384;

/// Loads `a.toml` and renders what is found, as the command would.
fn survive(dir: &Dir, content: &[u8]) {
    dir.write("a.toml", content);
    let jail = dir.join("a.toml").into_os_string();
    if let Err(findings) = manifest::load(&Request { jail: jail.clone(), ..Request::default() }) {
        let failure = Failure::manifest(findings, &jail);
        let text = diagnostic::texts(&failure.diagnostics, &failure.subject, Style::PLAIN);
        let beginning = &content[..content.len().min(80)];
        // One more says that there are more.
        let found = failure.diagnostics.len();
        assert!((1..=Finding::MOST + 1).contains(&found), "{found} findings: {beginning:?}");
        assert!((1..=found * LONGEST).contains(&text.len()), "{} bytes: {beginning:?}", text.len());
    }
}

#[test]
fn random_changes() {
    const SEED: &str = "include = []\nname = \"a\" # x\n[program]\ncommand = [\"/bin/true\", 'é']\numask = \"0027\"\n\
                        environment = { A = \"b\" }\n[tree]\nfiles = [{ path = \"/a\", mode = \"0644\" }, \"/b\"]\n\
                        [[mounts]]\ntarget = \"/x\"\nsource = \"/y\"\n[limits]\nopen_files = \"1:2\"\ncpu_time = \"1h\"\n";
    const PIECES: [&str; 24] = [
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "=",
        "\"",
        "'''",
        "\"\"\"",
        "\\",
        ".",
        ",",
        "\n",
        "\r",
        "#",
        "0",
        "-",
        "\u{feff}",
        "é",
        "\0",
        "\u{202e}",
        "program",
        "9999999999999999999999",
    ];
    let dir = Dir::new("mutations");
    // xorshift: the same changes in every run, so that a failure can be repeated.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    for _ in 0..5000 {
        let mut bytes = SEED.as_bytes().to_vec();
        for _ in 0..=below(4) {
            let at = below(bytes.len());
            match below(4) {
                0 => bytes[at] = below(256) as u8,
                1 => drop(bytes.drain(at..(at + below(20)).min(bytes.len()))),
                2 => drop(bytes.splice(at..at, PIECES[below(PIECES.len())].bytes())),
                _ => {
                    let copy = bytes[at..(at + below(40)).min(bytes.len())].to_vec();
                    let to = below(bytes.len());
                    drop(bytes.splice(to..to, copy));
                }
            }
            if bytes.is_empty() {
                bytes.push(b'\n');
            }
        }
        survive(&dir, &bytes);
    }
}

#[test]
fn hostile_shapes() {
    let dir = Dir::new("hostile");
    let many = |text: &str| text.repeat((1 << 20) / text.len());
    for content in [
        many("a."),
        many("a.a.") + "a = 1\n",
        format!("x = 1\n[x.y]\n{}a = 1\n", many("a.").split_at((1 << 20) - 100).0),
        format!("x = 1\n[x.y]\n{}a = 1\n", "\"=\".a.".repeat(100_000)),
        many("["),
        many("{a="),
        many("x = [["),
        format!("x = {}", "{a.a.a.a.a.a.a.a.a.a.a.a.a.a=".repeat(80)),
        many("\u{1b}"),
        many("?\n"),
        format!("x = [{}]", "1,".repeat(500_000)),
        format!("x = {{{}}}", "é=1,".repeat(200_000)),
        format!("x = {{{}}}", "a=1,".repeat(250_000)),
        format!("[program]\n{}", "a=1\n".repeat(250_000)),
        (0..60_000).fold(String::new(), |all, n| all + &format!("key{n} = 1\n")),
        (0..8000).fold(String::new(), |all, n| all + &format!("[[mounts]]\nsource='/'\ntarget='/a{n}/b'\n")),
        format!("[tree]\ndirectories = [{}]\n[program]\ncommand=['x']", "'/a/b/c/d/e/f',".repeat(60_000)),
        format!("name = \"{}\"", "x".repeat(1_000_000)),
        format!("{} = 1", "x".repeat(1_000_000)),
        format!("[program]\ncpu_affinity = \"{}\"", "0-8191,".repeat(100_000)),
        format!("[limits]\ncpu_time = \"{}\"", "1h".repeat(400_000)),
    ] {
        survive(&dir, content.as_bytes());
    }
}
