//! `stockade remove`: by manifest, by name when the manifest is gone, and never under a jail that runs or is built.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use common::{Dir, Need, needs};

/// A directory with the manifest of a jail called `www`, whose program is static and waits for its input to end.
fn waiting_jail(name: &str) -> Dir {
    let dir = Dir::new(name);
    common::compile_static(
        &dir.join("program"),
        "#include <unistd.h>\nint main(void) { char c; write(1, \"r\\n\", 2); return (int)read(0, &c, 1); }",
    );
    dir.write(
        "web.toml",
        format!(
            "name = \"www\"\nprogram.command = [\"/program\"]\n\
             tree.files = [{{ path = \"{}\", target = \"/program\" }}]\n",
            dir.join("program").display()
        ),
    );
    dir
}

fn build(dir: &Dir) {
    let built = dir.stockade(["build", "./web.toml"]).output();
    assert_eq!(built.code, Some(0), "{}", built.stderr);
}

/// What the state directory holds, beside the place of records.
fn state(dir: &Dir) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir.join("state")) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != ".run");
    names.sort();
    names
}

/// A run that waits, once its program has started.
fn start(dir: &Dir) -> Child {
    let mut run = dir.stockade(["run", "./web.toml"]).inner;
    let mut child = run.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "r\n");
    child
}

#[test]
fn a_jail_is_removed_by_its_manifest_and_by_its_name() {
    let dir = waiting_jail("remove-named");
    for jail in ["./web.toml", "www"] {
        build(&dir);
        build(&dir);
        assert_eq!(state(&dir), ["www"]);
        dir.stockade(["remove", jail]).expect(0, "", "removed jail `www` with its tree\n");
        assert_eq!(state(&dir), [""; 0]);
    }
    // Its manifest stays, and it can be built again.
    build(&dir);
    // The manifest is gone: its name is the file's, as far as anybody knows.
    fs::remove_file(dir.join("web.toml")).unwrap();
    dir.stockade(["remove", "./web.toml"]).expect(
        1,
        "",
        &format!(
            "error: there is nothing of jail `web`\n  why: the state directory `{}` has no `web`\nhint: what is there: `www`\n",
            dir.join("state").display()
        ),
    );
    dir.stockade(["remove", "www"]).expect(0, "", "removed jail `www` with its tree\n");
    assert_eq!(state(&dir), [""; 0]);
}

#[test]
fn what_is_not_there_is_said_for_each_jail_and_nothing_is_made() {
    let dir = waiting_jail("remove-absent");
    let absent = |name: &str| {
        format!(
            "error: there is nothing of jail `{name}`\n  why: the state directory `{}` has no `{name}`\n\
             hint: STOCKADE_STATE_DIR names another state directory\n",
            dir.join("state").display()
        )
    };
    dir.stockade(["remove", "./web.toml"]).expect(1, "", &absent("www"));
    assert!(!dir.join("state").exists());
    build(&dir);
    let both = dir.stockade(["remove", "ww", "www"]).output();
    assert_eq!((both.code, both.stdout.as_str()), (Some(1), ""));
    assert!(
        both.stderr.ends_with("hint: did you mean `www`?\nremoved jail `www` with its tree\n"),
        "{}",
        both.stderr
    );
    dir.stockade(["remove", "www", "www"]).expect(1, "", &[absent("www"), absent("www")].concat());
    dir.stockade(["remove"]).expect(2, "", "error: no jail is named\nhint: write `stockade remove JAIL`\n");
    for wrong in ["..", ".removed-0", "a b"] {
        let refused = dir.stockade(["remove", wrong]).output();
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{}", refused.stderr);
        assert!(
            refused.stderr.starts_with(&format!("error: `{wrong}` names no jail\n")),
            "{}",
            refused.stderr
        );
    }
}

#[test]
fn a_manifest_that_cannot_be_read_does_not_decide_what_is_removed() {
    let dir = waiting_jail("remove-broken");
    build(&dir);
    // It might have called its jail anything.
    dir.write("www.toml", "name = \n");
    let refused = dir.stockade(["remove", "./www.toml"]).output();
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("hint: write `stockade remove NAME`, which needs no manifest"),
        "{}",
        refused.stderr
    );
    assert_eq!(state(&dir), ["www"]);
    fs::create_dir(dir.join("jails")).unwrap();
    fs::rename(dir.join("www.toml"), dir.join("jails/www.toml")).unwrap();
    dir.stockade(["remove", "www"]).expect(0, "", "removed jail `www` with its tree\n");
}

#[test]
fn a_jail_that_runs_stays_and_who_runs_it_is_said() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = waiting_jail("remove-running");
    build(&dir);
    let mut child = start(&dir);
    let pid = child.id();
    dir.stockade(["remove", "www"]).expect(
        125,
        "",
        &format!(
            "error: cannot remove jail `www`\n  why: process {pid} runs it from `{}`\nhint: end it first: `stockade stop www`\n",
            dir.join("state/www/generations/1").display()
        ),
    );
    // Not even from an older tree that a build has replaced.
    build(&dir);
    let refused = dir.stockade(["remove", "www"]).output();
    assert_eq!(refused.code, Some(125));
    assert!(refused.stderr.contains("generations/1`"), "{}", refused.stderr);
    // Killed, it cannot take its tree away itself.
    child.kill().unwrap();
    child.wait().unwrap();
    dir.stockade(["remove", "www"]).expect(0, "", "removed jail `www` with 2 trees\n");
    assert_eq!(state(&dir), [""; 0]);
}

