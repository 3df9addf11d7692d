//! How much longer a program takes that is traced, against `strace -f`, in rounds of all three one after the other: `cargo bench --bench
//! trace`. The program is the worst there is, one that does little but look for files: python that imports its library. Absolute
//! times are this machine's; the ratios are what to look at.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]

#[path = "../common/mod.rs"]
mod common;

use std::ffi::OsString;
use std::process::Stdio;
use std::time::{Duration, Instant};

use stockade::seen::Use;
use stockade::trace::{Command, Happened, Tracer};

/// Rounds; the first warms the caches and is not counted.
const ROUNDS: usize = 30;

/// Imports so many modules as there are, but for those that open windows or ask questions.
const PROGRAM: &str = "
import sys
count = 0
for name in sorted(sys.stdlib_module_names):
    if name.startswith('_') or name in ('antigravity', 'idlelib', 'this', 'tkinter', 'turtle', 'turtledemo'):
        continue
    try:
        __import__(name)
        count += 1
    except ImportError:
        pass
    if count == 200:
        break
";

fn main() {
    if !common::needs(common::Need::Program("strace")) || !common::needs(common::Need::Program("python3")) {
        return;
    }
    // Not a script that finds python, as some put before it.
    let which =
        std::process::Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let python = String::from_utf8(which.unwrap().stdout).unwrap().trim().to_owned();
    let words = [python.as_str(), "-W", "ignore", "-c", PROGRAM];
    let mut times: [Vec<Duration>; 3] = Default::default();
    let mut files = 0;
    for round in 0..=ROUNDS {
        let plain = timed(std::process::Command::new(words[0]).args(&words[1..]));
        let strace = timed(std::process::Command::new("strace").args(["-f", "-o", "/dev/null"]).args(words));
        let began = Instant::now();
        files = traced(&words);
        let traced = began.elapsed();
        if round > 0 {
            for (times, time) in times.iter_mut().zip([plain, traced, strace]) {
                times.push(time);
            }
        }
    }
    let [plain, traced, strace] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    println!("python importing 200 modules, {files} files read, medians of {ROUNDS}");
    for (name, time) in [("untraced", plain), ("stockade", traced), ("strace -f", strace)] {
        println!("{name:10} {time:8.1?}  {:.2} times untraced", time.as_secs_f64() / plain.as_secs_f64());
    }
}

/// How long a command takes.
fn timed(command: &mut std::process::Command) -> Duration {
    let began = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{status}");
    began.elapsed()
}

/// Runs it under our tracer, and counts the files that it read.
fn traced(words: &[&str]) -> usize {
    let arguments = words.iter().map(OsString::from).collect();
    let mut tracer = Tracer::start(&Command { arguments, ..Command::default() }).unwrap();
    while tracer.run(None).unwrap() != Happened::AllEnded {}
    assert!(tracer.status().unwrap().success());
    let seen = tracer.finish().unwrap();
    seen.files.values().filter(|file| file.uses.contains_key(&Use::Read)).count()
}
