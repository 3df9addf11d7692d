//! `stockade build` of a jail that is there already: what a build would change, what it shares with the tree before, and the way
//! back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

mod common;

use std::fmt::Write as _;
use std::fs::{self, File, FileTimes, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Dir, Need, needs};

/// A directory with a jail whose program is static and prints what is in `/a` and `/b`, which are copies of files beside the manifest.
fn jail(name: &str) -> Dir {
    let dir = Dir::new(name);
    common::compile_static(
        &dir.join("program"),
        r#"#include <stdio.h>
        int main(void) {
            const char *names[] = {"/a", "/b"};
            for (int at = 0; at < 2; at++) {
                FILE *file = fopen(names[at], "r");
                for (int c; file && (c = getc(file)) != EOF;) putchar(c);
            }
        }"#,
    );
    dir.write("a", "one\n").write("b", "two\n").write("web.toml", manifest(&dir, ""));
    dir
}

fn manifest(dir: &Dir, more: &str) -> String {
    let here = dir.path().display();
    format!(
        "program.command = [\"/program\"]\ntree.devices = []\nroot.proc = \"none\"\n{more}\
         tree.files = [\n  {{ path = \"{here}/program\", target = \"/program\" }},\n  \
         {{ path = \"{here}/a\", target = \"/a\" }},\n  {{ path = \"{here}/b\", target = \"/b\", optional = true }},\n]\n"
    )
}

fn succeeds(dir: &Dir, arguments: &[&str]) -> String {
    let done = dir.stockade(arguments.iter().copied()).output();
    assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.stderr);
    done.stderr
}

/// What the program says, from the current tree.
fn said(dir: &Dir) -> String {
    let run = dir.stockade(["run", "./web.toml"]).output();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    run.stdout
}

/// A path below a generation's tree.
fn tree(dir: &Dir, generation: &str, path: &str) -> PathBuf {
    dir.join("state/web/generations").join(generation).join("tree").join(path)
}

fn inode(dir: &Dir, generation: &str, path: &str) -> u64 {
    tree(dir, generation, path).symlink_metadata().unwrap().ino()
}

