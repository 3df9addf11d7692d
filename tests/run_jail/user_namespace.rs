//! The ids of a jail are its own: what they are outside, who owns what on both sides, and where that cannot be had.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use crate::support::{Ended, Jail, finish, is_root, status_of};

/// The first of a jail's ids, as it is remembered.
fn first_id(jail: &Jail) -> u32 {
    let link = jail.tree().ancestors().nth(2).unwrap().join("ids");
    fs::read_link(link).unwrap().to_str().unwrap().parse().unwrap()
}

/// Owner and group of a file of the host.
fn owner(path: impl AsRef<Path>) -> (u32, u32) {
    let found = fs::symlink_metadata(path).unwrap();
    (found.uid(), found.gid())
}

/// A directory beside the jail's, with this owner and mode.
fn directory(jail: &Jail, name: &str, id: u32, mode: u32) {
    fs::create_dir(jail.path(name)).unwrap();
    chown(jail.path(name), Some(id), Some(id)).unwrap();
    fs::set_permissions(jail.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

/// A run in a mount namespace where `setup` was done before; `$1` there is the jail's directory.
fn run_after(jail: &Jail, setup: &str, arguments: &[&str]) -> Ended {
    let run = jail.command(arguments);
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", &format!("{setup}\nshift; exec \"$@\""), "sh"]).arg(jail.path(""));
    command.arg(run.get_program()).args(run.get_args()).env("STOCKADE_STATE_DIR", jail.path("state"));
    finish(command.env("NO_COLOR", "1"))
}

/// An /etc of one's own, with these lines in its /etc/subuid and /etc/subgid.
fn etc(subordinate: &str) -> String {
    format!(
        "rm -rf \"$1/etc\"; cp -a /etc \"$1/etc\"; for file in subuid subgid; do echo '{subordinate}' > \"$1/etc/$file\"; done\n\
         mount --bind \"$1/etc\" /etc"
    )
}

#[test]
fn an_ordinary_user_cannot_do_without() {
    if !is_root() {
        let jail = Jail::shell("without", "namespaces.user = false");
        assert_eq!(jail.stockade("run").output().unwrap().status.code(), Some(125));
        Jail::shell("with", "namespaces.user = true").expect(&["echo runs"], 0, "runs\n");
    }
}

#[test]
fn no_user_namespace_can_be_made_inside() {
    // By the limit alone: the filter is off.
    for user in ["", "program.user = \"root\"\n"] {
        let jail = Jail::probe("nested", &format!("{user}privileges.system_calls = \"all\""));
        jail.expect(&["nest"], 0, "unshare: ENOSPC\nclone: ENOSPC\n");
    }
}

#[test]
fn ids_outside_are_a_range_of_the_jails_own() {
    if !is_root() {
        return;
    }
    for (more, inside) in [("", 65534), ("program.user = \"root\"", 0), ("program.user = \"daemon\"", 1)] {
        let jail = Jail::probe("outside", more);
        let mut running = jail.start(&["pause"]);
        running.expect("ready");
        let first = first_id(&jail);
        assert!((524_288..1_879_048_192).contains(&first) && first.is_multiple_of(65536), "{first}");
        let id = first + inside;
        for pid in [running.first(), running.program()] {
            for field in ["Uid", "Gid"] {
                assert_eq!(status_of(pid, field), format!("{id}\t{id}\t{id}\t{id}"), "{field} of {inside}");
            }
            assert_eq!(status_of(pid, "Groups"), "");
        }
        let map = fs::read_to_string(format!("/proc/{}/uid_map", running.program())).unwrap();
        assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", &first.to_string(), "65536"]);
        running.signal(nix::sys::signal::Signal::SIGTERM);
        running.wait();
    }
    let jail = Jail::shell("groups", "program.supplementary_groups = [\"sys\", 4242]");
    jail.expect(&["sed -n 's/^Groups:\\t//p' /proc/self/status"], 0, "3 4242 \n");
}

#[test]
fn each_jail_has_its_own_range_and_keeps_it() {
    if !is_root() {
        return;
    }
    let jail = Jail::shell("one", "");
    jail.expect(&["true"], 0, "");
    let first = first_id(&jail);
    let manifest = fs::read_to_string(jail.manifest()).unwrap();
    for at in 0..3 {
        fs::write(jail.manifest(), manifest.replace("\"one\"", &format!("\"other-{at}\""))).unwrap();
        assert_eq!(finish(&mut jail.command(&["true"])).code, Some(0));
    }
    let state = jail.path("state");
    let mut ids: Vec<_> = fs::read_dir(&state)
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path().join("ids")).ok())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "{ids:?}");
    for at in 0..3 {
        fs::remove_dir_all(state.join(format!("other-{at}"))).unwrap();
    }
    fs::write(jail.manifest(), manifest).unwrap();
    jail.expect(&["true"], 0, "");
    assert_eq!(first_id(&jail), first);
}

