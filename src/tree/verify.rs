//! Compares a tree with its record, whatever a jailed root has planted in it and whatever goes on in it meanwhile.
//!
//! Every directory of the record is opened by its path beneath the root, through no link and no mount, and what is then looked at is
//! what was opened: its own mode and owner, its names, and each file in it, opened by one name (`O_PATH` first, so that no fifo is
//! waited for and no device is opened). A directory that is swapped for another at any moment leads nowhere else, and is told as
//! what it was at that moment. Directories that are not in the record are told and not entered.
//!
//! What is kept in memory is the record, what differs from it, and so many added names as are told ([`TOLD`]); further ones are counted. A file is read
//! only if it has its recorded size, and not further; a directory is listed for so many names ([`LISTED`]).
//!
//! Compared are type, mode, owner, size, content, link text, device numbers, hard links and extended attributes. Times are not:
//! they change nothing, and content is read.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::libc;
use nix::sys::stat::{FileStat, fstat, makedev};

use super::attributes;
use super::base::open_beneath;
use super::copy::{Copier, Source, kind_of};
use super::deviation::{Deviation, DeviationKind, Verified};
use super::error::{Cause, Error};
use super::record::{Entry, Head, Kind, Ownership, Record, on_disk};
use super::store::{Generation, Store};
use crate::sys::fs::{entries, reopen};
use crate::sys::held::HeldSignals;
use crate::sys::shortage;

/// How many names that were added are told; more are counted only. What is altered or missing is told however much was added: there is
/// no more of it than the record has.
const TOLD: usize = 1000;

/// How many names of one directory are looked at beyond those of the record: whoever fills one without end gains no more.
const LISTED: usize = 1 << 20;

/// From how many bytes on a second thread is worth its start.
const WORTH_A_THREAD: u64 = 4 << 20;

/// Compares a generation with its record. It is kept from being removed meanwhile.
pub fn verify(store: &Store, generation: &Generation, record: &Record) -> Result<Verified, Error> {
    let signals = HeldSignals::hold().map_err(|errno| Error::Store {
        path: generation.path.clone(),
        call: "sigprocmask",
        errno,
    })?;
    let _held = store.hold(generation)?;
    let root = store.tree(generation)?;
    let mut inside: HashMap<&Path, Vec<&Entry>> = HashMap::new();
    for entry in &record.entries {
        if let Some(parent) = entry.path.0.parent() {
            inside.entry(parent).or_default().push(entry);
        }
    }
    let task = Task {
        root: &root,
        head: &record.head,
        directories: record.entries.iter().filter(|entry| entry.kind == Kind::Directory).collect(),
        inside,
        next: AtomicUsize::new(0),
        found: Mutex::default(),
    };
    let bytes: u64 = record.entries.iter().filter_map(|entry| entry.size).sum();
    let several = std::thread::available_parallelism().is_ok_and(|count| count.get() > 1);
    let interrupted = if several && bytes >= WORTH_A_THREAD {
        std::thread::scope(|scope| {
            // Signals that are held back are held back in it too, see pthread_sigmask(3).
            // Where no further thread can be had this one does it all.
            let other = std::thread::Builder::new().spawn_scoped(scope, || task.work(&signals));
            let own = task.work(&signals);
            let joined = other.ok().map(|other| other.join().map_or(true, |done| done.is_err()));
            own.is_err() || joined.unwrap_or(false)
        })
    } else {
        task.work(&signals).is_err()
    };
    if interrupted {
        return Err(Error::Interrupted);
    }
    let mut found = task.found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((path, errno)) = found.shortage.take() {
        let path = generation.tree().join(path.strip_prefix("/").unwrap_or(&path));
        return Err(Error::Store { path, call: "openat2", errno });
    }
    Ok(Verified { paths: record.entries.len(), ..found.told() })
}

/// What has been found so far.
#[derive(Default)]
struct Found {
    verified: Verified,
    /// Names that were added and are told.
    added: usize,
    /// Directories that could not be entered: what is in them goes without saying.
    closed: HashSet<PathBuf>,
    /// What this host has too little of: no verdict on the tree then.
    shortage: Option<(PathBuf, Errno)>,
}

impl Found {
    fn told(mut self) -> Verified {
        self.verified.deviations.sort();
        let closed = self.closed;
        let is_told = |path: &Path| !path.ancestors().skip(1).any(|above| closed.contains(above));
        self.verified.deviations.retain(|deviation| is_told(&deviation.path));
        self.verified
    }
}

