//! The jail's way out: pasta(1), a process beside the supervisor that reads what the jail sends to a device of its own, and makes ordinary
//! connections of it.
//!
//! It handles what a hostile program sends, so it has as little as it can work with before it takes the rest from itself: the
//! jail's user namespace, three capabilities in it, of a jail started by root an id that is nobody's outside, no_new_privs, no
//! descriptor, no environment, no terminal; the host's network, as its caller has it. It finds the jail's network by a name in
//! a mount namespace of its own, since newer versions close every descriptor they are given, and since /proc/PID of PID 1 is no
//! longer to be looked into when that has gone on.
//!
//! It ends with the jail: the supervisor kills it, and should that be killed itself, the parent-death signal does.

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use super::child;
use super::running::has_ended;
use super::spaces::Spaces;
use super::supervise::let_go_on;
use crate::plan::IdMap;
use crate::plan::forward::NETWORK;
use crate::plan::ids::COUNT;
use crate::plan::step::IdSpace;
use crate::sys::mount::{self, attribute};
use crate::sys::process::{self, Child, PointerArray};
use crate::sys::signal::{self, SignalSet};
use crate::sys::{Error, creds};

/// `CAP_NET_BIND_SERVICE`, for low ports of the jail; `CAP_NET_ADMIN`, for its device; `CAP_SYS_ADMIN`, for entering its network and for
/// what pasta confines itself by. They count in the jail's user namespace.
const KEPT: [u8; 3] = [10, 12, 21];

/// The program to be started, ready for the kernel.
pub(super) struct Wanted {
    pub(super) path: CString,
    pub(super) arguments: PointerArray,
    /// Who it becomes, where that is not the caller.
    pub(super) identity: Option<Identity>,
    /// What it said if it has ended before the jail.
    pub(super) lost: Cell<Option<String>>,
    /// It itself, killed when the jail had ended. It is waited for when all of this goes: what it has used counts as its parent's children's
    /// from then on, and before that this is asked for what the jail has used.
    pub(super) ended: Cell<Option<Running>>,
}

/// An id of the jail's, inside and outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    inside: u32,
    outside: u32,
}

impl Identity {
    /// Of a jail with these ids: the last of them, which has no user.
    pub(super) fn of(map: &IdMap) -> Option<Self> {
        let inside = COUNT - 1;
        map.outside_user(inside).map(|outside| Self { inside, outside })
    }
}

/// The way out of one jail, from before it is asked for.
pub(super) struct Connection<'a> {
    wanted: &'a Wanted,
    /// The user and the network namespace, where the supervisor has made them.
    made: Option<(OwnedFd, OwnedFd)>,
    /// By which the jail is told to go on; `None` once it is.
    release: Option<OwnedFd>,
    /// The operation that asked for it, and who does it.
    running: Option<(usize, Running)>,
}

/// pasta, from its start on.
pub(super) struct Running {
    process: Child,
    /// It writes its number to the other end once it is ready.
    ready: OwnedFd,
    /// What it says.
    messages: OwnedFd,
}

impl<'a> Connection<'a> {
    /// Takes the namespaces of a jail that was started by root.
    pub(super) fn new(wanted: &'a Wanted, spaces: &Spaces, release: OwnedFd) -> Self {
        let made = spaces.of(IdSpace::Jail).take().zip(spaces.network.take());
        Self { wanted, made, release: Some(release), running: None }
    }

    /// Whether the jail is still to ask for it.
    pub(super) const fn is_awaited(&self) -> bool {
        self.running.is_none() && self.release.is_some()
    }

    /// What tells that it is ready.
    pub(super) fn ready(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().filter(|_| self.release.is_some()).map(|(_, running)| running.ready.as_fd())
    }

    /// Starts it, as this operation of the jail's first process asks.
    pub(super) fn start(&mut self, operation: usize, first: i32) -> Result<(), Error> {
        let (user, network) = match self.made.take() {
            Some(made) => made,
            None => (namespace(first, "user")?, namespace(first, "net")?),
        };
        self.running = Some((operation, Running::start(self.wanted, &user, &network)?));
        Ok(())
    }

    /// Lets the jail go on once it is ready. If it has ended instead: which operation that concerns, and what it said.
    pub(super) fn pass(&mut self) -> Result<(), super::Error> {
        let (Some((operation, running)), Some(release)) = (&self.running, &self.release) else {
            return Ok(());
        };
        match nix::unistd::read(&running.ready, &mut [0; 64]) {
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(()),
            Ok(1..) => {
                // What it has said so far did not keep it from getting ready.
                running.said();
                let released = let_go_on(release);
                self.release = None;
                Ok(released?)
            }
            Ok(0) | Err(_) => Err(super::Error::Helper { step: *operation, why: running.said() }),
        }
    }

    /// The jail has ended; whether it has had its way out until then is noted.
    pub(super) fn finish(&mut self) {
        if let Some((_, running)) = self.running.take() {
            self.wanted.lost.set(has_ended(&running.process.pidfd).then(|| running.said()));
            running.kill();
            self.wanted.ended.set(Some(running));
        }
    }
}

