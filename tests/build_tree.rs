//! What a built tree is like: content, owners, modes, times and everything else of a file that is kept or left behind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

mod build_support;

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use build_support::*;
use stockade::plan::Action;
use stockade::plan::step::{DEVICES, Keep, Owner};
use stockade::sys::fs::{get_xattr, set_xattr};
use stockade::tree::record::{Digest, Kind, Ownership};
use stockade::tree::{Cause, Error, Freshness};

/// A file capability as setcap(8) writes it: version 2, effective, CAP_NET_BIND_SERVICE permitted.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn a_tree_is_what_its_plan_says() {
    let scratch = Scratch::new();
    let source = scratch.file("source", b"content");
    let times = UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    File::options()
        .write(true)
        .open(&source)
        .unwrap()
        .set_times(FileTimes::new().set_modified(times))
        .unwrap();
    let built = scratch
        .build(vec![
            directory("/etc", 0o755),
            directory("/etc/closed", 0o711),
            text("/etc/closed/motd", "hello\n", 0o640),
            directory("/usr", 0o2775),
            copy(&source, "/usr/file", 0o751),
            hard_link("/usr/file", "/usr/second"),
            link("usr/file", "/link"),
        ])
        .unwrap();
    assert_eq!((built.files, built.bytes, built.directories), (2, 13, 4));
    assert_eq!((built.links, built.hard_links, built.devices), (1, 1, 0));
    assert!(built.left.is_empty());

    assert_eq!(fs::read(scratch.tree("usr/file")).unwrap(), b"content");
    assert_eq!(fs::read_link(scratch.tree("link")).unwrap(), Path::new("usr/file"));
    let file = scratch.tree("usr/file").metadata().unwrap();
    assert_eq!((file.mtime(), file.mtime_nsec()), (1_234_567_890, 123_456_789));
    assert_eq!((file.nlink(), file.ino()), (2, scratch.tree("usr/second").metadata().unwrap().ino()));
    for (path, mode) in [
        ("", 0o755),
        ("etc/closed", 0o711),
        ("etc/closed/motd", 0o640),
        ("usr", if is_root() { 0o2775 } else { 0o775 }),
        ("usr/file", 0o751),
    ] {
        assert_eq!(mode_of(&scratch.tree(path)), mode, "/{path}");
    }
    // The state directory is nobody else's.
    for path in ["", "web", "web/generations", "web/generations/1"] {
        assert_eq!(mode_of(&scratch.state().join(path)), 0o700, "{path}");
    }

    let record = scratch.record();
    let paths: Vec<_> = record.entries.iter().map(|entry| entry.path.0.to_str().unwrap()).collect();
    assert_eq!(
        paths,
        ["/", "/etc", "/etc/closed", "/etc/closed/motd", "/usr", "/usr/file", "/usr/second", "/link"]
    );
    let copied = &record.entries[5];
    assert_eq!(copied.mtime, (1_234_567_890, 123_456_789));
    // printf content | sha256sum
    let sha256 = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
    assert_eq!(copied.sha256, Digest::parse(sha256));
    assert_eq!(copied.source.as_ref().map(|name| name.0.as_path()), Some(source.as_path()));
    assert_eq!(copied.reason, "option `step 4`");
    assert_eq!(record.entries[6].hard_link_to.as_ref(), Some(&copied.path));
    // Directories got their times after their content.
    for entry in record.entries.iter().filter(|entry| entry.kind == Kind::Directory) {
        let on_disk = scratch.tree(entry.path.0.strip_prefix("/").unwrap().to_str().unwrap());
        let on_disk = on_disk.metadata().unwrap();
        assert_eq!((on_disk.mtime(), on_disk.mtime_nsec()), entry.mtime, "{:?}", entry.path);
    }
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    if helper_argument().is_none() {
        // The umask is the whole process's: in one of its own.
        let result = helper(&[], "modes_do_not_depend_on_the_umask", Path::new("-")).output().unwrap();
        assert_passed(&result);
        return;
    }
    let scratch = Scratch::new();
    let source = scratch.file("source", b"x");
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let mut steps = vec![directory("/d", 0o777), copy(&source, "/f", 0o666), text("/t", "", 0o604)];
    if is_root() {
        steps.push(Action::MakeDevice { path: inside("/null"), device: DEVICES[0] });
    }
    scratch.build(steps).unwrap();
    assert_eq!(mode_of(&scratch.tree("d")), 0o777);
    assert_eq!(mode_of(&scratch.tree("f")), 0o666);
    assert_eq!(mode_of(&scratch.tree("t")), 0o604);
    if is_root() {
        assert_eq!(mode_of(&scratch.tree("null")), 0o666);
    }
}

