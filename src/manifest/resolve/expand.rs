//! Finds the host's files that match a pattern.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::glob::{Glob, Position, is_pattern};
use super::view::View;

/// Directories below each other before a pattern gives up; links to a directory above make endless ones.
const MOST_DEPTH: u32 = 64;

/// A path of `files`, taken apart.
#[derive(Debug)]
pub(super) struct Pattern {
    /// The components before the first with a `*`, `?`, `[` or `{`: everything that matches is below.
    pub(super) base: PathBuf,
    glob: Glob,
}

/// What a path of `files` is.
pub(super) fn pattern(view: &View<'_>, path: &Path) -> Result<Option<Pattern>, String> {
    // A path that exists as it is written is meant as it is written: `/srv/a[1]` needs no backslash.
    if !is_pattern(path.as_os_str().as_bytes())
        || view.in_real_directory(path).is_some_and(|at| view.metadata(&at).is_ok())
    {
        return Ok(None);
    }
    let plain = |name: &&OsStr| !is_pattern(name.as_bytes());
    let base: PathBuf = path.iter().take_while(plain).collect();
    let rest = path.strip_prefix(&base).unwrap_or(path);
    Ok(Some(Pattern { glob: Glob::parse(rest.as_os_str().as_bytes())?, base }))
}

impl Pattern {
    /// Every path below `base` that matches, relative to it and in order. Below a directory that matches nothing is looked for,
    /// as it is taken whole.
    pub(super) fn matches(&self, view: &View<'_>) -> Vec<PathBuf> {
        let mut found = Vec::new();
        if let Ok(base) = view.root.real(&self.base) {
            self.search(view, &base, Path::new(""), &self.glob.start(), MOST_DEPTH, &mut found);
        }
        found
    }

    fn search(
        &self,
        view: &View<'_>,
        at: &Path,
        below: &Path,
        from: &Position,
        depth: u32,
        found: &mut Vec<PathBuf>,
    ) {
        for name in view.names(at) {
            let mut position = from.clone();
            self.glob.advance(&mut position, name.as_bytes());
            if !Glob::is_alive(&position) {
                continue;
            }
            if self.glob.is_match(&position) {
                found.push(below.join(&name));
                continue;
            }
            self.glob.advance(&mut position, b"/");
            if !Glob::is_alive(&position) || depth == 0 {
                continue;
            }
            let path = at.join(&name);
            // As in bash, `**` does not go through links, while a name or `*` does.
            let is_link = view.metadata(&path).is_ok_and(|at| at.is_symlink());
            if is_link && self.glob.is_deep(&position) {
                continue;
            }
            let Ok(real) = (if is_link { view.root.real(&path) } else { Ok(path) }) else { continue };
            if view.metadata(&real).is_ok_and(|at| at.is_dir()) {
                self.search(view, &real, &below.join(&name), &position, depth - 1, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Scene;
    use super::*;
    use crate::manifest::schema::Manifest;

    #[test]
    fn patterns_find_what_a_shell_finds() {
        let scene = Scene::new("expand");
        scene
            .file("etc/a.conf", "")
            .file("etc/.b.conf", "")
            .file("etc/conf.d/x/c.conf", "")
            .file("usr/lib/x.so", "");
        scene.file("etc/odd[1]", "").link("lib", "usr/lib").link("etc/conf.d/up", "..");
        let view = View::new(&scene.host, &Manifest::default());
        let found = |path: &str| {
            let pattern = pattern(&view, Path::new(path)).unwrap();
            pattern.map(|pattern| {
                pattern.matches(&view).iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
            })
        };
        assert_eq!(found("/etc/*.conf").unwrap(), ["a.conf"]);
        assert_eq!(found("/etc/**/*.conf").unwrap(), ["a.conf", "conf.d/x/c.conf"]);
        assert_eq!(found("/li*/*.so").unwrap(), ["lib/x.so"], "a link to a directory is entered");
        assert_eq!(found("/{etc/conf.d,usr}/{x,lib}").unwrap(), ["etc/conf.d/x", "usr/lib"]);
        assert_eq!(found("/etc/z*").unwrap(), [""; 0]);
        assert_eq!(found("/etc/odd[1]"), None, "it exists as written");
        assert_eq!(found("/etc/a.conf"), None);
        assert!(pattern(&view, Path::new("/etc/[a")).unwrap_err().contains('['));
    }
}