fn generations(dir: &Dir) -> Vec<String> {
    let entries = fs::read_dir(dir.join("state/web/generations")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Everything below the state directory, with what would change if anything were written.
fn everything(dir: &Dir) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![dir.join("state")];
    while let Some(path) = waiting.pop() {
        let Ok(stat) = path.symlink_metadata() else { continue };
        let times = (stat.mtime(), stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec(), stat.nlink());
        found.push(format!("{} {times:?}", path.display()));
        if stat.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found.sort();
    found
}

#[test]
fn what_has_not_changed_is_shared_with_the_tree_before() {
    let dir = jail("update-shared");
    succeeds(&dir, &["build", "./web.toml"]);
    dir.write("b", "three\n");
    let told = succeeds(&dir, &["build", "./web.toml"]);
    assert!(
        told.ends_with("since generation 1: 0 added, 1 changed, 0 removed; 2 files are shared with it\n"),
        "{told}"
    );
    assert_eq!(said(&dir), "one\nthree\n");
    assert_eq!(inode(&dir, "1", "a"), inode(&dir, "2", "a"));
    assert_ne!(inode(&dir, "1", "b"), inode(&dir, "2", "b"));
    assert_eq!(fs::read_to_string(tree(&dir, "1", "b")).unwrap(), "two\n");
    // What is the same as the one before is no tree to go back to.
    let told = succeeds(&dir, &["build", "./web.toml"]);
    assert!(
        told.ends_with("since generation 2: nothing has changed; 3 files are shared with it\n"),
        "{told}"
    );
    assert_eq!(generations(&dir), ["1", "3"]);
}

#[test]
fn what_a_program_may_write_to_is_shared_with_nobody() {
    let dir = jail("update-writable");
    for set in [["--set", "root.read_only=false"], ["--set", "privileges.capabilities=[\"SYS_ADMIN\"]"]] {
        succeeds(&dir, &["build", "./web.toml"]);
        let read_only = generations(&dir).pop().unwrap();
        // A run with a writable root does not get the tree that was built for a read-only one.
        let run = dir.stockade(["run", set[0], set[1], "./web.toml"]).output();
        let run_told = run.stderr.lines().nth(1).unwrap_or_default();
        assert!(run_told.ends_with("nothing has changed; 0 files are shared with it"), "{}", run.stderr);
        let writable = generations(&dir).pop().unwrap();
        assert_ne!(writable, read_only);
        // Neither with the one before (which is gone: nothing has changed), nor with the next of either kind.
        let first = inode(&dir, &writable, "a");
        assert_eq!(tree(&dir, &writable, "a").metadata().unwrap().nlink(), 1);
        dir.write("b", "more\n");
        for again in [&["build", set[0], set[1], "./web.toml"][..], &["build", "./web.toml"]] {
            let told = succeeds(&dir, again);
            assert!(told.ends_with(" 0 files are shared with it\n"), "{told}");
            let newest = generations(&dir).pop().unwrap();
            assert_ne!(inode(&dir, &newest, "a"), first);
            assert_eq!(tree(&dir, &newest, "a").metadata().unwrap().nlink(), 1);
        }
        succeeds(&dir, &["remove", "web"]);
    }
}

#[test]
fn a_tree_that_is_shared_is_not_given_to_a_program_that_may_write_to_it() {
    let dir = jail("update-generation");
    succeeds(&dir, &["build", "./web.toml"]);
    dir.write("b", "new\n");
    succeeds(&dir, &["build", "./web.toml"]);
    let run = |arguments: &[&str]| dir.stockade([&["run"], arguments, &["./web.toml"]].concat()).output();
    let older = run(&["--generation", "1"]);
    assert_eq!((older.code, older.stdout.as_str()), (Some(0), "one\ntwo\n"), "{}", older.stderr);
    let refused = run(&["--generation", "1", "--set", "root.read_only=false"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(125), ""));
    assert!(
        refused.stderr.starts_with("error: generation 1 of jail `web` may share files with others\n"),
        "{}",
        refused.stderr
    );
    let none = run(&["--generation", "7"]);
    assert_eq!((none.code, none.stdout.as_str()), (Some(125), ""));
    assert!(none.stderr.starts_with("error: jail `web` has no generation 7\n"), "{}", none.stderr);
}

#[test]
fn what_was_tampered_with_is_not_shared() {
    let dir = jail("update-tampered");
    succeeds(&dir, &["build", "./web.toml"]);
    // With everything as it was but the content.
    let path = tree(&dir, "1", "a");
    let times = path.metadata().unwrap().modified().unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(b"eno\n", 0).unwrap();
    file.set_times(FileTimes::new().set_modified(times)).unwrap();
    drop(file);
    let told = succeeds(&dir, &["build", "./web.toml"]);
    assert!(
        told.ends_with("since generation 1: nothing has changed; 2 files are shared with it\n"),
        "{told}"
    );
    assert_eq!(said(&dir), "one\ntwo\n");
    // What is not the same as was recorded, and looks as if it were, is not kept to go back to.
    assert_eq!(generations(&dir), ["2"]);
}

#[test]
fn a_dry_run_says_what_would_change_and_writes_nothing() {
    let dir = jail("update-dry");
    let here = dir.path().display().to_string();
    let first = dir.stockade(["build", "--dry-run", "./web.toml"]).output();
    assert_eq!((first.code, first.stderr.as_str()), (Some(0), ""));
    assert!(
        first.stdout.starts_with("jail `web` is not built yet; a build would make:\n"),
        "{}",
        first.stdout
    );
    assert!(
        first.stdout.ends_with("8 added, 0 changed, 0 removed; 0 stay as they are\n"),
        "{}",
        first.stdout
    );
    assert!(!dir.join("state").exists());

    succeeds(&dir, &["build", "./web.toml"]);
    let before = everything(&dir);
    dir.stockade(["build", "--dry-run", "./web.toml"]).expect(
        0,
        "jail `web`, compared with generation 1:\n0 added, 0 changed, 0 removed; 8 stay as they are\n",
        "",
    );
    fs::remove_file(dir.join("b")).unwrap();
    let more = format!("  {{ path = \"{here}/c\", target = \"/c\" }},\n]\n");
    let text = manifest(&dir, "");
    let text = text.strip_suffix("]\n").unwrap().to_owned() + &more;
    dir.write("a", "four\n").write("c", "five\n").write("web.toml", text);
    let said = dir.stockade(["build", "--dry-run", "./web.toml"]).output();
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.stdout);
    assert_eq!(
        said.stdout,
        "jail `web`, compared with generation 1:\n\
         changed /a\n        content: 5 bytes, were 4\n        for: ./web.toml:6\n\
         removed /b\n        for: ./web.toml:7\n\
         added   /c\n        for: ./web.toml:8\n\
         1 added, 1 changed, 1 removed; 6 stay as they are\n"
    );
    let json = dir.stockade(["build", "--dry-run", "--json", "./web.toml"]).output();
    let value: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&value["jail"], &value["generation"], &value["since"]),
        (&"web".into(), &().into(), &1.into())
    );
    assert_eq!(value["changes"][1]["what"], "removed");
    assert_eq!(value["changes"][1]["path"], "/b");
    assert_eq!(everything(&dir), before);
    // What a build would fail for, a dry run fails for.
    fs::remove_file(dir.join("a")).unwrap();
    let failed = dir.stockade(["build", "--dry-run", "./web.toml"]).output();
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""), "{}", failed.stderr);
    assert_eq!(everything(&dir), before);
}

