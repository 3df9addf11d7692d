//! What a jail shows: its tree, what is mounted in it, /dev, and nothing else of the host.

use std::fs;
use std::process::Command;

use crate::proc::covers;
use crate::support::{Ended, Jail, finish, is_root};

/// What mountinfo lists inside: target, options, type.
const MOUNTS: &str = "while read -r a b c d target options rest; do echo \"$target $options ${rest#*- }\"; done < /proc/self/mountinfo | cut -d' ' -f1-3";

/// The mounts of a run, one a line.
fn mounts(ended: &Ended) -> Vec<String> {
    ended.lines().into_iter().map(|line| line.replace(",relatime", "")).collect()
}

/// The flag by which it is seen that owners are translated: those of root's jails, which have ids of their own.
fn idmapped() -> &'static str {
    if is_root() { ",idmapped" } else { "" }
}

/// The type of the file system the tree is on, replaced by `tree`.
fn of_tree(lines: &[String]) -> Vec<String> {
    let kind = lines[0].rsplit(' ').next().unwrap().to_owned();
    lines
        .iter()
        .map(|line| line.strip_suffix(&kind).map_or(line.clone(), |head| format!("{head}tree")))
        .collect()
}

/// A run mounts these and nothing else. The order of the list is that in which each was made or copied, and says little.
#[track_caller]
fn expect_mounts(ended: &Ended, mut expected: Vec<String>) {
    let mut found = of_tree(&mounts(ended));
    assert_eq!(found[0], expected[0]);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn exactly_the_expected_is_mounted() {
    let jail = Jail::shell(
        "mounts",
        "mounts = [
            { source = \"{here}\", target = \"/srv/host\" },
            { type = \"tmpfs\", target = \"/tmp\" },
            { type = \"mqueue\", target = \"/dev/mqueue\" },
        ]\ntree.devices = [\"null\", \"pts\", \"shm\"]",
    );
    let mut expected =
        vec![format!("/ ro,nosuid,nodev{} tree", idmapped()), "/proc ro,nosuid,nodev,noexec proc".into()];
    expected.extend(covers(false));
    if is_root() {
        expected.push("/dev ro,nosuid,noexec,idmapped tree".into());
    } else {
        expected.push("/dev/null ro,nosuid,noexec devtmpfs".into());
    }
    for line in [
        "/dev/pts rw,nosuid,noexec devpts",
        "/dev/shm rw,nosuid,nodev,noexec tmpfs",
        &format!("/srv/host ro,nosuid,nodev{} tree", idmapped()),
        "/tmp rw,nosuid,nodev,noexec tmpfs",
        "/dev/mqueue rw,nosuid,nodev,noexec mqueue",
    ] {
        expected.push(line.into());
    }
    expect_mounts(&jail.run(&[MOUNTS]), expected);
}

#[test]
fn root_inside_that_is_root_outside_finds_more_of_proc_covered() {
    let user = "program.user = \"root\"\ntree.devices = []\n";
    let expected = |idmapped: &str, privileged| {
        let own = [format!("/ ro,nosuid,nodev{idmapped} tree"), "/proc ro,nosuid,nodev,noexec proc".into()];
        own.into_iter().chain(covers(privileged)).collect::<Vec<_>>()
    };
    let jail = Jail::shell("mounts", user);
    expect_mounts(&jail.run(&[MOUNTS]), expected(idmapped(), false));
    if is_root() {
        let jail = Jail::shell("mounts", &format!("{user}namespaces.user = false"));
        expect_mounts(&jail.run(&[MOUNTS]), expected("", true));
    }
}

#[test]
fn the_root_is_read_only_unless_asked_otherwise() {
    let script = "echo text > /etc/file && cat /etc/file && rm /etc/file";
    let ended = Jail::shell("read-only", "program.user = \"root\"").run(&[script]);
    assert_eq!(ended.stderr, "/bin/sh: can't create /etc/file: Read-only file system\n");
    assert_eq!((ended.stdout.as_str(), ended.code), ("", Some(1)));
    Jail::shell("writable", "program.user = \"root\"\nroot.read_only = false").expect(&[script], 0, "text\n");
    // Setuid and devices never work there.
    let jail = Jail::shell("writable", "root.read_only = false");
    assert_eq!(of_tree(&mounts(&jail.run(&[MOUNTS])))[0], format!("/ rw,nosuid,nodev{} tree", idmapped()));
}

#[test]
fn a_bind_shows_a_file_or_a_directory() {
    let jail = Jail::shell(
        "binds",
        "program.user = \"root\"
        mounts = [
            { source = \"{here}/shown\", target = \"/srv/ro\" },
            { source = \"{here}/shown\", target = \"/srv/rw\", read_only = false, root_squash = false },
            { source = \"{here}/shown/file\", target = \"/etc/file\" },
            { source = \"{here}/shown/file\", target = \"/etc/writable\", read_only = false, root_squash = false },
            { source = \"{here}/absent\", target = \"/srv/absent\", optional = true },
        ]",
    );
    fs::create_dir(jail.path("shown")).unwrap();
    fs::write(jail.path("shown/file"), "content\n").unwrap();
    let script = "cat /srv/ro/file /srv/rw/file /etc/file /etc/writable
        for path in /srv/ro/new /srv/rw/new /etc/file /etc/writable; do (echo new > $path) 2>/dev/null && echo $path; done
        [ -e /srv/absent ] && echo absent; exit 0";
    let ended = jail.run(&[script]);
    assert_eq!(ended.lines(), ["content", "content", "content", "content", "/srv/rw/new", "/etc/writable"]);
    assert_eq!(fs::read_to_string(jail.path("shown/new")).unwrap(), "new\n");
    assert_eq!(fs::read_to_string(jail.path("shown/file")).unwrap(), "new\n");
    // An absent source that is not optional is an error, before anything runs.
    let jail = Jail::shell("absent", "mounts = [{ source = \"{here}/absent\", target = \"/srv/absent\" }]");
    assert_eq!(jail.stockade("run").output().unwrap().status.code(), Some(125));
}

#[test]
fn programs_of_a_mount_run_unless_it_is_not_executable() {
    // What can be written cannot be run as well, unless the manifest says so.
    for (more, code) in [
        ("", 0),
        (", executable = true", 0),
        (", executable = false", 126),
        (", read_only = false", 126),
        (", read_only = false, executable = true", 0),
    ] {
        let bind = format!("mounts = [{{ source = \"{{here}}/shown\", target = \"/srv\"{more} }}]");
        let jail = Jail::shell("executable", &bind);
        fs::create_dir(jail.path("shown")).unwrap();
        crate::common::copy_program(&jail.path("probe"), &jail.path("shown/probe"));
        let ended = jail.run(&["/srv/probe exit 0"]);
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    }
    for (more, code) in [("", 126), (", executable = false", 126), (", executable = true", 0)] {
        let tmpfs = format!("mounts = [{{ type = \"tmpfs\", target = \"/tmp\"{more} }}]");
        let ended = Jail::shell("executable", &tmpfs).run(&["cp /probe /tmp/probe && /tmp/probe exit 0"]);
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    }
}

#[test]
fn what_is_mounted_below_a_bind_comes_with_it_read_only_too() {
    if !is_root() {
        // An ordinary user cannot mount anything on the host first.
        return;
    }
    let bind = "mounts = [{ source = \"{here}/shown\", target = \"/srv\" }]\nprogram.user = \"root\"";
    let jail = Jail::shell("submount", bind);
    fs::create_dir_all(jail.path("shown/below")).unwrap();
    jail.build();
    // The submount is in a mount namespace of this command's own: nothing of it stays.
    let inside = |jail: &Jail, script: &str| {
        let outer = "mount -t tmpfs none \"$1/shown/below\" && echo below > \"$1/shown/below/file\" && shift && exec \"$@\"";
        let run = jail.command(&[script]);
        let mut command = Command::new("unshare");
        command
            .args(["-m", "sh", "-c", outer, "sh"])
            .arg(jail.path(""))
            .arg(run.get_program())
            .args(run.get_args());
        command.env("STOCKADE_STATE_DIR", jail.path("state"));
        finish(&mut command)
    };
    let script = format!("cat /srv/below/file; (echo x > /srv/below/new) 2>&1; {MOUNTS} | grep /srv");
    assert_eq!(
        inside(&jail, &script).lines(),
        [
            "below",
            "/bin/sh: can't create /srv/below/new: Read-only file system",
            &format!("/srv ro,nosuid,nodev,relatime,idmapped {}", kind_of(&jail)),
            "/srv/below ro,nosuid,nodev,relatime,idmapped tmpfs"
        ]
    );
    let jail = Jail::shell("submount", &bind.replace("target", "recursive = false, target"));
    fs::create_dir_all(jail.path("shown/below")).unwrap();
    jail.build();
    assert_eq!(inside(&jail, "ls /srv/below | wc -l").lines(), ["0"]);
}

/// The type of the file system a jail's directory is on.
fn kind_of(jail: &Jail) -> String {
    let output = Command::new("stat").args(["-f", "-c", "%T"]).arg(jail.path("")).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().replace("ext2/ext3", "ext4")
}

#[test]
fn memory_file_systems_have_their_limits() {
    let jail = Jail::probe("tmpfs", "mounts = [{ type = \"tmpfs\", target = \"/tmp\", size = \"1M\" }]");
    jail.expect(&["fill", "/tmp/file"], 0, "1048576 bytes, then ENOSPC\n");
    // The root of the file system is an inode too.
    let jail = Jail::probe("tmpfs", "mounts = [{ type = \"tmpfs\", target = \"/tmp\", inodes = 20 }]");
    jail.expect(&["fill-inodes", "/tmp"], 0, "19 files, then ENOSPC\n");
    for (more, mode) in [("", "1777"), (", mode = \"0750\"", "750")] {
        let jail =
            Jail::shell("tmpfs", &format!("mounts = [{{ type = \"tmpfs\", target = \"/tmp\"{more} }}]"));
        jail.expect(&["stat -c %a /tmp"], 0, &format!("{mode}\n"));
    }
    let jail = Jail::shell("tmpfs", "mounts = [{ type = \"tmpfs\", target = \"/tmp\", read_only = true }]");
    assert_eq!(jail.run(&["echo x > /tmp/file"]).code, Some(1));
    // Without a size it has one all the same: 64 MiB.
    let jail = Jail::shell("tmpfs", "mounts = [{ type = \"tmpfs\", target = \"/tmp\" }]");
    jail.expect(&["stat -f -c '%b %S' /tmp"], 0, "16384 4096\n");
}

/// What /dev contains: type, numbers, name.
const DEVICES: &str = "cd /dev; for f in $(ls -A); do [ -c $f ] && [ ! -L $f ] && echo c $f $(stat -c '%t:%T' $f) || echo - $f; done";

#[test]
fn devices_are_exactly_those_asked_for() {
    let always = ["- fd", "- stderr", "- stdin", "- stdout"];
    let with = |nodes: &[&str]| {
        let mut all: Vec<_> = nodes.iter().chain(&always).map(|line| (*line).to_owned()).collect();
        all.sort_by_key(|line| line[2..].to_owned());
        all
    };
    let jail = Jail::shell("devices", "");
    let default = ["c full 1:7", "c null 1:3", "c random 1:8", "c urandom 1:9", "c zero 1:5"];
    assert_eq!(jail.run(&[DEVICES]).lines(), with(&default));
    let jail = Jail::shell("devices", "tree.devices = [\"tty\", \"zero\"]");
    assert_eq!(jail.run(&[DEVICES]).lines(), with(&["c tty 5:0", "c zero 1:5"]));
    let jail = Jail::shell("devices", "tree.devices = []");
    let none = jail.run(&[DEVICES]);
    assert!(none.lines().iter().all(|line| line.starts_with("- ")), "{none:?}");
    // And they work, although the root does not take devices.
    let jail = Jail::shell("devices", "");
    jail.expect(
        &["echo x > /dev/null; head -c 2 /dev/zero | od -An -tx1; head -c 9 /dev/urandom | wc -c; echo x 2>/dev/null > /dev/full || echo full"],
        0,
        " 00 00\n9\nfull\n",
    );
    // None can be removed, even where the root is writable. Beside root's nothing can be made: they are a mount of their own.
    let jail = Jail::shell("devices", "program.user = \"root\"\nroot.read_only = false");
    assert_eq!(jail.run(&["rm -f /dev/zero"]).code, Some(1));
    assert_eq!(jail.run(&["echo x > /dev/x && rm /dev/x"]).code, Some(i32::from(is_root())));
}

#[test]
fn terminals_and_shared_memory_are_the_jails_own() {
    let jail = Jail::probe("pts", "tree.devices = [\"pts\"]");
    jail.expect(
        &["pty"],
        0,
        "posix_openpt: ok\ngrantpt: ok\nunlockpt: ok\n/dev/pts/0\nopen: ok\nwrite: ok\nread: ok\nhello\n",
    );
    let jail = Jail::shell("shm", "tree.devices = [\"shm\"]");
    jail.expect(&["echo x > /dev/shm/file && cat /dev/shm/file; ls /dev/shm"], 0, "x\nfile\n");
    Jail::probe("no-pts", "tree.devices = []").expect(&["type", "/dev/ptmx"], 0, "open: ENOENT\n");
}

#[test]
fn a_tmpfs_belongs_to_whom_the_manifest_says() {
    let stat = "stat -c '%u:%g %a' /own /group /all; touch /own/file && ls /own";
    let mounts = "mounts = [{ type = \"tmpfs\", target = \"/own\", owner = 33 }, { type = \"tmpfs\", target = \"/group\", \
        group = 12, mode = \"2770\" }, { type = \"tmpfs\", target = \"/all\" }]\nprogram.user = 33\nprogram.group = 33";
    // An ordinary user's jail has one id, to which everything in it belongs.
    let group = if is_root() { "0:12" } else { "33:33" };
    let others = if is_root() { "0:0" } else { "33:33" };
    let expected = format!("33:33 755\n{group} 2770\n{others} 1777\nfile\n");
    Jail::shell("tmpfs-owner", mounts).expect(&[stat], 0, &expected);
    if is_root() {
        Jail::shell("tmpfs-host-ids", &format!("{mounts}\nnamespaces.user = false")).expect(
            &[stat],
            0,
            &expected,
        );
        let beyond = "mounts = [{ type = \"tmpfs\", target = \"/own\", owner = 70000 }]";
        let said = Jail::shell("tmpfs-beyond", beyond).refused(&["true"]);
        assert!(said.contains("error: owner 70000 has no place in the jail's user namespace"), "{said}");
    }
}

#[test]
fn message_queues_are_the_jails_own() {
    let jail = Jail::shell(
        "mqueue",
        "mounts = [{ type = \"mqueue\", target = \"/dev/mqueue\" }]\nprogram.user = \"root\"",
    );
    jail.expect(&["touch /dev/mqueue/one && ls /dev/mqueue"], 0, "one\n");
}

#[test]
fn every_method_shows_the_tree_alone() {
    for method in ["pivot", "move", "chroot"] {
        let jail = Jail::shell("method", &format!("root.method = \"{method}\""));
        // The working directory is reachable, and there is nothing above it.
        jail.expect(
            &["pwd; readlink /proc/self/cwd; readlink /proc/self/root; echo /*; cd ../../../..; ls -A"],
            0,
            "/\n/\n/\n/bin /dev /etc /probe /proc /usr\nbin\ndev\netc\nprobe\nproc\nusr\n",
        );
        let mut expected =
            vec![format!("/ ro,nosuid,nodev{} tree", idmapped()), "/proc ro,nosuid,nodev,noexec proc".into()];
        expected.extend(covers(false));
        if is_root() {
            expected.push("/dev ro,nosuid,noexec,idmapped tree".into());
        } else {
            for name in ["null", "zero", "full", "random", "urandom"] {
                expected.push(format!("/dev/{name} ro,nosuid,noexec devtmpfs"));
            }
        }
        expect_mounts(&jail.run(&[MOUNTS]), expected);
    }
}

#[test]
fn root_with_the_right_to_chroot_does_not_get_out_of_a_mounted_root() {
    // The classic: chroot into a directory below, then up from a directory kept outside it.
    let escape = "mkdir -p /tmp/x; chroot /tmp/x /missing 2>/dev/null; cd /; chroot . /bin/sh -c 'cd ../../../../..; ls -A'";
    for method in ["pivot", "move"] {
        let jail = Jail::shell(
            "escape",
            &format!(
                "root.method = \"{method}\"\nprogram.user = \"root\"\nprivileges.capabilities = [\"SYS_CHROOT\"]\n\
                 privileges.system_calls = \"all\"\nmounts = [{{ type = \"tmpfs\", target = \"/tmp\" }}]"
            ),
        );
        jail.expect(&[escape], 0, "bin\ndev\netc\nprobe\nproc\ntmp\nusr\n");
    }
}

#[test]
fn the_working_directory_is_the_one_asked_for() {
    let jail = Jail::shell("cwd", "program.working_directory = \"/usr/bin\"");
    jail.expect(&["pwd; readlink /proc/self/cwd"], 0, "/usr/bin\n/usr/bin\n");
    // One that is not in the tree is made.
    Jail::shell("cwd", "program.working_directory = \"/new\"").expect(&["pwd"], 0, "/new\n");
    // One that the program's user may not enter is an error. All of an ordinary user's tree is his own.
    if !is_root() {
        return;
    }
    let closed = "tree.directories = [{ path = \"/closed\", mode = \"0000\" }]";
    let jail = Jail::shell("cwd", &format!("program.working_directory = \"/closed\"\n{closed}"));
    jail.refused(&["pwd"]);
}

#[test]
fn nothing_of_a_running_jail_is_mounted_on_the_host() {
    let jail = Jail::probe("undisturbed", "");
    // Everything of a jail is put together below its tree. Others may mount something of their own meanwhile.
    let here = jail.path("").file_name().unwrap().to_str().unwrap().to_owned();
    let mounts = || {
        let all = fs::read_to_string("/proc/self/mountinfo").unwrap();
        all.lines().filter(|line| line.contains(&here)).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut running = jail.start(&["pause"]);
    running.expect("ready");
    assert_eq!(mounts(), [""; 0]);
    // In its own namespace there are some: the test can fail.
    let inside = fs::read_to_string(format!("/proc/{}/mountinfo", running.first()));
    assert!(inside.is_ok_and(|all| all.contains(&here)) || !is_root());
}

#[test]
fn a_link_planted_in_a_writable_tree_is_not_followed() {
    // Needs the tree's own device nodes, which are root's.
    if !is_root() {
        return;
    }
    let jail = Jail::shell("planted", "[root]\nread_only = false\n");
    jail.build();
    let dev = jail.tree().join("dev");
    fs::rename(&dev, jail.tree().join("old")).unwrap();
    std::os::unix::fs::symlink("/etc", &dev).unwrap();
    let ended = finish(&mut jail.command(&["cat /dev/passwd"]));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(125), ""));
    assert!(
        ended.stderr.contains("openat2(2): Too many symbolic links encountered (ELOOP)"),
        "{}",
        ended.stderr
    );
}
