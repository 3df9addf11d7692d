//! `stockade check`: broken manifests with the whole text of their errors, doubtful ones with their warnings, and right ones.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../common/mod.rs"]
mod common;

mod correct;
mod finding;
mod includes;
mod keys;
mod mutations;
mod options;
mod paths;
mod rules;
mod syntax;
mod values;
mod warnings;
mod words;

use common::Dir;

/// Checks a manifest that must be refused with exactly this text.
#[track_caller]
fn broken(manifest: &str, stderr: &str) {
    broken_file("jails/web.toml", &[], manifest, stderr);
}

/// The same under another name and beside other files.
#[track_caller]
fn broken_file(path: &str, others: &[(&str, &str)], manifest: &str, stderr: &str) {
    let dir = Dir::new("check");
    for (path, content) in others {
        dir.write(path, content);
    }
    dir.write(path, manifest).stockade(["check", path]).expect(1, "", stderr);
}

/// Checks a manifest that is accepted with exactly these warnings.
#[track_caller]
fn doubtful(manifest: &str, stderr: &str) {
    let dir = Dir::new("check");
    let count = stderr.lines().filter(|line| line.starts_with("warning: ")).count();
    let ok = format!("jails/web.toml: ok, {count} warning{}\n", if count == 1 { "" } else { "s" });
    dir.write("jails/web.toml", manifest).stockade(["check", "jails/web.toml"]).expect(0, &ok, stderr);
}
