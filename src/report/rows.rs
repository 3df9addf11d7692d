//! Paths of a tree with what there is to say of each: what a build changes, what a verification finds.
//!
//! ```text
//! build --json     format (1), jail, generation (null: nothing was built), since (the generation compared with, or null), changes[]; of
//!                  `--all` an array of these
//! verify --json    format (1), jails[]: jail, generation, paths (in the record), bytes (read), findings[], untold (how many more)
//! changes[], findings[]
//!                  what (added, changed, removed; altered, missing, added, stale), path, details[], reason and hint (or null)
//! ```
//!
//! Members may be added; one that changes its meaning or disappears raises `format`.
//!
//! Names in a tree may be anybody's, so nothing of them reaches the terminal as a control character.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::json::text as any_text;
use super::layout::Style;
use crate::plan::quote::Escaped;

/// One path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What is the matter with it, in one word.
    pub word: &'static str,
    /// The path, as the jailed program says it.
    pub path: PathBuf,
    /// What there is to say, a phrase each.
    pub details: Vec<String>,
    /// Why it is in the tree, if it is known.
    pub reason: Option<String>,
    /// What to do, if anything.
    pub hint: Option<String>,
}

/// The rows as text: the path after its word, and below it a line for each fact. Advice that holds for several rows in a row is
/// given once, after the last of them.
pub fn text(rows: &[Row], colour: bool) -> String {
    let style = Style { colour };
    let width = rows.iter().map(|row| row.word.len()).max().unwrap_or_default();
    let mut out = String::new();
    // Writing to a String cannot fail.
    for (at, row) in rows.iter().enumerate() {
        let path = Escaped(row.path.as_os_str().as_bytes());
        let _ = writeln!(out, "{} {path}", style.bold(&format!("{:width$}", row.word)));
        let mut below = |line: String| {
            let _ = writeln!(out, "{:width$} {}", "", style.dim(&line));
        };
        for detail in &row.details {
            below(Escaped(detail.as_bytes()).to_string());
        }
        if let Some(reason) = &row.reason {
            below(format!("for: {}", Escaped(reason.as_bytes())));
        }
        let is_repeated = rows.get(at + 1).is_some_and(|next| next.hint == row.hint);
        if let Some(hint) = row.hint.as_ref().filter(|_| !is_repeated) {
            below(format!("hint: {hint}"));
        }
    }
    out
}

/// The rows for programs. `path` is text, or `{"base16": …}` where it is none.
pub fn json(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        json!({
            "what": row.word,
            "path": any_text(&row.path),
            "details": row.details,
            "reason": row.reason,
            "hint": row.hint,
        })
    };
    rows.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn rows() -> [Row; 2] {
        let row = Row {
            word: "added",
            path: OsStr::from_bytes(b"/a\n\xff\x1b[m").into(),
            details: vec!["leads to \u{1b}".to_owned()],
            reason: Some("web.toml:3".to_owned()),
            hint: None,
        };
        let other = Row {
            word: "removed",
            path: "/b".into(),
            details: Vec::new(),
            reason: None,
            hint: Some("go".into()),
        };
        [row, other]
    }

    #[test]
    fn no_name_reaches_the_terminal_as_it_is() {
        let expected = concat!(
            "added   /a\\n\\xff\\u{1b}[m\n",
            "        leads to \\u{1b}\n",
            "        for: web.toml:3\n",
            "removed /b\n",
            "        hint: go\n",
        );
        assert_eq!(text(&rows(), false), expected);
    }

    #[test]
    fn every_name_survives_in_json() {
        let value = json(&rows());
        assert_eq!(value[0]["path"], json!({ "base16": "2f610aff1b5b6d" }));
        assert_eq!(
            value[1],
            json!({ "what": "removed", "path": "/b", "details": [], "reason": null, "hint": "go" })
        );
    }
}
