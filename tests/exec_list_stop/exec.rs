//! `exec`: another program in a running jail.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Jail, Running, finish, is_root, status_of, until};
use crate::terminal::Terminal;
use crate::{common, expect, stockade, told};

/// What a process is, as far as it can see itself.
const SELF: &str = "\
    busybox grep -E '^(Umask|Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|Cpus_allowed):?' /proc/self/status; \
    busybox cat /proc/self/limits /proc/self/oom_score_adj /proc/self/timerslack_ns /proc/self/personality /proc/self/cgroup 2>/dev/null; \
    for each in cgroup ipc mnt net pid user uts; do busybox readlink /proc/self/ns/$each; done; \
    busybox hostname; pwd; busybox env | busybox sort; busybox cat /proc/self/stat | busybox cut -d' ' -f19; busybox ls -ld / /tmp; busybox mount; \
    busybox cat /proc/net/dev | busybox wc -l";

/// A jail whose program tells what it is and stays, with a shell and everything that busybox can.
fn staying(name: &'static str, more: &str) -> Jail {
    let more = format!("mounts = [{{ type = \"tmpfs\", target = \"/tmp\" }}]\nroot.proc = \"full\"\n{more}");
    Jail::shell(name, &more)
}

/// Reads until an empty line.
fn paragraph(running: &mut Running) -> String {
    let lines = std::iter::from_fn(|| Some(running.line()).filter(|line| !line.is_empty()));
    lines.map(|line| line + "\n").collect()
}

#[test]
fn who_joins_a_jail_is_what_its_program_is() {
    let mut shapes = vec![
        "",
        "program.user = \"root\"\nprogram.umask = \"0077\"\nprogram.working_directory = \"/tmp\"",
        "program.environment.A = \"b c\"\nprogram.nice = 5\nprogram.oom_score_adjust = 300\nlimits.open_files = 77\n\
         privileges.landlock = false\nnamespaces.ipc = \"host\"\nnamespaces.uts = \"host\"",
        "privileges.capabilities = [\"CHOWN\", \"KILL\"]\nprogram.user = \"root\"",
        "privileges.system_calls = \"all\"\nprivileges.no_new_privileges = false",
    ];
    if is_root() {
        shapes.extend([
            "namespaces.network = \"host\"\nprogram.supplementary_groups = [\"daemon\", \"4321\"]",
            "namespaces.user = false\nprogram.user = \"root\"\nprivileges.bounding = [\"NET_BIND_SERVICE\"]",
            "root.method = \"move\"\nprogram.user = \"1234\"\nprogram.group = \"99\"",
            "program.init = false",
            "limits.memory = \"64M\"\nlimits.tasks = 50",
            "limits.tasks = 50\nnamespaces.cgroup = \"host\"\nroot.read_only = false",
        ]);
    }
    for more in shapes {
        let jail = staying("same", more);
        let mut running = jail.start(&[&format!("{SELF}; echo; while :; do busybox sleep 1; done")]);
        let own = paragraph(&mut running);
        assert!(own.lines().count() > 40, "{own}");
        let joined = told(&jail, &["exec", "same", "--", "/bin/sh", "-c", SELF]);
        assert_eq!((joined.stderr.as_str(), joined.code), ("", Some(0)), "{more}");
        let found: String = joined.stdout.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
        assert!(own == found, "{more}\n{}", common::difference(&own, &found));
        expect(&jail, &["stop", "--timeout=0", "same"], 0, "", "killed jail `same`\n");
        running.wait();
    }
}

#[test]
fn landlock_holds_who_joins() {
    let namespace = if is_root() { "namespaces.user = false\n" } else { "" };
    let more = format!(
        "program.user = \"root\"\nprivileges.capabilities = [\"SYS_ADMIN\"]\nprivileges.system_calls = \"all\"\n{namespace}\
         mounts = [{{ type = \"tmpfs\", target = \"/tmp\" }}]"
    );
    let jail = Jail::shell("locked", &more);
    let mut running = jail.start(&["echo ready; exec busybox sleep 1000"]);
    running.expect("ready");
    let held =
        "remount: EPERM\nwrite: EROFS\nmount: EPERM\numount: EPERM\nopen_tree: ok\npivot_root: EPERM\n";
    expect(&jail, &["exec", "locked", "--", "/probe", "undo-mounts"], 0, held, "");
    let script = "echo x > /tmp/file && busybox cat /tmp/file";
    expect(&jail, &["exec", "locked", "--", "/bin/sh", "-c", script], 0, "x\n", "");
    expect(&jail, &["stop", "locked"], 0, "", "stopped jail `locked`\n");
    running.wait();
}

