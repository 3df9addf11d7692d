//! The layer `landlock`: what it holds that mount flags and modes do not, and what becomes of a jail where the kernel has none.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::Command;

use nix::errno::Errno;

use crate::common;
use crate::support::{Ended, Jail, finish, is_root};

/// Without the filter of system calls, which would refuse some of them before.
const OPEN: &str = "privileges.system_calls = \"all\"";

/// A tmpfs to write to.
const TMP: &str = "mounts = [{ type = \"tmpfs\", target = \"/tmp\" }]";

#[test]
fn mounts_stay_as_they_are_even_for_cap_sys_admin() {
    // Root's mounts stay as they are by its user namespace alone: see namespaces.rs.
    let namespace = if is_root() { "namespaces.user = false" } else { "" };
    let more = format!(
        "program.user = \"root\"\nprivileges.capabilities = [\"SYS_ADMIN\"]\n{OPEN}\n{namespace}\n{TMP}"
    );
    let held =
        "remount: EPERM\nwrite: EROFS\nmount: EPERM\numount: EPERM\nopen_tree: ok\npivot_root: EPERM\n";
    Jail::probe("held", &more).expect(&["undo-mounts"], 0, held);
    // Without it the root is writable again at once, so it was Landlock that held.
    let ended = Jail::probe("held", &format!("{more}\nprivileges.landlock = false")).run(&["undo-mounts"]);
    assert!(ended.stdout.starts_with("remount: ok\nwrite: ok\nmount: ok\n"), "{ended:?}");
}

#[test]
fn a_writable_mount_takes_every_change_but_devices() {
    let changes = "mkdir: ok\ncreate: ok\ntruncate: ok\nlink: ok\nlink into another directory: ok\n\
                   rename into another directory: ok\nsymlink: ok\nmkfifo: ok\nbind: ok\nmknod character: EACCES\n\
                   mknod block: EACCES\nunlink: ok\nunlink: ok\nrmdir: ok\n";
    let bind = "mounts = [{ source = \"{here}/shared\", target = \"/work\", read_only = false }]";
    let root = "root.read_only = false\ntree.directories = [\"/work\"]";
    for more in [TMP.replace("/tmp", "/work").as_str(), bind, root] {
        // With the capability, so that nothing else refuses devices.
        let capability =
            if is_root() { "namespaces.user = false\nprivileges.capabilities = [\"MKNOD\"]" } else { "" };
        let jail = Jail::probe("changes", &format!("program.user = \"root\"\n{capability}\n{OPEN}\n{more}"));
        std::fs::create_dir(jail.path("shared")).unwrap();
        jail.expect(&["change", "/work"], 0, changes);
    }
}

