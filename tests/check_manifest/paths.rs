//! Broken manifests: paths that are taken, hidden, or made twice.

use super::broken;

#[test]
fn targets_that_are_taken() {
    broken(
        r#"[program]
command = ["/bin/true"]
[[mounts]]
source = "/srv"
target = "/"
[[mounts]]
source = "/srv"
target = "/proc/sys"
[[mounts]]
source = "/srv"
target = "/dev"
[[mounts]]
source = "/srv"
target = "/sys/kernel"
[[mounts]]
type = "tmpfs"
target = "/dev/shm"
[tree]
devices = ["null", "shm"]
[root]
sys = "masked"
"#,
        r"error: nothing can be mounted on `/`: it is the tree itself
  --> jails/web.toml:3:1
    3 | [[mounts]]
      | ^^^^^^^^^^
hint: mount below it; `read_only = false` under `[root]` makes the tree writable

error: nothing can be mounted on `/proc/sys`: stockade mounts the jail's own /proc
  --> jails/web.toml:6:1
    6 | [[mounts]]
      | ^^^^^^^^^^
hint: choose how much of it by `proc` under `[root]`

error: nothing can be mounted on `/dev`: stockade makes the jail's own /dev
  --> jails/web.toml:9:1
    9 | [[mounts]]
      | ^^^^^^^^^^
hint: name `devices` under `[tree]`; one more of the host is mounted below, such as `/dev/fuse`

error: nothing can be mounted on `/sys/kernel`: stockade mounts the jail's own /sys
  --> jails/web.toml:12:1
   12 | [[mounts]]
      | ^^^^^^^^^^
hint: leave `sys` out of `[root]`, or show less of the host

error: nothing can be mounted on `/dev/shm`: stockade makes the jail's own
  --> jails/web.toml:15:1
   15 | [[mounts]]
      | ^^^^^^^^^^
hint: leave `shm` out of `devices` under `[tree]`

5 errors in jails/web.toml
",
    );
}

#[test]
fn target_twice() {
    broken(
        r#"[program]
command = ["/bin/true"]
[[mounts]]
source = "/srv"
target = "/srv"
[[mounts]]
source = "/var/www"
target = "/srv/"
"#,
        r"error: `/srv` is mounted on twice
  --> jails/web.toml:6:1
    6 | [[mounts]]
      | ^^^^^^^^^^
hint: the second would hide the first; take one out
",
    );
}

#[test]
fn the_whole_host() {
    broken(
        r#"[program]
command = ["/bin/true"]
[[mounts]]
source = "/"
target = "/host"
read_only = false
"#,
        r"error: the jail could write every file of the host
  --> jails/web.toml:3:1
    3 | [[mounts]]
      | ^^^^^^^^^^
hint: name as `source` only what the program needs
",
    );
}

#[test]
fn our_own_state() {
    broken(
        r#"[program]
command = ["/bin/true"]
[[mounts]]
source = "/var/lib/stockade/web"
target = "/data"
"#,
        r"error: `/var/lib/stockade` is where stockade keeps its own trees and records
  --> jails/web.toml:3:1
    3 | [[mounts]]
      | ^^^^^^^^^^
hint: show another directory
",
    );
}

#[test]
fn colliding_paths() {
    broken(
        r#"[program]
command = ["/bin/true"]
[tree]
directories = ["/srv", "/etc/motd/d"]
links = [{ path = "/srv", target = "var" }]
text = [{ path = "/etc/motd", content = "" }, { path = "/etc/motd", content = "x" }]
"#,
        r#"error: `/etc/motd/d` cannot be below `/etc/motd`, which is a file
  --> jails/web.toml:4:24
    4 | directories = ["/srv", "/etc/motd/d"]
      |                        ^^^^^^^^^^^^^
hint: take one out

error: `/srv` cannot be a directory and a link
  --> jails/web.toml:5:10
    5 | links = [{ path = "/srv", target = "var" }]
      |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
hint: take one out

error: `/etc/motd` is made twice
  --> jails/web.toml:6:47
    6 | text = [{ path = "/etc/motd", content = "" }, { path = "/etc/motd", content = "x" }]
      |                                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
hint: take one out

3 errors in jails/web.toml
"#,
    );
}
