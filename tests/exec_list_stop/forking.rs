//! `type = "forking"`: programs that put themselves into the background.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Jail, Running, children, finish, status_of, until};
use crate::{expect, told};

/// A daemon of the old kind, as a shell has it: what `$1` says goes on in a session of its own, and the one that was started ends.
const DAEMON: &str = "busybox setsid sh -c \"$1\" & exit 0";

fn daemon(name: &'static str) -> Jail {
    Jail::shell(name, "program.type = \"forking\"\nmounts = [{ type = \"tmpfs\", target = \"/tmp\" }]")
}

fn start(jail: &Jail, script: &str) -> Running {
    let mut running = jail.start(&[DAEMON, "sh", script]);
    running.expect("ready");
    // Its own process has ended, and left one.
    until("the background", || {
        let [main] = children(running.first())[..] else { return None };
        (status_of(main, "NSpid").split_whitespace().last() != Some("2")).then_some(())
    });
    running
}

#[test]
fn a_program_in_the_background_is_kept_signalled_and_stopped() {
    let jail = daemon("background");
    let script = "trap 'echo hup' HUP; trap 'echo term; exit 4' TERM; echo ready; while :; do busybox sleep 0.01; done";
    let mut running = start(&jail, script);
    let main = children(running.first())[0];
    let listed = told(&jail, &["list"]);
    assert!(listed.lines()[1].starts_with(&format!("background  running  {main}  ")), "{listed:?}");
    expect(&jail, &["signal", "background", "HUP"], 0, "", "");
    running.expect("hup");
    // By the supervisor as well, as a service manager does it.
    running.signal(Signal::SIGHUP);
    running.expect("hup");
    expect(&jail, &["exec", "background", "--", "busybox", "true"], 0, "", "");
    expect(&jail, &["stop", "background"], 0, "", "stopped jail `background`\n");
    running.expect("term");
    assert_eq!(running.wait(), 4);
}

#[test]
fn the_supervisor_passes_an_end_on_to_the_background() {
    let jail = daemon("passed");
    let mut running =
        start(&jail, "trap 'echo term; exit 6' TERM; echo ready; while :; do busybox sleep 0.01; done");
    running.signal(Signal::SIGTERM);
    running.expect("term");
    assert_eq!(running.wait(), 6);
    // And PID 1 does so for whoever signals that.
    let mut running =
        start(&jail, "trap 'echo term; exit 7' TERM; echo ready; while :; do busybox sleep 0.01; done");
    kill(Pid::from_raw(running.first()), Signal::SIGTERM).unwrap();
    running.expect("term");
    assert_eq!(running.wait(), 7);
}

#[test]
fn the_last_process_is_the_jails_end() {
    let jail = daemon("last");
    // The first of the two ends at once, with a status that does not count; the other when it is told.
    let script =
        "(while ! busybox test -e /tmp/end; do busybox sleep 0.01; done; exit 9) & echo ready; exit 3";
    let mut running = jail.start(&[DAEMON, "sh", script]);
    running.expect("ready");
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(running.child.try_wait().unwrap(), None);
    expect(&jail, &["exec", "last", "--", "busybox", "touch", "/tmp/end"], 0, "", "");
    assert_eq!(running.wait(), 9);
}

#[test]
fn one_that_is_killed_counts_more_than_one_that_ends_later() {
    let jail = daemon("crashed");
    let script =
        "(while ! busybox test -e /tmp/end; do busybox sleep 0.01; done) & echo ready; kill -SEGV $$";
    let mut running = jail.start(&[DAEMON, "sh", script]);
    running.expect("ready");
    expect(&jail, &["exec", "crashed", "--", "busybox", "touch", "/tmp/end"], 0, "", "");
    assert_eq!(running.wait(), 128 + 11);
}

#[test]
fn a_program_that_fails_before_is_the_jails_end() {
    let jail = daemon("failed");
    jail.build();
    let mut running = Running::start(&mut jail.command(&["busybox sleep 1000 & echo ready; exit 5"]));
    running.expect("ready");
    assert_eq!(running.wait(), 5);
    let mut running = Running::start(&mut jail.command(&["busybox sleep 1000 & echo ready; kill -KILL $$"]));
    running.expect("ready");
    assert_eq!(running.wait(), 137);
    // Nobody left: then its own is the last one.
    let mut running = Running::start(&mut jail.command(&["echo ready"]));
    running.expect("ready");
    assert_eq!(running.wait(), 0);
}

#[test]
fn a_storm_in_the_background_is_stopped() {
    let jail = daemon("stormy");
    let mut running =
        start(&jail, "trap '' TERM HUP INT; echo ready; while :; do busybox sleep 0.001 & done");
    let message = "killed jail `stormy`, which had not ended after 100ms\n";
    expect(&jail, &["stop", "--timeout=100ms", "stormy"], 0, "", message);
    running.wait();
}

