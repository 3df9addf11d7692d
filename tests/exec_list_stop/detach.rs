//! `run --detach` and `run --pid-file`: for service managers and scripts.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::process::{Command, Stdio};

use crate::support::{Ended, Jail, children, finish, is_root, until};
use crate::{expect, told};

/// `stockade run` with these options, for this jail.
fn run(jail: &Jail, options: &[&str], arguments: &[&str]) -> Command {
    let mut command = jail.stockade("run");
    command.args(options).arg("--").args(arguments);
    command
}

fn said(ended: &Ended) -> (&str, &str, Option<i32>) {
    (&ended.stdout, &ended.stderr, ended.code)
}

#[test]
fn a_detached_run_goes_on_and_writes_its_log() {
    let jail = Jail::shell("detached", "");
    jail.build();
    let log = jail.path("log");
    fs::write(&log, "before\n").unwrap();
    let script = "echo out; echo err >&2; trap 'echo bye; exit 0' TERM; while :; do busybox sleep 0.01; done";
    let ended = finish(&mut run(&jail, &["--detach", "--log", log.to_str().unwrap()], &[script]));
    assert_eq!(said(&ended), ("", "", Some(0)));
    expect(&jail, &["list", "--names"], 0, "detached\n", "");
    until("the output", || (fs::read_to_string(&log).unwrap() == "before\nout\nerr\n").then_some(()));
    // In a session of its own, which no terminal's end reaches, with none of the caller's files.
    let json: serde_json::Value = serde_json::from_str(&told(&jail, &["list", "--json"]).stdout).unwrap();
    let supervisor = json["jails"][0]["supervisor"].as_i64().unwrap() as i32;
    let pid = nix::unistd::Pid::from_raw(supervisor);
    assert_eq!(nix::unistd::getsid(Some(pid)), Ok(pid));
    for (fd, target) in [(0, "/dev/null"), (1, log.to_str().unwrap()), (2, log.to_str().unwrap())] {
        assert_eq!(fs::read_link(format!("/proc/{supervisor}/fd/{fd}")).unwrap().to_str(), Some(target));
    }
    expect(&jail, &["stop", "detached"], 0, "", "stopped jail `detached`\n");
    assert_eq!(fs::read_to_string(&log).unwrap(), "before\nout\nerr\nbye\n");
}

#[test]
fn without_a_log_nothing_is_kept() {
    for more in ["", "program.user = \"root\"", "namespaces.network = \"host\"\nprogram.user = \"root\""] {
        let jail = Jail::shell("quiet", more);
        jail.build();
        let ended =
            finish(&mut run(&jail, &["--detach"], &["echo nobody reads this; exec busybox sleep 1000"]));
        assert_eq!(said(&ended), ("", "", Some(0)), "{more}");
        expect(&jail, &["stop", "quiet"], 0, "", "stopped jail `quiet`\n");
    }
}

#[test]
fn what_fails_before_the_program_is_told_to_the_caller() {
    let jail = Jail::with_command("early", "[\"/nothing\"]", "tree.directories = [\"/nothing\"]");
    // A build that is needed is told there too.
    let ended = finish(&mut run(&jail, &["--detach"], &[]));
    assert!(ended.code != Some(0) && !ended.stderr.is_empty(), "{ended:?}");
    let jail = Jail::shell("late", "");
    jail.build();
    fs::remove_file(jail.tree().join("bin/busybox")).unwrap();
    let ended =
        finish(&mut run(&jail, &["--detach", "--log", jail.path("log").to_str().unwrap()], &["true"]));
    assert_eq!(ended.code, Some(127));
    assert!(ended.stderr.starts_with("error: cannot execute `/bin/sh` in jail `late`\n"), "{ended:?}");
    assert_eq!(fs::read_to_string(jail.path("log")).unwrap(), "");
    // A program that ends at once has been executed.
    let jail = Jail::shell("brief", "");
    jail.build();
    assert_eq!(said(&finish(&mut run(&jail, &["--detach"], &["exit 7"]))), ("", "", Some(0)));
}

