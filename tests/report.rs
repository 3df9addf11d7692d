//! What a user is told about confinement: by `doctor` before a run, by `run --report` after it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::process::Command;

use common::{Need, needs};
use serde_json::Value;

/// A jail that ends with `script`.
fn jail(script: &str) -> common::Dir {
    let directory = common::Dir::new("report");
    let manifest = format!("name = \"told\"\n[program]\ncommand = [\"/bin/sh\", \"-c\", \"{script}\"]\n");
    directory.write("told.toml", manifest);
    directory
}

/// Runs it with these words and redirections.
fn by_shell(directory: &common::Dir, words: &str) -> common::Output {
    let mut shell = directory.stockade(["-c", &format!("exec \"$0\" run {words}")]);
    let program = std::mem::replace(&mut shell.inner, Command::new("sh"));
    shell.inner.args(program.get_args()).arg(program.get_program()).current_dir(directory.path());
    shell.inner.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.output()
}

/// Runs it with a report: what it says and the exit code.
fn report(directory: &common::Dir, more: &[&str]) -> (Value, Option<i32>) {
    let words =
        ["run", "--report", "report.json"].into_iter().chain(more.iter().copied()).chain(["./told.toml"]);
    let output = directory.stockade(words).output();
    let text = std::fs::read_to_string(directory.join("report.json")).unwrap();
    (serde_json::from_str(&text).expect(&text), output.code)
}

#[test]
fn a_report_tells_every_layer_and_how_the_program_ended() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let (report, code) = report(&jail("exit 7"), &[]);
    assert_eq!(code, Some(7));
    assert_eq!(report["jail"], "told");
    assert_eq!(report["ended"], serde_json::json!({ "how": "exited", "status": 7 }));
    assert_eq!(report["exit_code"], 7);
    let layers: Vec<_> =
        report["layers"].as_array().unwrap().iter().map(|layer| layer["layer"].as_str().unwrap()).collect();
    assert_eq!(layers, stockade::plan::Layer::ALL.map(stockade::plan::Layer::name));
}

#[test]
fn a_report_tells_signals_time_limits_and_failures() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let ended = |script: &str, more: &[&str]| report(&jail(script), more).0["ended"]["how"].clone();
    assert_eq!(
        report(&jail("kill -9 $$"), &[]).0["ended"],
        serde_json::json!({ "how": "signaled", "signal": 9 })
    );
    assert_eq!(ended("while :; do :; done", &["--set", "limits.runtime_max=200ms"]), "timed_out");
    // A directory nobody may enter is found by the child.
    assert_eq!(ended("true", &["--set", "program.working_directory=/proc/1/fd"]), "failed");
}

