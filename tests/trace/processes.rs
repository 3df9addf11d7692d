//! Threads, children, executions, signals, and the ways a program ends.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{below, command, common, program, seen, trace, words};
use common::Dir;
use stockade::seen::{Kind, Use};
use stockade::trace::{Command, Error, Happened, Tracer};

/// What was executed: the names, and the arguments but the first.
fn executions(seen: &stockade::seen::Seen) -> Vec<String> {
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let arguments = |each: &stockade::seen::Execution| {
        let words = each.arguments[1..].iter().map(|word| word.to_string_lossy().into_owned());
        words.fold(String::new(), |line, word| line + " " + &word)
    };
    seen.executions.iter().map(|each| name(&each.path) + &arguments(each)).collect()
}

#[test]
fn threads_and_children_are_followed() {
    let directory = program(
        "trace-children",
        r"
        static void *thread(void *name) { need(open(name, O_RDONLY) >= 0); return NULL; }
        ",
        r#"
        if (argc > 1) { need(open(argv[1], O_RDONLY) >= 0); return 0; }
        pthread_t threads[4];
        for (int at = 0; at < 4; at++) { need(!pthread_create(&threads[at], NULL, thread, "thread")); }
        for (int at = 0; at < 4; at++) { pthread_join(threads[at], NULL); }
        int status;
        if (fork() == 0) { need(open("fork", O_RDONLY) >= 0); _exit(0); }
        need(wait(&status) > 0 && status == 0);
        for (int twice = 0; twice < 2; twice++) {
            if (vfork() == 0) { execl(argv[0], argv[0], "vfork", NULL); _exit(1); }
            need(wait(&status) > 0 && status == 0);
        }
        /* A grandchild that outlives its parent, in a session of its own. */
        int end[2];
        need(pipe(end) == 0);
        if (fork() == 0) {
            setsid();
            if (fork() == 0) {
                char byte;
                close(end[1]);
                need(read(end[0], &byte, 1) == 0);
                usleep(20000);
                need(open("daemon", O_RDONLY) >= 0);
            }
            _exit(0);
        }
        need(wait(&status) > 0 && status == 0);
        "#,
    );
    for name in ["thread", "fork", "vfork", "daemon"] {
        directory.write(name, "");
    }
    let seen = seen(&directory);
    assert_eq!(
        below(&seen, directory.path()),
        [
            r"daemon: Regular [Read]",
            r"fork: Regular [Read]",
            r"thread: Regular [Read]",
            r"vfork: Regular [Read]",
        ]
    );
    assert_eq!(executions(&seen), ["program", "program vfork"]);
    assert_eq!(&*seen.executions[0].moment.program, "stockade");
    assert_eq!(&*seen.executions[1].moment.program, directory.join("program").to_str().unwrap());
}

#[test]
fn a_thread_that_executes_becomes_its_process() {
    let directory = program(
        "trace-thread-exec",
        r#"
        static char *own;
        static void *other(void *nothing) { pause(); return nothing; }
        static void *thread(void *nothing) { execl(own, own, "again", NULL); return nothing; }
        "#,
        r#"
        if (argc > 1) { need(open("file", O_RDONLY) >= 0); return 0; }
        own = argv[0];
        pthread_t threads[4];
        for (int at = 0; at < 3; at++) { need(!pthread_create(&threads[at], NULL, other, NULL)); }
        need(!pthread_create(&threads[3], NULL, thread, NULL));
        pause();
        "#,
    );
    directory.write("file", "");
    let seen = seen(&directory);
    assert_eq!(executions(&seen), ["program", "program again"]);
    assert_eq!(below(&seen, directory.path()), ["file: Regular [Read]"]);
}

#[test]
fn calls_of_32_bit_are_read_as_such() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    // What `int $0x80` makes is a call of 32-bit x86 in a program of 64 bits too, with numbers and pointers of those.
    let directory = program(
        "trace-narrow",
        r#"
        static const char file[] = "file", none[] = "none";
        static struct sockaddr_in to;
        static struct { unsigned address, length, parts, count, control, size, flags; } message;
        static unsigned arguments[3];
        static long call(long number, long one, long two, long three) {
            long result;
            __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(one), "c"(two), "d"(three) : "memory", "r8", "r9", "r10", "r11");
            return (int)result;
        }
        "#,
        r"
        if (call(20, 0, 0, 0) != getpid()) return 77;
        need(call(5, (long)file, O_RDONLY, 0) >= 0 && call(5, (long)none, O_RDONLY, 0) == -ENOENT);
        need(call(295, -100, (long)none, O_WRONLY | O_CREAT) >= 0);
        to.sin_family = AF_INET; to.sin_port = htons(9); to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int out = socket(AF_INET, SOCK_DGRAM, 0);
        message.address = (long)&to; message.length = sizeof to;
        arguments[0] = out; arguments[1] = (long)&message;
        need(call(102, 16, (long)arguments, 0) == 0);
        to.sin_port = htons(10);
        need(call(362, out, (long)&to, sizeof to) == 0);
        ",
    );
    directory.write("file", "");
    let (seen, status) = trace(&command(&directory));
    if status.code() == Some(77) {
        eprintln!("SKIP: this kernel has no calls of 32-bit x86");
        return;
    }
    assert!(status.success(), "{status}");
    assert_eq!(
        below(&seen, directory.path()),
        ["file: Regular [Read]", "none: Nothing [Written, Made, Missing]"]
    );
    let sockets: Vec<_> = seen.sockets.keys().map(|socket| format!("{socket:?}")).collect();
    let connected = |port| format!("Connected {{ address: 127.0.0.1:{port}, stream: false }}");
    assert_eq!(sockets, [connected(9), connected(10)]);
    let moment = seen.sockets.values().next().unwrap();
    assert_eq!(moment.call, "sendmsg");
}

