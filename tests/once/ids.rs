//! `--id-range`: the ids that the host grants to an ordinary user. What the host grants is said in files of the test's own, over the
//! host's in a mount namespace of its own.

use crate::common::{Need, Output, binary, copy_program, difference, needs};
use crate::place;

/// What a script says, with `once` for `stockade once` as the user `nobody`, to whom the files grant what `granted` says.
fn granted(name: &str, granted: &str, script: &str) -> Option<Output> {
    let programs = ["newuidmap", "newgidmap", "unshare", "setpriv"];
    if !needs(Need::Root) || !programs.into_iter().all(|name| needs(Need::Program(name))) {
        return None;
    }
    let dir = place(name);
    copy_program(&binary(), &dir.join("stockade"));
    dir.write("granted", granted);
    let prelude = r#"
set -e
for file in /etc/subuid /etc/subgid; do mount --bind granted $file; done
once() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@" < /dev/null; }
set +e
"#;
    let mut command = dir.stockade([]);
    let mut inner = std::process::Command::new("unshare");
    inner.args(["--mount", "bash", "-c"]).arg(format!("{prelude}{script}")).current_dir(dir.path());
    inner.env("stockade", dir.join("stockade")).env("HOME", "/home/eve").stdin(std::process::Stdio::null());
    command.inner = inner;
    Some(command.output())
}

/// Compares everything that such a script says.
#[track_caller]
fn expect(found: Option<Output>, stdout: &str, stderr: &str) {
    let Some(found) = found else { return };
    for (expected, found) in [(stdout, &found.stdout), (stderr, &found.stderr)] {
        assert!(expected == found, "{}", difference(expected, found));
    }
}

#[test]
fn files_are_given_away_and_other_users_become() {
    let script = r#"
once "$stockade" once --id-range -- sh -c '
    id; tr -s " " < /proc/self/uid_map; cat /proc/self/setgroups
    cd /tmp
    echo x > file; chown 1:2 file; stat -c "%u:%g" file
    tar -cf all.tar file; rm file; tar -xpf all.tar; stat -c "%u:%g" file
    mkdir own; chown 33:33 own
    setpriv --reuid=33 --regid=33 --groups=44 sh -c "id; touch own/file; touch file"
    chown 65536:65536 file; stat -c "%u:%g" file; chown 65537 file
'
"#;
    expect(
        granted("ids-range", "nobody:100000:65536\n", script),
        "uid=0(root) gid=0(root) groups=0(root)\n 0 65534 1\n 1 100000 65536\nallow\n1:2\n1:2\n\
         uid=33 gid=33 groups=33,44\n65536:65536\n",
        "touch: cannot touch 'file': Permission denied\nchown: changing ownership of 'file': Invalid argument\n",
    );
}

#[test]
fn a_package_with_owners_is_unpacked() {
    if !needs(Need::Program("dpkg-deb")) {
        return;
    }
    let script = r#"
mkdir -p package/DEBIAN package/opt/x
echo content > package/opt/x/file
chown 1:2 package/opt/x/file
printf 'Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n' > package/DEBIAN/control
dpkg-deb -b package x.deb > /dev/null
chmod 644 x.deb
once "$stockade" once --id-range --ro . -- sh -c '
    mkdir -p /tmp/r/var/lib/dpkg/info /tmp/r/var/lib/dpkg/updates
    touch /tmp/r/var/lib/dpkg/status /tmp/r/var/lib/dpkg/available
    dpkg --root=/tmp/r --log=/dev/null -i x.deb > /dev/null 2>&1 || echo "not installed"
    stat -c "%u:%g" /tmp/r/opt/x/file
    dpkg-query --admindir=/tmp/r/var/lib/dpkg -W x'
"#;
    expect(granted("ids-package", "nobody:100000:65536\n", script), "1:2\nx\t1\n", "");
}