#[test]
fn one_can_go_back_as_often_as_trees_are_kept() {
    let dir = jail("update-rollback");
    for (count, text) in ["1", "2", "3", "4"].iter().enumerate() {
        dir.write("b", format!("{text}\n"));
        let keep: &[&str] = if count == 0 { &["--keep", "2"] } else { &[] };
        succeeds(&dir, &[&["build"], keep, &["./web.toml"]].concat());
    }
    assert_eq!(generations(&dir), ["2", "3", "4"]);
    for number in ["3", "2"] {
        dir.stockade(["build", "--rollback", "./web.toml"]).expect(
            0,
            "",
            &format!("jail `web` is back at generation {number}\n"),
        );
        // It serves, and a run does not build again.
        assert_eq!(said(&dir), format!("one\n{number}\n"));
    }
    dir.stockade(["build", "--rollback", "./web.toml"]).expect(
        1,
        "",
        "error: jail `web` has no older tree to go back to\n\
         hint: `stockade build --keep COUNT` says how many are kept from then on\n",
    );
    succeeds(&dir, &["build", "--keep=0", "./web.toml"]);
    assert_eq!(generations(&dir), ["3"]);
    assert_eq!(said(&dir), "one\n4\n");
}

#[test]
fn a_tree_of_another_manifest_is_not_gone_back_to() {
    let dir = jail("update-manifest");
    succeeds(&dir, &["build", "./web.toml"]);
    let older = fs::read_to_string(dir.join("web.toml")).unwrap();
    dir.write("web.toml", manifest(&dir, "tree.directories = [\"/new\"]\n"));
    succeeds(&dir, &["build", "./web.toml"]);
    dir.stockade(["build", "--rollback", "./web.toml"]).expect(
        1,
        "",
        &format!(
            "error: cannot go back to an older tree of jail `web`\n  \
             why: `{}` was built from another manifest, or by another version of stockade\n\
             hint: the next run would build anew from the manifest as it is now: first make it again what it was\n",
            dir.join("state/web/generations/1").display()
        ),
    );
    assert_eq!(generations(&dir), ["1", "2"]);
    dir.write("web.toml", older);
    dir.stockade(["build", "--rollback", "./web.toml"]).expect(0, "", "jail `web` is back at generation 1\n");
    assert_eq!(said(&dir), "one\ntwo\n");
}

