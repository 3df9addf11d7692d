//! `stockade build` of a jail that is there already: what a build would change, what it shares with the tree before, and the way
//! back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

#[path = "../common/mod.rs"]
mod common;
mod kills;
mod shared;
mod switch;
mod trial;
mod upgrade;

use std::fmt::Write as _;
use std::fs::{self, File, FileTimes, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Dir, Need, needs};

/// A directory with a jail whose program is static and prints what is in `/a` and `/b`, which are copies of files beside the manifest.
fn jail(name: &str) -> Dir {
    let dir = Dir::new(name);
    common::compile_static(
        &dir.join("program"),
        r#"#include <stdio.h>
        int main(void) {
            const char *names[] = {"/a", "/b"};
            for (int at = 0; at < 2; at++) {
                FILE *file = fopen(names[at], "r");
                for (int c; file && (c = getc(file)) != EOF;) putchar(c);
            }
        }"#,
    );
    dir.write("a", "one\n").write("b", "two\n").write("web.toml", manifest(&dir, ""));
    dir
}

fn manifest(dir: &Dir, more: &str) -> String {
    let here = dir.path().display();
    format!(
        "program.command = [\"/program\"]\ntree.devices = []\nroot.proc = \"none\"\n{more}\
         tree.files = [\n  {{ path = \"{here}/program\", target = \"/program\" }},\n  \
         {{ path = \"{here}/a\", target = \"/a\" }},\n  {{ path = \"{here}/b\", target = \"/b\", optional = true }},\n]\n"
    )
}

fn succeeds(dir: &Dir, arguments: &[&str]) -> String {
    let done = dir.stockade(arguments.iter().copied()).output();
    assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.stderr);
    done.stderr
}

/// What the program says, from the current tree.
fn said(dir: &Dir) -> String {
    let run = dir.stockade(["run", "./web.toml"]).output();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    run.stdout
}

/// A path below a generation's tree.
fn tree(dir: &Dir, generation: &str, path: &str) -> PathBuf {
    dir.join("state/web/generations").join(generation).join("tree").join(path)
}

fn inode(dir: &Dir, generation: &str, path: &str) -> u64 {
    tree(dir, generation, path).symlink_metadata().unwrap().ino()
}

fn generations(dir: &Dir) -> Vec<String> {
    let entries = fs::read_dir(dir.join("state/web/generations")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Everything below the state directory, with what would change if anything were written.
fn everything(dir: &Dir) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![dir.join("state")];
    while let Some(path) = waiting.pop() {
        let Ok(stat) = path.symlink_metadata() else { continue };
        let times = (stat.mtime(), stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec(), stat.nlink());
        found.push(format!("{} {times:?}", path.display()));
        if stat.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found.sort();
    found
}

fn cc(dir: &Dir, words: &[&str]) {
    assert!(Command::new("cc").current_dir(dir.path()).args(words).status().unwrap().success());
}

/// The daemon, once it serves.
struct Daemon(Child);

impl Daemon {
    fn start(dir: &Dir) -> Self {
        let mut command = dir.stockade(["run", "./ans.toml"]).inner;
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = [0; 2];
        child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
        Self(child)
    }

    /// Ends it as a service manager would.
    fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
