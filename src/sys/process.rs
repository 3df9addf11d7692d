//! Processes: clone(2) without a stack, execve(2) with prepared arrays, waiting, and the socket between them.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::libc;

use super::check;

/// A process made by [`clone`], seen from its parent.
#[derive(Debug)]
pub struct Child {
    /// Its process id in the caller's PID namespace.
    pub pid: i32,
    /// A descriptor that becomes readable when it ends, see pidfd_open(2).
    pub pidfd: OwnedFd,
}

/// A copy of this process in new namespaces, as fork(2) makes one: the child runs `child` and never returns.
///
/// The raw call is used because glibc's clone() wants a stack and its fork() takes no flags. The child may not allocate:
/// another thread of the parent could have held the allocator's lock.
pub fn clone(flags: libc::c_int, child: impl FnOnce() -> libc::c_int) -> Result<Child, Errno> {
    let mut pidfd: RawFd = -1;
    let flags = libc::c_long::from(flags | libc::CLONE_PIDFD | libc::SIGCHLD);
    // SAFETY: no stack and no CLONE_VM, so the child goes on with a copy of this one's memory, as after fork(2); the kernel
    // writes one int to `pidfd` before it returns in the parent. See clone(2), "C library/kernel differences".
    let result = unsafe {
        libc::syscall(libc::SYS_clone, flags, ptr::null_mut::<u8>(), &raw mut pidfd, ptr::null_mut::<u8>(), 0)
    };
    match check(result)? {
        0 => exit(child()),
        // SAFETY: with CLONE_PIDFD the kernel gave this descriptor to nobody else.
        pid => Ok(Child { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }),
    }
}

/// The stack of [`spawn`]'s child. Untouched pages of it cost nothing.
#[repr(align(16))]
struct Stack(std::cell::UnsafeCell<[u8; Stack::SIZE]>);

impl Stack {
    /// Bytes of it: the jail's operations need a few thousand.
    const SIZE: usize = 64 << 10;
}

// SAFETY: only `spawn` and `spawn_in` use it, one at a time, see there.
unsafe impl Sync for Stack {}

static STACK: Stack = Stack(std::cell::UnsafeCell::new([0; Stack::SIZE]));

/// Makes a child that runs `child` in this process's own memory and waits until it has executed a program or ended, as
/// vfork(2) does: nothing is copied. Returns the child's id.
///
/// For a process that is itself a child of [`clone`] and therefore alone in its memory: PID 1, when it makes the program's process.
/// `child` may not allocate.
pub fn spawn<F: Fn() -> libc::c_int>(child: &F) -> Result<i32, Errno> {
    spawn_with(0, child)
}

/// The same in new namespaces, with the caller's own table of descriptors: what the child opens is open in the caller too. For
/// the supervisor before it calls [`clone`], which no other thread of the process does meanwhile.
pub fn spawn_in<F: Fn() -> libc::c_int>(namespaces: libc::c_int, child: &F) -> Result<i32, Errno> {
    spawn_with(namespaces | libc::CLONE_FILES, child)
}

/// clone(2) on [`STACK`].
fn spawn_with<F: Fn() -> libc::c_int>(more: libc::c_int, child: &F) -> Result<i32, Errno> {
    extern "C" fn start<F: Fn() -> libc::c_int>(child: *mut libc::c_void) -> libc::c_int {
        // SAFETY: `spawn` passes a reference to an F, which lives as long as `spawn` waits.
        let child = unsafe { &*child.cast::<F>() };
        exit(child())
    }
    let flags = more | libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let argument = ptr::from_ref(child).cast_mut().cast();
    // SAFETY: the top of memory that nothing else uses; with CLONE_VFORK the caller does not run until the child is off it.
    let result = unsafe {
        let top = STACK.0.get().byte_add(Stack::SIZE).cast();
        libc::clone(start::<F>, top, flags, argument)
    };
    check(libc::c_long::from(result)).map(|pid| pid as i32)
}

