//! Running jails, found by their records (`records.rs`). Processes are held by pidfd, so that no signal goes to whoever has a number
//! later: a supervisor cannot be another while it holds its record locked, PID 1 is its one child that is the first process of a
//! namespace, and both are looked at after their pidfds were opened.

use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::cgroup;
use super::groups::Groups;
use super::processes::{self, Process};
use super::records::Elsewhere;
use super::state::Entry;
use crate::plan::JailName;
use crate::plan::ids::Extent;
use crate::sys;
use crate::sys::process;

/// A jail that runs.
#[derive(Debug)]
pub struct Running {
    /// What its record says.
    pub entry: Entry,
    /// Its supervisor.
    pub supervisor: i32,
    /// Its PID 1.
    pub first: i32,
    pub(super) supervisor_fd: OwnedFd,
    pub(super) first_fd: OwnedFd,
}

/// How a jail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its program has not started yet.
    Starting,
    /// Its program is there.
    Running,
    /// Its program is stopped, as by SIGSTOP.
    Stopped,
    /// All its processes are, by `stockade freeze`.
    Frozen,
}

/// What can be told of a running jail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// How it stands.
    pub state: State,
    /// Its program's process, if that is there.
    pub program: Option<i32>,
    /// Seconds since PID 1 was made.
    pub age: u64,
    /// Bytes of memory: as its control group counts, or what its processes have in use, what they share counted for each.
    pub memory: u64,
    /// Its threads, PID 1's own among them if that is ours.
    pub tasks: u64,
}

/// How a jail is confined, as far as it can be compared with how somebody who joins it would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// What its first id is outside; `None` if ids inside are the host's.
    pub first_id: Option<u32>,
    /// Who its users are outside.
    pub users: Vec<Extent>,
    /// The capabilities it can ever have.
    pub bounding: u64,
    /// Whether it can gain rights by execve(2).
    pub no_new_privileges: bool,
}

/// What a running jail uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// How long its processes have been on processors; of those that have ended as far as it is known.
    pub time: Duration,
    /// Bytes of memory.
    pub memory: u64,
    /// The most of it at any time, where control groups tell.
    pub peak: Option<u64>,
    /// Processes.
    pub processes: u64,
    /// Processes and threads.
    pub tasks: u64,
    /// Whether memory was counted by a control group, and not summed up over its processes.
    pub memory_by_group: bool,
}

/// What a name means that is given for a running jail: `NAME`, or `NAME@NUMBER` for one of several runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The jail's name.
    pub jail: JailName,
    /// The number of the supervisor, of PID 1 or of the program.
    pub number: Option<i32>,
}

impl Selector {
    /// Whether a running jail is meant.
    pub fn matches(&self, running: &Running, all: &Processes) -> bool {
        let number = |number| {
            [Some(running.supervisor), Some(running.first), running.program(all)].contains(&Some(number))
        };
        self.jail == running.entry.jail && self.number.is_none_or(number)
    }

    /// Whether one is meant that runs elsewhere.
    pub fn matches_elsewhere(&self, other: &Elsewhere) -> bool {
        self.jail == other.entry.jail && self.number.is_none_or(|number| number == other.supervisor)
    }
}

/// All processes that could be seen at one moment.
pub struct Processes(Vec<Process>);

impl Processes {
    /// Those that are there now.
    pub fn now() -> Self {
        Self(Process::all())
    }
}

/// Whether a process has ended, see pidfd_open(2).
pub(super) fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut ready = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

/// Waits for a process's end until then; whether it came.
fn wait(pidfd: &OwnedFd, until: Instant) -> bool {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut ready = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        // A millisecond more, so that the last look is not before the end.
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut ready, timeout) {
            Ok(0) if left.is_zero() => return false,
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return true,
            Err(_) => return has_ended(pidfd),
        }
    }
}

/// Most of a list of mounts that is read.
const LONGEST: u64 = 16 << 20;

/// The mount point of a line of mountinfo, if what is mounted there has lost its name: the kernel has a word behind its path then.
fn replaced(line: &str) -> Option<PathBuf> {
    let mut fields = line.split(' ').skip(3);
    let (root, target) = (fields.next()?, fields.next()?);
    root.ends_with("//deleted").then(|| sys::cgroup::unescaped(target).into())
}

