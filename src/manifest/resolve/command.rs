//! The program that will run: where it is in the jail, and that it is there.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::content::Content;
use super::draft::Draft;
use super::programs::{self, Role};
use crate::manifest::finding::Finding;
use crate::manifest::libs::Resolver;
use crate::manifest::links::Root;
use crate::manifest::schema::{Manifest, MountKind};
use crate::manifest::suggest::nearest;
use crate::plan::step::Keep;
use crate::plan::{At, JailPath, Origin};
use crate::sys::host::Host;

/// Where a bare name is looked for when the manifest's `environment` has no `PATH`, in this order.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Finds `program.command` in the tree, behind a mount or on the host, in this order. From the host it is brought along with
/// its libraries, so that a manifest need not name its program twice.
pub(super) fn place(draft: &mut Draft<'_>, libs: &mut Resolver<'_>, manifest: &Manifest) -> Option<JailPath> {
    let command = manifest.program.command.as_ref()?;
    let origin = &command.origin;
    let name = command.value.first()?;
    let candidates =
        candidates(manifest, name, origin).map_err(|finding| draft.findings.push(finding)).ok()?;
    let bare = !Path::new(name).is_absolute();

    let found = candidates.iter().find_map(|path| Some((path, locate(draft, manifest, path, bare)?)));
    let found = found.or_else(|| {
        let on_host = |path: &&PathBuf| mounted(manifest, path).is_none() && runnable(draft, path, bare);
        candidates.iter().find(on_host).map(|path| (path, Place::Host(path.clone())))
    });
    let Some((path, place)) = found else {
        let finding = not_found(draft, &candidates, name, origin);
        draft.findings.push(finding);
        return None;
    };
    match place {
        Place::Mount | Place::Given => {}
        // A copy by `files` comes without what it needs, which the program to run must have.
        Place::Copied(source) => programs::place_needs(draft, libs, &source, origin),
        Place::Host(path) => programs::place(draft, libs, &path, Role::Program, Keep::default(), origin),
    }
    JailPath::parse(path).ok()
}

/// A script given as text brings its interpreter, if it is meant to be executed.
pub(super) fn place_interpreter(
    draft: &mut Draft<'_>,
    libs: &mut Resolver<'_>,
    text: &str,
    path: &Path,
    origin: &Origin,
) {
    let Some(line) = text.strip_prefix("#!").and_then(|rest| rest.lines().next()) else { return };
    let mut words = line.split_whitespace();
    let Some(interpreter) = words.next().map(Path::new).filter(|path| path.is_absolute()) else { return };
    let origin = origin.found(format!("first line of {}, #!{}", path.display(), line.trim()));
    let mut bring = |path: &Path| {
        if draft.find(path).is_none() {
            programs::place(draft, libs, path, Role::Program, Keep::default(), &origin);
        }
    };
    bring(interpreter);
    if interpreter.file_name() == Some(OsStr::new("env"))
        && let Some(name) = words.find(|word| !word.starts_with('-') && !word.contains('='))
    {
        let in_path = DEFAULT_PATH.split(':').map(|directory| Path::new(directory).join(name));
        let found = in_path.into_iter().find(|path| runnable(draft, path, true));
        if let Some(found) = found.filter(|path| draft.find(path).is_none()) {
            programs::place(draft, libs, &found, Role::Program, Keep::default(), &origin);
        }
    }
}

/// The path of the program in a tree that was built before. For an absolute path that is what the manifest says; a bare name
/// is looked up in the tree and behind the mounts.
pub fn in_tree(manifest: &Manifest, host: &Host, tree: &Path) -> Result<JailPath, Finding> {
    let Some(command) = &manifest.program.command else {
        return Err(Finding::plain("the manifest has no program")
            .hint("write `command = [\"/path/of/program\"]` under [program]"));
    };
    let (name, origin) = (command.value.first().cloned().unwrap_or_default(), &command.origin);
    let candidates = candidates(manifest, &name, origin)?;
    let tree = Root::at(tree);
    let is_there = |path: &PathBuf| {
        let at = match mounted(manifest, path) {
            Some(source) => source.map(|source| host.path(&source)),
            None => tree.locate(path).ok(),
        };
        at.and_then(|at| at.metadata().ok()).is_some_and(|found| found.is_file() && found.mode() & 0o111 != 0)
    };
    let found = if Path::new(&name).is_absolute() {
        candidates.first()
    } else {
        candidates.iter().find(|path| is_there(path))
    };
    let found = found.ok_or_else(|| {
        Finding::error(format!("there is no program `{}` in the jail", name.display()), origin)
            .hint("add it to `programs` under [tree], or write its whole path")
    })?;
    JailPath::parse(found).map_err(|error| Finding::error(error, origin))
}

