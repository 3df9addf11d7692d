//! `stockade`: prepares a jail's directory tree from a manifest and runs a program confined in it.

mod cli;
mod commands;
pub mod error;
pub mod manifest;
pub mod plan;
pub mod report;
pub mod sys;

use std::ffi::OsString;
use std::process::ExitCode;

/// The whole program: command line (with the program's own name first) → command → exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match cli::parse(arguments) {
        Ok(command) => commands::run(command).unwrap_or_else(|failure| failure.report()),
        Err(early) => early.report(),
    }
}
