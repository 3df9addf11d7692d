//! What a tree depends on, as one digest: a tree built for another digest is built again, and one whose manifest changed in
//! its limits only is not.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use crate::manifest::schema::{Manifest, Mount, MountKind};
use crate::plan::step::RootMethod;
use crate::plan::{At, capability};
use crate::sys::host::Host;

/// What is hashed, put together first: many short pieces take a hasher longer than one long one.
#[derive(Default)]
struct Collector(Vec<u8>);

impl Collector {
    /// 256 bits of SipHash. Whoever writes manifests has no use for two that collide, so nothing cryptographic is needed; and sha2 would
    /// ask the processor what it can first, which in a virtual machine takes longer than all the rest of this file.
    fn digest(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        for (seed, part) in digest.chunks_exact_mut(8).enumerate() {
            part.copy_from_slice(&self.part(seed).to_ne_bytes());
        }
        digest
    }

    /// 64 of them.
    fn part(&self, seed: usize) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_usize(seed);
        hasher.write(&self.0);
        hasher.finish()
    }
}

impl Hasher for Collector {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        self.part(0)
    }
}

/// The values without their places: moving a line in the manifest builds nothing.
fn values<T>(list: &[At<T>]) -> Vec<&T> {
    list.iter().map(|at| &at.value).collect()
}

/// Whether the program may come to write to its tree, whose files are then shared with no other: its root is writable, or a
/// capability would let it make it so, or the host's own mounts stay below its root, or it is shown the state directory to write to.
pub fn may_write_tree(manifest: &Manifest, state: &Path) -> bool {
    let privileges = &manifest.privileges;
    let mut all = privileges.capabilities.iter().chain(&privileges.bounding);
    let shows_state = |mount: &Mount| match &mount.kind {
        MountKind::Bind { source, .. } => mount.read_only == Some(false) && shows(source.as_path(), state),
        MountKind::Tmpfs { .. } | MountKind::Mqueue | MountKind::Overlay { .. } => false,
    };
    manifest.root.read_only.as_ref().is_some_and(|read_only| !read_only.value)
        || manifest.root.method.as_ref().is_some_and(|method| method.value != RootMethod::Pivot)
        || all.any(|capability| POWERFUL.contains(&capability::NAMES[usize::from(capability.value)]))
        || manifest.mounts.iter().any(|mount| shows_state(&mount.value))
}

/// Whether whoever is shown `source` is shown `place` or something in it, by whatever links either is named. Neither need be there yet.
pub fn shows(source: &Path, place: &Path) -> bool {
    let real = |path: &Path| {
        let found = path.ancestors().find_map(|at| {
            let below = path.strip_prefix(at).ok()?;
            std::fs::canonicalize(at).ok().map(|at| at.join(below))
        });
        found.unwrap_or_else(|| path.to_owned())
    };
    let (source, place) = (real(source), real(place));
    place.starts_with(&source) || source.starts_with(&place)
}

/// Capabilities that make a read-only mount writable, or reach files past it.
const POWERFUL: [&str; 5] = ["SYS_ADMIN", "SYS_RAWIO", "SYS_MODULE", "DAC_READ_SEARCH", "MKNOD"];

