//! Shared by the property tests: random trees of directories, files and links, on disk and as a model, and how the model resolves a
//! path. The model knows path_resolution(7) and none of our code; the kernel is asked too, by who can.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

/// So many cases, the same in every run, so that a failure can be repeated; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` look further.
pub(crate) fn config(cases: u32) -> Config {
    let default = Config::default();
    let set = |name| std::env::var_os(name).is_some();
    Config {
        cases: if set("PROPTEST_CASES") { default.cases } else { cases },
        rng_seed: if set("PROPTEST_RNG_SEED") { default.rng_seed } else { RngSeed::Fixed(0x57_0c_4a_de) },
        failure_persistence: None,
        ..default
    }
}

/// What is at a path of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Directory,
    File,
    /// A symbolic link with its text.
    Link(String),
}

/// A tree: what is at each path, parents before children. The root is the empty path, names are joined by `/`.
#[derive(Clone, Debug)]
pub(crate) struct Model(pub(crate) BTreeMap<String, Node>);

/// Why a path leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// `ENOENT`
    Missing,
    /// `ENOTDIR`
    NotDirectory,
    /// `ELOOP`
    Loop,
}

/// Few names, so that paths meet.
fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c", "d"])
}

/// A path without its leading slash: names, `.`, `..`, empty components, a slash at the end.
pub(crate) fn relative() -> impl Strategy<Value = String> {
    let component = prop_oneof![8 => name(), 3 => Just(".."), 1 => Just("."), 1 => Just("")];
    prop::collection::vec(component, 1..7).prop_map(|parts| parts.join("/"))
}

/// A link's text.
fn text() -> impl Strategy<Value = String> {
    (prop::bool::weighted(0.3), relative()).prop_map(|(absolute, path)| match (absolute, path.as_str()) {
        (true, path) => format!("/{path}"),
        // A link without text cannot be made.
        (false, "") => ".".to_owned(),
        (false, path) => path.to_owned(),
    })
}

/// Trees of up to 24 nodes, some with a chain of links about as long as is allowed.
pub(crate) fn model() -> impl Strategy<Value = Model> {
    let node =
        prop_oneof![3 => Just(Node::Directory), 1 => Just(Node::File), 4 => text().prop_map(Node::Link)];
    let nodes = prop::collection::vec((prop::collection::vec(name(), 1..5), node), 1..24);
    let chain = prop_oneof![4 => Just(0), 1 => 38_usize..43];
    (nodes, chain, text()).prop_map(|(nodes, chain, end)| {
        let mut model = Model(BTreeMap::from([(String::new(), Node::Directory)]));
        for (path, node) in nodes {
            let (last, parents) = path.split_last().unwrap();
            let mut at = String::new();
            // What stands in a directory's place stays, and the node goes beside it.
            for parent in parents {
                let below = join(&at, parent);
                if *model.0.entry(below.clone()).or_insert(Node::Directory) == Node::Directory {
                    at = below;
                }
            }
            model.0.entry(join(&at, last)).or_insert(node);
        }
        for link in 0..chain {
            let next = if link + 1 == chain { end.clone() } else { format!("l{}", link + 1) };
            model.0.insert(format!("l{link}"), Node::Link(next));
        }
        model
    })
}

/// A path to look for: anywhere, or through what is there.
pub(crate) fn path() -> impl Strategy<Value = String> {
    prop_oneof![8 => relative(), 1 => Just("l0".to_owned()), 1 => relative().prop_map(|path| format!("l0/{path}"))]
        .prop_map(|path| format!("/{path}"))
}

/// A path of the model with one more name.
pub(crate) fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") }
}

impl Model {
    /// Makes it in an empty directory. Absolute links begin with `root`: empty, or where their root is to be.
    pub(crate) fn make(&self, directory: &Path, root: &str) {
        for (below, node) in self.0.iter().filter(|(path, _)| !path.is_empty()) {
            let path = directory.join(below);
            match node {
                Node::Directory => fs::DirBuilder::new().mode(0o755).create(path).unwrap(),
                // Each has a content of its own: where it is.
                Node::File => fs::write(path, below).unwrap(),
                Node::Link(text) if text.starts_with('/') => symlink(format!("{root}{text}"), path).unwrap(),
                Node::Link(text) => symlink(text, path).unwrap(),
            }
        }
    }

    /// Where a path leads, beneath the tree's root.
    pub(crate) fn resolve(&self, path: &str) -> Result<String, Wrong> {
        self.walk(String::new(), path, &mut 0)
    }

    /// The same from a directory on, after so many links.
    fn walk(&self, mut at: String, path: &str, links: &mut u32) -> Result<String, Wrong> {
        if path.starts_with('/') {
            at.clear();
        }
        for component in path.split('/') {
            if self.0.get(&at) != Some(&Node::Directory) {
                return Err(Wrong::NotDirectory);
            }
            match component {
                "" | "." => {}
                ".." => at.truncate(at.rfind('/').unwrap_or(0)),
                name => {
                    let next = join(&at, name);
                    match self.0.get(&next) {
                        None => return Err(Wrong::Missing),
                        Some(Node::Link(text)) => {
                            *links += 1;
                            if *links > 40 {
                                return Err(Wrong::Loop);
                            }
                            at = self.walk(at, text, links)?;
                        }
                        Some(_) => at = next,
                    }
                }
            }
        }
        Ok(at)
    }
}

/// A directory of one's own in memory, if that can be had; removed at the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("stockade-{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let memory = Path::new("/dev/shm").join(&name);
        let make = |path: &Path| fs::DirBuilder::new().mode(0o755).create(path);
        if make(&memory).is_ok() {
            return Self(memory);
        }
        let path = std::env::temp_dir().join(name);
        make(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A new, empty directory in it.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::DirBuilder::new().mode(0o755).create(&path).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
