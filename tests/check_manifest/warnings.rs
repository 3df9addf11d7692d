//! Manifests that are accepted, but probably do not say what was meant.

use super::common::{Dir, Need, needs};
use super::doubtful;

#[test]
fn chroot() {
    doubtful(
        r#"[program]
command = ["/bin/true"]
[root]
method = "chroot"
"#,
        r#"warning: chroot alone does not hold a program that is root or can become it
  --> jails/web.toml:4:10
    4 | method = "chroot"
      |          ^^^^^^^^
  why: chroot(2) moves a pointer; the host's tree stays mounted, and root can move the pointer back
hint: write `method = "pivot"` where the kernel has mount namespaces
"#,
    );
}

#[test]
fn mounts_in_the_wrong_order() {
    doubtful(
        r#"[program]
command = ["/bin/true"]
[[mounts]]
source = "/a"
target = "/srv/a"
[[mounts]]
source = "/b"
target = "/srv"
"#,
        r"warning: `/srv` hides the earlier mount on `/srv/a`
  --> jails/web.toml:6:1
    6 | [[mounts]]
      | ^^^^^^^^^^
hint: mounts are made in order; put this one before `/srv/a`
",
    );
}

#[test]
fn writable_root_for_root() {
    doubtful(
        r#"[program]
command = ["/bin/true"]
user = "root"
[root]
read_only = false
"#,
        r"warning: a program that is root can replace every program and library of this jail
  --> jails/web.toml:5:13
    5 | read_only = false
      |             ^^^^^
hint: keep the root read-only, and give each directory it writes to a `[[mounts]]`
",
    );
}

#[test]
fn capability_that_frees() {
    doubtful(
        r#"[program]
command = ["/bin/true"]
[namespaces]
user = false
[privileges]
capabilities = ["SYS_ADMIN", "CHOWN"]
"#,
        r#"warning: with `SYS_ADMIN` this jail holds nobody
  --> jails/web.toml:6:17
    6 | capabilities = ["SYS_ADMIN", "CHOWN"]
      |                 ^^^^^^^^^^^
  why: who has it, in a jail started by root, can do most of what root of the host can
hint: look for a narrower capability in capabilities(7)
"#,
    );
}

#[test]
fn capability_that_looks_into_pid_1() {
    doubtful(
        r#"[program]
command = ["/bin/true"]
[namespaces]
user = false
[privileges]
capabilities = ["SYS_PTRACE"]
"#,
        r#"warning: with `SYS_PTRACE` the program can look into stockade's own process
  --> jails/web.toml:6:17
    6 | capabilities = ["SYS_PTRACE"]
      |                 ^^^^^^^^^^^^
  why: PID 1 of the jail is a copy of the supervisor: in a jail started by root, who has this capability can read its memory, with the environment stockade was started with
hint: leave it out: processes of one's own user can be traced without it
"#,
    );
}

#[test]
fn settings_of_the_host() {
    doubtful(
        r#"[program]
command = ["/bin/true"]
user = "root"
[root]
proc = "full"
[namespaces]
network = "host"
"#,
        r#"warning: started by root, this program can change the settings of the host's kernel
  --> jails/web.toml:5:8
    5 | proc = "full"
      |        ^^^^^^
  why: /proc/sys and /proc/sysrq-trigger belong to root, which needs no capability to write there
hint: leave `proc` out, choose another `user`, or say `user = true` under `[namespaces]`
"#,
    );
}

#[test]
fn ids_without_effect() {
    doubtful(
        r#"[program]
command = ["/bin/true"]
[namespaces]
network = "host"
first_id = 200000
"#,
        r"warning: `first_id` has no effect
  --> jails/web.toml:5:12
    5 | first_id = 200000
      |            ^^^^^^
  why: without a user namespace of the jail's own its ids are the host's
hint: say `user = true`, or leave it out
",
    );
}

