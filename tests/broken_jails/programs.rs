//! Programs that the host has not got, or not so: found before anything is built.

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
