//! `manifest`: text → parse → merge → decode → check → every finding as text and as JSON.

use stockade::manifest::finding::{Finding, Severity};
use stockade::manifest::{self, Loaded, Request, keys};
use stockade::report::diagnostic::{self, Diagnostic, Style};

use super::place::{self, Place};
use super::{parts, seeds};

/// What a manifest may include. Names are not the fuzzer's to choose: it would write wherever they lead.
const INCLUDED: [&str; 3] = ["b.toml", "c.toml", "d/e.toml"];

pub(super) fn load(data: &[u8]) {
    place::with(|place| drop(load_in(place, data)));
}

/// Loads a manifest with what it includes and the options of `%% set KEY=VALUE`.
pub(super) fn load_in(place: &Place, data: &[u8]) -> Option<Loaded> {
    let (text, parts) = parts::split(data);
    let mut sets = Vec::new();
    let mut written = vec!["a.toml"];
    place.write("a.toml", text);
    for (what, text) in parts {
        if let Some(set) = what.strip_prefix("set ") {
            sets.push(set.to_owned());
        } else if let Some(name) = INCLUDED.iter().find(|name| what.strip_prefix("file ") == Some(name)) {
            place.write(name, text);
            written.push(name);
        }
    }
    written.sort_unstable();
    written.dedup();
    let loaded = manifest::load(&Request {
        jail: place.path("a.toml").into_os_string(),
        sets,
        extra_arguments: Vec::new(),
    });
    for name in written {
        place.remove(name);
    }
    match loaded {
        Ok(loaded) => {
            assert!(loaded.warnings.iter().all(|finding| finding.severity == Severity::Warning));
            shown(&loaded.warnings);
            Some(loaded)
        }
        Err(findings) => {
            assert!(findings.iter().any(|finding| finding.severity == Severity::Error));
            shown(&findings);
            None
        }
    }
}

/// Findings can be shown, and nothing of them is obeyed by a terminal.
pub(super) fn shown(findings: &[Finding]) {
    let diagnostics: Vec<Diagnostic> = findings.iter().cloned().map(Diagnostic::from).collect();
    let text = diagnostic::texts(&diagnostics, "a.toml", Style::PLAIN);
    harmless(&text);
    assert_eq!(text.is_empty(), findings.is_empty());
    let json: serde_json::Value = serde_json::from_str(&diagnostic::json(&diagnostics)).unwrap();
    assert_eq!(json.as_array().map(Vec::len), Some(findings.len()));
}

/// A text for people, whoever gave the names in it.
pub(super) fn harmless(text: &str) {
    let harmful = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}');
    assert!(!text.contains(harmful), "{text:?}");
}

/// The manifests of `jails/`, every key by its example, and files that include each other.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = seeds::jails();
    for table in tables() {
        let mut text = match table {
            "" => String::new(),
            "mounts" => "[[mounts]]\n".to_owned(),
            "limits.*" => "[limits]\nopen_files = {".to_owned(),
            table if table.contains('.') => format!("[[{table}]]\n"),
            table => format!("[{table}]\n"),
        };
        for key in keys::KEYS.iter().filter(|key| key.table == table && !key.example.starts_with('[')) {
            text += key.example;
            text += if table == "limits.*" { ", " } else { "\n" };
        }
        text += if table == "limits.*" { "}\n" } else { "" };
        seeds.push(text.clone().into_bytes());
        let example = "name = \"web\"\ninclude = [\"b.toml\", \"d/e.toml\"]\nreplace = [\"tree.files\"]\n";
        seeds.push(parts::join(
            example.as_bytes(),
            &[
                ("file b.toml", text.as_bytes()),
                ("file d/e.toml", b"include = [\"../c.toml\"]"),
                ("file c.toml", b"include = [\"b.toml\"]\n[program]\ncommand = [\"/bin/sh\"]"),
                ("set program.nice=5", b""),
            ],
        ));
    }
    seeds
}

fn tables() -> Vec<&'static str> {
    let mut tables: Vec<_> = keys::KEYS.iter().map(|key| key.table).collect();
    tables.dedup();
    tables
}

/// The names of all keys, how values are written, and the parts of an input.
pub(super) fn words() -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> =
        ["\n%% file b.toml\n", "\n%% set ", "\"\"\"", "'''", "[[", "]]", "0o7", "1979-05-27", "\\u202e"]
            .map(|word| word.as_bytes().to_vec())
            .to_vec();
    for key in keys::KEYS {
        words.push(key.name.as_bytes().to_vec());
        if let Some((_, value)) = key.example.split_once(" = ") {
            words.push(value.as_bytes().to_vec());
        }
    }
    words.extend(tables().into_iter().map(|table| format!("\n[{table}]\n").into_bytes()));
    words.sort_unstable();
    words.dedup();
    words
}
