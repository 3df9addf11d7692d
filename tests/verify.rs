//! `stockade verify`: what was tampered with, what the host has otherwise by now, and that nothing in a tree can hurt who looks.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

mod common;

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use common::{Dir, Need, needs};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, mkdirat, mknod};
use stockade::sys::fs::set_xattr;

/// A file capability as setcap(8) writes it: version 2, effective, CAP_NET_BIND_SERVICE permitted.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A jail of some files and directories that is built.
fn jail(name: &str) -> Dir {
    let dir = Dir::new(name);
    dir.write("a", "one\n").write("d/b", "two\n").write("d/c", "three\n");
    let here = dir.path().display();
    dir.write(
        "web.toml",
        format!(
            "program.command = [\"/a\"]\ntree.devices = []\nroot.proc = \"none\"\n\
             tree.text = [{{ path = \"/etc/motd\", content = \"hello\" }}]\n\
             tree.links = [{{ path = \"/link\", target = \"a\" }}]\n\
             tree.files = [{{ path = \"{here}/a\", target = \"/a\" }},\n{{ path = \"{here}/d\", target = \"/d\" }}]\n"
        ),
    );
    fs::set_permissions(dir.join("a"), Permissions::from_mode(0o755)).unwrap();
    let built = dir.stockade(["build", "./web.toml"]).output();
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    dir
}

fn tree(dir: &Dir, path: impl AsRef<Path>) -> PathBuf {
    dir.join("state/web/current/tree").join(path)
}

/// What a verification says, which finds something.
fn found(dir: &Dir) -> String {
    found_with(dir, "")
}

/// The same with something on stderr.
fn found_with(dir: &Dir, told: &str) -> String {
    let output = dir.stockade(["verify", "web"]).output();
    assert_eq!((output.code, output.stderr.as_str()), (Some(1), told), "{}", output.stdout);
    output.stdout
}

/// What is said when the manifest is gone.
const GONE: &str = "the manifest of jail `web` cannot be used any more, or can be changed by others: its sources alone are looked at\n";

/// The lines of a finding's path and what is the matter, without reasons and hints.
fn facts(said: &str) -> Vec<&str> {
    let lines = said.lines().map(str::trim);
    lines.filter(|line| !line.starts_with("for: ") && !line.starts_with("hint: ")).collect()
}

#[test]
fn a_tree_as_it_was_built_is_found_so() {
    let dir = jail("verify-clean");
    let fine = "jail `web`: 11 paths are as they were built, and as the host has them\n";
    for words in [&["verify", "./web.toml"][..], &["verify", "web"], &["verify", "--all"]] {
        dir.stockade(words.iter().copied()).expect(0, fine, "");
    }
    let json = dir.stockade(["verify", "--json", "web"]).output();
    let value: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(value["jails"][0]["findings"], serde_json::json!([]));
    assert_eq!((&value["jails"][0]["paths"], &value["jails"][0]["generation"]), (&11.into(), &1.into()));
    // After another build of the same, which shares its files, and of the manifest when it is gone.
    assert_eq!(dir.stockade(["build", "./web.toml"]).output().code, Some(0));
    dir.stockade(["verify", "web"]).expect(0, fine, "");
    fs::remove_file(dir.join("web.toml")).unwrap();
    dir.stockade(["verify", "web"]).expect(0, fine, GONE);
    // Nothing is there: nothing is found of all, and that is a finding of one that is named.
    assert_eq!(dir.stockade(["remove", "web"]).output().code, Some(0));
    dir.stockade(["verify", "--all"]).expect(0, "", "");
    let absent = dir.stockade(["verify", "web"]).output();
    assert_eq!((absent.code, absent.stdout.as_str()), (Some(1), ""));
    assert!(absent.stderr.starts_with("error: there is nothing of jail `web`\n"), "{}", absent.stderr);
    dir.stockade(["verify"]).expect(
        2,
        "",
        "error: no jail is named\nhint: write `stockade verify JAIL`, or `stockade verify --all`\n",
    );
}

