//! A build that fails, is interrupted or killed, or meets another one: nothing half-made stays, and the old tree is
//! whole.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

mod build_support;

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use build_support::*;
use nix::errno::Errno;
use stockade::plan::step::{DEVICES, Owner};
use stockade::plan::{Action, JailPath, Mode};
use stockade::tree::record::Ownership;
use stockade::tree::{Error, Freshness, Moment, Store, build, build_watched};

/// One step of every kind that needs no privilege.
fn steps(source: &Path) -> Vec<Action> {
    vec![
        directory("/d", 0o755),
        copy(source, "/d/f", 0o644),
        hard_link("/d/f", "/d/g"),
        link("f", "/d/l"),
        text("/d/t", "text", 0o600),
        directory("/d/e", 0o500),
        text("/d/e/t", "", 0o400),
    ]
}

#[test]
fn stopped_at_any_moment_a_build_leaves_the_old_tree() {
    let scratch = Scratch::new();
    let plan = plan(steps(&scratch.file("source", b"x")));
    let store = scratch.store();
    let mut moments = Vec::new();
    let old = build_watched(&store, &plan, &DIGEST, is_root(), &mut |moment| {
        moments.push(moment);
        ControlFlow::Continue(())
    });
    let old = old.unwrap().generation;
    assert_eq!(moments.len(), plan.steps.len() + 4);
    for stop in moments {
        let result = build_watched(&store, &plan, &[2; 32], is_root(), &mut |moment| {
            if moment == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(result, Err(Error::Interrupted)), "{stop:?}: {result:?}");
        assert_eq!(scratch.generations(), ["1"], "{stop:?}");
        assert_eq!(store.current(&jail(), &DIGEST).unwrap(), Freshness::Current(old.clone()));
        assert_eq!(fs::read(scratch.tree("d/t")).unwrap(), b"text");
    }
}

#[test]
fn a_step_that_fails_is_named_wherever_it_stands() {
    let scratch = Scratch::new();
    let source = scratch.file("source", b"x");
    scratch.build(steps(&source)).unwrap();
    let missing = scratch.path().join("missing");
    for index in 0..=steps(&source).len() {
        let mut faulty = steps(&source);
        faulty.insert(index, copy(&missing, "/missing", 0o644));
        let error = scratch.build(faulty).unwrap_err();
        let Error::Step(step) = &error else { panic!("{error}") };
        assert_eq!((step.index, step.path.to_string()), (index, "/missing".to_owned()));
        assert_eq!(error.errno(), Some(Errno::ENOENT));
        assert_eq!(error.origin().unwrap().to_string(), format!("option `step {index}`"));
        assert_eq!(scratch.generations(), ["1"]);
    }
}

#[test]
fn what_a_plan_must_not_ask_for_is_refused() {
    let scratch = Scratch::new();
    for (wrong, errno) in [
        (vec![text("/no/parent", "", 0o644)], Some(Errno::ENOENT)),
        (vec![directory("/d", 0o755), directory("/d", 0o755)], Some(Errno::EEXIST)),
        (vec![text("/f", "", 0o644), text("/f", "", 0o644)], Some(Errno::EEXIST)),
        // Never through a link, not even one to a directory of the tree.
        (vec![directory("/d", 0o755), link("d", "/l"), text("/l/f", "", 0o644)], Some(Errno::ELOOP)),
        (vec![link("/etc", "/l"), text("/l/f", "", 0o644)], Some(Errno::ELOOP)),
        (vec![link("/etc/passwd", "/l"), text("/l", "", 0o644)], Some(Errno::EEXIST)),
        (vec![text("/", "", 0o644)], Some(Errno::EEXIST)),
        (vec![hard_link("/none", "/second")], None),
        (vec![directory("/d", 0o755), hard_link("/d", "/second")], None),
        (vec![Action::NoNewPrivileges], None),
    ] {
        let count = wrong.len();
        let error = scratch.build(wrong).unwrap_err();
        let Error::Step(step) = &error else { panic!("{error}") };
        assert_eq!((step.index, error.errno()), (count - 1, errno), "{error}");
        assert!(scratch.generations().is_empty());
    }
}

#[test]
fn a_source_that_never_rests_is_an_error() {
    let scratch = Scratch::new();
    let source = scratch.file("source", &vec![0; 24 << 20]);
    let file = File::options().append(true).open(&source).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                std::io::Write::write_all(&mut &file, b"more").unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let result = scratch.build(vec![copy(&source, "/f", 0o644)]);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        result
    });
    let error = result.unwrap_err();
    assert!(error.to_string().ends_with("the source kept changing while it was copied"), "{error}");
    assert!(scratch.generations().is_empty());
}

