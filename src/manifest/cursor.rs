//! Taking a table apart, key by key: what is asked for is read, what is wrong becomes a finding, what is left over at the end
//! is unknown. Nothing stops at the first error.

use super::advice;
use super::finding::Finding;
use super::keys::{self, Key};
use super::node::{Entry, Node, Table, Value};
use super::read::{Problem, Read};
use crate::plan::{At, Origin};

/// Which part of a key's value is being read, for the words of a finding.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// One entry of the list it is.
    Entry,
}

/// One table on its way to a struct of the schema.
pub(super) struct Cursor<'f> {
    /// Its name in [`keys::KEYS`].
    table: &'static str,
    /// What has not been asked for yet.
    entries: Table,
    /// Where it starts.
    origin: Origin,
    findings: &'f mut Vec<Finding>,
}

impl<'f> Cursor<'f> {
    /// A table with its name.
    pub(super) fn new(
        table: &'static str,
        entries: Table,
        origin: &Origin,
        findings: &'f mut Vec<Finding>,
    ) -> Self {
        Self { table, entries, origin: origin.clone(), findings }
    }

    /// Reports something no reader could see. Of a file that is wrong throughout, the first findings are enough.
    pub(super) fn report(&mut self, finding: Finding) {
        if self.findings.len() < Finding::MOST {
            self.findings.push(finding);
        }
    }

    /// A table inside this one, under the name it has in [`keys::KEYS`].
    pub(super) fn inner(&mut self, table: &'static str, entries: Table, origin: &Origin) -> Cursor<'_> {
        Cursor::new(table, entries, origin, self.findings)
    }

    /// The raw value under a key.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Entry> {
        debug_assert!(keys::find(self.table, name).is_some(), "{}.{name} is missing in KEYS", self.table);
        self.entries.remove(name)
    }

    /// The value of a key that may be absent.
    pub(super) fn value<T>(&mut self, name: &'static str, read: impl Fn(&Node) -> Read<T>) -> Option<At<T>> {
        self.value_by(name, &read)
    }

    /// The same for any reader: compiled once a type, not once a key.
    #[inline(never)]
    fn value_by<T>(&mut self, name: &'static str, read: &dyn Fn(&Node) -> Read<T>) -> Option<At<T>> {
        let node = self.take(name)?.node;
        self.read(name, Part::Whole, &node, read)
    }

