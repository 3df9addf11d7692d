//! Which package a file of the host belongs to, by dpkg's lists, see deb(5); dpkg itself is not run. Nothing on other hosts.

#![forbid(unsafe_code)]

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::packages::{DPKG, MOST_BYTES};
use crate::manifest::root::Root;

/// The name of the package that a host's file came with. The lists have paths as they were before the host's `/lib` became a link to
/// `/usr/lib`, so `/usr/lib/x` is looked for as `/lib/x` too.
pub fn package_of(root: &Root, path: &Path) -> Option<String> {
    let mut names = vec![path.to_owned()];
    names.extend(path.strip_prefix("/usr").ok().map(|rest| Path::new("/").join(rest)));
    let info = Path::new(DPKG).join("info");
    let mut lists: Vec<PathBuf> =
        root.names(&info, usize::MAX).ok()?.into_iter().map(PathBuf::from).collect();
    lists.retain(|list| list.extension().is_some_and(|ending| ending == "list"));
    lists.sort_unstable();
    lists.into_iter().find_map(|list| {
        let text = root.read(&info.join(&list), MOST_BYTES).ok()?;
        let mut lines = text.split(|byte| *byte == b'\n');
        let has = lines.any(|line| names.iter().any(|name| name.as_os_str().as_bytes() == line));
        // `libc6:amd64.list`
        let name = list.file_stem()?.to_str()?;
        has.then(|| name.split(':').next().unwrap_or(name).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_found_under_the_name_it_had_before() {
        let place = std::env::temp_dir().join(format!("stockade-owner-{}", std::process::id()));
        let info = place.join("var/lib/dpkg/info");
        fs::create_dir_all(&info).unwrap();
        fs::write(info.join("liba:amd64.list"), "/.\n/lib\n/lib/liba.so.1\n").unwrap();
        fs::write(info.join("b.list"), "/usr/bin/b\n/usr/bin/bb\n").unwrap();
        fs::write(info.join("b.md5sums"), "/usr/bin/c\n").unwrap();
        let root = Root::at(&place);
        let package = |path: &str| package_of(&root, Path::new(path));
        assert_eq!(package("/usr/lib/liba.so.1").as_deref(), Some("liba"));
        assert_eq!(package("/usr/bin/b").as_deref(), Some("b"));
        assert_eq!(package("/usr/bin/c"), None);
        fs::remove_dir_all(place).unwrap();
        assert_eq!(package_of(&Root::at(Path::new("/nowhere")), Path::new("/usr/bin/b")), None);
    }
}