/// _exit(2): no destructor, no buffer, no handler of the copied parent runs.
pub fn exit(status: libc::c_int) -> ! {
    // SAFETY: _exit takes an integer and does not return.
    unsafe { libc::_exit(status) }
}

/// Pointers to C strings, ended by a null pointer: what execve(2) takes, made before clone so that the child allocates nothing.
#[derive(Debug)]
pub struct PointerArray {
    /// Owned here so that the pointers stay good.
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl PointerArray {
    /// Takes the strings.
    pub fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect();
        Self { _strings: strings, pointers }
    }
}

/// execve(2). Returns only if it failed.
pub fn execve(path: &CStr, arguments: &PointerArray, environment: &PointerArray) -> Errno {
    // SAFETY: `path` ends with NUL; both arrays end with null and their strings live in them.
    unsafe { libc::execve(path.as_ptr(), arguments.pointers.as_ptr(), environment.pointers.as_ptr()) };
    Errno::last()
}

/// close_range(2) of both and all between them.
fn close_range(first: u32, last: u32) -> Result<(), Errno> {
    // SAFETY: three integers. Descriptors owned by values of this process are closed under them; the callers are the jail's
    // first processes, which run no destructor.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Closes every descriptor above 2 but this one, and but the first so many, which a service manager has passed.
pub fn close_others(kept: BorrowedFd<'_>, passed: u32) -> Result<(), Errno> {
    let (kept, first) = (kept.as_raw_fd() as u32, 3 + passed);
    if kept > first {
        close_range(first, kept - 1)?;
    }
    close_range(kept.max(first - 1) + 1, u32::MAX)
}

/// Closes the descriptors that a service manager has passed, so many from 3 on.
pub fn close_passed(passed: u32) -> Result<(), Errno> {
    match passed {
        0 => Ok(()),
        passed => close_range(3, 2 + passed),
    }
}

/// Closes every descriptor above 2, those of the parent's values too: for a child of [`clone`] that goes on with a work of its own and
/// never drops what it has a copy of.
pub fn close_inherited() -> Result<(), Errno> {
    close_range(3, u32::MAX)
}

/// A descriptor that a service manager has passed, see sd_listen_fds(3); what is not open is EBADF to whoever looks.
pub fn passed_descriptor(number: u32) -> BorrowedFd<'static> {
    // SAFETY: nothing of this process owns it, as it was open before anything was opened here, and it is closed only when the program
    // has it, after the last look.
    unsafe { BorrowedFd::borrow_raw(3 + number as RawFd) }
}

/// Has every descriptor above 2 closed when the next program is executed.
pub fn close_at_execution() -> Result<(), Errno> {
    // SAFETY: three integers.
    check(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) }).map(drop)
}

/// Closes the standard descriptors from `first` on: a process that opens, reads and writes nothing needs none.
pub fn close_standard_descriptors(first: u32) -> Result<(), Errno> {
    close_range(first, 2)
}

/// close(2) of a descriptor that belongs to a value of the parent's, in a child that never drops that value.
pub fn close(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: an integer; see above for the value.
    check(libc::c_long::from(unsafe { libc::close(fd) })).map(drop)
}

/// dup2(2) onto a standard descriptor, which no value of this process owns.
pub fn duplicate_onto(from: BorrowedFd<'_>, to: RawFd) -> Result<(), Errno> {
    // SAFETY: two integers.
    check(libc::c_long::from(unsafe { libc::dup2(from.as_raw_fd(), to) })).map(drop)
}

/// prctl(2) with integer arguments.
fn prctl(option: libc::c_int, argument: libc::c_ulong, second: libc::c_ulong) -> Result<i64, Errno> {
    // SAFETY: the options used in this module take integers, or the address of a C string that lives through the call.
    check(libc::c_long::from(unsafe { libc::prctl(option, argument, second, 0, 0) }))
}

/// `PR_SET_PDEATHSIG`: SIGKILL when the parent's thread ends. Cleared by a change of ids, so it is set after them.
pub fn die_with_parent() -> Result<(), Errno> {
    prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0).map(drop)
}

