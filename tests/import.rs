//! `stockade import`: what other tools are told, as manifests that run.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod common;

use common::{Dir, Need, needs};

#[test]
fn options_of_bubblewraps_are_a_manifest_that_does_the_same() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = Dir::new("import-bwrap");
    dir.write("data/file", "content\n");
    let data = dir.join("data").display().to_string();
    let words = [
        "import",
        "bwrap",
        "-o",
        "b.toml",
        "--",
        "--ro-bind",
        "/usr",
        "/usr",
        "--symlink",
        "usr/bin",
        "/bin",
        "--symlink",
        "usr/lib",
        "/lib",
        "--symlink",
        "usr/lib64",
        "/lib64",
        "--ro-bind",
        &data,
        "/data",
        "--unshare-all",
        "--chdir",
        "/data",
        "/bin/sh",
        "-c",
        "cat file; pwd; cut -d: -f1 /proc/net/dev | tail -n +3",
    ];
    dir.stockade(words).expect(0, "", "");
    dir.stockade(["run", "./b.toml"]).expect(0, "content\n/data\n    lo\n", "");
}

#[test]
fn sections_of_jailkits_are_a_manifest_that_can_be_built() {
    let dir = Dir::new("import-jailkit");
    dir.write(
        "jk_init.ini",
        "[base]\npaths = /bin/cat, /lib/none.so.1\n[all]\nincludesections = base\nemptydirs = /srv/empty\n\
         paths = /etc/hostname\n",
    );
    let expected = "\
name = \"all\"

[tree]
programs = [
    \"/bin/cat\",  # `paths` of [base]
]
files = [
    \"/etc/hostname\",  # `paths` of [all]
    { path = \"/lib/none.so.1\", optional = true },  # `paths` of [base]
]
directories = [
    \"/srv/empty\",  # `emptydirs` of [all]
]
# no section names one
devices = []
";
    dir.stockade(["import", "jailkit", "--file", "jk_init.ini", "all"]).expect(0, expected, "");
    dir.stockade(["import", "jailkit", "--file", "jk_init.ini", "--output", "all.toml", "all"])
        .expect(0, "", "");
    let arguments = ["--set", "program.command=[\"cat\", \"/etc/hostname\"]", "./all.toml"];
    let hostname = std::fs::read_to_string("/etc/hostname").unwrap();
    let ran = dir.stockade(["run"].into_iter().chain(arguments)).output();
    assert_eq!((ran.code, &*ran.stdout), (Some(0), &*hostname), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_imported_is_told() {
    let dir = Dir::new("import-wrong");
    dir.write("jk_init.ini", "[base]\n");
    let hint =
        "hint: write `stockade import jailkit SECTION…` or `stockade import bwrap -- OPTIONS COMMAND`\n";
    let wrong = |words: &[&str], message: &str| {
        dir.stockade(["import"].iter().chain(words).copied()).expect(
            2,
            "",
            &format!("error: {message}\n{hint}"),
        );
    };
    wrong(&["firejail"], "`firejail` is nothing that can be imported");
    wrong(&["bwrap"], "the options of bubblewrap are wanted after `--`, and nothing else");
    wrong(&["jailkit"], "sections of jailkit's are wanted, and no words after `--`");
    dir.stockade(["import", "jailkit", "--file", "jk_init.ini", "bas"]).expect(
        1,
        "",
        "error: there is no section `bas`\n  why: in `jk_init.ini`\nhint: did you mean `base`?\n",
    );
    dir.stockade(["import", "bwrap", "--", "--overlay", "rw", "work", "/d", "true"]).expect(
        2,
        "",
        "error: `--overlay RWSRC WORKDIR DEST` cannot be imported\n\
         hint: write --overlay-src SRC and --tmp-overlay DEST for a layer that is dropped, or --bind for none\n",
    );
    dir.stockade(["import", "bwrap", "--", "--argv0", "x", "true"]).expect(
        2,
        "",
        "error: `--argv0` cannot be had\nhint: the program's first argument is its name; a script with `exec -a` can give another\n",
    );
}