#[test]
fn a_tree_that_fails_its_test_does_not_become_the_current_one() {
    let dir = jail("update-test");
    dir.write("web.toml", manifest(&dir, "test.expect = \"two\"\n"));
    succeeds(&dir, &["build", "--test", "./web.toml"]);
    dir.write("b", "wrong\n");
    let failed = dir.stockade(["build", "--test", "./web.toml"]).output();
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        failed.stderr,
        "error: the test of jail `web` failed\n  --> ./web.toml:4:1\n    4 | test.expect = \"two\"\n      | ^^^^\n  \
         why: \"two\" is not in the output\n  why: the output was:\n  why: | one\n  why: | wrong\n\n\
         error: cannot build jail `web`\n  \
         why: the new tree did not pass its test; the one before stays current\n\n2 errors in ./web.toml\n"
    );
    assert_eq!(said(&dir), "one\ntwo\n");
    assert_eq!(generations(&dir), ["1"]);
    dir.write("b", "two three\n");
    succeeds(&dir, &["build", "--test", "./web.toml"]);
    assert_eq!(said(&dir), "one\ntwo three\n");
    // Without one there is nothing to be content with.
    dir.write("web.toml", manifest(&dir, ""));
    let none = dir.stockade(["build", "--test", "./web.toml"]).output();
    assert_eq!(none.code, Some(1));
    assert!(none.stderr.starts_with("error: jail `web` has no test\n"), "{}", none.stderr);
}

#[test]
fn all_jails_that_were_built_are_built_again_as_they_were() {
    let dir = jail("update-all");
    dir.stockade(["build", "--all"]).expect(0, "", "");
    assert!(!dir.join("state").exists());
    dir.write("other.toml", manifest(&dir, "")).write("never.toml", manifest(&dir, ""));
    succeeds(&dir, &["build", "./web.toml", "--set", "tree.directories=[\"/set\"]"]);
    succeeds(&dir, &["build", "./other.toml"]);
    dir.write("b", "new\n");
    fs::remove_file(dir.join("other.toml")).unwrap();
    let all = dir.stockade(["build", "--all"]).output();
    // What cannot be built keeps nothing else from being built.
    assert_eq!(all.code, Some(1), "{}", all.stderr);
    assert!(
        all.stderr.contains(&format!("error: there is no manifest `{}`", dir.join("other.toml").display()))
    );
    assert!(all.stderr.contains("since generation 1: 0 added, 1 changed, 0 removed;"), "{}", all.stderr);
    assert_eq!(fs::read_to_string(tree(&dir, "2", "b")).unwrap(), "new\n");
    assert!(tree(&dir, "2", "set").is_dir());
    assert!(!dir.join("state/never").exists());
    // A manifest that is of another jail by now does not make that one instead.
    let text = fs::read_to_string(dir.join("web.toml")).unwrap();
    dir.write("web.toml", format!("name = \"renamed\"\n{text}"));
    let all = dir.stockade(["build", "--all", "--json"]).output();
    assert_eq!((all.code, all.stdout.as_str()), (Some(1), "[]\n"));
    assert!(
        all.stderr.contains("error: the manifest that jail `web` was built from is of jail `renamed` now\n")
    );
    assert!(!dir.join("state/renamed").exists());
}

#[test]
fn options_that_say_nothing_together_are_refused() {
    let dir = jail("update-words");
    for (words, message) in [
        (&["build"][..], "no jail is named"),
        (&["build", "--all", "web"], "`--all` names every jail already"),
        (&["build", "--rollback", "--dry-run", "web"], "`--rollback` goes with no other option but `--keep`"),
        (&["build", "--dry-run", "--test", "web"], "`--dry-run` does not go with `--test` and `--keep`"),
        (&["build", "--all", "--rollback"], "`--rollback` and `--set` are for one jail"),
        (&["build", "--keep"], "`--keep` needs a value"),
    ] {
        let refused = dir.stockade(words.iter().copied()).output();
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{words:?}");
        assert!(
            refused.stderr.starts_with(&format!("error: {message}\nhint: ")),
            "{words:?}: {}",
            refused.stderr
        );
    }
}

