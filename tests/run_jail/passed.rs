//! Socket activation: what a service manager has passed, see sd_listen_fds(3).

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};

use nix::sys::signal::Signal;

use crate::common::{Need, compile_static, needs};
use crate::support::{Ended, Jail, Running, finish, until};

/// The key.
const SOCKETS: &str = "program.sockets = true";

/// What the program has of descriptors, beside the standard ones.
const SHOW: &str = "echo ${LISTEN_FDS-none} ${LISTEN_PID-none} $$ ${LISTEN_FDNAMES-none}; \
                    for fd in 3 4 5 6 7; do [ -e /proc/self/fd/$fd ] && echo $fd; done; true";

/// A shell that becomes the supervisor, with these redirections, as a service manager.
fn activated(jail: &Jail, redirections: &str, count: u32, script: &str) -> Ended {
    jail.build();
    let before = format!("exec {redirections}; export LISTEN_FDS={count} LISTEN_PID=$$ LISTEN_FDNAMES=web");
    finish(&mut jail.command_after(&before, &[script]))
}

#[test]
fn a_socket_that_was_passed_is_the_programs_and_nothing_else_is() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let jail = Jail::shell("passed", SOCKETS);
    let redirections = format!("3<>/dev/tcp/127.0.0.1/{port} 4</etc/passwd 9</");
    let ended = activated(&jail, &redirections, 1, &format!("{SHOW}; echo hello >&3"));
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str(), ended.code), ("1 2 2 web\n3\n", "", Some(0)));
    let mut said = String::new();
    listener.accept().unwrap().0.read_to_string(&mut said).unwrap();
    assert_eq!(said, "hello\n");
}

#[test]
fn a_program_that_is_pid_1_is_told_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let jail = Jail::shell("passed-first", &format!("{SOCKETS}\nprogram.init = false"));
    let ended = activated(&jail, &format!("3<>/dev/tcp/127.0.0.1/{port} 4</etc/passwd"), 1, SHOW);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("1 1 1 web\n3\n", ""));
}

#[test]
fn sockets_are_closed_where_nobody_asks_for_them_or_they_are_anothers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let redirections = format!("3<>/dev/tcp/127.0.0.1/{port}");
    let ended = activated(&Jail::shell("passed-not", ""), &redirections, 1, SHOW);
    assert_eq!(ended.stdout, "none none 2 none\n");
    let jail = Jail::shell("passed-other", SOCKETS);
    jail.build();
    let before = format!("exec {redirections}; export LISTEN_FDS=1 LISTEN_PID=1");
    assert_eq!(finish(&mut jail.command_after(&before, &[SHOW])).stdout, "none none 2 none\n");
}

#[test]
fn what_is_no_socket_or_reaches_the_hosts_network_is_refused() {
    let jail = Jail::shell("passed-refused", SOCKETS);
    for (redirections, count, why) in [
        ("3</etc/passwd", 1, "descriptor 3: it is not a socket"),
        ("3</", 1, "descriptor 3: it is not a socket"),
        (
            "3<>/dev/udp/127.0.0.1/9",
            1,
            "descriptor 3: it is a socket of the host's network that is not bound to one connection",
        ),
        // What is found there is a descriptor of stockade's own, or none.
        ("2>&2", 1, "descriptor 3: "),
        ("2>&2", 300, "LISTEN_FDS is 300"),
    ] {
        let ended = activated(&jail, redirections, count, SHOW);
        assert_eq!((ended.stdout.as_str(), ended.code), ("", Some(125)), "{redirections}: {}", ended.stderr);
        assert!(ended.stderr.contains(why), "{redirections}: {}", ended.stderr);
    }
}

#[test]
fn nobody_but_the_program_keeps_a_socket_that_was_passed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let jail = Jail::shell("passed-init", SOCKETS);
    jail.build();
    let before = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; export LISTEN_FDS=1 LISTEN_PID=$$");
    let script = "echo up >&3; exec 3>&-; exec busybox sleep 1000";
    let mut running = Running::start(&mut jail.command_after(&before, &[script]));
    // The end of the connection comes when the program closes it, and not with the jail's.
    let mut said = String::new();
    listener.accept().unwrap().0.read_to_string(&mut said).unwrap();
    assert_eq!(said, "up\n");
    assert_eq!(running.child.try_wait().unwrap(), None);
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait(), 143);
}

#[test]
fn a_jail_without_a_network_serves_a_connection_that_systemd_hands_over() {
    if !needs(Need::Program("systemd-socket-activate")) {
        return;
    }
    let jail = Jail::with_command("passed-systemd", "[\"/server\"]", SOCKETS);
    compile_static(&jail.path("server"), include_str!("passed.c"));
    let manifest = std::fs::read_to_string(jail.manifest()).unwrap();
    let file =
        format!("tree.files = [{{ path = \"{}\", target = \"/server\" }},", jail.path("server").display());
    std::fs::write(jail.manifest(), manifest.replace("tree.files = [", &file)).unwrap();
    jail.build();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let run = jail.command(&[]);
    let mut command = std::process::Command::new("systemd-socket-activate");
    command.arg(format!("--listen={address}")).arg("--fdname=web");
    command.arg(format!("--setenv=STOCKADE_STATE_DIR={}", jail.path("state").display()));
    command.arg(run.get_program()).args(run.get_args()).stderr(std::process::Stdio::null());
    let mut manager = Running::start(&mut command);
    let mut said = String::new();
    let mut connection = until("the socket", || TcpStream::connect(&address).ok());
    connection.read_to_string(&mut said).unwrap();
    assert_eq!(said, "1 web\nPermission denied\n");
    assert_eq!(manager.wait(), 0);
}
