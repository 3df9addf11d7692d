//! `stockade test --all`, by user story: every jail there is, one after the other, what cannot be tested here said so, and nothing left.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::fs;
use std::path::Path;

use common::{Dir, Need, Output, jail, needs, turn};

/// The lines of an output, without the times in them.
fn lines(output: &Output) -> Vec<String> {
    let untimed = |line: &str| match line.split_once(" ... ok (") {
        Some((test, rest)) if rest.ends_with(" ms)") => format!("{test} ... ok"),
        _ => line.to_owned(),
    };
    output.stdout.lines().map(untimed).collect()
}

/// What the state directory has of jails.
fn built(dir: &Dir) -> Vec<String> {
    let entries = fs::read_dir(dir.join("state")).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // Hidden is where records of running jails are.
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// A jail whose program says hello.
const HELLO: &str = "[program]\ncommand = [\"/bin/sh\", \"-c\", \"echo hello; ls /a\"]\n[tree]\n\
    programs = [\"/bin/sh\", \"/bin/ls\"]\ntext = [{ path = \"/a/here\", content = \"x\" }]\n[test]\nexpect = \"hello\\nhere\"\n";

#[test]
fn all_are_tested_and_only_what_was_built_before_stays() {
    let dir = Dir::new("all");
    dir.write("jails/a.toml", HELLO).write("jails/b.toml", HELLO);
    dir.write("jails/untested.toml", "[program]\ncommand = [\"/bin/true\"]\n");
    dir.write(
        "jails/listed.toml",
        format!("{HELLO}\n").replace("\"/bin/ls\"", "\"/usr/sbin/no-such-daemon\""),
    );
    dir.write("jails/command.toml", HELLO.replace("\"/bin/sh\", \"-c\"", "\"no-such-daemon\""));
    dir.write("jails/pattern.toml", HELLO.replace("\"/bin/ls\"", "\"/usr/sbin/no-such-daemon-*\""));
    dir.stockade(["build", "b"]).output();
    let output = dir.stockade(["test", "--all"]).output();
    assert_eq!(
        (lines(&output), output.stderr.as_str(), output.code),
        (
            vec![
                "test a ... ok".to_owned(),
                "test b ... ok".to_owned(),
                "test command ... skipped: `no-such-daemon` is not installed".to_owned(),
                "test listed ... skipped: `/usr/sbin/no-such-daemon` is not installed".to_owned(),
                "test pattern ... skipped: `/usr/sbin/no-such-daemon-*` is not installed".to_owned(),
                "2 passed, 0 failed, 3 skipped".to_owned(),
            ],
            "",
            Some(0)
        )
    );
    assert_eq!(built(&dir), ["b"]);
}

#[test]
fn one_that_fails_is_told_and_does_not_stop_the_others_nor_stay() {
    let dir = Dir::new("fails");
    dir.write("jails/a.toml", HELLO.replace("hello\\nhere", "goodbye")).write("jails/b.toml", HELLO);
    let output = dir.stockade(["test", "--all"]).output();
    assert_eq!(
        (lines(&output), output.code),
        (
            vec![
                "test jails/a.toml ... FAILED".to_owned(),
                "test b ... ok".to_owned(),
                "1 passed, 1 failed, 0 skipped".to_owned(),
            ],
            Some(1)
        )
    );
    assert!(output.stderr.contains("\"goodbye\" is not in the output"), "{}", output.stderr);
    assert_eq!(built(&dir), Vec::<String>::new());
}

#[test]
fn a_tree_that_is_not_as_it_was_built_fails_although_the_client_is_content() {
    let dir = Dir::new("altered");
    dir.write("jails/a.toml", HELLO);
    dir.stockade(["build", "a"]).output();
    let file = dir.join("state/a/current/tree/a/here");
    fs::write(&file, "y").unwrap();
    dir.stockade(["test", "a"]).expect(
        1,
        "test a ... FAILED\n",
        "error: the tree of jail `a` is not as it was built, after its test\n  \
         why: `/a/here` is altered (content)\n\
         hint: `stockade build jails/a.toml` makes it anew\n",
    );
}

#[test]
fn what_a_hostile_program_says_does_not_fill_the_memory_of_who_tests_it() {
    let dir = Dir::new("flood");
    let manifest = "[program]\ncommand = [\"/bin/sh\", \"-c\", \"yes | head -c 500000000; echo end\"]\n[tree]\n\
                    programs = [\"/bin/sh\", \"/usr/bin/yes\", \"/usr/bin/head\"]\n[test]\ntimeout = \"5min\"\n";
    dir.write("begins.toml", format!("{manifest}expect = \"y\\ny\"\n"));
    dir.write("ends.toml", format!("{manifest}expect = \"end\"\n"));
    // With less memory than that.
    let tested = |name: &str| {
        let told = dir.stockade([]);
        let script = "ulimit -v 300000 && exec \"$0\" test \"$1\"";
        let mut inner = std::process::Command::new("sh");
        inner.args(["-c", script]).arg(common::binary()).arg(name).current_dir(dir.path());
        inner.envs(told.inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        common::Command { inner }.output()
    };
    let output = tested("./begins.toml");
    assert_eq!(
        (lines(&output), output.stderr.as_str(), output.code),
        (vec!["test begins ... ok".to_owned()], "", Some(0))
    );
    let output = tested("./ends.toml");
    assert_eq!((output.stdout.as_str(), output.code), ("test ./ends.toml ... FAILED\n", Some(1)));
    let said =
        "  why: \"end\" is not in the output\n  why: only the first 16 MiB of the output are looked at\n";
    assert!(output.stderr.contains(said), "{}", output.stderr);
}

#[test]
fn jails_that_change_users_by_themselves_are_for_root() {
    use std::os::unix::fs::MetadataExt as _;
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        return;
    }
    let dir = Dir::new("ids");
    dir.write("jails/a.toml", format!("{HELLO}[privileges]\ncapabilities = [\"SETUID\"]\n"));
    let output = dir.stockade(["test", "--all"]).output();
    assert_eq!(
        lines(&output),
        [
            "test a ... skipped: it changes to other users by itself, and in an ordinary user's jail there is one",
            "0 passed, 0 failed, 1 skipped",
        ]
    );
}

/// What listens in them.
const DAEMONS: [&str; 13] = [
    "chronyd",
    "dnsmasq",
    "in.tftpd",
    "lighttpd",
    "memcached",
    "named",
    "nginx",
    "php-fpm8.2",
    "postconf",
    "redis-server",
    "sshd",
    "tinyproxy",
    "vsftpd",
];

/// The jails of `jails/` one after the other, each by a real client. For an ordinary user `tests/jails.rs` tests each of them.
#[test]
fn every_jail_there_is_passes_and_nothing_is_left() {
    if !needs(Need::Root) {
        return;
    }
    // In this order, so that two who do this do not wait for each other.
    let _turns = DAEMONS.map(turn);
    let dir = Dir::new("every");
    let mut names: Vec<String> = fs::read_dir(jail(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in &names {
        dir.write(Path::new("jails").join(name), fs::read_to_string(jail(name)).unwrap());
    }
    let output = dir.stockade(["test", "--all"]).output();
    let lines = lines(&output);
    assert_eq!((output.stderr.as_str(), output.code), ("", Some(0)), "{lines:#?}");
    assert_eq!(lines.len(), names.len() + 1);
    let mut passed = 0;
    for (name, line) in names.iter().zip(&lines) {
        let test = format!("test {} ... ", name.trim_end_matches(".toml"));
        match line.strip_prefix(&test) {
            Some("ok") => passed += 1,
            Some(why) if why.starts_with("skipped: ") => {
                let why = format!("{test}{why}");
                let may_skip = std::env::var_os("STOCKADE_NO_SKIP").is_none();
                assert!(may_skip, "skipped although STOCKADE_NO_SKIP is set: {why}");
                println!("SKIP: {why}");
            }
            _ => panic!("{line}"),
        }
    }
    let skipped = names.len() - passed;
    assert_eq!(lines[names.len()], format!("{passed} passed, 0 failed, {skipped} skipped"));
    assert_eq!(built(&dir), Vec::<String>::new());
    let records = fs::read_dir(dir.join("state/.run")).into_iter().flatten();
    assert_eq!(records.count(), 0, "records of running jails");
}
