//! Rights and resources that the caller has not got.

use super::Jail;
use super::common::{Need, needs};

#[test]
fn hard_limit_raised() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[limits]
core_size = "1M"
"#,
    )
    .started_by(&["sh", "-c", "ulimit -c 0; exec \"$0\" \"$@\""])
    .of_ordinary_user()
    .expect(
        &["run"],
        125,
        r#"built jail `web`
error: cannot set RLIMIT_CORE in jail `web`
  --> ./web.toml:6:13
    6 | core_size = "1M"
      |             ^^^^
  why: prlimit(2): Operation not permitted (EPERM), step N of M, inside, before the program
hint: raising a hard limit needs CAP_SYS_RESOURCE: choose at most what the caller has of RLIMIT_CORE
"#,
    );
}

#[test]
fn hard_limit_raised_by_root_without_the_capability() {
    if !needs(Need::Root) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[limits]
open_files = 100
core_size = "0:unlimited"
"#,
    )
    .started_by(&["sh", "-c", "ulimit -c 0; exec \"$0\" \"$@\""])
    .started_by(&["setpriv", "--bounding-set=-sys_resource"])
    .expect(
        &["run"],
        125,
        r#"built jail `web`
error: cannot set RLIMIT_CORE in jail `web`
  --> ./web.toml:7:13
    7 | core_size = "0:unlimited"
      |             ^^^^^^^^^^^^^
  why: prlimit(2): Operation not permitted (EPERM), step N of M, inside, before the program
hint: raising a hard limit needs CAP_SYS_RESOURCE: choose at most what the caller has of RLIMIT_CORE
"#,
    );
}

#[test]
fn more_files_than_the_kernel_allows() {
    if !needs(Need::Root) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[limits]
open_files = 2000000000
"#,
    )
    .expect(&["run"], 125, r"built jail `web`
error: cannot set RLIMIT_NOFILE in jail `web`
  --> ./web.toml:6:14
    6 | open_files = 2000000000
      |              ^^^^^^^^^^
  why: prlimit(2): Operation not permitted (EPERM), step N of M, inside, before the program
hint: raising a hard limit needs CAP_SYS_RESOURCE, and nobody gets more files than fs.nr_open in sysctl(8): choose at most what `ulimit -Hn` says
");
}

#[test]
fn negative_nice_of_an_ordinary_user() {
    if !needs(Need::UserNamespaces) || !needs(Need::Program("prlimit")) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
nice = -5
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .started_by(&["prlimit", "--nice=0"])
    .of_ordinary_user()
    .expect(&["run"], 125, r"built jail `web`
error: cannot set the nice value to -5 in jail `web`
  --> ./web.toml:3:8
    3 | nice = -5
      |        ^^
  why: setpriority(2): Permission denied (EACCES), step N of M, inside, before the program
hint: a more favoured nice value than the caller's needs CAP_SYS_NICE or a sufficient RLIMIT_NICE: choose a higher `nice`
");
}

#[test]
fn negative_nice_of_root_without_the_capability() {
    if !needs(Need::Root) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
nice = -5
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .started_by(&["prlimit", "--nice=0", "setpriv", "--bounding-set=-sys_nice"])
    .expect(&["run"], 125, r"built jail `web`
error: cannot set the nice value to -5 in jail `web`
  --> ./web.toml:3:8
    3 | nice = -5
      |        ^^
  why: setpriority(2): Permission denied (EACCES), step N of M, inside, before the program
hint: a more favoured nice value than the caller's needs CAP_SYS_NICE or a sufficient RLIMIT_NICE: choose a higher `nice`
");
}

#[test]
fn oom_score_lowered_by_an_ordinary_user() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
oom_score_adjust = -1000
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .of_ordinary_user()
    .expect(
        &["run"],
        125,
        r"built jail `web`
error: cannot set the out-of-memory score to -1000 in jail `web`
  --> ./web.toml:3:20
    3 | oom_score_adjust = -1000
      |                    ^^^^^
  why: write(2): Permission denied (EACCES), step N of M, in the new namespaces
hint: lowering the score below the caller's needs CAP_SYS_RESOURCE: choose a higher `oom_score_adjust`
",
    );
}

#[test]
fn oom_score_lowered_by_root_without_the_capability() {
    if !needs(Need::Root) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
oom_score_adjust = -1000
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .started_by(&["setpriv", "--bounding-set=-sys_resource"])
    .expect(
        &["run"],
        125,
        r"built jail `web`
error: cannot set the out-of-memory score to -1000 in jail `web`
  --> ./web.toml:3:20
    3 | oom_score_adjust = -1000
      |                    ^^^^^
  why: write(2): Permission denied (EACCES), step N of M, in the new namespaces
hint: lowering the score below the caller's needs CAP_SYS_RESOURCE: choose a higher `oom_score_adjust`
",
    );
}

#[test]
fn capability_that_root_has_not_got() {
    if !needs(Need::Root) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[namespaces]
user = false
[privileges]
capabilities = ["NET_RAW"]
system_calls = "daemon"
"#,
    )
    .started_by(&["setpriv", "--bounding-set=-net_raw"])
    .expect(
        &["run"],
        125,
        r#"built jail `web`
error: cannot set the capabilities to: NET_RAW in jail `web`
  --> ./web.toml:8:17
    8 | capabilities = ["NET_RAW"]
      |                 ^^^^^^^^^
  why: capset(2): Operation not permitted (EPERM), step N of M, inside, before the program
hint: the caller has not got all of these capabilities itself: see `capsh --print`
"#,
    );
}