#[test]
fn squashed_where_nothing_is_written() {
    doubtful(
        r#"[program]
command = ["/bin/true"]
[[mounts]]
source = "/srv/www"
target = "/srv"
root_squash = true
"#,
        r"warning: `root_squash` has no effect
  --> jails/web.toml:3:1
    3 | [[mounts]]
      | ^^^^^^^^^^
  why: what is shown read-only nobody can write
hint: leave it out, or say `read_only = false`
",
    );
}

#[test]
fn capability_without_effect() {
    doubtful(
        r#"[program]
command = ["/bin/true"]
[namespaces]
user = true
network = "host"
[privileges]
capabilities = ["NET_BIND_SERVICE"]
"#,
        r#"warning: `NET_BIND_SERVICE` has no effect on the host's network here
  --> jails/web.toml:7:17
    7 | capabilities = ["NET_BIND_SERVICE"]
      |                 ^^^^^^^^^^^^^^^^^^
  why: with `user = true` a capability counts only in the jail's own user namespace
hint: run as root without `user = true`, or with `network = "none"`
"#,
    );
}

#[test]
fn capability_that_the_filter_makes_useless() {
    let manifest = r#"[program]
command = ["/bin/true"]
[privileges]
capabilities = ["SYS_CHROOT"]
"#;
    doubtful(
        manifest,
        r#"warning: `SYS_CHROOT` cannot be used
  --> jails/web.toml:4:17
    4 | capabilities = ["SYS_CHROOT"]
      |                 ^^^^^^^^^^^^
  why: the profile `default` of system calls refuses chroot
hint: write `system_calls = "daemon"` under `[privileges]`, which allows what capabilities are for
"#,
    );
}

#[test]
fn marks_without_effect() {
    doubtful(
        r#"[program]
command = ["/bin/true"]
[tree]
programs = [{ path = "/usr/bin/sudo", keep = ["setid"] }]
[privileges]
bounding = ["SETUID"]
"#,
        r#"warning: kept setuid bits and file capabilities have no effect
  --> jails/web.toml:4:13
    4 | programs = [{ path = "/usr/bin/sudo", keep = ["setid"] }]
      |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: under no_new_privileges, the default, no program gains rights by being started
hint: add `no_new_privileges = false` under `[privileges]`, or leave this out

warning: capabilities in `bounding` have no effect
  --> jails/web.toml:6:13
    6 | bounding = ["SETUID"]
      |             ^^^^^^^^
  why: under no_new_privileges, the default, no program gains rights by being started
hint: add `no_new_privileges = false` under `[privileges]`, or leave this out

2 warnings in jails/web.toml
"#,
    );
}

#[test]
fn listed_twice() {
    doubtful(
        r#"[program]
command = ["/bin/true"]
[tree]
programs = ["/bin/sh", "/bin/sh"]
"#,
        r#"warning: `/bin/sh` is listed twice
  --> jails/web.toml:4:24
    4 | programs = ["/bin/sh", "/bin/sh"]
      |                        ^^^^^^^^^
hint: take one out
"#,
    );
}

#[test]
fn hidden_by_a_mount() {
    doubtful(
        r#"[program]
command = ["/bin/true"]
[tree]
text = [{ path = "/etc/app/x", content = "" }]
[[mounts]]
source = "/srv"
target = "/etc/app"
"#,
        r#"warning: `/etc/app/x` is hidden by what is mounted on `/etc/app`
  --> jails/web.toml:4:9
    4 | text = [{ path = "/etc/app/x", content = "" }]
      |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
hint: make it on the mounted side, or take it out
"#,
    );
}

#[test]
fn sources_that_tell_too_much() {
    doubtful(
        r#"[program]
command = ["/bin/true"]
[[mounts]]
source = "/"
target = "/host"
[[mounts]]
source = "/run/docker.sock"
target = "/run/docker.sock"
[[mounts]]
type = "tmpfs"
target = "/tmp"
size = 0
"#,
        r#"warning: the jail sees every file of the host
  --> jails/web.toml:3:1
    3 | [[mounts]]
      | ^^^^^^^^^^
hint: name as `source` only what the program needs

warning: who can talk to `/run/docker.sock` is root on the host
  --> jails/web.toml:6:1
    6 | [[mounts]]
      | ^^^^^^^^^^
  why: it starts containers with any mount, for every client

warning: a tmpfs of size 0 has no limit
  --> jails/web.toml:9:1
    9 | [[mounts]]
      | ^^^^^^^^^^
  why: see tmpfs(5): it may fill the host's memory
hint: write a size, such as `size = "64M"`

3 warnings in jails/web.toml
"#,
    );
}

