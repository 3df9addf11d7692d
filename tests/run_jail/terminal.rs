//! A jail on a terminal: keys, job control, sizes, and what the program can do to the terminal it was started from.

use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::pty::Terminal;
use crate::support::{Jail, children, is_root, status_of, ticks, until};

/// A jail's run as a command line of a shell.
fn line(jail: &Jail, arguments: &[&str]) -> String {
    let command = jail.command(arguments);
    let mut line = format!(
        "STOCKADE_STATE_DIR='{}' '{}'",
        jail.path("state").display(),
        crate::common::binary().display()
    );
    for argument in command.get_args() {
        write!(line, " '{}'", argument.to_str().unwrap().replace('\'', "'\\''")).unwrap();
    }
    line
}

/// The supervisor below a shell on a terminal.
fn supervisor_below(shell: &Terminal) -> i32 {
    let shell = shell.child.id() as i32;
    until("the supervisor", || {
        children(shell)
            .into_iter()
            .find(|child| status_of(*child, "Name") == "stockade" && !children(*child).is_empty())
    })
}

/// Waits until what a jailed shell has started has its terminal, and is stopped and ended by the keys for that: before, they are the
/// shell's, which ignores them.
fn wait_for_foreground(terminal: &Terminal) {
    let is_default = |pid: i32, set: &str| {
        let [stop, end] = [Signal::SIGTSTP, Signal::SIGINT].map(|signal| 1 << (signal as u64 - 1));
        u64::from_str_radix(&status_of(pid, set), 16).is_ok_and(|set| set & (stop | end) == 0)
    };
    let has_terminal = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // After the name, see proc_pid_stat(5): state, parent, group, session, terminal, group in the foreground.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields.len() > 5 && fields[2] == fields[5]
    };
    until("a command in the foreground", || {
        let first = *children(terminal.child.id() as i32).first()?;
        let shell = *children(first).first()?;
        let is_it =
            |pid: &i32| has_terminal(*pid) && is_default(*pid, "SigIgn") && is_default(*pid, "SigCgt");
        children(shell).into_iter().find(is_it)
    });
}

const TTY: &str = "tree.devices = [\"null\", \"tty\", \"pts\"]";

#[test]
fn a_jailed_shell_has_job_control() {
    let jail = Jail::with_command(
        "inner",
        "[\"/bin/sh\", \"-i\"]",
        &format!("{TTY}\nprogram.environment.PS1 = \"> \""),
    );
    jail.build();
    let mut terminal = Terminal::start(&jail.command(&[]));
    terminal.wait_for("> ");
    terminal.keys("sleep 1000\n");
    terminal.wait_for("sleep 1000\r\n");
    wait_for_foreground(&terminal);
    terminal.keys("\x03");
    terminal.wait_for("> ");
    assert!(terminal.ask("echo code $?").contains("code 130"));
    terminal.keys("sleep 1000\n");
    terminal.wait_for("sleep 1000\r\n");
    wait_for_foreground(&terminal);
    terminal.keys("\x1a");
    terminal.wait_for("Stopped");
    terminal.wait_for("> ");
    assert!(terminal.ask("jobs").contains("Stopped"));
    terminal.keys("fg\n");
    terminal.wait_for("sleep 1000\r\n");
    wait_for_foreground(&terminal);
    terminal.keys("\x03");
    terminal.wait_for("> ");
    terminal.keys("exit 5\n");
    assert_eq!(terminal.ended(), Some(5));
    assert!(terminal.is_cooked());
}

/// As on a host that has mounted no devpts(5).
#[test]
fn where_no_terminal_can_be_made_it_is_said_what_makes_them() {
    if !is_root() {
        return;
    }
    let jail = Jail::with_command("no-ptmx", "[\"/bin/sh\", \"-i\"]", TTY);
    jail.build();
    let without = "mkdir \"$0\" && touch \"$0\"/null && mount --bind /dev/null \"$0\"/null && mount --rbind \"$0\" /dev && exec \"$@\"";
    let run = jail.command(&[]);
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--mount", "sh", "-ec", without])
        .arg(jail.path("dev"))
        .arg(run.get_program())
        .args(run.get_args());
    command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("NO_COLOR", "1");
    let mut terminal = Terminal::start(&command);
    assert_eq!(terminal.ended(), Some(125));
    let said = terminal.shown().replace("\r\n", "\n");
    let expected = "error: cannot attach the program's terminal in jail `no-ptmx`\n  why: open(2): No such file or directory (ENOENT), step ";
    assert!(said.starts_with(expected), "{said}");
    let hint = "hint: terminals are made by the host's /dev/ptmx: mount devpts(5) at /dev/pts, or give the program no terminal, as with \
                `< /dev/null 2>&1 | cat`\n";
    assert!(said.ends_with(hint), "{said}");
}

