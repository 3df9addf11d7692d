//! What `stockade plan` prints is what `stockade run` does: every system call of the plan, with its arguments, is compared in
//! order with what strace(1) saw of the jail's first processes.
//!
//! `<mount>` and the like in a plan stand for descriptors and addresses, which differ from run to run. Not compared are the other calls
//! of the supervisor, and what PID 1 does once the program's process is made.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::fs;
use std::path::Path;

use common::{Dir, Need, needs};
use serde_json::Value;
use stockade::manifest::resolve::control_groups;

/// A call that is no part of a step: the debug build's look at a descriptor before it closes it.
const ASIDE: &str = "fcntl(";

/// The calls of a plan's run, each as `name(arguments)`.
fn planned(plan: &Value) -> Vec<String> {
    let steps = plan["steps"].as_array().unwrap().iter().filter(|step| step["phase"] != "build");
    let calls = steps.flat_map(|step| step["calls"].as_array().unwrap());
    let text =
        |call: &Value| format!("{}({})", call["name"].as_str().unwrap(), call["arguments"].as_str().unwrap());
    calls.map(text).collect()
}

/// The calls strace saw: the supervisor's from `begin`, the first of the plan, to the one that made PID 1, with those of the
/// processes that made user namespaces for it between; PID 1's until it has made the program's process and filtered itself;
/// then that process's until it is the program. What pasta(1) does, and those it has made, is not the plan's. `traces` is where strace wrote a file for each process.
fn traced(traces: &Path, begin: &str) -> Vec<String> {
    let mut processes: Vec<u32> = fs::read_dir(traces)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_prefix("trace.")?.parse().ok())
        .collect();
    let text = |pid: &u32| fs::read_to_string(traces.join(format!("trace.{pid}"))).unwrap();
    let pasta = processes.iter().copied().find(|pid| text(pid).contains("execve(\"/usr/bin/pasta\""));
    let mut beside: Vec<u32> = pasta.into_iter().collect();
    let mut at = 0;
    while at < beside.len() {
        let made = text(&beside[at]);
        let made =
            made.lines().filter(|line| line.starts_with("clone")).filter_map(|line| line.rsplit_once(" = "));
        beside.extend(made.filter_map(|(_, pid)| pid.parse::<u32>().ok()));
        at += 1;
    }
    processes.retain(|pid| !beside.contains(pid));
    // Supervisor, makers of user namespaces, PID 1, program: in the order in which they were made. The first is the one that begins by
    // becoming stockade; the numbers of the others go up from its own, and may begin anew in between, see pid_max in proc_sys_kernel(5).
    let supervisor = processes.iter().copied().find(|pid| text(pid).starts_with("execve(")).unwrap();
    processes.sort_unstable_by_key(|pid| (*pid < supervisor, *pid));
    let mut traces =
        processes.iter().map(|pid| fs::read_to_string(traces.join(format!("trace.{pid}"))).unwrap());
    let mut calls = Vec::new();
    let supervisor = traces.next().unwrap();
    for call in supervisor.lines().map(call).skip_while(|call| !same(begin, call)) {
        calls.push(call.clone());
        if call.starts_with("clone(") && call.contains("CLONE_PIDFD") {
            break;
        }
        if call.starts_with("clone(") {
            calls.extend(until(&traces.next().unwrap(), "exit_group("));
        }
    }
    let first = traces.next().unwrap();
    if first.lines().any(|line| line.starts_with("clone(")) {
        calls.extend(until(&first, "clone("));
        calls.extend(until_filter(&first));
        calls.extend(until(&traces.next().unwrap(), "execve("));
    } else {
        calls.extend(until(&first, "execve("));
    }
    calls.retain(|call| !call.starts_with(ASIDE));
    calls
}

/// What PID 1 does once it has made the program's process, up to and with its own filter; nothing if it has none.
fn until_filter(lines: &str) -> Vec<String> {
    let after: Vec<&str> = lines.lines().skip_while(|line| !line.starts_with("clone(")).skip(1).collect();
    let end = after.iter().position(|line| line.starts_with("seccomp(")).map_or(0, |at| at + 1);
    after[..end].iter().copied().map(call).collect()
}

