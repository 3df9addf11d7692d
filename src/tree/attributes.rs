//! What a copy keeps of its source beside content, mode, owner and times, and what it leaves behind.
//!
//! | attribute | kept |
//! |---|---|
//! | `user.*` | always, where the tree's file system has them |
//! | `security.capability` | when the manifest asks for it and root builds |
//! | set-user-id, set-group-id | when the manifest asks for it and root builds |
//! | `system.posix_acl_*` | no: the plan gives the mode, and an access control list would widen it for ids of the host |
//! | `security.selinux` and other labels | no: the policy labels a file by where it is |
//! | `trusted.*` | no: private to whoever wrote them, and overlayfs takes orders from `trusted.overlay.*` |
//! | inode flags (chattr(1)), creation time | no: an immutable file could not be removed |
//!
//! What a source had and its copy has not is named in the record, labels excepted: every file has one.

use std::ffi::{CStr, CString};
use std::fs::File;

use nix::errno::Errno;

use super::copy::digest;
use super::error::{Called as _, Cause};
use super::record::{Digest, escape};
use crate::plan::Mode;
use crate::plan::step::Keep;
use crate::sys::fs::{get_xattr, list_xattrs, set_xattr};

/// Longest list of names and longest value there can be, see xattr(7).
const XATTR_MAX: usize = 64 << 10;

/// File capabilities, see capabilities(7).
const CAPABILITY: &CStr = c"security.capability";

/// What came along and what did not, as the record names it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    /// Names of the extended attributes copied.
    pub(super) kept: Vec<String>,
    /// Names of what was left behind.
    pub(super) not_kept: Vec<String>,
    /// Digest of what was copied.
    pub(super) digest: Option<Digest>,
}

/// What is to become of one extended attribute.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Keep,
    Leave,
    /// Left, and so common that it is not worth a word.
    LeaveSilently,
}

fn fate(name: &CStr, keep: Keep, root: bool) -> Fate {
    let bytes = name.to_bytes();
    if bytes.starts_with(b"user.") || (name == CAPABILITY && keep.capabilities && root) {
        Fate::Keep
    } else if matches!(bytes, b"security.selinux" | b"security.apparmor")
        || bytes.starts_with(b"security.SMACK64")
    {
        Fate::LeaveSilently
    } else {
        Fate::Leave
    }
}

/// What a source has, sorted into what a copy keeps and what it leaves.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Offered {
    /// Names and values of what is kept.
    pub(super) kept: Vec<Pair>,
    /// Names of what is left behind, as the record spells them.
    pub(super) not_kept: Vec<String>,
}

/// One extended attribute: its name and its value.
type Pair = (CString, Vec<u8>);

/// Reads the extended attributes of a source.
pub(super) fn read(source: &File, keep: Keep, root: bool) -> Result<Offered, Cause> {
    let mut offered = Offered::default();
    for name in list(source).source_call("flistxattr")? {
        match fate(&name, keep, root) {
            Fate::Keep => {
                let value = value(source, &name).source_call("fgetxattr")?;
                offered.kept.extend(value.map(|value| (name, value)));
            }
            Fate::Leave => offered.not_kept.push(escape(name.to_bytes())),
            Fate::LeaveSilently => {}
        }
    }
    offered.kept.sort();
    Ok(offered)
}

/// Sorts the extended attributes that an archive has of a member.
pub(super) fn offered(pairs: &[Pair], keep: Keep, root: bool) -> Offered {
    let mut offered = Offered::default();
    for (name, value) in pairs {
        match fate(name, keep, root) {
            Fate::Keep => offered.kept.push((name.clone(), value.clone())),
            Fate::Leave => offered.not_kept.push(escape(name.to_bytes())),
            Fate::LeaveSilently => {}
        }
    }
    offered.kept.sort();
    offered
}

/// Gives a copy what it keeps. After the owner is set: chown(2) drops file capabilities.
pub(super) fn write(offered: Offered, target: &File) -> Result<Attributes, Cause> {
    let mut attributes = Attributes { kept: Vec::new(), not_kept: offered.not_kept, digest: None };
    let mut written = Vec::new();
    for (name, value) in offered.kept {
        match set_xattr(target, &name, &value) {
            Ok(()) => written.push((name, value)),
            Err(Errno::EOPNOTSUPP) => attributes.not_kept.push(escape(name.to_bytes())),
            Err(errno) => return Err(Cause::Call("fsetxattr", errno)),
        }
    }
    (attributes.kept, attributes.digest) = described(&written);
    Ok(attributes)
}

