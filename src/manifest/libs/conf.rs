//! Reads the text files that name library directories: ld.so.conf(5), where there is no cache made from it, and the search
//! path of musl's loader.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::super::links::Root;
use super::file;

const MOST_BYTES: u64 = 65536;
/// Files read in all; Debian with every library package has about twenty.
const MOST_FILES: usize = 256;
/// Directories kept; each is searched for each library.
const MOST_DIRECTORIES: usize = 1024;

/// The directories of `/etc/ld.so.conf`, includes followed.
pub(super) fn ld_so_conf(root: &Root) -> Vec<PathBuf> {
    let mut reading = Reading { root, seen: HashSet::new(), found: Vec::new() };
    reading.file(Path::new("/etc/ld.so.conf"));
    reading.found
}

/// The search path of a musl loader: `/etc/ld-musl-ARCH.path` beside the loader's `/lib`, or the built-in one.
/// The second value is the file, if there is one.
pub(super) fn musl_path(root: &Root, loader: &Path) -> (Vec<PathBuf>, Option<PathBuf>) {
    let file_name = loader.file_name().unwrap_or_default().as_bytes();
    let architecture =
        file_name.strip_prefix(b"ld-musl-").and_then(|rest| rest.split(|byte| *byte == b'.').next());
    let prefix = loader.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    let name = [b"ld-musl-", architecture.unwrap_or_default(), b".path"].concat();
    let path = prefix.join("etc").join(OsStr::from_bytes(&name));
    match file::read(root, &path, MOST_BYTES) {
        Ok(text) => (split(&text).take(MOST_DIRECTORIES).collect(), Some(path)),
        Err(_) => (split(b"/lib:/usr/local/lib:/usr/lib").collect(), None),
    }
}

/// A path list separated by colons or line ends. A relative entry means the directory the program happens to be started in: nothing a
/// tree could provide.
fn split(text: &[u8]) -> impl Iterator<Item = PathBuf> {
    let parts = text.split(|byte| matches!(byte, b':' | b'\n' | 0));
    parts.filter(|part| part.starts_with(b"/")).map(|part| PathBuf::from(OsStr::from_bytes(part)))
}

struct Reading<'a> {
    root: &'a Root,
    /// Files read; one that includes itself is read once.
    seen: HashSet<PathBuf>,
    found: Vec<PathBuf>,
}

impl Reading<'_> {
    fn file(&mut self, path: &Path) {
        if self.seen.len() >= MOST_FILES || !self.seen.insert(path.to_owned()) {
            return;
        }
        // ldconfig(8) passes over files it cannot read.
        let Ok(text) = file::read(self.root, path, MOST_BYTES) else { return };
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
            let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            match words.next() {
                None | Some(b"hwcap") => {}
                Some(b"include") => words.for_each(|pattern| self.include(path, pattern)),
                // Directories are separated by spaces, tabs, colons or commas; `DIRECTORY=TYPE` is an old form.
                Some(_) => {
                    for part in line.split(|byte| matches!(byte, b' ' | b'\t' | b':' | b',')) {
                        let part = part.split(|byte| *byte == b'=').next().unwrap_or_default();
                        let directory = PathBuf::from(OsStr::from_bytes(part));
                        let room = self.found.len() < MOST_DIRECTORIES;
                        if directory.is_absolute() && room && !self.found.contains(&directory) {
                            self.found.push(directory);
                        }
                    }
                }
            }
        }
    }

    /// Reads what a pattern names, in the order of names; `*` and `?` may stand in the last component.
    fn include(&mut self, by: &Path, pattern: &[u8]) {
        let pattern = by.parent().unwrap_or(Path::new("/")).join(OsStr::from_bytes(pattern));
        let (Some(directory), Some(name)) = (pattern.parent(), pattern.file_name()) else { return };
        if !name.as_bytes().iter().any(|byte| matches!(byte, b'*' | b'?')) {
            return self.file(&pattern);
        }
        let Ok(mut names) = self.root.names(directory, MOST_FILES * 4) else { return };
        names.retain(|found| {
            !found.as_bytes().starts_with(b".") && matches(name.as_bytes(), found.as_bytes())
        });
        names.sort_unstable();
        for found in names {
            self.file(&directory.join(found));
        }
    }
}

/// glob(7) with `*` and `?` only. On a mismatch it returns to the last star, so the work is at most the product of lengths.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    (p, t) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_list_is_of_absolute_directories() {
        let found: Vec<_> = split(b"/lib::lib:./x\n/usr/lib\n").collect();
        assert_eq!(found, [Path::new("/lib"), Path::new("/usr/lib")]);
    }

    #[test]
    fn patterns() {
        for (pattern, text) in
            [("*.conf", "a.conf"), ("*", ""), ("a?c*", "abc"), ("*a*b", "xaxbb"), ("x", "x")]
        {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in [("*.conf", "a.conf~"), ("?", ""), ("a?c", "ac"), ("*a*b", "xaxbc"), ("", "x")]
        {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        let stars = "*a".repeat(100);
        assert!(!matches(format!("{stars}b").as_bytes(), "a".repeat(4000).as_bytes()), "and soon");
    }
}
