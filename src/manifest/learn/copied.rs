//! What the tree still lacks: plugins, configuration, data, links, directories. A person would write the name of a directory or of a
//! package where much of one is read, and so does this, as long as that does not bring much more than was read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::paths::{Paths, Used};
use super::power;
use super::purpose::{All, Purpose, SYSTEM, is_name_service, is_nothing, is_wide};
use super::secrets::{self, Secret};
use super::{Facts, data, quoted, shown, text};
use crate::manifest::edit::{Line, Place};
use crate::manifest::libs::{self, Kind as Content};
use crate::manifest::resolve::covered::Covered;
use crate::manifest::resolve::packages_of;
use crate::manifest::root::Root;
use crate::seen::{Kind, Use};

/// From how many files of one directory on the directory is named.
const MANY: usize = 4;
/// From how many files of one package on the package is named.
const MANY_OF_A_PACKAGE: usize = 40;
/// How much more than what was read a directory may bring, in bytes: a few small files.
const SPARE: u64 = 64 << 10;
/// The most entries of a directory that are looked at.
pub(super) const MOST: usize = 10_000;

/// Shared objects that no program of the jail names: plugins.
pub(super) fn libraries(paths: &Paths, purposes: &All<'_>, covered: &Covered) -> Vec<Line> {
    let root = Root::host();
    let is_file = |path: &Path| matches!(purposes.get(path), Some(Purpose::File));
    let of_names = of_name_services(paths);
    let is_plugin = |path: &Path, used: &Used| {
        let named = path.file_name().is_some_and(|name| name.to_string_lossy().contains(".so"));
        used.is(Use::Read)
            && named
            && matches!(libs::describe(&root, path), Ok(Content::Elf { .. }))
            && !covered.has(path)
            && !of_names.contains(path)
            && is_file(path)
            // Where only the program knows where to look for what it needs, it is a file like others.
            && libs::closure(&root, path).is_ok()
    };
    let files = purposes.iter().filter(|(_, purpose)| **purpose == Purpose::File);
    let used = files.map(|(path, _)| (*path, &paths.files[*path]));
    let plugins: BTreeMap<&Path, &Used> = used.filter(|(path, used)| is_plugin(path, used)).collect();
    // What another one needs comes with that one.
    let needed: BTreeSet<PathBuf> = plugins.keys().flat_map(|path| needed(&root, path)).collect();
    let mut by_directory: BTreeMap<&Path, Vec<(&Path, &Used)>> = BTreeMap::new();
    for (path, used) in plugins.iter().filter(|(path, _)| !needed.contains(**path)) {
        by_directory.entry(path.parent().unwrap_or(path)).or_default().push((path, used));
    }
    by_directory
        .into_iter()
        .flat_map(|(directory, plugins)| of_directory("libraries", directory, &plugins))
        .collect()
}

/// Lines for files of one directory: those that end alike are on one, if they are many.
fn of_directory(list: &'static str, directory: &Path, files: &[(&Path, &Used)]) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut alike: BTreeMap<&str, Vec<(&str, &Used)>> = BTreeMap::new();
    for (path, used) in files {
        match stem_and_ending(path) {
            Some((stem, ending)) => alike.entry(ending).or_default().push((stem, used)),
            None => lines.push(Line::entry("tree", list, quoted(path), used.reason())),
        }
    }
    for (ending, files) in alike {
        if files.len() < MANY {
            let path = |stem: &str| directory.join(format!("{stem}.{ending}"));
            let line =
                |(stem, used): &(&str, &Used)| Line::entry("tree", list, quoted(&path(stem)), used.reason());
            lines.extend(files.iter().map(line));
            continue;
        }
        let stems: Vec<&str> = files.iter().map(|(stem, _)| *stem).collect();
        let all = directory.join(format!("{{{}}}.{ending}", stems.join(",")));
        let reason = format!("{} of them, the first {}", stems.len(), files[0].1.reason());
        lines.push(Line::entry("tree", list, quoted(&all), reason));
    }
    lines
}

