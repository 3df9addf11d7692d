//! `stats`: what running jails use, once or again and again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::prepare::Result;
use super::{list, select};
use crate::cli;
use crate::error;
use crate::jail::running::Processes;
use crate::report::list as names;
use crate::report::printed;
use crate::report::stats::{self, Row};
use crate::sys::process;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Moves a terminal's cursor to the top and wipes out what is shown, see console_codes(4).
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Tells what jails use; with `--watch` until none of them runs any more, or nobody reads it. 1 if one that is named does not run.
pub(super) fn stats(options: &cli::Stats) -> Result<u8> {
    let mut last = BTreeMap::new();
    let clears = options.watch
        && !options.json
        && nix::unistd::isatty(process::standard_descriptor(1)).unwrap_or(false);
    let mut looks = 0;
    loop {
        let (rows, all_there) = look(options, &mut last)?;
        if looks > 0 && rows.is_empty() {
            return Ok(0);
        }
        let text = match (options.json, options.watch) {
            (true, true) => printed::harmless(&format!("{}\n", stats::json(&rows))),
            (true, false) => printed::json(&stats::json(&rows)),
            (false, _) => format!("{}{}", if clears { CLEAR } else { "" }, stats::text(&rows)),
        };
        let code = error::print(&text).max(if all_there { 0 } else { error::exit::FINDING });
        if !options.watch || code != 0 || rows.is_empty() || !is_read() {
            return Ok(code);
        }
        std::thread::sleep(PAUSE);
        looks += 1;
    }
}

/// What was seen of a run: when, and how long it had been on processors.
type Seen = BTreeMap<String, (Instant, Duration)>;

/// Looks once; whether everything that was named is there.
fn look(options: &cli::Stats, last: &mut Seen) -> Result<(Vec<Row>, bool)> {
    let selectors = options.jails.iter().map(|jail| select::selector(jail)).collect::<Result<Vec<_>>>()?;
    let (mut running, processes) = (select::all()?, Processes::now());
    let all_there =
        selectors.iter().all(|selector| running.iter().any(|running| selector.matches(running, &processes)));
    running.retain(|running| {
        selectors.is_empty() || selectors.iter().any(|selector| selector.matches(running, &processes))
    });
    let listed: Vec<_> = running.iter().map(|running| list::row(running, &processes)).collect();
    let mut seen = Seen::new();
    let rows = running.iter().zip(names::names(&listed)).map(|(running, called)| {
        let usage = running.usage(&processes);
        let instance = format!("{}@{}", running.entry.jail, running.supervisor);
        let now = Instant::now();
        let processors = last.get(&instance).map(|(then, time)| {
            let passed = now.duration_since(*then).as_secs_f64().max(0.001);
            usage.time.saturating_sub(*time).as_secs_f64() / passed
        });
        seen.insert(instance.clone(), (now, usage.time));
        Row {
            called,
            name: running.entry.jail.to_string(),
            instance,
            time: usage.time,
            processors,
            memory: usage.memory,
            by_group: usage.memory_by_group,
            peak: usage.peak,
            processes: usage.processes,
            tasks: usage.tasks,
        }
    });
    let rows = rows.collect();
    *last = seen;
    Ok((rows, all_there))
}

/// Whether somebody still has the other end of standard output: a pipe without a reader is in error, see poll(2).
fn is_read() -> bool {
    let mut ready = [PollFd::new(process::standard_descriptor(1), PollFlags::empty())];
    match poll(&mut ready, PollTimeout::ZERO) {
        Ok(_) | Err(_) => !ready[0].revents().is_some_and(|events| events.intersects(PollFlags::POLLERR)),
    }
}
