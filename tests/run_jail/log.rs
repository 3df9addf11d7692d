//! /dev/log: what a program logs by syslog(3) is shown by its supervisor, as a user sees it.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::support::{Jail, finish, until};

/// A jail with it.
const LOG: &str = "tree.devices = [\"null\", \"log\"]";

#[test]
fn what_is_logged_is_shown_on_standard_error() {
    let jail = Jail::shell("log", LOG);
    let script = "logger -t web -p daemon.err hello; logger -t web -p user.info again; echo done";
    let ended = jail.build().run(&[script]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "done\n"));
    assert_eq!(ended.stderr, "web: hello\nweb: again\n");
}

#[test]
fn the_journal_is_told_how_grave_a_line_is() {
    let jail = Jail::shell("log-journal", LOG);
    jail.build();
    let mut command = jail.command(&["logger -t web -p daemon.err hello"]);
    command.env("JOURNAL_STREAM", "8:1");
    assert_eq!(finish(&mut command).stderr, "<3>web: hello\n");
}

#[test]
fn more_lines_than_are_taken_at_once_wait_and_are_all_shown() {
    let jail = Jail::shell("log-many", LOG);
    let ended = jail.build().run(&["seq 1200 | logger -t n"]);
    let expected: Vec<String> = (1..=1200).map(|number| format!("n: {number}")).collect();
    assert_eq!(ended.stderr.lines().collect::<Vec<_>>(), expected);
}

/// Both ends of a pipe that has room for so many bytes.
fn full_pipe(room: usize) -> (OwnedFd, OwnedFd) {
    // Not for what other tests start at this moment, nor the reading end for the supervisor itself.
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let mut filler = File::from(writer.try_clone().unwrap());
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let full = loop {
        #[allow(clippy::unused_io_amount, reason = "as much as there is room for")]
        match filler.write(&[b'.'; 512]) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    drop(filler);
    File::from(reader.try_clone().unwrap()).read_exact(&mut vec![0; room]).unwrap();
    (reader, writer)
}

#[test]
fn who_does_not_read_standard_error_does_not_put_off_the_time_limit() {
    let jail = Jail::shell("log-full", &format!("{LOG}\nlimits.runtime_max = \"2s\""));
    jail.build();
    // The second is longer, with what cannot be shown, than what there is room for.
    for (room, line) in [(0, "hello"), (4096, "$(printf %1000s | tr ' ' '\\001')")] {
        let (reader, writer) = full_pipe(room);
        let script = format!("logger -t web \"{line}\"; echo logged; exec busybox sleep 1000");
        let mut command = jail.command(&[&script]);
        let mut running = command.stderr(writer).stdout(Stdio::piped()).spawn().unwrap();
        drop(command);
        let mut logged = [0; 7];
        running.stdout.as_mut().unwrap().read_exact(&mut logged).unwrap();
        assert_eq!(&logged, b"logged\n");
        until("the end of all", || jail.processes().is_empty().then_some(()));
        assert_eq!(running.wait().unwrap().code(), Some(124));
        let mut said = String::new();
        File::from(reader).read_to_string(&mut said).unwrap();
        let said = said.trim_start_matches('.').strip_prefix("web: ").unwrap_or_default();
        assert!(said.chars().all(|letter| "\\u{1}".contains(letter)), "{said}");
        assert_eq!(said.is_empty(), room == 0, "{said}");
    }
}

#[test]
fn no_byte_of_a_line_reaches_a_terminal_that_could_do_something() {
    let jail = Jail::shell("log-bytes", LOG);
    let ended = jail.build().run(&["logger -t web \"$(printf 'a\\033[2Jb\\rc')\""]);
    assert_eq!(ended.stderr, "web: a\\u{1b}[2Jb\\rc\n");
}

#[test]
fn root_inside_can_put_nothing_in_its_place() {
    let jail = Jail::shell("log-root", &format!("{LOG}\nprogram.user = \"root\""));
    let script = "cd /dev/.log; rm socket 2>&1; mv socket x 2>&1; echo > y 2>&1; ln -s x z 2>&1; chmod 0 socket 2>&1; rm /dev/log 2>&1; ls";
    let ended = jail.build().run(&[script]);
    assert_eq!(ended.stdout.matches("Read-only file system").count(), 5, "{}", ended.stdout);
    assert_eq!(ended.stdout.lines().last(), Some("socket"));
}

#[test]
fn it_is_there_only_if_it_is_asked_for() {
    Jail::shell("log-not", "").expect(&["ls -d /dev/log /dev/.log 2>/dev/null; logger hello; true"], 0, "");
}
