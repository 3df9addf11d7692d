//! What daemons do that was not foreseen: sockets of others, links, helpers, ends of their own; each in a small program, proved where that
//! tells more.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use super::common::{Dir, Need, Output, needs};
use super::said;

/// Learns what a shell does, without any proof.
fn learned(dir: &Dir, script: &str) -> Output {
    let output = dir.stockade(["learn", "--name", "x", "--", "sh", "-c", script]).output();
    assert_eq!(output.code, Some(0), "{}", said(&output));
    output
}

/// Learns and proves a shell that stays, which is asked by the probe; the manifest.
fn proved(dir: &Dir, probe: &str, script: &str) -> (Output, String) {
    let words = ["learn", "--prove", "--output", "x.toml", "--probe", probe, "--", "sh", "-c", script];
    let output = dir.stockade(words).output();
    let text = fs::read_to_string(dir.join("x.toml")).unwrap_or_default();
    assert_eq!(output.code, Some(0), "{}{text}", said(&output));
    (output, text)
}

/// A directory that is not below /tmp, which is a jail's own.
fn place(name: &str) -> (Dir, String) {
    let dir = Dir::new(name);
    fs::create_dir(dir.join("place")).unwrap();
    let place = dir.join("place").display().to_string();
    (dir, place)
}

#[test]
fn who_makes_a_link_does_nothing_to_what_it_leads_to() {
    let (dir, place) = place("learn-link");
    fs::create_dir(dir.join("state")).unwrap();
    dir.write("place/configuration", "");
    let script = format!("cd ..; ln -s {place}/configuration state/link");
    let words = ["learn", "--name", "x", "--", "sh", "-c", &script];
    let mut command = dir.stockade(words);
    command.inner.current_dir(&place);
    let output = command.output();
    assert_eq!(output.code, Some(0), "{}", said(&output));
    assert!(output.stdout.contains("/state\"\nread_only"), "{}", output.stdout);
    assert!(!output.stdout.contains("/place\"\nread_only"), "{}", output.stdout);
}

#[test]
fn a_directory_that_is_only_made_sure_of_is_not_shown_writable() {
    let (dir, _) = place("learn-sure");
    let text = learned(&dir, "mkdir -p /usr/share; mkdir /usr /var/lib /tmp; exit 0").stdout;
    assert_eq!(text.matches("[[mounts]]").count(), 1, "{text}");
    assert!(text.contains("[[mounts]]\ntype   = \"tmpfs\"\ntarget = \"/tmp\"\n"), "{text}");
}

#[test]
fn a_helper_that_was_made_sure_of_comes_along() {
    let is_helper = |path: &std::path::Path| {
        let plain = path.to_str().is_some_and(|text| !text.contains(".so") && !text.contains(['\'', '"']));
        let now = path.symlink_metadata();
        plain
            && now.is_ok_and(|now| {
                now.is_file() && now.len() < 1 << 20 && now.permissions().mode() & 0o111 == 0o111
            })
    };
    let helpers = walkdir::WalkDir::new("/usr/lib").max_depth(3).into_iter().flatten();
    let Some(helper) = helpers.map(walkdir::DirEntry::into_path).find(|path| is_helper(path)) else {
        eprintln!("SKIP: there is no helper below /usr/lib");
        return;
    };
    let (dir, _) = place("learn-helper");
    let helper = helper.display().to_string();
    let text = learned(&dir, &format!("test -f '{helper}'")).stdout;
    assert!(text.contains(&format!("    \"{helper}\",  # looked at by sh, ")), "{text}");
    // One of many that were listed is nothing to the program.
    let text =
        learned(&dir, &format!("ls -l '{}'", std::path::Path::new(&helper).parent().unwrap().display()));
    assert!(!text.stdout.contains(&format!("    \"{helper}\",")), "{}", text.stdout);
}

#[test]
fn how_it_ends_when_it_is_stopped_is_no_failure() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let (dir, place) = place("learn-stopped");
    let ready = format!("{place}/ready");
    let script = format!("trap 'rm {ready}; exit 7' TERM; echo >{ready}; while :; do sleep 0.05; done");
    let (_, text) = proved(&dir, &format!("test -e {ready}"), &script);
    assert!(text.contains("# how it ended when it was stopped\nstop_status = 7\n"), "{text}");
    // The same test without it.
    fs::write(dir.join("x.toml"), text.replace("stop_status = 7", "stop_status = 8")).unwrap();
    let tested = dir.stockade(["test", "./x.toml"]).output();
    let why = "  why: after SIGTERM it ended with status 7\n";
    let hint = "hint: if that is how it ends, say so with `stop_status` under [test]\n";
    assert!(tested.stderr.contains(why) && tested.stderr.contains(hint), "{}", said(&tested));
}

#[test]
fn who_has_to_be_killed_is_killed() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let (dir, place) = place("learn-killed");
    let script = format!("trap '' TERM; echo >{place}/ready; while :; do sleep 0.05; done");
    let (_, text) = proved(&dir, &format!("test -e {place}/ready"), &script);
    assert!(text.contains("stop_status = 137\n"), "{text}");
}

#[test]
fn who_signals_its_whole_group_does_not_end_the_caller() {
    let (dir, _) = place("learn-group");
    let output = dir.stockade(["learn", "--name", "x", "--", "sh", "-c", "kill -TERM 0; sleep 9"]).output();
    assert_eq!(output.code, Some(0), "{}", said(&output));
    assert!(output.stdout.contains("name = \"x\""), "{}", said(&output));
}