#[test]
fn what_is_executed_along_with_a_program_is_told() {
    let directory = Dir::new("trace-script");
    directory.write("script", "#!/bin/sh -e\ntrue\n");
    std::os::unix::fs::symlink("script", directory.join("link")).unwrap();
    let command_of = |words: &[&str]| Command {
        arguments: super::words(words),
        environment: Some(vec![("PATH".into(), "/usr/bin:/bin".into())]),
        directory: Some(directory.path().into()),
        ..Command::default()
    };
    let made = std::process::Command::new("chmod").arg("755").arg(directory.join("script")).status().unwrap();
    assert!(made.success());
    let (seen, status) = trace(&command_of(&["./link", "one", "two"]));
    assert!(status.success());
    assert_eq!(below(&seen, directory.path()), ["link: Link [Followed]", "script: Regular [Executed, Read]"]);
    assert_eq!(executions(&seen), ["script one two"]);
    let shell = std::fs::canonicalize("/bin/sh").unwrap();
    assert!(seen.files[&shell].uses.contains_key(&Use::Executed), "{:?}", seen.files[&shell]);
    // The loader, which no call names.
    let loaders = seen.files.iter().filter(|(path, file)| {
        path.to_string_lossy().contains("/ld-") && file.uses.contains_key(&Use::Executed)
    });
    assert_eq!(loaders.count(), 1);
}

#[test]
fn signals_do_what_they_do_without() {
    let directory = program(
        "trace-signals",
        r"
        static volatile int count;
        static void handler(int signal) { count += signal == SIGUSR1; }
        ",
        r"
        signal(SIGUSR1, handler);
        need(kill(getpid(), SIGUSR1) == 0 && count == 1);
        int status;
        pid_t child = fork();
        if (child == 0) { raise(SIGSTOP); _exit(7); }
        need(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
        need(waitpid(child, &status, WNOHANG) == 0);
        need(kill(child, SIGCONT) == 0);
        need(waitpid(child, &status, WCONTINUED) == child && WIFCONTINUED(status));
        need(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
        /* Somebody has it already. */
        need(ptrace(PTRACE_TRACEME, 0, 0, 0) < 0 && errno == EPERM);
        struct itimerval soon = { { 0, 0 }, { 0, 1000 } };
        signal(SIGALRM, handler);
        need(setitimer(ITIMER_REAL, &soon, NULL) == 0 && pause() < 0 && errno == EINTR);
        raise(SIGTERM);
        ",
    );
    let (seen, status) = trace(&command(&directory));
    assert_eq!(status.signal(), Some(15), "{status}");
    assert!(seen.calls.keys().any(|call| call.arguments == [0; 6]), "{:?}", seen.calls);
}

#[test]
fn the_time_ends_and_so_does_the_program() {
    let directory = program(
        "trace-stop",
        "",
        r#"
        signal(SIGTERM, SIG_IGN);
        need(open("ready", O_WRONLY | O_CREAT, 0600) >= 0);
        if (fork() == 0) { raise(SIGSTOP); }
        for (;;) pause();
        "#,
    );
    let mut tracer = Tracer::start(&command(&directory)).unwrap();
    // It is told of nothing until it is over, however long it takes to get ready.
    let ready = directory.join("ready");
    loop {
        let happened = tracer.run(Some(Instant::now() + Duration::from_millis(200))).unwrap();
        assert_eq!(happened, Happened::Deadline);
        if ready.exists() {
            break;
        }
    }
    let mut beside = std::process::Command::new("false");
    let pid = tracer.beside(&mut beside).unwrap();
    match tracer.run(None).unwrap() {
        Happened::Beside(ended, status) => assert_eq!((ended, status.code()), (pid, Some(1))),
        other => panic!("{other:?}"),
    }
    assert_eq!(tracer.status(), None);
    tracer.stop(Duration::from_millis(100)).unwrap();
    assert_eq!(tracer.status().unwrap().signal(), Some(9));
    let seen = tracer.finish().unwrap();
    assert_eq!(seen.files[&ready].kind, Kind::Nothing);
}

#[test]
fn what_cannot_be_started_is_told() {
    let directory = Dir::new("trace-fails");
    directory.write("file", "");
    let start = |words: &[&str], place: Option<&str>| {
        let command = Command {
            arguments: super::words(words),
            directory: place.map(|place| directory.join(place)),
            ..Command::default()
        };
        Tracer::start(&command).map(drop).unwrap_err().to_string()
    };
    let file = directory.join("file");
    assert_eq!(start(&[], None), "there is no program to run");
    assert_eq!(start(&["no-such-program"], None), "cannot find `no-such-program` in PATH");
    assert_eq!(
        start(&[file.to_str().unwrap()], None),
        format!("cannot execute `{}`: execve(2): Permission denied (EACCES)", file.display())
    );
    assert_eq!(
        start(&["true"], Some("none")),
        format!(
            "cannot enter `{}`: chdir(2): No such file or directory (ENOENT)",
            directory.join("none").display()
        )
    );
    assert!(matches!(
        Tracer::start(&Command { arguments: words(&["a\0b"]), ..Command::default() }),
        Err(Error::NotFound(_) | Error::Nul)
    ));
}
