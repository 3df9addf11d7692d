//! Expands one path into the symbolic links met on the way and the file at its end.
//!
//! On a merged-/usr system the loader path `/lib64/ld-linux-x86-64.so.2` is a link in a directory that is itself a link.
//! Whoever copies it must place `/lib64 -> usr/lib64` as well as the file, or the program dies with "No such file or
//! directory" while the file is plainly there. [`chain`] lists these links in the order of path_resolution(7).
//!
//! Everything happens beneath a [`Root`]: an absolute link target starts again at that root and `..` stops at it, as after
//! chroot(2). So a path of a private tree never leads to a file of the host.
//! A tree that changes meanwhile gives a chain that is wrong, never one that leads out of it. Writing goes through `tree/`.

#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::{fmt, io};

use nix::errno::Errno;

pub use super::root::{Root, Suspect};

/// Links followed before the path counts as a loop: the kernel's `MAXSYMLINKS`, see path_resolution(7).
const MOST_LINKS: usize = 40;

/// Components walked before the path counts as too long. 40 links of `PATH_MAX` bytes each could name 80 000.
const MOST_STEPS: usize = 4096;

/// One thing met while walking a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where it is under the root; no parent of it is a link.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
}

/// What is found at one step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A symbolic link and its text, as readlink(2) gives it.
    Symlink {
        /// The text of the link, which may be relative.
        target: PathBuf,
    },
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A device, FIFO or socket.
    Other,
}

/// Why a path leads nowhere. `path` is what was asked for, `at` the component where the walk ended.
#[derive(Debug)]
#[expect(missing_docs, reason = "the line above says what each field holds")]
pub enum Error {
    /// The path does not begin with `/`, so it means something else in every directory.
    Relative { path: PathBuf },
    /// Nothing is there.
    Missing { path: PathBuf, at: PathBuf },
    /// A file stands where the path needs a directory.
    NotADirectory { path: PathBuf, at: PathBuf },
    /// More than 40 links.
    Loop { path: PathBuf, at: PathBuf },
    /// More components, links expanded, than any real path has.
    TooLong { path: PathBuf },
    /// A link that somebody else put there leads to what is not theirs.
    Distrusted { path: PathBuf, at: PathBuf, suspect: Suspect },
    /// The system refused.
    Unreadable { path: PathBuf, at: PathBuf, source: io::Error },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = |f: &mut fmt::Formatter<'_>, path: &Path, at: &Path, what: &str| {
            if path == at {
                write!(f, "`{}`: {what}", path.display())
            } else {
                write!(f, "`{}`: {what}: `{}`", path.display(), at.display())
            }
        };
        match self {
            Self::Relative { path } => write!(f, "`{}` is not an absolute path", path.display()),
            Self::Missing { path, at } => seen(f, path, at, "no such file or directory"),
            Self::NotADirectory { path, at } => seen(f, path, at, "not a directory"),
            Self::Loop { path, at } => {
                seen(f, path, at, "more than 40 symbolic links, probably a loop (ELOOP)")
            }
            Self::Distrusted { path, at, suspect: Suspect::User(uid) } => {
                seen(f, path, at, &format!("a symbolic link of user {uid} to what is another user's"))
            }
            Self::Distrusted { path, at, suspect: Suspect::Shared(shared) } => {
                let shared = shared.display();
                seen(
                    f,
                    path,
                    at,
                    &format!("a symbolic link that leads out of `{shared}`, where the jail can write"),
                )
            }
            Self::TooLong { path } => write!(f, "`{}` has too many components", path.display()),
            Self::Unreadable { path, at, source } => match source.raw_os_error() {
                Some(number) => seen(f, path, at, &crate::sys::describe(Errno::from_raw(number))),
                None => seen(f, path, at, &source.to_string()),
            },
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Every link met while walking `path` under `root`, in order, each once, and at the end what the path leads to.
///
/// Plain directories on the way are not listed, as they are the parents of what is. The exception is a directory left
/// again by `..`: in `/opt/app/bin/../lib/x` the kernel insists that `/opt/app/bin` exists, so it is listed.
pub fn chain(root: &Root, path: &Path) -> Result<Vec<Link>, Error> {
    if !path.is_absolute() {
        return Err(Error::Relative { path: path.to_owned() });
    }
    let mut walk = Walk { here: PathBuf::from("/"), met: Vec::new(), seen: HashSet::new() };
    let mut ahead = Vec::new(); // components still to walk, the next one last
    prepend(&mut ahead, path);
    let (mut followed, mut steps) = (0, 0);
    let mut suspects = Vec::new();

    while let Some(component) = ahead.pop() {
        steps += 1;
        if steps > MOST_STEPS {
            return Err(Error::TooLong { path: path.to_owned() });
        }
        if component == "." {
            continue;
        }
        if component == ".." {
            walk.leave();
            continue;
        }
        let at = walk.here.join(&component);
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => Error::Missing { path: path.to_owned(), at: at.clone() },
            _ => Error::Unreadable { path: path.to_owned(), at: at.clone(), source },
        };
        let found = root.look(&at).map_err(failed)?;
        let kind = found.file_type();

        if kind.is_symlink() {
            suspects.extend(root.suspect(&at, found.uid()).map(|suspect| (at.clone(), suspect)));
            followed += 1;
            if followed > MOST_LINKS {
                return Err(Error::Loop { path: path.to_owned(), at });
            }
            let target = root.text(&at).map_err(failed)?;
            prepend(&mut ahead, &target);
            if target.is_absolute() {
                walk.here = PathBuf::from("/");
            }
            walk.meet(at, Kind::Symlink { target });
        } else if kind.is_dir() {
            walk.here = at;
        } else if ahead.is_empty() {
            trusted(root, path, suspects, &at, &found)?;
            walk.meet(at, if kind.is_file() { Kind::File } else { Kind::Other });
            return Ok(walk.met);
        } else {
            return Err(Error::NotADirectory { path: path.to_owned(), at });
        }
    }
    if !suspects.is_empty() {
        let at = walk.here.clone();
        let found = root.look(&at);
        let found =
            found.map_err(|source| Error::Unreadable { path: path.to_owned(), at: at.clone(), source })?;
        trusted(root, path, suspects, &at, &found)?;
    }
    // The answer ends with where the path leads, even if that directory was listed before.
    walk.seen.remove(&walk.here);
    walk.met.retain(|link| link.path != walk.here);
    walk.meet(walk.here.clone(), Kind::Directory);
    Ok(walk.met)
}

