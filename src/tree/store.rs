//! The state directory: where the trees of all jails are, and which of them is current.
//!
//! ```text
//! /var/lib/stockade/               as root; $XDG_STATE_HOME/stockade or ~/.local/state/stockade as a user      0700
//!   NAME/                          one jail                                                                    0700
//!     lock                         locked by the build under way, whose process id it holds
//!     ids -> 524288                the first of the ids it has on the host, if root has started it (ids.rs)
//!     current -> generations/7     switched by one rename(2)
//!     keep -> 3                    how many older generations are kept to go back to, if `build --keep` has said so
//!     generations/7/               locked (shared) by whoever runs from it                                     0700
//!       tree/                      the jail's root
//!       record.json                what is in it, and why (record.rs)
//!       stamp                      what it was built from, in one line
//!     generations/.staging-…       a build under way, or one that was killed
//!     generations/.trash-…         a removal under way, or one that was killed
//! ```
//!
//! 0700 keeps every user of the host away from the setuid programs and old libraries that a tree may hold; the jailed
//! program sees the tree as its root and needs no way through the directories above it.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{Mode, fstat, fstatat};

use super::error::{Error, errno};
use super::generation::{JailStore, KEPT};
use super::record::{Digest, FORMAT, Record};
use super::remove::remove;
use super::trust::{find_store, open_store};
use crate::plan::JailName;
use crate::sys::fs::{Lock, entries, try_lock};

/// The state directory of root.
const SYSTEM: &str = "/var/lib/stockade";

/// How long a removal waits for a build: for a run that has just ended and tidies up.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);

/// Version of this stockade; a tree built by another is stale.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Longest stamp that is read.
const STAMP_MAX: usize = 256;

/// An open state directory, every component of whose path was found to be root's or the caller's.
#[derive(Debug)]
pub struct Store {
    directory: OwnedFd,
    path: PathBuf,
}

/// One built tree of a jail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// The jail.
    pub jail: JailName,
    /// Its number, counted from 1.
    pub number: u64,
    /// Its directory.
    pub path: PathBuf,
}

impl Generation {
    /// The jail's root.
    pub fn tree(&self) -> PathBuf {
        self.path.join("tree")
    }

    /// The record of what is in it.
    pub fn record(&self) -> PathBuf {
        self.path.join("record.json")
    }
}

/// Whether a jail has a tree, and whether it is the one its manifest asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Freshness {
    /// Built from this manifest by this version.
    Current(Generation),
    /// Built from another manifest, or by another version.
    Stale(Generation),
    /// Not built.
    Absent,
}

impl Store {
    /// Where the state directory is, given the environment; `None` for a user without a home.
    pub fn default_path(root_user: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        if let Some(path) = variable("STOCKADE_STATE_DIR").filter(|path| !path.is_empty()) {
            return Some(path.into());
        }
        if root_user {
            return Some(SYSTEM.into());
        }
        // A relative XDG_STATE_HOME counts as unset, says the XDG Base Directory Specification.
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        Some(state?.join("stockade"))
    }

