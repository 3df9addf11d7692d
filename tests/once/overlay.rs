//! `--overlay`: what the program sees and does, and that the host's directory stays as it is.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use stockade::sys::fs::list_xattrs;

use crate::common::{Dir, Need, compile_static, needs};
use crate::{once, place};

/// Everything in a directory: type, mode, owner, size, time and content of each.
fn state(of: &Path) -> String {
    let list = Command::new("sh")
        .args(["-c", "cd \"$0\" && find . -printf '%p %y %m %U:%G %s %T@ %l\\n' | sort && find . -type f | sort | xargs cat"])
        .arg(of)
        .output()
        .unwrap();
    assert!(list.status.success());
    String::from_utf8(list.stdout).unwrap()
}

/// A directory `work` with a little of everything, in one of its own.
fn work(name: &str) -> Dir {
    let dir = place(name);
    dir.write("work/kept", "kept\n").write("work/changed", "old\n").write("work/gone", "gone\n");
    dir.write("work/below/one", "1\n").write("work/below/two", "2\n").write("work/empty/x", "x\n");
    std::os::unix::fs::symlink("kept", dir.join("work/link")).unwrap();
    dir
}

/// Whether there can be any here.
fn can() -> bool {
    needs(Need::UserNamespaces) && needs(Need::Overlays)
}

#[test]
fn changes_are_seen_inside_and_not_on_the_host() {
    if !can() {
        return;
    }
    let dir = work("overlay-seen");
    let before = state(dir.path());
    let script = "pwd | sed 's:.*/::'; echo new >> changed; rm gone; rm -r below; mkdir below; echo a > added; ln -s added l2; \
                  mv kept moved; chmod 700 empty; ls -A . below; cat changed added moved";
    let inside = "work\n.:\nadded\nbelow\nchanged\nempty\nl2\nlink\nmoved\n\nbelow:\nold\nnew\na\nkept\n";
    for option in [&["--overlay", "."][..], &["--overlay=.", "--size", "1M", "--overlay", "."]] {
        let mut command = once(&dir, option.iter().copied().chain(["sh", "-c", script]));
        command.inner.current_dir(dir.join("work"));
        command.expect(0, inside, "");
        assert_eq!(state(dir.path()), before);
    }
    // bubblewrap's words for the same, at another place.
    once(&dir, ["--overlay-src", "work", "--tmp-overlay", "/w", "--chdir", "/w", "sh", "-c", script]).expect(
        0,
        &inside.replace("work", "w"),
        "",
    );
    assert_eq!(state(dir.path()), before);
}

#[test]
fn what_an_overlay_can_take_is_limited() {
    if !can() {
        return;
    }
    let dir = work("overlay-size");
    let script =
        "head -c 3M /dev/zero > big 2>/dev/null && echo fits; df --output=size -B1 . | tail -n 1 | tr -d ' '";
    for (options, said) in [
        (&["--size", "1M"][..], "1048576\n"),
        (&["--tmp-size", "2M"], "2097152\n"),
        (&["--tmp-size", "2M", "--size", "4M"], "fits\n4194304\n"),
        (&[], "fits\n67108864\n"),
    ] {
        let words = options.iter().copied().chain(["--overlay", "work", "--chdir", "./"]);
        let here = dir.join("work").display().to_string();
        let words: Vec<&str> = words.map(|word| if word == "./" { here.as_str() } else { word }).collect();
        once(&dir, words.into_iter().chain(["sh", "-c", script])).expect(0, said, "");
    }
}

