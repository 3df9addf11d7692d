//! The capability that a call with these arguments, by this caller, cannot do without, see capabilities(7); and which calls change who
//! or where a process is. What has to do with files is in `files`, the ports of IP in `sockets`.

use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

use super::credentials::Credentials;
use super::pending::{After, Pending};
use super::watch::{Made, Watch};
use crate::sys::ptrace;

pub(super) const CHOWN: u8 = 0;
pub(super) const DAC_OVERRIDE: u8 = 1;
pub(super) const DAC_READ_SEARCH: u8 = 2;
pub(super) const FOWNER: u8 = 3;
pub(super) const FSETID: u8 = 4;
const KILL: u8 = 5;
const SETGID: u8 = 6;
const SETUID: u8 = 7;
const SETPCAP: u8 = 8;
pub(super) const NET_BIND_SERVICE: u8 = 10;
const NET_ADMIN: u8 = 12;
const NET_RAW: u8 = 13;
const IPC_LOCK: u8 = 14;
const SYS_MODULE: u8 = 16;
const SYS_RAWIO: u8 = 17;
const SYS_CHROOT: u8 = 18;
const SYS_PACCT: u8 = 20;
const SYS_ADMIN: u8 = 21;
const SYS_BOOT: u8 = 22;
const SYS_NICE: u8 = 23;
const SYS_RESOURCE: u8 = 24;
const SYS_TIME: u8 = 25;
const SYS_TTY_CONFIG: u8 = 26;
pub(super) const MKNOD: u8 = 27;
const AUDIT_WRITE: u8 = 29;
const SETFCAP: u8 = 31;
const SYSLOG: u8 = 34;
const PERFMON: u8 = 38;
const BPF: u8 = 39;

/// Namespaces of clone(2) and unshare(2), but for that of users, which anybody may make and in which the others may then be made.
const NAMESPACES: u64 = 0x6E02_0080;
const NEW_USERS: u64 = 0x1000_0000;

/// Options of prctl(2).
const DROP_BOUNDING: i32 = 24;
const SECURE_BITS: i32 = 28;

/// Options of socket(7) and ip(7) that need a capability.
const ADMINISTERED: [(i32, i32); 5] = [
    (libc::SOL_SOCKET, libc::SO_DEBUG),
    (libc::SOL_SOCKET, libc::SO_MARK),
    (libc::SOL_SOCKET, libc::SO_SNDBUFFORCE),
    (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE),
    (libc::IPPROTO_IP, libc::IP_TRANSPARENT),
];

/// Protocols of netlink(7) whose groups or messages need one.
const NETLINK_AUDIT: i32 = 9;
const NETLINK_ADMINISTERED: [i32; 3] = [4, 6, 12];

/// Policies of sched(7): first in, first out; round robin; deadline.
const REAL_TIME: [u32; 3] = [1, 2, 6];
/// `SCHED_RESET_ON_FORK`
const RESET_ON_FORK: u32 = 0x4000_0000;

