//! Trees that a jailed program can write to, and what it plants there for the next run to fall over.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::{Jail, finish, is_root};

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
