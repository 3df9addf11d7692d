//! Processes as the host's /proc shows them: enough to tell which belong to a jail. What a process says of itself, its name and its
//! arguments, decides nothing: see proc_pid_status(5) for what the kernel says.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;

use crate::sys::process;
use crate::sys::{self, Error};

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    /// The letter of its state: `R`, `S`, `T`, `Z`, ….
    pub(super) state: char,
    /// Its numbers in the PID namespaces it is in, from the outermost we see on.
    pub(super) numbers: Vec<i32>,
    pub(super) threads: u64,
    /// Memory that it has in use, in bytes, shared memory counted whole.
    pub(super) resident: u64,
}

impl Process {
    /// This process, as /proc shows it; none where that is of a namespace in which it is not.
    pub(super) fn own() -> Result<Option<Self>, Error> {
        let status = told("/proc/self/status")?;
        Ok(status.and_then(|status| Self::parse(std::process::id() as i32, &status)))
    }

    /// One process, if it is there.
    pub(super) fn look(pid: i32) -> Result<Option<Self>, Error> {
        let status = told(&format!("/proc/{pid}/status"))?;
        Ok(status.and_then(|status| Self::parse(pid, &status)))
    }

    /// The same where nothing hangs on it.
    pub(super) fn read(pid: i32) -> Option<Self> {
        Self::look(pid).ok().flatten()
    }

    fn parse(pid: i32, status: &str) -> Option<Self> {
        let field = |name: &str| {
            status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        let kib: u64 = field("VmRSS").and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0);
        Some(Self {
            pid,
            parent: field("PPid")?.parse().ok()?,
            state: field("State")?.chars().next()?,
            numbers: field("NSpid")?.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?,
            threads: field("Threads")?.parse().ok()?,
            resident: kib << 10,
        })
    }

    /// Every process that can be seen.
    pub(super) fn all() -> Vec<Self> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| Self::read(entry.file_name().to_str()?.parse().ok()?)).collect()
    }

    /// Whether it is the first of a PID namespace below ours.
    pub(super) fn is_first(&self) -> bool {
        matches!(self.numbers.as_slice(), [_, .., 1])
    }
}

/// What /proc tells there, if it does. Where there are too few descriptors or too little memory to ask, that is no answer. A process may
/// name itself in bytes that are no text.
fn told(path: &str) -> Result<Option<String>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(errno) if sys::shortage(errno).is_some() => Err(Error { call: "open", errno }),
            _ => Ok(None),
        },
    }
}

/// The children of a process that has one thread.
pub(super) fn children(pid: i32) -> Result<Vec<i32>, Error> {
    if let Some(list) = told(&format!("/proc/{pid}/task/{pid}/children"))? {
        return Ok(list.split_whitespace().filter_map(|child| child.parse().ok()).collect());
    }
    // A kernel without CONFIG_PROC_CHILDREN.
    let all = Process::all().into_iter().filter(|process| process.parent == pid);
    Ok(all.map(|process| process.pid).collect())
}

/// The child of a process that has been there the longest, held by its pidfd. All processes are looked through: a list of children may
/// lack some while one of them ends (proc(5), `/proc/PID/task/TID/children`), which is just when this is asked.
pub(super) fn oldest_child(parent: i32) -> Option<(i32, OwnedFd)> {
    let all = Process::all().into_iter().filter(|process| process.parent == parent);
    // Of one and the same tick of the clock, by the numbers in their own namespace: the host's begin anew more often.
    let mut children: Vec<_> = all
        .filter_map(|process| Some((started(process.pid)?, process.numbers.last().copied(), process.pid)))
        .collect();
    children.sort_unstable();
    children.into_iter().find_map(|(.., pid)| {
        let pidfd = process::pidfd_open(pid).ok()?;
        // Still a child, and so the same: what has ended is not yet another while its parent has not waited for it.
        let found = Process::read(pid)?;
        (found.parent == parent && found.state != 'Z').then_some((pid, pidfd))
    })
}

