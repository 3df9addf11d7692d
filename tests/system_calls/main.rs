//! The filter of system calls, from inside real jails: what is refused by default, with which error, and that it would not be
//! without; profiles, lists, what becomes of a refused call. As root and as an ordinary user, and for each of them as root
//! inside and as a dropped user.
//!
//! What is asked inside is in `probe.c`: one call a line.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are outside the functions clippy takes for tests"
)]

#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;

use common::{Dir, Need, Output, needs};

/// A jail that runs the probe as this user; `more` is the rest of the manifest, as dotted keys.
fn jail(user: &str, more: &str) -> Dir {
    jail_of(&[], user, more)
}

/// The same, where the probe is compiled with more options.
fn jail_of(options: &[&str], user: &str, more: &str) -> Dir {
    let directory = Dir::new("system-calls");
    assert!(common::compile(&directory.join("probe"), include_str!("probe.c"), options));
    let manifest = format!(
        "program.command = [\"/probe\"]\nprogram.user = \"{user}\"\n\
         tree.files = [{{ path = \"{}\", target = \"/probe\" }}]\n\
         mounts = [{{ type = \"tmpfs\", target = \"/tmp\" }}]\n{more}\n",
        directory.join("probe").display()
    );
    directory.write("jail.toml", manifest);
    let built = directory.stockade(["build", "./jail.toml"]).output();
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    directory
}

/// Runs the probe: everything, or what is named.
fn run(jail: &Dir, probes: &[&str]) -> Output {
    jail.stockade(["run", "./jail.toml", "--"].into_iter().chain(probes.iter().copied())).output()
}

/// Each answer by the name of its probe.
fn answers(output: &Output) -> BTreeMap<String, String> {
    let lines = output.stdout.lines().filter_map(|line| line.split_once(": "));
    lines.map(|(name, answer)| (name.to_owned(), answer.to_owned())).collect()
}

/// Whether an answer shows the filter: whoever has no right to a call is told the same by the kernel, or the kernel has not got it.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Filter,
    Either,
}
use By::{Either, Filter};

/// What is answered by default.
const BY_DEFAULT: &[(By, &str, &[&str])] = &[
    (
        Filter,
        "EPERM",
        &[
            "setns",
            "fchmod of set-user-id",
            "fchmod of set-group-id",
            "fchmod with bits above",
            "fchmodat of set-user-id",
            "open of set-user-id",
            "unnamed file of set-user-id",
            "mknod of set-user-id",
            "name_to_handle_at",
            "TIOCSTI",
            "TIOCSTI with bits above",
            "TIOCLINUX",
            "TIOCSETD",
            "ptrace",
            "process_vm_readv",
            "kcmp",
            "pidfd_getfd",
            "userfaultfd",
            "keyctl",
            "add_key",
            "request_key",
            "another personality",
            "another personality with bits above",
            "lowering it in another process",
            "lowering it and asking for the old one",
            "clock_settime",
            "adjtimex",
        ],
    ),
    (
        Filter,
        "ENOSYS",
        &["clone3", "openat2", "memfd", "io_uring_setup", "get_mempolicy", "mbind", "statmount"],
    ),
    (
        Filter,
        "ok",
        &["lowering the limit on core files", "lowering it by the C library", "lowering it by prlimit"],
    ),
    (Filter, "EAFNOSUPPORT", &["vsock", "vsock with bits above"]),
    (Filter, "EPROTONOSUPPORT", &["netlink of another kind"]),
    (Either, "EAFNOSUPPORT", &["alg socket", "tipc pair", "packet socket"]),
    (Either, "EPROTONOSUPPORT", &["sctp socket"]),
    (Either, "ENOSYS", &["memfd_secret", "a call of the future", "no call"]),
    (
        Either,
        "EPERM",
        &[
            "clone of a namespace",
            "clone of a network",
            "unshare of a user namespace",
            "unshare of a time namespace",
            "mount",
            "umount2",
            "pivot_root",
            "open_tree",
            "move_mount",
            "fsopen",
            "mount_setattr",
            "chroot",
            "mknod of a device",
            "open_by_handle_at",
            "fanotify_init",
            "quotactl",
            "raw socket",
            "perf_event_open",
            "bpf",
            "syslog",
            "init_module",
            "kexec_load",
            "reboot",
            "swapon",
            "acct",
            "sethostname",
        ],
    ),
    (
        Either,
        "ok",
        &[
            "fork",
            "unshare of files",
            "chmod",
            "open with a mode that does not count",
            "mkdir",
            "mkfifo",
            "unix socket",
            "tcp socket",
            "udp socket",
            "route socket",
            "socket pair",
            "datagram pair",
            "asking for the personality",
            "the personality of the manifest",
            "asking for it",
            "asking for it by prlimit",
            "lowering another limit",
            "setuid",
        ],
    ),
];