/// Refuses a path whose suspect links lead it to what is not theirs: to `found` at `end`.
fn trusted(
    root: &Root,
    path: &Path,
    suspects: Vec<(PathBuf, Suspect)>,
    end: &Path,
    found: &Metadata,
) -> Result<(), Error> {
    let wrong = |suspect: &Suspect| match suspect {
        Suspect::User(uid) => *uid != found.uid() && !is_everybodys(root, end, found),
        Suspect::Shared(shared) => !end.starts_with(shared),
    };
    match suspects.into_iter().find(|(_, suspect)| wrong(suspect)) {
        None => Ok(()),
        Some((at, suspect)) => Err(Error::Distrusted { path: path.to_owned(), at, suspect }),
    }
}

/// Whether everybody may read a file, as its mode and those of the directories on the way say: then who chooses it gains
/// nothing. Not so for a directory: what is below may be less open.
fn is_everybodys(root: &Root, file: &Path, found: &Metadata) -> bool {
    let mut above = file.ancestors().skip(1);
    let open = |at: &Path| root.look(at).is_ok_and(|found| found.mode() & 0o001 != 0);
    found.is_file() && found.mode() & 0o004 != 0 && above.all(open)
}

struct Walk {
    /// The directory reached so far; no link in it.
    here: PathBuf,
    met: Vec<Link>,
    seen: HashSet<PathBuf>,
}

impl Walk {
    fn meet(&mut self, path: PathBuf, kind: Kind) {
        if self.seen.insert(path.clone()) {
            self.met.push(Link { path, kind });
        }
    }

    /// Goes one up; `/..` is `/`.
    fn leave(&mut self) {
        if self.here != Path::new("/") {
            self.meet(self.here.clone(), Kind::Directory);
            self.here.pop();
        }
    }
}

