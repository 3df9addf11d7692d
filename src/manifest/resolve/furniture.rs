//! What is made in file systems of the jail's own at every start: a tree that is in memory, and below any tmpfs the places that
//! something is mounted on. On the host nothing is made: a place that a bind of the host's would have to have is an error.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::context::{Context, Ids, Steps};
use super::mounts::{Ground, Planned};
use crate::manifest::finding::Finding;
use crate::manifest::schema::{Mount, MountKind};
use crate::plan::ids::{COUNT, UNMAPPED};
use crate::plan::step::{Action, Furniture, IdSpace, MountFlags, Owner, TMPFS_SIZE, tmpfs_inodes};
use crate::plan::{JailPath, Mode, Origin, Phase, Step};

/// One thing to be made.
struct Piece {
    what: Furniture,
    /// Whose it is inside.
    owner: Owner,
    origin: Origin,
}

/// Everything to be made, by its path in the jail: parents come before children.
type Pieces = BTreeMap<PathBuf, Piece>;

/// The steps that make it, and then those by which what is not to be written any more becomes read-only.
pub(super) fn steps(
    context: &Context<'_>,
    mounts: &[Planned],
    made: &[Step],
) -> Result<Vec<Step>, Vec<Finding>> {
    let mut pieces = if context.manifest.root.is_in_memory() { of_tree(made) } else { Pieces::new() };
    for mount in &context.manifest.mounts {
        places(context, &mount.value, &mount.origin, mounts, &mut pieces);
    }
    let (mut steps, mut findings) = (Steps::default(), Vec::new());
    for (path, Piece { what, owner, origin }) in pieces {
        let Ok(path) = JailPath::parse(path) else { continue };
        let within = match ground(mounts, &path) {
            None if context.manifest.root.is_in_memory() => JailPath::root(),
            Some((within, Ground::Memory)) => within.clone(),
            Some((within, Ground::Host(source))) => {
                let below = path.relative_to(within);
                if context.host.path(&source.as_path().join(below)).symlink_metadata().is_err() {
                    findings.push(nothing_there(&path, within, source.as_path(), &origin));
                }
                continue;
            }
            // In a tree on disk a build has made it; in /dev/pts and the like the kernel alone makes anything.
            None | Some((_, Ground::Kernel)) => continue,
        };
        let owner = outside(context, owner);
        steps.push(Phase::Enter, Action::Furnish { within, path, what, owner }, &origin);
    }
    for mount in mounts.iter().filter(|mount| mount.is_sealed()) {
        let furnished =
            |step: &&Step| matches!(&step.action, Action::Furnish { within, .. } if within == mount.target());
        let target = mount.target().clone();
        if steps.0.iter().any(|step| furnished(&step)) {
            steps.push(Phase::Enter, Action::Seal { target }, &mount.origin);
        }
    }
    if findings.is_empty() { Ok(steps.0) } else { Err(findings) }
}

/// The root to be, and what makes it read-only at last, if it is not so from the first.
pub(super) fn root(
    context: &Context<'_>,
    read_only: bool,
    origin: &Origin,
    steps: &mut Steps,
) -> Option<Action> {
    if let Some(tree) = context.manifest.root.tree.as_ref().filter(|_| context.manifest.root.is_in_memory()) {
        let (action, sealed) = in_memory(context, read_only);
        steps.push(Phase::Enter, action, &tree.origin);
        return sealed;
    }
    let flags = MountFlags { read_only, ..MountFlags::GUARDED };
    // Owners in the tree are those meant inside, the root's of it too: it is nobody else's.
    let idmap = context.translated(IdSpace::Jail);
    steps.push(Phase::Enter, Action::CloneRoot { tree: context.tree.clone(), flags, idmap }, origin);
    None
}

/// The root in memory: an empty file system, and, once everything in it is made, its being read-only.
fn in_memory(context: &Context<'_>, read_only: bool) -> (Action, Option<Action>) {
    let mut options = vec![("size", TMPFS_SIZE.to_string()), ("mode", "0755".to_owned())];
    options.extend(tmpfs_inodes(TMPFS_SIZE).map(|inodes| ("nr_inodes", inodes.to_string())));
    if let Some(Owner { uid, gid }) = outside(context, Owner::default()) {
        options.extend([("uid", uid.to_string()), ("gid", gid.to_string())]);
    }
    let (kind, target) = ("tmpfs", JailPath::root());
    let made = Action::CreateFileSystem { kind, target: target.clone(), flags: MountFlags::GUARDED, options };
    (made, read_only.then_some(Action::Seal { target }))
}

