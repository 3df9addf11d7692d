//! Mounts, what they hide, and the working directory.

use std::fs;

use super::Jail;
use super::common::{Need, needs};
use super::fixture::for_another_machine;

#[test]
fn program_hidden_by_a_new_file_system() {
    Jail::with_program(
        r#"[program]
command = ["/run/program"]
[tree]
files = [{ path = "DIR/program", target = "/run/program" }]
[[mounts]]
type = "tmpfs"
target = "/run"
"#,
    )
    .expect(
        &["build"],
        1,
        r#"error: `/run/program` cannot be there when the jail starts
  --> ./web.toml:2:11
    2 | command = ["/run/program"]
      |           ^^^^^^^^^^^^^^^^
  why: `/run` is then an empty file system: ./web.toml:5
hint: put the program elsewhere, or mount this elsewhere
"#,
    );
}

#[test]
fn program_hidden_by_a_mount() {
    Jail::new(
        r#"[program]
command = ["/app/program"]
[tree]
files = [{ path = "DIR/app/program", target = "/app/program" }]
[[mounts]]
source = "DIR/empty"
target = "/app"
"#,
    )
    .text("app/.keep", "")
    .with_static("app/program")
    .text("empty/.keep", "")
    .expect(
        &["build"],
        1,
        r#"error: `DIR/empty/program` cannot be found on the host
  --> ./web.toml:2:11
    2 | command = ["/app/program"]
      |           ^^^^^^^^^^^^^^^^
  why: `DIR/empty/program`: no such file or directory
  why: a mount shows it at `/app/program`: ./web.toml:5
  why: what the tree has at that path is hidden by the mount
hint: install what brings it, or take the entry out
"#,
    );
}

#[test]
fn program_not_behind_its_mount() {
    Jail::new(
        r#"[program]
command = ["/app/program"]
[[mounts]]
source = "DIR/app"
target = "/app"
"#,
    )
    .text("app/prgram", "")
    .expect(
        &["build"],
        1,
        r#"error: `DIR/app/program` cannot be found on the host
  --> ./web.toml:2:11
    2 | command = ["/app/program"]
      |           ^^^^^^^^^^^^^^^^
  why: `DIR/app/program`: no such file or directory
  why: a mount shows it at `/app/program`: ./web.toml:3
hint: did you mean `DIR/app/prgram`?
"#,
    );
}

#[test]
fn program_gone_from_behind_its_mount() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["/app/program"]
[[mounts]]
source = "DIR/app"
target = "/app"
"#,
    )
    .text("app/.keep", "")
    .with_static("app/program")
    .built()
    .without("app/program")
    .expect(
        &["run"],
        127,
        r#"error: cannot execute `/app/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/app/program"]
      |           ^^^^^^^^^^^^^^^^
  why: execve(2): No such file or directory (ENOENT), step N of M, by the program's own process
  why: `DIR/app/program` is not on the host, which shows `DIR/app` at `/app` (./web.toml:3)
hint: put it there, or correct `command` under [program]
"#,
    );
}

#[test]
fn program_gone_from_behind_its_mount_of_an_ordinary_user() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["/app/program"]
[[mounts]]
source = "DIR/app"
target = "/app"
"#,
    )
    .text("app/.keep", "")
    .with_static("app/program")
    .of_ordinary_user()
    .built()
    .without("app/program")
    .expect(
        &["run"],
        127,
        r#"error: cannot execute `/app/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/app/program"]
      |           ^^^^^^^^^^^^^^^^
  why: execve(2): No such file or directory (ENOENT), step N of M, by the program's own process
  why: `DIR/app/program` is not on the host, which shows `DIR/app` at `/app` (./web.toml:3)
hint: put it there, or correct `command` under [program]
"#,
    );
}

#[test]
fn program_on_a_mount_without_exec() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["/app/program"]
[[mounts]]
source = "DIR/app"
target = "/app"
executable = false
"#,
    )
    .text("app/.keep", "")
    .with_static("app/program")
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/app/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/app/program"]
      |           ^^^^^^^^^^^^^^^^
  why: execve(2): Permission denied (EACCES), step N of M, by the program's own process
  why: `/app` is mounted noexec (./web.toml:3)
