//! Whoever is killed, and whenever: nothing stays.

use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{Need, Numbers, needs};
use crate::support::{Jail, Running, children, until};

/// What a run is doing when somebody is killed: more than one process, out of their parents' reach.
const BUSY: &str = "(setsid sh -c 'trap \"\" HUP TERM INT; while :; do sleep 0.01; done' &) ; trap '' TERM HUP; while :; do sleep 0.01; done";

#[test]
fn nothing_is_left_whoever_is_killed_and_whenever() {
    let mut numbers = Numbers(42);
    for more in ["", "program.init = false"] {
        let jail = Jail::shell("death", more);
        jail.build();
        for round in 0..30 {
            let mut child =
                jail.command(&[BUSY]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let supervisor = child.id() as i32;
            // During the set-up, which takes a few milliseconds, and a little after.
            std::thread::sleep(std::time::Duration::from_micros(numbers.below(12_000)));
            // Again if it was the process that makes the user namespace, which ends by itself.
            while child.try_wait().unwrap().is_none() {
                let first = children(supervisor).first().copied();
                let program = first.and_then(|first| children(first).first().copied());
                // A program that is PID 1 has children that are nobody's death but their own.
                let program = program.filter(|_| more.is_empty());
                let victim = [Some(supervisor), first, program][round % 3].unwrap_or(supervisor);
                // It may have just ended by itself: its PID 1 is gone then.
                let _ = kill(Pid::from_raw(victim), Signal::SIGKILL);
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            jail.wait_for_nobody();
        }
    }
}

#[test]
fn a_supervisor_killed_before_its_child_watches_it_takes_it_along() {
    if !needs(Need::Program("strace")) {
        return;
    }
    // The child is held at its first call until the supervisor is dead. Without PID 1 of ours there is nobody else to notice.
    for more in ["", "program.init = false"] {
        let jail = Jail::probe("orphaned", more);
        jail.build();
        let run = jail.command(&["pause"]);
        let mut strace = std::process::Command::new("strace");
        strace
            .args([
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                "trace=setsid",
                "-e",
                "inject=setsid:delay_enter=1500000",
            ])
            .arg(run.get_program())
            .args(run.get_args())
            .env("STOCKADE_STATE_DIR", jail.path("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut tracer = strace.spawn().unwrap();
        let supervisor = until("the jail's first process", || {
            let parents = children(tracer.id() as i32);
            parents.into_iter().find(|parent| !children(*parent).is_empty())
        });
        kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
        let mut output = String::new();
        std::io::Read::read_to_string(&mut tracer.stdout.take().unwrap(), &mut output).unwrap();
        tracer.wait().unwrap();
        assert_eq!(output, "", "the program was started although nobody was there to watch it");
        jail.wait_for_nobody();
    }
}

#[test]
fn pid_1_killed_from_outside_ends_the_run() {
    let jail = Jail::probe("first", "");
    let mut running: Running = jail.start(&["pause"]);
    running.expect("ready");
    kill(Pid::from_raw(running.first()), Signal::SIGKILL).unwrap();
    assert_eq!(running.wait(), 137);
}

#[test]
fn the_programs_end_is_everybodys() {
    let jail = Jail::shell("everybody", "");
    jail.expect(&["for i in 1 2 3; do setsid sh -c 'trap \"\" TERM HUP; sleep 1000' & done; sleep 0.05; echo done; exit 4"], 4, "done\n");
    jail.wait_for_nobody();
}

#[test]
fn an_interrupted_build_leaves_nothing_and_can_be_done_again() {
    let mut numbers = Numbers(7);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        for _ in 0..4 {
            let jail = Jail::shell("build", "");
            let big = jail.path("big");
            std::fs::create_dir(&big).unwrap();
            for at in 0..40 {
                std::fs::write(big.join(at.to_string()), vec![at; 100_000]).unwrap();
            }

            let manifest = std::fs::read_to_string(jail.manifest()).unwrap();
            let with_big =
                manifest.replace("tree.files = [", &format!("tree.files = [\"{}\",", big.display()));
            std::fs::write(jail.manifest(), with_big).unwrap();
            let mut child =
                jail.command(&["ls /"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(std::time::Duration::from_micros(numbers.below(30_000)));
            let _ = kill(Pid::from_raw(child.id() as i32), signal);
            child.wait().unwrap();
            jail.wait_for_nobody();
            // After SIGKILL a half-made generation may stay until the next build, which removes it.
            jail.expect(&["ls /"], 0, "bin\ndev\netc\nprobe\nproc\ntmp\nusr\n");
        }
    }
}