#[test]
fn ids_come_from_where_the_host_says() {
    if !is_root() {
        return;
    }
    let jail = Jail::shell("granted", "");
    jail.build();
    let map =
        "while read -r inside outside count; do echo $inside $outside $count; done < /proc/self/uid_map";
    let granted = run_after(&jail, &etc("stockade:1000000:65536"), &[map]);
    assert_eq!(granted.lines(), ["0 1000000 65536"]);
    // Somebody else has got them meanwhile, and stockade has others.
    let moved = run_after(&jail, &etc("eve:1000000:65536\nstockade:2000000:70000"), &[map]);
    assert_eq!(moved.lines(), ["0 2000000 65536"]);
    let refused = run_after(&jail, &etc("stockade:2000000:65535"), &[map]);
    assert_eq!(refused.code, Some(125));
    assert!(refused.stderr.contains("there are no ids to give to the jail"), "{}", refused.stderr);
    // Nobody's but one of the host's users.
    let free = run_after(&jail, &etc(""), &[map]);
    let first = first_id(&jail);
    assert_eq!(free.lines(), [format!("0 {first} 65536")]);
    let taken = run_after(&jail, &etc(&format!("eve:{}:1", first + 65535)), &[map]);
    assert_eq!(taken.lines(), [format!("0 {} 65536", first + 65536)]);
    // Given by hand.
    let jail = Jail::shell("given", "namespaces.first_id = 123456");
    jail.expect(&[map], 0, "0 123456 65536\n");
    assert_eq!(first_id(&jail), 123_456);
}

