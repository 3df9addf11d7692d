//! Options to layers: what is left of each, in which order, and with which origin.

use super::*;

/// What a caller's host has: merged /usr, a link among the settings.
fn look(path: &Path) -> Found {
    match path.to_str().unwrap() {
        "/usr" | "/tree/bin" | "/home/eve/work" | "/home/eve/work/real" | "/home/eve/work/real/sub" => {
            Found::Directory
        }
        "/bin" => Found::Link("usr/bin".into()),
        "/etc/ld.so.cache" | "/tree/file" => Found::Other,
        "/tree/lib" => Found::Link("usr/lib".into()),
        "/home/eve/work/link" => Found::Link("./real".into()),
        "/home/eve/work/real/up" => Found::Link("../file".into()),
        "/home/eve/work/out" => Found::Link("/srv/out".into()),
        "/home/eve/work/loop" => Found::Link("loop".into()),
        _ => Found::Nothing,
    }
}

fn names(path: &Path) -> Vec<String> {
    if path == Path::new("/") {
        return ["bin", "dev", "proc", "run", "usr"].map(str::to_owned).into();
    }
    assert_eq!(path, Path::new("/tree"));
    ["bin", "dev", "file", "lib", "proc"].map(str::to_owned).into()
}

fn facts(current: &str) -> Facts<'static> {
    Facts {
        uid: 1000,
        gid: 1000,
        user: "eve".into(),
        group: "eve".into(),
        home: "/home/eve".into(),
        current: current.into(),
        umask: 0o077,
        terminal: false,
        look: &look,
        names: &names,
        read: &|_| Ok(b"given".to_vec()),
    }
}

