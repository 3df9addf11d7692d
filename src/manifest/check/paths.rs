//! Rules about paths: mounts against each other, tree entries against each other, and tree entries hidden by mounts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::manifest::control_sockets::starts_containers;
use crate::manifest::finding::Finding;
use crate::manifest::schema::{DeviceName, Manifest, Mount, MountKind, Sys};
use crate::plan::value::{HostPath, JailPath, Size};
use crate::plan::{At, Origin};

/// Where stockade keeps trees and the records of running jails, see DESIGN.
const OWN: [&str; 2] = ["/var/lib/stockade", "/run/stockade"];

/// All rules of this file.
pub(super) fn rules(manifest: &Manifest, findings: &mut Vec<Finding>) {
    for mount in &manifest.mounts {
        target_is_free(manifest, mount, findings);
        source_can_be_shown(mount, findings);
        root_is_squashed_where_it_writes(mount, findings);
        memory_is_bounded(mount, findings);
    }
    mounts_do_not_hide_mounts(&manifest.mounts, findings);
    tree_paths_do_not_collide(manifest, findings);
    tree_paths_are_visible(manifest, findings);
    nothing_is_listed_twice(manifest, findings);
}

fn target_is_free(manifest: &Manifest, mount: &At<Mount>, findings: &mut Vec<Finding>) {
    let target = &mount.value.target;
    let taken = |what: &str, hint: &str| {
        Finding::error(format!("nothing can be mounted on `{target}`: {what}"), &mount.origin).hint(hint)
    };
    let path = target.as_path();
    if path == Path::new("/") {
        findings.push(taken(
            "it is the tree itself",
            "mount below it; `read_only = false` under `[root]` makes the tree writable",
        ));
    } else if path.starts_with("/proc") {
        findings.push(taken(
            "stockade mounts the jail's own /proc",
            "choose how much of it by `proc` under `[root]`",
        ));
    } else if path.starts_with("/sys")
        && manifest.root.sys.as_ref().is_some_and(|sys| sys.value == Sys::Masked)
    {
        findings.push(taken(
            "stockade mounts the jail's own /sys",
            "leave `sys` out of `[root]`, or show less of the host",
        ));
    } else if path == Path::new("/dev") {
        findings.push(taken(
            "stockade makes the jail's own /dev",
            "name `devices` under `[tree]`; one more of the host is mounted below, such as `/dev/fuse`",
        ));
    } else if let Some(device) = device_at(manifest, path) {
        findings.push(taken(
            "stockade makes the jail's own",
            &format!("leave `{device}` out of `devices` under `[tree]`"),
        ));
    }
}

/// The device of the jail's own whose place this is, by its name in `devices`.
fn device_at(manifest: &Manifest, path: &Path) -> Option<&'static str> {
    let place = path.strip_prefix("/dev").ok()?.to_str()?;
    let listed = |device: DeviceName| match device {
        DeviceName::Node(device) => (device.name == place).then_some(device.name),
        DeviceName::Pts => ["pts", "ptmx"].contains(&place).then_some("pts"),
        DeviceName::Shm => (place == "shm").then_some("shm"),
        DeviceName::Log => (place == "log").then_some("log"),
    };
    manifest.tree.devices.as_ref()?.iter().find_map(|device| listed(device.value))
}