#[test]
fn owners_are_set_as_root() {
    if !needs_root() {
        return;
    }
    let scratch = Scratch::new();
    let source = scratch.file("source", b"x");
    let owner = Owner { uid: 12345, gid: 54321 };
    let mut steps =
        vec![directory("/d", 0o000), copy(&source, "/d/f", 0o400), text("/t", "", 0), link("x", "/l")];
    for step in &mut steps {
        match step {
            Action::MakeDirectory { owner: to, .. }
            | Action::CopyFile { owner: to, .. }
            | Action::WriteFile { owner: to, .. }
            | Action::MakeSymlink { owner: to, .. } => *to = owner,
            _ => unreachable!(),
        }
    }
    scratch.build(steps).unwrap();
    for path in ["d", "d/f", "t", "l"] {
        let stat = scratch.tree(path).symlink_metadata().unwrap();
        assert_eq!((stat.uid(), stat.gid()), (12345, 54321), "{path}");
    }
    assert_eq!(mode_of(&scratch.tree("d")), 0);
    assert_eq!(scratch.record().head.ownership, Ownership::Real);
}

#[test]
fn holes_stay_holes() {
    let scratch = Scratch::new();
    let path = scratch.path().join("sparse");
    let file = File::create(&path).unwrap();
    file.write_all_at(b"begin", 0).unwrap();
    file.write_all_at(b"middle", 8 << 20).unwrap();
    file.set_len(24 << 20).unwrap();
    scratch.build(vec![copy(&path, "/sparse", 0o644)]).unwrap();
    let copied = scratch.tree("sparse").metadata().unwrap();
    assert_eq!(copied.len(), 24 << 20);
    assert!(copied.blocks() <= path.metadata().unwrap().blocks(), "{} blocks", copied.blocks());
    assert_eq!(fs::read(scratch.tree("sparse")).unwrap(), fs::read(&path).unwrap());
    let sum = std::process::Command::new("sha256sum").arg(&path).output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap();
    assert_eq!(scratch.record().entries[1].sha256, Digest::parse(&sum[..64]));
}