#[test]
fn a_jail_is_a_job_of_the_shell_outside() {
    let jail = Jail::probe("outer", TTY);
    jail.build();
    let mut shell = Terminal::shell();
    let before = shell.ask("stty -g");
    for round in 0..2 {
        shell.keys(&format!("{}\n", line(&jail, &["pause"])));
        shell.wait_for("ready");
        until("raw modes", || (!shell.is_cooked()).then_some(()));
        for _ in 0..2 {
            shell.keys("\x1a");
            shell.wait_for("Stopped");
            shell.wait_for("> ");
            assert_eq!(shell.ask("stty -g"), before, "the modes are back after the stop");
            assert!(shell.ask("jobs").contains("Stopped"));
            shell.keys("fg\n");
            shell.wait_for("stockade");
            until("raw modes", || (!shell.is_cooked()).then_some(()));
        }
        if round == 0 {
            shell.keys("\x03");
            shell.wait_for("> ");
            assert!(shell.ask("echo code $?").contains("code 130"));
        } else {
            // The jail is killed, and the terminal is given back.
            let supervisor = supervisor_below(&shell);
            kill(Pid::from_raw(children(supervisor)[0]), Signal::SIGKILL).unwrap();
            shell.wait_for("> ");
            assert!(shell.ask("echo code $?").contains("code 137"));
        }
        assert_eq!(shell.ask("stty -g"), before, "the modes are back after the end");
    }
}

#[test]
fn without_a_shell_outside_ctrl_z_does_not_hang_the_terminal() {
    // Nobody could continue the supervisor: the kernel ignores the key in such a session, and so does the jail.
    let jail = Jail::probe("no-shell", TTY);
    jail.build();
    let mut terminal = Terminal::start(&jail.command(&["pause"]));
    terminal.wait_for("ready");
    until("raw modes", || (!terminal.is_cooked()).then_some(()));
    terminal.keys("\x1a");
    std::thread::sleep(Duration::from_millis(100));
    terminal.keys("\x03");
    assert_eq!(terminal.ended(), Some(-2));
    assert!(terminal.is_cooked());
}

/// What was shown, without the note to those whose program ends with an error at once.
fn without_note(shown: &str) -> String {
    let is_note = |line: &&str| line.starts_with("note: `stockade diagnose ");
    shown.split_inclusive('\n').filter(|line| !is_note(line)).collect()
}

#[test]
fn the_exit_code_and_the_last_words_pass_through_a_terminal() {
    let jail = Jail::shell("words", TTY);
    jail.build();
    for (script, code) in [("echo last words; exit 7", 7), ("echo last words; kill -9 $$", 137)] {
        let mut terminal = Terminal::start(&jail.command(&[script]));
        assert_eq!(terminal.ended(), Some(code));
        assert_eq!(without_note(terminal.shown()), "last words\r\n");
        assert!(terminal.is_cooked());
    }
}

#[test]
fn everything_the_program_wrote_is_shown_although_others_still_have_the_terminal() {
    let jail = Jail::shell("flood", TTY);
    jail.build();
    for _ in 0..5 {
        let mut terminal = Terminal::start(&jail.command(&["sleep 1000 & /probe flood 500"]));
        assert_eq!(terminal.ended(), Some(0));
        assert_eq!(terminal.shown().lines().filter(|line| line.len() == 99).count(), 500);
    }
}

