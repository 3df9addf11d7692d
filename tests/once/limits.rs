//! Limits, each ending what it is to end, and the report of it: what a judge of programs needs.

use serde_json::Value;

use crate::common::{Dir, Need, needs};
use crate::{once, place};

#[test]
fn each_limit_ends_what_it_is_for() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-limits");
    for (options, script, code, expected) in [
        (&["--timeout", "300ms"][..], "sleep 20", 124, ""),
        (&["--cpu-time", "1s"], "while :; do :; done", 152, ""),
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

/// Runs this with a report.
fn report(dir: &Dir, name: &str, options: &[&str], script: &str) -> Value {
    let path = format!("{name}.json");
    let words = ["--report", &path].into_iter().chain(options.iter().copied()).chain(["sh", "-c", script]);
    let output = once(dir, words).output();
    let text =
        std::fs::read_to_string(dir.join(&path)).unwrap_or_else(|error| panic!("{error}: {}", output.stderr));
    serde_json::from_str(&text).unwrap()
}

/// What a contest's programs do, with how each ends, the limit that ends it, and the exit code.
#[allow(clippy::type_complexity, reason = "a table")]
const PROGRAMS: [(&str, &[&str], &str, &str, Option<&str>, i64); 7] = [
    ("right", &[], "echo 42", r#"{"how":"exited","status":0}"#, None, 0),
    ("wrong", &[], "exit 3", r#"{"how":"exited","status":3}"#, None, 3),
    ("sleeper", &["--timeout", "300ms"], "exec sleep 20", r#"{"how":"timed_out"}"#, Some("runtime_max"), 124),
    (
        "spinner",
        &["--cpu-time", "1s"],
        "while :; do :; done",
        r#"{"how":"signaled","signal":24}"#,
        Some("cpu_time"),
        152,
    ),
    (
        "talker",
        &["--file-size", "4K"],
        "exec head -c 100000 /dev/zero > /tmp/x",
        r#"{"how":"signaled","signal":25}"#,
        Some("file_size"),
        153,
    ),
    ("crasher", &[], "kill -SEGV $$", r#"{"how":"signaled","signal":11}"#, None, 139),
    (
        "hanger",
        &["--timeout=300ms"],
        "trap '' TERM; while :; do sleep 1; done",
        r#"{"how":"timed_out"}"#,
        Some("runtime_max"),
        124,
    ),
];

#[test]
fn a_report_tells_what_ended_it_also_of_many_at_once() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-judge");
    std::thread::scope(|scope| {
        for (name, options, script, ended, by, code) in PROGRAMS {
            let dir = &dir;
            scope.spawn(move || {
                let report = report(dir, name, options, script);
                let expected: Value = serde_json::from_str(ended).unwrap();
                assert_eq!(report["ended"], expected, "{name}: {report:#}");
                assert_eq!(report["ended_by"].as_str(), by, "{name}: {report:#}");
                assert_eq!(report["exit_code"], code, "{name}");
                let used = report["used"].as_object().unwrap();
                assert!(used["peak_memory"].as_u64().unwrap() > 0 && used.contains_key("wall_ms"), "{name}");
                assert!(
                    report["layers"].as_array().unwrap().iter().all(|layer| layer["state"] == "enforced"),
                    "{name}"
                );
            });
        }
    });
}

#[test]
fn memory_is_one_limit_for_all_processes() {
    if !needs(Need::UserNamespaces) || !needs(Need::ControlGroups) || !needs(Need::Program("perl")) {
        return;
    }
    let dir = place("once-memory");
    let report = report(&dir, "eater", &["--memory", "32M"], "exec perl -e '$x = \"a\" x 200_000_000'");
    assert_eq!(report["ended_by"], "memory", "{report:#}");
    assert_eq!(report["limits"][0]["limit"], "memory", "{report:#}");
    let together = report["used"]["peak_together"].as_u64().unwrap();
    assert!((16 << 20..=32 << 20).contains(&together), "{report:#}");
    assert_eq!(report["exit_code"], 137);
}

#[test]
fn a_fork_bomb_stays_inside_and_ends() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-bomb");
    let script = "b() { b | b & }; b; sleep 20";
    let report = report(&dir, "bomb", &["--pids", "30", "--timeout", "1s"], script);
    let code = report["exit_code"].as_i64().unwrap();
    assert!(code == 124 || code == 2, "{report:#}");
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