/// Somebody wants this to end.
struct Interrupted;

/// What the threads share.
struct Task<'a> {
    root: &'a OwnedFd,
    head: &'a Head,
    directories: Vec<&'a Entry>,
    inside: HashMap<&'a Path, Vec<&'a Entry>>,
    /// The next directory to be looked at.
    next: AtomicUsize,
    found: Mutex<Found>,
}

impl Task<'_> {
    /// Looks at one directory after the other until there is none left.
    fn work(&self, signals: &HeldSignals) -> Result<(), Interrupted> {
        let mut reader = Copier::new(signals);
        while let Some(directory) = self.directories.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            if signals.pending().is_some() {
                return Err(Interrupted);
            }
            self.directory(directory, &mut reader)?;
            if self.found().shortage.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What has been found, for this thread alone.
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Notes a deviation.
    fn tell(&self, path: &Path, kind: DeviationKind, details: Vec<String>, reason: Option<&Entry>) {
        let mut found = self.found();
        if kind == DeviationKind::Added {
            if found.added >= TOLD {
                found.verified.untold += 1;
                return;
            }
            found.added += 1;
        }
        let reason = reason.map(|entry| entry.reason.clone());
        found.verified.deviations.push(Deviation { path: path.to_owned(), kind, details, reason });
    }

    /// Notes how something differs, if it does.
    fn tell_altered(&self, entry: &Entry, details: Vec<String>) {
        if !details.is_empty() {
            self.tell(&entry.path.0, DeviationKind::Altered, details, Some(entry));
        }
    }

    /// Why something cannot be looked at or read; nothing if that says more of this host than of the tree.
    fn unable(&self, path: &Path, what: &str, errno: Errno) -> Option<String> {
        if shortage(errno).is_some() {
            self.found().shortage.get_or_insert_with(|| (path.to_owned(), errno));
            return None;
        }
        Some(format!("{what}: {}", errno.desc()))
    }

    /// Notes that something could not be opened, which says what is there instead.
    fn tell_closed(&self, entry: &Entry, errno: Errno) {
        let detail = match errno {
            Errno::ENOENT => {
                return self.tell(&entry.path.0, DeviationKind::Missing, Vec::new(), Some(entry));
            }
            Errno::ELOOP => "a link is in its place, or on the way to it".to_owned(),
            Errno::ENOTDIR => format!("it, or what is on the way to it, was {}", Kind::Directory.word()),
            Errno::EXDEV => "something is mounted there".to_owned(),
            errno => match self.unable(&entry.path.0, "it cannot be looked at", errno) {
                Some(detail) => detail,
                None => return,
            },
        };
        self.tell_altered(entry, vec![detail]);
    }

    /// Notes that a directory could not be opened, and what there is instead.
    fn tell_no_directory(&self, directory: &Entry, below: &Path, errno: Errno) {
        let found = open_beneath(self.root, below, OFlag::O_PATH).and_then(|found| fstat(&found));
        match (errno, found) {
            (Errno::ENOTDIR | Errno::ELOOP, Ok(stat)) if !is_of(&stat, libc::S_IFDIR) => {
                self.tell_altered(directory, self.common(directory, &stat));
            }
            _ => self.tell_closed(directory, errno),
        }
    }

    fn directory(&self, directory: &Entry, reader: &mut Copier<'_>) -> Result<(), Interrupted> {
        let path = &directory.path.0;
        let below = path.strip_prefix("/").unwrap_or(path);
        let opened = match open_beneath(self.root, below, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Ok(opened) => File::from(opened),
            Err(errno) => {
                self.tell_no_directory(directory, below, errno);
                self.found().closed.insert(path.clone());
                return Ok(());
            }
        };
        match fstat(&opened) {
            Ok(stat) => {
                let mut details = self.common(directory, &stat);
                details.extend(attributes_differ(directory, &opened));
                self.tell_altered(directory, details);
            }
            Err(errno) => self.tell_closed(directory, errno),
        }
        let opened = OwnedFd::from(opened);
        let children = self.inside.get(path.as_path()).map(|all| &all[..]).unwrap_or_default();
        self.list(path, directory, &opened, children);
        for child in children.iter().filter(|child| child.kind != Kind::Directory) {
            self.child(&opened, child, reader)?;
        }
        Ok(())
    }

    /// Notes the names that are not in the record.
    fn list(&self, path: &Path, directory: &Entry, opened: &OwnedFd, children: &[&Entry]) {
        let known: HashSet<&OsStr> = children.iter().filter_map(|child| child.path.0.file_name()).collect();
        let mut buffer = vec![0; 32 << 10];
        let mut listed = 0;
        loop {
            let names = match entries(opened.as_fd(), &mut buffer) {
                Ok(names) => names,
                Err(errno) => return self.tell_closed(directory, errno),
            };
            let before = listed;
            for (name, _) in names {
                listed += 1;
                if name != "." && name != ".." && !known.contains(name) {
                    self.added(path, opened, name);
                }
            }
            if listed == before {
                return;
            }
            if listed > known.len() + LISTED {
                let detail = format!(
                    "it holds more than {LISTED} names that were not built; the rest was not looked at"
                );
                return self.tell_altered(directory, vec![detail]);
            }
        }
    }

    /// Notes a name that is not in the record, with what it is.
    fn added(&self, path: &Path, directory: &OwnedFd, name: &OsStr) {
        if self.found().added >= TOLD {
            return self.tell(path, DeviationKind::Added, Vec::new(), None);
        }
        let found = open_beneath(directory, Path::new(name), OFlag::O_PATH).and_then(|found| fstat(&found));
        let details = match found {
            Ok(stat) => vec![format!(
                "{}, mode {:04o}, owner {}:{}",
                kind_of(&stat),
                stat.st_mode & 0o7777,
                stat.st_uid,
                stat.st_gid
            )],
            // It went as it came.
            Err(Errno::ENOENT) => return,
            Err(errno) => match self.unable(&path.join(name), "it cannot be looked at", errno) {
                Some(detail) => vec![detail],
                None => return,
            },
        };
        self.tell(&path.join(name), DeviationKind::Added, details, None);
    }

    /// Compares what is no directory.
    fn child(&self, directory: &OwnedFd, entry: &Entry, reader: &mut Copier<'_>) -> Result<(), Interrupted> {
        let Some(name) = entry.path.0.file_name() else { return Ok(()) };
        let found = open_beneath(directory, Path::new(name), OFlag::O_PATH);
        let (found, stat) = match found.and_then(|found| fstat(&found).map(|stat| (found, stat))) {
            Ok(found) => found,
            Err(errno) => {
                self.tell_closed(entry, errno);
                return Ok(());
            }
        };
        let mut details = self.common(entry, &stat);
        // Of another type, there is nothing more to compare.
        if is_of(&stat, self.type_of(entry)) {
            details.extend(match entry.kind {
                Kind::File => self.file(directory, entry, &found, &stat, reader)?,
                Kind::Link => link_differs(entry, &found),
                Kind::Device => self.device_differs(entry, &stat),
                Kind::Directory => None,
            });
        }
        self.tell_altered(entry, details);
        Ok(())
    }

    /// The type that an entry has on disk.
    fn type_of(&self, entry: &Entry) -> u32 {
        match (entry.kind, self.head.ownership) {
            (Kind::Directory, _) => libc::S_IFDIR,
            (Kind::Link, _) => libc::S_IFLNK,
            (Kind::File, _) | (Kind::Device, Ownership::Recorded) => libc::S_IFREG,
            (Kind::Device, Ownership::Real) => libc::S_IFCHR,
        }
    }

    /// How type, mode and owner differ.
    fn common(&self, entry: &Entry, stat: &FileStat) -> Vec<String> {
        if !is_of(stat, self.type_of(entry)) {
            return vec![format!("{}, was {}", kind_of(stat), entry.kind.word())];
        }
        let mut details = Vec::new();
        let mode = on_disk(self.head.ownership, entry.kind, entry.mode).0;
        if stat.st_mode & 0o7777 != mode && entry.kind != Kind::Link {
            details.push(format!("mode {:04o}, was {mode:04o}", stat.st_mode & 0o7777));
        }
        match self.head.ownership {
            Ownership::Real if (stat.st_uid, stat.st_gid) != (entry.uid, entry.gid) => {
                details
                    .push(format!("owner {}:{}, was {}:{}", stat.st_uid, stat.st_gid, entry.uid, entry.gid));
            }
            Ownership::Recorded if stat.st_uid != self.head.uid => {
                details.push(format!("owner {}, was {}", stat.st_uid, self.head.uid));
            }
            _ => {}
        }
        details
    }

    /// How a file's size, content or attributes differ.
    fn file(
        &self,
        directory: &OwnedFd,
        entry: &Entry,
        found: &OwnedFd,
        stat: &FileStat,
        reader: &mut Copier<'_>,
    ) -> Result<Option<String>, Interrupted> {
        let size = entry.size.unwrap_or(0);
        if stat.st_size as u64 != size {
            return Ok(Some(format!("{} bytes, were {size}", stat.st_size)));
        }
        if let Some(first) = &entry.hard_link_to {
            let first = first.0.strip_prefix("/").unwrap_or(&first.0);
            let other = open_beneath(self.root, first, OFlag::O_PATH).and_then(|other| fstat(&other));
            let same = other.is_ok_and(|other| (other.st_dev, other.st_ino) == (stat.st_dev, stat.st_ino));
            // Then it is read under its first name.
            let detail = || format!("a file of its own, was a second name of /{}", first.display());
            return Ok((!same).then(detail));
        }
        let unread = |errno| self.unable(&entry.path.0, "content, which cannot be read", errno);
        let file = match readable(directory, entry, found, stat) {
            Ok(file) => file,
            Err(errno) => return Ok(unread(errno)),
        };
        let source = Source { file, stat: *stat };
        let read = reader.digest(&source);
        if let Ok(Some(_)) = read {
            self.found().verified.bytes += size;
        }
        Ok(match read {
            Ok(Some(digest)) if Some(digest) == entry.sha256 => attributes_differ(entry, &source.file),
            Ok(Some(_)) => Some("content".to_owned()),
            Ok(None) => Some("content, which changed while it was read".to_owned()),
            Err(Cause::Interrupted) => return Err(Interrupted),
            Err(Cause::Call(_, errno) | Cause::SourceCall(_, errno)) => unread(errno),
            Err(cause) => Some(format!("content, which cannot be read: {cause}")),
        })
    }

    fn device_differs(&self, entry: &Entry, stat: &FileStat) -> Option<String> {
        match (self.head.ownership, entry.device) {
            (Ownership::Real, Some((major, minor))) => {
                let differs = stat.st_rdev != makedev(u64::from(major), u64::from(minor));
                differs.then(|| format!("another device, was {major}:{minor}"))
            }
            // The empty file that the host's node is bound on.
            _ => (stat.st_size != 0).then(|| format!("{} bytes, was empty", stat.st_size)),
        }
    }
}

