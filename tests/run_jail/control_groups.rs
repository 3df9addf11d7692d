//! Limits that a control group holds: each is exceeded by a program, and what is told of it is compared whole. As root, in
//! whatever hierarchies this host has; an ordinary user is told what is missing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::common::{Need, needs};
use crate::support::{Jail, finish, is_root, own_name, until};

/// Whether this user can have groups here.
fn has_groups() -> bool {
    needs(Need::Root) && needs(Need::ControlGroups)
}

/// The groups of a jail that are there.
fn groups(name: &str) -> BTreeSet<PathBuf> {
    let all = walkdir::WalkDir::new("/sys/fs/cgroup").into_iter().filter_map(Result::ok);
    let prefix = format!("stockade-{name}");
    all.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(walkdir::DirEntry::into_path)
        .collect()
}

/// Runs a jail with a report: how it ended, and what the report says of limits.
fn reported(jail: &Jail, arguments: &[&str]) -> (crate::support::Ended, Value) {
    let report = jail.path("report.json");
    let mut command = jail.stockade("run");
    command.arg("--report").arg(&report).arg("--").args(arguments);
    let ended = finish(&mut command);
    let report: Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    (ended, report["limits"].clone())
}

/// What is told on stderr, once the tree is built, with the manifest's path left out.
fn told(jail: &Jail, stderr: &str) -> String {
    let lines = stderr.lines().filter(|line| !line.starts_with("built jail"));
    let text = lines.fold(String::new(), |text, line| text + line + "\n");
    text.replace(jail.manifest().to_str().unwrap(), "MANIFEST")
}

/// A shell that keeps on doubling a variable.
const HOG: &str = "x=0123456789abcdef; while :; do x=$x$x; done";

#[test]
fn memory_past_the_limit_kills_and_is_told() {
    if !has_groups() {
        return;
    }
    let name = own_name("memory");
    let jail = Jail::shell(name, "limits.memory = \"16M\"");
    let (ended, limits) = reported(&jail, &[&format!("exec busybox sh -c '{HOG}'")]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(128 + 9), ""), "{}", ended.stderr);
    assert_eq!(limits, json!([{ "limit": "memory", "amount": "16M", "effect": "killed", "times": 1 }]));
    let expected = format!(
        "\
error: a process of jail `{name}` was killed for lack of memory
  --> MANIFEST:9:17
    9 | limits.memory = \"16M\"
      |                 ^^^^^
  why: the limit `memory` of 16M was reached
hint: a higher `memory` under `[limits]` lets it have more
"
    );
    assert_eq!(told(&jail, &ended.stderr), expected);
    assert_eq!(groups(name), BTreeSet::new());
    // A program that survives the death of a child is only warned.
    let (ended, _) = reported(&jail, &[&format!("busybox sh -c '{HOG}'; echo $?; exit 0")]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "137\n"));
    // The shell's own word about it comes first.
    let warning = format!("warning: a process of jail `{name}` was killed");
    assert!(ended.stderr.contains(&warning), "{}", ended.stderr);
}

#[test]
fn tasks_past_the_limit_are_refused_and_told() {
    if !has_groups() {
        return;
    }
    let name = own_name("tasks");
    let jail = Jail::shell(name, "limits.tasks = 10");
    // PID 1 and the shell are tasks too.
    let script = "i=0; while [ $i -lt 20 ]; do sleep 60 2>/dev/null & i=$((i+1)); echo $i; done; exit 3";
    let (ended, limits) = reported(&jail, &[script]);
    assert_eq!(ended.stdout.lines().last(), Some("8"), "{ended:?}");
    assert_eq!(limits, json!([{ "limit": "tasks", "amount": "10", "effect": "refused", "times": 1 }]));
    let expected = format!(
        "\
warning: jail `{name}` was refused one more process
  --> MANIFEST:9:16
    9 | limits.tasks = 10
      |                ^^
  why: the limit `tasks` of 10 was reached
hint: a higher `tasks` under `[limits]` lets it have more
"
    );
    let told = told(&jail, &ended.stderr);
    // The shell's own words about it come first.
    let told = &told[told.find("warning").unwrap_or(0)..];
    assert_eq!(told, expected);
    assert_eq!(groups(name), BTreeSet::new());
}