#[test]
fn a_full_disk_is_reported_and_emptied() {
    if helper_argument().is_none() {
        let private = ["unshare", "--mount", "--propagation", "private"];
        if !needs_root() {
            return;
        }
        let result =
            helper(&private, "a_full_disk_is_reported_and_emptied", Path::new("-")).output().unwrap();
        assert_passed(&result);
        return;
    }
    let scratch = Scratch::new();
    let small = scratch.path().join("small");
    fs::create_dir(&small).unwrap();
    let mount = |options: &str| {
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&small).status().unwrap();
        assert!(status.success());
    };
    let big = scratch.file("big", &vec![1; 3 << 20]);
    // Full of data, then out of inodes.
    for (options, count) in [("size=2M,mode=700", 1), ("nr_inodes=60,mode=700", 100)] {
        mount(options);
        let store = Store::open(&small.join("state")).unwrap();
        let good = plan(vec![text("/f", "old", 0o644)]);
        let old = build(&store, &good, &DIGEST, true).unwrap().generation;
        let faulty: Vec<_> = (0..count).map(|n| copy(&big, &format!("/{n}"), 0o644)).collect();
        let faulty: Vec<_> =
            if count == 1 { faulty } else { (0..count).map(|n| text(&format!("/{n}"), "", 0o644)).collect() };
        let error = build(&store, &plan(faulty), &DIGEST, true).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::ENOSPC), "{error}");
        assert!(error.hint().unwrap().contains("full"));
        assert_eq!(store.current(&jail(), &DIGEST).unwrap(), Freshness::Current(old));
        assert_eq!(fs::read_dir(small.join("state/web/generations")).unwrap().count(), 1);
        build(&store, &good, &DIGEST, true).unwrap();
        drop(store);
        assert!(Command::new("umount").arg(&small).status().unwrap().success());
    }
}

#[test]
fn two_builds_take_turns() {
    let scratch = Scratch::new();
    let source = scratch.file("source", b"x");
    // Errors do not leave their thread: they may point into a manifest.
    let one =
        || build(&scratch.store(), &plan(steps(&source)), &DIGEST, is_root()).unwrap().generation.number;
    let mut numbers: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(scratch.generations(), ["4"]);
}

#[test]
fn a_generation_in_use_stays_until_it_is_let_go() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let first = scratch.build(vec![text("/f", "1", 0o644)]).unwrap().generation;
    let held = store.hold(&first).unwrap();
    let second = scratch.build(vec![text("/f", "2", 0o644)]).unwrap().generation;
    assert_eq!(scratch.generations(), ["1", "2"]);
    assert_eq!(fs::read(first.tree().join("f")).unwrap(), b"1");
    assert!(matches!(store.remove(&jail()), Err(Error::InUse { .. })));
    assert_eq!(scratch.generations(), ["1", "2"]);
    drop(held);
    scratch.build(vec![]).unwrap();
    // One is kept to go back to.
    assert_eq!(scratch.generations(), ["2", "3"]);
    assert!(matches!(store.hold(&first), Err(Error::Gone { .. })));
    assert!(store.hold(&second).is_ok());
    store.remove(&jail()).unwrap();
    assert_eq!(fs::read_dir(scratch.state()).unwrap().count(), 0);
}

