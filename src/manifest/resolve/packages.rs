//! `packages`: every file of a distribution package that a running program may want.
//!
//! dpkg's lists are read from `/var/lib/dpkg`, see deb(5) and dpkg-divert(1); dpkg itself is not run. The database of rpm has
//! no such plain form, so on a host with rpm `rpm -ql NAME` is run: the one program that resolving starts.
//!
//! Left out are the files that only people read, and translations ([`UNREAD`]); who wants them lists them under `files`.
//! Configuration files belong to the package and come along. A package comes alone, without those it depends on, but with the
//! libraries that its programs and plugins need, with the interpreters of its scripts in directories for programs, and with
//! the programs of other packages that its links there lead to.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::content::{Attributes, Content};
use super::draft::{Claim, Draft};
use super::notes::Notes;
use super::programs;
use super::view::View;
use crate::manifest::finding::Finding;
use crate::manifest::libs::Resolver;
use crate::manifest::root::{Opened, Root};
use crate::manifest::suggest::nearest;
use crate::plan::{At, Origin};

/// Documentation, and what translates messages.
const UNREAD: [&str; 8] = [
    "/usr/share/bug",
    "/usr/share/doc",
    "/usr/share/doc-base",
    "/usr/share/info",
    "/usr/share/lintian",
    "/usr/share/locale",
    "/usr/share/man",
    "/usr/share/help",
];
/// Directories whose scripts are run by people and programs, and not by the host's start-up.
const PROGRAMS: [&str; 8] = [
    "/bin",
    "/sbin",
    "/usr/bin",
    "/usr/sbin",
    "/usr/games",
    "/usr/libexec",
    "/usr/local/bin",
    "/usr/local/sbin",
];
/// Where dpkg(1) keeps its lists.
pub(super) const DPKG: &str = "/var/lib/dpkg";

/// Where rpm(8) is.
pub(super) const RPM: &str = "/usr/bin/rpm";

/// Longest list of a package's files that is read: linux-headers has 2 MiB.
pub(super) const MOST_BYTES: u64 = 64 << 20;

/// Places what a package brings.
pub(super) fn place(draft: &mut Draft<'_>, libs: &mut Resolver<'_>, package: &At<String>) {
    let At { value: name, origin } = package;
    let paths = match paths(&draft.view, name, origin) {
        Ok(paths) => paths,
        Err(finding) => return draft.findings.push(*finding),
    };
    let mut notes = Notes::default();
    let origin = origin.found(format!("package {name}"));
    let wanted =
        |path: &PathBuf| !UNREAD.iter().any(|unread| path.starts_with(unread)) && path != Path::new("/");
    let mut runnable = Vec::new();
    for path in paths.into_iter().filter(wanted) {
        place_one(draft, &mut notes, &mut runnable, &path, &origin);
    }
    for path in runnable {
        if draft.view.metadata(&path).is_ok_and(|at| at.is_symlink()) {
            programs::place_linked(draft, libs, &path, &origin);
        } else {
            programs::place_needs(draft, libs, &path, &origin);
        }
    }
    notes.report(&format!("package `{name}`"), &package.origin, &mut draft.findings);
}

fn place_one(
    draft: &mut Draft<'_>,
    notes: &mut Notes,
    runnable: &mut Vec<PathBuf>,
    path: &Path,
    origin: &Origin,
) {
    // The list says /bin/ls where the host has it in /usr/bin.
    let there =
        draft.view.in_real_directory(path).and_then(|real| Some((draft.view.metadata(&real).ok()?, real)));
    let Some((metadata, real)) = there else { return notes.gone.push(path.to_owned()) };
    let attributes = Attributes::default();
    if metadata.is_dir() {
        let (mode, owner) = attributes.directory(&metadata);
        draft.place_directory(path, mode, owner, Claim::Along, origin);
    } else if metadata.is_symlink() {
        if let Ok(text) = draft.view.link_text(&real) {
            // A directory of the list may be a link on this host, on the way to what follows.
            let content = Content::Symlink { text, owner: attributes.owner(&metadata) };
            draft.place(path, content, Claim::Along, origin);
        }
        if is_in_programs(&real) && draft.view.follow(&real).is_some_and(|at| at.is_file()) {
            runnable.push(real);
        }
    } else if metadata.is_file() {
        if !notes.admit(&real, &metadata) {
            return;
        }
        if !draft.view.host.can_read(&draft.view.outside(&real)) {
            return notes.unreadable(&real);
        }
        let placed = draft.place(path, attributes.file(real.clone(), &metadata), Claim::Along, origin);
        if placed.is_some() && needs_more(&draft.view.root, &real) {
            runnable.push(real);
        }
    } else {
        notes.special(&real);
    }
}

/// Whether a file needs others to run.
fn needs_more(root: &Root, path: &Path) -> bool {
    let mut start = [0; 4];
    let Ok(Opened::File(mut file, metadata)) = root.open(path) else { return false };
    let is_shared = || {
        let name = path.file_name().unwrap_or_default().as_bytes();
        name.ends_with(b".so") || name.windows(4).any(|part| part == b".so.")
    };
    let is_executable = || metadata.mode() & 0o111 != 0;
    file.read_exact(&mut start).is_ok()
        && match &start {
            b"\x7fELF" => is_shared() || is_executable(),
            [b'#', b'!', ..] => is_executable() && is_in_programs(path),
            _ => false,
        }
}