#[test]
fn the_windows_size_and_its_changes_are_the_programs() {
    let jail = Jail::probe("size", TTY);
    jail.build();
    let mut terminal = Terminal::start(&jail.command(&["sizes"]));
    terminal.wait_for("size 30 100");
    terminal.resize(40, 120);
    terminal.wait_for("size 40 120");
    terminal.resize(20, 70);
    terminal.wait_for("size 20 70");
    kill(Pid::from_raw(terminal.child.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(terminal.ended(), Some(0));
}

#[test]
fn the_program_does_not_have_the_hosts_terminal() {
    let jail = Jail::shell("not-the-hosts", TTY);
    jail.build();
    let mut shell = Terminal::shell();
    let device = shell.ask("stat -L -c 'device %t:%T' /proc/self/fd/0");
    let run = line(
        &jail,
        &[
            "for fd in 0 1 2; do [ -t $fd ] && stat -L -c 'device %t:%T' /proc/self/fd/$fd; done; ls /dev/pts; /probe descriptors",
        ],
    );
    let inside = shell.ask(&run);
    assert!(device.starts_with("device "), "{device}");
    assert!(!inside.contains(device.trim()), "{inside}");
    assert_eq!(inside.matches("device 88:").count(), 3, "{inside}");
    assert!(
        inside.ends_with("0: device, a terminal\n1: device, a terminal\n2: device, a terminal\n"),
        "{inside}"
    );
}

#[test]
fn what_the_program_types_ahead_does_not_reach_the_shell_outside() {
    for user in ["nobody", "root"] {
        let jail = Jail::probe("typing", &format!("{TTY}\nprogram.user = \"{user}\""));
        jail.build();
        let mut shell = Terminal::shell();
        for name in ["/dev/tty", "/proc/self/fd/0"] {
            let said = shell.ask(&line(&jail, &["type", name, "echo in$((40+2))jected"]));
            assert!(said.contains("TIOCSTI: ") || said.contains("open: "), "{said}");
            shell.ask("echo one");
            shell.ask("echo two");
            assert!(!shell.shown().contains("in42jected"), "{}", shell.shown());
        }
    }
}

#[test]
fn one_end_can_be_a_pipe() {
    let jail = Jail::shell("half", TTY);
    jail.build();
    // Standard output is a pipe.
    let mut terminal = Terminal::start_with(
        &jail
            .command(&["[ -t 0 ] && [ ! -t 1 ] && [ -t 2 ] && echo asked >&2; read -r line; echo got $line"]),
        |terminal| (terminal(), Stdio::piped(), terminal()),
    );
    terminal.wait_for("asked");
    terminal.keys("hello\n");
    assert_eq!(terminal.ended(), Some(0));
    let mut output = String::new();
    std::io::Read::read_to_string(&mut terminal.child.stdout.take().unwrap(), &mut output).unwrap();
    assert_eq!(output, "got hello\n");
    assert!(terminal.is_cooked());
    // Standard input is one.
    let mut shell = Terminal::shell();
    let run = line(&jail, &["[ ! -t 0 ] && [ -t 1 ] && read -r line; echo got $line; exit 3"]);
    assert_eq!(without_note(&shell.ask(&format!("echo typed | {run}; echo code $?"))), "got typed\ncode 3\n");
    // Then the keys are the outer terminal's.
    shell.keys(&format!("sleep 1000 | {}\n", line(&jail, &["echo ready; sleep 1000"])));
    shell.wait_for("\r\nready");
    shell.keys("\x03");
    shell.wait_for("> ");
    assert!(shell.ask("echo code $?").contains("code 130"));
}

#[test]
fn a_jail_in_the_background_leaves_the_terminal_alone() {
    let jail = Jail::shell("background", TTY);
    jail.build();
    let mut shell = Terminal::shell();
    let before = shell.ask("stty -g");
    // What it says may stand before the shell's word or behind it: it is waited for in a file.
    let ready = jail.path("ready");
    let script = "trap 'echo got USR1' USR1; echo ready >&2; read -r line; echo got $line";
    shell.ask(&format!("{} 2> '{}' &", line(&jail, &[script]), ready.display()));
    until("the program", || {
        std::fs::read_to_string(&ready).is_ok_and(|said| said == "ready\n").then_some(())
    });
    assert_eq!(shell.ask("stty -g"), before);
    assert!(shell.ask("echo typed to the shell").contains("typed to the shell"));
    // No signal tells it that it comes to the foreground, and yet it hears what is typed.
    shell.keys("fg\n");
    shell.wait_for("fg\r\n");
    until("raw modes", || (!shell.is_cooked()).then_some(()));
    shell.keys("hello\n");
    shell.wait_for("got hello");
    shell.wait_for("> ");
    assert_eq!(shell.ask("stty -g"), before);
}

#[test]
fn a_paste_longer_than_any_buffer_arrives_whole() {
    let jail = Jail::shell("paste", TTY);
    jail.build();
    let mut terminal = Terminal::start(&jail.command(&["stty -echo; echo ready; cat; echo end"]));
    terminal.wait_for("ready");
    until("raw modes", || (!terminal.is_cooked()).then_some(()));
    let text = (0..2000).map(|at| format!("{at:099}\n")).collect::<Vec<_>>().concat();
    terminal.keys(&text);
    terminal.keys("\x04");
    let shown = terminal.wait_for("end\r\n").replace('\r', "");
    assert!(shown.trim_start() == text, "{} of {} bytes", shown.len(), text.len());
    assert_eq!(terminal.ended(), Some(0));
}

#[test]
fn a_program_that_reads_nothing_can_be_ended_all_the_same() {
    let jail = Jail::probe("deaf", TTY);
    jail.build();
    let mut terminal = Terminal::start(&jail.command(&["pause"]));
    terminal.wait_for("ready");
    until("raw modes", || (!terminal.is_cooked()).then_some(()));
    let text = "a line that nobody reads\n".repeat(20_000);
    let left = terminal.keys_that_fit(&text, Duration::from_millis(300));
    assert!(!left.is_empty(), "there is an end to what fits");
    kill(Pid::from_raw(terminal.child.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(terminal.ended(), Some(143));
}

#[test]
fn a_program_that_closes_its_terminal_goes_on() {
    let jail = Jail::probe("leaves", TTY);
    jail.build();
    let mut terminal = Terminal::start(&jail.command(&["closed"]));
    terminal.wait_for("last words");
    until("the terminal back", || terminal.is_cooked().then_some(()));
    // The supervisor sleeps meanwhile: see `a_supervisor_with_nothing_to_do_sleeps`.
    let supervisor = terminal.child.id() as i32;
    let (own, used) = (std::process::id() as i32, ticks(supervisor));
    let start = ticks(own);
    until("processor time", || {
        std::hint::black_box((0..200_000_u64).sum::<u64>());
        (ticks(own) >= start + 20).then_some(())
    });
    assert!(ticks(supervisor) - used < 10);
    // Keys are signals again.
    terminal.keys("\x03");
    assert_eq!(terminal.ended(), Some(-2));
}

/// Limits that are to hold whoever reads, or does not.
const SOON: &str = "limits.runtime_max = \"1s\"";

#[test]
fn a_terminal_that_nobody_reads_puts_off_neither_a_time_limit_nor_a_signal() {
    for (more, code) in [(SOON, 124), ("", 143)] {
        let jail = Jail::shell("unread", &format!("{TTY}\n{more}"));
        jail.build();
        let mut terminal = Terminal::start(&jail.command(&["echo ready; exec yes"]));
        terminal.wait_for("ready");
        let end = || kill(Pid::from_raw(terminal.child.id() as i32), Signal::SIGTERM).unwrap();
        if more.is_empty() {
            end();
        }
        until("the end of all but the supervisor", || (jail.processes().len() <= 1).then_some(()));
        if more.is_empty() {
            // It waits for somebody to read the last words, and is told not to.
            end();
            until("the end of all", || jail.processes().is_empty().then_some(()));
        }
        // The second signal may find it with nothing left to wait for, on its way out: then it dies of that.
        let died = more.is_empty().then_some(-(Signal::SIGTERM as i32));
        let ended = terminal.ended();
        assert!(ended == Some(code) || ended.is_some() && ended == died, "{ended:?}");
        assert!(terminal.is_cooked());
    }
}

#[test]
fn a_program_that_is_stopped_while_others_write_has_its_time_limit() {
    let jail = Jail::shell("stops", &format!("{TTY}\n{SOON}"));
    jail.build();
    for script in ["yes & kill -STOP $$; sleep 1000", "yes & while :; do kill -STOP $$; done"] {
        let mut terminal = Terminal::start(&jail.command(&[script]));
        terminal.wait_for("y\r\n");
        terminal.read_slowly_until("the end of the jail", || jail.processes().is_empty());
        assert_eq!(terminal.ended(), Some(124), "{script}");
        assert!(terminal.is_cooked());
    }
}
