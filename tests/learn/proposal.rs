//! What is proposed, line by line, from programs of which is known what they use.

use std::fs;

use super::common::{Dir, Need, compile_static, needs};
use super::{said, without_times};

/// Where a test's program has its files. Not below /tmp, which is a jail's own.
fn place(name: &str) -> Option<Dir> {
    let dir = Dir::new(name);
    (needs(Need::Program("cc"))).then_some(dir)
}

/// A program that does what its arguments say.
const PROGRAM: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int count, char **words) {
    char buffer[64];
    for (int at = 1; at + 1 < count; at += 2) {
        const char *path = words[at + 1];
        switch (words[at][0]) {
        case 'r': { int file = open(path, O_RDONLY); if (file < 0 || read(file, buffer, 64) < 0) return 3; close(file); break; }
        case 'w': { int file = open(path, O_WRONLY | O_CREAT, 0644); if (file < 0 || write(file, "x", 1) != 1) return 4; close(file); break; }
        case 'd': if (chdir(path)) return 5; break;
        }
    }
    return 0;
}
"#;

#[test]
fn each_line_has_its_reason() {
    let Some(dir) = place("learn-lines") else { return };
    compile_static(&dir.join("program"), PROGRAM);
    let program = dir.join("program").display().to_string();
    let written = format!("/var/tmp/stockade-learned-{}", std::process::id());
    let words = [
        "learn",
        "--name",
        "small",
        "--",
        &program,
        "r",
        "/etc/hostname",
        "r",
        "/dev/zero",
        "w",
        &written,
        "d",
        "/usr/share",
    ];
    let mut command = dir.stockade(words);
    // What it finds there it proposes to set in the jail as well.
    command.inner.env_remove("TMPDIR");
    let output = command.output();
    let _ = fs::remove_file(&written);
    let uid = nix::unistd::geteuid();
    let user = if uid.is_root() { "root" } else { "nobody" };
    let expected = format!(
        "\
name = \"small\"

[program]
# the program is {program}
command = [\"{program}\", \"r\", \"/etc/hostname\", \"r\", \"/dev/zero\", \"w\", \"{written}\", \"d\", \"/usr/share\"]
# who it was started as
user = \"{user}\"

[tree]
programs = [
    \"{program}\",  # the program
]
files = [
    \"/etc/hostname\",  # read by program, open(2)
]
directories = [
    \"/usr/share\",  # entered by program, chdir(2)
]
devices = [
    \"zero\",  # read by program, open(2)
]

# tmp: {written} written by program, open(2)
[[mounts]]
type   = \"tmpfs\"
target = \"/var/tmp\"

[privileges]
# the smallest: it called nothing else
system_calls = \"compute\"

[test]
# how it ended when it was learned
status = 0
"
    );
    assert_eq!(
        (output.code, without_times(&output.stdout).replace("openat(2)", "open(2)")),
        (Some(0), expected),
        "{}",
        output.stderr
    );
}

#[test]
fn a_secret_is_shown_only_if_it_has_to_be() {
    let Some(dir) = place("learn-secret") else { return };
    if !needs(Need::UserNamespaces) {
        return;
    }
    compile_static(&dir.join("program"), PROGRAM);
    dir.write("key.pem", "-----BEGIN PRIVATE KEY-----\n");
    let words = ["learn", "--output", "s.toml", "--", "./program", "r", "key.pem"];
    let output = dir.stockade(words).output();
    assert_eq!(output.code, Some(0), "{}", said(&output));
    let text = fs::read_to_string(dir.join("s.toml")).unwrap();
    let says =
        |line: &&str| !line.starts_with('#') && !line.starts_with("command") && line.contains("key.pem");
    assert_eq!(text.lines().find(says), None, "{text}");
    assert!(text.contains("#     source = \""), "{text}");
    // Without it the program ends otherwise than on the host.
    let words = ["learn", "--prove", "--output", "s.toml", "--", "./program", "r", "key.pem"];
    let output = dir.stockade(words).output();
    assert_eq!(output.code, Some(0), "{}", said(&output));
    let text = fs::read_to_string(dir.join("s.toml")).unwrap();
    let shown = |line: &str| line.starts_with("source = ") && line.ends_with("key.pem\"");
    assert!(text.lines().any(shown), "{text}");
}

#[test]
fn a_second_run_adds_and_takes_nothing_away() {
    let Some(dir) = place("learn-into") else { return };
    compile_static(&dir.join("program"), PROGRAM);
    let program = dir.join("program").display().to_string();
    let learn = |words: &[&str]| {
        let output = dir.stockade(["learn"].iter().chain(words).copied()).output();
        assert_eq!(output.code, Some(0), "{}", said(&output));
        without_times(&fs::read_to_string(dir.join("twice.toml")).unwrap())
    };
    let first = learn(&["--output", "twice.toml", "--", &program, "r", "/etc/hostname"]);
    let again = learn(&["--into", "twice.toml", "--", &program, "r", "/etc/hostname"]);
    assert_eq!(again, first);
    let more = learn(&["--into", "twice.toml", "--", &program, "r", "/etc/os-release"]);
    let lost: Vec<_> = first.lines().filter(|line| !more.lines().any(|other| other == *line)).collect();
    assert_eq!(lost, Vec::<&str>::new());
    assert!(more.contains("os-release"), "{more}");
}

#[test]
fn what_is_added_to_a_manifest_of_somebody_takes_nothing_away() {
    let Some(dir) = place("learn-mine") else { return };
    let mine = "# mine\nname = \"m\"\n[program]\ncommand = [\"/bin/cat\", \"/etc/hostname\"] # keep\n";
    dir.write("m.toml", mine);
    let learn = |path: &str| {
        let output = dir.stockade(["learn", "--into", "m.toml", "--", "/bin/cat", path]).output();
        assert_eq!(output.code, Some(0), "{}", said(&output));
        fs::read_to_string(dir.join("m.toml")).unwrap()
    };
    // Where it is silent it has a user, devices and a profile of its own.
    let text = learn("/etc/hostname");
    assert!(text.starts_with(mine), "{text}");
    for key in ["user", "devices", "system_calls"] {
        assert!(!text.contains(&format!("{key} =")), "{text}");
    }
    let text = learn("/dev/null");
    for device in ["null", "zero", "full", "random", "urandom"] {
        assert_eq!(text.matches(&format!("    \"{device}\",  # ")).count(), 1, "{text}");
    }
}

#[test]
fn what_cannot_be_learned_is_told() {
    let dir = Dir::new("learn-wrong");
    dir.stockade(["learn"]).expect(
        2,
        "",
        "error: no program is named\nhint: write `stockade learn -- PROGRAM ARGUMENTS`\n",
    );
    dir.stockade(["learn", "--prove", "--", "true"]).expect(
        2,
        "",
        "error: `--prove` needs a manifest's file\nhint: name it with `--output FILE` or `--into FILE`\n",
    );
    dir.stockade(["learn", "--into", "none.toml", "--", "true"]).expect(
        125,
        "",
        "error: cannot read the manifest `none.toml`\n  why: No such file or directory (os error 2)\n\
         hint: `--into` adds to a manifest that is there; `-o FILE` makes a new one\n",
    );
    dir.stockade(["learn", "--for", "soon", "--", "true"]).expect(
        2,
        "",
        "error: `--for soon` is not a time\n  why: `soon` is not a time; write a number with ms, s, m, h or d, such as `10s` or `1h30m`\nhint: write `--for 10s`\n",
    );
    dir.stockade(["learn", "--", "no-such-program"]).expect(
        125,
        "",
        "error: the program cannot be watched\n  why: cannot find `no-such-program` in PATH\n",
    );
    dir.stockade(["learn", "--for", "500ms", "--probe", "false", "--", "sleep", "100"]).expect(
        1,
        "",
        "error: the probe did not succeed while the program was watched\n\
         hint: a longer `--for` gives it more time; outside a jail it has to succeed first\n",
    );
}

#[test]
fn who_fails_at_once_at_a_terminal_is_told_where_to_look() {
    if !needs(Need::UserNamespaces) || !needs(Need::Program("script")) {
        return;
    }
    let dir = Dir::new("learn-note");
    dir.write("none.toml", "program.command = [\"/bin/cat\", \"/etc/hostname\"]\n");
    let built = dir.stockade(["build", "./none.toml"]).output();
    assert_eq!(built.code, Some(0), "{}", said(&built));
    let own = dir.stockade(["run", "./none.toml"]).inner;
    let state: Vec<_> =
        own.get_envs().map(|(name, value)| (name.to_owned(), value.unwrap().to_owned())).collect();
    let mut command = dir.stockade([""]);
    command.inner = std::process::Command::new("script");
    let line = format!("{} run ./none.toml", own.get_program().display());
    command.inner.args(["-qec", &line, "/dev/null"]).current_dir(dir.path()).envs(state);
    let output = command.output();
    let expected = "/bin/cat: /etc/hostname: No such file or directory\r\n\
                    note: `stockade diagnose ./none.toml` tells what it lacked, if it lacked anything\r\n";
    // script(1) passes on that its own input has ended, and the terminal may still echo that.
    assert_eq!((output.code, output.stdout.trim_start_matches("^@")), (Some(1), expected));
    // Nobody reads notes in a log.
    dir.stockade(["run", "./none.toml"]).expect(
        1,
        "",
        "/bin/cat: /etc/hostname: No such file or directory\n",
    );
}

#[test]
fn what_the_jailed_run_lacks_is_added_until_it_works() {
    let Some(dir) = place("learn-rounds") else { return };
    if !needs(Need::UserNamespaces) {
        return;
    }
    // Only in a jail has it so small a process id.
    let source = "#include <fcntl.h>\n#include <unistd.h>\n\
                  int main(void) { return getpid() < 5 && open(\"/etc/hostname\", O_RDONLY) < 0; }\n";
    compile_static(&dir.join("program"), source);
    let output = dir.stockade(["learn", "--prove", "--output", "rounds.toml", "--", "./program"]).output();
    assert_eq!(output.code, Some(0), "{}", said(&output));
    assert!(output.stderr.contains("it does not work yet; 1 line is added\n"), "{}", said(&output));
    let text = fs::read_to_string(dir.join("rounds.toml")).unwrap();
    assert!(text.contains("    \"/etc/hostname\",  # read by program, "), "{text}");
}

#[test]
fn an_interpreter_has_its_modules_and_nothing_of_where_it_was_called() {
    let Some(dir) = place("learn-python") else { return };
    if !needs(Need::UserNamespaces) || !needs(Need::Program("/usr/bin/python3")) {
        return;
    }
    dir.write("mine", "not the program's\n");
    let words = [
        "learn",
        "--prove",
        "--output",
        "python.toml",
        "--",
        "/usr/bin/python3",
        "-c",
        "import ssl, email, http.client, json",
    ];
    let output = dir.stockade(words).output();
    let text = fs::read_to_string(dir.join("python.toml")).unwrap_or_default();
    assert_eq!(output.code, Some(0), "{}{text}", said(&output));
    assert!(!text.contains("mine"), "{text}");
    let planned = dir.stockade(["plan", "--all", "./python.toml"]).output();
    assert!(!planned.stdout.contains("/mine"), "{}", planned.stdout);
}

#[test]
fn what_is_written_beside_keys_is_not_shown_unasked() {
    let Some(dir) = place("learn-beside-keys") else { return };
    compile_static(&dir.join("program"), PROGRAM);
    fs::create_dir(dir.join(".ssh")).unwrap();
    dir.write(".ssh/id_rsa", "").write(".ssh/known_hosts", "");
    let output = dir.stockade(["learn", "--name", "x", "--", "./program", "w", ".ssh/known_hosts"]).output();
    assert_eq!(output.code, Some(0), "{}", said(&output));
    let shown: Vec<_> = output.stdout.lines().filter(|line| line.starts_with("source")).collect();
    assert_eq!(shown, Vec::<&str>::new(), "{}", output.stdout);
    let is_told = |line: &str| {
        let source = line.strip_prefix("#     source").map(|rest| rest.trim_start_matches(['=', ' ']));
        source.is_some_and(|source| source == format!("\"{}\"", dir.join(".ssh").display()))
    };
    assert!(output.stdout.lines().any(is_told), "{}", output.stdout);
}

#[test]
fn a_directory_for_everybody_that_is_only_looked_at_is_not_hidden() {
    let dir = Dir::new("learn-looked");
    let output = dir.stockade(["learn", "--name", "x", "--", "sh", "-c", "test -d /tmp"]).output();
    assert_eq!(output.code, Some(0), "{}", said(&output));
    assert!(!output.stdout.contains("[[mounts]]"), "{}", output.stdout);
}

#[test]
fn a_name_that_is_no_text_is_told() {
    use std::os::unix::ffi::OsStrExt as _;
    let Some(dir) = place("learn-name") else { return };
    if !needs(Need::UserNamespaces) {
        return;
    }
    let strange = dir.join(std::ffi::OsStr::from_bytes(b"\xff"));
    fs::write(strange, "").unwrap();
    let script = "cat \"$(printf '\\377')\"";
    let output = dir.stockade(["learn", "--output", "x.toml", "--", "sh", "-c", script]).output();
    assert_eq!(output.code, Some(0), "{}", said(&output));
    let text = fs::read_to_string(dir.join("x.toml")).unwrap();
    let told = "\\xff: its name is no text, so name the directory it is in\n";
    assert!(text.contains(told) && !text.contains('\u{fffd}'), "{text}");
    let built = dir.stockade(["build", "./x.toml"]).output();
    assert_eq!(built.code, Some(0), "{}", said(&built));
}

#[test]
fn data_beside_keys_is_shown_alone() {
    if !needs(Need::Root) {
        return;
    }
    let place = format!("/srv/stockade-learned-{}", std::process::id());
    fs::create_dir(&place).unwrap();
    fs::write(format!("{place}/data"), "").unwrap();
    fs::write(format!("{place}/.git-credentials"), "").unwrap();
    let data = format!("{place}/data");
    let output = Dir::new("learn-data").stockade(["learn", "--name", "x", "--", "cat", &data]).output();
    fs::remove_dir_all(&place).unwrap();
    let shown = format!("source = \"{data}\"\ntarget = \"{data}\"\n");
    assert!(output.stdout.contains(&shown), "{}", said(&output));
}

#[test]
fn a_program_that_ends_its_process_group_does_not_end_the_callers() {
    if !needs(Need::Program("setsid")) {
        return;
    }
    let dir = Dir::new("learn-group");
    compile_static(
        &dir.join("program"),
        "#include <signal.h>\nint main(void) { signal(SIGTERM, SIG_IGN); return kill(0, SIGTERM); }",
    );
    let own = dir.stockade(["learn", "--name", "x", "--", "./program"]).inner;
    let mut command = dir.stockade([""]);
    let state: Vec<_> =
        own.get_envs().map(|(name, value)| (name.to_owned(), value.unwrap().to_owned())).collect();
    command.inner = std::process::Command::new("setsid");
    command.inner.args(["--wait", "sh", "-c", "\"$@\" > proposed; echo \"and on: $?\"", "sh"]);
    command.inner.arg(own.get_program()).args(own.get_args()).current_dir(dir.path()).envs(state);
    let output = command.output();
    assert_eq!(output.stdout, "and on: 0\n", "{}", said(&output));
}
