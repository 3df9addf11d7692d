//! How long the whole process takes that starts a static `true` in a jail, against the peers that are installed, in pairs
//! whose starts alternate: `cargo bench --bench start`. Absolute times are this machine's; the ratios are what to look at.
//!
//! Each makes mount, pid, ipc, uts and cgroup namespaces, with the host's network, a read-only root, /proc and /dev. Of stockade
//! there are two jails: one with all that is on by default, and one with no more than the peers have, which is without a filter of system calls,
//! Landlock and covers in /proc. And two builds: the one that cargo has made for this bench, and the one with musl, if Rust has
//! the standard library for it. STOCKADE_BENCH_BEFORE may name the binary of an older one, which becomes one more peer. As root, or as an ordinary user with a user namespace besides.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]

#[path = "../common/mod.rs"]
mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Rounds of all contestants; the first few warm the caches and are not counted.
const ROUNDS: usize = 300;
/// Rounds that do not count.
const WARM_UP: usize = 20;

/// One program to start, with what it needs.
struct Contestant {
    name: String,
    command: Vec<String>,
    times: Vec<Duration>,
}

impl Contestant {
    fn new(name: &str, command: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            times: Vec::new(),
        }
    }

    /// Starts it once and waits for its end.
    fn time(&self, place: &Path) -> Result<Duration, String> {
        let mut command = Command::new(&self.command[0]);
        command
            .args(&self.command[1..])
            .env_clear()
            // Its own, as builds need not agree on what is a tree of theirs.
            .env("STOCKADE_STATE_DIR", place.join(format!("state, {}", self.name)))
            .env("PATH", "/usr/bin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
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
fn install(binary: &Path, to: &Path) -> String {
    fs::write(to, fs::read(binary).unwrap()).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
    to.display().to_string()
}

/// The builds of stockade that can be had, by the C library that is in them.
fn builds() -> Vec<(&'static str, PathBuf)> {
    let own = PathBuf::from(env!("CARGO_BIN_EXE_stockade"));
    if cfg!(target_env = "musl") {
        return vec![("musl", own)];
    }
    let mut builds = vec![("glibc", own)];
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--message-format=json", "--target", &target]).stderr(Stdio::null());
    let output = build.output().unwrap();
    let made = String::from_utf8(output.stdout).unwrap().lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().filter(|path| path.ends_with("/stockade")).map(PathBuf::from)
    });
    match made.filter(|_| output.status.success()) {
        Some(binary) => builds.push(("musl", binary)),
        None => println!("SKIP: musl: needs `rustup target add {target}`"),
    }
    builds
}

/// What a manifest says to have no more than the peers.
const BARE: &str = "[privileges]\nsystem_calls = \"all\"\nlandlock = false\n[root]\nproc = \"full\"\n";

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
    let manifests =
        [("all layers", "true", ""), ("as the peers", "bare", BARE)].map(|(label, name, more)| {
            let manifest = place.join(format!("{name}.toml"));
            let text = format!(
                "name = \"{name}\"\n[program]\ncommand = [\"/true\"]\n[tree]\n\
             files = [{{ path = \"{}\", target = \"/true\" }}]\n[namespaces]\nnetwork = \"host\"\n{more}",
                program.display()
            );
            fs::write(&manifest, text).unwrap();
            (label, manifest.display().to_string())
        });
    let root = root.display().to_string();
    let mut ours = Vec::new();
    for (build, binary) in builds() {
        let binary = install(&binary, &place.join(format!("stockade-{build}")));
        for (label, manifest) in &manifests {
            let contestant = Contestant::new(&format!("{build}, {label}"), &[&binary, "run", manifest]);
            // Builds the tree.
            contestant.time(place).unwrap();
            ours.push(contestant);
        }
    }

    let mut contestants = vec![
        Contestant::new("the program alone", &[&program.display().to_string()]),
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
    if let Some(before) = std::env::var_os("STOCKADE_BENCH_BEFORE") {
        let binary = install(Path::new(&before), &place.join("before"));
        contestants.push(Contestant::new("stockade, before", &[&binary, "run", &manifests[0].1]));
    }
    contestants.retain(|contestant| match contestant.time(place) {
        Ok(_) => true,
        Err(why) => {
            println!("SKIP: {why}");
            false
        }
    });
    println!(
        "{:28} {:24} {:>8} {:>8} {:>6}",
        format!("median of {ROUNDS}, µs"),
        "peer",
        "peer",
        "stockade",
        "ratio"
    );
    for stockade in &mut ours {
        for peer in &mut contestants {
            // Each pair by itself: a third program between them would only add its share of cold caches to both.
            for contestant in [&mut *peer, &mut *stockade] {
                contestant.times.clear();
            }
            for round in 0..ROUNDS + WARM_UP {
                for contestant in [&mut *peer, &mut *stockade] {
                    let time = contestant.time(place).unwrap();
                    if round >= WARM_UP {
                        contestant.times.push(time);
                    }
                }
            }
            let (theirs, ours) = (peer.median(), stockade.median());
            let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
            let (theirs, ours) = (theirs.as_micros(), ours.as_micros());
            println!("{:28} {:24} {theirs:>8} {ours:>8} {ratio:>6.2}", stockade.name, peer.name);
        }
    }
}