hint: add `executable = true` to the mount of `/app`
"#,
    );
}

#[test]
fn program_on_a_mount_without_exec_of_an_ordinary_user() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["/app/program"]
[[mounts]]
source = "DIR/app"
target = "/app"
executable = false
"#,
    )
    .text("app/.keep", "")
    .with_static("app/program")
    .of_ordinary_user()
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/app/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/app/program"]
      |           ^^^^^^^^^^^^^^^^
  why: execve(2): Permission denied (EACCES), step N of M, by the program's own process
  why: `/app` is mounted noexec (./web.toml:3)
hint: add `executable = true` to the mount of `/app`
"#,
    );
}

#[test]
fn program_on_a_file_system_without_exec() {
    if !needs(Need::Root) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["/app/program"]
[[mounts]]
source = "DIR/app"
target = "/app"
"#,
    )
    .text("app/.keep", "")
    .with_static("program")
    .after("mount -t tmpfs -o noexec none DIR/app; cp DIR/program DIR/app/")
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/app/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/app/program"]
      |           ^^^^^^^^^^^^^^^^
  why: execve(2): Permission denied (EACCES), step N of M, by the program's own process
  why: the host has the file system of `DIR/app` mounted noexec
hint: list the program under `programs` in [tree], which copies it, or mount that file system without noexec
"#,
    );
}

#[test]
fn program_without_execute_bit_behind_its_mount() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["/app/program"]
[[mounts]]
source = "DIR/app"
target = "/app"
"#,
    )
    .text("app/.keep", "")
    .with_static("app/program")
    .mode("app/program", 0o644)
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/app/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/app/program"]
      |           ^^^^^^^^^^^^^^^^
  why: execve(2): Permission denied (EACCES), step N of M, by the program's own process
  why: `DIR/app/program` has no execute bit
hint: make it executable on the host: `chmod +x 'DIR/app/program'`
"#,
    );
}

#[test]
fn script_behind_a_mount() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["/app/program"]
[[mounts]]
source = "DIR/app"
target = "/app"
"#,
    )
    .script("app/program", "#!/usr/bin/no-such-interpreter\n")
    .expect(
        &["run"],
        127,
        r#"built jail `web`
error: cannot execute `/app/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/app/program"]
      |           ^^^^^^^^^^^^^^^^
  why: execve(2): No such file or directory (ENOENT), step N of M, by the program's own process
  why: `/app/program` is a script for `/usr/bin/no-such-interpreter`, which is not in the jail
hint: it is not on the host at that path either: install it there, or correct the script's first line
"#,
    );
}

#[test]
fn program_that_the_user_may_not_execute_behind_its_mount() {
    if !needs(Need::Root) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["/app/program"]
[[mounts]]
source = "DIR/app"
target = "/app"
"#,
    )
    .text("app/.keep", "")
    .with_static("app/program")
    .mode("app/program", 0o700)
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/app/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/app/program"]
      |           ^^^^^^^^^^^^^^^^
  why: execve(2): Permission denied (EACCES), step N of M, by the program's own process
  why: user 65534 may not execute `DIR/app/program` (mode 0700, owner 0:0)
hint: change its mode or owner on the host, or choose another `user` under [program]
"#,
    );
}

#[test]
fn directory_that_the_user_may_not_search_behind_a_mount() {
    if !needs(Need::Root) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["/app/program"]
[[mounts]]
source = "DIR/app"
target = "/app"
"#,
    )
    .text("app/.keep", "")
    .with_static("app/program")
    .mode("app", 0o700)
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/app/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/app/program"]
      |           ^^^^^^^^^^^^^^^^
  why: execve(2): Permission denied (EACCES), step N of M, by the program's own process
  why: user 65534 may not search `DIR/app` (mode 0700, owner 0:0)
hint: change its mode or owner on the host, or choose another `user` under [program]
"#,
    );
}

#[test]
fn program_for_another_machine_behind_its_mount() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["/app/program"]
[[mounts]]
source = "DIR/app"
target = "/app"
"#,
    )
    .text("app/.keep", "")
    .with_static("app/program")
    .with("app/program", for_another_machine)
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/app/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/app/program"]
      |           ^^^^^^^^^^^^^^^^
  why: execve(2): Exec format error (ENOEXEC), step N of M, by the program's own process
  why: `/app/program` is built for OTHER, this machine is OURS
hint: use a program built for this machine, or a kernel that can run the other kind
"#,
    );
}

#[test]
fn text_behind_a_mount() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["/app/program"]
[[mounts]]
source = "DIR/app"
target = "/app"
"#,
    )
    .script("app/program", "exit 0\n")
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/app/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/app/program"]
      |           ^^^^^^^^^^^^^^^^
  why: execve(2): Exec format error (ENOEXEC), step N of M, by the program's own process
  why: `DIR/app/program` is neither an ELF program nor a script that begins with `#!`
hint: begin it with a line such as `#!/bin/sh`, or name its interpreter first in `command`
"#,
    );
}

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