/// The digest of everything in a manifest and of the host's facts that decide what is in the tree, but for the content of the
/// host's own files; `writable` is [`may_write_tree`]. Another build of stockade may come to another digest, and then builds once more.
pub fn tree_key(manifest: &Manifest, host: &Host, writable: bool) -> [u8; 32] {
    let tree = &manifest.tree;
    let program = &manifest.program;
    let mut hasher = Collector::default();
    let mounts: Vec<_> = manifest
        .mounts
        .iter()
        .map(|mount| {
            let source = match &mount.value.kind {
                // What comes into being needs a place to be mounted on.
                MountKind::Bind { source, optional, .. } => {
                    Some((source, optional.then(|| host.path(source.as_path()).exists())))
                }
                MountKind::Tmpfs { .. } | MountKind::Mqueue | MountKind::Overlay { .. } => None,
            };
            (&mount.value.target, source)
        })
        .collect();
    (env!("CARGO_PKG_VERSION"), host.uid, host.device_nodes, &host.root).hash(&mut hasher);
    (values(&tree.programs), values(&tree.libraries), values(&tree.files), values(&tree.packages))
        .hash(&mut hasher);
    (values(&tree.directories), values(&tree.users), values(&tree.groups)).hash(&mut hasher);
    tree.base.as_ref().map(|at| &at.value).hash(&mut hasher);
    (tree.devices.as_deref().map(values), values(&tree.links), values(&tree.text)).hash(&mut hasher);
    (program.command.as_ref().and_then(|command| command.value.first()), mounts).hash(&mut hasher);
    program.notifies().is_some().hash(&mut hasher);
    (program.user.as_ref().map(|at| &at.value), program.group.as_ref().map(|at| &at.value)).hash(&mut hasher);
    (values(&program.supplementary_groups), program.working_directory.as_ref().map(|at| &at.value))
        .hash(&mut hasher);
    (manifest.root.proc.as_ref().map(|at| at.value), writable).hash(&mut hasher);
    manifest.root.sys.as_ref().map(|at| at.value).hash(&mut hasher);
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{HostPath, JailPath, Origin};

    #[test]
    fn a_place_is_shown_by_whatever_links_it_is_named() {
        let base = std::env::temp_dir().join(format!("stockade-shows-{}", std::process::id()));
        std::fs::create_dir_all(base.join("srv/state")).unwrap();
        std::os::unix::fs::symlink("srv/state", base.join("link")).unwrap();
        std::os::unix::fs::symlink("srv", base.join("shown")).unwrap();
        for (source, place, expected) in [
            ("srv", "link", true),
            ("srv", "link/web/not-there-yet", true),
            ("shown", "srv/state", true),
            ("shown", "link", true),
            ("link/web", "srv/state", true),
            ("srv/stat", "link", false),
            ("other", "link", false),
        ] {
            assert_eq!(shows(&base.join(source), &base.join(place)), expected, "{source} {place}");
        }
        std::fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn only_what_is_in_the_tree_counts() {
        let host = Host { uid: 0, device_nodes: true, ..Host::current(Path::new("/")) };
        let at = |reason| Origin::Default(reason);
        let key = |change: &dyn Fn(&mut Manifest)| {
            let mut manifest = Manifest::default();
            change(&mut manifest);
            tree_key(&manifest, &host, false)
        };
        let plugin = |origin| At { value: HostPath::parse("/lib/plugin.so").unwrap(), origin };
        let with_plugin = key(&|manifest| manifest.tree.libraries = vec![plugin(at("one line"))]);
        let elsewhere = key(&|manifest| manifest.tree.libraries = vec![plugin(at("another line"))]);
        let nice = key(&|manifest| manifest.program.nice = Some(At { value: 5, origin: at("") }));
        assert_eq!(with_plugin, elsewhere);
        assert_eq!(nice, key(&|_| {}));
        assert_ne!(with_plugin, nice);
        assert_ne!(nice, tree_key(&Manifest::default(), &host, true));
        assert_ne!(nice, tree_key(&Manifest::default(), &Host { uid: 1000, ..host.clone() }, false));
    }

    fn at<T>(value: T) -> At<T> {
        At { value, origin: Origin::Default("") }
    }

    #[test]
    fn what_can_be_written_to_is_known() {
        let writes = |change: &dyn Fn(&mut Manifest)| {
            let mut manifest = Manifest::default();
            change(&mut manifest);
            may_write_tree(&manifest, Path::new("/var/lib/stockade"))
        };
        let bind = |source: &str, read_only| {
            let source = HostPath::parse(source).unwrap();
            let kind = MountKind::Bind {
                source,
                recursive: None,
                optional: false,
                root_squash: None,
                sockets: false,
                devices: false,
            };
            at(Mount { target: JailPath::parse("/x").unwrap(), kind, read_only, executable: None })
        };
        assert!(!writes(&|_| {}));
        assert!(!writes(&|manifest| manifest.root.read_only = Some(at(true))));
        assert!(writes(&|manifest| manifest.root.read_only = Some(at(false))));
        assert!(!writes(&|manifest| manifest.root.method = Some(at(RootMethod::Pivot))));
        assert!(writes(&|manifest| manifest.root.method = Some(at(RootMethod::Chroot))));
        for (name, expected) in [("NET_BIND_SERVICE", false), ("SYS_ADMIN", true), ("MKNOD", true)] {
            let number = capability::number(name).unwrap();
            assert_eq!(writes(&|manifest| manifest.privileges.capabilities = vec![at(number)]), expected);
            assert_eq!(writes(&|manifest| manifest.privileges.bounding = vec![at(number)]), expected);
        }
        for (source, read_only, expected) in [
            ("/var/lib", Some(false), true),
            ("/", Some(false), true),
            ("/var/lib/stockade/web", Some(false), true),
            ("/var/lib/stockade-web", Some(false), false),
            ("/", None, false),
        ] {
            let found = writes(&|manifest| manifest.mounts = vec![bind(source, read_only)]);
            assert_eq!(found, expected, "{source} {read_only:?}");
        }
    }
}
