//! Lines of a manifest as options of `stockade once`: what a program lacked, in the words of whoever has no manifest.

use toml::de::{DeTable, DeValue};

use crate::manifest::edit::{Line, Place};

/// What is said of a line that no option gives.
pub const IN_A_MANIFEST: &str =
    "no option gives that: `--save FILE` writes the options as a manifest, which can say it";

/// The option that gives the same, if there is one.
pub fn option(line: &Line) -> Option<String> {
    match line.place {
        Place::Entry("tree", "files" | "programs" | "libraries" | "directories") => {
            entry(&line.value).map(|path| format!("--ro {}", word(&path)))
        }
        Place::Entry("tree", "devices") => {
            let name = entry(&line.value)?;
            Some(format!("--dev-bind /dev/{name} /dev/{name}"))
        }
        Place::Entry("privileges", "capabilities") => {
            entry(&line.value).map(|name| format!("--cap-add {name}"))
        }
        Place::Table("mounts") => mount(&line.value),
        _ => None,
    }
}

/// The text of an entry, or its path.
fn entry(value: &str) -> Option<String> {
    match DeValue::parse(value).ok()?.into_inner() {
        DeValue::String(text) => Some(text.into_owned()),
        DeValue::Table(table) => text(&table, "path"),
        _ => None,
    }
}

/// A bind, writable or not. Of sockets that others listen at there is none: what an option shows is refused if it would show one of these.
fn mount(value: &str) -> Option<String> {
    let table = DeTable::parse(value).ok()?.into_inner();
    let says = |wanted: &str, flag: bool| {
        table.iter().any(|(key, node)| {
            key.get_ref() == wanted && matches!(node.get_ref(), DeValue::Boolean(said) if *said == flag)
        })
    };
    if says("sockets", true) {
        return None;
    }
    let option = if says("read_only", false) { "--rw" } else { "--ro" };
    match text(&table, "source") {
        Some(source) => Some(format!("{option} {}", word(&source))),
        None => text(&table, "target").map(|target| format!("--tmpfs {}", word(&target))),
    }
}

fn text(table: &DeTable<'_>, wanted: &str) -> Option<String> {
    let found = table.iter().find(|(key, _)| key.get_ref() == wanted);
    found.and_then(|(_, node)| node.get_ref().as_str().map(str::to_owned))
}

/// A word of a shell.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_options() {
        let entry = |list, value: &str| Line::entry("tree", list, value, "");
        let mount =
            |value: &str| Line { place: Place::Table("mounts"), value: value.into(), reason: String::new() };
        for (line, expected) in [
            (entry("files", "\"/etc/a b\""), Some("--ro '/etc/a b'")),
            (entry("directories", "{ path = \"/srv/it's\" }"), Some(r"--ro '/srv/it'\''s'")),
            (entry("devices", "\"full\""), Some("--dev-bind /dev/full /dev/full")),
            (entry("users", "\"bin\""), None),
            (Line::entry("privileges", "capabilities", "\"CHOWN\"", ""), Some("--cap-add CHOWN")),
            (Line::value("privileges", "system_calls", "\"daemon\"", ""), None),
            (mount("source = \"/a\"\ntarget = \"/a\""), Some("--ro /a")),
            (mount("source = \"/a\"\ntarget = \"/a\"\nread_only = false"), Some("--rw /a")),
            (mount("source = \"/run/x.sock\"\ntarget = \"/run/x.sock\"\nsockets = true"), None),
            (mount("source = \"/run/x\"\ntarget = \"/run/x\"\nread_only = false\nsockets = true"), None),
            (mount("type = \"tmpfs\"\ntarget = \"/run\""), Some("--tmpfs /run")),
        ] {
            assert_eq!(option(&line).as_deref(), expected);
        }
    }
}