/// What a tree is made of, as a build would make it.
fn of_tree(made: &[Step]) -> Pieces {
    let mut pieces = Pieces::new();
    for step in made {
        let (path, what, owner) = match &step.action {
            Action::MakeDirectory { path, mode, owner } => {
                (path, Furniture::Directory { mode: *mode }, *owner)
            }
            Action::MakeSymlink { text, path, owner } => {
                (path, Furniture::Link { text: text.clone() }, *owner)
            }
            Action::WriteFile { path, content, mode, owner } => {
                (path, Furniture::File { content: content.clone(), mode: *mode }, *owner)
            }
            // What is copied has no place in memory: `check` refuses it.
            _ => continue,
        };
        pieces.insert(path.as_path().to_owned(), Piece { what, owner, origin: step.origin.clone() });
    }
    pieces
}

/// The place for a mount below a tmpfs, with the directories on the way to it.
fn places(context: &Context<'_>, mount: &Mount, origin: &Origin, mounts: &[Planned], pieces: &mut Pieces) {
    let Some((within, Ground::Memory)) = ground(mounts, &mount.target) else { return };
    if !mounts.iter().any(|planned| *planned.target() == mount.target) {
        return;
    }
    let is_file = match &mount.kind {
        MountKind::Bind { source, .. } => !context.host.path(source.as_path()).is_dir(),
        MountKind::Tmpfs { .. } | MountKind::Mqueue | MountKind::Overlay { .. } => false,
    };
    let way = mount.target.as_path().ancestors().take_while(|path| *path != within.as_path());
    for (at, path) in way.enumerate() {
        let what = if at == 0 && is_file {
            Furniture::File { content: Vec::new(), mode: Mode(0o644) }
        } else {
            Furniture::Directory { mode: Mode(0o755) }
        };
        let piece = Piece { what, owner: Owner::default(), origin: origin.found("mount point") };
        pieces.entry(path.to_owned()).or_insert(piece);
    }
}

/// The mount that something at this path is made in: the deepest above it, of two at one place the later one.
fn ground<'a>(mounts: &'a [Planned], path: &JailPath) -> Option<(&'a JailPath, Ground<'a>)> {
    let above = mounts.iter().filter(|mount| mount.target() != path && path.starts_with(mount.target()));
    let deepest = above.max_by_key(|mount| mount.target().as_path().as_os_str().len())?;
    Some((deepest.target(), deepest.ground()))
}

/// Who somebody of the jail's is outside, if that is not who makes what belongs to it.
fn outside(context: &Context<'_>, Owner { uid, gid }: Owner) -> Option<Owner> {
    let known = |id: u32| if id < COUNT { id } else { UNMAPPED };
    match context.ids {
        Ids::Range(first) => Some(Owner { uid: first + known(uid), gid: first + known(gid) }),
        Ids::Host => {
            // Within a user namespace whoever has no id there looks like this one, which nothing can be given to.
            let known = |id: u32| if id == UNMAPPED && !context.host.first_user_namespace { 0 } else { id };
            let owner = Owner { uid: known(uid), gid: known(gid) };
            (owner != Owner::default()).then_some(owner)
        }
        // Made by root inside, with ids as they are inside.
        Ids::Granted => (Owner { uid, gid } != Owner::default()).then_some(Owner { uid, gid }),
        // There is one user and one group, to whom everything belongs anyway.
        Ids::One => None,
    }
}

/// A place that the host would have to have.
fn nothing_there(path: &JailPath, within: &JailPath, source: &Path, origin: &Origin) -> Finding {
    let below = path.relative_to(within).display();
    Finding::error(format!("there is no `{path}`, and it cannot be made"), origin)
        .why(format!("`{within}` shows the host's `{}`, in which there is no `{below}`; nothing is ever made on the host", source.display()))
        .hint(format!("choose a path that is not below `{within}`, or make it on the host before"))
}