/// A server and its library in directories of their own, which play the host's: `libans.so.1` is a link to `libans.so.1.2.0`.
fn serving(name: &str) -> Dir {
    let dir = Dir::new(name);
    let here = dir.path().display().to_string();
    dir.write("server.c", SERVER);
    fs::create_dir(dir.join("lib")).unwrap();
    fs::create_dir(dir.join("run")).unwrap();
    fs::set_permissions(dir.join("run"), Permissions::from_mode(0o777)).unwrap();
    library(&dir, "2.0");
    cc(&dir, &["-o", "server", "server.c", "-Llib", "-l:libans.so.1", &format!("-Wl,-rpath,{here}/lib")]);
    dir.write(
        "ans.toml",
        format!(
            "program.command = [\"{here}/server\"]\n\
             [[mounts]]\nsource = \"{here}/run\"\ntarget = \"/run/ans\"\nread_only = false\n"
        ),
    );
    dir
}

/// A server on a socket, which answers what its library says.
const SERVER: &str = r#"
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
const char *answer(void);
int main(void) {
    struct sockaddr_un address = { AF_UNIX, "/run/ans/socket" };
    unlink(address.sun_path);
    int listening = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, 8)) return 9;
    write(1, "r\n", 2);
    for (int client; (client = accept(listening, 0, 0)) >= 0; close(client)) write(client, answer(), strlen(answer()));
}
"#;

fn cc(dir: &Dir, words: &[&str]) {
    assert!(Command::new("cc").current_dir(dir.path()).args(words).status().unwrap().success());
}

/// Installs the library as this version, under a name that has the version in it, as a package would: the old one goes.
fn library(dir: &Dir, version: &str) {
    dir.write("ans.c", format!("const char *answer(void) {{ return \"version {version}\"; }}"));
    let file = format!("libans.so.1.{version}");
    cc(dir, &["-shared", "-fPIC", "-Wl,-soname,libans.so.1", "-o", &format!("lib/{file}.new"), "ans.c"]);
    for old in fs::read_dir(dir.join("lib")).unwrap() {
        let path = old.unwrap().path();
        if path.extension().is_some_and(|ending| ending != "new") {
            fs::remove_file(path).unwrap();
        }
    }
    fs::rename(dir.join(format!("lib/{file}.new")), dir.join("lib").join(&file)).unwrap();
    std::os::unix::fs::symlink(&file, dir.join("lib/libans.so.1")).unwrap();
}

/// The daemon, once it serves.
struct Daemon(Child);

impl Daemon {
    fn start(dir: &Dir) -> Self {
        let mut command = dir.stockade(["run", "./ans.toml"]).inner;
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = [0; 2];
        child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
        Self(child)
    }

