//! What the host has not got, or not so: found before anything is built.

use std::os::unix::fs::symlink;

use super::Jail;
use super::common::{Need, needs};

#[test]
fn program_not_on_the_host() {
    Jail::new(
        r#"[program]
command = ["DIR/bin/sever"]
"#,
    )
    .script("bin/server", "#!/bin/sh\n")
    .expect(
        &["build"],
        1,
        r#"error: `DIR/bin/sever` cannot be found on the host
  --> ./web.toml:2:11
    2 | command = ["DIR/bin/sever"]
      |           ^^^^^^^^^^^^^^^^^
  why: `DIR/bin/sever`: no such file or directory
hint: did you mean `DIR/bin/server`?
"#,
    );
}

#[test]
fn program_not_on_the_host_for_a_run() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["DIR/bin/sever"]
"#,
    )
    .script("bin/server", "#!/bin/sh\n")
    .of_ordinary_user()
    .expect(
        &["run"],
        125,
        r#"error: `DIR/bin/sever` cannot be found on the host
  --> ./web.toml:2:11
    2 | command = ["DIR/bin/sever"]
      |           ^^^^^^^^^^^^^^^^^
  why: `DIR/bin/sever`: no such file or directory
hint: did you mean `DIR/bin/server`?
"#,
    );
}

#[test]
fn program_not_in_path() {
    Jail::new(
        r#"[program]
command = ["sever"]
environment = { PATH = "DIR/bin:DIR/sbin" }
"#,
    )
    .script("bin/server", "#!/bin/sh\n")
    .expect(
        &["plan"],
        1,
        r#"error: there is no program `sever`, neither in the tree nor on the host
  --> ./web.toml:2:11
    2 | command = ["sever"]
      |           ^^^^^^^^^
  why: looked for in DIR/bin:DIR/sbin
hint: did you mean `server`?
"#,
    );
}

#[test]
fn command_is_a_directory_of_the_host() {
    Jail::new(
        r#"[program]
command = ["DIR/bin"]
"#,
    )
    .script("bin/server", "#!/bin/sh\n")
    .expect(
        &["build"],
        1,
        r#"error: `DIR/bin` cannot be run
  --> ./web.toml:2:11
    2 | command = ["DIR/bin"]
      |           ^^^^^^^^^^^
  why: it is a directory
hint: name a program in it
"#,
    );
}

#[test]
fn program_entry_is_a_directory() {
    Jail::with_program(
        r#"[program]
command = ["DIR/program"]
[tree]
programs = ["DIR/bin"]
"#,
    )
    .script("bin/server", "#!/bin/sh\n")
    .expect(
        &["build"],
        1,
        r#"error: `DIR/bin` cannot be run: not a regular file
  --> ./web.toml:4:13
    4 | programs = ["DIR/bin"]
      |             ^^^^^^^^^
hint: list directories under `files`
"#,
    );
}

#[test]
fn program_without_execute_bit() {
    Jail::with_program(
        r#"[program]
command = ["DIR/program"]
"#,
    )
    .mode("program", 0o644)
    .expect(
        &["build"],
        1,
        r#"error: `DIR/program` is no program: nobody may execute it
  --> ./web.toml:2:11
    2 | command = ["DIR/program"]
      |           ^^^^^^^^^^^^^^^
hint: set its x bit with chmod(1), or list it under `libraries` or `files`
"#,
    );
}

#[test]
fn program_that_is_neither_elf_nor_script() {
    Jail::new(
        r#"[program]
command = ["DIR/program"]
"#,
    )
    .script("program", "exit 0\n")
    .expect(
        &["build"],
        1,
        r#"error: `DIR/program` cannot be run: neither an ELF file nor a script that begins with #!
  --> ./web.toml:2:11
    2 | command = ["DIR/program"]
      |           ^^^^^^^^^^^^^^^
hint: list it under `files`, which brings it as it is
"#,
    );
}

#[test]
fn interpreter_not_on_the_host() {
    Jail::new(
        r#"[program]
command = ["DIR/script"]
"#,
    )
    .script("script", "#!DIR/bin/pyton3\n")
    .expect(
        &["build"],
        1,
        r#"error: `DIR/script` would not start
  --> ./web.toml:2:11
    2 | command = ["DIR/script"]
      |           ^^^^^^^^^^^^^^
  why: `DIR/script` is to be started by `DIR/bin/pyton3`: no such file
hint: install what it is to be started by at that very path
"#,
    );
}

#[test]
fn interpreter_of_env_not_on_the_host() {
    Jail::new(
        r#"[program]
command = ["DIR/script"]
"#,
    )
    .script("script", "#!/usr/bin/env no-such-interpreter\n")
    .expect(
        &["build"],
        1,
        r#"error: `DIR/script` would not start
  --> ./web.toml:2:11
    2 | command = ["DIR/script"]
      |           ^^^^^^^^^^^^^^
  why: `DIR/script` is to be started by `no-such-interpreter`: no such file
hint: install it: env(1) looks for it in the directories of PATH
"#,
    );
}

