//! A generation in the making: a directory beside the others, removed unless it is published.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, renameat};
use nix::unistd::{fsync, syncfs};

use super::{JailStore, failing, make_directory};
use crate::tree::error::{Error, errno};
use crate::tree::store::{Generation, open_below};

/// A generation being made. Dropped before it is published, it is removed with everything in it.
#[derive(Debug)]
pub(in crate::tree) struct Staging<'a> {
    pub(super) jail: &'a JailStore<'a>,
    /// Its present name among the generations.
    pub(super) name: CString,
    /// The number it will have.
    pub(in crate::tree) number: u64,
    /// `None` until opened and once published.
    pub(super) directory: Option<OwnedFd>,
    /// Descriptors kept back for its removal: what fails for want of one is to be cleaned up all the same.
    pub(super) reserve: Vec<OwnedFd>,
}

impl Staging<'_> {
    pub(super) fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.name.as_bytes()))
    }

    fn at(&self, below: &str) -> PathBuf {
        self.jail.at(Path::new("generations").join(self.as_path()).join(below))
    }

    fn directory(&self) -> Result<&OwnedFd, Error> {
        self.directory.as_ref().ok_or_else(|| failing(self.at(""), "openat2")(Errno::EBADF))
    }

    /// Makes the directory that becomes the jail's root.
    pub(in crate::tree) fn make_tree(&self) -> Result<OwnedFd, Error> {
        make_directory(self.directory()?, &self.at("tree"), OsStr::new("tree"))
    }

    /// Writes a small file beside the tree.
    pub(in crate::tree) fn write(&self, name: &str, content: &[u8]) -> Result<(), Error> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let file = open_below(self.directory()?, Path::new(name), flags, false)
            .map_err(failing(self.at(name), "openat2"))?;
        File::from(file)
            .write_all_at(content, 0)
            .map_err(|error| failing(self.at(name), "pwrite")(errno(&error)))
    }

    /// Gives it its number. Before, everything is brought to disk, so that a power cut leaves the old or the new one whole. One
    /// syncfs(2) instead of an fsync(2) a file: a tree has thousands.
    pub(in crate::tree) fn settle(&mut self) -> Result<Generation, Error> {
        let (jail, number) = (self.jail, self.number.to_string());
        syncfs(self.directory()?).map_err(failing(self.at(""), "syncfs"))?;
        let target = CString::new(number).unwrap_or_default();
        renameat(&jail.generations, self.name.as_c_str(), &jail.generations, target.as_c_str())
            .map_err(failing(self.at(""), "renameat"))?;
        self.name = target;
        fsync(&jail.generations).map_err(failing(self.at(".."), "fsync"))?;
        Ok(jail.store.generation(jail.name, self.number))
    }

    /// Makes it the current generation, once it is settled: one rename(2) switches.
    pub(in crate::tree) fn publish(mut self) -> Result<(), Error> {
        let jail = self.jail;
        jail.put_link("current", &format!("generations/{}", self.number))?;
        // Published: nothing is removed any more, and whether the switch is on disk already decides only which of two
        // whole trees a power cut leaves.
        self.name = CString::default();
        let _ = fsync(&jail.directory);
        Ok(())
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            self.reserve.clear();
            // What resists here is swept, and told, by the next build.
            let _ = self.jail.remove_below(&self.name);
        }
    }
}