#[test]
fn attributes_of_users_are_kept_and_lists_are_not() {
    let scratch = Scratch::new();
    let path = scratch.file("source", b"x");
    let source = File::open(&path).unwrap();
    if set_xattr(&source, c"user.note", b"a\0b").is_err() {
        return skip("no user.* attributes on this file system");
    }
    // An access control list that lets user 1 read: version 2; user_obj, user 1, group_obj, mask, other.
    let mut list = vec![2, 0, 0, 0];
    for (tag, permissions, id) in
        [(1_u16, 6_u16, u32::MAX), (2, 4, 1), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
    {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    let listed = set_xattr(&source, c"system.posix_acl_access", &list).is_ok();
    scratch.build(vec![copy(&path, "/f", 0o600)]).unwrap();
    let copied = File::open(scratch.tree("f")).unwrap();
    let mut value = [0; 100];
    assert_eq!(get_xattr(&copied, c"user.note", &mut value), Ok(3));
    assert_eq!(&value[..3], b"a\0b");
    assert!(get_xattr(&copied, c"system.posix_acl_access", &mut value).is_err());
    let entry = &scratch.record().entries[1];
    assert_eq!(entry.xattrs, ["user.note"]);
    // XFS shows root its own copy of the list as well, `trusted.SGI_ACL_FILE`.
    assert_eq!(entry.not_kept.iter().any(|name| name == "system.posix_acl_access"), listed);
}

#[test]
fn privileged_marks_are_dropped_unless_asked_for() {
    if !needs_root() {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.file("source", b"x");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o6755)).unwrap();
    set_xattr(File::open(&path).unwrap(), c"security.capability", &CAPABILITY).unwrap();
    let owner = Owner { uid: 33, gid: 33 };
    let mut steps = vec![copy(&path, "/dropped", 0o6755)];
    for (name, keep) in [
        ("/setid", Keep { setid: true, capabilities: false }),
        ("/capable", Keep { setid: false, capabilities: true }),
    ] {
        let mut step = copy_keeping(&path, name, 0o6755, keep);
        if let Action::CopyFile { owner: to, .. } = &mut step {
            *to = owner;
        }
        steps.push(step);
    }
    scratch.build(steps).unwrap();
    let capable = |name| {
        get_xattr(File::open(scratch.tree(name)).unwrap(), c"security.capability", &mut [0; 64]).is_ok()
    };
    for (name, mode, capability) in
        [("dropped", 0o755, false), ("setid", 0o6755, false), ("capable", 0o755, true)]
    {
        assert_eq!(mode_of(&scratch.tree(name)), mode, "{name}");
        assert_eq!(capable(name), capability, "{name}");
    }
    let record = scratch.record();
    assert_eq!(record.entries[1].not_kept, ["setuid", "setgid", "security.capability"]);
    assert_eq!(record.entries[1].mode.0, 0o755);
    assert_eq!(record.entries[2].not_kept, ["security.capability"]);
    assert_eq!(record.entries[3].xattrs, ["security.capability"]);
}

#[test]
fn a_list_handed_down_widens_nothing() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let mut list = vec![2, 0, 0, 0];
    for (tag, permissions, id) in
        [(1_u16, 7_u16, u32::MAX), (2, 7, 1), (4, 7, u32::MAX), (16, 7, u32::MAX), (32, 7, u32::MAX)]
    {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    fs::create_dir_all(scratch.state().join("web/generations")).unwrap();
    for path in ["web", "web/generations"] {
        let directory = File::open(scratch.state().join(path)).unwrap();
        if set_xattr(&directory, c"system.posix_acl_default", &list).is_err() {
            return skip("no access control lists on this file system");
        }
    }
    drop(store);
    scratch.build(vec![directory("/d", 0o700), text("/d/f", "", 0o600)]).unwrap();
    for path in ["", "d", "d/f"] {
        let file = File::open(scratch.tree(path)).unwrap();
        assert!(get_xattr(&file, c"system.posix_acl_access", &mut [0; 100]).is_err(), "/{path}");
    }
}

#[test]
fn devices_are_made_as_root() {
    if !needs_root() {
        return;
    }
    let scratch = Scratch::new();
    let device = |name: &str, at: usize| Action::MakeDevice { path: inside(name), device: DEVICES[at] };
    match scratch.build(vec![directory("/dev", 0o755), device("/dev/null", 0), device("/dev/tty", 5)]) {
        Err(error) if error.hint().is_some_and(|hint| hint.contains("CAP_MKNOD")) => {
            return skip("this root may not make devices");
        }
        built => assert_eq!(built.unwrap().devices, 2),
    }
    let stat = scratch.tree("dev/tty").symlink_metadata().unwrap();
    assert!(stat.file_type().is_char_device());
    assert_eq!((stat.rdev(), stat.mode() & 0o7777), (nix::sys::stat::makedev(5, 0), 0o666));
    assert_eq!(scratch.record().entries[2].device, Some((1, 3)));
}

#[test]
fn a_tree_is_fresh_until_the_manifest_changes() {
    let scratch = Scratch::new();
    let store = scratch.store();
    assert_eq!(store.current(&jail(), &DIGEST).unwrap(), Freshness::Absent);
    let built = scratch.build(vec![]).unwrap();
    assert_eq!(store.current(&jail(), &DIGEST).unwrap(), Freshness::Current(built.generation.clone()));
    assert_eq!(store.current(&jail(), &[0; 32]).unwrap(), Freshness::Stale(built.generation.clone()));
    assert_eq!(built.generation.tree(), scratch.state().join("web/generations/1/tree"));
    assert_eq!(store.current_tree(&jail()), scratch.tree(".").parent().unwrap().join("tree"));
}

#[test]
fn only_regular_files_are_copied() {
    let scratch = Scratch::new();
    let fifo = scratch.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let socket = scratch.path().join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (source, kind) in [
        (fifo.as_path(), "a fifo"),
        (&socket, "a socket"),
        (Path::new("/dev/null"), "a character device"),
        (scratch.path(), "a directory"),
    ] {
        let error = scratch.build(vec![copy(source, "/f", 0o644)]).unwrap_err();
        let Error::Step(step) = &error else { panic!("{error}") };
        assert!(matches!(step.cause, Cause::NotRegular(found) if found == kind), "{error}");
        assert_eq!(
            error.to_string(),
            format!(
                "cannot copy `{}` to `/f` in the tree (step 1): the source is {kind}, not a regular file",
                source.display()
            )
        );
        assert_eq!(error.origin().unwrap().to_string(), "option `step 0`");
    }
    for source in ["/proc/version", "/sys/kernel/notes"] {
        if Path::new(source).exists() {
            let error = scratch.build(vec![copy(Path::new(source), "/f", 0o644)]).unwrap_err();
            assert!(matches!(&error, Error::Step(step) if matches!(step.cause, Cause::Synthetic)), "{error}");
        }
    }
    assert!(scratch.generations().is_empty());
}

#[test]
fn somebody_elses_link_does_not_choose_what_root_copies() {
    if !needs_root() {
        return;
    }
    let scratch = Scratch::new();
    fs::create_dir(scratch.path().join("secret")).unwrap();
    scratch.file("secret/file", b"x");
    let link = scratch.path().join("link");
    std::os::unix::fs::symlink("secret", &link).unwrap();
    // Nor does root's own: a plan names paths without links.
    for owner in [0, 12345] {
        std::os::unix::fs::lchown(&link, Some(owner), None).unwrap();
        for source in [&link, &link.join("file")] {
            let error = scratch.build(vec![copy(source, "/f", 0o644)]).unwrap_err();
            assert_eq!(error.errno(), Some(nix::errno::Errno::ELOOP).filter(|_| source != &link), "{error}");
        }
    }
    chown(scratch.path().join("secret"), Some(12345), None).unwrap();
    scratch.build(vec![copy(&scratch.path().join("secret/file"), "/f", 0o644)]).unwrap();
}
