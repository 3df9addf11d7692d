//! The directories a loader looks in for one object's libraries, in order: ld.so(8), and `load_library()` of musl.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::loader::Loader;

/// Directories of all search paths of one object; the rest is ignored. Packages of Nix have a few hundred.
const MOST_PLACES: usize = 8192;

/// Why a directory is searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `DT_RPATH` of this file.
    Rpath(PathBuf),
    /// `DT_RUNPATH` of this file.
    Runpath(PathBuf),
    /// `/etc/ld.so.cache`.
    Cache,
    /// `/etc/ld.so.conf`, as there is no cache.
    Conf,
    /// Built into the loader, or for musl named in its `.path` file.
    System,
    /// The name is a path itself.
    Name,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rpath(by) => write!(f, "RPATH of {}", by.display()),
            Self::Runpath(by) => write!(f, "RUNPATH of {}", by.display()),
            Self::Cache => f.write_str(super::cache::PATH),
            Self::Conf => f.write_str("/etc/ld.so.conf"),
            Self::System => f.write_str("the loader's own list"),
            Self::Name => f.write_str("named by path"),
        }
    }
}

/// One stage of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Directory(PathBuf, Source),
    /// Here the cache is asked.
    Cache,
}

/// What one loaded object has to say about the search.
#[derive(Clone, Copy)]
pub(super) struct Voice<'a> {
    pub path: &'a Path,
    /// What `$ORIGIN` stands for.
    pub origin: &'a Path,
    pub rpath: Option<&'a OsStr>,
    pub runpath: Option<&'a OsStr>,
    pub no_default_libs: bool,
}

/// Places for the libraries of the first of `chain`; the others are who loaded it, who loaded that, up to the program.
pub(super) fn places(chain: &[Voice], loader: &Loader, platform: Option<&str>) -> Vec<Place> {
    let Some(object) = chain.first() else { return Vec::new() };
    let mut found = Vec::new();
    let mut add = |voice: &Voice, list: &OsStr, source: Source| {
        // An empty or relative entry means the directory the program happens to be started in: nothing a tree could provide.
        let parts = list.as_bytes().split(|byte| *byte == b':');
        let expanded =
            parts.map(|part| PathBuf::from(expand(OsStr::from_bytes(part), voice.origin, loader, platform)));
        let absolute = expanded.filter(|directory| directory.is_absolute());
        let room = MOST_PLACES.saturating_sub(found.len());
        found.extend(absolute.take(room).map(|directory| Place::Directory(directory, source.clone())));
    };
    if loader.is_musl() {
        // musl makes no difference between the two, and inherits both.
        for voice in chain {
            let source = voice.rpath.map(|_| Source::Rpath(voice.path.to_owned()));
            let source = source.unwrap_or_else(|| Source::Runpath(voice.path.to_owned()));
            if let Some(list) = voice.runpath.or(voice.rpath) {
                add(voice, list, source);
            }
        }
    } else {
        // RPATH of the object and of all above it, unless the object itself has a RUNPATH; then the cache.
        let inherited = if object.runpath.is_none() { chain } else { &[] };
        for voice in inherited {
            if let Some(list) = voice.rpath {
                add(voice, list, Source::Rpath(voice.path.to_owned()));
            }
        }
        if let Some(list) = object.runpath {
            add(object, list, Source::Runpath(object.path.to_owned()));
        }
        found.push(Place::Cache);
    }
    if loader.is_musl() || !object.no_default_libs {
        found.extend(
            loader.system.iter().map(|directory| Place::Directory(directory.clone(), Source::System)),
        );
    }
    found
}

