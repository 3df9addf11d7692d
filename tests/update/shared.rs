//! What a new tree shares with the one before, and that nobody can write to what is shared.

use super::*;

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
        assert_eq!(tree(&dir, &writable, "a").metadata().unwrap().nlink(), 1);
        dir.write("b", "more\n");
        for again in [&["build", set[0], set[1], "./web.toml"][..], &["build", "./web.toml"]] {
            let told = succeeds(&dir, again);
            assert!(told.ends_with(" 0 files are shared with it\n"), "{told}");
            let newest = generations(&dir).pop().unwrap();
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
