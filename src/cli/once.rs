//! The words of `stockade once`. argh knows neither options of two values nor an order among them, and here a later mount comes over
//! an earlier one: so this reads them itself, from one table that `--help` is written from too.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;

use argh::{CommandInfo, EarlyExit, FromArgs, SubCommand};

use super::{Early, usage};
use crate::manifest::once::Asked;
use crate::manifest::suggest;
use crate::report::diagnostic::{self, Style};
use crate::sys;

/// An option: its name, what stands after it, and its help.
struct Known {
    name: &'static str,
    values: &'static [&'static str],
    help: &'static str,
}

/// Short for one.
const fn option(name: &'static str, values: &'static [&'static str], help: &'static str) -> Known {
    Known { name, values, help }
}

/// A headline of the help, in the place of an option.
const fn headline(text: &'static str) -> Known {
    Known { name: "", values: &[], help: text }
}

/// Every option, in the order of the help. An empty name is a headline.
#[rustfmt::skip]
const KNOWN: &[Known] = &[
    headline("Files; a later one comes over an earlier one, and a path in the jail is as the program says it:"),
    option("--rw", &["PATH"], "show a directory or file of the host where it is, writable; `--rw .` for the current directory"),
    option("--ro", &["PATH"], "the same, read-only"),
    option("--bind", &["SRC", "DEST"], "show SRC of the host at DEST, writable"),
    option("--ro-bind", &["SRC", "DEST"], "the same, read-only; `/` as DEST shows what is in SRC as the root"),
    option("--dev-bind", &["SRC", "DEST"], "show a device of the host"),
    option("--bind-try", &["SRC", "DEST"], "as --bind, and nothing if there is no SRC"),
    option("--ro-bind-try", &["SRC", "DEST"], "as --ro-bind, and nothing if there is no SRC"),
    option("--dev-bind-try", &["SRC", "DEST"], "as --dev-bind, and nothing if there is no SRC"),
    option("--tmpfs", &["DEST"], "an empty file system in memory, of 64 MiB unless --size says otherwise"),
    option("--overlay", &["DIR"], "show a directory of the host where it is, writable; changes go to memory, not to the host"),
    option("--overlay-src", &["SRC"], "what the next --tmp-overlay is over"),
    option("--tmp-overlay", &["DEST"], "the same at DEST"),
    option("--changes", &[], "at the end, list what was added (A), modified (M) and deleted (D) in each --overlay"),
    option("--commit", &[], "at the end, apply that to the host, if the exit code is 0"),
    option("--discard", &[], "at the end, drop it, as by default"),
    option("--dir", &["DEST"], "an empty directory"),
    option("--symlink", &["TEXT", "DEST"], "a symbolic link"),
    option("--file", &["FD", "DEST"], "a small text file with what can be read from this descriptor"),
    option("--bind-data", &["FD", "DEST"], "the same"),
    option("--ro-bind-data", &["FD", "DEST"], "the same"),
    option("--hide", &["PATH"], "put something empty over a directory or file that is shown"),
    option("--remount-ro", &["DEST"], "what was mounted at DEST by an option before is read-only"),
    option("--perms", &["OCTAL"], "mode of the next --dir, --tmpfs or --file"),
    option("--size", &["BYTES"], "size of the next --tmpfs, or of what the next --overlay can take"),
    option("--dev", &["DEST"], "devices as by default; DEST can be /dev only"),
    option("--proc", &["DEST"], "/proc as by default; DEST can be /proc only"),
    option("--no-proc", &[], "no /proc: in a container that has parts of its own covered, the kernel gives no new one"),
    option("--mqueue", &["DEST"], "POSIX message queues"),
    option("--root", &["DIR"], "what is in DIR is the root, and nothing of the host's own is shown"),
    option("--rw-root", &[], "with --root: writable"),
    option("--no-root-squash", &[], "started by root: root inside is root on what is shown writable, and can leave set-user-id files there"),
    option("--landlock-only", &[], "where user namespaces are refused: the program stays in the host's tree and namespaces, and Landlock and the filter of system calls alone hold it"),
    option("--bare", &[], "nothing is shown but what options say, as with bubblewrap"),

    headline("The program:"),
    option("--chdir", &["DIR"], "working directory; the current directory, if that is shown"),
    option("--setenv", &["NAME", "VALUE"], "a variable of its environment, which has PATH, HOME, USER and the language by default"),
    option("--env", &["NAME[=VALUE]"], "the same; without a value, the caller's"),
    option("--unsetenv", &["NAME"], "a variable that it does not get"),
    option("--clearenv", &[], "no variable but those that options set"),
    option("--uid", &["UID"], "user id inside; the caller's"),
    option("--gid", &["GID"], "group id inside; the caller's"),
    option("--id-range", &[], "root inside, with all the ids that /etc/subuid and /etc/subgid grant to the caller and the capabilities to use them: chown and package managers work"),
    option("--hostname", &["NAME"], "host name inside; `once`"),
    option("--cap-add", &["CAP"], "a capability, which counts inside only; ALL for every one"),
    option("--as-pid-1", &[], "the program is process 1 itself, which has to reap its children"),
    option("--share-net", &[], "the host's network; without it there is loopback only"),
    option("--net", &["none|host|pasta"], "pasta: a network of its own, which pasta(1) connects to others with no right but the caller's; the host's loopback is not reached"),
    option("--publish", &["[ADDR:]HOST[:JAIL][/udp]"], "with --net pasta: port HOST of the host's leads to port JAIL; of its loopback, unless ADDR says otherwise"),
    option("--allow", &["PORT[/udp]"], "with --net pasta: this port of the host's loopback is on the jail's as well"),
    option("--die-with-parent", &[], "end when the process ends that started stockade"),

    headline("Limits:"),
    option("--timeout", &["TIME"], "wall time, such as 10s; exit code 124"),
    option("--cpu-time", &["TIME"], "time on processors, of all processes together; exit code 124"),
    option("--memory", &["SIZE"], "memory of all processes together, such as 256M; needs a control group"),
    option("--pids", &["COUNT"], "processes and threads of the program; 1023 by default"),
    option("--file-size", &["SIZE"], "size of any file that is written, a file of yours as output included; exit code 153"),
    option("--output-size", &["SIZE"], "bytes of standard output and error together, whatever they go to; exit code 153"),
    option("--tmp-size", &["SIZE"], "size of /tmp, of the home, of what an --overlay can take; 64M by default"),
    option("--rlimit", &["NAME=SOFT:HARD"], "any limit of setrlimit(2), such as nofile=64:128"),
    option("--best-effort", &["LAYER"], "go on where this host cannot enforce a layer: user_namespace keyring proc limits landlock seccomp"),

    headline("Other:"),
    option("--from", &["JAIL"], "start from this manifest, and not from the host's directories"),
    option("--save", &["FILE"], "write what the options amount to as a manifest, and run nothing; - for standard output"),
    option("--report", &["FILE|FD"], "write what was enforced, used and reached, and how it ended, as JSON"),
    option("-v", &[], "tell that in a line on standard error"),
    option("--diagnose", &[], "watch it, and if it ends with an error tell what it lacked that the host has, and the option that gives it"),
    option("--json-status-fd", &["FD"], "write the program's process id and its exit code to this descriptor, as JSON lines"),
    option("--info-fd", &["FD"], "write the program's process id to this descriptor, as JSON"),
    option("--args", &["FD"], "read further options from this descriptor, each ended by a NUL byte"),
];

/// Options of bubblewrap's that ask for what every jail has.
const GIVEN: [&str; 12] = [
    "--unshare-all",
    "--unshare-user",
    "--unshare-user-try",
    "--unshare-ipc",
    "--unshare-pid",
    "--unshare-uts",
    "--unshare-cgroup",
    "--unshare-cgroup-try",
    "--new-session",
    "--disable-userns",
    "--assert-userns-disabled",
    "--unshare-net",
];

/// Options of bubblewrap's that cannot be had here, with the values each takes, and what to do instead.
const REFUSED: [(&str, usize, &str); 18] = [
    (
        "--seccomp",
        1,
        "the filter is chosen by name: `system_calls` under [privileges] of a manifest, with --from",
    ),
    (
        "--add-seccomp-fd",
        1,
        "the filter is chosen by name: `system_calls` under [privileges] of a manifest, with --from",
    ),
    ("--argv0", 1, "the program's first argument is its name; a script with `exec -a` can give another"),
    ("--chmod", 2, "modes are given where something is made: --perms before --dir, --tmpfs or --file"),
    ("--bind-fd", 2, "show it by its path: --bind SRC DEST"),
    ("--ro-bind-fd", 2, "show it by its path: --ro-bind SRC DEST"),
    ("--version", 0, "`stockade --version` tells it"),
    ("--cap-drop", 1, "no capability is there unless --cap-add gives it"),
    ("--userns", 1, "the user namespace is always a new one"),
    ("--userns2", 1, "the user namespace is always a new one"),
    ("--pidns", 1, "the PID namespace is always a new one"),
    ("--sync-fd", 1, "--report or --json-status-fd tell of the end"),
    ("--block-fd", 1, "start it when it is to start"),
    ("--userns-block-fd", 1, "start it when it is to start"),
    ("--lock-file", 1, "flock(1) around `stockade once` holds a lock meanwhile"),
    ("--exec-label", 1, "labels of SELinux are not set"),
    ("--file-label", 1, "labels of SELinux are not set"),
    ("--ro-overlay", 1, "show each directory at a place of its own, with --ro-bind"),
];

/// What `stockade once` is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Once {
    /// Its options, in order.
    pub(crate) options: Vec<Asked>,
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
}

