//! A file of text, a manifest or a unit, written: whole or not at all, so that whatever happens there is one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};

use super::named_file;
use super::prepare::Result;
use crate::error::Failure;
use crate::manifest;
use crate::plan::Source;
use crate::report::diagnostic::Diagnostic;
use crate::sys::creds::is_own_or_roots;
use crate::sys::fs::random;

/// Writes a manifest.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    replace("manifest", path, text)
}

/// Writes a manifest that lines were added to, if it can still be loaded.
pub(super) fn write_edited(path: &Path, text: String) -> Result<()> {
    let source = Rc::new(Source { path: path.to_owned(), text });
    match manifest::load_text(Rc::clone(&source)) {
        Ok(_) => write(path, &source.text),
        Err(findings) => {
            let failed = Diagnostic::error("the manifest would not be right with the lines that are told");
            let failed = failed.why("nothing is written").hint("write them in yourself, each in its table");
            let mut failure = Failure::findings(findings, path);
            failure.diagnostics.insert(0, failed);
            Err(failure)
        }
    }
}

/// Most links followed, as in path_resolution(7).
const LINKS: usize = 40;

/// The file that a link of root's or of the caller's leads to is the one that is meant. That of anybody else, such as a jail that shares the
/// directory, may lead to any file of the host, and fs.protected_symlinks does not hold who reads its text (proc_sys_fs(5)).
fn meant(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let Some(link) = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_symlink) else {
            return Ok(path);
        };
        if !is_own_or_roots(link.uid()) {
            let whose = format!(
                "`{}` is a symbolic link of user {}, which is not followed",
                path.display(),
                link.uid()
            );
            return Err(io::Error::other(whose));
        }
        let directory = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        // Such a link leads to what is open, wherever its text says that is.
        if statfs(directory).is_ok_and(|found| found.filesystem_type() == PROC_SUPER_MAGIC) {
            return Ok(path);
        }
        path = directory.join(fs::read_link(&path)?);
    }
    Err(nix::errno::Errno::ELOOP.into())
}

/// Writes what is called so, whole or not at all.
pub(super) fn replace(what: &str, path: &Path, text: &str) -> Result<()> {
    put(path, text).map_err(|error| named_file::not_written(what, path, &error))
}

/// Puts a file in the place of another, which keeps its owner and mode; where that is a device or a pipe, writes to it.
fn put(path: &Path, text: &str) -> io::Result<()> {
    let path = meant(path)?;
    let there = match fs::symlink_metadata(&path) {
        Ok(there) if there.is_file() => Some(there),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Ok(_) => return fs::write(&path, text),
        Err(error) => return Err(error),
    };
    // A file that the caller must not write stays, whatever its directory would allow.
    if there.is_some() {
        OpenOptions::new().write(true).open(&path)?;
    }
    let (beside, file) = beside(&path)?;
    let written = fill(file, text, there.as_ref()).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        fs::remove_file(&beside)?;
    }
    written
}

/// A new file in the same directory, by a name that nobody can guess.
fn beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut name = std::ffi::OsString::from(".stockade-");
    name.push(format!("{:016x}", random().map_err(io::Error::from)?));
    let beside = path.with_file_name(name);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o666).open(&beside)?;
    Ok((beside, file))
}

/// Fills it, and gives it the owner and the mode of the file it replaces.
fn fill(mut file: File, text: &str, there: Option<&fs::Metadata>) -> io::Result<()> {
    if let Some(there) = there {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (there.uid(), there.gid()) {
            fchown(&file, Some(there.uid()), Some(there.gid()))?;
        }
        file.set_permissions(there.permissions())?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::error::exit;

    /// A directory of this test's own.
    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("stockade-manifest-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn another_file_takes_the_place_with_the_same_mode() {
        let place = directory("replace");
        let (file, link) = (place.join("x.toml"), place.join("link.toml"));
        write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("x.toml", &link).unwrap();
        let mut reader = File::open(&file).unwrap();
        write(&link, "new").unwrap();
        // Who has it open reads all of the old one.
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "old");
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(&place).unwrap().count(), 2, "nothing is left beside it");
        fs::remove_dir_all(place).unwrap();
    }

    /// As root: nobody else can give a link away.
    #[test]
    fn a_link_of_somebody_else_is_not_followed() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let place = directory("link");
        let (file, link, ours) = (place.join("x.toml"), place.join("theirs.toml"), place.join("ours.toml"));
        fs::write(&file, "old").unwrap();
        symlink("x.toml", &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(65534), Some(65534)).unwrap();
        symlink("theirs.toml", &ours).unwrap();
        for path in [&link, &ours] {
            let why = put(path, "new").unwrap_err().to_string();
            assert_eq!(
                why,
                format!("`{}` is a symbolic link of user 65534, which is not followed", link.display())
            );
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
        assert_eq!(fs::read_dir(&place).unwrap().count(), 3, "nothing is left beside it");
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn what_would_not_load_is_not_written() {
        let place = directory("edited");
        let file = place.join("x.toml");
        write(&file, "old").unwrap();
        let failure = write_edited(&file, "name = \"x\"\nname = \"y\"\n".to_owned()).unwrap_err();
        assert_eq!(failure.code, exit::FINDING);
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
        fs::remove_dir_all(place).unwrap();
    }
}
