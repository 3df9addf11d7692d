//! What a jail shows of /proc: what is covered of it, whose processes are in it, and nothing of the supervisor's.

use std::fs;

use crate::support::{Jail, finish, is_root};

/// What of /proc is shown in every jail, see README.
const SHOWN: &str = "buddyinfo cgroups consoles cpuinfo crypto devices dma driver execdomains fb filesystems loadavg meminfo misc \
    pressure schedstat softirqs stat swaps sys sysrq-trigger sysvipc tty uptime version version_signature vmstat zoneinfo";

/// What of it only the host's root can read.
const OF_ROOT: &str = "iomem ioports kcore kmsg kpagecgroup kpagecount kpageflags mtrr pagetypeinfo slabinfo timer_list vmallocinfo";

/// The covers of /proc that this kernel makes necessary, and more where the program may be the host's root.
pub fn covers(privileged: bool) -> Vec<String> {
    let (mut files, mut directories) = (Vec::new(), Vec::new());
    for entry in fs::read_dir("/proc").unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let among = |list: &str| list.split_whitespace().any(|known| known == name);
        let is_shown = among(SHOWN)
            || entry.file_type().unwrap().is_symlink()
            || name.parse::<u32>().is_ok()
            || (among(OF_ROOT) && !privileged)
            || (name == "key-users" && !privileged);
        if is_shown {
            continue;
        }
        let line = |kind: &str| format!("/proc/{name} ro,nosuid,nodev,noexec {kind}");
        if entry.file_type().unwrap().is_dir() {
            directories.push(line("proc"));
        } else {
            files.push(line("devtmpfs"));
        }
    }
    files.sort();
    directories.sort();
    files.append(&mut directories);
    files
}

#[test]
fn proc_is_masked_full_or_not_there() {
    let script = "(echo 1 > /proc/self/oom_score_adj) 2>/dev/null && echo adjusted; cat /proc/keys >/dev/null 2>&1 && echo keys; [ -e /proc/self ] && echo self; exit 0";
    Jail::shell("proc", "").expect(&[script], 0, "self\n");
    Jail::shell("proc", "root.proc = \"masked\"").expect(&[script], 0, "self\n");
    Jail::shell("proc", "root.proc = \"full\"").expect(&[script], 0, "adjusted\nkeys\nself\n");
    Jail::shell("proc", "root.proc = \"none\"").expect(&[script], 0, "");
    let jail = Jail::shell("proc", "root.proc = \"processes\"");
    jail.expect(&[script], 0, "self\n");
    jail.expect(&["ls /proc | grep -v '^[0-9]'; ls -d /proc/[0-9]*"], 0, "self\nthread-self\n/proc/2\n");
}

#[test]
fn what_is_covered_can_be_read_by_nobody() {
    // With the right to pass over modes as well, which without a user namespace is root's on the host.
    let jails = [
        "",
        "program.user = \"root\"",
        "program.user = \"root\"\nprivileges.capabilities = [\"DAC_OVERRIDE\", \"SYSLOG\"]",
        "privileges.capabilities = [\"DAC_OVERRIDE\"]",
    ];
    let of_root = jails[1..].iter().map(|more| (format!("{more}\nnamespaces.user = false"), true));
    let jails = jails.iter().map(|more| ((*more).to_owned(), false));
    for (more, privileged) in jails.chain(of_root.filter(|_| is_root())) {
        let covers = covers(privileged);
        let covered: Vec<_> = covers.iter().map(|line| line.split(' ').next().unwrap()).collect();
        let script = format!(
            "for f in {} /proc/sysrq-trigger; do head -c 1 $f 2>/dev/null; ls -A $f/ 2>/dev/null; done; \
             for f in sysrq-trigger sys/kernel/core_pattern sys/kernel/hostname mtrr; do \
             (echo b > /proc/$f) 2>/dev/null && echo $f; done; exit 0",
            covered.join(" ")
        );
        Jail::shell("covered", &more).expect(&[&script], 0, "");
        // On the host there is something to be read: the test can fail.
        assert!(covered.iter().any(|path| fs::read(path).is_ok_and(|read| !read.is_empty())));
    }
}

