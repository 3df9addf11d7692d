//! Trees and state directories that somebody hostile has been in: nothing outside is ever touched.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

mod build_support;

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
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
    let built = scratch.build_alone(vec![directory("/d", 0o755), text("/d/file", "new", 0o600)]).unwrap();
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
    let built = scratch.build_alone(vec![]).unwrap();
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
    let built = scratch.build_alone(vec![]).unwrap();
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
        // On a busy machine it takes longer until both have been seen.
        let goes_on = |seen: bool| started.elapsed() < Duration::from_secs(if seen { 3 } else { 60 });
        while goes_on(built > 0 && refused > 0) {
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

#[test]
fn a_hard_link_that_a_user_made_to_anothers_file_is_not_copied() {
    if helper_argument().is_none() {
        if needs_root() {
            // The kernel's own setting is not ours to change: it is covered where the build looks for it.
            let private = ["unshare", "--mount", "--propagation", "private"];
            let name = "a_hard_link_that_a_user_made_to_anothers_file_is_not_copied";
            assert_passed(&helper(&private, name, Path::new("-")).output().unwrap());
        }
        return;
    }
    let scratch = Scratch::new();
    let secret = scratch.file("secret", b"secret");
    let home = scratch.path().join("home");
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(12345), None).unwrap();
    fs::hard_link(&secret, home.join("mine")).unwrap();
    let build = || scratch.build(vec![copy(&home.join("mine"), "/f", 0o644)]);
    let protect = |how: &str| {
        let setting = scratch.file("setting", how.as_bytes());
        let mounted = std::process::Command::new("mount")
            .arg("--bind")
            .arg(setting)
            .arg("/proc/sys/fs/protected_hardlinks")
            .status();
        assert!(mounted.unwrap().success());
    };
    protect("0\n");
    let error = build().unwrap_err();
    assert!(
        error.to_string().ends_with(
            "the source has a second name and belongs to user 0, but others can write to its directory: they may have linked it there"
        ),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("protected_hardlinks"));
    // Where anybody can write, nobody's file is safe.
    std::os::unix::fs::chown(&home, Some(0), None).unwrap();
    fs::set_permissions(&home, PermissionsExt::from_mode(0o1777)).unwrap();
    assert!(build().is_err());
    // Where only its owner can, it is the owner's own doing.
    fs::set_permissions(&home, PermissionsExt::from_mode(0o755)).unwrap();
    build().unwrap();
    std::os::unix::fs::chown(&home, Some(12345), None).unwrap();
    std::os::unix::fs::chown(&secret, Some(12345), None).unwrap();
    build().unwrap();
    std::os::unix::fs::chown(&secret, Some(0), None).unwrap();
    assert!(build().is_err());
    protect("1\n");
    build().unwrap();
    for _ in 0..2 {
        let gone = std::process::Command::new("umount").arg("/proc/sys/fs/protected_hardlinks").status();
        assert!(gone.unwrap().success());
    }
}

#[test]
fn a_source_that_turns_into_anything_while_it_is_copied_gains_nothing() {
    // An ordinary user's file, which root copies: the user makes it a FIFO, a socket, a link, a longer and a shorter file.
    let scratch = Scratch::new();
    let secret = scratch.file("secret", b"secret");
    let home = scratch.path().join("home");
    fs::create_dir(&home).unwrap();
    let source = home.join("source");
    let done = AtomicBool::new(false);
    let (mut built, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let next = home.join("next");
            let publish = || fs::rename(&next, &source).unwrap();
            while !done.load(Ordering::Relaxed) {
                fs::write(&next, vec![b'p'; 300_000]).unwrap();
                publish();
                nix::unistd::mkfifo(&next, nix::sys::stat::Mode::S_IRWXU).unwrap();
                publish();
                fs::write(&next, "p").unwrap();
                publish();
                File::options().write(true).open(&source).unwrap().set_len(1 << 20).unwrap();
                symlink(&secret, &next).unwrap();
                publish();
                drop(std::os::unix::net::UnixListener::bind(&next).unwrap());
                publish();
            }
        });
        let store = scratch.store();
        let started = Instant::now();
        // On a busy machine it takes longer until both have been seen.
        let goes_on = |seen: bool| started.elapsed() < Duration::from_secs(if seen { 2 } else { 60 });
        while goes_on(built > 0 && refused > 0) {
            match build(&store, &plan(vec![copy(&source, "/file", 0o644)]), &DIGEST, is_root()) {
                Ok(_) => {
                    built += 1;
                    let copied = fs::read(scratch.tree("file")).unwrap();
                    assert!(copied.iter().all(|byte| [b'p', 0].contains(byte)), "something else was copied");
                }
                Err(error) => {
                    assert!(matches!(error, Error::Step(_)), "{error}");
                    refused += 1;
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    println!("{built} built, {refused} refused");
    assert!(built > 0 && refused > 0);
}

#[test]
fn a_leased_source_is_told_and_not_waited_for() {
    let scratch = Scratch::new();
    let source = scratch.file("source", b"x");
    // fcntl(2), F_SETLEASE: whoever opens the file waits until its holder lets go, or for 45 seconds.
    let holder = "import fcntl, signal, sys; signal.signal(signal.SIGIO, signal.SIG_IGN); \
                  fd = open(sys.argv[1], 'r+'); fcntl.fcntl(fd, 1024, fcntl.F_WRLCK); print('held', flush=True); sys.stdin.read()";
    let mut command = std::process::Command::new("python3");
    command.args(["-c", holder]).arg(&source).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut holder) = command.spawn() else { return skip("needs python3") };
    let mut held = [0; 5];
    if std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut held).is_err() {
        return skip("no leases on this file system");
    }
    // Whoever waits has the file in the end.
    let error = scratch.build(vec![copy(&source, "/f", 0o644)]).unwrap_err();
    assert_eq!(error.errno(), Some(nix::errno::Errno::EAGAIN), "{error}");
    assert!(error.hint().unwrap().contains("lease"));
    drop(holder.stdin.take());
    holder.wait().unwrap();
}

#[test]
fn a_source_of_nothing_but_holes_is_refused_at_once() {
    // Its digest alone would take hours, and anybody can make it.
    let scratch = Scratch::new();
    let source = scratch.file("source", b"");
    let (mut size, mut error) = (1_u64 << 40, None);
    // As long as the file system lets it be: 16 TiB on ext4.
    while error.is_none() && File::options().write(true).open(&source).unwrap().set_len(size).is_ok() {
        let space = nix::sys::statvfs::statvfs(scratch.path()).unwrap();
        if size > space.blocks() * space.fragment_size() {
            error = Some(scratch.build(vec![copy(&source, "/f", 0o644)]).unwrap_err());
        }
        size *= 2;
    }
    let Some(error) = error else { return skip("this file system is larger than any file on it") };
    assert!(
        error.to_string().ends_with("more than the whole file system of the tree: nearly all are holes"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("exclude"));
}