#[test]
fn time_past_the_limit_is_waited_for_and_told() {
    if !has_groups() {
        return;
    }
    let name = own_name("cpu");
    // On a busy machine it takes a while until the program has used its share of a period up.
    let jail = Jail::shell(name, "limits.cpu = \"10%\"\nlimits.runtime_max = \"3s\"");
    let (ended, limits) = reported(&jail, &["while :; do :; done"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(124), ""), "{}", ended.stderr);
    let times = limits[0]["times"].as_u64().unwrap();
    assert_eq!(limits, json!([{ "limit": "cpu", "amount": "10%", "effect": "delayed", "times": times }]));
    let times = if times == 1 { "once".to_owned() } else { format!("{times} times") };
    let expected = format!(
        "\
warning: jail `{name}` was held back {times} by its limit `cpu` of 10%
  --> MANIFEST:9:14
    9 | limits.cpu = \"10%\"
      |              ^^^^^
hint: a higher `cpu` under `[limits]` lets it have more
"
    );
    assert_eq!(told(&jail, &ended.stderr), expected);
    assert_eq!(groups(name), BTreeSet::new());
}

#[test]
fn a_fork_bomb_of_the_hosts_root_stays_inside() {
    if !has_groups() {
        return;
    }
    // Nobody named a limit, and none of setrlimit(2) holds this user.
    let name = own_name("bomb");
    let jail = Jail::probe(name, "program.user = \"root\"\nnamespaces.network = \"host\"");
    let (ended, limits) = reported(&jail, &["forks", "3000"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "1022\n"), "{}", ended.stderr);
    assert_eq!(limits[0]["limit"], "tasks");
    assert_eq!(limits[0]["amount"], "1024");
    assert_eq!(groups(name), BTreeSet::new());
}

