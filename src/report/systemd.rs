//! A unit of systemd's that starts a jail, see systemd.service(5): a line for each thing that must be so, the reason above it.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::plan::quote::Escaped;
use crate::plan::{JailName, Origin};

/// What a unit is made of.
#[derive(Debug)]
pub struct Unit<'a> {
    /// The jail.
    pub jail: &'a JailName,
    /// One line about it.
    pub summary: Option<&'a str>,
    /// Our own program, by its absolute path.
    pub binary: &'a Path,
    /// Its arguments.
    pub arguments: &'a [OsString],
    /// The manifest, by its absolute path.
    pub manifest: &'a Path,
    /// What has to be mounted beside it.
    pub places: &'a [PathBuf],
    /// Variables of ours that were set when the unit was made.
    pub environment: &'a [(&'static str, OsString)],
    /// Why the jail has the host's network, if it has.
    pub host_network: Option<&'a Origin>,
    /// The limits that a control group holds; `None` if there may be no group.
    pub controls: Option<&'a [&'static str]>,
    /// Whether it is for the system's manager, and not for a user's own.
    pub is_system: bool,
}

/// The unit's text.
pub fn text(unit: &Unit<'_>) -> String {
    let mut out = String::new();
    let command = if unit.is_system { "systemctl" } else { "systemctl --user" };
    let place = if unit.is_system { "/etc/systemd/system" } else { "~/.config/systemd/user" };
    let (jail, manifest) = (unit.jail, comment(unit.manifest.as_os_str()));
    let _ = writeln!(out, "# Jail `{jail}`, as {manifest} describes it: made by `stockade export systemd`.");
    let _ = writeln!(
        out,
        "# Put it in {place}/stockade-{jail}.service, then: {command} daemon-reload && {command} enable --now stockade-{jail}"
    );
    out.push_str("\n[Unit]\n");
    let mut line = |because: &str, setting: &str| {
        let _ = writeln!(out, "# {because}\n{setting}");
    };
    match unit.summary {
        Some(summary) => line("The manifest's summary.", &format!("Description={}", value(summary))),
        None => line("The manifest has no summary.", &format!("Description=jail {jail}")),
    }
    let places = [unit.manifest].into_iter().chain(unit.places.iter().map(PathBuf::as_path));
    let places: Vec<String> = places.map(|path| word(path.as_os_str(), Dollar::Plain)).collect();
    line(
        "The manifest, and the place of the trees, may be on file systems of their own.",
        &format!("RequiresMountsFor={}", places.join(" ")),
    );
    if let Some(origin) = unit.host_network.filter(|_| unit.is_system) {
        let because = format!(
            "The jail has the host's network ({}), which must be there before, and go after.",
            comment(origin.to_string().as_ref())
        );
        line(&because, "After=network.target");
    }
    out.push_str("\n[Service]\n");
    service(&mut out, unit);
    out.push_str("\n[Install]\n");
    let target = if unit.is_system { "multi-user.target" } else { "default.target" };
    let _ =
        writeln!(out, "# Started with the system's other services, once it is enabled.\nWantedBy={target}");
    out
}

/// The section about the process.
fn service(out: &mut String, unit: &Unit<'_>) {
    let mut line = |because: &str, setting: &str| {
        let _ = writeln!(out, "# {because}\n{setting}");
    };
    line(
        "Started is what has been executed: stockade says so, and stays in the foreground, also with `type = \"forking\"`.",
        "Type=notify",
    );
    for (name, set) in unit.environment {
        let mut variable = OsString::from(name);
        variable.push("=");
        variable.push(set);
        line(
            "It was set when this unit was made.",
            &format!("Environment={}", word(&variable, Dollar::Plain)),
        );
    }
    // A variable is not expanded in the path of the program itself.
    let command = std::iter::once(word(unit.binary.as_os_str(), Dollar::Plain))
        .chain(unit.arguments.iter().map(|argument| word(argument, Dollar::Variable)));
    line(
        "By absolute paths: a service has no working directory.",
        &format!("ExecStart={}", command.collect::<Vec<_>>().join(" ")),
    );
    line(
        "SIGTERM goes to stockade alone, which passes it on to the program; what is left in the end is killed, all of it.",
        "KillMode=mixed",
    );
    line("How long the program has for ending by itself.", "TimeoutStopSec=30s");
    line(
        "The exit code is 128 and the signal when the program ends by SIGHUP, SIGINT or SIGTERM, as it does when it is stopped.",
        "SuccessExitStatus=129 130 143",
    );
    line(
        "A program that crashes is started again, and so is one that reached a limit.",
        "Restart=on-failure",
    );
    line(
        "A second between, so that a program that fails at once does not use up the starts that are allowed.",
        "RestartSec=1s",
    );
    if let Some(controls) = unit.controls {
        let because = match controls {
            [] => "A limit on the number of processes is held by a control group".to_owned(),
            controls => format!("Limits ({}) are held by a control group", controls.join(", ")),
        };
        line(
            &format!("{because} that stockade makes below the unit's own, which is handed to it for that."),
            "Delegate=yes",
        );
    }
}

/// What a dollar sign is where a word stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dollar {
    /// Itself.
    Plain,
    /// The beginning of a variable, unless there are two.
    Variable,
}

/// A word as systemd.syntax(7) quotes it. `%` begins a specifier everywhere, and bytes that are no text have an escape.
fn word(text: &OsStr, dollar: Dollar) -> String {
    let mut out = String::from("\"");
    for byte in text.as_bytes() {
        match byte {
            b'%' => out.push_str("%%"),
            b'$' if dollar == Dollar::Variable => out.push_str("$$"),
            b'"' | b'\\' => out.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => out.push(char::from(*byte)),
            byte => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('"');
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+=:,@".contains(byte);
    match text.as_bytes() {
        bytes if !bytes.is_empty() && bytes.iter().all(is_plain) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        _ => out,
    }
}

/// A text that is the whole of a value: one line, which no backslash at its end may continue.
fn value(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim().trim_end_matches(['\\', ' ']).replace('%', "%%")
}

/// A text in a comment, which ends with its line and may not be continued either.
fn comment(text: &OsStr) -> String {
    Escaped(text.as_bytes()).to_string().replace('\\', "\\\\").trim_end_matches('\\').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_back_as_it_was() {
        let word = |text: &[u8], dollar| word(OsStr::from_bytes(text), dollar);
        assert_eq!(word(b"/srv/a-b.toml", Dollar::Variable), "/srv/a-b.toml");
        assert_eq!(word(b"a b%n\"\\'", Dollar::Variable), r#""a b%%n\"\\'""#);
        assert_eq!(word(b"$x", Dollar::Variable), r#""$$x""#);
        assert_eq!(word(b"$x", Dollar::Plain), r#""$x""#);
        assert_eq!(word(b"\n\xff\xc3\xa9", Dollar::Variable), r#""\x0a\xff\xc3\xa9""#);
        assert_eq!(word(b"", Dollar::Variable), "\"\"");
    }

    #[test]
    fn no_text_is_a_line_of_its_own() {
        assert_eq!(value("100% safe\nExecStart=/bin/sh \\\\"), "100%% safe ExecStart=/bin/sh");
        assert_eq!(comment(OsStr::new("/a\nExecStart=x")), "/a\\\\nExecStart=x");
        assert_eq!(comment(OsStr::new("/a\\")), "/a");
    }
}