/// What only this processor has.
const ON_X86: &[(By, &str, &[&str])] = &[
    (Filter, "EPERM", &["old chmod", "old open", "old creat", "old mknod", "modify_ldt", "iopl"]),
    (Filter, "ENOSYS", &["ustat"]),
    (Filter, "SIGSYS", &["int 0x80"]),
    (Either, "SIGSYS", &["x32"]),
];

#[test]
fn what_a_program_does_not_need_is_refused() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    for user in ["root", "nobody"] {
        let filtered = run(&jail(user, ""), &[]);
        let open = answers(&run(&jail(user, "privileges.system_calls = \"all\""), &[]));
        let answered = answers(&filtered);
        assert_eq!(filtered.code, Some(0), "{}", filtered.stderr);
        let here = if cfg!(target_arch = "x86_64") { ON_X86 } else { &[] };
        for (by, expected, names) in BY_DEFAULT.iter().chain(here) {
            for name in *names {
                assert_eq!(answered[*name], *expected, "{user}: {name}");
                let shows = open[*name] != *expected;
                assert!(*by == Either || shows, "{user}: {name} is {expected} without the filter too");
            }
        }
        // Allowed, and what comes of it is up to the kernel.
        assert_eq!(answered["execve"], open["execve"]);
        assert_eq!(answered["ioctl"], "EBADF");
        for name in ["memfd that is never executed", "cachestat", "fchmodat2 of set-user-id"] {
            let kernels = ["ENOSYS", "EINVAL", open[name].as_str()];
            let expected = if name.starts_with("fchmodat2") { &["EPERM"][..] } else { &kernels };
            assert!(expected.contains(&answered[name].as_str()), "{user}: {name}: {}", answered[name]);
        }
    }
}

#[test]
fn a_32_bit_program_is_held_as_well() {
    if !needs(Need::UserNamespaces) || !needs(Need::Narrow) {
        return;
    }
    for user in ["root", "nobody"] {
        let jail = jail_of(&["-m32"], user, "");
        let output = run(&jail, &[]);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        let answers = answers(&output);
        for (_, expected, names) in BY_DEFAULT.iter().chain(ON_X86) {
            for name in *names {
                // The C library makes sockets by socketcall(2), whose arguments no filter sees; and what is told of the other
                // processor is not asked here.
                let unseen = ["sock", "pair", "netlink"].iter().any(|part| name.contains(part))
                    || ["x32", "int 0x80"].contains(name);
                assert!(unseen || answers[*name] == *expected, "{user}: {name}: {}", answers[*name]);
            }
        }
        // A word less, and it is killed at its first call.
        let set = ["--set", "privileges.architectures=[]"];
        let output = jail.stockade(["run"].into_iter().chain(set).chain(["./jail.toml"])).output();
        assert_eq!((output.code, output.stdout.as_str()), (Some(125), ""));
        assert!(output.stderr.contains("hint: write `architectures = [\"x86-32\"]`"), "{}", output.stderr);
    }
    // One that is started by another program has to be named.
    let started = |more: &str| {
        let jail = jail_of(&["-m32"], "nobody", &format!("tree.programs = [\"/bin/sh\"]\n{more}"));
        let set = ["--set", "program.command=[\"/bin/sh\",\"-c\",\"/probe fork\"]"];
        jail.stockade(["run"].into_iter().chain(set).chain(["./jail.toml"])).output()
    };
    assert_eq!(started("privileges.architectures = [\"x86-32\"]").stdout, "fork: ok\n");
    assert_eq!(started("").code, Some(128 + 31));
}