#[test]
fn script_with_line_ends_of_windows() {
    Jail::new(
        r#"[program]
command = ["DIR/script"]
"#,
    )
    .script("script", "#!/bin/sh\r\n")
    .expect(
        &["build"],
        1,
        r#"error: `DIR/script` would not start
  --> ./web.toml:2:11
    2 | command = ["DIR/script"]
      |           ^^^^^^^^^^^^^^
  why: `DIR/script` is to be started by `/bin/sh\r`: no such file
hint: its lines end in CR LF, as on Windows: take the carriage returns out, as dos2unix(1) does
"#,
    );
}

#[test]
fn unknown_user() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
user = "nobdy"
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .expect(
        &["plan"],
        1,
        r#"error: there is no user `nobdy`
  --> ./web.toml:3:8
    3 | user = "nobdy"
      |        ^^^^^^^
  why: `/etc/passwd` has no line for it; other sources of names (LDAP, systemd) are not asked
hint: did you mean `nobody`? An id by number needs no entry
"#,
    );
}

#[test]
fn unknown_group() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
user = "root"
group = "rooot"
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .expect(
        &["plan"],
        1,
        r#"error: there is no group `rooot`
  --> ./web.toml:4:9
    4 | group = "rooot"
      |         ^^^^^^^
  why: `/etc/group` has no line for it; other sources of names (LDAP, systemd) are not asked
hint: did you mean `root`? An id by number needs no entry
"#,
    );
}

#[test]
fn unknown_user_for_a_run() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
user = "nobdy"
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .expect(
        &["run"],
        125,
        r#"error: there is no user `nobdy`
  --> ./web.toml:3:8
    3 | user = "nobdy"
      |        ^^^^^^^
  why: `/etc/passwd` has no line for it; other sources of names (LDAP, systemd) are not asked
hint: did you mean `nobody`? An id by number needs no entry
"#,
    );
}

#[test]
fn unknown_owner() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
directories = [{ path = "/srv", group = "roott" }]
[[tree.files]]
path = "DIR/program"
target = "/program"
owner = "nobdy"
"#,
    )
    .expect(
        &["build"],
        1,
        r#"error: there is no group `roott`
  --> ./web.toml:4:16
    4 | directories = [{ path = "/srv", group = "roott" }]
      |                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: `/etc/group` has no line for it; other sources of names (LDAP, systemd) are not asked
hint: did you mean `root`? An id by number needs no entry

error: there is no user `nobdy`
  --> ./web.toml:5:1
    5 | [[tree.files]]
      | ^^^^^^^^^^^^^^
  why: `/etc/passwd` has no line for it; other sources of names (LDAP, systemd) are not asked
hint: did you mean `nobody`? An id by number needs no entry

2 errors in ./web.toml
"#,
    );
}

#[test]
fn supplementary_groups_of_an_ordinary_user() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
supplementary_groups = ["root"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .of_ordinary_user()
    .expect(
        &["run"],
        125,
        r#"built jail `web`
error: an ordinary user cannot give supplementary groups
  --> ./web.toml:3:25
    3 | supplementary_groups = ["root"]
      |                         ^^^^^^
  why: user_namespaces(7): setgroups(2) is denied where an ordinary user wrote the id map
hint: run as root, or use `group` for the one group that is needed
"#,
    );
}

#[test]
fn no_user_namespace_for_an_ordinary_user() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[namespaces]
user = false
"#,
    )
    .of_ordinary_user()
    .expect(&["run"], 125, r"built jail `web`
error: an ordinary user cannot run a jail without a user namespace
  --> ./web.toml:6:8
    6 | user = false
      |        ^^^^^
  why: the other namespaces, and chroot(2), need CAP_SYS_ADMIN, which only a user namespace gives to an ordinary user
hint: leave `user` out, or run as root
");
}

#[test]
fn user_without_a_place_in_the_user_namespace() {
    if !needs(Need::Root) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
user = 70000
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .expect(
        &["run"],
        125,
        r"built jail `web`
error: user 70000 has no place in the jail's user namespace
  --> ./web.toml:3:8
    3 | user = 70000
      |        ^^^^^
  why: a jail started by root has the ids from 0 to 65535
hint: choose another one, or say `user = false` under [namespaces]: then ids inside are the host's own
",
    );
}

/// As in many containers: it is a user then, and gives the one id that it has.
#[test]
fn ids_forbidden_to_root() {
    if !needs(Need::Root) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .started_by(&["setpriv", "--bounding-set=-setuid"])
    .expect(&["run"], 0, "built jail `web`\n");
}

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
fn host_name_that_is_too_long() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[namespaces]
hostname = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
"#,
    )
    .expect(
        &["check"],
        1,
        r#"error: `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa` is not a host name
  --> ./web.toml:6:12
    6 | hostname = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
hint: write up to 64 letters, digits, `-`, `_` and `.`
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
