//! `[program]`

use std::collections::BTreeMap;

use crate::manifest::cursor::{Cursor, Part};
use crate::manifest::finding::Finding;
use crate::manifest::node::{Node, Value};
use crate::manifest::read::{self, Problem};
use crate::manifest::schema::{Personality, Program, ProgramType};
use crate::plan::{At, Listen, Origin};

/// Names as setarch(8) has them.
const PERSONALITIES: &[(&str, Personality)] = &[
    ("linux32", Personality::Linux32),
    ("uname26", Personality::Uname26),
    ("no-randomize", Personality::NoRandomize),
    ("compat-layout", Personality::CompatLayout),
    ("read-implies-exec", Personality::ReadImpliesExec),
    ("mmap-page-zero", Personality::MmapPageZero),
    ("3gb", Personality::Limit3Gb),
    ("sticky-timeouts", Personality::StickyTimeouts),
    ("whole-seconds", Personality::WholeSeconds),
    ("short-inode", Personality::ShortInode),
];

/// Names as systemd.service(5) has them.
const TYPES: &[(&str, ProgramType)] =
    &[("simple", ProgramType::Simple), ("forking", ProgramType::Forking), ("notify", ProgramType::Notify)];

/// `[program]`
pub(super) fn program(table: &mut Cursor) -> Program {
    Program {
        command: table.whole_list("command", read::os_word),
        extra_arguments: Vec::new(),
        user: table.value("user", read::account),
        group: table.value("group", read::account),
        supplementary_groups: table.list("supplementary_groups", read::account),
        working_directory: table.value("working_directory", read::jail_path),
        umask: table.value("umask", read::mode),
        environment: environment(table),
        pass_environment: table.list("pass_environment", variable),
        unset_environment: table.list("unset_environment", variable),
        nice: table.value("nice", read::number(-20, 19)),
        oom_score_adjust: table.value("oom_score_adjust", read::number(-1000, 1000)),
        cpu_affinity: processors(table, "cpu_affinity"),
        personality: table.list("personality", read::one_of(PERSONALITIES)),
        init: table.value("init", read::flag),
        kind: table.value("type", read::one_of(TYPES)),
        sockets: table.value("sockets", read::flag),
        listen: table.list("listen", |node| Ok(Listen::parse(&read::text(node)?)?)),
        watchdog: table.value("watchdog", read::time),
    }
}

/// What is wrong with the name of a variable, see environ(7).
fn name_problem(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("a variable of the environment has no name".into());
    }
    let bad = name.chars().find(|c| matches!(c, '=' | '\0'))?;
    Some(format!("the name of a variable cannot contain `{}`", bad.escape_default()))
}

/// A variable's name.
fn variable(node: &Node) -> read::Read<String> {
    let name = read::text(node)?;
    match name_problem(&name) {
        None => Ok(name),
        Some(message) if name.contains('=') => Err(Problem::Value {
            message,
            hint: Some("names only; a variable with its value goes to `environment`".into()),
        }),
        Some(message) => Err(Problem::Value { message, hint: None }),
    }
}

/// `environment`: any name is a key here, so it is read by hand.
fn environment(table: &mut Cursor) -> BTreeMap<String, At<String>> {
    let Some(entry) = table.take("environment") else { return BTreeMap::new() };
    let Value::Table(entries) = entry.node.value else {
        table.wrong("environment", Part::Whole, &entry.node, Problem::Kind);
        return BTreeMap::new();
    };
    let mut variables = BTreeMap::new();
    for (name, entry) in entries {
        if let Some(message) = name_problem(&name) {
            table.report(Finding::error(message, &entry.key));
        } else if let Some(value) = variable_value(table, &name, &entry.node) {
            variables.insert(name, value);
        }
    }
    variables
}

/// The value of one variable.
fn variable_value(table: &mut Cursor, name: &str, node: &Node) -> Option<At<String>> {
    match read::word(node) {
        Ok(value) => Some(At { value, origin: node.origin.clone() }),
        Err(Problem::Kind) => {
            let message = format!("the variable `{name}` must be text, this is {}", node.kind());
            let example = match node.value {
                Value::Integer { value, .. } => value.to_string(),
                Value::Flag(flag) => flag.to_string(),
                _ => "…".into(),
            };
            table.report(
                Finding::error(message, &node.origin).hint(format!("in quotes: `{name} = \"{example}\"`")),
            );
            None
        }
        Err(problem) => {
            table.wrong("environment", Part::Whole, node, problem);
            None
        }
    }
}

/// Numbers of processors: `[0, 2]` or `"0-3,8"`.
pub(super) fn processors(table: &mut Cursor, key: &'static str) -> Option<At<Vec<u32>>> {
    let node = table.take(key)?.node;
    let origin: Origin = node.origin.clone();
    let mut value = match &node.value {
        Value::List(nodes) => nodes
            .iter()
            .filter_map(|node| table.read(key, Part::Entry, node, &read::processor))
            .map(|at| at.value)
            .collect(),
        _ => table.read(key, Part::Whole, &node, &read::processors)?.value,
    };
    value.sort_unstable();
    value.dedup();
    Some(At { value, origin })
}