#[test]
fn what_is_shown_has_the_same_owners_inside() {
    if !is_root() {
        return;
    }
    let script =
        "stat -c '%u:%g %n' /srv/* /srv/daemon/* /proc/self/ /tmp; cat /srv/secret; echo /srv/daemon/*";
    let more = "program.user = \"root\"
        mounts = [{ source = \"{here}/shown\", target = \"/srv\" }, { type = \"tmpfs\", target = \"/tmp\" }]";
    let jail = Jail::shell("owners", more);
    directory(&jail, "shown", 0, 0o755);
    directory(&jail, "shown/daemon", 1, 0o700);
    fs::write(jail.path("shown/secret"), "roots\n").unwrap();
    fs::set_permissions(jail.path("shown/secret"), fs::Permissions::from_mode(0o600)).unwrap();
    directory(&jail, "shown/far", 70_000, 0o755);
    let ended = jail.run(&[script]);
    assert_eq!(
        ended.stdout,
        "1:1 /srv/daemon\n65534:65534 /srv/far\n0:0 /srv/secret\n0:0 /proc/self/\n0:0 /tmp\nroots\n/srv/daemon/*\n"
    );
    // Another user reads what is that user's.
    let jail_of = |user: &str| Jail::shell("owners", &more.replace("\"root\"", &format!("\"{user}\"")));
    for (user, readable) in [("daemon", false), ("nobody", false)] {
        let jail = jail_of(user);
        directory(&jail, "shown", 0, 0o755);
        fs::write(jail.path("shown/secret"), "roots\n").unwrap();
        fs::set_permissions(jail.path("shown/secret"), fs::Permissions::from_mode(0o600)).unwrap();
        directory(&jail, "shown/daemon", 1, 0o700);
        let ended = jail.run(&["cat /srv/secret; ls /srv/daemon && echo listed"]);
        assert_eq!(ended.stdout.contains("roots"), readable, "{user}");
        assert_eq!(ended.stdout.contains("listed"), user == "daemon", "{user}");
    }
}

#[test]
fn a_shared_directory_has_the_same_owners_on_both_sides() {
    if !is_root() {
        return;
    }
    let mounts = "mounts = [{ source = \"{here}/shared\", target = \"/srv\", read_only = false }]";
    let as_root = mounts.replace(" }]", ", root_squash = false }]");
    for (user, id, mounts) in [("daemon", 1, mounts), ("nobody", 65534, mounts), ("root", 0, &as_root)] {
        let jail = Jail::shell("shared", &format!("program.user = \"{user}\"\n{mounts}"));
        directory(&jail, "shared", id, 0o750);
        fs::write(jail.path("shared/from-host"), "").unwrap();
        chown(jail.path("shared/from-host"), Some(id), Some(id)).unwrap();
        let script = "echo text > /srv/from-jail && stat -c '%u %n' /srv/*";
        jail.expect(&[script], 0, &format!("{id} /srv/from-host\n{id} /srv/from-jail\n"));
        assert_eq!(owner(jail.path("shared/from-jail")).0, id);
        // Another's directory stays closed.
        let jail = Jail::shell("shared", &format!("program.user = \"{user}\"\n{mounts}"));
        directory(&jail, "shared", 2, 0o755);
        let ended = jail.run(&["echo text > /srv/from-jail"]);
        assert_eq!(ended.code, Some(1), "{user}: {}", ended.stderr);
    }
}

#[test]
fn root_inside_is_not_root_on_what_it_shares() {
    if !is_root() {
        return;
    }
    let jail = Jail::shell(
        "squashed",
        "program.user = \"root\"
        mounts = [{ source = \"{here}/shared\", target = \"/srv\", read_only = false }]",
    );
    directory(&jail, "shared", 0, 0o755);
    directory(&jail, "shared/open", 0, 0o1777);
    directory(&jail, "shared/daemon", 1, 0o777);
    let script = "stat -c '%u %n' /srv/open /srv/daemon
        (echo x > /srv/new) 2>/dev/null || echo refused
        for name in open daemon; do touch /srv/$name/file && chmod 4755 /srv/$name/file; stat -c '%u %n' /srv/$name/file; done";
    let built = jail.stockade("build").output().unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(
        said.contains("warning: root inside cannot write to") && said.contains("root_squash = false"),
        "{said}"
    );
    // A filter may refuse the bit.
    let ended = jail.run(&[script]);
    assert_eq!(
        ended.stdout,
        "65534 /srv/open\n1 /srv/daemon\nrefused\n0 /srv/open/file\n0 /srv/daemon/file\n"
    );
    let first = first_id(&jail);
    for name in ["open", "daemon"] {
        assert_eq!(owner(jail.path(&format!("shared/{name}/file"))), (first, first));
    }
}

#[test]
fn capabilities_of_a_file_in_a_shared_directory_count_for_nothing_outside() {
    if !is_root() {
        return;
    }
    // Where owners are translated the kernel writes the capability down for root outside, unless root inside is squashed.
    let shared = |more: &str| {
        let jail = Jail::probe(
            "setfcap",
            &format!(
                "program.user = \"root\"\nprivileges.capabilities = [\"SETFCAP\"]\n\
                 mounts = [{{ source = \"{{here}}/shared\", target = \"/srv\", read_only = false{more} }}]"
            ),
        );
        directory(&jail, "shared", 0, 0o777);
        fs::copy(jail.path("probe"), jail.path("shared/roots")).unwrap();
        let told = jail.run(&["setcap", "/srv/roots"]).stdout;
        let output = Command::new("getcap").args(["-n"]).arg(jail.path("shared/roots")).output();
        (told, output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default())
    };
    let (told, found) = shared("");
    assert_eq!((told.as_str(), found.as_str()), ("setxattr: EPERM\n", ""));
    // Asked for, it is as before there were user namespaces.
    let (told, _) = shared(", root_squash = false");
    assert!(["setxattr: ok\n", "setxattr: EPERM\n"].contains(&told.as_str()), "{told}");
}

#[test]
fn file_systems_that_cannot_translate_owners_are_told() {
    if !is_root() {
        return;
    }
    let ramfs = "mount -t ramfs none \"$1/fixed\"; echo content > \"$1/fixed/file\"; chmod 755 \"$1/fixed\"";
    let jail = |more: &str| {
        let jail = Jail::shell(
            "fixed",
            &format!("mounts = [{{ source = \"{{here}}/fixed\", target = \"/srv\"{more} }}]"),
        );
        fs::create_dir(jail.path("fixed")).unwrap();
        jail.build();
        jail
    };
    let script = "stat -c %u /srv; cat /srv/file";
    assert_eq!(run_after(&jail(""), ramfs, &[script]).lines(), ["65534", "content"]);
    let refused = run_after(&jail(", read_only = false"), ramfs, &[script]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(125), ""));
    for part in ["cannot be shown writable", "ramfs", "user = false"] {
        assert!(refused.stderr.contains(part), "{part} is not in {}", refused.stderr);
    }
    // Only what is mounted below: the rest is translated.
    let below =
        "mkdir \"$1/fixed/below\"; mount -t ramfs none \"$1/fixed/below\"; chmod 755 \"$1/fixed/below\"";
    let ended = run_after(&jail(""), below, &["stat -c '%u %n' /srv /srv/below"]);
    assert_eq!(ended.lines(), ["0 /srv", "65534 /srv/below"]);
    // The tree itself.
    let jail = Jail::shell("tree", "");
    fs::create_dir(jail.path("state")).unwrap();
    let refused = run_after(&jail, "mount -t ramfs none \"$1/state\"; chmod 700 \"$1/state\"", &["true"]);
    assert_eq!(refused.code, Some(125));
    for part in ["as the root", "cannot translate owners", "STOCKADE_STATE_DIR", "user = false"] {
        assert!(refused.stderr.contains(part), "{part} is not in {}", refused.stderr);
    }
    fs::remove_dir(jail.path("state")).unwrap();
}
