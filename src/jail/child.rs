//! The child's side: the loop over operations, and nothing else. No allocation, no lock, no destructor of the parent's
//! values: this runs in a copy of the parent's memory between clone(2) and execve(2).

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::libc;
use nix::sys::stat::fstat;
use nix::unistd::{Whence, lseek};

use super::furnish;
use super::init;
use super::mounts;
use super::program::{Operation, Parent, Program};
use super::report::{self, FILTER_DIFFERS, Report, Service};
use super::spaces;
use crate::plan::step::{IdSpace, Listener, RootMethod, SOCKET, Scheduling};
use crate::plan::system_calls::{PROBE, PROBE_ANSWER};
use crate::sys::signal::{self, SignalSet};
use crate::sys::{Error, creds, fs, landlock, mount, priority, process, seccomp, terminal};

/// What the child was given by its parent beside the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inherited<'a> {
    /// Where a failure is reported; its other end closes with the supervisor.
    pub(super) status: BorrowedFd<'a>,
    /// The number of that other end, of which clone(2) made a copy: while it is open nobody sees the supervisor's end close.
    pub(super) supervisor: RawFd,
    /// The slave end of the program's own terminal.
    pub(super) terminal: Option<BorrowedFd<'a>>,
    /// The writing ends of the pipes for the program's output.
    pub(super) outputs: &'a [OwnedFd],
    /// The socket of which the supervisor reads what is logged.
    pub(super) log: Option<BorrowedFd<'a>>,
    /// The socket of which it reads what the program says of itself.
    pub(super) notify: Option<BorrowedFd<'a>>,
    /// Where it is told that the supervisor has done what it was asked for, by what that is.
    pub(super) releases: [Option<Release<'a>>; 2],
    /// The socket by which the supervisor gets the scratch layers of overlays.
    pub(super) layers: Option<BorrowedFd<'a>>,
    /// How many sockets a service manager has passed for the program, from descriptor 3 on.
    pub(super) passed: u32,
    /// Whether standard input is a file that is read on from where the caller was.
    pub(super) shares_input: bool,
}

/// Where the jail's first process waits, and the number of the other end of that, of which it has a copy too.
pub(super) type Release<'a> = (BorrowedFd<'a>, RawFd);

/// Exit status of a first process that failed; the supervisor goes by the report it has got before.
const FAILED: libc::c_int = 125;

/// Runs the operations from number `from` on, in order, and ends as the program, or as PID 1, or with a report of what failed.
pub(super) fn run(program: &Program, inherited: Inherited<'_>, from: usize) -> libc::c_int {
    for (at, (_, operation)) in program.operations.iter().enumerate().skip(from) {
        if let Operation::ForkProgram { forking, input, filter } = operation {
            // PID 1 becomes the reaper here; its child goes on with the list.
            let joins = matches!(program.operations.get(at + 1), Some((_, Operation::DieWithJoiner)));
            let itself = joins.then_some(&program.joined);
            let child = || run(program, inherited, at + 1);
            return init::serve(inherited, itself, (*forking, *input), filter.as_deref(), &child)
                .unwrap_or_else(|error| fail(inherited.status, at, error));
        }
        if let Err(error) = perform(program, operation, inherited) {
            return fail(inherited.status, at, error);
        }
    }
    FAILED
}

/// By the supervisor itself, before there is a child: the operations that make what the child is to find.
pub(super) fn prepare(program: &Program, inherited: Inherited<'_>) -> Result<(), super::Error> {
    for (at, (_, operation)) in program.operations.iter().enumerate().take(program.prepared) {
        perform(program, operation, inherited).map_err(|error| super::Error::Failed { step: at, error })?;
    }
    Ok(())
}

/// Tells the parent which operation failed in which call and why.
fn fail(status: BorrowedFd<'_>, at: usize, error: Error) -> libc::c_int {
    // A report that cannot be sent changes nothing: this process ends with the same status, and the parent says so.
    if (Report::Failed { operation: at, error }).send(status).is_err() {
        return FAILED;
    }
    FAILED
}