/// Connects to a socket.
const CONNECT: &str = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])";

#[test]
fn a_socket_of_somebody_elses_is_shown_where_it_is() {
    if !needs(Need::UserNamespaces) || !needs(Need::Program("/usr/bin/python3")) {
        return;
    }
    let (dir, place) = place("learn-peer");
    let socket = format!("{place}/socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let words = ["learn", "--prove", "--output", "x.toml", "--", "/usr/bin/python3", "-c", CONNECT, &socket];
    let output = dir.stockade(words).output();
    let text = fs::read_to_string(dir.join("x.toml")).unwrap_or_default();
    assert_eq!(output.code, Some(0), "{}{text}", said(&output));
    let shown = format!("[[mounts]]\nsource  = \"{place}\"\ntarget  = \"{place}\"\nsockets = true\n");
    assert!(text.contains(&shown), "{text}");
    // Who does what a client says is not shown unasked.
    let mut command =
        dir.stockade(["learn", "--name", "x", "--", "/usr/bin/python3", "-c", CONNECT, &socket]);
    command.inner.env("SSH_AUTH_SOCK", &socket);
    let output = command.output();
    assert!(output.stdout.contains(&format!("#     source  = \"{socket}\"\n")), "{}", said(&output));
    assert!(!output.stdout.contains("\nsockets = true"), "{}", said(&output));
}

#[test]
fn what_is_made_and_executed_needs_a_mount_that_lets_it() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let (dir, place) = place("learn-executable");
    let words = [
        "learn",
        "--prove",
        "--output",
        "x.toml",
        "--",
        "sh",
        "-c",
        &format!("cp /bin/true {place}/x; {place}/x"),
    ];
    let output = dir.stockade(words).output();
    let text = fs::read_to_string(dir.join("x.toml")).unwrap_or_default();
    assert_eq!(output.code, Some(0), "{}{text}", said(&output));
    assert!(output.stderr.contains("it does not work yet; 1 line is added\n"), "{}", said(&output));
    assert!(text.contains("\n# executed by sh, ") && text.contains("\nexecutable = true\n"), "{text}");
}

#[test]
fn what_is_missing_on_the_host_too_is_not_lacking() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let (dir, place) = place("learn-same");
    let text = format!(
        "[program]\ncommand = [\"/bin/sh\", \"-c\", \"rm {place}/x; touch {place}/x\"]\nuser = \"root\"\n[tree]\nprograms = [\"/bin/rm\", \"/bin/touch\"]\n\
         [[mounts]]\nsource = \"{place}\"\ntarget = \"{place}\"\nread_only = false\nroot_squash = false\n"
    );
    dir.write("x.toml", &text);
    let output = dir.stockade(["diagnose", "./x.toml"]).output();
    assert_eq!(output.stdout, "jail `x`: nothing is lacking\n", "{}", said(&output));
    // Read-only it is.
    dir.write("x.toml", text.replace("read_only = false\nroot_squash = false\n", ""));
    let output = dir.stockade(["diagnose", "--apply", "./x.toml"]).output();
    let line = format!("    [[mounts]] target = \"{place}\", read_only = false\n");
    assert!(output.stdout.contains(&line), "{}", said(&output));
    let now = fs::read_to_string(dir.join("x.toml")).unwrap();
    assert!(now.contains("\n# removed by rm, ") && now.contains("\nread_only = false\n"), "{now}");
}

#[test]
fn who_asks_for_ids_of_the_host_goes_without_a_user_namespace() {
    if !needs(Need::Root) || !needs(Need::Program("/usr/bin/python3")) {
        return;
    }
    let (dir, place) = place("learn-peers");
    let server = "import os, socket, struct, sys
s = socket.socket(socket.AF_UNIX)
if os.path.exists(sys.argv[1]): os.unlink(sys.argv[1])
s.bind(sys.argv[1])
s.listen()
while True:
    c = s.accept()[0]
    if struct.unpack('3i', c.getsockopt(1, 17, 12))[1] == 0: c.send(b'yes')
    c.close()
";
    dir.write("server.py", server);
    let program = dir.join("server.py").display().to_string();
    let socket = format!("{place}/socket");
    let probe = format!(
        "/usr/bin/python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.connect('{socket}'); assert s.recv(3) == b'yes'\""
    );
    let words = [
        "learn",
        "--prove",
        "--for",
        "3s",
        "--output",
        "x.toml",
        "--probe",
        &probe,
        "--",
        "/usr/bin/python3",
        &program,
        &socket,
    ];
    let output = dir.stockade(words).output();
    let text = fs::read_to_string(dir.join("x.toml")).unwrap_or_default();
    assert_eq!(output.code, Some(0), "{}{text}", said(&output));
    let tried = "it does not work yet; tried without a user namespace of its own\n";
    assert!(output.stderr.contains(tried), "{}", said(&output));
    assert!(text.contains("\nuser = false\n"), "{text}");
}

#[test]
fn passwords_of_the_host_are_told_of() {
    if !needs(Need::Root) {
        return;
    }
    let (dir, _) = place("learn-shadow");
    let text = learned(&dir, "cat /etc/shadow >/dev/null").stdout;
    assert!(
        text.contains("#     /etc/shadow: passwords of the host's users are never taken into a jail\n"),
        "{text}"
    );
    assert!(
        !text
            .lines()
            .any(|line| line.contains("shadow") && !line.starts_with('#') && !line.starts_with("command"))
    );
}