/// Replaces `$ORIGIN`, `$LIB` and `$PLATFORM`, with or without braces; ld.so(8), "Dynamic string tokens".
/// musl knows only the first.
pub(super) fn expand(text: &OsStr, origin: &Path, loader: &Loader, platform: Option<&str>) -> OsString {
    let lib = (!loader.is_musl()).then_some(loader.lib.as_os_str());
    let platform = platform.filter(|_| !loader.is_musl()).map(OsStr::new);
    let tokens: [(&[u8], _); 3] =
        [(b"ORIGIN", Some(origin.as_os_str())), (b"LIB", lib), (b"PLATFORM", platform)];

    let mut done = Vec::new();
    let mut rest = text.as_bytes();
    while let Some(dollar) = rest.iter().position(|byte| *byte == b'$') {
        done.extend_from_slice(rest.get(..dollar).unwrap_or_default());
        rest = rest.get(dollar..).unwrap_or_default();
        let after = rest.get(1..).unwrap_or_default();
        let replaced = tokens.iter().find_map(|(token, value)| {
            let plain = after.strip_prefix(*token);
            let plain = plain.filter(|rest| {
                !rest.first().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            });
            let braced = || after.strip_prefix(b"{")?.strip_prefix(*token)?.strip_prefix(b"}");
            Some((plain.or_else(braced)?, (*value)?))
        });
        if let Some((behind, value)) = replaced {
            done.extend_from_slice(value.as_bytes());
            rest = behind;
        } else {
            done.push(b'$');
            rest = after;
        }
    }
    done.extend_from_slice(rest);
    OsString::from_vec(done)
}

#[cfg(test)]
mod tests {
    use super::super::loader::Family;
    use super::*;

    fn glibc() -> Loader {
        let system = vec![PathBuf::from("/lib64")];
        Loader { path: "/lib64/ld.so".into(), family: Family::Glibc, system, lib: "lib64".into() }
    }

    fn musl() -> Loader {
        Loader { family: Family::Musl { configured: None }, ..glibc() }
    }

    fn voice(
        path: &'static str,
        rpath: Option<&'static str>,
        runpath: Option<&'static str>,
    ) -> Voice<'static> {
        let origin = Path::new(path).parent().unwrap();
        let [rpath, runpath] = [rpath, runpath].map(|list| list.map(OsStr::new));
        Voice { path: Path::new(path), origin, rpath, runpath, no_default_libs: false }
    }

    fn listed(chain: &[Voice<'_>], loader: &Loader) -> Vec<String> {
        let text = |place| match place {
            Place::Directory(path, source) => format!("{}: {source}", path.display()),
            Place::Cache => "cache".to_owned(),
        };
        places(chain, loader, Some("x86_64")).into_iter().map(text).collect()
    }

    #[test]
    fn tokens_are_expanded_as_the_loader_does() {
        let expand = |text: &str, loader: Loader| {
            expand(text.as_ref(), Path::new("/opt/bin"), &loader, Some("x86_64")).into_string().unwrap()
        };
        assert_eq!(expand("$ORIGIN/../$LIB:${PLATFORM}", glibc()), "/opt/bin/../lib64:x86_64");
        assert_eq!(expand("${ORIGIN}x$ORIGINx$$ORIGIN$", glibc()), "/opt/binx$ORIGINx$/opt/bin$");
        assert_eq!(expand("${ORIGIN $LIBRARY ${LIB}", glibc()), "${ORIGIN $LIBRARY lib64");
        assert_eq!(expand("$ORIGIN/$LIB", musl()), "/opt/bin/$LIB");
    }

    #[test]
    fn rpath_is_inherited_and_runpath_is_not() {
        let (lib, program) = (voice("/l/a.so", None, None), voice("/p/p", Some("$ORIGIN/r:rel::"), None));
        assert_eq!(
            listed(&[lib, program], &glibc()),
            ["/p/r: RPATH of /p/p", "cache", "/lib64: the loader's own list"]
        );
        let program = voice("/p/p", None, Some("/run"));
        assert_eq!(listed(&[lib, program], &glibc()), ["cache", "/lib64: the loader's own list"]);
        assert_eq!(listed(&[program], &glibc())[0], "/run: RUNPATH of /p/p");
        // musl inherits both, and has no cache.
        assert_eq!(
            listed(&[lib, program], &musl()),
            ["/run: RUNPATH of /p/p", "/lib64: the loader's own list"]
        );
    }

    #[test]
    fn runpath_of_the_object_switches_inherited_rpath_off() {
        let (lib, program) = (voice("/l/a.so", None, Some("/run")), voice("/p/p", Some("/r"), None));
        assert_eq!(listed(&[lib, program], &glibc())[0], "/run: RUNPATH of /l/a.so");
        assert!(!listed(&[lib, program], &glibc()).contains(&"/r: RPATH of /p/p".to_owned()));
    }

    #[test]
    fn nodeflib_leaves_out_the_system_directories() {
        let program = Voice { no_default_libs: true, ..voice("/p/p", Some("/r"), None) };
        assert_eq!(listed(&[program], &glibc()), ["/r: RPATH of /p/p", "cache"]);
    }
}
