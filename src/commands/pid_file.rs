//! `run --pid-file`: a file that says which process the program is, for a service manager that goes by one.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat, write};

use crate::jail::state::Unwritten;
use crate::sys::fs::random;
use crate::sys::{self};

/// A file to be written, and removed when this is dropped, if it is still the one that was written.
pub(super) struct PidFile {
    path: PathBuf,
    /// Held, so that it is the same directory to the end.
    directory: OwnedFd,
    name: OsString,
    /// What was written, held so that no other file gets its inode number.
    written: Cell<Option<OwnedFd>>,
}

impl PidFile {
    /// Finds its directory, before anything is started.
    pub(super) fn open(path: &Path) -> Result<Self, Unwritten> {
        let failed = |call| {
            let path = path.to_owned();
            move |errno| Unwritten { path, error: sys::Error { call, errno } }
        };
        let name = path.file_name().ok_or(Errno::EISDIR).map_err(failed("open"))?.to_owned();
        let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = open(parent, flags, Mode::empty()).map_err(failed("open"))?;
        Ok(Self { path: path.to_owned(), directory, name, written: Cell::new(None) })
    }

    /// Its path, as the user has it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it has been written.
    pub(super) fn is_written(&self) -> bool {
        let written = self.written.take();
        let is_written = written.is_some();
        self.written.set(written);
        is_written
    }

    /// Writes a number: a new file under a name that nobody can have prepared takes the place of what is there, whatever that is, in
    /// one step, so that nobody reads half a number and no link is followed.
    pub(super) fn write(&self, pid: i32) -> Result<(), Unwritten> {
        let failed =
            |call| move |errno| Unwritten { path: self.path.clone(), error: sys::Error { call, errno } };
        let number = random().map_err(failed("getrandom"))?;
        let new = OsString::from(format!(".pid-{number:016x}"));
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(0o644);
        let file = openat(&self.directory, new.as_os_str(), flags, mode).map_err(failed("openat"))?;
        let text = format!("{pid}\n");
        let done = match write(&file, text.as_bytes()) {
            Ok(count) if count == text.len() => {
                renameat(&self.directory, new.as_os_str(), &self.directory, self.name.as_os_str())
                    .map_err(failed("renameat"))
            }
            Ok(_) => Err(failed("write")(Errno::ENOSPC)),
            Err(errno) => Err(failed("write")(errno)),
        };
        if done.is_err() {
            self.remove(&new);
        }
        done?;
        self.written.set(Some(file));
        Ok(())
    }

    /// Removes a name. What resists stays.
    fn remove(&self, name: &OsStr) {
        match unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(_) => {}
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let found = fstatat(&self.directory, self.name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        let file = self.written.take();
        let written = file.as_ref().and_then(|file| fstat(file).ok());
        let id = |found: FileStat| (found.st_dev, found.st_ino);
        if written.is_some_and(|written| found.is_ok_and(|found| id(found) == id(written))) {
            self.remove(&self.name);
        }
    }
}