/// Builds 200 steps with a pause after each, in a process of its own, and calls `then` once a staged tree is there.
fn slow_build(scratch: &Scratch, test: &str, then: impl FnOnce(&mut std::process::Child)) {
    let mut child =
        helper(&[], test, scratch.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while !scratch.state().join("web/generations").exists()
        || !scratch.generations().iter().any(|name| name.starts_with(".staging-"))
    {
        assert!(started.elapsed() < Duration::from_mins(1), "no build began");
        std::thread::sleep(Duration::from_millis(5));
    }
    then(&mut child);
}

fn build_slowly(scratch: &Path) {
    let store = Store::open(&scratch.join("state")).unwrap();
    let steps = (0..200).map(|n| text(&format!("/{n}"), "", 0o644)).collect();
    let result = build_watched(&store, &plan(steps), &DIGEST, is_root(), &mut |moment| {
        if matches!(moment, Moment::Step(_)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        ControlFlow::Continue(())
    });
    result.unwrap();
}

#[test]
fn a_killed_build_is_swept_by_the_next() {
    if let Some(scratch) = helper_argument() {
        return build_slowly(&scratch);
    }
    let scratch = Scratch::new();
    scratch.build(vec![text("/f", "old", 0o644)]).unwrap();
    slow_build(&scratch, "a_killed_build_is_swept_by_the_next", |child| {
        child.kill().unwrap();
        child.wait().unwrap();
    });
    assert_eq!(scratch.generations().len(), 2, "a staging directory was left");
    assert_eq!(fs::read(scratch.tree("f")).unwrap(), b"old");
    scratch.build(vec![]).unwrap();
    assert_eq!(scratch.generations(), ["1", "2"]);
}

#[test]
fn an_interrupted_build_cleans_up_and_dies_of_the_signal() {
    let Some(argument) = helper_argument() else {
        let scratch = Scratch::new();
        let test = "an_interrupted_build_cleans_up_and_dies_of_the_signal";
        let result = helper(&[], test, scratch.path()).output().unwrap();
        assert_eq!(result.status.signal(), Some(15), "{result:?}");
        assert!(scratch.generations().is_empty());
        return;
    };
    let store = Store::open(&argument.join("state")).unwrap();
    let steps = (0..200).map(|n| text(&format!("/{n}"), "", 0o644)).collect();
    let result = build_watched(&store, &plan(steps), &DIGEST, is_root(), &mut |moment| {
        if moment == Moment::Step(100) {
            // To this thread, as the kernel would in a program that has no other.
            nix::sys::signal::raise(nix::sys::signal::SIGTERM).unwrap();
        }
        ControlFlow::Continue(())
    });
    unreachable!("{result:?}");
}

#[test]
fn a_build_under_way_is_named() {
    if let Some(scratch) = helper_argument() {
        return build_slowly(&scratch);
    }
    let scratch = Scratch::new();
    slow_build(&scratch, "a_build_under_way_is_named", |child| {
        let pid = child.id();
        // Stopped, it holds the lock for longer than anybody waits.
        let stop = |signal: &str| Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
        assert!(stop("-STOP").success());
        let error = scratch.build(vec![]).unwrap_err();
        assert_eq!(error.to_string(), format!("process {pid} is building jail `web`"));
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

#[test]
fn an_ordinary_users_tree_is_its_own() {
    if let Some(scratch) = helper_argument() {
        return build_as_user(&scratch);
    }
    if !is_root() {
        let scratch = Scratch::new();
        return build_as_user(scratch.path());
    }
    let scratch = Scratch::new();
    fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(scratch.path(), Some(65534), Some(65534)).unwrap();
    let result = helper(&AS_NOBODY, "an_ordinary_users_tree_is_its_own", scratch.path()).output();
    match result {
        Ok(result) => assert_passed(&result),
        Err(error) => skip(&format!("setpriv: {error}")),
    }
}

fn build_as_user(scratch: &Path) {
    let store = Store::open(&scratch.join("state")).unwrap();
    let source = scratch.join("source");
    fs::write(&source, "x").unwrap();
    fs::set_permissions(&source, PermissionsExt::from_mode(0o4755)).unwrap();
    let owner = Owner { uid: 33, gid: 33 };
    let steps = || {
        vec![
            Action::MakeDirectory { path: inside("/closed"), mode: Mode(0o000), owner },
            text("/closed/t", "", 0o000),
            copy(&source, "/f", 0o4755),
            Action::MakeSymlink { text: "f".into(), path: inside("/l"), owner },
            Action::MakeDevice { path: inside("/null"), device: DEVICES[0] },
        ]
    };
    // Twice: the first tree must be removable.
    for number in 1..=2 {
        let built = build(&store, &plan(steps()), &DIGEST, false).unwrap();
        assert_eq!(built.generation.number, number);
        assert!(built.left.is_empty(), "{:?}", built.left);
    }
    let tree = store.current_tree(&jail());
    let stat = |name: &str| tree.join(name).symlink_metadata().unwrap();
    let me = nix::unistd::geteuid().as_raw();
    for (name, mode) in [("closed", 0o700), ("closed/t", 0o400), ("f", 0o755), ("null", 0o600)] {
        assert_eq!((stat(name).uid(), stat(name).mode() & 0o7777), (me, mode), "{name}");
    }
    assert!(stat("null").is_file() && stat("null").len() == 0);
    let text = fs::read(tree.join("../record.json")).unwrap();
    let record = stockade::tree::Record::from_json(&text).unwrap();
    assert_eq!(record.head.ownership, Ownership::Recorded);
    assert_eq!(record.entries[1].path.0, JailPath::parse("/closed").unwrap().as_path());
    assert_eq!((record.entries[1].uid, record.entries[1].mode), (33, Mode(0)));
    assert_eq!(record.entries[3].not_kept, ["setuid"]);
    assert_eq!(record.entries[5].device, Some((1, 3)));
}
