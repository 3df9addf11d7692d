//! Finding a manifest, reading it, and the forms of the command's output.

use std::os::unix::fs::{chown, lchown, symlink};

use super::common::{Dir, Need, needs};

const GOOD: &str = "[program]\ncommand = [\"/bin/true\"]\n";

#[test]
fn a_name_is_looked_up() {
    let dir = Dir::new("lookup");
    dir.write("jails/web.toml", GOOD).write("config/stockade/mail.toml", GOOD);
    dir.stockade(["check", "web"]).expect(0, "jails/web.toml: ok\n", "");
    let mail = dir.join("config/stockade/mail.toml");
    dir.stockade(["check", "mail"]).expect(0, &format!("{}: ok\n", mail.display()), "");
    let all = format!("jails/web.toml: ok\n{}: ok\n", mail.display());
    let output = dir.stockade(["check"]).output();
    assert!(output.stdout.starts_with(&all), "{output:?}");
    dir.stockade(["check", "wbe"]).expect(
        1,
        "",
        &format!(
            "error: no jail is named `wbe`\n  why: `wbe.toml` is in none of `jails`, `{}`, `/etc/stockade`\nhint: did you \
             mean `web`?\n",
            dir.join("config/stockade").display()
        ),
    );
}

/// As a program in the current directory would be run in place of the one that is meant: `jails` in `/tmp` may be anybody's.
#[test]
fn what_a_stranger_has_put_in_the_current_directory_hides_nothing() {
    let dir = Dir::new("stranger");
    dir.write("jails/web.toml", GOOD).write("jails/own.toml", GOOD).write("config/stockade/web.toml", GOOD);
    dir.stockade(["check", "web"]).expect(0, "jails/web.toml: ok\n", "");
    if !needs(Need::Root) {
        return;
    }
    let installed = dir.join("config/stockade/web.toml");
    let refused = |theirs: &str| {
        format!(
            "error: `jails/web.toml` hides `{0}`, and is not yours\n  why: `{theirs}` belongs to user 4711\nhint: name the one that is meant by \
             its path: `./jails/web.toml` or `{0}`\n",
            installed.display()
        )
    };
    for theirs in ["jails/web.toml", "jails"] {
        chown(dir.join(theirs), Some(4711), None).unwrap();
        dir.stockade(["check", "web"]).expect(1, "", &refused(theirs));
        let mut by_sudo = dir.stockade(["check", "web"]);
        by_sudo.inner.env("SUDO_UID", "4711");
        by_sudo.expect(0, "jails/web.toml: ok\n", "");
        dir.stockade(["check", "./jails/web.toml"]).expect(0, "./jails/web.toml: ok\n", "");
        // Nothing else could be meant.
        dir.stockade(["check", "own"]).expect(0, "jails/own.toml: ok\n", "");
        chown(dir.join(theirs), Some(0), None).unwrap();
    }
    std::fs::rename(dir.join("jails"), dir.join("real")).unwrap();
    symlink("real", dir.join("jails")).unwrap();
    lchown(dir.join("jails"), Some(4711), None).unwrap();
    dir.stockade(["check", "web"]).expect(1, "", &refused("jails"));
}

#[test]
fn a_path_that_leads_nowhere() {
    let dir = Dir::new("path");
    dir.write("jails/web.toml", GOOD);
    dir.stockade(["check", "jails/wbe.toml"]).expect(
        1,
        "",
        "error: there is no manifest `jails/wbe.toml`\nhint: did you mean `web.toml`?\n",
    );
    dir.stockade(["check", "./jails"]).expect(
        1,
        "",
        "error: `./jails` is a directory\nhint: name a manifest in it, such as `jails/web.toml`\n",
    );
}

#[test]
fn a_file_that_is_no_text() {
    let dir = Dir::new("bytes");
    dir.write("a.toml", b"name = \"web\"\n# caf\xe9\n").stockade(["check", "a.toml"]).expect(
        1,
        "",
        "error: byte 0xe9 is not UTF-8\n  --> a.toml:2:6\n    2 | # caf\u{fffd}\n      |      ^\nhint: save the file as \
         UTF-8\n",
    );
    dir.write("b.toml", vec![b'#'; (1 << 20) + 1]).stockade(["check", "b.toml"]).expect(
        1,
        "",
        "error: `b.toml` is larger than 1 MiB\nhint: a manifest is a small text file\n",
    );
}

