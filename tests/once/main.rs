//! `stockade once`: what one sees with no option, what each option does, and that bubblewrap's do what they do there.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are outside the functions clippy takes for tests"
)]

#[path = "../common/mod.rs"]
mod common;

mod bubblewrap;
mod containers;
mod defaults;
mod ids;
mod judge;
mod landlock_only;
mod limits;
mod listed;
mod memory;
mod network;
mod options;
mod overlay;
mod programs;
mod saved;
mod terminal;

use common::{Command, Dir, PATIENCE, until};

/// `stockade once` with these words, in this directory, as a caller with an ordinary environment.
fn once<'a>(dir: &Dir, words: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = dir.stockade(std::iter::once("once").chain(words));
    // Nothing of a run is kept there.
    command.inner.env("STOCKADE_STATE_DIR", "/nonexistent/state");
    command.inner.env("HOME", "/home/eve").env_remove("XDG_RUNTIME_DIR").env("SECRET", "of the caller");
    for name in ["LANG", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LANGUAGE", "COLORTERM", "TZ", "TERM"] {
        command.inner.env_remove(name);
    }
    command
}

/// A directory that ordinary users may search, with a file in it.
fn place(name: &str) -> Dir {
    let dir = Dir::new(name);
    dir.write("data/file", "content\n");
    dir
}