#[test]
fn a_jail_that_is_built_stays_and_who_builds_it_is_said() {
    let dir = waiting_jail("remove-building");
    build(&dir);
    // A build that is under way holds this lock, and has written its process id into it.
    let lock = fs::File::options().write(true).open(dir.join("state/www/lock")).unwrap();
    lock.lock().unwrap();
    fs::write(dir.join("state/www/lock"), "4321\n").unwrap();
    dir.stockade(["remove", "www"]).expect(
        125,
        "",
        "error: cannot remove jail `www`\n  why: process 4321 is building jail `www`\n\
         hint: wait for process 4321, or end it\n",
    );
    drop(lock);
    dir.stockade(["remove", "www"]).expect(0, "", "removed jail `www` with its tree\n");
}

#[test]
fn what_killed_builds_and_removals_left_goes_too() {
    let dir = waiting_jail("remove-left");
    build(&dir);
    let canary = dir.join("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("file"), "sings").unwrap();
    for left in
        ["www/generations/.staging-1/tree/d", "www/generations/.trash-2/tree", ".removed-3/generations/1"]
    {
        fs::create_dir_all(dir.join("state").join(left)).unwrap();
        symlink(&canary, dir.join("state").join(left).join("link")).unwrap();
    }
    symlink(&canary, dir.join("state/.removed-4")).unwrap();
    dir.stockade(["remove", "www"]).expect(0, "", "removed jail `www` with its tree\n");
    assert_eq!(state(&dir), [""; 0]);
    // Also when there is nothing else to do.
    fs::create_dir_all(dir.join("state/.removed-5/x")).unwrap();
    assert_eq!(dir.stockade(["remove", "www"]).output().code, Some(1));
    assert_eq!(state(&dir), [""; 0]);
    assert_eq!(fs::read_to_string(canary.join("file")).unwrap(), "sings");
}

/// What a jailed program with a writable root can plant, in the tree at `tree`.
fn plant(tree: &Path, canary: &Path) {
    symlink(canary, tree.join("link")).unwrap();
    symlink("/", tree.join("\n")).unwrap();
    fs::create_dir_all(tree.join("-rf/ /*")).unwrap();
    fs::create_dir_all(tree.join(OsStr::from_bytes(b"\xff\xfe/\xc3"))).unwrap();
    nix::unistd::mkfifo(&tree.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    drop(std::os::unix::net::UnixListener::bind(tree.join("socket")));
    fs::File::create(tree.join("huge")).unwrap().set_len(8 << 40).unwrap();
    for level in 0..300 {
        let name = "d".repeat(200);
        let deep: PathBuf = (0..level % 10).map(|_| name.as_str()).collect();
        fs::create_dir_all(tree.join(format!("wide-{level}")).join(deep)).unwrap();
    }
    fs::create_dir_all(tree.join("closed/inner/more")).unwrap();
    for closed in ["closed/inner", "closed"] {
        fs::set_permissions(tree.join(closed), fs::Permissions::from_mode(0o0)).unwrap();
    }
    fs::set_permissions(tree, fs::Permissions::from_mode(0o0)).unwrap();
}

#[test]
fn whatever_a_jailed_program_planted_is_removed_and_nothing_else() {
    let dir = waiting_jail("remove-planted");
    let canary = dir.join("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("file"), "sings").unwrap();
    build(&dir);
    plant(&dir.join("state/www/generations/1/tree"), &canary);
    dir.stockade(["remove", "www"]).expect(0, "", "removed jail `www` with its tree\n");
    assert_eq!(state(&dir), [""; 0]);
    assert_eq!(fs::read_to_string(canary.join("file")).unwrap(), "sings");
}

#[test]
fn what_resists_is_named_and_removed_later() {
    if !needs(Need::Root) || !needs(Need::Program("chattr")) {
        return;
    }
    let dir = waiting_jail("remove-immutable");
    build(&dir);
    let fixed = dir.join("state/www/generations/1/tree/etc/fixed");
    fs::write(&fixed, "").unwrap();
    let change = |flag: &str, path: &Path| {
        let done = std::process::Command::new("chattr").args(["-R", flag]).arg(path).output();
        done.is_ok_and(|done| done.status.success())
    };
    if !change("+i", &fixed) {
        println!("SKIP: no immutable files on this file system");
        return;
    }
    let refused = dir.stockade(["remove", "www"]).output();
    let [left] = &state(&dir)[..] else { panic!("{:?}", state(&dir)) };
    let left = dir.join("state").join(left);
    let why = format!(
        "  why: cannot remove `{0}` whole: unlinkat(2) of `etc/fixed`: Operation not permitted (EPERM)\n\
         hint: something in it is immutable or append-only, see lsattr(1): `chattr -R -i -a '{0}'`\n",
        left.display()
    );
    assert_eq!(refused.stderr, format!("error: cannot remove jail `www`\n{why}"));
    assert_eq!(refused.code, Some(125));
    // It is no jail any more, but it is not forgotten.
    let again = dir.stockade(["remove", "www"]).output();
    assert_eq!(again.code, Some(125), "{}", again.stderr);
    assert!(
        again.stderr.contains("cannot remove what is left of a jail that was removed"),
        "{}",
        again.stderr
    );
    assert!(change("-i", &left));
    assert_eq!(dir.stockade(["remove", "www"]).output().code, Some(1));
    assert_eq!(state(&dir), [""; 0]);
}
