//! How long a build takes beside `cp -a` of the same files, in the same run:
//! `cargo test --release --test build_speed -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod build_support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use build_support::*;
use stockade::tree::build;

const DIRECTORIES: usize = 100;
const FILES: usize = 30;
const SIZE: usize = 20 << 10;
const ROUNDS: usize = 7;

#[test]
#[ignore = "measures"]
fn three_thousand_files_beside_cp() {
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
    println!("build {:?}, cp -a {:?}, cp -a and sync -f {:?}", median(built), median(copied), median(synced));
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
