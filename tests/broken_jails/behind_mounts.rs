//! Programs that a mount hides, or shows so that they cannot be executed.

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
