//! `list`: the jails that run.

use super::prepare::Result;
use super::select;
use crate::cli;
use crate::error;
use crate::jail::records::Elsewhere;
use crate::jail::running::{Processes, Running, Selector, State};
use crate::report::list::{self, Row};
use crate::report::printed;

/// Lists them all, or those that are named; 1 if one of those does not run.
pub(super) fn list(options: &cli::List) -> Result<u8> {
    let selectors = options.jails.iter().map(|jail| select::selector(jail)).collect::<Result<Vec<_>>>()?;
    let (runs, processes) = (select::runs()?, Processes::now());
    let is_meant = |running: &&Running| {
        selectors.is_empty() || selectors.iter().any(|selector| selector.matches(running, &processes))
    };
    let is_meant_elsewhere = |other: &&Elsewhere| {
        selectors.is_empty() || selectors.iter().any(|selector| selector.matches_elsewhere(other))
    };
    let here = runs.here.iter().filter(is_meant).map(|running| row(running, &processes));
    let rows: Vec<Row> =
        here.chain(runs.elsewhere.iter().filter(is_meant_elsewhere).map(row_elsewhere)).collect();
    let text = if options.json {
        printed::json(&list::json(&rows))
    } else if options.names {
        list::names(&rows).iter().flat_map(|name| [name, "\n"]).collect()
    } else {
        list::text(&rows)
    };
    let code = error::print(&text);
    let is_there = |selector: &Selector| {
        runs.here.iter().any(|running| selector.matches(running, &processes))
            || runs.elsewhere.iter().any(|other| selector.matches_elsewhere(other))
    };
    Ok(if selectors.iter().all(is_there) { code } else { code.max(error::exit::FINDING) })
}

/// What is told of one.
pub(super) fn row(running: &Running, processes: &Processes) -> Row {
    let facts = running.facts(processes);
    Row {
        name: running.entry.jail.clone(),
        state: match facts.state {
            State::Starting => "starting",
            State::Running => "running",
            State::Stopped => "stopped",
            State::Frozen => "frozen",
        },
        pid: facts.program,
        supervisor: running.supervisor,
        first: Some(running.first),
        seconds: Some(facts.age),
        memory: Some(facts.memory),
        tasks: Some(facts.tasks),
        tree: running.entry.tree.clone(),
    }
}

/// What is told of one out of reach: what its record says.
fn row_elsewhere(other: &Elsewhere) -> Row {
    Row {
        name: other.entry.jail.clone(),
        state: "elsewhere",
        pid: None,
        supervisor: other.supervisor,
        first: None,
        seconds: None,
        memory: None,
        tasks: None,
        tree: other.entry.tree.clone(),
    }
}