/// A name in its two parts, if both can stand in a pattern as they are.
fn stem_and_ending(path: &Path) -> Option<(&str, &str)> {
    let (stem, ending) = path.file_name()?.to_str()?.split_once('.')?;
    let is_plain = |part: &str, more: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    (is_plain(stem, "_-") && is_plain(ending, "_-.")).then_some((stem, ending))
}

/// The real paths of what an object needs, without itself.
fn needed(root: &Root, object: &Path) -> Vec<PathBuf> {
    let closure = libs::closure(root, object).map(|closure| closure.files).unwrap_or_default();
    let real = closure.into_iter().filter_map(|file| root.real(&file.path).ok());
    real.filter(|path| path != object).collect()
}

/// What modules of the host's nsswitch.conf are made of: with the module nobody wants what it needs.
fn of_name_services(paths: &Paths) -> BTreeSet<PathBuf> {
    let root = Root::host();
    let modules = paths.files.keys().filter(|path| is_name_service(path));
    modules.flat_map(|module| needed(&root, module)).collect()
}

/// Everything else.
pub(super) fn lines(paths: &Paths, purposes: &All<'_>, covered: &Covered, facts: &Facts<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut files = BTreeMap::new();
    let of_names = of_name_services(paths);
    let is_left = |path: &Path| !covered.has(path) && !of_names.contains(path);
    for (path, purpose) in purposes.iter().filter(|(path, _)| is_left(path)) {
        let used = &paths.files[*path];
        match purpose {
            _ if *purpose == Purpose::File || is_read_and_not_written(path, *purpose, used) => {
                match secrets::of(path, used) {
                    Secret::No => _ = files.insert(*path, used),
                    secret => lines.push(kept_apart(path, used, secret)),
                }
            }
            Purpose::Directory if used.is(Use::Listed) => _ = files.insert(*path, used),
            _ => {}
        }
    }
    let (shown, data) = data::lines(paths, purposes, covered, facts);
    lines.extend(data);
    let packages = packages(&files);
    let of_package = |path: &Path| packages.iter().any(|(_, _, paths)| paths.contains(path));
    let rest: BTreeMap<_, _> = files.into_iter().filter(|(path, _)| !of_package(path)).collect();
    lines.extend(
        packages.iter().map(|(name, reason, _)| Line::entry("tree", "packages", text(name), reason.clone())),
    );
    let (chosen, of_files) = chosen(&rest);
    lines.extend(of_files);
    let below =
        |path: &Path| chosen.iter().chain(&shown).any(|above| path.starts_with(above)) || of_package(path);
    for (path, (target, moment)) in &paths.links {
        let needed = purposes.iter().filter(|(_, purpose)| **purpose != Purpose::Nothing);
        let used = needed.into_iter().any(|(used, _)| leads(path, target, used));
        let is_left = !of_names.iter().any(|file| leads(path, target, file));
        if used && is_left && !is_nothing(path) && !covered.has(path) && !below(path) {
            let value = format!("{{ path = {}, target = {} }}", quoted(path), quoted(target));
            lines.push(Line::entry("tree", "links", value, super::reason(moment, "followed")));
        }
    }
    for (path, _) in purposes.iter().filter(|(_, purpose)| **purpose == Purpose::Directory) {
        let leads_to_chosen = chosen.iter().any(|choice| choice.starts_with(path));
        if !covered.leads_to(path) && !below(path) && !leads_to_chosen {
            lines.push(directory(path, &paths.files[*path], facts));
        }
    }
    lines
}

/// Whether it has been read, and is changed where a jail changes nothing unasked: it has what was read as its own.
pub(super) fn is_read_and_not_written(path: &Path, purpose: Purpose, used: &Used) -> bool {
    let is_file = used.kind == Kind::Regular && used.now.as_ref().is_some_and(fs::Metadata::is_file);
    purpose == Purpose::Written && is_file && used.is(Use::Read) && power::of_place(path).is_some()
}

