//! Records of running jails (`state.rs`) looked at: one is believed only for as long as its supervisor holds it locked, and what it says
//! of processes only if the kernel says the same; what is over is swept on the way.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use super::cgroup;
use super::holder::{self, Holder};
use super::processes::{self, Process};
use super::running::{Running, has_ended};
use super::state::{Entry, Written, parse_file_name};
use crate::plan::JailName;
use crate::sys;
use crate::sys::fs::{Lock, try_lock};
use crate::sys::process;

/// No record is longer.
const LONGEST: u64 = 16 << 20;

/// For so many seconds an empty one may be in the making; it takes some microseconds.
const MAKING: u64 = 1;

/// Why records cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Somebody else could have written them.
    Untrusted {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// A call failed.
    Call {
        /// On this path.
        path: PathBuf,
        /// The call and why.
        error: sys::Error,
    },
}

/// A jail that runs in another PID namespace or on another host, where its numbers mean other processes than they do here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// What its record says.
    pub entry: Entry,
    /// The number that its supervisor has there.
    pub supervisor: i32,
}

/// What records tell of.
#[derive(Debug, Default)]
pub struct Runs {
    /// What runs here, by name and age.
    pub here: Vec<Running>,
    /// What runs out of reach: it is told of, and nothing is done to it.
    pub elsewhere: Vec<Elsewhere>,
}

/// Every jail that runs. Records of those that do not are removed.
pub fn all(place: &Path) -> Result<Runs, Unreadable> {
    let failed =
        |call| move |errno| Unreadable::Call { path: place.to_owned(), error: sys::Error { call, errno } };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = match open(place, flags, Mode::empty()) {
        Err(Errno::ENOENT) => return Ok(Runs::default()),
        opened => opened.map_err(failed("open"))?,
    };
    let found = fstat(&directory).map_err(failed("fstat"))?;
    if !is_ours(&found) {
        let (owner, mode) = (found.st_uid, found.st_mode & 0o7777);
        return Err(Unreadable::Untrusted { path: place.to_owned(), owner, mode });
    }
    let again = openat(&directory, ".", flags, Mode::empty()).map_err(failed("openat"))?;
    let mut listing = Dir::from_fd(again).map_err(failed("getdents64"))?;
    let names: Vec<CString> =
        listing.iter().filter_map(Result::ok).map(|entry| entry.file_name().to_owned()).collect();
    let mut runs = Runs::default();
    for name in &names {
        let unreadable =
            |error| Unreadable::Call { path: place.join(OsStr::from_bytes(name.to_bytes())), error };
        match examine(&directory, name).map_err(unreadable)? {
            Some(Run::Here(running)) => runs.here.push(running),
            Some(Run::Elsewhere(other)) => runs.elsewhere.push(other),
            None => {}
        }
    }
    runs.here.sort_by(|one, other| {
        (one.entry.jail.as_str(), one.first).cmp(&(other.entry.jail.as_str(), other.first))
    });
    runs.elsewhere.sort_by(|one, other| one.entry.jail.as_str().cmp(other.entry.jail.as_str()));
    Ok(runs)
}

/// Sweeps the place of records, and removes it if no jail runs.
pub fn tidy(place: &Path) {
    // What cannot be swept here is told by whoever needs to know what runs. A run that starts meanwhile makes the place anew.
    if all(place).is_ok_and(|runs| runs.here.is_empty() && runs.elsewhere.is_empty())
        && let Ok(()) | Err(_) = std::fs::remove_dir(place)
    {}
}

/// Sweeps the records of supervisors that were killed, with what only they tell of, whoever has their numbers by now; all but the
/// caller's own.
pub(super) fn sweep_dead(place: &Path, own: Option<&OsStr>) {
    let Some(directory) = open_place(place) else { return };
    let names = std::fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.file_name());
    for name in names.filter(|name| Some(name.as_os_str()) != own) {
        sweep_in(&directory, &name);
    }
}

/// Sweeps one record, if its jail is over.
pub(super) fn sweep(place: &Path, name: &OsStr) {
    if let Some(directory) = open_place(place) {
        sweep_in(&directory, name);
    }
}

/// The directory of records, if it is there.
fn open_place(place: &Path) -> Option<OwnedFd> {
    open(place, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).ok()
}

/// What cannot be told of a record leaves it where it is.
fn sweep_in(directory: &OwnedFd, name: &OsStr) {
    if let Ok(name) = CString::new(name.as_bytes())
        && let Ok(_) | Err(_) = held(directory, &name)
    {}
}

/// Whether a file is this user's and nobody else may write to it.
pub(super) fn is_ours(found: &FileStat) -> bool {
    found.st_uid == geteuid().as_raw() && found.st_mode & 0o022 == 0
}

/// What one record tells of.
enum Run {
    Here(Running),
    Elsewhere(Elsewhere),
}

/// A record that its supervisor holds.
struct Held {
    jail: JailName,
    supervisor: i32,
    file: OwnedFd,
    found: FileStat,
    bytes: Vec<u8>,
}

