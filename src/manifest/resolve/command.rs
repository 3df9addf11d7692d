//! The program that will run: where it is in the jail, and that it is there.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::base;
use super::content::Content;
use super::draft::{Claim, Draft};
use super::expand;
use super::programs::{self, Role};
use super::view::View;
use crate::manifest::finding::{Finding, Severity};
use crate::manifest::libs::{self, Machine, Resolver};
use crate::manifest::links::Root;
use crate::manifest::schema::{Manifest, Mount, Text};
use crate::manifest::suggest::nearest;
use crate::plan::step::Keep;
use crate::plan::{At, HostPath, JailPath, Origin};
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
    if manifest.root.is_in_memory() {
        let found = candidates.iter().find(|path| is_in_memory(draft, manifest, path, bare));
        return found.and_then(|path| JailPath::parse(path).ok());
    }

    let found = candidates.iter().find_map(|path| Some((path, locate(draft, manifest, path, bare)?)));
    let found = found.or_else(|| {
        let on_host = |path: &&PathBuf| mounted(manifest, path).is_none() && runnable(draft, path, bare);
        candidates.iter().find(on_host).map(|path| (path, Place::Host(path.clone())))
    });
    let Some((path, place)) = found else {
        // What an entry that failed would have brought has been missed once already.
        if !candidates.iter().any(|path| failed_to_bring(draft, manifest, path)) {
            let finding = not_found(draft, manifest, &candidates, name, origin);
            draft.findings.push(finding);
        }
        return None;
    };
    match place {
        Place::Mount | Place::Given => {}
        Place::Base => base::warn_of_needs(draft, path, origin),
        // A copy by `files` comes without what it needs, which the program to run must have.
        Place::Copied(source) => programs::place_needs(draft, libs, &source, origin),
        Place::Host(path) => programs::place(draft, libs, &path, Role::Program, Keep::default(), origin),
    }
    JailPath::parse(path).ok()
}

/// Whether a tree in memory, to which nothing is copied, has a program there: behind a mount, or as text.
fn is_in_memory(draft: &Draft<'_>, manifest: &Manifest, path: &Path, bare: bool) -> bool {
    let real = draft.beyond(path);
    match mounted(manifest, &real) {
        Some((_, source)) => source.is_some_and(|source| runnable(draft, &source, bare)),
        None => matches!(locate(draft, manifest, &real, bare), Some(Place::Given)),
    }
}

/// Why a tree in memory has no program to run: what [`place`] says without a word.
pub fn absent(manifest: &Manifest, host: &Host) -> Finding {
    let Some(command) = &manifest.program.command else { return no_program() };
    let (name, origin) = (command.value.first().cloned().unwrap_or_default(), &command.origin);
    let candidates = match candidates(manifest, &name, origin) {
        Ok(candidates) => candidates,
        Err(finding) => return finding,
    };
    let view = View::new(host, manifest);
    let searched: Vec<_> = candidates.iter().map(|path| format!("`{}`", path.display())).collect();
    let finding = Finding::error(format!("there is no program `{}` in the jail", name.display()), origin)
        .why(format!("looked for at {}", searched.join(", ")));
    match candidates.iter().find(|path| view.follow(path).is_some_and(|found| found.is_file())) {
        Some(path) => finding.hint(format!(
            "the host has `{}`: show it by a mount, as `--ro-bind` does, with the libraries it needs",
            path.display()
        )),
        None => finding.hint("install it, or correct its name"),
    }
}

/// A manifest that does not say what to run.
fn no_program() -> Finding {
    Finding::plain("the manifest has no program")
        .hint("write `command = [\"/path/of/program\"]` under [program]")
}

