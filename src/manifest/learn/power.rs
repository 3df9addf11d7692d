//! What has power over the host, and so is not given unasked: capabilities that count outside, and places of the host's that it executes
//! from or is configured by. Who writes there acts outside, whatever jail he is in.

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::{rights, text};
use crate::manifest::edit::{Line, Place};
use crate::manifest::schema::{Manifest, MountKind};

/// Places, with what the host does with what is there. See hier(7), cron(8), at(1).
const PLACES: [(&str, &str); 15] = [
    ("/bin", PROGRAMS),
    ("/boot", "the host starts from what is there"),
    ("/etc", "the host is configured by what is there"),
    ("/lib", PROGRAMS),
    ("/lib32", PROGRAMS),
    ("/lib64", PROGRAMS),
    ("/libo32", PROGRAMS),
    ("/libx32", PROGRAMS),
    ("/nix", PROGRAMS),
    ("/opt", PROGRAMS),
    ("/root", "root's shells and programs are configured by what is there"),
    ("/sbin", PROGRAMS),
    ("/usr", PROGRAMS),
    ("/var/spool/at", "the host executes what is there when its time has come"),
    ("/var/spool/cron", "the host executes what is there when its time has come"),
];

/// What most of these are.
const PROGRAMS: &str = "the host's programs and libraries are there";

/// Of a user's home, what shells, sessions and service managers execute or are configured by.
const OF_HOMES: [&str; 18] = [
    ".bash_login",
    ".bash_logout",
    ".bash_profile",
    ".bashrc",
    ".config/autostart",
    ".config/environment.d",
    ".config/fish",
    ".config/systemd",
    ".local/bin",
    ".local/share/applications",
    ".local/share/dbus-1",
    ".local/share/systemd",
    ".profile",
    ".xprofile",
    ".zprofile",
    ".zshenv",
    ".zshrc",
    "bin",
];

/// What the host does with what is at a place, or below it, if whoever writes there acts outside his jail.
pub(super) fn of_place(place: &Path) -> Option<&'static str> {
    let meets = |known: &Path, place: &Path| place.starts_with(known) || known.starts_with(place);
    let found = PLACES.iter().find(|(known, _)| meets(Path::new(known), place));
    found.map(|(_, why)| *why).or_else(|| {
        let mut parts = place.strip_prefix("/home").ok()?.components();
        parts.next();
        let in_home = parts.as_path();
        let is_met = OF_HOMES.iter().any(|known| meets(Path::new(known), in_home));
        is_met.then_some("a user's shells, sessions and services execute what is there")
    })
}

/// The same of a line, if it is a mount that lets the jail write there.
pub(super) fn of_mount(line: &Line) -> Option<&'static str> {
    if line.place != Place::Table("mounts") {
        return None;
    }
    let (source, is_writable) = said(&line.value);
    source.filter(|_| is_writable).and_then(|source| of_place(&source))
}

/// The source in the lines of a mount, and whether they say that it can be written.
fn said(lines: &str) -> (Option<PathBuf>, bool) {
    let Ok(table) = DeTable::parse(lines) else { return (None, false) };
    let find = |wanted: &str| {
        let found = table.get_ref().iter().find(|(key, _)| key.get_ref() == wanted);
        found.map(|(_, node)| node.get_ref())
    };
    let source = find("source").and_then(DeValue::as_str).map(PathBuf::from);
    (source, matches!(find("read_only"), Some(DeValue::Boolean(false))))
}

/// The same of a key for a mount that is there already: where its source is, and where the links of that lead.
fn is_power_of_mount_there(line: &Line, manifest: &Manifest) -> bool {
    let target = line.value.lines().next().and_then(|line| line.strip_prefix("target = "));
    let is_meant = |known: &str| target == Some(&*text(known));
    let mut mounts = manifest.mounts.iter().map(|mount| &mount.value);
    let Some(mount) = mounts.find(|mount| is_meant(&mount.target.to_string())) else { return false };
    let MountKind::Bind { source, .. } = &mount.kind else { return false };
    let real = std::fs::canonicalize(source.as_path());
    said(&line.value).1
        && [source.as_path()].into_iter().chain(real.as_deref()).any(|at| of_place(at).is_some())
}