/// Looks at one record. It is removed if nobody holds it any more. What cannot be told is an error: a jail would run and nobody know.
fn held(directory: &OwnedFd, name: &CString) -> Result<Option<Held>, sys::Error> {
    let Some((jail, supervisor)) = parse_file_name(OsStr::from_bytes(name.to_bytes())) else {
        return Ok(None);
    };
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = match openat(directory, name.as_c_str(), flags, Mode::empty()) {
        // It has gone meanwhile, or is none of ours.
        Err(Errno::ENOENT | Errno::ELOOP | Errno::ENXIO | Errno::EACCES) => return Ok(None),
        opened => opened.map_err(sys::Error::of("openat"))?,
    };
    let found = fstat(&file).map_err(sys::Error::of("fstat"))?;
    let is_regular = found.st_mode & libc::S_IFMT == SFlag::S_IFREG.bits();
    if !is_regular || !is_ours(&found) {
        return Ok(None);
    }
    let file = File::from(file);
    let mut bytes = Vec::new();
    (&file).take(LONGEST).read_to_end(&mut bytes).map_err(|error| {
        let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        sys::Error { call: "read", errno }
    })?;
    let file = OwnedFd::from(file);
    if bytes.is_empty() {
        // In the making, or left by one that was killed while it made it: nobody has its number then, or who has it says no more. As
        // its maker may have another number here, none is taken from it that it may still be writing.
        let is_left = is_old(&found)
            && !is_locked(&file)?
            && matches!(process::pidfd_open(supervisor), Err(Errno::ESRCH));
        sweep_if(directory, name, &found, is_left);
        return Ok(None);
    }
    if !is_locked(&file)? {
        // The record stays for as long as there is something that only it tells of.
        let is_clean = Written::decode(&bytes).is_none_or(|written| cgroup::swept(&written.entry.cgroups));
        sweep_if(directory, name, &found, is_clean);
        return Ok(None);
    }
    Ok(Some(Held { jail, supervisor, file, found, bytes }))
}

/// What a record tells of: the jail, if it runs.
fn examine(directory: &OwnedFd, name: &CString) -> Result<Option<Run>, sys::Error> {
    let Some(Held { jail, supervisor, file, found, bytes }) = held(directory, name)? else {
        return Ok(None);
    };
    let written = Written::decode(&bytes)
        .filter(|written| written.entry.jail == jail && written.supervisor == supervisor);
    let Some(Written { entry, .. }) = written else { return Ok(None) };
    match holder::of(&found, supervisor)? {
        Holder::Named => {}
        // It may have ended meanwhile, and its lock with it.
        Holder::Elsewhere if is_locked(&file)? => {
            return Ok(Some(Run::Elsewhere(Elsewhere { entry, supervisor })));
        }
        Holder::Elsewhere | Holder::Another => return Ok(None),
    }
    let Some(supervisor_fd) = hold(supervisor)? else { return Ok(None) };
    let Some((first, first_fd)) = first_of(supervisor)? else { return Ok(None) };
    // Nor has its supervisor ended.
    let running = Running { entry, supervisor, first, supervisor_fd, first_fd };
    Ok(is_locked(&file)?.then_some(Run::Here(running)))
}

/// A process's pidfd, if it has not ended.
fn hold(pid: i32) -> Result<Option<OwnedFd>, sys::Error> {
    match process::pidfd_open(pid) {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(Errno::ESRCH) => Ok(None),
        Err(errno) => Err(sys::Error { call: "pidfd_open", errno }),
    }
}

/// A supervisor's PID 1, if it has one.
fn first_of(supervisor: i32) -> Result<Option<(i32, OwnedFd)>, sys::Error> {
    for child in processes::children(supervisor)? {
        let Some(pidfd) = hold(child)? else { continue };
        let is_first = Process::look(child)?
            .is_some_and(|found| found.parent == supervisor && found.is_first() && found.state != 'Z');
        // It has not ended since the pidfd was opened: what was read is of the same process.
        if is_first && !has_ended(&pidfd) {
            return Ok(Some((child, pidfd)));
        }
    }
    Ok(None)
}

/// Whether a record was made so long ago that whoever makes it has written it, by the clock of its file system.
fn is_old(found: &FileStat) -> bool {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    found.st_mtime < now.saturating_sub(MAKING) as i64
}

/// Whether a record's supervisor is there.
fn is_locked(file: &OwnedFd) -> Result<bool, sys::Error> {
    match try_lock(file, Lock::Shared) {
        Ok(()) => Ok(false),
        Err(Errno::EWOULDBLOCK) => Ok(true),
        Err(errno) => Err(sys::Error { call: "flock", errno }),
    }
}

/// Removes a record of what is over, unless another has come into its place.
fn sweep_if(directory: &OwnedFd, name: &CString, found: &FileStat, over: bool) {
    let now = fstatat(directory, name.as_c_str(), nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW);
    if over && now.is_ok_and(|now| (now.st_dev, now.st_ino) == (found.st_dev, found.st_ino)) {
        // Whoever was faster has done the same.
        match unlinkat(directory, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(_) => {}
        }
    }
}
