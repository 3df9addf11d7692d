//! What jailkit's jk_init.ini says of a jail, as lines of a manifest. Each key means what jk_init(8) says it means; a path that is not on this
//! host is passed over, as jk_init does, but stays in the manifest for a host that has it.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::edit::{Line, Place, quoted};
use super::libs::{self, Kind};
use super::root::Root;
use super::suggest;
use crate::plan::step::DEVICES;

/// The keys under which paths are listed: those of today, and those of before version 2.5.
const PATHS: [&str; 7] =
    ["paths", "paths_w_owner", "paths_w_setuid", "executables", "regularfiles", "libraries", "directories"];

/// Why sections cannot be imported: what is wrong, and what to do.
pub type Refused = (String, String);

/// The sections of a file, by their names: keys and values.
type Sections<'a> = BTreeMap<&'a str, Vec<(&'a str, &'a str)>>;

/// What these sections of a jk_init.ini come to, with those they include.
pub fn jailkit(text: &str, wanted: &[String]) -> Result<Vec<Line>, Refused> {
    let sections = sections(text);
    let mut lines = vec![Line::value("", "name", quoted(wanted.first().map_or("jail", String::as_str)), "")];
    let mut done: Vec<&str> = Vec::new();
    let mut open: Vec<&str> = wanted.iter().rev().map(String::as_str).collect();
    while let Some(name) = open.pop() {
        if done.contains(&name) {
            continue;
        }
        let Some((known, entries)) = sections.get_key_value(name) else {
            return Err(unknown(name, &sections));
        };
        done.push(known);
        for (key, value) in entries {
            let values = value.split(',').map(str::trim).filter(|value| !value.is_empty());
            if *key == "includesections" {
                let mut included: Vec<&str> = values.collect();
                included.reverse();
                open.extend(included);
                continue;
            }
            lines.extend(values.flat_map(|value| said(name, key, value)));
        }
    }
    let mut kept: Vec<Line> = Vec::new();
    for line in lines {
        if !kept.iter().any(|known| (known.place, &known.value) == (line.place, &line.value)) {
            kept.push(line);
        }
    }
    if !kept.iter().any(|line| line.place == Place::Entry("tree", "devices")) {
        kept.push(Line::value("tree", "devices", "[]", "no section names one"));
    }
    Ok(kept)
}

fn unknown(name: &str, sections: &Sections<'_>) -> Refused {
    let hint = match suggest::nearest(name, sections.keys().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("its sections are {}", suggest::listed(sections.keys().copied())),
    };
    (format!("there is no section `{name}`"), hint)
}

/// Reads a file of sections. A line that begins with white space continues the one before, as Python's configparser has it.
fn sections(text: &str) -> Sections<'_> {
    let mut sections = Sections::new();
    let mut name = "";
    for line in text.lines() {
        let line = line.trim_end();
        if line.trim_start().starts_with(['#', ';']) || line.trim().is_empty() {
            continue;
        }
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name = section.trim();
            sections.entry(name).or_default();
            continue;
        }
        let Some(entries) = sections.get_mut(name) else { continue };
        if line.starts_with(char::is_whitespace) {
            let before = entries.last().map(|(key, _)| *key);
            entries.extend(before.map(|key| (key, line.trim())));
        } else if let Some((key, value)) = line.split_once('=').or_else(|| line.split_once(':')) {
            entries.push((key.trim(), value.trim()));
        }
    }
    sections
}

/// What one value of a key comes to.
fn said(section: &str, key: &str, value: &str) -> Vec<Line> {
    let reason = format!("`{key}` of [{section}]");
    let entry = |list: &'static str, value: String| vec![Line::entry("tree", list, value, reason.clone())];
    match key {
        "users" => entry("users", quoted(value)),
        "groups" => entry("groups", quoted(value)),
        "emptydirs" => entry("directories", quoted(value)),
        "need_logsocket" if matches!(value, "1" | "yes" | "true" | "on") => entry("devices", quoted("log")),
        "comment" | "need_logsocket" => Vec::new(),
        "devices" => device(value, &reason),
        key if PATHS.contains(&key) => path(key, value, &reason),
        _ => vec![remark(format!("{key} = {value}"), format!("{reason} has no like here"))],
    }
}