#[test]
fn a_jail_sees_its_own_group_as_the_top() {
    if !has_groups() {
        return;
    }
    let jail = Jail::shell("view", "limits.memory = \"64M\"\nlimits.tasks = 20");
    let ended = jail.run(&["cat /proc/self/cgroup; ls /sys/fs/cgroup 2>/dev/null; exit 0"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for line in ended.stdout.lines() {
        // In hierarchies where the jail has no group it is the caller's that is the top.
        assert!(line.ends_with(":/"), "{line}");
    }
    assert!(!ended.stdout.contains("stockade"), "{}", ended.stdout);
    // Shared with the host it tells where on the host it is.
    let name = own_name("seen");
    let jail = Jail::shell(name, "limits.tasks = 20\nnamespaces.cgroup = \"host\"");
    let ended = jail.run(&["cat /proc/self/cgroup"]);
    let end = format!("/stockade-{name}");
    assert!(ended.lines().iter().any(|line| line.ends_with(&end)), "{}", ended.stdout);
}

#[test]
fn two_at_once_have_a_group_each() {
    if !has_groups() {
        return;
    }
    let name = own_name("pair");
    let (one, other) = (format!("stockade-{name}"), format!("stockade-{name}-2"));
    let jail = Jail::shell(name, "limits.tasks = 20");
    jail.run(&["true"]);
    let mut running: Vec<_> = (0..2)
        .map(|_| jail.command(&["echo; sleep 60"]).stdout(std::process::Stdio::piped()).spawn().unwrap())
        .collect();
    let all = until("the groups of both", || {
        let found = groups(name);
        let tops = [&one, &other].map(|name| {
            found.iter().any(|path| {
                path.ends_with(name)
                    && !fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default().is_empty()
            })
        });
        (tops == [true, true]).then_some(found)
    });
    assert_eq!(all.iter().filter(|path| path.ends_with(&one)).count() * 2, all.len(), "{all:?}");
    for child in &mut running {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // Nobody could take them away; the next start does.
    until("the end of both", || {
        let busy =
            |path: &PathBuf| !fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default().is_empty();
        (!groups(name).iter().any(busy)).then_some(())
    });
    // A group is busy for a moment after the end of its last process.
    until("the next start", || {
        jail.expect(&["true"], 0, "");
        groups(name).is_empty().then_some(())
    });
}

#[test]
fn a_group_that_stays_busy_is_told_of_and_swept_later() {
    if !has_groups() {
        return;
    }
    let name = own_name("busy");
    let jail = Jail::shell(name, "limits.tasks = 20");
    let mut running = jail.command(&["read line; exit 5"]);
    let mut running =
        running.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let group = until("the group", || {
        groups(name).into_iter().find(|path| {
            path.join("pids.max").exists()
                && !fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default().is_empty()
        })
    });
    // A process of the host's own, that no end of a jail ends.
    let mut other = Command::new("sleep").arg("60").spawn().unwrap();
    fs::write(group.join("cgroup.procs"), other.id().to_string()).unwrap();
    drop(running.stdin.take());
    let ended = running.wait_with_output().unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(5), "{stderr}");
    let expected = format!(
        "\
warning: the control group `{}` could not be removed
  why: rmdir(2): Device or resource busy (EBUSY)
hint: some process is still in it; the next start of a jail removes it when it is empty
",
        group.display()
    );
    assert_eq!(told(&jail, &stderr), expected);
    other.kill().unwrap();
    other.wait().unwrap();
    until("the next start", || {
        jail.expect(&["true"], 0, "");
        groups(name).is_empty().then_some(())
    });
}

#[test]
fn a_hierarchy_that_cannot_be_written_is_named() {
    if !has_groups() {
        return;
    }
    let jail = Jail::shell("read-only", "limits.tasks = 20");
    jail.run(&["true"]);
    let run = jail.command(&["true"]);
    let words = std::iter::once(run.get_program()).chain(run.get_args());
    let mut command = Command::new("unshare");
    let script = "for each in $(sed -n 's/^[^ ]* [^ ]* [^ ]* [^ ]* \\(\\/sys\\/fs\\/cgroup[^ ]*\\) .*/\\1/p' /proc/self/mountinfo); do \
                  mount -o remount,bind,ro $each; done; exec \"$@\"";
    command.args(["--mount", "sh", "-c", script, "sh"]).args(words);
    for (name, value) in run.get_envs() {
        command.env(name, value.unwrap());
    }
    let ended = finish(&mut command);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(125), ""));
    let first: Vec<&str> = ended.stderr.lines().take(1).collect();
    assert_eq!(first, ["error: this host cannot enforce the layer `limits`"], "{}", ended.stderr);
    assert!(ended.stderr.contains("(Read-only file system): mount it writable"), "{}", ended.stderr);
}

#[test]
fn who_may_make_no_group_is_told_the_cure() {
    if is_root() {
        return;
    }
    let host = stockade::sys::host::Host::current(Path::new("/"));
    let missing = stockade::manifest::resolve::control_groups::available(&host, "pids");
    let jail = Jail::shell("refused", "limits.tasks = 20");
    match missing {
        Ok(_) => jail.expect(&["true"], 0, ""),
        Err(missing) => {
            let ended = jail.run(&["true"]);
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(125), ""));
            assert!(ended.stderr.contains(&format!("  why: {missing}\n")), "{}", ended.stderr);
        }
    }
    // Who says so goes on without.
    let jail = Jail::shell("without", "limits.tasks = 20\nprivileges.best_effort = [\"limits\"]");
    jail.expect(&["true"], 0, "");
}

/// Whether version 1 has this controller here, which a test by the host's own files needs.
fn has_first_version(controller: &str) -> bool {
    let found = stockade::sys::cgroup::hierarchies(Path::new("/"));
    let has = found.iter().any(|hierarchy| hierarchy.has(controller));
    if !has {
        eprintln!("SKIP: needs cgroup v1 with `{controller}`");
    }
    has
}

