//! A jail's control groups: made by the supervisor before there is a jail, joined by its first process, looked at and removed when it
//! has ended. Version 1 and 2 of cgroups(7) differ in the names of files and in what is counted; what is done is the same.
//!
//! The directory of each group is locked, see flock(2), through a descriptor that is open in the supervisor and in PID 1 until
//! that is set up. A group that nobody has locked belongs to a supervisor that was killed: [`sweep()`] removes those, and the kernel
//! keeps it from removing one that still has a process.

mod sweep;

use std::cell::{Cell, RefCell};
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::unistd::mkdir;

pub use self::sweep::sweep;
pub(super) use self::sweep::swept;
use self::sweep::{Swept, sweep_one};
use super::child::write_to;
use super::groups::is_named;
use crate::plan::control::{Control, ControlGroup, LEAF, Version, usual_devices};
use crate::plan::{Action, Step};
use crate::sys::Error;
use crate::sys::device_filter;
use crate::sys::fs::{Lock, try_lock};

/// So many jails of one name can run at once.
const MOST: u32 = 1000;
/// How often a group is made anew that somebody else removed before it was locked.
const TRIES: u32 = 10;

/// The groups of one jail.
#[derive(Default)]
pub(super) struct ControlGroups {
    made: RefCell<Vec<Made>>,
    hits: RefCell<Vec<Hit>>,
    left: RefCell<Vec<(PathBuf, Errno)>>,
    /// The most that was used at once.
    peaks: Cell<Peaks>,
}

/// One group.
struct Made {
    version: Version,
    path: PathBuf,
    directory: OwnedFd,
    /// Where a process writes to join it; taken by the jail's first process.
    processes: Cell<Option<OwnedFd>>,
}

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Which.
    pub control: Control,
    /// What came of it.
    pub effect: Effect,
    /// How often.
    pub times: u64,
}

/// What becomes of a process that reaches a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is killed.
    Killed,
    /// Its call fails.
    Refused,
    /// It waits.
    Delayed,
}

impl Effect {
    /// The word for it in a report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Refused => "refused",
            Self::Delayed => "delayed",
        }
    }
}

/// What all processes of a jail have used together, at most at any time, as far as it was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peaks {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Processes and threads, PID 1 included.
    pub tasks: Option<u64>,
    /// Time on processors, in all.
    pub time: Option<Duration>,
}

impl ControlGroups {
    /// By the supervisor: makes a group in each hierarchy.
    pub(super) fn make(&self, name: &str, wanted: &[ControlGroup]) -> Result<(), Error> {
        for group in wanted {
            prepare(group)?;
            let made = make(name, group)?;
            self.made.borrow_mut().push(made);
        }
        Ok(())
    }

    /// By the jail's first process, which may not allocate: joins each.
    pub(super) fn enter(&self, namespace: bool) -> Result<(), Error> {
        for made in self.made.borrow().iter() {
            let processes = made.processes.take().ok_or(Error { call: "write", errno: Errno::EBADF })?;
            write_to(&processes, b"0")?;
        }
        if namespace {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWCGROUP).map_err(Error::of("unshare"))?;
        }
        Ok(())
    }

    /// By the supervisor, when it has made the jail's first process: what only that needs is closed.
    pub(super) fn started(&self) {
        self.made.borrow().iter().for_each(|made| drop(made.processes.take()));
    }

    /// The group of version 1 by which the jail may be stopped: one that is to die has to go on.
    pub(super) fn freezer(&self) -> Option<OwnedFd> {
        let made = self.made.borrow();
        let stops = |made: &&Made| made.version == Version::One && freezer(&made.directory).is_some();
        made.iter().find(stops).and_then(|made| made.directory.try_clone().ok())
    }

    /// When every process of the jail has ended: keeps what the kernel has counted, and removes the groups.
    pub(super) fn finish(&self) {
        let made = self.made.take();
        self.hits.borrow_mut().extend(made.iter().flat_map(Made::hits));
        let most = |file: &str| made.iter().find_map(|made| made.read(file).trim_end().parse().ok());
        let known = Peaks {
            memory: most("memory.peak").or_else(|| most("memory.max_usage_in_bytes")),
            tasks: most("pids.peak"),
            time: made.iter().find_map(Made::time).or(self.peaks.get().time),
        };
        if !made.is_empty() {
            self.peaks.set(known);
        }
        for group in made {
            if let Err(errno) = remove(&group.path) {
                self.left.borrow_mut().push((group.path, errno));
            }
        }
    }

    /// The groups that could not be removed, and why.
    pub(super) fn left(&self) -> Vec<(PathBuf, Errno)> {
        self.left.borrow().clone()
    }

    /// The time that all processes have been on processors together, the ended ones too; none if no group counts it.
    pub(super) fn time(&self) -> Option<Duration> {
        self.made.borrow().iter().find_map(Made::time)
    }

    /// The same where none does.
    pub(super) fn note_time(&self, time: Duration) {
        self.peaks.set(Peaks { time: Some(time), ..self.peaks.get() });
    }

    /// The most that was used at once, once the jail has ended.
    pub(super) fn peaks(&self) -> Peaks {
        self.peaks.get()
    }

    /// The limits that were reached, once the jail has ended.
    pub(super) fn hits(&self) -> Vec<Hit> {
        self.hits.borrow().clone()
    }
}

