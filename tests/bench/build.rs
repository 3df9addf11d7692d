//! How long a build of 3000 files takes beside `cp -a` of the same files, in one run: `cargo bench --bench build`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[path = "../build_support/mod.rs"]
mod build_support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use build_support::{DIGEST, Scratch, copy, directory, is_root, jail, plan};
use stockade::tree::build;

/// Directories of the tree.
const DIRECTORIES: usize = 100;
/// Files in each.
const FILES: usize = 30;
/// Bytes of a file, on average.
const SIZE: usize = 20 << 10;
/// Builds and copies of each kind.
const ROUNDS: usize = 7;

fn main() {
    let scratch = Scratch::new();
    let mut steps = Vec::new();
    fs::create_dir(scratch.path().join("source")).unwrap();
    for at in 0..DIRECTORIES {
        fs::create_dir(scratch.path().join(format!("source/{at}"))).unwrap();
        steps.push(directory(&format!("/{at}"), 0o755));
        for file in 0..FILES {
            // 20 KiB on average, from 1 KiB to 39 KiB, each with its own content.
            let size = SIZE * (2 * file + 1) / FILES;
            let content: Vec<u8> = (0..size).map(|n| (n * 31 + at * 7 + file) as u8).collect();
            let source = scratch.file(&format!("source/{at}/{file}"), &content);
            steps.push(copy(&source, &format!("/{at}/{file}"), 0o644));
        }
    }
    let plan = plan(steps);
    let store = scratch.store();
    let (mut built, mut copied, mut synced) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let _ = store.remove(&jail());
        sync();
        built.push(time(|| {
            build(&store, &plan, &DIGEST, is_root()).unwrap();
        }));
        for (flush, times) in [(false, &mut copied), (true, &mut synced)] {
            let target = scratch.path().join("copy");
            let _ = fs::remove_dir_all(&target);
            sync();
            times.push(time(|| cp(&scratch.path().join("source"), &target, flush)));
        }
    }
    let copied = median(copied);
    println!("{:24} {:>10} {:>10}", format!("median of {ROUNDS}"), "ms", "of cp -a");
    for (name, time) in
        [("stockade build", median(built)), ("cp -a", copied), ("cp -a, sync -f", median(synced))]
    {
        println!("{name:24} {:>10} {:>10.2}", time.as_millis(), time.as_secs_f64() / copied.as_secs_f64());
    }
}

fn cp(source: &Path, target: &Path, flush: bool) {
    assert!(Command::new("cp").arg("-a").arg(source).arg(target).status().unwrap().success());
    if flush {
        assert!(Command::new("sync").arg("-f").arg(target).status().unwrap().success());
    }
}

fn sync() {
    assert!(Command::new("sync").status().unwrap().success());
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
