//! A jail with its manifest in a directory of its own, and the look for what it left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{self, PATIENCE};
pub(crate) use crate::common::{is_root, until};

/// A name that no other test has, nor the same test of another user or checkout at this moment: control groups are called after the
/// jail, and are the whole machine's.
pub fn own_name(name: &str) -> &'static str {
    format!("{name}-of-{}", std::process::id()).leak()
}

/// The probe, compiled once.
fn probe() -> &'static [u8] {
    static PROBE: OnceLock<Vec<u8>> = OnceLock::new();
    PROBE.get_or_init(|| {
        let directory = common::Dir::new("run-jail-probe");
        let path = directory.path().join("probe");
        common::compile_static(&path, include_str!("probe.c"));
        fs::read(path).unwrap()
    })
}

/// A jail in a directory of its own.
pub struct Jail {
    directory: PathBuf,
    /// What marks its processes.
    token: String,
    name: &'static str,
}

impl Jail {
    /// A jail whose program is the probe; `more` is the rest of the manifest, as dotted keys.
    pub fn probe(name: &'static str, more: &str) -> Self {
        Self::with_command(name, r#"["/probe"]"#, more)
    }

    /// A jail whose program is a shell; its script is given when it is run.
    pub fn shell(name: &'static str, more: &str) -> Self {
        Self::with_command(name, r#"["/bin/sh", "-c"]"#, more)
    }

    /// A jail with this command.
    pub fn with_command(name: &'static str, command: &str, more: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let token =
            format!("stockade-run-{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(&token);
        fs::create_dir(&directory).unwrap();
        let jail = Self { directory, token, name };
        common::write_program(&jail.path("probe"), probe());
        fs::set_permissions(jail.path("probe"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        jail.write_manifest(command, more);
        jail
    }

    /// Writes the manifest anew. `{here}` in `more` is the jail's directory on the host.
    pub fn write_manifest(&self, command: &str, more: &str) {
        let probe = self.path("probe");
        let manifest = format!(
            "name = \"{}\"\n\
             program.command = {command}\n\
             program.environment.STOCKADE_TEST = \"{}\"\n\
             tree.files = [\n\
                 {{ path = \"{}\", target = \"/probe\" }},\n\
                 {{ path = \"/bin/busybox\", target = \"/bin/busybox\" }},\n\
             ]\n\
             tree.links = [{{ path = \"/bin/sh\", target = \"busybox\" }}]\n\
             {}\n",
            self.name,
            self.token,
            probe.display(),
            more.replace("{here}", &self.directory.display().to_string()),
        );
        fs::write(self.manifest(), manifest).unwrap();
    }

    /// A path in the jail's directory on the host.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The manifest.
    pub fn manifest(&self) -> PathBuf {
        self.path("jail.toml")
    }

    /// The tree as the host sees it, once it is built.
    pub fn tree(&self) -> PathBuf {
        self.path("state").join(self.name).join("current/tree")
    }

    /// `stockade VERB` of this jail.
    pub fn stockade(&self, verb: &str) -> Command {
        let mut command = Command::new(common::binary());
        command
            .arg(verb)
            .arg(self.manifest())
            .env("STOCKADE_STATE_DIR", self.path("state"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// `stockade run` with arguments for the program.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.stockade("run");
        command.arg("--").args(arguments);
        command
    }

    /// The same, from a shell that has done something to itself first.
    pub fn command_after(&self, before: &str, arguments: &[&str]) -> Command {
        let run = self.command(arguments);
        let mut command = Command::new("bash");
        command
            .args(["-c", &format!("{before}; exec \"$@\""), "bash"])
            .arg(run.get_program())
            .args(run.get_args())
            .env("STOCKADE_STATE_DIR", self.path("state"))
            .stdin(Stdio::null());
        command
    }

    /// Builds the tree, so that what a run says is the program's alone.
    pub fn build(&self) -> &Self {
        let output = self.stockade("build").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self
    }

    /// Builds and runs to the end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.build();
        finish(&mut self.command(arguments))
    }

    /// Builds, runs, and compares all that is seen from outside.
    #[track_caller]
    pub fn expect(&self, arguments: &[&str], code: i32, stdout: &str) {
        let ended = self.run(arguments);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str(), ended.code), (stdout, "", Some(code)));
    }

    /// A run that must fail in stockade itself; what it said.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!((ended.stdout.as_str(), ended.code), ("", Some(125)), "{}", ended.stderr);
        ended.stderr
    }

    /// Starts a run whose output is read line by line.
    pub fn start(&self, arguments: &[&str]) -> Running {
        self.build();
        Running::start(&mut self.command(arguments))
    }

    /// Processes of the jail that live, supervisors included: those that name its directory or carry its mark.
    pub fn processes(&self) -> Vec<String> {
        let own = std::process::id().to_string();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap() {
            let path = entry.unwrap().path();
            let Some(pid) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if pid == own || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let contains = |file: &str| {
                let bytes = fs::read(path.join(file)).unwrap_or_default();
                bytes.windows(self.token.len()).any(|part| part == self.token.as_bytes())
            };
            if contains("cmdline") || contains("environ") {
                let line = fs::read(path.join("cmdline")).unwrap_or_default();
                found.push(format!("{pid} {}", String::from_utf8_lossy(&line).replace('\0', " ")));
            }
        }
        found
    }

    /// Waits until no process of the jail is left.
    #[track_caller]
    pub fn wait_for_nobody(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "processes are left: {left:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What a run left behind, beside the processes.
    fn left(&self) -> Vec<String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mut left: Vec<_> = mounts
            .lines()
            .filter(|line| line.contains(&self.token))
            .map(|line| format!("mount {line}"))
            .collect();
        let names = |path: &Path| -> Vec<String> {
            let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
        };
        let state = self.path("state");
        // The place of records stays; what killed supervisors have left in it is swept by the next command that looks, or, if they were
        // killed before they wrote a byte, by one a second later.
        let end = Instant::now() + PATIENCE;
        let listed = loop {
            let mut list = Command::new(common::binary());
            let list = list.arg("list").env("STOCKADE_STATE_DIR", &state).output().unwrap();
            if names(&state.join(".run")).is_empty() || Instant::now() > end {
                break String::from_utf8(list.stdout).unwrap();
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        left.extend(listed.lines().map(str::to_owned));
        left.extend(names(&state).into_iter().filter(|name| name != self.name && name != ".run"));
        left.extend(names(&state.join(".run")));
        let known = ["current", "generations", "ids", "keep", "lock"];
        left.extend(names(&state.join(self.name)).into_iter().filter(|name| !known.contains(&name.as_str())));
        let generations = state.join(self.name).join("generations");
        for generation in names(&generations) {
            let known = ["record.json", "stamp", "tree"];
            left.extend(
                names(&generations.join(generation))
                    .into_iter()
                    .filter(|name| !known.contains(&name.as_str())),
            );
        }
        left
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for process in self.processes() {
                let pid = process.split(' ').next().and_then(|pid| pid.parse().ok());
                let _ = pid.map(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL));
            }
        } else {
            self.wait_for_nobody();
            assert_eq!(self.left(), [""; 0], "left behind by jail `{}`", self.name);
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A run that has ended.
#[derive(Debug)]
pub struct Ended {
    pub stdout: String,
    pub stderr: String,
    pub code: Option<i32>,
}

impl Ended {
    /// The output's lines, when nothing went wrong.
    #[track_caller]
    pub fn lines(&self) -> Vec<&str> {
        assert_eq!((self.stderr.as_str(), self.code), ("", Some(0)), "stdout: {}", self.stdout);
        self.stdout.lines().collect()
    }
}

/// Runs to the end.
pub fn finish(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code(),
    }
}

/// A supervisor that runs.
pub struct Running {
    pub child: Child,
    output: std::io::BufReader<std::process::ChildStdout>,
}

impl Running {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = std::io::BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// The next line it prints; empty when there will be none.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut self.output, &mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits for a line.
    #[track_caller]
    pub fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// The supervisor's process id.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// PID 1 of the jail, as the host sees it.
    pub fn first(&self) -> i32 {
        children(self.pid())[0]
    }

    /// The program's process, as the host sees it.
    pub fn program(&self) -> i32 {
        children(self.first())[0]
    }

    /// Sends the supervisor a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Its exit code, or minus the signal it was killed by.
    pub fn wait(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt as _;
        let status = self.child.wait().unwrap();
        status.code().unwrap_or_else(|| -status.signal().unwrap_or(0))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Children of a process.
pub fn children(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// One line of /proc/PID/status.
pub fn status_of(pid: i32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

/// The processor time a process has used, in clock ticks.
pub fn ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