#[test]
fn a_manifest_that_changes_meanwhile_changes_nothing() {
    let jail = staying("steady", "program.nice = 5");
    let mut running = jail.start(&["echo ready; exec busybox sleep 1000"]);
    running.expect("ready");
    jail.write_manifest("[\"/bin/sh\", \"-c\"]", "program.nice = 9\nprivileges.no_new_privileges = false");
    let manifest = jail.manifest();
    let nice = "busybox cut -d' ' -f19 /proc/self/stat";
    let words = ["exec", manifest.to_str().unwrap(), "--", "/bin/sh", "-c", nice];
    expect(&jail, &words, 0, "5\n", "");
    fs::remove_file(&manifest).unwrap();
    expect(&jail, &["exec", "steady", "--", "/bin/sh", "-c", nice], 0, "5\n", "");
    expect(&jail, &["stop", "steady"], 0, "", "stopped jail `steady`\n");
    running.wait();
}

#[test]
fn exit_codes_and_bytes_pass_as_with_run() {
    let jail = staying("codes", "");
    let mut running = jail.start(&["echo ready; exec busybox sleep 1000"]);
    running.expect("ready");
    let shell = |script: &str| told(&jail, &["exec", "codes", "--", "/bin/sh", "-c", script]);
    assert_eq!(shell("exit 7").code, Some(7));
    assert_eq!(shell("kill -KILL $$").code, Some(137));
    // A build has nothing to do with what is not in the tree, unless the host has it.
    let absent = |path: &str, hint: &str| {
        let ended = told(&jail, &["exec", "codes", "--", path]);
        let expected = format!("\n  why: there is no `{path}` in the jail\nhint: {hint}\n");
        assert!(ended.code == Some(127) && ended.stderr.ends_with(&expected), "{}", ended.stderr);
    };
    absent("/nothing", "name a program that is in the jail");
    absent("/usr/bin/env", "add `/usr/bin/env` to `programs` under [tree], build the jail and start it anew");
    assert_eq!(told(&jail, &["exec", "codes", "--", "nothing"]).code, Some(127));
    assert_eq!(told(&jail, &["exec", "codes", "--", "/etc/passwd"]).code, Some(126));
    let absent = "error: jail `code` does not run\nhint: did you mean `codes`?\n";
    expect(&jail, &["exec", "code", "--", "true"], 125, "", absent);
    let unnamed = "error: no program is named\nhint: write `stockade exec codes -- PROGRAM`\n";
    expect(&jail, &["exec", "codes"], 2, "", unnamed);
    // Bytes that are no text, both ways, and an end.
    let mut child = stockade(&jail, &["exec", "codes", "--", "busybox", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"\xff\0\n").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"\xff\0\n");
    // A file to be written is written by us; one to be read is shown read-only, which takes root.
    let (file, input) = (jail.path("out"), jail.path("in"));
    fs::write(&input, "line\n").unwrap();
    let mut command = stockade(&jail, &["exec", "codes", "--", "/bin/sh", "-c", "busybox cat; echo $?"]);
    let ended = finish(command.stdin(fs::File::open(&input).unwrap()));
    if is_root() {
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("line\n0\n", ""));
    } else {
        assert_eq!((ended.stdout.as_str(), ended.code), ("", Some(125)));
        assert!(ended.stderr.contains("hint: pass the data through a pipe"), "{}", ended.stderr);
    }
    let mut command = stockade(&jail, &["exec", "codes", "--", "busybox", "echo", "written"]);
    assert!(command.stdout(fs::File::create(&file).unwrap()).status().unwrap().success());
    assert_eq!(fs::read_to_string(&file).unwrap(), "written\n");
    // Nothing of the caller's descriptors but the standard ones.
    let listed = stockade(&jail, &["exec", "codes", "--", "/bin/sh", "-c", "echo /proc/self/fd/*"]);
    let mut careless = Command::new("bash");
    careless.args(["-c", "exec 7< /etc 8< /; exec \"$@\"", "bash"]).arg(listed.get_program());
    careless.args(listed.get_args()).env("STOCKADE_STATE_DIR", jail.path("state")).stdin(Stdio::null());
    let ended = finish(&mut careless);
    // The directory that the shell reads is the fourth.
    assert_eq!(ended.lines(), ["/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3"]);
    expect(&jail, &["stop", "codes"], 0, "", "stopped jail `codes`\n");
    running.wait();
}