/// The calls up to and with the first one that begins like this.
fn until(lines: &str, last: &str) -> Vec<String> {
    let before = lines.lines().take_while(|line| !line.starts_with(last));
    before.chain(lines.lines().find(|line| line.starts_with(last))).map(call).collect()
}

/// A line without its result: `close(3)` of `close(3)   = 0`.
fn call(line: &str) -> String {
    line.rsplit_once(" = ").map_or(line, |(call, _)| call).trim_end().to_owned()
}

/// Whether a call that was seen is the one that was planned: `<mount>` in the plan stands for a number, an address or a comment.
fn same(planned: &str, seen: &str) -> bool {
    let Some(at) = placeholder(planned) else { return planned == seen };
    let Some(rest) = seen.strip_prefix(&planned[..at.start]) else { return false };
    let closing = |bracket: char| rest[1..].find(bracket).map_or(rest.len(), |end| end + 2);
    let varying = match rest.chars().next() {
        Some('{') => closing('}'),
        Some('"') => closing('"'),
        _ => rest.find([' ', '"', ',', ')', ']', '}']).unwrap_or(rest.len()),
    };
    same(&planned[at.end..], &rest[varying..])
}

/// A call of Landlock as a strace(1) prints it that knows the first version of the interface only, as Debian 12's does: the rights
/// that came later by number, and nothing of what came later than rights.
fn in_older_words(planned: &str) -> String {
    const LATER: [(&str, u64); 2] =
        [("LANDLOCK_ACCESS_FS_TRUNCATE", 0x4000), ("LANDLOCK_ACCESS_FS_IOCTL_DEV", 0x8000)];
    let mut text = match planned.split_once(", handled_access_net=") {
        Some((rights, _)) => format!("{rights}, ...}}, 24, 0)"),
        None => planned.to_owned(),
    };
    let mut bits = 0;
    for (name, bit) in LATER {
        if let Some(at) = text.find(name) {
            text.replace_range(at..at + name.len(), "LATER");
            bits |= bit;
        }
    }
    text.replace("LATER|LATER", "LATER").replace("LATER", &format!("{bits:#x}"))
}

/// Where the first `<word>` stands.
fn placeholder(text: &str) -> Option<std::ops::Range<usize>> {
    text.match_indices('<').find_map(|(start, _)| {
        let length = text[start + 1..].find(|c: char| !c.is_ascii_lowercase() && c != ' ')?;
        let end = start + 1 + length;
        (length > 0 && text[end..].starts_with('>')).then_some(start..end + 1)
    })
}

/// The caller's standard input and error.
#[derive(Clone, Copy, PartialEq)]
enum Standard {
    /// The null device and a pipe.
    Plain,
    /// Files.
    Files,
    /// Pipes of the caller's own.
    Pipes,
}

