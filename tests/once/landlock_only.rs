//! `--landlock-only`, and what leads to it: hosts that refuse user namespaces.

use crate::common::{Need, needs};
use crate::{once, place};

/// What is told each time.
pub(crate) const NOTE: &str = "note: no namespaces: Landlock and a filter of system calls alone stand between the program and the host; it sees the \
    names of all files and processes, has no /tmp, home, /proc, host name or ids of its own, and what it leaves behind outlives a killed \
    supervisor\n";

/// Whether this kernel has Landlock.
pub(crate) fn has_landlock() -> bool {
    let host = stockade::sys::host::Host::current(std::path::Path::new("/"));
    if host.landlock.is_err() {
        eprintln!("SKIP: needs Landlock");
    }
    host.landlock.is_ok()
}

#[test]
fn files_are_as_shown_and_nothing_else_is_opened_or_changed() {
    if !has_landlock() {
        return;
    }
    let dir = place("only-files");
    let outside = place("only-outside");
    outside.write("file", "outside\n").write("open", "open\n");
    let path = outside.path().display().to_string();
    let script = format!(
        r#"
cat data/file
for try in 'cat {path}/file' 'ls {path}' 'touch {path}/new' 'rm {path}/file' 'chmod 600 {path}/open' 'touch data/new' 'touch /tmp/only-new' 'ls /root' 'cat /etc/shadow'; do
    $try > /dev/null 2>&1 && echo "$try: done"
done
[ -e {path}/file ] && echo "its name is seen"
echo text > /dev/null && head -c 1 /dev/zero | wc -c
grep -c NoNewPrivs:.1 /proc/self/status
"#
    );
    once(&dir, ["--landlock-only", "--", "sh", "-c", &script]).expect(
        0,
        "content\nits name is seen\n1\n1\n",
        NOTE,
    );
    once(
        &dir,
        [
            "--landlock-only",
            "--rw",
            ".",
            "sh",
            "-c",
            "echo x > data/new; mv data/new data/moved; cat data/moved",
        ],
    )
    .expect(0, "x\n", NOTE);
}

