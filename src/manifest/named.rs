//! Help beside the trace: what the configuration in a jail names that is on the host and not in the jail, and programs that load
//! libraries by name. Nothing here is an error; a program may never open what its configuration names.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::finding::Finding;
use super::learn::is_key;
use super::libs;
use super::resolve::covered::Covered;
use super::root::Root;
use super::schema::Manifest;
use crate::plan::quote::Escaped;
use crate::plan::step::Action;
use crate::plan::{JailPath, Mode, Origin, Step};

/// The largest file that is taken for a configuration.
const MOST_BYTES: u64 = 256 << 10;
/// How many paths are told of one manifest.
const MOST_TOLD: usize = 10;
/// What every program may name, and a jail has its own of or none at all.
const USUAL: [&str; 6] = ["/dev", "/proc", "/sys", "/run", "/tmp", "/var/tmp"];

/// A path that a text names, and the line.
struct Named {
    path: PathBuf,
    line: usize,
}

/// What the configuration names and the jail lacks.
pub fn missing(manifest: &Manifest, steps: &[Step], root: &Root) -> Vec<Finding> {
    let covered = Covered::of(manifest, steps);
    let mut told: BTreeSet<PathBuf> = BTreeSet::new();
    let mut findings = Vec::new();
    for step in steps {
        let Some((file, text)) = configuration(&step.action, root) else { continue };
        for Named { path, line } in paths(&text) {
            let usual = USUAL.iter().any(|usual| path.starts_with(usual));
            if usual || covered.leads_to(&path) || told.contains(&path) {
                continue;
            }
            let Ok(real) = root.real(&path) else { continue };
            if real != path && covered.leads_to(&real) {
                continue;
            }
            if findings.len() < MOST_TOLD {
                findings.push(finding(&file, line, &path, &step.origin));
            }
            told.insert(path);
        }
    }
    findings
}

fn finding(file: &Path, line: usize, path: &Path, origin: &Origin) -> Finding {
    let shown = |path: &Path| Escaped(path.as_os_str().as_bytes()).to_string();
    let hint = if is_key(path) {
        "a secret is never copied unasked: if the program needs it, show it by a mount".to_owned()
    } else {
        format!("if the program needs it: `files = [\"{}\"]` under [tree], or a mount", shown(path))
    };
    let (file, path) = (shown(file), shown(path));
    Finding::warning(format!("`{path}` is on this host and not in the jail"), origin)
        .why(format!("line {line} of `{file}` names it"))
        .hint(hint)
}

/// The text of a step that brings a configuration, with its path in the jail.
fn configuration(action: &Action, root: &Root) -> Option<(PathBuf, String)> {
    let text = match action {
        Action::WriteFile { path, content, mode, .. } if is_configuration(path, *mode) => {
            String::from_utf8(content.clone()).ok()?
        }
        Action::CopyFile { source, path, mode, .. } if is_configuration(path, *mode) => {
            String::from_utf8(root.read(source.as_path(), MOST_BYTES).ok()?).ok()?
        }
        _ => return None,
    };
    let (Action::WriteFile { path, .. } | Action::CopyFile { path, .. }) = action else { return None };
    Some((path.as_path().to_owned(), text))
}

/// Whether it is one by where it is. A script names what it does, and what it needs of that nobody can tell; users' homes and shells are
/// not for the jail to have.
fn is_configuration(path: &JailPath, mode: Mode) -> bool {
    const SYNTHESISED: [&str; 3] = ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf"];
    let path = path.as_path();
    path.starts_with("/etc") && mode.0 & 0o111 == 0 && !SYNTHESISED.iter().any(|own| path == Path::new(own))
}

/// The absolute paths that a text names outside comments, each by its first line: words of the characters that paths of a system are made
/// of, with two components at least.
fn paths(text: &str) -> Vec<Named> {
    let ends = |c: char| !(c.is_ascii_alphanumeric() || "/._-+@".contains(c));
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let said = line.trim_start();
        if said.starts_with(['#', ';']) || said.starts_with("//") {
            continue;
        }
        let said = said.split(" #").next().unwrap_or_default();
        for word in said.split(ends) {
            let word = word.trim_end_matches(['.', '/', '-']);
            let is_path = word.starts_with('/') && !word.starts_with("//") && word.matches('/').count() > 1;
            if is_path && !word.contains("/..") {
                found.push(Named { path: word.into(), line: at + 1 });
            }
        }
    }
    found
}

/// Programs of the tree that load libraries by name, where the manifest names no library for them: nothing but a trace tells which.
pub fn loading(manifest: &Manifest, steps: &[Step], root: &Root) -> Vec<PathBuf> {
    if !manifest.tree.libraries.is_empty() || manifest.tree.base.is_some() {
        return Vec::new();
    }
    let asked = manifest.tree.programs.iter().map(|program| program.value.path.as_path());
    let command = manifest.program.command.iter().filter_map(|command| command.value.first());
    let asked: BTreeSet<&Path> = asked.chain(command.map(Path::new)).collect();
    let copied = steps.iter().filter_map(|step| match &step.action {
        Action::CopyFile { source, path, .. } if asked.contains(path.as_path()) => Some(source.as_path()),
        _ => None,
    });
    copied.filter(|source| libs::loads_by_name(root, source)).map(Path::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_texts_of_all_kinds() {
        let text = "\
# /etc/comment/a
include /etc/nginx/mime.types; # /etc/comment/b
root=/srv/www/ 'x:/usr/lib/x.so' \"/var/lib/a b\"
url http://host/path/x //no/path /one ../up/and /etc/../shadow
    ; /etc/comment/c
";
        let found: Vec<_> = paths(text).into_iter().map(|named| (named.line, named.path)).collect();
        let expected =
            [(2, "/etc/nginx/mime.types"), (3, "/srv/www"), (3, "/usr/lib/x.so"), (3, "/var/lib/a")];
        assert_eq!(found, expected.map(|(line, path)| (line, PathBuf::from(path))));
    }
}
