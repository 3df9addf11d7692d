//! Broken manifests: values that do not go together.

use super::{broken, broken_file};

#[test]
fn no_command() {
    broken(
        r#"# nothing runs
summary = "nothing"
[program]
user = "root"
"#,
        r#"error: no program to run
  --> jails/web.toml:3:1
    3 | [program]
      | ^^^^^^^^^
hint: write `command = ["/usr/bin/program", "argument"]` under `[program]`
"#,
    );
}

#[test]
fn no_program() {
    broken(
        r#"summary = "nothing"
"#,
        r#"error: no program to run
  --> jails/web.toml:1:1
    1 | summary = "nothing"
      | ^
hint: write `command = ["/usr/bin/program", "argument"]` under `[program]`
"#,
    );
}

#[test]
fn relative_command() {
    broken(
        r#"[program]
command = ["bin/true"]
"#,
        r#"error: cannot run `bin/true`
  --> jails/web.toml:2:11
    2 | command = ["bin/true"]
      |           ^^^^^^^^^^^^
  why: a path in the jail must be absolute (start with `/`), `bin/true` is not
hint: write the whole path in the jail, or a name that is looked up in PATH
"#,
    );
}

#[test]
fn empty_command() {
    broken(
        r"[program]
command = []
",
        r#"error: the command is empty
  --> jails/web.toml:2:11
    2 | command = []
      |           ^^
hint: write `command = ["/usr/bin/program", "argument"]`
"#,
    );
}

#[test]
fn abstract_sockets_of_a_network_of_ones_own() {
    broken(
        r#"[program]
command = ["/bin/true"]
[namespaces]
abstract_sockets = "host"
"#,
        r#"error: there are no abstract sockets of the host in a network of the jail's own
  --> jails/web.toml:4:20
    4 | abstract_sockets = "host"
      |                    ^^^^^^
hint: write `network = "host"` beside it, or take it out
"#,
    );
}

#[test]
fn soft_above_hard() {
    broken(
        r#"[program]
command = ["/bin/true"]
[limits]
open_files = "4096:1024"
stack_size = { soft = "unlimited", hard = "8M" }
"#,
        r#"error: the soft bound of `open_files` is above the hard one
  --> jails/web.toml:4:14
    4 | open_files = "4096:1024"
      |              ^^^^^^^^^^^
hint: the soft bound is what is enforced, the hard one how far it may be raised; write `"soft:hard"`

error: the soft bound of `stack_size` is above the hard one
  --> jails/web.toml:5:14
    5 | stack_size = { soft = "unlimited", hard = "8M" }
      |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
hint: the soft bound is what is enforced, the hard one how far it may be raised; write `"soft:hard"`

2 errors in jails/web.toml
"#,
    );
}

#[test]
fn umask_too_large() {
    broken(
        r#"[program]
command = ["/bin/true"]
umask = "1777"
"#,
        r#"error: a umask of 1777 has bits that umask(2) ignores
  --> jails/web.toml:3:9
    3 | umask = "1777"
      |         ^^^^^^
hint: write at most `"0777"`; `"0027"` is a common one
"#,
    );
}

#[test]
fn background_of_a_program_that_is_pid_1() {
    broken(
        r#"[program]
command = ["/bin/true"]
type = "forking"
init = false
"#,
        r#"error: `type = "forking"` and `init = false` exclude each other
  --> jails/web.toml:3:8
    3 | type = "forking"
      |        ^^^^^^^^^
  why: the end of a program that is PID 1 itself is the end of all it has put into the background
hint: take `init = false` out
"#,
    );
}

#[test]
fn no_processor() {
    broken(
        r#"[program]
command = ["/bin/true"]
cpu_affinity = []
"#,
        r"error: no processor is left to run on
  --> jails/web.toml:3:16
    3 | cpu_affinity = []
      |                ^^
hint: name at least one, or leave `cpu_affinity` out to use all
",
    );
}

#[test]
fn no_time() {
    broken(
        r#"[program]
command = ["/bin/true"]
[limits]
runtime_max = "0s"
"#,
        r#"error: the program would be killed before it starts
  --> jails/web.toml:4:15
    4 | runtime_max = "0s"
      |               ^^^^
hint: leave `runtime_max` out for no limit
"#,
    );
}

#[test]
fn host_renamed() {
    broken(
        r#"[program]
command = ["/bin/true"]
[namespaces]
uts = "host"
hostname = "web"
"#,
        r#"error: with `uts = "host"` this would rename the host
  --> jails/web.toml:5:12
    5 | hostname = "web"
      |            ^^^^^
hint: take out `uts` or `hostname`
"#,
    );
}

