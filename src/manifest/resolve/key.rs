//! What a tree depends on, as one digest: a tree built for another digest is built again, and one whose manifest changed in
//! its limits only is not.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::manifest::schema::{Manifest, MountKind};
use crate::plan::At;
use crate::sys::host::Host;

/// 256 bits of SipHash. Whoever writes manifests has no use for two that collide, so nothing cryptographic is needed; and sha2 would
/// ask the processor what it can first, which in a virtual machine takes longer than all the rest of this file.
struct Collector([DefaultHasher; 4]);

impl Collector {
    fn new() -> Self {
        let mut hashers: [DefaultHasher; 4] = Default::default();
        for (seed, hasher) in hashers.iter_mut().enumerate() {
            hasher.write_usize(seed);
        }
        Self(hashers)
    }

    /// All of it.
    fn digest(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        for (part, hasher) in digest.chunks_exact_mut(8).zip(&self.0) {
            part.copy_from_slice(&hasher.finish().to_ne_bytes());
        }
        digest
    }
}

impl Hasher for Collector {
    fn write(&mut self, bytes: &[u8]) {
        for hasher in &mut self.0 {
            hasher.write(bytes);
        }
    }

    fn finish(&self) -> u64 {
        self.0[0].finish()
    }
}

/// The values without their places: moving a line in the manifest builds nothing.
fn values<T>(list: &[At<T>]) -> Vec<&T> {
    list.iter().map(|at| &at.value).collect()
}

/// The digest of everything in a manifest and of the host's facts that decide what is in the tree, but for the content of the
/// host's own files. Another build of stockade may come to another digest, and then builds once more.
pub fn tree_key(manifest: &Manifest, host: &Host) -> [u8; 32] {
    let tree = &manifest.tree;
    let program = &manifest.program;
    let mut hasher = Collector::new();
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
    (env!("CARGO_PKG_VERSION"), host.uid, host.device_nodes, &host.root).hash(&mut hasher);
    (values(&tree.programs), values(&tree.libraries), values(&tree.files), values(&tree.packages))
        .hash(&mut hasher);
    (values(&tree.directories), values(&tree.users), values(&tree.groups)).hash(&mut hasher);
    (tree.devices.as_deref().map(values), values(&tree.links), values(&tree.text)).hash(&mut hasher);
    (program.command.as_ref().and_then(|command| command.value.first()), mounts).hash(&mut hasher);
    (program.user.as_ref().map(|at| &at.value), program.group.as_ref().map(|at| &at.value)).hash(&mut hasher);
    (values(&program.supplementary_groups), program.working_directory.as_ref().map(|at| &at.value))
        .hash(&mut hasher);
    manifest.root.proc.as_ref().map(|at| at.value).hash(&mut hasher);
    hasher.digest()
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
