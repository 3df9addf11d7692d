//! What a tree depends on, as one digest: a tree built for another digest is built again, and one whose manifest changed in
//! its limits only is not.

use std::fmt::{self, Write as _};

use sha2::{Digest as _, Sha256};

use crate::manifest::schema::{Manifest, MountKind};
use crate::plan::At;
use crate::sys::host::Host;

/// Takes formatted text into a digest.
struct Hasher(Sha256);

impl fmt::Write for Hasher {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

/// The values without their places: moving a line in the manifest builds nothing.
fn values<T>(list: &[At<T>]) -> Vec<&T> {
    list.iter().map(|at| &at.value).collect()
}

/// The digest of everything in a manifest and of the host's facts that decide what is in the tree, but for the content of the
/// host's own files.
pub fn tree_key(manifest: &Manifest, host: &Host) -> [u8; 32] {
    let tree = &manifest.tree;
    let program = &manifest.program;
    let mut hasher = Hasher(Sha256::new());
    let mounts: Vec<_> = manifest
        .mounts
        .iter()
        .map(|mount| {
            let source = match &mount.value.kind {
                MountKind::Bind { source, .. } => Some(source),
                MountKind::Tmpfs { .. } | MountKind::Mqueue => None,
            };
            (&mount.value.target, source)
        })
        .collect();
    let written = write!(
        hasher,
        "{:?}",
        (
            (env!("CARGO_PKG_VERSION"), host.uid, host.device_nodes, &host.root),
            (values(&tree.programs), values(&tree.libraries), values(&tree.files), values(&tree.packages)),
            (values(&tree.directories), values(&tree.users), values(&tree.groups)),
            (tree.devices.as_deref().map(values), values(&tree.links), values(&tree.text)),
            (program.command.as_ref().and_then(|command| command.value.first()), mounts),
            (program.user.as_ref().map(|at| &at.value), program.group.as_ref().map(|at| &at.value)),
            (values(&program.supplementary_groups), program.working_directory.as_ref().map(|at| &at.value)),
            manifest.root.proc.as_ref().map(|at| at.value),
        )
    );
    // Nothing above fails to format itself; if it did, the digest would fit no tree and one build too many be made.
    if written.is_err() {
        hasher.0.update(b"?");
    }
    hasher.0.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::plan::{HostPath, Origin};

    #[test]
    fn only_what_is_in_the_tree_counts() {
        let host = Host { uid: 0, device_nodes: true, ..Host::current(Path::new("/")) };
        let at = |reason| Origin::Default(reason);
        let key = |change: &dyn Fn(&mut Manifest)| {
            let mut manifest = Manifest::default();
            change(&mut manifest);
            tree_key(&manifest, &host)
        };
        let plugin = |origin| At { value: HostPath::parse("/lib/plugin.so").unwrap(), origin };
        let with_plugin = key(&|manifest| manifest.tree.libraries = vec![plugin(at("one line"))]);
        let elsewhere = key(&|manifest| manifest.tree.libraries = vec![plugin(at("another line"))]);
        let nice = key(&|manifest| manifest.program.nice = Some(At { value: 5, origin: at("") }));
        assert_eq!(with_plugin, elsewhere);
        assert_eq!(nice, key(&|_| {}));
        assert_ne!(with_plugin, nice);
        assert_ne!(nice, tree_key(&Manifest::default(), &Host { uid: 1000, ..host.clone() }));
    }
}
