//! Running jails seen from outside: listed, stopped, come to. The real binary, as root and as an ordinary user.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are outside the functions clippy takes for tests"
)]
#![allow(
    unreachable_pub,
    dead_code,
    reason = "what a module shares with its siblings is `pub`, as elsewhere in `tests/`"
)]

#[path = "../common/mod.rs"]
mod common;
mod control;
mod detach;
mod exec;
mod forking;
mod hostile;
mod list;
mod records;
mod signal;
mod stats;
mod stop;
#[path = "../run_jail/support.rs"]
mod support;
#[path = "../run_jail/pty.rs"]
mod terminal;

use std::process::Command;

use support::{Ended, Jail, finish};

/// `stockade WORDS`, for the jails of this one's state directory.
pub fn stockade(jail: &Jail, words: &[&str]) -> Command {
    let mut command = Command::new(common::binary());
    command.args(words).env("STOCKADE_STATE_DIR", jail.path("state")).env("NO_COLOR", "1");
    command.stdin(std::process::Stdio::null());
    command
}

/// The same, to its end.
pub fn told(jail: &Jail, words: &[&str]) -> Ended {
    finish(&mut stockade(jail, words))
}

/// Compares all that a command says.
#[track_caller]
pub(crate) fn expect(jail: &Jail, words: &[&str], code: i32, stdout: &str, stderr: &str) {
    let ended = told(jail, words);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str(), ended.code), (stdout, stderr, Some(code)));
}