/// Waits for the children that have ended, up to `first`, which is waited for when all is over. Of a jail without namespaces there are no
/// others but those that the program has left: unless they are waited for they count for its RLIMIT_NPROC.
pub(super) fn reap_adopted(first: i32) -> Result<(), Error> {
    while let Some(pid) = process::ended_child().map_err(Error::of("waitid"))?.filter(|pid| *pid != first) {
        process::wait(pid).map_err(Error::of("wait4"))?;
    }
    Ok(())
}

/// How often it is looked for children that are left. Each time all that there are are killed, so that more come only while they fork
/// faster than that.
const ROUNDS: usize = 1000;

/// Ends what the program of a jail without a PID namespace has left behind, which this process has inherited: all of its children.
pub(super) fn end_children() {
    let own = std::process::id();
    for _ in 0..ROUNDS {
        let path = format!("/proc/self/task/{own}/children");
        let children = std::fs::read_to_string(path).unwrap_or_default();
        let children: Vec<i32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        if children.is_empty() {
            break;
        }
        // All are killed before any is waited for: none is left that could go on forking. A child's number is its own until then.
        for kill in [true, false] {
            for pid in &children {
                let done =
                    if kill { process::kill(*pid, libc::SIGKILL) } else { process::wait(*pid).map(drop) };
                debug_assert!(done.is_ok(), "{done:?}");
            }
        }
    }
}

/// The processes in a jail, of all that there are: what has descended from PID 1, which orphans come to, and what has joined it.
pub(super) fn members(all: &[Process], first: i32) -> Vec<&Process> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(process.pid);
    }
    let mut inside = BTreeSet::new();
    let mut waiting = vec![first];
    let mut descend = |waiting: &mut Vec<i32>| {
        while let Some(next) = waiting.pop() {
            // Processes come and go while they are listed: a circle is no reason to stay in it.
            if inside.insert(next) {
                waiting.extend(children.get(&next).into_iter().flatten());
            }
        }
        inside.clone()
    };
    let descended = descend(&mut waiting);
    // Whose namespace can be read differs: PID 1's by root alone.
    if let Some(namespace) = descended.iter().find_map(|pid| namespace(*pid)) {
        let joined = all
            .iter()
            .filter(|process| process.numbers.len() > 1 && !descended.contains(&process.pid))
            .filter(|process| self::namespace(process.pid).as_ref() == Some(&namespace));
        waiting.extend(joined.map(|process| process.pid));
    }
    let inside = descend(&mut waiting);
    all.iter().filter(|process| inside.contains(&process.pid)).collect()
}

/// The PID namespace that a process is in, as a text that differs from that of any other.
fn namespace(pid: i32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

/// For how many seconds a process has been there, by proc_pid_stat(5) and proc_uptime(5).
pub(super) fn age(pid: i32) -> Option<u64> {
    let ticks = started(pid)?;
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime: u64 = uptime.split('.').next()?.parse().ok()?;
    Some(uptime.saturating_sub(ticks.checked_div(per_second as u64)?))
}

/// How long a process, and what it has made and waited for, has been on processors.
pub(super) fn time(pid: i32) -> Option<Duration> {
    Times::read(pid).map(|times| times.own + times.of_ended)
}

/// Since when a process is there, and how long it has been on processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) pid: i32,
    /// In ticks since the machine was started.
    pub(super) started: u64,
    pub(super) own: Duration,
    /// Of children that it has waited for, and theirs.
    pub(super) of_ended: Duration,
}

impl Times {
    fn read(pid: i32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()?? as u64;
        let time = |at: usize| {
            let ticks = stat.number(at)? + stat.number(at + 1)?;
            Some(Duration::from_millis((ticks * 1000).checked_div(per_second)?))
        };
        Some(Self { pid, started: stat.number(22)?, own: time(14)?, of_ended: time(16)? })
    }
}

/// Those of a process and of all that it has made. Others are not looked at, if the kernel lists the children of each thread.
pub(super) fn times_below(first: i32) -> Vec<Times> {
    if !std::path::Path::new("/proc/self/task").join(std::process::id().to_string()).join("children").exists()
    {
        let all = Process::all();
        return members(&all, first).iter().filter_map(|member| Times::read(member.pid)).collect();
    }
    let mut found = Vec::new();
    let mut waiting = vec![first];
    while let Some(pid) = waiting.pop() {
        found.extend(Times::read(pid));
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            waiting.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
        }
    }
    found
}

