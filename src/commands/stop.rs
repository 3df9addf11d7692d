//! `stop`: ends running jails, in peace if they let it.

use std::time::{Duration, Instant};

use super::prepare::Result;
use super::select;
use crate::cli;
use crate::error::{self, Failure, exit};
use crate::jail::running::Running;
use crate::plan::Span;
use crate::report::diagnostic::Diagnostic;

/// How long a jail has for ending by itself if nobody says.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the kernel may take for what is killed, and a supervisor for its last words.
const PATIENCE: Duration = Duration::from_secs(10);

/// Stops jails; 1 if one of those named does not run.
pub(super) fn stop(options: &cli::Stop) -> Result<u8> {
    let timeout = match &options.timeout {
        None => TIMEOUT,
        Some(text) => Span::parse(text).map_err(usage)?.0,
    };
    let mut code = 0;
    let mut meant: Vec<Running> = Vec::new();
    if options.all {
        meant = select::all()?;
    } else if options.jails.is_empty() {
        let nothing = Diagnostic::error("no jail is named")
            .hint("write `stockade stop JAIL`, or `stockade stop --all`");
        return Err(Failure::new(nothing, exit::USAGE));
    }
    for jail in &options.jails {
        match select::some(jail) {
            Ok(more) => meant.extend(more),
            // With `--all` one that has ended by itself meanwhile is what was wanted.
            Err(_) if options.all => {}
            Err(failure) => code = code.max(failure.report()),
        }
    }
    meant.sort_by_key(|running| running.first);
    meant.dedup_by_key(|running| running.first);
    Ok(code.max(end(&meant, timeout)))
}

/// A time that is none.
fn usage(why: String) -> Failure {
    let wrong = Diagnostic::error("`--timeout` needs a time").why(why);
    Failure::new(wrong.hint("write `--timeout 30s`"), exit::USAGE)
}

/// Ends all of these, at the same time; the worst exit code.
fn end(jails: &[Running], timeout: Duration) -> u8 {
    let deadline = Instant::now() + timeout;
    let mut code = 0;
    let asked: Vec<_> = jails
        .iter()
        .map(|running| if timeout.is_zero() { running.kill() } else { running.terminate() })
        .collect();
    let mut killed = Vec::new();
    for (running, asked) in jails.iter().zip(asked) {
        // What cannot be asked is killed at once, or that fails too and says why.
        let peaceful = asked.is_ok() && !timeout.is_zero() && running.wait(deadline);
        killed.push(if peaceful { Ok(false) } else { running.kill().map(|()| true) });
    }
    for (running, killed) in jails.iter().zip(killed) {
        let name = &running.entry.jail;
        let until = Instant::now() + PATIENCE;
        match killed {
            Ok(killed) if running.wait(until) => {
                // The record goes with the supervisor. One that cannot get rid of its output is not waited for.
                running.wait_for_supervisor(until);
                error::note(&match (killed, timeout.is_zero()) {
                    (true, false) => {
                        format!("killed jail `{name}`, which had not ended after {}", Span(timeout))
                    }
                    (true, true) => format!("killed jail `{name}`"),
                    (false, _) => format!("stopped jail `{name}`"),
                });
            }
            Ok(_) => {
                let alive = Diagnostic::error(format!("jail `{name}` does not end"))
                    .why(format!("process {} was killed and is still there", running.first))
                    .hint("a process that waits for a disk or a file server ends when it gets its answer");
                code = code.max(Failure::new(alive, exit::FAILED).report());
            }
            Err(error) => {
                let failed = Diagnostic::error(format!("cannot stop jail `{name}`")).why(error.to_string());
                code = code.max(Failure::new(failed, exit::FAILED).report());
            }
        }
    }
    code
}
