//! What the tests of `tests/` share: a directory of one's own, the real binary, whole-output comparison, and reasons to skip.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A temporary directory, removed with everything in it at the end of the test.
pub(crate) struct Dir {
    path: PathBuf,
}

impl Dir {
    /// A new, empty directory. The name helps whoever finds one that was left behind.
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique =
            format!("stockade-{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&path).unwrap();
        Self { path }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something in it.
    pub(crate) fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path.join(path)
    }

    /// Writes a file, with the directories above it.
    pub(crate) fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> &Self {
        let path = self.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// The binary, to be run in this directory with these arguments. It sees no manifest and no state but this directory's.
    pub(crate) fn stockade<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut inner = std::process::Command::new(binary());
        inner
            .args(arguments)
            .current_dir(&self.path)
            .env("XDG_CONFIG_HOME", self.join("config"))
            .env("STOCKADE_STATE_DIR", self.join("state"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        Command { inner }
    }
}

/// The binary under test. `tests/run` sets STOCKADE_TEST_PLACE to where it has put copies that an ordinary user can reach.
pub(crate) fn binary() -> PathBuf {
    match std::env::var_os("STOCKADE_TEST_PLACE") {
        Some(place) => Path::new(&place).join("bin/stockade"),
        None => env!("CARGO_BIN_EXE_stockade").into(),
    }
}

/// An example manifest of `jails/`.
pub(crate) fn jail(name: &str) -> PathBuf {
    let place = std::env::var_os("STOCKADE_TEST_PLACE");
    place.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from).join("jails").join(name)
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A run of the binary that is still being prepared.
pub(crate) struct Command {
    /// For whatever a test needs beyond the methods here.
    pub inner: std::process::Command,
}

impl Command {
    /// Adds arguments that need not be text.
    pub(crate) fn args<A: AsRef<std::ffi::OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.inner.args(arguments);
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.inner.env(name, value);
        self
    }

    /// Runs it to its end.
    pub(crate) fn output(mut self) -> Output {
        let output = self.inner.output().unwrap();
        Output {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }

    /// Runs it and compares everything it says.
    #[track_caller]
    pub(crate) fn expect(self, code: i32, stdout: &str, stderr: &str) {
        let output = self.output();
        let mut wrong = String::new();
        if output.code != Some(code) {
            let _ = writeln!(wrong, "exit code {:?}, expected {code}", output.code);
        }
        for (name, found, expected) in
            [("stdout", &output.stdout, stdout), ("stderr", &output.stderr, stderr)]
        {
            if found != expected {
                let _ = writeln!(wrong, "{name} (- expected, + found):\n{}", difference(expected, found));
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
    }
}

/// What a run left.
#[derive(Debug)]
pub(crate) struct Output {
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
    /// The exit code; `None` when killed by a signal.
    pub code: Option<i32>,
}

/// Two texts line by line: what both have at the start and at the end is kept, between them first what was expected.
pub(crate) fn difference(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let shorter = expected.len().min(found.len());
    let head = (0..shorter).take_while(|at| expected[*at] == found[*at]).count();
    let tail = (1..=shorter - head)
        .take_while(|back| expected[expected.len() - back] == found[found.len() - back])
        .count();
    let mut out = String::new();
    for (mark, lines) in [
        (' ', &expected[..head]),
        ('-', &expected[head..expected.len() - tail]),
        ('+', &found[head..found.len() - tail]),
        (' ', &expected[expected.len() - tail..]),
    ] {
        for line in lines {
            let _ = writeln!(out, "{mark} {line}");
        }
    }
    out
}

/// What a test may need of the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need {
    /// To be root.
    Root,
    /// To be able to make user namespaces.
    UserNamespaces,
    /// A program in PATH.
    Program(&'static str),
    /// To run and compile programs for 32-bit x86.
    Narrow,
    /// To be able to make control groups.
    ControlGroups,
    /// Overlays with all that they can do: as an ordinary user, since Linux 6.6.
    Overlays,
}

/// Makes an overlay in a mount namespace of its own, and in it a directory in place of one that was there before.
const OVERLAY: &str = "mount -t tmpfs layer /tmp && cd /tmp && mkdir -p l/d u w m && \
                       mount -t overlay -o lowerdir=l,upperdir=u,workdir=w$0 overlay m && rmdir m/d && mkdir m/d";

impl Need {
    /// Why it is not met, if it is not.
    fn unmet(self) -> Option<String> {
        match self {
            Self::Root => (!is_root()).then(|| "needs root".into()),
            Self::UserNamespaces => {
                let works = std::process::Command::new("unshare")
                    .args(["--user", "true"])
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status()
                    .is_ok_and(|status| status.success());
                (!works).then(|| "needs user namespaces".into())
            }
            Self::Program(name) => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let found = std::env::split_paths(&path).any(|directory| directory.join(name).is_file());
                (!found).then(|| format!("needs the program `{name}`"))
            }
            Self::ControlGroups => {
                let host = stockade::sys::host::Host::current(Path::new("/"));
                let available = stockade::manifest::resolve::control_groups::available;
                let wanted = ["memory", "pids", "cpu"];
                let missing = wanted.into_iter().find_map(|controller| available(&host, controller).err());
                missing.map(|missing| format!("needs control groups ({missing})"))
            }
            Self::Overlays => {
                let (own, option): (&[&str], _) =
                    if is_root() { (&[], "") } else { (&["--user", "--map-root-user"], ",userxattr") };
                let works = std::process::Command::new("unshare")
                    .args(own)
                    .args(["--mount", "sh", "-c", OVERLAY, option])
                    .stderr(Stdio::null())
                    .status()
                    .is_ok_and(|status| status.success());
                (!works)
                    .then(|| "needs overlays (overlayfs; as an ordinary user on a tmpfs, Linux 6.6)".into())
            }
            Self::Narrow => {
                let place = Dir::new("narrow");
                let program = place.join("program");
                let works = compile(&program, "int main(void) { return 0; }", &["-m32"])
                    && std::process::Command::new(program).status().is_ok_and(|status| status.success());
                (!works).then(|| "needs 32-bit x86 (gcc-multilib)".into())
            }
        }
    }
}

/// Whether these tests run as root, whose jails have real users.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Longest wait for something that is to come. Nothing is measured by it: it only ends a test that would hang.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until `what` is there.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Numbers that look random, the same in every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Whether a test can run here. If not, it says why, and the test returns; where STOCKADE_NO_SKIP is set, it fails instead, so
/// that a machine meant to run everything cannot quietly run less.
#[must_use = "a test returns when this is false"]
#[track_caller]
pub(crate) fn needs(need: Need) -> bool {
    let Some(why) = need.unmet() else { return true };
    assert!(
        std::env::var_os("STOCKADE_NO_SKIP").is_none(),
        "skipped although STOCKADE_NO_SKIP is set: {why}"
    );
    // Past the test harness, which shows the output of failed tests only.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("SKIP: {why}\n").as_bytes());
    false
}

/// Waits until no other run of these tests on this machine, whoever's, tries this daemon: it listens where its manifest says, in the
/// host's network, for as long as what is returned lasts. A lock on the program itself is one that everybody can have.
#[must_use = "the turn ends when it is dropped"]
pub(crate) fn turn(daemon: &str) -> Option<std::fs::File> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path).map(|place| place.join(daemon)).find(|path| path.is_file())?;
    let file = std::fs::File::open(program).ok()?;
    file.lock().unwrap();
    Some(file)
}

/// Copies a program. By another process: a descriptor open for writing here would be every process's that another test starts at
/// this moment, and the copy could not be executed (ETXTBSY).
pub(crate) fn copy_program(from: &Path, to: &Path) {
    assert!(std::process::Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

/// Writes a program, by another process as well.
pub(crate) fn write_program(to: &Path, content: &[u8]) {
    use std::io::Write as _;
    let mut writer = std::process::Command::new("sh");
    let mut writer = writer.args(["-c", "cat > \"$0\""]).arg(to).stdin(Stdio::piped()).spawn().unwrap();
    writer.stdin.take().unwrap().write_all(content).unwrap();
    assert!(writer.wait().unwrap().success());
}

/// Compiles a C program that needs no file but itself.
pub(crate) fn compile_static(to: &Path, source: &str) {
    assert!(compile(to, source, &[]));
}

/// The same with more options, where that works.
pub(crate) fn compile(to: &Path, source: &str, options: &[&str]) -> bool {
    use std::io::Write as _;
    let mut compiler = std::process::Command::new("cc")
        .args(["-O1", "-static", "-x", "c", "-", "-o"])
        .arg(to)
        .args(options)
        .stdin(Stdio::piped())
        .stderr(if options.is_empty() { Stdio::inherit() } else { Stdio::null() })
        .spawn()
        .expect("cc, which the Rust toolchain links with too");
    compiler.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    compiler.wait().unwrap().success()
}
