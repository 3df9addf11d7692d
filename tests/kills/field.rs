//! Jails in a directory of their own, whoever runs them, and what may be left of them on the machine.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::common::{self, PATIENCE};

/// The id of an ordinary user, when root tests as one.
pub(super) const NOBODY: u32 = 65534;

/// A program with many processes out of each other's reach, which go on making more while they are killed: at most so many.
pub(super) const STORM: &str = r#"
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
int main(int argc, char **argv) {
    int most = argc > 1 ? atoi(argv[1]) : 0;
    if (most < 0) return 0;
    atomic_int *living = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    signal(SIGCHLD, SIG_IGN);
    for (int number = SIGHUP; number <= SIGTERM; number++)
        if (number != SIGKILL) signal(number, SIG_IGN);
    write(1, "r\n", 2);
    for (int turn = 0;; turn++) {
        if (atomic_fetch_add(living, 1) < most && fork() == 0) {
            setsid();
            continue;
        }
        atomic_fetch_sub(living, 1);
        usleep(1000);
    }
}
"#;

/// Jails in a directory of their own, and who runs them.
pub(super) struct Field {
    directory: PathBuf,
    /// In every path and in the environment of every program.
    mark: String,
    /// What the commands stand behind.
    wrapper: Vec<String>,
    before: Traces,
}

/// What may be left on a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traces {
    mounts: BTreeSet<String>,
    pub(super) cgroups: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
}

/// One jail's manifest.
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) manifest: PathBuf,
}

