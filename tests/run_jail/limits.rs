//! What a jail is limited to, and the circumstances it runs in: read back inside.

use std::fs;

use crate::support::{Jail, Running, finish, is_root, status_of, until};

/// Soft and hard bounds in /proc/self/limits by the name there.
fn limits(jail: &Jail) -> Vec<(String, String, String)> {
    let ended = jail.run(&["cat /proc/self/limits"]);
    ended
        .lines()
        .into_iter()
        .skip(1)
        .map(|line| {
            let words: Vec<_> = line[26..].split_whitespace().collect();
            (line[..26].trim().to_owned(), words[0].to_owned(), words[1].to_owned())
        })
        .collect()
}

/// Every key: name in /proc, soft and hard as written, and as the kernel has them.
const EVERY: [(&str, &str, &str, &str, &str, &str); 16] = [
    ("address_space", "Max address space", "512M", "1G", "536870912", "1073741824"),
    ("core_size", "Max core file size", "0", "1M", "0", "1048576"),
    ("cpu_time", "Max cpu time", "60s", "2m", "60", "120"),
    ("data_size", "Max data size", "128M", "256M", "134217728", "268435456"),
    ("file_size", "Max file size", "1M", "2M", "1048576", "2097152"),
    ("file_locks", "Max file locks", "10", "20", "10", "20"),
    ("locked_memory", "Max locked memory", "64K", "128K", "65536", "131072"),
    ("message_queues", "Max msgqueue size", "4K", "8K", "4096", "8192"),
    ("nice_ceiling", "Max nice priority", "0", "0", "0", "0"),
    ("open_files", "Max open files", "100", "200", "100", "200"),
    ("processes", "Max processes", "500", "600", "500", "600"),
    ("resident_size", "Max resident set", "64M", "128M", "67108864", "134217728"),
    ("realtime_priority", "Max realtime priority", "0", "0", "0", "0"),
    ("realtime_time", "Max realtime timeout", "1ms", "500ms", "1000", "500000"),
    ("pending_signals", "Max pending signals", "10", "20", "10", "20"),
    ("stack_size", "Max stack size", "1M", "2M", "1048576", "2097152"),
];

#[test]
fn every_limit_has_its_soft_and_its_hard_bound() {
    let manifest = |write: &dyn Fn(&str, &str) -> String| -> String {
        EVERY.map(|(key, _, soft, hard, ..)| format!("limits.{key} = {}\n", write(soft, hard))).concat()
    };
    let expected: Vec<_> = EVERY.iter().map(|(_, name, _, _, soft, hard)| (*name, *soft, *hard)).collect();
    for manifest in [
        manifest(&|soft, hard| format!("\"{soft}:{hard}\"")),
        manifest(&|soft, hard| format!("{{ soft = \"{soft}\", hard = \"{hard}\" }}")),
    ] {
        let found = limits(&Jail::shell("limits", &manifest));
        assert_eq!(found.len(), 16);
        for (name, soft, hard) in &expected {
            let found = found.iter().find(|(found, ..)| found == name).unwrap();
            assert_eq!((found.1.as_str(), found.2.as_str()), (*soft, *hard), "{name}");
        }
    }
}

#[test]
fn a_limit_with_one_bound_has_it_for_both_and_the_others_have_defaults() {
    let own = fs::read_to_string("/proc/self/limits").unwrap();
    let found = limits(&Jail::shell(
        "limits",
        "limits = { open_files = 99, core_size = \"unlimited\", file_size = \"4K\" }",
    ));
    for (name, soft, hard) in found {
        let line = own.lines().find(|line| line.starts_with(&name)).unwrap();
        let callers: Vec<_> = line[26..].split_whitespace().take(2).collect();
        // A caller who has less hands on less.
        let at_most = |default: u64, callers: &str| {
            callers.parse().map_or(default, |callers: u64| callers.min(default)).to_string()
        };
        let both = |default| [at_most(default, callers[1]), at_most(default, callers[1])];
        let expected = match name.as_str() {
            "Max open files" => ["99".to_owned(), "99".into()],
            "Max core file size" => ["unlimited".into(), "unlimited".into()],
            "Max file size" => ["4096".into(), "4096".into()],
            "Max processes" => both(1024),
            "Max locked memory" => both(8 << 20),
            "Max msgqueue size" => both(819_200),
            "Max pending signals" => both(4096),
            "Max nice priority" | "Max realtime priority" => both(0),
            "Max stack size" => [at_most(8 << 20, callers[0]), callers[1].into()],
            _ => [callers[0].into(), callers[1].into()],
        };
        assert_eq!([soft, hard], expected, "{name}");
    }
    let found = limits(&Jail::shell("limits", ""));
    let of = |name: &str| found.iter().find(|(found, ..)| found == name).unwrap().clone();
    assert_eq!(of("Max core file size").1, "1");
    let files = of("Max open files");
    assert!(files.1 == "1024" && files.2.parse::<u64>().unwrap() <= 65_536, "{files:?}");
}

