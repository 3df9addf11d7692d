//! What of the host is shown to a jail that has ids of its own: whose it is inside, and who may write to it.

#![forbid(unsafe_code)]

use std::os::unix::fs::MetadataExt as _;

use super::accounts::Accounts;
use super::context::Context;
use super::filesystems::FileSystems;
use super::layers;
use crate::manifest::finding::Finding;
use crate::manifest::schema::{Manifest, MountKind};
use crate::plan::step::{IdSpace, Idmap};
use crate::plan::{HostPath, Origin};
use crate::sys::host::Host;

/// A directory or file of the host that a jail with ids of its own is shown.
pub(super) struct Shown {
    /// What.
    pub(super) source: HostPath,
    /// With what is mounted below it.
    pub(super) recursive: bool,
    /// How its owners are translated.
    pub(super) idmap: Option<Idmap>,
}

impl Shown {
    /// Decides by which maps owners are translated. Where the file system cannot do that, what is only read is shown all the same:
    /// as nobody's, so that it is open to the jail as far as it is to everybody. So is what has no use for an owner. What is
    /// written would belong to ids that mean nothing, so that is an error: its reason. What should be known of the rest is returned.
    pub(super) fn translate(
        &mut self,
        context: &Context<'_>,
        known: &FileSystems,
        read_only: bool,
        squash: bool,
    ) -> Result<Option<String>, String> {
        let source = self.source.as_path();
        if let Some(kind) = known.fixed_at(source) {
            let found = std::fs::symlink_metadata(context.host.path(source));
            let is_special = found.is_ok_and(|found| !found.is_dir() && !found.is_file());
            return if read_only || is_special {
                Ok(Some(format!("its files are nobody's inside: {kind} cannot translate owners")))
            } else {
                Err(format!(
                    "it is on {kind}, which cannot translate owners (MOUNT_ATTR_IDMAP in mount_setattr(2))"
                ))
            };
        }
        // A file of root's that root inside leaves there is root's for the host: set-user-id, it gives root's rights to whoever starts
        // it, and so does one with capabilities, which the kernel writes down as root's outside where root is translated to root.
        // Where nothing can be written nothing can be left.
        let space = if read_only || !squash { IdSpace::Jail } else { IdSpace::Shared };
        let below = self.recursive.then(|| known.fixed_below(source)).flatten();
        self.idmap = Some(Idmap { space, below: self.recursive && below.is_none() });
        Ok(below.map(|(point, kind)| {
            format!("files below are nobody's inside: {kind} on {} cannot translate owners", point.display())
        }))
    }
}

/// Something of the host that cannot be shown writable to a jail with ids of its own.
pub(super) fn cannot_translate(source: &HostPath, why: String, origin: &Origin) -> Finding {
    Finding::error(format!("`{source}` cannot be shown writable to a jail with ids of its own"), origin)
        .why(why)
        .hint("show it read-only, or something on another file system; or say `user = false` under [namespaces]")
}

/// Directories and files of root's that root inside is to write, and cannot: root inside is not root there.
pub(super) fn closed_to_root(manifest: &Manifest, host: &Host, accounts: &Accounts) -> Vec<Finding> {
    let user = manifest.program.user.as_ref();
    let is_root = user.is_some_and(|user| accounts.uid_of(&user.value, &user.origin) == Ok(0));
    if !is_root || !host.is_root() || layers::user_namespace(manifest, host) != Ok(true) {
        return Vec::new();
    }
    let written = manifest.mounts.iter().filter(|mount| mount.value.read_only == Some(false));
    let closed = written.filter_map(|mount| {
        let MountKind::Bind { source, root_squash, .. } = &mount.value.kind else { return None };
        let found = std::fs::metadata(host.path(source.as_path())).ok()?;
        let is_closed = root_squash.unwrap_or(true) && found.uid() == 0 && found.mode() & 0o002 == 0;
        is_closed.then(|| {
            Finding::warning(format!("root inside cannot write to `{source}`"), &mount.origin)
                .why("it belongs to root, and root inside is not root there: what it left would be root's for the host")
                .hint("let the program run as another user and give it to that one, or say `root_squash = false` (`--no-root-squash` of `stockade once`)")
        })
    });
    closed.collect()
}