impl Watch {
    /// What a call needs besides what its files do.
    pub(super) fn plan_rights(&mut self, made: &Made, pending: &mut Pending) -> Result<(), Errno> {
        if let Some(capability) = always(made.name()) {
            pending.capabilities.push(capability);
        }
        match made.name() {
            "setuid" | "setuid32" | "setreuid" | "setreuid32" | "setresuid" | "setresuid32" | "setfsuid"
            | "setfsuid32" => {
                let who = self.credentials(made.thread);
                changes_id(made, &who.uids, SETUID, pending);
            }
            "setgid" | "setgid32" | "setregid" | "setregid32" | "setresgid" | "setresgid32" | "setfsgid"
            | "setfsgid32" => {
                let who = self.credentials(made.thread);
                changes_id(made, &who.gids, SETGID, pending);
            }
            "setgroups" | "setgroups32" => {
                pending.capabilities.push(SETGID);
                pending.after = After::Credentials;
            }
            "capset" => pending.after = After::Credentials,
            "prctl" if matches!(made.integer(0), DROP_BOUNDING | SECURE_BITS) => {
                pending.capabilities.push(SETPCAP);
            }
            "kill" | "tkill" | "tgkill" | "rt_sigqueueinfo" => self.signals(made, pending),
            "setrlimit" => {
                let hard = made.memory.word(made.word(1), 1)?;
                let hard = if made.memory.narrow && hard == u64::from(u32::MAX) { u64::MAX } else { hard };
                raises_limit(made.thread, made.integer(0), hard, pending);
            }
            "prlimit64" if made.word(2) != 0 => {
                let hard = made.memory.bytes(made.word(2).wrapping_add(8), 8)?;
                let process = if made.integer(0) == 0 { made.thread } else { made.integer(0) };
                let hard = hard.try_into().map_or(0, u64::from_ne_bytes);
                raises_limit(process, made.integer(1), hard, pending);
            }
            "setxattr" | "lsetxattr" | "fsetxattr" => match made.memory.path(made.word(1))? {
                name if name == b"security.capability" => pending.capabilities.push(SETFCAP),
                name if name.starts_with(b"security.") || name.starts_with(b"trusted.") => {
                    pending.capabilities.push(SYS_ADMIN);
                }
                _ => {}
            },
            "adjtimex" if made.memory.number(made.word(0))? != 0 => pending.capabilities.push(SYS_TIME),
            "clock_adjtime" | "clock_adjtime64" if made.memory.number(made.word(1))? != 0 => {
                pending.capabilities.push(SYS_TIME);
            }
            _ => resources(made, pending)?,
        }
        namespaces_and_sockets(made, pending);
        Ok(())
    }

    /// A signal to somebody else's process, or to a group with one, see kill(2).
    fn signals(&mut self, made: &Made, pending: &mut Pending) {
        let target = made.integer(0);
        let own = self.process(made.thread);
        if target == own || target == made.thread {
            return;
        }
        // By the jail's numbers, which are others. Of a group it is enough that one got it.
        if self.is_jailed(made.thread) {
            pending.capabilities.push(KILL);
            return;
        }
        let group = |process: i32| nix::unistd::getpgid(Some(Pid::from_raw(process))).map_or(0, Pid::as_raw);
        let targets = match target {
            1.. => vec![target],
            -1 => self.processes(),
            _ => {
                let wanted = if target == 0 { group(own) } else { target.saturating_neg() };
                let is_it = |process: &i32| group(*process) == wanted;
                self.processes().into_iter().filter(is_it).collect()
            }
        };
        let who = self.credentials(made.thread);
        let may = [who.uids[0], who.uids[1]];
        let is_others =
            |target: &Credentials| !may.contains(&target.uids[0]) && !may.contains(&target.uids[2]);
        if targets.into_iter().filter_map(Credentials::of).any(|target| is_others(&target)) {
            pending.capabilities.push(KILL);
        }
    }
}

/// The capability of a call that nobody may make without.
fn always(name: &str) -> Option<u8> {
    Some(match name {
        "acct" => SYS_PACCT,
        "bpf" => BPF,
        "chroot" => SYS_CHROOT,
        "clock_settime" | "clock_settime64" | "settimeofday" | "stime" => SYS_TIME,
        "delete_module" | "finit_module" | "init_module" => SYS_MODULE,
        "fanotify_init" | "fsopen" | "fsmount" | "fspick" | "lookup_dcookie" | "mount" | "mount_setattr"
        | "move_mount" | "pivot_root" | "quotactl" | "setdomainname" | "sethostname" | "setns"
        | "swapoff" | "swapon" | "umount" | "umount2" => SYS_ADMIN,
        "ioperm" | "iopl" => SYS_RAWIO,
        "kexec_file_load" | "kexec_load" | "reboot" => SYS_BOOT,
        "open_by_handle_at" => DAC_READ_SEARCH,
        "perf_event_open" => PERFMON,
        "syslog" => SYSLOG,
        "vhangup" => SYS_TTY_CONFIG,
        _ => return None,
    })
}