#[test]
fn a_fork_bomb_stays_inside() {
    // Counted by user and, in a user namespace, for that namespace alone. It is the shell that gives up, not the host.
    let jail = Jail::probe("bomb", "limits.processes = 40");
    let ended = jail.run(&["bomb"]);
    let made: u32 = ended.lines()[0].strip_prefix("made ").unwrap().parse().unwrap();
    assert!(made < 40, "{made}");
}

#[test]
fn memory_for_files_has_a_number_of_files() {
    let jail = Jail::shell(
        "inodes",
        "mounts = [
            { type = \"tmpfs\", target = \"/tmp\", size = \"8M\" },
            { type = \"tmpfs\", target = \"/few\", inodes = 10 },
            { type = \"tmpfs\", target = \"/small\", size = \"64K\" },
        ]
        tree.devices = [\"shm\", \"null\"]",
    );
    jail.expect(
        &["for d in /tmp /few /small /dev/shm; do stat -f -c %c $d; done; for n in 1 2 3 4 5 6 7 8 9 10; do touch /few/$n || break; done 2>/dev/null; ls /few | wc -l"],
        0,
        "2048\n10\n1024\n16384\n9\n",
    );
}

#[test]
fn few_open_files_are_enough_for_stockade_itself() {
    for files in [5, 6, 8, 16] {
        let jail = Jail::probe("few", &format!("limits.open_files = {files}"));
        jail.expect(&["exit", "7"], 7, "");
    }
}

#[test]
fn a_limit_above_the_callers_hard_one_is_an_error() {
    // For an ordinary user, and for root without CAP_SYS_RESOURCE, as in a container.
    let sets = fs::read_to_string("/proc/self/status").unwrap();
    let effective = sets.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
    let may_raise = u64::from_str_radix(effective, 16).unwrap() & 1 << 24 != 0;
    let jail = Jail::shell("raise", "limits.file_size = \"2M\"");
    jail.build();
    let ended = finish(&mut jail.command_after("ulimit -f 1024", &["echo runs"]));
    let expected = if may_raise { ("runs\n", Some(0)) } else { ("", Some(125)) };
    assert_eq!((ended.stdout.as_str(), ended.code), expected, "{}", ended.stderr);
}

#[test]
fn limits_are_enforced() {
    let jail = Jail::shell(
        "enforced",
        "limits.file_size = \"4K\"\nmounts = [{ type = \"tmpfs\", target = \"/tmp\" }]",
    );
    // SIGXFSZ
    jail.expect(&["dd if=/dev/zero of=/tmp/file bs=1K count=8 2>/dev/null"], 128 + 25, "");
    let jail = Jail::shell("enforced", "limits.cpu_time = \"1s\"");
    // SIGXCPU, or SIGKILL where both bounds are one.
    let code = jail.run(&["exec busybox sh -c 'while :; do :; done'"]).code;
    assert!([Some(128 + 24), Some(128 + 9)].contains(&code), "{code:?}");
}

#[test]
fn nice_and_oom_score_are_set() {
    // Who started the tests may have asked to come after others.
    let nice = stockade::sys::priority::Priorities::own().nice;
    let own = format!("{}\n{}", nice.max(0), fs::read_to_string("/proc/self/oom_score_adj").unwrap());
    Jail::shell("nice", "").expect(&["/probe nice; cat /proc/self/oom_score_adj"], 0, &own);
    let jail = Jail::shell("nice", "program.nice = 7\nprogram.oom_score_adjust = 600");
    jail.expect(&["/probe nice; cat /proc/self/oom_score_adj"], 0, "7\n600\n");
    let jail = Jail::shell("nice", "program.nice = -5");
    if is_root() {
        jail.expect(&["/probe nice"], 0, "-5\n");
    } else {
        jail.refused(&["/probe nice"]);
    }
}

#[test]
fn the_jail_runs_on_the_processors_named() {
    let line = "sed -n 's/^Cpus_allowed_list:\\t//p' /proc/self/status";
    let own = status_of(std::process::id() as i32, "Cpus_allowed_list");
    Jail::shell("cpus", "").expect(&[line], 0, &format!("{own}\n"));
    let last = own.rsplit(['-', ',']).next().unwrap();
    Jail::shell("cpus", &format!("program.cpu_affinity = [{last}]")).expect(&[line], 0, &format!("{last}\n"));
    Jail::shell("cpus", &format!("program.cpu_affinity = \"{own}\"")).expect(&[line], 0, &format!("{own}\n"));
    // A processor that is not there.
    Jail::shell("cpus", "program.cpu_affinity = [1023]").refused(&[line]);
}

#[test]
fn a_personality_is_set() {
    for (name, value) in [
        ("linux32", 0x8),
        ("uname26", 0x2_0000),
        ("no-randomize", 0x4_0000),
        ("compat-layout", 0x20_0000),
        ("short-inode", 0x100_0000),
        ("whole-seconds", 0x200_0000),
        ("sticky-timeouts", 0x400_0000),
        ("3gb", 0x800_0000_u32),
    ] {
        let jail = Jail::probe("persona", &format!("program.personality = [\"{name}\"]"));
        jail.expect(&["personality"], 0, &format!("{value:08x}\n"));
    }
    let jail = Jail::probe("persona", "program.personality = [\"linux32\", \"no-randomize\"]");
    jail.expect(&["personality"], 0, "00040008\n");
    Jail::probe("persona", "").expect(&["personality"], 0, "00000000\n");
}

#[test]
fn uname_says_what_an_old_program_wants_to_hear() {
    let uname = |more: &str, what: &str| {
        Jail::shell("uname", more).run(&[&format!("uname -{what}")]).lines().join("")
    };
    let machine = uname("", "m");
    if machine == "x86_64" {
        assert_eq!(uname("program.personality = [\"linux32\"]", "m"), "i686");
    }
    assert!(!uname("", "r").starts_with("2.6."));
    assert!(uname("program.personality = [\"uname26\"]", "r").starts_with("2.6."));
}

#[test]
fn the_time_limit_ends_everything() {
    // Enough for the first word on a busy machine too.
    let jail = Jail::shell("time", "limits.runtime_max = \"3s\"");
    // Also what ignores every signal and what has left its parent.
    let script = "trap '' TERM INT HUP; (trap '' TERM; while :; do sleep 1; done) & setsid sleep 1000 & echo ready; while :; do sleep 1; done";
    jail.expect(&[script], 124, "ready\n");
    // In time, it changes nothing.
    Jail::shell("time", "limits.runtime_max = \"1h\"").expect(&["echo done; exit 3"], 3, "done\n");
    let jail = Jail::shell("time", "limits.runtime_max = \"3s\"\nprogram.init = false");
    jail.expect(&["echo ready; while :; do sleep 1; done"], 124, "ready\n");
}

#[test]
fn the_time_limit_holds_while_the_program_is_stopped() {
    let jail = Jail::shell("stopped", "limits.runtime_max = \"3s\"");
    let mut running = jail.start(&["echo ready; kill -STOP $$; echo never"]);
    running.expect("ready");
    assert_eq!(running.wait(), 124);
}

#[test]
fn a_supervisor_with_nothing_to_do_sleeps() {
    for more in ["", "program.init = false", "limits.runtime_max = \"1h\""] {
        let jail = Jail::probe("idle", more);
        let mut running: Running = jail.start(&["pause"]);
        running.expect("ready");
        let pid = running.pid();
        until("sleep", || (status_of(pid, "State") == "S (sleeping)").then_some(()));
        // A loop that does not sleep is seen by the processor time it takes, however busy the machine is: the wait is for
        // another process to use as much.
        let before = crate::support::ticks(pid);
        let busy = std::process::id() as i32;
        let start = crate::support::ticks(busy);
        until("processor time", || {
            std::hint::black_box((0..200_000_u64).sum::<u64>());
            (crate::support::ticks(busy) >= start + 20).then_some(())
        });
        let used = crate::support::ticks(pid) - before;
        assert!(used < 10, "{more}: {used} ticks of processor time while nothing happened");
    }
}
