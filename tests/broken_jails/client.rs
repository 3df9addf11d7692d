//! `stockade test`.

use super::Jail;
use super::common::{Need, needs};
use super::fixture::for_another_machine;

/// Of a program that says that it waits, and goes on waiting.
const NOT_DONE: &str = r"error: the test of jail `web` failed
  --> ./web.toml:5:1
    5 | [test]
      | ^^^^^^
  why: not done after 1s
  why: it said:
  why: | waiting
hint: a longer `timeout` under [test] gives it more time; a server needs a `command` that probes it
";

#[test]
fn no_test() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
"#,
    )
    .expect(
        &["test"],
        1,
        r"error: jail `web` has no test
hint: end its manifest with a [test] table: a `command` that probes it, or what its output is to `expect`
",
    );
}

#[test]
fn client_missing() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program", "wait"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[test]
command = ["DIR/no-such-client"]
timeout = "1s"
"#,
    )
    .compile("program", "#include <unistd.h>\nint main(void) { pause(); return 0; }", &["-static"])
    .expect(
        &["test"],
        1,
        r"error: the test of jail `web` failed
  --> ./web.toml:5:1
    5 | [test]
      | ^^^^^^
  why: the client `DIR/no-such-client` cannot be started: No such file or directory (ENOENT)
  why: the jail said nothing
hint: install it on the host, or correct `command` under [test]
",
    );
}

#[test]
fn client_that_never_succeeds() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[test]
command = ["/bin/sh", "-c", "echo connection refused; exit 7"]
timeout = "1s"
"#,
    )
    .with_waiting_program()
    .expect(
        &["test"],
        1,
        r"error: the test of jail `web` failed
  --> ./web.toml:5:1
    5 | [test]
      | ^^^^^^
  why: it ended with status 7 instead of 0
  why: the output was:
  why: | connection refused
  why: the jail said:
  why: | waiting
",
    );
}

#[test]
fn client_whose_answer_is_another() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[test]
command = ["/bin/sh", "-c", "echo 404 Not Found"]
expect = "200 OK"
timeout = "1s"
"#,
    )
    .with_waiting_program()
    .of_ordinary_user()
    .expect(
        &["test"],
        1,
        r#"error: the test of jail `web` failed
  --> ./web.toml:5:1
    5 | [test]
      | ^^^^^^
  why: "200 OK" is not in the output
  why: the output was:
  why: | 404 Not Found
  why: the jail said:
  why: | waiting
"#,
    );
}

#[test]
fn jail_that_ends_before_its_client_comes() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[test]
command = ["/bin/false"]
"#,
    )
    .compile(
        "program",
        "#include <stdio.h>\nint main(void) { puts(\"no configuration\"); return 3; }",
        &["-static"],
    )
    .expect(
        &["test"],
        1,
        r"error: the test of jail `web` failed
  --> ./web.toml:5:1
    5 | [test]
      | ^^^^^^
  why: the jail ended before it was probed: it ended with status 3
  why: it said:
  why: | no configuration
",
    );
}

#[test]
fn jail_that_never_starts() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[test]
command = ["/bin/false"]
"#,
    )
    .with("program", for_another_machine)
    .expect(
        &["test"],
        1,
        r#"error: the test of jail `web` failed
  --> ./web.toml:5:1
    5 | [test]
      | ^^^^^^
  why: the jail ended before it was probed: it ended with status 126
  why: it said:
  why: | error: cannot execute `/program` in jail `web`
  why: |   --> ./web.toml:2:11
  why: |     2 | command = ["/program"]
  why: |       |           ^^^^^^^^^^^^
  why: |   why: execve(2): Exec format error (ENOEXEC), step N of M, by the program's own process
  why: |   why: `/program` is built for OTHER, this machine is OURS
  why: | hint: use a program built for this machine, or a kernel that can run the other kind
"#,
    );
}

#[test]
fn program_with_another_status() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[test]
expect = "ready"
status = 3
"#,
    )
    .expect(
        &["test"],
        1,
        r#"error: the test of jail `web` failed
  --> ./web.toml:5:1
    5 | [test]
      | ^^^^^^
  why: it ended with status 0 instead of 3
  why: "ready" is not in the output
  why: the output was nothing
"#,
    );
}

#[test]
fn program_that_does_not_end() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[test]
expect = "ready"
timeout = "1s"
"#,
    )
    .with_waiting_program()
    .expect(&["test"], 1, NOT_DONE);
}

#[test]
fn client_that_hangs() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::with_program(
        r#"[program]
command = ["/program"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[test]
command = ["/bin/sleep", "30"]
timeout = "1s"
"#,
    )
    .with_waiting_program()
    .expect(
        &["test"],
        1,
        r"error: the test of jail `web` failed
  --> ./web.toml:5:1
    5 | [test]
      | ^^^^^^
  why: the client `/bin/sleep` had not ended when the time was over
  why: it said nothing
  why: the jail said:
  why: | waiting
hint: a longer `timeout` under [test] gives it more time
",
    );
}

/// More than a pipe holds: who writes it must not wait for one who does not read.
#[test]
fn program_that_does_not_read_its_input() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let manifest = format!(
        r#"[program]
command = ["/program"]
[tree]
files = [{{ path = "DIR/program", target = "/program" }}]
[test]
expect = "ready"
timeout = "1s"
input = "{}"
"#,
        "x".repeat(200_000)
    );
    Jail::with_program(&manifest).with_waiting_program().expect(&["test"], 1, NOT_DONE);
}

#[test]
fn program_that_ends_without_its_input() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let manifest = format!(
        r#"[program]
command = ["/program"]
[tree]
files = [{{ path = "DIR/program", target = "/program" }}]
[test]
status = 0
expect = ""
input = "{}"
"#,
        "x".repeat(200_000)
    );
    Jail::with_program(&manifest).expect(&["test"], 0, "");
}

/// It has the pipe for what the client says for as long as it runs.
#[test]
fn client_that_leaves_another_in_the_background() {
    if !needs(Need::UserNamespaces) || !needs(Need::Program("setsid")) {
        return;
    }
    let jail = Jail::with_program(
        r#"[program]
command = ["/program", "wait"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
[test]
command = ["sh", "-c", "setsid -f sh -c 'echo $$ > DIR/pid; exec sleep 100'; while ! test -s DIR/pid; do sleep 0.01; done"]
"#,
    )
    .with_waiting_program();
    jail.expect(&["test"], 0, "");
    let text = std::fs::read_to_string(jail.path("pid")).unwrap();
    let sleeping = nix::unistd::Pid::from_raw(text.trim().parse().unwrap());
    nix::sys::signal::kill(sleeping, nix::sys::signal::Signal::SIGKILL).expect("it was not waited for");
}
