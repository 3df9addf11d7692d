//! SIGKILL at random moments, of whoever is there: supervisor, PID 1, program, a build, a removal, a verification. Afterwards, and after the next
//! command of stockade where something was left on disk, nothing is there: no process, mount, cgroup, directory or record.
//!
//! `STOCKADE_KILLS` says how many (default 60). This process is the subreaper of all it starts, see prctl(2): whoever survives
//! his parents comes here, whatever his namespace and name, and is counted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

#[path = "../common/mod.rs"]
mod common;
mod field;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use common::{Need, Numbers, needs};
use field::{Field, Shape, children};

/// Orphans come to the process, not to a thread: one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// How many kills there are to be.
fn count() -> u64 {
    std::env::var("STOCKADE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

/// Whom a kill is meant for.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Supervisor,
    First,
    Program,
}

impl Victim {
    /// The process, if it is there yet.
    fn of(self, supervisor: i32) -> Option<i32> {
        // Not a process that lends its user namespace for a moment: PID 1 is the first of a PID namespace.
        let is_first = |pid: &i32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1"))
        };
        let first = || children(supervisor).into_iter().find(is_first);
        match self {
            Self::Supervisor => Some(supervisor),
            Self::First => first(),
            Self::Program => children(first()?).first().copied(),
        }
    }
}

/// Waits so long, without giving the processor away for more than a moment.
fn pause(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_micros(20));
    }
}

/// Reaps a supervisor: as a child of this process it has not gone anywhere else.
fn reap(child: Child) {
    let mut child = child;
    child.wait().unwrap();
}

/// All kills of one user.
fn kills(as_nobody: bool, count: u64) {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    let field = Field::new(as_nobody);
    let mut numbers = Numbers(if as_nobody { 42 } else { 7 });
    let shapes: Vec<Shape> = [(true, "none"), (false, "none"), (true, "host"), (false, "host")]
        .map(|(init, network)| field.shape(init, network))
        .into();
    for shape in &shapes {
        field.succeeds("build", shape, &[]);
    }
    let run_span = field.span("run", &shapes[0]);
    let build_span = field.span("build", &shapes[0]);
    let verify_span = field.span("verify", &shapes[0]);
    let remove_span = field.span("remove", &shapes[0]);
    field.succeeds("build", &shapes[0], &[]);
    let mut landed = [0; 6];
    for round in 0..count {
        let shape = &shapes[numbers.below(4) as usize];
        match round % 6 {
            kind @ 0..3 => {
                let victim = [Victim::Supervisor, Victim::First, Victim::Program][kind as usize];
                let most = ["0", "0", "60"][numbers.below(3) as usize];
                let child = field.command("run", shape, &[most]).spawn().unwrap();
                // Half of the moments are before the program has started, half after.
                pause(run_span * numbers.below(2000) as u32 / 1000);
                let pid = victim.of(child.id() as i32);
                landed[kind as usize] += u64::from(pid.is_some());
                let _ = kill(Pid::from_raw(pid.unwrap_or(child.id() as i32)), Signal::SIGKILL);
                // A program that is not PID 1's child any more, or is PID 1 itself, leaves the rest to go on: end it.
                if matches!(victim, Victim::Program) && shape.name.starts_with("bare") {
                    let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
                }
                reap(child);
                field.assert_clean();
                field.assert_only_the_tree(shape);
            }
            kind => {
                let verbs = [("build", build_span), ("remove", remove_span), ("verify", verify_span)];
                let (verb, span) = verbs[kind as usize - 3];
                let mut child = field.command(verb, shape, &[]).spawn().unwrap();
                pause(span * numbers.below(1100) as u32 / 1000);
                landed[kind as usize] += u64::from(child.try_wait().unwrap().is_none());
                let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
                reap(child);
                field.assert_clean();
                // The next command sweeps what a killed one left on disk.
                match numbers.below(2) {
                    0 => field.succeeds("build", shape, &[]),
                    _ => field.succeeds("run", shape, &["-1"]),
                }
                field.assert_clean();
                field.assert_only_the_tree(shape);
            }
        }
    }
    println!("{count} kills: {landed:?} of supervisor, PID 1, program, build, removal, verification");
    assert!(landed.iter().all(|landed| count < 100 || *landed > 0), "some were never hit: {landed:?}");
    // Nobody holds a lock, and nothing is in the way of anything.
    for shape in &shapes {
        field.succeeds("remove", shape, &[]);
    }
    assert_eq!(fs::read_dir(field.path("state")).unwrap().count(), 0);
    field.assert_clean();
}

#[test]
fn the_next_command_takes_away_the_groups_of_whoever_was_killed() {
    let host = stockade::sys::host::Host::current(Path::new("/"));
    if let Err(missing) = stockade::manifest::resolve::control_groups::available(&host, "pids") {
        println!("SKIP: {missing}");
        return;
    }
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    let field = Field::new(false);
    let mut shape = field.shape(true, "none");
    shape.name = field.named("grouped");
    let text = fs::read_to_string(&shape.manifest).unwrap();
    shape.manifest = field.path(&format!("{}.toml", shape.name));
    fs::write(&shape.manifest, format!("limits.tasks = 40\n{text}")).unwrap();
    field.succeeds("build", &shape, &[]);
    let span = field.span("run", &shape);
    let groups = || field.traces().cgroups.into_iter().collect::<Vec<_>>();
    let mut numbers = Numbers(11);
    let mut left = 0;
    for round in 0..count() / 3 {
        // Up to 60 processes in a group of 40: the limit is reached too.
        let mut child = field.command("run", &shape, &["60"]).spawn().unwrap();
        pause(span * numbers.below(2000) as u32 / 1000);
        child.kill().unwrap();
        reap(child);
        field.wait_for_nobody();
        left += usize::from(!groups().is_empty());
        // Whoever looks at the record of the run, or makes groups in the same places.
        if round % 2 == 0 {
            field.list();
        } else {
            field.succeeds("run", &shape, &["-1"]);
        }
        field.assert_clean();
        assert_eq!(groups(), [""; 0].map(PathBuf::from));
    }
    assert!(left > 0 || count() < 20, "no kill left a group");
    println!("{} kills, {left} of them left groups until the next command", count() / 3);
}

#[test]
fn whoever_is_killed_whenever_nothing_is_left() {
    kills(false, if nix::unistd::geteuid().is_root() { count() / 2 } else { count() });
}

#[test]
fn nothing_is_left_of_an_ordinary_users_jails_either() {
    if !needs(Need::Root) || !needs(Need::Program("setpriv")) {
        return;
    }
    kills(true, count() - count() / 2);
}
