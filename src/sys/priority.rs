//! How the kernel favours a process over others: nice value, scheduling policy, I/O priority, memory policy, merging of pages,
//! out-of-memory score and timer slack. All are inherited over fork(2) and execve(2).
#![allow(unsafe_code)]

use std::path::Path;
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::stat::Mode;

use super::check;

/// What a process has of these. The default is that of a process nobody has favoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Priorities {
    /// Nice value, see getpriority(2).
    pub nice: i32,
    /// Scheduling policy, see sched_getscheduler(2), without `SCHED_RESET_ON_FORK`.
    pub policy: i32,
    /// I/O priority, see ioprio_get(2): class and level.
    pub io: i32,
    /// Mode of the NUMA memory policy, see get_mempolicy(2).
    pub memory_policy: i32,
    /// Whether its pages are merged with equal ones of others, see `PR_GET_MEMORY_MERGE` in prctl(2).
    pub memory_merge: bool,
    /// Adjustment of the out-of-memory score, see proc(5).
    pub oom_score: i32,
}

/// `IOPRIO_WHO_PROCESS` of ioprio_get(2).
const IOPRIO_WHO_PROCESS: libc::c_int = 1;
/// `IOPRIO_CLASS_SHIFT`: the class is in the bits from here on.
const IOPRIO_CLASS_SHIFT: i32 = 13;

/// `PR_SET_MEMORY_MERGE` of prctl(2), Linux 6.4.
const PR_SET_MEMORY_MERGE: libc::c_int = 67;
/// `PR_GET_MEMORY_MERGE`.
const PR_GET_MEMORY_MERGE: libc::c_int = 68;

impl Priorities {
    /// Those of this process; what this kernel has not is as if nobody had touched it.
    pub fn own() -> Self {
        // SAFETY: integers; and for get_mempolicy(2) a place for one int, the other pointers null, as it allows.
        let (nice, policy, io, memory_policy, merge) = unsafe {
            let mut mode: libc::c_int = 0;
            let null = ptr::null_mut::<u8>();
            (
                // The raw call returns 20 - nice, see getpriority(2), C library/kernel differences.
                check(libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, 0)).map(|raw| 20 - raw),
                check(libc::syscall(libc::SYS_sched_getscheduler, 0)),
                check(libc::syscall(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0)),
                check(libc::syscall(libc::SYS_get_mempolicy, &raw mut mode, null, 0, null, 0))
                    .map(|_| i64::from(mode)),
                check(libc::syscall(libc::SYS_prctl, PR_GET_MEMORY_MERGE, 0, 0, 0, 0)),
            )
        };
        let known = |value: Result<i64, Errno>| value.map_or(0, |value| value as i32);
        Self {
            nice: known(nice),
            policy: known(policy) & !libc::SCHED_RESET_ON_FORK,
            io: known(io),
            memory_policy: known(memory_policy),
            memory_merge: known(merge) == 1,
            oom_score: oom_score().unwrap_or(0),
        }
    }

    /// Whether it runs before every process of an ordinary policy.
    pub fn is_real_time(self) -> bool {
        [libc::SCHED_FIFO, libc::SCHED_RR, libc::SCHED_DEADLINE].contains(&self.policy)
    }

    /// Whether its reads and writes go before those of a process nobody has favoured: class real-time, or class best-effort above
    /// level 4, see ioprio_set(2).
    pub fn is_first_at_disks(self) -> bool {
        matches!((self.io >> IOPRIO_CLASS_SHIFT, self.io & 7), (1, _) | (2, 0..=3))
    }
}

/// The adjustment of the out-of-memory score of this process.
fn oom_score() -> Option<i32> {
    let file = open(Path::new("/proc/self/oom_score_adj"), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        .ok()?;
    let mut text = [0; 16];
    let length = nix::unistd::read(&file, &mut text).ok()?;
    std::str::from_utf8(text.get(..length)?).ok()?.trim().parse().ok()
}

/// sched_setscheduler(2) with `SCHED_OTHER`.
pub fn reset_policy() -> Result<(), Errno> {
    let parameter: libc::c_int = 0;
    // SAFETY: the kernel reads one int (struct sched_param).
    check(unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_OTHER, &raw const parameter) })
        .map(drop)
}

/// ioprio_set(2) with class none: what follows from the nice value.
pub fn reset_io() -> Result<(), Errno> {
    // SAFETY: three integers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, 0) }).map(drop)
}

/// set_mempolicy(2) with `MPOL_DEFAULT`.
pub fn reset_memory_policy() -> Result<(), Errno> {
    // SAFETY: an integer, no nodes.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, 0, ptr::null::<u8>(), 0) }).map(drop)
}

/// `PR_SET_MEMORY_MERGE` with 0: what was merged is not any more, and nothing is from here on.
pub fn reset_memory_merge() -> Result<(), Errno> {
    // SAFETY: integers.
    check(unsafe { libc::syscall(libc::SYS_prctl, PR_SET_MEMORY_MERGE, 0, 0, 0, 0) }).map(drop)
}

/// `PR_SET_TIMERSLACK`: how late a sleep may end, in nanoseconds.
pub fn set_timer_slack(nanoseconds: u64) -> Result<(), Errno> {
    // SAFETY: two integers.
    check(libc::c_long::from(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanoseconds as libc::c_ulong) }))
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_before_others_is_known() {
        let io = |class: i32, level: i32| Priorities { io: class << 13 | level, ..Priorities::default() };
        for (favoured, priorities) in
            [(true, io(1, 7)), (true, io(2, 3)), (false, io(2, 4)), (false, io(3, 0)), (false, io(0, 0))]
        {
            assert_eq!(priorities.is_first_at_disks(), favoured, "{priorities:?}");
        }
        let policy = |policy| Priorities { policy, ..Priorities::default() };
        assert!(policy(libc::SCHED_RR).is_real_time() && policy(libc::SCHED_FIFO).is_real_time());
        assert!(!policy(libc::SCHED_OTHER).is_real_time() && !policy(libc::SCHED_IDLE).is_real_time());
    }

    #[test]
    fn this_process_has_some() {
        let own = Priorities::own();
        let text = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
        assert_eq!(own.oom_score, text.trim().parse::<i32>().unwrap());
        assert_eq!(own.nice, Errno::result(unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }).unwrap());
    }
}