    /// Ends it as a service manager would.
    fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the daemon answers.
fn ask(socket: &Path) -> String {
    let mut answer = String::new();
    UnixStream::connect(socket).unwrap().read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_library_that_an_upgrade_gives_another_name_is_found_updated_and_gone_back_from() {
    if !needs(Need::Program("cc")) || !needs(Need::UserNamespaces) {
        return;
    }
    let dir = serving("update-library");
    let socket = dir.join("run/socket");
    let lib = dir.join("lib").display().to_string();
    succeeds(&dir, &["build", "./ans.toml"]);
    let daemon = Daemon::start(&dir);
    assert_eq!(ask(&socket), "version 2.0");
    assert_eq!(dir.stockade(["verify", "ans"]).output().code, Some(0));

    // The host is upgraded: the old file goes, the link changes, the program stays.
    library(&dir, "3.0");
    let verified = dir.stockade(["verify", "ans"]).output();
    assert_eq!(verified.code, Some(1), "{}", verified.stderr);
    for expected in [
        format!(
            "stale {lib}/libans.so.1\n      the host has it otherwise now\n      \
             leads to libans.so.1.3.0, led to libans.so.1.2.0\n"
        ),
        format!(
            "stale {lib}/libans.so.1.2.0\n      its source {lib}/libans.so.1.2.0 is gone\n      \
             {lib}/libans.so.1.3.0 seems to replace it\n"
        ),
        format!("stale {lib}/libans.so.1.3.0\n      the host has it now, the tree has not\n"),
        format!("hint: `stockade build {}` makes the tree anew\n", dir.join("ans.toml").display()),
        "jail `ans`: 0 altered, 0 missing, 0 added, 3 stale of ".to_owned(),
    ] {
        assert!(verified.stdout.contains(&expected), "{expected}\nin\n{}", verified.stdout);
    }

    // It serves while the tree is built, and goes on as it was until it is started anew.
    let done = AtomicBool::new(false);
    let (told, asked) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut asked = 0;
            while !done.load(Ordering::Relaxed) || asked == 0 {
                assert_eq!(ask(&socket), "version 2.0");
                asked += 1;
            }
            asked
        });
        let built = dir.stockade(["build", "./ans.toml"]).output();
        done.store(true, Ordering::Relaxed);
        (built, asking.join().unwrap())
    });
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stderr.contains("since generation 1: 1 added, 1 changed, 1 removed; "), "{}", told.stderr);
    println!("asked {asked} times during the build");
    assert_eq!(ask(&socket), "version 2.0");
    let verified = dir.stockade(["verify", "ans"]).output();
    let outdated = format!(
        "stale /\n      process {} still runs it from generation 1, and 2 is the current one\n      \
         it has {lib}/libans.so.1.2.0 mapped as it was there\n      hint: start the jail anew\n",
        daemon.0.id()
    );
    assert_eq!(verified.code, Some(1));
    assert!(verified.stdout.starts_with(&outdated), "{outdated}\nin\n{}", verified.stdout);

    daemon.stop();
    let daemon = Daemon::start(&dir);
    assert_eq!(ask(&socket), "version 3.0");
    assert_eq!(dir.stockade(["verify", "ans"]).output().code, Some(0));

    dir.stockade(["build", "--rollback", "./ans.toml"]).expect(0, "", "jail `ans` is back at generation 1\n");
    assert_eq!(ask(&socket), "version 3.0");
    daemon.stop();
    let daemon = Daemon::start(&dir);
    assert_eq!(ask(&socket), "version 2.0");
    daemon.stop();
}

#[test]
fn a_deleted_library_of_the_hosts_that_a_jail_still_maps_is_stale() {
    if !needs(Need::Program("cc")) || !needs(Need::UserNamespaces) {
        return;
    }
    let dir = serving("update-deleted");
    let lib = dir.join("lib").display().to_string();
    // The host's libraries are shown instead of copied ones.
    let text = fs::read_to_string(dir.join("ans.toml")).unwrap();
    dir.write("ans.toml", format!("{text}[[mounts]]\nsource = \"{lib}\"\ntarget = \"{lib}\"\n"));
    succeeds(&dir, &["build", "./ans.toml"]);
    let daemon = Daemon::start(&dir);
    assert_eq!(dir.stockade(["verify", "ans"]).output().code, Some(0));
    library(&dir, "3.0");
    succeeds(&dir, &["build", "./ans.toml"]);
    let verified = dir.stockade(["verify", "ans"]).output();
    assert_eq!(verified.code, Some(1));
    let expected = format!("stale {lib}/libans.so.1.2.0\n      process ");
    let at = verified.stdout.find(&expected).unwrap_or_else(|| panic!("{expected}\nin\n{}", verified.stdout));
    assert!(
        verified.stdout[at..]
            .contains(" has it mapped, and it is deleted\n      hint: start the jail anew\n")
    );
    daemon.stop();
    let daemon = Daemon::start(&dir);
    assert_eq!(ask(&dir.join("run/socket")), "version 3.0");
    assert_eq!(dir.stockade(["verify", "ans"]).output().code, Some(0));
    daemon.stop();
}

