//! One jail's directory in the store: locked, swept, staged in, switched.
//!
//! Whoever has a [`JailStore`] holds the jail's lock, so there is one build at a time, and everything half-made that
//! is found belongs to a build that is dead: flock(2) goes with its process, however that ends.

mod staging;

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, fsync, ftruncate, symlinkat, unlinkat};

pub(super) use self::staging::Staging;
use super::base::Base;
use super::error::{Error, errno};
use super::remove;
use super::store::{Generation, Store, names, open_below, same};
use crate::plan::JailName;
use crate::sys::fs::{Lock, random, remove_xattr, try_lock};
use crate::sys::locks;

/// How long a build waits for another of the same jail; for each anew, where several take turns.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How often it looks.
pub(super) const GLANCE: Duration = Duration::from_millis(20);

/// The link whose text says how many older generations are kept.
const KEEP: &str = "keep";

/// How many are if nobody has said.
pub(super) const KEPT: u32 = 1;

/// Access control lists a directory hands down to what is made in it, see acl(5).
const DEFAULT_ACL: &CStr = c"system.posix_acl_default";

/// How many descriptors a removal has open at once.
const REMOVAL: usize = 5;

/// A jail's directory, locked.
#[derive(Debug)]
pub(super) struct JailStore<'a> {
    store: &'a Store,
    name: &'a JailName,
    path: PathBuf,
    directory: OwnedFd,
    generations: OwnedFd,
    /// The lock goes with this descriptor.
    _lock: File,
}

impl<'a> JailStore<'a> {
    /// Opens a jail's directory, makes it if it is not there, and locks it. Waits a while for another build, until
    /// `stop` says so.
    pub(super) fn open(
        store: &'a Store,
        name: &'a JailName,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Self, Error> {
        let path = store.path().join(name.as_str());
        loop {
            let directory = match make_directory(store.directory(), &path, OsStr::new(name.as_str())) {
                // It was there, and then a removal took it away.
                Err(Error::Store { call: "openat2", errno: Errno::ENOENT, .. }) => continue,
                directory => directory?,
            };
            if let Some(locked) = Self::lock(store, name, directory, PATIENCE, stop)? {
                return Ok(locked);
            }
        }
    }

    /// Opens and locks a jail's directory without making it; `None` if it is not there.
    pub(super) fn find(
        store: &'a Store,
        name: &'a JailName,
        patience: Duration,
    ) -> Result<Option<Self>, Error> {
        let path = store.path().join(name.as_str());
        loop {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
            let directory = match open_below(store.directory(), Path::new(name.as_str()), flags, false) {
                Err(Errno::ENOENT) => return Ok(None),
                directory => directory.map_err(failing(path.clone(), "openat2"))?,
            };
            if let Some(locked) = Self::lock(store, name, directory, patience, &mut || false)? {
                return Ok(Some(locked));
            }
        }
    }

