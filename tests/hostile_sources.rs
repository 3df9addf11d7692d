//! Sources that somebody else can change: a host's user whose directory root copies from, and a jail that writes to what its own
//! manifest names.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};

use common::{Dir, Need, needs};

/// A directory with a secret in it, and a manifest whose program is static.
fn jail(name: &str, more: &str) -> Dir {
    let dir = Dir::new(name);
    common::compile_static(&dir.join("program"), "int main(void) { return 0; }");
    dir.write("secret/key", "secret");
    fs::set_permissions(dir.join("secret"), fs::Permissions::from_mode(0o700)).unwrap();
    let here = dir.path().display().to_string();
    dir.write(
        "web.toml",
        format!(
            "[program]\ncommand = [\"/program\"]\n[tree]\nfiles = [\n\
             {{ path = \"{here}/program\", target = \"/program\" }},\n{}]\n",
            more.replace("{here}", &here)
        ),
    );
    dir
}

/// A link owned by a user of the host's.
fn give_link(text: &str, path: &std::path::Path) {
    symlink(text, path).unwrap();
    lchown(path, Some(12345), Some(12345)).unwrap();
}

#[test]
fn a_users_link_does_not_choose_which_secret_root_copies() {
    if !needs(Need::Root) {
        return;
    }
    let dir = jail("sources-user", "\"{here}/home/page\",\n]\n#");
    dir.write("home/real", "page");
    lchown(dir.join("home/real"), Some(12345), None).unwrap();
    give_link("real", &dir.join("home/page"));
    assert_eq!(dir.stockade(["build", "./web.toml"]).output().code, Some(0));
    fs::remove_file(dir.join("home/page")).unwrap();
    give_link("../secret/key", &dir.join("home/page"));
    let page = dir.join("home/page").display().to_string();
    dir.stockade(["build", "./web.toml"]).expect(
        1,
        "",
        &format!(
            "error: `{page}` leads where it must not\n  --> ./web.toml:6:1\n    6 | \"{page}\",\n      | {}\n\
             \x20 why: `{page}`: a symbolic link of user 12345 to what is another user's\n\
             hint: name what is meant by its own path, without this link\n",
            "^".repeat(page.len() + 2)
        ),
    );
    // What everybody may read anyway is no secret: a user's own Python environment leads to /usr/bin/python3.
    fs::remove_file(dir.join("home/page")).unwrap();
    give_link("/etc/passwd", &dir.join("home/page"));
    assert_eq!(dir.stockade(["build", "./web.toml"]).output().code, Some(0));
}

#[test]
fn a_link_below_a_writable_mount_does_not_choose_what_the_next_build_copies() {
    // Whoever is root in the jail is perhaps root on the host: the link's owner says nothing.
    let mount = "]\n[[mounts]]\nsource = \"{here}/shared\"\ntarget = \"/shared\"\nread_only = false\n#";
    let dir = jail("sources-shared", &["\"{here}/shared/page\",\n", mount].concat());
    dir.write("shared/real", "page");
    symlink("real", dir.join("shared/page")).unwrap();
    assert_eq!(dir.stockade(["build", "./web.toml"]).output().code, Some(0));
    fs::remove_file(dir.join("shared/page")).unwrap();
    symlink("../secret/key", dir.join("shared/page")).unwrap();
    let (page, shared) = (dir.join("shared/page"), dir.join("shared"));
    let refused = dir.stockade(["build", "./web.toml"]).output();
    let why = format!(
        "why: `{}`: a symbolic link that leads out of `{}`, where the jail can write",
        page.display(),
        shared.display()
    );
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains(&why), "{}", refused.stderr);
}
