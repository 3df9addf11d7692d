//! Running jails: the real binary, in real namespaces, one user story a test. As root and as an ordinary user: what only one of
//! them can do is said in the test.
//!
//! What runs inside is the host's static busybox, as a shell, and a small C program (`probe.c`) for what a shell cannot ask.
//! Every test ends with a look for what a run may not leave behind: a process, a mount, a file beside the tree.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are outside the functions clippy takes for tests"
)]
#![allow(
    unreachable_pub,
    reason = "what a module shares with its siblings is `pub`, as elsewhere in `tests/`"
)]

#[path = "../common/mod.rs"]
mod common;
mod control_groups;
mod death;
mod exits;
mod host_files;
mod hostile;
mod identity;
mod inherited;
mod landlock;
mod limits;
mod log;
mod namespaces;
mod notify;
mod parallel;
mod passed;
mod proc;
mod pty;
mod root;
mod signals;
mod standard;
mod support;
mod sys;
mod terminal;
mod user_namespace;