/// One operation.
#[allow(
    clippy::too_many_lines,
    reason = "one arm an operation, each a call or a few; split, the order would be harder to follow"
)]
fn perform(program: &Program, operation: &Operation, inherited: Inherited<'_>) -> Result<(), Error> {
    match operation {
        Operation::WriteFiles(files) => {
            for (path, content) in files {
                write_file(path, content)?;
            }
            Ok(())
        }
        Operation::NewSession => process::new_session().map_err(Error::of("setsid")),
        Operation::NewKeyring => creds::join_session_keyring().map_err(Error::of("keyctl")),
        Operation::AttachTerminal(onto) => {
            let slave = inherited.terminal.ok_or(Error { call: "ioctl", errno: Errno::ENOTTY })?;
            terminal::control(slave).map_err(Error::of("ioctl"))?;
            onto.iter().try_for_each(|fd| process::duplicate_onto(slave, *fd).map_err(Error::of("dup2")))
        }
        Operation::ReopenDescriptor { descriptor, source, attributes, flags, file, seeks } => {
            let opened = open_through_mount(source, *attributes, *flags, *file)?;
            let old = process::standard_descriptor(*descriptor);
            if *seeks {
                let offset = lseek(old, 0, Whence::SeekCur).map_err(Error::of("lseek"))?;
                lseek(&opened, offset, Whence::SeekSet).map_err(Error::of("lseek"))?;
            }
            process::duplicate_onto(opened.as_fd(), *descriptor).map_err(Error::of("dup2"))
        }
        Operation::RelayOutput { relay, onto } => {
            let end = inherited.outputs.get(*relay).ok_or(Error { call: "dup2", errno: Errno::EBADF })?;
            onto.iter()
                .try_for_each(|fd| process::duplicate_onto(end.as_fd(), *fd).map_err(Error::of("dup2")))
        }
        Operation::MakePrivate => mount::make_private().map_err(Error::of("mount")),
        Operation::SetUndumpable => process::set_undumpable().map_err(Error::of("prctl")),
        // Made by the supervisor before there was a child.
        Operation::MakeControlGroups { name, groups } => program.groups.make(name, groups),
        Operation::EnterControlGroups { namespace } => program.groups.enter(*namespace),
        Operation::MakeUserNamespace(wanted) => spaces::make(wanted, &program.spaces),
        Operation::JoinNamespaces { kinds, tree } => spaces::join(program.joined.take(), *kinds, tree),
        Operation::GrantIds => ask(program, inherited, Service::Ids),
        Operation::ConnectNetwork => ask(program, inherited, Service::Network),
        Operation::EnterNetwork => enter(program.spaces.network.take(), libc::CLONE_NEWNET),
        Operation::EnterUserNamespace => enter(program.spaces.of(IdSpace::Jail).take(), libc::CLONE_NEWUSER),
        Operation::LoopbackUp => crate::sys::network::loopback_up(),
        Operation::SetHostname(name) => {
            crate::sys::network::set_hostname(name).map_err(Error::of("sethostname"))
        }
        Operation::CloneTree { slot, source, attributes, recursive, idmap } => {
            let tree = mounts::copy(&program.spaces, source, *attributes, *recursive, *idmap)?;
            program.slots[*slot].set(Some(tree));
            Ok(())
        }
        Operation::EnterRoot { slot, over, method } => {
            let root = program.slots[*slot].take().ok_or(Error { call: "fchdir", errno: Errno::EBADF })?;
            mount::attach(root.as_fd(), over).map_err(Error::of("move_mount"))?;
            nix::unistd::fchdir(&root).map_err(Error::of("fchdir"))?;
            drop(root);
            match method {
                RootMethod::Pivot => {
                    mount::pivot_here().map_err(Error::of("pivot_root"))?;
                    mount::detach_here().map_err(Error::of("umount2"))?;
                }
                RootMethod::Move => {
                    mount::move_here_to_root().map_err(Error::of("mount"))?;
                    nix::unistd::chroot(c".").map_err(Error::of("chroot"))?;
                }
                RootMethod::Chroot => nix::unistd::chroot(c".").map_err(Error::of("chroot"))?,
            }
            nix::unistd::chdir(c"/").map_err(Error::of("chdir"))?;
            Report::Entered.send(inherited.status).map_err(Error::of("write"))
        }
        Operation::Listen { to: Listener::Log, slot } => listen(program, *slot, inherited.log),
        Operation::Listen { to: Listener::Notify, slot } => listen(program, *slot, inherited.notify),
        Operation::AttachTree { slot, target } => attach(program, *slot, target),
        Operation::Cover { copy, place, names } => {
            if let Some((slot, target)) = copy {
                attach(program, *slot, target)?;
            }
            cover(place, names)
        }
        Operation::CreateFileSystem { slot, kind, options, attributes } => {
            program.slots[*slot].set(Some(mounts::create(kind, options, *attributes)?));
            Ok(())
        }
        Operation::CreateOverlay { slot, overlay } => {
            program.slots[*slot].set(Some(mounts::overlay(&program.spaces, overlay, inherited.layers)?));
            Ok(())
        }
        Operation::Furnish { slot, path, what, owner, mode } => {
            let place = program.slots[*slot].take().ok_or(Error { call: "mkdirat", errno: Errno::EBADF })?;
            furnish::make(place.as_fd(), path, what, *owner, *mode)?;
            program.slots[*slot].set(Some(place));
            Ok(())
        }
        Operation::Seal { slot } => lent(&program.slots[*slot], |place| {
            mount::set_attributes(place, mount::attribute::READ_ONLY, false)
        })
        .map_err(Error::of("mount_setattr")),
        Operation::CreateRuleset { slot, handled, network, scoped } => {
            let ruleset = landlock::create_ruleset(*handled, *network, *scoped)
                .map_err(Error::of("landlock_create_ruleset"))?;
            program.slots[*slot].set(Some(ruleset));
            Ok(())
        }
        Operation::AllowAccess { ruleset, beneath, access } => {
            if let Parent::Host(path) = beneath {
                let place = open(path, OFlag::O_PATH)?;
                return lent(&program.slots[*ruleset], |ruleset| {
                    landlock::allow_beneath(ruleset, place.as_fd(), *access)
                })
                .map_err(Error::of("landlock_add_rule"));
            }
            lent(&program.slots[*ruleset], |ruleset| match beneath {
                Parent::Host(_) => Err(Errno::EBADF),
                Parent::Slot(slot) => {
                    lent(&program.slots[*slot], |mount| landlock::allow_beneath(ruleset, mount, *access))
                }
                Parent::Standard(number) => allow_standard(ruleset, *number, *access),
                Parent::Path(path) => allow_mount(ruleset, path, *access),
            })
            .map_err(Error::of("landlock_add_rule"))
        }
        Operation::RestrictSelf { ruleset } => {
            let ruleset = program.slots[*ruleset]
                .take()
                .ok_or(Error { call: "landlock_restrict_self", errno: Errno::EBADF })?;
            landlock::restrict_self(ruleset.as_fd()).map_err(Error::of("landlock_restrict_self"))
        }
        Operation::SetLimit { resource, soft, hard } => {
            creds::set_limit(*resource, *soft, *hard).map_err(Error::of("prlimit"))
        }
        Operation::SetUmask(mask) => {
            process::set_umask(*mask);
            Ok(())
        }
        Operation::SetPersonality(value) => {
            process::set_personality(*value).map_err(Error::of("personality"))
        }
        Operation::SetNice(nice) => process::set_nice(*nice).map_err(Error::of("setpriority")),
        Operation::ResetScheduling(what) => what.iter().try_for_each(|what| reset_scheduling(*what)),
        Operation::SetAffinity(mask) => creds::set_affinity(mask).map_err(Error::of("sched_setaffinity")),
        Operation::DropBounding { keep } => drop_bounding(*keep),
        Operation::LockSecureBits(bits) => creds::set_secure_bits(*bits).map_err(Error::of("prctl")),
        Operation::SetGroups(groups) => creds::set_groups(groups).map_err(Error::of("setgroups")),
        Operation::SetGid(gid) => creds::set_gid(*gid).map_err(Error::of("setresgid")),
        Operation::SetUid(uid) => creds::set_uid(*uid).map_err(Error::of("setresuid")),
        Operation::SetCapabilities(set) => {
            let sets = creds::Capabilities { effective: *set, permitted: *set, inheritable: *set };
            creds::set_capabilities(sets).map_err(Error::of("capset"))
        }
        Operation::SetAmbient(set) => {
            creds::clear_ambient().map_err(Error::of("prctl"))?;
            members(*set).try_for_each(|number| creds::raise_ambient(number).map_err(Error::of("prctl")))
        }
        Operation::NoNewPrivileges => process::set_no_new_privileges().map_err(Error::of("prctl")),
        Operation::DieWithParent => die_with_parent(inherited),
        Operation::DieWithJoiner => die_with_joiner(program, inherited),
        Operation::ResetSignals => {
            signal::reset_dispositions().map_err(Error::of("rt_sigaction"))?;
            signal::set_mask(SignalSet::EMPTY).map(drop).map_err(Error::of("rt_sigprocmask"))
        }
        Operation::NewProcessGroup { terminal } => {
            process::new_process_group().map_err(Error::of("setpgid"))?;
            match terminal {
                Some(fd) => {
                    terminal::take_foreground(process::standard_descriptor(*fd)).map_err(Error::of("ioctl"))
                }
                None => Ok(()),
            }
        }
        Operation::ChangeDirectory(path) => nix::unistd::chdir(path.as_c_str()).map_err(Error::of("chdir")),
        Operation::Verify(expected) => {
            // The supervisor learns the program's process id from the sender of this message, see unix(7), SO_PASSCRED.
            Report::Started.send(inherited.status).map_err(Error::of("write"))?;
            match expected.difference()? {
                None => Ok(()),
                Some(what) => Err(Error { call: what, errno: Errno::EPERM }),
            }
        }
        Operation::CloseDescriptors => {
            process::close_others(inherited.status, inherited.passed).map_err(Error::of("close_range"))
        }
        Operation::FilterSystemCalls(program) => {
            seccomp::install(program).map_err(Error::of("seccomp"))?;
            if seccomp::answer(PROBE) == i32::from(PROBE_ANSWER) {
                Ok(())
            } else {
                Err(Error { call: FILTER_DIFFERS, errno: Errno::EPERM })
            }
        }
        Operation::Execute { path, arguments, environment } => {
            Err(Error { call: "execve", errno: process::execve(path, arguments, environment) })
        }
        Operation::Check(check) => check(),
        // Handled by the loop, which alone knows both sides.
        Operation::ForkProgram { .. } => Ok(()),
    }
}