impl Field {
    /// A field for this process's own user, or for nobody.
    pub(super) fn new(as_nobody: bool) -> Self {
        let mark =
            format!("stockade-kills-{}-{}", std::process::id(), if as_nobody { "nobody" } else { "own" });
        let directory = std::env::temp_dir().join(&mark);
        fs::create_dir(&directory).unwrap();
        common::copy_program(&common::binary(), &directory.join("stockade"));
        common::compile_static(&directory.join("storm"), STORM);
        for name in ["state", "tmp", "run"] {
            fs::create_dir(directory.join(name)).unwrap();
            fs::set_permissions(directory.join(name), fs::Permissions::from_mode(0o700)).unwrap();
        }
        let mut wrapper = Vec::new();
        if as_nobody {
            let id = NOBODY.to_string();
            wrapper.extend(
                ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "--"].map(str::to_owned),
            );
            for name in [".", "state", "tmp", "run"] {
                chown(directory.join(name), Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        let mut field = Self { directory, mark, wrapper, before: Traces::default() };
        field.before = field.traces();
        field
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A jail's name that no other run of these tests has: control groups are called after it, and are the whole machine's.
    pub(super) fn named(&self, name: &str) -> String {
        format!("{name}-of-{}", self.mark)
    }

    /// A jail of one of the shapes that a kill is tried on.
    pub(super) fn shape(&self, init: bool, network: &str) -> Shape {
        let name = self.named(&format!("{}-{network}", if init { "init" } else { "bare" }));
        let manifest = self.path(&format!("{name}.toml"));
        // Enough files that a build takes a while.
        let mut files = String::new();
        for at in 0..30 {
            let file = self.path(&format!("file-{at}"));
            fs::write(&file, vec![b'x'; 40_000]).unwrap();
            let _ = writeln!(files, "{{ path = \"{}\", target = \"/data/{at}\" }},", file.display());
        }
        let text = format!(
            "program.command = [\"/storm\"]\nprogram.init = {init}\nprogram.environment.MARK = \"{}\"\n\
             namespaces.network = \"{network}\"\n\
             tree.files = [{{ path = \"{}\", target = \"/storm\" }},\n{files}]\n\
             [[mounts]]\ntype = \"tmpfs\"\ntarget = \"/tmp\"\n",
            self.mark,
            self.path("storm").display(),
        );
        fs::write(&manifest, text).unwrap();
        Shape { name, manifest }
    }

    /// `stockade VERB JAIL -- ARGUMENTS`, by whom this field is for.
    pub(super) fn command(&self, verb: &str, shape: &Shape, arguments: &[&str]) -> Command {
        let mut words = self.wrapper.clone();
        words.push(self.path("stockade").display().to_string());
        words.extend([verb.to_owned(), shape.manifest.display().to_string()]);
        if !arguments.is_empty() {
            words.push("--".into());
            words.extend(arguments.iter().map(|word| (*word).to_owned()));
        }
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .env("STOCKADE_STATE_DIR", self.path("state"))
            .env("TMPDIR", self.path("tmp"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// `stockade list`, by whom this field is for.
    pub(super) fn list(&self) -> std::process::Output {
        let mut words = self.wrapper.clone();
        words.extend([self.path("stockade").display().to_string(), "list".to_owned()]);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env("STOCKADE_STATE_DIR", self.path("state")).output().unwrap()
    }

    /// Runs a command to its end; it must succeed.
    pub(super) fn succeeds(&self, verb: &str, shape: &Shape, arguments: &[&str]) {
        let output = self.command(verb, shape, arguments).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// How long a command takes, or a run until its program has started: what moments are drawn from. Not asserted on.
    pub(super) fn span(&self, verb: &str, shape: &Shape) -> Duration {
        let mut command = self.command(verb, shape, if verb == "run" { &["0"] } else { &[] });
        let began = Instant::now();
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut first = [0];
        let _ = std::io::Read::read(child.stdout.as_mut().unwrap(), &mut first).unwrap();
        let span = began.elapsed();
        let _ = child.kill();
        child.wait().unwrap();
        self.wait_for_nobody();
        span
    }

    /// What is on the machine now, as far as it could be this field's.
    pub(super) fn traces(&self) -> Traces {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let listed = |place: &Path| -> Vec<PathBuf> {
            let entries = fs::read_dir(place).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect()
        };
        let ours = |path: &PathBuf| path.to_string_lossy().contains(&self.mark) && *path != self.directory;
        let mut files: BTreeSet<PathBuf> =
            ["tmp", "run"].iter().flat_map(|name| listed(&self.path(name))).collect();
        // Of the machine's own directories only what carries the mark, since others use them too.
        for place in ["/run", "/run/stockade", "/dev/shm"] {
            files.extend(listed(Path::new(place)).into_iter().filter(ours));
        }
        let mut cgroups = BTreeSet::new();
        let mut waiting = vec![PathBuf::from("/sys/fs/cgroup")];
        while let Some(next) = waiting.pop() {
            waiting.extend(listed(&next).into_iter().filter(|path| path.is_dir() && !path.is_symlink()));
            if next.to_string_lossy().contains(&self.mark) {
                cgroups.insert(next);
            }
        }
        Traces {
            mounts: mountinfo.lines().filter(|line| line.contains(&self.mark)).map(str::to_owned).collect(),
            cgroups,
            files,
        }
    }

    /// Processes that carry the mark, in whatever namespace.
    pub(super) fn marked(&self) -> Vec<String> {
        let own = std::process::id().to_string();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let pid = entry.file_name().to_string_lossy().into_owned();
            if pid == own || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let has = |file: &str| {
                let bytes = fs::read(entry.path().join(file)).unwrap_or_default();
                bytes.windows(self.mark.len()).any(|part| part == self.mark.as_bytes())
            };
            if has("cmdline") || has("environ") || has("mountinfo") {
                found.push(pid);
            }
        }
        found
    }

    /// Waits until nobody is left: neither a child nor an orphan of this process, nor a process with the mark.
    #[track_caller]
    pub(super) fn wait_for_nobody(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let orphans = loop {
                match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                    Ok(WaitStatus::StillAlive) => break true,
                    Err(Errno::ECHILD) => break false,
                    _ => {}
                }
            };
            let marked = if orphans { Vec::new() } else { self.marked() };
            if !orphans && marked.is_empty() {
                return;
            }
            assert!(
                Instant::now() < end,
                "processes are left: orphans {:?}, marked {marked:?}",
                children(own_pid())
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// That nothing of a run is left, whoever was killed: no mount, no cgroup, no file beside the tree.
    #[track_caller]
    pub(super) fn assert_clean(&self) {
        self.wait_for_nobody();
        let end = Instant::now() + PATIENCE;
        loop {
            // What is new must go, if not at once.
            let mut now = self.traces();
            now.cgroups.retain(|path| !self.before.cgroups.contains(path));
            now.files.retain(|path| !self.before.files.contains(path));
            if now == Traces::default() {
                return;
            }
            assert!(Instant::now() < end, "left behind: {now:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// That the state directory has a jail's finished generation, and nothing else of it.
    #[track_caller]
    pub(super) fn assert_only_the_tree(&self, shape: &Shape) {
        let names = |below: &str| -> Vec<String> {
            let list = fs::read_dir(self.path("state").join(below)).into_iter().flatten();
            let mut names: Vec<_> =
                list.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        // The record of a run whose supervisor was killed is swept by whoever asks for running jails next; one that was killed before it
        // wrote a byte leaves what may be in the making, for a second.
        let end = Instant::now() + PATIENCE;
        loop {
            let list = self.list();
            assert_eq!((list.status.code(), list.stdout.as_slice()), (Some(0), &b""[..]), "{list:?}");
            if names(".run").is_empty() || Instant::now() > end {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let hidden: Vec<_> = names("").into_iter().filter(|name| name.starts_with('.')).collect();
        assert!(hidden.is_empty() || hidden == [".run"], "{hidden:?}");
        assert_eq!(names(".run"), [""; 0]);
        let mut of_jail = names(&shape.name);
        // Of a jail that root has started in a user namespace.
        of_jail.retain(|name| name != "ids");
        assert_eq!(of_jail, ["current", "generations", "lock"]);
        // The current one and, after a build that was killed when it had switched, the one before: whole, kept to go back to.
        let mut generations = names(&format!("{}/generations", shape.name));
        generations.sort_by_key(|name| std::cmp::Reverse(name.parse::<u64>().unwrap()));
        assert!(matches!(generations.len(), 1 | 2), "generations of {}: {generations:?}", shape.name);
        let current = fs::read_link(self.path("state").join(&shape.name).join("current")).unwrap();
        assert_eq!(current, Path::new("generations").join(&generations[0]));
        for generation in generations {
            let inside = names(&format!("{}/generations/{generation}", shape.name));
            assert_eq!(inside, ["record.json", "stamp", "tree"]);
        }
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let marked = self.marked().into_iter().filter_map(|pid| pid.parse().ok());
            for pid in marked.chain(children(own_pid())) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

pub(super) fn own_pid() -> i32 {
    std::process::id() as i32
}

/// Children of a process, of every thread of it.
pub(super) fn children(pid: i32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}