#[test]
fn as_another_user_of_the_jail() {
    if !is_root() {
        return;
    }
    let jail = staying("users", "tree.users = [\"daemon\"]\nprogram.supplementary_groups = [\"4321\"]");
    let mut running = jail.start(&["echo ready; exec busybox sleep 1000"]);
    running.expect("ready");
    let id = |user: &str| told(&jail, &["exec", "-u", user, "users", "--", "busybox", "id"]).stdout;
    assert_eq!(id("daemon"), "uid=1(daemon) gid=1(daemon)\n");
    assert_eq!(id("root"), "uid=0(root) gid=0(root)\n");
    assert!(id("77").starts_with("uid=77 gid="), "{}", id("77"));
    assert_eq!(told(&jail, &["exec", "-u", "a:b", "users", "--", "busybox", "id"]).code, Some(125));
    expect(&jail, &["stop", "users"], 0, "", "stopped jail `users`\n");
    running.wait();
}

#[test]
fn a_terminal_is_the_programs_own() {
    let jail = staying("tty", "");
    let mut running = jail.start(&["echo ready; exec busybox sleep 1000"]);
    running.expect("ready");
    let mut terminal = Terminal::start(&stockade(&jail, &["exec", "tty", "--", "/bin/sh", "-i"]));
    terminal.keys("busybox test -t 0 && echo a-tty-$((1 + 1)); exit 5\r");
    terminal.wait_for("a-tty-2");
    assert_eq!(terminal.child.wait().unwrap().code(), Some(5));
    expect(&jail, &["stop", "tty"], 0, "", "stopped jail `tty`\n");
    running.wait();
}

/// Seen from outside, as the modes of a terminal and of a pipe open them to their owner alone.
#[test]
fn terminal_and_pipes_of_who_joins_belong_to_the_jails_user() {
    if !is_root() {
        return;
    }
    for more in ["program.user = \"1000\"", "program.user = \"1000\"\nnamespaces.user = false"] {
        let jail = staying("owned", more);
        jail.build();
        let script = "echo ready; exec busybox sleep 1000";
        let owners = |pid: i32| {
            (0..2).map(|fd| fs::metadata(format!("/proc/{pid}/fd/{fd}")).unwrap().uid()).collect::<Vec<_>>()
        };
        let mut first = Terminal::start(&jail.command(&[script]));
        first.wait_for("ready");
        let runs = crate::support::children(first.child.id() as i32)[0];
        let expected = owners(crate::support::children(runs)[0]);
        let mut second = Terminal::start(&stockade(
            &jail,
            &["exec", "-u", "1000", "owned", "--", "/bin/sh", "-c", script],
        ));
        second.wait_for("ready");
        let joins = crate::support::children(second.child.id() as i32)[0];
        assert_eq!(owners(crate::support::children(joins)[0]), expected, "{more}");
        let of_host = [1000, 1000];
        assert_eq!(expected == of_host, more.contains("namespaces.user = false"), "{expected:?}");
        // A pipe's owner may open it by its name.
        let mut command =
            stockade(&jail, &["exec", "owned", "--", "/bin/sh", "-c", "echo opened > /dev/stdout"]);
        let status = command.stdout(fs::File::create(jail.path("out")).unwrap()).status().unwrap();
        assert!(status.success(), "{status}");
        assert_eq!(fs::read_to_string(jail.path("out")).unwrap(), "opened\n");
        assert_eq!(told(&jail, &["stop", "owned"]).code, Some(0));
        for terminal in [&mut first, &mut second] {
            terminal.child.wait().unwrap();
        }
    }
}

