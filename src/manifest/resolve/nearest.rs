//! The nearest existing path, for a hint after a typing error.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::manifest::suggest::nearest;

/// An existing path that may have been meant: the missing component's nearest sibling, with the rest of the path behind it if
/// that is there too. `exists` and `list` look below the host's root.
pub(super) fn nearest_path(
    wanted: &Path,
    exists: impl Fn(&Path) -> bool,
    list: impl Fn(&Path) -> Vec<OsString>,
) -> Option<PathBuf> {
    let mut missing = wanted;
    while let Some(parent) = missing.parent().filter(|parent| !exists(parent)) {
        missing = parent;
    }
    let (parent, name) = (missing.parent()?, missing.file_name()?.to_str()?);
    let names = list(parent);
    let sibling = nearest(name, names.iter().filter_map(|name| name.to_str()))?;
    let found = parent.join(sibling);
    // `join("")` would add a slash.
    let rest = wanted.strip_prefix(missing).ok().filter(|rest| !rest.as_os_str().is_empty());
    let whole = rest.map(|rest| found.join(rest)).filter(|whole| exists(whole));
    Some(whole.unwrap_or(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_keeps_what_follows_the_error() {
        let there = ["/", "/etc", "/etc/nginx", "/etc/nginx/nginx.conf"];
        let exists = |path: &Path| there.iter().any(|known| Path::new(known) == path);
        let list = |path: &Path| {
            let below = there.iter().map(Path::new).filter(|known| known.parent() == Some(path));
            below.filter_map(|known| known.file_name()).map(OsString::from).collect()
        };
        let found = |path: &str| nearest_path(Path::new(path), exists, list);
        assert_eq!(found("/etc/nignx/nginx.conf"), Some("/etc/nginx/nginx.conf".into()));
        assert_eq!(found("/etc/nignx/other"), Some("/etc/nginx".into()));
        assert_eq!(found("/var/lib"), None);
    }
}
