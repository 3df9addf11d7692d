//! The jails that run, as text, as names and as JSON.
//!
//! ```text
//! format          1; raised when a member changes its meaning or disappears
//! jails[]         by name
//!   name          the jail's name
//!   instance      NAME@SUPERVISOR: which run of it, where there are several
//!   state         starting, running, stopped or frozen; elsewhere for one in another PID namespace or on another host, of which
//!                 the numbers of processes would mean others here: all below but supervisor and tree are null
//!   pid           of the program, as the host counts; null if it has not started
//!   supervisor    the process that `stockade run` is
//!   first         PID 1 of the jail, as the host counts
//!   uptime        in seconds
//!   memory        in bytes: what each process has in use, shared memory counted for each
//!   tasks         processes and threads
//!   tree          the tree it runs from
//! ```

use std::path::PathBuf;

use serde_json::{Value, json};

use super::amount;
use super::json::text as path_text;
use crate::plan::JailName;

/// One jail that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: JailName,
    /// `starting`, `running`, `stopped`, `frozen` or `elsewhere`.
    pub state: &'static str,
    /// Its program.
    pub pid: Option<i32>,
    /// Its supervisor.
    pub supervisor: i32,
    /// Its PID 1.
    pub first: Option<i32>,
    /// Since when.
    pub seconds: Option<u64>,
    /// Bytes in use.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
    /// Its tree.
    pub tree: PathBuf,
}

/// How each is called so that it alone is meant: by its name where it is the only one of it.
pub fn names(rows: &[Row]) -> Vec<String> {
    let name = |row: &Row| {
        let same = rows.iter().filter(|other| other.name == row.name).count();
        if same == 1 { row.name.to_string() } else { instance(row) }
    };
    rows.iter().map(name).collect()
}

/// The name of this run, whatever others there are.
fn instance(row: &Row) -> String {
    format!("{}@{}", row.name, row.supervisor)
}

/// A table with a line for each, or nothing at all.
pub fn text(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let or_dash = |told: Option<String>| told.unwrap_or_else(|| "-".to_owned());
    let header = ["NAME", "STATE", "PID", "UPTIME", "MEMORY", "TASKS"].map(str::to_owned);
    let cells = rows.iter().zip(names(rows)).map(|(row, name)| {
        [
            name,
            row.state.to_owned(),
            or_dash(row.pid.map(|pid| pid.to_string())),
            or_dash(row.seconds.map(amount::duration)),
            or_dash(row.memory.map(amount::bytes)),
            or_dash(row.tasks.map(|tasks| tasks.to_string())),
        ]
    });
    super::layout::table(&std::iter::once(header).chain(cells).collect::<Vec<_>>())
}

/// The same as JSON.
pub fn json(rows: &[Row]) -> Value {
    let jail = |row: &Row| {
        json!({
            "name": row.name.as_str(),
            "instance": instance(row),
            "state": row.state,
            "pid": row.pid,
            "supervisor": row.supervisor,
            "first": row.first,
            "uptime": row.seconds,
            "memory": row.memory,
            "tasks": row.tasks,
            "tree": path_text(&row.tree),
        })
    };
    json!({ "format": 1, "jails": rows.iter().map(jail).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, supervisor: i32) -> Row {
        Row {
            name: JailName::parse(name).unwrap(),
            state: "running",
            pid: Some(supervisor + 2),
            supervisor,
            first: Some(supervisor + 1),
            seconds: Some(61),
            memory: Some(1 << 20),
            tasks: Some(3),
            tree: "/t".into(),
        }
    }

    #[test]
    fn runs_of_one_jail_are_told_apart() {
        let starting = Row { state: "starting", pid: None, ..row("dns", 10) };
        let rows = [starting, row("web", 20), row("web", 30)];
        let expected = "\
NAME    STATE     PID  UPTIME  MEMORY   TASKS
dns     starting  -    1m 1s   1.0 MiB  3
web@20  running   22   1m 1s   1.0 MiB  3
web@30  running   32   1m 1s   1.0 MiB  3
";
        assert_eq!(text(&rows), expected);
        assert_eq!(text(&[]), "");
        assert_eq!(names(&rows[..2]), ["dns", "web"]);
        assert_eq!(
            json(&rows[..1]),
            json!({ "format": 1, "jails": [{
                "name": "dns", "instance": "dns@10", "state": "starting", "pid": null, "supervisor": 10, "first": 11,
                "uptime": 61, "memory": 1 << 20, "tasks": 3, "tree": "/t",
            }] })
        );
    }
}
