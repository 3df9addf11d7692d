//! `list`: the jails that run.

use super::prepare::Result;
use super::select;
use crate::cli;
use crate::error;
use crate::jail::running::{Processes, Running, Selector, State};
use crate::report::list::{self, Row};

/// Lists them all, or those that are named; 1 if one of those does not run.
pub(super) fn list(options: &cli::List) -> Result<u8> {
    let selectors = options.jails.iter().map(|jail| select::selector(jail)).collect::<Result<Vec<_>>>()?;
    let (running, processes) = (select::all()?, Processes::now());
    let is_meant = |running: &&Running| {
        selectors.is_empty() || selectors.iter().any(|selector| selector.matches(running, &processes))
    };
    let rows: Vec<Row> = running.iter().filter(is_meant).map(|running| row(running, &processes)).collect();
    let text = if options.json {
        format!("{:#}\n", list::json(&rows))
    } else if options.names {
        list::names(&rows).iter().flat_map(|name| [name, "\n"]).collect()
    } else {
        list::text(&rows)
    };
    let code = error::print(&text);
    let is_there = |selector: &Selector| running.iter().any(|running| selector.matches(running, &processes));
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
        first: running.first,
        seconds: facts.age,
        memory: facts.memory,
        tasks: facts.tasks,
        tree: running.entry.tree.clone(),
    }
}
