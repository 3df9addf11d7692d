//! Which file systems of the host can translate owners (`MOUNT_ATTR_IDMAP` in mount_setattr(2)), and which are mounted where. The
//! kernel says only when it is tried, and then of a whole tree of mounts at once.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use crate::sys::host::Host;

/// File systems that cannot, as mountinfo names them: those of the kernel's own, those whose owners are another machine's or
/// another process's affair, and those that have no owners. What is not here is tried.
const FIXED: [&str; 38] = [
    "9p",
    "afs",
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "cifs",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "ecryptfs",
    "efivarfs",
    "fuse",
    "fuseblk",
    "fusectl",
    "hfs",
    "hfsplus",
    "iso9660",
    "jfs",
    "mqueue",
    "nfs",
    "nfs4",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smb3",
    "sysfs",
    "tracefs",
    "udf",
    "vboxsf",
];

/// The first kernel whose tmpfs can.
const TMPFS_SINCE: (u32, u32) = (6, 3);

/// What is mounted, in the order in which it was.
#[derive(Debug, Default)]
pub(super) struct FileSystems {
    mounts: Vec<(PathBuf, String)>,
    /// Whether a tmpfs can.
    tmpfs: bool,
}

impl FileSystems {
    /// Those this process sees.
    pub(super) fn read(host: &Host) -> Self {
        // Without it every mount is tried.
        let text = fs::read(host.path(Path::new("/proc/self/mountinfo"))).unwrap_or_default();
        Self {
            mounts: text.split(|byte| *byte == b'\n').filter_map(mount).collect(),
            tmpfs: has_since(TMPFS_SINCE),
        }
    }

    /// The file system that `path` is on, if it cannot translate owners.
    pub(super) fn fixed_at(&self, path: &Path) -> Option<&str> {
        // Of two at one place the later one covers the other.
        let on = self.mounts.iter().filter(|(point, _)| path.starts_with(point));
        let (_, kind) = on.max_by_key(|(point, _)| point.as_os_str().len())?;
        self.is_fixed(kind).then_some(kind)
    }

    /// A file system that cannot, mounted somewhere below `path`.
    pub(super) fn fixed_below(&self, path: &Path) -> Option<(&Path, &str)> {
        let below = self.mounts.iter().filter(|(point, _)| point.starts_with(path) && point != path);
        below.map(|(point, kind)| (point.as_path(), kind.as_str())).find(|(_, kind)| self.is_fixed(kind))
    }

    /// Whatever is mounted somewhere below `path`.
    pub(super) fn below(&self, path: &Path) -> Option<&Path> {
        let mut points = self.mounts.iter().map(|(point, _)| point.as_path());
        points.find(|point| point.starts_with(path) && *point != path)
    }

    fn is_fixed(&self, kind: &str) -> bool {
        FIXED.contains(&kind) || kind.starts_with("fuse.") || (kind == "tmpfs" && !self.tmpfs)
    }
}

/// Mount point and type of a line of mountinfo, see proc(5): the type comes after a lone `-`.
fn mount(line: &[u8]) -> Option<(PathBuf, String)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let point = fields.by_ref().nth(4)?;
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some((unescaped(point), String::from_utf8_lossy(kind).into_owned()))
}

/// A path of mountinfo: blanks, newlines and backslashes are written as `\` and three octal digits.
fn unescaped(text: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let digits = after
            .get(..3)
            .filter(|digits| *first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        if let Some(digits) = digits {
            bytes.push(digits.iter().fold(0, |value: u8, digit| value.wrapping_mul(8) + (digit - b'0')));
            rest = &after[3..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

/// Whether the kernel that runs is of this version or a later one, see uname(2).
fn has_since((major, minor): (u32, u32)) -> bool {
    let Ok(name) = nix::sys::utsname::uname() else { return false };
    version(name.release()).is_some_and(|found| found >= (major, minor))
}

/// `6.1` of `6.1.0-18-amd64`.
fn version(release: &OsStr) -> Option<(u32, u32)> {
    let mut numbers = release.as_bytes().split(|byte| !byte.is_ascii_digit());
    let mut next = || std::str::from_utf8(numbers.next()?).ok()?.parse().ok();
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::resolve::testing::Scene;

    #[test]
    fn the_last_mount_at_the_longest_path_counts() {
        let scene = Scene::new("filesystems");
        scene.file(
            "proc/self/mountinfo",
            "21 1 254:0 / / rw - ext4 /dev/vda rw\n\
             22 21 0:21 / /proc rw,relatime shared:5 - proc proc rw\n\
             23 21 0:22 / /srv/a\\040b rw - overlay overlay rw\n\
             24 21 0:23 / /mnt rw - nfs4 host:/ rw\n\
             25 24 0:24 / /mnt rw - xfs /dev/vdb rw\n\
             26 21 0:25 / /home/eve/net rw shared:9 master:2 - fuse.sshfs eve@host: rw\n",
        );
        let found = FileSystems::read(&scene.host);
        let at = |path: &str| found.fixed_at(Path::new(path));
        assert_eq!(at("/etc"), None);
        assert_eq!(at("/proc/sys"), Some("proc"));
        assert_eq!(at("/srv/a b/c"), Some("overlay"));
        assert_eq!(at("/srv/a"), None);
        assert_eq!(at("/mnt/x"), None, "the nfs is covered");
        assert_eq!(at("/home/eve/net"), Some("fuse.sshfs"));
        let below = |path: &str| found.fixed_below(Path::new(path)).map(|(_, kind)| kind);
        assert_eq!(
            (below("/srv"), below("/srv/a b"), below("/home")),
            (Some("overlay"), None, Some("fuse.sshfs"))
        );
        let any = |path: &str| found.below(Path::new(path)).map(|point| point.to_str().unwrap());
        assert_eq!((any("/srv"), any("/srv/a b"), any("/sr")), (Some("/srv/a b"), None, None));
    }

    #[test]
    fn a_kernels_version_is_its_first_two_numbers() {
        for (release, found) in [
            ("6.1.0-18-amd64", Some((6, 1))),
            ("6.18.44", Some((6, 18))),
            ("5.12-rc1", Some((5, 12))),
            ("x", None),
        ] {
            assert_eq!(version(OsStr::new(release)), found);
        }
    }
}
