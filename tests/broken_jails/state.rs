//! The state directory.

use std::os::unix::fs::chown;

use super::Jail;
use super::common::{Need, needs};

#[test]
fn state_directory_that_others_may_write_to() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .text("state/.keep", "")
    .mode("state", 0o777)
    .expect(&["build"], 125, r"error: cannot build jail `web`
  why: the state directory `DIR/state` cannot be trusted: `DIR/state` is writable by its group or by others (mode 0777)
hint: chmod go-w 'DIR/state': whoever can write to it can put another tree in the jail's place
");
}

#[test]
fn state_directory_that_its_group_may_write_to() {
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
    .text("state/.keep", "")
    .mode("state", 0o770)
    .of_ordinary_user()
    .expect(&["run"], 125, r"error: cannot build jail `web`
  why: the state directory `DIR/state` cannot be trusted: `DIR/state` is writable by its group or by others (mode 0770)
hint: chmod go-w 'DIR/state': whoever can write to it can put another tree in the jail's place
");
}

#[test]
fn state_directory_of_somebody_else() {
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
    .with("state", |path| chown(path, Some(1234), Some(1234)).unwrap())
    .expect(
        &["build"],
        125,
        r"error: cannot build jail `web`
  why: the state directory `DIR/state` cannot be trusted: `DIR/state` belongs to user 1234
hint: chown root 'DIR/state', or set STOCKADE_STATE_DIR to a directory that is yours
",
    );
}

#[test]
fn state_directory_of_root() {
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
    .of_ordinary_user()
    .text("state/.keep", "")
    .mode("state", 0o755)
    .expect(
        &["build"],
        125,
        r"error: cannot build jail `web`
  why: `DIR/state/web`: mkdir(2): Permission denied (EACCES)
hint: this user may not write there; STOCKADE_STATE_DIR names another state directory
",
    );
}

#[test]
fn state_directory_is_a_file() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .text("state", "")
    .expect(
        &["build"],
        125,
        r"error: cannot build jail `web`
  why: the state directory `DIR/state` cannot be used: `DIR/state` is not a directory
hint: move `DIR/state` away, or set STOCKADE_STATE_DIR to another directory
",
    );
}

#[test]
fn state_directory_below_a_closed_one() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .text("state/.keep", "")
    .of_ordinary_user()
    .mode("state", 0o000)
    .expect(
        &["build"],
        125,
        r"error: cannot build jail `web`
  why: `DIR/state/web`: mkdir(2): Permission denied (EACCES)
hint: this user may not write there; STOCKADE_STATE_DIR names another state directory
",
    );
}

#[test]
fn state_directory_cannot_be_made() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .of_ordinary_user()
    .mode(".", 0o555)
    .expect(
        &["build"],
        125,
        r"error: cannot build jail `web`
  why: the state directory `DIR/state` cannot be used: `DIR/state`: mkdir(2): Permission denied (EACCES)
hint: this user may not write there; STOCKADE_STATE_DIR names another state directory
",
    );
}

#[test]
fn state_directory_with_a_relative_path() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .started_by(&["env", "STOCKADE_STATE_DIR=state"])
    .expect(
        &["build"],
        125,
        r"error: cannot build jail `web`
  why: the state directory `state` cannot be used: `state` is not absolute
hint: write the path from `/` on
",
    );
}

#[test]
fn no_state_directory() {
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .of_ordinary_user()
    .started_by(&["env", "--unset=STOCKADE_STATE_DIR", "--unset=XDG_STATE_HOME", "--unset=HOME"])
    .expect(
        &["build"],
        125,
        r"error: there is no place to keep jails: neither HOME nor XDG_STATE_HOME is set
hint: set STOCKADE_STATE_DIR to a directory of your own
",
    );
}

#[test]
fn read_only_state_directory() {
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
    .mode("state", 0o700)
    .after("mount -t tmpfs -o ro,mode=700 none DIR/state")
    .expect(
        &["build"],
        125,
        r"error: cannot build jail `web`
  why: `DIR/state/web`: mkdir(2): Read-only file system (EROFS)
hint: the state directory is on a read-only file system; set STOCKADE_STATE_DIR to another
",
    );
}

#[test]
fn full_state_directory() {
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
    .after("mount -t tmpfs -o size=64k,mode=700 none DIR/state")
    .expect(&["build"], 125, r#"error: cannot build jail `web`
  --> ./web.toml:4:10
    4 | files = [{ path = "DIR/program", target = "/program" }]
      |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: cannot copy `DIR/program` to `/program` in the tree (step N): pwrite(2): No space left on device (ENOSPC)
hint: the file system of the state directory is full (blocks or inodes); see df(1) with and without `-i`
"#);
}

#[test]
fn state_directory_without_inodes() {
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
    .after("mount -t tmpfs -o nr_inodes=12,mode=700 none DIR/state")
    .expect(
        &["build"],
        125,
        r"error: cannot build jail `web`
  why: cannot make `/dev/stdin` in the tree (step N): symlinkat(2): No space left on device (ENOSPC)
hint: the file system of the state directory is full (blocks or inodes); see df(1) with and without `-i`
",
    );
}

#[test]
fn state_directory_full_for_a_run() {
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
    .after("mount -t tmpfs -o size=64k,mode=700 none DIR/state")
    .expect(&["run"], 125, r#"error: cannot build jail `web`
  --> ./web.toml:4:10
    4 | files = [{ path = "DIR/program", target = "/program" }]
      |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  why: cannot copy `DIR/program` to `/program` in the tree (step N): pwrite(2): No space left on device (ENOSPC)
hint: the file system of the state directory is full (blocks or inodes); see df(1) with and without `-i`
"#);
}
