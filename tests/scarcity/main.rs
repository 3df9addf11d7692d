//! Hosts that have too little: descriptors, processes, memory, disk, system calls, and quiet. Whatever is asked for either works, or
//! ends with an error that says what, why and what to do, and leaves nothing behind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

#[path = "../common/mod.rs"]
mod common;
mod memory;
mod scarce;

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use common::{Need, needs};
use scarce::{Outcome, Scarce};

/// Answers one system call with an error and executes the rest of its arguments: `deny CALL ERRNO FLAG PROGRAM…`. With a flag other
/// than 0 only calls whose first argument has it.
const DENY: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#define CALL(name, number) {#name, number}
static const struct { const char *name; int number; } calls[] = {
    CALL(openat2, 437), CALL(open_tree, 428), CALL(move_mount, 429), CALL(mount_setattr, 442), CALL(fsopen, 430),
    CALL(fsconfig, 431), CALL(fsmount, 432), CALL(close_range, 436), CALL(pidfd_send_signal, 424), CALL(pidfd_open, 434),
    CALL(faccessat2, 439), CALL(landlock_create_ruleset, 444), CALL(landlock_add_rule, 445),
    CALL(landlock_restrict_self, 446), CALL(clone3, 435), CALL(fchmodat2, 452), CALL(epoll_pwait2, 441),
    CALL(statx, SYS_statx), CALL(seccomp, SYS_seccomp), CALL(keyctl, SYS_keyctl), CALL(copy_file_range, SYS_copy_file_range),
    CALL(getrandom, SYS_getrandom), CALL(signalfd4, SYS_signalfd4), CALL(renameat2, SYS_renameat2),
    CALL(memfd_create, SYS_memfd_create), CALL(clone, SYS_clone), CALL(syncfs, SYS_syncfs), CALL(setns, SYS_setns),
    CALL(unshare, SYS_unshare), CALL(socketpair, SYS_socketpair), CALL(prlimit64, SYS_prlimit64), CALL(capget, SYS_capget),
    CALL(setsid, SYS_setsid),
#ifdef SYS_readlink
    CALL(readlink, SYS_readlink),
#else
    CALL(readlink, SYS_readlinkat),
#endif
};
int main(int argc, char **argv) {
    int number = -1, error = atoi(argv[2]);
    unsigned flag = strtoul(argv[3], 0, 0);
    for (unsigned at = 0; at < sizeof calls / sizeof *calls; at++)
        if (strcmp(calls[at].name, argv[1]) == 0) number = calls[at].number;
    if (number < 0) return fprintf(stderr, "no call %s\n", argv[1]), 99;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4),
        BPF_JUMP(BPF_JMP | BPF_JA, flag ? 0 : 2, 0, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, flag, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return perror("seccomp"), 99;
    execv(argv[4], argv + 4);
    return perror(argv[4]), 99;
}
"#;

#[test]
fn a_kernel_without_a_newer_call_is_coped_with_or_named() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let jail = Scarce::new("calls");
    let deny = jail.path("deny");
    common::compile_static(&deny, DENY);
    let deny = deny.display().to_string();
    let without = |call: &str, verb: &str| {
        // ENOSYS
        jail.finish(&[&deny, call, "38", "0"], verb)
    };
    let not_there = |call: &str| format!("{call}(2): Function not implemented (ENOSYS)");
    // What a build needs, and what it does without.
    without("openat2", "build").expect_error(&[&not_there("openat2"), "came with Linux 5.6"]);
    for call in ["getrandom", "syncfs"] {
        without(call, "build")
            .expect_error(&[&not_there(call), "hint: this kernel, or a filter on its calls, lacks the call"]);
    }
    for call in [
        "statx",
        "copy_file_range",
        "faccessat2",
        "fchmodat2",
        "clone3",
        "keyctl",
        "memfd_create",
        "open_tree",
        "move_mount",
        "mount_setattr",
        "fsopen",
        "fsmount",
        "close_range",
        "pidfd_open",
        "pidfd_send_signal",
        "seccomp",
        "landlock_create_ruleset",
        "renameat2",
        "signalfd4",
        "prlimit64",
    ] {
        let outcome = without(call, "build");
        assert!(matches!(outcome, Outcome::Works), "build without {call}: {outcome:?}");
    }
    // What a run needs …
    jail.build();
    without("openat2", "run").expect_error(&[&not_there("openat2"), "came with Linux 5.6"]);
    for call in ["open_tree", "move_mount", "mount_setattr", "fsopen", "fsconfig", "fsmount", "close_range"] {
        let hint = format!(
            "hint: this kernel, or a filter on its calls, has no {call}(2); stockade needs Linux 5.12 or newer"
        );
        without(call, "run").expect_error(&[&not_there(call), &hint]);
    }
    without("signalfd4", "run").expect_error(&[&not_there("signalfd"), "stockade needs Linux 5.12 or newer"]);
    without("socketpair", "run").expect_error(&[&not_there("socketpair")]);
    // CLONE_PIDFD is not known to a kernel before 5.2: EINVAL.
    jail.finish(&[&deny, "clone", "22", "0x1000"], "run")
        .expect_error(&["clone(2): Invalid argument (EINVAL)", "Linux 5.2"]);
    // … what it says the cure for, whatever was asked for …
    for call in [
        "landlock_create_ruleset",
        "landlock_add_rule",
        "landlock_restrict_self",
        "seccomp",
        "setns",
        "unshare",
    ] {
        match without(call, "run") {
            Outcome::Works => {}
            outcome => outcome.expect_error(&[]),
        }
    }
    // … and what it does without.
    for call in [
        "statx",
        "faccessat2",
        "fchmodat2",
        "clone3",
        "keyctl",
        "memfd_create",
        "pidfd_open",
        "pidfd_send_signal",
        "epoll_pwait2",
    ] {
        let outcome = without(call, "run");
        assert!(matches!(outcome, Outcome::Works), "run without {call}: {outcome:?}");
    }
}

