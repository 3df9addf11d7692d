//! Paths: what each call does with them, and which file they mean.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::{below, common, program, seen};
use common::{Need, needs};

#[test]
fn each_use_is_told() {
    let directory = program(
        "trace-uses",
        "",
        r#"
        need(open("read", O_RDONLY) >= 0);
        need(open("written", O_WRONLY) >= 0);
        need(open("both", O_RDWR) >= 0);
        need(open("emptied", O_RDONLY | O_TRUNC) >= 0);
        need(open("made", O_WRONLY | O_CREAT, 0600) >= 0);
        need(open("made", O_RDONLY) >= 0);
        need(open("there", O_WRONLY | O_CREAT | O_EXCL, 0600) < 0 && errno == EEXIST);
        need(open("no/where", O_RDONLY) < 0 && errno == ENOENT);
        need(open("read/below", O_RDONLY) < 0 && errno == ENOTDIR);
        need(open("no/where", O_WRONLY | O_CREAT, 0600) < 0 && errno == ENOENT);
        need(open("place", O_PATH) >= 0);
        need(opendir("listed"));
        need(open("listed", O_TMPFILE | O_RDWR, 0600) >= 0);
        struct stat found;
        need(stat("looked", &found) == 0 && lstat("kept", &found) == 0);
        need(access("looked", R_OK) == 0 && access("missing", F_OK) < 0);
        char text[9];
        need(readlink("kept", text, 9) == 6 && readlink("looked", text, 9) < 0);
        need(truncate("truncated", 0) == 0);
        need(chmod("moded", 0600) == 0);
        need(lchown("owned", -1, getgid()) == 0);
        need(utimes("touched", NULL) == 0);
        need(mkdir("directory", 0700) == 0 && rmdir("directory") == 0);
        need(mkdir("listed", 0700) < 0 && rmdir("listed/full") < 0);
        need(symlink("anything", "link") == 0);
        need(mkfifo("fifo", 0600) == 0);
        need(rename("old", "new") == 0 && rename("gone", "new") < 0);
        need(rename("over", "there") == 0);
        need(link("source", "second") == 0);
        need(unlink("removed") == 0 && unlink("gone") < 0);
        int file = open("read", O_RDONLY);
        need(fchmod(file, 0600) == 0);
        need(fstat(file, &found) == 0);
        "#,
    );
    for name in [
        "read",
        "written",
        "both",
        "emptied",
        "there",
        "place",
        "looked",
        "truncated",
        "moded",
        "owned",
        "touched",
        "old",
        "over",
        "source",
        "removed",
        "listed/full/x",
    ] {
        directory.write(name, "text");
    }
    symlink("looked", directory.join("kept")).unwrap();
    assert_eq!(
        below(&seen(&directory), directory.path()),
        [
            r"both: Regular [Read, Written]",
            r"directory: Nothing [Made, Removed]",
            r"emptied: Regular [Read, Written]",
            r"fifo: Nothing [Made]",
            r"gone: Nothing [Missing]",
            r"kept: Link [Looked, Followed]",
            r"link: Nothing [Made]",
            r"listed: Directory [Written, Listed, Looked]",
            r"listed/full: Directory [Looked]",
            r"looked: Regular [Looked]",
            r"made: Nothing [Read, Written, Made]",
            r"missing: Nothing [Missing]",
            r"moded: Regular [Moded]",
            r"new: Nothing [Made]",
            r"no/where: Nothing [Missing]",
            r"old: Regular [Removed]",
            r"over: Regular [Removed]",
            r"owned: Regular [Owned]",
            r"place: Regular [Looked]",
            r"read: Regular [Read, Moded]",
            r"read/below: Nothing [Missing]",
            r"removed: Regular [Removed]",
            r"second: Nothing [Made]",
            r"source: Regular [Looked]",
            r"there: Regular [Written, Looked]",
            r"touched: Regular [Written]",
            r"truncated: Regular [Written]",
            r"written: Regular [Written]",
        ]
    );
}