#[test]
fn whoever_takes_the_place_of_one_in_the_background_is_stopped_and_let_go_on() {
    let jail = daemon("replaced");
    // It has made another, which leads a group of its own, and ends when it is told.
    let script = "trap 'echo hup' HUP; \
                  busybox setsid sh -c \"trap 'echo on; exit 5' CONT; echo ready; n=0; \
                  while test \\$n -lt 5000; do busybox sleep 0.01; n=\\$((n+1)); done; echo never\" & \
                  while ! busybox test -e /tmp/end; do busybox sleep 0.01; done";
    let mut running = start(&jail, script);
    // The supervisor asks who is in the background when there is something to be passed on.
    running.signal(Signal::SIGHUP);
    running.expect("hup");
    let first = children(running.first());
    expect(&jail, &["exec", "replaced", "--", "busybox", "touch", "/tmp/end"], 0, "", "");
    until("its place to be taken", || {
        let now = children(running.first());
        (now.len() == 1 && now != first).then_some(())
    });
    running.signal(Signal::SIGCONT);
    running.expect("on");
    assert_eq!(running.wait(), 5);
}

/// The number of a process in its own namespace.
fn inside(pid: i32) -> Option<i32> {
    status_of(pid, "NSpid").split_whitespace().last()?.parse().ok()
}

/// Who the pid file says is the program.
fn recorded(file: &std::path::Path) -> i32 {
    std::fs::read_to_string(file).unwrap().trim_end().parse().unwrap()
}

#[test]
fn a_pid_file_follows_the_background_also_without_execve() {
    let jail = daemon("followed");
    jail.build();
    let file = jail.path("pid");
    // Two daemons that fork and execute nothing themselves: the second is there while the first ends.
    let script = "wait_for() { while ! busybox test -e /tmp/$1; do busybox sleep 0.01; done; }; \
                  (wait_for first) & (wait_for second; exit 3) & exit 0";
    for round in 0..10 {
        let mut command = jail.stockade("run");
        command.args(["--detach", "--pid-file", file.to_str().unwrap(), "--", script]);
        let ended = finish(&mut command);
        assert_eq!((ended.stderr.as_str(), ended.code), ("", Some(0)), "round {round}");
        let json = told(&jail, &["list", "--json"]).stdout;
        let listed: serde_json::Value = serde_json::from_str(&json).unwrap();
        let first = listed["jails"][0]["first"].as_i64().unwrap() as i32;
        let supervisor = Pid::from_raw(listed["jails"][0]["supervisor"].as_i64().unwrap() as i32);
        let both = until("the background", || {
            let mut both = children(first);
            // By the numbers inside: the host's may begin anew in between.
            both.sort_unstable_by_key(|pid| inside(*pid));
            (both.len() == 2 && inside(both[0]) != Some(2)).then_some(both)
        });
        until("its number", || (recorded(&file) == both[0]).then_some(()));
        expect(&jail, &["exec", "followed", "--", "busybox", "touch", "/tmp/first"], 0, "", "");
        until("the number of the other", || (recorded(&file) == both[1]).then_some(()));
        // A signal for the program ends nothing that it would not end itself.
        kill(supervisor, Signal::SIGWINCH).unwrap();
        // With the last daemon everybody ends, who joined the jail too.
        let last = told(&jail, &["exec", "followed", "--", "busybox", "touch", "/tmp/second"]).code;
        assert!([Some(0), Some(137)].contains(&last), "{last:?}");
        until("the end", || (!file.exists()).then_some(()));
    }
}

#[test]
fn a_pid_file_that_cannot_be_written_again_ends_no_daemon() {
    let jail = daemon("unwritten");
    jail.build();
    let directory = jail.path("pids");
    std::fs::create_dir(&directory).unwrap();
    let file = directory.join("pid");
    let mut command = jail.stockade("run");
    let script = "while ! busybox test -e /tmp/go; do busybox sleep 0.01; done; (while ! busybox test -e /tmp/end; do busybox sleep 0.01; done; exit 3) & exit 0";
    command.args(["--pid-file", file.to_str().unwrap(), "--", script]);
    let mut running = Running::start(command.stderr(std::process::Stdio::piped()));
    until("its number", || file.exists().then_some(()));
    let before = recorded(&file);
    // No new file can be made in a directory that is gone.
    std::fs::remove_file(&file).unwrap();
    std::fs::remove_dir(&directory).unwrap();
    expect(&jail, &["exec", "unwritten", "--", "busybox", "touch", "/tmp/go"], 0, "", "");
    let now = until("the background", || {
        children(running.first()).into_iter().find(|pid| *pid != before && inside(*pid) != Some(2))
    });
    until("the new number", || told(&jail, &["list"]).stdout.contains(&format!("  {now}  ")).then_some(()));
    told(&jail, &["exec", "unwritten", "--", "busybox", "touch", "/tmp/end"]);
    let code = running.wait();
    let said = std::io::read_to_string(running.child.stderr.take().unwrap()).unwrap();
    let expected = format!(
        "warning: `{}` still has the number of a process that the program was\n  why: openat(2): No such file or directory (ENOENT)\n\
         hint: it is {now} now, as `stockade list` says\n",
        file.display()
    );
    assert_eq!((said, code), (expected, 3));
}