impl Once {
    /// The value of an option that is there for the command and not for the manifest; the last one counts.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let named = self.options.iter().rev().find(|asked| asked.name == name);
        named.map(|asked| asked.values.first().map_or("", String::as_str))
    }
}

/// For argh, which lists it with the other verbs: the words come to [`parse`] before it sees them.
impl SubCommand for Once {
    const COMMAND: &'static CommandInfo = &CommandInfo {
        name: "once",
        short: &'\0',
        description: "run one command isolated, without a manifest: `stockade once -- COMMAND`",
    };
}

impl FromArgs for Once {
    fn from_args(_: &[&str], words: &[&str]) -> Result<Self, EarlyExit> {
        parse(words.iter().map(OsString::from).collect()).map_err(|early| match early {
            Early::Answer(output) => EarlyExit { output, status: Ok(()) },
            Early::Usage(_) => EarlyExit { output: String::new(), status: Err(()) },
        })
    }
}

/// Reads the words that follow `once`.
pub(crate) fn parse(words: Vec<OsString>) -> Result<Once, Early> {
    let mut found = Once::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            found.command = words.collect();
            break;
        }
        if !word.as_encoded_bytes().starts_with(b"-") || word == "-" {
            found.command = std::iter::once(word).chain(words).collect();
            break;
        }
        read(&word, &mut words, &mut found.options)?;
    }
    if found.command.is_empty() && found.value("--from").is_none() {
        return Err(usage(
            "no command is given".into(),
            "write `stockade once -- COMMAND`; `stockade once --help` tells more",
        ));
    }
    Ok(found)
}

