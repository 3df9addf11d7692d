//! The directory that plays `/` for whoever reads: the host's own, or a tree elsewhere.
//!
//! Under the host's own root the kernel looks paths up as for any process. A tree elsewhere may be one that a jailed root
//! writes to at this very moment, so nothing in it is looked up by a path of the host's: every lookup is one openat2(2)
//! from a descriptor of the tree's root, which no link and no `..` leaves, however fast they are swapped. Nothing but a
//! regular file is ever opened for reading, and no opening waits.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat, openat2, readlinkat};
use nix::sys::stat::Mode;
use nix::unistd::geteuid;

use super::links::{Error, chain};
use crate::sys::fs::reopen;

/// How often a lookup is begun again that a rename elsewhere has disturbed (EAGAIN in openat2(2)): at once, and then after a pause,
/// as somebody may rename all the time.
const ATTEMPTS: usize = 64;
const PAUSES: usize = 256;
const PAUSE: Duration = Duration::from_millis(1);

/// The directory that plays `/`: the host's own, or a tree being prepared.
#[derive(Clone, Debug)]
pub struct Root {
    /// The directory, unless it is the host's own root.
    opened: Option<Rc<Result<OwnedFd, Errno>>>,
    /// Directories in which anybody may have put links.
    shared: Rc<[PathBuf]>,
}

/// Whose link it is that is not followed everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Suspect {
    /// This user's, where root is to follow it: only to what is that user's too, or a file that everybody may read.
    User(u32),
    /// Anybody's who can write below this directory: only to what is below it too.
    Shared(PathBuf),
}

/// What was found where a regular file is wanted.
#[derive(Debug)]
pub enum Opened {
    /// The file, open for reading.
    File(File, Metadata),
    /// A directory, device, FIFO or socket, which was not opened.
    Other(Metadata),
}

impl Root {
    /// The root of this process.
    pub fn host() -> Self {
        Self { opened: None, shared: Rc::default() }
    }

