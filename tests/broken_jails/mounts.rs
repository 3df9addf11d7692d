//! Mounts that cannot be made: their sources, their targets, and the tree they are in.

use std::fs;

use super::Jail;
use super::common::{Need, needs};

#[test]
fn source_missing() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[[mounts]]
source = "DIR/dta"
target = "/data"
"#,
    )
    .text("data/.keep", "")
    .expect(
        &["build"],
        1,
        r"error: `DIR/dta` cannot be found on the host
  --> ./web.toml:5:1
    5 | [[mounts]]
      | ^^^^^^^^^^
  why: `DIR/dta`: no such file or directory
hint: did you mean `DIR/data`? Or write `optional = true` if it may be missing
",
    );
}

#[test]
fn source_gone() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[[mounts]]
source = "DIR/data"
target = "/data"
"#,
    )
    .text("data/.keep", "")
    .built()
    .with("data", |path| fs::remove_dir_all(path).unwrap())
    .expect(
        &["run"],
        125,
        r"error: cannot show `DIR/data` at `/data` in jail `web`
  --> ./web.toml:5:1
    5 | [[mounts]]
      | ^^^^^^^^^^
  why: openat2(2): No such file or directory (ENOENT), step N of M, in the new namespaces
hint: `DIR/data` is not on the host: correct `source`, or say `optional = true`
",
    );
}

#[test]
fn source_gone_of_an_ordinary_user() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[[mounts]]
source = "DIR/data"
target = "/data"
"#,
    )
    .text("data/.keep", "")
    .of_ordinary_user()
    .built()
    .with("data", |path| fs::remove_dir_all(path).unwrap())
    .expect(
        &["run"],
        125,
        r"error: cannot show `DIR/data` at `/data` in jail `web`
  --> ./web.toml:5:1
    5 | [[mounts]]
      | ^^^^^^^^^^
  why: openat2(2): No such file or directory (ENOENT), step N of M, in the new namespaces
hint: `DIR/data` is not on the host: correct `source`, or say `optional = true`
",
    );
}

#[test]
fn source_out_of_reach() {
    if !needs(Need::Root) || !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[[mounts]]
source = "DIR/closed/data"
target = "/data"
"#,
    )
    .of_ordinary_user()
    .text("closed/data/.keep", "")
    .built()
    .mode("closed", 0)
    .expect(
        &["run"],
        125,
        r"error: cannot show `DIR/closed/data` at `/data` in jail `web`
  --> ./web.toml:5:1
    5 | [[mounts]]
      | ^^^^^^^^^^
  why: openat2(2): Permission denied (EACCES), step N of M, in the new namespaces
hint: this user may not reach `DIR/closed/data`
",
    );
}

#[test]
fn source_out_of_reach_when_built() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[[mounts]]
source = "DIR/closed/data"
target = "/data"
"#,
    )
    .text("closed/data/.keep", "")
    .of_ordinary_user()
    .mode("closed", 0)
    .expect(
        &["build"],
        1,
        r"error: `DIR/closed/data` cannot be found on the host
  --> ./web.toml:5:1
    5 | [[mounts]]
      | ^^^^^^^^^^
  why: `DIR/closed/data`: Permission denied (EACCES)
hint: run as a user who may search the way to it
",
    );
}

#[test]
fn file_on_a_directory() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
directories = ["/data"]
[[mounts]]
source = "DIR/data"
target = "/data"
"#,
    )
    .text("data", "")
    .expect(
        &["build"],
        1,
        r"error: a file cannot be mounted on `/data`
  --> ./web.toml:6:1
    6 | [[mounts]]
      | ^^^^^^^^^^
  why: a directory, mode 0755, owner 0:0 is there: ./web.toml:5
hint: take one of them out, or choose another `target`
",
    );
}

#[test]
fn directory_on_a_file() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
text = [{ path = "/data", content = "" }]
[[mounts]]
source = "DIR/data"
target = "/data"
"#,
    )
    .text("data/.keep", "")
    .expect(
        &["build"],
        1,
        r"error: a directory cannot be mounted on `/data`
  --> ./web.toml:6:1
    6 | [[mounts]]
      | ^^^^^^^^^^
  why: a file of 0 bytes, mode 0644, owner 0:0 is there: ./web.toml:5
hint: take one of them out, or choose another `target`
",
    );
}

#[test]
fn source_became_a_file() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[[mounts]]
source = "DIR/data"
target = "/data"
"#,
    )
    .text("data/.keep", "")
    .built()
    .with("data", |path| fs::remove_dir_all(path).unwrap())
    .text("data", "")
    .expect(&["run"], 125, r"error: cannot mount on `/data` in jail `web`
  --> ./web.toml:5:1
    5 | [[mounts]]
      | ^^^^^^^^^^
  why: move_mount(2): Invalid argument (EINVAL), step N of M, in the new namespaces
hint: `/data` is a directory in the tree and a file on the host, or the reverse: build it again with `stockade build`
");
}

#[test]
fn target_gone_from_the_tree() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[[mounts]]
source = "DIR/data"
target = "/data"
"#,
    )
    .text("data/.keep", "")
    .built()
    .with("tree/data", |path| fs::remove_dir(path).unwrap())
    .expect(
        &["run"],
        125,
        r"error: cannot mount on `/data` in jail `web`
  --> ./web.toml:5:1
    5 | [[mounts]]
      | ^^^^^^^^^^
  why: move_mount(2): No such file or directory (ENOENT), step N of M, in the new namespaces
hint: the tree has nothing at `/data` to mount on: build it again with `stockade build`
",
    );
}

#[test]
fn tree_gone() {
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
    .built()
    .with("tree/", |path| fs::remove_dir_all(path).unwrap())
    .expect(
        &["run"],
        125,
        r"error: cannot use `DIR/state/web/generations/1/tree` as the root in jail `web`
  why: openat2(2): No such file or directory (ENOENT), step N of M, in the new namespaces
  why: the step is there by default: what the program may write is mounted by name
hint: the tree is gone: build it again with `stockade build`
",
    );
}

#[test]
fn tree_gone_of_an_ordinary_user() {
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
    .built()
    .with("tree/", |path| fs::remove_dir_all(path).unwrap())
    .expect(
        &["run"],
        125,
        r"error: cannot use `DIR/state/web/generations/1/tree` as the root in jail `web`
  why: openat2(2): No such file or directory (ENOENT), step N of M, in the new namespaces
  why: the step is there by default: what the program may write is mounted by name
hint: the tree is gone: build it again with `stockade build`
",
    );
}

#[test]
fn proc_covered_in_parts() {
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
    // One elsewhere on this machine, such as a chroot's, would do for the kernel.
    .after(
        r#"while read -r _ at kind _; do [ "$kind" != proc ] || [ "$at" = /proc ] || umount -l "$at"; done < /proc/self/mounts
        mount -t tmpfs none /proc/sys/kernel"#,
    )
    .of_ordinary_user()
    .expect(&["run"], 125, r#"built jail `web`
error: cannot make the `proc` for `/proc` in jail `web`
  why: fsmount(2): Operation not permitted (EPERM), step N of M, in the new namespaces
  why: the step is there by default: most programs read /proc; what tells of the host is covered
hint: the host's own /proc is covered in parts, as in a container, and then the kernel gives no new one: set `proc = "none"` under [root] (`once --no-proc`)
"#);
}