#[test]
fn test_of_nothing() {
    broken(
        r#"[program]
command = ["/bin/true"]
[test]
timeout = "5s"
"#,
        r"error: the test looks at nothing
  --> jails/web.toml:3:1
    3 | [test]
      | ^^^^^^
hint: add `command`, a client that must succeed, or `expect`, text the program must print
",
    );
}

#[test]
fn file_name_is_no_name() {
    broken_file(
        "jails/my jail.toml",
        &[],
        r#"[program]
command = ["/bin/true"]
"#,
        r#"error: the jail cannot be named after its file, `my jail`
  --> jails/my jail.toml:1:1
    1 | [program]
      | ^
  why: a jail's name is made of letters, digits, `-`, `_` and `.`; ' ' is none of them
hint: rename the file, or write `name = "…"` at its top
"#,
    );
}

#[test]
fn variables_of_the_service_manager() {
    broken(
        r#"[program]
command = ["/bin/true"]
pass_environment = [
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "INVOCATION_ID",
]
"#,
        r#"error: `NOTIFY_SOCKET` cannot be passed on
  --> jails/web.toml:4:5
    4 |     "NOTIFY_SOCKET",
      |     ^^^^^^^^^^^^^^^
  why: what it says to the supervisor, outside, is not true of the program
hint: `type = "notify"` gives the program what is true inside; take this out

error: `LISTEN_FDS` cannot be passed on
  --> jails/web.toml:5:5
    5 |     "LISTEN_FDS",
      |     ^^^^^^^^^^^^
  why: what it says to the supervisor, outside, is not true of the program
hint: `sockets = true` gives the program what is true inside; take this out

2 errors in jails/web.toml
"#,
    );
}

#[test]
fn sockets_and_watchdog_that_nobody_has() {
    broken(
        r#"[program]
command = ["/bin/true"]
sockets = true
listen = ["80", "here:80"]
"#,
        r#"error: `here:80` is not an address
  --> jails/web.toml:4:17
    4 | listen = ["80", "here:80"]
      |                 ^^^^^^^^^
hint: write a port, `127.0.0.1:80`, `[::1]:80`, `/run/web.sock` or `@web`
"#,
    );
    broken(
        r#"[program]
command = ["/bin/true"]
listen = ["80"]
watchdog = "30s"
"#,
        r#"error: a service manager would listen here, and the program would not get the socket
  --> jails/web.toml:3:11
    3 | listen = ["80"]
      |           ^^^^
hint: write `sockets = true` beside it, for a program that takes sockets as sd_listen_fds(3) says

error: a program that says nothing cannot be watched
  --> jails/web.toml:4:12
    4 | watchdog = "30s"
      |            ^^^^^
  why: it is by sd_notify(3) that a program says that it is well
hint: write `type = "notify"` beside it, for a program that does so, or take it out

2 errors in jails/web.toml
"#,
    );
    broken(
        r#"[program]
command = ["/bin/true"]
type = "notify"
watchdog = "0s"
"#,
        r#"error: no program is well all the time
  --> jails/web.toml:4:12
    4 | watchdog = "0s"
      |            ^^^^
hint: write a time, such as `"30s"`, or leave `watchdog` out
"#,
    );
}

#[test]
fn ports_of_a_network_that_nothing_connects() {
    broken(
        r#"[program]
command = ["/bin/true"]
[namespaces]
publish = ["8080:80"]
allow = [5432]
"#,
        r#"error: `publish` connects ports of a network that pasta connects
  --> jails/web.toml:4:12
    4 | publish = ["8080:80"]
      |            ^^^^^^^^^
hint: write `network = "pasta"` under [namespaces] (`once --net pasta`), or take it out

error: `allow` connects ports of a network that pasta connects
  --> jails/web.toml:5:10
    5 | allow = [5432]
      |          ^^^^
hint: write `network = "pasta"` under [namespaces] (`once --net pasta`), or take it out

2 errors in jails/web.toml
"#,
    );
}

#[test]
fn pasta_without_a_user_namespace_and_ports_that_are_none() {
    broken(
        r#"[program]
command = ["/bin/true"]
[namespaces]
network = "pasta"
user = false
publish = ["80:80:80"]
allow = ["0"]
"#,
        r#"error: pasta needs a user namespace of the jail's own
  --> jails/web.toml:4:11
    4 | network = "pasta"
      |           ^^^^^^^
  why: it is there that it may make a device, and without it it would have to be the host's root
hint: take `user = false` out

error: `80:80:80` does not say which port is published
  --> jails/web.toml:6:12
    6 | publish = ["80:80:80"]
      |            ^^^^^^^^^^
hint: write `8080:80`, of the host and of the jail, `0.0.0.0:8080:80`, or `53:53/udp`

error: `0` is not a port
  --> jails/web.toml:7:10
    7 | allow = ["0"]
      |          ^^^
hint: write a number such as `5432`, or `53/udp`

3 errors in jails/web.toml
"#,
    );
}
