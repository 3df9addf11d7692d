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

use std::ffi::CStr;
use std::fs::File;

use nix::errno::Errno;

use super::error::{Called as _, Cause};
use super::record::escape;
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

/// Copies the extended attributes that are kept. After the owner is set: chown(2) drops file capabilities.
pub(super) fn copy(source: &File, target: &File, keep: Keep, root: bool) -> Result<Attributes, Cause> {
    let mut attributes = Attributes::default();
    let mut names = match list_xattrs(source, &mut []) {
        Ok(0) | Err(Errno::EOPNOTSUPP) => return Ok(attributes),
        Ok(_) => vec![0; XATTR_MAX],
        Err(errno) => return Err(Cause::SourceCall("flistxattr", errno)),
    };
    let length = list_xattrs(source, &mut names).source_call("flistxattr")?;
    let mut value = vec![0; XATTR_MAX];
    for name in names[..length].split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        let text = escape(name.to_bytes());
        match fate(name, keep, root) {
            Fate::Keep => {
                let length = match get_xattr(source, name, &mut value) {
                    // Removed since it was listed.
                    Err(Errno::ENODATA) => continue,
                    length => length.source_call("fgetxattr")?,
                };
                match set_xattr(target, name, &value[..length]) {
                    Ok(()) => attributes.kept.push(text),
                    Err(Errno::EOPNOTSUPP) => attributes.not_kept.push(text),
                    Err(errno) => return Err(Cause::Call("fsetxattr", errno)),
                }
            }
            Fate::Leave => attributes.not_kept.push(text),
            Fate::LeaveSilently => {}
        }
    }
    Ok(attributes)
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
