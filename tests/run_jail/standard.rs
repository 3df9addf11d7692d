//! Standard input, output and error: what of the caller's a program is given, and what it can do with it.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common;
use crate::pty::Terminal;
use crate::support::{Ended, Jail, finish, is_root};

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
    for kind in ["null", "zero", "file", "memfd", "unix", "tcp", "pipe"] {
        let ended = run_with(kind, "0", &jail, &["echo ran"]);
        assert_eq!((ended.stdout.as_str(), ended.code), ("ran\n", Some(0)), "{kind}: {}", ended.stderr);
    }
}

/// A file of the caller's: 0644, `first\nsecond\n`.
fn callers_file(jail: &Jail, name: &str) -> PathBuf {
    let path = jail.path(name);
    fs::write(&path, "first\nsecond\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    path
}

/// What is left of it.
fn state(path: &Path) -> (String, u32) {
    (fs::read_to_string(path).unwrap(), fs::metadata(path).unwrap().mode() & 0o7777)
}

/// The user that can do most with the caller's files: the caller itself, where the jail's ids are the host's.
const OWNER: &str = "program.user = \"root\"\nnamespaces.network = \"host\"";

#[test]
fn a_file_to_be_read_can_be_read_and_no_more() {
    let answers = "fchmod: EROFS\nfchown: EROFS\nfutimens: EROFS\nfsetxattr: EROFS\nftruncate: EINVAL\nF_SETFL: ok\n\
                   pwrite: EBADF\nopen for both: EROFS\nchmod: EROFS\n";
    // Also where there is no Landlock. The filter of system calls would refuse some of it before.
    for more in ["", "privileges.landlock = false\n"] {
        let jail = Jail::probe("input", &format!("{more}privileges.system_calls = \"all\"\n{OWNER}"));
        jail.build();
        let input = callers_file(&jail, "input");
        for both in [false, true] {
            let file = File::options().read(true).write(both).open(&input).unwrap();
            let ended = finish(jail.command(&["meddle", "0"]).stdin(file));
            assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), (answers, ""));
            assert_eq!(state(&input), ("first\nsecond\n".to_owned(), 0o644));
        }
    }
}

#[test]
fn a_log_keeps_what_is_in_it() {
    // Cut, written over, read, made set-user-id: the program has a pipe.
    let jail = Jail::shell("log", &format!("{OWNER}\nprivileges.landlock = false"));
    jail.build();
    let log = callers_file(&jail, "log");
    let file = File::options().append(true).open(&log).unwrap();
    let script =
        "/probe meddle 1 >&2; for word in a b c; do echo $word; echo $word >&2; echo > /dev/stdout; done";
    let ended = finish_into(&mut jail.command(&[script]), file.try_clone().unwrap(), file);
    assert_eq!(ended, Some(0));
    let (text, mode) = state(&log);
    let said = text.strip_prefix("first\nsecond\n").unwrap();
    let (answers, words) = said.split_at(said.find("a\n").unwrap());
    assert!(answers.contains("ftruncate: EINVAL\n") && answers.contains("pwrite: ESPIPE\n"), "{answers}");
    // Both descriptors are the same file's, and their lines in order.
    assert_eq!((words, mode), ("a\na\n\nb\nb\n\nc\nc\n\n", 0o644));
}

/// Runs to the end with these as output and error; the exit code.
fn finish_into(command: &mut Command, output: impl Into<Stdio>, error: impl Into<Stdio>) -> Option<i32> {
    command.stdout(output).stderr(error).status().unwrap().code()
}

#[test]
fn output_goes_to_the_file_each_is_meant_for_and_all_of_it() {
    let jail = Jail::shell("two", "");
    jail.build();
    let (output, error) = (jail.path("output"), jail.path("error"));
    let script = "head -c 1000000 /dev/zero; head -c 300000 /dev/zero >&2; printf end";
    let files = [&output, &error].map(|path| File::create(path).unwrap());
    let [first, second] = files;
    assert_eq!(finish_into(&mut jail.command(&[script]), first, second), Some(0));
    assert_eq!(fs::metadata(&output).unwrap().len(), 1_000_003);
    assert_eq!(fs::metadata(&error).unwrap().len(), 300_000);
    // A program that is its own PID 1, and one whose children go on after it.
    for (more, script) in [("program.init = false", "echo said"), ("", "(sleep 100; echo late) & echo said")]
    {
        let jail = Jail::shell("two", more);
        jail.build();
        let file = File::create(&output).unwrap();
        assert_eq!(finish_into(&mut jail.command(&[script]), file, Stdio::null()), Some(0));
        assert_eq!(fs::read_to_string(&output).unwrap(), "said\n");
    }
}

