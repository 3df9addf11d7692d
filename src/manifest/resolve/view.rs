//! The host as resolving sees it: beneath one root, only read.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use super::nearest::nearest_path;
use crate::manifest::finding::Finding;
use crate::manifest::links::{self, Link, Root};
use crate::manifest::schema::{Manifest, MountKind};
use crate::plan::Origin;
use crate::sys::host::Host;

/// The host's root for a jail of this manifest: below what is shown to it writable, a link may be of its making.
pub(super) fn host_root(host: &Host, manifest: &Manifest) -> Root {
    let root = Root::at(&host.root);
    let writable = manifest.mounts.iter().filter(|mount| mount.value.read_only == Some(false));
    let shared = writable.filter_map(|mount| match &mount.value.kind {
        // What is absent has no links in it either.
        MountKind::Bind { source, .. } => root.real(source.as_path()).ok(),
        MountKind::Tmpfs { .. } | MountKind::Mqueue | MountKind::Overlay { .. } => None,
    });
    let shared = shared.collect();
    root.sharing(shared)
}

/// The host beneath its root. Paths given and returned are those a process of the host would use.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) host: &'a Host,
    pub(super) root: Root,
    /// Directories asked for with their paths without links: a package lists thousands of files in a few hundred of them.
    real: RefCell<HashMap<PathBuf, Option<PathBuf>>>,
}

impl<'a> View<'a> {
    pub(super) fn new(host: &'a Host, manifest: &Manifest) -> Self {
        Self { host, root: host_root(host, manifest), real: RefCell::default() }
    }

    /// Where a path whose directories are no links lies for this process.
    pub(super) fn outside(&self, real: &Path) -> PathBuf {
        self.host.root.join(real.strip_prefix("/").unwrap_or(real))
    }

    /// What is at a path whose directories are no links; a link is not followed.
    pub(super) fn metadata(&self, real: &Path) -> io::Result<Metadata> {
        self.root.look(real)
    }

    /// The text of a link.
    pub(super) fn link_text(&self, real: &Path) -> io::Result<OsString> {
        self.root.text(real).map(PathBuf::into_os_string)
    }

    /// Every link on the way and what the path leads to.
    pub(super) fn chain(&self, path: &Path) -> Result<Vec<Link>, links::Error> {
        links::chain(&self.root, path)
    }

    /// The path with the links of its directories resolved, the last component as it is; `None` if there is no such directory.
    pub(super) fn in_real_directory(&self, path: &Path) -> Option<PathBuf> {
        let (parent, name) = (path.parent()?, path.file_name()?);
        if let Some(known) = self.real.borrow().get(parent) {
            return known.as_ref().map(|real| real.join(name));
        }
        let real = self.root.real(parent).ok();
        self.real.borrow_mut().insert(parent.to_owned(), real.clone());
        real.map(|real| real.join(name))
    }

    /// What is at a path, every link followed.
    pub(super) fn follow(&self, path: &Path) -> Option<Metadata> {
        self.root.metadata(path).ok()
    }

    /// Whether a path leads to something.
    pub(super) fn exists(&self, path: &Path) -> bool {
        self.root.real(path).is_ok()
    }

    /// The names in a directory, in order; none if it cannot be read.
    pub(super) fn names(&self, directory: &Path) -> Vec<OsString> {
        let mut names = self.root.names(directory, usize::MAX).unwrap_or_default();
        names.sort_unstable();
        names
    }

    /// The finding for a path that leads nowhere, with the nearest path that exists.
    pub(super) fn missing(&self, path: &Path, error: &links::Error, origin: &Origin) -> Finding {
        let finding = Finding::error(format!("`{}` cannot be found on the host", path.display()), origin)
            .why(error.to_string());
        match error {
            links::Error::Loop { .. } => return finding.hint("mend the links, or take the entry out"),
            links::Error::Distrusted { .. } => {
                let finding = Finding::error(format!("`{}` leads where it must not", path.display()), origin);
                return finding
                    .why(error.to_string())
                    .hint("name what is meant by its own path, without this link");
            }
            links::Error::Unreadable { .. } => {
                return finding.hint("run as a user who may search the way to it");
            }
            _ => {}
        }
        match nearest_path(path, |path| self.exists(path), |directory| self.names(directory)) {
            Some(near) => finding.hint(format!("did you mean `{}`?", near.display())),
            None => finding.hint("install what brings it, or take the entry out"),
        }
    }

    /// The same for an entry that may say `optional`.
    pub(super) fn missing_unless_optional(
        &self,
        path: &Path,
        error: &links::Error,
        origin: &Origin,
    ) -> Finding {
        let mut finding = self.missing(path, error, origin);
        if matches!(error, links::Error::Missing { .. }) {
            finding.hint = finding.hint.map(|hint| match hint.strip_suffix('?') {
                Some(_) => format!("{hint} Or write `optional = true` if it may be missing"),
                None => format!("{hint}; or write `optional = true` if it may be missing"),
            });
        }
        finding
    }
}