/// The text of what these options amount to in the directory /home/eve/work.
fn amounts(options: &[(&'static str, &[&str])]) -> Result<String, Refused> {
    let asked: Vec<Asked> = options
        .iter()
        .map(|(name, values)| Asked {
            name,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        })
        .collect();
    layer(&asked, &["ls".to_owned()], &facts("/home/eve/work")).map(|layer| text(&layer.table, None))
}

/// The mounts among that: `source target flags`, or `tmpfs target flags`.
fn mounts(options: &[(&'static str, &[&str])]) -> Vec<String> {
    let text = amounts(options).unwrap();
    let mounts = text.split("[[mounts]]\n").skip(1).map(|mount| {
        let mount = mount.split("\n\n").next().unwrap();
        let kept = mount
            .lines()
            .filter(|line| !["mode", "owner", "group", "executable"].iter().any(|key| line.starts_with(key)));
        kept.map(|line| {
            line.replace('"', "").replace("source = ", "").replace("target = ", "").replace("type = ", "")
        })
        .collect::<Vec<_>>()
        .join(" ")
    });
    mounts.collect()
}

#[test]
fn without_options_there_are_programs_and_the_current_directory() {
    assert_eq!(
        mounts(&[]),
        [
            "/usr /usr",
            "/etc/ld.so.cache /etc/ld.so.cache optional = true",
            "tmpfs /tmp",
            "tmpfs /home/eve",
            "/home/eve/work /home/eve/work",
        ]
    );
    assert!(amounts(&[]).unwrap().contains("{ path = \"/bin\", target = \"usr/bin\" }"));
    assert!(amounts(&[]).unwrap().contains("umask = \"0077\"\n"));
}

#[test]
fn a_later_mount_replaces_what_it_would_hide() {
    let bare = ("--bare", &[][..]);
    let options = [
        bare,
        ("--tmpfs", &["/a/b"]),
        ("--ro-bind", &["x", "/a/c"]),
        ("--tmpfs", &["/a"]),
        ("--bind", &["/y", "a/d"]),
    ];
    assert_eq!(
        mounts(&options),
        ["tmpfs /tmp", "tmpfs /home/eve", "tmpfs /a", "/y /a/d read_only = false"]
            .into_iter()
            .skip(2)
            .collect::<Vec<_>>()
    );
    assert_eq!(mounts(&[bare, ("--ro-bind", &["../x/./y", "/z"])]), ["/home/eve/x/y /z"]);
}

/// The kernel mounts no directory on a link, and what is put over one would hide nothing of what it leads to.
#[test]
fn links_in_what_is_shown_are_followed_to_where_something_is_mounted() {
    let last = |options: &[(&'static str, &[&str])]| mounts(options).pop().unwrap();
    for (option, values, expected) in [
        ("--ro", &["link"][..], "/home/eve/work/link /home/eve/work/real"),
        ("--tmpfs", &["/home/eve/work/link/sub"], "tmpfs /home/eve/work/real/sub"),
        ("--bind", &["/x", "/home/eve/work/link/up"], "/x /home/eve/work/file read_only = false"),
        ("--ro", &["out"], "/home/eve/work/out /srv/out"),
        ("--ro", &["loop"], "/home/eve/work/loop /home/eve/work/loop"),
        ("--hide", &["link"], "tmpfs /home/eve/work/real read_only = true size = 4K"),
        ("--hide", &["link/up"], "/dev/null /home/eve/work/file"),
        // Nothing of it is shown.
        ("--hide", &["out"], "/dev/null /home/eve/work/out"),
        // A link that is made.
        ("--ro-bind", &["/x", "/bin/sub/x"], "/x /usr/bin/sub/x"),
        ("--ro-bind", &["/x", "/bin"], "/x /bin"),
    ] {
        assert_eq!(last(&[(option, values)]), expected, "{option} {values:?}");
    }
    let elsewhere = [("--ro-bind", &["/home/eve/work", "/w"][..]), ("--hide", &["/w/link"])];
    assert_eq!(last(&elsewhere), "tmpfs /w/real read_only = true size = 4K");
}

#[test]
fn what_is_in_a_directory_becomes_the_root() {
    assert_eq!(
        mounts(&[("--bare", &[]), ("--ro-bind", &["/tree", "/"])]),
        ["/tree/bin /bin", "/tree/file /file"]
    );
    assert_eq!(
        mounts(&[("--bare", &[]), ("--root", &["/tree"]), ("--rw-root", &[])]),
        ["/tree/bin /bin read_only = false", "/tree/file /file read_only = false"]
    );
}

#[test]
fn the_hosts_root_comes_without_its_sockets() {
    assert_eq!(mounts(&[("--bare", &[]), ("--ro-bind", &["/", "/"])]), ["tmpfs /run", "/usr /usr"]);
}

#[test]
fn the_last_word_on_a_variable_counts() {
    let environment = |options: &[(&'static str, &[&str])]| {
        let text = amounts(options).unwrap();
        let lines = text.lines().filter(|line| line.contains("environment"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let cleared =
        environment(&[("--setenv", &["A", "1"]), ("--clearenv", &[]), ("--setenv", &["PATH", "/bin"])]);
    assert_eq!(
        cleared,
        [
            "environment = { PATH = \"/bin\" }",
            "unset_environment = [\"HOME\", \"LOGNAME\", \"TERM\", \"USER\"]",
        ]
    );
    let set = environment(&[
        ("--unsetenv", &["LANG"]),
        ("--setenv", &["A", "1"]),
        ("--unsetenv", &["A"]),
        ("--env", &["B"]),
    ]);
    assert!(set[1].contains("\"B\"") && !set[1].contains("\"LANG\""), "{set:?}");
    assert_eq!(set[2], "unset_environment = [\"LANG\", \"A\"]");
}

#[test]
fn a_limit_is_named_as_the_kernel_or_a_manifest_does() {
    for (typed, line) in [
        ("nofile=20:30", "open_files = \"20:30\""),
        ("RLIMIT_AS=1G", "address_space = \"1G\""),
        ("stack_size=64", "stack_size = 64"),
        ("core=unlimited", "core_size = \"unlimited\""),
    ] {
        assert!(amounts(&[("--rlimit", &[typed])]).unwrap().contains(line), "{typed}");
    }
    assert!(amounts(&[("--cpu-time", &["1500ms"])]).unwrap().contains("cpu_time_max = \"1500ms\""));
}

#[test]
fn a_home_is_where_it_hides_nothing() {
    let home = |path: &str| Facts::home("eve", [PathBuf::from(path)]).display().to_string();
    for (given, found) in [
        ("/home/eve", "/home/eve"),
        ("/var/www", "/var/www"),
        ("/usr/sbin", "/home/eve"),
        ("/dev", "/home/eve"),
        ("/", "/home/eve"),
        ("x", "/home/eve"),
    ] {
        assert_eq!(home(given), found, "{given}");
    }
}

#[test]
fn the_current_directory_is_shown_where_it_tells_no_more_than_is_meant() {
    for (current, shown) in [
        ("/srv/www", true),
        ("/usr/share", true),
        ("/tmp/work", true),
        ("/tmp", false),
        ("/", false),
        ("/home", false),
        ("/home/adam", false),
        ("/home/adam/work", true),
        ("/root/notes", false),
        ("/var/lib", false),
        ("/var/lib/eves", true),
        ("/home/eve", false),
        ("/etc/ssh", false),
        ("/proc/1", false),
        ("/home/adam/.ssh", false),
        ("/home/eve/.gnupg/private-keys-v1.d", false),
        ("/home/eve/.config/gh", false),
        ("/opt/keys/.ssh", false),
        ("/opt/keys", true),
    ] {
        let layer = layer(&[], &["ls".to_owned()], &facts(current)).unwrap();
        assert_eq!(layer.note.is_none(), shown, "{current}");
    }
}

#[test]
fn what_is_written_is_read_as_the_same() {
    let options = [("--setenv", &["A", "\"q\" \\ \n\t\u{1} é"][..]), ("--file", &["3", "/etc/motd"])];
    let written = amounts(&options).unwrap();
    let source = std::rc::Rc::new(crate::plan::Source { path: "saved".into(), text: written.clone() });
    let inside = |value: Value, key: &str| match value {
        Value::Table(mut table) => table.remove(key).unwrap().node.value,
        _ => panic!("{written}"),
    };
    let table = Value::Table(text::parse(&source).unwrap());
    let found = ["program", "environment", "A"].into_iter().fold(table, inside);
    assert!(matches!(found, Value::Text(text) if text == "\"q\" \\ \n\t\u{1} é"));
    assert!(written.contains("content = \"given\""));
}

#[test]
fn a_mode_or_size_that_is_for_nothing_is_refused() {
    for (option, value, why) in [
        ("--perms", "0700", "`--perms 0700` comes before nothing that it could be of"),
        ("--size", "1M", "`--size 1M` comes before nothing that it could be of"),
        ("--size", "0", "`--size 0` would be no limit at all"),
        ("--tmp-size", "0M", "`--tmp-size 0M` would be no limit at all"),
    ] {
        assert_eq!(amounts(&[(option, &[value])]).unwrap_err().0, why);
    }
    assert!(amounts(&[("--perms", &["0700"]), ("--size", &["10M"]), ("--tmpfs", &["/d"])]).is_ok());
    let twice = amounts(&[("--perms", &["0700"]), ("--perms", &["0755"]), ("--dir", &["/d"])]);
    assert_eq!(twice.unwrap_err().0, "`--perms 0700` and `--perms 0755` are for the same");
}

#[test]
fn what_hides_leaves_a_mode_and_a_size_to_what_they_are_for() {
    let options = [
        ("--perms", &["0700"][..]),
        ("--size", &["10M"]),
        ("--hide", &["/home/eve/work"]),
        ("--tmpfs", &["/d"]),
    ];
    let written = amounts(&options).unwrap();
    let tmpfs = |target: &str| {
        let mounts = written.split("[[mounts]]\n").find(|mount| mount.contains(target)).unwrap();
        let kept = mounts.lines().filter(|line| line.starts_with("size") || line.starts_with("mode"));
        kept.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(tmpfs("\"/home/eve/work\""), "size = \"4K\" mode = \"0755\"");
    assert_eq!(tmpfs("\"/d\""), "size = \"10M\" mode = \"0700\"");
}

#[test]
fn what_takes_the_place_of_a_device_is_there_instead() {
    let devices = |options: &[(&'static str, &[&str])]| amounts(options).unwrap().contains("\"shm\"");
    assert!(devices(&[]));
    assert!(!devices(&[("--tmpfs", &["/dev/shm"])]));
}

#[test]
fn a_program_begins_where_there_is_something() {
    let chdir = |path: &'static str| amounts(&[("--dir", &["/a/b"]), ("--chdir", &[path])]).map(drop);
    for path in ["/", "/a", "/a/b", "/usr/share", "/etc", "/tmp/x", "/home/eve"] {
        assert_eq!(chdir(path), Ok(()), "{path}");
    }
    assert_eq!(chdir("/typo").unwrap_err().0, "there is no `/typo` in the jail to begin in");
}
