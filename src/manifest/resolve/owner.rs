//! Which package a file belongs to, by dpkg's lists, see deb(5); dpkg itself is not run. On a host with rpm instead, rpm(8) is asked.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::packages::{DPKG, MOST_BYTES, RPM};
use crate::manifest::root::Root;

/// The name of the package that a file came with.
pub fn package_of(root: &Root, path: &Path) -> Option<String> {
    let by_list = packages_of(root, [path]).into_values().next();
    by_list.or_else(|| if has_rpm(root) { by_rpm(Path::new(RPM), path) } else { None })
}

/// Whether it is the host, and rpm has its packages: a host of dpkg's may have rpm too, with an empty database.
fn has_rpm(root: &Root) -> bool {
    root.is_host() && Path::new(RPM).exists() && !Path::new(DPKG).join("info").exists()
}

/// What rpm says: one line for each package that has the file; of several the first. No shell; `--` keeps a name from being an option.
fn by_rpm(program: &Path, path: &Path) -> Option<String> {
    let mut rpm = Command::new(program);
    rpm.args(["-qf", "--queryformat", "%{NAME}\\n", "--"]).arg(path).env_clear().env("LC_ALL", "C");
    let output = rpm.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()?.lines().next().map(str::to_owned)
}

/// The same of many files, in one look through the lists. These have paths as they were before the host's `/lib` became a link to
/// `/usr/lib`, so `/usr/lib/x` is looked for as `/lib/x` too. What several packages brought is the first one's.
pub fn packages_of<'a>(root: &Root, paths: impl IntoIterator<Item = &'a Path>) -> BTreeMap<&'a Path, String> {
    let mut wanted: HashMap<Vec<u8>, &Path> = HashMap::new();
    for path in paths {
        wanted.insert(path.as_os_str().as_bytes().to_owned(), path);
        if let Ok(rest) = path.strip_prefix("/usr") {
            wanted.insert(Path::new("/").join(rest).into_os_string().into_vec(), path);
        }
    }
    let info = Path::new(DPKG).join("info");
    let names = root.names(&info, usize::MAX).unwrap_or_default();
    let mut lists: Vec<PathBuf> = names.into_iter().map(PathBuf::from).collect();
    lists.retain(|list| list.extension().is_some_and(|ending| ending == "list"));
    lists.sort_unstable();
    let mut found = BTreeMap::new();
    for list in lists {
        let Ok(text) = root.read(&info.join(&list), MOST_BYTES) else { continue };
        // `libc6:amd64.list`
        let Some(name) = list.file_stem().and_then(OsStr::to_str) else { continue };
        let name = name.split(':').next().unwrap_or(name);
        for path in text.split(|byte| *byte == b'\n').filter_map(|line| wanted.get(line)) {
            found.entry(*path).or_insert_with(|| name.to_owned());
        }
    }
    found
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

    #[test]
    fn rpm_is_asked_for_the_name_alone() {
        let ask = |program: &str| by_rpm(Path::new(program), Path::new("/usr/bin/b"));
        assert_eq!(ask("/bin/echo").as_deref(), Some("-qf --queryformat %{NAME}\\n -- /usr/bin/b"));
        for without in ["/bin/false", "/bin/true", "/nowhere/rpm"] {
            assert_eq!(ask(without), None, "{without}");
        }
    }
}