/// Builds a jail, if there is something to build, plans it and runs it under strace; compares.
fn compare(dir: &Dir, jail: &str, arguments: &[&str], standard: Standard) {
    let give = |command: &mut std::process::Command| {
        if standard == Standard::Files {
            let log = fs::File::options().create(true).append(true).open(dir.join("log")).unwrap();
            command.stdin(fs::File::open(dir.join("input")).unwrap()).stderr(log);
        } else if standard == Standard::Pipes {
            command.stdin(std::io::pipe().unwrap().0);
        } else {
            command.stdin(std::process::Stdio::null());
        }
    };
    let with = |verb: &str| {
        let verb = verb.split(' ').chain([jail, "--"]).chain(arguments.iter().copied());
        let mut command = dir.stockade(verb);
        give(&mut command.inner);
        command
    };
    let has = |line: &str| fs::read_to_string(dir.join(jail)).unwrap().contains(line);
    if !has("tree = \"memory\"") && !has("tree = \"host\"") {
        let built = dir.stockade(["build", jail]).output();
        assert_eq!(built.code, Some(0), "{}", built.stderr);
    }
    let planned_output = with("plan --json").output();
    let plan: Value = serde_json::from_str(&planned_output.stdout).unwrap();
    // The plan names the current generation, a run the one that is current now.
    let planned: Vec<String> =
        planned(&plan).iter().map(|call| call.replace("/current/tree", "/generations/1/tree")).collect();
    let least = if has("tree = \"host\"") { 60 } else { 150 };
    assert!(planned.len() > least, "only {} calls are planned", planned.len());

    let traces = dir.join(format!("traces{}", jail.replace('/', "-")));
    fs::create_dir(&traces).unwrap();

    let mut inner = std::process::Command::new("strace");
    if has("network = \"pasta\"") {
        inner = std::process::Command::new("unshare");
        inner.args(["--mount", "--net", "bash", "-c"]);
        inner.args([&format!("{}exec \"$@\"", include_str!("common/outside")), "outside", "strace"]);
    }
    inner.args(["-ff", "-s", "9999", "-o"]).arg(traces.join("trace"));
    let run = with("run");
    inner.arg(run.inner.get_program()).args(run.inner.get_args()).current_dir(dir.path());
    for (name, value) in run.inner.get_envs() {
        inner.env(name, value.unwrap_or_default());
    }
    give(&mut inner);
    let status = inner.output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let seen = traced(&traces, &planned[0]);

    for (at, (planned, seen)) in planned.iter().zip(&seen).enumerate() {
        let is_same =
            same(planned, seen) || (planned.starts_with("landlock_") && same(&in_older_words(planned), seen));
        assert!(is_same, "call {at} of jail {jail}\n   plan: {planned}\n  trace: {seen}");
    }
    assert_eq!(planned.len(), seen.len(), "the longer has: {:?}", longer(&planned, &seen));
}

/// What one list has more than the other.
fn longer<'a>(one: &'a [String], other: &'a [String]) -> &'a [String] {
    if one.len() > other.len() { &one[other.len()..] } else { &other[one.len()..] }
}

#[test]
fn a_run_of_the_shell_does_what_its_plan_says() {
    if !needs(Need::Program("strace")) || !needs(Need::Root) {
        return;
    }
    let dir = Dir::new("trace-shell");
    dir.write("shell.toml", fs::read_to_string(common::jail("shell.toml")).unwrap());
    compare(&dir, "./shell.toml", &["-c", "true"], Standard::Plain);
}

#[test]
fn a_run_of_nginx_does_what_its_plan_says() {
    if !needs(Need::Program("strace")) || !needs(Need::Root) || !needs(Need::Program("nginx")) {
        return;
    }
    let dir = Dir::new("trace-nginx");
    dir.write("nginx.toml", fs::read_to_string(common::jail("nginx.toml")).unwrap());
    // Tests its configuration and ends.
    compare(&dir, "./nginx.toml", &["-t"], Standard::Plain);
}

#[test]
fn a_run_from_memory_does_what_its_plan_says() {
    if !needs(Need::Program("strace")) || !needs(Need::Root) {
        return;
    }
    let dir = Dir::new("trace-memory");
    fs::create_dir(dir.join("place")).unwrap();
    common::compile_static(&dir.join("place/program"), "int main(void) { return 0; }");
    let place = dir.join("place").display().to_string();
    for network in ["none", "pasta"] {
        if network == "pasta" && !(needs(Need::Program("pasta")) && needs(Need::Program("ip"))) {
            return;
        }
        dir.write(
            format!("{network}.toml"),
            format!(
                r#"
            [program]
            command = ["/srv/program"]
            [namespaces]
            first_id = 200000
            network = "{network}"
            [tree]
            links = [{{ path = "/bin", target = "usr/bin" }}]
            directories = [{{ path = "/work", mode = "1777" }}]
            text = [{{ path = "/etc/hosts", content = "127.0.0.1 localhost\n" }}]
            [root]
            tree = "memory"
            [[mounts]]
            source = "{place}"
            target = "/srv"
            [[mounts]]
            type = "tmpfs"
            target = "/home"
            read_only = true
            [[mounts]]
            source = "{place}/program"
            target = "/home/eve/program"
            "#
            ),
        );
        compare(&dir, &format!("./{network}.toml"), &[], Standard::Plain);
    }
}

