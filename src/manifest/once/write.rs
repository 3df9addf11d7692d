//! A layer as the text of a manifest: what `--save` writes.

use std::fmt::Write as _;

use crate::manifest::edit::quoted;
use crate::manifest::keys;
use crate::manifest::node::{Entry, Node, Table, Value};

/// The tables of a manifest that have a header of their own, in the order in which they are best read.
const SECTIONS: [&str; 7] = ["program", "tree", "mounts", "root", "namespaces", "limits", "privileges"];

/// The text.
pub(super) fn toml(table: &Table, before: &str) -> String {
    let mut text = before.to_owned();
    lines(&mut text, "", table, |name| !SECTIONS.contains(&name));
    for section in SECTIONS {
        match table.get(section).map(|entry| &entry.node.value) {
            Some(Value::Table(inner)) => {
                _ = writeln!(text, "\n[{section}]");
                lines(&mut text, section, inner, |_| true);
            }
            Some(Value::List(nodes)) => {
                for node in nodes {
                    if let Value::Table(inner) = &node.value {
                        _ = writeln!(text, "\n[[{section}]]");
                        lines(&mut text, section, inner, |_| true);
                    }
                }
            }
            _ => {}
        }
    }
    text
}

/// The values of a table, in the order of [`keys::KEYS`].
fn lines(text: &mut String, section: &str, table: &Table, wanted: impl Fn(&str) -> bool) {
    for key in keys::of(section).filter(|key| wanted(key.name)) {
        let Some(entry) = table.get(key.name) else { continue };
        match &entry.node.value {
            // An entry that is a table has a line for itself.
            Value::List(nodes) if nodes.iter().any(|node| matches!(node.value, Value::Table(_))) => {
                _ = writeln!(text, "{} = [", key.name);
                for node in nodes {
                    _ = writeln!(text, "    {},", value(node));
                }
                *text += "]\n";
            }
            _ => _ = writeln!(text, "{} = {}", key.name, value(&entry.node)),
        }
    }
}

/// One value.
fn value(node: &Node) -> String {
    let all = |nodes: Vec<String>| nodes.join(", ");
    match &node.value {
        Value::Text(text) => quoted(text),
        Value::Integer { value, .. } => value.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::List(nodes) => format!("[{}]", all(nodes.iter().map(value).collect())),
        Value::Table(table) => {
            let entry = |(key, entry): (&String, &Entry)| format!("{} = {}", bare(key), value(&entry.node));
            format!("{{ {} }}", all(table.iter().map(entry).collect()))
        }
        // No option makes any.
        Value::Float | Value::Date => "0".into(),
    }
}

/// A key, in quotes where it needs them.
fn bare(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !key.is_empty() && key.chars().all(plain) { key.to_owned() } else { quoted(key) }
}