    /// Locks a jail's directory. `None` if whoever held the lock has removed the jail: then this is a dead directory, in
    /// which no lock can be made, or one that is not the jail's any more.
    fn lock(
        store: &'a Store,
        name: &'a JailName,
        directory: OwnedFd,
        patience: Duration,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Self>, Error> {
        let path = store.path().join(name.as_str());
        let lock = match open_lock(&directory, &path, name, patience, stop) {
            Err(Error::Store { errno: Errno::ENOENT, .. }) => return Ok(None),
            lock => lock?,
        };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let now = match open_below(store.directory(), Path::new(name.as_str()), flags, false) {
            Err(Errno::ENOENT) => return Ok(None),
            now => now.map_err(failing(path.clone(), "openat2"))?,
        };
        if !same(&directory, &now).map_err(failing(path.clone(), "fstat"))? {
            return Ok(None);
        }
        let generations = make_directory(&directory, &path.join("generations"), OsStr::new("generations"))?;
        Ok(Some(Self { store, name, path, directory, generations, _lock: lock }))
    }

    fn at(&self, below: impl AsRef<Path>) -> PathBuf {
        self.path.join(below)
    }

    /// Removes what killed builds and removals left, every generation newer than the current one, and the older ones that are not
    /// kept to go back to; but none that somebody runs from. `superfluous` is not kept. What cannot be removed is told and does no
    /// harm.
    pub(super) fn sweep(&self, superfluous: Option<u64>) -> Result<Vec<Error>, Error> {
        let current = self.current_number();
        let mut left = Vec::new();
        for name in self.names(&self.directory, "")? {
            if name.as_bytes().starts_with(b".current-") || name.as_bytes().starts_with(b".keep-") {
                let _ = unlinkat(&self.directory, name.as_c_str(), UnlinkatFlags::NoRemoveDir);
            }
        }
        left.extend(self.store.sweep()?);
        let mut numbers = Vec::new();
        for name in self.names(&self.generations, "generations")? {
            match number(&name) {
                Some(number) => numbers.push(number),
                None if [&b".staging-"[..], b".trash-"].iter().any(|p| name.as_bytes().starts_with(p)) => {
                    left.extend(self.remove_below(&name).err());
                }
                None => {}
            }
        }
        numbers.sort_unstable_by(|one, other| other.cmp(one));
        let mut kept = self.kept();
        for number in numbers.into_iter().filter(|number| Some(*number) != current) {
            if current.is_some_and(|current| number < current) && Some(number) != superfluous && kept > 0 {
                kept -= 1;
                continue;
            }
            match self.discard(&number.to_string()) {
                Ok(()) | Err(Error::InUse { .. }) => {}
                Err(error) => left.push(error),
            }
        }
        Ok(left)
    }

    /// How many older generations are kept to go back to.
    fn kept(&self) -> u32 {
        readlinkat(&self.directory, KEEP).ok().and_then(|text| text.to_str()?.parse().ok()).unwrap_or(KEPT)
    }

    /// Remembers how many older generations are kept.
    pub(super) fn keep(&self, count: u32) -> Result<(), Error> {
        self.put_link(KEEP, &count.to_string())
    }

    /// Makes a link of the jail's directory, or gives it another text, in one step.
    fn put_link(&self, name: &str, text: &str) -> Result<(), Error> {
        let new = self.unforeseen(name)?;
        symlinkat(text, self.directory.as_fd(), new.as_c_str())
            .map_err(failing(self.at(name), "symlinkat"))?;
        renameat(&self.directory, new.as_c_str(), &self.directory, name).map_err(|errno| {
            let _ = unlinkat(&self.directory, new.as_c_str(), UnlinkatFlags::NoRemoveDir);
            failing(self.at(name), "renameat")(errno)
        })
    }

    /// The current generation, for a new one to share files with; `None` where there is none, or none of this version's.
    pub(super) fn base(&self) -> Option<Base> {
        let generation = self.store.generation(self.name, self.current_number()?);
        let record = self.store.record(&generation).ok()?;
        Some(Base::new(self.store.tree(&generation).ok()?, record))
    }

    /// Makes the newest generation older than the current one the current one again, if `allowed` is content with its stamp, and
    /// removes the other, unless somebody runs from it.
    pub(super) fn roll_back(
        &self,
        allowed: impl FnOnce(&Generation) -> Result<(), Error>,
    ) -> Result<Option<(Generation, Vec<Error>)>, Error> {
        let Some(current) = self.current_number() else { return Ok(None) };
        let names = self.names(&self.generations, "generations")?;
        let older = names.iter().filter_map(|name| number(name)).filter(|number| *number < current).max();
        let Some(older) = older else { return Ok(None) };
        let generation = self.store.generation(self.name, older);
        allowed(&generation)?;
        self.put_link("current", &format!("generations/{older}"))?;
        let _ = fsync(&self.directory);
        let left = self.sweep(None).unwrap_or_else(|error| vec![error]);
        Ok(Some((generation, left)))
    }

    /// Makes an empty staging directory for the next generation.
    pub(super) fn stage(&self) -> Result<Staging<'_>, Error> {
        let number = self
            .names(&self.generations, "generations")?
            .iter()
            .filter_map(|name| number(name))
            .chain(self.current_number())
            .max()
            .unwrap_or(0)
            .saturating_add(1);
        let name = self.unforeseen("staging")?;
        let path = Path::new("generations").join(OsStr::from_bytes(name.as_bytes()));
        let spare =
            || self.generations.try_clone().map_err(|error| failing(self.at(&path), "fcntl")(errno(&error)));
        let reserve = (0..REMOVAL).map(|_| spare()).collect::<Result<_, _>>()?;
        mkdirat(&self.generations, name.as_c_str(), Mode::S_IRWXU)
            .map_err(failing(self.at(&path), "mkdir"))?;
        // From here on, dropping it removes it.
        let mut staging = Staging { jail: self, name, number, directory: None, reserve };
        let directory =
            open_below(&self.generations, staging.as_path(), OFlag::O_RDONLY | OFlag::O_DIRECTORY, false)
                .map_err(failing(self.at(&path), "openat2"))?;
        // The plan gives every mode; a list handed down from the state directory would widen them.
        match remove_xattr(&directory, DEFAULT_ACL) {
            Ok(()) | Err(Errno::ENODATA | Errno::EOPNOTSUPP) => {}
            Err(errno) => return Err(failing(self.at(&path), "fremovexattr")(errno)),
        }
        staging.directory = Some(directory);
        Ok(staging)
    }

