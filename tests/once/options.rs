//! Options that are not bubblewrap's, and what is told of wrong ones.

use std::fs;
use std::process::Stdio;

use crate::common::{Dir, Need, compile_static, needs};
use crate::{once, place, until};

#[test]
fn wrong_options_are_told_whole() {
    let dir = place("once-wrong");
    for (words, code, expected) in [
        (
            &["--ro-bnid", "a", "/b", "true"][..],
            2,
            "error: unknown option `--ro-bnid`\nhint: did you mean `--ro-bind`?\n",
        ),
        (&["--bind", "a"], 2, "error: `--bind` lacks DEST\nhint: write `--bind SRC DEST`\n"),
        (
            &["--rlimit", "nofil=3", "true"],
            2,
            "error: there is no limit `nofil`\nhint: did you mean `nofile`?\n",
        ),
        (
            &["--rlimit", "nofile", "true"],
            2,
            "error: `--rlimit nofile` gives no bounds\nhint: write `--rlimit nofile=SOFT:HARD`\n",
        ),
        (&["--uid", "eve", "true"], 2, "error: `--uid eve` is not a number\nhint: write `--uid 1000`\n"),
        (
            &["--proc", "/other", "true"],
            2,
            "error: `--proc /other` cannot be had\nhint: it is at `/proc` in every jail\n",
        ),
        (
            &["--tmpfs", "/a/../b", "true"],
            2,
            "error: the path `/a/../b` in the jail contains `..`\nhint: write it without\n",
        ),
        (
            &["--remount-ro", "/x", "true"],
            2,
            "error: nothing is mounted at `/x` that `--remount-ro` could be about\n\
             hint: name the DEST of a --bind or --tmpfs that stands before it\n",
        ),
        (
            &["--seccomp", "3", "true"],
            2,
            "error: `--seccomp` cannot be had\nhint: the filter is chosen by name: `system_calls` under [privileges] of a manifest, with --from\n",
        ),
        (
            &["--memory", "lots", "true"],
            125,
            "error: `lots` is not a size\n  --> --memory lots\nhint: write bytes or a number with K, M, G or T, such as `256M`\n",
        ),
        (
            &["--cap-add", "NET_BIND", "true"],
            125,
            "error: `NET_BIND` is not a capability\n  --> --cap-add NET_BIND\nhint: capabilities(7) lists them, such as `NET_BIND_SERVICE`\n",
        ),
    ] {
        once(&dir, words.iter().copied()).expect(code, "", expected);
    }
}

#[test]
fn what_is_not_there_is_told_with_the_option() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-absent");
    let here = dir.path().display();
    once(&dir, ["--ro-bind", "nothing", "/d", "true"]).expect(
        125,
        "",
        &format!(
            "error: `{here}/nothing` cannot be found on the host\n  --> --ro-bind nothing /d\n  why: `{here}/nothing`: no such file or directory\n\
             hint: install what brings it, or take the entry out; or write `optional = true` if it may be missing\n"
        ),
    );
    once(&dir, ["./script"]).expect(
        127,
        "",
        &format!(
            "error: there is no program `{here}/script` in the jail\n  --> ./script\n  why: looked for at `{here}/script`\n\
             hint: install it, or correct its name\n"
        ),
    );
}

#[test]
fn the_current_directory_can_be_written_to_when_that_is_said() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-rw");
    let squash = if nix::unistd::geteuid().is_root() { &["--no-root-squash"][..] } else { &[] };
    let words = squash.iter().copied().chain(["--rw", ".", "sh", "-c", "echo x > data/new; ls data"]);
    once(&dir, words).expect(0, "file\nnew\n", "");
    assert_eq!(fs::read_to_string(dir.join("data/new")).unwrap(), "x\n");
}

#[test]
fn a_path_is_hidden() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-hide");
    dir.write("other/x", "");
    let words = [
        "--hide",
        "data/file",
        "--hide",
        "other",
        "sh",
        "-c",
        "cat data/file 2>/dev/null || echo hidden; ls -A other; touch other/y 2>/dev/null || echo no",
    ];
    once(&dir, words).expect(0, "hidden\nno\n", "");
}