/// Asks the supervisor for what it has to do for this operation, and waits until it is done. If the supervisor ends instead, so does
/// this process: no parent-death signal is set yet.
fn ask(program: &Program, inherited: Inherited<'_>, service: Service) -> Result<(), Error> {
    let is_it = |(_, operation): &(usize, Operation)| match operation {
        Operation::GrantIds => service == Service::Ids,
        Operation::ConnectNetwork => service == Service::Network,
        _ => false,
    };
    let operation = program.operations.iter().position(is_it).unwrap_or(program.prepared);
    Report::Asks { operation, service }.send(inherited.status).map_err(Error::of("write"))?;
    let release = inherited.releases[service as usize];
    let (release, others) = release.ok_or(Error { call: "read", errno: Errno::EBADF })?;
    process::close(others).map_err(Error::of("close"))?;
    match nix::unistd::read(release, &mut [0]).map_err(Error::of("read"))? {
        0 => process::exit(FAILED),
        _ => Ok(()),
    }
}

/// Gives a socket of the supervisor's its name in a file system that is not mounted yet, and makes that read-only.
fn listen(program: &Program, slot: usize, socket: Option<BorrowedFd<'_>>) -> Result<(), Error> {
    let socket = socket.ok_or(Error { call: "bind", errno: Errno::EBADF })?;
    let place = program.slots[slot].take().ok_or(Error { call: "fchdir", errno: Errno::EBADF })?;
    nix::unistd::fchdir(&place).map_err(Error::of("fchdir"))?;
    crate::sys::network::name_socket(socket, SOCKET)?;
    mount::set_attributes(place.as_fd(), mount::attribute::READ_ONLY, false)
        .map_err(Error::of("mount_setattr"))?;
    program.slots[slot].set(Some(place));
    nix::unistd::chdir(c"/").map_err(Error::of("chdir"))
}

