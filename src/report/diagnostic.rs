//! An error or a warning as text: what, where, why, what to do.
//!
//! ```text
//! error: unknown key `comand` in `[program]`
//!   --> jails/web.toml:3:1
//!     3 | comand = ["/bin/true"]
//!       | ^^^^^^
//!   why: …
//! hint: did you mean `command`?
//! ```
//!
//! Manifests may come from anybody, so nothing of them reaches the terminal as a control character.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use serde::Serialize;

use crate::plan::quote::is_harmful;
use crate::plan::{Origin, Place};

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// What was asked for cannot be done.
    Error,
    /// It can, but perhaps something else was meant.
    Warning,
}

impl Severity {
    /// The word in front of a message, and in JSON.
    const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing to tell the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop; names in backticks.
    pub message: String,
    /// Where it comes from: a place is shown with its line, an option as it was typed.
    pub origin: Option<Origin>,
    /// Further facts, a line each.
    pub why: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The same for programs. Stable: members may be added, none will be renamed or removed.
#[derive(Serialize)]
struct Json<'a> {
    /// `error` or `warning`
    severity: &'static str,
    message: &'a str,
    /// The manifest, or null when it is about none.
    file: Option<String>,
    /// From 1; null when `file` is.
    line: Option<u32>,
    /// From 1, in characters; null when `file` is.
    column: Option<u32>,
    /// Further facts; may be empty.
    why: &'a [String],
    /// What to do, or null.
    hint: Option<&'a str>,
}

/// ANSI colours, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// For a file, a pipe, or who wants none.
    pub const PLAIN: Self = Self { colour: false };

    /// For stdout, by the same rules.
    pub fn for_stdout() -> Self {
        Self { colour: std::io::stdout().is_terminal() && Self::wanted() }
    }

    /// Whether it asks for colours.
    pub fn has_colour(self) -> bool {
        self.colour
    }

    /// For stderr: coloured on a terminal, unless NO_COLOR is set (see no-color.org) or the terminal is dumb.
    pub fn for_stderr() -> Self {
        Self { colour: std::io::stderr().is_terminal() && Self::wanted() }
    }

    /// Whether the environment leaves room for colours.
    fn wanted() -> bool {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        !set("NO_COLOR") && !dumb
    }

    /// Text in a colour.
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const BLUE: &str = "1;34";
const CYAN: &str = "1;36";

impl Diagnostic {
    /// An error about nothing in a manifest.
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), origin: None, why: Vec::new(), hint: None }
    }

    /// A warning about nothing in a manifest.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// The same with one more fact.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why.push(why.into());
        self
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The whole text, with a newline at its end.
    pub fn text(&self, style: Style) -> String {
        let colour = match self.severity {
            Severity::Error => RED,
            Severity::Warning => YELLOW,
        };
        let mut out = format!("{}: {}\n", style.paint(colour, self.severity.name()), clipped(&self.message));
        let arrow = style.paint(BLUE, "-->");
        // A resolved value is shown where it was asked for.
        let mut origin = self.origin.as_ref();
        while let Some(Origin::Resolved(_, from)) = origin {
            origin = Some(from);
        }
        match origin {
            Some(Origin::Manifest(place)) => {
                let path = escape(&place.source.path.to_string_lossy());
                let _ = writeln!(out, "  {arrow} {path}:{}:{}", place.line, place.column);
                out += &excerpt(place, style, colour);
            }
            Some(Origin::CommandLine(option)) => {
                let _ = writeln!(out, "  {arrow} {}", escape(option));
            }
            _ => {}
        }
        for why in &self.why {
            let _ = writeln!(out, "  {}: {}", style.paint(BLUE, "why"), clipped(why));
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "{}: {}", style.paint(CYAN, "hint"), clipped(hint));
        }
        out
    }
}

/// Several diagnostics with an empty line between them, and how many there are.
pub fn texts(diagnostics: &[Diagnostic], subject: &str, style: Style) -> String {
    let mut out = diagnostics.iter().map(|one| one.text(style)).collect::<Vec<_>>().join("\n");
    if diagnostics.len() > 1 {
        let _ = writeln!(out, "\n{} in {}", counted(diagnostics), escape(subject));
    }
    out
}

/// `2 errors, 1 warning`
pub fn counted(diagnostics: &[Diagnostic]) -> String {
    let counts = [Severity::Error, Severity::Warning].map(|severity| {
        match diagnostics.iter().filter(|one| one.severity == severity).count() {
            0 => String::new(),
            1 => format!("1 {}", severity.name()),
            count => format!("{count} {}s", severity.name()),
        }
    });
    counts.into_iter().filter(|count| !count.is_empty()).collect::<Vec<_>>().join(", ")
}