/// The same without what belongs to a command line: its options and its command, or the text that is shown instead.
pub(crate) fn words(words: Vec<OsString>) -> Result<(Vec<Asked>, Vec<OsString>), String> {
    parse(words).map(|found| (found.options, found.command)).map_err(|early| match early {
        Early::Answer(text) => text,
        Early::Usage(failure) => diagnostic::texts(&failure.diagnostics, "", Style::PLAIN),
    })
}

/// One option, with as many of the further words as it takes.
fn read(
    word: &OsStr,
    words: &mut dyn Iterator<Item = OsString>,
    options: &mut Vec<Asked>,
) -> Result<(), Early> {
    let text = word.to_str().ok_or_else(|| not_text(word))?;
    if matches!(text, "-h" | "--help") {
        return Err(Early::Answer(help()));
    }
    // `--name=value`, but not the `=` of a short option's value.
    let (name, attached) = match text.split_once('=') {
        Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
        _ => (text, None),
    };
    if GIVEN.contains(&name) {
        options.push(Asked { name: given(name), values: Vec::new() });
        return Ok(());
    }
    if let Some((_, _, hint)) = REFUSED.iter().find(|(refused, ..)| *refused == name) {
        return Err(usage(format!("`{name}` cannot be had"), *hint));
    }
    let Some(known) = KNOWN.iter().find(|known| !known.name.is_empty() && known.name == name) else {
        return Err(unknown(name));
    };
    let mut values: Vec<String> = attached.into_iter().collect();
    if values.len() > known.values.len() {
        return Err(usage(format!("`{name}` takes no value"), format!("write `{name}`")));
    }
    while values.len() < known.values.len() {
        let missing = known.values[values.len()];
        let Some(value) = words.next() else {
            let all = known.values.join(" ");
            return Err(usage(format!("`{name}` lacks {missing}"), format!("write `{name} {all}`")));
        };
        values.push(value.into_string().map_err(|value| not_text(&value))?);
    }
    if known.name == "--args" {
        return further(&values[0], options);
    }
    options.push(Asked { name: known.name, values });
    Ok(())
}