#[test]
fn whatever_was_tampered_with_is_told_with_its_reason() {
    let dir = jail("verify-tampered");
    let here = dir.path().display().to_string();
    // Of the same length, with the time put back.
    let times = tree(&dir, "a").metadata().unwrap().modified().unwrap();
    let file = File::options().write(true).open(tree(&dir, "a")).unwrap();
    file.write_all_at(b"eno\n", 0).unwrap();
    file.set_modified(times).unwrap();
    fs::write(tree(&dir, "d/b"), "longer than it was\n").unwrap();
    fs::remove_file(tree(&dir, "d/c")).unwrap();
    fs::write(tree(&dir, "d/new"), "").unwrap();
    fs::set_permissions(tree(&dir, "d/new"), Permissions::from_mode(0o4755)).unwrap();
    fs::remove_file(tree(&dir, "link")).unwrap();
    symlink("/etc/shadow", tree(&dir, "link")).unwrap();
    fs::set_permissions(tree(&dir, "etc"), Permissions::from_mode(0o777)).unwrap();
    let said = found(&dir);
    let owner = tree(&dir, "d/new").metadata().unwrap();
    let expected = format!(
        "altered /a\n        content\n        for: ./web.toml:6\n\
         altered /d/b\n        19 bytes, were 4\n        for: ./web.toml:7\n\
         missing /d/c\n        for: ./web.toml:7\n\
         added   /d/new\n        a file, mode 4755, owner {}:{}\n\
         altered /etc\n        mode 0777, was 0755\n        for: on the way to /etc/motd; ./web.toml:4\n\
         altered /link\n        leads to /etc/shadow, led to a\n        for: ./web.toml:5\n        \
         hint: `stockade build {here}/web.toml` makes the tree anew\n\
         jail `web`: 4 altered, 1 missing, 1 added, 0 stale of 11 paths\n",
        owner.uid(),
        owner.gid()
    );
    assert_eq!(said, expected, "{}", common::difference(&expected, &said));
    let json = dir.stockade(["verify", "--json", "--all"]).output();
    assert_eq!(json.code, Some(1));
    let value: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let first = &value["jails"][0]["findings"][0];
    assert_eq!(
        (&first["what"], &first["path"], &first["reason"]),
        (&"altered".into(), &"/a".into(), &"./web.toml:6".into())
    );
    // The cure works, and does not take along what was tampered with.
    assert_eq!(dir.stockade(["build", "./web.toml"]).output().code, Some(0));
    assert_eq!(dir.stockade(["verify", "web"]).output().code, Some(0));
}

#[test]
fn a_shared_file_that_was_tampered_with_is_found_in_both_trees() {
    let dir = jail("verify-shared");
    dir.write("d/b", "changed\n");
    assert_eq!(dir.stockade(["build", "./web.toml"]).output().code, Some(0));
    let (old, new) = (dir.join("state/web/generations/1/tree/a"), dir.join("state/web/generations/2/tree/a"));
    assert_eq!(old.metadata().unwrap().ino(), new.metadata().unwrap().ino());
    fs::write(&old, "eno\n").unwrap();
    assert_eq!(facts(&found(&dir))[..2], ["altered /a", "content"]);
    assert_eq!(dir.stockade(["build", "--rollback", "./web.toml"]).output().code, Some(0));
    let said = found(&dir);
    assert!(said.contains("altered /a\n        content\n"), "{said}");
}

#[test]
fn owners_devices_and_attributes_count_too() {
    if !needs(Need::Root) {
        return;
    }
    let dir = jail("verify-attributes");
    chown(tree(&dir, "a"), Some(7), Some(8)).unwrap();
    fs::remove_file(tree(&dir, "d/b")).unwrap();
    let disk = nix::sys::stat::makedev(8, 0);
    mknod(&tree(&dir, "d/b"), SFlag::S_IFBLK, Mode::from_bits_truncate(0o666), disk).unwrap();
    let capable =
        set_xattr(File::open(tree(&dir, "d/c")).unwrap(), c"security.capability", &CAPABILITY).is_ok();
    let said = found(&dir);
    let mut expected = vec!["altered /a", "owner 7:8, was 0:0", "altered /d/b", "a block device, was a file"];
    if capable {
        expected.extend(["altered /d/c", "extended attributes: security.capability, were: none"]);
    }
    assert_eq!(facts(&said)[..expected.len()], expected);
}