#[test]
fn a_run_in_the_hosts_tree_does_what_its_plan_says() {
    if !needs(Need::Program("strace")) || !needs(Need::Root) {
        return;
    }
    let dir = Dir::new("trace-host");
    fs::create_dir(dir.join("place")).unwrap();
    common::compile_static(&dir.join("place/program"), "int main(void) { return 0; }");
    let place = dir.join("place").display().to_string();
    dir.write("input", "given\n");
    dir.write(
        "host.toml",
        format!(
            r#"
            [program]
            command = ["{place}/program"]
            user = "daemon"
            [root]
            tree = "host"
            [[mounts]]
            source = "{place}"
            target = "{place}"
            [[mounts]]
            source = "{place}/program"
            target = "{place}/program"
            "#
        ),
    );
    compare(&dir, "./host.toml", &[], Standard::Files);
}

#[test]
fn every_kind_of_step_does_what_its_plan_says() {
    if !needs(Need::Program("strace")) || !needs(Need::Root) {
        return;
    }
    let dir = Dir::new("trace-all");
    common::compile_static(&dir.join("program"), "int main(void) { return 0; }");
    let program = dir.join("program").display().to_string();
    fs::create_dir(dir.join("shared")).unwrap();
    let host = stockade::sys::host::Host::current(Path::new("/"));
    let has_groups = ["memory", "pids"].iter().all(|name| control_groups::available(&host, name).is_ok());
    let groups = if has_groups { "memory = \"64M\"\ntasks = 50" } else { "" };
    let shared = dir.join("shared").display().to_string();
    let overlay = format!(
        "[[mounts]]\ntype = \"overlay\"\nsource = \"{shared}\"\ntarget = \"/overlay\"\nsize = \"1M\""
    );
    let overlay = if needs(Need::Overlays) { overlay } else { String::new() };
    dir.write("input", "given\n");
    for (name, method, init, user, standard, namespaces) in [
        ("pivot", "pivot", true, "daemon", Standard::Plain, ""),
        ("chroot", "chroot", true, "root", Standard::Plain, ""),
        ("alone", "pivot", false, "daemon", Standard::Plain, ""),
        ("files", "pivot", true, "daemon", Standard::Files, ""),
        ("host-ids", "pivot", true, "daemon", Standard::Plain, "user = false"),
        ("pipes", "pivot", true, "root", Standard::Pipes, "user = false"),
        ("host-net", "pivot", true, "root", Standard::Plain, "user = true\nnetwork = \"host\""),
    ] {
        dir.write(
            format!("{name}.toml"),
            format!(
                r#"
                [program]
                command = ["/program"]
                user = "{user}"
                supplementary_groups = ["tty", "daemon"]
                init = {init}
                nice = 5
                oom_score_adjust = 100
                cpu_affinity = [0]
                personality = ["no-randomize", "uname26"]
                umask = "027"
                working_directory = "/tmp"
                type = "notify"
                [tree]
                files = [{{ path = "{program}", target = "/program" }}]
                devices = ["null", "pts", "shm", "log"]
                [[mounts]]
                type = "tmpfs"
                target = "/tmp"
                size = "1M"
                inodes = 100
                [[mounts]]
                source = "{shared}"
                target = "/shared"
                [[mounts]]
                source = "{shared}"
                target = "/writable"
                read_only = false
                {overlay}
                [[mounts]]
                source = "/sys"
                target = "/host-sys"
                [[mounts]]
                source = "/"
                target = "/host"
                sockets = true
                [[mounts]]
                type = "mqueue"
                target = "/mqueue"
                [root]
                method = "{method}"
                sys = "masked"
                [namespaces]
                hostname = "traced"
                {namespaces}
                [limits]
                open_files = "64:128"
                core_size = 0
                message_queues = 100000
                {groups}
                [privileges]
                capabilities = ["NET_BIND_SERVICE", "CHOWN"]
                "#
            ),
        );
        compare(&dir, &format!("./{name}.toml"), &[], standard);
    }
}
