//! `once` at a real terminal: tmux(1) plays it, types the keys and tells what stands on the screen. Beside them pipes and closed
//! descriptors, as a shell gives them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Dir, Need, binary, compile_static, needs};
use crate::{PATIENCE, once, place, until};

/// A window with a shell in it. The server is this test's alone: it is found by its socket, and ends with it.
struct Window {
    dir: Dir,
    /// Where the server's socket is: not in the current directory, since that would show it.
    server: Dir,
    /// How many command lines the shell has been given.
    given: usize,
}

impl Window {
    /// A new one of 100 columns and 30 rows, if this can be had.
    fn open(name: &str) -> Option<Self> {
        if !needs(Need::UserNamespaces) || !needs(Need::Program("tmux")) {
            return None;
        }
        let window = Self { dir: place(name), server: place(&format!("{name}-server")), given: 0 };
        let size = ["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30"];
        let shell = ["env", "PS1=[\\#]> ", "HISTFILE=", "bash", "--norc", "--noprofile", "--noediting", "-i"];
        window.tmux(size.iter().chain(&shell).copied());
        window.tmux(["set-option", "-g", "history-limit", "100000"]);
        window.wait_for("[1]> ");
        Some(window)
    }

    /// One command of tmux's; what it says.
    fn tmux<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> String {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.server.join("socket")).args(words).current_dir(self.dir.path());
        command.env_remove("TMUX").env("HOME", "/home/eve").env("TERM", "screen").env("LC_ALL", "C");
        command.env_remove("STOCKADE_STATE_DIR").env_remove("XDG_RUNTIME_DIR");
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Everything that was shown, a line that was wrapped as one.
    fn shown(&self) -> String {
        let screen = self.tmux(["capture-pane", "-p", "-J", "-S", "-"]);
        screen.trim_end_matches('\n').to_owned()
    }

