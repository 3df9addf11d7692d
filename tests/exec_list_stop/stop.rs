//! `stop`: in peace where that is possible, and in any case.

use std::time::Duration;

use crate::support::{Jail, Running, is_root};
use crate::{common, expect, told};

/// Makes processes for ever, each of a session and a group of its own, and none of them minds any signal that it can ignore. Not too
/// fast: what a fork that fails has allocated is freed after a grace period of RCU, and two hundred of them that try two thousand
/// times a second each once took all memory of a machine of 24 GiB before those came.
const STORM: &str = r#"
#include <signal.h>
#include <unistd.h>
int main(void) {
    for (int number = 1; number < 65; number++) signal(number, SIG_IGN);
    write(1, "ready\n", 6);
    for (;;) {
        if (fork() == 0) setsid();
        else usleep(5000);
    }
}
"#;

#[test]
fn a_program_that_ends_is_stopped_in_peace() {
    let jail = Jail::shell("peaceful", "");
    let mut running = jail.start(&["trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done"]);
    running.expect("ready");
    expect(&jail, &["stop", "peaceful"], 0, "", "stopped jail `peaceful`\n");
    running.expect("bye");
    assert_eq!(running.wait(), 3);
    let absent =
        "error: jail `peaceful` does not run\nhint: no jail of this user runs: see `stockade list`\n";
    expect(&jail, &["stop", "peaceful"], 1, "", absent);
    expect(&jail, &["stop", "--all"], 0, "", "");
}

/// SIGTERM alone would wait until somebody lets it go on.
#[test]
fn a_program_that_does_not_go_on_is_stopped_in_peace() {
    let jail = Jail::shell("paused", "");
    let mut running = jail.start(&["trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done"]);
    running.expect("ready");
    let program = running.program();
    let pid = nix::unistd::Pid::from_raw(program);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    crate::support::until("its stop", || {
        crate::support::status_of(program, "State").starts_with('T').then_some(())
    });
    expect(&jail, &["stop", "paused"], 0, "", "stopped jail `paused`\n");
    running.expect("bye");
    assert_eq!(running.wait(), 3);
}

/// As many daemons do, which PID 1 of the jail may not signal then.
#[test]
fn a_program_that_has_become_another_user_is_stopped_in_peace() {
    if !is_root() {
        return;
    }
    let jail = Jail::shell("dropped", "");
    let source = "#include <signal.h>\n#include <unistd.h>\n\
                  static void end(int number) { (void)number; _exit(3); }\n\
                  int main(void) { signal(SIGTERM, end); if (setgid(33) || setuid(33)) return 9;\n\
                  write(1, \"ready\\n\", 6); for (;;) pause(); }";
    common::compile_static(&jail.path("drops"), source);
    for more in ["", "program.type = \"forking\"\n"] {
        jail.write_manifest(
            "[\"/drops\"]",
            &format!(
                "program.user = \"root\"\n{more}privileges.capabilities = [\"SETUID\", \"SETGID\"]\n\
                 privileges.system_calls = \"daemon\"\n\
                 mounts = [{{ source = \"{{here}}/drops\", target = \"/drops\", executable = true }}]"
            ),
        );
        let mut running = jail.start(&[]);
        running.expect("ready");
        expect(&jail, &["stop", "dropped"], 0, "", "stopped jail `dropped`\n");
        assert_eq!(running.wait(), 3);
    }
}

#[test]
fn a_program_that_ignores_it_and_forks_all_the_time_is_killed_with_everything() {
    let jail = Jail::shell("storm", "");
    common::compile_static(&jail.path("storm"), STORM);
    let manifest = format!(
        "name = \"storm\"\nprogram.command = [\"/storm\"]\nlimits.processes = 100\n\
         tree.files = [{{ path = \"{}\", target = \"/storm\" }}]\n",
        jail.path("storm").display()
    );
    std::fs::write(jail.manifest(), manifest).unwrap();
    let mut running = jail.start(&[]);
    running.expect("ready");
    std::thread::sleep(Duration::from_millis(300));
    let message = "killed jail `storm`, which had not ended after 100ms\n";
    expect(&jail, &["stop", "--timeout", "100ms", "storm"], 0, "", message);
    assert_eq!(running.wait(), 137);
    assert_eq!(jail.processes(), [""; 0]);
}

#[test]
fn a_program_whose_supervisor_is_stopped_is_stopped_all_the_same() {
    let jail = Jail::shell("held", "");
    let mut running = jail.start(&["echo ready; exec sleep 1000"]);
    running.expect("ready");
    running.signal(nix::sys::signal::Signal::SIGSTOP);
    // No supervisor is needed for it, and none is waited for that does not run; it ends when it may.
    let program = running.program();
    let mut stop = crate::stockade(&jail, &["stop", "held"]).spawn().unwrap();
    crate::support::until("its end", || {
        (crate::support::status_of(program, "State").is_empty()).then_some(())
    });
    running.signal(nix::sys::signal::Signal::SIGCONT);
    assert!(stop.wait().unwrap().success());
    assert_eq!(running.wait(), 143);
}

#[test]
fn several_are_stopped_at_once_and_what_is_not_there_is_said() {
    let jail = Jail::shell("many", "");
    let mut runs: Vec<Running> = (0..3).map(|_| jail.start(&["echo ready; exec sleep 1000"])).collect();
    for run in &mut runs {
        run.expect("ready");
    }
    let ended = told(&jail, &["stop", "mani", "many"]);
    assert_eq!(ended.code, Some(1));
    let expected = format!(
        "error: jail `mani` does not run\nhint: did you mean `many`?\n{}",
        "stopped jail `many`\n".repeat(3)
    );
    assert_eq!(ended.stderr, expected);
    assert_eq!(runs.iter_mut().map(Running::wait).collect::<Vec<_>>(), [143; 3]);
    expect(
        &jail,
        &["stop"],
        2,
        "",
        "error: no jail is named\nhint: write `stockade stop JAIL`, or `stockade stop --all`\n",
    );
    expect(
        &jail,
        &["stop", "--timeout", "soon", "many"],
        2,
        "",
        "error: `--timeout` needs a time\n  why: `soon` is not a time; write a number with ms, s, m, h or d, such as \
         `10s` or `1h30m`\nhint: write `--timeout 30s`\n",
    );
}