    /// The value of a key that must be there.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&Node) -> Read<T>,
    ) -> Option<At<T>> {
        if !self.entries.contains_key(name) {
            let example = keys::find(self.table, name).map_or("", |key| key.example);
            let finding =
                Finding::error(format!("{} has no `{name}`", keys::header(self.table)), &self.origin)
                    .hint(format!("add it, such as `{example}`"));
            self.report(finding);
        }
        self.value(name, read)
    }

    /// Every entry of a list; `None` when there is no list.
    pub(super) fn maybe_list<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&Node) -> Read<T>,
    ) -> Option<Vec<At<T>>> {
        self.list_by(name, &read)
    }

    /// The same for any reader.
    #[inline(never)]
    fn list_by<T>(&mut self, name: &'static str, read: &dyn Fn(&Node) -> Read<T>) -> Option<Vec<At<T>>> {
        let nodes = self.nodes(name)?;
        Some(nodes.iter().filter_map(|node| self.read(name, Part::Entry, node, read)).collect())
    }

    /// Every entry of a list; empty when there is no list.
    pub(super) fn list<T>(&mut self, name: &'static str, read: impl Fn(&Node) -> Read<T>) -> Vec<At<T>> {
        self.maybe_list(name, read).unwrap_or_default()
    }

    /// A list of plain values as one value with the list's place.
    pub(super) fn whole_list<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&Node) -> Read<T>,
    ) -> Option<At<Vec<T>>> {
        let origin = self.entries.get(name)?.node.origin.clone();
        let value = self.maybe_list(name, read)?.into_iter().map(|at| at.value).collect();
        Some(At { value, origin })
    }

    /// Every entry of a list of tables, each decoded by `decode`; `short` reads entries that are mere text, where allowed.
    pub(super) fn tables<T>(
        &mut self,
        name: &'static str,
        table: &'static str,
        short: Option<fn(&Node) -> Read<T>>,
        decode: fn(&mut Cursor) -> Option<T>,
    ) -> Vec<At<T>> {
        let mut decoded = Vec::new();
        for node in self.nodes(name).unwrap_or_default() {
            match (node.value, short) {
                (Value::Table(entries), _) => {
                    let mut cursor = Cursor::new(table, entries, &node.origin, self.findings);
                    let value = decode(&mut cursor);
                    cursor.finish();
                    decoded.extend(value.map(|value| At { value, origin: node.origin }));
                }
                (value, short) => {
                    let node = Node { value, ..node };
                    let read = |node: &Node| short.map_or(Err(Problem::Kind), |short| short(node));
                    decoded.extend(self.read(name, Part::Entry, &node, &read));
                }
            }
        }
        decoded
    }

    /// A table of this table, decoded by `decode`.
    pub(super) fn section<T>(&mut self, name: &'static str, decode: fn(&mut Cursor) -> T) -> Option<At<T>> {
        let Entry { node, .. } = self.take(name)?;
        let Value::Table(entries) = node.value else {
            self.wrong(name, Part::Whole, &node, Problem::Kind);
            return None;
        };
        let mut cursor = Cursor::new(name, entries, &node.origin, self.findings);
        let value = decode(&mut cursor);
        cursor.finish();
        Some(At { value, origin: node.origin })
    }

    /// What was not asked for is unknown.
    pub(super) fn finish(self) {
        let room = Finding::MOST.saturating_sub(self.findings.len());
        for (name, entry) in self.entries.into_iter().take(room) {
            let place = if self.table.is_empty() {
                String::new()
            } else {
                format!(" in {}", keys::header(self.table))
            };
            let finding = Finding::error(format!("unknown key `{name}`{place}"), &entry.key)
                .hint(advice::advice(self.table, &name));
            self.findings.push(finding);
        }
    }

    /// The entries of a list.
    fn nodes(&mut self, name: &'static str) -> Option<Vec<Node>> {
        let node = self.take(name)?.node;
        if let Value::List(nodes) = node.value {
            Some(nodes)
        } else {
            self.wrong(name, Part::Whole, &node, Problem::Kind);
            None
        }
    }

    /// Reads one value, or reports why not.
    pub(super) fn read<T>(
        &mut self,
        name: &'static str,
        part: Part,
        node: &Node,
        read: &dyn Fn(&Node) -> Read<T>,
    ) -> Option<At<T>> {
        match read(node) {
            Ok(value) => Some(At { value, origin: node.origin.clone() }),
            Err(problem) => {
                self.wrong(name, part, node, problem);
                None
            }
        }
    }

    /// Reports a value that cannot be read.
    pub(super) fn wrong(&mut self, name: &'static str, part: Part, node: &Node, problem: Problem) {
        let Some(key) = keys::find(self.table, name) else { return };
        let finding = match problem {
            Problem::Kind => {
                let (subject, expects) = match part {
                    Part::Whole => (format!("`{name}`"), key.expects),
                    Part::Entry => (format!("an entry of `{name}`"), entry_of(key)),
                };
                Finding::error(format!("{subject} must be {expects}, this is {}", node.kind()), &node.origin)
                    .hint(kind_hint(key, node))
            }
            Problem::Value { message, hint: None } => Finding::error(message, &node.origin),
            Problem::Value { message, hint: Some(hint) } => Finding::error(message, &node.origin).hint(hint),
        };
        self.report(finding);
    }
}

/// What an entry of a list must be.
fn entry_of(key: &Key) -> &'static str {
    match key.expects {
        "a list of tables" => "a table",
        "a list of text or tables" => "text or a table",
        "a list of names or numbers" => "a name or a number",
        "a list of numbers, or text" => "a number",
        _ => "text",
    }
}

/// What to write instead of a value of the wrong kind: what was written where that can be told, else an example.
fn kind_hint(key: &Key, node: &Node) -> String {
    match &node.value {
        Value::Text(text) if key.expects == "a list of words" => {
            let words: Vec<_> = text.split_whitespace().map(|word| format!("{word:?}")).collect();
            format!("write `{} = [{}]`", key.name, words.join(", "))
        }
        Value::Text(text) if key.expects.starts_with("a list of text") => {
            format!("write `{} = [{text:?}]`", key.name)
        }
        Value::Text(text) if key.expects == "true or false" && matches!(text.as_str(), "true" | "false") => {
            format!("without quotes: `{} = {text}`", key.name)
        }
        Value::Text(text) if key.expects == "a number" && text.parse::<i64>().is_ok() => {
            format!("without quotes: `{} = {text}`", key.name)
        }
        Value::Integer { value, .. } if key.expects == "text" => {
            format!("in quotes: `{} = \"{value}\"`", key.name)
        }
        Value::Table(_) if key.name == "mounts" => "write `[[mounts]]`, one for each mount".into(),
        Value::List(_) if key.expects == "a table" => format!("write `[{}]`, once", key.name),
        _ => format!("for example `{}`", key.example),
    }
}
