//! Scripts in the tree that cannot be executed, and their interpreters.

use super::Jail;
use super::common::{Need, needs};

#[test]
fn interpreter_missing() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .script("program", "#!DIR/bin/pyton3\n")
    .expect(
        &["run"],
        127,
        r#"warning: `DIR/program` would not start
  --> ./web.toml:2:11
    2 | command = ["/program"]
      |           ^^^^^^^^^^^^
  why: `DIR/program` is to be started by `DIR/bin/pyton3`: no such file
hint: install what it is to be started by at that very path
built jail `web`
error: cannot execute `/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/program"]
      |           ^^^^^^^^^^^^
  why: execve(2): No such file or directory (ENOENT), step N of M, by the program's own process
  why: `/program` is a script for `DIR/bin/pyton3`, which is not in the jail
hint: it is not on the host at that path either: install it there, or correct the script's first line
"#,
    );
}

#[test]
fn interpreter_gone_from_the_tree() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r##"[program]
command = ["/script"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
text = [{ path = "/script", mode = "0755", content = "#!/program -x\n" }]
"##,
    )
    .built()
    .without_in_root("program")
    .expect(
        &["run"],
        127,
        r#"error: cannot execute `/script` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/script"]
      |           ^^^^^^^^^^^
  why: execve(2): No such file or directory (ENOENT), step N of M, by the program's own process
  why: `/script` is a script for `/program`, which is not in the jail
hint: it is not on the host at that path either: install it there, or correct the script's first line
"#,
    );
}

#[test]
fn interpreter_without_execute_bit() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r##"[program]
command = ["/script"]
[tree]
files = [{ path = "DIR/program", target = "/program", mode = "0644" }]
text = [{ path = "/script", mode = "0755", content = "#!/program -x\n" }]
"##,
    )
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/script` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/script"]
      |           ^^^^^^^^^^^
  why: execve(2): Permission denied (EACCES), step N of M, by the program's own process
  why: `/program` has no execute bit
hint: give it `mode = "0755"` under [tree]
"#,
    );
}

#[test]
fn interpreter_that_the_user_may_not_execute() {
    if !needs(Need::Root) {
        return;
    }
    Jail::with_program(
        r##"[program]
command = ["/script"]
[tree]
files = [{ path = "DIR/program", target = "/program", mode = "0700" }]
text = [{ path = "/script", mode = "0755", content = "#!/program -x\n" }]
"##,
    )
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/script` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/script"]
      |           ^^^^^^^^^^^
  why: execve(2): Permission denied (EACCES), step N of M, by the program's own process
  why: user 65534 may not execute `/program` (mode 0700, owner 0:0)
hint: give it an `owner` or a `mode` under [tree] that this user may use
"#,
    );
}

#[test]
fn interpreter_on_a_mount_without_exec() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r##"[program]
command = ["/script"]
[tree]
text = [{ path = "/script", mode = "0755", content = "#!/app/program -x\n" }]
[[mounts]]
source = "DIR"
target = "/app"
executable = false
"##,
    )
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/script` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/script"]
      |           ^^^^^^^^^^^
  why: execve(2): Permission denied (EACCES), step N of M, by the program's own process
  why: `/app` is mounted noexec (./web.toml:5)
hint: add `executable = true` to the mount of `/app`
"#,
    );
}

#[test]
fn script_without_its_first_line() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["/script"]
[tree]
text = [{ path = "/script", mode = "0755", content = "echo hello\n" }]
"#,
    )
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/script` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/script"]
      |           ^^^^^^^^^^^
  why: execve(2): Exec format error (ENOEXEC), step N of M, by the program's own process
  why: `/script` is neither an ELF program nor a script that begins with `#!`
hint: begin it with a line such as `#!/bin/sh`, or name its interpreter first in `command`
"#,
    );
}

#[test]
fn script_without_its_first_line_of_an_ordinary_user() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["/script"]
[tree]
text = [{ path = "/script", mode = "0755", content = "echo hello\n" }]
"#,
    )
    .of_ordinary_user()
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/script` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/script"]
      |           ^^^^^^^^^^^
  why: execve(2): Exec format error (ENOEXEC), step N of M, by the program's own process
  why: `/script` is neither an ELF program nor a script that begins with `#!`
hint: begin it with a line such as `#!/bin/sh`, or name its interpreter first in `command`
"#,
    );
}

#[test]
fn script_with_line_ends_of_windows_in_the_tree() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r##"[program]
command = ["/script"]
[tree]
text = [{ path = "/script", mode = "0755", content = "#!/script\r\necho hello\r\n" }]
"##,
    )
    .expect(
        &["run"],
        127,
        r#"built jail `web`
error: cannot execute `/script` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/script"]
      |           ^^^^^^^^^^^
  why: execve(2): No such file or directory (ENOENT), step N of M, by the program's own process
  why: `/script` is a script for `/script\r`: its lines end in CR LF, as on Windows
hint: take the carriage returns out, as dos2unix(1) does
"#,
    );
}

#[test]
fn scripts_that_interpret_each_other() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r##"[program]
command = ["/script"]
[tree]
text = [{ path = "/script", mode = "0755", content = "#!/script\n" }]
"##,
    )
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/script` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/script"]
      |           ^^^^^^^^^^^
  why: execve(2): Too many symbolic links encountered (ELOOP), step N of M, by the program's own process
  why: `/script` is a script, interpreted by a script, and so on for more than five
hint: let the first line of one of them name a program
"#,
    );
}
