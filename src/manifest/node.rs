//! A manifest's text as a tree of values, each with its place: what TOML says, before anything of it is understood.
//! Own types and not toml's, because layers are merged on this tree, and one of the layers is the command line.

use std::collections::BTreeMap;

use crate::plan::Origin;

/// One value with its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// What is written.
    pub(super) value: Value,
    /// Where.
    pub(super) origin: Origin,
    /// As it was typed, when it comes from the command line: `--set namespaces.hostname=7` means the text `7`, though TOML
    /// reads a number.
    pub(super) typed: Option<String>,
}

/// What TOML knows.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A string.
    Text(String),
    /// An integer of 64 bits; `octal` when written `0o…`.
    Integer { value: i64, octal: bool },
    /// A float or an integer of more than 64 bits; nothing in a manifest is one.
    Float,
    /// `true` or `false`.
    Flag(bool),
    /// A date or a time; nothing in a manifest is one.
    Date,
    /// `[ … ]`, or all `[[name]]` together.
    List(Vec<Node>),
    /// `{ … }`, `[name]`, or the whole file.
    Table(Table),
}

/// Keys and values.
pub(super) type Table = BTreeMap<String, Entry>;

/// What stands under a key.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where the key is written; the value has its own place.
    pub(super) key: Origin,
    /// The value.
    pub(super) node: Node,
}

impl Node {
    /// A value from a place.
    pub(super) fn new(value: Value, origin: Origin) -> Self {
        Self { value, origin, typed: None }
    }

    /// What this is, in words a manifest's author uses.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "text",
            Value::Integer { .. } => "a number",
            Value::Float => "a number with a fraction",
            Value::Flag(_) => "true or false",
            Value::Date => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}
