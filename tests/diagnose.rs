//! `diagnose`: a jail whose program lacks one thing, what is told of it, and that the line which is told mends it.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use common::{Dir, Need, needs};

/// A program that does one thing, by its argument, and succeeds if it can.
const PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
    const char *what = argv[1];
    if (!strcmp(what, "file")) return open("/etc/os-release", O_RDONLY) < 0;
    if (!strcmp(what, "clock")) return syscall(SYS_clock_settime, 0, 0) != 0;
    if (!strcmp(what, "read")) return open(argv[2], O_RDONLY) < 0;
    if (!strcmp(what, "list")) return !opendir(argv[2]);
    if (!strcmp(what, "write")) return open(argv[2], O_WRONLY | O_CREAT, 0600) < 0;
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
    if (!strcmp(what, "given-up")) {
        struct { unsigned version; int pid; } head = { 0x20080522, 0 };
        unsigned none[6] = { 0 };
        if (syscall(SYS_capset, &head, none) < 0) return 2;
    }
    if (!strcmp(what, "port") || !strcmp(what, "given-up")) {
        struct sockaddr_in low = { AF_INET, htons(80) };
        return bind(socket(AF_INET, SOCK_STREAM, 0), (void *)&low, sizeof low) != 0;
    }
    if (!strcmp(what, "call")) {
        char from = 1, to = 0;
        struct iovec own = { &to, 1 }, other = { &from, 1 };
        return process_vm_readv(getpid(), &own, 1, &other, 1, 0) != 1;
    }
    if (!strcmp(what, "personality"))
        return personality(ADDR_NO_RANDOMIZE) < 0 | personality(ADDR_NO_RANDOMIZE | UNAME26) < 0;
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
fn a_capability_that_the_program_has_given_up_is_not_to_be_had_by_a_line() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let directory = jail("given-up");
    let text = format!("{}[privileges]\ncapabilities = [\"NET_BIND_SERVICE\"]\n", read(&directory));
    directory.write("lacking.toml", text);
    let told = "jail `lacking`: one thing is lacking\n\
                capability NET_BIND_SERVICE is missed by program, bind(2), at some time\n    \
                the jail has it: the program has given it up before, as by changing its user, or it is missed on what is the host's\n";
    assert_eq!(diagnosed(&directory, &[]), (told.to_owned(), Some(1)));
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

/// The manifest's text.
fn read(directory: &Dir) -> String {
    std::fs::read_to_string(directory.join("lacking.toml")).unwrap()
}

/// A manifest of the program with two words.
fn with_words(directory: &Dir, what: &str, path: &std::path::Path) {
    let text = read(directory);
    let command = text.lines().find(|line| line.starts_with("command")).unwrap();
    let words = format!("command = [\"/program\", \"{what}\", \"{}\"]", path.display());
    directory.write("lacking.toml", text.replace(command, &words));
}

#[test]
fn no_secret_is_copied() {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::PermissionsExt as _;
    if !needs(Need::UserNamespaces) {
        return;
    }
    let directory = jail("list");
    let data = directory.join("data");
    std::fs::create_dir(&data).unwrap();
    let key = "-----BEGIN PRIVATE KEY-----\n";
    let strange = std::ffi::OsStr::from_bytes(b"\xff{a,b}.pem");
    std::fs::write(data.join("open"), "").unwrap();
    std::fs::write(data.join("we[1]rd*.pem"), key).unwrap();
    std::fs::write(data.join(strange), key).unwrap();
    let private = data.join("private.conf");
    std::fs::write(&private, "").unwrap();
    std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o600)).unwrap();
    with_words(&directory, "list", &data);
    assert_eq!(diagnosed(&directory, &["--apply"]).1, Some(1));
    let built = directory.stockade(["build", "./lacking.toml"]).output();
    assert_eq!(built.code, Some(0), "{built:?}");
    let copied =
        directory.join("state/lacking/generations").join("2/tree").join(data.strip_prefix("/").unwrap());
    let names: Vec<_> = std::fs::read_dir(copied).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["open"]);

    // What not everybody may read is shown, and what is called a key is left to the reader.
    let (private, data) = (private.display().to_string(), data.display().to_string());
    let shown = format!("    [[mounts]] source = \"{private}\", target = \"{private}\"\n");
    let password = format!("{data}/db-password");
    std::fs::write(&password, "").unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    let secret = "    a secret is never copied unasked: if the program needs it, show it by a mount\n";
    for (path, expected) in [(&private, shown.as_str()), (&password, secret)] {
        let directory = jail("read");
        with_words(&directory, "read", std::path::Path::new(path));
        let (told, code) = diagnosed(&directory, &[]);
        assert_eq!(code, Some(1));
        assert!(told.ends_with(expected), "{told}");
    }
}

