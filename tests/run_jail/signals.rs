//! Signals: what reaches the program, from outside and from inside, and what the caller's settings change.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{Need, needs};
use crate::support::{Jail, Running, finish, status_of, until};

const PASSED: [(Signal, &str); 8] = [
    (Signal::SIGHUP, "HUP"),
    (Signal::SIGINT, "INT"),
    (Signal::SIGQUIT, "QUIT"),
    (Signal::SIGUSR1, "USR1"),
    (Signal::SIGUSR2, "USR2"),
    (Signal::SIGALRM, "ALRM"),
    (Signal::SIGCONT, "CONT"),
    (Signal::SIGWINCH, "WINCH"),
];

#[test]
fn signals_to_the_supervisor_reach_the_program() {
    for more in ["", "program.init = false"] {
        let jail = Jail::probe("signals", more);
        let mut running = jail.start(&["signals"]);
        running.expect("ready");
        for (signal, name) in PASSED {
            if more.is_empty() || signal != Signal::SIGCONT {
                running.signal(signal);
                running.expect(name);
            }
        }
        running.signal(Signal::SIGTERM);
        running.expect("TERM");
        assert_eq!(running.wait(), 0);
    }
}

#[test]
fn a_signal_that_ends_the_program_is_the_runs_exit_code() {
    // Of SIGINT it dies itself, as a shell expects of what the user interrupts.
    for (signal, code) in
        [(Signal::SIGTERM, 143), (Signal::SIGINT, -2), (Signal::SIGHUP, 129), (Signal::SIGQUIT, 131)]
    {
        let jail = Jail::probe("ended", "");
        let mut running = jail.start(&["pause"]);
        running.expect("ready");
        running.signal(signal);
        assert_eq!(running.wait(), code);
    }
}

#[test]
fn a_signal_that_comes_with_the_end_was_the_programs() {
    let jail = Jail::probe("late", "");
    jail.build();
    let report = jail.path("report");
    let mut command = jail.stockade("run");
    command.arg("--report").arg(&report).args(["--", "pause"]);
    let mut running = Running::start(&mut command);
    running.expect("ready");
    let (supervisor, first) = (running.pid(), running.first());
    // Who signals a whole service reaches each of its processes; the supervisor sees the end and the signal at once.
    running.signal(Signal::SIGSTOP);
    until("the supervisor's stop", || status_of(supervisor, "State").starts_with('T').then_some(()));
    kill(Pid::from_raw(running.program()), Signal::SIGTERM).unwrap();
    until("the end of the jail", || status_of(first, "State").starts_with('Z').then_some(()));
    // Nor does one harm that is not passed on.
    let more = [Signal::SIGABRT, Signal::SIGPWR];
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT].into_iter().chain(more) {
        running.signal(signal);
    }
    running.signal(Signal::SIGCONT);
    assert_eq!(running.wait(), 143);
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!(report["exit_code"], 143);
}

#[test]
fn signals_to_pid_1_from_inside_reach_the_program() {
    let jail = Jail::shell("inside", "");
    let script = "trap 'echo USR1' USR1; trap 'echo TERM; exit 3' TERM; (kill -USR1 1; sleep 0.05; kill -KILL 1; kill -STOP 1; kill -TERM 1) & while :; do wait; done";
    jail.expect(&[script], 3, "USR1\nTERM\n");
}

#[test]
fn a_job_is_stopped_and_continued_with_its_supervisor() {
    let jail = Jail::probe("job", "");
    jail.build();
    // A group of its own, as a shell with job control makes one, and a parent outside of it.
    let mut command = jail.command(&["pause"]);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut running = Running::start(&mut command);
    running.expect("ready");
    let (supervisor, program) = (running.pid(), running.program());
    for _ in 0..3 {
        running.signal(Signal::SIGTSTP);
        until("the program's stop", || status_of(program, "State").starts_with('T').then_some(()));
        until("the supervisor's stop", || status_of(supervisor, "State").starts_with('T').then_some(()));
        running.signal(Signal::SIGCONT);
        until("the program's going on", || status_of(program, "State").starts_with('S').then_some(()));
    }
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait(), 143);
}

#[test]
fn a_program_that_is_stopped_again_and_again_goes_on() {
    // More often than the socket to the supervisor holds messages.
    let jail = Jail::probe("stops", "");
    jail.expect(&["stop-often", "1500"], 0, "went on\n");
}

#[test]
fn pid_1_reaps_what_others_leave() {
    Jail::probe("orphans", "").expect(&["orphans"], 0, "all reaped\n");
    if !needs(Need::Program("python3")) {
        return;
    }
    // Also for a caller that ignores SIGCHLD, which makes the kernel reap.
    let jail = Jail::probe("orphans", "");
    jail.build();
    let mut command = std::process::Command::new("python3");
    let run = jail.command(&["orphans"]);
    command
        .args(["-c", "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"])
        .arg(run.get_program())
        .args(run.get_args())
        .env("STOCKADE_STATE_DIR", jail.path("state"));
    assert_eq!(finish(&mut command).lines(), ["all reaped"]);
}

#[test]
fn settings_of_the_caller_do_not_come_in() {
    if !needs(Need::Program("python3")) {
        return;
    }
    let jail = Jail::with_command("settings", "[\"/bin/busybox\", \"grep\", \"Sig[BIC][lg][knt]:\"]", "");
    jail.build();
    let run = jail.command(&["/proc/self/status"]);
    let mut command = std::process::Command::new("python3");
    let script = "import os, signal, sys
for s in (1, 2, 3, 10, 12, 13, 14, 17, 20, 21, 22, 28, 34, 64): signal.signal(s, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
os.execv(sys.argv[1], sys.argv[1:])";
    command
        .args(["-c", script])
        .arg(run.get_program())
        .args(run.get_args())
        .env("STOCKADE_STATE_DIR", jail.path("state"));
    // Blocked, ignored, caught.
    assert_eq!(
        finish(&mut command).lines(),
        ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "SigCgt:\t0000000000000000"]
    );
}

#[test]
fn a_jail_under_nohup_outlives_the_hang_up() {
    let jail = Jail::probe("nohup", "");
    jail.build();
    let mut running = Running::start(&mut jail.command_after("trap '' HUP INT", &["signals"]));
    running.expect("ready");
    running.signal(Signal::SIGHUP);
    running.signal(Signal::SIGINT);
    running.signal(Signal::SIGUSR1);
    running.expect("USR1");
    running.signal(Signal::SIGTERM);
    running.expect("TERM");
    assert_eq!(running.wait(), 0);
}

#[test]
fn the_program_killed_from_outside_is_its_own_death() {
    let jail = Jail::probe("killed", "");
    let mut running = jail.start(&["pause"]);
    running.expect("ready");
    kill(Pid::from_raw(running.program()), Signal::SIGKILL).unwrap();
    assert_eq!(running.wait(), 137);
}
