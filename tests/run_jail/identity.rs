//! Who the program is: ids, groups, environment, capabilities, and that nothing more can be had.

use std::fs;

use crate::support::{Jail, finish, is_root};

/// The five capability sets of the program, in the order of /proc/self/status.
const SETS: &str = "sed -n 's/^Cap...:\\t//p' /proc/self/status | tr '\\n' ' '";
/// No capability in any of them.
const NOTHING: &str = "0000000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000 ";

/// The five sets as they are printed: inheritable, permitted, effective, bounding, ambient.
fn sets(sets: [u64; 5]) -> String {
    sets.map(|set| format!("{set:016x} ")).concat()
}

#[test]
fn a_program_is_nobody_unless_asked_otherwise() {
    let jail = Jail::shell("nobody", "");
    jail.expect(&["id; /probe ids"], 0, "uid=65534(nobody) gid=65534(nogroup)\nuid 65534 65534 65534\n");
}

#[test]
fn a_user_is_given_by_name_or_by_id() {
    let id = |manifest: &str| {
        let ended = Jail::shell("user", manifest).run(&["id -u; id -g; echo $USER $LOGNAME $HOME"]);
        ended.lines().join(" ")
    };
    assert_eq!(id("program.user = \"root\""), "0 0 root root /root");
    assert_eq!(id("program.user = 0"), "0 0 root root /root");
    assert_eq!(id("program.user = \"daemon\""), "1 1 daemon daemon /usr/sbin");
    assert_eq!(id("program.user = 1"), "1 1 daemon daemon /usr/sbin");
    assert_eq!(id("program.user = \"daemon\"\nprogram.group = \"sys\""), "1 3 daemon daemon /usr/sbin");
    // Ids without a name, which the host knows nothing of.
    assert_eq!(id("program.user = 4242\nprogram.group = 4343"), "4242 4343 4242 4242 /");
}