/// Whether a line for a manifest gives what has power over the host.
pub fn is_powerful(line: &Line, manifest: &Manifest) -> bool {
    match line.place {
        Place::Entry("privileges", "capabilities") => !is_harmless(line),
        Place::Table("mounts") => of_mount(line).is_some(),
        Place::Within("mounts") => is_power_of_mount_there(line, manifest),
        _ => false,
    }
}

/// Whether what a jail lacks is given unasked: nothing that has power over the host, no call that is refused for a reason, and no remark,
/// which gives nothing.
pub fn is_given(line: &Line, manifest: &Manifest) -> bool {
    let is_asked_for = matches!(line.place, Place::Value("privileges", _) | Place::Remark(_));
    !is_asked_for && !is_powerful(line, manifest)
}

/// Whether a capability counts inside only.
fn is_harmless(line: &Line) -> bool {
    let is = |name: &&str| line.value == text(name) || line.value == text(&format!("CAP_{name}"));
    rights::GIVEN.iter().any(is)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::manifest::load_text;
    use crate::plan::Source;

    /// What is told of each place.
    fn told(places: &[&str]) -> Vec<Option<&'static str>> {
        places.iter().map(|place| of_place(Path::new(place))).collect()
    }

    #[test]
    fn what_the_host_does_with_a_place_is_known() {
        let configured = Some("the host is configured by what is there");
        let executed = Some("the host executes what is there when its time has come");
        let of_user = Some("a user's shells, sessions and services execute what is there");
        assert_eq!(
            told(&["/etc", "/etc/cron.d", "/var/spool/cron/crontabs", "/var/spool/at"]),
            [configured, configured, executed, executed]
        );
        assert_eq!(
            told(&["/usr/lib/python3/__pycache__", "/lib64", "/opt/app/bin", "/root/x"]),
            [
                Some(PROGRAMS),
                Some(PROGRAMS),
                Some(PROGRAMS),
                Some("root's shells and programs are configured by what is there")
            ]
        );
        // What such a place is in shows it as well.
        assert_eq!(told(&["/home/eve", "/home/eve/.config", "/home/eve/.bashrc"]), [of_user; 3]);
        assert!(told(&["/", "/var/spool", "/home"]).iter().all(Option::is_some));
        let others = [
            "/var/lib/x",
            "/var/spool/mail",
            "/srv/etc",
            "/etcetera",
            "/home/eve/work",
            "/home/eve/.config/app",
        ];
        assert_eq!(told(&others), [None; 6]);
    }

    #[test]
    fn a_mount_that_can_be_written_is_power_where_its_source_is() {
        let manifest = "[program]\ncommand = [\"/bin/true\"]\n\
            [[mounts]]\nsource = \"/etc/cron.d\"\ntarget = \"/jobs\"\n[[mounts]]\nsource = \"/srv\"\ntarget = \"/etc\"\n";
        let source = Source { path: "x.toml".into(), text: manifest.to_owned() };
        let manifest = load_text(Rc::new(source)).unwrap().manifest;
        let mount =
            |value: &str| Line { place: Place::Table("mounts"), value: value.into(), reason: String::new() };
        let within = |target: &str, key: &str, value: &str| Line::within("mounts", target, key, value, "");
        let capability = |name: &str| Line::entry("privileges", "capabilities", text(name), "");
        let remark = Line { place: Place::Remark("mounts"), value: String::new(), reason: String::new() };
        // The line, whether it has power, whether it is given.
        for (line, is_power, is_unasked) in [
            (mount("source = \"/etc/cron.d\"\ntarget = \"/x\"\nread_only = false"), true, false),
            (mount("source = \"/etc/cron.d\"\ntarget = \"/x\""), false, true),
            (mount("source = \"/srv\"\ntarget = \"/etc\"\nread_only = false"), false, true),
            (mount("type = \"tmpfs\"\ntarget = \"/etc/x\""), false, true),
            (within("/jobs", "read_only", "false"), true, false),
            (within("/jobs", "executable", "true"), false, true),
            (within("/etc", "read_only", "false"), false, true),
            (capability("SYS_TIME"), true, false),
            (capability("CHOWN"), false, true),
            (capability("CAP_CHOWN"), false, true),
            (Line::value("privileges", "system_calls", "\"all\"", ""), false, false),
            (remark, false, false),
        ] {
            let found = (is_powerful(&line, &manifest), is_given(&line, &manifest));
            assert_eq!(found, (is_power, is_unasked), "{line:?}");
        }
    }
}
