//! `stockade learn`: what is proposed from a run, and that it works.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

#[path = "../common/mod.rs"]
mod common;

mod daemons;
mod proposal;
mod proved;

use common::Output;

/// A text without the moments, which are others each time.
fn without_times(text: &str) -> String {
    let mut parts = text.split(", at ");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept += part
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')
            .strip_prefix(" s")
            .unwrap_or(part);
    }
    kept
}

/// What was said, when it was not what is wanted.
fn said(output: &Output) -> String {
    format!("{:?}\n{}{}", output.code, output.stdout, output.stderr)
}
