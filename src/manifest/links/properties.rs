//! Whatever the tree and the path: the answer is that of the kernel, and of a model.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use proptest::prelude::*;

use super::*;
use crate::testing::{Model, Node, Scratch, Wrong, config, model, path};

/// Whether the kernel gives this answer for a path as seen under a root, as chroot(2) would; also if it has no openat2(2).
///
/// A rename anywhere on the machine meanwhile can be its reason to give up at a `..` (EAGAIN), or to begin again and go on
/// counting links (ELOOP, far from 40 of them). So it is asked until it agrees, for a minute at most: other tests rename all the time
/// while they last.
fn kernel_agrees(root: &Path, path: &str, answer: &Result<PathBuf, Errno>) -> Result<(), TestCaseError> {
    let directory = open(root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(resolve);
    let ask = || {
        let file = openat2(&directory, path, how)?;
        let at = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
        Ok(Path::new("/").join(at.strip_prefix(root).unwrap()))
    };
    let mut last = Err(Errno::EAGAIN);
    let is_answered = within_a_minute(|| {
        last = ask();
        last == *answer || !matches!(last, Err(Errno::EAGAIN | Errno::ELOOP))
    });
    let agrees = last == *answer || matches!(last, Err(Errno::ENOSYS | Errno::EPERM));
    prop_assert!(is_answered && agrees, "the kernel says of {path}: {last:?}, and not {answer:?}");
    Ok(())
}

/// Whether something comes to hold.
fn within_a_minute(mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::yield_now();
    }
}

/// The kernel's word for a failure.
fn errno(error: &Error) -> Errno {
    match error {
        Error::Relative { .. } => Errno::EINVAL,
        Error::Missing { .. } => Errno::ENOENT,
        Error::NotADirectory { .. } => Errno::ENOTDIR,
        Error::Loop { .. } => Errno::ELOOP,
        Error::TooLong { .. } => Errno::ENAMETOOLONG,
        // Only links of the host's own root, or of directories that are shared.
        Error::Distrusted { .. } => Errno::EPERM,
        Error::Unreadable { source, .. } => Errno::from_raw(source.raw_os_error().unwrap_or(0)),
    }
}

fn expected(model: &Model, path: &str) -> Result<PathBuf, Errno> {
    model.resolve(path).map(|at| Path::new("/").join(at)).map_err(|wrong| match wrong {
        Wrong::Missing => Errno::ENOENT,
        Wrong::NotDirectory => Errno::ENOTDIR,
        Wrong::Loop => Errno::ELOOP,
    })
}

/// Makes in another tree what a chain lists, with the directories above, and nothing else.
fn copy(from: &Path, chain: &[Link], to: &Path) {
    for link in chain {
        let below = link.path.strip_prefix("/").unwrap();
        fs::create_dir_all(to.join(below).parent().unwrap()).unwrap();
        match &link.kind {
            Kind::Symlink { target } => {
                assert_eq!(fs::read_link(from.join(below)).unwrap(), *target);
                std::os::unix::fs::symlink(target, to.join(below)).unwrap();
            }
            Kind::Directory => fs::create_dir_all(to.join(below)).unwrap(),
            Kind::File | Kind::Other => fs::write(to.join(below), "").unwrap(),
        }
    }
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn a_path_leads_where_the_kernel_says(model in model(), paths in prop::collection::vec(path(), 1..8)) {
        let scratch = Scratch::new("links");
        let tree = scratch.directory("tree");
        model.make(&tree, "");
        let root = Root::at(&tree);
        for path in &paths {
            let expected = expected(&model, path);
            kernel_agrees(&tree, path, &expected)?;
            let is_directory = expected.as_ref().is_ok_and(|at| tree.join(at.strip_prefix("/").unwrap()).is_dir());
            let agrees = || {
                root.is_directory(Path::new(path)) == is_directory
                    && root.open(Path::new(path)).is_ok() == expected.is_ok()
            };
            prop_assert!(within_a_minute(agrees), "{}", path);
            prop_assert_eq!(root.real(Path::new(path)).map_err(|error| errno(&error)), expected, "{}", path);
        }
    }

    #[test]
    fn what_a_chain_lists_is_enough(model in model(), path in path()) {
        let scratch = Scratch::new("chain");
        let (tree, other) = (scratch.directory("tree"), scratch.directory("other"));
        model.make(&tree, "");
        let Ok(chain) = chain(&Root::at(&tree), Path::new(&path)) else { return Ok(()) };
        let listed: HashSet<_> = chain.iter().map(|link| &link.path).collect();
        prop_assert_eq!(listed.len(), chain.len(), "each path once");
        copy(&tree, &chain, &other);
        let real = chain.last().map(|link| link.path.clone()).unwrap();
        let name = real.to_str().unwrap().trim_start_matches('/');
        prop_assert!(!matches!(model.0[name], Node::Link(_)), "the last is what the path leads to");
        prop_assert_eq!(Root::at(&other).real(Path::new(&path)).map_err(|error| errno(&error)), Ok(real.clone()));
        kernel_agrees(&other, &path, &Ok(real))?;
    }
}
