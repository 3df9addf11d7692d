//! Two at once: runs of one jail, and builds while it runs.

use std::fs;

use crate::support::{Jail, finish};

#[test]
fn two_runs_of_one_jail_do_not_see_each_other() {
    let jail = Jail::shell("two", "mounts = [{ type = \"tmpfs\", target = \"/tmp\" }]");
    let script = "echo $1 > /tmp/file; echo ready; read -r line; cat /tmp/file; ls /tmp; echo /proc/[0-9]*";
    jail.build();
    let mut runs: Vec<_> = ["one", "two", "three"]
        .iter()
        .map(|name| {
            let mut child = jail
                .command(&[script, "sh", name])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            let mut ready = [0; 6];
            std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
            assert_eq!(&ready, b"ready\n");
            (name, child)
        })
        .collect();
    // All of them run now.
    for (_, child) in &mut runs {
        drop(child.stdin.take());
    }
    for (name, child) in runs {
        let output = child.wait_with_output().unwrap();
        let expected = format!("{name}\nfile\n/proc/2\n");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}

#[test]
fn a_build_while_a_jail_runs_leaves_its_tree_alone() {
    let text = |content: &str| format!("tree.text = [{{ path = \"/version\", content = \"{content}\\n\" }}]");
    let command = "[\"/bin/sh\", \"-c\"]";
    let jail = Jail::shell("replaced", &text("one"));
    let mut running = {
        jail.build();
        let mut command =
            jail.command(&["cat /version; trap 'cat /version; exit' USR1; while :; do sleep 0.01; done"]);
        crate::support::Running::start(&mut command)
    };
    running.expect("one");
    jail.write_manifest(command, &text("two"));
    assert_eq!(finish(jail.stockade("build").args(["--keep", "0"])).code, Some(0));
    jail.expect(&["cat /version"], 0, "two\n");
    assert_eq!(fs::read_to_string(jail.tree().join("version")).unwrap(), "two\n");
    let generations = || fs::read_dir(jail.path("state/replaced/generations")).unwrap().count();
    assert_eq!(generations(), 2);
    running.signal(nix::sys::signal::Signal::SIGUSR1);
    running.expect("one");
    assert_eq!(running.wait(), 0);
    // Whoever runs last from a tree that was replaced, and is not kept to go back to, takes it away.
    assert_eq!(generations(), 1);
    jail.expect(&["cat /version"], 0, "two\n");
}

#[test]
fn builds_runs_and_removals_at_once_are_in_turn_or_refused() {
    let jail = Jail::shell("turns", "");
    let what = |verb: &'static str| {
        move |jail: &Jail| match verb {
            "run" => {
                let ended = finish(&mut jail.command(&["cat /proc/$$/comm; echo x | cat"]));
                // Whatever happens to the tree meanwhile, it has one, whole.
                assert_eq!((ended.stdout.as_str(), ended.code), ("sh\nx\n", Some(0)), "{}", ended.stderr);
            }
            "build" => {
                let ended = finish(&mut jail.stockade("build"));
                assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            }
            _ => {
                let ended = finish(&mut jail.stockade("remove"));
                let refused = ended.stderr.contains("it from `")
                    || ended.stderr.contains("it runs from `")
                    || ended.stderr.contains("is building jail");
                let nothing = ended.stderr.contains("there is nothing of jail `turns`");
                let expected = match ended.code {
                    Some(0) => ended.stderr.starts_with("removed jail `turns` with"),
                    Some(1) => nothing,
                    Some(125) => refused,
                    _ => false,
                };
                assert!(expected, "{ended:?}");
            }
        }
    };
    std::thread::scope(|scope| {
        for verb in ["run", "remove", "build", "run", "remove", "run", "build", "run"] {
            let jail = &jail;
            scope.spawn(move || {
                for _ in 0..12 {
                    what(verb)(jail);
                }
            });
        }
    });
    jail.expect(&["echo x"], 0, "x\n");
    assert_eq!(finish(&mut jail.stockade("remove")).code, Some(0));
    assert_eq!(fs::read_dir(jail.path("state")).unwrap().count(), 0);
}

#[test]
fn builds_and_runs_at_once_all_succeed() {
    let jail = Jail::shell("busy", "");
    jail.build();
    let ends: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..12)
            .map(|at| {
                let jail = &jail;
                scope.spawn(move || {
                    if at % 3 == 0 {
                        finish(&mut jail.stockade("build")).code
                    } else {
                        let ended = finish(&mut jail.command(&["echo x | cat"]));
                        assert_eq!(ended.stdout, "x\n", "{}", ended.stderr);
                        ended.code
                    }
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(ends, [Some(0); 12]);
}