/// Puts the components of `path` before those still to walk. Of a path that ends with a slash a `.` stays: it must lead to a
/// directory, see path_resolution(7).
fn prepend(ahead: &mut Vec<OsString>, path: &Path) {
    let text = path.as_os_str().as_bytes();
    if text.ends_with(b"/") || text.ends_with(b"/.") {
        ahead.push(".".into());
    }
    let named = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        _ => None,
    });
    ahead.extend(named.rev().map(OsStr::to_owned));
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    /// A directory of its own for one test, removed at the end.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("stockade-links-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self, path: &str) -> &Self {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
            self
        }

        fn link(&self, path: &str, target: &str) -> &Self {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, path).unwrap();
            self
        }

        /// The chain as text: `/a -> b`, `/b (File)`.
        fn chain(&self, path: &str) -> Vec<String> {
            match chain(&Root::at(&self.0), Path::new(path)) {
                Ok(met) => met
                    .iter()
                    .map(|link| match &link.kind {
                        Kind::Symlink { target } => {
                            format!("{} -> {}", link.path.display(), target.display())
                        }
                        kind => format!("{} ({kind:?})", link.path.display()),
                    })
                    .collect(),
                Err(error) => vec![error.to_string()],
            }
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn directory_links_and_file_chains_are_listed_in_order() {
        let tree = Tree::new("order");
        tree.file("usr/lib64/libz.so.1.2.13")
            .link("lib64", "usr/lib64")
            .link("usr/lib64/libz.so.1", "libz.so.1.2.13");
        assert_eq!(
            tree.chain("/lib64/libz.so.1"),
            [
                "/lib64 -> usr/lib64",
                "/usr/lib64/libz.so.1 -> libz.so.1.2.13",
                "/usr/lib64/libz.so.1.2.13 (File)"
            ]
        );
    }

    #[test]
    fn absolute_targets_restart_at_the_root() {
        let tree = Tree::new("absolute");
        tree.file("usr/bin/mawk").link("usr/bin/awk", "/etc/alternatives/awk").link("bin", "usr/bin");
        tree.link("etc/alternatives/awk", "/usr/bin/mawk");
        assert_eq!(
            tree.chain("/bin/awk"),
            [
                "/bin -> usr/bin",
                "/usr/bin/awk -> /etc/alternatives/awk",
                "/etc/alternatives/awk -> /usr/bin/mawk",
                "/usr/bin/mawk (File)"
            ]
        );
    }

    #[test]
    fn dots_never_leave_the_root() {
        let tree = Tree::new("dots");
        tree.file("etc/passwd").link("out", "../../../../../../etc/passwd").link("up", "..");
        assert_eq!(tree.chain("/../../etc/./passwd"), ["/etc (Directory)", "/etc/passwd (File)"][1..]);
        assert_eq!(tree.chain("/out"), ["/out -> ../../../../../../etc/passwd", "/etc/passwd (File)"]);
        assert_eq!(tree.chain("/up/up/etc/passwd"), ["/up -> ..", "/etc/passwd (File)"]);
        assert_eq!(tree.chain("/"), ["/ (Directory)"]);
        assert!(
            tree.chain("/etc/hostname")[0].contains("no such file"),
            "the host's own must stay out of reach"
        );
    }

    #[test]
    fn a_directory_left_by_dots_is_needed() {
        let tree = Tree::new("left");
        tree.file("opt/app/bin/x").file("opt/app/lib/y");
        assert_eq!(
            tree.chain("/opt/app/bin/../lib/y"),
            ["/opt/app/bin (Directory)", "/opt/app/lib/y (File)"]
        );
        assert_eq!(tree.chain("/opt/app/bin/../bin/"), ["/opt/app/bin (Directory)"]);
    }

    #[test]
    fn failures_say_where() {
        let tree = Tree::new("failures");
        tree.file("file")
            .link("slash", "file/.")
            .link("a", "b")
            .link("b", "a")
            .link("dangling", "nowhere/at/all");
        let _socket = UnixListener::bind(tree.0.join("socket")).unwrap();
        assert_eq!(tree.chain("/a"), ["`/a`: more than 40 symbolic links, probably a loop (ELOOP)"]);
        assert_eq!(tree.chain("/dangling"), ["`/dangling`: no such file or directory: `/nowhere`"]);
        assert_eq!(tree.chain("/file/more"), ["`/file/more`: not a directory: `/file`"]);
        assert_eq!(tree.chain("/file/.."), ["`/file/..`: not a directory: `/file`"]);
        assert_eq!(tree.chain("/file/"), ["`/file/`: not a directory"]);
        assert_eq!(tree.chain("/slash"), ["`/slash`: not a directory: `/file`"]);
        assert_eq!(tree.chain("file"), ["`file` is not an absolute path"]);
        assert_eq!(tree.chain("/socket"), ["/socket (Other)"]);
    }

    #[test]
    fn a_link_that_anybody_may_have_put_there_does_not_lead_away() {
        let tree = Tree::new("shared");
        tree.file("etc/shadow").file("srv/data/real").link("srv/link", "data/out");
        tree.link("srv/data/out", "/etc/shadow")
            .link("srv/data/in", "../data/real")
            .link("srv/data/etc", "/etc");
        let root = Root::at(&tree.0).sharing(vec!["/srv/data".into()]);
        for (path, at) in [
            ("/srv/data/out", "/srv/data/out"),
            ("/srv/link", "/srv/data/out"),
            ("/srv/data/etc/shadow", "/srv/data/etc"),
            ("/srv/data/etc", "/srv/data/etc"),
        ] {
            let suspect = Suspect::Shared("/srv/data".into());
            let Err(Error::Distrusted { at: found, suspect: who, .. }) = chain(&root, Path::new(path)) else {
                panic!("{path} is followed");
            };
            assert_eq!((found.as_path(), who), (Path::new(at), suspect));
            assert!(chain(&Root::at(&tree.0), Path::new(path)).is_ok());
        }
        assert_eq!(root.real(Path::new("/srv/data/in")).unwrap(), Path::new("/srv/data/real"));
    }

    #[test]
    fn root_follows_a_users_link_to_what_is_that_users_only() {
        let tree = Tree::new("owners");
        tree.file("root/secret").file("bob/file").link("bob/own", "file").link("bob/roots", "../root/secret");
        tree.link("bob/directory", "../root").link("bob/home", ".").link("to-bob", "bob/roots");
        fs::set_permissions(tree.0.join("root"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .unwrap();
        tree.file("usr/python").link("bob/python", "../usr/python");
        let give = |path: &str| std::os::unix::fs::lchown(tree.0.join(path), Some(12345), None);
        if give("bob").is_err() {
            println!("SKIP: giving files away needs root");
            return;
        }
        for path in ["bob/file", "bob/own", "bob/roots", "bob/directory", "bob/home", "bob/python"] {
            give(path).unwrap();
        }
        let real = |path: &str| Root::host().real(&tree.0.join(path));
        for path in ["bob/own", "bob/home/own", "bob/home", "root/secret", "bob/python"] {
            assert!(real(path).is_ok(), "{path}");
        }
        for path in ["bob/roots", "bob/directory", "bob/directory/secret", "to-bob", "bob/home/roots"] {
            let refused = real(path);
            let of_bob = matches!(refused, Err(Error::Distrusted { suspect: Suspect::User(12345), .. }));
            assert!(of_bob, "{path}: {refused:?}");
        }
    }

    #[test]
    fn work_is_bounded() {
        let tree = Tree::new("bounded");
        fs::create_dir(tree.0.join("d")).unwrap();
        assert!(tree.chain(&"/d/..".repeat(5000))[0].contains("too many components"));
        assert!(tree.chain(&format!("/{}", "x".repeat(300)))[0].contains("name too long"));
        for number in 0..40 {
            tree.link(&format!("l{number}"), &format!("l{}", number + 1));
        }
        tree.file("l40");
        assert_eq!(tree.chain("/l0").len(), 41, "exactly 40 links are allowed, as the kernel does");
    }
}
