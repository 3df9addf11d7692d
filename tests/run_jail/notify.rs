//! sd_notify(3): what a service manager is told of a jail.

use std::io::Write as _;
use std::os::unix::net::UnixDatagram;

use crate::support::{Jail, finish};

/// A service manager: what it is told, until nobody says anything more.
fn told(jail: &Jail, arguments: &[&str]) -> (Vec<String>, String, Option<i32>) {
    let path = jail.path("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_nonblocking(true).unwrap();
    jail.build();
    let mut child = jail.command(arguments);
    child.env("NOTIFY_SOCKET", &path);
    let ended = finish(&mut child);
    assert_eq!(ended.stderr, "");
    let mut buffer = [0; 4096];
    let mut messages = Vec::new();
    while let Ok(length) = manager.recv(&mut buffer) {
        messages.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
    }
    std::fs::remove_file(path).unwrap();
    (messages, ended.stdout, ended.code)
}

#[test]
fn the_service_manager_is_told_that_the_program_has_started_and_has_ended() {
    let jail = Jail::shell("notify-started", "");
    let (messages, stdout, code) = told(&jail, &["echo -${NOTIFY_SOCKET}-; exit 3"]);
    // Its own socket is nothing to the program.
    assert_eq!((stdout.as_str(), code), ("--\n", Some(3)));
    let [ready, stopping] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!(without_numbers(ready), "READY=1\nMAINPID=N\nSTATUS=the program is process N\n");
    assert_eq!(stopping, "STOPPING=1\n");
}

/// A message with `N` for each number of a process.
fn without_numbers(message: &str) -> String {
    let lines = message.lines().map(|line| match line.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "READY=" => line.to_owned() + "\n",
        text if text.len() < line.len() => format!("{text}N\n"),
        text => format!("{text}\n"),
    });
    lines.collect()
}

#[test]
fn a_program_that_goes_into_the_background_is_ready_when_it_is_there() {
    let jail = Jail::shell("notify-forking", "program.type = \"forking\"");
    // What fails before has not started.
    let (messages, _, code) = told(&jail, &["busybox sleep 0.05; exit 3"]);
    assert_eq!((messages.as_slice(), code), (&["STOPPING=1\n".to_owned()][..], Some(3)));
    // Two are left, each of which ends when it is told; who takes the place of the first is told of, for the administrator to find.
    let script = "exec 3<&0; (read line <&3) & first=$!; \
                  (while kill -0 $first 2>/dev/null; do busybox sleep 0.01; done; read line <&3; exit 5) & exit 0";
    let path = jail.path("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let mut command = jail.command(&[script]);
    let mut child = command.env("NOTIFY_SOCKET", &path).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let heard = || {
        let mut buffer = [0; 4096];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let ready = heard();
    assert_eq!(without_numbers(&ready), "READY=1\nMAINPID=N\nSTATUS=the program is process N\n");
    input.write_all(b"\n").unwrap();
    let replaced = heard();
    assert_eq!(without_numbers(&replaced), "STATUS=the program is process N\n");
    assert!(!ready.ends_with(&replaced), "{replaced}");
    input.write_all(b"\n").unwrap();
    assert_eq!(heard(), "STOPPING=1\n");
    assert_eq!(child.wait().unwrap().code(), Some(5));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_program_that_is_not_executed_has_not_started() {
    let jail = Jail::with_command(
        "notify-not",
        "[\"/bin/absent\"]",
        "tree.text = [{ path = \"/bin/absent\", content = \"\", mode = \"0644\" }]",
    );
    let path = jail.path("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_nonblocking(true).unwrap();
    jail.build();
    assert_eq!(finish(jail.command(&[]).env("NOTIFY_SOCKET", &path)).code, Some(126));
    let mut buffer = [0; 64];
    let length = manager.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"STOPPING=1\n");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_service_manager_that_cannot_be_told_is_a_warning() {
    let jail = Jail::shell("notify-lost", "");
    jail.build();
    let ended = finish(jail.command(&["echo done"]).env("NOTIFY_SOCKET", jail.path("nobody")));
    assert_eq!((ended.stdout.as_str(), ended.code), ("done\n", Some(0)));
    assert!(ended.stderr.starts_with("warning: the service manager cannot be told"), "{}", ended.stderr);
}

/// A jail whose program sends messages.
fn speaking(name: &'static str) -> Jail {
    let jail = Jail::with_command(name, "[\"/notify\"]", "program.type = \"notify\"");
    crate::common::compile_static(&jail.path("notify"), include_str!("notify.c"));
    let manifest = std::fs::read_to_string(jail.manifest()).unwrap();
    let file =
        format!("tree.files = [{{ path = \"{}\", target = \"/notify\" }},", jail.path("notify").display());
    std::fs::write(jail.manifest(), manifest.replace("tree.files = [", &file)).unwrap();
    jail
}

#[test]
fn what_the_program_says_of_itself_is_passed_on_and_nothing_else() {
    let jail = speaking("notify-program");
    let messages =
        ["STATUS=warming\nMAINPID=1", "FDSTORE=1", "@long", "READY=1\nWATCHDOG_USEC=0", "WATCHDOG=1"];
    let (told, stdout, code) = told(&jail, &messages);
    assert_eq!((stdout.as_str(), code), ("/dev/.notify/socket - -\n", Some(0)));
    let expected = ["STATUS=warming\n", "READY=1\n", "WATCHDOG=1\n", "STOPPING=1\n"];
    assert_eq!(told, expected);
}

#[test]
fn the_watchdog_is_the_programs() {
    let jail = speaking("notify-watchdog");
    jail.build();
    let run = |pid: &str| {
        let before = format!("export WATCHDOG_USEC=5000000 WATCHDOG_PID={pid}");
        finish(&mut jail.command_after(&before, &[])).stdout
    };
    // The shell becomes the supervisor.
    assert_eq!(run("$$"), "/dev/.notify/socket 5000000 2\n");
    assert_eq!(run("1"), "/dev/.notify/socket - -\n");
}

#[test]
fn messages_without_number_wait_and_none_is_lost() {
    let jail = speaking("notify-many");
    let many = vec!["WATCHDOG=1"; 120];
    // More than a manager's socket holds may be waiting there: it is read meanwhile.
    let path = jail.path("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    jail.build();
    let mut command = jail.command(&many);
    command.env("NOTIFY_SOCKET", &path).stdout(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut buffer = [0; 64];
    for _ in 0..120 {
        let length = manager.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"WATCHDOG=1\n");
    }
    let length = manager.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"STOPPING=1\n");
    assert!(child.wait().unwrap().success());
    std::fs::remove_file(path).unwrap();
}
