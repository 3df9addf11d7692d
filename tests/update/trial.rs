//! `build --test`: a tree that does not pass is not switched to.

use super::*;

#[test]
fn a_tree_that_fails_its_test_does_not_become_the_current_one() {
    let dir = jail("update-test");
    dir.write("web.toml", manifest(&dir, "test.expect = \"two\"\n"));
    succeeds(&dir, &["build", "--test", "./web.toml"]);
    dir.write("b", "wrong\n");
    let failed = dir.stockade(["build", "--test", "./web.toml"]).output();
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        failed.stderr,
        "error: the test of jail `web` failed\n  --> ./web.toml:4:1\n    4 | test.expect = \"two\"\n      | ^^^^\n  \
         why: \"two\" is not in the output\n  why: the output was:\n  why: | one\n  why: | wrong\n\n\
         error: cannot build jail `web`\n  \
         why: the new tree did not pass its test; the one before stays current\n\n2 errors in ./web.toml\n"
    );
    assert_eq!(said(&dir), "one\ntwo\n");
    assert_eq!(generations(&dir), ["1"]);
    dir.write("b", "two three\n");
    succeeds(&dir, &["build", "--test", "./web.toml"]);
    assert_eq!(said(&dir), "one\ntwo three\n");
    // Without one there is nothing to be content with.
    dir.write("web.toml", manifest(&dir, ""));
    let none = dir.stockade(["build", "--test", "./web.toml"]).output();
    assert_eq!(none.code, Some(1));
    assert!(none.stderr.starts_with("error: jail `web` has no test\n"), "{}", none.stderr);
}

#[test]
fn nothing_of_a_test_is_left_when_the_build_is_killed() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = jail("update-orphan");
    common::compile_static(&dir.join("program"), "#include <unistd.h>\nint main(void) { for (;;) pause(); }");
    let mark = dir.path().display().to_string();
    let client = format!("[\"sh\", \"-c\", \"echo > {mark}/asked; exec sleep 1000\"]");
    let text = manifest(&dir, &format!("test.command = {client}\ntest.timeout = \"1000s\"\n"));
    dir.write("web.toml", text);
    let mut child = dir.stockade(["build", "--test", "./web.toml"]).inner.spawn().unwrap();
    while !dir.join("asked").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the build ended before it was killed");
        std::thread::sleep(Duration::from_millis(5));
    }
    let running = || -> Vec<String> {
        let all = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| fs::read(entry.path().join("environ")).ok());
        let ours =
            all.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).filter(|text| text.contains(&mark));
        ours.collect()
    };
    assert!(running().len() >= 3, "the build, the jail's supervisor and the client");
    child.kill().unwrap();
    child.wait().unwrap();
    let end = Instant::now() + Duration::from_mins(1);
    while !running().is_empty() {
        assert!(Instant::now() < end, "left: {:?}", running());
        std::thread::sleep(Duration::from_millis(5));
    }
    // The tree that was on trial is no tree, and the next build sweeps it.
    let none = dir.stockade(["verify", "web"]).output();
    assert_eq!((none.code, none.stdout.as_str()), (Some(1), ""));
    assert_eq!(generations(&dir), ["1"]);
    succeeds(&dir, &["build", "./web.toml"]);
    assert_eq!(generations(&dir), ["1"]);
    assert_eq!(dir.stockade(["verify", "web"]).output().code, Some(0));
}

#[test]
fn a_test_whose_client_would_find_the_running_jail_is_refused() {
    let dir = jail("update-beside");
    common::compile_static(
        &dir.join("program"),
        "#include <unistd.h>\nint main(void) { write(1, \"r\\n\", 2); pause(); }",
    );
    let text = manifest(&dir, "namespaces.network = \"host\"\ntest.command = [\"true\"]\n");
    dir.write("web.toml", text);
    if !needs(Need::UserNamespaces) {
        return;
    }
    succeeds(&dir, &["build", "./web.toml"]);
    let mut command = dir.stockade(["run", "./web.toml"]).inner;
    let mut running = Daemon(command.stdout(Stdio::piped()).spawn().unwrap());
    running.0.stdout.as_mut().unwrap().read_exact(&mut [0; 2]).unwrap();
    let refused = dir.stockade(["build", "--test", "./web.toml"]).output();
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    let why =
        format!("why: process {} runs it in the host's network, where the test's client", running.0.id());
    assert!(refused.stderr.contains(&why), "{}", refused.stderr);
    assert_eq!(generations(&dir), ["1"]);
    running.stop();
    succeeds(&dir, &["build", "--test", "./web.toml"]);
}