/// A comment.
fn remark(value: String, reason: String) -> Line {
    Line { place: Place::Remark("tree"), value, reason }
}

/// A device, if it is one that a jail can have.
fn device(path: &str, reason: &str) -> Vec<Line> {
    let name = path.strip_prefix("/dev/").unwrap_or(path);
    let known =
        DEVICES.iter().any(|device| device.name == name) || matches!(name, "ptmx" | "pts" | "shm" | "log");
    vec![if known {
        Line::entry("tree", "devices", quoted(name), reason)
    } else {
        remark(path.to_owned(), format!("{reason}: not among the devices that a jail can have"))
    }]
}

/// A path, or a pattern of paths.
fn path(key: &str, path: &str, reason: &str) -> Vec<Line> {
    let keeps = key == "paths_w_setuid";
    let found = std::fs::symlink_metadata(path);
    let is_there = found.is_ok();
    let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
    let content = libs::describe(&Root::host(), Path::new(path));
    let is_executable = std::fs::metadata(path).is_ok_and(|at| at.is_file() && at.mode() & 0o111 != 0);
    let runs = is_executable && matches!(content, Ok(Kind::Elf { .. } | Kind::Script { .. }));
    if is_there && runs && !name.contains(".so") {
        let value =
            if keeps { format!("{{ path = {}, keep = [\"setid\"] }}", quoted(path)) } else { quoted(path) };
        return vec![Line::entry("tree", "programs", value, reason)];
    }
    if is_there && name.contains(".so") && matches!(content, Ok(Kind::Elf { .. })) {
        return vec![Line::entry("tree", "libraries", quoted(path), reason)];
    }
    let mut more = Vec::new();
    // jk_init gives what it copies to root, unless it is told to keep the owner.
    let is_roots = found.is_ok_and(|at| at.is_dir() || (at.uid(), at.gid()) == (0, 0));
    if is_there && !is_roots && key != "paths_w_owner" {
        more.push("owner = \"root\"");
        more.push("group = \"root\"");
    }
    if keeps {
        more.push("keep = [\"setid\"]");
    }
    if !is_there {
        more.push("optional = true");
    }
    let value = match &more[..] {
        [] => quoted(path),
        more => format!("{{ path = {}, {} }}", quoted(path), more.join(", ")),
    };
    vec![Line::entry("tree", "files", value, reason)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::edit;

    const INI: &str = "\
# A comment
[uidbasics]
comment = common files
paths = /lib/libnsl.so.none, /etc/nsswitch.none
# this too
users = root, games
groups: games

[shell]
paths = /bin/sh,
    /etc/hostname
devices = /dev/null, /dev/sda
emptydirs = /srv/empty
need_logsocket = 1
includesections = uidbasics, shell
odd = 7
";

    #[test]
    fn sections_are_lines_of_a_manifest() {
        let lines = jailkit(INI, &["shell".into()]).unwrap();
        let expected = "\
name = \"shell\"

[tree]
programs = [
    \"/bin/sh\",  # `paths` of [shell]
]
files = [
    \"/etc/hostname\",  # `paths` of [shell]
    { path = \"/lib/libnsl.so.none\", optional = true },  # `paths` of [uidbasics]
    { path = \"/etc/nsswitch.none\", optional = true },  # `paths` of [uidbasics]
]
directories = [
    \"/srv/empty\",  # `emptydirs` of [shell]
]
users = [
    \"root\",  # `users` of [uidbasics]
    \"games\",  # `users` of [uidbasics]
]
groups = [
    \"games\",  # `groups` of [uidbasics]
]
devices = [
    \"null\",  # `devices` of [shell]
    \"log\",  # `need_logsocket` of [shell]
]
# `devices` of [shell]: not among the devices that a jail can have
#     /dev/sda
# `odd` of [shell] has no like here
#     odd = 7
";
        assert_eq!(edit::add("", &lines), (expected.to_owned(), Vec::new()));
    }

    #[test]
    fn a_section_that_is_not_there_is_told() {
        let refused = jailkit(INI, &["shel".into()]).unwrap_err();
        assert_eq!(refused, ("there is no section `shel`".into(), "did you mean `shell`?".into()));
        let refused = jailkit(INI, &["web".into()]).unwrap_err();
        assert_eq!(refused.1, "its sections are `shell`, `uidbasics`");
    }
}