#[test]
fn files_written_outside_belong_to_the_user() {
    use std::os::unix::fs::MetadataExt as _;
    let jail = Jail::shell(
        "owner",
        "program.user = 4242\nprogram.group = 4343\nmounts = [{ source = \"{here}/open\", target = \"/srv\", read_only = false }]",
    );
    fs::create_dir(jail.path("open")).unwrap();
    fs::set_permissions(jail.path("open"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    jail.expect(&["touch /srv/file"], 0, "");
    let found = fs::metadata(jail.path("open/file")).unwrap();
    let own = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let expected = if is_root() { (4242, 4343) } else { own };
    assert_eq!((found.uid(), found.gid()), expected);
}

#[test]
fn supplementary_groups_are_those_named() {
    let groups = "sed -n 's/^Groups:\\t//p' /proc/self/status";
    if !is_root() {
        let jail = Jail::shell("groups", "program.supplementary_groups = [\"daemon\"]");
        let output = jail.stockade("run").output().unwrap();
        assert_eq!(output.status.code(), Some(125), "an ordinary user has none to give");
        return;
    }
    Jail::shell("groups", "").expect(&[groups], 0, " \n");
    let jail = Jail::shell("groups", "program.supplementary_groups = [\"sys\", 4242, \"daemon\", 1]");
    jail.expect(&[groups], 0, "1 3 4242 \n");
}

#[test]
fn the_umask_is_not_the_callers() {
    for (manifest, umask) in
        [("", "0022\n"), ("program.umask = \"0077\"", "0077\n"), ("program.umask = \"0\"", "0000\n")]
    {
        let jail = Jail::shell("umask", manifest);
        jail.build();
        assert_eq!(finish(&mut jail.command_after("umask 137", &["umask"])).stdout, umask);
    }
}

#[test]
fn the_environment_is_what_the_manifest_says_and_no_more() {
    let environment = "tr '\\0' '\\n' < /proc/$$/environ | grep -v STOCKADE_TEST";
    let run = |jail: &Jail| {
        jail.build();
        let mut command = jail.command(&[environment]);
        command.env("SECRET", "of the caller").env("LANG", "C.UTF-8").env("TZ", "UTC").env("LD_PRELOAD", "");
        let ended = finish(&mut command);
        let mut lines: Vec<_> = ended.stdout.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let default = ["HOME=/", "LOGNAME=nobody", path, "USER=nobody"];
    assert_eq!(run(&Jail::shell("environment", "")), default);
    let jail = Jail::shell(
        "environment",
        "program.pass_environment = [\"LANG\", \"TZ\", \"ABSENT\"]
        program.environment.TZ = \"Europe/Berlin\"
        program.environment.HOME = \"/tmp\"
        program.environment.EMPTY = \"\"
        program.environment.SPACED = \" a = b \"",
    );
    assert_eq!(
        run(&jail),
        [
            "EMPTY=",
            "HOME=/tmp",
            "LANG=C.UTF-8",
            "LOGNAME=nobody",
            path,
            "SPACED= a = b ",
            "TZ=Europe/Berlin",
            "USER=nobody"
        ]
    );
}

#[test]
fn there_is_no_capability_in_any_set() {
    for user in ["nobody", "root", "daemon"] {
        Jail::shell("none", &format!("program.user = \"{user}\"")).expect(&[SETS], 0, NOTHING);
    }
    // Also without no_new_privileges, and as PID 1.
    let jail = Jail::shell(
        "none",
        "program.user = \"root\"\nprogram.init = false\nprivileges.no_new_privileges = false",
    );
    jail.expect(&[SETS], 0, NOTHING);
}

#[test]
fn root_without_capabilities_can_do_nothing_of_roots() {
    let jail =
        Jail::shell("rights", "program.user = \"root\"\nmounts = [{ type = \"tmpfs\", target = \"/tmp\" }]");
    jail.expect(
        &["touch /tmp/file && /probe rights"],
        0,
        "chown: EPERM\nmount: EPERM\numount: EPERM\nsethostname: EPERM\nchroot: EPERM\nmknod: EPERM\nsetuid: EPERM\nkill 1: ok\n"
            .replace("chown: EPERM", if is_root() { "chown: EPERM" } else { "chown: EINVAL" })
            .replace("setuid: EPERM", if is_root() { "setuid: EPERM" } else { "setuid: EINVAL" })
            .as_str(),
    );
}

#[test]
fn one_capability_is_that_one_and_works_for_a_user_that_is_not_root() {
    const BIND: u64 = 1 << 10;
    let jail = Jail::shell("bind", "privileges.capabilities = [\"NET_BIND_SERVICE\"]");
    jail.expect(&[SETS], 0, &sets([BIND; 5]));
    let jail = Jail::probe("bind", "privileges.capabilities = [\"CAP_NET_BIND_SERVICE\"]");
    jail.expect(&["bind", "127.0.0.1", "80"], 0, "bind: ok\n");
    Jail::probe("bind", "").expect(&["bind", "127.0.0.1", "80"], 0, "bind: EACCES\n");
    let jail = Jail::shell(
        "bind",
        "privileges.capabilities = [\"NET_BIND_SERVICE\"]\nmounts = [{ type = \"tmpfs\", target = \"/tmp\" }]",
    );
    let nothing_else = jail.run(&["touch /tmp/file && /probe rights"]);
    assert!(
        nothing_else.lines().iter().all(|line| !line.ends_with("ok") || line.starts_with("kill")),
        "{nothing_else:?}"
    );
    // Root with one has that one too, and not all of them.
    let jail =
        Jail::shell("bind", "program.user = \"root\"\nprivileges.capabilities = [\"NET_BIND_SERVICE\"]");
    jail.expect(&[SETS], 0, &sets([BIND; 5]));
}

#[test]
fn bounding_capabilities_are_not_had_but_can_be() {
    let set = 1 << 6 | 1 << 7;
    let jail = Jail::shell("bounding", "privileges.bounding = [\"SETUID\", \"SETGID\"]");
    jail.expect(&[SETS], 0, &sets([0, 0, 0, set, 0]));
    let jail =
        Jail::shell("bounding", "privileges.bounding = [\"SETUID\"]\nprivileges.capabilities = [\"SETGID\"]");
    let gid = 1 << 6;
    jail.expect(&[SETS], 0, &sets([gid, gid, gid, set, gid]));
    // no_new_privs keeps root from getting them by executing any program.
    let jail =
        Jail::shell("bounding", "program.user = \"root\"\nprivileges.bounding = [\"SETUID\", \"SETGID\"]");
    jail.expect(&[SETS], 0, &sets([0, 0, 0, set, 0]));
}

#[test]
fn no_new_privileges_is_set_unless_the_manifest_says_no() {
    let line = "sed -n 's/^NoNewPrivs:\\t//p' /proc/self/status";
    Jail::shell("nnp", "").expect(&[line], 0, "1\n");
    Jail::shell("nnp", "privileges.no_new_privileges = false").expect(&[line], 0, "0\n");
}

#[test]
fn a_setuid_program_gives_nothing() {
    if !is_root() {
        // An ordinary user's tree has no file of another user.
        return;
    }
    // Kept in the tree, where the mount has nosuid, with and without no_new_privs.
    for more in ["", "privileges.no_new_privileges = false\nprivileges.bounding = [\"SETUID\"]"] {
        let jail = Jail::shell("setuid", "");
        crate::common::copy_program(&jail.path("probe"), &jail.path("setuid"));
        fs::set_permissions(jail.path("setuid"), std::os::unix::fs::PermissionsExt::from_mode(0o4755))
            .unwrap();
        let setuid = jail.path("setuid").display().to_string();
        jail.write_manifest(
            "[\"/bin/sh\", \"-c\"]",
            &format!("tree.programs = [{{ path = \"{setuid}\", keep = [\"setid\"] }}]\n{more}"),
        );
        let script = format!("stat -c %a {setuid}; {setuid} ids");
        jail.expect(&[&script], 0, "4755\nuid 65534 65534 65534\n");
        // Not asked for, not kept.
        jail.write_manifest("[\"/bin/sh\", \"-c\"]", &format!("tree.programs = [\"{setuid}\"]\n{more}"));
        jail.expect(&[&script], 0, "755\nuid 65534 65534 65534\n");
    }
}

#[test]
fn user_0_is_a_user_like_any_other_for_good() {
    // linux/securebits.h: NOROOT 1, its lock 2; NO_SETUID_FIXUP 4, 8; KEEP_CAPS 16, 32; NO_CAP_AMBIENT_RAISE 64, 128.
    for (more, bits) in [
        ("", 1 | 2 | 8 | 32 | 64 | 128),
        ("program.user = \"root\"", 1 | 2 | 8 | 32 | 64 | 128),
        // KEEP_CAPS, set for our own change of ids, went with execve(2), and daemons may set it again.
        ("privileges.capabilities = [\"NET_BIND_SERVICE\"]", 1 | 2 | 8),
        ("privileges.no_new_privileges = false", 8),
        ("privileges.no_new_privileges = false\nprivileges.capabilities = [\"KILL\"]", 8),
    ] {
        let jail = Jail::probe("securebits", more);
        jail.expect(&["securebits"], 0, &format!("{bits}\n"));
        if is_root() {
            // Whatever the caller had.
            let odd = "exec setpriv --securebits=+no_setuid_fixup \"$@\"";
            let ended = finish(&mut jail.command_after(odd, &["securebits"]));
            assert_eq!(ended.lines(), [bits.to_string()], "{more}");
        }
    }
    // Not even a program that may change them can take a lock off.
    let jail = Jail::probe("securebits", "privileges.capabilities = [\"SETPCAP\"]");
    jail.expect(&["set-securebits", "0"], 0, "PR_SET_SECUREBITS: EPERM\n");
    jail.expect(&["set-securebits", "75"], 0, "PR_SET_SECUREBITS: ok\n");
}

#[test]
fn capabilities_the_caller_can_inherit_are_not_inherited() {
    if !is_root() {
        return;
    }
    // For user 0 the kernel gives at execve(2) what is inheritable or bounding: an empty ceiling alone would give all of it back.
    for more in ["", "privileges.no_new_privileges = false"] {
        let jail = Jail::shell("inheritable", &format!("program.user = \"root\"\n{more}"));
        jail.build();
        let careless = "exec setpriv --inh-caps=+chown,+sys_admin --ambient-caps=+chown,+sys_admin \"$@\"";
        let ended = finish(&mut jail.command_after(careless, &[SETS]));
        assert_eq!((ended.stdout.as_str(), ended.code), (NOTHING, Some(0)), "{}", ended.stderr);
    }
}

#[test]
fn a_daemon_that_starts_as_root_can_keep_capabilities_over_its_own_change_of_user() {
    if !is_root() {
        // There is no other user to change to.
        return;
    }
    // As named and chronyd do it; the sets are permitted before and after.
    let capabilities = "privileges.capabilities = [\"SETUID\", \"NET_BIND_SERVICE\"]";
    let jail = Jail::probe("keepcaps", &format!("program.user = \"root\"\n{capabilities}"));
    jail.expect(
        &["keep-capabilities"],
        0,
        "permitted 480\nPR_SET_KEEPCAPS: ok\nsetresuid: ok\npermitted 480\ncapset: ok\npermitted 400\n",
    );
    // What it does not keep is gone with user 0.
    jail.expect(&["leave-root"], 0, "permitted 480\nsetresuid: ok\npermitted 0\n");
}

#[test]
fn the_callers_session_keyring_stays_outside() {
    // The filter would refuse the question already.
    let jail = Jail::probe("keyring", "privileges.system_calls = \"all\"");
    jail.build();
    let run = jail.command(&["find-key"]);
    let hold = |program: &std::ffi::OsStr, arguments: &[&std::ffi::OsStr]| {
        let mut command = std::process::Command::new(jail.path("probe"));
        command.arg("hold-key").arg(program).args(arguments).env("STOCKADE_STATE_DIR", jail.path("state"));
        finish(&mut command)
    };
    // Outside the key is found: the test can fail.
    let probe = jail.path("probe");
    assert_eq!(hold(probe.as_os_str(), &["find-key".as_ref()]).lines(), ["key: ok"]);
    let inside = hold(run.get_program(), &run.get_args().collect::<Vec<_>>());
    assert_eq!(inside.lines(), ["key: ENOKEY"]);
}