#[test]
fn output_that_cannot_be_written_is_told() {
    let told = "error: the output of jail `full` could not be written\n  why: standard output: write(2): File too large (EFBIG)";
    // By the caller's limit on the size of files, and by the jail's own: then it is told as one who writes it himself (SIGXFSZ).
    for (more, before, code, expected) in
        [("", "ulimit -f 1", 125, told), ("limits.file_size = \"1K\"", "true", 153, "")]
    {
        let jail = Jail::shell("full", more);
        jail.build();
        let output = jail.path("output");
        let mut command = jail.command_after(before, &["head -c 100000 /dev/zero; echo $?"]);
        let ended = command.stdout(File::create(&output).unwrap()).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{said}");
        assert!(said.contains(expected), "{said}");
        assert_eq!(fs::metadata(&output).unwrap().len(), 1024);
    }
}

#[test]
fn the_caller_goes_on_reading_where_the_program_stopped() {
    let jail = Jail::shell("shared", "");
    jail.build();
    let input = jail.path("input");
    fs::write(&input, "one\ntwo\nthree\nfour\n").unwrap();
    // Two runs and the caller read one file after another, a line each.
    let line = ["read word; echo \"inside $word\""];
    let run = jail.command(&line);
    let mut words = vec![run.get_program().to_owned()];
    words.extend(run.get_args().map(ToOwned::to_owned));
    let mut caller = Command::new("bash");
    caller.args([
        "-c",
        "read word; echo \"caller $word\"; \"$@\"; \"$@\"; read word; echo \"caller $word\"",
        "bash",
    ]);
    caller.args(words).env("STOCKADE_STATE_DIR", jail.path("state")).stdin(File::open(&input).unwrap());
    assert_eq!(finish(&mut caller).lines(), ["caller one", "inside two", "inside three", "caller four"]);
}

#[test]
fn files_without_a_name_are_read_too() {
    let jail = Jail::shell("nameless", "");
    jail.build();
    // As a shell's here-document is, where it is too long for a pipe.
    let deleted = "exec 0<<<\"$(seq 50000)\"; exec 5>/tmp/stockade-deleted-$$; seq 20000 >&5; exec 0</tmp/stockade-deleted-$$; \
                   rm /tmp/stockade-deleted-$$";
    let ended = finish(&mut jail.command_after(deleted, &["wc -l; wc -l < /dev/stdin"]));
    assert_eq!(ended.lines(), ["20000", "20000"]);
}

#[test]
fn they_can_be_opened_by_name() {
    let jail = Jail::shell("by-name", "");
    jail.build();
    let script = "cat /dev/stdin; cat < /dev/stdin; echo out > /dev/stdout; echo more >> /dev/stdout; echo err > /dev/stderr";
    let input = callers_file(&jail, "input");
    let (output, error) = (jail.path("output"), jail.path("error"));
    // Files.
    let files = [&output, &error].map(|path| File::create(path).unwrap());
    let [first, second] = files;
    let mut command = jail.command(&[script]);
    command.stdin(File::open(&input).unwrap());
    assert_eq!(finish_into(&mut command, first, second), Some(0));
    let twice = "first\nsecond\nfirst\nsecond\n";
    assert_eq!(fs::read_to_string(&output).unwrap(), format!("{twice}out\nmore\n"));
    assert_eq!(fs::read_to_string(&error).unwrap(), "err\n");
    // The null device.
    let ended = finish_into(&mut jail.command(&[script]), Stdio::null(), Stdio::null());
    assert_eq!(ended, Some(0));
    // A terminal.
    let mut terminal = Terminal::start(
        &jail.command(&["echo in; echo out > /dev/stdout; echo err > /dev/stderr; head -1 /dev/stdin"]),
    );
    terminal.wait_for("err");
    terminal.keys("typed\n");
    terminal.wait_for("typed");
    assert_eq!(terminal.ended(), Some(0));
}

#[test]
fn the_hosts_null_device_keeps_its_mode() {
    // With root's rights inside and the host's own ids a mode of 0600 would close it to every user of the host. The mode asked for
    // here is the one it has.
    let jail = Jail::probe("null", OWNER);
    let answer = if is_root() { "fchmod: EROFS\n" } else { "fchmod: EPERM\n" };
    jail.expect(&["chmod-null", "0"], 0, answer);
    jail.build();
    let script = "exec \"$@\" <>/dev/null 2>/dev/null";
    let run = jail.command(&["chmod-null", "2"]);
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash"]).arg(run.get_program()).args(run.get_args());
    command.env("STOCKADE_STATE_DIR", jail.path("state"));
    assert_eq!(finish(&mut command).stdout, answer);
}