    /// Removes the whole jail: how many trees it had.
    pub(super) fn remove(self) -> Result<usize, Error> {
        let names = self.names(&self.generations, "generations")?;
        // All are locked before the first is touched: either the jail goes or it stays.
        let mut locks = Vec::new();
        for name in names.iter().filter(|name| number(name).is_some()) {
            locks.push(self.lock_alone(OsStr::from_bytes(name.as_bytes()))?);
        }
        // Out of sight first, so that a removal cut short leaves no half of a jail.
        let trash = self.unforeseen("removed")?;
        renameat(self.store.directory(), self.name.as_str(), self.store.directory(), trash.as_c_str())
            .map_err(failing(self.path.clone(), "renameat"))?;
        self.store.remove_removed(&trash)?;
        Ok(locks.len())
    }

    /// The generation that `current` names.
    fn current_number(&self) -> Option<u64> {
        let text = readlinkat(&self.directory, "current").ok()?;
        Path::new(&text).strip_prefix("generations").ok()?.to_str()?.parse().ok()
    }

    /// Removes one generation, unless somebody runs from it. First it is moved out of sight, so that a removal cut
    /// short leaves nothing that could be taken for a generation.
    fn discard(&self, name: &str) -> Result<(), Error> {
        let lock = self.lock_alone(OsStr::new(name))?;
        let trash = self.unforeseen("trash")?;
        renameat(&self.generations, name, &self.generations, trash.as_c_str())
            .map_err(failing(self.at(Path::new("generations").join(name)), "renameat"))?;
        drop(lock);
        self.remove_below(&trash)
    }

    fn lock_alone(&self, name: &OsStr) -> Result<OwnedFd, Error> {
        let below = Path::new("generations").join(name);
        let directory =
            open_below(&self.generations, Path::new(name), OFlag::O_RDONLY | OFlag::O_DIRECTORY, false)
                .map_err(failing(self.at(&below), "openat2"))?;
        match try_lock(&directory, Lock::Exclusive) {
            Ok(()) => Ok(directory),
            Err(Errno::EWOULDBLOCK) => {
                let (jail, path) = (self.name.clone(), self.path.join(below));
                Err(Error::InUse { jail, pids: locks::holders(&directory), path })
            }
            Err(errno) => Err(failing(self.at(&below), "flock")(errno)),
        }
    }

    fn remove_below(&self, name: &CString) -> Result<(), Error> {
        let path = self.at("generations").join(OsStr::from_bytes(name.as_bytes()));
        remove::remove(&self.generations, name).map_err(|resisted| resisted.of(path))
    }

