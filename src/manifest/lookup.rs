//! From what a user types to a manifest's file, and from the file to its text.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::unistd::geteuid;

use super::finding::Finding;
use super::suggest;
use super::text::Locator;
use crate::plan::{Origin, Source};
use crate::sys::creds::is_own_or_roots;
use crate::sys::shortage_of;

/// No manifest is longer; what is longer was named by mistake.
const LONGEST: u64 = 1 << 20;

/// What identifies a file whatever path leads to it: device and inode.
pub(super) type FileId = (u64, u64);

/// Where manifests are looked up by name, in this order: the project's, the user's, the host's.
pub fn directories() -> Vec<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    let mut all = vec![PathBuf::from("jails")];
    all.extend(user.map(|config| config.join("stockade")));
    all.push("/etc/stockade".into());
    all
}

/// Every manifest that can be named, in the order of [`directories`]; a name hidden by an earlier directory is there too.
pub fn all() -> Vec<PathBuf> {
    directories().iter().flat_map(|directory| manifests(directory)).collect()
}

/// The manifests in one directory, sorted; none when it cannot be read.
fn manifests(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some(OsStr::new("toml")) && path.is_file())
        .collect();
    paths.sort_unstable();
    paths
}

/// The file meant by an argument: a path when it has a `/` or ends in `.toml`, else a name to look up.
pub fn find(jail: &OsStr) -> Result<PathBuf, Finding> {
    let text = jail.to_string_lossy();
    if text.is_empty() {
        return Err(Finding::plain("no jail is named").hint("write a manifest's path or name"));
    }
    if text.contains('/') || Path::new(jail).extension() == Some(OsStr::new("toml")) {
        return Ok(PathBuf::from(jail));
    }
    let mut file = OsString::from(jail);
    file.push(".toml");
    let directories = directories();
    // Anything there counts, also what cannot be read: reading it will say why.
    let mut found = directories
        .iter()
        .map(|directory| directory.join(&file))
        .filter(|path| path.symlink_metadata().is_ok());
    let first = found.next().ok_or_else(|| not_found(&text, &directories))?;
    match (stranger(&first), found.next()) {
        (Some((place, owner)), Some(hidden)) => Err(hides(&first, &hidden, &place, owner)),
        _ => Ok(first),
    }
}

/// Who has put a manifest where it was found, if that is neither root nor the caller, nor who has become root by sudo(8): the directory
/// or the file that is theirs.
fn stranger(path: &Path) -> Option<(PathBuf, u32)> {
    let sudoer = || std::env::var("SUDO_UID").ok().filter(|_| geteuid().is_root())?.parse().ok();
    let is_known = |owner| is_own_or_roots(owner) || Some(owner) == sudoer();
    let owners = |place: &Path| {
        [place.symlink_metadata(), place.metadata()].map(|found| found.ok().map(|found| found.uid()))
    };
    [path.parent()?, path].into_iter().find_map(|place| {
        let owner = owners(place).into_iter().flatten().find(|owner| !is_known(*owner))?;
        Some((place.to_owned(), owner))
    })
}

/// The error for a name by which the caller may have meant one manifest and would get another, from somebody else: as with a program that lies
/// in the current directory.
fn hides(first: &Path, hidden: &Path, place: &Path, owner: u32) -> Finding {
    let (first, hidden, place) = (first.display(), hidden.display(), place.display());
    Finding::plain(format!("`{first}` hides `{hidden}`, and is not yours"))
        .why(format!("`{place}` belongs to user {owner}"))
        .hint(format!("name the one that is meant by its path: `./{first}` or `{hidden}`"))
}

/// The error for a name that is nowhere, with the name that was perhaps meant.
fn not_found(name: &str, directories: &[PathBuf]) -> Finding {
    let names: Vec<String> = all()
        .iter()
        .filter_map(|path| path.file_stem())
        .map(|stem| stem.to_string_lossy().into_owned())
        .collect();
    let places: Vec<String> = directories.iter().map(|directory| directory.display().to_string()).collect();
    let finding = Finding::plain(format!("no jail is named `{name}`"))
        .why(format!("`{name}.toml` is in none of {}", suggest::listed(places.iter().map(String::as_str))));
    match suggest::nearest(name, names.iter().map(String::as_str)) {
        Some(near) => finding.hint(format!("did you mean `{near}`?")),
        None if Path::new(name).exists() => {
            finding.hint(format!("for the file in this directory write `./{name}`"))
        }
        None => finding.hint("a path has a `/` or ends in `.toml`"),
    }
}

/// The text of a manifest, with the file's identity. `asked` is the line that includes it, if one does.
pub(super) fn read(path: &Path, asked: Option<&Origin>) -> Result<(Rc<Source>, FileId), Finding> {
    let shown = path.display();
    let error = |message: String| Finding { origin: asked.cloned(), ..Finding::plain(message) };
    let (bytes, metadata) =
        read_bytes(path, asked.is_some()).map_err(|cause| match (cause.kind(), path.extension()) {
            (io::ErrorKind::NotFound, _) => {
                let finding = error(format!("there is no manifest `{shown}`"));
                match (asked, near(path)) {
                    (_, Some(near)) => finding.hint(format!("did you mean `{near}`?")),
                    (Some(_), None) => finding.hint("an include is relative to the file it is written in"),
                    (None, None) => finding,
                }
            }
            (io::ErrorKind::IsADirectory, _) => error(format!("`{shown}` is a directory"))
                .hint("name a manifest in it, such as `jails/web.toml`"),
            _ => Finding {
                hint: shortage_of(&cause).map(str::to_owned),
                ..error(format!("cannot read `{shown}`")).why(cause.to_string())
            },
        })?;
    if bytes.len() as u64 > LONGEST {
        return Err(error(format!("`{shown}` is larger than 1 MiB")).hint("a manifest is a small text file"));
    }
    let text = String::from_utf8(bytes).map_err(|bad| {
        let at = bad.utf8_error().valid_up_to();
        let byte = bad.as_bytes()[at];
        // Up to the bad byte the offsets of the repaired text are those of the file.
        let text = String::from_utf8_lossy(bad.as_bytes()).into_owned();
        let source = Rc::new(Source { path: path.to_owned(), text });
        let place = Locator::new(&source).origin(&(at..at + 1));
        Finding::error(format!("byte 0x{byte:02x} is not UTF-8"), &place).hint("save the file as UTF-8")
    })?;
    Ok((Rc::new(Source { path: path.to_owned(), text }), (metadata.dev(), metadata.ino())))
}

/// The first bytes of a file, one more than is allowed.
fn read_bytes(path: &Path, included: bool) -> io::Result<(Vec<u8>, Metadata)> {
    // What another manifest names is looked at first: opening a device can already do something (arm a watchdog, rewind a tape).
    // Only the caller's own word may be a pipe.
    if included {
        let kind = std::fs::metadata(path)?.file_type();
        if !kind.is_file() && !kind.is_dir() {
            return Err(io::Error::other("it is a device, a FIFO or a socket"));
        }
    }
    // A FIFO that was named by mistake is not waited for.
    let file = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::with_capacity(metadata.len().min(LONGEST) as usize + 1);
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    Ok((bytes, metadata))
}

/// The manifest beside a path that was perhaps meant.
fn near(path: &Path) -> Option<String> {
    let directory = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let names: Vec<String> = manifests(directory)
        .iter()
        .filter_map(|path| path.file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let written = path.file_name()?.to_string_lossy().into_owned();
    suggest::nearest(&written, names.iter().map(String::as_str)).map(str::to_owned)
}