/// How many bytes the ended children of this process have read and written, and theirs: see proc_pid_io(5). What a process has the
/// kernel adds up with what it has waited for, and tells of the one thread that this has alone.
pub fn transferred() -> Option<[u64; 2]> {
    let read = |whose: &str| {
        let io = std::fs::read_to_string(format!("/proc/{whose}/io")).ok()?;
        let field =
            |name: &str| io.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        Some([field("rchar:")?, field("wchar:")?])
    };
    let own = read("thread-self")?;
    // What is read for this comes between.
    let all = read("self")?;
    Some([0, 1].map(|at| all[at].saturating_sub(own[at])))
}

/// What proc_pid_stat(5) tells of a process.
struct Stat(Vec<u8>);

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        std::fs::read(format!("/proc/{pid}/stat")).ok().map(Self)
    }

    /// A field that is a number, by its place in the manual page.
    fn number(&self, place: usize) -> Option<u64> {
        // The second, a name, may be any bytes, blanks and parentheses too: the third comes behind the last parenthesis.
        let end = self.0.iter().rposition(|byte| *byte == b')')?;
        let third = std::str::from_utf8(self.0.get(end + 2..)?).ok()?;
        third.split(' ').nth(place.checked_sub(3)?)?.parse().ok()
    }
}

/// When a process was started, in ticks since the machine was.
fn started(pid: i32) -> Option<u64> {
    Stat::read(pid)?.number(22)
}

/// Whether a process was forked and has executed nothing since: `PF_FORKNOEXEC` of the kernel's linux/sched.h in its flags. One that is
/// gone is none.
pub(super) fn is_mere_copy(pid: i32) -> bool {
    let flags = Stat::read(pid).and_then(|stat| stat.number(9));
    flags.is_some_and(|flags| flags & 0x40 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_whatever_the_name() {
        let status = "Name:\tPPid:\t99\\nNSpid:\t1\nUmask:\t0022\nState:\tS (sleeping)\nPPid:\t7\nNSpid:\t12\t2\n\
                      VmRSS:\t    1024 kB\nThreads:\t3\n";
        let expected =
            Process { pid: 12, parent: 7, state: 'S', numbers: vec![12, 2], threads: 3, resident: 1 << 20 };
        assert_eq!(Process::parse(12, status), Some(expected));
        assert_eq!(Process::parse(12, "Name:\tx\n"), None);
    }

    #[test]
    fn a_number_is_found_behind_whatever_name() {
        for name in [&b"sleep"[..], b"a ) S 1", b") R 2 3", b"(((", b"\xff)\n\xfe ", b""] {
            let line = [b"12 (", name, b") S 1 12 12 0 -1 64 5 0 0\n"].concat();
            let stat = Stat(line);
            assert_eq!([4, 8, 9, 10].map(|place| stat.number(place)), [Some(1), None, Some(64), Some(5)]);
            assert_eq!([0, 2, 3, 14].map(|place| stat.number(place)), [None; 4]);
        }
        for line in ["", "12", "12 (sleep", "12 (sleep)", "12 (sleep) "] {
            assert_eq!(Stat(line.into()).number(4), None, "{line}");
        }
    }

    #[test]
    fn this_process_is_there() {
        let own = Process::read(std::process::id() as i32).unwrap();
        assert!(own.parent > 0 && own.threads > 0 && own.resident > 0, "{own:?}");
        assert!(!own.is_first());
        assert!(age(own.pid).is_some());
    }

    #[test]
    fn who_descends_from_pid_1_is_in_the_jail() {
        let process = |pid, parent| Process {
            pid,
            parent,
            state: 'S',
            // Numbers that no process has, so that nobody's namespace is found.
            numbers: vec![pid],
            threads: 1,
            resident: 0,
        };
        let base = i32::MAX - 10;
        let all =
            [process(base, 1), process(base + 1, base), process(base + 2, base + 1), process(base + 3, 1)];
        let pids: Vec<i32> = members(&all, base).iter().map(|process| process.pid).collect();
        assert_eq!(pids, [base, base + 1, base + 2]);
    }
}
