//! With no option.

use std::fs;

use crate::common::{Need, needs};
use crate::{once, place};

#[test]
fn it_sees_programs_and_the_current_directory_and_writes_nothing_there() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-default");
    let script = "cat data/file; pwd; touch data/new; echo home $HOME: $(ls -A $HOME); ls -A ..; touch /tmp/x $HOME/x && echo writes";
    let here = dir.path().display().to_string();
    let name = dir.path().file_name().unwrap().to_str().unwrap();
    once(&dir, ["--", "sh", "-c", script]).expect(
        0,
        &format!("content\n{here}\nhome /home/eve:\n{name}\nwrites\n"),
        "touch: cannot touch 'data/new': Read-only file system\n",
    );
    // Nothing of it is on the host.
    assert!(!dir.join("state").exists());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn it_has_no_network_no_other_process_and_a_clean_environment() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-clean");
    let script = "env | sort | grep -v -e ^PWD= -e ^LOGNAME= -e ^USER=; ls /sys/class/net 2>/dev/null; \
        cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' '; echo /proc/[0-9]*; hostname; ls /etc/shadow /home /root 2>&1 || true";
    once(&dir, ["sh", "-c", script]).expect(
        0,
        "HOME=/home/eve\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nlo\n/proc/2\nonce\n\
         ls: cannot access '/etc/shadow': No such file or directory\nls: cannot access '/root': No such file or directory\n/home:\neve\n",
        "",
    );
}

#[test]
fn the_users_name_is_known_and_nobody_elses() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-names");
    let own = nix::unistd::geteuid().as_raw();
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&own.to_string()));
    let name = line.and_then(|line| line.split(':').next()).unwrap_or("user").to_owned();
    let output = once(&dir, ["sh", "-c", "whoami; id -u; cut -d: -f1 /etc/passwd | sort -u"]).output();
    let mut known = vec!["root".to_owned(), "nobody".to_owned(), name.clone()];
    known.sort();
    known.dedup();
    assert_eq!(output.stdout, format!("{name}\n{own}\n{}\n", known.join("\n")), "{}", output.stderr);
}

#[test]
fn a_home_directory_is_not_shown_because_one_is_in_it() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-home");
    let here = dir.path().display().to_string();
    once(&dir, ["sh", "-c", "pwd; ls -A"]).env("HOME", &here).expect(
        0,
        &format!("{here}\n"),
        &format!(
            "note: the current directory `{here}` is the home directory: it is not shown; `--ro PATH` shows what of it is needed\n"
        ),
    );
    once(&dir, ["--ro", ".", "cat", "data/file"]).env("HOME", &here).expect(0, "content\n", "");
}

#[test]
fn exit_codes_are_those_of_run() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-codes");
    let code = |words: &[&str]| once(&dir, words.iter().copied()).output().code;
    assert_eq!(code(&["sh", "-c", "exit 3"]), Some(3));
    assert_eq!(code(&["sh", "-c", "kill -TERM $$"]), Some(143));
    assert_eq!(code(&["--timeout=200ms", "sleep", "20"]), Some(124));
    assert_eq!(code(&["/etc/passwd"]), Some(126));
    assert_eq!(code(&["no-such-program"]), Some(127));
    assert_eq!(code(&["--bind", "data", "/usr/no-such-place", "true"]), Some(125));
    assert_eq!(code(&["--no-such-option", "true"]), Some(2));
}

#[test]
fn it_works_for_the_root_of_another_user_namespace() {
    if !needs(Need::UserNamespaces) || !needs(Need::Program("unshare")) {
        return;
    }
    let dir = place("once-nested");
    let own = once(&dir, ["sh", "-c", "id -u; cat data/file; cat /proc/self/uid_map | tr -s ' '"]).inner;
    let mut command = std::process::Command::new("unshare");
    command
        .arg("-r")
        .arg(own.get_program())
        .args(own.get_args())
        .current_dir(dir.path())
        .env("HOME", "/home/eve");
    let output = command.output().unwrap();
    let (found, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((&*found, &*said), ("0\ncontent\n 0 0 1\n", ""));
}

#[test]
fn compilers_and_other_tools_work() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-tools");
    dir.write("hello.c", "#include <stdio.h>\nint main(void) { puts(\"compiled\"); return 0; }\n");
    for (program, script, expected) in [
        ("gcc", "gcc -o /tmp/hello hello.c && /tmp/hello", "compiled\n"),
        ("tar", "tar -cf /tmp/x.tar data && tar -tf /tmp/x.tar", "data/\ndata/file\n"),
        (
            "git",
            "cd /tmp && git init -q r && cd r && git -c user.name=e -c user.email=e@e commit -q --allow-empty -m one && git log --format=%s",
            "one\n",
        ),
        ("make", "printf 'all:\\n\\t@echo made\\n' > /tmp/Makefile && make -s -C /tmp", "made\n"),
        ("perl", "perl -MPOSIX -e 'print floor(2.5), \"\\n\"'", "2\n"),
    ] {
        if needs(Need::Program(program)) {
            once(&dir, ["sh", "-c", script]).expect(0, expected, "");
        }
    }
    if std::path::Path::new("/usr/bin/python3").exists() {
        let script = "import json, subprocess; print(json.dumps({'a': subprocess.check_output(['echo', 'x']).decode()}))";
        once(&dir, ["/usr/bin/python3", "-c", script]).expect(0, "{\"a\": \"x\\n\"}\n", "");
    }
}

/// What the caller keeps from others the program does too, and a directory that no manifest could name is no obstacle.
#[test]
fn the_callers_umask_and_a_directory_without_a_name_in_utf_8() {
    use std::os::unix::ffi::OsStrExt as _;
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-umask");
    let program = once(&dir, []).inner.get_program().to_str().unwrap().to_owned();
    let shell = |script: &str, at: &std::path::Path| {
        let mut shell = std::process::Command::new("sh");
        let output = shell.args(["-c", script, &program]).current_dir(at).output().unwrap();
        let texts = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (texts, output.status.code())
    };
    let ask = "\"$0\" once -- sh -c 'umask; touch /tmp/x; stat -c %a /tmp/x'";
    for (umask, expected) in
        [("077", "0077\n600\n"), ("022", "0022\n644\n"), ("0", "0022\n644\n"), ("0777", "0077\n600\n")]
    {
        let said = shell(&format!("umask {umask}; {ask}"), dir.path());
        assert_eq!(said, ([expected.into(), String::new()], Some(0)), "{umask}");
    }
    let saved = shell("umask 027; \"$0\" once --save - -- true | grep ^umask", dir.path());
    assert_eq!(saved, (["umask = \"0027\"\n".into(), String::new()], Some(0)));
    let odd = dir.join(std::ffi::OsStr::from_bytes(b"odd\xff"));
    fs::create_dir(&odd).unwrap();
    let (texts, code) = shell("\"$0\" once -- pwd", &odd);
    let note = format!(
        "note: the name of the current directory `{}` is not UTF-8: it is not shown, as no manifest could name it\n",
        odd.display()
    );
    assert_eq!((texts[1].as_str(), code), (note.as_str(), Some(0)));
    assert!(!texts[0].contains("odd"), "{texts:?}");
}