/// The name of an option that asks for what every jail has: one of them matters, as it takes an earlier one back.
fn given(name: &str) -> &'static str {
    if matches!(name, "--unshare-net" | "--unshare-all") { "--unshare-net" } else { "--unshare-pid" }
}

/// Options from a descriptor of the caller's, as bubblewrap reads them.
fn further(descriptor: &str, options: &mut Vec<Asked>) -> Result<(), Early> {
    use std::os::unix::ffi::OsStringExt as _;
    let bytes = descriptor_content(descriptor).map_err(|why| {
        usage(
            format!("`--args {descriptor}` cannot be read: {why}"),
            "give a descriptor that is open for reading: `--args 3 3< FILE`",
        )
    })?;
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    if bytes.is_empty() {
        return Ok(());
    }
    let mut words = bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec()));
    while let Some(word) = words.next() {
        read(&word, &mut words, options)?;
    }
    Ok(())
}

/// Most bytes that a descriptor of the caller's may give: options and small files.
const MOST_BYTES: u64 = 1 << 20;

/// What can be read from a descriptor that the caller passed, from where it stands: what has been read once is not read again, so that
/// options which name their own descriptor come to an end.
pub(crate) fn descriptor_content(descriptor: &str) -> Result<Vec<u8>, String> {
    let number: i32 = descriptor.parse().map_err(|_| "it is not the number of a descriptor".to_owned())?;
    let copy =
        sys::process::duplicate(number).map_err(|errno| sys::Error { call: "fcntl", errno }.to_string())?;
    let mut bytes = Vec::new();
    File::from(copy).take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err("there is more to be read than 1 MiB".into());
    }
    Ok(bytes)
}

/// An option of bytes that are no text.
fn not_text(word: &OsStr) -> Early {
    usage(
        format!("`{}` is not UTF-8", word.to_string_lossy()),
        "only the command and its arguments may be any bytes",
    )
}

/// An option that nobody knows.
fn unknown(name: &str) -> Early {
    let known = KNOWN.iter().map(|known| known.name).filter(|name| !name.is_empty());
    let hint = match suggest::nearest(name, known.chain(GIVEN).chain(["--help"])) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`stockade once --help` lists the options; those of the program follow its name".into(),
    };
    usage(format!("unknown option `{name}`"), hint)
}

/// How wide the help is.
const WIDTH: usize = 80;

/// Where the texts of options begin.
const COLUMN: usize = 28;