#[test]
fn a_terminal_is_not_commanded() {
    let dir = Dir::new("escape");
    dir.write("a.toml", "[program]\ncommand = [\"/bin/true\"]\n\"\\u001B[2J\" = 1\n").stockade(["check", "a.toml"]).expect(
        1,
        "",
        "error: unknown key `\\u{1b}[2J` in `[program]`\n  --> a.toml:3:1\n    3 | \"\\u001B[2J\" = 1\n      | \
         ^^^^^^^^^^^\nhint: the keys of `[program]` are `command`, `user`, `group`, `supplementary_groups`, \
         `working_directory`, `umask`, `environment`, `pass_environment`, `unset_environment`, \
         `nice`, `oom_score_adjust`, `cpu_affinity`, `personality`, `init`, `type`, `sockets`, `listen`, `watchdog`\n",
    );
}

#[test]
fn two_manifests_at_once() {
    let dir = Dir::new("two");
    dir.write("a.toml", "[program]\nnise = 1\n").write("b.toml", GOOD).write("c.toml", "x = 1\n");
    dir.stockade(["check", "a.toml", "b.toml", "c.toml"]).expect(
        1,
        "b.toml: ok\n",
        "error: unknown key `nise` in `[program]`\n  --> a.toml:2:1\n    2 | nise = 1\n      | ^^^^\nhint: did you mean \
         `nice`?\n\nerror: unknown key `x`\n  --> c.toml:1:1\n    1 | x = 1\n      | ^\nhint: the keys of the top of the \
         file are `name`, `summary`, `include`, `replace`, `program`, `tree`, `mounts`, `root`, `namespaces`, `limits`, \
         `privileges`, `test`\n",
    );
}

#[test]
fn json() {
    let dir = Dir::new("json");
    dir.write("a.toml", "[program]\ncommand = [\"/bin/true\"]\nnise = 1\n").write("b.toml", GOOD);
    dir.stockade(["check", "--json", "b.toml"]).expect(0, "[]\n", "");
    dir.stockade(["check", "--json", "a.toml", "b.toml"]).expect(
        1,
        r#"[
  {
    "severity": "error",
    "message": "unknown key `nise` in `[program]`",
    "file": "a.toml",
    "line": 3,
    "column": 1,
    "why": [],
    "hint": "did you mean `nice`?"
  }
]
"#,
        "",
    );
}

#[test]
fn usage() {
    let dir = Dir::new("usage");
    let version = concat!("stockade ", env!("CARGO_PKG_VERSION"), "\n");
    dir.stockade(["--version"]).expect(0, version, "");
    for (arguments, stderr) in [
        (&["plna"][..], "error: unknown command `plna`\nhint: did you mean `plan`?\n"),
        (&["check", "--jsn"], "error: unknown option `--jsn`\nhint: did you mean `--json`?\n"),
        (&["check", "--json=1"], "error: `--json` takes no value\nhint: write `--json`\n"),
        (
            &["run"],
            "error: no jail is named\nhint: write `stockade run JAIL`, with a manifest's path or name\n",
        ),
        (
            &["exec"],
            "error: no jail is named\nhint: write `stockade exec JAIL -- PROGRAM`; `stockade list` shows those that run\n",
        ),
        (
            &["limit"],
            "error: no jail is named\nhint: write `stockade limit JAIL memory=64M`; `stockade list` shows those that run\n",
        ),
        (&["run", "web", "--set"], "error: `--set` needs a value\nhint: write `--set KEY=VALUE`\n"),
        (
            &["jails/web.toml"],
            "error: unknown command `jails/web.toml`\nhint: to run a jail write `stockade run jails/web.toml`\n",
        ),
        (
            &["build", "a", "b"],
            "error: `b` is one word too many\nhint: `build` takes one jail; `stockade build --help` tells more\n",
        ),
        (
            &[],
            "error: no command is given\nhint: the commands are `check`, `plan`, `build`, `run`, `once`, `serve`, `test`, `doctor`, `verify`, `list`, `exec`, `signal`, `stats`, `stop`, `limit`, `freeze`, `thaw`, `diagnose`, `why`, `export`, `remove`, `learn`, `import`; `stockade --help` \
             tells more\n",
        ),
    ] {
        dir.stockade(arguments.iter().copied()).expect(2, "", stderr);
    }
}
