//! Programs in the tree that cannot be executed.

use std::fs;

use super::Jail;
use super::common::{Need, needs};
use super::fixture::for_another_machine;

#[test]
fn program_gone_from_the_tree() {
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
    .without_in_root("program")
    .expect(
        &["run"],
        127,
        r#"error: cannot execute `/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/program"]
      |           ^^^^^^^^^^^^
  why: execve(2): No such file or directory (ENOENT), step N of M, by the program's own process
  why: there is no `/program` in the tree any more, as something has changed it
hint: build it again with `stockade build`
"#,
    );
}

#[test]
fn program_gone_from_the_tree_of_an_ordinary_user() {
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
    .without_in_root("program")
    .expect(
        &["run"],
        127,
        r#"error: cannot execute `/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/program"]
      |           ^^^^^^^^^^^^
  why: execve(2): No such file or directory (ENOENT), step N of M, by the program's own process
  why: there is no `/program` in the tree any more, as something has changed it
hint: build it again with `stockade build`
"#,
    );
}

#[test]
fn program_for_another_machine() {
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
    .with("program", for_another_machine)
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/program"]
      |           ^^^^^^^^^^^^
  why: execve(2): Exec format error (ENOEXEC), step N of M, by the program's own process
  why: `/program` is built for OTHER, this machine is OURS
hint: use a program built for this machine, or a kernel that can run the other kind
"#,
    );
}

#[test]
fn program_for_another_machine_of_an_ordinary_user() {
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
    .with("program", for_another_machine)
    .of_ordinary_user()
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/program"]
      |           ^^^^^^^^^^^^
  why: execve(2): Exec format error (ENOEXEC), step N of M, by the program's own process
  why: `/program` is built for OTHER, this machine is OURS
hint: use a program built for this machine, or a kernel that can run the other kind
"#,
    );
}

#[test]
fn program_cut_short() {
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
    .with("program", |path| fs::write(path, cut_short(fs::read(path).unwrap())).unwrap())
    .expect(&["run"], 126, r#"warning: `DIR/program` cannot be run: truncated in the program headers: 176 bytes expected, 100 there
  --> ./web.toml:2:11
    2 | command = ["/program"]
      |           ^^^^^^^^^^^^
hint: install it anew, or take the entry out
built jail `web`
error: cannot execute `/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/program"]
      |           ^^^^^^^^^^^^
  why: execve(2): Exec format error (ENOEXEC), step N of M, by the program's own process
  why: `/program`: truncated in the program headers: 176 bytes expected, 100 there
hint: install it anew, or correct `command` under [program]
"#);
}

#[test]
fn object_file() {
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
    .compile("program", "int main(void) { return 0; }", &["-c"])
    .mode("program", 0o755)
    .expect(
        &["run"],
        126,
        r#"warning: `DIR/program` cannot be run: an ELF file, but neither a program nor a shared library
  --> ./web.toml:2:11
    2 | command = ["/program"]
      |           ^^^^^^^^^^^^
hint: install it anew, or take the entry out
built jail `web`
error: cannot execute `/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/program"]
      |           ^^^^^^^^^^^^
  why: execve(2): Exec format error (ENOEXEC), step N of M, by the program's own process
  why: `/program`: an ELF file, but neither a program nor a shared library
hint: link it into a program, or correct `command` under [program]
"#,
    );
}

#[test]
fn empty_program() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["/script"]
[tree]
text = [{ path = "/script", mode = "0755", content = "" }]
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
fn command_is_a_directory_of_the_tree() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["/srv"]
[tree]
directories = ["/srv"]
"#,
    )
    .expect(
        &["run"],
        125,
        r#"error: `/srv` cannot be run
  --> ./web.toml:2:11
    2 | command = ["/srv"]
      |           ^^^^^^^^
  why: it is a directory
hint: name a program in it
"#,
    );
}

#[test]
fn command_becomes_a_directory() {
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
    .without_in_root("program")
    .with("tree/program", |path| fs::create_dir(path).unwrap())
    .expect(
        &["run"],
        126,
        r#"error: cannot execute `/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/program"]
      |           ^^^^^^^^^^^^
  why: execve(2): Permission denied (EACCES), step N of M, by the program's own process
  why: `/program` is a directory
hint: name a program in it: correct `command` under [program]
"#,
    );
}

#[test]
fn command_ends_in_a_link_to_nothing() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["/start"]
[tree]
links = [{ path = "/start", target = "/opt/program" }]
"#,
    )
    .expect(
        &["run"],
        125,
        r#"error: `/start` cannot be run
  --> ./web.toml:2:11
    2 | command = ["/start"]
      |           ^^^^^^^^^^
  why: it is a link to `/opt/program`, which is not in the tree: ./web.toml:4
hint: add what the link leads to under `programs` or `files`
"#,
    );
}

#[test]
fn environment_that_is_too_long() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
environment.LONG = "LONG_TEXT"
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .replace("LONG_TEXT", &"x".repeat(200_000))
    .expect(&["run"], 126, r#"built jail `web`
error: cannot execute `/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/program"]
      |           ^^^^^^^^^^^^
  why: execve(2): Argument list too long (E2BIG), step N of M, by the program's own process
hint: the arguments and the environment are too long together, or one of them is longer than 128K: put what is long into a file
"#);
}

#[test]
fn state_directory_without_exec() {
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
    .text("state/.keep", "")
    .after("mount -t tmpfs -o noexec,mode=700 none DIR/state")
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/program"]
      |           ^^^^^^^^^^^^
  why: execve(2): Permission denied (EACCES), step N of M, by the program's own process
  why: the state directory is on a file system that is mounted noexec
hint: set STOCKADE_STATE_DIR to a directory on another file system
"#,
    );
}

#[test]
fn program_of_the_path_gone_from_the_tree() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["server"]
environment = { PATH = "DIR/bin" }
"#,
    )
    .text("bin/.keep", "")
    .with_static("bin/server")
    .built()
    .without_in_tree("bin/server")
    .expect(
        &["run"],
        127,
        r#"error: there is no program `server` in the jail
  --> ./web.toml:2:11
    2 | command = ["server"]
      |           ^^^^^^^^^^
  why: looked for at `DIR/bin/server`
hint: build it again with `stockade build`, which finds it or says what is wrong
"#,
    );
}

/// An ELF file that ends within its program headers, of which it announces two, see elf(5).
fn cut_short(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[56..58].copy_from_slice(&2u16.to_ne_bytes());
    bytes.truncate(100);
    bytes
}
