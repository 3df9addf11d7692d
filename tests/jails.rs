//! The manifests of `jails/` do what they promise: each is right, is planned, built, started, probed by a real client and stopped,
//! and leaves nothing but its tree. And a program that `build` copies into a tree starts there.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Dir, Need, jail, needs, turn};

/// What a jail could leave on the host: mounts, control groups that nobody is in any more, records of running jails. Only what is
/// called after it: others have mounts, groups and jails of their own.
fn traces(name: &str, place: &Path) -> BTreeSet<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let place = place.display().to_string();
    let mut traces: BTreeSet<String> =
        mounts.lines().filter(|line| line.contains(&place)).map(str::to_owned).collect();
    let groups = walkdir::WalkDir::new("/sys/fs/cgroup").into_iter().filter_map(Result::ok);
    let (group, record) = (format!("stockade-{name}"), format!("{name}@"));
    // One that somebody is in is of another run of this test.
    let empty = |directory: &Path| {
        fs::read_to_string(directory.join("cgroup.procs")).is_ok_and(|processes| processes.is_empty())
    };
    traces.extend(
        groups
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&group) && empty(entry.path()))
            .map(|entry| entry.path().display().to_string()),
    );
    let records = fs::read_dir("/run/stockade").into_iter().flatten().flatten();
    traces.extend(
        records
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&record))
            .map(|entry| entry.path().display().to_string()),
    );
    traces
}

/// Waits until nothing is left that was not there before. Somebody else may make the same at this moment, and takes it away again.
#[track_caller]
fn wait_for_no_traces(name: &str, place: &Path, before: &BTreeSet<String>) {
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        let now = traces(name, place);
        let left: Vec<_> = now.difference(before).collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "left behind: {left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Processes of this user whose command line names a place.
fn processes(place: &Path) -> Vec<String> {
    let place = place.display().to_string();
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    all.filter(|name| {
        name.bytes().all(|byte| byte.is_ascii_digit()) && *name != std::process::id().to_string()
    })
    .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).ok())
    .filter(|line| line.contains(&place))
    .collect()
}

/// Runs a manifest's own test from a directory of its own.
fn passes(name: &str, needed: &[&'static str]) {
    if !needed.iter().all(|program| needs(Need::Program(program))) {
        return;
    }
    let _turn = needed.first().map(|daemon| turn(daemon));
    let dir = Dir::new(name);
    let file = format!("{name}.toml");
    dir.write(&file, fs::read_to_string(jail(&file)).unwrap());
    let manifest = dir.join(&file).display().to_string();
    let checked = dir.stockade(["check", &manifest]).output();
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""));
    // Programs that load libraries by name are noted below.
    assert!(checked.stdout.starts_with(&format!("{manifest}: ok\n")), "{}", checked.stdout);
    let planned = dir.stockade(["plan", "--explain", &manifest]).output();
    assert_eq!((planned.code, planned.stderr.as_str()), (Some(0), ""));

    let before = traces(name, dir.path());
    let tested = dir.stockade(["test", &manifest]).output();
    assert_eq!(tested.code, Some(0), "{}{}", tested.stdout, tested.stderr);
    assert!(tested.stdout.starts_with(&format!("test {name} ... ok (")), "{}", tested.stdout);
    wait_for_no_traces(name, dir.path(), &before);
    assert_eq!(processes(dir.path()), Vec::<String>::new());
    let mut left: Vec<_> = fs::read_dir(dir.join(format!("state/{name}")))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    // The ids that root's jails have when their network is their own.
    left.retain(|name| name != "ids");
    assert_eq!(left, ["current", "generations", "lock"]);
}

#[test]
fn hello_tells_what_it_sees() {
    passes("hello", &[]);
}

#[test]
fn shell_can_be_walked_around_in() {
    passes("shell", &["bash", "ps"]);
}

#[test]
fn nginx_answers_curl() {
    passes("nginx", &["nginx", "curl"]);
}

#[test]
fn redis_answers_redis_cli() {
    passes("redis", &["redis-server", "redis-cli"]);
}

#[test]
fn lighttpd_answers_curl() {
    passes("lighttpd", &["lighttpd", "curl"]);
}

#[test]
fn memcached_answers_netcat() {
    passes("memcached", &["memcached", "nc"]);
}

#[test]
fn named_answers_dig() {
    passes("named", &["named", "dig"]);
}

#[test]
fn dnsmasq_answers_dig() {
    passes("dnsmasq", &["dnsmasq", "dig"]);
}

#[test]
fn tinyproxy_fetches_for_curl() {
    passes("tinyproxy", &["tinyproxy", "curl", "nc"]);
}

#[test]
fn php_fpm_answers_a_fastcgi_client() {
    passes("php-fpm", &["php-fpm8.2", "cgi-fcgi"]);
}

// Those that drop to their own user by themselves need two ids at least, which an ordinary user's jail has not.

#[test]
fn vsftpd_answers_curl() {
    if needs(Need::Root) {
        passes("vsftpd", &["vsftpd", "curl"]);
    }
}

#[test]
fn tftpd_answers_curl() {
    if needs(Need::Root) {
        passes("tftpd", &["in.tftpd", "curl"]);
    }
}

#[test]
fn sshd_answers_sftp_and_refuses_to_be_written_to() {
    if needs(Need::Root) {
        passes("sftp", &["sshd", "sftp"]);
    }
}

#[test]
fn postfix_takes_mail_and_relays_none() {
    if needs(Need::Root) {
        passes("postfix", &["postconf", "curl"]);
    }
}

#[test]
fn chrony_tells_the_time_to_another_chronyd() {
    if needs(Need::Root) {
        passes("chrony", &["chronyd", "chronyc"]);
    }
}