/// What is put over a link would leave what it leads to in sight, and the kernel mounts no directory there.
#[test]
fn a_link_stands_for_what_it_leads_to() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-link");
    dir.write("secrets/key", "secret\n").write("other/x", "other\n");
    for (link, text) in [("link", "secrets"), ("file", "secrets/key")] {
        std::os::unix::fs::symlink(text, dir.join(link)).unwrap();
    }
    let look = ["sh", "-c", "cat secrets/* link/* file 2>&1; ls -l link | cut -c1"];
    once(&dir, ["--hide", "link"].into_iter().chain(look)).expect(
        0,
        "cat: 'secrets/*': No such file or directory\ncat: 'link/*': No such file or directory\n\
         cat: file: No such file or directory\nl\n",
        "",
    );
    once(&dir, ["--hide", "file"].into_iter().chain(look)).expect(
        0,
        "cat: secrets/key: Permission denied\ncat: link/key: Permission denied\n\
         cat: file: Permission denied\nl\n",
        "",
    );
    let here = dir.path().to_str().unwrap();
    for option in [&["--ro", "link"][..], &["--rw", "link"], &["--bind", "other", &format!("{here}/link")]] {
        let output =
            once(&dir, option.iter().copied().chain(["sh", "-c", "cat link/*; ls -l link | cut -c1"]));
        let content = if option.len() == 3 { "other\nl\n" } else { "secret\nl\n" };
        let output = output.output();
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(0), content),
            "{option:?}: {}",
            output.stderr
        );
    }
}

#[test]
fn variables_of_the_caller_come_by_name() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-env");
    once(&dir, ["--env", "SECRET", "--env", "A=b=c", "sh", "-c", "echo $SECRET $A"]).expect(
        0,
        "of the caller b=c\n",
        "",
    );
}

#[test]
fn the_program_is_looked_for_where_the_caller_would() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-path");
    fs::create_dir(dir.join("tools")).unwrap();
    compile_static(&dir.join("tools/mine"), "int main(void) { return 9; }");
    let tools = dir.join("tools").display().to_string();
    once(&dir, ["--env", "PATH", "mine"]).env("PATH", &tools).expect(9, "", "");
}

#[test]
fn a_capability_counts_inside() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-cap");
    let words =
        ["--cap-add", "NET_RAW", "sh", "-c", "grep -e CapEff -e CapBnd /proc/self/status | tr '\\t' ' '"];
    once(&dir, words).expect(0, "CapEff: 0000000000002000\nCapBnd: 0000000000002000\n", "");
    let words = [
        "--cap-add",
        "ALL",
        "sh",
        "-c",
        "grep CapEff /proc/self/status | tr '\\t' ' '; umount /tmp 2> /dev/null || echo stays",
    ];
    once(&dir, words).expect(0, "CapEff: 000001ffffffffff\nstays\n", "");
}

#[test]
fn a_manifest_is_what_it_starts_from() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-from");
    dir.write(
        "base.toml",
        "[program]\ncommand = [\"/usr/bin/id\", \"-u\"]\nuser = 7\n[root]\ntree = \"memory\"\n[[mounts]]\nsource = \"/usr\"\ntarget = \"/usr\"\n\
         [tree]\nlinks = [{ path = \"/lib64\", target = \"usr/lib64\" }, { path = \"/lib\", target = \"usr/lib\" }]\n",
    );
    once(&dir, ["--from", "./base.toml"]).expect(0, "7\n", "");
    once(&dir, ["--from=./base.toml", "--setenv", "A", "b", "/usr/bin/printenv", "A"]).expect(0, "b\n", "");
}

/// A tree with one static program, as a host's never looks.
fn tree(dir: &Dir) {
    for name in ["tree/bin", "tree/etc", "tree/work"] {
        fs::create_dir_all(dir.join(name)).unwrap();
    }
    let source = r#"
        #include <dirent.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        int compare(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }
        int main(int count, char **words) {
            char *names[100];
            int found = 0;
            DIR *directory = opendir(words[1]);
            for (struct dirent *entry; (entry = readdir(directory));)
                if (entry->d_name[0] != '.') names[found++] = strdup(entry->d_name);
            qsort(names, found, sizeof *names, compare);
            for (int at = 0; at < found; at++) puts(names[at]);
            FILE *made = fopen("/work/made", "w");
            puts(made ? "writes" : "reads only");
            return 0;
        }"#;
    compile_static(&dir.join("tree/bin/list"), source);
    std::os::unix::fs::symlink("bin/list", dir.join("tree/link")).unwrap();
}