fn source_can_be_shown(mount: &At<Mount>, findings: &mut Vec<Finding>) {
    let Some(source) = mount.value.kind.source() else { return };
    let path = source.as_path();
    // What is written to an overlay never comes there.
    let writable =
        mount.value.read_only == Some(false) && !matches!(mount.value.kind, MountKind::Overlay { .. });
    let own = OWN.iter().find(|own| path.starts_with(own));
    let above = OWN.iter().find(|own| Path::new(own).starts_with(path));
    if path == Path::new("/") {
        let finding = if writable {
            Finding::error("the jail could write every file of the host", &mount.origin)
        } else {
            Finding::warning("the jail sees every file of the host", &mount.origin)
        };
        findings.push(finding.hint("name as `source` only what the program needs"));
    } else if let Some(own) = own {
        findings.push(
            Finding::error(
                format!("`{own}` is where stockade keeps its own trees and records"),
                &mount.origin,
            )
            .hint("show another directory"),
        );
    } else if let Some(own) = above.filter(|_| writable) {
        findings.push(
            Finding::warning(
                format!("the jail can write `{own}`, where stockade keeps its own trees and records"),
                &mount.origin,
            )
            .hint("name as `source` only what the program needs, or leave it read-only"),
        );
    } else if path.starts_with("/proc") {
        findings.push(
            Finding::warning("the host's /proc shows the host's processes", &mount.origin)
                .hint("the jail has a /proc of its own, see `proc` under `[root]`"),
        );
    } else if starts_containers(path) {
        findings.push(
            Finding::warning(format!("who can talk to `{source}` is root on the host"), &mount.origin)
                .why("it starts containers with any mount, for every client"),
        );
    }
}

fn root_is_squashed_where_it_writes(mount: &At<Mount>, findings: &mut Vec<Finding>) {
    let MountKind::Bind { root_squash: Some(_), .. } = &mount.value.kind else { return };
    if mount.value.read_only != Some(false) {
        findings.push(
            Finding::warning("`root_squash` has no effect", &mount.origin)
                .why("what is shown read-only nobody can write")
                .hint("leave it out, or say `read_only = false`"),
        );
    }
}

fn memory_is_bounded(mount: &At<Mount>, findings: &mut Vec<Finding>) {
    let what = match mount.value.kind {
        MountKind::Tmpfs { size: Some(Size(0)), .. } => Some("a tmpfs"),
        MountKind::Overlay { size: Some(Size(0)), .. } => Some("the scratch layer of an overlay"),
        _ => None,
    };
    if let Some(what) = what {
        findings.push(
            Finding::warning(format!("{what} of size 0 has no limit"), &mount.origin)
                .why("see tmpfs(5): it may fill the host's memory")
                .hint("write a size, such as `size = \"64M\"`"),
        );
    }
}

fn mounts_do_not_hide_mounts(mounts: &[At<Mount>], findings: &mut Vec<Finding>) {
    let mut earlier: BTreeSet<&Path> = BTreeSet::new();
    for mount in mounts {
        let target = mount.value.target.as_path();
        if earlier.contains(target) {
            findings.push(
                Finding::error(format!("`{}` is mounted on twice", mount.value.target), &mount.origin)
                    .hint("the second would hide the first; take one out"),
            );
        // Sorted by components, what is below a path comes next after it.
        } else if let Some(hidden) = earlier.range(target..).next().filter(|next| next.starts_with(target)) {
            findings.push(
                Finding::warning(
                    format!("`{}` hides the earlier mount on `{}`", mount.value.target, hidden.display()),
                    &mount.origin,
                )
                .hint(format!("mounts are made in order; put this one before `{}`", hidden.display())),
            );
        }
        let empty = mounts.iter().take_while(|other| !std::ptr::eq(*other, mount)).find(|other| {
            let above = other.value.target.as_path();
            above != target && target.starts_with(above) && matches!(other.value.kind, MountKind::Mqueue)
        });
        if let Some(empty) = empty {
            let message =
                format!("`{}` is below `{}`, which is mounted empty", mount.value.target, empty.value.target);
            findings.push(
                Finding::error(message, &mount.origin)
                    .why("there is nothing to mount on when the jail starts")
                    .hint(format!(
                        "mount it beside `{}`, or mount a directory of the host there",
                        empty.value.target
                    )),
            );
        }
        earlier.insert(target);
    }
}

/// What an entry of the tree makes at its path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    Directory,
    Link,
    Text,
}