/// Also when nothing came of the jail, its groups go.
impl Drop for ControlGroups {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What a group of version 2 has to do before it can have others in it.
fn prepare(group: &ControlGroup) -> Result<(), Error> {
    let write = |path: &Path, value: &str| -> Result<(), Error> {
        let file =
            open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()).map_err(Error::of("open"))?;
        write_to(&file, value.as_bytes())
    };
    if group.leaf {
        let leaf = group.beside(LEAF);
        match mkdir(&leaf, MODE) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(Error { call: "mkdir", errno }),
        }
        write(&leaf.join("cgroup.procs"), "0")?;
    }
    if !group.enable.is_empty() {
        write(&group.beside("cgroup.subtree_control"), &group.handed_on())?;
    }
    Ok(())
}

/// Nobody but its owner changes what a group holds.
const MODE: Mode = Mode::from_bits_truncate(0o755);

/// Makes one group under the first name that is free: the jail's, or, while others of that name run, the name with a number.
fn make(name: &str, wanted: &ControlGroup) -> Result<Made, Error> {
    let mut tries = 0;
    let mut number = 1;
    loop {
        let name = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
        let path = wanted.beside(&name);
        match mkdir(&path, MODE) {
            Ok(()) => {}
            Err(Errno::EEXIST) if number < MOST => {
                // One that a killed supervisor left is taken away, and made anew.
                if sweep_one(&path) != Swept::Gone {
                    number += 1;
                }
                continue;
            }
            Err(errno) => return Err(Error { call: "mkdir", errno }),
        }
        match fill(&path, wanted) {
            Ok(made) => return Ok(made),
            // Somebody who sweeps got there between mkdir(2) and flock(2), and takes it away or has done so.
            Err(Error { errno, .. })
                if tries < TRIES
                    && (errno == Errno::EWOULDBLOCK
                        || matches!(errno, Errno::ENOENT | Errno::ENODEV) && !path.exists()) =>
            {
                tries += 1;
            }
            Err(error) => {
                // What failed is the error to be told; what stays is swept.
                return match remove(&path) {
                    Ok(()) | Err(_) => Err(error),
                };
            }
        }
    }
}

/// Locks a new group and writes its limits.
fn fill(path: &Path, wanted: &ControlGroup) -> Result<Made, Error> {
    let directory = directory(path).map_err(Error::of("open"))?;
    try_lock(&directory, Lock::Exclusive).map_err(Error::of("flock"))?;
    let open = |name: &str| openat(&directory, name, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty());
    for setting in &wanted.settings {
        match open(setting.file) {
            Ok(file) => write_to(&file, setting.value.as_bytes())?,
            Err(Errno::ENOENT) if setting.optional && path.exists() => {}
            Err(errno) => return Err(Error { call: "open", errno }),
        }
    }
    if wanted.closed_devices {
        device_filter::attach(directory.as_fd(), &usual_devices().collect::<Vec<_>>())?;
    }
    let processes = open("cgroup.procs").map_err(Error::of("open"))?;
    Ok(Made {
        version: wanted.version,
        path: path.to_owned(),
        directory,
        processes: Cell::new(Some(processes)),
    })
}

/// How all processes of a group are stopped and let go on.
pub(super) struct Switch {
    /// What is written to.
    pub(super) file: &'static str,
    /// To stop them.
    pub(super) on: &'static str,
    /// To let them go on.
    pub(super) off: &'static str,
    /// What tells that they have all stopped, and how.
    told: (&'static str, &'static str),
}

impl Switch {
    /// That of a version.
    pub(super) const fn of(version: Version) -> Self {
        match version {
            Version::One => {
                Self { file: "freezer.state", on: "FROZEN", off: "THAWED", told: ("freezer.state", "FROZEN") }
            }
            Version::Two => {
                Self { file: "cgroup.freeze", on: "1", off: "0", told: ("cgroup.events", "frozen 1") }
            }
        }
    }
}