/// Whether a link was followed to what was used.
fn leads(link: &Path, target: &Path, used: &Path) -> bool {
    let to = link.parent().unwrap_or(link).join(target);
    fs::canonicalize(&to).is_ok_and(|real| used.starts_with(real))
}

/// A file that is not copied.
pub(super) fn kept_apart(path: &Path, used: &Used, secret: Secret) -> Line {
    let place = quoted(path);
    let value = format!("source = {place}\ntarget = {place}");
    let reason = used.reason();
    if secret == Secret::Private {
        let reason = format!("not everybody may read it, so it is shown and not copied: {reason}");
        return Line { place: Place::Table("mounts"), value, reason };
    }
    let reason = format!("a secret, {reason}: if it has to be in the jail, take this in");
    Line { place: Place::Remark("mounts"), value: format!("[[mounts]]\n{value}"), reason }
}

/// An empty directory that is only looked at or entered.
fn directory(path: &Path, used: &Used, facts: &Facts<'_>) -> Line {
    let Some(now) = &used.now else { return Line::entry("tree", "directories", quoted(path), used.reason()) };
    let (uid, gid, mode) = (now.uid(), now.gid(), now.mode() & 0o7777);
    let mut value = format!("{{ path = {}", quoted(path));
    if facts.host.is_root() && (uid, gid) != (0, 0) {
        let (owner, group) = (super::written::user(uid, facts), super::written::group(gid, facts));
        _ = write!(value, ", owner = {owner}, group = {group}");
    }
    if mode != 0o755 {
        _ = write!(value, ", mode = \"{mode:04o}\"");
    }
    let plain = value == format!("{{ path = {}", quoted(path));
    let value = if plain { quoted(path) } else { value + " }" };
    Line::entry("tree", "directories", value, used.reason())
}

/// Something to be listed under `files`.
struct Choice<'a> {
    /// A file or a directory.
    path: PathBuf,
    /// Of a directory, what is not to come along.
    secrets: Vec<PathBuf>,
    /// What it is there for.
    used: &'a Used,
    /// Of a directory, how many of its files were read.
    read: usize,
}

impl Choice<'_> {
    /// Its line.
    fn line(&self) -> Line {
        let value = without(&self.path, &self.secrets);
        let reason = match self.read {
            0 | 1 => self.used.reason(),
            many => format!("{many} files of it: {}", self.used.reason()),
        };
        Line::entry("tree", "files", value, reason)
    }
}

/// A directory without these of its files.
fn without(directory: &Path, secrets: &[PathBuf]) -> String {
    let path = quoted(directory);
    if secrets.is_empty() {
        return path;
    }
    let names = secrets.iter().filter_map(|secret| secret.strip_prefix(directory).ok());
    let names: Vec<String> = names.map(excluded).collect();
    format!("{{ path = {path}, exclude = [{}] }}", names.join(", "))
}

/// An entry for a directory, without what is secret in it; none if it has too many files for all to be looked at.
pub(super) fn directory_without_secrets(directory: &Path) -> Option<String> {
    Some(without(directory, &contents(directory)?.secrets))
}

