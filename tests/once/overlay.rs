//! `--overlay`: what the program sees and does, and that the host's directory stays as it is.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{Dir, Need, needs};
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

#[test]
fn changes_are_seen_inside_and_not_on_the_host() {
    if !needs(Need::UserNamespaces) {
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
    if !needs(Need::UserNamespaces) {
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
    if !needs(Need::UserNamespaces) {
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
    ] {
        once(&dir, words.iter().copied()).expect(code, "", &expected);
    }
}

#[test]
fn an_overlay_is_saved_and_run() {
    if !needs(Need::UserNamespaces) {
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
