//! What the program changes: a jail's root is read-only, so each place gets a mount. Memory where the host keeps nothing either
//! (`/run`, `/tmp`, `/var/cache`), with the owner and mode that the host's directory has; elsewhere the host's own directory, writable.
//!
//! A directory that belongs to everybody, such as /var/log, is never shown for the sake of one file: then it is the file alone. Where the
//! host executes what is there, or is configured by it, a remark says what it would take.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::paths::{Paths, Used};
use super::power;
use super::purpose::{All, Purpose, is_wide};
use super::rights::has_user_namespace;
use super::secrets::is_key;
use super::{Facts, quoted, reason, shown, text, word};
use crate::manifest::edit::{Line, Place};
use crate::manifest::resolve::sockets::is_control;
use crate::plan::Account;
use crate::seen::{Kind, Seen, Use};

/// A place that is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// In memory: what is there is gone with the jail.
    Memory,
    /// In the host's directory, or file.
    Host {
        /// With sockets that are for clients outside.
        sockets: bool,
        /// With files that are root's, changed by root.
        roots: bool,
    },
    /// Where others listen at sockets, read-only.
    Peers,
    /// Nowhere: what cannot be had.
    Nowhere,
}

impl Kept {
    /// What does for both.
    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Host { sockets, roots }, Self::Host { sockets: more, roots: of_root }) => {
                Self::Host { sockets: sockets || more, roots: roots || of_root }
            }
            // What sockets are in is the host's directory.
            (Self::Memory, Self::Host { sockets: true, .. }) => other,
            (Self::Peers, Self::Host { roots, .. }) | (Self::Host { roots, .. }, Self::Peers) => {
                Self::Host { sockets: true, roots }
            }
            (Self::Peers, Self::Memory) | (Self::Memory, Self::Peers) => {
                Self::Host { sockets: true, roots: false }
            }
            _ => self,
        }
    }
}

/// The mounts, parents first; of those that have power over the host it is told only.
pub(super) fn lines(seen: &Seen, paths: &Paths, purposes: &All<'_>, facts: &Facts<'_>) -> Vec<Line> {
    let told = |line: Line| match power::of_mount(&line) {
        Some(why) => Line {
            place: Place::Remark("mounts"),
            value: format!("[[mounts]]\n{}", line.value.trim_end()),
            reason: format!("{}: {why}, so it is not made writable unasked", line.reason),
        },
        None => line,
    };
    wanted(seen, paths, purposes, facts).into_iter().map(told).collect()
}

/// The mounts that it takes.
pub(super) fn wanted(seen: &Seen, paths: &Paths, purposes: &All<'_>, facts: &Facts<'_>) -> Vec<Line> {
    let mut places: BTreeMap<PathBuf, (Kept, String)> = BTreeMap::new();
    for (path, purpose) in purposes {
        let used = &paths.files[*path];
        let place = match purpose {
            Purpose::Written => place(path, used, paths),
            Purpose::Peer => Some((place_of_peer(path), Kept::Peers)),
            _ => None,
        };
        let Some((place, kept)) = place else { continue };
        let why = used.changed().map_or_else(|| used.reason(), |(one, moment)| reason(moment, word(one)));
        let why = if place == *path { why } else { format!("{} {why}", shown(path)) };
        match places.get_mut(&place) {
            Some((known, _)) => *known = known.and(kept),
            None => _ = places.insert(place, (kept, why)),
        }
    }
    let squashes = facts.host.is_root() && has_user_namespace(seen, facts);
    let kept_below = |place: &Path| {
        place.ancestors().skip(1).any(|above| {
            places.get(above).is_some_and(|(kept, _)| match kept {
                Kept::Host { .. } => true,
                // Below /run and /tmp a directory that the host made has an owner of its own.
                Kept::Memory => !place.exists() || place.starts_with("/tmp"),
                Kept::Peers | Kept::Nowhere => false,
            })
        })
    };
    let chosen = places.iter().filter(|(place, (kept, _))| *kept == Kept::Nowhere || !kept_below(place));
    chosen.map(|(place, (kept, why))| line(place, *kept, why, squashes, facts)).collect()
}