fn is_of(stat: &FileStat, kind: u32) -> bool {
    stat.st_mode & libc::S_IFMT == kind
}

/// Opens for reading what was found to be a regular file: itself, whatever has its name by now. Without /proc it is looked up once
/// more, and must be the same.
fn readable(directory: &OwnedFd, entry: &Entry, found: &OwnedFd, stat: &FileStat) -> Result<File, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = match reopen(found, flags) {
        Err(Errno::ENOENT) => {
            let opened =
                open_beneath(directory, Path::new(entry.path.0.file_name().unwrap_or_default()), flags)?;
            let now = fstat(&opened)?;
            if (now.st_dev, now.st_ino) != (stat.st_dev, stat.st_ino) {
                return Err(Errno::ESTALE);
            }
            opened
        }
        opened => opened?,
    };
    Ok(File::from(opened))
}

fn link_differs(entry: &Entry, found: &OwnedFd) -> Option<String> {
    let target = entry.target.as_ref().map_or(Path::new(""), |name| name.0.as_path());
    match readlinkat(found, c"" as &CStr) {
        Ok(text) if Path::new(&text).as_os_str().as_bytes() == target.as_os_str().as_bytes() => None,
        Ok(text) => Some(format!("leads to {}, led to {}", text.display(), target.display())),
        Err(errno) => Some(format!("it cannot be read: {}", errno.desc())),
    }
}

fn attributes_differ(entry: &Entry, file: &File) -> Option<String> {
    match attributes::found(file) {
        Ok((_, digest)) if digest == entry.xattrs_sha256 => None,
        Ok((names, _)) if names == entry.xattrs => Some(format!("the value of {}", names.join(", "))),
        Ok((names, _)) => {
            let said = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Some(format!("extended attributes: {}, were: {}", said(&names), said(&entry.xattrs)))
        }
        Err(errno) => Some(format!("extended attributes, which cannot be read: {}", errno.desc())),
    }
}