/// Where the program was found.
enum Place {
    /// Behind a mount.
    Mount,
    /// In the tree, as text.
    Given,
    /// In the tree, as a copy of this file.
    Copied(PathBuf),
    /// Only on the host.
    Host(PathBuf),
}

fn candidates(manifest: &Manifest, name: &OsString, origin: &Origin) -> Result<Vec<PathBuf>, Finding> {
    let path = Path::new(name);
    if path.is_absolute() {
        let path = JailPath::parse(path).map_err(|error| Finding::error(error, origin))?;
        return Ok(vec![path.as_path().to_owned()]);
    }
    if name.is_empty() || name.as_bytes().contains(&b'/') {
        return Err(Finding::error(
            format!("`{}` is neither an absolute path nor a name", path.display()),
            origin,
        )
        .hint("write the program's whole path, or a name without `/` to look for in PATH"));
    }
    let search = manifest.program.environment.get("PATH").map_or(DEFAULT_PATH, |At { value, .. }| value);
    Ok(search.split(':').map(Path::new).filter(|at| at.is_absolute()).map(|at| at.join(name)).collect())
}

/// The program in the tree or behind a mount.
fn locate(draft: &Draft<'_>, manifest: &Manifest, path: &Path, bare: bool) -> Option<Place> {
    if let Some(source) = mounted(manifest, path) {
        return runnable(draft, source.as_deref()?, bare).then_some(Place::Mount);
    }
    let executable = |mode: u32| !bare || mode & 0o111 != 0;
    match &draft.find(path)?.1?.content {
        Content::File { source, mode, .. } if executable(mode.0) => Some(Place::Copied(source.clone())),
        Content::Text { mode, .. } if executable(mode.0) => Some(Place::Given),
        _ => None,
    }
}

/// What a path will show when it is behind a mount: the host's path, or nothing when the mount starts out empty.
#[allow(clippy::option_option, reason = "no mount, and a mount with nothing in it, are different answers")]
fn mounted(manifest: &Manifest, path: &Path) -> Option<Option<PathBuf>> {
    // The last one that covers the path is on top.
    let mount = manifest.mounts.iter().rev().find(|mount| path.starts_with(mount.value.target.as_path()))?;
    let below = path.strip_prefix(mount.value.target.as_path()).ok()?;
    Some(match &mount.value.kind {
        // `join("")` would add a slash, which means a directory.
        MountKind::Bind { source, .. } if below.as_os_str().is_empty() => Some(source.as_path().to_owned()),
        MountKind::Bind { source, .. } => Some(source.as_path().join(below)),
        MountKind::Tmpfs { .. } | MountKind::Mqueue => None,
    })
}

/// Whether the host has a file there. A name is only found where it may be executed, as execvp(3) does; for a path the
/// missing x bit is worth its own finding.
fn runnable(draft: &Draft<'_>, path: &Path, bare: bool) -> bool {
    draft.view.follow(path).is_some_and(|at| at.is_file() && (!bare || at.mode() & 0o111 != 0))
}

fn not_found(draft: &Draft<'_>, candidates: &[PathBuf], name: &OsStr, origin: &Origin) -> Finding {
    if let [path] = candidates
        && Path::new(name).is_absolute()
    {
        return match draft.view.chain(path) {
            Err(error) => draft.view.missing(path, &error, origin),
            Ok(_) => Finding::error(format!("`{}` is not a file that can be run", path.display()), origin),
        };
    }
    let name = name.to_string_lossy();
    let directories: Vec<_> = candidates.iter().filter_map(|path| path.parent()).collect();
    let names: Vec<_> = directories.iter().flat_map(|directory| draft.view.names(directory)).collect();
    let searched: Vec<_> = directories.iter().map(|directory| directory.display().to_string()).collect();
    let finding =
        Finding::error(format!("there is no program `{name}`, neither in the tree nor on the host"), origin)
            .why(format!("looked for in {}", searched.join(":")));
    match nearest(&name, names.iter().filter_map(|name| name.to_str())) {
        Some(near) => finding.hint(format!("did you mean `{near}`?")),
        None => finding.hint("install it, or write its whole path"),
    }
}
