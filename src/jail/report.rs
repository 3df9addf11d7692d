//! What the jail's first processes tell the supervisor: fixed records on a socket that keeps message boundaries and whose
//! messages carry the sender's process id as the receiver sees it.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, setsockopt, socketpair,
    sockopt,
};

use crate::sys::Error;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// PID 1 has left the host's tree; what is left to do is shorter.
    Entered,
    /// The program's own process is there, confined, and about to execute it.
    Started,
    /// An operation failed; nothing was executed.
    Failed { operation: usize, error: Error },
    /// The program was stopped by this signal.
    Stopped { signal: i32 },
    /// The program was killed; its raw wait status.
    Ended { status: i32 },
    /// The program has gone into the background: its own process has ended in peace, and left others.
    Background,
    /// This operation waits for what the supervisor has to do for it.
    Asks { operation: usize, service: Service },
    /// The program has ended, and its standard input was read up to this offset.
    Read { offset: i64 },
}

/// What the supervisor does for an operation that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// It has the id maps written.
    Ids,
    /// It connects the network.
    Network,
}

/// Bytes of a message: kind, number, name of a call.
const SIZE: usize = 9 + CALL;
/// Bytes of a call's name.
const CALL: usize = 24;

/// Names that can come back from the child, so that the name read is one of this binary's own.
const CALLS: [&str; 72] = [
    "openat2",
    "sched_setscheduler",
    "ioprio_set",
    "set_mempolicy",
    "newfstatat",
    "keyctl",
    "open",
    "close",
    "read",
    "write",
    "setsid",
    "ioctl",
    "dup2",
    "mount",
    "prctl",
    "socket",
    "sethostname",
    "setns",
    "open_tree",
    "mount_setattr",
    "move_mount",
    "fchdir",
    "pivot_root",
    "umount2",
    "chroot",
    "chdir",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fstat",
    "lseek",
    "landlock_create_ruleset",
    "landlock_add_rule",
    "landlock_restrict_self",
    "prlimit",
    "personality",
    "setpriority",
    "sched_setaffinity",
    "setgroups",
    "setresgid",
    "setresuid",
    "capset",
    "poll",
    "rt_sigaction",
    "rt_sigprocmask",
    "setpgid",
    "seccomp",
    "close_range",
    "execve",
    "clone",
    "getresuid",
    "getresgid",
    "getgroups",
    "getcwd",
    "capget",
    "signalfd",
    "unshare",
    "mkdir",
    "mkdirat",
    "symlinkat",
    "openat",
    "fchownat",
    "fchmodat",
    "flock",
    "sendmsg",
    "bind",
    "fcntl",
    "pidfd_open",
    "pipe2",
    "wait4",
    "test",
    "unknown",
];

impl Report {
    /// Sends it, without allocating.
    pub(super) fn send(self, to: BorrowedFd<'_>) -> Result<(), Errno> {
        let (kind, first, second, call) = match self {
            Self::Entered => (7, 0, 0, ""),
            Self::Started => (0, 0, 0, ""),
            Self::Failed { operation, error } => (1, operation as i32, error.errno as i32, error.call),
            Self::Stopped { signal } => (2, signal, 0, ""),
            Self::Ended { status } => (3, status, 0, ""),
            Self::Background => (5, 0, 0, ""),
            Self::Asks { operation, service } => (6, operation as i32, service as i32, ""),
            Self::Read { offset } => (4, offset as i32, (offset >> 32) as i32, ""),
        };
        let mut message = [0; SIZE];
        message[0] = kind;
        message[1..5].copy_from_slice(&i32::to_ne_bytes(first));
        message[5..9].copy_from_slice(&i32::to_ne_bytes(second));
        let name = &call.as_bytes()[..call.len().min(CALL)];
        message[9..9 + name.len()].copy_from_slice(name);
        // write(2), which nearly every filter allows, unlike send(2). Where SIGPIPE is not blocked, dying of it is as well: nobody
        // listens, so this process is to end.
        nix::unistd::write(to, &message).map(drop)
    }

    /// Reads a message; `None` if it is not one of ours.
    fn decode(message: &[u8]) -> Option<Self> {
        let number = |at: usize| message.get(at..at + 4)?.try_into().ok().map(i32::from_ne_bytes);
        let (first, second) = (number(1)?, number(5)?);
        Some(match message.first()? {
            7 => Self::Entered,
            0 => Self::Started,
            1 => {
                let name = message.get(9..)?.split(|byte| *byte == 0).next()?;
                let call = DIFFERENCES.iter().chain(&CALLS).find(|call| call.as_bytes() == name);
                let call = call.copied().unwrap_or("unknown");
                Self::Failed {
                    operation: first as usize,
                    error: Error { call, errno: Errno::from_raw(second) },
                }
            }
            2 => Self::Stopped { signal: first },
            3 => Self::Ended { status: first },
            5 => Self::Background,
            6 => {
                let service =
                    [Service::Ids, Service::Network].into_iter().find(|known| *known as i32 == second)?;
                Self::Asks { operation: first as usize, service }
            }
            4 => Self::Read { offset: i64::from(first as u32) | i64::from(second) << 32 },
            _ => return None,
        })
    }
}

