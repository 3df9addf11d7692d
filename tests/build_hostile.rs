//! Trees and state directories that somebody hostile has been in: nothing outside is ever touched.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

mod build_support;

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use build_support::*;
use stockade::tree::{Error, Fault, Store, build};

/// A directory outside that must stay as it is.
fn canary(scratch: &Scratch) -> PathBuf {
    let path = scratch.path().join("canary");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("file"), "sings").unwrap();
    fs::set_permissions(path.join("file"), PermissionsExt::from_mode(0o640)).unwrap();
    path
}

fn assert_sings(canary: &Path) {
    assert_eq!(fs::read_to_string(canary.join("file")).unwrap(), "sings");
    assert_eq!(mode_of(&canary.join("file")), 0o640);
    assert_eq!(fs::read_dir(canary).unwrap().count(), 1);
}

#[test]
fn links_planted_in_an_old_tree_lead_nowhere() {
    let scratch = Scratch::new();
    let canary = canary(&scratch);
    scratch.build(vec![directory("/d", 0o755), text("/d/file", "", 0o644)]).unwrap();
    // What a jailed root could do to its tree by whatever hole.
    let tree = scratch.tree(".").canonicalize().unwrap();
    fs::remove_dir_all(tree.join("d")).unwrap();
    symlink(&canary, tree.join("d")).unwrap();
    symlink(canary.join("file"), tree.join("file")).unwrap();
    symlink("../../../../canary", tree.join("up")).unwrap();
    fs::hard_link(canary.join("file"), tree.join("hard")).unwrap();
    nix::unistd::mkfifo(&tree.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let built = scratch.build(vec![directory("/d", 0o755), text("/d/file", "new", 0o600)]).unwrap();
    assert!(built.left.is_empty(), "{:?}", built.left);
    assert_eq!(scratch.generations(), ["2"]);
    assert_sings(&canary);
}

#[test]
fn links_in_place_of_what_a_build_left_lead_nowhere() {
    let scratch = Scratch::new();
    let canary = canary(&scratch);
    scratch.build(vec![]).unwrap();
    let generations = scratch.state().join("web/generations");
    symlink(&canary, generations.join(".staging-0")).unwrap();
    symlink(&canary, generations.join(".trash-0")).unwrap();
    symlink(&canary, scratch.state().join(".removed-0")).unwrap();
    fs::create_dir(generations.join(".trash-1")).unwrap();
    symlink(&canary, generations.join(".trash-1/x")).unwrap();
    scratch.build(vec![]).unwrap();
    assert_eq!(scratch.generations(), ["2"]);
    assert!(scratch.state().join(".removed-0").symlink_metadata().is_err());
    assert_sings(&canary);

    // A jail's directory, or its generations, that is a link: refused.
    fs::rename(scratch.state().join("web"), scratch.path().join("web")).unwrap();
    symlink(scratch.path().join("web"), scratch.state().join("web")).unwrap();
    assert!(matches!(scratch.build(vec![]), Err(Error::Store { .. })));
    fs::remove_file(scratch.state().join("web")).unwrap();
    fs::create_dir(scratch.state().join("web")).unwrap();
    symlink(&canary, scratch.state().join("web/generations")).unwrap();
    assert!(matches!(scratch.build(vec![]), Err(Error::Store { .. })));
    fs::remove_file(scratch.state().join("web/lock")).unwrap();
    symlink(canary.join("file"), scratch.state().join("web/lock")).unwrap();
    assert!(matches!(scratch.build(vec![]), Err(Error::Store { .. })));
    assert_sings(&canary);
}

#[test]
fn a_state_directory_of_others_is_refused() {
    let scratch = Scratch::new();
    let open = scratch.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
    let Err(error) = Store::open(&open.join("state")) else { panic!("opened") };
    assert_eq!(
        error.to_string(),
        format!(
            "the state directory `{}` cannot be trusted: `{}` is writable by its group or by others (mode 0777)",
            open.join("state").display(),
            open.display()
        )
    );
    assert!(error.hint().unwrap().starts_with("chmod go-w"));
    assert!(!open.join("state").exists());
    let relative = Store::open(Path::new("state")).unwrap_err();
    assert!(matches!(&relative, Error::Untrusted { distrust, .. } if distrust.fault == Fault::Relative));
    if is_root() {
        fs::set_permissions(&open, PermissionsExt::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(&open, Some(12345), None).unwrap();
        let Err(Error::Untrusted { distrust, .. }) = Store::open(&open.join("state")) else {
            panic!("opened")
        };
        assert_eq!(distrust.fault, Fault::Owner(12345));
    }
}

#[test]
fn a_mount_in_an_old_tree_is_not_crossed() {
    if helper_argument().is_none() {
        if needs_root() {
            let private = ["unshare", "--mount", "--propagation", "private"];
            let test = helper(&private, "a_mount_in_an_old_tree_is_not_crossed", Path::new("-")).output();
            let test = test.unwrap();
            assert_passed(&test);
        }
        return;
    }
    let scratch = Scratch::new();
    let canary = canary(&scratch);
    scratch.build(vec![directory("/a", 0o755), directory("/a/srv", 0o755), text("/f", "", 0o644)]).unwrap();
    // The same file system, so that a comparison of st_dev would see nothing.
    let mount = |verb: &str, rest: &[&Path]| {
        assert!(std::process::Command::new(verb).args(rest).status().unwrap().success());
    };
    let target = scratch.state().join("web/generations/1/tree/a/srv");
    mount("mount", &[Path::new("--bind"), &canary, &target]);
    let built = scratch.build(vec![]).unwrap();
    assert_sings(&canary);
    // The new tree is current, and the rest of the old one waits until the mount is gone.
    assert_eq!(built.generation.number, 2);
    let [error] = built.left.as_slice() else { panic!("{:?}", built.left) };
    assert!(error.hint().unwrap().contains("mounted"), "{error}");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let at = mounts.lines().find(|line| line.contains(".trash-")).unwrap().split(' ').nth(1).unwrap();
    mount("umount", &[Path::new(at)]);
    assert!(scratch.build(vec![]).unwrap().left.is_empty());
    assert_eq!(scratch.generations(), ["3"]);
    assert_sings(&canary);
}

#[test]
fn what_cannot_be_removed_is_told_and_swept_later() {
    if !needs_root() {
        return;
    }
    let scratch = Scratch::new();
    scratch.build(vec![directory("/d", 0o755), text("/d/fixed", "", 0o644), text("/f", "", 0o644)]).unwrap();
    let change = |flag: &str, path: &Path| {
        std::process::Command::new("chattr")
            .arg(flag)
            .arg(path)
            .output()
            .is_ok_and(|done| done.status.success())
    };
    let fixed = scratch.tree("d/fixed").canonicalize().unwrap();
    if !change("+i", &fixed) {
        return skip("no immutable files on this file system");
    }
    let built = scratch.build(vec![]).unwrap();
    let [Error::NotRemoved { path, entry, errno, .. }] = built.left.as_slice() else {
        panic!("{:?}", built.left)
    };
    assert_eq!((entry.as_path(), *errno), (Path::new("d/fixed"), nix::errno::Errno::EPERM));
    assert!(!path.join("tree").join("f").exists(), "the rest is gone");
    let found = std::process::Command::new("find").arg(path).args(["-name", "fixed"]).output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    assert!(change("-i", Path::new(found.trim_end())));
    assert!(scratch.build(vec![]).unwrap().left.is_empty());
    assert_eq!(scratch.generations(), ["3"]);
}

#[test]
fn swapping_a_source_directory_for_a_link_gains_nothing() {
    if !needs_root() {
        return;
    }
    // As CVE-2018-15664 did to `docker cp`: a user turns a directory into a link to one of root's while root copies
    // from it.
    let scratch = Scratch::new();
    let secret = scratch.path().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("file"), "secret").unwrap();
    let home = scratch.path().join("home");
    fs::create_dir_all(home.join("real")).unwrap();
    fs::write(home.join("real/file"), "public").unwrap();
    symlink(&secret, home.join("link")).unwrap();
    std::os::unix::fs::lchown(home.join("link"), Some(12345), Some(12345)).unwrap();
    let parent = File::open(&home).unwrap();
    let done = AtomicBool::new(false);
    let (mut built, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let flags = nix::fcntl::RenameFlags::RENAME_EXCHANGE;
            while !done.load(Ordering::Relaxed) {
                nix::fcntl::renameat2(&parent, "real", &parent, "link", flags).unwrap();
            }
        });
        let store = scratch.store();
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(3) {
            let steps = vec![copy(&home.join("real/file"), "/file", 0o644)];
            match build(&store, &plan(steps), &DIGEST, true) {
                Ok(_) => {
                    built += 1;
                    assert_eq!(fs::read_to_string(scratch.tree("file")).unwrap(), "public");
                }
                Err(_) => refused += 1,
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    println!("{built} built, {refused} refused");
    assert!(built > 0 && refused > 0);
}