/// As root on the host itself, not in a container: whose jails have user namespaces that are made before.
fn is_root_of_the_host() -> bool {
    let host = stockade::sys::host::Host::current(Path::new("/"));
    let is_it = host.is_root() && host.first_user_namespace;
    if !is_it {
        println!("SKIP: needs root of the host");
    }
    is_it
}

#[test]
fn a_user_namespace_whose_maker_was_killed_is_none() {
    if !is_root_of_the_host() || !needs(Need::Program("strace")) {
        return;
    }
    let jail = Scarce::new("maker");
    jail.build();
    // By its last call, which would keep the jail from making more of them.
    let file = "/proc/sys/user/max_user_namespaces";
    let killed = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", file, "-e", "inject=write:signal=SIGKILL"];
    let output = jail.command(&killed, "run", &[]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        (output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()),
        (Some(125), ""),
        "{told}"
    );
    let (first, rest) = told.split_once('\n').unwrap();
    assert_eq!(first, "error: cannot make a user namespace in jail `scarce`");
    assert!(
        rest.starts_with("  why: the process that makes it was killed before it was done, step "),
        "{told}"
    );
}

#[test]
fn what_keeps_a_jail_out_of_the_background_is_named() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let jail = Scarce::new("background");
    let deny = jail.path("deny");
    common::compile_static(&deny, DENY);
    jail.build();
    let mut command = jail.command(&[&deny.display().to_string(), "setsid", "38", "0"], "run", &[]);
    let output = command.arg("--detach").output().unwrap();
    assert_eq!(
        (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
        (
            Some(125),
            "error: cannot go into the background\n  why: setsid(2): Function not implemented (ENOSYS)\n"
        )
    );
}