/// The version by which a group's processes can be stopped, and whether they are; none if not by this group.
pub(super) fn freezer(directory: &OwnedFd) -> Option<(Version, bool)> {
    [Version::One, Version::Two].into_iter().find_map(|version| {
        let (file, word) = Switch::of(version).told;
        let mut text = String::new();
        let file = openat(directory, file, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        std::fs::File::from(file).read_to_string(&mut text).ok()?;
        Some((version, text.lines().any(|line| line == word)))
    })
}

/// Lets the processes of a group go on that may have been stopped: in version 1 not even SIGKILL ends one that is.
pub(super) fn thaw(directory: &OwnedFd) {
    if let Some((version, _)) = freezer(directory) {
        let Switch { file, off, .. } = Switch::of(version);
        let opened = openat(directory, file, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty());
        // A group that is gone, or whose processes go on, needs nothing.
        match opened.map(|file| write_to(&file, off.as_bytes())) {
            Ok(Ok(()) | Err(_)) | Err(_) => {}
        }
    }
}

/// A group's directory.
pub(super) fn directory(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty())
}

/// How long a group is busy after the end of its last process: that is told of before the kernel has let go of it.
const BUSY: [u64; 12] = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/// Removes a group without processes. `EBUSY` once they have all had time to go.
fn remove(path: &Path) -> Result<(), Errno> {
    let mut last = Errno::EBUSY;
    for wait in BUSY {
        std::thread::sleep(Duration::from_millis(wait));
        // Not remove_dir_all: the files of a group go with it, and a group in it is none of ours.
        match std::fs::remove_dir(path).map_err(|error| error.raw_os_error().map(Errno::from_raw)) {
            Ok(()) | Err(Some(Errno::ENOENT)) => return Ok(()),
            Err(Some(Errno::EBUSY)) => {}
            Err(errno) => {
                last = errno.unwrap_or(Errno::EIO);
                break;
            }
        }
    }
    Err(last)
}

/// The groups that a name of a group may mean: it, and those that have got a number behind.
pub(super) fn named(path: &Path) -> Vec<PathBuf> {
    let entries = path.parent().and_then(|parent| std::fs::read_dir(parent).ok()).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).filter(|found| is_named(found, path)).collect()
}

/// The groups that a plan makes, by the names they have if no other jail has them.
pub fn paths(steps: &[Step]) -> Vec<PathBuf> {
    let made = steps.iter().filter_map(|step| match &step.action {
        Action::MakeControlGroups { name, groups } => Some(groups.iter().map(|group| group.beside(name))),
        _ => None,
    });
    made.flatten().collect()
}

impl Made {
    /// A file of the group's; empty if there is none.
    fn read(&self, name: &str) -> String {
        let mut text = String::new();
        let file = openat(&self.directory, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        match file.map(|file| std::fs::File::from(file).read_to_string(&mut text)) {
            Ok(Ok(_)) => text,
            _ => String::new(),
        }
    }

    /// The time of its processes, if it counts that.
    fn time(&self) -> Option<Duration> {
        match self.version {
            Version::One => self.read("cpuacct.usage").trim_end().parse().ok().map(Duration::from_nanos),
            Version::Two => {
                let stat = self.read("cpu.stat");
                stat.starts_with("usage_usec ").then(|| Duration::from_micros(counted(&stat, "usage_usec")))
            }
        }
    }

    /// The limits that were reached.
    fn hits(&self) -> Vec<Hit> {
        let mut hits = Vec::new();
        for (file, counter, control, effect) in counters(self.version) {
            let times = counted(&self.read(file), counter);
            if times > 0 {
                hits.push(Hit { control: *control, effect: *effect, times });
            }
        }
        hits
    }
}

/// What of a version's files counts how often a limit was reached.
const fn counters(version: Version) -> &'static [(&'static str, &'static str, Control, Effect)] {
    match version {
        // Linux 4.13 and later count kills; `memory.failcnt` also counts what was served from the page cache in the end.
        Version::One => &[
            ("memory.oom_control", "oom_kill", Control::Memory, Effect::Killed),
            ("pids.events", "max", Control::Tasks, Effect::Refused),
            ("cpu.stat", "nr_throttled", Control::Cpu, Effect::Delayed),
        ],
        Version::Two => &[
            ("memory.events", "oom_kill", Control::Memory, Effect::Killed),
            ("memory.events", "high", Control::MemoryHigh, Effect::Delayed),
            ("memory.swap.events", "max", Control::Swap, Effect::Refused),
            ("pids.events", "max", Control::Tasks, Effect::Refused),
            ("cpu.stat", "nr_throttled", Control::Cpu, Effect::Delayed),
        ],
    }
}

/// The number after a word at the beginning of a line.
fn counted(text: &str, word: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find_map(|(name, number)| (name == word).then(|| number.trim().parse().ok())?).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_the_number_after_its_word() {
        let events = "low 0\nhigh 3\nmax 17\noom 2\noom_kill 1\noom_group_kill 0\n";
        assert_eq!(
            ["high", "max", "oom_kill", "oom_kil", "none"].map(|word| counted(events, word)),
            [3, 17, 1, 0, 0]
        );
        assert_eq!(counted("oom_kill_disable 0\nunder_oom 0\noom_kill x\n", "oom_kill"), 0);
    }
}