impl Running {
    /// What can be told of it.
    pub fn facts(&self, all: &Processes) -> Facts {
        let members = processes::members(&all.0, self.first);
        let program = self.program(all);
        let groups = self.groups();
        let is_frozen = groups.as_ref().is_some_and(Groups::is_frozen);
        let counted = groups.and_then(|groups| groups.used().memory);
        let state = match program.and_then(|pid| members.iter().find(|member| member.pid == pid)) {
            _ if is_frozen => State::Frozen,
            Some(program) if matches!(program.state, 'T' | 't') => State::Stopped,
            Some(_) => State::Running,
            None => State::Starting,
        };
        Facts {
            state,
            program,
            age: processes::age(self.first).unwrap_or_default(),
            memory: counted.unwrap_or_else(|| members.iter().map(|member| member.resident).sum()),
            tasks: members.iter().map(|member| member.threads).sum(),
        }
    }

    /// What it uses: as its control groups count, or else the sum over its processes.
    pub fn usage(&self, all: &Processes) -> Usage {
        let members = processes::members(&all.0, self.first);
        let used = self.groups().map(|groups| groups.used()).unwrap_or_default();
        let time = || members.iter().filter_map(|member| processes::time(member.pid)).sum();
        let sum = |of: fn(&Process) -> u64| members.iter().map(|member| of(member)).sum();
        Usage {
            time: used.time.unwrap_or_else(time),
            memory: used.memory.unwrap_or_else(|| sum(|member| member.resident)),
            peak: used.peak,
            processes: members.len() as u64,
            tasks: used.tasks.unwrap_or_else(|| sum(|member| member.threads)),
            memory_by_group: used.memory.is_some(),
        }
    }

    /// The number of its program's process: the first that PID 1 has made, so that its number inside is 2; of one that has gone into
    /// the background the oldest that PID 1 has inherited.
    pub fn program(&self, all: &Processes) -> Option<i32> {
        if !self.entry.init {
            return Some(self.first);
        }
        let is_program = |process: &&Process| {
            process.parent == self.first && matches!(process.numbers.as_slice(), [.., 2])
        };
        let program = all.0.iter().find(is_program).map(|process| process.pid);
        let background = || processes::oldest_child(self.first).map(|(pid, _)| pid);
        program.or_else(|| self.entry.forking.then(background)?)
    }

