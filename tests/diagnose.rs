//! `diagnose`: a jail whose program lacks one thing, what is told of it, and that the line which is told mends it.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use common::{Dir, Need, needs};

/// A program that does one thing, by its argument, and succeeds if it can.
const PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
    const char *what = argv[1];
    if (!strcmp(what, "file")) return open("/etc/os-release", O_RDONLY) < 0;
    if (!strcmp(what, "nothing")) return open("/etc/no-such-file", O_RDONLY) >= 0;
    if (!strcmp(what, "device")) return open("/dev/ptmx", O_RDWR) < 0;
    if (!strcmp(what, "shared")) return open("/dev/shm/x", O_RDWR | O_CREAT, 0600) < 0;
    if (!strcmp(what, "written")) return open("/var/tmp/x", O_RDWR | O_CREAT, 0600) < 0;
    if (!strcmp(what, "program")) {
        int status = 1;
        if (!fork()) { execl("/usr/bin/env", "env", "true", NULL); _exit(1); }
        wait(&status);
        return status != 0;
    }
    if (!strcmp(what, "port")) {
        struct sockaddr_in low = { AF_INET, htons(80) };
        return bind(socket(AF_INET, SOCK_STREAM, 0), (void *)&low, sizeof low) != 0;
    }
    if (!strcmp(what, "call")) {
        char from = 1, to = 0;
        struct iovec own = { &to, 1 }, other = { &from, 1 };
        return process_vm_readv(getpid(), &own, 1, &other, 1, 0) != 1;
    }
    if (!strcmp(what, "personality")) return personality(ADDR_NO_RANDOMIZE) < 0;
    return 99;
}
"#;

/// A jail with the program, which is told this.
fn jail(what: &str) -> Dir {
    let directory = Dir::new("diagnose");
    common::compile_static(&directory.join("program"), PROGRAM);
    directory.write(
        "lacking.toml",
        format!(
            "name = \"lacking\"\n\n[program]\ncommand = [\"/program\", \"{what}\"]\n\n[tree]\nfiles = [{{ path = \"{}\", target = \"/program\" }}]\n",
            directory.join("program").display()
        ),
    );
    directory
}

/// What is told, with every time the same.
fn diagnosed(directory: &Dir, more: &[&str]) -> (String, Option<i32>) {
    let output = directory.stockade(["diagnose", "./lacking.toml"]).args(more).output();
    let timeless = |line: &str| match line.split_once(", at ") {
        Some((before, _)) => before.to_owned() + ", at some time\n",
        None => line.to_owned() + "\n",
    };
    let text = output.stdout.lines().map(timeless).collect();
    assert!(!output.stderr.contains("warning"), "{}", output.stderr);
    (text, output.code)
}

#[test]
fn what_is_told_mends_it() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    for (what, expected) in [
        (
            "file",
            "`/etc/os-release` is missing: to be read by program, openat(2), at some time\n    [tree] files = [\"/etc/os-release\"]\n",
        ),
        (
            "device",
            "`/dev/ptmx` is missing: to be written by program, openat(2), at some time\n    [tree] devices = [\"null\", \"zero\", \"full\", \"random\", \"urandom\", \"pts\"]\n",
        ),
        (
            "shared",
            "`/dev/shm/x` is missing: to be written by program, openat(2), at some time\n    [tree] devices = [\"null\", \"zero\", \"full\", \"random\", \"urandom\", \"shm\"]\n",
        ),
        (
            "written",
            "`/var/tmp/x` is missing: to be written by program, openat(2), at some time\n    [[mounts]] type   = \"tmpfs\", target = \"/var/tmp\"\n",
        ),
        (
            "program",
            "`/usr/bin/env` is missing: to be executed by program, execve(2), at some time\n    [tree] programs = [\"/usr/bin/env\"]\n",
        ),
        (
            "port",
            "capability NET_BIND_SERVICE is missed by program, bind(2), at some time\n    [privileges] capabilities = [\"NET_BIND_SERVICE\"]\n",
        ),
        (
            "call",
            "system call `process_vm_readv` (tracing) is refused: wanted by program, process_vm_readv(2), at some time\n    [privileges] system_calls = [\"default\", \"process_vm_readv\"]\n",
        ),
        (
            "personality",
            "system call `personality` (personality) is refused: wanted by program, personality(2), at some time\n    [privileges] system_calls = [\"default\", \"@personality\"]\n",
        ),
    ] {
        let directory = jail(what);
        let told = format!("jail `lacking`: one thing is lacking\n{expected}");
        assert_eq!(diagnosed(&directory, &[]), (told.clone(), Some(1)), "{what}");
        assert_eq!(directory.stockade(["run", "./lacking.toml"]).output().code, Some(1), "{what}");
        assert_eq!(diagnosed(&directory, &["--apply"]), (told, Some(1)), "{what}");
        let after = match what {
            // `env` looks for `true`, which is another program.
            "program" => continue,
            _ => "jail `lacking`: nothing is lacking\n",
        };
        assert_eq!(diagnosed(&directory, &[]), (after.to_owned(), Some(0)), "{what}");
        assert_eq!(directory.stockade(["run", "./lacking.toml"]).output().code, Some(0), "{what}");
    }
}

#[test]
fn what_the_host_lacks_too_is_no_matter() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let directory = jail("nothing");
    assert_eq!(diagnosed(&directory, &[]), ("jail `lacking`: nothing is lacking\n".to_owned(), Some(0)));
}

#[test]
fn a_jail_that_does_not_start_is_no_diagnosis() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let directory = jail("file");
    let output = directory
        .stockade(["diagnose", "--set", "program.command=[\"/etc/passwd\"]", "./lacking.toml"])
        .output();
    assert_eq!(output.code, Some(125), "{output:?}");
    let told = "error: the program of jail `lacking` has not been executed\nhint: what is said above is in the way\n";
    assert!(output.stderr.ends_with(told), "{}", output.stderr);
    assert_eq!(output.stdout, "");
}