#[test]
fn a_jail_runs_on_the_processors_it_is_allowed() {
    if !has_groups() || !has_first_version("cpuset") {
        return;
    }
    let jail = Jail::shell("cpuset", "limits.allowed_cpus = [0]");
    let ended = finish(jail.stockade("run").args(["--", "busybox grep Cpus_allowed_list /proc/self/status"]));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "Cpus_allowed_list:\t0\n"), "{}", ended.stderr);
    let jail = Jail::shell("cpuset-none", "limits.allowed_cpus = [0, 8191]");
    let ended = finish(jail.stockade("run").args(["--", "true"]));
    assert_eq!(ended.code, Some(125));
    assert!(ended.stderr.contains("has no processor 8191, but "), "{}", ended.stderr);
    assert!(ended.stderr.contains(": name some of those"), "{}", ended.stderr);
}

#[test]
fn what_goes_to_a_disk_is_held_to_its_rate() {
    if !has_groups() || !has_first_version("blkio") {
        return;
    }
    let Some(disk) = disk() else { return eprintln!("SKIP: needs a block device") };
    let entry = format!("{{ device = \"{disk}\", read_bandwidth = \"1M\", write_iops = 77 }}");
    let name = own_name("io-max");
    let jail = Jail::shell(name, &format!("limits.io_max = [{entry}]"));
    jail.build();
    let mut running = jail.stockade("run").args(["--", "busybox sleep 1000"]).spawn().unwrap();
    let read = |file: &str| {
        let found = groups(name).into_iter().map(|group| group.join(file)).find(|file| file.exists());
        found.map(|file| fs::read_to_string(file).unwrap()).unwrap_or_default()
    };
    until("the rates are written", || (!read("blkio.throttle.write_iops_device").is_empty()).then_some(()));
    let number = |text: String| text.trim().split_once(' ').map(|(_, rate)| rate.to_owned());
    assert_eq!(number(read("blkio.throttle.read_bps_device")).as_deref(), Some("1048576"));
    assert_eq!(number(read("blkio.throttle.write_iops_device")).as_deref(), Some("77"));
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(running.id() as i32),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    running.wait().unwrap();
    assert_eq!(groups(name), BTreeSet::new());
    let jail = Jail::shell("io-none", "limits.io_max = [{ device = \"/proc\", read_iops = 1 }]");
    let ended = finish(jail.stockade("run").args(["--", "true"]));
    assert_eq!(ended.code, Some(125));
    assert!(ended.stderr.contains("`/proc` is on no disk: name the block device itself"), "{}", ended.stderr);
}

/// A whole disk of this host, if it has one.
fn disk() -> Option<String> {
    let names = fs::read_dir("/sys/block").ok()?.flatten().map(|entry| entry.file_name());
    let is_disk = |name: &std::ffi::OsString| !name.to_string_lossy().starts_with(['l', 'r', 'z']);
    names.filter(is_disk).map(|name| format!("/dev/{}", name.display())).find(|path| Path::new(path).exists())
}

#[test]
fn no_other_device_can_be_opened_wherever_it_is() {
    if !has_groups() || !has_first_version("devices") || !Path::new("/dev/fuse").exists() {
        return;
    }
    let shown =
        "[[mounts]]\nsource = \"/dev/fuse\"\ntarget = \"/dev/fuse\"\nread_only = false\ndevices = true";
    for (policy, expected) in [("closed", "no\n"), ("auto", "yes\n")] {
        let jail = Jail::shell(
            "devices",
            &format!(
                "limits.device_policy = \"{policy}\"\nprogram.user = \"root\"\nnamespaces.user = false\n{shown}"
            ),
        );
        let script = "(exec 3<>/dev/null) && { (exec 3<>/dev/fuse) 2>/dev/null && echo yes || echo no; }";
        let ended = finish(jail.stockade("run").args(["--", script]));
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), expected), "{policy}: {}", ended.stderr);
    }
}