    fn names(&self, directory: &OwnedFd, below: &str) -> Result<Vec<CString>, Error> {
        names(directory).map_err(failing(self.at(below), "getdents64"))
    }

    /// A name for something temporary that nobody could have taken or prepared.
    fn unforeseen(&self, what: &str) -> Result<CString, Error> {
        let number = random().map_err(failing(self.at(""), "getrandom"))?;
        Ok(CString::new(format!(".{what}-{number:016x}")).unwrap_or_default())
    }
}

/// The number of a generation, if this is the name of one.
fn number(name: &CStr) -> Option<u64> {
    name.to_str().ok()?.parse().ok()
}

/// For `map_err`: what failed, on which path.
fn failing(path: PathBuf, call: &'static str) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Store { path, call, errno }
}

/// Makes a directory with mode 0700, unless it is there, and opens it. `path` is for the error.
fn make_directory(parent: &OwnedFd, path: &Path, name: &OsStr) -> Result<OwnedFd, Error> {
    match mkdirat(parent, name, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(failing(path.to_owned(), "mkdir")(errno)),
    }
    open_below(parent, Path::new(name), OFlag::O_RDONLY | OFlag::O_DIRECTORY, false)
        .map_err(failing(path.to_owned(), "openat2"))
}

/// Opens and locks a jail's lock file, and writes into it who holds it.
fn open_lock(
    directory: &OwnedFd,
    path: &Path,
    name: &JailName,
    patience: Duration,
    stop: &mut dyn FnMut() -> bool,
) -> Result<File, Error> {
    let fail = |call, errno| Error::Store { path: path.join("lock"), call, errno };
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW;
    let (mut holder, mut since) = (None, Instant::now());
    loop {
        let file = File::from(
            open_below(directory, Path::new("lock"), flags, false).map_err(|e| fail("openat2", e))?,
        );
        match try_lock(&file, Lock::Exclusive) {
            Ok(()) => {
                ftruncate(&file, 0).map_err(|errno| fail("ftruncate", errno))?;
                let pid = format!("{}\n", std::process::id());
                file.write_all_at(pid.as_bytes(), 0).map_err(|error| fail("pwrite", errno(&error)))?;
                return Ok(file);
            }
            Err(Errno::EWOULDBLOCK) if stop() => return Err(Error::Interrupted),
            Err(Errno::EWOULDBLOCK) => {
                let now = written_pid(&file);
                // Where many wait for their turn each of them may take as long.
                if now.is_some() && now != holder {
                    (holder, since) = (now, Instant::now());
                }
                if since.elapsed() >= patience {
                    return Err(Error::Busy { jail: name.clone(), pid: now });
                }
                std::thread::sleep(GLANCE);
            }
            Err(errno) => return Err(fail("flock", errno)),
        }
    }
}

/// The process that a lock file names.
fn written_pid(file: &File) -> Option<u32> {
    let mut text = [0; 16];
    let length = file.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(&text[..length]).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn who_waits_in_a_queue_has_patience_with_each() {
        let scratch = Scratch::new("queue");
        let directory = OwnedFd::from(File::open(scratch.path()).unwrap());
        let name = JailName::parse("web").unwrap();
        let lock = |patience: Duration, stop: &mut dyn FnMut() -> bool| {
            open_lock(&directory, scratch.path(), &name, patience, stop)
        };
        let patience = GLANCE * 10;
        let mut held = Some(lock(patience, &mut || false).unwrap());
        // Somebody else each time it is looked at, for longer than anybody waits for one.
        let mut others = 0;
        let mut next = || {
            others += 1;
            std::fs::write(scratch.path().join("lock"), format!("{others}\n")).unwrap();
            if others == 30 {
                held = None;
            }
            false
        };
        let held = lock(patience, &mut next).unwrap();
        assert_eq!(written_pid(&held), Some(std::process::id()));
        // The same one all the time.
        let busy = lock(patience, &mut || false).unwrap_err();
        assert!(matches!(busy, Error::Busy { pid: Some(pid), .. } if pid == std::process::id()), "{busy}");
    }
}
