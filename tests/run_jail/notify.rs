//! sd_notify(3): what a service manager is told of a jail.

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
    let jail = Jail::shell("notify-started", "program.pass_environment = [\"NOTIFY_SOCKET\"]");
    let (messages, stdout, code) = told(&jail, &["echo -${NOTIFY_SOCKET}-; exit 3"]);
    // Its own socket is nothing to the program.
    assert_eq!((stdout.as_str(), code), ("--\n", Some(3)));
    let [ready, stopping] = messages.as_slice() else { panic!("{messages:?}") };
    let pid = ready.strip_prefix("READY=1\nMAINPID=").and_then(|rest| rest.trim_end().parse::<u32>().ok());
    assert!(pid.is_some(), "{ready}");
    assert_eq!(stopping, "STOPPING=1\n");
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
