//! `once` inside containers as they are made by default: root without most capabilities, and a `/proc` that is covered in parts.

use crate::common::{Command, Dir, Need, needs};
use crate::landlock_only::{NOTE, has_landlock};
use crate::{once, place};

/// The capabilities that root of a container has if nobody says otherwise.
const USUAL: &str = "+chown,+dac_override,+fsetid,+fowner,+mknod,+net_raw,+setgid,+setuid,+setfcap,+setpcap,+net_bind_service,\
                     +sys_chroot,+kill,+audit_write";

/// `stockade once` with these words, started by other programs.
fn within(dir: &Dir, outer: &[&str], words: &[&str]) -> Command {
    started_by(dir, outer, &once(dir, words.iter().copied()).inner)
}

/// A command, started by other programs.
fn started_by(dir: &Dir, outer: &[&str], inner: &std::process::Command) -> Command {
    let mut command = std::process::Command::new(outer[0]);
    command.args(&outer[1..]).arg(inner.get_program()).args(inner.get_args()).current_dir(dir.path());
    command.stdin(std::process::Stdio::null());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Command { inner: command }
}

/// Root of a container has not the capabilities of root: for it, it is as for any user. That it cannot give up what it has not got was
/// the end of each run.
#[test]
fn root_without_capabilities_is_a_user() {
    if !has_landlock()
        || !needs(Need::Root)
        || !needs(Need::UserNamespaces)
        || !needs(Need::Program("setpriv"))
    {
        return;
    }
    let dir = place("once-rootless");
    let run = |capabilities: &str, words: &[&str]| {
        let bounding = format!("-all,{capabilities}");
        within(&dir, &["setpriv", "--bounding-set", &bounding, "--inh-caps", "-all"], words)
    };
    let script = "id -u; cat data/file; grep -c CapPrm:.0000000000000000 /proc/self/status";
    // The one that it has by default has those which a user namespace takes.
    run(USUAL, &["sh", "-c", script]).expect(0, "0\ncontent\n1\n", "");
    for capabilities in [USUAL, "+chown"] {
        run(capabilities, &["--landlock-only", "sh", "-c", script]).expect(0, "0\ncontent\n1\n", NOTE);
    }
    // No limit on a user's processes holds the kernel's user 0.
    if needs(Need::ControlGroups) {
        let fork = "i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done; echo reached";
        let output = run(USUAL, &["--pids", "20", "sh", "-c", fork]).output();
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{}", output.stderr);
    }
}

/// What a container's `/proc` has over it: what tells of the host is covered, what acts on it read-only. Of another one that is whole, as
/// a chroot on this machine may have, the kernel would take it that everything is shown.
const COVERS: &str = r#"
while read -r _ at kind _; do [ "$kind" != proc ] || [ "$at" = /proc ] || umount -l "$at"; done < /proc/self/mounts
mount -t proc proc /proc
for name in bus fs irq sys; do mount --bind /proc/$name /proc/$name && mount -o remount,bind,ro /proc/$name; done
for name in kcore keys timer_list; do [ ! -e /proc/$name ] || mount --bind /dev/null /proc/$name; done
exec "$@"
"#;

/// The kernel gives nobody a /proc that shows more than the one there is, and a limit in /proc/sys cannot be set: each is told with the
/// option that goes on without.
#[test]
fn a_proc_that_is_covered_in_parts_takes_two_options() {
    if !needs(Need::Root) || !needs(Need::UserNamespaces) || !needs(Need::Program("setpriv")) {
        return;
    }
    let dir = place("once-covered");
    let container =
        ["unshare", "--mount", "--pid", "--fork", "--propagation=private", "sh", "-c", COVERS, "sh"];
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let bounding = format!("-all,{USUAL}");
    let root = ["setpriv", "--bounding-set", &bounding, "--inh-caps", "-all"];
    let by = |who: &[&str], words: &[&str]| within(&dir, &[&container[..], who].concat(), words);
    let last = |command: Command| {
        let output = command.output();
        assert_eq!((output.code, output.stdout.as_str()), (Some(125), ""), "{}", output.stderr);
        output.stderr.lines().last().unwrap().to_owned()
    };
    assert_eq!(
        last(by(&user, &["true"])),
        "hint: /proc/sys is read-only here, as in a container: say `best_effort = [\"user_namespace\"]` under [privileges] (`once \
         --best-effort user_namespace`) to go on without this limit"
    );
    let best = "--best-effort=user_namespace";
    assert_eq!(
        last(by(&user, &[best, "true"])),
        "hint: the host's own /proc is covered in parts, as in a container, and then the kernel gives no new one: set `proc = \"none\"` \
         under [root] (`once --no-proc`)"
    );
    // Which `doctor` finds beforehand.
    let doctor = dir.stockade(["doctor", "--json"]).inner;
    let output = started_by(&dir, &[&container[..], &root].concat(), &doctor).output();
    let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let missing: Vec<_> = checks.iter().filter(|check| check["state"] == "missing").collect();
    let names: Vec<_> = missing.iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!((output.code, names), (Some(1), vec!["further namespaces", "new /proc"]));
    for (check, option) in missing.into_iter().zip(["--best-effort user_namespace", "--no-proc"]) {
        assert!(check["cure"].as_str().unwrap().contains(option), "{check}");
    }
    let script = "cat data/file; id -u; ls -d /proc; unshare --user true";
    let refused = "ls: cannot access '/proc': No such file or directory\nunshare: unshare failed: Operation not permitted\n";
    for (who, id) in [(&user[..], "65534"), (&root[..], "0"), (&[][..], "0")] {
        let words = [best, "--no-proc", "--", "sh", "-c", script];
        by(who, &words).expect(1, &format!("content\n{id}\n"), refused);
    }
}