#[test]
fn another_tree_is_the_root_and_nothing_of_the_hosts_is_in_it() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-root");
    tree(&dir);
    let shown = "bin\ndev\netc\nhome\nlink\nproc\ntmp\nwork\n";
    once(&dir, ["--root", "tree", "/bin/list", "/"]).expect(0, &format!("{shown}reads only\n"), "");
    let squash = if nix::unistd::geteuid().is_root() { &["--no-root-squash"][..] } else { &[] };
    let words = squash.iter().copied().chain(["--root", "tree", "--rw-root", "list", "/work"]);
    once(&dir, words).env("PATH", "/bin").expect(0, "writes\n", "");
    assert!(dir.join("tree/work/made").exists());
    // No place for a mount was made in it.
    assert_eq!(fs::read_dir(dir.join("tree")).unwrap().count(), 4);
}

#[test]
fn the_hosts_network_is_shared_when_that_is_said() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-net");
    let listed = "cut -d: -f1 /proc/net/dev | tail -n +3 | sort";
    let hosts = std::process::Command::new("sh").args(["-c", listed]).output().unwrap().stdout;
    let hosts = String::from_utf8(hosts).unwrap();
    once(&dir, ["--share-net", "sh", "-c", listed]).expect(0, &hosts, "");
    once(&dir, ["--share-net", "--unshare-net", "sh", "-c", listed]).expect(0, "    lo\n", "");
}

#[test]
fn it_ends_with_who_started_it_when_that_is_said() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-parent");
    let own = once(&dir, ["--die-with-parent", "--json-status-fd", "1", "sleep", "1000"]).inner;
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "\"$@\" & wait", "sh"]).arg(own.get_program()).args(own.get_args());
    let mut shell =
        shell.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(shell.stdout.take().unwrap()));
    let line = lines.next().unwrap().unwrap();
    let pid: String = line.chars().filter(char::is_ascii_digit).collect();
    let sleeps =
        || fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with("sleep"));
    // It is told of once it has executed something, which is before the kernel lets its words be seen.
    until("the program's words", || sleeps().then_some(()));
    shell.kill().unwrap();
    shell.wait().unwrap();
    // The supervisor, who holds the pipe, has gone, and the jail ends with it.
    assert!(lines.next().is_none());
    until("the program's end", || (!sleeps()).then_some(()));
}

#[test]
fn a_shell_has_a_terminal_of_its_own() {
    if !needs(Need::UserNamespaces) || !needs(Need::Program("script")) {
        return;
    }
    let dir = place("once-terminal");
    let own = once(&dir, std::iter::empty()).inner;
    let line = format!("{} once sh", own.get_program().display());
    let mut command = std::process::Command::new("script");
    command
        .args(["-qec", &line, "/dev/null"])
        .current_dir(dir.path())
        .env("HOME", "/home/eve")
        .env("PS1", "");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shell = command.spawn().unwrap();
    let input =
        b"test -t 0 && echo is-one; echo > /dev/tty && echo has-tty; sh -c 'kill -INT $$'\necho on; exit 3\n";
    std::io::Write::write_all(shell.stdin.as_mut().unwrap(), input).unwrap();
    let output = shell.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}");
    for word in ["is-one\r\n", "has-tty\r\n", "on\r\n"] {
        assert!(said.contains(word), "{word:?} in {said:?}");
    }
}

