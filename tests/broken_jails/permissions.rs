//! Programs in the tree that nobody may execute, or not the program's user.

use super::Jail;
use super::common::{Need, needs};

#[test]
fn no_execute_bit() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program", mode = "0644" }]
"#,
    )
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/program"]
      |           ^^^^^^^^^^^^
  why: execve(2): Permission denied (EACCES), step N of M, by the program's own process
  why: `/program` has no execute bit
hint: give it `mode = "0755"` under [tree]
"#,
    );
}

#[test]
fn text_without_execute_bit() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r##"[program]
command = ["/script"]
[tree]
text = [{ path = "/script", content = "#!/bin/sh\n" }]
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
  why: `/script` has no execute bit
hint: give it `mode = "0755"` under [tree]
"#,
    );
}

#[test]
fn program_that_the_user_may_not_execute() {
    if !needs(Need::Root) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program", mode = "0700" }]
"#,
    )
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/program"]
      |           ^^^^^^^^^^^^
  why: execve(2): Permission denied (EACCES), step N of M, by the program's own process
  why: user 65534 may not execute `/program` (mode 0700, owner 0:0)
hint: give it an `owner` or a `mode` under [tree] that this user may use
"#,
    );
}

#[test]
fn directory_that_the_user_may_not_search() {
    if !needs(Need::Root) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/srv/bin/program"]
[tree]
files = [{ path = "DIR/program", target = "/srv/bin/program" }]
directories = [{ path = "/srv", mode = "0700" }]
"#,
    )
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/srv/bin/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/srv/bin/program"]
      |           ^^^^^^^^^^^^^^^^^^^^
  why: execve(2): Permission denied (EACCES), step N of M, by the program's own process
  why: user 65534 may not search `/srv` (mode 0700, owner 0:0)
hint: give it an `owner` or a `mode` under [tree] that this user may use
"#,
    );
}

#[test]
fn program_whose_group_bits_forbid_it() {
    if !needs(Need::Root) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
user = "root"
[tree]
files = [{ path = "DIR/program", target = "/program", mode = "0655" }]
"#,
    )
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/program"]
      |           ^^^^^^^^^^^^
  why: execve(2): Permission denied (EACCES), step N of M, by the program's own process
  why: user 0 may not execute `/program` (mode 0655, owner 0:0)
hint: give it an `owner` or a `mode` under [tree] that this user may use
"#,
    );
}

#[test]
fn no_execute_bit_of_an_ordinary_user() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program", mode = "0644" }]
"#,
    )
    .of_ordinary_user()
    .expect(
        &["run"],
        126,
        r#"built jail `web`
error: cannot execute `/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/program"]
      |           ^^^^^^^^^^^^
  why: execve(2): Permission denied (EACCES), step N of M, by the program's own process
  why: `/program` has no execute bit
hint: give it `mode = "0755"` under [tree]
"#,
    );
}