impl Made {
    fn name(self) -> &'static str {
        match self {
            Self::Directory => "a directory",
            Self::Link => "a link",
            Self::Text => "a file",
        }
    }
}

/// Every path the manifest itself makes, with what it makes there.
fn made(manifest: &Manifest) -> impl Iterator<Item = (&JailPath, Made, &Origin)> {
    let tree = &manifest.tree;
    let directories = tree.directories.iter().map(|at| (&at.value.path, Made::Directory, &at.origin));
    let links = tree.links.iter().map(|at| (&at.value.path, Made::Link, &at.origin));
    let text = tree.text.iter().map(|at| (&at.value.path, Made::Text, &at.origin));
    directories.chain(links).chain(text)
}

fn tree_paths_do_not_collide(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let mut at: BTreeMap<&JailPath, Made> = BTreeMap::new();
    for (path, what, origin) in made(manifest) {
        if what != Made::Directory && path.as_path() == Path::new("/") {
            findings.push(Finding::error(format!("`/` cannot be {}", what.name()), origin));
        }
        if let Some(before) = at.insert(path, what) {
            let message = if before == what {
                format!("`{path}` is made twice")
            } else {
                format!("`{path}` cannot be {} and {}", before.name(), what.name())
            };
            findings.push(Finding::error(message, origin).hint("take one out"));
        }
    }
    for (path, _, origin) in made(manifest) {
        let above = path.as_path().ancestors().skip(1).filter_map(|above| JailPath::parse(above).ok());
        for above in above {
            if at.get(&above) == Some(&Made::Text) {
                findings.push(
                    Finding::error(format!("`{path}` cannot be below `{above}`, which is a file"), origin)
                        .hint("take one out"),
                );
            }
        }
    }
}

fn tree_paths_are_visible(manifest: &Manifest, findings: &mut Vec<Finding>) {
    const KERNEL: [&str; 2] = ["/proc", "/dev"];
    // Of a tree in memory what is below a tmpfs is made in it, and what is below a bind cannot be made, which is found later.
    if manifest.root.is_in_memory() {
        return;
    }
    let targets: Vec<&Path> = manifest
        .mounts
        .iter()
        .map(|mount| mount.value.target.as_path())
        .filter(|target| *target != Path::new("/"))
        .chain(KERNEL.map(Path::new))
        .collect();
    for (path, what, origin) in made(manifest) {
        // A directory may well be the place something is mounted on.
        let hidden = |target: &&&Path| {
            path.as_path().starts_with(target) && (what != Made::Directory || path.as_path() != **target)
        };
        if what == Made::Link && targets.contains(&path.as_path()) {
            let message = format!("`{path}` is a symbolic link, and something is to be mounted on it");
            findings.push(
                Finding::error(message, origin).hint("mount on what the link leads to, or take the link out"),
            );
        } else if let Some(target) = targets.iter().find(hidden) {
            findings.push(
                Finding::warning(
                    format!("`{path}` is hidden by what is mounted on `{}`", target.display()),
                    origin,
                )
                .hint("make it on the mounted side, or take it out"),
            );
        }
    }
}

fn nothing_is_listed_twice(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let tree = &manifest.tree;
    let programs: Vec<_> = tree.programs.iter().map(|at| (&at.value.path, &at.origin)).collect();
    let libraries: Vec<_> =
        tree.libraries.iter().map(|at| (at, &at.origin)).map(|(at, origin)| (&at.value, origin)).collect();
    let files: Vec<_> = tree
        .files
        .iter()
        .filter(|at| at.value.target.is_none())
        .map(|at| (&at.value.path, &at.origin))
        .collect();
    for list in [programs, libraries, files] {
        let mut seen: BTreeSet<&HostPath> = BTreeSet::new();
        for (path, origin) in list {
            if !seen.insert(path) {
                findings
                    .push(Finding::warning(format!("`{path}` is listed twice"), origin).hint("take one out"));
            }
        }
    }
}
