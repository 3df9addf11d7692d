//! Packages, files and directories of a tree that the host has not got, or not so: found before anything is built.

use std::os::unix::fs::symlink;

use super::Jail;
use super::common::{Need, needs};

#[test]
fn unknown_package() {
    if !needs(Need::Program("dpkg")) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
packages = ["no-such-package"]
"#,
    )
    .expect(
        &["build"],
        1,
        r#"error: the package `no-such-package` is not installed on the host
  --> ./web.toml:5:13
    5 | packages = ["no-such-package"]
      |             ^^^^^^^^^^^^^^^^^
  why: `/var/lib/dpkg/info` has no `no-such-package.list`
hint: install it: `apt install no-such-package`
"#,
    );
}

#[test]
fn misspelt_package() {
    if !needs(Need::Program("dpkg")) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
packages = ["dpgk"]
"#,
    )
    .expect(
        &["build"],
        1,
        r#"error: the package `dpgk` is not installed on the host
  --> ./web.toml:5:13
    5 | packages = ["dpgk"]
      |             ^^^^^^
  why: `/var/lib/dpkg/info` has no `dpgk.list`
hint: did you mean `dpkg`?
"#,
    );
}

#[test]
fn pattern_that_matches_nothing() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
programs = ["DIR/bin/*"]
files = [
    { path = "DIR/program", target = "/program" },
    "DIR/*.conf",
    "DIR/missing/*.conf",
]
"#,
    )
    .expect(
        &["build"],
        1,
        r#"error: nothing matches `DIR/bin/*`
  --> ./web.toml:4:13
    4 | programs = ["DIR/bin/*"]
      |             ^^^^^^^^^^^
hint: install what brings it, or take the entry out

error: nothing matches `DIR/*.conf`
  --> ./web.toml:7:5
    7 |     "DIR/*.conf",
      |     ^^^^^^^^^^^^
hint: write `optional = true` if it may be so

error: nothing matches `DIR/missing/*.conf`
  --> ./web.toml:8:5
    8 |     "DIR/missing/*.conf",
      |     ^^^^^^^^^^^^^^^^^^^^
  why: `DIR/missing`: no such file or directory
hint: write `optional = true` if it may be so

3 errors in ./web.toml
"#,
    );
}

#[test]
fn file_that_is_missing() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [
    { path = "DIR/program", target = "/program" },
    "DIR/web.tml",
]
"#,
    )
    .expect(
        &["build"],
        1,
        r#"error: `DIR/web.tml` cannot be found on the host
  --> ./web.toml:6:5
    6 |     "DIR/web.tml",
      |     ^^^^^^^^^^^^^
  why: `DIR/web.tml`: no such file or directory
hint: did you mean `DIR/web.toml`? Or write `optional = true` if it may be missing
"#,
    );
}

#[test]
fn file_that_cannot_be_read() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [
    { path = "DIR/program", target = "/program" },
    "DIR/secret",
]
"#,
    )
    .text("secret", "")
    .mode("secret", 0)
    .of_ordinary_user()
    .expect(
        &["build"],
        1,
        r#"error: `DIR/secret` cannot be read
  --> ./web.toml:6:5
    6 |     "DIR/secret",
      |     ^^^^^^^^^^^^
hint: run as a user who may read it, or take the entry out
"#,
    );
}

#[test]
fn file_of_the_kernel() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [
    { path = "DIR/program", target = "/program" },
    "/proc/version",
]
"#,
    )
    .expect(
        &["build"],
        1,
        r#"error: `/proc/version` belongs to the kernel and is not copied
  --> ./web.toml:6:5
    6 |     "/proc/version",
      |     ^^^^^^^^^^^^^^^
hint: the jail has its own /proc; see `proc` under `[root]`
"#,
    );
}

#[test]
fn link_that_leads_back_to_itself() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [
    { path = "DIR/program", target = "/program" },
    "DIR/loop",
]
"#,
    )
    .with("loop", |path| symlink("loop", path).unwrap())
    .expect(
        &["build"],
        1,
        r#"error: `DIR/loop` cannot be found on the host
  --> ./web.toml:6:5
    6 |     "DIR/loop",
      |     ^^^^^^^^^^
  why: `DIR/loop`: more than 40 symbolic links, probably a loop (ELOOP)
hint: mend the links, or take the entry out
"#,
    );
}

#[test]
fn two_entries_for_one_path() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [
    { path = "DIR/program", target = "/program" },
    { path = "DIR/web.toml", target = "/program" },
]
"#,
    )
    .expect(
        &["build"],
        1,
        r#"error: two entries want different things at `/program`
  --> ./web.toml:6:5
    6 |     { path = "DIR/web.toml", target = "/program" },
      |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: a copy of `DIR/program`, mode 0755, owner 0:0: ./web.toml:5
  why: a copy of `DIR/web.toml`, mode 0644, owner 0:0: ./web.toml:6
hint: take one of them out; what comes with a directory or a glob is left out with `exclude`
"#,
    );
}

#[test]
fn directory_where_a_file_is() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
text = [{ path = "/program/config", content = "" }]
"#,
    )
    .expect(
        &["build"],
        1,
        r#"error: two entries want different things at `/program`
  --> ./web.toml:4:10
    4 | files = [{ path = "DIR/program", target = "/program" }]
      |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: a directory, mode 0755, owner 0:0: on the way to /program/config; ./web.toml:5
  why: a copy of `DIR/program`, mode 0755, owner 0:0: ./web.toml:4
hint: take one of them out; what comes with a directory or a glob is left out with `exclude`

error: `/program` cannot be found on the host
  --> ./web.toml:2:11
    2 | command = ["/program"]
      |           ^^^^^^^^^^^^
  why: `/program`: no such file or directory
hint: install what brings it, or take the entry out

2 errors in ./web.toml
"#,
    );
}

#[test]
fn two_points_in_a_path() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "/bin/sh", target = "/srv/../program" }]
text = [{ path = "/etc/../../config", content = "" }]
[[mounts]]
source = "DIR"
target = "/../srv"
"#,
    )
    .expect(
        &["check"],
        1,
        r#"error: a path in the jail cannot contain `..`, `/srv/../program` does
  --> ./web.toml:4:39
    4 | files = [{ path = "/bin/sh", target = "/srv/../program" }]
      |                                       ^^^^^^^^^^^^^^^^^

error: a path in the jail cannot contain `..`, `/etc/../../config` does
  --> ./web.toml:5:18
    5 | text = [{ path = "/etc/../../config", content = "" }]
      |                  ^^^^^^^^^^^^^^^^^^^

error: a path in the jail cannot contain `..`, `/../srv` does
  --> ./web.toml:8:10
    8 | target = "/../srv"
      |          ^^^^^^^^^

3 errors in ./web.toml
"#,
    );
}

#[test]
fn package_data_base_unknown() {
    if !needs(Need::Root) || !needs(Need::Program("dpkg")) {
        return;
    }
    Jail::with_program(r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
packages = ["web"]
"#).after("mount -t tmpfs none /var/lib/dpkg; if [ -e /usr/bin/rpm ]; then mount --bind DIR/program /usr/bin/rpm; fi").expect(&["build"], 1, r#"error: `web` cannot be looked up: neither dpkg nor rpm is installed on this host
  --> ./web.toml:5:13
    5 | packages = ["web"]
      |             ^^^^^
hint: list what you need under `programs` and `files`
"#);
}