#[test]
fn the_jails_end_is_the_end_of_who_joined() {
    let jail = staying("ends", "");
    let mut running = jail.start(&["echo ready; exec busybox sleep 1000"]);
    running.expect("ready");
    let mut joined = Running::start(&mut stockade(
        &jail,
        &["exec", "ends", "--", "/bin/sh", "-c", "trap '' TERM; busybox sleep 1000 & echo in; wait"],
    ));
    joined.expect("in");
    // All are counted: PID 1, its program, the shell, its sleep.
    let listed = told(&jail, &["list"]);
    assert_eq!(listed.lines()[1].split_whitespace().last(), Some("4"), "{listed:?}");
    expect(&jail, &["stop", "ends"], 0, "", "stopped jail `ends`\n");
    assert_eq!(joined.wait(), 137);
    running.wait();
}

#[test]
fn a_killed_exec_leaves_its_jail_and_nothing_else() {
    let jail = staying("survivor", "");
    let mut running = jail.start(&["echo ready; exec busybox sleep 1000"]);
    running.expect("ready");
    let inside = |jail: &Jail| jail.processes().len();
    until("the start", || (inside(&jail) == 3).then_some(()));
    for round in 0..30 {
        let mut joined =
            stockade(&jail, &["exec", "survivor", "--", "busybox", "sleep", "1000"]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_micros(500 * round));
        // Either the command itself, or the process in the middle.
        let victim = match crate::support::children(joined.id() as i32).first() {
            Some(middle) if round % 3 == 0 => *middle,
            _ => joined.id() as i32,
        };
        let _ = kill(Pid::from_raw(victim), Signal::SIGKILL);
        joined.wait().unwrap();
        until(&format!("nobody but the jail in round {round}: {:?}", jail.processes()), || {
            (inside(&jail) == 3).then_some(())
        });
    }
    assert_eq!(status_of(running.program(), "State"), "S (sleeping)");
    expect(&jail, &["stop", "survivor"], 0, "", "stopped jail `survivor`\n");
    running.wait();
}

#[test]
fn what_a_killed_exec_has_started_stays_until_the_jail_ends() {
    let jail = staying("orphan", "");
    let mut running = jail.start(&["echo ready; exec busybox sleep 1000"]);
    running.expect("ready");
    let script = "busybox sleep 1000 & echo in; wait";
    let mut joined = Running::start(&mut stockade(&jail, &["exec", "orphan", "--", "/bin/sh", "-c", script]));
    joined.expect("in");
    joined.signal(Signal::SIGKILL);
    joined.wait();
    until("the sleep as PID 1's", || (crate::support::children(running.first()).len() == 2).then_some(()));
    expect(&jail, &["stop", "orphan"], 0, "", "stopped jail `orphan`\n");
    running.wait();
    jail.wait_for_nobody();
}

#[test]
fn one_of_several_runs_is_named() {
    let jail = staying("both", "");
    let mut runs: Vec<Running> = (0..2)
        .map(|at| jail.start(&[&format!("echo {at} > /tmp/which; echo ready; exec busybox sleep 1000")]))
        .collect();
    for run in &mut runs {
        run.expect("ready");
    }
    let ended = told(&jail, &["exec", "both", "--", "true"]);
    assert_eq!(ended.code, Some(125));
    assert!(
        ended.stderr.starts_with("error: jail `both` runs 2 times\nhint: name one of them: `both@"),
        "{ended:?}"
    );
    for (at, run) in runs.iter().enumerate() {
        let name = format!("both@{}", run.pid());
        let words = ["exec", &name, "--", "busybox", "cat", "/tmp/which"];
        expect(&jail, &words, 0, &format!("{at}\n"), "");
    }
    assert_eq!(told(&jail, &["stop", "both"]).code, Some(0));
    for run in &mut runs {
        run.wait();
    }
}