/// Lends the descriptor in a slot.
pub(super) fn lent<T>(
    slot: &Cell<Option<OwnedFd>>,
    to: impl FnOnce(BorrowedFd<'_>) -> Result<T, Errno>,
) -> Result<T, Errno> {
    let held = slot.take().ok_or(Errno::EBADF)?;
    let result = to(held.as_fd());
    slot.set(Some(held));
    result
}

/// A rule for the file behind a standard descriptor.
fn allow_standard(ruleset: BorrowedFd<'_>, number: RawFd, access: u64) -> Result<(), Errno> {
    match landlock::allow_beneath(ruleset, process::standard_descriptor(number), access) {
        // A file in no directory, as memfd_create(2) makes one: no rule can be about it, and none is needed.
        Err(Errno::EBADFD) => Ok(()),
        other => other,
    }
}

/// A rule for a mount of the jail's that was joined. Whoever runs in it may have moved what leads there, so no link is followed, and
/// what is not the root of a mount gets no rule: less is allowed then, never more.
fn allow_mount(ruleset: BorrowedFd<'_>, path: &CStr, access: u64) -> Result<(), Errno> {
    match fs::open_mount(path) {
        Ok(Some(mount)) => landlock::allow_beneath(ruleset, mount.as_fd(), access),
        Ok(None) | Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EACCES) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Opens a file through a detached mount of its own; `ESTALE` if the path leads to another by now.
fn open_through_mount(
    source: &CStr,
    attributes: u64,
    flags: OFlag,
    file: (u64, u64),
) -> Result<OwnedFd, Error> {
    let mount = mounts::clone_tree(source, false)?;
    mount::set_attributes(mount.as_fd(), attributes, false).map_err(Error::of("mount_setattr"))?;
    let opened = fs::reopen(&mount, flags).map_err(Error::of("open"))?;
    let found = fstat(&opened).map_err(Error::of("fstat"))?;
    if (found.st_dev, found.st_ino) == file {
        Ok(opened)
    } else {
        Err(Error { call: "open", errno: Errno::ESTALE })
    }
}

/// Opens a file, writes it in one go and closes it.
pub(super) fn write_file(path: &CStr, content: &[u8]) -> Result<(), Error> {
    write_to(&open(path, OFlag::O_WRONLY)?, content)
}

/// write(2), of all or nothing: the files of /proc take it so.
pub(super) fn write_to(file: &OwnedFd, content: &[u8]) -> Result<(), Error> {
    match nix::unistd::write(file, content).map_err(Error::of("write"))? {
        written if written == content.len() => Ok(()),
        _ => Err(Error { call: "write", errno: Errno::EIO }),
    }
}

/// open(2) without allocation: the path is a C string already.
pub(super) fn open(path: &CStr, flags: OFlag) -> Result<OwnedFd, Error> {
    let flags = flags | OFlag::O_CLOEXEC;
    nix::fcntl::open(path, flags, nix::sys::stat::Mode::empty()).map_err(Error::of("open"))
}

/// By a process that becomes another program: these are its standard descriptors.
pub(super) fn take_standard(standard: [&OwnedFd; 3]) -> Result<(), Error> {
    (0..)
        .zip(standard)
        .try_for_each(|(onto, from)| process::duplicate_onto(from.as_fd(), onto).map_err(Error::of("dup2")))
}

/// By such a process that has failed: why, on its standard error. Its status.
pub(super) fn say(failed: Error) -> libc::c_int {
    // Nothing is to be done about a message that cannot be written: that this process ends is seen.
    for text in [failed.call, ": ", failed.errno.desc()] {
        if nix::unistd::write(process::standard_descriptor(2), text.as_bytes()).is_err() {
            break;
        }
    }
    1
}

/// The last line that can be read there, of what a program has said: what is missing that it can do without comes before what it ended for.
pub(super) fn last_line(messages: &OwnedFd) -> String {
    let mut bytes = [0; 2048];
    let count = nix::unistd::read(messages, &mut bytes).unwrap_or(0);
    let text = String::from_utf8_lossy(&bytes[..count]);
    // The first version of pasta that distributions had adds what it could not send to a logger.
    let is_noise = |line: &str| line.is_empty() || line.starts_with("Failed to send ");
    let last = text.lines().map(str::trim).rfind(|line| !is_noise(line));
    last.map_or_else(|| "it ended without a word".into(), |line| line.replace(char::is_control, " "))
}

/// setns(2), after which the namespace's descriptor has no further use.
pub(super) fn enter(namespace: Option<OwnedFd>, kind: libc::c_int) -> Result<(), Error> {
    let namespace = namespace.ok_or(Error { call: "setns", errno: Errno::EBADF })?;
    process::enter_namespace(namespace.as_fd(), kind).map_err(Error::of("setns"))
}

/// The numbers of the bits set in a mask.
fn members(set: u64) -> impl Iterator<Item = u8> {
    (0..64).filter(move |number| set & (1 << number) != 0)
}

/// Drops every capability this kernel knows and `keep` has not from the bounding set.
pub(super) fn drop_bounding(keep: u64) -> Result<(), Error> {
    for number in members(!keep) {
        match creds::drop_bounding(number) {
            Ok(()) => {}
            // capabilities(7): past the last capability of this kernel.
            Err(Errno::EINVAL) => return Ok(()),
            Err(errno) => return Err(Error { call: "prctl", errno }),
        }
    }
    Ok(())
}

/// Resets one thing by which the kernel favours a process.
fn reset_scheduling(what: Scheduling) -> Result<(), Error> {
    match what {
        Scheduling::TimerSlack => priority::set_timer_slack(Scheduling::TIMER_SLACK),
        Scheduling::Policy => priority::reset_policy(),
        Scheduling::Io => priority::reset_io(),
        Scheduling::Memory => priority::reset_memory_policy(),
        Scheduling::Merging => priority::reset_memory_merge(),
    }
    .map_err(Error::of(what.call().0))
}

/// Makes a detached mount visible.
fn attach(program: &Program, slot: usize, target: &CStr) -> Result<(), Error> {
    let tree = program.slots[slot].take().ok_or(Error { call: "move_mount", errno: Errno::EBADF })?;
    mount::attach(tree.as_fd(), target).map_err(Error::of("move_mount"))
}

/// Mounts what is on the first of these names over the others, all in one directory, and looks whether it is there. Relative to the
/// directory, as each path would lead through it again.
fn cover(place: &CStr, names: &[CString]) -> Result<(), Error> {
    let [with, over @ ..] = names else { return Ok(()) };
    let look = |name: &CStr| {
        nix::sys::stat::fstatat(AT_FDCWD, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(Error::of("newfstatat"))
    };
    nix::unistd::chdir(place).map_err(Error::of("chdir"))?;
    let cover = look(with)?;
    // null(4): a file of the host that has taken the place of /dev/null is not to be shown in the place of what it covers.
    let is_null = cover.st_mode & libc::S_IFMT == libc::S_IFCHR && cover.st_rdev == libc::makedev(1, 3);
    let mut covered = is_null || cover.st_mode & libc::S_IFMT == libc::S_IFDIR;
    for name in over {
        mount::bind(with, name).map_err(Error::of("mount"))?;
        let found = look(name)?;
        covered &= (found.st_dev, found.st_ino) == (cover.st_dev, cover.st_ino);
    }
    if !covered {
        return Err(Error { call: report::COVERS, errno: Errno::EPERM });
    }
    nix::unistd::chdir(c"/").map_err(Error::of("chdir"))
}

/// Sets the parent-death signal, then waits for the supervisor's word, which comes when others can find the jail. Had it died before,
/// its end of the socket would be closed.
fn die_with_parent(inherited: Inherited<'_>) -> Result<(), Error> {
    process::die_with_parent().map_err(Error::of("prctl"))?;
    process::close(inherited.supervisor).map_err(Error::of("close"))?;
    // The end of the socket: there is no supervisor any more.
    match nix::unistd::read(inherited.status, &mut [0]).map_err(Error::of("read"))? {
        0 => process::exit(FAILED),
        _ => Ok(()),
    }
}

/// The same for a program whose parent has joined the jail from outside. A parent that is gone cannot be told by its number: it never
/// had one in the jail, and neither has who inherits its children, which is the first process of its own PID namespace.
fn die_with_joiner(program: &Program, inherited: Inherited<'_>) -> Result<(), Error> {
    process::die_with_parent().map_err(Error::of("prctl"))?;
    // Takes the kernel's lock of the process tree, as the parent's end does when it signals its children and is marked as ended: that
    // either comes later and finds the signal set, or was before and is seen below.
    process::new_process_group().map_err(Error::of("setpgid"))?;
    let joiner = program.joined.take().ok_or(Error { call: "poll", errno: Errno::EBADF })?;
    let mut either = [
        nix::poll::PollFd::new(inherited.status, nix::poll::PollFlags::empty()),
        nix::poll::PollFd::new(joiner.as_fd(), nix::poll::PollFlags::POLLIN),
    ];
    match nix::poll::poll(&mut either, nix::poll::PollTimeout::ZERO).map_err(Error::of("poll"))? {
        0 => Ok(()),
        _ => process::exit(FAILED),
    }
}
