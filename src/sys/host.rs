//! Facts about this host and this user, read once and handed to whoever resolves a manifest.

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::descriptor::{Descriptor, Kind};
use super::priority::Priorities;
use super::{creds, landlock, process, seccomp};

/// What resolving needs to know of the host. Tests make their own.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Host {
    /// The host's root directory: `/`, or a private one in tests.
    pub root: PathBuf,
    /// Effective user id of the caller.
    pub uid: u32,
    /// Effective group id of the caller.
    pub gid: u32,
    /// Whether this is the user namespace the kernel began with. Looked at for root alone, who has a use for it.
    pub first_user_namespace: bool,
    /// Whether root has no id to give but its own: that of a namespace like that of `unshare -r` may not set groups, and that of a
    /// container may lack the capabilities for it. It is an ordinary user then.
    pub has_one_id: bool,
    /// Whether device nodes can be made below the state directory and work there.
    pub device_nodes: bool,
    /// Whether keyctl(2) can be used, by us and so by the jailed program.
    pub keyrings: bool,
    /// The version of Landlock's interface, or why there is none.
    pub landlock: Result<u32, Errno>,
    /// Whether seccomp(2) takes filters.
    pub seccomp: bool,
    /// The standard descriptors 0 to 2.
    pub standard: [Descriptor; 3],
    /// Soft and hard limits of the caller, by the kernel's number; `u64::MAX` is none.
    pub limits: [[u64; 2]; creds::LIMITS.len()],
    /// How the caller is favoured over other processes.
    pub priorities: Priorities,
}

/// `CAP_MKNOD`.
const MKNOD: u64 = 1 << 27;

/// `CAP_SETGID`, `CAP_SETUID`, `CAP_SETPCAP` and `CAP_SYS_ADMIN`: what makes root more than a user.
const OF_ROOT: u64 = 1 << 6 | 1 << 7 | 1 << 8 | 1 << 21;

impl Host {
    /// The host this process runs on; trees are kept below `state`.
    pub fn current(state: &Path) -> Self {
        let uid = nix::unistd::geteuid().as_raw();
        // Where they are not told, root has its own: what is missing is missed by name, and with one id only root inside would be root.
        let capabilities = creds::capabilities().map_or(OF_ROOT, |sets| sets.effective);
        let may_make = capabilities & MKNOD != 0;
        let told = if uid == 0 || may_make { in_first_user_namespace() } else { Some(false) };
        // And a user namespace for its jails.
        let first_user_namespace = told.unwrap_or(true);
        Self {
            root: "/".into(),
            uid,
            gid: nix::unistd::getegid().as_raw(),
            first_user_namespace,
            has_one_id: uid == 0
                && (capabilities & OF_ROOT != OF_ROOT || !first_user_namespace && denies_groups()),
            device_nodes: may_make && told == Some(true) && shows_devices(state),
            keyrings: creds::has_keyrings(),
            landlock: landlock::version(),
            seccomp: seccomp::is_available(),
            standard: [0, 1, 2]
                .map(|fd| Descriptor::of(process::standard_descriptor(fd)).unwrap_or(Descriptor::UNKNOWN)),
            limits: creds::limits(),
            priorities: Priorities::own(),
        }
    }

    /// Whether the caller is root, which decides between real ids and devices and a user namespace.
    pub fn is_root(&self) -> bool {
        self.uid == 0 && !self.has_one_id
    }

    /// Which of the standard descriptors are a terminal.
    pub fn terminals(&self) -> Vec<i32> {
        let standard = (0..).zip(&self.standard);
        standard.filter(|(_, found)| found.kind == Kind::Terminal).map(|(number, _)| number).collect()
    }

    /// The caller's soft and hard limit of a resource, by its name in the kernel; `None` is no limit.
    pub fn limit(&self, resource: &str) -> (Option<u64>, Option<u64>) {
        let found = creds::LIMITS.iter().position(|known| *known == resource);
        let [soft, hard] = found.and_then(|at| self.limits.get(at)).copied().unwrap_or([u64::MAX; 2]);
        let bound = |value: u64| (value != u64::MAX).then_some(value);
        (bound(soft), bound(hard))
    }

    /// Whether the caller may read a file. Root may, whatever its mode says; access(2) asks for anybody else, by the real ids,
    /// which are the effective ones as we are never installed setuid.
    pub fn can_read(&self, path: &Path) -> bool {
        self.is_root() || nix::unistd::access(path, nix::unistd::AccessFlags::R_OK).is_ok()
    }

    /// Where a host path really is: below [`Self::root`].
    pub fn path(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}

/// Whether this is the user namespace the kernel began with: in any other mknod(2) fails, whatever capability one has there. Its
/// inode number is `PROC_USER_INIT_INO` of the kernel's linux/proc_ns.h; the link's text says it without an inode being made. None
/// where that cannot be read.
fn in_first_user_namespace() -> Option<bool> {
    let text = std::fs::read_link("/proc/self/ns/user").ok()?;
    Some(text.as_os_str() == "user:[4026531837]")
}

/// Whether setgroups(2) is denied in this user namespace, see user_namespaces(7).
fn denies_groups() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim_end() == "deny")
}

/// Whether the file system of the nearest existing directory at or above `path` is mounted with devices, see statvfs(3).
fn shows_devices(path: &Path) -> bool {
    path.ancestors()
        .find_map(|directory| nix::sys::statvfs::statvfs(directory).ok())
        .is_some_and(|found| !found.flags().contains(nix::sys::statvfs::FsFlags::ST_NODEV))
}
