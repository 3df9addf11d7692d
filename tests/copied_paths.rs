//! What a manifest lists is found in the jail under the path it was listed by, whatever links lead there on the host: random hosts,
//! random lists of paths, each built into a tree and looked up in it by the kernel.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[allow(dead_code, unreachable_pub, reason = "the unit tests use the rest")]
#[path = "../src/testing.rs"]
mod testing;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use proptest::prelude::*;
use stockade::manifest::resolve::accounts::Accounts;
use stockade::manifest::resolve::tree::{Nodes, tree_steps};
use stockade::manifest::{self, Request};
use stockade::plan::{Action, HostPath, Plan, order};
use stockade::sys::host::Host;
use stockade::tree::{Store, build};
use testing::{Model, Scratch, config, model, path};

/// What is at a path as seen under a root: a file's content, or the names in a directory.
fn seen(root: &Path, path: &str) -> Result<Result<Vec<u8>, Vec<String>>, Errno> {
    let directory = open(root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let how = OpenHow::new().flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    // EAGAIN and ELOOP may be for renames elsewhere: the kernel begins again, and goes on counting links.
    let ask = || openat2(&directory, path, how);
    let settled = |found: &Result<_, _>| !matches!(found, Err(Errno::EAGAIN | Errno::ELOOP));
    let file = std::iter::repeat_with(ask).take(100).find(settled).unwrap_or_else(ask)?;
    let mut content = Vec::new();
    if let Ok(mut directory) = Dir::from_fd(file.try_clone().unwrap()) {
        let names = directory.iter().map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        return Ok(Err(names));
    }
    File::from(file).read_to_end(&mut content).unwrap();
    Ok(Ok(content))
}

/// A static program that does nothing, so that the manifest has a command: a header and one segment.
fn program(path: &Path) {
    let mut bytes = vec![0; 64 + 56];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    (bytes[16], bytes[18], bytes[20], bytes[52]) = (2, 62, 1, 64);
    (bytes[32], bytes[54], bytes[56], bytes[64]) = (64, 56, 1, 1);
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Builds the tree of a manifest that lists these paths of a host. Where it is.
fn built(scratch: &Scratch, host: &Path, paths: &[String]) -> Result<std::path::PathBuf, TestCaseError> {
    let mut text = "name = \"a\"\n[program]\ncommand = [\"/program\"]\n[tree]\nfiles = [".to_owned();
    for path in paths {
        write!(text, "{path:?}, ").unwrap();
    }
    text += "]\n";
    let manifest = scratch.path().join("a.toml");
    fs::write(&manifest, text).unwrap();
    let request = Request { jail: manifest.into(), ..Request::default() };
    let loaded = manifest::load(&request).map_err(|findings| TestCaseError::fail(format!("{findings:?}")))?;
    let host = Host { root: host.to_owned(), device_nodes: false, ..Host::current(Path::new("/")) };
    let accounts = Accounts::of(&loaded.manifest, &host).unwrap();
    let mut resolved = tree_steps(&loaded.manifest, &host, &accounts, Nodes::Bound)
        .map_err(|findings| TestCaseError::fail(format!("{findings:?}")))?;
    order::check(&resolved.steps).map_err(|violation| TestCaseError::fail(violation.to_string()))?;
    // A plan names its sources as a process of that host does.
    for step in &mut resolved.steps {
        if let Action::CopyFile { source, .. } = &mut step.action {
            *source = HostPath::parse(host.path(source.as_path())).unwrap();
        }
    }
    let plan = Plan { jail: loaded.manifest.name.unwrap().value, steps: resolved.steps, layers: Vec::new() };
    let store = Store::open(&scratch.path().join("state")).unwrap();
    let built =
        build(&store, &plan, &[0; 32], false).map_err(|error| TestCaseError::fail(error.to_string()))?;
    Ok(built.generation.tree())
}

/// A path as a manifest may say it: it has no `..` itself, links may.
fn plain(path: &str) -> Option<String> {
    let names: Vec<_> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    (!names.is_empty() && !names.contains(&"..")).then(|| format!("/{}", names.join("/")))
}

/// Those of the paths that lead to something on the host, other than its root: that is no entry.
fn listed(model: &Model, paths: &[String]) -> Vec<String> {
    let mut paths: Vec<_> = paths.iter().filter_map(|path| plain(path)).collect();
    paths.retain(|path| model.resolve(path).is_ok_and(|real| !real.is_empty()));
    paths.sort();
    paths.dedup();
    paths
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn what_is_listed_is_where_it_was(model in model(), paths in prop::collection::vec(path(), 1..12)) {
        let scratch = Scratch::new("copied");
        let host = scratch.directory("host");
        model.make(&host, "");
        program(&host.join("program"));
        let paths = listed(&model, &paths);
        let tree = built(&scratch, &host, &paths)?;
        for path in &paths {
            prop_assert_eq!(seen(&tree, path), seen(&host, path), "{}", path);
        }
    }
}
