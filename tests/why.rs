//! `stockade why`: where a path of a jail comes from.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

mod common;

use common::{Dir, Need, needs};

/// A jail whose program needs a private library, which needs another.
fn jail(name: &str) -> Dir {
    let dir = Dir::new(name);
    let here = dir.path().display().to_string();
    let library = |name: &str, text: &str, more: &[&str]| {
        dir.write(format!("{name}.c"), text);
        let mut command = std::process::Command::new("cc");
        command.current_dir(dir.path()).args(["-shared", "-fPIC", "-o", &format!("lib{name}.so.1")]);
        command.args([
            &format!("-Wl,-soname,lib{name}.so.1"),
            &format!("-Wl,-rpath,{here}"),
            &format!("{name}.c"),
        ]);
        assert!(command.args(more).status().unwrap().success());
    };
    library("b", "int b(void) { return 1; }", &[]);
    library("a", "int b(void); int a(void) { return b(); }", &["-L.", "-l:libb.so.1"]);
    dir.write("p.c", "int a(void); int main(void) { return a(); }");
    let mut command = std::process::Command::new("cc");
    command.current_dir(dir.path()).args([
        "-o",
        "p",
        "p.c",
        "-L.",
        "-l:liba.so.1",
        &format!("-Wl,-rpath,{here}"),
    ]);
    assert!(command.status().unwrap().success());
    dir.write(
        "web.toml",
        format!(
            "program.command = [\"{here}/p\"]\ntree.devices = []\nroot.proc = \"none\"\n\
             tree.links = [{{ path = \"/short\", target = \"{here}\" }}]\n\
             [[mounts]]\ntype = \"tmpfs\"\ntarget = \"/tmp/work\"\n"
        ),
    );
    let built = dir.stockade(["build", "./web.toml"]).output();
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    dir
}

#[test]
fn the_chain_is_told_through_links_to_the_manifest() {
    if !needs(Need::Program("cc")) {
        return;
    }
    let dir = jail("why-chain");
    let here = dir.path().display().to_string();
    let size = dir.join("libb.so.1").metadata().unwrap().len();
    let json = dir.stockade(["why", "--json", "./web.toml", "/short/libb.so.1"]).output();
    let value: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let owner = format!("{}:{}", value["entry"]["uid"], value["entry"]["gid"]);
    dir.stockade(["why", "web", "/short/libb.so.1"]).expect(
        0,
        &format!(
            "/short: a link to {here}\n    because: ./web.toml:4\n\
             {here}/libb.so.1: a file, mode 0755, owner {owner}, {size} bytes\n    copied from {here}/libb.so.1\n    \
             because: DT_NEEDED libb.so.1 of {here}/liba.so.1\n    because: DT_NEEDED liba.so.1 of {here}/p\n    \
             because: ./web.toml:1\n"
        ),
        "",
    );
    assert_eq!(value["path"], format!("{here}/libb.so.1"));
    assert_eq!(value["links"][0]["path"], "/short");
    assert_eq!(value["reasons"][2], "./web.toml:1");
    assert_eq!(value["entry"]["size"], size);
    dir.stockade(["why", "web", "/tmp/work/x"]).expect(
        0,
        &format!(
            "/tmp/work/x: not in the tree, but on the mount of empty memory at /tmp/work\n    because: {}:5\n",
            dir.join("web.toml").display()
        ),
        "",
    );
    // A package's file is told with its package.
    if needs(Need::Program("dpkg")) {
        let libc = dir.stockade(["why", "web", "/lib64/ld-linux-x86-64.so.2"]).output();
        if libc.code == Some(0) {
            assert!(libc.stdout.contains(", of the package libc6\n"), "{}", libc.stdout);
        }
    }
}

#[test]
fn what_is_not_there_has_a_neighbour() {
    if !needs(Need::Program("cc")) {
        return;
    }
    let dir = jail("why-not");
    let here = dir.path().display().to_string();
    let answer = |path: &str, expected: &str| dir.stockade(["why", "web", path]).expect(1, "", expected);
    answer(
        "/short/libb.so.2",
        &format!(
            "error: `/short/libb.so.2` is not in jail `web`\n  why: it leads to `{here}/libb.so.2`, which is not there\n\
             hint: did you mean `{here}/libb.so.1`?\n"
        ),
    );
    answer(
        "/usr/lib/liba.so.1",
        &format!(
            "error: `/usr/lib/liba.so.1` is not in jail `web`\nhint: did you mean `{here}/liba.so.1`?\n"
        ),
    );
    answer("/ect/passwd", "error: `/ect/passwd` is not in jail `web`\nhint: did you mean `/etc/passwd`?\n");
    answer(
        "/nothing/of/the/kind",
        "error: `/nothing/of/the/kind` is not in jail `web`\nhint: `stockade plan --all` shows every path of a jail\n",
    );
    dir.stockade(["why", "web"]).expect(
        2,
        "",
        "error: a jail and a path are wanted\nhint: write `stockade why JAIL PATH`\n",
    );
    let absent = dir.stockade(["why", "wob", "/"]).output();
    assert_eq!((absent.code, absent.stdout.as_str()), (Some(1), ""));
    assert!(absent.stderr.ends_with("hint: did you mean `web`?\n"), "{}", absent.stderr);
}