#[test]
fn a_path_is_walked_as_the_kernel_does() {
    let directory = program(
        "trace-walk",
        "",
        r#"
        int way = open("one", O_RDONLY | O_DIRECTORY);
        need(way >= 0);
        need(openat(way, "two/a", O_RDONLY) >= 0);
        need(openat(way, "../b", O_RDONLY) >= 0);
        need(openat(way, "up/c", O_RDONLY) >= 0);
        need(openat(way, "up/./one/../one//up/d", O_RDONLY) < 0);
        need(open("chain", O_RDONLY) >= 0);
        need(open("chain", O_RDONLY | O_NOFOLLOW) < 0 && errno == ELOOP);
        need(open("dangling", O_RDONLY) < 0);
        need(open("loop", O_RDONLY) < 0 && errno == ELOOP);
        struct stat found;
        need(lstat("one/up/", &found) == 0 && S_ISDIR(found.st_mode));
        need(chdir("one/two") == 0 && open("a", O_RDONLY) >= 0);
        need(fchdir(way) == 0 && open("e", O_RDONLY) >= 0);
        need(rename("two", "three") == 0 && open("three/a", O_RDONLY) >= 0 && open("two/a", O_RDONLY) < 0);
        need(stat("/proc/self/status", &found) == 0 && open("/proc/thread-self/nothing", O_RDONLY) < 0);
        char own[64];
        snprintf(own, sizeof own, "/proc/%d/cmdline", getpid());
        need(open(own, O_RDONLY) >= 0);
        "#,
    );
    directory.write("one/two/a", "").write("b", "").write("c", "").write("one/e", "").write("f", "");
    symlink("..", directory.join("one/up")).unwrap();
    symlink("chain2", directory.join("chain")).unwrap();
    symlink(directory.join("f"), directory.join("chain2")).unwrap();
    symlink("nowhere", directory.join("dangling")).unwrap();
    symlink("loop", directory.join("loop")).unwrap();
    let seen = seen(&directory);
    assert_eq!(
        below(&seen, directory.path()),
        [
            r": Directory [Looked]",
            r"b: Regular [Read]",
            r"c: Regular [Read]",
            r"chain: Link [Followed]",
            r"chain2: Link [Followed]",
            r"d: Nothing [Missing]",
            r"dangling: Link [Followed]",
            r"f: Regular [Read]",
            r"loop: Link [Followed]",
            r"nowhere: Nothing [Missing]",
            r"one: Directory [Listed, Entered]",
            r"one/e: Regular [Read]",
            r"one/three: Nothing [Made]",
            r"one/three/a: Regular [Read]",
            r"one/two: Directory [Entered, Removed]",
            r"one/two/a: Regular [Read, Missing]",
            r"one/up: Link [Followed]",
        ]
    );
    assert_eq!(
        below(&seen, "/proc/self".as_ref()),
        [
            "cmdline: Regular [Read]",
            // By the C library of static programs.
            "exe: Link [Followed]",
            "nothing: Nothing [Missing]",
            "status: Regular [Looked]"
        ]
    );
}

#[test]
fn names_are_bytes() {
    let directory = program(
        "trace-names",
        "",
        r#"
        need(mkdir("new\nline", 0700) == 0 && mkdir("\xff\xfe", 0700) == 0);
        char name[256], whole[5000] = "";
        memset(name, 'x', 200);
        name[200] = 0;
        for (int depth = 0; depth < 19; depth++) {
            need(mkdir(name, 0700) == 0 && chdir(name) == 0);
        }
        /* A path of more bytes than one may give the kernel. */
        need(open("deep", O_WRONLY | O_CREAT, 0600) >= 0);
        for (int depth = 0; depth < 24; depth++) { strcat(whole, name); strcat(whole, "/"); }
        need(open(whole, O_RDONLY) < 0 && errno == ENAMETOOLONG);
        need(open((char *)1, O_RDONLY) < 0 && errno == EFAULT);
        need(open("", O_RDONLY) < 0 && errno == ENOENT);
        "#,
    );
    let lines = below(&seen(&directory), directory.path());
    let short: Vec<_> = lines.iter().filter(|line| line.len() < 100).collect();
    assert_eq!(short, [r"new\nline: Nothing [Made]", r"\xff\xfe: Nothing [Made]"]);
    let longest = lines.iter().map(String::len).max().unwrap();
    assert_eq!(longest, 19 * 201 + "deep: Nothing [Written, Made]".len());
}

