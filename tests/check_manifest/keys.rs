//! Broken manifests: keys that do not exist, or are missing.

use super::broken;

#[test]
fn misspelled() {
    broken(
        r#"[program]
comand = ["/bin/true"]
"#,
        r#"error: unknown key `comand` in `[program]`
  --> jails/web.toml:2:1
    2 | comand = ["/bin/true"]
      | ^^^^^^
hint: did you mean `command`?
"#,
    );
}

#[test]
fn of_another_table() {
    broken(
        r#"[program]
command = ["/bin/true"]
hostname = "web"
open_files = 100
"#,
        r#"error: unknown key `hostname` in `[program]`
  --> jails/web.toml:3:1
    3 | hostname = "web"
      | ^^^^^^^^
hint: did you mean `hostname`, in `[namespaces]`?

error: unknown key `open_files` in `[program]`
  --> jails/web.toml:4:1
    4 | open_files = 100
      | ^^^^^^^^^^
hint: did you mean `open_files`, in `[limits]`?

2 errors in jails/web.toml
"#,
    );
}

#[test]
fn of_another_tool() {
    broken(
        r#"[program]
command = ["/bin/true"]
cwd = "/srv"
env = { A = "b" }
uid = 33
caps = ["CHOWN"]
"#,
        r#"error: unknown key `cwd` in `[program]`
  --> jails/web.toml:3:1
    3 | cwd = "/srv"
      | ^^^
hint: did you mean `working_directory`?

error: unknown key `env` in `[program]`
  --> jails/web.toml:4:1
    4 | env = { A = "b" }
      | ^^^
hint: did you mean `environment`?

error: unknown key `uid` in `[program]`
  --> jails/web.toml:5:1
    5 | uid = 33
      | ^^^
hint: did you mean `user`?

error: unknown key `caps` in `[program]`
  --> jails/web.toml:6:1
    6 | caps = ["CHOWN"]
      | ^^^^
hint: did you mean `capabilities`, in `[privileges]`?

4 errors in jails/web.toml
"#,
    );
}

#[test]
fn table_misspelled() {
    broken(
        r#"[program]
command = ["/bin/true"]
[limit]
open_files = 100
[volumes]
"#,
        r"error: unknown key `limit`
  --> jails/web.toml:3:2
    3 | [limit]
      |  ^^^^^
hint: did you mean `[limits]`?

error: unknown key `volumes`
  --> jails/web.toml:5:2
    5 | [volumes]
      |  ^^^^^^^
hint: did you mean `[[mounts]]`?

2 errors in jails/web.toml
",
    );
}

#[test]
fn of_nothing() {
    broken(
        r#"[program]
command = ["/bin/true"]
flavour = "mint"
"#,
        r#"error: unknown key `flavour` in `[program]`
  --> jails/web.toml:3:1
    3 | flavour = "mint"
      | ^^^^^^^
hint: the keys of `[program]` are `command`, `user`, `group`, `supplementary_groups`, `working_directory`, `umask`, `environment`, `pass_environment`, `unset_environment`, `nice`, `oom_score_adjust`, `cpu_affinity`, `personality`, `init`, `type`, `sockets`, `listen`, `watchdog`
"#,
    );
}

#[test]
fn of_a_list_entry() {
    broken(
        r#"[program]
command = ["/bin/true"]
[tree]
directories = [{ path = "/srv", permissions = "0750" }]
"#,
        r#"error: unknown key `permissions` in an entry of `tree.directories`
  --> jails/web.toml:4:33
    4 | directories = [{ path = "/srv", permissions = "0750" }]
      |                                 ^^^^^^^^^^^
hint: did you mean `mode`?
"#,
    );
}

#[test]
fn top_key_below_a_table() {
    broken(
        r#"[program]
command = ["/bin/true"]
summary = "a server"
"#,
        r#"error: unknown key `summary` in `[program]`
  --> jails/web.toml:3:1
    3 | summary = "a server"
      | ^^^^^^^
hint: did you mean `summary`, at the top of the file before the first `[table]`?
"#,
    );
}

#[test]
fn missing_in_mount() {
    broken(
        r#"[program]
command = ["/bin/true"]
[[mounts]]
source = "/srv"
[[mounts]]
target = "/srv"
"#,
        r#"error: `[[mounts]]` has no `target`
  --> jails/web.toml:3:1
    3 | [[mounts]]
      | ^^^^^^^^^^
hint: add it, such as `target = "/etc/bind/zones"`

error: `[[mounts]]` has no `source`
  --> jails/web.toml:5:1
    5 | [[mounts]]
      | ^^^^^^^^^^
hint: add it, such as `source = "/srv/zones"`

2 errors in jails/web.toml
"#,
    );
}

#[test]
fn missing_in_list_entries() {
    broken(
        r#"[program]
command = ["/bin/true"]
[tree]
text = [{ path = "/etc/motd" }]
links = [{ target = "usr/bin" }]
"#,
        r#"error: an entry of `tree.text` has no `content`
  --> jails/web.toml:4:9
    4 | text = [{ path = "/etc/motd" }]
      |         ^^^^^^^^^^^^^^^^^^^^^^
hint: add it, such as `content = "hello\n"`

error: an entry of `tree.links` has no `path`
  --> jails/web.toml:5:10
    5 | links = [{ target = "usr/bin" }]
      |          ^^^^^^^^^^^^^^^^^^^^^^
hint: add it, such as `path = "/bin"`

2 errors in jails/web.toml
"#,
    );
}

#[test]
fn not_for_this_mount() {
    broken(
        r#"[program]
command = ["/bin/true"]
[[mounts]]
type = "tmpfs"
source = "/srv"
target = "/tmp"
[[mounts]]
source = "/srv"
target = "/srv"
size = "1M"
[[mounts]]
type = "overlay"
source = "/srv"
target = "/work"
mode = "0700"
recursive = false
"#,
        r#"error: `source` means nothing for this type of mount
  --> jails/web.toml:5:10
    5 | source = "/srv"
      |          ^^^^^^
hint: leave it out, or write `type = "bind"`

error: `size` means nothing for this type of mount
  --> jails/web.toml:10:8
   10 | size = "1M"
      |        ^^^^
hint: leave it out, or write `type = "tmpfs"`

error: `mode` means nothing for this type of mount
  --> jails/web.toml:15:8
   15 | mode = "0700"
      |        ^^^^^^
hint: leave it out, or write `type = "tmpfs"`

error: `recursive` means nothing for this type of mount
  --> jails/web.toml:16:13
   16 | recursive = false
      |             ^^^^^
hint: leave it out, or write `type = "bind"`

4 errors in jails/web.toml
"#,
    );
}
