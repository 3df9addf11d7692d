//! Which ids of the host a jail has, remembered beside its trees: `NAME/ids` is a link whose text is the first of them. So each
//! jail keeps its own from one start to the next, and none gets those of another.
//!
//! A link is made in one call, and read in one.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, readlinkat, renameat};
use nix::sys::stat::fstatat;
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

use super::error::Error;
use super::generation::{GLANCE, PATIENCE};
use super::store::{Store, open_below};
use crate::plan::JailName;
use crate::sys::fs::{Lock, try_lock};

/// The link's name.
const NAME: &str = "ids";
/// The same while it is being made.
const NEW: &str = ".ids";

/// What is remembered of a jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedIds {
    /// The first of its ids.
    pub first: u32,
    /// When that was written down: seconds and nanoseconds, by the clock of the file system.
    pub since: (i64, i64),
}

impl Store {
    /// The ids a jail has had; `None` if it has never had any.
    pub fn ids(&self, jail: &JailName) -> Result<Option<RecordedIds>, Error> {
        let link = Path::new(jail.as_str()).join(NAME);
        let fail = |call, errno| Error::Store { path: self.path().join(&link), call, errno };
        let found = match fstatat(self.directory(), &link, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) => found,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(fail("fstatat", errno)),
        };
        let text = readlinkat(self.directory(), &link).map_err(|errno| fail("readlinkat", errno))?;
        let first = text.to_str().and_then(|text| text.parse().ok());
        Ok(first.map(|first| RecordedIds { first, since: (found.st_ctime, found.st_ctime_nsec) }))
    }

    /// The first ids of all jails but one.
    pub fn ids_of_others(&self, jail: &JailName) -> Result<Vec<u32>, Error> {
        let fail = |call, errno| Error::Store { path: self.path().to_owned(), call, errno };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let directory = open_below(self.directory(), Path::new("."), flags, false);
        let mut directory = directory.and_then(Dir::from_fd).map_err(|errno| fail("openat2", errno))?;
        let mut taken = Vec::new();
        for entry in directory.iter() {
            let entry = entry.map_err(|errno| fail("getdents", errno))?;
            let name = entry.file_name().to_str().ok().and_then(|name| JailName::parse(name).ok());
            if let Some(other) = name.filter(|name| name != jail) {
                taken.extend(self.ids(&other)?.map(|ids| ids.first));
            }
        }
        Ok(taken)
    }

    /// Has `choose` say which ids a jail gets, given those of all others, and remembers them. One jail at a time: two that get
    /// theirs at once get different ones. The jail has a directory already.
    pub fn remember_ids<E>(
        &self,
        jail: &JailName,
        choose: impl FnOnce(&[u32]) -> Result<u32, E>,
    ) -> Result<Result<u32, E>, Error> {
        // The lock goes with this descriptor.
        let _lock = self.lock_ids(jail)?;
        let first = match choose(&self.ids_of_others(jail)?) {
            Ok(first) => first,
            Err(error) => return Ok(Err(error)),
        };
        let below = Path::new(jail.as_str());
        let at = |name| -> PathBuf { below.join(name) };
        let fail = |call| move |errno| Error::Store { path: self.path().join(below).join(NAME), call, errno };
        match unlinkat(self.directory(), &at(NEW), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(fail("unlinkat")(errno)),
        }
        symlinkat(first.to_string().as_str(), self.directory(), &at(NEW)).map_err(fail("symlinkat"))?;
        renameat(self.directory(), &at(NEW), self.directory(), &at(NAME)).map_err(fail("renameat"))?;
        Ok(Ok(first))
    }

    /// Waits until nobody else gives out ids.
    fn lock_ids(&self, jail: &JailName) -> Result<OwnedFd, Error> {
        let fail = |call, errno| Error::Store { path: self.path().to_owned(), call, errno };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let directory = open_below(self.directory(), Path::new("."), flags, false)
            .map_err(|errno| fail("openat2", errno))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match try_lock(&directory, Lock::Exclusive) {
                Ok(()) => return Ok(directory),
                Err(Errno::EWOULDBLOCK) if Instant::now() >= deadline => {
                    return Err(Error::Busy { jail: jail.clone(), pid: None });
                }
                Err(Errno::EWOULDBLOCK) => std::thread::sleep(GLANCE),
                Err(errno) => return Err(fail("flock", errno)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_jail_keeps_its_ids_and_sees_those_of_others() {
        let path = std::env::temp_dir().join(format!("stockade-ids-{}", std::process::id()));
        let store = Store::open(&path).unwrap();
        let jail = |name| JailName::parse(name).unwrap();
        for name in ["web", "dns", "old"] {
            std::fs::create_dir(path.join(name)).unwrap();
        }
        assert_eq!(store.ids(&jail("web")).unwrap(), None);
        let give = |name, first| {
            let mut seen = Vec::new();
            let given = store.remember_ids(&jail(name), |taken| {
                seen.extend_from_slice(taken);
                first
            });
            seen.sort_unstable();
            (given.unwrap(), seen)
        };
        assert_eq!(give("web", Ok::<_, ()>(70_000)), (Ok(70_000), vec![]));
        assert_eq!(give("dns", Ok(200_000)), (Ok(200_000), vec![70_000]));
        // A refusal changes nothing; what a killed process left half-made is in nobody's way.
        std::os::unix::fs::symlink("1", path.join("web/.ids")).unwrap();
        assert_eq!(give("web", Err(())), (Err(()), vec![200_000]));
        assert_eq!(store.ids(&jail("web")).unwrap().unwrap().first, 70_000);
        assert_eq!(give("web", Ok(300_000)), (Ok(300_000), vec![200_000]));
        assert_eq!(store.ids(&jail("web")).unwrap().unwrap().first, 300_000);
        std::fs::remove_dir_all(path).unwrap();
    }
}