#[test]
fn a_log_that_is_none_is_refused() {
    let jail = Jail::shell("logs", "");
    jail.build();
    let victim = jail.path("victim");
    fs::write(&victim, "mine\n").unwrap();
    symlink(&victim, jail.path("link")).unwrap();
    nix::unistd::mkfifo(&jail.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (name, why) in [
        ("link", "it is a symbolic link, which is not followed"),
        ("fifo", "it is no regular file"),
        ("no/where", "No such file or directory (ENOENT)"),
    ] {
        let path = jail.path(name);
        let ended = finish(&mut run(&jail, &["--detach", "--log", path.to_str().unwrap()], &["true"]));
        let told = format!(
            "error: cannot write the log `{}`\n  why: {why}\nhint: name a file that you may write\n",
            path.display()
        );
        assert_eq!(said(&ended), ("", told.as_str(), Some(125)));
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine\n");
    let usage = "error: `--log` goes with `--detach` only\nhint: in the foreground the output is where the caller has it: `> FILE`\n";
    let ended = finish(&mut run(&jail, &["--log", "x"], &["true"]));
    assert_eq!(said(&ended), ("", usage, Some(2)));
}

#[test]
fn a_pid_file_says_which_process_the_program_is() {
    let jail = Jail::shell("numbered", "");
    jail.build();
    let (file, victim) = (jail.path("pid"), jail.path("victim"));
    let option = ["--detach", "--pid-file", file.to_str().unwrap()];
    // What is there is replaced: a link is not followed.
    fs::write(&victim, "mine\n").unwrap();
    symlink(&victim, &file).unwrap();
    assert_eq!(finish(&mut run(&jail, &option, &["exec busybox sleep 1000"])).code, Some(0));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine\n");
    assert_eq!(file.symlink_metadata().unwrap().mode(), 0o100_644);
    let pid: i32 = fs::read_to_string(&file).unwrap().strip_suffix('\n').unwrap().parse().unwrap();
    let listed = told(&jail, &["list"]);
    assert!(listed.lines()[1].starts_with(&format!("numbered  running  {pid}  ")), "{listed:?}");
    expect(&jail, &["stop", "numbered"], 0, "", "stopped jail `numbered`\n");
    assert!(file.symlink_metadata().is_err());
    // Another's file is left alone.
    assert_eq!(finish(&mut run(&jail, &option, &["exec busybox sleep 1000"])).code, Some(0));
    fs::remove_file(&file).unwrap();
    fs::write(&file, "another\n").unwrap();
    expect(&jail, &["stop", "numbered"], 0, "", "stopped jail `numbered`\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), "another\n");
    // Nowhere to write it: nothing is started.
    let file = jail.path("no/where");
    let ended = finish(&mut run(&jail, &["--pid-file", file.to_str().unwrap()], &["echo never"]));
    let told = format!(
        "error: cannot write the process id to `{}`\n  why: open(2): No such file or directory (ENOENT)\nhint: name a file that \
         you may write\n",
        file.display()
    );
    assert_eq!(said(&ended), ("", told.as_str(), Some(125)));
    if !is_root() {
        let ended = finish(&mut run(&jail, &["--pid-file", "/proc/pid"], &["exec busybox sleep 1000"]));
        assert_eq!((ended.stdout.as_str(), ended.code), ("", Some(125)), "{ended:?}");
    }
}

#[test]
fn a_pid_file_follows_a_program_into_the_background() {
    let jail = Jail::shell("follows", "program.type = \"forking\"");
    jail.build();
    let file = jail.path("pid");
    let script = "busybox setsid busybox sleep 1000 & busybox sleep 0.1; exit 0";
    let mut command = run(&jail, &["--pid-file", file.to_str().unwrap()], &[script]);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let number = || fs::read_to_string(&file).ok()?.trim().parse::<i32>().ok();
    until("the background", || {
        let first = *children(child.id() as i32).first()?;
        let [main] = children(first)[..] else { return None };
        (number() == Some(main)).then_some(())
    });
    expect(&jail, &["stop", "follows"], 0, "", "stopped jail `follows`\n");
    child.wait().unwrap();
    assert!(!file.exists());
}
