//! Paths as they are typed, made the ones that are meant.

use std::path::{Component, Path, PathBuf};

use super::files::SYSTEM;
use super::{Facts, Refused};

/// A path in the jail: without `.`, and as with bubblewrap below the root whether it says so or not.
pub(super) fn place(path: &str) -> Result<PathBuf, Refused> {
    let mut clean = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                return Err((
                    format!("the path `{path}` in the jail contains `..`"),
                    "write it without".into(),
                ));
            }
            _ => {}
        }
    }
    Ok(clean)
}

/// A path of the host as an absolute one without dots; what is `..` is taken back by the text of the path.
pub(super) fn absolute(path: &Path, facts: &Facts<'_>) -> String {
    let mut clean = PathBuf::from("/");
    for component in facts.current.join(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => _ = clean.pop(),
            _ => {}
        }
    }
    clean.to_string_lossy().into_owned()
}

/// Whether a directory can be somebody's home in the jail: some accounts of a system have one where programs are, or where the kernel
/// shows what it has, and an empty one there would hide that.
pub(super) fn can_be_home(path: &Path) -> bool {
    let first = path.components().nth(1).map(Component::as_os_str);
    let taken = SYSTEM.into_iter().chain(["boot", "dev", "etc", "proc", "run", "sys"]);
    path.is_absolute() && first.is_some_and(|first| !taken.into_iter().any(|taken| first == taken))
}