#[test]
fn processor_that_is_not_there() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
cpu_affinity = [1000]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .expect(
        &["run"],
        125,
        r"built jail `web`
error: cannot choose the processors in jail `web`
  --> ./web.toml:3:16
    3 | cpu_affinity = [1000]
      |                ^^^^^^
  why: sched_setaffinity(2): Invalid argument (EINVAL), step N of M, inside, before the program
hint: none of these processors is there: see nproc(1)
",
    );
}

#[test]
fn processor_that_is_not_there_of_an_ordinary_user() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
cpu_affinity = [1000]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .of_ordinary_user()
    .expect(
        &["run"],
        125,
        r"built jail `web`
error: cannot choose the processors in jail `web`
  --> ./web.toml:3:16
    3 | cpu_affinity = [1000]
      |                ^^^^^^
  why: sched_setaffinity(2): Invalid argument (EINVAL), step N of M, inside, before the program
hint: none of these processors is there: see nproc(1)
",
    );
}

#[test]
fn user_namespaces_forbidden() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .of_ordinary_user()
    .started_by(&[
        "unshare",
        "--user",
        "--map-user=65534",
        "--keep-caps",
        "sh",
        "-ec",
        "echo 0 >/proc/sys/user/max_user_namespaces; exec \"$0\" \"$@\"",
    ])
    .expect(&["run"], 125, r"built jail `web`
error: cannot make the new namespaces in jail `web`
  why: clone(2): No space left on device (ENOSPC), step N of M, outside the jail
  why: the step is there by default: every namespace is new unless the manifest shares it with the host
hint: user namespaces are refused to this user: user.max_user_namespaces is 0: `sysctl user.max_user_namespaces=10000`; or run as root, or, with less around the program, `stockade once --landlock-only`
");
}

#[test]
fn namespaces_forbidden_to_root() {
    if !needs(Need::Root) {
        return;
    }
    // With a user namespace it is as for any user.
    let program = r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#;
    let without = ["setpriv", "--bounding-set=-sys_admin"];
    Jail::with_program(program).started_by(&without).expect(&["run"], 0, "built jail `web`\n");
    Jail::with_program(&format!("{program}[namespaces]\nuser = false\n")).started_by(&without).expect(
        &["run"],
        125,
        r"built jail `web`
error: an ordinary user cannot run a jail without a user namespace
  --> ./web.toml:6:8
    6 | user = false
      |        ^^^^^
  why: the other namespaces, and chroot(2), need CAP_SYS_ADMIN, which only a user namespace gives to an ordinary user
hint: leave `user` out, or run as root
",
    );
}

#[test]
fn root_of_a_user_namespace() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .of_ordinary_user()
    .started_by(&["unshare", "--user", "--map-root-user"])
    .expect(
        &["run"],
        125,
        r"error: cannot build jail `web`
  why: the state directory `DIR/state` cannot be trusted: `/` belongs to user 65534
hint: run stockade outside this user namespace, which does not know the host's root
",
    );
}

#[test]
fn processes_used_up() {
    if !needs(Need::UserNamespaces) || !needs(Need::Program("prlimit")) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .of_ordinary_user()
    .started_by(&["prlimit", "--nproc=0"])
    .expect(
        &["run"],
        125,
        r"built jail `web`
error: cannot make the new namespaces in jail `web`
  why: clone(2): Try again (EAGAIN), step N of M, outside the jail
  why: the step is there by default: every namespace is new unless the manifest shares it with the host
hint: a limit on processes is reached: RLIMIT_NPROC of this user, or the pids limit of its cgroup
",
    );
}

#[test]
fn files_used_up() {
    if !needs(Need::UserNamespaces) || !needs(Need::Program("prlimit")) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .of_ordinary_user()
    .started_by(&["prlimit", "--nofile=4"])
    .expect(
        &["run"],
        125,
        r"error: cannot build jail `web`
  why: the state directory `DIR/state` cannot be used: `/tmp`: openat(2): Too many open files (EMFILE)
hint: too many open files: raise the limit, see `ulimit -n`
",
    );
}
