//! Whatever the tree, its owners and modes: a walk ends where the kernel's does, and only over what nobody else can change; or it
//! says why not.

use std::collections::HashSet;
use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};

use nix::fcntl::open;
use proptest::prelude::*;

use super::*;
use crate::testing::{Model, Node, Scratch, config, model, path};

/// Somebody who is neither root nor, most likely, the caller.
const OTHER: u32 = 12345;

/// The directory at the end of a path, by the kernel alone. It counts links again when a rename elsewhere disturbs it, so it is
/// asked until it agrees, and a hundred times at most.
fn kernel(path: &Path, ours: Result<(u64, u64), Errno>) -> Result<(u64, u64), Errno> {
    let ask = || id(&open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?);
    let agrees = |answer: &Result<_, _>| *answer == ours;
    std::iter::repeat_with(ask).take(100).find(agrees).unwrap_or_else(ask)
}

fn id(file: &OwnedFd) -> Result<(u64, u64), Errno> {
    fstat(file).map(|stat| (stat.st_dev, stat.st_ino))
}

/// Gives away what of the tree is marked, if that can be done. What was given away.
fn give_away(model: &Model, base: &Path, marks: &[bool]) -> HashSet<PathBuf> {
    let marked =
        model.0.keys().zip(marks.iter().cycle()).filter(|(path, marked)| **marked && !path.is_empty());
    let paths = marked.map(|(path, _)| base.join(path));
    paths.filter(|path| lchown(path, Some(OTHER), Some(OTHER)).is_ok()).collect()
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn a_walk_ends_where_the_kernels_does_or_is_refused(
        model in model(),
        paths in prop::collection::vec(path(), 1..6),
        marks in prop::collection::vec(prop::bool::weighted(0.05), 8),
        modes in prop::collection::vec(
            prop_oneof![9 => Just(0o755), 2 => Just(0o700), 2 => Just(0o1777), 1 => Just(0o775)],
            8,
        ),
    ) {
        let scratch = Scratch::new("trust");
        let base = scratch.directory("tree");
        model.make(&base, base.to_str().unwrap());
        for ((below, node), mode) in model.0.iter().zip(modes.iter().cycle()) {
            if *node == Node::Directory && !below.is_empty() {
                fs::set_permissions(base.join(below), fs::Permissions::from_mode(*mode)).unwrap();
            }
        }
        let given = give_away(&model, &base, &marks);
        for path in &paths {
            let path = base.join(path.trim_start_matches('/'));
            // Nothing is made: `..` leads out of the scratch directory.
            let (ours, at) = match find_store(&path) {
                Ok(None) => (Err(Errno::ENOENT), None),
                Ok(Some(store)) => {
                    let at = fs::read_link(format!("/proc/self/fd/{}", store.0.as_raw_fd())).unwrap();
                    prop_assert_eq!(&store.1, &at);
                    (id(&store.0), Some(at))
                }
                Err(Distrust { fault: Fault::NotDirectory, .. }) => (Err(Errno::ENOTDIR), None),
                Err(Distrust { fault: Fault::Call(_, errno), .. }) => (Err(errno), None),
                Err(Distrust { path: at, fault: Fault::Link(owner) | Fault::Owner(owner) }) => {
                    prop_assert!(owner == OTHER && given.contains(&at), "{:?}", at);
                    continue;
                }
                Err(Distrust { path: at, fault }) => {
                    let writable = fs::symlink_metadata(&at).unwrap().mode() & 0o022 != 0;
                    prop_assert!(matches!(fault, Fault::Writable(_)) && writable, "{:?}: {:?}", at, fault);
                    continue;
                }
            };
            prop_assert_eq!(kernel(&path, ours), ours, "{:?}", path);
            for (above, directory) in at.iter().flat_map(|at| at.ancestors().enumerate()) {
                let metadata = fs::symlink_metadata(directory).unwrap();
                prop_assert!(is_own_or_roots(metadata.uid()), "{:?}", directory);
                let sticky = metadata.mode() & 0o1000 != 0 && above > 0;
                prop_assert!(metadata.mode() & 0o022 == 0 || sticky, "{:?}", directory);
            }
        }
    }
}