#[test]
fn what_cannot_be_below_a_layer_is_told() {
    if !can() {
        return;
    }
    let dir = work("overlay-wrong");
    let here = dir.path().display();
    for (words, code, expected) in [
        (
            &["--overlay", "work/kept", "true"][..],
            125,
            format!(
                "error: `{here}/work/kept` is no directory, and an overlay is of one\n  --> --overlay work/kept\n\
                 hint: name the directory that it is in\n"
            ),
        ),
        (
            &["--tmp-overlay", "/w", "true"],
            2,
            "error: `--tmp-overlay /w` has nothing below it\nhint: write --overlay-src SRC before it, or `--overlay DIR` for both\n".into(),
        ),
        (
            &["--overlay-src", "work", "true"],
            2,
            format!(
                "error: `--overlay-src {here}/work` has nothing over it\nhint: write --tmp-overlay DEST after it, or `--overlay DIR` for both\n"
            ),
        ),
        // What bubblewrap has beyond.
        (
            &["--overlay-src", "work", "--overlay", "changes", "scratch", "/w", "true"],
            2,
            "error: `--overlay` after `--overlay-src` is bubblewrap's, of three words, and cannot be had\n\
             hint: write --tmp-overlay DEST instead, and --commit if the changes are to come to the directory below\n"
                .into(),
        ),
        (
            &["--overlay-src", "work", "--overlay-src", "data", "--tmp-overlay", "/w", "true"],
            2,
            format!(
                "error: `--overlay-src data` is one more than `--overlay-src {here}/work`, and an overlay is over one directory\n\
                 hint: write --tmp-overlay DEST after each, at places of their own\n"
            ),
        ),
        (
            &["--overlay-src", "work", "--overlay-src", "data", "--ro-overlay", "/w", "true"],
            2,
            "error: `--ro-overlay` cannot be had\nhint: show each directory at a place of its own, with --ro-bind\n".into(),
        ),
    ] {
        once(&dir, words.iter().copied()).expect(code, "", &expected);
    }
}

#[test]
fn an_overlay_is_saved_and_run() {
    if !can() {
        return;
    }
    let dir = work("overlay-save");
    let before = state(&dir.join("work"));
    let words = ["--size", "1M", "--overlay", "work", "--save", "saved.toml", "sh", "-c"];
    let script = format!("cd {} && rm gone && echo x > new && ls", dir.join("work").display());
    once(&dir, words.into_iter().chain([script.as_str()])).expect(0, "", "");
    let saved = fs::read_to_string(dir.join("saved.toml")).unwrap();
    let mount = saved.split("[[mounts]]\n").find(|mount| mount.contains("\"overlay\"")).unwrap();
    let work = dir.join("work").display().to_string();
    assert_eq!(
        mount.split("\n\n").next().unwrap(),
        format!(
            "type = \"overlay\"\nsource = \"{work}\"\ntarget = \"{work}\"\nexecutable = true\nsize = \"1M\""
        )
    );
    let run = dir.stockade(["run", "./saved.toml"]).env("STOCKADE_RUN_DIR", dir.join("run"));
    run.expect(0, "below\nchanged\nempty\nkept\nlink\nnew\n", "");
    assert_eq!(state(&dir.join("work")), before);
}

/// What a build might do: every kind of change.
const CHANGES: &str = "echo new >> changed; rm gone; rm -r below; mkdir below; echo a > below/added; ln -s added l2; mv kept moved; \
                       chmod 700 empty; mkfifo pipe; : >> empty/x; touch 'a\nb'; rm link; mkdir link; mkdir -m 0 shut; mkdir new; \
                       echo x > new/x; chmod 0 new/x; ln new/x new/y";

/// The same as `--changes` tells it; `{w}` is the directory.
const CHANGED: &str = "A \"{w}/a\\nb\"\nA {w}/below/added\nD {w}/below/one\nD {w}/below/two\nM {w}/changed\nM {w}/empty\nD {w}/gone\n\
                       D {w}/kept\nA {w}/l2\nM {w}/link\nA {w}/moved\nA {w}/new\nA {w}/new/x\nA {w}/new/y\nA {w}/pipe\nA {w}/shut\n";

/// A run in the directory `work` of a place, below a layer, with these options.
fn over(dir: &Dir, options: &[&str], script: &str) -> crate::common::Command {
    let words = options.iter().copied().chain(["--overlay", "."]).chain(["sh", "-c", script]);
    let mut command = once(dir, words);
    command.inner.current_dir(dir.join("work"));
    command
}