/// Whether a directory is below one that is empty memory in the jail.
pub(super) fn hides(lines: &[Line], directory: &Path) -> bool {
    let is_above = |line: &Line| {
        let target = line.value.lines().find_map(|line| line.strip_prefix("target = "));
        line.place == Place::Table("mounts")
            && line.value.starts_with("type   = \"tmpfs\"")
            && directory.ancestors().any(|above| target == Some(&*quoted(above)))
    };
    lines.iter().any(is_above)
}

/// The place to be mounted because of a path, and how.
fn place(path: &Path, used: &Used, paths: &Paths) -> Option<(PathBuf, Kept)> {
    let is_directory = used.kind == Kind::Directory
        || used.kind == Kind::Nothing && used.now.as_ref().is_some_and(std::fs::Metadata::is_dir);
    // A directory that was there is a place itself; what is made needs the one it is made in, unless that is everybody's and it was only to
    // be made.
    let is_made = used.changed().is_some_and(|(one, _)| one == Use::Made);
    // Others will use it as they do everywhere: what is made in it has a place of its own.
    if is_made && is_directory && is_wide(path) && path != Path::new("/run") {
        return None;
    }
    let is_there = used.is_made_sure_of() && path.parent().is_some_and(is_wide);
    let is_itself = is_directory && (!is_made || is_there);
    let first = if is_itself { path } else { path.parent()? };
    // Up to what was there before the program.
    let was_there = |place: &&Path| {
        is_wide(place)
            || is_temporary(place)
            || paths.files.get(*place).is_none_or(|known| known.kind != Kind::Nothing)
    };
    let place = first.ancestors().find(was_there)?.to_owned();
    if is_temporary(&place) {
        return Some((place, Kept::Memory));
    }
    if path.starts_with("/run") {
        let sockets = used.is(Use::Made) && used.kind == Kind::Nothing && is_bound(used);
        if sockets && place != Path::new("/run") {
            return Some((place.clone(), Kept::Host { sockets, roots: is_roots(used, &place) }));
        }
        return Some((place, Kept::Memory));
    }
    if !is_wide(&place) {
        let is_cache = path.starts_with("/var/cache") && !reads_what_was_there(&place, paths);
        let roots = is_roots(used, &place);
        return Some((
            place,
            if is_cache { Kept::Memory } else { Kept::Host { sockets: is_bound(used), roots } },
        ));
    }
    // The file alone, if it is there to be shown; or the directory below the wide one that was made.
    let own = path.ancestors().find(|above| above.parent() == Some(&*place))?.to_owned();
    let there = std::fs::symlink_metadata(&own).is_ok_and(|now| now.is_file() || now.is_dir());
    let roots = is_roots(used, &own);
    Some((own, if there { Kept::Host { sockets: false, roots } } else { Kept::Nowhere }))
}

/// Where a socket of somebody else's is shown: its directory, in which the next one comes when it is made anew, or it alone.
pub(super) fn place_of_peer(path: &Path) -> PathBuf {
    let directory = path.parent().unwrap_or(path);
    let is_alone = is_wide(directory) || is_temporary(directory) || is_control(directory);
    if is_alone { path } else { directory }.to_owned()
}

/// Whether it is a directory for what is soon gone.
fn is_temporary(place: &Path) -> bool {
    ["/tmp", "/var/tmp"].iter().any(|temporary| place == Path::new(temporary))
}

/// Whether root changes what is root's: a file, one that it leaves behind, or a directory in which it makes one; or does so in another's
/// directory whose group is root's, where no capability inside counts unless that group is somebody inside, see user_namespaces(7).
fn is_roots(used: &Used, place: &Path) -> bool {
    let by_root = used.changed().is_some_and(|(_, moment)| moment.uid == 0);
    let is_left = used.now.as_ref().is_some_and(|now| !now.is_dir() && now.uid() == 0);
    let is_roots = |now: &std::fs::Metadata| now.uid() == 0 || now.gid() == 0;
    let is_in_roots = match &used.now {
        Some(now) if used.kind == Kind::Regular => is_roots(now),
        _ => std::fs::metadata(place).is_ok_and(|now| is_roots(&now)),
    };
    by_root && (is_left || is_in_roots)
}

/// Whether it is a socket that others connect to.
fn is_bound(used: &Used) -> bool {
    used.uses.get(&Use::Made).is_some_and(|moment| moment.call == "bind")
}

/// Whether a cache is more than a cache: something that was in it before was read.
fn reads_what_was_there(place: &Path, paths: &Paths) -> bool {
    let below = paths.files.range(place.to_owned()..).take_while(|(path, _)| path.starts_with(place));
    below.into_iter().any(|(_, used)| used.kind == Kind::Regular && used.is(Use::Read))
}

