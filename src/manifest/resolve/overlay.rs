//! Which directories of the host can be below a scratch layer.

#![forbid(unsafe_code)]

use super::context::{Context, Ids};
use super::filesystems::FileSystems;
use super::mounts::What;
use super::view::View;
use crate::manifest::finding::Finding;
use crate::plan::step::{IdSpace, TMPFS_SIZE, tmpfs_inodes};
use crate::plan::{HostPath, Origin, Size};

/// The directory that is meant, without links, or why there can be no overlay over it.
pub(super) fn source(
    context: &Context<'_>,
    known: &FileSystems,
    source: &HostPath,
    origin: &Origin,
) -> Result<HostPath, Box<Finding>> {
    let source = context.without_link(source).map_err(|error| {
        View::new(context.host, context.manifest).missing(source.as_path(), &error, origin)
    })?;
    let path = source.as_path();
    match context.host.path(path).symlink_metadata() {
        Ok(found) if !found.is_dir() => {
            return Err(Box::new(
                Finding::error(format!("`{source}` is no directory, and an overlay is of one"), origin)
                    .hint("name the directory that it is in"),
            ));
        }
        // What is not there, or not to be seen, the run itself tells.
        Ok(_) | Err(_) => {}
    }
    if let Some(below) = known.below(path) {
        return Err(Box::new(
            Finding::error(format!("an overlay cannot be over `{source}`"), origin)
                .why(format!(
                    "`{}` is mounted below, and an overlay shows what is in one file system",
                    below.display()
                ))
                .hint("name a directory further down, or several"),
        ));
    }
    if let (Ids::Range(_), Some(kind)) = (context.ids, known.fixed_at(path)) {
        return Err(Box::new(
            Finding::error(
                format!("an overlay cannot be over `{source}` in a jail with ids of its own"),
                origin,
            )
            .why(format!(
                "it is on {kind}, which cannot translate owners (MOUNT_ATTR_IDMAP in mount_setattr(2))"
            ))
            .hint("name a directory on another file system, or say `user = false` under [namespaces]"),
        ));
    }
    Ok(source)
}

/// The mount. Owners are as inside, root too: nothing that is written comes to the host's directory by it.
pub(super) fn what(context: &Context<'_>, source: HostPath, size: Option<Size>, inodes: Option<u64>) -> What {
    let size = size.unwrap_or(TMPFS_SIZE);
    let mut layer = vec![("size", size.to_string()), ("mode", "0700".into())];
    layer.extend(inodes.or(tmpfs_inodes(size)).map(|inodes| ("nr_inodes", inodes.to_string())));
    let own_ids = matches!(context.ids, Ids::One | Ids::Granted) || !context.host.first_user_namespace;
    What::Overlay { source, idmap: context.translated(IdSpace::Jail), layer, own_ids }
}
