//! A manifest whose tree is in memory: what of stockade has no use for it says so.

use crate::common::{Dir, Need, needs};

/// A manifest that shows the host's programs and sleeps, with this in addition.
fn manifest(dir: &Dir, more: &str) {
    let text = format!(
        r#"name = "quick"
[program]
command = ["/usr/bin/sleep", "1000"]
[root]
tree = "memory"
[[mounts]]
source = "/usr"
target = "/usr"
[tree]
links = [{{ path = "/lib", target = "usr/lib" }}, {{ path = "/lib64", target = "usr/lib64" }}]
{more}
"#
    );
    dir.write("quick.toml", text);
}

#[test]
fn nothing_is_copied_into_it() {
    let dir = Dir::new("memory-copied");
    manifest(&dir, "files = [\"/etc/hosts\"]");
    dir.stockade(["check", "./quick.toml"]).expect(
        1,
        "",
        "error: `files` has no place in a tree that is in memory\n  --> ./quick.toml:11:10\n   11 | files = [\"/etc/hosts\"]\n      |          ^^^^^^^^^^^^\n  \
         why: `tree = \"memory\"` is made at every start, and what is copied would be copied each time\n\
         hint: show what is needed by `[[mounts]]`, or leave `tree` out for a tree that is built once\n",
    );
}

#[test]
fn there_is_nothing_to_build() {
    let dir = Dir::new("memory-build");
    manifest(&dir, "");
    dir.stockade(["build", "./quick.toml"]).expect(
        125,
        "",
        "error: jail `quick` has no tree on disk\n  why: `tree = \"memory\"` under [root]: it is made at each start, and nothing of it is kept\n\
         hint: there is nothing to build; `stockade run` starts it\n",
    );
    assert!(!dir.join("state").exists());
}

#[test]
fn it_is_listed_and_stopped_and_cannot_be_joined() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = Dir::new("memory-runs");
    manifest(&dir, "");
    let with = |words: &[&str]| {
        let mut command = dir.stockade(words.iter().copied());
        command.inner.env("STOCKADE_RUN_DIR", dir.join("run"));
        command
    };
    with(&["run", "--detach", "./quick.toml"]).expect(0, "", "");
    with(&["list", "--names"]).expect(0, "quick\n", "");
    let joined = with(&["exec", "quick", "--", "/usr/bin/true"]).output();
    assert_eq!(joined.code, Some(125), "{}", joined.stderr);
    assert!(
        joined.stderr.starts_with("error: a jail whose tree is in memory cannot be joined\n"),
        "{}",
        joined.stderr
    );
    with(&["stop", "--timeout", "0", "quick"]).output();
    with(&["list", "--names"]).expect(0, "", "");
}