#[test]
fn what_it_lacked_is_told_with_the_option_that_gives_it() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-diagnose");
    dir.write("shown/here", "");
    dir.write("elsewhere/data", "content\n");
    let lacking = dir.join("elsewhere/data").display().to_string();
    let shown = dir.join("shown").display().to_string();
    let once_in = |words: &[&str]| {
        let mut command = once(&dir, words.iter().copied());
        command.inner.current_dir(&shown);
        let mut output = command.output();
        // When it was, is another time each time.
        if let Some((before, rest)) = output.stderr.clone().split_once(", at ") {
            output.stderr = format!("{before}{}", rest.split_once(" s").unwrap().1);
        }
        (output.code, output.stdout, output.stderr)
    };
    let told = format!(
        "cat: {lacking}: No such file or directory\ndiagnose: `{lacking}` is missing: to be read by cat, openat(2)\n    --ro {lacking}\n"
    );
    assert_eq!(once_in(&["--diagnose", "cat", &lacking]), (Some(1), String::new(), told));
    let given = (Some(0), "content\n".to_owned(), String::new());
    assert_eq!(once_in(&["--diagnose", "--ro", &lacking, "cat", &lacking]), given);
    let nothing = "diagnose: nothing that the host has was lacking\n".to_owned();
    assert_eq!(once_in(&["--diagnose", "sh", "-c", "exit 7"]), (Some(7), String::new(), nothing));
    // An option that shows somebody else's socket would be refused.
    let source =
        "#include <string.h>\n#include <sys/socket.h>\n#include <sys/un.h>\nint main(int argc, char **argv) {
        struct sockaddr_un to = { AF_UNIX };
        strncpy(to.sun_path, argv[1], sizeof to.sun_path - 1);
        return connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&to, sizeof to) != 0;
    }";
    compile_static(&dir.join("shown/connect"), source);
    let socket = dir.join("elsewhere/socket").display().to_string();
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let place = dir.join("elsewhere").display().to_string();
    let told = format!(
        "diagnose: `{socket}` is missing: to be connected to by connect, connect(2)\n    \
         [[mounts]] source  = \"{place}\", target  = \"{place}\", sockets = true\n    \
         no option gives that: `--save FILE` writes the options as a manifest, which can say it\n"
    );
    assert_eq!(once_in(&["--diagnose", "./connect", &socket]), (Some(1), String::new(), told));
}

/// What bubblewrap is started with most of all, but for the sockets in the host's /run.
#[test]
fn the_whole_host_is_shown_without_its_sockets() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-host");
    let words =
        ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--chdir", dir.path().to_str().unwrap()];
    let script =
        "cat data/file; ls -A /run; touch /run/x; touch data/new 2>/dev/null || echo no; ls -d /usr /etc";
    once(&dir, words.into_iter().chain(["sh", "-c", script])).expect(0, "content\nno\n/etc\n/usr\n", "");
}

/// As bubblewrap's own example has it where /lib is a directory of its own: what is missing is the loader.
#[test]
fn what_a_program_lacks_in_a_bare_root_is_told() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-bare");
    let source = "int main(void) { return 0; }";
    let mut compiler = std::process::Command::new("cc")
        .args(["-x", "c", "-", "-o"])
        .arg(dir.join("dynamic"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut compiler.stdin.take().unwrap(), source.as_bytes()).unwrap();
    assert!(compiler.wait().unwrap().success());
    let output =
        once(&dir, ["--bare", "--ro-bind", "dynamic", "/dynamic", "--dir", "/lib", "/dynamic"]).output();
    let text = fs::read(dir.join("dynamic")).unwrap();
    let loader = text.windows(4).position(|bytes| bytes == b"/lib").unwrap();
    let loader: String =
        text[loader..].iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect();
    let (first, rest) = output.stderr.split_once("\n  why: `").unwrap();
    assert_eq!(output.code, Some(127));
    assert!(
        first.starts_with(
            "error: cannot execute `/dynamic` in jail `once`\n  --> /dynamic\n  why: execve(2): No such file"
        ),
        "{first}"
    );
    assert_eq!(
        rest,
        format!(
            "/dynamic` is started by its loader `{loader}`, which is not in the jail\nhint: add `{loader}` to `libraries` under [tree], \
             or show it (`stockade once --ro {loader}`)\n"
        )
    );
    // With it, it is the C library that the loader asks for.
    let output =
        once(&dir, ["--bare", "--ro-bind", "dynamic", "/dynamic", "--ro", &loader, "/dynamic"]).output();
    assert_eq!(output.code, Some(127));
    assert!(output.stderr.contains("libc.so.6`, needed by `"), "{}", output.stderr);
}

/// Before the program has run for a week.
#[test]
fn a_descriptor_that_cannot_be_written_is_found_out_first() {
    let dir = place("once-unwritable");
    let program = once(&dir, []).inner.get_program().to_str().unwrap().to_owned();
    for option in ["--report", "--json-status-fd", "--info-fd"] {
        let script = format!("\"$0\" once {option} 7 echo ran 7< data/file");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &script, &program]).current_dir(dir.path()).stdin(Stdio::null());
        crate::common::Command { inner: shell }.expect(
            2,
            "",
            &format!(
                "error: `{option} 7` cannot be written to\n  why: it is open for reading only\n\
                 hint: give a descriptor that is open for writing: `{option} 3 3> FILE`\n"
            ),
        );
    }
}
