//! Ids, capabilities, and calls that a profile decides about.

use super::{common, program, seen};
use common::{Need, needs};
use stockade::plan::capability::NAMES;
use stockade::seen::Seen;

/// The capabilities that made a difference, each with the call.
fn capabilities(seen: &Seen) -> Vec<String> {
    let line = |(number, moment): (&u8, &stockade::seen::Moment)| {
        format!("{} {}", NAMES[usize::from(*number)], moment.call)
    };
    seen.capabilities.iter().map(line).collect()
}

/// What one C program, as root, needs.
fn needed_by(name: &str, statements: &str) -> Vec<String> {
    let directory = program(name, "", statements);
    directory.write("file", "").write("closed/file", "");
    std::fs::write(directory.join("own"), "").unwrap();
    capabilities(&seen(&directory))
}

#[test]
fn a_capability_that_makes_a_difference_is_told() {
    if !needs(Need::Root) {
        return;
    }
    for (name, statements, expected) in [
        ("owner", "need(chown(\"file\", 1, 1) == 0);", &["CHOWN chown"][..]),
        ("same", "need(chown(\"file\", 0, 0) == 0 && fchownat(AT_FDCWD, \"file\", 0, -1, 0) == 0);", &[]),
        (
            "group",
            "gid_t group = 5; need(setgroups(1, &group) == 0 && chown(\"file\", -1, 5) == 0);",
            &["SETGID setgroups"],
        ),
        (
            "modes",
            "need(chown(\"file\", 1, 1) == 0 && chmod(\"file\", 0640) == 0 && open(\"file\", O_RDONLY) >= 0);",
            &["CHOWN chown", "DAC_READ_SEARCH openat", "FOWNER chmod"],
        ),
        (
            "write",
            "need(chown(\"file\", 1, 1) == 0 && open(\"file\", O_WRONLY) >= 0);",
            &["CHOWN chown", "DAC_OVERRIDE openat"],
        ),
        (
            "own",
            "need(open(\"file\", O_RDWR) >= 0 && chmod(\"file\", 0600) == 0 && unlink(\"file\") == 0);",
            &[],
        ),
        (
            "drop",
            "need(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0 && setuid(65534) == 0);",
            &["SETGID setgroups", "SETUID setuid"],
        ),
        ("root", "need(setuid(0) == 0 && setresgid(-1, 0, 0) == 0 && seteuid(0) == 0);", &[]),
        ("chroot", "need(chroot(\".\") == 0);", &["SYS_CHROOT chroot"]),
        (
            "device",
            "need(mknod(\"null\", S_IFCHR | 0600, 0x103) == 0 && mkfifo(\"fifo\", 0600) == 0);",
            &["MKNOD mknodat"],
        ),
        (
            "raw",
            "need(socket(AF_INET, SOCK_RAW, 1) >= 0 && socket(AF_INET, SOCK_DGRAM, 0) >= 0);",
            &["NET_RAW socket"],
        ),
        (
            "nice",
            "need(setpriority(PRIO_PROCESS, 0, 5) == 0 && setpriority(PRIO_PROCESS, 0, 1) == 0);",
            &["SYS_NICE setpriority"],
        ),
        (
            "kill",
            "int end[2]; need(pipe(end) == 0); pid_t child = fork();
             if (child == 0) { setuid(65534); write(end[1], \"\", 1); pause(); }
             char byte; need(read(end[0], &byte, 1) == 1); need(kill(child, 0) == 0); need(seteuid(1) == 0);
             need(kill(child, SIGKILL) < 0 && seteuid(0) == 0 && kill(child, SIGKILL) == 0);",
            &["KILL kill", "SETUID setuid"],
        ),
        (
            "everybody",
            "int end[2]; need(pipe(end) == 0 && setpgid(0, 0) == 0); signal(SIGUSR1, SIG_IGN);
             need(kill(0, SIGUSR1) == 0); pid_t child = fork();
             if (child == 0) { setuid(65534); write(end[1], \"\", 1); pause(); }
             char byte; need(read(end[0], &byte, 1) == 1 && kill(0, SIGUSR1) == 0 && kill(child, SIGKILL) == 0);",
            &["KILL kill", "SETUID setuid"],
        ),
        (
            "socket",
            "need(mkdir(\"d\", 0755) == 0 && chown(\"d\", 1, 1) == 0);
             struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = \"d/s\" };
             int one = socket(AF_UNIX, SOCK_STREAM, 0), two = socket(AF_UNIX, SOCK_STREAM, 0);
             need(bind(one, (void *)&at, sizeof at) == 0 && listen(one, 1) == 0);
             need(connect(two, (void *)&at, sizeof at) == 0);",
            &["CHOWN chown", "DAC_OVERRIDE bind"],
        ),
        (
            "client",
            "struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = \"s\" };
             int one = socket(AF_UNIX, SOCK_STREAM, 0), two = socket(AF_UNIX, SOCK_STREAM, 0);
             need(bind(one, (void *)&at, sizeof at) == 0 && listen(one, 1) == 0 && chown(\"s\", 1, 1) == 0);
             need(connect(two, (void *)&at, sizeof at) == 0);",
            &["CHOWN chown", "DAC_OVERRIDE connect"],
        ),
    ] {
        assert_eq!(needed_by(&format!("trace-{name}"), statements), expected, "{name}");
    }
}

#[test]
fn a_limit_is_raised_by_capability() {
    if !needs(Need::Root) {
        return;
    }
    let directory = program(
        "trace-limit",
        "",
        r"
        struct rlimit now;
        need(getrlimit(RLIMIT_NOFILE, &now) == 0);
        now.rlim_cur = now.rlim_max;
        need(setrlimit(RLIMIT_NOFILE, &now) == 0);
        now.rlim_max -= 1;
        now.rlim_cur = 9;
        need(setrlimit(RLIMIT_NOFILE, &now) == 0);
        now.rlim_max += 1;
        return setrlimit(RLIMIT_NOFILE, &now) == 0 ? 0 : 77;
        ",
    );
    let (seen, status) = super::trace(&super::command(&directory));
    if status.code() == Some(77) {
        eprintln!("SKIP: root may not raise limits here");
        assert_eq!(capabilities(&seen), [""; 0]);
        return;
    }
    assert_eq!(capabilities(&seen), ["SYS_RESOURCE prlimit"]);
}

#[test]
fn ids_that_are_changed_to_are_told() {
    if !needs(Need::Root) {
        return;
    }
    let directory = program(
        "trace-ids",
        "",
        r#"
        gid_t groups[] = { 7, 8 };
        need(setgroups(2, groups) == 0 && setresgid(9, 9, 9) == 0 && setresuid(10, 11, 12) == 0);
        need(open("file", O_RDONLY) >= 0);
        "#,
    );
    directory.write("file", "");
    let seen = seen(&directory);
    assert_eq!(seen.users.keys().copied().collect::<Vec<_>>(), [10, 11, 12]);
    assert_eq!(seen.groups.keys().copied().collect::<Vec<_>>(), [7, 8, 9]);
    let moments: Vec<_> = seen.files[&directory.join("file")].uses.values().collect();
    assert_eq!((moments[0].uid, moments[0].gid, moments[0].call), (11, 9, "openat"));
}

#[test]
fn calls_that_profiles_differ_in_are_told() {
    let directory = program(
        "trace-calls",
        "",
        r"
        ptrace(PTRACE_PEEKDATA, 1, 0, 0);
        socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 6);
        socket(AF_VSOCK, SOCK_STREAM, 0);
        socketpair(AF_UNIX, SOCK_STREAM, 0, (int[2]){ 0 });
        unshare(0);
        syscall(SYS_keyctl, 0, 0, 0, 0, 0);
        open(argv[0], O_RDONLY);
        ",
    );
    let seen = seen(&directory);
    let calls: Vec<_> = seen.calls.iter().map(|(call, moment)| (moment.call, call.arguments)).collect();
    let socket = |family, kind, protocol| ("socket", [family, kind, protocol, 0, 0, 0]);
    assert_eq!(calls, [socket(2, 1, 6), socket(40, 1, 0), ("ptrace", [0; 6]), ("keyctl", [0; 6])]);
}