#[test]
fn the_hosts_abstract_sockets_are_out_of_reach() {
    let name = format!("stockade-abstract-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let host = "namespaces.network = \"host\"\n";
    for (more, answer) in [
        ("", "connect: ECONNREFUSED\n"),
        (host, "connect: EPERM\n"),
        (&format!("{host}namespaces.abstract_sockets = \"new\""), "connect: EPERM\n"),
        // Named as intended; and without the layer, so that it is known who held.
        (&format!("{host}namespaces.abstract_sockets = \"host\""), "connect: ok\n"),
        (&format!("{host}privileges.landlock = false"), "connect: ok\n"),
    ] {
        Jail::probe("abstract", more).expect(&["abstract", &name], 0, answer);
    }
    // The jail's own work.
    Jail::probe("abstract", host).expect(&["abstract"], 0, "bind: ok\nlisten: ok\nconnect: ok\n");
}

#[test]
fn processes_of_a_jail_signal_each_other_and_pid_1() {
    let script = "exec 2>/dev/null; sleep 100 & kill $! && wait $!; echo $?; kill -0 1 && echo first";
    Jail::shell("signals", "").expect(&[script], 0, "143\nfirst\n");
}

#[test]
fn devices_take_commands_and_files_outside_are_not_to_be_had() {
    let jail = Jail::probe("devices", "");
    let ways = "read: ok\nwrite: ok\nboth: ok\ncut: ok\n";
    jail.expect(&["open", "/dev/null"], 0, ways);
    let jail = Jail::probe("devices", "root.proc = \"full\"\nprogram.user = \"root\"");
    jail.expect(&["open", "/proc/self/comm"], 0, ways);
}

/// Runs a jail as on a kernel whose landlock_create_ruleset(2) fails so.
fn run_without(errno: Errno, jail: &Jail, verb: &str, arguments: &[&str]) -> Ended {
    let without = jail.path("without");
    common::compile_static(&without, include_str!("without.c"));
    let mut inner = jail.stockade(verb);
    if verb == "doctor" {
        inner = Command::new(common::binary());
        inner.arg(verb);
    }
    inner.args(arguments);
    let mut command = Command::new(without);
    command.arg(nix::libc::SYS_landlock_create_ruleset.to_string()).arg((errno as i32).to_string());
    command.arg(inner.get_program()).args(inner.get_args());
    command
        .env("STOCKADE_STATE_DIR", jail.path("state"))
        .env("NO_COLOR", "1")
        .stdin(std::process::Stdio::null());
    finish(&mut command)
}

#[test]
fn a_kernel_without_landlock_is_an_error_that_says_what_to_do() {
    for (errno, why) in [
        (Errno::ENOSYS, "this kernel has no Landlock"),
        (Errno::EOPNOTSUPP, "Landlock is not switched on"),
        (
            Errno::EPERM,
            "landlock_create_ruleset(2) is refused, as by the filter of a container: Operation not permitted (EPERM)",
        ),
    ] {
        let jail = Jail::probe("lacking", "");
        jail.build();
        let ended = run_without(errno, &jail, "run", &[]);
        assert_eq!((ended.stdout.as_str(), ended.code), ("", Some(125)), "{}", ended.stderr);
        for part in [
            "this host cannot enforce the layer `landlock`",
            why,
            "hint: `stockade doctor` tells the cure; `best_effort = [\"landlock\"]` under `[privileges]` goes on without it",
        ] {
            assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
        }
    }
}

#[test]
fn doctor_tells_the_cure() {
    let jail = Jail::probe("doctor", "");
    for (errno, cure) in [
        // The filter is the one of this test.
        (Errno::ENOSYS, "cure: start the container with `--security-opt seccomp=unconfined`"),
        (Errno::EOPNOTSUPP, "cure: boot with `landlock` in the kernel's `lsm=` list"),
    ] {
        let ended = run_without(errno, &jail, "doctor", &[]);
        let lines: Vec<_> =
            ended.stdout.lines().skip_while(|line| !line.starts_with("Landlock")).take(2).collect();
        assert!(
            lines[0].starts_with("Landlock             missing") && lines[1].ends_with(cure),
            "{lines:?}"
        );
        assert_eq!(ended.code, Some(1));
    }
}

#[test]
fn best_effort_goes_on_without_and_says_so() {
    let jail = Jail::shell("effort", "privileges.best_effort = [\"landlock\"]");
    jail.build();
    let ended = run_without(Errno::ENOSYS, &jail, "run", &["--", "echo ran"]);
    assert_eq!((ended.stdout.as_str(), ended.code), ("ran\n", Some(0)), "{}", ended.stderr);
    let plan = run_without(Errno::ENOSYS, &jail, "plan", &[]).stdout;
    assert!(plan.contains("landlock        degraded: this kernel has no Landlock"), "{plan}");
    assert!(!plan.contains("landlock_"), "{plan}");
    // Where it can be had it is had.
    let plan = finish(&mut jail.stockade("plan")).stdout;
    assert!(plan.contains("landlock        enforced\n"), "{plan}");
}

#[test]
fn switched_off_it_is_neither_needed_nor_used() {
    let jail = Jail::shell("off", "privileges.landlock = false");
    jail.build();
    let ended = run_without(Errno::ENOSYS, &jail, "run", &["--", "echo ran"]);
    assert_eq!((ended.stdout.as_str(), ended.code), ("ran\n", Some(0)), "{}", ended.stderr);
    let plan = finish(&mut jail.stockade("plan")).stdout;
    assert!(plan.contains("landlock        off: the manifest does without it"), "{plan}");
    assert!(!plan.contains("landlock_"), "{plan}");
}

#[test]
fn a_jail_without_new_privileges_refused_is_restricted_all_the_same() {
    let more = "privileges.no_new_privileges = false\nnamespaces.network = \"host\"";
    let name = format!("stockade-privileges-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    for user in ["nobody", "root"] {
        let jail = Jail::probe("privileges", &format!("{more}\nprogram.user = \"{user}\""));
        jail.expect(&["abstract", &name], 0, "connect: EPERM\n");
    }
}
