//! What a jail has, by the steps that make its tree and by its mounts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::manifest::schema::Manifest;
use crate::plan::Step;
use crate::plan::step::Action;

/// What is in the tree, and what is mounted over it.
pub(in crate::manifest) struct Covered {
    /// Everything that is made.
    made: BTreeSet<PathBuf>,
    /// Where something is mounted.
    mounted: Vec<PathBuf>,
}

impl Covered {
    /// What these steps make, and what this manifest mounts.
    pub(in crate::manifest) fn of(manifest: &Manifest, steps: &[Step]) -> Self {
        let mounts = manifest.mounts.iter();
        Self {
            made: steps.iter().filter_map(|step| made(&step.action)).collect(),
            mounted: mounts.map(|mount| mount.value.target.as_path().to_owned()).collect(),
        }
    }

    /// Whether a path is there, as far as the manifest can tell.
    pub(in crate::manifest) fn has(&self, path: &Path) -> bool {
        self.made.contains(path) || self.mounted.iter().any(|mounted| path.starts_with(mounted))
    }

    /// Whether it is, or something below it.
    pub(in crate::manifest) fn leads_to(&self, path: &Path) -> bool {
        let below = self.made.range(path.to_owned()..).next();
        self.has(path) || below.is_some_and(|below| below.starts_with(path))
    }
}

/// What a step of the tree makes.
fn made(action: &Action) -> Option<PathBuf> {
    let (Action::MakeDirectory { path, .. }
    | Action::CopyFile { path, .. }
    | Action::UnpackFile { path, .. }
    | Action::MakeHardLink { path, .. }
    | Action::MakeSymlink { path, .. }
    | Action::WriteFile { path, .. }
    | Action::MakeDevice { path, .. }) = action
    else {
        return None;
    };
    Some(path.as_path().to_owned())
}
