//! Watching other processes, see ptrace(2) and process_vm_readv(2), and the clock that ends a wait for them.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;

use super::check;
use super::signal::SignalSet;

/// Requests of linux/ptrace.h.
const CONT: libc::c_long = 7;
const SYSCALL: libc::c_long = 24;
const SEIZE: libc::c_long = 0x4206;
const GET_EVENT_MESSAGE: libc::c_long = 0x4201;
const LISTEN: libc::c_long = 0x4208;
const GET_SYSCALL_INFO: libc::c_long = 0x420e;

/// `PTRACE_O_…`: what is reported, and what becomes of the processes if this one ends.
pub mod option {
    /// A system call's stop is told from a signal's by bit 7 of the signal.
    pub const SYSCALL_BIT: u64 = 1;
    /// fork(2), vfork(2), clone(2): the new one is traced from its first instruction on.
    pub const CHILDREN: u64 = 1 << 1 | 1 << 2 | 1 << 3;
    /// A program was executed.
    pub const EXEC: u64 = 1 << 4;
    /// A filter answered `SECCOMP_RET_TRACE`.
    pub const SECCOMP: u64 = 1 << 7;
    /// All are killed when the tracer ends.
    pub const KILLED_WITH_TRACER: u64 = 1 << 20;
}

/// One ptrace request whose last arguments are integers.
fn request(request: libc::c_long, pid: i32, address: u64, data: u64) -> Result<i64, Errno> {
    // SAFETY: the requests used here take integers; those that write memory have a function of their own.
    check(unsafe { libc::syscall(libc::SYS_ptrace, request, pid, address, data) })
}

/// `PTRACE_SEIZE`: traces a process without stopping it.
pub fn seize(pid: i32, options: u64) -> Result<(), Errno> {
    request(SEIZE, pid, 0, options).map(drop)
}

/// `PTRACE_CONT`: lets a stopped thread go on, with a signal if that is not 0.
pub fn go_on(pid: i32, signal: i32) -> Result<(), Errno> {
    request(CONT, pid, 0, signal as u64).map(drop)
}

/// `PTRACE_SYSCALL`: the same, up to the next beginning or end of a system call.
pub fn go_on_to_call(pid: i32, signal: i32) -> Result<(), Errno> {
    request(SYSCALL, pid, 0, signal as u64).map(drop)
}

/// `PTRACE_LISTEN`: a thread that job control has stopped stays so, until SIGCONT.
pub fn listen(pid: i32) -> Result<(), Errno> {
    request(LISTEN, pid, 0, 0).map(drop)
}

/// `PTRACE_GETEVENTMSG`: the new thread's id, or the one that an executing thread had before.
pub fn event_message(pid: i32) -> Result<i32, Errno> {
    let mut message: libc::c_ulong = 0;
    // SAFETY: the kernel writes one unsigned long.
    check(unsafe { libc::syscall(libc::SYS_ptrace, GET_EVENT_MESSAGE, pid, 0, &raw mut message) })?;
    Ok(message as i32)
}

/// What `PTRACE_GET_SYSCALL_INFO` tells of a stopped thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallInfo {
    /// `AUDIT_ARCH_…`: by whose numbers the call is.
    pub architecture: u32,
    /// The stack pointer.
    pub stack: u64,
    /// Where in a call the thread is.
    pub stop: Stop,
}

/// Where in a system call a thread is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// In none.
    None,
    /// Before it is made: at its entry, or because a filter said so.
    Entry {
        /// The call's number.
        number: u64,
        /// Its arguments.
        arguments: [u64; 6],
    },
    /// After it: the result, negative if that is an error's number.
    Exit(i64),
}

/// `PTRACE_GET_SYSCALL_INFO`.
pub fn call_info(pid: i32) -> Result<CallInfo, Errno> {
    // struct ptrace_syscall_info: a byte for the kind of stop, the architecture at 4, instruction and stack pointer, then
    // the number and the arguments, or the result.
    let mut info = [0_u64; 12];
    // SAFETY: the kernel writes at most as many bytes as the array has.
    check(unsafe {
        libc::syscall(libc::SYS_ptrace, GET_SYSCALL_INFO, pid, size_of_val(&info), info.as_mut_ptr())
    })?;
    let stop = match info[0] as u8 {
        1 | 3 => {
            Stop::Entry { number: info[3], arguments: [info[4], info[5], info[6], info[7], info[8], info[9]] }
        }
        2 => Stop::Exit(info[3] as i64),
        _ => Stop::None,
    };
    Ok(CallInfo { architecture: (info[0] >> 32) as u32, stack: info[2], stop })
}

/// process_vm_readv(2): bytes of another process's memory from `address` on; how many could be read.
pub fn read_memory(pid: i32, address: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let own = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let other =
        libc::iovec { iov_base: ptr::with_exposed_provenance_mut(address as usize), iov_len: buffer.len() };
    // As wide as the kernel takes them: the last is passed on the stack, where half of it would be left as it was.
    let (one, no_flags): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: the kernel writes at most `buffer.len()` bytes to the buffer; the other address is of another process.
    check(unsafe {
        libc::syscall(libc::SYS_process_vm_readv, pid, &raw const own, one, &raw const other, one, no_flags)
    })
    .map(|read| read as usize)
}