#[test]
fn a_program_sees_its_own_processes_only() {
    // Those of its user, and among them not PID 1, which is of its user too; also not for group 0, to which the kernel's `hidepid`
    // makes an exception.
    let script = "ls -d /proc/[0-9]*; ls /proc/1 2>/dev/null; kill -0 1 && echo there";
    let own = "/proc/2\nthere\n";
    for more in ["", "program.user = \"root\"", "program.group = 0"] {
        Jail::shell("own", more).expect(&[script], 0, own);
    }
    // Who may trace every process sees every process; in a user namespace PID 1 is not among them, whose memory is the supervisor's.
    let more = "program.user = \"root\"\nprivileges.capabilities = [\"SYS_PTRACE\"]";
    Jail::shell("own", more).expect(&["ls -d /proc/[0-9]*"], 0, "/proc/2\n");
    if is_root() {
        let jail = Jail::shell("own", &format!("{more}\nnamespaces.user = false"));
        jail.expect(&["ls -d /proc/[0-9]*"], 0, "/proc/1\n/proc/2\n");
    }
}

#[test]
fn the_first_process_is_closed_to_the_program() {
    // It is a copy of the supervisor: in its memory are the caller's environment and the manifest.
    let script = "for f in root cwd exe fd/3; do readlink /proc/1/$f; done; for f in environ maps mem auxv; do cat /proc/1/$f 2>/dev/null && echo $f; done; ls /proc/1/root/ 2>/dev/null; exit 0";
    for proc in ["masked", "processes", "full"] {
        for user in ["nobody", "root"] {
            let jail = Jail::shell("first", &format!("program.user = \"{user}\"\nroot.proc = \"{proc}\""));
            jail.expect(&[script], 0, "");
            let ended = jail.run(&["/probe grab 1"]);
            assert!(ended.lines().iter().all(|line| !line.ends_with("ok")), "{proc} {user}: {ended:?}");
        }
    }
    // What the probe does to it works on another process: the test can fail.
    let ended = Jail::shell("first", "").run(&["sleep 9 & /probe grab $!; kill $!"]);
    assert!(ended.lines().iter().any(|line| line.ends_with("ok")), "{ended:?}");
}

#[test]
fn the_callers_secrets_are_nowhere_in_proc() {
    let script = "for f in /proc/[0-9]*/environ /proc/[0-9]*/cmdline /proc/self/mountinfo; do grep -l in-the-[c]allers $f; done 2>/dev/null; exit 0";
    for more in ["", "program.user = \"root\"", "program.init = false"] {
        let jail = Jail::shell("secrets", more);
        jail.build();
        let mut command = jail.stockade("run");
        command.args(["--set", "summary=in-the-callers-arguments", "--", script]);
        command.env("SECRET", "in-the-callers-environment");
        assert_eq!(finish(&mut command).lines(), [""; 0], "{more}");
    }
}

#[test]
fn the_binary_of_the_first_process_cannot_be_opened() {
    // CVE-2019-5736: overwritten, it would run as root of the host at the next start. With the host's own ids, and with the one
    // capability that opens what is undumpable, of which `check` warns.
    let script = "(cat /proc/1/exe | head -c 4) 2>/dev/null; (echo x > /proc/1/exe) 2>/dev/null && echo written; \
                  (echo x >> /proc/1/exe) 2>/dev/null && echo appended; exit 0";
    let root = "program.user = \"root\"\nnamespaces.network = \"host\"\n";
    for more in ["", root, &format!("{root}privileges.capabilities = [\"SYS_PTRACE\", \"DAC_OVERRIDE\"]")] {
        Jail::shell("exe", more).expect(&[script], 0, "");
    }
    // It is Landlock that holds it in the last case.
    let more = format!("{root}privileges.capabilities = [\"SYS_PTRACE\"]\nprivileges.landlock = false");
    let seen = if is_root() { "\u{7f}ELF" } else { "" };
    Jail::shell("exe", &more).expect(&["(cat /proc/1/exe | head -c 4) 2>/dev/null"], 0, seen);
}