#[test]
fn nothing_of_a_test_is_left_when_the_build_is_killed() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = jail("update-orphan");
    common::compile_static(&dir.join("program"), "#include <unistd.h>\nint main(void) { for (;;) pause(); }");
    let mark = dir.path().display().to_string();
    let client = format!("[\"sh\", \"-c\", \"echo > {mark}/asked; exec sleep 1000\"]");
    let text = manifest(&dir, &format!("test.command = {client}\ntest.timeout = \"1000s\"\n"));
    dir.write("web.toml", text);
    let mut child = dir.stockade(["build", "--test", "./web.toml"]).inner.spawn().unwrap();
    while !dir.join("asked").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let running = || -> Vec<String> {
        let all = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| fs::read(entry.path().join("environ")).ok());
        let ours =
            all.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).filter(|text| text.contains(&mark));
        ours.collect()
    };
    assert!(running().len() >= 3, "the build, the jail's supervisor and the client");
    child.kill().unwrap();
    child.wait().unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    while !running().is_empty() {
        assert!(Instant::now() < end, "left: {:?}", running());
        std::thread::sleep(Duration::from_millis(5));
    }
    // The tree that was on trial is no tree, and the next build sweeps it.
    let none = dir.stockade(["verify", "web"]).output();
    assert_eq!((none.code, none.stdout.as_str()), (Some(1), ""));
    assert_eq!(generations(&dir), ["1"]);
    succeeds(&dir, &["build", "./web.toml"]);
    assert_eq!(generations(&dir), ["1"]);
    assert_eq!(dir.stockade(["verify", "web"]).output().code, Some(0));
}

#[test]
fn a_program_that_writes_to_its_tree_reaches_no_other() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = jail("update-written");
    common::compile_static(
        &dir.join("program"),
        r#"#include <fcntl.h>
        #include <sys/stat.h>
        #include <unistd.h>
        int main(void) {
            chmod("/a", 0777);
            int fd = open("/a", O_RDWR);
            write(1, fd < 0 ? "refused\n" : "open\n", fd < 0 ? 8 : 5);
            write(fd, "BAD\n", 4);
        }"#,
    );
    // As root inside, whom no mode holds back.
    let user = if nix::unistd::geteuid().is_root() { "program.user = \"root\"\n" } else { "" };
    dir.write("web.toml", manifest(&dir, user));
    let run = |arguments: &[&str]| dir.stockade([&["run"], arguments, &["./web.toml"]].concat()).output();
    succeeds(&dir, &["build", "--keep", "9", "./web.toml"]);
    assert_eq!(run(&[]).stdout, "refused\n");
    let writable = ["--set", "root.read_only=false"];
    for turn in 0..2 {
        dir.write("b", format!("{turn}\n"));
        let written = run(&writable);
        assert_eq!(written.stdout, "open\n", "{}", written.stderr);
        // What comes next is as the host has it, and what was before is as it was.
        dir.write("b", format!("{turn} again\n"));
        succeeds(&dir, &["build", "./web.toml"]);
        assert_eq!(dir.stockade(["verify", "web"]).output().code, Some(0));
    }
    let content = |generation: &String| fs::read_to_string(tree(&dir, generation, "a")).unwrap();
    let all = generations(&dir);
    let contents: Vec<String> = all.iter().map(content).collect();
    assert_eq!(contents, ["one\n", "BAD\n", "one\n", "BAD\n", "one\n"]);
    // A writable tree that was written to is told, with why that may be.
    let again = run(&writable);
    assert_eq!(again.stdout, "open\n", "{}", again.stderr);
    let verified = dir.stockade(["verify", "web"]).output();
    assert_eq!(verified.code, Some(1));
    assert!(verified.stdout.contains("the program may write to its tree, so this may be its own doing\n"));
}

#[test]
fn a_test_whose_client_would_find_the_running_jail_is_refused() {
    let dir = jail("update-beside");
    common::compile_static(
        &dir.join("program"),
        "#include <unistd.h>\nint main(void) { write(1, \"r\\n\", 2); pause(); }",
    );
    let text = manifest(&dir, "namespaces.network = \"host\"\ntest.command = [\"true\"]\n");
    dir.write("web.toml", text);
    if !needs(Need::UserNamespaces) {
        return;
    }
    succeeds(&dir, &["build", "./web.toml"]);
    let mut command = dir.stockade(["run", "./web.toml"]).inner;
    let mut running = Daemon(command.stdout(Stdio::piped()).spawn().unwrap());
    running.0.stdout.as_mut().unwrap().read_exact(&mut [0; 2]).unwrap();
    let refused = dir.stockade(["build", "--test", "./web.toml"]).output();
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    let why =
        format!("why: process {} runs it in the host's network, where the test's client", running.0.id());
    assert!(refused.stderr.contains(&why), "{}", refused.stderr);
    assert_eq!(generations(&dir), ["1"]);
    running.stop();
    succeeds(&dir, &["build", "--test", "./web.toml"]);
}