/// Ids that are not among those that a process has already.
fn changes_id(made: &Made, ids: &[u32; 4], capability: u8, pending: &mut Pending) {
    let count = match made.name() {
        name if name.starts_with("setres") => 3,
        name if name.starts_with("setre") => 2,
        _ => 1,
    };
    let mut wanted = (0..count).map(|argument| made.integer(argument) as u32);
    if wanted.any(|id| id != u32::MAX && !ids.contains(&id)) {
        pending.capabilities.push(capability);
    }
    pending.after = After::Credentials;
}

/// A hard limit above the present one.
fn raises_limit(process: i32, resource: i32, hard: u64, pending: &mut Pending) {
    if ptrace::limit_of(process, resource).is_ok_and(|(_, present)| hard > present) {
        pending.capabilities.push(SYS_RESOURCE);
    }
}

/// Priorities and memory that is not swapped out, each up to a limit that needs no capability, see getrlimit(2).
fn resources(made: &Made, pending: &mut Pending) -> Result<(), Errno> {
    let soft = |limit| ptrace::limit_of(made.thread, limit).map_or(0, |(soft, _)| soft);
    let needed = match made.name() {
        "setpriority" | "nice" => {
            let target =
                if made.name() == "nice" || made.integer(1) == 0 { made.thread } else { made.integer(1) };
            let present = ptrace::nice_of(target).unwrap_or(0);
            let wanted = if made.name() == "nice" { present + made.integer(0) } else { made.integer(2) };
            let wanted = wanted.clamp(-20, 19);
            let is_free = (20 - wanted) as u64 <= soft(libc::RLIMIT_NICE as i32);
            (wanted < present && !is_free).then_some(SYS_NICE)
        }
        "sched_setscheduler" | "sched_setattr" => {
            let policy = match made.name() {
                "sched_setattr" => made.memory.number(made.word(1).wrapping_add(4))?,
                _ => made.integer(1) as u32 & !RESET_ON_FORK,
            };
            let is_free = soft(libc::RLIMIT_RTPRIO as i32) > 0;
            (REAL_TIME.contains(&policy) && !is_free).then_some(SYS_NICE)
        }
        // Class 1, in the bits above 13, is real time.
        "ioprio_set" => (made.integer(2) >> 13 == 1).then_some(SYS_NICE),
        "mlock" | "mlock2" => (made.word(1) > soft(libc::RLIMIT_MEMLOCK as i32)).then_some(IPC_LOCK),
        "mlockall" => (size(made.thread) > soft(libc::RLIMIT_MEMLOCK as i32)).then_some(IPC_LOCK),
        _ => None,
    };
    pending.capabilities.extend(needed);
    Ok(())
}

/// All memory of a process, see `statm` in proc_pid_statm(5).
fn size(thread: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{thread}/statm")).unwrap_or_default();
    let pages: u64 = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
    pages * 4096
}

/// New namespaces, and sockets that are not everybody's.
fn namespaces_and_sockets(made: &Made, pending: &mut Pending) {
    match made.name() {
        "clone" | "unshare" if made.word(0) & NAMESPACES != 0 && made.word(0) & NEW_USERS == 0 => {
            pending.capabilities.push(SYS_ADMIN);
        }
        "socket" => match (made.integer(0), made.integer(1) & 0xF, made.integer(2)) {
            (libc::AF_PACKET, _, _) | (libc::AF_INET | libc::AF_INET6, libc::SOCK_RAW, _) => {
                pending.capabilities.push(NET_RAW);
            }
            (libc::AF_NETLINK, _, NETLINK_AUDIT) => pending.capabilities.push(AUDIT_WRITE),
            (libc::AF_NETLINK, _, protocol) if NETLINK_ADMINISTERED.contains(&protocol) => {
                pending.capabilities.push(NET_ADMIN);
            }
            _ => {}
        },
        "setsockopt" => {
            let option = (made.integer(1), made.integer(2));
            if ADMINISTERED.contains(&option) {
                pending.capabilities.push(NET_ADMIN);
            } else if option == (libc::SOL_SOCKET, libc::SO_BINDTODEVICE) {
                pending.capabilities.push(NET_RAW);
            }
        }
        _ => {}
    }
    if matches!(
        made.name(),
        "unshare" | "setns" | "mount" | "umount" | "umount2" | "pivot_root" | "move_mount"
    ) {
        pending.after = After::Mounts;
    }
}
