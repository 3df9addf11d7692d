//! Jails whose manifest is right as text and which are broken all the same: against the host, in the tree, or when they run.
//! Each has the whole text of its error compared: it must say what failed, on which path and line, why, and what to do.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../common/mod.rs"]
mod common;

mod accounts;
mod behind_mounts;
mod client;
mod entries;
mod exec;
mod fixture;
mod libraries;
mod mounts;
mod permissions;
mod programs;
mod rights;
mod scripts;
mod state;
mod working_directory;

use fixture::Jail;