#[test]
fn a_frozen_jail_is_not_joined() {
    if !is_root() {
        return;
    }
    let jail = staying("icy", "limits.tasks = 20");
    let mut running = jail.start(&["echo ready; exec busybox sleep 1000"]);
    running.expect("ready");
    assert_eq!(told(&jail, &["freeze", "icy"]).code, Some(0));
    let refused = "error: jail `icy` is frozen\n  why: what joins it would stop with it\nhint: let it go on first: `stockade thaw icy`\n";
    expect(&jail, &["exec", "icy", "--", "busybox", "true"], 125, "", refused);
    assert_eq!(told(&jail, &["thaw", "icy"]).code, Some(0));
    expect(&jail, &["exec", "icy", "--", "busybox", "true"], 0, "", "");
    expect(&jail, &["stop", "icy"], 0, "", "stopped jail `icy`\n");
    running.wait();
}

#[test]
fn a_jail_whose_control_groups_are_not_to_be_found_is_not_joined() {
    if !is_root() {
        return;
    }
    let jail = staying("limited", "limits.tasks = 20");
    let mut running = jail.start(&["echo ready; exec busybox sleep 1000"]);
    running.expect("ready");
    let joins = stockade(&jail, &["exec", "limited", "--", "busybox", "true"]);
    let script = "sort -r /proc/mounts | while read -r _ place kind _; do case $kind in cgroup*) umount -l \"$place\";; esac; done; \
                  exec \"$@\"";
    let mut without = Command::new("unshare");
    without.args(["-m", "sh", "-c", script, "sh"]).arg(joins.get_program()).args(joins.get_args());
    without.envs(joins.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    let ended = finish(&mut without);
    let refused = "error: jail `limited` cannot be joined as it was started\n  why: of what confines it, this differs by now: its \
                   control groups\nhint: start the jail again\n";
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str(), ended.code), ("", refused, Some(125)));
    expect(&jail, &["exec", "limited", "--", "busybox", "true"], 0, "", "");
    expect(&jail, &["stop", "limited"], 0, "", "stopped jail `limited`\n");
    running.wait();
}

