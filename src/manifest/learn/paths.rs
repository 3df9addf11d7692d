//! Every path that was used, by the one name it has when its links are followed; and these links.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

use super::{Facts, reason, word};
use crate::manifest::links::{self, Root};
use crate::seen::{File, Kind, Moment, Seen, Use};

/// What changes a file, or its directory.
const CHANGES: [Use; 5] = [Use::Made, Use::Written, Use::Removed, Use::Owned, Use::Moded];

/// The paths of a run.
pub(super) struct Paths {
    /// What is at the end of them.
    pub(super) files: BTreeMap<PathBuf, Used>,
    /// Links on the way, with what they say.
    pub(super) links: BTreeMap<PathBuf, (PathBuf, Moment)>,
    /// What a manifest cannot name, since it is text in UTF-8 and these are not; with what they were used for.
    pub(super) unnamed: BTreeMap<PathBuf, String>,
}

/// What was used.
pub(super) struct Used {
    /// What it was before.
    pub(super) kind: Kind,
    /// For what, first.
    pub(super) uses: BTreeMap<Use, Moment>,
    /// What is there now, if anything.
    pub(super) now: Option<Metadata>,
}

impl Used {
    /// Whether it was used so.
    pub(super) fn is(&self, one: Use) -> bool {
        self.uses.contains_key(&one)
    }

    /// What changed it, first.
    pub(super) fn changed(&self) -> Option<(Use, &Moment)> {
        let changes = CHANGES.into_iter().filter_map(|one| Some((one, self.uses.get(&one)?)));
        // What was to be made and is there already comes to the same.
        let found = self.uses.get(&Use::Looked).filter(|moment| moment.call.starts_with("mkdir"));
        changes.chain(found.map(|moment| (Use::Made, moment))).min_by_key(|(_, moment)| moment.at)
    }

    /// Whether it is a directory of which somebody has only made sure that it is there.
    pub(super) fn is_made_sure_of(&self) -> bool {
        self.kind == Kind::Directory
            && !self.uses.keys().any(|one| CHANGES.contains(one))
            && self.changed().is_some()
    }

    /// The use that says most of why it is needed.
    pub(super) fn main(&self) -> Option<(Use, &Moment)> {
        const ORDER: [Use; 5] = [Use::Executed, Use::Read, Use::Listed, Use::Entered, Use::Connected];
        let best = ORDER.into_iter().find_map(|one| Some((one, self.uses.get(&one)?)));
        best.or_else(|| self.uses.iter().next().map(|(one, moment)| (*one, moment)))
    }

    /// That use in words.
    pub(super) fn reason(&self) -> String {
        self.main().map_or_else(String::new, |(one, moment)| reason(moment, word(one)))
    }
}

impl Paths {
    /// Those of a run.
    pub(super) fn of(seen: &Seen, facts: &Facts<'_>) -> Self {
        let root = Root::at(&facts.host.root);
        let mut paths = Self { files: BTreeMap::new(), links: BTreeMap::new(), unnamed: BTreeMap::new() };
        for (path, file) in &seen.files {
            let Some(moment) = file.uses.values().min_by_key(|moment| moment.at) else { continue };
            let real = paths.follow(&root, path, moment);
            if file.kind == Kind::Link && file.uses.keys().all(|one| *one == Use::Followed) {
                continue;
            }
            // Who makes, replaces or removes a link does nothing to what it leads to.
            let is_link = std::fs::symlink_metadata(path).is_ok_and(|now| now.is_symlink());
            let of_link = |one: Use| is_link && CHANGES.contains(&one);
            let own =
                path.parent().zip(path.file_name()).filter(|_| file.uses.keys().any(|one| of_link(*one)));
            if let Some((parent, name)) = own {
                let link = paths.follow(&root, parent, moment).join(name);
                paths.used(link, file, of_link);
            }
            paths.used(real, file, |one| !of_link(one) && one != Use::Followed);
        }
        paths.files.retain(|_, used| !used.uses.is_empty());
        let unnamed = paths.files.extract_if(.., |path, _| path.to_str().is_none());
        paths.unnamed = unnamed.map(|(path, used)| (path, used.reason())).collect();
        paths.links.retain(|path, (target, _)| path.to_str().is_some() && target.to_str().is_some());
        paths
    }

    /// What is at a path was used so.
    fn used(&mut self, path: PathBuf, file: &File, is_it: impl Fn(Use) -> bool) {
        let now = std::fs::symlink_metadata(&path).ok().filter(|now| !now.is_symlink());
        let fresh = || Used { kind: file.kind, uses: BTreeMap::new(), now };
        let used = self.files.entry(path).or_insert_with(fresh);
        if used.kind == Kind::Link {
            used.kind = file.kind;
        }
        for (one, moment) in file.uses.iter().filter(|(one, _)| is_it(**one)) {
            let earlier = used.uses.get(one).is_some_and(|known| known.at <= moment.at);
            if !earlier {
                used.uses.insert(*one, moment.clone());
            }
        }
    }

    /// The real name of a path, whether it is there or not. The links on the way are kept.
    fn follow(&mut self, root: &Root, path: &Path, moment: &Moment) -> PathBuf {
        let mut rest = Vec::new();
        for there in path.ancestors() {
            match links::chain(root, there) {
                Ok(met) => {
                    for link in &met {
                        if let links::Kind::Symlink { target } = &link.kind {
                            let known = self.links.entry(link.path.clone());
                            known.or_insert_with(|| (target.clone(), moment.clone()));
                        }
                    }
                    let mut real = root.real(there).unwrap_or_else(|_| there.to_owned());
                    real.extend(rest.into_iter().rev());
                    return real;
                }
                // A link that leads nowhere, or where it is not followed, is what it is.
                Err(_) => rest.extend(there.file_name()),
            }
        }
        path.to_owned()
    }
}
