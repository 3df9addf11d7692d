//! What the run finds in the tree: /dev, and a place for everything that will be mounted.

#![forbid(unsafe_code)]

use std::path::Path;

use super::content::Content;
use super::draft::{Claim, Draft};
use crate::manifest::finding::Finding;
use crate::manifest::links;
use crate::manifest::schema::{DeviceName, Manifest, MountKind, Proc, Sys};
use crate::plan::step::{DEVICES, Device, LOG_DIRECTORY, NOTIFY_DIRECTORY, Owner, SOCKET};
use crate::plan::{At, Mode, Origin};

/// How a device comes into the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nodes {
    /// As a node, see mknod(2): needs root and a file system that is not mounted `nodev`.
    Made,
    /// As an empty file, over which the run mounts the host's node.
    Bound,
}

/// The devices of a manifest that names none: what nearly every program takes for granted, and none that could do harm.
const DEFAULT_DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// Whether a manifest that names no device has this one.
pub(in crate::manifest) fn is_default(name: &str) -> bool {
    DEFAULT_DEVICES.contains(&name)
}

/// Links into /proc that programs take for granted, see fd(4).
const STANDARD_LINKS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// Places devices with what belongs to them.
pub(super) fn place(draft: &mut Draft<'_>, manifest: &Manifest, nodes: Nodes) {
    let default = Origin::Default("programs expect these devices; none reaches hardware or another process");
    let listed: Vec<(DeviceName, Origin)> = match &manifest.tree.devices {
        Some(devices) => devices.iter().map(|device| (device.value, device.origin.clone())).collect(),
        None => DEVICES
            .iter()
            .filter(|device| is_default(device.name))
            .map(|device| (DeviceName::Node(*device), default.clone()))
            .collect(),
    };
    // Never as on the host: in a sticky directory open(2) with O_CREAT refuses a device bound there (fs.protected_regular).
    if let Some((_, origin)) = listed.first() {
        draft.place_directory(Path::new("/dev"), Mode(0o755), Owner::default(), Claim::Along, origin);
    }
    for (device, origin) in &listed {
        match device {
            DeviceName::Node(device) => node(draft, *device, nodes, origin),
            DeviceName::Pts => {
                draft.place_directory(
                    Path::new("/dev/pts"),
                    Mode(0o755),
                    Owner::default(),
                    Claim::Along,
                    origin,
                );
                link(draft, "/dev/ptmx", "pts/ptmx", origin);
            }
            DeviceName::Shm => {
                draft.place_directory(
                    Path::new("/dev/shm"),
                    Mode(0o1777),
                    Owner::default(),
                    Claim::Along,
                    origin,
                );
            }
            DeviceName::Log => {
                let place = Path::new(LOG_DIRECTORY);
                draft.place_directory(place, Mode(0o755), Owner::default(), Claim::Along, origin);
                link(draft, "/dev/log", &format!("{LOG_DIRECTORY}/{SOCKET}"), origin);
            }
        }
    }
    if let Some(kind) = manifest.program.notifies() {
        for place in ["/dev", NOTIFY_DIRECTORY] {
            draft.place_directory(
                Path::new(place),
                Mode(0o755),
                Owner::default(),
                Claim::Along,
                &kind.origin,
            );
        }
    }
    if let Some(sys) = manifest.root.sys.as_ref().filter(|sys| sys.value == Sys::Masked) {
        draft.place_directory(Path::new("/sys"), Mode(0o555), Owner::default(), Claim::Along, &sys.origin);
    }
    let proc = manifest.root.proc.as_ref();
    if proc.is_some_and(|proc| proc.value == Proc::None) {
        return;
    }
    let origin = proc
        .map_or(Origin::Default("programs expect to see themselves in /proc"), |proc| proc.origin.clone());
    draft.place_directory(Path::new("/proc"), Mode(0o555), Owner::default(), Claim::Along, &origin);
    for (path, text) in STANDARD_LINKS {
        link(draft, path, text, &origin);
    }
}

fn node(draft: &mut Draft<'_>, device: Device, nodes: Nodes, origin: &Origin) {
    let content = match nodes {
        Nodes::Made if draft.view.host.is_root() => Content::Device(device),
        _ => empty(),
    };
    draft.place(&Path::new("/dev").join(device.name), content, Claim::Along, origin);
}

/// A link of ours gives way to whatever the manifest put there.
fn link(draft: &mut Draft<'_>, path: &str, text: &str, origin: &Origin) {
    if draft.find(Path::new(path)).is_none() {
        let content = Content::Symlink { text: text.into(), owner: Owner::default() };
        draft.place(Path::new(path), content, Claim::Along, origin);
    }
}

/// A file that something is mounted over.
fn empty() -> Content {
    Content::Text { bytes: Vec::new(), mode: Mode(0o644), owner: Owner::default() }
}

