//! What `stockade diagnose --json` tells.
//!
//! ```text
//! format     1; raised when a member changes its meaning or disappears
//! jail       the jail's name
//! lacks[]    what (in words), lines[] (of the manifest, each of which gives a part of it), hint (what to do where no line does, or null)
//! lines[]    text (as it is told to people), table and key (null for a remark), value (in TOML; of a table, its lines), list (whether
//!            it is one entry of a list; a table with the target of one that is there is a key for that one), powerful (whether it has power over the host, so that --apply does not write it)
//! ```

use serde_json::{Value, json};

/// One thing that is lacking.
pub struct Lacking {
    /// What, and for whom.
    pub what: String,
    /// What gives it.
    pub lines: Vec<Given>,
    /// What to do where no line does.
    pub hint: Option<String>,
}

/// A line that gives it.
pub struct Given {
    /// As it is told to people.
    pub text: String,
    /// Its table.
    pub table: Option<&'static str>,
    /// Its key there.
    pub key: Option<&'static str>,
    /// What it says, in TOML.
    pub value: String,
    /// Whether that is one entry of a list.
    pub is_entry: bool,
    /// Whether it has power over the host.
    pub is_powerful: bool,
}

/// Everything that is lacking.
pub fn json(jail: &str, lacks: &[Lacking]) -> Value {
    let line = |line: &Given| {
        json!({
            "text": line.text, "table": line.table, "key": line.key, "value": line.value, "list": line.is_entry,
            "powerful": line.is_powerful,
        })
    };
    let lack = |lack: &Lacking| {
        let lines: Vec<Value> = lack.lines.iter().map(line).collect();
        json!({ "what": lack.what, "lines": lines, "hint": lack.hint })
    };
    json!({ "format": 1, "jail": jail, "lacks": lacks.iter().map(lack).collect::<Vec<_>>() })
}
