//! What a program gets of its caller's state: a caller who has something odd of everything starts it.

use std::fs;
use std::process::Command;

use crate::support::{Ended, Jail, finish, is_root};

/// `stockade run` with these arguments, by the careless caller of the probe.
fn careless(jail: &Jail, arguments: &[&str]) -> Ended {
    jail.build();
    let run = jail.command(arguments);
    let mut command = Command::new(jail.path("probe"));
    command.arg("careless").arg(run.get_program()).args(run.get_args());
    command.env("STOCKADE_STATE_DIR", jail.path("state")).stdin(std::process::Stdio::null());
    finish(&mut command)
}

/// What the probe tells of itself in a jail nobody has asked anything of.
const DEFAULT: [&str; 14] = [
    "personality 0",
    "timer slack 50000",
    "nice 0",
    "io 0",
    "memory policy 0",
    "umask 22",
    "merging 0",
    "core 1",
    "stack 8388608",
    "files 1024",
    "processes 1024",
    "locked 8388608",
    "nice 0",
    "rtprio 0",
];

#[test]
fn a_careless_callers_state_is_not_the_jails() {
    // Outside it is: the test can fail.
    let outside = careless_outside();
    let differing = DEFAULT.iter().zip(&outside).filter(|(default, outside)| *default != outside).count();
    assert!(differing >= 6, "{outside:?}");
    // With every system call, as the filter keeps even from asking for the memory policy.
    for more in ["", "program.init = false", "program.user = \"root\""] {
        let more = &format!("privileges.system_calls = \"all\"\n{more}");
        assert_eq!(careless(&Jail::probe("careless", more), &["circumstances"]).lines(), DEFAULT, "{more}");
    }
}

/// The same without a jail.
fn careless_outside() -> Vec<String> {
    let jail = Jail::probe("careless", "");
    let mut command = Command::new(jail.path("probe"));
    command.arg("careless").arg(jail.path("probe")).arg("circumstances");
    finish(&mut command).lines().into_iter().map(str::to_owned).collect()
}

#[test]
fn what_the_manifest_asks_for_wins_over_both() {
    let jail = Jail::probe(
        "careless",
        "program.personality = [\"short-inode\"]
        program.nice = 3
        program.umask = \"0077\"
        limits.core_size = \"1M\"
        limits.open_files = 77",
    );
    let ended = careless(&jail, &["circumstances"]);
    for expected in
        ["personality 1000000", "nice 3", "umask 77", "core 1048576", "files 77", "processes 1024"]
    {
        assert!(ended.lines().contains(&expected), "{expected}: {ended:?}");
    }
}

#[test]
fn who_asks_for_less_has_less() {
    // A limit below the default, a nice value above it: the caller's wish, and no harm to anybody.
    let jail = Jail::probe("modest", "");
    jail.build();
    let modest = "ulimit -n 100; ulimit -u 500; renice 5 $$ >/dev/null";
    let ended = finish(&mut jail.command_after(modest, &["circumstances"]));
    for expected in ["files 100", "processes 500", "nice 5"] {
        assert!(ended.lines().contains(&expected), "{expected}: {ended:?}");
    }
}

#[test]
fn a_caller_spared_when_memory_runs_out_spares_no_jail() {
    let jail = Jail::shell("spared", "");
    jail.build();
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let spare = "echo -500 2>/dev/null > /proc/self/oom_score_adj";
    let outside =
        finish(Command::new("bash").args(["-c", &format!("{spare}; cat /proc/self/oom_score_adj")]));
    if outside.stdout == own || !is_root() {
        // Who has not CAP_SYS_RESOURCE cannot be spared.
        return;
    }
    let ended = finish(&mut jail.command_after(spare, &["cat /proc/self/oom_score_adj"]));
    assert_eq!(ended.lines(), ["0"]);
}

#[test]
fn no_crash_reaches_the_hosts_core_pattern() {
    let jail = Jail::shell("core", "mounts = [{ type = \"tmpfs\", target = \"/tmp\" }]");
    // Neither a file nor, were one named there, a program: see LIMIT_CORE in `plan --explain`.
    let script = "cd /tmp; ulimit -S -c 0; ulimit -c unlimited; sh -c 'kill -SEGV $$'; ls; grep core /proc/self/limits; exit 0";
    let ended = careless(&jail, &[script]);
    let limit: Vec<&str> = ended.stdout.split_whitespace().collect();
    assert_eq!(limit, ["Max", "core", "file", "size", "1", "1", "bytes"], "{ended:?}");
    assert!(!ended.stderr.contains("core dumped"), "{ended:?}");
}
