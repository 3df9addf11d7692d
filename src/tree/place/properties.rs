//! Whatever the steps: each is done where it says or not at all, and nothing outside the tree is touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileTypeExt as _;

use nix::fcntl::open;
use proptest::prelude::*;
use walkdir::WalkDir;

use super::*;
use crate::plan::Phase;
use crate::plan::step::DEVICES;
use crate::testing::{Scratch, config};

/// What is at a path of the tree as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    Directory,
    File,
    Link,
    /// An ordinary user's: an empty file.
    Device,
}

/// Paths of few names, so that they meet.
fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..5).prop_map(|names| names.join("/"))
}

fn action() -> impl Strategy<Value = Action> {
    let at = || path().prop_map(|path| JailPath::parse(format!("/{path}")).unwrap());
    let owner = Owner::default();
    let texts = vec!["a", "..", "../..", "../../../outside", "../outside", "/", "/dev/shm", ".", "b/c"];
    prop_oneof![
        4 => at().prop_map(move |path| Action::MakeDirectory { path, mode: Mode(0o755), owner }),
        3 => (at(), prop::sample::select(texts))
            .prop_map(move |(path, text)| Action::MakeSymlink { text: text.into(), path, owner }),
        2 => at().prop_map(move |path| Action::WriteFile { path, content: b"x".to_vec(), mode: Mode(0o4644), owner }),
        1 => (at(), at()).prop_map(|(existing, path)| Action::MakeHardLink { existing, path }),
        1 => at().prop_map(|path| Action::MakeDevice { path, device: DEVICES[0] }),
        1 => at().prop_map(move |path| Action::CopyFile {
            source: HostPath::parse("/etc/passwd").unwrap(),
            path,
            mode: Mode(0o644),
            owner,
            keep: Keep::default(),
        }),
    ]
}

/// What a step makes at which path, if the tree is as the model has it.
fn expected(model: &BTreeMap<String, Made>, action: &Action) -> Option<(String, Made)> {
    let (path, made) = match action {
        Action::MakeDirectory { path, .. } => (path, Made::Directory),
        Action::MakeSymlink { path, .. } => (path, Made::Link),
        Action::MakeHardLink { existing, path } => {
            let existing = existing.relative().to_str().unwrap();
            (model.get(existing) == Some(&Made::File)).then_some(())?;
            (path, Made::File)
        }
        Action::CopyFile { path, .. } | Action::WriteFile { path, .. } => (path, Made::File),
        Action::MakeDevice { path, .. } => (path, Made::Device),
        other => unreachable!("{other:?}"),
    };
    let path = path.relative().to_str().unwrap();
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let fits = model.get(parent) == Some(&Made::Directory) && !model.contains_key(path);
    fits.then(|| (path.to_owned(), made))
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn a_step_is_done_where_it_says_or_not_at_all(actions in prop::collection::vec(action(), 1..30)) {
        let scratch = Scratch::new("place");
        let (root, outside) = (scratch.directory("tree"), scratch.directory("outside"));
        let descriptor = open(&root, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Bits::empty()).unwrap();
        let held = HeldSignals::hold().unwrap();
        let mut tree = Tree::new(descriptor, Ownership::Recorded, TimeSpec::new(1, 0), &held, None, None);
        let mut model = BTreeMap::from([(String::new(), Made::Directory)]);
        for (index, action) in actions.into_iter().enumerate() {
            let expected = expected(&model, &action);
            let step = Step { action, phase: Phase::Build, origin: Origin::Default("a test") };
            let done = tree.apply(index, &step);
            prop_assert_eq!(done.is_ok(), expected.is_some(), "{:?}: {:?}", step.action, done);
            model.extend(expected);
        }
        let recorded = tree.finish().unwrap().entries;
        prop_assert_eq!(recorded.len(), model.len());

        let mut found = BTreeMap::new();
        for made in model.values_mut().filter(|made| **made == Made::Device) {
            *made = Made::File;
        }
        for entry in WalkDir::new(&root).follow_links(false) {
            let entry = entry.unwrap();
            let kind = entry.file_type();
            prop_assert!(!kind.is_char_device(), "a device in an ordinary user's tree");
            let made = match (kind.is_dir(), kind.is_symlink()) {
                (true, _) => Made::Directory,
                (_, true) => Made::Link,
                _ => Made::File,
            };
            let below = entry.path().strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            found.insert(below, made);
        }
        prop_assert_eq!(found, model);
        prop_assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        let beside = fs::read_dir(scratch.path()).unwrap().count();
        prop_assert_eq!(beside, 2, "something was made beside the tree");
    }
}
