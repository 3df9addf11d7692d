//! Facts about this host and this user, read once and handed to whoever resolves a manifest.

use std::path::{Path, PathBuf};

/// What resolving needs to know of the host. Tests make their own.
#[derive(Clone, Debug)]
pub struct Host {
    /// The host's root directory: `/`, or a private one in tests.
    pub root: PathBuf,
    /// Effective user id of the caller.
    pub uid: u32,
    /// Effective group id of the caller.
    pub gid: u32,
}

impl Host {
    /// The host this process runs on.
    pub fn current() -> Self {
        Self { root: "/".into(), uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() }
    }

    /// Whether the caller is root, which decides between real ids and devices and a user namespace.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether the caller may read a file. Root may, whatever its mode says; access(2) asks for anybody else, by the real ids,
    /// which are the effective ones as we are never installed setuid.
    pub fn can_read(&self, path: &Path) -> bool {
        self.is_root() || nix::unistd::access(path, nix::unistd::AccessFlags::R_OK).is_ok()
    }
}