#[test]
fn attributes_of_files_and_queues_of_the_host_are_out_of_reach() {
    if !has_landlock() || !needs(Need::Program("perl")) {
        return;
    }
    let dir = place("only-attributes");
    let path = dir.join("data/file").display().to_string();
    // setxattrat(2) and file_setattr(2), which have one number everywhere: an access control list is a mode by another name.
    let script = format!(
        r#"
my ($path, $name) = ("{path}\0", "user.x\0"); my $value = "1"; my $attributes = "\0" x 24;
my $given = pack "QLL", unpack("Q", pack "P", $value), 1, 0;
sub told {{ print "$_[0]: ", ($_[1] ? "done" : $!), "\n" }}
told "setxattrat", syscall(463, -100, $path, 0, $name, $given, 16) == 0 || $!{{ENOSYS}} && ($! = 1) && 0;
told "file_setattr", syscall(469, -100, $path, $attributes, 24, 0) == 0 || $!{{ENOSYS}} && ($! = 1) && 0;
open my $file, "<", "{path}" or die; told "fchmod", chmod 0666, $file; told "fchown", chown $<, $( + 0, $file;
told "shmget", defined shmget 0x1234567, 4096, 01600; told "semget", defined semget 0x1234567, 1, 01600;
told "msgget", defined msgget 0x1234567, 01600;
"#
    );
    let refused = ["setxattrat", "file_setattr", "fchmod", "fchown", "shmget", "semget", "msgget"]
        .map(|call| format!("{call}: Operation not permitted\n"));
    once(&dir, ["--landlock-only", "perl", "-MErrno", "-e", &script]).expect(0, &refused.concat(), NOTE);
}

#[test]
fn processes_and_sockets_of_the_host_are_out_of_reach() {
    if !has_landlock() || !needs(Need::Program("perl")) {
        return;
    }
    let dir = place("only-reach");
    let mut other = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    let pid = other.id();
    let script = format!(
        r#"
cat /proc/{pid}/comm
cat /proc/{pid}/environ > /dev/null 2>&1 && echo "its environment"
kill -0 {pid} 2> /dev/null && echo "a signal"
perl -MSocket -e 'for (PF_INET, PF_UNIX) {{ print socket(S, $_, SOCK_STREAM, 0) ? "a socket\n" : "$!\n" }} print socketpair(A, B, PF_UNIX, SOCK_STREAM, 0) ? "a pair\n" : "$!\n"'
"#
    );
    let output = once(&dir, ["--landlock-only", "sh", "-c", &script]).output();
    let with_network = once(
        &dir,
        [
            "--landlock-only",
            "--share-net",
            "perl",
            "-MSocket",
            "-e",
            "print socket(S, PF_INET, SOCK_STREAM, 0) ? 1 : 0",
        ],
    )
    .output();
    other.kill().unwrap();
    other.wait().unwrap();
    let signals = ["", "a signal\n"]
        .map(|signal| format!("sleep\n{signal}Operation not permitted\nOperation not permitted\na pair\n"));
    // Signals have been an affair of Landlock's since Linux 6.12.
    assert!(signals.contains(&output.stdout), "{}{}", output.stdout, output.stderr);
    assert_eq!((with_network.stdout.as_str(), with_network.stderr.as_str()), ("1", NOTE));
}

#[test]
fn what_the_program_leaves_behind_ends_with_it() {
    if !has_landlock() || !needs(Need::Program("pgrep")) {
        return;
    }
    let dir = place("only-end");
    let seconds = 100_000 + std::process::id();
    let script =
        format!("(setsid sleep {seconds} &); (setsid sh -c 'sleep {seconds}; true' &); sleep 0.2; exit 3");
    once(&dir, ["--landlock-only", "sh", "-c", &script]).expect(3, "", NOTE);
    let script = format!("setsid sleep {seconds} & sleep {seconds}");
    once(&dir, ["--landlock-only", "--timeout", "300ms", "sh", "-c", &script]).expect(124, "", NOTE);
    let left =
        std::process::Command::new("pgrep").args(["-f", &format!("^sleep {seconds}")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

#[test]
fn what_has_ended_is_waited_for() {
    if !has_landlock() {
        return;
    }
    let dir = place("only-reaped");
    // Whoever is orphaned is the supervisor's child, and no other is left.
    let script = "for each in 1 2 3 4 5; do (true &); done
        until [ \"$(cat /proc/$PPID/task/$PPID/children)\" = \"$$ \" ]; do sleep 0.01; done; echo alone";
    once(&dir, ["--landlock-only", "--timeout", "20s", "sh", "-c", script]).expect(0, "alone\n", NOTE);
}

#[test]
fn the_report_says_what_is_not_there() {
    if !has_landlock() {
        return;
    }
    let dir = place("only-report");
    once(&dir, ["--landlock-only", "--report", "report.json", "true"]).expect(0, "", NOTE);
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(dir.join("report.json")).unwrap()).unwrap();
    let state = |layer: &str| {
        let layers = report["layers"].as_array().unwrap();
        layers.iter().find(|state| state["layer"] == layer).unwrap()["state"].clone()
    };
    assert_eq!(
        ["user_namespace", "proc", "landlock", "seccomp"].map(state),
        ["off", "off", "enforced", "enforced"]
    );
    assert_eq!(report["network"], "host");
}

#[test]
fn a_saved_manifest_is_one_for_the_hosts_tree_as_well() {
    if !has_landlock() {
        return;
    }
    let dir = place("only-saved");
    once(&dir, ["--landlock-only", "--save", "saved.toml", "sh", "-c", "cat data/file"]).expect(0, "", "");
    let mut again = dir.stockade(["run", "./saved.toml"]);
    again.inner.env("STOCKADE_RUN_DIR", dir.join("run"));
    again.expect(0, "content\n", NOTE);
}

#[test]
fn what_takes_namespaces_is_refused() {
    if !has_landlock() {
        return;
    }
    let dir = place("only-refused");
    let refused = |what: &str, option: &str| {
        format!(
            "error: {what} cannot be had without namespaces\n  --> {option}\n  \
             why: with `tree = \"host\"` (`once --landlock-only`) the program is in the host's own tree and namespaces\n\
             hint: take it out, or do without `--landlock-only` where user namespaces are to be had\n"
        )
    };
    for (options, what) in [
        (&["--hostname", "a"][..], "a host name of its own"),
        (&["--cap-add", "CHOWN"], "a capability"),
        (&["--tmpfs", "/x"], "a file system of the jail's own"),
        (&["--bind", "data", "/y"], "something at another path than on the host"),
        (&["--symlink", "a", "/b"], "a link of the jail's own"),
        (&["--dir", "/z"], "a directory of the jail's own"),
    ] {
        let words = ["--landlock-only"].into_iter().chain(options.iter().copied()).chain(["true"]);
        once(&dir, words).expect(125, "", &format!("{NOTE}{}", refused(what, &options.join(" "))));
    }
    let words = ["--landlock-only", "--best-effort", "landlock", "true"];
    once(&dir, words).expect(
        125,
        "",
        "error: with `tree = \"host\"` there is nothing else that holds the program\n  --> --best-effort landlock\n\
         hint: take this out, or `tree = \"host\"` (`once --landlock-only`)\n",
    );
}

#[test]
fn it_works_where_user_namespaces_are_refused_and_that_is_told() {
    if !has_landlock() || !needs(Need::Program("unshare")) || !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("only-cure");
    // In a user namespace in which no other may be made; not as its root, who may all the same.
    let within = |words: &[&str]| {
        let own = once(&dir, words.iter().copied()).inner;
        let mut command = std::process::Command::new("unshare");
        command.args(["--user", "--map-root-user", "--", "sh", "-c"]);
        command.arg("echo 0 > /proc/sys/user/max_user_namespaces; exec \"$@\"").arg("sh");
        command.arg(own.get_program()).args(own.get_args()).current_dir(dir.path()).env("HOME", "/home/eve");
        command.stdin(std::process::Stdio::null()).output().unwrap()
    };
    let refused = within(&["true"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let hint = "hint: user namespaces are refused to this user: user.max_user_namespaces is 0: `sysctl user.max_user_namespaces=10000`; \
        or run as root, or, with less around the program, `stockade once --landlock-only`\n";
    assert!(
        said.starts_with("error: cannot make the new namespaces in jail `once`\n") && said.ends_with(hint),
        "{said}"
    );
    assert_eq!(refused.status.code(), Some(125));
    let done = within(&["--landlock-only", "cat", "data/file"]);
    assert_eq!(
        (&*String::from_utf8_lossy(&done.stdout), &*String::from_utf8_lossy(&done.stderr)),
        ("content\n", NOTE)
    );
}

/// What a jail locks for its program stays so for a jail in it, which can neither change that nor has to.
#[test]
fn a_jail_in_a_jail_goes_by_landlock() {
    if !has_landlock() || !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("only-nested");
    let binary = crate::common::binary();
    let (path, place) = (binary.to_str().unwrap(), binary.parent().unwrap().to_str().unwrap());
    let script = format!("cat data/file; {path} once --landlock-only -- cat data/file");
    once(&dir, ["--ro", place, "sh", "-c", &script]).expect(0, "content\ncontent\n", NOTE);
}
