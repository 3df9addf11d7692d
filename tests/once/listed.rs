//! Others find a run of `once` while it lasts, and nothing of it is left, however it ends.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Stdio};

use stockade::sys::cgroup;

use crate::common::{Dir, Need, needs};
use crate::{once, place, until};

/// One that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A run in the background, with these options, once its program has started.
fn start(dir: &Dir, options: &[&str]) -> Running {
    let words = ["--json-status-fd", "1"].iter().chain(options).copied().chain(["sleep", "1000"]);
    let mut command = once(dir, words).env("STOCKADE_RUN_DIR", dir.join("run")).inner;
    let mut child = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    let mut told = std::io::BufReader::new(child.0.stdout.as_mut().unwrap());
    std::io::BufRead::read_line(&mut told, &mut line).unwrap();
    assert!(line.contains("child-pid"), "{line}");
    child
}

#[test]
fn it_is_listed_signalled_and_stopped() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-listed");
    let with = |words: &[&str]| dir.stockade(words.iter().copied()).env("STOCKADE_RUN_DIR", dir.join("run"));
    with(&["list", "--names"]).expect(0, "", "");
    let mut one = start(&dir, &[]);
    with(&["list", "--names"]).expect(0, "once\n", "");
    let mut other = start(&dir, &["--hostname", "other"]);
    let names = [&one, &other].map(|running| format!("once@{}", running.0.id()));
    let listed = with(&["list", "--names"]).output().stdout;
    assert!(names.iter().all(|name| listed.lines().any(|line| line == name)), "{listed}");
    with(&["exec", &names[0], "--", "true"]).expect(
        125,
        "",
        concat!(
            "error: jail `once` cannot be joined\n",
            "  why: it is a run of `stockade once`, of which no manifest is kept that would say how what joins it is confined\n",
            "hint: write its options as a manifest with `stockade once --save FILE`, and start the jail with `stockade run FILE`\n",
        ),
    );
    with(&["stop", &names[0]]).output();
    assert_eq!(one.0.wait().unwrap().code(), Some(143));
    with(&["signal", "once", "INT"]).expect(0, "", "");
    assert_eq!(other.0.wait().unwrap().code(), Some(130));
    with(&["list", "--names"]).expect(0, "", "");
    assert!(!dir.join("run").exists());
}

#[test]
fn of_a_killed_one_the_next_takes_away_what_is_left() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-killed");
    let is_grouped = needs(Need::ControlGroups);
    let mut child = start(&dir, if is_grouped { &["--memory", "64M"] } else { &[] });
    let first = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.0.id())).unwrap();
    let groups = cgroup::hierarchies_of("/".as_ref(), first.trim().parse().unwrap());
    let own = |group: &cgroup::Hierarchy| group.directory.to_string_lossy().contains("/stockade-once");
    // Another run of the machine's may have the same path the moment it is free.
    let number = |path: &std::path::Path| path.metadata().ok().map(|found| found.ino());
    let groups: Vec<_> = groups.into_iter().filter(own).map(|group| group.directory).collect();
    let numbers: Vec<_> = groups.iter().map(|group| number(group)).collect();
    assert!(numbers.iter().all(Option::is_some));
    assert_eq!(!groups.is_empty(), is_grouped);
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    assert_eq!(fs::read_dir(dir.join("run")).unwrap().count(), 1);
    // One that makes no group itself.
    until("the end of what was left", || {
        once(&dir, ["true"]).env("STOCKADE_RUN_DIR", dir.join("run")).expect(0, "", "");
        (!dir.join("run").exists()).then_some(())
    });
    for (group, before) in groups.iter().zip(numbers) {
        assert_ne!(number(group), before, "{}", group.display());
    }
}
