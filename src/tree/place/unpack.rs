//! Unpacks one regular file of an archive.

use nix::sys::stat::{fchmod, futimens};
use nix::sys::time::TimeSpec;

use super::{Tree, bits, create};
use crate::archive::{Archive, Member};
use crate::plan::step::{Keep, Owner};
use crate::plan::{JailPath, Mode, Origin};
use crate::tree::attributes::{self, Attributes};
use crate::tree::error::{Called as _, Cause};
use crate::tree::record::{Digest, Entry, Kind, Ownership, on_disk};

impl Tree<'_> {
    /// Unpacks the member of this number.
    pub(super) fn unpack(
        &mut self,
        member: usize,
        path: &JailPath,
        mode: Mode,
        owner: Owner,
        keep: Keep,
        why: &Origin,
    ) -> Result<(), Cause> {
        let root = self.ownership == Ownership::Real;
        let archive = self.archive.ok_or(Cause::NotBuildable)?;
        let member = archive.member(member).ok_or(Cause::NotBuildable)?;
        let offered = attributes::offered(&member.xattrs, keep, root);
        let (mode, lacks) = attributes::mode(mode, member.attributes.mode, keep, root);
        let wanted =
            unpacked(self.entry(path, Kind::File, mode, owner, why), member, offered.attributes(), &lacks);
        if let Some(sha256) = self.share_member(archive, member, &wanted, path)? {
            self.note(Entry { sha256: Some(sha256), ..wanted });
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        let target = create(parent, name)?;
        let sha256 = Some(self.copier.unpack(archive, member, Some(&target))?);
        self.own(&target, owner)?;
        let attributes = attributes::write(offered, &target)?;
        // After the owner: chown(2) takes the set-id bits off.
        fchmod(&target, bits(on_disk(self.ownership, Kind::File, mode))).call("fchmod")?;
        let mtime = TimeSpec::new(member.mtime.0, member.mtime.1);
        futimens(&target, &mtime, &mtime).call("utimensat")?;
        self.note(Entry { sha256, ..unpacked(wanted, member, attributes, &lacks) });
        Ok(())
    }

    /// The same for a member of an archive as [`share`](Self::share) for a file.
    fn share_member(
        &mut self,
        archive: &Archive,
        member: &Member,
        wanted: &Entry,
        path: &JailPath,
    ) -> Result<Option<Digest>, Cause> {
        let Some(candidate) = self.base.and_then(|base| base.candidate(wanted)) else { return Ok(None) };
        let Some(digest) = self.copier.same_member(archive, member, &candidate)? else { return Ok(None) };
        self.link_shared(&candidate, path).map(|linked| linked.then_some(digest))
    }
}

/// The entry of a member of an archive; the digest is still to come.
pub(in crate::tree) fn unpacked(
    entry: Entry,
    member: &Member,
    attributes: Attributes,
    lacks: &[String],
) -> Entry {
    Entry {
        size: Some(member.size),
        mtime: member.mtime,
        xattrs: attributes.kept,
        xattrs_sha256: attributes.digest,
        not_kept: [lacks, &attributes.not_kept].concat(),
        ..entry
    }
}