/// `PR_SET_CHILD_SUBREAPER`: descendants whose parent has ended become children of this process.
pub fn adopt_orphans() -> Result<(), Errno> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0).map(drop)
}

/// `PR_SET_DUMPABLE` 0: nobody of the same user traces this process or reads its /proc files; ends with execve(2).
pub fn set_undumpable() -> Result<(), Errno> {
    prctl(libc::PR_SET_DUMPABLE, 0, 0).map(drop)
}

/// `PR_SET_NAME`: what ps(1) shows as the command's name; at most 15 bytes.
pub fn set_name(name: &CStr) -> Result<(), Errno> {
    prctl(libc::PR_SET_NAME, name.as_ptr() as libc::c_ulong, 0).map(drop)
}

/// `PR_SET_NO_NEW_PRIVS`.
pub fn set_no_new_privileges() -> Result<(), Errno> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}

/// `PR_GET_NO_NEW_PRIVS`.
pub fn no_new_privileges() -> Result<bool, Errno> {
    prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0).map(|on| on == 1)
}

/// setsid(2).
pub fn new_session() -> Result<(), Errno> {
    nix::unistd::setsid().map(drop)
}

/// setpgid(2) for this process: a group of its own.
pub fn new_process_group() -> Result<(), Errno> {
    nix::unistd::setpgid(nix::unistd::Pid::from_raw(0), nix::unistd::Pid::from_raw(0))
}

/// personality(2).
pub fn set_personality(persona: u64) -> Result<(), Errno> {
    // SAFETY: an integer.
    check(libc::c_long::from(unsafe { libc::personality(persona) })).map(drop)
}

/// setpriority(2) of this process: the nice value.
pub fn set_nice(nice: i32) -> Result<(), Errno> {
    // SAFETY: three integers.
    check(libc::c_long::from(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) })).map(drop)
}

/// setns(2): this process's namespace of one kind (`CLONE_NEWUSER` and the like) becomes that of the descriptor.
pub fn enter_namespace(namespace: BorrowedFd<'_>, kind: libc::c_int) -> Result<(), Errno> {
    // SAFETY: a descriptor and an integer.
    check(libc::c_long::from(unsafe { libc::setns(namespace.as_raw_fd(), kind) })).map(drop)
}

/// unshare(2): a mount namespace of this process's own, for now with the same mounts.
pub fn unshare_mounts() -> Result<(), Errno> {
    // SAFETY: an integer.
    check(libc::c_long::from(unsafe { libc::unshare(libc::CLONE_NEWNS) })).map(drop)
}

/// umask(2); cannot fail.
pub fn set_umask(mask: u32) {
    // SAFETY: an integer.
    unsafe { libc::umask(mask) };
}

/// What wait4(2) tells of one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// It ended; the raw status of wait(2).
    Ended {
        /// Which.
        pid: i32,
        /// Its status.
        status: i32,
    },
    /// It was stopped by this signal.
    Stopped {
        /// Which.
        pid: i32,
        /// By which.
        signal: i32,
    },
    /// No child has changed.
    Nothing,
}

/// wait4(2) without blocking for any child, ended or stopped.
pub fn wait_any() -> Result<Waited, Errno> {
    let mut status = 0;
    // SAFETY: the kernel writes one int to `status`; the usage pointer may be null.
    let pid = check(unsafe {
        libc::syscall(
            libc::SYS_wait4,
            -1,
            &raw mut status,
            libc::WNOHANG | libc::WUNTRACED,
            ptr::null_mut::<u8>(),
        )
    })? as i32;
    Ok(match pid {
        0 => Waited::Nothing,
        pid if libc::WIFSTOPPED(status) => Waited::Stopped { pid, signal: libc::WSTOPSIG(status) },
        pid => Waited::Ended { pid, status },
    })
}

/// A child that has ended and was not waited for, by waitid(2). Nothing changes.
pub fn ended_child() -> Result<Option<i32>, Errno> {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, flags).map(|status| status.pid().map(nix::unistd::Pid::as_raw))
}

