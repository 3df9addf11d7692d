//! Users, groups and ids that the host has not got or does not give, and a name for a host that is none.

use super::Jail;
use super::common::{Need, needs};

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