/// All of them as one JSON array, with a newline at its end.
pub fn json(diagnostics: &[Diagnostic]) -> String {
    let array: Vec<Json> = diagnostics
        .iter()
        .map(|one| {
            let place = one.origin.as_ref().and_then(Origin::place);
            Json {
                severity: one.severity.name(),
                message: &one.message,
                file: place.map(|place| place.source.path.to_string_lossy().into_owned()),
                line: place.map(|place| place.line),
                column: place.map(|place| place.column),
                why: &one.why,
                hint: one.hint.as_deref(),
            }
        })
        .collect();
    // Strings and numbers only: there is nothing in it that cannot be written.
    let text = serde_json::to_string_pretty(&array).unwrap_or_else(|_| "[]".into());
    super::printed::harmless(&(text + "\n"))
}

/// Columns of a terminal an excerpt may take.
const WIDEST: usize = 100;
/// How much of a long line is shown before the place meant.
const LEAD: usize = 40;

/// The line with the place underlined. Long lines are cut around it.
fn excerpt(place: &Place, style: Style, colour: &str) -> String {
    let line = place.excerpt();
    let start = place.column as usize - 1;
    let end = start + place.length as usize;
    let first = if line.chars().count() > WIDEST { start.saturating_sub(LEAD) } else { 0 };

    let mut shown = String::from(if first > 0 { "…" } else { "" });
    let mut width = usize::from(first > 0);
    let (mut before, mut under) = (None, 0);
    let mut cut = false;
    for (at, c) in line.chars().enumerate().skip(first) {
        if width >= WIDEST {
            cut = true;
            break;
        }
        let text = if c == '\t' { " ".repeat(4 - width % 4) } else { escape(c.encode_utf8(&mut [0; 4])) };
        let columns = text.chars().map(columns).sum::<usize>();
        if at == start {
            before = Some(width);
        }
        if (start..end).contains(&at) {
            under += columns;
        }
        width += columns;
        shown += &text;
    }
    // What is missing may be missing at the end of the line.
    let before = before.unwrap_or(width);
    if cut {
        shown.push('…');
    }
    let bar = style.paint(BLUE, "|");
    let number = style.paint(BLUE, &format!("{:>5}", place.line));
    let carets = style.paint(colour, &"^".repeat(under.max(1)));
    format!("{number} {bar} {shown}\n      {bar} {}{carets}\n", " ".repeat(before))
}

/// Text without anything a terminal would obey: control characters, and marks that turn the direction of writing.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// The same, and no longer than anybody reads: a message quotes what a manifest says, which may be a megabyte.
fn clipped(text: &str) -> String {
    const LONGEST: usize = 1000;
    match text.char_indices().nth(LONGEST) {
        None => escape(text),
        Some((end, _)) => escape(&text[..end]) + "…",
    }
}

/// How many columns a terminal gives a character: none for what is put on the one before, two for East Asian wide ones and
/// pictures. Rough, and enough to put a caret under the right word.
fn columns(c: char) -> usize {
    match c as u32 {
        0x300..=0x36f
        | 0x483..=0x489
        | 0x591..=0x5bd
        | 0x200b..=0x200d
        | 0x20d0..=0x20ff
        | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::plan::Source;

    fn at(text: &str, column: u32, length: u32) -> String {
        let source = Rc::new(Source { path: "x.toml".into(), text: text.into() });
        excerpt(&Place { source, line: 1, column, length }, Style::PLAIN, RED)
    }

    #[test]
    fn the_caret_stands_under_the_word() {
        assert_eq!(at("user = 5", 8, 1), "    1 | user = 5\n      |        ^\n");
        assert_eq!(at("\tuser", 2, 4), "    1 |     user\n      |     ^^^^\n");
        assert_eq!(at("日本 = x", 6, 1), "    1 | 日本 = x\n      |        ^\n");
        assert_eq!(at("a =", 4, 1), "    1 | a =\n      |    ^\n");
        assert_eq!(at("", 1, 1), "    1 | \n      | ^\n");
    }

    #[test]
    fn a_long_line_is_cut_around_the_word() {
        let text = format!("{}here{}", "a".repeat(500), "b".repeat(500));
        let shown = at(&text, 501, 4);
        let expected =
            format!("    1 | …{}here{}…\n      | {}^^^^\n", "a".repeat(40), "b".repeat(55), " ".repeat(41));
        assert_eq!(shown, expected);
    }

    #[test]
    fn nothing_reaches_the_terminal_as_a_command() {
        let one = Diagnostic::error("a\x1b[2Jb\u{202e}c\nd");
        assert_eq!(one.text(Style::PLAIN), "error: a\\u{1b}[2Jb\\u{202e}c\\nd\n");
        assert_eq!(at("\x1b]0;x\x07", 1, 1), "    1 | \\u{1b}]0;x\\u{7}\n      | ^^^^^^\n");
    }

    #[test]
    fn json_has_every_member() {
        let text = json(&[Diagnostic::error("no").why("because")]);
        let expected = "[\n  {\n    \"severity\": \"error\",\n    \"message\": \"no\",\n    \"file\": null,\n    \
                        \"line\": null,\n    \"column\": null,\n    \"why\": [\n      \"because\"\n    ],\n    \
                        \"hint\": null\n  }\n]\n";
        assert_eq!(text, expected);
        assert_eq!(json(&[]), "[]\n");
    }
}