    /// Opens the state directory and makes what is missing of it; refuses one that others can write to.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let (directory, path) =
            open_store(path).map_err(|distrust| Error::Untrusted { store: path.to_owned(), distrust })?;
        Ok(Self { directory, path })
    }

    /// Opens the state directory if it is there, and makes nothing.
    pub fn find(path: &Path) -> Result<Option<Self>, Error> {
        let found =
            find_store(path).map_err(|distrust| Error::Untrusted { store: path.to_owned(), distrust })?;
        Ok(found.map(|(directory, path)| Self { directory, path }))
    }

    /// Its path, without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    /// Where a jail's current tree is or will be: a path that stays the same from one generation to the next.
    pub fn current_tree(&self, jail: &JailName) -> PathBuf {
        self.path.join(jail.as_str()).join("current/tree")
    }

    /// Looks up a jail's tree and compares it with the manifest's digest: one open, one read, one close.
    pub fn current(&self, jail: &JailName, digest: &[u8; 32]) -> Result<Freshness, Error> {
        let below = Path::new(jail.as_str()).join("current/stamp");
        let Some(stamp) = self.stamp(&below)? else { return Ok(Freshness::Absent) };
        let generation = self.generation(jail, stamp.generation);
        let fresh = stamp == Stamp::now(stamp.generation, *digest);
        Ok(if fresh { Freshness::Current(generation) } else { Freshness::Stale(generation) })
    }

    /// Reads a stamp; `None` if there is none, or none that can be understood.
    fn stamp(&self, below: &Path) -> Result<Option<Stamp>, Error> {
        let fail = |call, errno| Error::Store { path: self.path.join(below), call, errno };
        let file = match open_below(&self.directory, below, OFlag::O_RDONLY, true) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(None),
            Err(errno) => return Err(fail("openat2", errno)),
        };
        let mut text = [0; STAMP_MAX];
        let length = (&file).read(&mut text).map_err(|error| fail("read", errno(&error)))?;
        Ok(std::str::from_utf8(&text[..length]).ok().and_then(Stamp::parse))
    }

    pub(super) fn generation(&self, jail: &JailName, number: u64) -> Generation {
        let path = self.path.join(jail.as_str()).join("generations").join(number.to_string());
        Generation { jail: jail.clone(), number, path }
    }

    /// Keeps a generation from being removed for as long as the descriptor of its directory is open, in this process
    /// or in one that inherited it. [`Error::Gone`] when a build replaced and removed it since it was looked up: look
    /// again.
    pub fn hold(&self, generation: &Generation) -> Result<OwnedFd, Error> {
        let fail = |call, errno| match errno {
            Errno::ENOENT | Errno::EWOULDBLOCK => Error::Gone { path: generation.path.clone() },
            errno => Error::Store { path: generation.path.clone(), call, errno },
        };
        let below = below(generation);
        let open = || open_below(&self.directory, &below, OFlag::O_RDONLY | OFlag::O_DIRECTORY, false);
        let directory = open().map_err(|errno| fail("openat2", errno))?;
        // Whoever removes it holds the lock alone, so there is no point in waiting.
        try_lock(&directory, Lock::Shared).map_err(|errno| fail("flock", errno))?;
        // Between the two calls it may have been locked, moved to the trash and let go of again.
        let still = open().map_err(|errno| fail("openat2", errno))?;
        if same(&directory, &still).map_err(|errno| fail("fstat", errno))? {
            Ok(directory)
        } else {
            Err(Error::Gone { path: generation.path.clone() })
        }
    }

    /// Why the generation that is looked up as the current one is not found, however often, where that is known better than by the error
    /// of the last time.
    pub fn lost(&self, generation: &Generation, error: Error) -> Error {
        let current = Path::new(generation.jail.as_str()).join("current");
        match readlinkat(&self.directory, &current).map(PathBuf::from) {
            Ok(leads_to) if leads_to.file_name() != generation.path.file_name() => {
                Error::Misnamed { current: self.path.join(current), leads_to, stamp: generation.number }
            }
            Ok(_) | Err(_) => error,
        }
    }

    /// Reads the record of a generation.
    pub fn record(&self, generation: &Generation) -> Result<Record, Error> {
        let below = below(generation).join("record.json");
        let path = || self.path.join(&below);
        let fail = |call, errno| Error::Store { path: path(), call, errno };
        let file =
            open_below(&self.directory, &below, OFlag::O_RDONLY, false).map_err(|e| fail("openat2", e))?;
        let mut text = Vec::new();
        File::from(file).read_to_end(&mut text).map_err(|error| fail("read", errno(&error)))?;
        match Record::from_json(&text) {
            Ok(record) if record.head.format == FORMAT => Ok(record),
            _ => Err(Error::Unreadable { path: path() }),
        }
    }

    /// Opens the root of a generation's tree.
    pub(super) fn tree(&self, generation: &Generation) -> Result<OwnedFd, Error> {
        let below = below(generation).join("tree");
        open_below(&self.directory, &below, OFlag::O_RDONLY | OFlag::O_DIRECTORY, false)
            .map_err(|errno| Error::Store { path: self.path.join(&below), call: "openat2", errno })
    }

    /// The current generation of a jail, whatever it was built from.
    pub fn latest(&self, jail: &JailName) -> Result<Option<Generation>, Error> {
        match self.current(jail, &[0; 32])? {
            Freshness::Current(generation) | Freshness::Stale(generation) => Ok(Some(generation)),
            Freshness::Absent => Ok(None),
        }
    }

    /// One generation by its number, if it is there.
    pub fn numbered(&self, jail: &JailName, number: u64) -> Option<Generation> {
        let generation = self.generation(jail, number);
        self.tree(&generation).is_ok().then_some(generation)
    }

    /// Goes back to the generation before the current one, which is removed, unless somebody runs from it; with what of it could
    /// not be. `None` if there is none to go back to; [`Error::OfAnotherManifest`] if it was not built for `digest`, because
    /// then the next run would build anew.
    pub fn roll_back(
        &self,
        jail: &JailName,
        digest: &[u8; 32],
        keep: Option<u32>,
    ) -> Result<Option<(Generation, Vec<Error>)>, Error> {
        let Some(found) = JailStore::find(self, jail, SHORT_PATIENCE)? else { return Ok(None) };
        if let Some(count) = keep {
            found.keep(count)?;
        }
        found.roll_back(|generation| {
            let below = below(generation).join("stamp");
            match self.stamp(&below)? {
                Some(stamp) if stamp == Stamp::now(generation.number, *digest) => Ok(()),
                _ => Err(Error::OfAnotherManifest { path: generation.path.clone() }),
            }
        })
    }

    /// Removes a jail's trees and everything else the state directory has of it: how many trees these were, `None` if
    /// there is nothing of it. [`Error::InUse`] while a jail runs from one of them, [`Error::Busy`] while one is built.
    pub fn remove(&self, jail: &JailName) -> Result<Option<usize>, Error> {
        match JailStore::find(self, jail, SHORT_PATIENCE)? {
            Some(found) => found.remove().map(Some),
            None => Ok(None),
        }
    }

    /// Removes what nobody needs any more of a jail, unless somebody builds or removes it just now.
    pub fn tidy(&self, jail: &JailName) -> Result<(), Error> {
        match JailStore::find(self, jail, Duration::ZERO)? {
            Some(found) => found.sweep(None).map(drop),
            None => Ok(()),
        }
    }

    /// Removes what removals that were killed have left of whole jails, and tells what cannot be removed.
    pub fn sweep(&self) -> Result<Vec<Error>, Error> {
        let fail = |errno| Error::Store { path: self.path.clone(), call: "getdents64", errno };
        let mut left = Vec::new();
        for name in names(&self.directory).map_err(fail)? {
            // Or of one that is under way: two may remove the same.
            if name.as_bytes().starts_with(b".removed-") {
                left.extend(self.remove_removed(&name).err());
            }
        }
        Ok(left)
    }

    /// Removes what was a jail's directory and has another name by now.
    pub(super) fn remove_removed(&self, name: &CStr) -> Result<(), Error> {
        let path = || self.path.join(OsStr::from_bytes(name.to_bytes()));
        remove(&self.directory, name).map_err(|resisted| resisted.of(path()))
    }

    /// The names of the jails it has something of, sorted.
    pub fn jails(&self) -> Result<Vec<String>, Error> {
        let fail = |errno| Error::Store { path: self.path.clone(), call: "getdents64", errno };
        let all = names(&self.directory).map_err(fail)?;
        let mut jails: Vec<String> = all
            .into_iter()
            .filter_map(|name| name.into_string().ok())
            .filter(|name| JailName::parse(name).is_ok())
            .collect();
        jails.sort();
        Ok(jails)
    }
}

