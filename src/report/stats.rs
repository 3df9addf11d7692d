//! What running jails use, as text and as JSON.
//!
//! ```text
//! format            1; raised when a member changes its meaning or disappears
//! jails[]           by name
//!   name, instance  as in `list --json`
//!   time            on processors so far, in seconds
//!   processors      used since the last look, 1.0 is one of them all the time; null at the first look
//!   memory          in bytes
//!   memory_counted  by what: cgroup, or processes (the sum of what each has in use, shared memory counted for each)
//!   peak            the most memory at any time, in bytes; null where no control group tells
//!   processes
//!   tasks           processes and threads
//! ```

use std::time::Duration;

use serde_json::{Value, json};

use super::amount;
use super::layout::table;

/// What one jail uses.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// How the jail is called so that it alone is meant.
    pub called: String,
    /// Its name.
    pub name: String,
    /// Which run of it.
    pub instance: String,
    /// On processors so far.
    pub time: Duration,
    /// Processors used since the last look.
    pub processors: Option<f64>,
    /// Bytes in use.
    pub memory: u64,
    /// Whether a control group says so.
    pub by_group: bool,
    /// The most of it.
    pub peak: Option<u64>,
    /// Processes.
    pub processes: u64,
    /// Processes and threads.
    pub tasks: u64,
}

/// A table with a line for each, or nothing at all.
pub fn text(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let header = ["NAME", "CPU", "TIME", "MEMORY", "PEAK", "PROCESSES", "TASKS"].map(str::to_owned);
    let cells = rows.iter().map(|row| {
        let none = || "-".to_owned();
        [
            row.called.clone(),
            row.processors.map_or_else(none, |used| format!("{:.0}%", used * 100.0)),
            format!("{:.2}s", row.time.as_secs_f64()),
            amount::bytes(row.memory),
            row.peak.map_or_else(none, amount::bytes),
            row.processes.to_string(),
            row.tasks.to_string(),
        ]
    });
    table(&std::iter::once(header).chain(cells).collect::<Vec<_>>())
}

/// The same as JSON.
pub fn json(rows: &[Row]) -> Value {
    let jail = |row: &Row| {
        json!({
            "name": row.name,
            "instance": row.instance,
            "time": row.time.as_secs_f64(),
            "processors": row.processors,
            "memory": row.memory,
            "memory_counted": if row.by_group { "cgroup" } else { "processes" },
            "peak": row.peak,
            "processes": row.processes,
            "tasks": row.tasks,
        })
    };
    json!({ "format": 1, "jails": rows.iter().map(jail).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_a_dash() {
        let row = Row {
            called: "web".into(),
            name: "web".into(),
            instance: "web@7".into(),
            time: Duration::from_millis(1500),
            processors: None,
            memory: 3 << 20,
            by_group: false,
            peak: None,
            processes: 2,
            tasks: 5,
        };
        let grouped = Row { processors: Some(0.256), by_group: true, peak: Some(5 << 20), ..row.clone() };
        let expected = "\
NAME  CPU  TIME   MEMORY   PEAK     PROCESSES  TASKS
web   -    1.50s  3.0 MiB  -        2          5
web   26%  1.50s  3.0 MiB  5.0 MiB  2          5
";
        assert_eq!(text(&[row.clone(), grouped]), expected);
        assert_eq!(text(&[]), "");
        assert_eq!(
            json(&[row]),
            json!({ "format": 1, "jails": [{
                "name": "web", "instance": "web@7", "time": 1.5, "processors": null, "memory": 3 << 20,
                "memory_counted": "processes", "peak": null, "processes": 2, "tasks": 5,
            }] })
        );
    }
}
