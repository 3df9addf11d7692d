//! `signal`: sends a running jail's program a signal.

use super::prepare::Result;
use super::select;
use crate::cli;
use crate::error::{Failure, exit};
use crate::jail::running::Processes;
use crate::report::diagnostic::Diagnostic;
use crate::sys;

/// Signals the program of each run that is meant.
pub(super) fn signal(words: &cli::Signal) -> Result<u8> {
    let number = sys::signal::parse(&words.signal).ok_or_else(|| unknown(&words.signal))?;
    let mut code = 0;
    let (meant, processes) = (select::some(&words.jail)?, Processes::now());
    for running in &meant {
        let jail = &running.entry.jail;
        let failed = match running.signal(number, &processes) {
            Ok(true) => continue,
            Ok(false) => Diagnostic::error(format!("jail `{jail}` has no program now"))
                .why("it is only starting, or about to end"),
            Err(error) => Diagnostic::error(format!("cannot signal the program of jail `{jail}`"))
                .why(error.to_string()),
        };
        code = code.max(Failure::new(failed, exit::FAILED).report());
    }
    Ok(code)
}

/// No signal is called so.
fn unknown(word: &str) -> Failure {
    let unknown = Diagnostic::error(format!("there is no signal `{word}`"));
    let hint = "write a name as kill(1) knows it, such as `HUP` or `SIGUSR1`, or a number from 1 to 64: `stockade signal JAIL HUP`";
    Failure::new(unknown.hint(hint), exit::USAGE)
}
