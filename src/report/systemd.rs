//! A unit of systemd's that starts a jail, see systemd.service(5): a line for each thing that must be so, the reason above it.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::plan::quote::Escaped;
use crate::plan::{At, JailName, Listen, Origin, SocketKind, Span};

/// What units are made of.
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
    /// What is listened on for its program.
    pub listen: &'a [At<Listen>],
    /// The longest that its program does not say that it is well.
    pub watchdog: Option<&'a At<Span>>,
    /// Why the jail has the host's network, if it has.
    pub host_network: Option<&'a Origin>,
    /// The limits that a control group holds; `None` if there may be no group.
    pub controls: Option<&'a [&'static str]>,
    /// Whether it is for the system's manager, and not for a user's own.
    pub is_system: bool,
}

impl Unit<'_> {
    /// The name of the one that starts the program.
    pub fn service(&self) -> String {
        format!("stockade-{}.service", self.jail)
    }

    /// The name of the one that listens.
    pub fn socket(&self) -> String {
        format!("stockade-{}.socket", self.jail)
    }
}

/// What every unit begins with.
fn begin(unit: &Unit<'_>, file: &str, format: &str, enabled: &str) -> String {
    let mut out = String::new();
    let command = if unit.is_system { "systemctl" } else { "systemctl --user" };
    let place = if unit.is_system { "/etc/systemd/system" } else { "~/.config/systemd/user" };
    let (jail, manifest) = (unit.jail, comment(unit.manifest.as_os_str()));
    let _ = writeln!(out, "# Jail `{jail}`, as {manifest} describes it: made by `stockade export {format}`.");
    let _ = writeln!(
        out,
        "# Put it in {place}/{file}, then: {command} daemon-reload && {command} enable --now {enabled}"
    );
    out.push_str("\n[Unit]\n");
    match unit.summary {
        Some(summary) => {
            line(&mut out, "The manifest's summary.", &format!("Description={}", value(summary)));
        }
        None => line(&mut out, "The manifest has no summary.", &format!("Description=jail {jail}")),
    }
    out
}

/// A setting below its reason.
fn line(out: &mut String, because: &str, setting: &str) {
    let _ = writeln!(out, "# {because}\n{setting}");
}

/// A reason with the place in a manifest that it comes from.
fn as_said(because: &str, origin: &Origin) -> String {
    format!("{because} ({}).", comment(origin.to_string().as_ref()))
}

/// The text of the unit that listens.
pub fn socket(unit: &Unit<'_>) -> String {
    let (file, service) = (unit.socket(), unit.service());
    let mut out = begin(unit, &file, "systemd-socket", &file);
    out.push_str("\n[Socket]\n");
    for At { value: Listen { kind, address }, origin } in unit.listen {
        let (key, what) = match kind {
            SocketKind::Stream => ("ListenStream", "Whoever connects here"),
            SocketKind::Datagram => ("ListenDatagram", "Who sends something here"),
        };
        let because = as_said(&format!("{what} starts {service}, which is given the socket"), origin);
        line(&mut out, &because, &format!("{key}={}", value(&address.to_string())));
    }
    if unit.listen.iter().any(|listen| listen.value.address.comes_later()) {
        line(&mut out, "An address may come to this host later than the socket does.", "FreeBind=yes");
    }
    out.push_str("\n[Install]\n");
    line(&mut out, "It listens from early on, once it is enabled.", "WantedBy=sockets.target");
    out
}

/// The text of the unit that starts the program.
pub fn service(unit: &Unit<'_>) -> String {
    let (file, socket) = (unit.service(), unit.socket());
    let is_activated = !unit.listen.is_empty();
    let enabled = if is_activated { socket.clone() } else { format!("stockade-{}", unit.jail) };
    let mut out = begin(unit, &file, "systemd", &enabled);
    let mut line = |because: &str, setting: &str| line(&mut out, because, setting);
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
    if is_activated {
        line(
            "The program's sockets are made by this one, also when it is started by hand.",
            &format!("Requires={socket}\nAfter={socket}"),
        );
    }
    out.push_str("\n[Service]\n");
    process(&mut out, unit);
    out.push_str("\n[Install]\n");
    let (because, setting) = match (is_activated, unit.is_system) {
        (true, _) => ("Started by its sockets, which are enabled with it.", format!("Also={socket}")),
        (false, true) => (STARTED, "WantedBy=multi-user.target".to_owned()),
        (false, false) => (STARTED, "WantedBy=default.target".to_owned()),
    };
    self::line(&mut out, because, &setting);
    out
}

/// What an enabled service that nobody's connection starts is started by.
const STARTED: &str = "Started with the system's other services, once it is enabled.";

/// The section about the process.
fn process(out: &mut String, unit: &Unit<'_>) {
    let mut line = |because: &str, setting: &str| line(out, because, setting);
    line(
        "stockade says when it is started: executed, gone into the background, or by its own words, as its `type` is.",
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
    if let Some(At { value: watchdog, origin }) = unit.watchdog {
        line(
            &as_said(
                "A program that has not said for so long that it is well is ended, and started again",
                origin,
            ),
            &format!("WatchdogSec={watchdog}"),
        );
        line(
            "All of it at once: a program that hangs hears nothing, and a core file would be stockade's own.",
            "WatchdogSignal=SIGKILL",
        );
    }
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