/// wait4(2) for one child, until it ends; its raw status.
pub fn wait(pid: i32) -> Result<i32, Errno> {
    loop {
        let mut status = 0;
        // SAFETY: as in `wait_any`.
        match check(unsafe { libc::syscall(libc::SYS_wait4, pid, &raw mut status, 0, ptr::null_mut::<u8>()) })
        {
            Ok(_) => return Ok(status),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// The exit code of a raw wait status by the shells' convention: its own, or 128 + signal.
pub fn exit_code(status: i32) -> i32 {
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) }
}

/// pidfd_send_signal(2).
pub fn signal_process(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    // SAFETY: a descriptor, two integers and a null siginfo, which the call allows.
    check(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, ptr::null::<u8>(), 0)
    })
    .map(drop)
}

/// pidfd_open(2).
pub fn pidfd_open(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: two integers; the result is a new descriptor nobody else owns.
    check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
        .map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// kill(2) to one process (`pid > 0`) or a process group (`pid < 0`).
pub fn kill(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: two integers.
    check(libc::c_long::from(unsafe { libc::kill(pid, signal) })).map(drop)
}

/// Has a command killed when the thread that starts it ends, however that comes about, see PR_SET_PDEATHSIG(2const). The setting
/// stays through execve(2) of a program that is not setuid.
pub fn killed_with_parent(command: &mut Command) -> &mut Command {
    let parent = std::process::id();
    // SAFETY: what runs between fork and exec makes two system calls and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0, 0, 0) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            // It may have ended before.
            if libc::getppid().unsigned_abs() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
        })
    }
}

/// One of the standard descriptors 0 to 2, which are open from [`fill_standard_descriptors`] on and are never closed.
pub fn standard_descriptor(number: RawFd) -> BorrowedFd<'static> {
    debug_assert!((0..=2).contains(&number), "0 to 2");
    // SAFETY: open, see above; PID 1, which closes them at last, asks for none that it has closed.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Another descriptor for what the caller has behind this one, whatever number that is: EBADF if it is closed.
pub fn duplicate(number: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: no memory is passed; a number that is no descriptor is an error.
    let copy = Errno::result(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: the call above returned a descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// getcwd(2): whether there is a path from this process's root to its working directory. The kernel's answer begins with
/// `(unreachable)` where there is none.
pub fn is_directory_reachable() -> Result<bool, Errno> {
    let mut path = std::mem::MaybeUninit::<[u8; libc::PATH_MAX as usize]>::uninit();
    // SAFETY: the kernel writes at most as many bytes as the array has, and at least one, which is all that is read.
    let first = unsafe {
        check(libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), size_of_val(&path)))?;
        path.as_ptr().cast::<u8>().read()
    };
    Ok(first == b'/')
}

/// The umask that the caller had, or none was asked for.
static CALLERS_UMASK: AtomicU32 = AtomicU32::new(USUAL_UMASK);

/// What is made is readable, and writable by its owner.
pub const USUAL_UMASK: u32 = 0o022;

/// umask(2) that leaves what is made readable, as usual: the caller's could take away what a build gives itself.
pub fn reset_umask() {
    // SAFETY: no memory is passed.
    let before = unsafe { libc::umask(USUAL_UMASK) };
    CALLERS_UMASK.store(before, Ordering::Relaxed);
}

/// What the umask was before that.
pub fn callers_umask() -> u32 {
    CALLERS_UMASK.load(Ordering::Relaxed)
}

/// Opens /dev/null on each of the descriptors 0 to 2 that the caller left closed, so that no file opened later becomes the
/// program's standard input or output. Done by Rust's own start-up too, which this binary goes without.
pub fn fill_standard_descriptors() -> Result<(), Errno> {
    let mut standard = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    // SAFETY: three pollfd of this array; a timeout of 0.
    check(libc::c_long::from(unsafe { libc::poll(standard.as_mut_ptr(), 3, 0) }))?;
    for entry in standard {
        if entry.revents & libc::POLLNVAL != 0 {
            // SAFETY: the path is a C string. The lowest free number is this one, as those below are open.
            let fd = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
            check(libc::c_long::from(fd))?;
        }
    }
    Ok(())
}