#[test]
fn nothing_that_is_planted_is_waited_for_or_entered() {
    let dir = jail("verify-planted");
    fs::remove_file(tree(&dir, "a")).unwrap();
    nix::unistd::mkfifo(&tree(&dir, "a"), Mode::S_IRWXU).unwrap();
    // A file of holes in the place of one, as long as there can be.
    let holes = File::create(tree(&dir, "d/b")).unwrap();
    let longest =
        [1_u64 << 62, 8 << 40, 1 << 40].into_iter().find(|size| holes.set_len(*size).is_ok()).unwrap();
    // A directory in the place of a file, a link out of the tree in that of a directory.
    fs::remove_file(tree(&dir, "d/c")).unwrap();
    fs::create_dir(tree(&dir, "d/c")).unwrap();
    fs::remove_dir_all(tree(&dir, "etc")).unwrap();
    symlink(dir.join("d"), tree(&dir, "etc")).unwrap();
    // A tree too deep for any path.
    let mut at = open(&tree(&dir, "d"), OFlag::O_RDONLY, Mode::empty()).unwrap();
    for _ in 0..5000 {
        mkdirat(&at, "down", Mode::S_IRWXU).unwrap();
        at = nix::fcntl::openat(&at, "down", OFlag::O_RDONLY, Mode::empty()).unwrap();
    }
    // Names that are no text, or mean something to a terminal.
    for name in [&b"line\nbreak"[..], b"\xff\xfe", b"\x1b[2J"] {
        fs::write(tree(&dir, OsStr::from_bytes(name)), "").unwrap();
    }
    let said = found(&dir);
    let size = format!("{longest} bytes, were 4");
    let facts: Vec<&str> =
        facts(&said).into_iter().filter(|fact| !fact.starts_with("a file, mode")).collect();
    let mode = tree(&dir, "d/down").metadata().unwrap();
    let down = format!("a directory, mode 0700, owner {}:{}", mode.uid(), mode.gid());
    assert_eq!(
        facts,
        [
            "added   /\\u{1b}[2J",
            "altered /a",
            "a fifo, was a file",
            "altered /d/b",
            &size,
            "altered /d/c",
            "a directory, was a file",
            "added   /d/down",
            &down,
            "altered /etc",
            "a symbolic link, was a directory",
            "added   /line\\nbreak",
            "added   /\\xff\\xfe",
            "jail `web`: 4 altered, 0 missing, 4 added, 0 stale of 11 paths",
        ]
    );
    // Not std's removal: too deep for it.
    assert_eq!(dir.stockade(["remove", "web"]).output().code, Some(0));
}

#[test]
fn a_lease_on_a_file_is_not_waited_for() {
    let dir = jail("verify-lease");
    common::compile_static(
        &dir.join("lease"),
        "#define _GNU_SOURCE\n#include <fcntl.h>\n#include <signal.h>\n#include <unistd.h>\n\
         int main(int argc, char **argv) { signal(SIGIO, SIG_IGN); int fd = open(argv[1], O_RDWR);\
         if (fcntl(fd, F_SETLEASE, F_WRLCK)) return 1; write(1, \"r\\n\", 2); pause(); }",
    );
    let mut holder = std::process::Command::new(dir.join("lease"));
    let mut holder = holder.arg(tree(&dir, "d/b")).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    holder.stdout.take().unwrap().take(2).read_to_string(&mut line).unwrap();
    if line == "r\n" {
        let said = found(&dir);
        assert_eq!(facts(&said)[..2], ["altered /d/b", "content, which cannot be read: Try again"]);
        // Nor by a build, which makes a copy of its own instead.
        assert_eq!(dir.stockade(["build", "./web.toml"]).output().code, Some(0));
        assert_eq!(dir.stockade(["verify", "web"]).output().code, Some(0));
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(line, "r\n", "no lease was given");
}

#[test]
fn a_flood_of_names_is_counted_and_not_kept() {
    if !needs(Need::Program("prlimit")) {
        return;
    }
    let dir = jail("verify-flood");
    let place = tree(&dir, "d");
    for number in 0..30_000 {
        File::create(place.join(format!("{number:0>200}"))).unwrap();
    }
    // They do not hide what was done beside them.
    fs::write(tree(&dir, "a"), "tampered").unwrap();
    // With room for a few hundred of them beside the program itself.
    let mut command = std::process::Command::new("prlimit");
    command.args(["--data=12000000", "--"]).arg(common::binary()).args(["verify", "web"]);
    let output =
        command.current_dir(dir.path()).env("STOCKADE_STATE_DIR", dir.join("state")).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        said.ends_with("and 29000 more that were added\njail `web`: 1 altered, 0 missing, 30000 added, 0 stale of 11 paths\n"),
        "{}",
        &said[said.len() - 300..]
    );
    assert!(said.starts_with("altered /a\n"), "{}", &said[..300]);
}