/// Numbers that look random, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[test]
fn a_build_killed_at_any_moment_leaves_the_old_tree_or_the_new_one() {
    let kills: u32 = std::env::var("STOCKADE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let dir = jail("update-killed");
    let mut files = String::new();
    let here = dir.path().display().to_string();
    for number in 0..40 {
        let _ = writeln!(files, "  {{ path = \"{here}/data/{number}\", target = \"/data/{number}\" }},");
        // What never changes stands between what does, so that a tree has files of both kinds.
        dir.write(format!("data/{number}"), vec![b'x'; 30_000]);
    }
    common::compile_static(&dir.join("program"), READER);
    let text = manifest(&dir, "");
    dir.write("web.toml", text.strip_suffix("]\n").unwrap().to_owned() + &files + "]\n");
    let version = |number: u32| {
        for at in (0..40).step_by(2) {
            dir.write(format!("data/{at}"), format!("version {number}\n"));
        }
    };
    // Moments are drawn from a little more than the time that a build of this kind takes. Nothing is asserted of it.
    let mut span = Duration::MAX;
    for _ in 0..3 {
        version(0);
        let began = Instant::now();
        succeeds(&dir, &["build", "./web.toml"]);
        span = span.min(began.elapsed());
    }
    let mut numbers = Numbers(11);
    let (mut old, mut new, mut landed) = (0, 0, 0);
    let mut current = 0;
    for kill in 1..=kills {
        version(kill);
        let mut command = dir.stockade(["build", "./web.toml"]).inner;
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(span * numbers.below(1100) as u32 / 1000);
        landed += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        let said = said(&dir);
        match said.as_str() {
            text if text == format!("version {current}\n") => old += 1,
            text if text == format!("version {kill}\n") => {
                new += 1;
                current = kill;
            }
            text => panic!("kill {kill}: {text:?} is neither version {current} nor {kill}"),
        }
        // What a verification finds is the upgrade at most.
        let verified = dir.stockade(["verify", "web"]).output();
        assert!(!verified.stdout.is_empty() && verified.stderr.is_empty(), "{}", verified.stderr);
        let stale = verified.stdout.lines().last().unwrap().contains(": 0 altered, 0 missing, 0 added, ");
        assert!(verified.code == Some(0) || stale, "{}", verified.stdout);
    }
    println!("{kills} kills, {landed} of them before the end: {old} left the old tree, {new} the new one");
    assert!(kills < 20 || (old > 0 && landed > 0), "none was in time");
    succeeds(&dir, &["build", "./web.toml"]);
    assert_eq!(said(&dir), format!("version {kills}\n"));
    succeeds(&dir, &["remove", "web"]);
    let left: Vec<_> =
        fs::read_dir(dir.join("state")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == ".run"), "{left:?}");
}

/// Says what is in the files that change, once if it is the same in all of them, and each that differs; and that the others are whole.
const READER: &str = r#"
#include <stdio.h>
#include <string.h>
int main(void) {
    static char first[100], text[40000], path[100];
    for (int at = 0; at < 40; at++) {
        snprintf(path, sizeof path, "/data/%d", at);
        FILE *file = fopen(path, "r");
        size_t length = file ? fread(text, 1, sizeof text - 1, file) : 0;
        text[length] = 0;
        if (at % 2) {
            if (length != 30000 || strspn(text, "x") != 30000) printf("%s is not whole\n", path);
        } else if (at == 0) {
            strcpy(first, text);
            fputs(text, stdout);
        } else if (strcmp(first, text)) {
            printf("%s: %s", path, text);
        }
        if (file) fclose(file);
    }
}
"#;
