//! Trees that a jailed program can write to, and what it plants there for the next run to fall over.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::sys::stat::Mode;

use crate::support::{Ended, Jail, finish, is_root};

/// A jail that may write to its whole tree, with a directory `/work` of its own.
fn writable(name: &'static str, more: &str) -> Jail {
    let user = if is_root() { "program.user = \"root\"\n" } else { "" };
    let jail =
        Jail::shell(name, &format!("{user}root.read_only = false\ntree.directories = [\"/work\"]\n{more}\n"));
    jail.build();
    jail
}

/// Puts a link in the place of something of the tree, as the jailed program can.
fn replace_by_link(jail: &Jail, path: &str, text: impl AsRef<Path>) {
    let path = jail.tree().join(path);
    if fs::remove_file(&path).is_err() {
        fs::remove_dir_all(&path).unwrap();
    }
    symlink(text, path).unwrap();
}

/// How many descriptors are tried: more than the set-up ever has.
const DESCRIPTORS: std::ops::Range<u32> = 3..30;

#[test]
fn a_working_directory_that_links_to_a_descriptor_leads_nowhere() {
    // CVE-2024-21626 the other way about: the directory is planted, the descriptor is stockade's own or the caller's.
    for init in ["true", "false"] {
        let jail = writable("cwd", &format!("program.init = {init}\nprogram.working_directory = \"/work\""));
        for descriptor in DESCRIPTORS {
            replace_by_link(&jail, "work", format!("/proc/self/fd/{descriptor}"));
            // The caller has left a directory of the host open as well.
            let ended = finish(&mut jail.command_after("exec 7</etc", &["ls"]));
            assert_eq!(
                (ended.stdout.as_str(), ended.code),
                ("", Some(125)),
                "{descriptor}: {}",
                ended.stderr
            );
            assert!(ended.stderr.contains("cannot change to the directory `/work`"), "{}", ended.stderr);
        }
    }
}

#[test]
fn a_program_that_links_below_a_descriptor_is_not_found() {
    for init in ["true", "false"] {
        let jail = writable("exe", &format!("program.init = {init}"));
        for descriptor in DESCRIPTORS {
            replace_by_link(
                &jail,
                "bin/sh",
                format!("/proc/self/fd/{descriptor}/../../../../../bin/busybox"),
            );
            let ended = finish(&mut jail.command_after("exec 7</usr/lib", &["echo out"]));
            let not_run = matches!(ended.code, Some(126 | 127));
            assert!(ended.stdout.is_empty() && not_run, "{descriptor}: {ended:?}");
        }
    }
}

/// Runs with less memory than a planted file claims to have, and not for ever.
fn run_bounded(jail: &Jail) -> Ended {
    let ended = finish(&mut jail.command_after("ulimit -v 200000", &["echo out"]));
    assert_eq!(ended.stdout, "");
    ended
}

#[test]
fn whatever_is_planted_as_the_program_is_told_and_not_opened() {
    let jail = writable("plants", "");
    let program = jail.tree().join("usr/bin/busybox");
    let expect = |code: i32, what: &str| {
        let ended = run_bounded(&jail);
        assert!(ended.code == Some(code) && ended.stderr.contains(what), "{what}: {ended:?}");
        fs::remove_file(&program).unwrap();
    };
    fs::remove_file(&program).unwrap();
    nix::unistd::mkfifo(&program, Mode::S_IRWXU).unwrap();
    expect(126, "cannot execute `/bin/sh`");
    let socket = UnixListener::bind(&program).unwrap();
    expect(126, "cannot execute `/bin/sh`");
    drop(socket);
    symlink("/dev/zero", &program).unwrap();
    expect(126, "cannot execute `/bin/sh`");
    symlink("busybox", &program).unwrap();
    expect(126, "cannot execute `/bin/sh`");
    symlink(jail.path("probe"), &program).unwrap();
    expect(127, "there is no `/bin/sh` in the tree any more, as something has changed it");

    // Headers that claim everything, in a file of a terabyte.
    let executable = |content: &[u8]| {
        fs::write(&program, content).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::File::options().write(true).open(&program).unwrap().set_len(1 << 40).unwrap();
    };
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.resize(200, 0xff);
    for (content, code) in [(&elf[..], 126), (b"#!/usr/bin/busybox\n", 126), (b"#!", 126), (b"", 126)] {
        executable(content);
        expect(code, "cannot execute `/bin/sh`");
    }
}

#[test]
fn a_program_that_ends_as_if_unloadable_is_looked_at_with_care() {
    // For exit code 127 the libraries of the program are looked for: by now it may be anything.
    let jail = writable("unloadable", "");
    let turn_into = |what: &str| {
        let script = format!(
            "rm /usr/bin/busybox2 2>/dev/null; mv /usr/bin/busybox /usr/bin/busybox2; {what}; exit 127"
        );
        let ended = finish(&mut jail.command_after("ulimit -v 200000", &[&script]));
        assert_eq!(ended.code, Some(127), "{ended:?}");
        let program = jail.tree().join("usr/bin/busybox");
        let _ = fs::remove_file(&program);
        fs::rename(jail.tree().join("usr/bin/busybox2"), program).unwrap();
    };
    for what in [
        "/usr/bin/busybox2 mkfifo /usr/bin/busybox",
        "/usr/bin/busybox2 ln -s /dev/zero /usr/bin/busybox",
        "/usr/bin/busybox2 ln -s /proc/self/fd/0 /usr/bin/busybox",
        "/usr/bin/busybox2 truncate -s 1T /usr/bin/busybox",
    ] {
        turn_into(what);
    }
}

#[test]
fn what_a_link_in_a_shared_directory_leads_to_on_the_host_is_not_told() {
    let jail = Jail::with_command(
        "shared",
        "[\"/shared/tool\"]",
        "mounts = [{ source = \"{here}/shared\", target = \"/shared\", read_only = false, executable = true }]",
    );
    let secret = jail.path("secret");
    fs::write(&secret, "#!/interpreter/known/to/the/host/only\n").unwrap();
    fs::create_dir(jail.path("shared")).unwrap();
    fs::set_permissions(jail.path("shared"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink(&secret, jail.path("shared/tool")).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o755)).unwrap();
    // It would not be found in the jail either, but a build must see something there.
    let manifest = fs::read_to_string(jail.manifest()).unwrap();
    fs::write(jail.manifest(), manifest.replace("/shared/tool", "/shared/other")).unwrap();
    fs::write(jail.path("shared/other"), "").unwrap();
    jail.build();
    fs::remove_file(jail.path("shared/other")).unwrap();
    symlink("tool", jail.path("shared/other")).unwrap();
    let ended = finish(&mut jail.command(&[]));
    assert!(ended.stderr.contains("cannot execute `/shared/other`"), "{ended:?}");
    assert!(!ended.stderr.contains("interpreter"), "{}", ended.stderr);
}