/// A name as a pattern of `exclude` that matches it, however it is spelt: what has a meaning there is taken literally, and a byte that is no
/// text is any byte.
fn excluded(name: &Path) -> String {
    let mut pattern = String::new();
    for chunk in name.as_os_str().as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            if "*?[]{},\\".contains(c) {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text(&pattern)
}

/// Files by their names, or the directories they are in: what is chosen, and the lines of it.
fn chosen(files: &BTreeMap<&Path, &Used>) -> (Vec<PathBuf>, Vec<Line>) {
    let mut by_directory: BTreeMap<&Path, Vec<(&Path, &Used)>> = BTreeMap::new();
    for (path, used) in files {
        let is_directory = used.now.as_ref().is_some_and(fs::Metadata::is_dir);
        let directory = if is_directory { Some(*path) } else { path.parent() };
        if let Some(directory) = directory {
            by_directory.entry(directory).or_default().push((path, used));
        }
    }
    let (mut chosen, mut lines): (Vec<PathBuf>, Vec<Line>) = (Vec::new(), Vec::new());
    for (directory, mut members) in by_directory {
        if chosen.iter().any(|choice| directory.starts_with(choice)) {
            continue;
        }
        if let Some(choice) = whole(directory, &members) {
            lines.push(choice.line());
            chosen.push(choice.path);
            continue;
        }
        members.retain(|(path, _)| *path != directory);
        chosen.extend(members.iter().map(|(path, _)| (*path).to_owned()));
        lines.extend(of_directory("files", directory, &members));
    }
    (chosen, lines)
}

/// A directory in the place of what was read of it.
fn whole<'a>(directory: &Path, members: &[(&Path, &'a Used)]) -> Option<Choice<'a>> {
    if is_wide(directory) {
        return None;
    }
    let listed = members.iter().find(|(path, used)| *path == directory && used.is(Use::Listed));
    let files: Vec<_> = members.iter().filter(|(path, _)| *path != directory).collect();
    let found = contents(directory)?;
    let is_much = files.len() >= MANY && 2 * files.len() >= found.files;
    // What is only listed may be where somebody works, and no part of the program.
    let is_listed =
        listed.is_some() && (!files.is_empty() || SYSTEM.iter().any(|top| directory.starts_with(top)));
    if !is_listed && !is_much {
        return None;
    }
    let sizes = files.iter().filter_map(|(_, used)| used.now.as_ref()).map(fs::Metadata::len);
    let read: u64 = sizes.sum();
    if found.bytes > 2 * read + SPARE {
        return None;
    }
    let used = listed.or(members.first()).map(|(_, used)| *used)?;
    Some(Choice { path: directory.to_owned(), secrets: found.secrets, used, read: files.len() })
}

/// What a directory would bring.
#[derive(Default)]
struct Contents {
    files: usize,
    bytes: u64,
    secrets: Vec<PathBuf>,
}

/// Looks through a directory; none if it is too large, or cannot be read.
fn contents(directory: &Path) -> Option<Contents> {
    let mut found = Contents::default();
    for (at, entry) in walkdir::WalkDir::new(directory).into_iter().enumerate() {
        let entry = entry.ok()?;
        if at > MOST {
            return None;
        }
        let now = entry.metadata().ok()?;
        if !now.is_file() {
            continue;
        }
        if secrets::is_key(entry.path()) || now.mode() & 0o004 == 0 {
            found.secrets.push(entry.path().to_owned());
        } else {
            found.files += 1;
            found.bytes += now.len();
        }
    }
    Some(found)
}

/// Packages of which many files were read, with the reason and these files.
fn packages(files: &BTreeMap<&Path, &Used>) -> Vec<(String, String, BTreeSet<PathBuf>)> {
    if files.len() < MANY_OF_A_PACKAGE {
        return Vec::new();
    }
    // Configuration is the administrator's, whoever brought it.
    let of_packages = files.iter().filter(|(path, used)| !path.starts_with("/etc") && !used.is(Use::Listed));
    let mut owned: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for (path, package) in packages_of(&Root::host(), of_packages.map(|(path, _)| *path)) {
        owned.entry(package).or_default().insert(path.to_owned());
    }
    let many = owned.into_iter().filter(|(_, paths)| paths.len() >= MANY_OF_A_PACKAGE);
    many.map(|(name, paths)| {
        let first = paths.first().map_or_else(String::new, |first| {
            format!("{}: {}", shown(first), files[first.as_path()].reason())
        });
        let reason = format!("{} files of it, first {first}", paths.len());
        (name, reason, paths)
    })
    .collect()
}