/// The path of that directory in a text.
fn placed(dir: &Dir, text: &str) -> String {
    text.replace("{w}", &dir.join("work").display().to_string())
}

#[test]
fn changes_are_listed_and_dropped() {
    if !can() {
        return;
    }
    let dir = work("overlay-changes");
    let before = state(dir.path());
    let listed = placed(&dir, CHANGED);
    for options in [&["--changes"][..], &["--changes", "--discard"], &["--commit", "--changes", "--discard"]]
    {
        over(&dir, options, CHANGES).expect(0, &listed, "");
        assert_eq!(state(dir.path()), before);
    }
    over(&dir, &["--discard"], CHANGES).expect(0, "", "");
    // What is only opened or read is no change.
    over(&dir, &["--changes"], ": >> changed; cat kept > /dev/null; echo x > y; rm y").expect(0, "", "");
    // The list is told whatever the program's exit code is.
    let one = placed(&dir, "M {w}/changed\n");
    over(&dir, &["--changes"], "echo x > changed; exit 3").expect(3, &one, "");
    assert_eq!(state(dir.path()), before);
}

#[test]
fn changes_are_committed() {
    if !can() {
        return;
    }
    let dir = work("overlay-commit");
    let pipe = placed(
        &dir,
        "error: cannot commit `{w}/pipe`\n  why: it is a named pipe\n\
         hint: only directories, files and symbolic links are: make it outside, if it is needed\n",
    );
    over(&dir, &["--commit"], CHANGES).expect(125, "", &pipe);
    let list = "find . -mindepth 1 ! -name 'a?b' \\( -type d -printf '%y %m %p\\n' -o -printf '%y %m %s %n %p %l\\n' \\) | LC_ALL=C sort; \
                cat changed";
    let list = Command::new("sh").args(["-c", list]).current_dir(dir.join("work")).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&list.stdout),
        "d 0 ./shut\nd 700 ./empty\nd 755 ./below\nd 755 ./link\nd 755 ./new\nf 0 2 2 ./new/x \nf 0 2 2 ./new/y \n\
         f 644 2 1 ./below/added \nf 644 2 1 ./empty/x \nf 644 5 1 ./moved \nf 644 8 1 ./changed \nl 777 5 1 ./l2 added\nold\nnew\n"
    );
    assert!(dir.join("work/a\nb").is_file());
    // Or the directory could not be removed after the test.
    fs::set_permissions(dir.join("work/shut"), fs::Permissions::from_mode(0o700)).unwrap();
    // Nothing is left to be told of.
    let note = placed(&dir, "A {w}/z\n");
    over(&dir, &["--commit", "--changes"], "echo z > z").expect(0, &note, "");
    over(&dir, &["--changes"], "cat z").expect(0, "z\n", "");
}

#[test]
fn a_program_that_fails_commits_nothing() {
    if !can() {
        return;
    }
    let dir = work("overlay-failed");
    let before = state(dir.path());
    over(&dir, &["--commit"], "echo x > changed; exit 3").expect(
        3,
        "",
        "note: nothing is committed, as the program ended with exit code 3\n",
    );
    over(&dir, &["--commit", "--timeout", "1s"], "echo x > changed; sleep 100").expect(
        124,
        "",
        "note: nothing is committed, as the program ended with exit code 124\n",
    );
    over(&dir, &["--commit"], "exit 3").expect(3, "", "");
    assert_eq!(state(dir.path()), before);
    let hint = "hint: write --overlay DIR for the directory whose changes are meant\n";
    for option in ["--commit", "--changes"] {
        let expected = format!("error: `{option}` has nothing to be about\n{hint}");
        once(&dir, [option, "true"]).expect(2, "", &expected);
    }
}