#[test]
fn compute_has_no_sockets_but_a_connected_pair() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let output = run(&jail("nobody", "privileges.system_calls = \"compute\""), &[]);
    let answers = answers(&output);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    for (name, expected) in [
        ("unix socket", "EPERM"),
        ("tcp socket", "EPERM"),
        ("route socket", "EPERM"),
        ("socket pair", "ok"),
        ("datagram pair", "EPROTONOSUPPORT"),
        ("setuid", "EPERM"),
        ("fork", "ok"),
        ("unshare of a user namespace", "EPERM"),
        ("chmod", "ok"),
    ] {
        assert_eq!(answers[name], expected, "{name}");
    }
}

#[test]
fn a_daemon_may_use_what_it_was_given() {
    if !needs(Need::Root) {
        return;
    }
    let probes = ["chroot", "raw socket", "mknod of a device", "adjtimex", "mount"];
    for (profile, expected) in [("default", ["EPERM"; 3]), ("daemon", ["ok", "ok", "EFAULT"])] {
        let more = format!(
            "privileges.system_calls = \"{profile}\"\nprivileges.capabilities = [\"SYS_CHROOT\", \"NET_RAW\", \"MKNOD\", \"SYS_TIME\"]"
        );
        let answers = answers(&run(&jail("root", &more), &probes));
        for (name, expected) in ["chroot", "raw socket", "adjtimex"].into_iter().zip(expected) {
            assert_eq!(answers[name], expected, "{profile}: {name}");
        }
        assert_eq!(answers["mount"], "EPERM");
    }
}

#[test]
fn a_list_allows_what_it_says() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    for (words, expected) in [
        (
            r#"["default", "@debug", "-mkdirat"]"#,
            [("ptrace", "ok"), ("kcmp", "ok"), ("mkdir", "EPERM"), ("keyctl", "EPERM")],
        ),
        (
            r#"["default", "@setid", "@memfd", "keyctl"]"#,
            [("open of set-user-id", "ok"), ("memfd", "ok"), ("keyctl", "EOPNOTSUPP"), ("ptrace", "EPERM")],
        ),
        (
            r#"["-@network-io"]"#,
            [("tcp socket", "EPERM"), ("unix socket", "EPERM"), ("mkdir", "ok"), ("fork", "ok")],
        ),
    ] {
        let jail = jail("nobody", &format!("privileges.system_calls = {words}"));
        let answers = answers(&run(&jail, &[]));
        for (name, expected) in expected {
            assert_eq!(answers[name], expected, "{words}: {name}");
        }
    }
    // The least a static program gets along with; it cannot even write what it finds.
    let jail = jail("nobody", r#"privileges.system_calls = ["@default"]"#);
    let output = run(&jail, &[]);
    assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (Some(1), "", ""));
}