#[test]
fn a_root_that_is_not_the_tree_of_the_record_is_not_joined() {
    if !is_root() {
        return;
    }
    let jail = staying("moved", "");
    let mut running = jail.start(&["echo ready; exec busybox sleep 1000"]);
    running.expect("ready");
    let joins = stockade(&jail, &["exec", "moved", "--", "busybox", "true"]);
    let script = "tree=$(readlink -f \"$0\") copy=$1; shift; cp -a \"$tree\" \"$copy\" && mount --bind \"$copy\" \"$tree\" && exec \"$@\"";
    let mut elsewhere = Command::new("unshare");
    elsewhere.args(["-m", "sh", "-c", script]).args([jail.tree(), jail.path("copy")]);
    elsewhere.arg(joins.get_program()).args(joins.get_args()).stdin(Stdio::null());
    elsewhere.envs(joins.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ended = finish(&mut elsewhere);
    let hint = "hint: the root of the jail's mount namespace is not the tree that it was started from: start the jail again\n";
    assert!(ended.code == Some(125) && ended.stderr.ends_with(hint), "{ended:?}");
    expect(&jail, &["exec", "moved", "--", "busybox", "true"], 0, "", "");
    expect(&jail, &["stop", "moved"], 0, "", "stopped jail `moved`\n");
    running.wait();
}

/// Before its first process has changed the root, the jail's mount namespace shows the host's files.
#[test]
fn a_jail_that_is_only_starting_is_not_joined() {
    if !common::needs(common::Need::Program("strace")) {
        return;
    }
    let namespace = if is_root() { "namespaces.user = false\n" } else { "" };
    for more in ["", "program.init = false"] {
        if !(is_root() || more.is_empty()) {
            continue;
        }
        let jail = staying("early", &format!("{namespace}{more}"));
        let run = jail.build().command(&["echo ready; exec busybox sleep 1000"]);
        let mut slow = Command::new("strace");
        slow.args(["-f", "-o", "/dev/null", "-e", "trace=pivot_root"]);
        slow.args(["-e", "inject=pivot_root:delay_enter=6000000"])
            .arg(run.get_program())
            .args(run.get_args());
        slow.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut running = Running::start(&mut slow);
        until("the record", || told(&jail, &["list"]).stdout.contains("early").then_some(()));
        let refused = "error: jail `early` is only starting\n  why: its first process is not yet confined, and what joins it would not be \
                       either\nhint: wait until `stockade list` shows it as running\n";
        expect(&jail, &["exec", "early", "--", "/bin/busybox", "ls", "/"], 125, "", refused);
        running.expect("ready");
        expect(&jail, &["exec", "early", "--", "busybox", "true"], 0, "", "");
        // A process that was killed is there until strace(1) lets go of it, which on a busy machine takes its time.
        until("the end", || {
            (told(&jail, &["stop", "early", "--timeout", "1s"]).code != Some(125)).then_some(())
        });
        running.wait();
    }
}

#[test]
fn what_a_service_manager_says_is_not_for_who_joins() {
    let jail = staying("managed", "program.type = \"notify\"\nprogram.sockets = true");
    jail.build();
    // As a manager starts it: the shell becomes the supervisor.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let before = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; export LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=web WATCHDOG_USEC=9000000 WATCHDOG_PID=$$"
    );
    let variables = "busybox env | busybox grep -E '^(LISTEN|NOTIFY|WATCHDOG)_' | busybox sort; ";
    let script = format!("{variables} echo; exec busybox sleep 1000");
    let mut running = Running::start(&mut jail.command_after(&before, &[&script]));
    let own = "LISTEN_FDNAMES=web\nLISTEN_FDS=1\nLISTEN_PID=2\nNOTIFY_SOCKET=/dev/.notify/socket\nWATCHDOG_PID=2\nWATCHDOG_USEC=9000000\n";
    assert_eq!(paragraph(&mut running), own);
    // By whoever has been started by a manager itself.
    let exec = stockade(
        &jail,
        &["exec", "managed", "--", "/bin/sh", "-c", &format!("{variables} busybox ls /proc/self/fd")],
    );
    let mut joiner = Command::new("bash");
    joiner
        .args(["-c", &format!("{before} NOTIFY_SOCKET=/nowhere; exec \"$@\""), "bash"])
        .arg(exec.get_program())
        .args(exec.get_args());
    joiner.env("STOCKADE_STATE_DIR", jail.path("state")).env("NO_COLOR", "1").stdin(Stdio::null());
    let ended = finish(&mut joiner);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str(), ended.code), ("0\n1\n2\n3\n", "", Some(0)));
    expect(&jail, &["stop", "managed"], 0, "", "stopped jail `managed`\n");
    running.wait();
}

#[test]
fn a_program_on_a_mount_is_looked_for_there() {
    let mounts = "mounts = [{ source = \"{here}/place\", target = \"/shown\", executable = false }, { type = \"tmpfs\", target = \"/tmp\" }]";
    let jail = Jail::shell("shown", mounts);
    fs::create_dir(jail.path("place")).unwrap();
    fs::copy("/bin/true", jail.path("place/tool")).unwrap();
    let mut running = jail.start(&["echo ready; exec busybox sleep 1000"]);
    running.expect("ready");
    let place = jail.path("place").display().to_string();
    for (program, code, why) in [
        ("/shown/tool", 126, "  why: `/shown` is mounted noexec (".to_owned()),
        (
            "/shown/none",
            127,
            format!("  why: `{place}/none` is not on the host, which shows `{place}` at `/shown` ("),
        ),
        ("/tmp/none", 127, "  why: the step is there by option `exec`\n".to_owned()),
    ] {
        let ended = told(&jail, &["exec", "shown", "--", program]);
        assert_eq!((ended.stdout.as_str(), ended.code), ("", Some(code)), "{}", ended.stderr);
        assert!(ended.stderr.contains(&why), "{}", ended.stderr);
        assert!(!ended.stderr.contains("there is no"), "{}", ended.stderr);
    }
    expect(&jail, &["stop", "--timeout=0", "shown"], 0, "", "killed jail `shown`\n");
    running.wait();
}
