//! SIGKILL at random moments, of whoever is there: supervisor, PID 1, program, a build, a removal, a verification. Afterwards, and after the next
//! command of stockade where something was left on disk, nothing is there: no process, mount, cgroup, directory or record.
//!
//! `STOCKADE_KILLS` says how many (default 60). This process is the subreaper of all it starts, see prctl(2): whoever survives
//! his parents comes here, whatever his namespace and name, and is counted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

mod common;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use common::{Need, needs};

/// Longest wait for what is to go. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_mins(1);

/// Orphans come to the process, not to a thread: one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The id of an ordinary user, when root tests as one.
const NOBODY: u32 = 65534;

/// A program with many processes out of each other's reach, which go on making more while they are killed: at most so many.
const STORM: &str = r#"
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

/// Numbers that look random, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// How many kills there are to be.
fn count() -> u64 {
    std::env::var("STOCKADE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

/// Jails in a directory of their own, and who runs them.
struct Field {
    directory: PathBuf,
    /// In every path and in the environment of every program.
    mark: String,
    /// What the commands stand behind.
    wrapper: Vec<String>,
    before: Traces,
}

/// What may be left on a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Traces {
    mounts: BTreeSet<String>,
    cgroups: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
}

/// One jail's manifest.
struct Shape {
    name: String,
    manifest: PathBuf,
}

impl Field {
    /// A field for this process's own user, or for nobody.
    fn new(as_nobody: bool) -> Self {
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

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A jail's name that no other run of these tests has: control groups are called after it, and are the whole machine's.
    fn named(&self, name: &str) -> String {
        format!("{name}-of-{}", self.mark)
    }

    /// A jail of one of the shapes that a kill is tried on.
    fn shape(&self, init: bool, network: &str) -> Shape {
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
    fn command(&self, verb: &str, shape: &Shape, arguments: &[&str]) -> Command {
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
    fn list(&self) -> std::process::Output {
        let mut words = self.wrapper.clone();
        words.extend([self.path("stockade").display().to_string(), "list".to_owned()]);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env("STOCKADE_STATE_DIR", self.path("state")).output().unwrap()
    }

    /// Runs a command to its end; it must succeed.
    fn succeeds(&self, verb: &str, shape: &Shape, arguments: &[&str]) {
        let output = self.command(verb, shape, arguments).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// How long a command takes, or a run until its program has started: what moments are drawn from. Not asserted on.
    fn span(&self, verb: &str, shape: &Shape) -> Duration {
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
    fn traces(&self) -> Traces {
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
    fn marked(&self) -> Vec<String> {
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
    fn wait_for_nobody(&self) {
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
    fn assert_clean(&self) {
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
    fn assert_only_the_tree(&self, shape: &Shape) {
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

fn own_pid() -> i32 {
    std::process::id() as i32
}

/// Children of a process, of every thread of it.
fn children(pid: i32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Whom a kill is meant for.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Supervisor,
    First,
    Program,
}

impl Victim {
    /// The process, if it is there yet.
    fn of(self, supervisor: i32) -> Option<i32> {
        // Not a process that lends its user namespace for a moment: PID 1 is the first of a PID namespace.
        let is_first = |pid: &i32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1"))
        };
        let first = || children(supervisor).into_iter().find(is_first);
        match self {
            Self::Supervisor => Some(supervisor),
            Self::First => first(),
            Self::Program => children(first()?).first().copied(),
        }
    }
}

/// Waits so long, without giving the processor away for more than a moment.
fn pause(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_micros(20));
    }
}

/// Reaps a supervisor: as a child of this process it has not gone anywhere else.
fn reap(child: Child) {
    let mut child = child;
    child.wait().unwrap();
}

/// All kills of one user.
fn kills(as_nobody: bool, count: u64) {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    let field = Field::new(as_nobody);
    let mut numbers = Numbers(if as_nobody { 42 } else { 7 });
    let shapes: Vec<Shape> = [(true, "none"), (false, "none"), (true, "host"), (false, "host")]
        .map(|(init, network)| field.shape(init, network))
        .into();
    for shape in &shapes {
        field.succeeds("build", shape, &[]);
    }
    let run_span = field.span("run", &shapes[0]);
    let build_span = field.span("build", &shapes[0]);
    let verify_span = field.span("verify", &shapes[0]);
    let remove_span = field.span("remove", &shapes[0]);
    field.succeeds("build", &shapes[0], &[]);
    let mut landed = [0; 6];
    for round in 0..count {
        let shape = &shapes[numbers.below(4) as usize];
        match round % 6 {
            kind @ 0..3 => {
                let victim = [Victim::Supervisor, Victim::First, Victim::Program][kind as usize];
                let most = ["0", "0", "60"][numbers.below(3) as usize];
                let child = field.command("run", shape, &[most]).spawn().unwrap();
                // Half of the moments are before the program has started, half after.
                pause(run_span * numbers.below(2000) as u32 / 1000);
                let pid = victim.of(child.id() as i32);
                landed[kind as usize] += u64::from(pid.is_some());
                let _ = kill(Pid::from_raw(pid.unwrap_or(child.id() as i32)), Signal::SIGKILL);
                // A program that is not PID 1's child any more, or is PID 1 itself, leaves the rest to go on: end it.
                if matches!(victim, Victim::Program) && shape.name.starts_with("bare") {
                    let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
                }
                reap(child);
                field.assert_clean();
                field.assert_only_the_tree(shape);
            }
            kind => {
                let verbs = [("build", build_span), ("remove", remove_span), ("verify", verify_span)];
                let (verb, span) = verbs[kind as usize - 3];
                let mut child = field.command(verb, shape, &[]).spawn().unwrap();
                pause(span * numbers.below(1100) as u32 / 1000);
                landed[kind as usize] += u64::from(child.try_wait().unwrap().is_none());
                let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
                reap(child);
                field.assert_clean();
                // The next command sweeps what a killed one left on disk.
                match numbers.below(2) {
                    0 => field.succeeds("build", shape, &[]),
                    _ => field.succeeds("run", shape, &["-1"]),
                }
                field.assert_clean();
                field.assert_only_the_tree(shape);
            }
        }
    }
    println!("{count} kills: {landed:?} of supervisor, PID 1, program, build, removal, verification");
    assert!(landed.iter().all(|landed| count < 100 || *landed > 0), "some were never hit: {landed:?}");
    // Nobody holds a lock, and nothing is in the way of anything.
    for shape in &shapes {
        field.succeeds("remove", shape, &[]);
    }
    assert_eq!(fs::read_dir(field.path("state")).unwrap().count(), 0);
    field.assert_clean();
}

#[test]
fn the_next_command_takes_away_the_groups_of_whoever_was_killed() {
    let host = stockade::sys::host::Host::current(Path::new("/"));
    if let Err(missing) = stockade::manifest::resolve::control_groups::available(&host, "pids") {
        println!("SKIP: {missing}");
        return;
    }
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    let field = Field::new(false);
    let mut shape = field.shape(true, "none");
    shape.name = field.named("grouped");
    let text = fs::read_to_string(&shape.manifest).unwrap();
    shape.manifest = field.path(&format!("{}.toml", shape.name));
    fs::write(&shape.manifest, format!("limits.tasks = 40\n{text}")).unwrap();
    field.succeeds("build", &shape, &[]);
    let span = field.span("run", &shape);
    let groups = || field.traces().cgroups.into_iter().collect::<Vec<_>>();
    let mut numbers = Numbers(11);
    let mut left = 0;
    for round in 0..count() / 3 {
        // Up to 60 processes in a group of 40: the limit is reached too.
        let mut child = field.command("run", &shape, &["60"]).spawn().unwrap();
        pause(span * numbers.below(2000) as u32 / 1000);
        child.kill().unwrap();
        reap(child);
        field.wait_for_nobody();
        left += usize::from(!groups().is_empty());
        // Whoever looks at the record of the run, or makes groups in the same places.
        if round % 2 == 0 {
            field.list();
        } else {
            field.succeeds("run", &shape, &["-1"]);
        }
        field.assert_clean();
        assert_eq!(groups(), [""; 0].map(PathBuf::from));
    }
    assert!(left > 0 || count() < 20, "no kill left a group");
    println!("{} kills, {left} of them left groups until the next command", count() / 3);
}

#[test]
fn whoever_is_killed_whenever_nothing_is_left() {
    kills(false, if nix::unistd::geteuid().is_root() { count() / 2 } else { count() });
}

#[test]
fn nothing_is_left_of_an_ordinary_users_jails_either() {
    if !needs(Need::Root) || !needs(Need::Program("setpriv")) {
        return;
    }
    kills(true, count() - count() / 2);
}
