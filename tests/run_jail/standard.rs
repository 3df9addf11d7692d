//! Standard input, output and error: what of the caller's a program is given, and what it can do with it.

use std::process::{Command, Stdio};

use crate::common;
use crate::support::{Ended, Jail, finish};

/// Runs a jail with something odd as a standard descriptor, as `gives.c` opens it.
fn run_with(kind: &str, descriptor: &str, jail: &Jail, arguments: &[&str]) -> Ended {
    let gives = jail.path("gives");
    if !gives.exists() {
        common::compile_static(&gives, include_str!("gives.c"));
    }
    let run = jail.command(arguments);
    let mut command = Command::new(gives);
    command.args([kind, descriptor]).arg(run.get_program()).args(run.get_args());
    command.env("STOCKADE_STATE_DIR", jail.path("state")).env("NO_COLOR", "1").stdin(Stdio::null());
    finish(&mut command)
}

/// Exit status of `gives.c` where the kernel, or this user, has not got that.
const NOT_HERE: Option<i32> = Some(77);

#[test]
fn what_reaches_past_the_jail_is_refused() {
    let jail = Jail::shell("refused", "");
    jail.build();
    for (kind, why) in [
        // CVE-2024-21626: fchdir(2) through it leads to the host's files.
        ("directory", "it is a directory"),
        ("place", "it is a place in the host's tree, opened with O_PATH"),
        ("place-of-a-directory", "it is a place in the host's tree, opened with O_PATH"),
        ("mount-namespace", "it is a file of the kernel's own (nsfs, a namespace)"),
        ("user-namespace", "it is a file of the kernel's own (nsfs, a namespace)"),
        ("proc-status", "it is a file of the kernel's own (proc)"),
        ("own-memory", "it is a file of the kernel's own (proc)"),
        ("sysctl", "it is a file of the kernel's own (proc)"),
        ("sysfs", "it is a file of the kernel's own (sysfs)"),
        ("memory", "it is the device 1:1"),
        ("kernel-log", "it is the device 1:11"),
        ("fuse", "it is the device 10:229"),
        ("disk", "it is a block device"),
        ("loop", "it is a block device"),
        ("epoll", "it is no file but a handle"),
        ("eventfd", "it is no file but a handle"),
        ("signalfd", "it is no file but a handle"),
        ("timerfd", "it is no file but a handle"),
        ("inotify", "it is no file but a handle"),
        ("io_uring", "it is no file but a handle"),
        ("userfaultfd", "it is no file but a handle"),
        ("process", ""),
        ("netlink", "it is a socket of address family 16"),
        ("packet", "it is a socket of address family 17"),
        ("vsock", "it is a socket of address family 40"),
        ("raw", "it is a raw socket"),
    ] {
        for (descriptor, name) in [("0", "input"), ("1", "output"), ("2", "error")] {
            let ended = run_with(kind, descriptor, &jail, &["echo ran; echo ran >&2"]);
            if ended.code == NOT_HERE {
                continue;
            }
            assert_eq!((ended.stdout.as_str(), ended.code), ("", Some(125)), "{kind}: {}", ended.stderr);
            // An error that goes to such a descriptor itself is not seen.
            if descriptor != "2" {
                let expected = format!("standard {name} cannot be given to a jail");
                assert!(
                    ended.stderr.contains(&expected) && ended.stderr.contains(why),
                    "{kind}: {}",
                    ended.stderr
                );
            }
        }
    }
}

#[test]
fn what_carries_bytes_and_no_more_is_given() {
    let jail = Jail::shell("given", "");
    jail.build();
    for kind in ["null", "zero", "file", "memfd", "unix", "tcp", "udp", "pipe"] {
        let ended = run_with(kind, "0", &jail, &["echo ran"]);
        assert_eq!((ended.stdout.as_str(), ended.code), ("ran\n", Some(0)), "{kind}: {}", ended.stderr);
    }
}