#[test]
fn a_manifest_that_takes_no_line_stays_as_it_is() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let directory = jail("file");
    let text = read(&directory).replace("[tree]", "[\"tree\"]");
    directory.write("lacking.toml", &text);
    let output = directory.stockade(["diagnose", "--apply", "./lacking.toml"]).output();
    let told = "warning: `[tree] files = [\"/etc/os-release\"]` has no place in the manifest\n  \
                why: what is there is written in another way: duplicate key\nhint: write it in yourself\n";
    assert!(output.stderr.ends_with(told), "{}", output.stderr);
    assert_eq!(output.code, Some(1));
    assert_eq!(read(&directory), text);
}

#[test]
fn power_over_the_host_is_not_written_unasked() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let directory = jail("clock");
    let output = directory.stockade(["diagnose", "--apply", "./lacking.toml"]).output();
    let told = "warning: `[privileges] capabilities = [\"SYS_TIME\"]` is not written unasked\n  \
                why: it has power over the host\n\
                hint: write it in yourself, if the program is to be trusted with that\n";
    assert!(output.stderr.ends_with(told), "{}", output.stderr);
    assert_eq!(output.code, Some(1));
    assert!(!read(&directory).contains("SYS_TIME"), "{}", read(&directory));
}

#[test]
fn where_the_host_is_configured_is_not_made_writable_unasked() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let name = format!("stockade-{}", std::process::id());
    let mount = |source: &str| format!("[[mounts]]\nsource = \"{source}\"\ntarget = \"/place\"\n");
    // A place that is not in the jail, and one that is there read-only under another name.
    for (mounts, path, line) in [
        (String::new(), format!("/etc/{name}/job"), None),
        (mount("/etc"), format!("/place/{name}"), Some("[[mounts]] target = \"/place\", read_only = false")),
    ] {
        let directory = jail("write");
        with_words(&directory, "write", std::path::Path::new(&path));
        let text = read(&directory) + &mounts;
        directory.write("lacking.toml", &text);
        let output = directory.stockade(["diagnose", "--apply", "./lacking.toml"]).output();
        let told = line.map_or_else(String::new, |line| {
            format!(
                "warning: `{line}` is not written unasked\n  why: it has power over the host\n\
                 hint: write it in yourself, if the program is to be trusted with that\n"
            )
        });
        assert!(output.stderr.ends_with(&told), "{}", output.stderr);
        assert_eq!(read(&directory), text, "{}", output.stdout);
        assert!(!std::path::Path::new("/etc").join(&name).exists());
    }
}

#[test]
fn the_same_is_told_to_programs() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let directory = jail("port");
    let output = directory.stockade(["diagnose", "--json", "./lacking.toml"]).output();
    let mut told: serde_json::Value = serde_json::from_str(&output.stdout).expect(&output.stdout);
    let what = told["lacks"][0]["what"].take();
    assert!(
        what.as_str().unwrap().starts_with("capability NET_BIND_SERVICE is missed by program, bind(2), at ")
    );
    let expected = serde_json::json!({
        "format": 1, "jail": "lacking", "lacks": [{ "what": null, "hint": null, "lines": [{
            "text": "[privileges] capabilities = [\"NET_BIND_SERVICE\"]", "table": "privileges", "key": "capabilities",
            "value": "\"NET_BIND_SERVICE\"", "list": true, "powerful": false,
        }] }],
    });
    assert_eq!((told, output.code), (expected, Some(1)));
    let output = jail("nothing").stockade(["diagnose", "--json", "./lacking.toml"]).output();
    let told: serde_json::Value = serde_json::from_str(&output.stdout).expect(&output.stdout);
    assert_eq!(
        (told, output.code),
        (serde_json::json!({ "format": 1, "jail": "lacking", "lacks": [] }), Some(0))
    );
}
