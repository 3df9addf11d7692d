//! Data of the host's that is only read: shown as it is, by the directory it is in as far as nothing else is in there that is somebody's own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::copied::{self, MOST};
use super::paths::{Paths, Used};
use super::purpose::{All, Purpose, is_wide};
use super::secrets::{self, Secret};
use super::{Facts, quoted};
use crate::manifest::edit::{Line, Place};
use crate::manifest::resolve::covered::Covered;

/// Data of the host's: the directory it is in, shown as it is. With the places.
pub(super) fn lines(
    paths: &Paths,
    purposes: &All<'_>,
    covered: &Covered,
    facts: &Facts<'_>,
) -> (Vec<PathBuf>, Vec<Line>) {
    let mut places: BTreeMap<PathBuf, &Used> = BTreeMap::new();
    let mut told = Vec::new();
    let all = purposes.iter().filter(|(path, purpose)| **purpose == Purpose::Data && !covered.has(path));
    for (path, _) in all {
        let used = &paths.files[*path];
        let is_directory = used.now.as_ref().is_some_and(fs::Metadata::is_dir);
        // What belongs to everybody is shown only if the command names it.
        let is_named = facts.command.iter().skip(1).any(|word| Path::new(word) == *path);
        if used.now.is_none() || is_wide(path) && !is_named {
            continue;
        }
        match place(path, is_directory) {
            Some(place) => _ = places.entry(place.to_owned()).or_insert(used),
            None => told.push(among_keys(path, used)),
        }
    }
    let is_top = |place: &&PathBuf| !place.ancestors().skip(1).any(|above| places.contains_key(above));
    let tops: Vec<PathBuf> = places.keys().filter(is_top).cloned().collect();
    let line = |place: &PathBuf| {
        if secrets::is_key(place) {
            return copied::kept_apart(place, places[place], Secret::Key);
        }
        let value = format!("source = {0}\ntarget = {0}", quoted(place));
        Line { place: Place::Table("mounts"), value, reason: format!("data: {}", places[place].reason()) }
    };
    let lines = tops.iter().map(line).chain(told).collect();
    (tops, lines)
}

/// What is shown for the sake of data: a directory that was used itself, or nothing if keys are in it; for a file the directory that it is
/// in, or it alone where that belongs to everybody or has keys in it.
pub(super) fn place(path: &Path, is_directory: bool) -> Option<&Path> {
    if is_directory {
        return (!has_keys(path, MOST)).then_some(path);
    }
    let directory = path.parent().unwrap_or(path);
    Some(if is_wide(directory) || has_keys(directory, MOST) { path } else { directory })
}

/// A directory that is not shown for the keys in it.
fn among_keys(path: &Path, used: &Used) -> Line {
    let place = quoted(path);
    let value = format!("[[mounts]]\nsource = {place}\ntarget = {place}");
    let reason = format!(
        "there are keys in it, or too much to tell, {}: if all of it has to be in the jail, take this in",
        used.reason()
    );
    Line { place: Place::Remark("mounts"), value, reason }
}

/// Whether keys are in a directory, as far as can be told: who has more entries than are looked at, or some that cannot be read, may have
/// keys among these.
fn has_keys(directory: &Path, most: usize) -> bool {
    let is_none = |entry: &walkdir::DirEntry| !entry.file_type().is_file() || !secrets::is_key(entry.path());
    let entries = walkdir::WalkDir::new(directory).into_iter().enumerate();
    entries.into_iter().any(|(at, entry)| at > most || !entry.as_ref().is_ok_and(is_none))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::learn::tests::Scratch;

    #[test]
    fn data_beside_keys_is_shown_alone_and_a_directory_of_them_is_not() {
        let scratch = Scratch::new("keys");
        scratch.file("plain/page").file("app/page").file("app/.ssh/id_rsa").file("app/more/page");
        let place_in = |path: &str, is_directory| {
            let path = scratch.0.join(path);
            let place = place(&path, is_directory)?.strip_prefix(&scratch.0).ok()?.to_owned();
            place.into_os_string().into_string().ok()
        };
        let shown = |text: &str| Some(text.to_owned());
        assert_eq!(place_in("plain/page", false), shown("plain"));
        assert_eq!(place_in("plain", true), shown("plain"));
        assert_eq!(place_in("app/page", false), shown("app/page"));
        assert_eq!(place_in("app", true), None);
        assert_eq!(place_in("app/more", true), shown("app/more"));
        let alone = Path::new("/srv/page");
        assert_eq!(place(alone, false), Some(alone));
    }

    #[test]
    fn what_is_not_looked_at_may_be_a_key() {
        let scratch = Scratch::new("many");
        scratch.file("a").file("b").file("c");
        assert!(!has_keys(&scratch.0, 3));
        assert!(has_keys(&scratch.0, 2));
        assert!(has_keys(&scratch.0.join("nowhere"), 3));
    }
}