#[test]
fn root_goes_by_no_manifest_that_others_can_change() {
    if !needs(Need::Root) {
        return;
    }
    let dir = jail("verify-of-others");
    let fine = "jail `web`: 11 paths are as they were built, and as the host has them\n";
    let manifest = fs::read_to_string(dir.join("web.toml")).unwrap();
    dir.write("more.toml", "").write("web.toml", format!("include = [\"more.toml\"]\n{manifest}"));
    dir.stockade(["verify", "web"]).expect(0, fine, "");
    // What it says by now could make root read without end.
    chown(dir.join("more.toml"), Some(12345), None).unwrap();
    dir.stockade(["verify", "web"]).expect(0, fine, GONE);
}

#[test]
fn what_is_mounted_in_a_tree_is_not_entered() {
    if !needs(Need::Root) {
        return;
    }
    let dir = jail("verify-mounted");
    // In a mount namespace of its own, of the same file system.
    let script = format!(
        "mount --bind '{}' '{}' && mount --bind '{}' '{}' && exec '{}' verify web",
        dir.join("d").display(),
        tree(&dir, "etc").display(),
        dir.join("a").display(),
        tree(&dir, "d/b").display(),
        common::binary().display()
    );
    let output = std::process::Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .current_dir(dir.path())
        .env("STOCKADE_STATE_DIR", dir.join("state"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        facts(&said),
        [
            "altered /d/b",
            "something is mounted there",
            "altered /etc",
            "something is mounted there",
            "jail `web`: 2 altered, 0 missing, 0 added, 0 stale of 11 paths"
        ]
    );
}

#[test]
fn what_the_host_has_otherwise_is_stale() {
    let dir = jail("verify-stale");
    dir.write("a", "changed\n").write("d/new", "");
    fs::set_permissions(dir.join("a"), Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(dir.join("d/c")).unwrap();
    let said = found(&dir);
    let gone = format!("its source {} is gone", dir.join("d/c").display());
    assert_eq!(
        facts(&said),
        [
            "stale /a",
            "the host has it otherwise now",
            "content: 8 bytes, were 4",
            "stale /d/c",
            &gone,
            "stale /d/new",
            "the host has it now, the tree has not",
            "jail `web`: 0 altered, 0 missing, 0 added, 3 stale of 11 paths"
        ]
    );
    // What has only been touched is as it was.
    assert_eq!(dir.stockade(["build", "./web.toml"]).output().code, Some(0));
    File::options()
        .write(true)
        .open(dir.join("a"))
        .unwrap()
        .set_modified(std::time::SystemTime::now())
        .unwrap();
    assert_eq!(dir.stockade(["verify", "web"]).output().code, Some(0));
    // Without its manifest, by the sources alone.
    fs::remove_file(dir.join("web.toml")).unwrap();
    dir.write("d/b", "changed\n");
    let said = found_with(&dir, GONE);
    let changed = format!("its source {} has been changed since", dir.join("d/b").display());
    assert!(facts(&said).contains(&changed.as_str()), "{said}");
    // A build that would fail is told like one.
    let dir = jail("verify-broken");
    fs::remove_file(dir.join("a")).unwrap();
    let output = dir.stockade(["verify", "web"]).output();
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.starts_with("error: "), "{}", output.stderr);
    assert!(output.stdout.contains("stale /\n      a build would fail now\n"), "{}", output.stdout);
}
