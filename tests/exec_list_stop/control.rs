//! What is done to running jails by their control groups: limits changed, all processes stopped and let go on.

use crate::common::{Need, needs};
use crate::support::{Jail, Running, finish, own_name, status_of, until};
use crate::{expect, stockade, told};

/// Whether this user can have groups here.
fn has_groups() -> bool {
    needs(Need::Root) && needs(Need::ControlGroups)
}

/// The state that `list` tells.
fn state(jail: &Jail) -> String {
    let list = told(jail, &["list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list.stdout).unwrap();
    list["jails"][0]["state"].as_str().or(list[0]["state"].as_str()).unwrap_or_default().to_owned()
}

#[test]
fn limits_are_changed_while_it_runs() {
    if !has_groups() {
        return;
    }
    let name = own_name("changed");
    let jail = Jail::shell(name, "limits.tasks = 4\nlimits.memory = \"32M\"");
    // Each line is an order: how many children there may be beside it.
    let script = "echo ready; while read line; do \
                  n=0; while [ $n -lt 9 ] && (sleep 0.3 &) 2>/dev/null; do n=$((n+1)); done; wait; echo $n; done";
    let mut command = jail.build().command(&[script]);
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(next(), "ready");
    let group = |file: &str| {
        let all = walkdir::WalkDir::new("/sys/fs/cgroup").into_iter().filter_map(Result::ok);
        let mut files = all.filter(|entry| entry.path().ends_with(format!("stockade-{name}/{file}")));
        files.next().map(|entry| std::fs::read_to_string(entry.path()).unwrap().trim().to_owned())
    };
    assert_eq!(group("pids.max").as_deref(), Some("4"));
    expect(&jail, &["limit", name, "tasks=40", "memory=64M"], 0, "", "");
    assert_eq!(group("pids.max").as_deref(), Some("40"));
    let memory = |bytes: u64| {
        let expected = bytes.to_string();
        [group("memory.limit_in_bytes"), group("memory.max")]
            .into_iter()
            .flatten()
            .all(|text| text == expected)
    };
    assert!(memory(64 << 20));
    // Version 1 has swap counted together with memory, and takes them in one order only.
    expect(&jail, &["limit", name, "memory=16M"], 0, "", "");
    assert!(memory(16 << 20));
    if let Some(both) = group("memory.memsw.limit_in_bytes") {
        assert_eq!(both, (16 << 20).to_string());
        expect(&jail, &["limit", name, "swap=1M", "memory=24M"], 0, "", "");
        assert_eq!(group("memory.memsw.limit_in_bytes"), Some((25 << 20).to_string()));
        expect(&jail, &["limit", name, "memory=unlimited"], 0, "", "");
        expect(&jail, &["limit", name, "memory=32M"], 0, "", "");
    }
    // No group of it holds that.
    let absent = format!(
        "\
error: cannot change the limits of jail `{name}`
  why: it has no control group that holds `io_weight`
hint: write `io_weight` under `[limits]` and start it again: a jail gets the groups that its limits need
"
    );
    if group("memory.max").is_none() {
        expect(&jail, &["limit", name, "io_weight=50"], 1, "", &absent);
    }
    // Of memory, less than is in use.
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"go\n").unwrap();
    assert_eq!(next(), "9");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

/// Those of them that are no single number.
#[test]
fn processors_rates_and_devices_are_changed_while_it_runs() {
    let found = ::stockade::sys::cgroup::hierarchies(std::path::Path::new("/"));
    let first = |controller: &str| found.iter().find(|hierarchy| hierarchy.has(controller));
    let (Some(cpuset), Some(blkio), Some(devices)) = (first("cpuset"), first("blkio"), first("devices"))
    else {
        return eprintln!("SKIP: needs cgroup v1 with `cpuset`, `blkio` and `devices`");
    };
    let Some(disk) = disk().filter(|_| has_groups()) else {
        return eprintln!("SKIP: needs a block device");
    };
    let name = own_name("rates");
    let jail = Jail::shell(
        name,
        &format!(
            "limits.allowed_cpus = [0]\nlimits.device_policy = \"closed\"\n\
             limits.io_max = [{{ device = \"{disk}\", read_bandwidth = \"1M\" }}]"
        ),
    );
    let mut running = jail.start(&["echo ready; exec busybox sleep 1000"]);
    running.expect("ready");
    let read = |group: &::stockade::sys::cgroup::Hierarchy, file: &str| {
        let path = group.directory.join(format!("stockade-{name}")).join(file);
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    };
    let rates = || {
        ["read_bps", "write_bps", "read_iops", "write_iops"].map(|rate| {
            let text = read(blkio, &format!("blkio.throttle.{rate}_device"));
            text.split_once(' ').map(|(_, rate)| rate.parse::<u64>().unwrap())
        })
    };
    let allowed = |processors: &str| {
        let (cpus, status) = (read(cpuset, "cpuset.cpus"), stockade(&jail, &["exec", name, "--"]));
        let mut status = status;
        let status = finish(status.args(["/bin/busybox", "grep", "Cpus_allowed_list", "/proc/self/status"]));
        (cpus, status.stdout) == (processors.to_owned(), format!("Cpus_allowed_list:\t{processors}\n"))
    };
    assert!(allowed("0"));
    assert_eq!(rates(), [Some(1 << 20), None, None, None]);

    // What the new list does not name is limited no more.
    let all = std::fs::read_to_string(cpuset.directory.join("cpuset.cpus")).unwrap().trim().to_owned();
    let io = format!("io_max=[{{ device = \"{disk}\", write_iops = 77 }}]");
    expect(
        &jail,
        &["limit", name, &format!("allowed_cpus={all}"), &io, "limits.device_policy=auto"],
        0,
        "",
        "",
    );
    assert!(allowed(&all));
    assert_eq!(rates(), [None, None, None, Some(77)]);
    assert_eq!(read(devices, "devices.list"), "a *:* rwm");
    expect(&jail, &["limit", name, "io_max=[]", "device_policy=closed"], 0, "", "");
    assert_eq!(rates(), [None; 4]);
    assert!(!read(devices, "devices.list").contains("*:* rwm"));

    // A list is read as the manifest's, and nothing is changed by one that is wrong.
    let wrong = "error: `x` is not a list of processors\n  --> --set limits.allowed_cpus=x\n\
                 hint: write numbers up to 8191 and ranges, such as `\"0-3,8\"`\n";
    expect(&jail, &["limit", name, "allowed_cpus=x", "device_policy=auto"], 2, "", wrong);
    let none = format!(
        "error: cannot change the limits of jail `{name}`\n  why: the group `{}` has no processor 8191, but {all}\n\
         hint: name some of those\n",
        cpuset.directory.display()
    );
    expect(&jail, &["limit", name, "allowed_cpus=8191"], 1, "", &none);
    assert!(allowed(&all) && !read(devices, "devices.list").contains("*:* rwm"));
    expect(&jail, &["stop", name], 0, "", &format!("stopped jail `{name}`\n"));
    running.wait();
}

/// A whole disk of this host, if it has one.
fn disk() -> Option<String> {
    let names = std::fs::read_dir("/sys/block").ok()?.flatten().map(|entry| entry.file_name());
    let is_disk = |name: &std::ffi::OsString| !name.to_string_lossy().starts_with(['l', 'r', 'z']);
    names
        .filter(is_disk)
        .map(|name| format!("/dev/{}", name.display()))
        .find(|path| std::path::Path::new(path).exists())
}

#[test]
fn a_limit_that_is_none_is_told() {
    let jail = Jail::shell("none", "");
    let usage = |words: &[&str], stderr: &str| expect(&jail, words, 2, "", stderr);
    usage(&["limit", "none"], "error: no limit is given\nhint: write `stockade limit JAIL memory=64M`\n");
    usage(
        &["limit", "none", "memory"],
        "error: `memory` is no limit\nhint: write KEY=VALUE, such as `memory=64M`\n",
    );
    usage(
        &["limit", "none", "memroy=1M"],
        "error: `memroy` is no limit of a control group\nhint: did you mean `memory`?\n",
    );
    usage(
        &["limit", "none", "cpu=half"],
        "error: `half` is no share of processors\nhint: write `150%`, or `1.5` for one and a half\n",
    );
    let absent = "error: jail `none` does not run\nhint: no jail of this user runs: see `stockade list`\n";
    expect(&jail, &["limit", "none", "cpu=50%"], 1, "", absent);
    expect(&jail, &["freeze", "none"], 1, "", absent);
    usage(&["freeze"], "error: no jail is named\nhint: `stockade list` shows those that run\n");
    let mut running = jail.start(&["echo ready; exec sleep 1000"]);
    running.expect("ready");
    let unheld = "\
error: cannot freeze jail `none`
  why: it has no control group by which all its processes can be stopped
hint: write a limit such as `tasks` under `[limits]` and start it again
";
    expect(&jail, &["freeze", "none"], 1, "", unheld);
    expect(&jail, &["stop", "none"], 0, "", "stopped jail `none`\n");
    assert_eq!(running.wait(), 143);
}

#[test]
fn a_frozen_jail_does_nothing_until_it_is_thawed() {
    if !has_groups() {
        return;
    }
    let jail = Jail::shell("frozen", "limits.tasks = 20");
    let mut running = jail.start(&["echo ready; n=0; while :; do n=$((n+1)); done"]);
    running.expect("ready");
    let program = running.program();
    let time = || {
        let stat = std::fs::read_to_string(format!("/proc/{program}/stat")).unwrap();
        stat.rsplit(' ').nth(52 - 14).unwrap().to_owned()
    };
    expect(&jail, &["freeze", "frozen"], 0, "", "");
    assert_eq!(state(&jail), "frozen");
    let then = time();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(time(), then);
    expect(&jail, &["thaw", "frozen"], 0, "", "");
    assert_eq!(state(&jail), "running");
    until("it to go on", || (time() != then).then_some(()));
    // A frozen one is stopped in peace, as if it were not.
    expect(&jail, &["freeze", "frozen"], 0, "", "");
    expect(&jail, &["stop", "frozen"], 0, "", "stopped jail `frozen`\n");
    assert_eq!(running.wait(), 143);
}

#[test]
fn a_frozen_jail_can_be_killed_and_leaves_nothing() {
    if !has_groups() {
        return;
    }
    let jail = Jail::shell("ice", "limits.tasks = 20");
    let mut running = jail.start(&["trap '' TERM; echo ready; while :; do sleep 1; done"]);
    running.expect("ready");
    expect(&jail, &["freeze", "ice"], 0, "", "");
    expect(&jail, &["stop", "--timeout", "0", "ice"], 0, "", "killed jail `ice`\n");
    assert_eq!(running.wait(), 137);
    // Its time limit ends it too. On a busy machine it may have come before the jail is frozen: then there is to be more time.
    let frozen_and_ended = |seconds: u32| {
        let jail = Jail::shell("late", &format!("limits.tasks = 20\nlimits.runtime_max = \"{seconds}s\""));
        let mut running = jail.start(&["echo ready; exec sleep 1000"]);
        let is_frozen = running.line() == "ready" && told(&jail, &["freeze", "late"]).code == Some(0);
        let code = running.wait();
        is_frozen.then_some(code)
    };
    assert_eq!([1, 4, 16, 64].into_iter().find_map(frozen_and_ended), Some(124));
    // And without a supervisor the next command lets it go on, to its death.
    let name = own_name("orphan");
    let group = format!("stockade-{name}");
    let jail = Jail::shell(name, "limits.tasks = 20");
    let mut running = jail.start(&["echo ready; exec sleep 1000"]);
    running.expect("ready");
    let program = running.program();
    expect(&jail, &["freeze", name], 0, "", "");
    running.signal(nix::sys::signal::Signal::SIGKILL);
    running.wait();
    until("its end", || {
        finish(&mut stockade(&jail, &["list"]));
        status_of(program, "State").is_empty().then_some(())
    });
    until("the end of its groups", || {
        finish(&mut stockade(&jail, &["list"]));
        let all = walkdir::WalkDir::new("/sys/fs/cgroup").into_iter().filter_map(Result::ok);
        let mut ours = all.filter(|entry| entry.file_name() == group.as_str());
        ours.next().is_none().then_some(())
    });
}

#[test]
fn a_service_whose_group_is_called_like_a_jails_is_left_alone() {
    if !has_groups() {
        return;
    }
    // As systemd makes one for a unit that starts a jail without limits.
    let above = ["/sys/fs/cgroup/freezer", "/sys/fs/cgroup"].map(std::path::Path::new);
    let above = above.into_iter().find(|path| path.join("cgroup.procs").exists()).unwrap();
    let service = above.join(format!("stockade-serving-{}.service", std::process::id()));
    std::fs::create_dir(&service).unwrap();
    let jail = Jail::shell("serving", "");
    jail.build();
    let before = format!("echo $$ > {}/cgroup.procs", service.display());
    let mut running = Running::start(&mut jail.command_after(&before, &["echo ready; exec sleep 1000"]));
    running.expect("ready");
    let unheld = "\
error: cannot freeze jail `serving`
  why: it has no control group by which all its processes can be stopped
hint: write a limit such as `tasks` under `[limits]` and start it again
";
    let frozen = told(&jail, &["freeze", "serving"]);
    expect(&jail, &["stop", "serving"], 0, "", "stopped jail `serving`\n");
    assert_eq!(running.wait(), 143);
    until("the end of its group", || std::fs::remove_dir(&service).ok());
    assert_eq!((frozen.stdout.as_str(), frozen.stderr.as_str(), frozen.code), ("", unheld, Some(1)));
}