#[test]
fn variable_twice() {
    doubtful(
        r#"[program]
command = ["/bin/true"]
environment = { TERM = "dumb" }
pass_environment = ["TERM"]
"#,
        r#"warning: `TERM` has a value in `environment` too
  --> jails/web.toml:4:21
    4 | pass_environment = ["TERM"]
      |                     ^^^^^^
hint: the value in `environment` wins; take one of the two out
"#,
    );
}

#[test]
fn command_in_one_word() {
    doubtful(
        r#"[program]
command = ["echo hello"]
"#,
        r#"warning: the program's name contains white space
  --> jails/web.toml:2:11
    2 | command = ["echo hello"]
      |           ^^^^^^^^^^^^^^
hint: no shell takes it apart; write `command = ["echo", "hello"]`
"#,
    );
}

#[test]
fn name_servers_without_a_network() {
    doubtful(
        r#"[program]
command = ["/bin/true"]
[tree]
host = ["hosts", "dns"]
"#,
        r#"warning: no name server can be asked from a network of the jail's own
  --> jails/web.toml:4:18
    4 | host = ["hosts", "dns"]
      |                  ^^^^^
  why: it has loopback only, and nobody listens there
hint: take `dns` out, or write `network = "host"` under `[namespaces]`; `hosts` needs no network
"#,
    );
}

#[test]
fn what_a_configuration_names_and_the_jail_lacks_is_told() {
    let dir = Dir::new("named");
    let text = "\
[program]
command = [\"/bin/cat\"]
[[tree.text]]
path = \"/etc/web.conf\"
content = '''
# /etc/hosts
name /etc/hostname;
users /etc/shadow
absent /nowhere/at/all
has /bin/cat /etc/web.conf
scratch /tmp/web
'''
";
    let place = "  --> ./web.toml:3:1\n    3 | [[tree.text]]\n      | ^^^^^^^^^^^^^\n";
    dir.write("web.toml", text).stockade(["check", "./web.toml"]).expect(
        0,
        "./web.toml: ok, 2 warnings\n",
        &format!(
            "warning: `/etc/hostname` is on this host and not in the jail\n{place}  why: line 2 of `/etc/web.conf` names it\n\
             hint: if the program needs it: `files = [\"/etc/hostname\"]` under [tree], or a mount\n\n\
             warning: `/etc/shadow` is on this host and not in the jail\n{place}  why: line 3 of `/etc/web.conf` names it\n\
             hint: a secret is never copied unasked: if the program needs it, show it by a mount\n\n\
             2 warnings in ./web.toml\n"
        ),
    );
    let shown = format!("{text}[[mounts]]\nsource = \"/etc\"\ntarget = \"/etc\"\n");
    let checked = dir.write("web.toml", shown).stockade(["check", "./web.toml"]).output();
    assert!(!checked.stderr.contains("names it"), "{}", checked.stderr);
}

#[test]
fn a_program_that_loads_libraries_by_name_is_noted() {
    if !needs(Need::Program("cc")) {
        return;
    }
    let dir = Dir::new("loading");
    dir.write(
        "p.c",
        "#include <dlfcn.h>\nint main(int n, char **v) { return !dlopen(v[n - 1], RTLD_NOW); }\n",
    );
    let built =
        std::process::Command::new("cc").current_dir(dir.path()).args(["-o", "p", "p.c", "-ldl"]).status();
    assert!(built.unwrap().success());
    let program = dir.join("p").display().to_string();
    dir.write("p.toml", format!("program.command = [\"{program}\"]\n")).stockade(["check", "./p.toml"]).expect(
        0,
        &format!("./p.toml: ok\n    `{program}` loads libraries by name (dlopen(3)): `stockade learn` tells which\n"),
        "",
    );
}