#[test]
fn a_report_that_cannot_be_written_is_found_out_first() {
    let directory = jail("echo ran");
    let refused = |place: &str, why: &str| {
        let expected = format!(
            "error: cannot write the report `{place}`\n  why: {why}\nhint: name a file that you may write\n"
        );
        directory.stockade(["run", "--report", place, "./told.toml"]).expect(125, "", &expected);
        directory.stockade(["once", "--report", place, "--", "echo", "ran"]).expect(125, "", &expected);
    };
    refused("no/such/file", "No such file or directory (ENOENT)");
    if needs(Need::UserNamespaces) {
        let output = by_shell(&directory, "--report /dev/fd/7 ./told.toml 7> /dev/full");
        let expected = "error: cannot write the report `/dev/fd/7`\n  why: No space left on device (ENOSPC)\n\
                        hint: its file system is full (blocks or inodes); see df(1) with and without `-i`\n";
        assert!(output.stderr.ends_with(expected), "{}", output.stderr);
        assert_eq!((output.stdout.as_str(), output.code), ("ran\n", Some(125)));
    }
    // As a jail could have put one into a directory that it shares with the host.
    directory.write("precious", "of the host");
    std::os::unix::fs::symlink("precious", directory.join("planted")).unwrap();
    refused("planted", "it is a symbolic link, which is not followed");
    assert_eq!(std::fs::read_to_string(directory.join("precious")).unwrap(), "of the host");
    // Opening one would wait for a reader.
    nix::unistd::mkfifo(&directory.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused("fifo", "it is no regular file");
    refused("/dev/full", "it is no regular file");
}

/// Everybody may write to it, as to no other directory in /dev.
#[test]
fn a_link_planted_in_shared_memory_is_not_followed() {
    let directory = jail("echo ran");
    directory.write("precious", "of the host");
    let shared = std::path::PathBuf::from(format!("/dev/shm/stockade-report-{}", std::process::id()));
    std::fs::create_dir(&shared).unwrap();
    let place = shared.join("planted");
    std::os::unix::fs::symlink(directory.join("precious"), &place).unwrap();
    let output = directory.stockade(["run", "--report", place.to_str().unwrap(), "./told.toml"]).output();
    std::fs::remove_dir_all(&shared).unwrap();
    let expected = format!(
        "error: cannot write the report `{}`\n  why: it is a symbolic link, which is not followed\n\
         hint: name a file that you may write\n",
        place.display()
    );
    assert_eq!((output.code, output.stdout.as_str(), output.stderr), (Some(125), "", expected));
    assert_eq!(std::fs::read_to_string(directory.join("precious")).unwrap(), "of the host");
}

#[test]
fn a_report_goes_to_a_descriptor_by_its_link() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let directory = jail("exit 7");
    let output = directory.stockade(["run", "--report", "/dev/stdout", "./told.toml"]).output();
    let report: Value = serde_json::from_str(&output.stdout).expect(&output.stdout);
    assert_eq!(report["exit_code"], 7);
    // To a file it comes after what the program has written there.
    let directory = jail("echo ran");
    by_shell(&directory, "--report /dev/stdout ./told.toml > both");
    let both = std::fs::read_to_string(directory.join("both")).unwrap();
    let report: Value = serde_json::from_str(both.strip_prefix("ran\n").expect(&both)).expect(&both);
    assert_eq!(report["exit_code"], 0);
}

/// JSON may have in its strings what a terminal obeys: all but the first 32 of the control characters, and marks of direction.
#[test]
fn no_json_moves_a_cursor_or_turns_a_line_around() {
    let directory = common::Dir::new("json");
    let text = "a\u{9b}31m\u{202e}b";
    directory
        .write("told.toml", format!("[program]\ncommand = [\"/bin/true\", \"{text}\"]\n\"{text}\" = 1\n"));
    let found = directory.stockade(["check", "--json", "./told.toml"]).output();
    let right = format!("summary = \"{text}\"\n[program]\ncommand = [\"/bin/true\", \"{text}\"]\n");
    directory.write("right.toml", right);
    let planned = directory.stockade(["plan", "--json", "./right.toml"]).output();
    for output in [found, planned] {
        assert!(!output.stdout.contains(['\u{9b}', '\u{202e}']), "{output:?}");
        assert!(output.stdout.contains("\\u009b31m\\u202e"), "{output:?}");
        let value: Value = serde_json::from_str(&output.stdout).expect(&output.stdout);
        assert!(value.to_string().contains(text), "{value}");
    }
}

#[test]
fn doctor_finds_this_machine_fit() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let output = common::Dir::new("doctor").stockade(["doctor", "--json"]).output();
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    for check in report["checks"].as_array().unwrap() {
        assert!(check["required"] == false || check["state"] == "ok", "{check}");
        assert_eq!(check["cure"].is_null(), check["state"] == "ok", "{check}");
    }
    // Programs of others are no condition for a jail of defaults, and are looked for.
    let pasta = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "pasta").unwrap();
    let is_there =
        ["/usr/bin/pasta", "/usr/local/bin/pasta"].iter().any(|path| std::path::Path::new(path).is_file());
    assert_eq!(pasta["detail"].as_str().unwrap().contains("not installed"), !is_there, "{pasta}");
}

#[test]
fn doctor_names_the_setting_that_forbids_user_namespaces() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let directory = common::Dir::new("doctor");
    let binary = common::binary();
    // The limit holds in the namespace it is written in, not on the machine.
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c"])
        .arg("echo 0 > /proc/sys/user/max_user_namespaces; exec \"$0\" doctor")
        .arg(&binary)
        .env("STOCKADE_STATE_DIR", directory.join("state"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = "user namespace       missing   No space left on device (ENOSPC)\n                               \
                    cure: sysctl -w user.max_user_namespaces=15000\n";
    assert!(text.contains(expected), "{text}");
}