#[test]
fn python_runs_a_script() {
    if Path::new("/usr/bin/python3").exists() {
        passes("python", &[]);
    } else {
        assert!(!needs(Need::Program("/usr/bin/python3")));
    }
}

/// A userland of its own, as debootstrap(8) makes it: its loader and C library, which need not be the host's, and a program for a
/// processor of 32 bits that is linked with them.
#[test]
fn an_old_userland_is_shown_with_a_32_bit_program_inside() {
    if !needs(Need::Narrow) {
        return;
    }
    let dir = Dir::new("old");
    let source = "#include <stdio.h>\nint main(void) { printf(\"%d bits\\n\", 8 * (int) sizeof(void *)); return 0; }\n";
    dir.write("program.c", source);
    fs::create_dir_all(dir.join("old/usr/bin")).unwrap();
    let program = dir.join("old/usr/bin/program");
    let compiled = std::process::Command::new("cc")
        .args(["-m32", "-o"])
        .arg(&program)
        .arg(dir.join("program.c"))
        .status()
        .unwrap();
    assert!(compiled.success());
    let needed = std::process::Command::new("ldd").arg(&program).output().unwrap().stdout;
    let needed = String::from_utf8(needed).unwrap();
    let paths = needed.split_whitespace().filter(|word| word.starts_with("/lib"));
    let mut links = BTreeSet::new();
    for path in paths {
        let copy = dir.join(format!("old/usr{path}"));
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(path, copy).unwrap();
        links.extend(path.split('/').nth(1));
    }
    assert!(!links.is_empty(), "{needed}");
    let links: Vec<String> =
        links.into_iter().map(|name| format!("{{ path = \"/{name}\", target = \"usr/{name}\" }}")).collect();
    let manifest = format!(
        "[program]\ncommand = [\"/usr/bin/program\"]\n[tree]\nlinks = [{}]\n\
         [[mounts]]\nsource = \"{}\"\ntarget = \"/usr\"\n[test]\nexpect = \"32 bits\"\n",
        links.join(", "),
        dir.join("old/usr").display()
    );
    dir.write("old.toml", manifest);
    let tested = dir.stockade(["test", "./old.toml"]).output();
    assert_eq!(tested.code, Some(0), "{}{}", tested.stdout, tested.stderr);
    // Nothing of the host's libraries comes along.
    assert!(!dir.join("state/old/current/tree/usr/bin").exists());
    let copied = walkdir::WalkDir::new(dir.join("state/old/current/tree")).into_iter();
    let names: Vec<_> = copied.map(|entry| entry.unwrap().file_name().to_owned()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains(".so")), "{names:?}");
}

#[test]
fn every_jail_has_a_test_of_its_own_here() {
    let mut names: Vec<String> = fs::read_dir(jail(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = [
        "chrony",
        "dnsmasq",
        "hello",
        "lighttpd",
        "memcached",
        "named",
        "nginx",
        "php-fpm",
        "postfix",
        "python",
        "redis",
        "sftp",
        "shell",
        "tftpd",
        "tinyproxy",
        "vsftpd",
    ];
    assert_eq!(names, expected.map(|name| format!("{name}.toml")));
    for name in names {
        let text = fs::read_to_string(jail(&name)).unwrap();
        assert!(
            text.starts_with(&format!("# {}: ", name.trim_end_matches(".toml"))),
            "{name} says what it shows"
        );
        assert!(text.contains("\n[test]\n"), "{name} ends with its test");
    }
}

#[test]
fn a_program_that_is_built_into_a_tree_starts_there() {
    let dir = Dir::new("start");
    // Plain, through alternatives, scripts, with plugins in private directories, of another interpreter.
    let programs: [(&str, &[&str], &str); 9] = [
        ("/bin/ls", &["/"], "proc"),
        ("/usr/bin/awk", &["BEGIN { print 6 * 7 }"], "42"),
        ("/usr/bin/env", &["printf", "%s", "found"], "found"),
        ("/usr/bin/ldd", &["--version"], "ldd "),
        ("/usr/bin/curl", &["--version"], "curl "),
        ("/usr/bin/python3", &["-I", "-S", "-c", "print(6 * 7)"], ""),
        ("/usr/bin/perl", &["-e", "print 6 * 7"], "42"),
        ("/usr/sbin/nginx", &["-V"], "nginx version"),
        ("/usr/bin/openssl", &["version"], "OpenSSL"),
    ];
    let mut started = 0;
    for (program, arguments, expected) in programs {
        if !Path::new(program).exists() {
            println!("not installed: {program}");
            continue;
        }
        let name = program.rsplit('/').next().unwrap();
        let extra = match name {
            "env" => "programs = [\"/usr/bin/printf\"]",
            "python3" => {
                "libraries = [\"/usr/lib/python3.*/lib-dynload/_json*.so\"]\nfiles = [\"/usr/lib/python3.*/encodings\"]"
            }
            _ => "",
        };
        let manifest = format!("{name}.toml");
        dir.write(&manifest, format!("[program]\ncommand = [\"{program}\"]\n[tree]\n{extra}\n"));
        let output = dir.stockade(["run", &format!("./{manifest}"), "--"]).args(arguments).output();
        // What matters is that the loader found everything: a program may still miss its data.
        assert!(
            !output.stderr.contains("error while loading shared libraries"),
            "{program}: {}",
            output.stderr
        );
        assert!(
            !matches!(output.code, None | Some(125..=127)),
            "{program}: {:?} {}",
            output.code,
            output.stderr
        );
        assert!(format!("{}{}", output.stdout, output.stderr).contains(expected), "{program}: {output:?}");
        started += 1;
    }
    assert!(started >= 4, "only {started} programs were there to be started");
}
