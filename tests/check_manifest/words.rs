//! Broken manifests: names that are not known, or cannot be names.

use super::broken;

#[test]
fn wrong_words() {
    broken(
        r#"[program]
command = ["/bin/true"]
personality = ["linux23"]
[root]
method = "pivotroot"
proc = "hidden"
[namespaces]
network = "hosts"
"#,
        r#"error: unknown value `linux23`
  --> jails/web.toml:3:16
    3 | personality = ["linux23"]
      |                ^^^^^^^^^
hint: did you mean `linux32`? The values are `linux32`, `uname26`, `no-randomize`, `compat-layout`, `read-implies-exec`, `mmap-page-zero`, `3gb`, `sticky-timeouts`, `whole-seconds`, `short-inode`

error: unknown value `pivotroot`
  --> jails/web.toml:5:10
    5 | method = "pivotroot"
      |          ^^^^^^^^^^^
hint: write one of `pivot`, `move`, `chroot`

error: unknown value `hidden`
  --> jails/web.toml:6:8
    6 | proc = "hidden"
      |        ^^^^^^^^
hint: write one of `masked`, `processes`, `full`, `none`

error: unknown value `hosts`
  --> jails/web.toml:8:11
    8 | network = "hosts"
      |           ^^^^^^^
hint: did you mean `host`? The values are `host`, `none`, `pasta`

4 errors in jails/web.toml
"#,
    );
}

#[test]
fn wrong_capabilities() {
    broken(
        r#"[program]
command = ["/bin/true"]
[privileges]
capabilities = ["NET_BIND_SERVCE", "ALL", "root"]
"#,
        r#"error: `NET_BIND_SERVCE` is not a capability
  --> jails/web.toml:4:17
    4 | capabilities = ["NET_BIND_SERVCE", "ALL", "root"]
      |                 ^^^^^^^^^^^^^^^^^
hint: did you mean `NET_BIND_SERVICE`?

error: `ALL` is not a capability
  --> jails/web.toml:4:36
    4 | capabilities = ["NET_BIND_SERVCE", "ALL", "root"]
      |                                    ^^^^^
hint: name the ones that are needed; see capabilities(7)

error: `root` is not a capability
  --> jails/web.toml:4:43
    4 | capabilities = ["NET_BIND_SERVCE", "ALL", "root"]
      |                                           ^^^^^^
hint: capabilities(7) lists them, such as `NET_BIND_SERVICE`

3 errors in jails/web.toml
"#,
    );
}

#[test]
fn wrong_devices() {
    broken(
        r#"[program]
command = ["/bin/true"]
[tree]
devices = ["urandon", "sda"]
"#,
        r#"error: `urandon` is not a device a jail can have
  --> jails/web.toml:4:12
    4 | devices = ["urandon", "sda"]
      |            ^^^^^^^^^
hint: did you mean `urandom`?

error: `sda` is not a device a jail can have
  --> jails/web.toml:4:23
    4 | devices = ["urandon", "sda"]
      |                       ^^^^^
hint: write one of `null`, `zero`, `full`, `random`, `urandom`, `tty`, `pts`, `shm`, `log`; any other device of the host comes by `[[mounts]]`

2 errors in jails/web.toml
"#,
    );
}

#[test]
fn wrong_environment() {
    broken(
        r#"[program]
command = ["/bin/true"]
environment = { PORT = 80, "A=B" = "c" }
pass_environment = ["TERM=xterm"]
"#,
        r#"error: the variable `PORT` must be text, this is a number
  --> jails/web.toml:3:24
    3 | environment = { PORT = 80, "A=B" = "c" }
      |                        ^^
hint: in quotes: `PORT = "80"`

error: the name of a variable cannot contain `=`
  --> jails/web.toml:3:28
    3 | environment = { PORT = 80, "A=B" = "c" }
      |                            ^^^^^

error: the name of a variable cannot contain `=`
  --> jails/web.toml:4:21
    4 | pass_environment = ["TERM=xterm"]
      |                     ^^^^^^^^^^^^
hint: names only; a variable with its value goes to `environment`

3 errors in jails/web.toml
"#,
    );
}

#[test]
fn wrong_names() {
    broken(
        r#"name = "my web"
[program]
command = ["/bin/true"]
user = "www data"
[tree]
users = ["33"]
packages = ["--all"]
[namespaces]
hostname = "a b"
"#,
        r#"error: a jail's name is made of letters, digits, `-`, `_` and `.`; ' ' is none of them
  --> jails/web.toml:1:8
    1 | name = "my web"
      |        ^^^^^^^^

error: `www data` is not the name of a user or group
  --> jails/web.toml:4:8
    4 | user = "www data"
      |        ^^^^^^^^^^

error: 33 is a number, not a name
  --> jails/web.toml:6:10
    6 | users = ["33"]
      |          ^^^^
hint: write the name it has on this host

error: `--all` is not the name of a package
  --> jails/web.toml:7:13
    7 | packages = ["--all"]
      |             ^^^^^^^
hint: write it as `dpkg -S FILE` or `rpm -qf FILE` does

error: `a b` is not a host name
  --> jails/web.toml:9:12
    9 | hostname = "a b"
      |            ^^^^^
hint: write up to 64 letters, digits, `-`, `_` and `.`

5 errors in jails/web.toml
"#,
    );
}