#[test]
fn what_is_refused_is_told() {
    let directory = program(
        "trace-refused",
        "",
        r#"
        if (getuid() == 0) { need(setgid(65534) == 0 && setuid(65534) == 0); }
        need(open("secret", O_RDONLY) < 0 && errno == EACCES);
        need(open("closed/file", O_RDONLY) < 0 && errno == EACCES);
        need(open("closed/nothing", O_RDONLY) < 0 && errno == EACCES);
        need(open("listed/new", O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES);
        need(open("open", O_RDONLY) >= 0 && open("open", O_WRONLY) < 0 && errno == EACCES);
        need(chown("open", 0, 0) < 0 && errno == EPERM);
        need(access("open", W_OK) < 0 && access("open", R_OK) == 0);
        struct stat found;
        need(stat("secret", &found) == 0);
        "#,
    );
    directory.write("secret", "").write("open", "").write("closed/file", "").write("listed/file", "");
    let mode = |name, mode| {
        fs::set_permissions(directory.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("secret", 0);
    mode("open", 0o444);
    mode("closed", 0);
    mode("listed", 0o555);
    mode("", 0o755);
    let seen = seen(&directory);
    mode("closed", 0o755);
    mode("listed", 0o755);
    // Who is not root cannot look either.
    let closed = if nix::unistd::geteuid().is_root() { "Regular" } else { "Nothing" };
    assert_eq!(
        below(&seen, directory.path()),
        [
            &format!("closed/file: {closed} [Refused]"),
            "closed/nothing: Nothing [Refused]",
            "listed/new: Nothing [Refused]",
            "open: Regular [Read, Looked, Refused]",
            "secret: Regular [Looked, Refused]",
        ]
    );
}

#[test]
fn another_root_is_part_of_the_hosts() {
    if !needs(Need::Root) {
        return;
    }
    let directory = program(
        "trace-chroot",
        "",
        r#"
        need(open("outside", O_RDONLY) >= 0);
        need(chroot("jail") == 0);
        need(open("before", O_RDONLY) >= 0);
        need(chdir("/") == 0);
        need(open("/etc/file", O_RDONLY) >= 0 && open("etc/link", O_RDONLY) >= 0);
        need(open("../../../etc/none", O_RDONLY) < 0);
        "#,
    );
    directory.write("outside", "").write("before", "").write("jail/etc/file", "").write("jail/target", "");
    symlink("/../target", directory.join("jail/etc/link")).unwrap();
    let seen = seen(&directory);
    assert_eq!(
        below(&seen, directory.path()),
        [
            r"before: Regular [Read]",
            r"jail: Directory [Entered]",
            r"jail/etc/file: Regular [Read]",
            r"jail/etc/link: Link [Followed]",
            r"jail/etc/none: Nothing [Missing]",
            r"jail/target: Regular [Read]",
            r"outside: Regular [Read]",
        ]
    );
}

#[test]
fn a_removed_directory_is_no_place() {
    let directory = program(
        "trace-deleted",
        "",
        r#"
        need(mkdir("here", 0700) == 0 && chdir("here") == 0 && rmdir("../here") == 0);
        need(open("file", O_RDONLY) < 0 && errno == ENOENT);
        "#,
    );
    assert_eq!(
        below(&seen(&directory), directory.path()),
        [r"here: Nothing [Entered, Made, Removed]", r"here/file: Nothing [Missing]",]
    );
}
