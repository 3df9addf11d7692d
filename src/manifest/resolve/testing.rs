//! Shared by the unit tests of this directory: a host of its own in a temporary directory, and steps as short text.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::accounts::Accounts;
use super::run::{Run, Tree, run_steps};
use super::tree::{Nodes, TreeSteps, tree_steps};
use crate::manifest::finding::Finding;
use crate::manifest::schema::{Files, Manifest};
use crate::plan::step::{Action, Owner};
use crate::plan::{At, HostPath, JailName, JailPath, Origin, Place, Source, Step, order};
use crate::sys::descriptor::Descriptor;
use crate::sys::host::Host;
use crate::sys::priority::Priorities;

/// The first of the ids that a jail of root's has outside.
pub(super) const FIRST_ID: u32 = 600_000_000;

/// A host made for one test.
pub(super) struct Scene {
    pub(super) host: Host,
    source: Rc<Source>,
}

impl Scene {
    pub(super) fn new(name: &str) -> Self {
        // Two tests may give the same name.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let root =
            std::env::temp_dir().join(format!("stockade-resolve-{name}-{}-{count}", std::process::id()));
        // What makes it a /proc that shows what the kernel has.
        fs::create_dir_all(root.join("proc/tty")).unwrap();
        fs::write(root.join("proc/version"), "").unwrap();
        let source = Rc::new(Source { path: "test.toml".into(), text: String::new() });
        Self {
            host: Host {
                root,
                uid: 0,
                gid: 0,
                device_nodes: true,
                keyrings: true,
                limits: [[u64::MAX; 2]; 16],
                priorities: Priorities::default(),
                landlock: Ok(7),
                seccomp: true,
                standard: [Descriptor::PIPE; 3],
                first_user_namespace: true,
                has_one_id: false,
            },
            source,
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        let path = self.host.root.join(path);
        let parent = path.parent().unwrap();
        if !parent.exists() {
            let below = parent.strip_prefix(&self.host.root).unwrap().to_str().unwrap().to_owned();
            self.directory(&below, 0o755);
        }
        path
    }

    pub(super) fn file(&self, path: &str, text: &str) -> &Self {
        self.file_with(path, text.as_bytes(), 0o644)
    }

    pub(super) fn file_with(&self, path: &str, bytes: &[u8], mode: u32) -> &Self {
        let path = self.path(path);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// A static program: an ELF64 header for x86-64, one segment, and no code.
    pub(super) fn program(&self, path: &str, mode: u32) -> &Self {
        let mut bytes = vec![0; 64 + 56];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        (bytes[16], bytes[18], bytes[20], bytes[52]) = (2, 62, 1, 64); // ET_EXEC, EM_X86_64, EV_CURRENT, e_ehsize
        (bytes[32], bytes[54], bytes[56], bytes[64]) = (64, 56, 1, 1); // where, how large and how many; PT_LOAD
        self.file_with(path, &bytes, mode)
    }

    pub(super) fn directory(&self, path: &str, mode: u32) -> &Self {
        let mut at = self.host.root.clone();
        for name in path.split('/') {
            at.push(name);
            if !at.exists() {
                fs::create_dir(&at).unwrap();
                fs::set_permissions(&at, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        fs::set_permissions(at, fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub(super) fn link(&self, path: &str, target: &str) -> &Self {
        symlink(target, self.path(path)).unwrap();
        self
    }

    pub(super) fn hard_link(&self, path: &str, existing: &str) -> &Self {
        fs::hard_link(self.host.root.join(existing), self.path(path)).unwrap();
        self
    }

    pub(super) fn origin(&self, line: u32) -> Origin {
        Origin::Manifest(Place { source: self.source.clone(), line, column: 1, length: 1 })
    }

    pub(super) fn at<T>(&self, line: u32, value: T) -> At<T> {
        At { value, origin: self.origin(line) }
    }

    /// An entry of `files` with nothing but a path.
    pub(super) fn files(&self, line: u32, path: &str) -> At<Files> {
        self.at(line, Files::at(HostPath::parse(path).unwrap()))
    }

    pub(super) fn resolve(&self, manifest: &Manifest) -> Result<TreeSteps, Vec<Finding>> {
        let accounts = Accounts::of(manifest, &self.host).unwrap();
        tree_steps(manifest, &self.host, &accounts, Nodes::Made)
    }

    /// The run part of a manifest: jail `web`, its tree at `/tree` and its program at `/program`, in a legal order.
    pub(super) fn run(&self, manifest: &Manifest) -> Result<Run, Vec<Finding>> {
        let accounts = Accounts::of(manifest, &self.host).unwrap();
        let name = JailName::parse("web").unwrap();
        let (tree, program) = (HostPath::parse("/tree").unwrap(), JailPath::parse("/program").unwrap());
        let run = run_steps(manifest, &self.host, &accounts, &name, &Tree::on_disk(&tree), &program, || {
            Ok(FIRST_ID)
        })?;
        assert_eq!(order::check(&run.steps), Ok(()));
        Ok(run)
    }

    /// The steps of a manifest as text, without those every tree has: /dev, /proc and the names of users.
    pub(super) fn steps(&self, manifest: &Manifest) -> Vec<String> {
        let resolved = self.resolve(manifest).unwrap();
        let own = |text: &String| {
            let names = ["/passwd", "/group", "/nsswitch.conf"];
            !text.contains(" /dev")
                && !text.contains(" /proc")
                && !names.iter().any(|name| text.ends_with(name))
        };
        let steps = resolved.steps.iter().map(brief).filter(own).collect::<Vec<_>>();
        // /etc is there for those names; leave it where something else is in it.
        let in_etc = steps.iter().any(|step| step.contains(" /etc/"));
        steps.into_iter().filter(|step| in_etc || step != "dir 0755 /etc").collect()
    }

    /// The messages of what is wrong, each with its hint.
    pub(super) fn errors(&self, manifest: &Manifest) -> Vec<String> {
        let findings = self.resolve(manifest).unwrap_err();
        findings
            .into_iter()
            .map(|finding| format!("{}; {}", finding.message, finding.hint.unwrap_or_default()))
            .collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Whoever is not root removes nothing from a directory that it may not write to.
        for entry in walkdir::WalkDir::new(&self.host.root).into_iter().flatten() {
            if entry.file_type().is_dir() {
                let _ = fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o700));
            }
        }
        let _ = fs::remove_dir_all(&self.host.root);
    }
}

/// A step in few words. Owners are shown unless they are root or whoever runs the test.
pub(super) fn brief(step: &Step) -> String {
    let of = |owner: &Owner| {
        let ours = Host::current(std::path::Path::new("/"));
        let plain = (owner.uid == 0 || owner.uid == ours.uid) && (owner.gid == 0 || owner.gid == ours.gid);
        if plain { String::new() } else { format!(" {}:{}", owner.uid, owner.gid) }
    };
    match &step.action {
        Action::MakeDirectory { path, mode, owner } => format!("dir {mode}{} {path}", of(owner)),
        Action::CopyFile { source, path, mode, owner, .. } if source.as_path() == path.as_path() => {
            format!("copy {mode}{} {path}", of(owner))
        }
        Action::CopyFile { source, path, mode, owner, .. } => {
            format!("copy {mode}{} {source} => {path}", of(owner))
        }
        Action::MakeHardLink { existing, path } => format!("hard {existing} => {path}"),
        Action::MakeSymlink { text, path, .. } => format!("link {path} -> {}", text.display()),
        Action::WriteFile { path, mode, owner, .. } => format!("text {mode}{} {path}", of(owner)),
        Action::MakeDevice { path, .. } => format!("device {path}"),
        other => format!("{other:?}"),
    }
}