#[test]
fn what_the_host_changes_meanwhile_stays() {
    if !can() {
        return;
    }
    let dir = work("overlay-conflict");
    let script = "echo ready; read line; echo ours > changed; echo ours > kept; rm -r below; echo ours > new";
    let mut command = over(&dir, &["--commit"], script).inner;
    let mut run =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(run.stdout.take().unwrap()).read_line(&mut line).unwrap();
    dir.write("work/changed", "theirs\n").write("work/below/two", "theirs\n").write("work/new", "theirs\n");
    run.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let output = run.wait_with_output().unwrap();
    let told = |path: &str, what: &str| {
        format!(
            "error: cannot commit `{{w}}/{path}`\n  why: the host's {what} since the program was started\n\
             hint: the host's is kept as it is: run the program again\n\n"
        )
    };
    let expected =
        ["below", "changed", "new"].map(|path| told(path, "was changed")).concat() + "3 errors in {w}\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), placed(&dir, &expected));
    assert_eq!(output.status.code(), Some(125));
    let read = |path: &str| fs::read_to_string(dir.join("work").join(path)).unwrap();
    assert_eq!(
        [read("changed"), read("below/two"), read("new"), read("kept")],
        ["theirs\n", "theirs\n", "theirs\n", "ours\n"]
    );
}

#[test]
fn changes_are_reported() {
    if !can() {
        return;
    }
    let dir = work("overlay-report");
    let report = |options: &[&str], script: &str| -> Value {
        over(&dir, &[options, &["--report", "../report"]].concat(), script).expect(0, "", "");
        serde_json::from_str(&fs::read_to_string(dir.join("report")).unwrap()).unwrap()
    };
    let path = |change: &str, path: &str| json!({ "change": change, "path": placed(&dir, path) });
    let paths = [path("modified", "{w}/changed"), path("deleted", "{w}/gone"), path("added", "{w}/new")];
    let expected = |committed: u32| json!({ "added": 1, "modified": 1, "deleted": 1, "committed": committed, "paths": paths });
    let script = "echo x > changed; rm -f gone; echo x > new";
    assert_eq!(report(&[], script)["changes"], expected(0));
    assert_eq!(report(&["--commit"], script)["changes"], expected(3));
    // After the commit what is the same is no change.
    let output = over(&dir, &["-v"], script).output();
    assert_eq!(output.stdout, "");
    let line = output.stderr.strip_suffix("; 0 paths added, 2 modified, 0 deleted, 0 committed\n");
    assert!(line.is_some_and(|line| line.starts_with("once: exit status 0 after ")), "{}", output.stderr);
    let mut command = once(&dir, ["--report", "report", "true"]);
    assert!(command.inner.status().unwrap().success());
    let without: Value = serde_json::from_str(&fs::read_to_string(dir.join("report")).unwrap()).unwrap();
    assert_eq!(without["changes"], Value::Null);
}

#[test]
fn owners_are_those_on_the_host() {
    if !can() || !needs(Need::Root) {
        return;
    }
    let dir = work("overlay-owners");
    for path in ["work/changed", "work/below"] {
        std::os::unix::fs::chown(dir.join(path), Some(1000), Some(50)).unwrap();
    }
    let script = "stat -c %u:%g changed kept; echo x >> changed; chmod 750 below; echo x > mine; echo x > theirs; ln -s x link2; \
                  mkdir d; chown 33:44 theirs d; chown -h 33:44 link2";
    let options = ["--commit", "--cap-add", "CHOWN", "--cap-add", "FOWNER", "--cap-add", "DAC_OVERRIDE"];
    over(&dir, &options, script).expect(0, "1000:50\n0:0\n", "");
    let owner = |path: &str| {
        let found = fs::symlink_metadata(dir.join("work").join(path)).unwrap();
        (found.uid(), found.gid())
    };
    assert_eq!([owner("changed"), owner("below")], [(1000, 50); 2]);
    assert_eq!([owner("theirs"), owner("d"), owner("link2")], [(33, 44); 3]);
    assert_eq!([owner("mine"), owner(".")], [(0, 0); 2]);
}

