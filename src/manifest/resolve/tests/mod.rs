//! Whole manifests to whole lists of steps: the tree's `shape`, what each kind of entry brings (`entries`), and what is said
//! about mistakes (`findings`). And what Landlock is to allow (`landlock`), what becomes of the caller's standard descriptors
//! (`standard`), what of the host is shown by `host` (`host_files`), what is made in memory (`furniture`), what of /proc is covered (`proc`), which sockets are shown (`sockets`), which system calls may be made
//! (`system_calls`), and what a program starts with beside its rights (`circumstances`).

mod circumstances;
mod control_groups;
mod entries;
mod findings;
mod furniture;
mod host_files;
mod landlock;
mod overlay;
mod proc;
mod shape;
mod sockets;
mod standard;
mod sys;
mod system_calls;

use super::testing::Scene;
use crate::manifest::schema::{Directory, Mount, MountKind, ProgramFile, Text};
use crate::plan::step::Keep;
use crate::plan::{HostPath, JailPath};

pub(super) fn jail(path: &str) -> JailPath {
    JailPath::parse(path).unwrap()
}

pub(super) fn host(path: &str) -> HostPath {
    HostPath::parse(path).unwrap()
}

pub(super) fn program(path: &str) -> ProgramFile {
    ProgramFile { path: host(path), keep: Keep::default() }
}

pub(super) fn text(path: &str, content: &str) -> Text {
    Text { path: jail(path), content: content.into(), owner: None, group: None, mode: None }
}

pub(super) fn directory(path: &str) -> Directory {
    Directory { path: jail(path), owner: None, group: None, mode: None }
}

pub(super) fn bind(source: &str, target: &str) -> Mount {
    let kind = MountKind::Bind {
        source: host(source),
        recursive: None,
        optional: false,
        root_squash: None,
        sockets: false,
        devices: false,
    };
    Mount { target: jail(target), kind, read_only: None, executable: None }
}

/// A host with merged /usr.
pub(super) fn merged(name: &str) -> Scene {
    let scene = Scene::new(name);
    scene.directory("usr/bin", 0o755).link("bin", "usr/bin");
    scene
}
