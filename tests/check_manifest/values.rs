//! Broken manifests: values that cannot be what they should.

use super::broken;

#[test]
fn wrong_kinds() {
    broken(
        r#"[program]
command = "/bin/echo hello"
user = true
nice = "5"
init = "false"
[tree]
packages = "tzdata"
users = [7]
"#,
        r#"error: `command` must be a list of words, this is text
  --> jails/web.toml:2:11
    2 | command = "/bin/echo hello"
      |           ^^^^^^^^^^^^^^^^^
hint: write `command = ["/bin/echo", "hello"]`

error: `user` must be a name or a number, this is true or false
  --> jails/web.toml:3:8
    3 | user = true
      |        ^^^^
hint: for example `user = "www-data"`

error: `nice` must be a number, this is text
  --> jails/web.toml:4:8
    4 | nice = "5"
      |        ^^^
hint: without quotes: `nice = 5`

error: `init` must be true or false, this is text
  --> jails/web.toml:5:8
    5 | init = "false"
      |        ^^^^^^^
hint: without quotes: `init = false`

error: `packages` must be a list of text, this is text
  --> jails/web.toml:7:12
    7 | packages = "tzdata"
      |            ^^^^^^^^
hint: write `packages = ["tzdata"]`

error: an entry of `users` must be text, this is a number
  --> jails/web.toml:8:10
    8 | users = [7]
      |          ^
hint: for example `users = ["bind"]`

6 errors in jails/web.toml
"#,
    );
}

#[test]
fn table_expected() {
    broken(
        r#"program = "/bin/true"
limits = [1]
"#,
        r#"error: `program` must be a table, this is text
  --> jails/web.toml:1:11
    1 | program = "/bin/true"
      |           ^^^^^^^^^^^
hint: for example `[program]`

error: `limits` must be a table, this is a list
  --> jails/web.toml:2:10
    2 | limits = [1]
      |          ^^^
hint: write `[limits]`, once

2 errors in jails/web.toml
"#,
    );
}

#[test]
fn mounts_as_table() {
    broken(
        r#"[program]
command = ["/bin/true"]
[mounts]
source = "/srv"
target = "/srv"
"#,
        r"error: `mounts` must be a list of tables, this is a table
  --> jails/web.toml:3:1
    3 | [mounts]
      | ^^^^^^^^
hint: write `[[mounts]]`, one for each mount
",
    );
}

#[test]
fn mode_as_number() {
    broken(
        r#"[program]
command = ["/bin/true"]
umask = 27
[tree]
directories = [{ path = "/srv", mode = 750 }]
"#,
        r#"error: a mode is octal, 27 is a decimal number
  --> jails/web.toml:3:9
    3 | umask = 27
      |         ^^
hint: write it in quotes: `"0027"`

error: a mode is octal, 750 is a decimal number
  --> jails/web.toml:5:40
    5 | directories = [{ path = "/srv", mode = 750 }]
      |                                        ^^^
hint: write it in quotes: `"0750"`

2 errors in jails/web.toml
"#,
    );
}

#[test]
fn bad_size_time_and_mode() {
    broken(
        r#"[program]
command = ["/bin/true"]
umask = "rwx"
[[mounts]]
type = "tmpfs"
target = "/tmp"
size = "10 potatoes"
[limits]
runtime_max = "soon"
"#,
        r#"error: `rwx` is not a mode
  --> jails/web.toml:3:9
    3 | umask = "rwx"
      |         ^^^^^
hint: write octal digits up to 7777, such as `0750`

error: `10 potatoes` is not a size
  --> jails/web.toml:7:8
    7 | size = "10 potatoes"
      |        ^^^^^^^^^^^^^
hint: write bytes or a number with K, M, G or T, such as `256M`

error: `soon` is not a time
  --> jails/web.toml:9:15
    9 | runtime_max = "soon"
      |               ^^^^^^
hint: write a number with ms, s, m, h or d, such as `10s` or `1h30m`

3 errors in jails/web.toml
"#,
    );
}