#[test]
fn a_killed_supervisor_leaves_nothing() {
    if !can() {
        return;
    }
    let dir = work("overlay-killed");
    let before = state(dir.path());
    let mut command = over(&dir, &["--commit"], "echo x > changed; echo ready; sleep 1000").inner;
    let mut run = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(run.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    run.kill().unwrap();
    run.wait().unwrap();
    // Until nobody of the jail has it open any more.
    assert_eq!(output.read_line(&mut line).unwrap(), 0);
    assert_eq!(state(dir.path()), before);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(dir.path().to_str().unwrap()), "{mounts}");
}

#[test]
fn a_flood_of_what_is_not_applied_is_counted() {
    if !can() {
        return;
    }
    let dir = work("overlay-flood");
    let output = over(&dir, &["--commit"], "seq 1 1500 | xargs mkfifo; echo x > z").output();
    assert_eq!((output.code, output.stdout.as_str()), (Some(125), ""));
    assert_eq!(output.stderr.lines().filter(|line| *line == "  why: it is a named pipe").count(), 1000);
    let end = placed(&dir, "\nerror: 500 more cannot be told or committed\n\n1001 errors in {w}\n");
    assert!(output.stderr.ends_with(&end), "{}", &output.stderr[output.stderr.len() - 200..]);
    assert!(dir.join("work/z").is_file());
}

#[test]
fn what_a_hostile_program_leaves_does_no_harm() {
    if !can() {
        return;
    }
    let dir = work("overlay-hostile");
    dir.write("outside/canary", "sings\n");
    compile_static(&dir.join("work/hostile"), include_str!("overlay.c"));
    let rights: &[&str] = &["SYS_ADMIN", "MKNOD", "SETFCAP", "DAC_OVERRIDE", "FOWNER", "CHOWN", "FSETID"];
    let rights = rights.iter().flat_map(|name| ["--cap-add", name]);
    let options: Vec<&str> = if nix::unistd::geteuid().is_root() { rights.collect() } else { Vec::new() };
    let output = over(&dir, &[&options[..], &["--changes", "--commit"]].concat(), "./hostile").output();
    assert_eq!(output.code, Some(125), "{}{}", output.stdout, output.stderr);
    // A line of it is a path, and nobody's terminal is told anything.
    assert!(
        output.stdout.lines().all(|line| line.starts_with("A ") || line.starts_with("M ")),
        "{}",
        output.stdout
    );
    assert!(!(output.stdout + &output.stderr).contains('\x1b'));
    let told: Vec<&str> = output.stderr.lines().filter_map(|line| line.strip_prefix("  why: ")).collect();
    let deep = "its path is longer than 4095 bytes";
    assert!(told.contains(&deep) && told.contains(&"it is a named pipe"), "{told:?}");
    assert!(told.iter().all(|why| [deep, "it is a named pipe", "it is a device"].contains(why)), "{told:?}");
    // Nothing of the host's is gone or hidden, and no right, no device and no order to an overlayfs has come to it.
    for entry in walkdir::WalkDir::new(dir.join("work")) {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type());
        assert!(kind.is_dir() || kind.is_file() || kind.is_symlink(), "{path:?}");
        if !kind.is_symlink() {
            assert_eq!(entry.metadata().unwrap().mode() & 0o6000, 0, "{path:?}");
            let mut names = [0; 4096];
            let length = list_xattrs(fs::File::open(path).unwrap(), &mut names).unwrap();
            let names = String::from_utf8_lossy(&names[..length]).into_owned();
            assert!(!names.contains("overlay") && !names.contains("capability"), "{path:?}: {names}");
        }
        assert!(!entry.file_name().to_string_lossy().starts_with(".stockade"), "{path:?}");
    }
    let read = |path: &str| fs::read_to_string(dir.join(path)).unwrap();
    assert_eq!([read("work/below/one"), read("work/kept"), read("work/gone")], ["1\n", "kept\n", "gone\n"]);
    assert_eq!(read("outside/canary"), "sings\n");
    assert_eq!(fs::metadata(dir.join("work/new/file")).unwrap().nlink(), 51);
    assert_eq!(fs::read_link(dir.join("work/new/etc")).unwrap(), Path::new("/etc"));
}
