//! Links on the way to where something is to be mounted, in what is shown of the host: as with bubblewrap they are followed. The kernel
//! mounts no directory on a link, and what is put over one would hide nothing of what it leads to.

use std::path::{Component, Path, PathBuf};

use super::{Facts, Files, Found, Item, Value};

/// Most links that are followed, as by the kernel: see path_resolution(7).
const MOST: usize = 40;

impl Files {
    /// The place that is meant by a path in the jail.
    pub(super) fn meant(&self, path: PathBuf, facts: &Facts<'_>) -> PathBuf {
        let mut path = path;
        for _ in 0..MOST {
            match self.step(&path, facts) {
                Some(next) => path = next,
                None => break,
            }
        }
        path
    }

    /// Where it is on the host what is shown at a path in the jail, if something is and is not mounted over.
    pub(super) fn on_host(&self, path: &Path) -> Option<PathBuf> {
        let (top, source) = self.shown_at(path)?;
        let rest = path.strip_prefix(&top.target).ok()?;
        // Joined with nothing it would end in a slash, and a link would be followed.
        Some(if rest == Path::new("") { source.into() } else { Path::new(source).join(rest) })
    }

    /// The path with the first link of it followed, if there is one.
    fn step(&self, path: &Path, facts: &Facts<'_>) -> Option<PathBuf> {
        let made = self
            .items
            .iter()
            .find(|item| item.list == "tree.links" && path != item.target && path.starts_with(&item.target));
        if let Some(Item { target, table, .. }) = made
            && let Value::Text(text) = &table.get("target")?.node.value
        {
            let rest = path.strip_prefix(target).ok()?;
            return Some(clean(&target.parent()?.join(text).join(rest)));
        }
        let (top, source) = self.shown_at(path)?;
        let rest = path.strip_prefix(&top.target).ok()?;
        let mut at = PathBuf::new();
        let mut names = rest.components();
        while let Some(name) = names.next() {
            at.push(name);
            if let Found::Link(text) = (facts.look)(&Path::new(source).join(&at)) {
                let from = top.target.join(at.parent()?).join(text);
                return Some(clean(&from.join(names.as_path())));
            }
        }
        None
    }

    /// What shows something of the host's at a path, and what.
    fn shown_at(&self, path: &Path) -> Option<(&Item, &str)> {
        let above = self.items.iter().filter(|item| item.list == "mounts" && path.starts_with(&item.target));
        let top = above.max_by_key(|item| item.target.as_os_str().len())?;
        match &top.table.get("source")?.node.value {
            Value::Text(source) => Some((top, source)),
            _ => None,
        }
    }
}

/// Without dots, by the text of the path.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => _ = clean.pop(),
            _ => {}
        }
    }
    clean
}
