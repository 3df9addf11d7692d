//! How long the whole process takes that starts a static `true` in a jail, against the peers that are installed, in pairs
//! whose starts alternate: `cargo bench --bench start`. Absolute times are this machine's; the ratios are what to look at.
//!
//! The same isolation for each: mount, pid, ipc, uts and cgroup namespaces, the host's network, a read-only root, /proc, /dev.
//! As root, or as an ordinary user with a user namespace besides.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]

#[path = "../common/mod.rs"]
mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Rounds of all contestants; the first few warm the caches and are not counted.
const ROUNDS: usize = 300;
/// Rounds that do not count.
const WARM_UP: usize = 20;

/// One program to start, with what it needs.
struct Contestant {
    name: &'static str,
    command: Vec<String>,
    times: Vec<Duration>,
}

impl Contestant {
    fn new(name: &'static str, command: &[&str]) -> Self {
        Self { name, command: command.iter().map(|word| (*word).to_owned()).collect(), times: Vec::new() }
    }

    /// Starts it once and waits for its end.
    fn time(&self, state: &Path) -> Result<Duration, String> {
        let mut command = Command::new(&self.command[0]);
        command
            .args(&self.command[1..])
            .env_clear()
            .env("STOCKADE_STATE_DIR", state)
            .env("PATH", "/usr/bin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let started = Instant::now();
        let status = command.status().map_err(|error| format!("{}: {error}", self.command[0]))?;
        let time = started.elapsed();
        if status.success() { Ok(time) } else { Err(format!("{} ended with {status}", self.name)) }
    }

    /// The middle time.
    fn median(&mut self) -> Duration {
        self.times.sort();
        self.times[self.times.len() / 2]
    }
}

/// A static `true`: without a C library where that can be had, whose start would be added to every contestant's time alike.
fn compile_true(to: &Path) {
    let exit = match std::env::consts::ARCH {
        "x86_64" => "mov $60, %eax; xor %edi, %edi; syscall",
        "aarch64" => "mov x8, #93; mov x0, #0; svc #0",
        _ => return common::compile_static(to, "int main(void) { return 0; }"),
    };
    let source = to.with_extension("s");
    fs::write(&source, format!(".globl _start\n_start: {exit}\n")).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-nostdlib", "-static", "-Wl,-z,noexecstack", "-o"]).arg(to).arg(&source);
    assert!(compiler.status().unwrap().success());
}

/// The binary as an installation has it, written in one go, as a package manager has written each peer. What the linker wrote
/// through a mapping lies in the page cache in single pages, of which every page fault maps fewer.
fn install(to: &Path) -> String {
    let binary = fs::read(env!("CARGO_BIN_EXE_stockade")).unwrap();
    fs::write(to, binary).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
    to.display().to_string()
}

fn main() {
    let directory = common::Dir::new("bench");
    let place = directory.path();
    // For bubblewrap and unshare: a directory with the program and mount points.
    let root = place.join("root");
    for below in ["proc", "dev"] {
        fs::create_dir_all(root.join(below)).unwrap();
    }
    let program = root.join("true");
    compile_true(&program);
    let manifest = place.join("true.toml");
    let text = format!(
        "name = \"true\"\n[program]\ncommand = [\"/true\"]\n[tree]\nfiles = [{{ path = \"{}\", target = \"/true\" }}]\n\
         [namespaces]\nnetwork = \"host\"\n",
        program.display()
    );
    fs::write(&manifest, text).unwrap();
    let (manifest, root) = (manifest.display().to_string(), root.display().to_string());
    let stockade = &install(&place.join("stockade"));

    let mut contestants = vec![
        Contestant::new("the program alone", &[&program.display().to_string()]),
        Contestant::new("stockade run", &[stockade, "run", &manifest]),
        Contestant::new(
            "bwrap",
            &[
                "bwrap",
                "--ro-bind",
                &root,
                "/",
                "--unshare-pid",
                "--unshare-ipc",
                "--unshare-uts",
                "--unshare-cgroup",
                "--proc",
                "/proc",
                "--dev",
                "/dev",
                "/true",
            ],
        ),
        Contestant::new(
            "unshare with chroot",
            &[
                "unshare", "--mount", "--pid", "--fork", "--ipc", "--uts", "--cgroup", "--root", &root,
                "/true",
            ],
        ),
    ];
    contestants.retain(|contestant| match contestant.time(place) {
        Ok(_) => true,
        Err(why) => {
            println!("SKIP: {why}");
            false
        }
    });
    let Some(at) = contestants.iter().position(|contestant| contestant.name == "stockade run") else {
        return;
    };
    let mut stockade = contestants.remove(at);
    println!("{:24} {:>10} {:>10} {:>10}", format!("median of {ROUNDS}, µs"), "peer", "stockade", "ratio");
    for mut peer in contestants {
        // Each pair by itself: a third program between them would only add its share of cold caches to both.
        stockade.times.clear();
        for round in 0..ROUNDS + WARM_UP {
            for contestant in [&mut peer, &mut stockade] {
                let time = contestant.time(place).unwrap();
                if round >= WARM_UP {
                    contestant.times.push(time);
                }
            }
        }
        let (theirs, ours) = (peer.median(), stockade.median());
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        println!("{:24} {:>10} {:>10} {ratio:>10.2}", peer.name, theirs.as_micros(), ours.as_micros());
    }
}