#[test]
fn root_that_is_told_nothing_of_itself_is_not_root_inside() {
    if !is_root_of_the_host() {
        return;
    }
    let jail = Scarce::new("capget");
    let deny = jail.path("deny");
    common::compile_static(&deny, DENY);
    let deny = deny.display().to_string();
    let mapped = |before: &[&str]| {
        let output = jail.command(before, "plan", &[]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let ids: Vec<String> = text.lines().filter(|line| line.contains("_map")).map(str::to_owned).collect();
        assert!(
            output.status.success() && !ids.is_empty(),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        ids
    };
    // EPERM, as by a container's filter, and ENOMEM.
    for (call, errno) in [("capget", "1"), ("readlink", "12")] {
        assert_eq!(mapped(&[&deny, call, errno, "0"]), mapped(&[]), "{call}");
    }
}

#[test]
fn signals_and_time_limits_do_without_the_newer_calls() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let jail = Scarce::new("signals");
    let deny = jail.path("deny");
    common::compile_static(&deny, DENY);
    let deny = deny.display().to_string();
    jail.build();
    for call in ["pidfd_open", "pidfd_send_signal"] {
        let before = [deny.as_str(), call, "38", "0"];
        let mut running = jail.command(&before, "run", &["60000"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = [0; 6];
        std::io::Read::read_exact(running.stdout.as_mut().unwrap(), &mut line).unwrap();
        kill(Pid::from_raw(running.id() as i32), Signal::SIGTERM).unwrap();
        assert_eq!(running.wait().unwrap().code(), Some(143), "{call}");
        let mut limited = jail.command(&before, "run", &[]);
        limited.args(["--set", "limits.runtime_max=300ms", "--", "60000"]);
        assert_eq!(limited.output().unwrap().status.code(), Some(124), "{call}");
        jail.assert_clean(false);
    }
}

#[test]
fn too_few_descriptors_are_named() {
    if !needs(Need::UserNamespaces) || !needs(Need::Program("prlimit")) {
        return;
    }
    let jail = Scarce::new("descriptors");
    jail.build();
    let mut worked = false;
    for most in 3..40 {
        let limit = format!("--nofile={most}:{most}");
        for verb in ["run", "build", "verify"] {
            match jail.finish(&["prlimit", &limit], verb) {
                Outcome::Works => worked = true,
                outcome => outcome.expect_error(&["Too many open files", "ulimit -n"]),
            }
        }
    }
    assert!(worked, "40 descriptors are enough");
}

#[test]
fn too_few_processes_are_named() {
    if !needs(Need::UserNamespaces) || !needs(Need::Program("prlimit")) {
        return;
    }
    let jail = Scarce::new("processes");
    // A user nobody else is: the limit counts all processes of one.
    let mut before = Vec::new();
    if nix::unistd::geteuid().is_root() {
        if !needs(Need::Program("setpriv")) {
            return;
        }
        chown(&jail.directory, Some(54321), Some(54321)).unwrap();
        before.extend(["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]);
    } else {
        println!("SKIP: this user's other processes count too");
        return;
    }
    let (mut refused, mut worked) = (0, false);
    for most in 1..8 {
        let limit = format!("--nproc={most}:{most}");
        match jail.finish(&[&before[..], &["prlimit", &limit]].concat(), "run") {
            Outcome::Works => worked = true,
            outcome => {
                outcome.expect_error(&[
                    "clone(2)",
                    "(EAGAIN)",
                    "hint: a limit on processes is reached: RLIMIT_NPROC",
                ]);
                refused += 1;
            }
        }
    }
    assert!(refused >= 2 && worked, "{refused} refused");
}

#[test]
fn a_full_disk_is_named_and_left_as_it_was() {
    if !needs(Need::Root) {
        return;
    }
    let jail = Scarce::new("disk");
    fs::create_dir(jail.path("state")).unwrap();
    for options in ["size=500k", "nr_inodes=12"] {
        // In mount namespaces of their own: nothing is mounted here.
        let script = format!(
            "mount -t tmpfs -o mode=700,{options} tmpfs {0} && \"$@\"; code=$?; find {0} -name '.*' -mindepth 1; exit $code",
            jail.path("state").display()
        );
        for verb in ["build", "run"] {
            let before = ["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "sh"];
            let outcome = jail.finish(&before, verb);
            outcome.expect_error(&[
                "cannot build jail `scarce`",
                "(ENOSPC)",
                "hint: the file system of the state directory is full",
            ]);
        }
    }
}

#[test]
fn without_proc_a_build_works_and_a_run_says_what_it_needs() {
    if !needs(Need::Root) {
        return;
    }
    let jail = Scarce::new("proc");
    let script = "umount -l /proc && exec \"$@\"";
    let before = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"];
    for verb in ["build", "run", "verify"] {
        match jail.finish(&before, verb) {
            Outcome::Works => {}
            outcome => outcome.expect_error(&[]),
        }
    }
}

/// Bombards a process with these signals until `done`.
fn storm(pid: i32, signals: &[Signal], done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        for signal in signals {
            let _ = kill(Pid::from_raw(pid), *signal);
        }
        std::thread::sleep(Duration::from_micros(50));
    }
}

#[test]
fn a_storm_of_signals_disturbs_neither_set_up_nor_run_nor_build() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let jail = Scarce::new("storm");
    jail.build();
    // SIGSTOP and SIGCONT interrupt calls without any handler, see signal(7).
    let quiet = [Signal::SIGCHLD, Signal::SIGWINCH, Signal::SIGURG, Signal::SIGSTOP, Signal::SIGCONT];
    for (verb, arguments) in [("run", vec!["30"]), ("build", vec![]), ("run", vec![]), ("remove", vec![])] {
        for _ in 0..5 {
            if verb == "remove" {
                jail.build();
            }
            let mut command = jail.command(&[], verb, &arguments);
            let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let (pid, done) = (child.id() as i32, AtomicBool::new(false));
            let output = std::thread::scope(|scope| {
                scope.spawn(|| storm(pid, &quiet, &done));
                let output = wait_through(child, &done);
                done.store(true, Ordering::Relaxed);
                output
            });
            assert!(output.status.success(), "{verb}: {output:?}");
            let expected = match (verb, arguments.len()) {
                ("run", 1) => "ready\nran\n",
                ("run", _) => "ran\n",
                _ => "",
            };
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{verb}");
            jail.assert_clean(false);
        }
    }
    // Once the program is there its signals go to it.
    jail.build();
    let mut child = jail.command(&[], "run", &["300"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
    let (pid, done) = (child.id() as i32, AtomicBool::new(false));
    let output = std::thread::scope(|scope| {
        scope.spawn(|| {
            storm(pid, &[Signal::SIGUSR1, Signal::SIGWINCH, Signal::SIGCHLD, Signal::SIGCONT], &done);
        });
        let output = wait_through(child, &done);
        done.store(true, Ordering::Relaxed);
        output
    });
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"ran\n"[..]));
    jail.assert_clean(false);
}

/// Waits for a process that is stopped and continued all the time, without reaping it before the storm has ended: its number
/// must not become another's.
fn wait_through(child: std::process::Child, done: &AtomicBool) -> Output {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(Pid::from_raw(child.id() as i32)), flags).unwrap();
    done.store(true, Ordering::Relaxed);
    std::thread::sleep(Duration::from_millis(2));
    child.wait_with_output().unwrap()
}