#[test]
fn an_overlay_takes_owners_and_the_caller_commits_as_itself() {
    if !needs(Need::Overlays) {
        return;
    }
    let script = r#"
mkdir own; echo x > own/file; chown -R 65534:65534 own
once "$stockade" once --id-range --overlay own --changes --commit --chdir "$PWD/own" -- sh -c '
    echo y >> file; chown 1:2 file; mkdir d; touch d/x; chown -R 5:6 d; echo z > private; chown 5:6 private; chmod 600 private'
echo $?
stat -c '%u:%g %a %n' own/*
"#;
    let found = granted("ids-overlay", "65534:100000:10\n", script).map(|found| {
        let place = found.stdout.split(' ').nth(1).and_then(|path| path.strip_suffix("/own/d\nA"));
        let place = place.unwrap_or_default().to_owned();
        let placed = |text: String| text.replace(&place, "{place}");
        Output { stdout: placed(found.stdout), stderr: placed(found.stderr), code: found.code }
    });
    expect(
        found,
        "A {place}/own/d\nA {place}/own/d/x\nM {place}/own/file\nA {place}/own/private\n125\n\
         65534:65534 755 own/d\n65534:65534 644 own/file\n",
        "error: cannot commit `{place}/own/private`\n  why: openat2(2): Permission denied (EACCES)\n\
         hint: it is applied with your own rights: see the mode and the owner of it, and of the directory it is in\n",
    );
}

#[test]
fn the_caller_is_root_inside_or_whom_it_wants_to_be() {
    let script = r#"
mkdir own; chown 65534:65534 own
once "$stockade" once --id-range --rw own -- sh -c 'stat -c "%u:%g" own; echo x > own/root; echo x > own/other; chown 5:6 own/other'
stat -c '%u:%g' own/root own/other
once "$stockade" once --id-range --uid 5 --gid 6 -- sh -c 'id -u; id -g; id -G; touch /tmp/x; stat -c "%u:%g" /tmp /tmp/x'
once "$stockade" once --id-range --save - true > /dev/null; echo $?
"#;
    expect(
        granted("ids-own", "65534:100000:10\n", script),
        "0:0\n65534:65534\n100004:100005\n5\n6\n6\n5:6\n5:6\n0\n",
        "",
    );
}

#[test]
fn what_is_not_granted_is_told_whole() {
    let nothing = "error: this user has no range of ids to give to the jail\n  --> --id-range\n  why: ";
    let without = "or leave `id_range` (`once --id-range`) out\n";
    let script = r#"
once "$stockade" once --id-range true
echo nobody:100000:10 > granted
once "$stockade" once --id-range --uid 11 true
once setpriv --no-new-privs "$stockade" once --id-range true 2>&1 | sed 's/ of [0-9][0-9]*:/ of …:/' >&2
mount --bind /dev/null /usr/bin/newgidmap
once "$stockade" once --id-range true
"#;
    expect(
        granted("ids-none", "somebody:100000:65536\n", script),
        "",
        &format!(
            "{nothing}no line of `/etc/subuid` is `nobody`'s\n\
             hint: root grants one: `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 nobody`, with numbers that no \
             other line has; {without}\
             error: user 11 is not among the ids of the jail\n  --> --uid 11\n  \
             why: they are 0, the caller, and from 1 on as many as /etc/subuid and /etc/subgid grant to the caller\n\
             hint: choose another one, or have root grant more with usermod(8)\n\
             error: cannot map the ids of jail `once`\n  --> --id-range\n  \
             why: newuidmap or newgidmap, step 2 of …: newuidmap: write to uid_map failed: Operation not permitted\n\
             hint: the ranges are those of /etc/subuid and /etc/subgid; newuidmap and newgidmap have to be set-user-id or to have \
             their file capabilities, and cannot be used where no_new_privs is set\n\
             {nothing}there is no `/usr/bin/newgidmap`, which maps ids for ordinary users\n\
             hint: install the package `uidmap` (Debian, Ubuntu) or `shadow-utils`, {without}"
        ),
    );
}