/// Whether these bytes are a message. For `tests/fuzz/`: the channel itself hands on only what the jail's first processes send.
pub fn is_report(message: &[u8]) -> bool {
    Report::decode(message).is_some()
}

/// What is found different when covers are not there.
pub(super) const COVERS: &str = "covers of /proc or /sys";

/// In place of a call's name: who made a user namespace was killed.
pub(super) const MAKER_KILLED: &str = "killed process";

/// Sent in place of a call's name when a filter has been installed and is not there.
pub(super) const FILTER_DIFFERS: &str = "system call filter";

/// What `Verify` may find different, sent in place of a call's name.
pub(super) const DIFFERENCES: [&str; 10] = [
    COVERS,
    FILTER_DIFFERS,
    "user ids",
    "group ids",
    "supplementary groups",
    "capability sets",
    "bounding set",
    "secure bits",
    "working directory",
    "no_new_privs",
];

/// Both ends of the socket: the supervisor's, which tells senders, and the child's.
pub(super) fn channel() -> Result<(OwnedFd, OwnedFd), Error> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .map_err(Error::of("socketpair"))?;
    setsockopt(&ours, sockopt::PassCred, &true).map_err(Error::of("setsockopt"))?;
    Ok((ours, theirs))
}

/// What [`receive`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A message and its sender's process id.
    Message(Report, i32),
    /// No message is there now.
    Nothing,
    /// None will come any more.
    End,
}

/// Takes the next message, without waiting.
pub(super) fn receive(from: BorrowedFd<'_>) -> Result<Received, Errno> {
    match take(from) {
        // Said once, before what is still there to be read: the other end was closed with the supervisor's word unread.
        Err(Errno::ECONNRESET) => take(from),
        other => other,
    }
}

/// recvmsg(2), once.
fn take(from: BorrowedFd<'_>) -> Result<Received, Errno> {
    let mut message = [0; SIZE];
    let mut space = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
    let mut slices = [IoSliceMut::new(&mut message)];
    let received =
        match recvmsg::<()>(from.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::MSG_DONTWAIT) {
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Received::Nothing),
            Err(errno) => return Err(errno),
        };
    let sender = received.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.pid()),
        _ => None,
    });
    let length = received.bytes;
    Ok(match (Report::decode(&message[..length]), sender) {
        (Some(report), Some(sender)) => Received::Message(report, sender),
        // No bytes: the other ends are closed. Nobody else can send here, so there is no third case.
        _ => Received::End,
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::plan::step::Scheduling;

    /// Else the supervisor would tell of "unknown(2)".
    #[test]
    fn every_call_that_fails_in_the_child_has_its_name() {
        let sources = [
            include_str!("child.rs"),
            include_str!("furnish.rs"),
            include_str!("init.rs"),
            include_str!("input.rs"),
            include_str!("mounts.rs"),
            include_str!("spaces.rs"),
            include_str!("verify.rs"),
            include_str!("../sys/network.rs"),
            include_str!("../sys/terminal.rs"),
        ];
        let code = sources.map(|source| source.split("#[cfg(test)]").next().unwrap());
        let named = code.iter().flat_map(|code| {
            let words = ["Error::of(\"", "call: \""].map(|mark| code.split(mark).skip(1));
            words.into_iter().flatten().filter_map(|rest| rest.split('"').next())
        });
        let favours = [
            Scheduling::TimerSlack,
            Scheduling::Policy,
            Scheduling::Io,
            Scheduling::Memory,
            Scheduling::Merging,
        ];
        let named: Vec<&str> = named.chain(favours.map(|what| what.call().0)).collect();
        assert!(named.len() > 100, "they are not found any more: {named:?}");
        let unknown: Vec<_> = named.iter().filter(|name| !CALLS.contains(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(CALLS.iter().chain(&DIFFERENCES).all(|name| name.len() <= CALL));
    }

    #[test]
    fn a_report_comes_back_as_it_was_sent_with_its_sender() {
        let (ours, theirs) = channel().unwrap();
        let failed =
            Report::Failed { operation: 7, error: Error { call: "pivot_root", errno: Errno::EINVAL } };
        for report in [
            Report::Started,
            failed,
            Report::Stopped { signal: 20 },
            Report::Ended { status: 0x100 },
            Report::Read { offset: 0x9_8000_0001 },
            Report::Background,
        ] {
            report.send(theirs.as_fd()).unwrap();
            assert_eq!(receive(ours.as_fd()).unwrap(), Received::Message(report, std::process::id() as i32));
        }
        assert_eq!(receive(ours.as_fd()).unwrap(), Received::Nothing);
        drop(theirs);
        assert_eq!(receive(ours.as_fd()).unwrap(), Received::End);
        // Also of one that ended before it read what the supervisor had to say.
        let (ours, theirs) = channel().unwrap();
        failed.send(theirs.as_fd()).unwrap();
        nix::unistd::write(&ours, b"\n").unwrap();
        drop(theirs);
        assert_eq!(receive(ours.as_fd()).unwrap(), Received::Message(failed, std::process::id() as i32));
        assert_eq!(receive(ours.as_fd()).unwrap(), Received::End);
    }
}