    /// Waits until the last that is shown is this.
    #[track_caller]
    fn wait_for(&self, last: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let shown = self.shown();
            if shown.trim_end().ends_with(last.trim_end()) {
                return;
            }
            assert!(Instant::now() < end, "waited in vain for {last:?} after:\n{shown}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether a program has the terminal that sees each key.
    fn is_raw(&self) -> bool {
        let name = self.tmux(["display-message", "-p", "#{pane_tty}"]);
        let modes = Command::new("stty").args(["-aF", name.trim_end()]).output().unwrap().stdout;
        String::from_utf8_lossy(&modes).contains("-icanon")
    }

    /// Types text.
    fn text(&self, text: &str) {
        self.tmux(["send-keys", "-l", "--", text]);
    }

    /// Types text and the return key.
    fn line(&self, text: &str) {
        self.text(text);
        self.key("Enter");
    }

    /// Presses a key, such as `C-c`.
    fn key(&self, key: &str) {
        self.tmux(["send-keys", key]);
    }

    /// Types a command line for the shell, which need not be over.
    fn start(&mut self, line: &str) {
        self.given += 1;
        self.line(line);
    }

    /// Waits until the shell waits for its next command line; what was shown since the last.
    #[track_caller]
    fn answer(&self) -> String {
        let next = format!("[{}]> ", self.given + 1);
        self.wait_for(&next);
        let shown = self.shown();
        let from = shown.rfind(&format!("[{}]> ", self.given)).unwrap();
        let (_, answer) = shown[from..].split_once('\n').unwrap();
        answer[..answer.rfind(next.trim_end()).unwrap()].to_owned()
    }

    /// A command line and its answer.
    #[track_caller]
    fn ask(&mut self, line: &str) -> String {
        self.start(line);
        self.answer()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let mut end = Command::new("tmux");
        end.arg("-S").arg(self.server.join("socket")).arg("kill-server").stderr(Stdio::null());
        let _ = end.status();
    }
}

/// `stockade once` with this, as a command line.
fn line(rest: &str) -> String {
    format!("{} once {rest}", binary().display())
}

#[test]
fn ctrl_c_ends_the_program() {
    let Some(mut window) = Window::open("tty-ctrl-c") else { return };
    let modes = window.ask("stty -g");
    window.start(&line("-- sh -c 'echo ready; sleep 1000'"));
    window.wait_for("\nready");
    window.key("C-c");
    assert_eq!(window.answer().trim_end(), "ready\n^C");
    assert_eq!(window.ask("echo $?"), "130\n");
    assert_eq!(window.ask("stty -g"), modes);
}

#[test]
fn ctrl_c_is_the_programs_if_it_wants_it() {
    let Some(mut window) = Window::open("tty-trap") else { return };
    window
        .start(&line("-- sh -c 'trap \"echo caught; exit 9\" INT; echo ready; while :; do sleep 0.1; done'"));
    window.wait_for("\nready");
    window.key("C-c");
    assert_eq!(window.answer(), "ready\n^Ccaught\n");
    assert_eq!(window.ask("echo $?"), "9\n");
}

/// A shell that runs it in a loop takes the loop for interrupted only if stockade itself dies of SIGINT, and a script only if it gets
/// the signal too; see bash(1), "SIGNALS".
#[test]
fn ctrl_c_ends_loops_and_scripts_around_it() {
    let Some(mut window) = Window::open("tty-loop") else { return };
    let sleeps = line("-- sh -c 'echo ready; sleep 1000'");
    window.dir.write("loop.sh", format!("while :; do\n{sleeps}\ndone\n"));
    window.dir.write("after.sh", format!("{sleeps}\necho after\n"));
    for command in [format!("while :; do {sleeps}; done"), "bash loop.sh".into(), "sh after.sh".into()] {
        window.start(&command);
        window.wait_for("\nready");
        window.key("C-c");
        assert_eq!(window.answer().trim_end(), "ready\n^C", "{command}");
        assert_eq!(window.ask("echo $?"), "130\n", "{command}");
    }
    // One that takes the signal and ends by itself has not been interrupted.
    let takes = "-- sh -c 'trap \"exit 130\" INT; echo ready; while :; do sleep 0.1; done'";
    window.dir.write("takes.sh", format!("{}\necho after\n", line(takes)));
    window.start("bash takes.sh");
    window.wait_for("\nready");
    window.key("C-c");
    assert_eq!(window.answer(), "ready\n^Cafter\n");
    // Nor has one that sends it to itself: it is nobody's outside.
    window.dir.write("own.sh", format!("{}\necho after $?\n", line("-- sh -c 'kill -INT $$'")));
    assert_eq!(window.ask("bash own.sh"), "after 130\n");
}

/// Without a terminal it is the signal itself that says so.
#[test]
fn sigint_is_died_of_and_other_signals_are_told() {
    use std::os::unix::process::ExitStatusExt as _;
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-sigint");
    for (signal, expected) in
        [("INT", (None, Some(2))), ("TERM", (Some(143), None)), ("QUIT", (Some(131), None))]
    {
        let mut command = once(&dir, ["--report=report", "sh", "-c", "echo; exec sleep 1000"]).inner;
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
        assert!(
            Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap().success()
        );
        let status = child.wait().unwrap();
        assert_eq!((status.code(), status.signal()), expected, "{signal}");
        // Told before.
        let report = std::fs::read_to_string(dir.join("report")).unwrap();
        assert!(report.contains("\"how\": \"signaled\""), "{report}");
    }
}

#[test]
fn ctrl_z_stops_it_and_fg_lets_it_go_on() {
    let Some(mut window) = Window::open("tty-ctrl-z") else { return };
    let modes = window.ask("stty -g");
    window.start(&line("-- sh -c 'echo ready; exec cat'"));
    // What is typed before is shown twice: by the terminal outside, and by the one inside when it gets it.
    window.wait_for("\nready");
    window.line("one");
    window.wait_for("\none\none");
    for word in ["two", "three"] {
        window.key("C-z");
        assert!(window.answer().contains("Stopped"), "{}", window.shown());
        assert_eq!(window.ask("stty -g"), modes);
        assert!(window.ask("jobs").contains("Stopped"));
        window.start("fg");
        window.wait_for("exec cat'");
        until("raw modes", || window.is_raw().then_some(()));
        window.line(word);
        window.wait_for(&format!("\n{word}\n{word}"));
    }
    window.key("C-d");
    window.answer();
    assert_eq!(window.ask("echo $?; jobs"), "0\n");
    assert_eq!(window.ask("stty -g"), modes);
}

#[test]
fn a_shell_inside_has_jobs() {
    let Some(mut window) = Window::open("tty-jobs") else { return };
    window.start(&line("--setenv PS1 'in> ' -- bash --norc --noprofile --noediting -i"));
    window.wait_for("\nin> ");
    window.line("cat");
    window.line("one");
    window.wait_for("\none\none");
    window.key("C-z");
    window.wait_for("Stopped                 cat\nin> ");
    window.line("fg");
    window.wait_for("\ncat");
    window.line("two");
    window.wait_for("\ntwo\ntwo");
    window.key("C-c");
    window.wait_for("\nin> ");
    window.line("echo $?; sleep 1000 & jobs -r");
    window.wait_for("sleep 1000 &\nin> ");
    assert!(window.shown().contains("\n130\n"), "{}", window.shown());
    window.line("kill %1; exit 5");
    window.answer();
    assert_eq!(window.ask("echo $?"), "5\n");
}

#[test]
fn the_windows_size_is_the_programs() {
    let Some(mut window) = Window::open("tty-size") else { return };
    assert_eq!(window.ask(&line("-- stty size")), "30 100\n");
    window.start(&line("-- sh -c 'trap \"stty size\" WINCH; stty size; while :; do sleep 0.1; done'"));
    window.wait_for("\n30 100");
    for (columns, rows) in [(90, 20), (120, 40)] {
        window.tmux(["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
        window.wait_for(&format!("\n{rows} {columns}"));
    }
    window.key("C-c");
    window.answer();
}

#[test]
fn exit_codes_and_pipes_are_those_of_a_shell() {
    let Some(mut window) = Window::open("tty-codes") else { return };
    for (command, expected) in [
        (format!("{}; echo $?", line("-- sh -c 'exit 3'")), "3\n"),
        (format!("{}; echo $?", line("-- sh -c 'kill -KILL $$'")), "137\n"),
        (format!("echo text | {} | tr t T; echo ${{PIPESTATUS[*]}}", line("-- cat -")), "TexT\n0 0 0\n"),
        (format!("{} | head -n 1; echo ${{PIPESTATUS[*]}}", line("-- yes")), "y\n141 0\n"),
        (format!("true | {}; echo $?", line("-- sh -c 'test -t 0 || test -t 1 && echo half'")), "half\n0\n"),
    ] {
        assert_eq!(window.ask(&command), expected, "{command}");
    }
}

/// The terminal is not the program's alone there: a pager reads its keys, and the shell its line when the program has ended.
#[test]
fn in_a_pipeline_others_have_the_terminal_too() {
    let Some(mut window) = Window::open("tty-pipeline") else { return };
    let modes = window.ask("stty -g");
    // As a pager does, while the program would read as well.
    let pager = "sh -c 'read -r x; stty -icanon -echo < /dev/tty; echo \"$x\"; key=$(dd bs=1 count=1 2>&- < /dev/tty); \
        stty icanon echo < /dev/tty; echo \"key $key\"'";
    window.start(&format!("{} | {pager}", line("-- sh -c 'echo words; read -r x; echo $x; sleep 1000'")));
    window.wait_for("\nwords");
    window.text("k");
    window.wait_for("\nwords\nkey k");
    window.key("C-c");
    assert_eq!(window.answer().trim_end(), "words\nkey k\n^C");
    assert_eq!(window.ask("stty -g"), modes);
    // Lines are read until the end of a file is typed, also after a stop.
    window.start(&format!("{} | cat", line("-- cat")));
    window.line("one");
    window.wait_for("\none\none");
    for word in ["two", "three"] {
        window.key("C-z");
        window.answer();
        window.start("fg");
        window.wait_for("once -- cat | cat");
        window.line(word);
        window.wait_for(&format!("\n{word}\n{word}"));
    }
    window.key("C-d");
    window.answer();
    // Each line that is written begins at the left.
    let both = format!("{} | cat", line("-- sh -c 'echo one >&2; echo two >&2'"));
    assert_eq!(window.ask(&both), "one\ntwo\n");
    // What is not to be seen is not.
    let secret = "-- sh -c 'stty -echo; echo ask >&2; read -r x; stty echo; echo \"got $x\"' | cat";
    window.start(&line(secret));
    window.wait_for("\nask");
    until("raw modes", || window.is_raw().then_some(()));
    window.line("secret");
    assert_eq!(window.answer(), "ask\ngot secret\n");
    assert_eq!(window.ask("stty -g"), modes);
}

/// With TIOCSTI a program types what the shell that started it then reads (CVE-2017-5226).
#[test]
fn nothing_can_be_typed_into_the_shell_outside() {
    let Some(mut window) = Window::open("tty-sti") else { return };
    let source = r#"
        #include <fcntl.h>
        #include <stdio.h>
        #include <sys/ioctl.h>
        int main(void) {
            int places[] = {0, 1, 2, open("/dev/tty", O_RDWR)};
            for (int at = 0; at < 4; at++)
                for (const char *c = "echo in$((40+2))jected\n"; *c; c++) ioctl(places[at], TIOCSTI, c);
            puts("typed");
            return 0;
        }"#;
    compile_static(&window.dir.join("type"), source);
    window.start(&line("-- ./type"));
    window.wait_for("typed\n[2]> ");
    assert_eq!(window.answer(), "typed\n");
    assert_eq!(window.ask("echo on"), "on\n");
    assert!(!window.shown().contains("in42jected"), "{}", window.shown());
}

#[test]
fn any_bytes_pass() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-bytes");
    let bytes: Vec<u8> = (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    dir.write("bytes", &bytes);
    let own = once(&dir, ["cat"]).inner;
    let program = own.get_program().to_str().unwrap();
    for script in
        ["\"$0\" once cat < bytes", "cat bytes | \"$0\" once cat", "\"$0\" once cat < bytes > out; cat out"]
    {
        let output =
            Command::new("sh").args(["-c", script, program]).current_dir(dir.path()).output().unwrap();
        assert!(output.stdout == bytes, "{script}: {} bytes", output.stdout.len());
        assert!(output.status.success() && output.stderr.is_empty(), "{script}: {output:?}");
    }
}

/// What a caller has closed is no descriptor of stockade's own, nor of the host's: it is `/dev/null`.
#[test]
fn closed_descriptors_are_empty_ones() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-closed");
    let own = once(&dir, ["cat"]).inner;
    let program = own.get_program().to_str().unwrap();
    for (script, code) in [
        ("\"$0\" once -- sh -c 'echo x; exit 4' >&-", 4),
        ("\"$0\" once -- cat <&-", 0),
        ("\"$0\" once -- sh -c 'echo x >&2; exit 4' 2>&-", 4),
        ("\"$0\" once -- sh -c 'cat; echo x; echo y >&2; exit 4' <&- >&- 2>&-", 4),
    ] {
        let output =
            Command::new("sh").args(["-c", script, program]).current_dir(dir.path()).output().unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.as_slice(), output.stderr.as_slice()),
            (Some(code), &b""[..], &b""[..]),
            "{script}"
        );
    }
}
