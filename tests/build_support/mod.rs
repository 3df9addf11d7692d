//! What the tests of building share: plans made by hand, a state directory of their own, and the test program run
//! again as a helper.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "a module of several test programs, each of which uses its part"
)]

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use stockade::plan::step::{Keep, Owner};
use stockade::plan::{Action, HostPath, JailName, JailPath, Mode, Origin, Phase, Plan, Step};
use stockade::tree::{Built, Error, Record, Store, Wish, build, build_as};

/// The digest of a manifest that the tests build from.
pub const DIGEST: [u8; 32] = [0x11; 32];

/// A private directory with a state directory in it, removed at the end.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("stockade-build-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file of the host to be copied.
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    pub fn store(&self) -> Store {
        Store::open(&self.state()).unwrap()
    }

    pub fn build(&self, steps: Vec<Action>) -> Result<Built, Error> {
        build(&self.store(), &plan(steps), &DIGEST, is_root())
    }

    /// A build that keeps no older tree.
    pub fn build_alone(&self, steps: Vec<Action>) -> Result<Built, Error> {
        let wish = Wish { digest: DIGEST, root_user: is_root(), keep: Some(0), ..Wish::default() };
        let go_on = &mut |_| ControlFlow::Continue(());
        build_as(&self.store(), &plan(steps), &wish, go_on, &mut |_| true)
    }

    /// Below the current tree.
    pub fn tree(&self, path: &str) -> PathBuf {
        self.state().join("web/current/tree").join(path)
    }

    pub fn record(&self) -> Record {
        Record::from_json(&fs::read(self.state().join("web/current/record.json")).unwrap()).unwrap()
    }

    /// What is in the jail's directory of generations.
    pub fn generations(&self) -> Vec<String> {
        let list = fs::read_dir(self.state().join("web/generations")).unwrap();
        let mut names: Vec<_> = list.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Not std's remove_dir_all: trees of these tests may be deep and closed.
        let _ = Command::new("chmod").args(["-R", "u+rwx"]).arg(&self.0).output();
        assert!(Command::new("rm").arg("-rf").arg(&self.0).status().unwrap().success());
    }
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Says why a test does not apply here. Where everything must run, that is a failure.
pub fn skip(why: &str) {
    assert!(std::env::var_os("STOCKADE_NO_SKIP").is_none(), "would be skipped: {why}");
    println!("SKIP: {why}");
}

/// Whether this is root; says so if not.
pub fn needs_root() -> bool {
    if !is_root() {
        skip("needs root");
    }
    is_root()
}

pub fn jail() -> JailName {
    JailName::parse("web").unwrap()
}

/// A plan of these steps, each from a line of its own.
pub fn plan(actions: Vec<Action>) -> Plan {
    let origin = |index| Origin::CommandLine(format!("step {index}"));
    let step = |(index, action)| Step { action, phase: Phase::Build, origin: origin(index) };
    Plan { jail: jail(), steps: actions.into_iter().enumerate().map(step).collect(), layers: Vec::new() }
}

pub fn inside(path: &str) -> JailPath {
    JailPath::parse(path).unwrap()
}

pub fn directory(path: &str, mode: u32) -> Action {
    Action::MakeDirectory { path: inside(path), mode: Mode(mode), owner: Owner::default() }
}

pub fn copy(source: &Path, path: &str, mode: u32) -> Action {
    copy_keeping(source, path, mode, Keep::default())
}

pub fn copy_keeping(source: &Path, path: &str, mode: u32, keep: Keep) -> Action {
    let source = HostPath::parse(source).unwrap();
    Action::CopyFile { source, path: inside(path), mode: Mode(mode), owner: Owner::default(), keep }
}

pub fn text(path: &str, content: &str, mode: u32) -> Action {
    Action::WriteFile {
        path: inside(path),
        content: content.into(),
        mode: Mode(mode),
        owner: Owner::default(),
    }
}

pub fn link(target: &str, path: &str) -> Action {
    Action::MakeSymlink { text: target.into(), path: inside(path), owner: Owner::default() }
}

pub fn hard_link(existing: &str, path: &str) -> Action {
    Action::MakeHardLink { existing: inside(existing), path: inside(path) }
}

pub fn mode_of(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().mode() & 0o7777
}

/// This test program once more, to run its test `name` with `STOCKADE_HELPER` set to `argument`; behind `wrapper` if
/// not empty.
pub fn helper(wrapper: &[&str], name: &str, argument: &Path) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [] => Command::new(&program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(&program);
            command
        }
    };
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env("STOCKADE_HELPER", argument);
    command
}

/// That a helper ran its test, and that it passed.
pub fn assert_passed(result: &Output) {
    let text = String::from_utf8_lossy(&result.stdout);
    assert!(result.status.success() && text.contains("1 passed"), "{result:?}");
}

/// The argument if this is a helper.
pub fn helper_argument() -> Option<PathBuf> {
    std::env::var_os("STOCKADE_HELPER").map(PathBuf::from)
}

/// How to run something as an ordinary user.
pub const AS_NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
