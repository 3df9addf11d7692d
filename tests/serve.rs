//! `stockade serve`: a jail for each connection.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use common::{Dir, Need, needs};

/// Says who is at the other end, then each line again, and `bye` at the end of what it reads.
const ECHO: &str = r#"#include <stdio.h>
#include <stdlib.h>
int main(void) {
    char line[256];
    const char *who = getenv("REMOTE_ADDR");
    printf("hello %s\n", who ? who : "nobody");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) { fputs(line, stdout); fflush(stdout); }
    puts("bye");
    return 7;
}"#;

/// A directory with a jail of that program.
fn jail(name: &str) -> Dir {
    let dir = Dir::new(name);
    common::compile_static(&dir.join("program"), ECHO);
    let here = dir.path().display();
    dir.write(
        "echo.toml",
        format!(
            "program.command = [\"/program\"]\ntree.devices = []\nroot.proc = \"none\"\n\
             tree.files = [{{ path = \"{here}/program\", target = \"/program\" }}]\n"
        ),
    );
    dir
}

/// A server, and what it has said since it was ready.
struct Server {
    child: Child,
    messages: BufReader<ChildStderr>,
    /// Where it listens, as it says.
    place: String,
}

impl Server {
    fn start(dir: &Dir, options: &[&str]) -> Self {
        let words = ["serve"].iter().chain(options).chain(&["./echo.toml"]).copied();
        let mut command = dir.stockade(words).env("STOCKADE_RUN_DIR", dir.join("run")).inner;
        std::fs::create_dir_all(dir.join("run")).unwrap();
        Self::of(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn of(mut child: Child) -> Self {
        let mut messages = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let place = loop {
            let mut line = String::new();
            assert_ne!(messages.read_line(&mut line).unwrap(), 0, "it does not serve: {said}");
            if let Some(place) = line.trim_end().strip_prefix("jail `./echo.toml` is served at ") {
                break place.to_owned();
            }
            said += &line;
        };
        Self { child, messages, place }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.place).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        stream
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.messages.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Everything it says until its end, and its exit code.
    fn end(mut self) -> (String, Option<i32>) {
        let mut rest = String::new();
        self.messages.read_to_string(&mut rest).unwrap();
        (rest, self.child.wait().unwrap().code())
    }
}

/// One whole conversation.
fn talk(stream: &mut (impl std::io::Read + std::io::Write), shut: impl FnOnce()) -> String {
    stream.write_all(b"one\ntwo\n").unwrap();
    shut();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

/// The first line of a connection that is held open.
fn greeting(stream: &TcpStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

/// A line about a connection, its process and time left out.
fn told(line: &str) -> String {
    let (before, after) = line.split_once(": served by process ").unwrap_or_else(|| panic!("{line}"));
    let how = after.split_once(", ").unwrap().1.rsplit_once(", ").unwrap().0;
    let port = before.rfind(':').map_or(before, |at| &before[..at]);
    format!("{port}: {how}")
}

fn can_run() -> bool {
    needs(Need::UserNamespaces)
}

#[test]
fn each_connection_has_a_jail_of_its_own() {
    if !can_run() {
        return;
    }
    let dir = jail("serve-tcp");
    let mut server = Server::start(&dir, &["--listen", "127.0.0.1:0"]);
    let (mut first, mut second) = (server.connect(), server.connect());
    assert_eq!(greeting(&first), "hello 127.0.0.1\n");
    assert_eq!(greeting(&second), "hello 127.0.0.1\n");
    let listed = dir.stockade(["list", "--names"]).env("STOCKADE_RUN_DIR", dir.join("run")).output();
    assert_eq!(listed.stdout.lines().count(), 2, "{}", listed.stderr);
    for stream in [&mut second, &mut first] {
        let other = stream.try_clone().unwrap();
        assert_eq!(talk(stream, || other.shutdown(std::net::Shutdown::Write).unwrap()), "one\ntwo\nbye\n");
        assert_eq!(told(&server.line()), "127.0.0.1: exit code 7");
    }
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end(), (String::new(), Some(0)));
}

#[test]
fn a_real_client_is_served() {
    if !can_run() || !needs(Need::Program("nc")) {
        return;
    }
    let dir = jail("serve-nc");
    let server = Server::start(&dir, &["--listen", "[::1]:0"]);
    let (host, port) = server.place.rsplit_once(':').unwrap();
    let host = host.trim_matches(['[', ']']);
    let mut client = Command::new("nc")
        .args(["-N", host, port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    client.stdin.take().unwrap().write_all(b"to nc\n").unwrap();
    let said = client.wait_with_output().unwrap().stdout;
    assert_eq!(String::from_utf8(said).unwrap(), "hello ::1\nto nc\nbye\n");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().1, Some(0));
}

#[test]
fn a_socket_of_the_unix_domain_is_its_users_and_goes_with_the_server() {
    if !can_run() {
        return;
    }
    let dir = jail("serve-unix");
    let path = dir.join("socket");
    for _ in 0..2 {
        let mut server = Server::start(&dir, &["--listen", path.to_str().unwrap()]);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let mut stream = UnixStream::connect(&path).unwrap();
        let other = stream.try_clone().unwrap();
        let said = talk(&mut stream, || other.shutdown(std::net::Shutdown::Write).unwrap());
        assert_eq!(said, "hello nobody\none\ntwo\nbye\n");
        assert!(server.line().starts_with("user "));
        server.signal(Signal::SIGTERM);
        assert_eq!(server.end(), (String::new(), Some(0)));
        assert!(!path.exists());
        // One that a killed server has left gives way.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    }
    dir.write("file", "precious");
    let refused = dir.stockade(["serve", "--listen", "./file", "./echo.toml"]).output();
    assert_eq!(refused.code, Some(125));
    assert!(refused.stderr.contains("cannot listen at `./file`"), "{}", refused.stderr);
    assert_eq!(std::fs::read(dir.join("file")).unwrap(), b"precious");
}

#[test]
fn there_are_no_more_at_once_than_there_may_be() {
    if !can_run() {
        return;
    }
    let dir = jail("serve-max");
    let closed = |mut stream: TcpStream| stream.read(&mut [0]).map_or(true, |read| read == 0);
    for (options, why) in [
        (["--listen", "127.0.0.1:0", "--max", "2"], "2 are served already"),
        (["--listen", "127.0.0.1:0", "--max-per-source", "2"], "2 of 127.0.0.1 are served already"),
    ] {
        let mut server = Server::start(&dir, &options);
        let (first, second) = (server.connect(), server.connect());
        assert_eq!((greeting(&first), greeting(&second)).0, "hello 127.0.0.1\n");
        assert!(closed(server.connect()));
        let line = server.line();
        assert!(line.starts_with("127.0.0.1:") && line.ends_with(&format!(": refused: {why}")), "{line}");
        // One that ends makes room for another.
        drop(first);
        assert_eq!(told(&server.line()), "127.0.0.1: exit code 7");
        assert_eq!(greeting(&server.connect()), "hello 127.0.0.1\n");
        drop(second);
        server.signal(Signal::SIGTERM);
        assert_eq!(server.end().1, Some(0));
    }
}

#[test]
fn those_that_are_served_may_come_to_their_end() {
    if !can_run() {
        return;
    }
    let dir = jail("serve-end");
    let server = Server::start(&dir, &["--listen", "127.0.0.1:0"]);
    let mut stream = server.connect();
    assert_eq!(greeting(&stream), "hello 127.0.0.1\n");
    server.signal(Signal::SIGTERM);
    // Nobody else is served any more.
    let refused = (0..600).any(|_| {
        sleep(Duration::from_millis(10));
        TcpStream::connect(&server.place).is_err()
    });
    assert!(refused);
    let other = stream.try_clone().unwrap();
    assert_eq!(talk(&mut stream, || other.shutdown(std::net::Shutdown::Write).unwrap()), "one\ntwo\nbye\n");
    let (said, code) = server.end();
    assert_eq!((told(said.trim_end()).as_str(), code), ("127.0.0.1: exit code 7", Some(0)));
}

#[test]
fn those_that_do_not_end_are_ended() {
    if !can_run() {
        return;
    }
    let dir = jail("serve-grace");
    let server = Server::start(&dir, &["--listen", "127.0.0.1:0", "--grace", "10ms"]);
    let stream = server.connect();
    assert_eq!(greeting(&stream), "hello 127.0.0.1\n");
    server.signal(Signal::SIGINT);
    let (said, code) = server.end();
    assert_eq!((told(said.trim_end()).as_str(), code), ("127.0.0.1: exit code 143", Some(0)));
}

#[test]
fn killed_it_leaves_nobody() {
    if !can_run() {
        return;
    }
    let dir = jail("serve-kill");
    let server = Server::start(&dir, &["--listen", "127.0.0.1:0"]);
    let streams: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for stream in &streams {
        assert_eq!(greeting(stream), "hello 127.0.0.1\n");
    }
    server.signal(Signal::SIGKILL);
    // The connections end with the last process that has them.
    for mut stream in streams {
        assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap_or(0), 0);
    }
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        let listed = dir.stockade(["list", "--names"]).env("STOCKADE_RUN_DIR", dir.join("run")).output();
        if listed.stdout.is_empty() {
            break;
        }
        assert!(Instant::now() < until, "{}", listed.stdout);
        sleep(Duration::from_millis(20));
    }
    assert!(TcpStream::connect(&server.place).is_err());
    // What the killed have left in control groups goes with the next start.
    let again = Server::start(&dir, &["--listen", &server.place]);
    assert_eq!(greeting(&again.connect()), "hello 127.0.0.1\n");
    again.signal(Signal::SIGTERM);
    assert_eq!(again.end().1, Some(0));
    server.end();
}

#[test]
fn a_flood_is_served_or_refused() {
    if !can_run() {
        return;
    }
    let dir = jail("serve-flood");
    let server = Server::start(&dir, &["--listen", "127.0.0.1:0", "--max", "4"]);
    let place = server.place.clone();
    let one = |place: &str| {
        let Ok(mut stream) = TcpStream::connect(place) else { return false };
        // One that is refused may be closed before anything is written.
        let _ = stream.write_all(b"x\n").and_then(|()| stream.shutdown(std::net::Shutdown::Write));
        let mut said = String::new();
        let _ = stream.read_to_string(&mut said);
        assert!(["", "hello 127.0.0.1\nx\nbye\n"].contains(&said.as_str()), "{said:?}");
        !said.is_empty()
    };
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let place = place.clone();
            std::thread::spawn(move || (0..40).filter(|_| one(&place)).count())
        })
        .collect();
    let answered: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(answered > 0);
    server.signal(Signal::SIGTERM);
    let (said, code) = server.end();
    assert_eq!(code, Some(0));
    assert_eq!(said.lines().filter(|line| line.contains(": served by process ")).count(), answered, "{said}");
    let more =
        said.lines().filter_map(|line| line.strip_prefix("and ")?.split(' ').next()?.parse::<usize>().ok());
    let refused = said.lines().filter(|line| line.contains(": refused: ")).count() + more.sum::<usize>();
    assert!(answered + refused <= 320, "{answered} answered, {refused} refused");
}

#[test]
fn a_socket_that_a_service_manager_has_passed_is_served() {
    if !can_run() || !needs(Need::Program("systemd-socket-activate")) {
        return;
    }
    let dir = jail("serve-passed");
    let socket = dir.join("socket");
    let mut command = Command::new("systemd-socket-activate");
    command.current_dir(dir.path()).env("NO_COLOR", "1").stdin(Stdio::null()).stderr(Stdio::piped());
    for (name, below) in
        [("XDG_CONFIG_HOME", "config"), ("STOCKADE_STATE_DIR", "state"), ("STOCKADE_RUN_DIR", "run")]
    {
        command.arg(format!("--setenv={name}={}", dir.join(below).display()));
    }
    std::fs::create_dir_all(dir.join("run")).unwrap();
    command.arg("-l").arg(&socket).arg(common::binary()).args(["serve", "./echo.toml"]);
    let child = command.spawn().unwrap();
    let until = Instant::now() + Duration::from_mins(1);
    // It is there a moment before anybody listens at it.
    let mut stream = loop {
        match UnixStream::connect(&socket) {
            Ok(stream) => break stream,
            Err(_) if Instant::now() < until => sleep(Duration::from_millis(10)),
            Err(error) => panic!("{}: {error}", socket.display()),
        }
    };
    let server = Server::of(child);
    let other = stream.try_clone().unwrap();
    let said = talk(&mut stream, || other.shutdown(std::net::Shutdown::Write).unwrap());
    assert_eq!(said, "hello nobody\none\ntwo\nbye\n");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().1, Some(0));
    assert!(socket.exists(), "it is the manager's");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let dir = jail("serve-refused");
    for (words, code, expected) in [
        (
            vec!["serve", "./echo.toml"],
            2,
            "error: it is not said where to listen\n  why: no service manager has passed a socket either\nhint: write `--listen 127.0.0.1:PORT`\n",
        ),
        (
            vec!["serve", "--listen", "0", "--max", "0", "./echo.toml"],
            2,
            "error: `--max 0` serves nobody\n  why: every connection would be refused\nhint: write how many are served at once\n",
        ),
        (
            vec!["serve", "--listen", "localhost:80", "./echo.toml"],
            125,
            "error: cannot listen at `localhost:80`\n  why: it is no address: names are not looked up\nhint: write a port, an address with a port, or the path of a socket\n",
        ),
    ] {
        dir.stockade(words).expect(code, "", expected);
    }
}
