//! Working directories that are not there, or that the program's user may not enter.

use std::fs;

use super::Jail;
use super::common::{Need, needs};

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