#[test]
fn a_connection_is_that_connection_and_no_other() {
    // As inetd(8) gives it: the one door of a jail without a network.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connection = || OwnedFd::from(TcpStream::connect(("127.0.0.1", port)).unwrap());
    let jail = Jail::shell("inetd", "");
    jail.build();
    let ended = finish(jail.command(&["echo answer >&0"]).stdin(connection()));
    assert_eq!((ended.stderr.as_str(), ended.code), ("", Some(0)));
    let mut answer = String::new();
    listener.accept().unwrap().0.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer\n");
    let port = port.to_string();
    let again = ["reconnect", &port];
    for (more, answers) in [
        ("", "disconnect: ok\nconnect: EACCES\n"),
        // Where it may have the host's network it has it.
        ("namespaces.network = \"host\"", "disconnect: ok\nconnect: ok\n"),
    ] {
        let jail = Jail::probe("inetd", more);
        jail.build();
        assert_eq!(finish(jail.command(&again).stdin(connection())).stdout, answers);
    }
    // Without Landlock nothing would hold it.
    let jail = Jail::probe("inetd", "privileges.landlock = false");
    jail.build();
    let ended = finish(jail.command(&again).stdin(connection()));
    assert_eq!((ended.stdout.as_str(), ended.code), ("", Some(125)));
    assert!(
        ended.stderr.contains("the program could exchange its connection for another"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_socket_that_can_send_anywhere_is_for_jails_with_the_hosts_network() {
    for (more, code) in [("", 125), ("namespaces.network = \"host\"", 0)] {
        let jail = Jail::shell("datagrams", more);
        jail.build();
        let ended = run_with("udp", "0", &jail, &["echo ran"]);
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    }
}

/// Pipes whose owner the program is: it has others in their place.
fn with_a_pipe(jail: &Jail, script: &str, caller: &str) -> Ended {
    let command = jail.command(&[script]);
    let mut shell = Command::new("bash");
    shell.args(["-c", caller, "bash"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    finish(&mut shell)
}

#[test]
fn a_pipe_is_read_no_further_than_the_program_has_read() {
    let jail = Jail::shell("piped", OWNER);
    jail.build();
    let expect = |script: &str, caller: &str, expected: &str| {
        let ended = with_a_pipe(&jail, script, caller);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), (expected, ""), "{caller}");
    };
    let lines = "{ echo one; echo two; echo three; }";
    // read(1) takes a line byte by byte; what is left is whoever's goes on.
    expect("read a; echo $a", &format!("{lines} | {{ \"$@\"; echo -; cat; }}"), "one\n-\ntwo\nthree\n");
    expect("true", &format!("{lines} | {{ \"$@\"; cat; }}"), "one\ntwo\nthree\n");
    expect("read a </dev/stdin; echo $a", &format!("{lines} | {{ \"$@\"; cat; }}"), "one\ntwo\nthree\n");
    expect("cat", &format!("{lines} | \"$@\""), "one\ntwo\nthree\n");
    // Whoever writes is told when nobody reads any more, and the program when nobody writes.
    expect("exec <&-; sleep 0.1; echo closed", "yes | \"$@\"; echo ${PIPESTATUS[0]}", "closed\n141\n");
    expect("wc -c", "head -c 1000000 /dev/zero | \"$@\"", "1000000\n");
    // Its own is as good as the caller's: opened the other way round it leads nowhere.
    let script = "echo injected > /proc/self/fd/0; read a; echo $a";
    expect(
        script,
        "{ sleep 0.1; echo 'echo from the script'; } | { \"$@\"; bash; }",
        "injected\nfrom the script\n",
    );
}

#[test]
fn a_pipe_that_the_program_makes_larger_is_passed_on_whole() {
    let jail = Jail::probe("larger", OWNER);
    jail.build();
    let ended = with_a_pipe(
        &jail,
        "count-enlarging",
        "for each in {1..3000}; do head -c 100 /dev/zero; done | \"$@\"",
    );
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("300000\n", ""));
}

#[test]
fn what_others_write_to_the_same_output_is_not_the_programs_to_read() {
    let jail = Jail::shell("overheard", OWNER);
    jail.build();
    let script = "exec 3</proc/self/fd/1; read -t 1 a <&3; echo \"got $a\" >&2; echo said";
    let ended = with_a_pipe(&jail, script, "{ echo secret; \"$@\"; } | { sleep 2; cat; }");
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("secret\nsaid\n", "got \n"));
}