/// A namespace of the jail's first process, which waits meanwhile.
fn namespace(first: i32, kind: &str) -> Result<OwnedFd, Error> {
    let opened = std::fs::File::open(format!("/proc/{first}/ns/{kind}")).map(OwnedFd::from);
    opened.map_err(|error| Error { call: "open", errno: Errno::from_raw(error.raw_os_error().unwrap_or(0)) })
}

/// A pipe whose ends do not block.
fn pipe() -> Result<(OwnedFd, OwnedFd), Error> {
    nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(Error::of("pipe2"))
}

impl Running {
    fn start(wanted: &Wanted, user: &OwnedFd, network: &OwnedFd) -> Result<Self, Error> {
        let (ready, its_ready) = pipe()?;
        // When nobody has read so much of what it says it is to go on all the same.
        let (messages, its_messages) = pipe()?;
        if let Some(Identity { outside, .. }) = wanted.identity {
            // It opens this by its path in /proc.
            nix::unistd::fchown(&its_ready, Some(outside.into()), None).map_err(Error::of("fchown"))?;
        }
        let null = child::open(c"/dev/null", OFlag::O_RDONLY)?;
        let path = CString::new(format!("/proc/self/fd/{}", network.as_raw_fd())).unwrap_or_default();
        let becomes = wanted.identity.map(|identity| identity.inside);
        let supervisor = nix::unistd::getpid();
        let none = PointerArray::new(Vec::new());
        let process = process::clone(0, || {
            let standard = [&null, &its_ready, &its_messages];
            let entered = enter(user, &path, becomes, standard).and_then(|()| stay(supervisor));
            let failed = match entered {
                Ok(()) => {
                    Error { call: "execve", errno: process::execve(&wanted.path, &wanted.arguments, &none) }
                }
                Err(error) => error,
            };
            child::say(failed)
        })
        .map_err(Error::of("clone"))?;
        Ok(Self { process, ready, messages })
    }

    /// Nobody else waits for it, so that its number is its own.
    fn kill(&self) {
        let killed = process::kill(self.process.pid, libc::SIGKILL);
        debug_assert!(killed.is_ok(), "{killed:?}");
    }

    /// The last line of what it has said.
    fn said(&self) -> String {
        child::last_line(&self.messages)
    }
}

/// It is killed before it is waited for: it has no file that could be left half written.
impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        let ended = process::wait(self.process.pid);
        debug_assert!(ended.is_ok(), "{ended:?}");
    }
}

/// By the process that becomes pasta: what it is to have, and nothing else.
fn enter(user: &OwnedFd, network: &CStr, becomes: Option<u32>, standard: [&OwnedFd; 3]) -> Result<(), Error> {
    child::take_standard(standard)?;
    process::new_session().map_err(Error::of("setsid"))?;
    process::enter_namespace(user.as_fd(), libc::CLONE_NEWUSER).map_err(Error::of("setns"))?;
    if let Some(id) = becomes {
        creds::set_groups(&[]).map_err(Error::of("setgroups"))?;
        creds::set_gid(id).map_err(Error::of("setresgid"))?;
        creds::set_uid(id).map_err(Error::of("setresuid"))?;
    }
    name_network(network)?;
    let kept = KEPT.iter().fold(0, |set, number| set | 1 << number);
    child::drop_bounding(kept)?;
    let sets = creds::Capabilities { effective: kept, permitted: kept, inheritable: kept };
    creds::set_capabilities(sets).map_err(Error::of("capset"))?;
    // What a process that is not root has after execve(2), see capabilities(7).
    KEPT.iter().try_for_each(|number| creds::raise_ambient(*number).map_err(Error::of("prctl")))?;
    process::set_no_new_privileges().map_err(Error::of("prctl"))
}

/// Gives the jail's network a name in a mount namespace of this process's own: not below /run, where resolv.conf(5) may lead to.
fn name_network(network: &CStr) -> Result<(), Error> {
    process::unshare_mounts().map_err(Error::of("unshare"))?;
    mount::make_private().map_err(Error::of("mount"))?;
    let context = mount::open_file_system(c"tmpfs").map_err(Error::of("fsopen"))?;
    mount::create(context.as_fd()).map_err(Error::of("fsconfig"))?;
    let attributes = attribute::NO_SUID | attribute::NO_DEV | attribute::NO_EXEC;
    let place = mount::mount_created(context.as_fd(), attributes).map_err(Error::of("fsmount"))?;
    mount::attach(place.as_fd(), c"/tmp").map_err(Error::of("move_mount"))?;
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let made = nix::fcntl::open(NETWORK, flags, Mode::S_IRUSR).map_err(Error::of("open"))?;
    drop(made);
    mount::bind(network, NETWORK).map_err(Error::of("mount"))
}

/// Last, since a change of ids undoes the first of it: it does not outlive the supervisor.
fn stay(supervisor: Pid) -> Result<(), Error> {
    process::die_with_parent().map_err(Error::of("prctl"))?;
    if nix::unistd::getppid() != supervisor {
        process::exit(1);
    }
    signal::reset_dispositions().map_err(Error::of("rt_sigaction"))?;
    signal::set_mask(SignalSet::EMPTY).map_err(Error::of("rt_sigprocmask"))?;
    process::close_at_execution().map_err(Error::of("close_range"))
}