#[test]
fn a_refused_call_may_kill_or_be_logged() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let killing = jail("nobody", "privileges.system_calls_action = \"kill\"");
    let output = run(&killing, &["clone3", "keyctl", "fork"]);
    // What a C library tries before another is answered, not punished.
    assert_eq!(output.stdout, "fork: ok\nclone3: ENOSYS\n");
    assert_eq!(output.code, Some(128 + 31));
    assert!(output.stderr.contains("SIGSYS"), "{}", output.stderr);

    let logging = jail("nobody", "privileges.system_calls_action = \"log\"");
    let answers = answers(&run(&logging, &[]));
    assert_eq!(answers["keyctl"], "EOPNOTSUPP");
    assert_eq!(answers["clone3"], "ENOSYS");
    let plan = logging.stockade(["plan", "--json", "./jail.toml"]).output().stdout;
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let layers = plan["layers"].as_array().unwrap();
    let layer = layers.iter().find(|layer| layer["layer"] == "seccomp").unwrap();
    assert_eq!(layer["state"], "off");
}

#[test]
fn a_wrong_word_is_told_with_the_nearest() {
    let directory = Dir::new("system-calls-words");
    for (words, message, hint) in [
        (r#"["@defualt"]"#, "`@defualt` is not a group of system calls", "did you mean `@default`?"),
        (r#"["-opneat"]"#, "`opneat` is not a system call", "did you mean `openat`?"),
        (r#"["-execve"]"#, "`execve` cannot be taken away", "the program could not start"),
        (r#"["-default"]"#, "a profile cannot be taken away", "such as `-@setuid`"),
        (r#""deamon""#, "unknown value `deamon`", "did you mean `daemon`?"),
    ] {
        let manifest = format!(
            "program.command = [\"/bin/true\"]\nprivileges.system_calls = {words}\nprogram.user = \"nobody\"\n"
        );
        directory.write("jail.toml", manifest);
        let output = directory.stockade(["check", "./jail.toml"]).output();
        assert_eq!(output.code, Some(1));
        for part in [message, hint] {
            assert!(output.stderr.contains(part), "{part}\n{}", output.stderr);
        }
    }
}

#[test]
fn without_no_new_privs_the_filter_holds_all_the_same() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let more = "privileges.no_new_privileges = false";
    for user in ["root", "nobody"] {
        let output = run(&jail(user, more), &["keyctl", "vsock", "fork", "open of set-user-id"]);
        let expected = "fork: ok\nopen of set-user-id: EPERM\nvsock: EAFNOSUPPORT\nkeyctl: EPERM\n";
        assert_eq!((output.stdout.as_str(), output.stderr.as_str(), output.code), (expected, "", Some(0)));
    }
    // A list would hold the set-up, which needs what the program may not.
    let directory = jail("nobody", "");
    let set = ["--set", "privileges.no_new_privileges=false", "--set", "privileges.system_calls=compute"];
    let output = directory.stockade(["run"].into_iter().chain(set).chain(["./jail.toml"])).output();
    assert_eq!(output.code, Some(125));
    assert!(output.stderr.contains("cannot be had without no_new_privs"), "{}", output.stderr);
}

#[test]
fn pid_1_has_a_filter_of_its_own() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let directory = Dir::new("system-calls-init");
    directory.write("jail.toml", "program.command = [\"/bin/sleep\", \"20\"]\n");
    assert_eq!(directory.stockade(["build", "./jail.toml"]).output().code, Some(0));
    let mut supervisor = directory.stockade(["run", "./jail.toml"]).inner.spawn().unwrap();
    let id = supervisor.id();
    let child = |of: u32| {
        let children = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).ok()?;
        children.split_whitespace().next()?.parse::<u32>().ok()
    };
    let filters = |of: u32| {
        let status = std::fs::read_to_string(format!("/proc/{of}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:")?.trim().parse::<u32>().ok())
    };
    // PID 1's is there once it runs again, which may be a little later than the program.
    let found = (0..2000).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        let first = child(id)?;
        let both = [filters(first)?, filters(child(first)?)?];
        (both[0] > 0).then_some(both)
    });
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(id as i32), nix::sys::signal::Signal::SIGTERM).unwrap();
    supervisor.wait().unwrap();
    let outer = filters(std::process::id()).unwrap_or(0);
    assert_eq!(found, Some([outer + 1; 2]));
}