impl Offered {
    /// What the record says of a copy that has all of it.
    pub(super) fn attributes(&self) -> Attributes {
        let (kept, digest) = described(&self.kept);
        Attributes { kept, not_kept: self.not_kept.clone(), digest }
    }
}

/// The names and the digest of attributes, as the record has them.
fn described(pairs: &[Pair]) -> (Vec<String>, Option<Digest>) {
    let names = pairs.iter().map(|(name, _)| escape(name.to_bytes())).collect();
    let mut all = Vec::new();
    for (name, value) in pairs {
        all.extend_from_slice(name.to_bytes_with_nul());
        all.extend_from_slice(&(value.len() as u64).to_le_bytes());
        all.extend_from_slice(value);
    }
    (names, (!pairs.is_empty()).then(|| digest(&all)))
}

/// What a file of a tree has of what says something: kept attributes, and what would change who may do what. Labels are the
/// host's own.
pub(super) fn found(file: &File) -> Result<(Vec<String>, Option<Digest>), Errno> {
    let counts = |name: &CString| {
        let bytes = name.to_bytes();
        bytes.starts_with(b"user.")
            || bytes.starts_with(b"system.posix_acl_")
            || name.as_c_str() == CAPABILITY
    };
    let mut pairs = Vec::new();
    for name in list(file)?.into_iter().filter(counts) {
        pairs.extend(value(file, &name)?.map(|value| (name, value)));
    }
    pairs.sort();
    Ok(described(&pairs))
}

/// The names of a file's attributes.
fn list(file: &File) -> Result<Vec<CString>, Errno> {
    let mut names = match list_xattrs(file, &mut []) {
        Ok(0) | Err(Errno::EOPNOTSUPP) => return Ok(Vec::new()),
        Ok(_) => vec![0; XATTR_MAX],
        Err(errno) => return Err(errno),
    };
    let length = list_xattrs(file, &mut names)?;
    let split = names[..length].split_inclusive(|byte| *byte == 0);
    Ok(split.filter_map(|name| CStr::from_bytes_with_nul(name).ok()).map(CStr::to_owned).collect())
}

/// The value of one; `None` when it was removed since it was listed.
fn value(file: &File, name: &CStr) -> Result<Option<Vec<u8>>, Errno> {
    let mut value = vec![0; XATTR_MAX];
    match get_xattr(file, name, &mut value) {
        Err(Errno::ENODATA) => Ok(None),
        length => {
            value.truncate(length?);
            Ok(Some(value))
        }
    }
}

/// The mode a copy gets, and which bits of its source it lacks by that.
pub(super) fn mode(asked: Mode, source: u32, keep: Keep, root: bool) -> (Mode, Vec<String>) {
    let mode = if keep.setid && root { asked } else { Mode(asked.0 & 0o1777) };
    let lacks = [(0o4000, "setuid"), (0o2000, "setgid")]
        .into_iter()
        .filter(|(bit, _)| source & bit != 0 && mode.0 & bit == 0)
        .map(|(_, name)| name.to_owned())
        .collect();
    (mode, lacks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_keeps_its_power() {
        let all = Keep { setid: true, capabilities: true };
        let none = Keep::default();
        for (name, keep, root, expected) in [
            (c"user.comment", none, false, Fate::Keep),
            (c"security.capability", none, true, Fate::Leave),
            (c"security.capability", all, false, Fate::Leave),
            (c"security.capability", all, true, Fate::Keep),
            (c"system.posix_acl_access", all, true, Fate::Leave),
            (c"trusted.overlay.redirect", all, true, Fate::Leave),
            (c"security.selinux", all, true, Fate::LeaveSilently),
        ] {
            assert_eq!(fate(name, keep, root), expected, "{name:?}");
        }
        assert_eq!(mode(Mode(0o4755), 0o104_755, none, true), (Mode(0o755), vec!["setuid".to_owned()]));
        assert_eq!(mode(Mode(0o6755), 0o106_755, all, true), (Mode(0o6755), vec![]));
        assert_eq!(mode(Mode(0o6755), 0o106_755, all, false).0, Mode(0o755));
        assert_eq!(mode(Mode(0o755), 0o100_755, none, true), (Mode(0o755), vec![]));
    }
}