/// A script given as text brings its interpreter, if it is meant to be executed.
pub(super) fn place_interpreter(
    draft: &mut Draft<'_>,
    libs: &mut Resolver<'_>,
    manifest: &Manifest,
    At { value: Text { path, content, .. }, origin }: &At<Text>,
) {
    let Some(line) = content.strip_prefix("#!").and_then(|rest| rest.lines().next()) else { return };
    let mut words = line.split_whitespace();
    let Some(interpreter) = words.next().map(Path::new).filter(|path| path.is_absolute()) else { return };
    let origin = origin.found(format!("first line of {}, #!{}", path, line.trim()));
    let mut bring = |path: &Path| match draft.find(path).map(|(_, node)| node.map(|node| &node.content)) {
        // A copy by `files` comes without what it needs; what the base has does not.
        Some(Some(Content::File { source, .. })) if !base::has(draft, path) => {
            let source = source.clone();
            programs::place_needs(draft, libs, &source, &origin);
        }
        Some(_) => {}
        None if mounted(manifest, path).is_some() => {}
        None => programs::place(draft, libs, path, Role::Program, Keep::default(), &origin),
    };
    bring(interpreter);
    if interpreter.file_name() == Some(OsStr::new("env"))
        && let Some(name) = words.find(|word| !word.starts_with('-') && !word.contains('='))
    {
        let in_path: Vec<_> =
            DEFAULT_PATH.split(':').map(|directory| Path::new(directory).join(name)).collect();
        if in_path.iter().any(|path| base::has(draft, path)) {
            return;
        }
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
        return Err(no_program());
    };
    let (name, origin) = (command.value.first().cloned().unwrap_or_default(), &command.origin);
    let candidates = candidates(manifest, &name, origin)?;
    if let (true, Some(path)) = (Path::new(&name).is_absolute(), candidates.first()) {
        return JailPath::parse(path).map_err(|error| Finding::error(error, origin));
    }
    let (tree, outside) = (Root::at(tree), Root::at(&host.root));
    let is_there = |path: &PathBuf| {
        let found = match mounted(manifest, path) {
            Some((_, source)) => source.and_then(|source| outside.metadata(&source).ok()),
            None => tree.metadata(path).ok(),
        };
        found.is_some_and(|found| found.is_file() && found.mode() & 0o111 != 0)
    };
    let found = candidates.iter().find(|path| is_there(path)).ok_or_else(|| {
        let searched: Vec<_> = candidates.iter().map(|path| format!("`{}`", path.display())).collect();
        Finding::error(format!("there is no program `{}` in the jail", name.display()), origin)
            .why(format!("looked for at {}", searched.join(", ")))
            .hint("build it again with `stockade build`, which finds it or says what is wrong")
    })?;
    JailPath::parse(found).map_err(|error| Finding::error(error, origin))
}

/// The first program of a manifest that neither the host has nor the manifest brings by other means: what it is about is not installed.
pub fn not_installed(manifest: &Manifest, host: &Host) -> Option<PathBuf> {
    let view = View::new(host, manifest);
    if let Some(base) = &manifest.tree.base {
        let path = base.value.path.as_path();
        // What is in it is for a build to say.
        return view.follow(path).is_none().then(|| path.to_owned());
    }
    let is_on_host = |path: &Path| match expand::pattern(&view, path) {
        Ok(Some(pattern)) => !pattern.matches(&view).is_empty(),
        Ok(None) => view.follow(path).is_some(),
        // What is no pattern is for a build to say.
        Err(_) => true,
    };
    let listed = manifest.tree.programs.iter().map(|entry| entry.value.path.as_path());
    if let Some(missing) = listed.into_iter().find(|path| !is_on_host(path)) {
        return Some(missing.to_owned());
    }
    let command = manifest.program.command.as_ref()?;
    let name = command.value.first()?;
    let candidates = candidates(manifest, name, &command.origin).ok()?;
    let is_there = |path: &PathBuf| {
        mounted(manifest, path).is_some() || is_named(manifest, path) || view.follow(path).is_some()
    };
    (!candidates.iter().any(is_there)).then(|| name.into())
}

/// The processor that the program is for. Of a tree that is not built yet, the host's file of that path tells.
pub(super) fn machine(manifest: &Manifest, host: &Host, tree: &Path, program: &JailPath) -> Option<Machine> {
    let path = program.as_path();
    let outside = Root::at(&host.root);
    match mounted(manifest, path) {
        Some((_, source)) => libs::machine(&outside, &source?),
        None => libs::machine(&Root::at(tree), path).or_else(|| match &manifest.tree.base {
            Some(base) => libs::machine(&Root::at(host.path(base.value.path.as_path())), path),
            None => libs::machine(&outside, path),
        }),
    }
}

/// Where the program was found.
enum Place {
    /// Behind a mount.
    Mount,
    /// In the tree, as text.
    Given,
    /// In the tree, of the base, with all it needs.
    Base,
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
    if let Some((_, source)) = mounted(manifest, path) {
        return runnable(draft, source.as_deref()?, bare).then_some(Place::Mount);
    }
    let executable = |mode: u32| !bare || mode & 0o111 != 0;
    let node = draft.find(path)?.1?;
    match &node.content {
        Content::File { mode, .. } | Content::Member { mode, .. } if node.claim == Claim::Base => {
            executable(mode.0).then_some(Place::Base)
        }
        Content::File { source, mode, .. } if executable(mode.0) => Some(Place::Copied(source.clone())),
        Content::Text { mode, .. } if executable(mode.0) => Some(Place::Given),
        _ => None,
    }
}

/// Whether a path is behind a mount.
pub(super) fn is_mounted(manifest: &Manifest, path: &Path) -> bool {
    mounted(manifest, path).is_some()
}