/// The help, as argh writes that of the other commands.
fn help() -> String {
    let mut text = "Usage: stockade once [OPTIONS] [--] COMMAND [ARGUMENTS]\n\n\
        run one command isolated: without a manifest, a tree on disk or a right. It sees\n\
        the host's programs and the current directory, read-only, an empty home and an\n\
        empty /tmp; no network, no other process, nothing of the caller's environment.\n"
        .to_owned();
    for known in KNOWN {
        if known.name.is_empty() {
            _ = writeln!(text, "\n{}", known.help);
            continue;
        }
        let mut line = format!("  {} {}", known.name, known.values.join(" ")).trim_end().to_owned();
        if line.len() + 2 > COLUMN {
            text += &line;
            text += "\n";
            line.clear();
        }
        let mut is_first = true;
        for word in known.help.split(' ') {
            if !is_first && line.chars().count() + 1 + word.chars().count() > WIDTH {
                text += &line;
                text += "\n";
                line = String::new();
                is_first = true;
            }
            let gap = if is_first { COLUMN.saturating_sub(line.len()) } else { 1 };
            line += &" ".repeat(gap);
            line += word;
            is_first = false;
        }
        text += &line;
        text += "\n";
    }
    text += "\nOptions of bubblewrap's that ask for what every jail has are taken: --unshare-*,\n\
        --new-session, --disable-userns. Those that cannot be had say what to do instead.\n\n\
        Exit codes are those of `stockade run`: the program's own, 124 at a time limit,\n\
        125 if stockade failed, 126 and 127 for a program that cannot be executed or is\n\
        not there, 128 and the number of a signal (of Ctrl-C stockade dies itself).\n";
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> Result<Once, Early> {
        parse(line.iter().map(OsString::from).collect())
    }

    fn refusal(line: &[&str]) -> String {
        match words(line) {
            Err(Early::Usage(failure)) => {
                let told = &failure.diagnostics[0];
                format!("{}: {}", told.message, told.hint.clone().unwrap_or_default())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_word_that_is_no_option_is_the_command() {
        let found = words(&["--bind", "a", "/b", "--timeout=5s", "ls", "--timeout", "-l"]).unwrap();
        assert_eq!(found.command, ["ls", "--timeout", "-l"]);
        let names: Vec<_> = found.options.iter().map(|asked| (asked.name, asked.values.join(" "))).collect();
        assert_eq!(names, [("--bind", "a /b".to_owned()), ("--timeout", "5s".to_owned())]);
        assert_eq!(words(&["--", "--x"]).unwrap().command, ["--x"]);
        assert_eq!(words(&["--bind=a", "/b", "ls"]).unwrap().options[0].values, ["a", "/b"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_what_was_meant() {
        for (line, expected) in [
            (&["--ro-bnid", "a", "b", "ls"][..], "unknown option `--ro-bnid`: did you mean `--ro-bind`?"),
            (&["--bind", "a"], "`--bind` lacks DEST: write `--bind SRC DEST`"),
            (&["--share-net=yes", "ls"], "`--share-net` takes no value: write `--share-net`"),
            (
                &["--sync-fd", "3", "ls"],
                "`--sync-fd` cannot be had: --report or --json-status-fd tell of the end",
            ),
            (&[], "no command is given: write `stockade once -- COMMAND`; `stockade once --help` tells more"),
        ] {
            assert_eq!(refusal(line), expected);
        }
    }

    /// Options that name their own descriptor were read again and again until the stack was full.
    #[test]
    fn a_descriptor_is_read_once_and_not_without_end() {
        use std::io::{Seek as _, Write as _};
        use std::os::fd::AsRawFd as _;
        let mut file: File =
            nix::sys::memfd::memfd_create(c"options", nix::sys::memfd::MFdFlags::empty()).unwrap().into();
        let number = file.as_raw_fd().to_string();
        write!(file, "--args\0{number}\0--share-net\0").unwrap();
        file.rewind().unwrap();
        let found = words(&["--args", &number, "ls"]).unwrap();
        assert_eq!(found.options, [Asked { name: "--share-net", values: Vec::new() }]);
        let endless = File::open("/dev/zero").unwrap();
        let refused = descriptor_content(&endless.as_raw_fd().to_string());
        assert_eq!(refused, Err("there is more to be read than 1 MiB".into()));
    }

    #[test]
    fn the_help_lists_every_option_in_80_columns() {
        let help = help();
        for known in KNOWN.iter().filter(|known| !known.name.is_empty()) {
            assert!(help.contains(&format!("  {}", known.name)), "{}", known.name);
        }
        for line in help.lines() {
            assert!(line.chars().count() <= 98, "{line}");
        }
    }
}