/// A generation's directory below the state directory.
fn below(generation: &Generation) -> PathBuf {
    Path::new(generation.jail.as_str()).join("generations").join(generation.number.to_string())
}

/// Whether nothing is to be tidied up beside a generation, of which this is the directory: one call for a jail that has no
/// other, where the file system counts a directory's directories in its links.
pub fn is_alone(generation: &OwnedFd) -> bool {
    // Nobody moves a generation that is held, so `..` is where it was made: itself, its name and the `..` of the one in it.
    let links = fstatat(generation, "..", AtFlags::empty()).map_or(3, |found| found.st_nlink);
    links == 3 || parent_of(generation).is_ok_and(|all| is_tidy(&all))
}

/// Whether a directory of generations, where there are more, or on btrfs and others, which do not count, has no more than are
/// kept, and nothing half-made.
fn is_tidy(generations: &OwnedFd) -> bool {
    // Room for some hundred; with more there is something to tidy up in any case.
    let mut buffer = [0; 4 << 10];
    let Ok(names) = entries(generations.as_fd(), &mut buffer) else { return true };
    let (mut numbered, mut others, mut newest) = (0, 0, None);
    for (name, _) in names {
        *(if name.as_bytes().starts_with(b".") { &mut others } else { &mut numbered }) += 1;
        newest = newest.max(name.to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    let link = |name| readlinkat(generations, name).ok();
    let kept = link("../keep").and_then(|text| text.to_str()?.parse().ok());
    // Beside the current one, than which none is newer; `.` and `..` are always there.
    let current =
        link("../current").and_then(|text| Path::new(&text).file_name()?.to_str()?.parse::<u64>().ok());
    numbered <= kept.unwrap_or(KEPT).saturating_add(1) && others == 2 && newest <= current
}

/// The directory that a generation is in.
fn parent_of(generation: &OwnedFd) -> Result<OwnedFd, Errno> {
    openat(generation, "..", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// What a directory of the store holds.
pub(super) fn names(directory: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let mut listing = open_below(directory, Path::new("."), flags, false).and_then(Dir::from_fd)?;
    let names = listing.iter().map(|entry| Ok(entry?.file_name().to_owned()));
    names.filter(|name| !matches!(name, Ok(name) if name == c"." || name == c"..")).collect()
}

/// Opens something below a directory of the store. Links are followed only where the store has one itself
/// (`current`), and then not out of it.
pub(super) fn open_below(
    directory: impl AsFd,
    path: &Path,
    flags: OFlag,
    links: bool,
) -> Result<OwnedFd, Errno> {
    let mut resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    if !links {
        resolve |= ResolveFlag::RESOLVE_NO_SYMLINKS;
    }
    let mode = if flags.contains(OFlag::O_CREAT) { Mode::S_IRUSR | Mode::S_IWUSR } else { Mode::empty() };
    openat2(directory, path, OpenHow::new().flags(flags | OFlag::O_CLOEXEC).mode(mode).resolve(resolve))
}

/// Whether two descriptors are of the same file.
pub(super) fn same(one: &OwnedFd, other: &OwnedFd) -> Result<bool, Errno> {
    let (one, other) = (fstat(one)?, fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// What a generation was built from. Small, so that `run` need not read the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    format: u32,
    version: String,
    generation: u64,
    manifest: Digest,
}

impl Stamp {
    /// The stamp of a tree that this stockade builds.
    pub(super) fn now(generation: u64, manifest: [u8; 32]) -> Self {
        Self { format: FORMAT, version: VERSION.to_owned(), generation, manifest: Digest(manifest) }
    }

    /// The line in the file.
    pub fn line(&self) -> String {
        format!("{} {} {} {}\n", self.format, self.version, self.generation, self.manifest)
    }

    /// Reads what [`line`](Self::line) wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_suffix('\n')?.split(' ');
        let stamp = Self {
            format: words.next()?.parse().ok()?,
            version: words.next()?.to_owned(),
            generation: words.next()?.parse().ok()?,
            manifest: Digest::parse(words.next()?)?,
        };
        words.next().is_none().then_some(stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_follows_the_environment() {
        let path = |root, set: &[(&str, &str)]| {
            Store::default_path(root, |name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into()))
        };
        let home = ("HOME", "/home/eve");
        assert_eq!(path(true, &[home, ("XDG_STATE_HOME", "/s")]), Some("/var/lib/stockade".into()));
        assert_eq!(path(false, &[home]), Some("/home/eve/.local/state/stockade".into()));
        assert_eq!(path(false, &[home, ("XDG_STATE_HOME", "/s")]), Some("/s/stockade".into()));
        assert_eq!(
            path(false, &[home, ("XDG_STATE_HOME", "s")]),
            Some("/home/eve/.local/state/stockade".into())
        );
        assert_eq!(path(true, &[("STOCKADE_STATE_DIR", "/t")]), Some("/t".into()));
        assert_eq!(path(false, &[]), None);
    }

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let stamp = Stamp::now(12, [0x5a; 32]);
        let line = stamp.line();
        assert_eq!(Stamp::parse(&line), Some(stamp));
        for cut in 0..line.len() {
            assert_eq!(Stamp::parse(&line[..cut]), None, "{cut}");
        }
        assert_eq!(Stamp::parse(&line.replace('\n', " more\n")), None);
    }
}
