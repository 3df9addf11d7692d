//! Where a path of a jail's is to be looked at from outside: by its steps, what is mounted where, and what a tree in memory has.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::manifest::links::{self, Root};
use crate::plan::step::{Action, Furniture, Owner};
use crate::plan::{JailPath, Step};

/// Most links on one way, see path_resolution(7).
const MOST_LINKS: usize = 40;

/// A mount other than the root, with the line it comes from.
pub(super) struct Mount {
    pub(super) target: JailPath,
    pub(super) source: Option<PathBuf>,
    pub(super) no_exec: bool,
    pub(super) place: String,
}

/// Where a path of the jail's is to be looked at from outside.
pub(super) struct Spot {
    /// The mount it is on, if not on the tree itself.
    pub(super) mount: Option<Mount>,
    /// The tree, or the host that a mount shows.
    pub(super) root: Root,
    /// Its path there.
    pub(super) path: PathBuf,
}

/// What there is to look at.
#[derive(Clone, Copy)]
pub(super) struct Jail<'a> {
    pub(super) steps: &'a [Step],
    pub(super) tree: &'a Path,
}

impl<'a> Jail<'a> {
    /// Where a path is; `None` when a link leads from the tree to a mount, or out of a mount, which only the jail itself can
    /// follow: on the host it would lead elsewhere, and perhaps the jail has put it there.
    pub(super) fn spot(self, path: &Path) -> Option<Spot> {
        let path = &if self.is_in_memory() { self.past_links(path) } else { path.to_owned() };
        if let Some(mount) = self.covering(path) {
            let below = path.strip_prefix(mount.target.as_path()).unwrap_or(Path::new(""));
            let path = match &mount.source {
                // `join("")` would add a slash, which means a directory.
                Some(source) if below.as_os_str().is_empty() => source.clone(),
                Some(source) => source.join(below),
                None => path.to_owned(),
            };
            let shown = Root::host().sharing(mount.source.iter().cloned().collect());
            if matches!(shown.real(&path), Err(links::Error::Distrusted { .. })) {
                return None;
            }
            return Some(Spot { mount: Some(mount), root: Root::host(), path });
        }
        let root = Root::at(self.tree);
        if self.is_in_memory() {
            return Some(Spot { mount: None, root, path: path.to_owned() });
        }
        match root.real(path) {
            Err(links::Error::Missing { at, .. }) if self.covering(&at).is_some() => None,
            Ok(real) if self.covering(&real).is_some() => None,
            _ => Some(Spot { mount: None, root, path: path.to_owned() }),
        }
    }

    /// Whether there is no tree on disk that could be looked at.
    pub(super) fn is_in_memory(self) -> bool {
        self.steps.iter().any(|step| {
            matches!(&step.action, Action::CreateFileSystem { target, .. } if target.parent().is_none())
        })
    }

    /// Whether the jail runs already, and a program is to join it.
    pub(super) fn is_joined(self) -> bool {
        self.steps.iter().any(|step| matches!(step.action, Action::JoinNamespaces { .. }))
    }

    /// What is made at a path of a tree in memory.
    pub(super) fn made(self, path: &Path) -> Option<&'a Furniture> {
        self.steps.iter().find_map(|step| match &step.action {
            Action::Furnish { path: at, what, .. } if at.as_path() == path => Some(what),
            _ => None,
        })
    }

    /// A path in a tree in memory without links, those that are made there and those of the host that are shown.
    fn past_links(self, path: &Path) -> PathBuf {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            let link = path.ancestors().find_map(|above| match self.made(above) {
                Some(Furniture::Link { text }) => Some((above.to_owned(), PathBuf::from(text))),
                Some(_) => None,
                None => {
                    let mount = self.covering(above)?;
                    let below = above
                        .strip_prefix(mount.target.as_path())
                        .ok()
                        .filter(|below| *below != Path::new(""))?;
                    Some((above.to_owned(), std::fs::read_link(mount.source?.join(below)).ok()?))
                }
            });
            let Some((link, text)) = link else { break };
            let rest = path.strip_prefix(&link).unwrap_or(Path::new("")).to_owned();
            path = link.parent().unwrap_or(Path::new("/")).join(text).join(rest);
        }
        path
    }

    /// The mount a path is on, if it is not on the tree itself.
    fn covering(self, path: &Path) -> Option<Mount> {
        let mounts = self.steps.iter().filter_map(|step| match &step.action {
            Action::CloneTree { source, target, flags, .. }
            | Action::CreateOverlay { source, target, flags, .. } => {
                Some((step, target, Some(source.as_path().to_owned()), flags.no_exec))
            }
            Action::CreateFileSystem { target, flags, .. } => Some((step, target, None, flags.no_exec)),
            _ => None,
        });
        mounts
            // What is the root itself is no mount in it.
            .filter(|(_, target, ..)| target.parent().is_some() && path.starts_with(target.as_path()))
            .max_by_key(|(_, target, ..)| target.as_path().components().count())
            .map(|(step, target, source, no_exec)| Mount {
                target: target.clone(),
                source,
                no_exec,
                place: step.origin.to_string(),
            })
    }

    /// The owner as the jail sees it.
    pub(super) fn owner(self, found: &Metadata) -> Owner {
        let mapped = self.steps.iter().find_map(|step| match &step.action {
            Action::MapIds { map } => Some(map),
            _ => None,
        });
        let owner = Owner { uid: found.uid(), gid: found.gid() };
        mapped.map_or(owner, |map| map.inside(owner))
    }
}
