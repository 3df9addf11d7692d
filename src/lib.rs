//! `stockade`: prepares a jail's directory tree from a manifest and runs a program confined in it.

pub mod archive;
mod cli;
mod commands;
pub mod error;
pub mod jail;
pub mod manifest;
pub mod plan;
pub mod report;
pub mod seen;
pub mod sys;
#[cfg(test)]
mod testing;
pub mod trace;
pub mod tree;

use std::ffi::OsString;

/// The words after `once` as options and command, or what is said instead: for `tests/fuzz/`, which sees what is public only.
pub fn once_words(words: Vec<OsString>) -> Result<(Vec<manifest::once::Asked>, Vec<OsString>), String> {
    cli::once_words(words)
}

/// The whole program: command line (with the program's own name first) → command → exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    // Before anything is opened: a standard descriptor that the caller closed would else become a file of ours.
    if sys::process::fill_standard_descriptors().is_err() {
        return error::exit::FAILED;
    }
    sys::process::reset_umask();
    match cli::parse(arguments) {
        Ok(command) => commands::run(command).unwrap_or_else(|failure| failure.report()),
        Err(early) => early.report(),
    }
}
