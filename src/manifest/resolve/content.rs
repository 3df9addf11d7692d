//! What can be at a path of the tree, and how that becomes a step.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsString;
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::draft::{Draft, Node};
use crate::plan::step::{Device, Keep, Owner};
use crate::plan::{Action, HostPath, JailPath, Mode, Phase, Step};

/// What is at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A directory.
    Directory { mode: Mode, owner: Owner },
    /// A copy of the host's file. `inode` is its device and number, if the file has several names.
    File { source: PathBuf, mode: Mode, owner: Owner, keep: Keep, inode: Option<(u64, u64)> },
    /// A file unpacked from the base: its member of this number, and so many bytes.
    Member { number: usize, size: u64, mode: Mode, owner: Owner, keep: Keep },
    /// A symbolic link.
    Symlink { text: OsString, owner: Owner },
    /// A file of ours.
    Text { bytes: Vec<u8>, mode: Mode, owner: Owner },
    /// A device node.
    Device(Device),
}

/// What an entry says about the files it brings; what it does not say is as on the host, but for set-user-id and set-group-id
/// bits, which are kept when asked for only; those of directories as well, as they would spread to what is made inside.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attributes {
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mode: Option<Mode>,
    pub(super) keep: Keep,
}

impl Attributes {
    /// The copy of a host's file at `source`, a path without links.
    pub(super) fn file(self, source: PathBuf, of: &Metadata) -> Content {
        let kept = if self.keep.setid { 0o6777 } else { 0o777 };
        let mode = self.mode.unwrap_or(Mode(of.mode() & kept));
        let inode = (of.nlink() > 1).then(|| (of.dev(), of.ino()));
        Content::File { source, mode, owner: self.owner(of), keep: self.keep, inode }
    }

    /// Mode and owner of a directory that is copied.
    pub(super) fn directory(self, of: &Metadata) -> (Mode, Owner) {
        let kept = if self.keep.setid { 0o7777 } else { 0o1777 };
        // A mode given is that of files: where it lets somebody read, a directory lets them search as well.
        let mode = self.mode.map_or(of.mode() & kept, |mode| mode.0 | (mode.0 & 0o444) >> 2);
        (Mode(mode), self.owner(of))
    }

    /// Who owns it.
    pub(super) fn owner(self, of: &Metadata) -> Owner {
        Owner { uid: self.uid.unwrap_or(of.uid()), gid: self.gid.unwrap_or(of.gid()) }
    }
}

impl Content {
    pub(super) fn is_directory(&self) -> bool {
        matches!(self, Self::Directory { .. })
    }
}

impl fmt::Display for Content {
    /// In the words of a finding about two entries that disagree.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { mode, owner } => {
                write!(f, "a directory, mode {mode}, owner {}:{}", owner.uid, owner.gid)
            }
            Self::File { source, mode, owner, keep, .. } => {
                write!(
                    f,
                    "a copy of `{}`, mode {mode}, owner {}:{}",
                    source.display(),
                    owner.uid,
                    owner.gid
                )?;
                f.write_str(if keep.capabilities { ", with its capabilities" } else { "" })
            }
            Self::Member { mode, owner, .. } => {
                write!(f, "a file of the base, mode {mode}, owner {}:{}", owner.uid, owner.gid)
            }
            Self::Symlink { text, .. } => write!(f, "a link to `{}`", Path::new(text).display()),
            Self::Text { bytes, mode, owner } => {
                write!(
                    f,
                    "a file of {}, mode {mode}, owner {}:{}",
                    counted(bytes.len()),
                    owner.uid,
                    owner.gid
                )
            }
            Self::Device(device) => write!(f, "the device `{}`", device.name),
        }
    }
}

impl Draft<'_> {
    /// The tree as steps, parents before children, in the order of their paths.
    ///
    /// A file with several names on the host is copied once; the other names in the tree become hard links to that copy, if
    /// they are to have the same mode, owner and marks, which are the file's and not the name's.
    pub(super) fn into_steps(self) -> Vec<Step> {
        let mut copied = Copied::new();
        let archive = self.base.map(|base| base.path);
        self.nodes
            .into_iter()
            .filter_map(|(path, node)| step(path, node, archive.as_ref(), &mut copied))
            .collect()
    }
}

/// An inode, and what is the inode's and not a name's.
type Identity = ((u64, u64), Mode, Owner, bool, bool);

/// What may get a second name: the source, and the first name. A member of an archive is of no device.
type Copied = HashMap<Identity, (PathBuf, JailPath)>;

/// The device of what is on none.
const NOWHERE: u64 = u64::MAX;

fn step(path: PathBuf, node: Node, archive: Option<&HostPath>, copied: &mut Copied) -> Option<Step> {
    // Every path of a draft is absolute and without dots, so nothing is lost here.
    let path = JailPath::parse(path).ok()?;
    let action = match node.content {
        Content::Directory { mode, owner } => Action::MakeDirectory { path, mode, owner },
        Content::File { source, mode, owner, keep, inode } => {
            let first = inode.map(|inode| copied.entry((inode, mode, owner, keep.setid, keep.capabilities)));
            match first {
                Some(Entry::Occupied(first)) if first.get().0 != source => {
                    Action::MakeHardLink { existing: first.get().1.clone(), path }
                }
                first => {
                    if let Some(Entry::Vacant(first)) = first {
                        first.insert((source.clone(), path.clone()));
                    }
                    Action::CopyFile { source: HostPath::parse(source).ok()?, path, mode, owner, keep }
                }
            }
        }
        Content::Member { number, size, mode, owner, keep } => {
            let inode = (NOWHERE, number as u64);
            match copied.entry((inode, mode, owner, keep.setid, keep.capabilities)) {
                Entry::Occupied(first) => Action::MakeHardLink { existing: first.get().1.clone(), path },
                Entry::Vacant(first) => {
                    let archive = archive?.clone();
                    first.insert((archive.as_path().to_owned(), path.clone()));
                    Action::UnpackFile { archive, member: number, size, path, mode, owner, keep }
                }
            }
        }
        Content::Symlink { text, owner } => Action::MakeSymlink { text, path, owner },
        Content::Text { bytes, mode, owner } => Action::WriteFile { path, content: bytes, mode, owner },
        Content::Device(device) => Action::MakeDevice { path, device },
    };
    Some(Step { action, phase: Phase::Build, origin: node.origin })
}

/// How many bytes, in words.
fn counted(bytes: usize) -> String {
    match bytes {
        1 => "1 byte".into(),
        bytes => format!("{bytes} bytes"),
    }
}