    /// Waits until PID 1 has done what makes it the jail's, or has ended, at most until then; whether that is so. Before, its mount
    /// namespace is a copy of the host's. It has made no process then, or, where it becomes the program itself, has executed nothing.
    pub fn wait_for_program(&self, until: Instant) -> bool {
        loop {
            let is_there = if self.entry.init {
                self.program(&Processes::now()).is_some()
            } else {
                !processes::is_mere_copy(self.first)
            };
            if is_there || has_ended(&self.first_fd) {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its control groups; none if it has ended meanwhile.
    pub fn groups(&self) -> Option<Groups> {
        let groups = Groups::of(self.first, &self.entry.cgroups);
        // It was there after they were found, so they are its.
        (!has_ended(&self.first_fd)).then_some(groups)
    }

    /// Lets it go on if it is stopped: else it takes no signal, in version 1 of control groups not even SIGKILL.
    fn thaw(&self) {
        // Without groups it cannot be stopped so.
        match self.groups().map(|groups| groups.thaw()) {
            None | Some(Ok(()) | Err(_)) => {}
        }
    }

    /// Asks the program to end. Not by PID 1, which passes SIGTERM on: it has no right to signal a daemon that has become another user
    /// by itself. But by PID 1 while the program is not there yet.
    pub fn terminate(&self) -> Result<(), sys::Error> {
        let all = Processes::now();
        let send = |number| match self.signal(number, &all) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => self.signal_first(number),
        };
        let asked = send(libc::SIGTERM);
        // One that is stopped takes it when it goes on, see systemd.kill(5), "KillSignal=". If it has ended already, so much the better.
        match send(libc::SIGCONT) {
            Ok(()) | Err(_) => {}
        }
        self.thaw();
        asked
    }

    /// Sends the program a signal; `false` if there is none.
    pub fn signal(&self, number: i32, all: &Processes) -> Result<bool, sys::Error> {
        let Some(program) = self.program(all) else { return Ok(false) };
        let failed = sys::Error::of("pidfd_send_signal");
        if program == self.first {
            return self.signal_first(number).map(|()| true);
        }
        let pidfd = match process::pidfd_open(program) {
            Err(Errno::ESRCH) => return Ok(false),
            pidfd => pidfd.map_err(sys::Error::of("pidfd_open"))?,
        };
        // Looked at after the pidfd was opened, so that it is this process that is signalled and no later one of its number.
        if Process::read(program).is_none_or(|found| found.parent != self.first) {
            return Ok(false);
        }
        match process::signal_process(pidfd.as_fd(), number) {
            Ok(()) => Ok(true),
            Err(Errno::ESRCH) => Ok(false),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// Kills PID 1, and with it every process of the jail, however fast they make more: see pid_namespaces(7).
    pub fn kill(&self) -> Result<(), sys::Error> {
        let killed = self.signal_first(libc::SIGKILL);
        self.thaw();
        killed
    }

    /// A process by whose descriptor the jail is joined: PID 1, or, where the caller may not trace that (an ordinary user's is a copy of
    /// the supervisor, whose memory belongs to no user namespace but the host's), the program. A program of an ordinary user's has no
    /// right by which it could be in other namespaces than those of its jail.
    pub fn door(&self, all: &Processes) -> Result<OwnedFd, sys::Error> {
        let first =
            || self.first_fd.try_clone().map_err(|_| sys::Error { call: "fcntl", errno: Errno::EMFILE });
        if std::fs::read_link(format!("/proc/{}/ns/mnt", self.first)).is_ok() {
            return first();
        }
        let Some(program) = self.program(all) else { return first() };
        let pidfd = process::pidfd_open(program).map_err(sys::Error::of("pidfd_open"))?;
        let is_program = Process::read(program).is_some_and(|found| {
            found.parent == self.first && found.numbers.len() == 2 && !has_ended(&pidfd)
        });
        if is_program { Ok(pidfd) } else { first() }
    }

    /// The control groups that it is in, of those its record names: each by that name, or with a number behind where others had it.
    pub fn control_groups(&self) -> Vec<PathBuf> {
        let holds = |path: &PathBuf| {
            let members = std::fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
            members.lines().any(|pid| pid.parse() == Ok(self.first))
        };
        self.entry.cgroups.iter().filter_map(|path| cgroup::named(path).into_iter().find(holds)).collect()
    }

    /// What the kernel says of its PID 1's confinement, if that can be read and is ours.
    pub fn confinement(&self) -> Option<Confinement> {
        let status = std::fs::read(format!("/proc/{}/status", self.first)).ok()?;
        let status = String::from_utf8_lossy(&status);
        let field = |name: &str| {
            status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        let map = std::fs::read_to_string(format!("/proc/{}/uid_map", self.first)).ok()?;
        let users: Vec<Extent> = map.lines().map(Extent::parse).collect::<Option<_>>()?;
        Some(Confinement {
            first_id: match users.first()? {
                Extent { inside: 0, outside: 0, count: u32::MAX } => None,
                Extent { outside, .. } => Some(*outside),
            },
            users,
            bounding: u64::from_str_radix(field("CapBnd")?, 16).ok()?,
            no_new_privileges: field("NoNewPrivs")? == "1",
        })
    }

    /// Where something of the host's is shown that has lost its name there: it was deleted, or another took its place. By the kernel's
    /// list alone, see proc_pid_mountinfo(5): no path of the jail's is followed.
    pub fn replaced(&self) -> Vec<PathBuf> {
        let mut list = Vec::new();
        let file = std::fs::File::open(format!("/proc/{}/mountinfo", self.first));
        // Nothing of one that has ended meanwhile, or that the caller may not look into.
        match file.map(|file| file.take(LONGEST).read_to_end(&mut list)) {
            Ok(Ok(_)) if !has_ended(&self.first_fd) => {
                String::from_utf8_lossy(&list).lines().filter_map(replaced).collect()
            }
            Ok(Ok(_) | Err(_)) | Err(_) => Vec::new(),
        }
    }

    fn signal_first(&self, number: i32) -> Result<(), sys::Error> {
        match process::signal_process(self.first_fd.as_fd(), number) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(sys::Error { call: "pidfd_send_signal", errno }),
        }
    }

    /// Waits until no process of it is left, at most until then; whether that is so.
    pub fn wait(&self, until: Instant) -> bool {
        wait(&self.first_fd, until)
    }

    /// Waits until its supervisor has ended too, and with it the record, at most until then; whether that is so.
    pub fn wait_for_supervisor(&self, until: Instant) -> bool {
        wait(&self.supervisor_fd, until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_of_what_has_no_name_any_more_is_known_by_the_kernels_word() {
        for (line, expected) in [
            ("98 91 0:40 /hosts//deleted /etc/hosts ro,nosuid - ext4 /dev/vda rw", Some("/etc/hosts")),
            ("98 91 0:40 /a//deleted /etc/a\\040b ro - ext4 /dev/vda rw", Some("/etc/a b")),
            ("98 91 0:40 /deleted /etc/deleted ro - ext4 /dev/vda rw", None),
            ("98 91 0:40 / /etc/x//deleted ro - tmpfs x rw", None),
            ("98 91 0:40", None),
            ("", None),
        ] {
            assert_eq!(replaced(line), expected.map(PathBuf::from), "{line}");
        }
    }
}