    /// A tree elsewhere on the host, such as an unpacked image. One that cannot be opened says so at each lookup.
    pub fn at(directory: impl AsRef<Path>) -> Self {
        let directory = directory.as_ref();
        if directory == Path::new("/") {
            return Self::host();
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let opened = Some(Rc::new(open(directory, flags, Mode::empty())));
        Self { opened, shared: Rc::default() }
    }

    /// The same root, where links in these directories (real paths) may be anybody's.
    #[must_use]
    pub fn sharing(self, directories: Vec<PathBuf>) -> Self {
        Self { shared: directories.into(), ..self }
    }

    /// Whether the link at a real path, of this owner, is one that is not followed everywhere. As the kernel does for
    /// `/tmp` (proc_sys_fs(5), `protected_symlinks`) and Apache by `SymLinksIfOwnerMatch`: whoever can put a link
    /// somewhere could choose which of root's files the jail is given.
    pub(super) fn suspect(&self, link: &Path, owner: u32) -> Option<Suspect> {
        if let Some(shared) = self.shared.iter().find(|shared| link.starts_with(shared)) {
            return Some(Suspect::Shared(shared.clone()));
        }
        (owner != 0 && self.is_host() && geteuid().is_root()).then_some(Suspect::User(owner))
    }

    /// Whether this is the host's own root.
    pub fn is_host(&self) -> bool {
        self.opened.is_none()
    }

    /// `path` as seen under the root, without any link in it: what `/proc/self/exe` would show.
    pub fn real(&self, path: &Path) -> Result<PathBuf, Error> {
        let met = chain(self, path)?;
        Ok(met.into_iter().next_back().map_or_else(|| PathBuf::from("/"), |last| last.path))
    }

    /// What `path` leads to, every link followed.
    pub fn metadata(&self, path: &Path) -> Result<Metadata, Error> {
        let at = self.real(path)?;
        self.look(&at).map_err(|source| Error::Unreadable { path: path.to_owned(), at, source })
    }

    /// What is at a path whose directories are no links; a link is not followed.
    pub(super) fn look(&self, real: &Path) -> io::Result<Metadata> {
        match &self.opened {
            None => fs::symlink_metadata(real),
            Some(_) => File::from(self.beneath(real)?).metadata(),
        }
    }

    /// The text of the link at a path whose directories are no links.
    pub(super) fn text(&self, real: &Path) -> io::Result<PathBuf> {
        match &self.opened {
            None => fs::read_link(real),
            Some(_) => Ok(readlinkat(self.beneath(real)?, "")?.into()),
        }
    }

    /// Opens what `path` leads to, if it is a regular file: looked at before it is opened, since opening a device can
    /// already do something (rewind a tape, arm a watchdog) and opening a FIFO lets its other end go on.
    pub fn open(&self, path: &Path) -> io::Result<Opened> {
        let found = File::from(self.follow(path, OFlag::O_PATH)?);
        let metadata = found.metadata()?;
        if !metadata.is_file() {
            return Ok(Opened::Other(metadata));
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        match reopen(&found, flags) {
            Ok(file) => Ok(Opened::File(file.into(), metadata)),
            // Without /proc it is looked up once more, and may be another by now.
            Err(Errno::ENOENT) => {
                let file = File::from(self.follow(path, flags)?);
                let metadata = file.metadata()?;
                Ok(if metadata.is_file() { Opened::File(file, metadata) } else { Opened::Other(metadata) })
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// The whole of a regular file of at most so many bytes.
    pub fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let Opened::File(file, metadata) = self.open(path)? else {
            return Err(io::Error::other("not a regular file"));
        };
        let mut bytes = Vec::with_capacity(metadata.len().min(most) as usize);
        if file.take(most.saturating_add(1)).read_to_end(&mut bytes)? as u64 > most {
            return Err(io::Error::other(format!("larger than {most} bytes")));
        }
        Ok(bytes)
    }

    /// The names in the directory that `path` leads to, at most so many of them.
    pub fn names(&self, path: &Path, most: usize) -> io::Result<Vec<OsString>> {
        let mut listing = Dir::from_fd(self.follow(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?)?;
        let names = listing.iter().filter_map(|entry| {
            let entry = match entry {
                Ok(entry) => entry,
                Err(errno) => return Some(Err(errno.into())),
            };
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            (name != "." && name != "..").then(|| Ok(name.to_owned()))
        });
        names.take(most).collect()
    }

    /// Whether `path` leads to a directory.
    pub(super) fn is_directory(&self, path: &Path) -> bool {
        self.follow(path, OFlag::O_PATH | OFlag::O_DIRECTORY).is_ok()
    }

    /// Opens what `path` leads to, every link followed beneath the root.
    fn follow(&self, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlag::O_CLOEXEC;
        let Some(root) = self.root()? else { return openat(AT_FDCWD, path, flags, Mode::empty()) };
        let how = OpenHow::new()
            .flags(flags)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let mut found = openat2(root, path, how);
        for attempt in 1..ATTEMPTS + PAUSES {
            if !matches!(found, Err(Errno::EAGAIN)) {
                break;
            }
            if attempt >= ATTEMPTS {
                std::thread::sleep(PAUSE);
            }
            found = openat2(root, path, how);
        }
        found
    }

    /// Opens (`O_PATH`) what is at a path without links, itself perhaps one.
    fn beneath(&self, real: &Path) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let Some(root) = self.root()? else { return openat(AT_FDCWD, real, flags, Mode::empty()) };
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
        let path = real.strip_prefix("/").unwrap_or(real);
        let path = if path == Path::new("") { Path::new(".") } else { path };
        openat2(root, path, OpenHow::new().flags(flags).resolve(resolve))
    }

    /// The descriptor everything is looked up from; none for the host's own root.
    fn root(&self) -> Result<Option<&OwnedFd>, Errno> {
        match self.opened.as_deref() {
            None => Ok(None),
            Some(opened) => opened.as_ref().map(Some).map_err(|errno| *errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A directory with a tree in it and a secret beside it, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("stockade-root-{name}-{}", std::process::id()));
            fs::create_dir_all(path.join("tree/d")).unwrap();
            fs::create_dir(path.join("outside")).unwrap();
            fs::write(path.join("outside/file"), "a secret").unwrap();
            fs::write(path.join("tree/d/file"), "public").unwrap();
            Self(path)
        }

        fn root(&self) -> Root {
            Root::at(self.0.join("tree"))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    /// The content of a file, as every way of reading it tells.
    fn content(root: &Root, path: &str) -> Result<String, String> {
        let path = Path::new(path);
        let text = root.read(path, 100).map_err(|error| error.to_string())?;
        assert!(root.metadata(path).unwrap().is_file());
        Ok(String::from_utf8(text).unwrap())
    }

    #[test]
    fn a_path_leads_where_it_leads_after_chroot() {
        let scratch = Scratch::new("chroot");
        let root = scratch.root();
        let outside = scratch.0.join("outside");
        for (name, text) in [
            ("absolute", outside.join("file")),
            ("up", PathBuf::from("../outside/file")),
            ("far", PathBuf::from("../../../../../../../../etc/passwd")),
            ("magic", PathBuf::from("/proc/self/root/etc/passwd")),
        ] {
            symlink(text, scratch.0.join("tree").join(name)).unwrap();
            assert_eq!(
                content(&root, &format!("/{name}")).unwrap_err(),
                "No such file or directory (os error 2)"
            );
        }
        symlink("/d/../../d/file", scratch.0.join("tree/inside")).unwrap();
        assert_eq!(content(&root, "/inside"), Ok("public".into()));
        assert_eq!(content(&root, "/../../d/file"), Ok("public".into()));
        assert_eq!(root.names(Path::new("/d/../../d"), 9).unwrap(), ["file"]);
        assert!(root.names(Path::new("/"), 1).unwrap().len() == 1);
        assert!(root.is_directory(Path::new("/d")) && !root.is_directory(Path::new("/inside")));
        assert!(Root::at(scratch.0.join("nothing")).metadata(Path::new("/")).is_err());
        assert!(Root::at("/").is_host() && !root.is_host());
    }

    #[test]
    fn only_regular_files_are_opened_and_only_so_far() {
        let scratch = Scratch::new("regular");
        let root = scratch.root();
        let tree = scratch.0.join("tree");
        nix::unistd::mkfifo(&tree.join("fifo"), Mode::S_IRWXU).unwrap();
        let _socket = UnixListener::bind(tree.join("socket")).unwrap();
        for other in ["/fifo", "/socket", "/d"] {
            assert!(matches!(root.open(Path::new(other)).unwrap(), Opened::Other(_)), "{other}");
            assert!(root.read(Path::new(other), 9).is_err());
        }
        assert!(matches!(Root::host().open(Path::new("/dev/null")).unwrap(), Opened::Other(_)));
        File::create(tree.join("huge")).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(root.read(Path::new("/huge"), 9).unwrap_err().to_string(), "larger than 9 bytes");
        assert_eq!(root.read(Path::new("/d/file"), 6).unwrap(), b"public");
    }

    #[test]
    fn a_directory_swapped_for_a_link_in_a_loop_never_leads_outside() {
        let scratch = Scratch::new("swap");
        let tree = scratch.0.join("tree");
        symlink(scratch.0.join("outside"), tree.join("link")).unwrap();
        let parent = File::open(&tree).unwrap();
        let done = AtomicBool::new(false);
        let (mut inside, mut nowhere) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    crate::sys::fs::rename(&parent, c"d", &parent, c"link", nix::libc::RENAME_EXCHANGE)
                        .unwrap();
                }
            });
            let root = scratch.root();
            let path = Path::new("/d/file");
            let began = std::time::Instant::now();
            // Until both have been seen, which takes a moment on one processor.
            while (inside == 0 || nowhere == 0 || inside + nowhere < 2000) && began.elapsed().as_secs() < 60 {
                match root.read(path, 100) {
                    Ok(text) => {
                        assert_eq!(text, b"public");
                        inside += 1;
                    }
                    Err(_) => nowhere += 1,
                }
                if let Ok(found) = root.metadata(path) {
                    assert_eq!(found.len(), 6);
                }
                match root.real(path) {
                    Ok(real) => assert_eq!(real, path),
                    Err(error) => assert!(!error.to_string().contains("secret")),
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(inside > 0 && nowhere > 0, "{inside} inside, {nowhere} nowhere: nothing was raced");
    }
}
