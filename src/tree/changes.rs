//! What differs between two records: what a build would change, or has changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::record::Entry;

/// One path that is not in both trees, or not the same in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The path, as the jailed program says it.
    pub path: PathBuf,
    /// What became of it.
    pub kind: ChangeKind,
    /// What is different about it, a phrase each; of something added what it seems to replace.
    pub details: Vec<String>,
    /// Why it is in the new tree; why it was in the old one, of something removed.
    pub reason: String,
}

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Only in the new tree.
    Added,
    /// In both, and not the same.
    Changed,
    /// Only in the old tree.
    Removed,
}

impl ChangeKind {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

/// Everything that differs, by path.
pub fn changes(old: &[Entry], new: &[Entry]) -> Vec<Change> {
    let mut paths: BTreeMap<&Path, (Option<&Entry>, Option<&Entry>)> = BTreeMap::new();
    for entry in old {
        paths.entry(&entry.path.0).or_default().0 = Some(entry);
    }
    for entry in new {
        paths.entry(&entry.path.0).or_default().1 = Some(entry);
    }
    let change = |path: &Path, kind, details, reason: &str| Change {
        path: path.to_owned(),
        kind,
        details,
        reason: reason.to_owned(),
    };
    let mut all = Vec::new();
    for (path, found) in &paths {
        match *found {
            (Some(old), Some(new)) => {
                let details = differences(old, new);
                if !details.is_empty() {
                    all.push(change(path, ChangeKind::Changed, details, &new.reason));
                }
            }
            (Some(old), None) => all.push(change(path, ChangeKind::Removed, Vec::new(), &old.reason)),
            (None, Some(new)) => all.push(change(path, ChangeKind::Added, Vec::new(), &new.reason)),
            (None, None) => {}
        }
    }
    name_successors(&mut all);
    all
}

/// How one entry differs from another of the same path. Times count for nothing, nor does where
/// the same content was copied from.
fn differences(old: &Entry, new: &Entry) -> Vec<String> {
    if old.kind != new.kind {
        return vec![format!("{}, was {}", new.kind.word(), old.kind.word())];
    }
    let mut details = Vec::new();
    if old.hard_link_to != new.hard_link_to {
        let said = |entry: &Entry| match &entry.hard_link_to {
            Some(first) => format!("a second name of {}", first.0.display()),
            None => "a file of its own".to_owned(),
        };
        details.push(format!("{}, was {}", said(new), said(old)));
    }
    match (old.size, new.size) {
        (Some(old_size), Some(new_size)) if old_size != new_size => {
            details.push(format!("content: {new_size} bytes, were {old_size}"));
        }
        _ if old.sha256 != new.sha256 => details.push("content".to_owned()),
        _ => {}
    }
    if let (Some(old), Some(new)) = (&old.target, &new.target)
        && old != new
    {
        details.push(format!("leads to {}, led to {}", new.0.display(), old.0.display()));
    }
    if let (Some(old), Some(new)) = (old.device, new.device)
        && old != new
    {
        details.push(format!("device {}:{}, was {}:{}", new.0, new.1, old.0, old.1));
    }
    if old.mode != new.mode {
        details.push(format!("mode {}, was {}", new.mode, old.mode));
    }
    if (old.uid, old.gid) != (new.uid, new.gid) {
        details.push(format!("owner {}:{}, was {}:{}", new.uid, new.gid, old.uid, old.gid));
    }
    if old.xattrs_sha256 != new.xattrs_sha256 {
        details.push("extended attributes".to_owned());
    }
    details
}

/// Says of each library that is new which of those that are gone it seems to replace, and of that one what replaces it: the same
/// name up to `.so`, as when an upgrade brings `libz.so.1.3` for `libz.so.1.2`.
fn name_successors(all: &mut [Change]) {
    let of_kind = |all: &[Change], kind| -> Vec<(usize, PathBuf)> {
        let found = all.iter().enumerate().filter(|(_, change)| change.kind == kind);
        found.filter_map(|(at, change)| Some((at, stem(&change.path)?))).collect()
    };
    let gone = of_kind(all, ChangeKind::Removed);
    for (new, name) in of_kind(all, ChangeKind::Added) {
        let Some((old, _)) = gone.iter().find(|(_, other)| *other == name) else { continue };
        let (new_path, old_path) = (all[new].path.clone(), all[*old].path.clone());
        all[new].details.push(format!("it seems to replace {}", old_path.display()));
        if all[*old].details.is_empty() {
            all[*old].details.push(format!("{} seems to replace it", new_path.display()));
        }
    }
}

/// A library's name up to its version: `libz.so.1.2` and `libz-1.2.so` are both `libz`.
fn stem(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let (before, _) = name.split_once(".so")?;
    let version = |at: &usize| before[at + 1..].starts_with(|c: char| c.is_ascii_digit());
    let end = before.match_indices('-').map(|(at, _)| at).find(version);
    Some(before[..end.unwrap_or(before.len())].into())
}

#[cfg(test)]
mod tests {
    use super::super::place::entry;
    use super::super::record::Kind;
    use super::*;
    use crate::plan::step::Owner;
    use crate::plan::{JailPath, Mode, Origin};
    use nix::sys::time::TimeSpec;

    fn file(path: &str, size: u64) -> Entry {
        let path = JailPath::parse(path).unwrap();
        let why = Origin::Default("a test");
        let entry =
            entry(&path, Kind::File, Mode(0o644), Owner::default(), TimeSpec::new(size as i64, 0), &why);
        Entry { size: Some(size), ..entry }
    }

    fn said(old: &[Entry], new: &[Entry]) -> Vec<String> {
        let line = |change: Change| {
            format!("{} {}: {}", change.kind.name(), change.path.display(), change.details.join("; "))
        };
        changes(old, new).into_iter().map(line).collect()
    }

    #[test]
    fn each_path_is_told_once() {
        let old = [file("/a", 1), file("/b", 1), file("/c", 1)];
        let changed = Entry { mode: Mode(0o600), uid: 5, ..file("/b", 2) };
        let new = [changed, file("/c", 1), file("/d", 1)];
        assert_eq!(
            said(&old, &new),
            [
                "removed /a: ",
                "changed /b: content: 2 bytes, were 1; mode 0600, was 0644; owner 5:0, was 0:0",
                "added /d: "
            ]
        );
        assert_eq!(said(&old, &old), [""; 0]);
        let link = Entry { kind: Kind::Link, ..file("/a", 1) };
        assert_eq!(said(&old[..1], &[link]), ["changed /a: a link, was a file"]);
    }

    #[test]
    fn a_library_and_its_successor_know_of_each_other() {
        assert_eq!(
            said(&[file("/lib/libz.so.1.2", 1)], &[file("/lib/libz.so.1.3", 1), file("/lib/liby.so.1", 1)]),
            [
                "added /lib/liby.so.1: ",
                "removed /lib/libz.so.1.2: /lib/libz.so.1.3 seems to replace it",
                "added /lib/libz.so.1.3: it seems to replace /lib/libz.so.1.2",
            ]
        );
        for (name, expected) in
            [("libc-2.36.so", Some("libc")), ("libx-y.so.1", Some("libx-y")), ("file", None)]
        {
            assert_eq!(stem(Path::new(name)), expected.map(PathBuf::from), "{name}");
        }
    }
}
