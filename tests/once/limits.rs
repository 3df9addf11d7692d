//! Limits, each ending what it is to end; judge.rs has the reports of it.

use crate::common::{Need, needs};
use crate::{once, place};

#[test]
fn each_limit_ends_what_it_is_for() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-limits");
    for (options, script, code, expected) in [
        (&["--timeout", "300ms"][..], "sleep 20", 124, ""),
        (&["--cpu-time", "100ms"], "while :; do :; done", 124, ""),
        (&["--file-size", "4K"], "head -c 100000 /dev/zero > /tmp/x; stat -c %s /tmp/x", 0, "4096\n"),
        (&["--tmp-size", "64K"], "head -c 1M /dev/zero > /tmp/x; stat -c %s /tmp/x", 0, "65536\n"),
        (&["--rlimit", "nofile=20:30"], "ulimit -n; ulimit -Hn", 0, "20\n30\n"),
        (&["--pids", "20"], "i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done; echo reached", 2, ""),
    ] {
        let words = options.iter().copied().chain(["sh", "-c", script]);
        let output = once(&dir, words).output();
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(code), expected),
            "{options:?}: {}",
            output.stderr
        );
    }
}

#[test]
fn a_limit_of_nothing_leaves_stockade_its_own() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-nothing");
    // The program's, and not of what is written for it before: what PID 1 makes, and its own process.
    once(&dir, ["--file-size=0", "sh", "-c", "id -u > /dev/null; echo writes > /tmp/x"]).expect(153, "", "");
    once(&dir, ["--pids=1", "sh", "-c", "echo alone; ls"]).expect(2, "alone\n", "sh: 1: Cannot fork\n");
    once(&dir, ["--pids=2", "sh", "-c", "ls data; ls data"]).expect(0, "file\nfile\n", "");
    once(&dir, ["--pids=1", "--as-pid-1", "sh", "-c", "echo alone"]).expect(0, "alone\n", "");
    once(&dir, ["--pids=0", "true"]).expect(
        2,
        "",
        "error: `--pids 0` leaves no room for the program\nhint: write `--pids 1` for the program alone\n",
    );
}

#[test]
fn a_file_of_the_callers_is_cut_at_the_programs_limit() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-cut");
    // Also where it has ended before that was seen, or does not listen.
    for script in ["head -c 5000 /dev/zero", "trap '' XFSZ; yes 2>/dev/null; exit 0"] {
        let output = std::fs::File::create(dir.join("out")).unwrap();
        let mut command = once(&dir, ["--file-size=4K", "sh", "-c", script]);
        command.inner.stdout(output);
        let status = command.inner.status().unwrap();
        let length = std::fs::metadata(dir.join("out")).unwrap().len();
        assert_eq!((status.code(), length), (Some(153), 4096), "{script}");
    }
}

#[test]
fn a_line_tells_the_same() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-line");
    let said = once(&dir, ["-v", "sh", "-c", "exit 5"]).output().stderr;
    let shown: String = said.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(
        shown.replace("00", "0"),
        "once: exit status 0 after 0.0 s; 0.0 s user, 0.0 s system, 0.0 MiB at most\n",
        "{said}"
    );
}