/// A directory cannot be mounted on a file nor a file on a directory, see mount(2), ENOTDIR.
fn mismatch(draft: &Draft<'_>, target: &Path, is_directory: bool, origin: &Origin) -> Option<Finding> {
    let node = draft.find(target)?.1?;
    if node.content.is_directory() == is_directory {
        return None;
    }
    let what = if is_directory { "a directory" } else { "a file" };
    let finding = Finding::error(format!("{what} cannot be mounted on `{}`", target.display()), origin)
        .why(format!("{} is there: {}", node.content, node.origin));
    Some(finding.hint("take one of them out, or choose another `target`"))
}

/// move_mount(2) follows no link as the last component of where it mounts: EINVAL. As on the host `/bin` may be one, also in the tree.
fn link_in_the_way(draft: &Draft<'_>, target: &Path, origin: &Origin) -> Option<Finding> {
    let (parent, _) = draft.find(target.parent()?)?;
    let node = draft.nodes.get(&parent.join(target.file_name()?))?;
    let Content::Symlink { text, .. } = &node.content else { return None };
    let (real, _) = draft.find(target)?;
    let finding =
        Finding::error(format!("nothing can be mounted on the link `{}`", target.display()), origin)
            .why(format!("it leads to `{}`: {}", text.display(), node.origin));
    Some(finding.hint(format!("write `target = \"{}\"`", real.display())))
}

/// Makes the places of what `host` shows, at those very paths: on the host there may be links, such as /etc/localtime and, with
/// systemd-resolved(8), /etc/resolv.conf, and the links may have come along.
pub(super) fn place_host_files(draft: &mut Draft<'_>, manifest: &Manifest) {
    for At { value: word, origin } in &manifest.tree.host {
        for shown in word.shown() {
            let path = Path::new(shown.path);
            let there = match draft.view.chain(path) {
                Ok(_) => draft.view.follow(path),
                Err(_) if shown.optional => continue,
                Err(error) => {
                    let hint =
                        format!("take `{}` out of `host`, or bring a file of the jail's own", word.name());
                    let finding = draft.view.missing(path, &error, origin);
                    draft.findings.push(finding.hint(hint));
                    continue;
                }
            };
            let (what, is_right) = if shown.is_directory {
                ("a directory", there.is_none_or(|there| there.is_dir()))
            } else {
                ("a file", there.is_none_or(|there| there.is_file()))
            };
            if !is_right {
                let message = format!("`{}` of the host is not {what}", shown.path);
                draft.findings.push(Finding::error(message, origin));
                continue;
            }
            let content = if shown.is_directory {
                Content::Directory { mode: Mode(0o755), owner: Owner::default() }
            } else {
                empty()
            };
            draft.place(path, content, Claim::Named, &origin.found("mount point"));
        }
    }
}

/// Whether something is a place that [`place_host_files`] makes.
fn is_host_file(manifest: &Manifest, target: &Path) -> bool {
    let mut words = manifest.tree.host.iter();
    words.any(|word| word.value.shown().iter().any(|shown| target == Path::new(shown.path)))
}

/// What to do where a directory is missing that the program is to write to: no package brings that.
fn made(hint: &str, source: &Path, draft: &Draft<'_>, manifest: &Manifest) -> String {
    let path = source.display();
    let command = if draft.view.host.is_root() {
        let user = manifest.program.user.as_ref().map_or("nobody".to_owned(), |user| user.value.to_string());
        format!("install -d -o {user} {path}")
    } else {
        format!("mkdir -p {path}")
    };
    hint.replacen("install what brings it, or take the entry out", &format!("make it: `{command}`"), 1)
}

/// Makes a place for every mount, and the working directory. What the tree has there already serves as well.
pub(super) fn place_mount_points(draft: &mut Draft<'_>, manifest: &Manifest) {
    for mount in &manifest.mounts {
        let (target, origin) = (mount.value.target.as_path(), &mount.origin);
        if is_host_file(manifest, target) {
            continue;
        }
        let is_directory = match &mount.value.kind {
            MountKind::Tmpfs { .. } | MountKind::Mqueue | MountKind::Overlay { .. } => true,
            MountKind::Bind { source, optional, .. } => match draft.view.chain(source.as_path()) {
                Ok(_) => draft.view.follow(source.as_path()).is_none_or(|at| at.is_dir()),
                Err(_) if *optional => continue,
                Err(error) => {
                    let mut finding = draft.view.missing_unless_optional(source.as_path(), &error, origin);
                    let is_missing = matches!(error, links::Error::Missing { .. });
                    if is_missing && mount.value.read_only == Some(false) {
                        finding.hint =
                            finding.hint.map(|hint| made(&hint, source.as_path(), draft, manifest));
                    }
                    draft.findings.push(finding);
                    continue;
                }
            },
        };
        if let Some(finding) = mismatch(draft, target, is_directory, origin) {
            draft.findings.push(finding);
            continue;
        }
        let origin = origin.found("mount point");
        if is_directory {
            draft.directory(target, &origin);
        } else if draft.find(target).is_none() {
            draft.place(target, empty(), Claim::Along, &origin);
        }
        if let Some(finding) = link_in_the_way(draft, target, &mount.origin) {
            draft.findings.push(finding);
        }
    }
    if let Some(directory) = &manifest.program.working_directory {
        draft.directory(directory.value.as_path(), &directory.origin.found("working directory"));
    }
}