fn is_in_programs(path: &Path) -> bool {
    path.parent().is_some_and(|parent| PROGRAMS.iter().any(|at| parent == Path::new(at)))
}

/// The paths of a package, as its maker gave them.
fn paths(view: &View<'_>, name: &str, origin: &Origin) -> Result<Vec<PathBuf>, Box<Finding>> {
    if view.exists(&Path::new(DPKG).join("info")) {
        dpkg(view, name, origin)
    } else if view.root.is_host() && view.exists(Path::new(RPM)) {
        rpm(name, origin)
    } else {
        let message = format!("`{name}` cannot be looked up: neither dpkg nor rpm is installed on this host");
        Err(Box::new(Finding::error(message, origin).hint("list what you need under `programs` and `files`")))
    }
}

fn dpkg(view: &View<'_>, name: &str, origin: &Origin) -> Result<Vec<PathBuf>, Box<Finding>> {
    let info = Path::new(DPKG).join("info");
    let of = |file: &str| file.strip_suffix(".list").map(str::to_owned);
    let installed: Vec<String> = view.names(&info).iter().filter_map(|file| of(file.to_str()?)).collect();
    let bare = |entry: &String| entry.split(':').next().is_some_and(|bare| bare == name);
    let exact = installed.iter().find(|entry| *entry == name);
    let of_any_machine: Vec<_> = installed.iter().filter(|entry| bare(entry)).collect();
    let entry = match (exact, of_any_machine.as_slice()) {
        (Some(entry), _) => entry,
        (None, [entry]) => *entry,
        (None, []) => {
            let finding =
                Finding::error(format!("the package `{name}` is not installed on the host"), origin)
                    .why(format!("`{}` has no `{name}.list`", info.display()));
            let known = installed.iter().filter_map(|entry| entry.split(':').next());
            return Err(Box::new(match nearest(name, known) {
                Some(near) => finding.hint(format!("did you mean `{near}`?")),
                None => finding.hint(format!("install it: `apt install {name}`")),
            }));
        }
        (None, several) => {
            let names: Vec<_> = several.iter().map(|entry| format!("`{entry}`")).collect();
            return Err(Box::new(
                Finding::error(format!("the package `{name}` is installed for several machines"), origin)
                    .hint(format!("write one of {}", names.join(", "))),
            ));
        }
    };
    let unreadable = |error: &dyn std::fmt::Display| {
        Box::new(
            Finding::error(format!("the list of the package `{name}` cannot be read"), origin)
                .why(error.to_string()),
        )
    };
    let read = |path: &Path| view.root.read(path, MOST_BYTES);
    let list = read(&info.join(format!("{entry}.list"))).map_err(|error| unreadable(&error))?;
    let diverted = read(&Path::new(DPKG).join("diversions")).unwrap_or_default();
    Ok(listed(&list, &diverted, entry.split(':').next().unwrap_or_default()))
}

/// The paths in a package's list, as it and dpkg's list of diversions have them.
pub fn listed(list: &[u8], diverted: &[u8], package: &str) -> Vec<PathBuf> {
    let diverted = diversions(diverted, package);
    absolute_lines(list)
        .map(|path| path.components().collect::<PathBuf>())
        .map(|path| diverted.get(&path).cloned().unwrap_or(path))
        .collect()
}

/// The lines that are absolute paths.
fn absolute_lines(text: &[u8]) -> impl Iterator<Item = PathBuf> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"/"));
    lines.map(|line| PathBuf::from(OsStr::from_bytes(line)))
}

/// Where other packages, or the administrator, have moved files of this one: lines of three, from, to and by whom (`:` for the
/// administrator). The jail gets the file under the name it has on the host.
fn diversions(text: &[u8], package: &str) -> HashMap<PathBuf, PathBuf> {
    let lines: Vec<_> = text.split(|byte| *byte == b'\n').collect();
    let path = |line: &[u8]| PathBuf::from(OsStr::from_bytes(line));
    let others = lines.chunks_exact(3).filter(|entry| entry[2] != package.as_bytes());
    others.map(|entry| (path(entry[0]), path(entry[1]))).collect()
}

fn rpm(name: &str, origin: &Origin) -> Result<Vec<PathBuf>, Box<Finding>> {
    let failed = |why: String| {
        Box::new(
            Finding::error(format!("the package `{name}` is not installed on the host"), origin)
                .why(format!("`rpm -ql {name}`: {why}"))
                .hint("install it, or list what you need under `programs` and `files`"),
        )
    };
    // No shell; `--` keeps a name from being an option.
    let output = Command::new(RPM)
        .args(["-ql", "--", name])
        .env_clear()
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stdout).trim().to_owned()));
    }
    Ok(absolute_lines(&output.stdout).collect())
}