/// What a path will show when it is behind a mount: the host's path, or nothing when the mount starts out empty.
fn mounted<'m>(manifest: &'m Manifest, path: &Path) -> Option<(&'m At<Mount>, Option<PathBuf>)> {
    // The last one that covers the path is on top.
    let mount = manifest.mounts.iter().rev().find(|mount| path.starts_with(mount.value.target.as_path()))?;
    let below = path.strip_prefix(mount.value.target.as_path()).ok()?;
    let shown = |source: &HostPath| {
        // `join("")` would add a slash, which means a directory.
        let is_all = below.as_os_str().is_empty();
        if is_all { source.as_path().to_owned() } else { source.as_path().join(below) }
    };
    let source = mount.value.kind.source().map(shown);
    Some((mount, source))
}

/// Whether the host has a file there. A name is only found where it may be executed, as execvp(3) does; for a path the
/// missing x bit is worth its own finding.
fn runnable(draft: &Draft<'_>, path: &Path, bare: bool) -> bool {
    draft.view.follow(path).is_some_and(|at| at.is_file() && (!bare || at.mode() & 0o111 != 0))
}

/// Whether an entry of the manifest names a path that is not in the tree, and something has gone wrong.
fn failed_to_bring(draft: &Draft<'_>, manifest: &Manifest, path: &Path) -> bool {
    draft.findings.iter().any(|finding| finding.severity == Severity::Error)
        && draft.find(path).is_none()
        && is_named(manifest, path)
}

/// Whether an entry of the manifest is to bring a path, or a directory above it.
fn is_named(manifest: &Manifest, path: &Path) -> bool {
    let tree = &manifest.tree;
    let files = tree
        .files
        .iter()
        .map(|entry| entry.value.target.as_ref().map_or(entry.value.path.as_path(), JailPath::as_path));
    let programs = tree.programs.iter().map(|entry| entry.value.path.as_path());
    let texts = tree.text.iter().map(|entry| entry.value.path.as_path());
    files.chain(programs).chain(texts).any(|named| path.starts_with(named))
}

fn not_found(
    draft: &Draft<'_>,
    manifest: &Manifest,
    candidates: &[PathBuf],
    name: &OsStr,
    origin: &Origin,
) -> Finding {
    if let [path] = candidates
        && Path::new(name).is_absolute()
    {
        return match mounted(manifest, path) {
            Some((mount, source)) => not_mounted(draft, path, mount, source.as_deref(), origin),
            None => not_there(draft, path, origin),
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

/// A path that is neither in the tree nor on the host as a file.
fn not_there(draft: &Draft<'_>, path: &Path, origin: &Origin) -> Finding {
    let no_program = |what: &str| {
        Finding::error(format!("`{}` cannot be run", path.display()), origin).why(format!("it is {what}"))
    };
    let link = draft.nodes.get(path).and_then(|node| match &node.content {
        Content::Symlink { text, .. } => {
            Some(format!("a link to `{}`, which is not in the tree: {}", text.display(), node.origin))
        }
        _ => None,
    });
    match (link, draft.view.chain(path)) {
        (Some(link), _) => no_program(&link).hint("add what the link leads to under `programs` or `files`"),
        (None, Err(error)) => draft.view.missing(path, &error, origin),
        (None, Ok(_)) if draft.view.follow(path).is_some_and(|at| at.is_dir()) => {
            no_program("a directory").hint("name a program in it")
        }
        (None, Ok(_)) => no_program("a socket, FIFO or device").hint("name a program"),
    }
}

/// A path that a mount covers, and that is not behind it.
fn not_mounted(
    draft: &Draft<'_>,
    path: &Path,
    mount: &At<Mount>,
    source: Option<&Path>,
    origin: &Origin,
) -> Finding {
    let (target, place) = (&mount.value.target, &mount.origin);
    let hidden =
        draft.find(path).is_some_and(|(_, node)| node.is_some_and(|node| !node.content.is_directory()));
    let Some(source) = source else {
        return Finding::error(format!("`{}` cannot be there when the jail starts", path.display()), origin)
            .why(format!("`{target}` is then an empty file system: {place}"))
            .hint("put the program elsewhere, or mount this elsewhere");
    };
    let finding = match draft.view.chain(source) {
        Err(error) => draft.view.missing(source, &error, origin),
        Ok(_) => Finding::error(format!("`{}` is no program", source.display()), origin)
            .why("it is a directory, or something else that is no file")
            .hint("name a program"),
    };
    let finding = finding.why(format!("a mount shows it at `{}`: {place}", path.display()));
    if hidden { finding.why("what the tree has at that path is hidden by the mount") } else { finding }
}
