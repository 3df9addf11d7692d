//! What `host` shows: files of the host as they are when the jail starts, without a build in between.

use std::fs;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::common::{self, Need, needs};
use crate::support::{Jail, Running, finish};

/// What is needed of the tree to look names up by the C library, as programs do; no server is asked.
const LOOKUP: &str = "tree.programs = [\"/usr/bin/getent\"]\n\
    tree.text = [{ path = \"/etc/nsswitch.conf\", content = \"hosts: files\\n\" }]";

/// A command with a copy of /etc in the place of /etc, in a mount namespace of its own; `before` is done there first.
fn with_own_etc(jail: &Jail, before: &str, command: &Command) -> Command {
    let script = format!(
        "mkdir -p {etc} && cp -a --remove-destination /etc/hosts /etc/passwd /etc/group {etc} && cp -aL --remove-destination /etc/resolv.conf {etc} \
         && mount --bind {etc} /etc && cd /etc && {before} && exec \"$@\"",
        etc = jail.path("etc").display()
    );
    let mut own = Command::new("unshare");
    own.args(["--mount", "--propagation", "private", "bash", "-c", &script, "bash"]);
    own.arg(command.get_program()).args(command.get_args());
    own.env("STOCKADE_STATE_DIR", jail.path("state")).env("NO_COLOR", "1").stdin(Stdio::null());
    own
}

#[test]
fn a_name_is_found_in_hosts() {
    let jail = Jail::shell("host-names", &format!("{LOOKUP}\ntree.host = [\"hosts\"]"));
    let ended =
        jail.run(&["getent ahostsv4 localhost; cat /etc/hosts; echo x 2>/dev/null >> /etc/hosts || echo no"]);
    let hosts = fs::read_to_string("/etc/hosts").unwrap();
    assert!(ended.stdout.starts_with("127.0.0.1 "), "{}", ended.stdout);
    assert!(ended.stdout.ends_with(&format!("{hosts}no\n")), "{}", ended.stdout);
}

#[test]
fn a_file_that_the_host_replaced_is_the_new_one_at_the_next_start() {
    if !needs(Need::Root) {
        return;
    }
    let jail = Jail::shell(
        "host-replaced",
        &format!("{LOOKUP}\ntree.host = [\"hosts\", \"dns\"]\nnamespaces.network = \"host\""),
    );
    jail.build();
    let look = jail.command(&["getent hosts a.example; getent hosts b.example; cat /etc/resolv.conf"]);
    let replace = |name: &str, server: &str| {
        format!(
            "echo \"192.0.2.1 {name}\" > new && mv new hosts \
             && mkdir -p run && echo nameserver {server} > run/stub && ln -sfn run/stub resolv.conf"
        )
    };
    let seen = |before: &str| {
        let ended = finish(&mut with_own_etc(&jail, before, &look));
        assert_eq!((ended.stderr.as_str(), ended.code), ("", Some(0)));
        ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(seen(&replace("a.example", "192.0.2.53")), "192.0.2.1 a.example nameserver 192.0.2.53");
    assert_eq!(seen(&replace("b.example", "192.0.2.54")), "192.0.2.1 b.example nameserver 192.0.2.54");
    // The tree has not been built again, and nothing of it is out of date.
    let mut verify = Command::new(common::binary());
    verify.args(["verify", jail.manifest().to_str().unwrap()]);
    let verified = finish(&mut with_own_etc(&jail, &replace("c.example", "192.0.2.55"), &verify));
    assert_eq!((verified.stderr.as_str(), verified.code), ("", Some(0)), "{}", verified.stdout);
    assert!(!jail.path("state/host-replaced/generations/2").exists());
}

#[test]
fn a_running_jail_sees_what_is_written_and_not_what_is_put_in_the_place() {
    if !needs(Need::Root) {
        return;
    }
    let jail = Jail::shell("host-running", "tree.host = [\"hosts\"]");
    jail.build();
    let script = "trap 'cat /etc/hosts' HUP; cat /etc/hosts; while :; do sleep 0.01; done";
    let mut running = Running::start(&mut with_own_etc(&jail, "echo one > hosts", &jail.command(&[script])));
    running.expect("one");
    let hosts = jail.path("etc/hosts");
    fs::write(&hosts, "two\n").unwrap();
    running.signal(Signal::SIGHUP);
    running.expect("two");
    let mut verify = jail.stockade("verify");
    assert_eq!(finish(&mut verify).code, Some(0));
    fs::write(jail.path("etc/new"), "three\n").unwrap();
    fs::rename(jail.path("etc/new"), &hosts).unwrap();
    running.signal(Signal::SIGHUP);
    running.expect("two");
    // Which is told.
    let verified = finish(&mut verify);
    assert_eq!(verified.code, Some(1), "{}", verified.stderr);
    let (row, rest) = verified.stdout.split_once("\n      process ").unwrap();
    let rest = rest.split_once(' ').unwrap().1;
    assert_eq!(row, "stale /etc/hosts");
    let expected = format!(
        "still shows it as it was: /etc/hosts has been replaced or deleted since\n      for: `hosts` of the host; {}:",
        jail.manifest().display()
    );
    assert!(rest.starts_with(&expected), "{rest}");
    assert!(rest.contains("\n      hint: start the jail anew\njail `host-running`: "), "{rest}");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait(), 128 + Signal::SIGTERM as i32);
}

#[test]
fn no_jail_starts_with_a_link_in_the_place_of_what_it_leads_to() {
    if !needs(Need::Root) {
        return;
    }
    let jail = Jail::shell("host-links", "tree.host = [\"hosts\"]");
    jail.build();
    // One that leads nowhere, and one of somebody who would like to be shown a file that is not his.
    for (before, expected) in [
        ("ln -sfn run/none hosts", "error: `/etc/hosts` cannot be found on the host\n"),
        (
            "echo secret > secret && chmod 600 secret && ln -sfn /etc/secret hosts && chown -h 65534 hosts",
            "error: `/etc/hosts` leads where it must not\n",
        ),
    ] {
        let ended = finish(&mut with_own_etc(&jail, before, &jail.command(&["cat /etc/hosts"])));
        assert_eq!((ended.stdout.as_str(), ended.code), ("", Some(125)), "{}", ended.stderr);
        assert!(ended.stderr.starts_with(expected), "{}", ended.stderr);
    }
}
