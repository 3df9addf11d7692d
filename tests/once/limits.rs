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

/// A pipe, as a judge has for a program's output: no limit of the kernel's counts what goes through.
#[test]
fn output_to_a_pipe_ends_at_its_limit() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-output");
    let zeros = |count| "\0".repeat(count);
    for (limit, script, code, expected) in [
        ("1000", "head -c 1000 /dev/zero; exit 3", 3, zeros(1000)),
        ("1000", "head -c 1001 /dev/zero; exit 3", 153, zeros(1000)),
        ("0", "exit 3", 3, String::new()),
        ("0", "echo", 153, String::new()),
        // More than two pipes hold.
        ("1M", "exec cat /dev/zero", 153, zeros(1 << 20)),
        // Who listens to no signal, and who is nobody's child any more.
        ("1M", "trap '' PIPE XFSZ TERM; (cat /dev/zero & cat /dev/zero & wait) & wait", 153, zeros(1 << 20)),
        ("4", "echo a; echo b > /dev/stdout; echo c > /proc/self/fd/1; sleep 60", 153, "a\nb\n".into()),
        // Both count.
        ("4", "echo a; echo b >&2; sleep 0.2; echo c; sleep 60", 153, "a\n".into()),
    ] {
        let output = once(&dir, ["--output-size", limit, "--timeout=30s", "sh", "-c", script]).output();
        assert_eq!((output.code, output.stdout.len()), (Some(code), expected.len()), "{script}");
        assert_eq!(output.stdout, expected, "{script}");
    }
    // And what it is told as.
    let said = once(&dir, ["--output-size=1K", "--report=report", "cat", "/dev/zero"]).output();
    assert_eq!((said.code, said.stderr.as_str()), (Some(153), ""));
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.join("report")).unwrap()).unwrap();
    assert_eq!(
        [&report["ended"], &report["ended_by"], &report["message"]].map(ToString::to_string),
        [
            r#"{"how":"signaled","signal":25}"#,
            r#""output_size""#,
            r#""too much output, by the limit `output_size`""#
        ]
    );
}

/// The supervisor writes to the reader, and must not wait for it past its own limits; nor may it hide that the reader has gone.
#[test]
fn a_reader_that_does_not_read_holds_no_limit_up() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-reader");
    for (script, code) in [
        ("exec cat /dev/zero", 124),
        // Its own end comes first, and what it wrote is more than the reader's pipe holds.
        ("head -c 120000 /dev/zero", 124),
    ] {
        let mut command = once(&dir, ["--output-size=10M", "--timeout=500ms", "sh", "-c", script]).inner;
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let reader = child.stdout.take();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{script}");
        drop(reader);
    }
    let mut command = once(&dir, ["--output-size=10M", "cat", "/dev/zero"]).inner;
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(141));
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
