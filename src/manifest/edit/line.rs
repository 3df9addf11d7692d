//! One line for a manifest: what, where, why, and how it is written.

use std::fmt::Write as _;

/// One thing to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where.
    pub place: Place,
    /// What, in TOML. Of a table, its lines.
    pub value: String,
    /// Why, on one line.
    pub reason: String,
}

/// Where something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// `key = value` in a table; an empty table is the top.
    Value(&'static str, &'static str),
    /// An entry of a list.
    Entry(&'static str, &'static str),
    /// A table of a list of tables, such as `mounts`.
    Table(&'static str),
    /// A key for a table of such a list that is there: of the two lines of the value the first is the `target` that tells which.
    Within(&'static str),
    /// What is not said, but could be: a comment, with the table it would be about.
    Remark(&'static str),
}

impl Line {
    /// `key = value`.
    pub fn value(
        table: &'static str,
        key: &'static str,
        value: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self { place: Place::Value(table, key), value: value.into(), reason: reason.into() }
    }

    /// An entry of a list.
    pub fn entry(
        table: &'static str,
        key: &'static str,
        value: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self { place: Place::Entry(table, key), value: value.into(), reason: reason.into() }
    }

    /// A key for the table of a list that has this target.
    pub fn within(
        list: &'static str,
        target: &str,
        key: &str,
        value: &str,
        reason: impl Into<String>,
    ) -> Self {
        let value = format!("target = {}\n{key} = {value}", quoted(target));
        Self { place: Place::Within(list), value, reason: reason.into() }
    }

    /// The line as it would stand in a manifest, to be told.
    pub fn told(&self) -> String {
        match self.place {
            Place::Value("", key) => format!("{key} = {}", self.value),
            Place::Value(table, key) => format!("[{table}] {key} = {}", self.value),
            Place::Entry(table, key) => format!("[{table}] {key} = [{}]", self.value),
            Place::Table(list) | Place::Within(list) => {
                format!("[[{list}]] {}", self.value.trim_end().replace('\n', ", "))
            }
            Place::Remark(_) => self.value.trim_end().replacen("]]\n", "]] ", 1).replace('\n', ", "),
        }
    }
}

/// `key = value` with its reason.
pub(super) fn value(key: &str, line: &Line) -> String {
    if line.reason.is_empty() {
        return format!("{key} = {}\n", line.value);
    }
    format!("# {}\n{key} = {}\n", line.reason, line.value)
}

/// A list.
pub(super) fn list(key: &str, lines: &[&Line]) -> String {
    let entries: String = lines.iter().map(|line| entry(line)).collect();
    format!("{key} = [\n{entries}]\n")
}

/// An entry of a list with its reason.
pub(super) fn entry(line: &Line) -> String {
    if line.reason.is_empty() {
        return format!("    {},\n", line.value);
    }
    format!("    {},  # {}\n", line.value, line.reason)
}

/// Tables of a list, each with its reason.
pub(super) fn tables(list: &str, lines: &[&Line]) -> String {
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        if !line.reason.is_empty() {
            _ = writeln!(text, "# {}", line.reason);
        }
        _ = writeln!(text, "[[{list}]]\n{}", line.value.trim_end());
    }
    text
}

/// A comment with its reason.
pub(super) fn remark(line: &Line) -> String {
    format!("# {}\n{}", line.reason, comment(&line.value))
}

/// Lines as comments.
pub(super) fn comment(lines: &str) -> String {
    let mut text = String::new();
    for line in lines.lines() {
        _ = writeln!(text, "#     {line}");
    }
    text
}

/// A basic string of TOML.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out += "\\n",
            '\t' => out += "\\t",
            c if c.is_control() => _ = write!(out, "\\u{:04X}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