#[test]
fn working_directory_hidden_by_a_mount() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
working_directory = "/run/web"
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[[mounts]]
type = "tmpfs"
target = "/run"
"#,
    )
    .expect(
        &["run"],
        125,
        r#"built jail `web`
error: cannot change to the directory `/run/web` in jail `web`
  --> ./web.toml:3:21
    3 | working_directory = "/run/web"
      |                     ^^^^^^^^^^
  why: chdir(2): No such file or directory (ENOENT), step N of M, by the program's own process
  why: `/run` is an empty file system when the jail starts (./web.toml:6)
hint: choose a `working_directory` outside it; the program can change to this one when it has made it
"#,
    );
}

#[test]
fn working_directory_not_behind_its_mount() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
working_directory = "/data/web"
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[[mounts]]
source = "DIR/data"
target = "/data"
"#,
    )
    .text("data/.keep", "")
    .of_ordinary_user()
    .expect(
        &["run"],
        125,
        r#"built jail `web`
error: cannot change to the directory `/data/web` in jail `web`
  --> ./web.toml:3:21
    3 | working_directory = "/data/web"
      |                     ^^^^^^^^^^^
  why: chdir(2): No such file or directory (ENOENT), step N of M, by the program's own process
  why: `DIR/data/web` is not on the host, which shows `DIR/data` at `/data` (./web.toml:6)
hint: make `DIR/data/web` on the host, or correct `working_directory`
"#,
    );
}

#[test]
fn working_directory_gone_from_the_tree() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
working_directory = "/srv/web"
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .built()
    .with("tree/srv/web", |path| fs::remove_dir(path).unwrap())
    .expect(
        &["run"],
        125,
        r#"error: cannot change to the directory `/srv/web` in jail `web`
  --> ./web.toml:3:21
    3 | working_directory = "/srv/web"
      |                     ^^^^^^^^^^
  why: chdir(2): No such file or directory (ENOENT), step N of M, by the program's own process
  why: there is no `/srv/web` in the tree any more, as something has changed it
hint: build it again with `stockade build`
"#,
    );
}

#[test]
fn working_directory_that_the_user_may_not_search() {
    if !needs(Need::Root) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
working_directory = "/srv/web"
[tree]
files = [{ path = "DIR/program", target = "/program" }]
directories = [{ path = "/srv", mode = "0700" }]
"#,
    )
    .expect(
        &["run"],
        125,
        r#"built jail `web`
error: cannot change to the directory `/srv/web` in jail `web`
  --> ./web.toml:3:21
    3 | working_directory = "/srv/web"
      |                     ^^^^^^^^^^
  why: chdir(2): Permission denied (EACCES), step N of M, by the program's own process
  why: user 65534 may not search `/srv` (mode 0700, owner 0:0)
hint: give it an `owner` or a `mode` under [tree] that this user may use
"#,
    );
}

#[test]
fn working_directory_that_is_a_file() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
working_directory = "/program"
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .expect(
        &["build"],
        1,
        r#"error: `/program` is no directory, and has to be one
  --> ./web.toml:3:21
    3 | working_directory = "/program"
      |                     ^^^^^^^^^^
  why: a copy of `DIR/program`, mode 0755, owner 0:0 is there: ./web.toml:5
hint: take one of them out, or choose another path for it
"#,
    );
}