#[test]
fn paths_that_leave() {
    broken(
        r#"[program]
command = ["/bin/true"]
working_directory = "srv"
[[mounts]]
source = "zones"
target = "/etc/../../root"
"#,
        r#"error: a path in the jail must be absolute (start with `/`), `srv` is not
  --> jails/web.toml:3:21
    3 | working_directory = "srv"
      |                     ^^^^^

error: a host path must be absolute (start with `/`), `zones` is not
  --> jails/web.toml:5:10
    5 | source = "zones"
      |          ^^^^^^^

error: a path in the jail cannot contain `..`, `/etc/../../root` does
  --> jails/web.toml:6:10
    6 | target = "/etc/../../root"
      |          ^^^^^^^^^^^^^^^^^

3 errors in jails/web.toml
"#,
    );
}

#[test]
fn out_of_range() {
    broken(
        r#"[program]
command = ["/bin/true"]
nice = 20
oom_score_adjust = 5000
"#,
        r"error: 20 is out of range
  --> jails/web.toml:3:8
    3 | nice = 20
      |        ^^
hint: write a number from -20 to 19

error: 5000 is out of range
  --> jails/web.toml:4:20
    4 | oom_score_adjust = 5000
      |                    ^^^^
hint: write a number from -1000 to 1000

2 errors in jails/web.toml
",
    );
}

#[test]
fn wrong_limits() {
    broken(
        r#"[program]
command = ["/bin/true"]
[limits]
open_files = "many"
cpu_time = "500ms"
realtime_time = 500
stack_size = { soft = "8M" }
processes = -1
"#,
        r#"error: `many` is not a number
  --> jails/web.toml:4:14
    4 | open_files = "many"
      |              ^^^^^^
hint: write one, or `"unlimited"`

error: the kernel counts this limit in seconds, `500ms` is a fraction
  --> jails/web.toml:5:12
    5 | cpu_time = "500ms"
      |            ^^^^^^^
hint: write whole seconds

error: `500` has no unit
  --> jails/web.toml:6:17
    6 | realtime_time = 500
      |                 ^^^
hint: write `"500ms"` or `"500s"`

error: a limit written as a table has no `hard`
  --> jails/web.toml:7:14
    7 | stack_size = { soft = "8M" }
      |              ^^^^^^^^^^^^^^^
hint: add it, such as `hard = 4096`

error: -1 is negative
  --> jails/web.toml:8:13
    8 | processes = -1
      |             ^^
hint: write 0 or more

5 errors in jails/web.toml
"#,
    );
}

#[test]
fn wrong_limits_of_a_group() {
    broken(
        r#"[program]
command = ["/bin/true"]
[limits]
memory = 64
swap = "some"
tasks = 0
cpu = "half"
cpu_weight = 20000
io_weight = "unlimited"
"#,
        r#"error: no program runs in 64 bytes
  --> jails/web.toml:4:10
    4 | memory = 64
      |          ^^
hint: write a size such as `64M`

error: `some` is not a size
  --> jails/web.toml:5:8
    5 | swap = "some"
      |        ^^^^^^
hint: write bytes or a number with K, M, G or T, such as `256M`

error: 0 tasks are none
  --> jails/web.toml:6:9
    6 | tasks = 0
      |         ^
hint: write 2 or more, since PID 1 is one of them

error: `half` is no share of processors
  --> jails/web.toml:7:7
    7 | cpu = "half"
      |       ^^^^^^
hint: write `150%`, or `1.5` for one and a half

error: 20000 is no weight
  --> jails/web.toml:8:14
    8 | cpu_weight = 20000
      |              ^^^^^
hint: write a number from 1 to 10000, where 100 is everybody's

error: `unlimited` is not a number
  --> jails/web.toml:9:13
    9 | io_weight = "unlimited"
      |             ^^^^^^^^^^^
hint: write one, without quotes

6 errors in jails/web.toml
"#,
    );
}

#[test]
fn wrong_processors() {
    broken(
        r#"[program]
command = ["/bin/true"]
cpu_affinity = "3-1"
"#,
        r#"error: `3-1` is not a list of processors
  --> jails/web.toml:3:16
    3 | cpu_affinity = "3-1"
      |                ^^^^^
hint: write numbers up to 8191 and ranges, such as `"0-3,8"`
"#,
    );
}