/// The lines of one mount.
fn line(place: &Path, kept: Kept, why: &str, squashes: bool, facts: &Facts<'_>) -> Line {
    match kept {
        Kept::Peers => peers(place, why),
        Kept::Nowhere => {
            let target = quoted(place);
            let value = format!(
                "[[mounts]] target = {target}: its directory belongs to everybody, and it is gone by now"
            );
            Line { place: Place::Remark("mounts"), value, reason: format!("{}: {why}", shown(place)) }
        }
        Kept::Memory => {
            let reason = format!("{}: {why}", kind_of_memory(place));
            Line { place: Place::Table("mounts"), value: memory(place, &quoted(place), facts), reason }
        }
        Kept::Host { sockets, roots } => hosts(place, sockets, roots && squashes, why),
    }
}

/// A directory or file of the host's, writable. Somebody's keys next to what is written, and sockets of those who do what they are told, are
/// the reader's to decide about, as where they are only read.
fn hosts(place: &Path, sockets: bool, squash: bool, why: &str) -> Line {
    let target = quoted(place);
    let is_control = is_control(place);
    // Keys under each other, as a person aligns them.
    let width = if squash { 11 } else { 9 };
    let line = |key: &str, value: &str| format!("{key:width$} = {value}\n");
    let mut value = line("source", &target) + &line("target", &target) + &line("read_only", "false");
    if sockets || is_control {
        value += &line("sockets", "true");
    }
    if squash {
        value += &line("root_squash", "false");
    }
    let decided = match (is_key(place), is_control) {
        (true, _) => "a place for secrets",
        (false, true) => "who listens there has power over the host",
        (false, false) => {
            let kind = if place.starts_with("/var/log") { "log" } else { "state" };
            return Line { place: Place::Table("mounts"), value, reason: format!("{kind}: {why}") };
        }
    };
    let value = format!("[[mounts]]\n{}", value.trim_end());
    let reason = format!("{decided}, {why}: if it has to be in the jail, take this in");
    Line { place: Place::Remark("mounts"), value, reason }
}

/// A place with sockets at which others listen. Those who do what they are told, as docker does, are the reader's to decide about.
pub(super) fn peers(place: &Path, why: &str) -> Line {
    let value = format!("source  = {0}\ntarget  = {0}\nsockets = true", quoted(place));
    if !is_control(place) {
        return Line {
            place: Place::Table("mounts"),
            value,
            reason: format!("somebody else's socket: {why}"),
        };
    }
    let reason = format!(
        "who listens there has power over the host, {why}: if it has to be in the jail, take this in"
    );
    Line { place: Place::Remark("mounts"), value: format!("[[mounts]]\n{value}"), reason }
}

/// What a place in memory is.
fn kind_of_memory(place: &Path) -> &'static str {
    match place {
        _ if place.starts_with("/run") => "run",
        _ if place.starts_with("/var/cache") => "cache",
        _ => "tmp",
    }
}

/// A mount in memory, with the owner and the mode of the host's directory.
fn memory(place: &Path, target: &str, facts: &Facts<'_>) -> String {
    let mut value = format!("type   = \"tmpfs\"\ntarget = {target}");
    let Ok(now) = std::fs::metadata(place) else { return value };
    let (uid, gid, mode) = (now.uid(), now.gid(), now.permissions().mode() & 0o7777);
    // Somebody else's id is nobody's in the jail of an ordinary user.
    if facts.host.is_root() && (uid, gid) != (0, 0) {
        _ = write!(value, "\nowner  = {}\ngroup  = {}", user(uid, facts), group(gid, facts));
    }
    if mode != 0o1777 {
        _ = write!(value, "\nmode   = \"{mode:04o}\"");
    }
    value
}

/// A user by name, or by number.
pub(super) fn user(uid: u32, facts: &Facts<'_>) -> String {
    facts.accounts.user(&Account::Id(uid)).map_or_else(|| uid.to_string(), |user| text(&user.name))
}

/// A group by name, or by number.
pub(super) fn group(gid: u32, facts: &Facts<'_>) -> String {
    facts.accounts.group(&Account::Id(gid)).map_or_else(|| gid.to_string(), |group| text(&group.name))
}
