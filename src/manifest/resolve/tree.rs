//! The tree of a manifest, as steps of the Build phase.

#![forbid(unsafe_code)]

use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use super::accounts::Accounts;
use super::content::Content;
use super::draft::{Claim, Draft, Node};
use super::programs::{self, Role};
use super::view::host_root;
use super::{base, command, devices, files, names, notes, packages, shared};
use crate::archive::Archive;
use crate::manifest::finding::{Finding, Severity};
use crate::manifest::libs::Resolver;
use crate::manifest::schema::{Directory, Link, Manifest, Text};
use crate::plan::step::{Keep, Owner};
use crate::plan::{At, JailPath, Mode, Origin, Step};
use crate::sys::host::Host;

pub use super::command::DEFAULT_PATH;
pub use super::devices::Nodes;

/// The tree, resolved.
#[derive(Clone, Debug, Default)]
pub struct TreeSteps {
    /// What is built, parents before children, each path once, no path through a link.
    pub steps: Vec<Step>,
    /// The program as the jail calls it: the answer to where `program.command` is. `None` if the manifest has no command.
    pub program: Option<JailPath>,
    /// What the steps that unpack take their files from.
    pub archive: Option<Rc<Archive>>,
    /// The users and groups of the base, if it has some.
    pub accounts: Option<Accounts>,
    /// What the user should know although the tree can be built.
    pub warnings: Vec<Finding>,
}

/// Resolves `[tree]`, and what the other tables need in the tree. The error is everything found wrong, warnings included.
pub fn tree_steps(
    manifest: &Manifest,
    host: &Host,
    accounts: &Accounts,
    nodes: Nodes,
) -> Result<TreeSteps, Vec<Finding>> {
    let mut draft = Draft::new(host, manifest);
    let root = host_root(host, manifest);
    let mut libs = Resolver::new(&root);
    let tree = &manifest.tree;

    base::place(&mut draft, manifest);
    let of_base = base::accounts(&draft, manifest);
    let accounts = of_base.as_ref().unwrap_or(accounts);
    for entry in &tree.links {
        link(&mut draft, entry);
    }
    for entry in &tree.directories {
        directory(&mut draft, accounts, entry);
    }
    for entry in &tree.text {
        text(&mut draft, accounts, entry);
    }
    for At { value, origin } in &tree.programs {
        if base::has(&draft, value.path.as_path()) {
            continue; // with all it needs
        }
        programs::place_all(&mut draft, &mut libs, value.path.as_path(), Role::Program, value.keep, origin);
    }
    for At { value, origin } in &tree.libraries {
        if base::has(&draft, value.as_path()) {
            continue;
        }
        programs::place_all(&mut draft, &mut libs, value.as_path(), Role::Library, Keep::default(), origin);
    }
    for entry in &tree.files {
        files::place(&mut draft, accounts, entry);
    }
    for entry in &tree.packages {
        packages::place(&mut draft, &mut libs, entry);
    }
    for text in &tree.text {
        let is_executable = text.value.mode.is_some_and(|mode| mode.0 & 0o111 != 0);
        if is_executable && !manifest.root.is_in_memory() {
            command::place_interpreter(&mut draft, &mut libs, manifest, text);
        }
    }
    let program = command::place(&mut draft, &mut libs, manifest);
    devices::place(&mut draft, manifest, nodes);
    devices::place_host_files(&mut draft, manifest);
    devices::place_mount_points(&mut draft, manifest);
    names::place(&mut draft, manifest, accounts);
    base::warn_of_overlaid(&mut draft, manifest);
    let dangling = dangling(&draft, manifest);
    draft.findings.extend(dangling);

    if draft.findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(draft.findings);
    }
    let mut warnings = std::mem::take(&mut draft.findings);
    warnings.extend(shared::closed_to_root(manifest, host, accounts));
    let archive = draft.base.as_ref().and_then(|base| base.archive.clone());
    Ok(TreeSteps { steps: draft.into_steps(), program, archive, accounts: of_base, warnings })
}

fn link(draft: &mut Draft<'_>, entry: &At<Link>) {
    let At { value: Link { path, target }, origin } = entry;
    let content = Content::Symlink { text: target.clone(), owner: Owner::default() };
    draft.place(path.as_path(), content, Claim::Named, origin);
}

fn directory(draft: &mut Draft<'_>, accounts: &Accounts, entry: &At<Directory>) {
    let At { value: Directory { path, owner, group, mode }, origin } = entry;
    match accounts.owner(owner.as_ref(), group.as_ref(), Owner::default(), origin) {
        Ok(owner) => {
            draft.place_directory(path.as_path(), mode.unwrap_or(Mode(0o755)), owner, Claim::Named, origin);
        }
        Err(finding) => draft.findings.push(finding),
    }
}

fn text(draft: &mut Draft<'_>, accounts: &Accounts, entry: &At<Text>) {
    let At { value: Text { path, content, owner, group, mode }, origin } = entry;
    match accounts.owner(owner.as_ref(), group.as_ref(), Owner::default(), origin) {
        Ok(owner) => {
            let bytes = content.clone().into_bytes();
            let content = Content::Text { bytes, mode: mode.unwrap_or(Mode(0o644)), owner };
            draft.place(path.as_path(), content, Claim::Named, origin);
        }
        Err(finding) => draft.findings.push(finding),
    }
}

/// Links that came along and lead to something on the host but to nothing in the tree: one warning for each entry that brought
/// some. A link of the manifest's own is taken as meant.
fn dangling(draft: &Draft<'_>, manifest: &Manifest) -> Vec<Finding> {
    let covered = |path: &Path| {
        let mounted = manifest.mounts.iter().any(|mount| path.starts_with(mount.value.target.as_path()));
        mounted || ["/proc", "/dev", "/sys"].iter().any(|kernel| path.starts_with(kernel))
    };
    let mut of_entry: Vec<(&Origin, Vec<PathBuf>)> = Vec::new();
    for (path, node) in &draft.nodes {
        let Node { content: Content::Symlink { text, .. }, claim: Claim::Along, origin, .. } = node else {
            continue;
        };
        let to = destination(path, Path::new(text));
        if draft.find(path).is_some() || covered(&to) || !draft.view.exists(&to) {
            continue;
        }
        let shown = PathBuf::from(format!("{} -> {}", path.display(), to.display()));
        match of_entry.iter_mut().find(|(other, _)| *other == origin) {
            Some((_, paths)) => paths.push(shown),
            None => of_entry.push((origin, vec![shown])),
        }
    }
    of_entry
        .into_iter()
        .map(|(origin, paths)| {
            let message = match paths.len() {
                1 => "a link leads to what is not in the tree".to_owned(),
                many => format!("{many} links lead to what is not in the tree"),
            };
            notes::shown(Finding::warning(message, origin), &paths)
                .hint("add what they lead to under `files`, if the program needs it")
        })
        .collect()
}

/// Where a link leads, dots taken out of its text.
fn destination(link: &Path, text: &Path) -> PathBuf {
    let mut path = link.parent().unwrap_or(link).join(text);
    let mut clean = PathBuf::from("/");
    for component in std::mem::take(&mut path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => _ = clean.pop(),
            _ => {}
        }
    }
    clean
}