/// What wait4(2) tells of one child or traced thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which.
    pub pid: i32,
    /// Its raw status.
    pub status: i32,
}

/// wait4(2) for any child of this thread and all that it traces. EINTR when the [`Tick`] comes.
pub fn wait() -> Result<Report, Errno> {
    let mut status = 0;
    // Children of other threads are theirs.
    let options = libc::__WALL | libc::__WNOTHREAD;
    let no_usage = ptr::null_mut::<u8>();
    // SAFETY: the kernel writes one int to `status`; the usage pointer may be null.
    let pid = check(unsafe { libc::syscall(libc::SYS_wait4, -1, &raw mut status, options, no_usage) })?;
    Ok(Report { pid: pid as i32, status })
}

/// A timer that interrupts this thread's waiting again and again for as long as it lives, see timer_create(2): a signal without effect.
/// As it repeats, one that comes a moment before the wait does no harm.
#[derive(Debug)]
pub struct Tick {
    timer: libc::c_int,
}

impl Tick {
    /// The signal: an alarm is nobody else's here.
    const SIGNAL: libc::c_int = libc::SIGALRM;

    /// Starts it.
    pub fn every(interval: Duration) -> Result<Self, Errno> {
        extern "C" fn nothing(_signal: libc::c_int) {}
        // SAFETY: zeroes are a valid sigaction and a valid sigevent; the handler does nothing; without SA_RESTART wait4(2) is
        // interrupted.
        unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = nothing as *const () as libc::sighandler_t;
            Errno::result(libc::sigaction(Self::SIGNAL, &raw const action, ptr::null_mut()))?;
            let mut alarm: libc::sigset_t = MaybeUninit::zeroed().assume_init();
            libc::sigaddset(&raw mut alarm, Self::SIGNAL);
            Errno::result(libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const alarm, ptr::null_mut()))?;
            let mut event: libc::sigevent = MaybeUninit::zeroed().assume_init();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = Self::SIGNAL;
            // By its number: std refers to the C library's gettid() only where it is there, and with the whole program optimised
            // together that goes for everybody, so that in a static binary it is not there.
            event.sigev_notify_thread_id = libc::syscall(libc::SYS_gettid) as libc::pid_t;
            let mut timer: libc::c_int = 0;
            let clock = libc::CLOCK_MONOTONIC;
            check(libc::syscall(libc::SYS_timer_create, clock, &raw const event, &raw mut timer))?;
            let tick = Self { timer };
            // struct __kernel_itimerspec: interval and first, each in seconds and nanoseconds.
            let (seconds, nanoseconds) = (interval.as_secs() as i64, i64::from(interval.subsec_nanos()));
            let setting = [seconds, nanoseconds, seconds, nanoseconds];
            let no_old = ptr::null_mut::<u8>();
            check(libc::syscall(libc::SYS_timer_settime, timer, 0, setting.as_ptr(), no_old))?;
            Ok(tick)
        }
    }
}

impl Drop for Tick {
    fn drop(&mut self) {
        // SAFETY: an integer. Fails for a timer that is none only.
        unsafe { libc::syscall(libc::SYS_timer_delete, self.timer) };
    }
}

/// rt_sigtimedwait(2) without waiting: takes one of these signals, which are to be blocked, if one is pending; its number and whether a
/// process sent it (and not the kernel or a terminal).
pub fn take_signal(set: SignalSet) -> Option<(i32, bool)> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let now = [0_i64; 2];
    // SAFETY: the kernel reads 8 bytes of the set and a struct timespec, and writes one siginfo_t.
    let (taken, info) = unsafe {
        let taken = libc::syscall(
            libc::SYS_rt_sigtimedwait,
            &raw const set.0,
            info.as_mut_ptr(),
            now.as_ptr(),
            size_of::<u64>(),
        );
        (taken, info.assume_init())
    };
    (taken > 0).then_some((taken as i32, info.si_code == libc::SI_USER))
}

/// pidfd_getfd(2): a descriptor for what another process has open.
pub fn descriptor_of(process: BorrowedFd<'_>, number: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: integers; the result is a new descriptor that nobody else owns.
    check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) })
        .map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// prlimit(2) that asks: a limit of another process, soft and hard.
pub fn limit_of(pid: i32, resource: i32) -> Result<(u64, u64), Errno> {
    let mut limit = [0_u64; 2];
    // SAFETY: the kernel writes one struct rlimit64; null changes nothing.
    check(unsafe {
        libc::syscall(libc::SYS_prlimit64, pid, resource, ptr::null::<u8>(), limit.as_mut_ptr())
    })?;
    Ok((limit[0], limit[1]))
}

/// getpriority(2) of a process, as a nice value.
pub fn nice_of(pid: i32) -> Result<i32, Errno> {
    // SAFETY: integers. The kernel's own answer is 20 less the value, so that none is negative.
    check(unsafe { libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, pid) })
        .map(|answer| 20 - answer as i32)
}
