//! Groups of calls that a manifest's list may name with an `@`: systemd's, see SystemCallFilter= in systemd.exec(5), and a few of ours
//! that bring no call by themselves but open a decision.

use super::table::Call;

/// A group.
#[derive(Debug)]
pub struct Group {
    /// Its name, without the `@`.
    pub name: &'static str,
    /// What it is about.
    pub summary: &'static str,
    /// The bits of the calls in it.
    members: u32,
}

impl Group {
    /// Whether a call is in it.
    pub const fn has(&self, call: &Call) -> bool {
        self.members & call.groups != 0
    }

    /// Whether all that is in it is in another as well, which has more.
    pub const fn is_part_of(&self, other: &Self) -> bool {
        self.members & other.members == self.members
            && self.members != other.members
            && self.members != NO_GROUP
    }

    /// Whether it is one of ours.
    pub const fn is_ours(&self) -> bool {
        self.members == NO_GROUP
    }
}

pub(super) const NO_GROUP: u32 = 0;
pub(super) const DEFAULT: u32 = 1 << 0;
pub(super) const SYSTEM_SERVICE: u32 = 1 << 1;
pub(super) const BASIC_IO: u32 = 1 << 2;
pub(super) const FILE_SYSTEM: u32 = 1 << 3;
pub(super) const IO_EVENT: u32 = 1 << 4;
pub(super) const NETWORK_IO: u32 = 1 << 5;
pub(super) const IPC: u32 = 1 << 6;
pub(super) const PROCESS: u32 = 1 << 7;
pub(super) const SIGNAL: u32 = 1 << 8;
pub(super) const TIMER: u32 = 1 << 9;
pub(super) const SYNC: u32 = 1 << 10;
pub(super) const AIO: u32 = 1 << 11;
pub(super) const CHOWN: u32 = 1 << 12;
pub(super) const SETUID: u32 = 1 << 13;
pub(super) const RESOURCES: u32 = 1 << 14;
pub(super) const MEMLOCK: u32 = 1 << 15;
pub(super) const PKEY: u32 = 1 << 16;
pub(super) const SANDBOX: u32 = 1 << 17;
pub(super) const MOUNT: u32 = 1 << 18;
pub(super) const DEBUG: u32 = 1 << 19;
pub(super) const KEYRING: u32 = 1 << 20;
pub(super) const MODULE: u32 = 1 << 21;
pub(super) const RAW_IO: u32 = 1 << 22;
pub(super) const CPU_EMULATION: u32 = 1 << 23;
pub(super) const CLOCK: u32 = 1 << 24;
pub(super) const SWAP: u32 = 1 << 25;
pub(super) const REBOOT: u32 = 1 << 26;
pub(super) const PRIVILEGED: u32 = 1 << 27;
pub(super) const OBSOLETE: u32 = 1 << 28;

/// Short for a group.
const fn group(name: &'static str, members: u32, summary: &'static str) -> Group {
    Group { name, summary, members }
}

/// Every group; systemd's first.
#[rustfmt::skip]
pub static GROUPS: [Group; 36] = [
    group("default", DEFAULT, "what every program needs to start, tell the time and end"),
    group(
        "system-service",
        SYSTEM_SERVICE | AIO | BASIC_IO | CHOWN | DEFAULT | FILE_SYSTEM | IO_EVENT | IPC | KEYRING | MEMLOCK | NETWORK_IO | PROCESS | RESOURCES | SETUID
        | SIGNAL | SYNC | TIMER,
        "what most services need",
    ),
    group("basic-io", BASIC_IO, "reading, writing, seeking"),
    group("file-system", FILE_SYSTEM, "opening, making, renaming, removing, and what is known of files"),
    group("io-event", IO_EVENT, "waiting for several descriptors"),
    group("network-io", NETWORK_IO, "sockets"),
    group("ipc", IPC, "pipes, message queues, semaphores, shared memory"),
    group("process", PROCESS, "making, ending and controlling processes"),
    group("signal", SIGNAL, "signals"),
    group("timer", TIMER, "timers"),
    group("sync", SYNC, "writing to disk now"),
    group("aio", AIO, "asynchronous I/O"),
    group("chown", CHOWN, "changing owners"),
    group("setuid", SETUID, "changing ids and groups"),
    group("resources", RESOURCES, "priorities, affinity, limits"),
    group("memlock", MEMLOCK, "locking memory"),
    group("pkey", PKEY, "memory protection keys"),
    group("sandbox", SANDBOX, "confining oneself further"),
    group("mount", MOUNT, "mounting, changing the root"),
    group("debug", DEBUG, "tracing and measuring other processes"),
    group("keyring", KEYRING, "keys"),
    group("module", MODULE, "kernel modules"),
    group("raw-io", RAW_IO, "I/O ports"),
    group("cpu-emulation", CPU_EMULATION, "emulating other processors"),
    group("clock", CLOCK, "setting the time"),
    group("swap", SWAP, "swap space"),
    group("reboot", REBOOT, "reboot and kexec"),
    group("privileged", PRIVILEGED | CHOWN | CLOCK | MODULE | RAW_IO | REBOOT | SWAP, "what needs a capability"),
    group("obsolete", OBSOLETE, "what nothing uses any more"),
    group("namespaces", NO_GROUP, "new namespaces"),
    group("setid", NO_GROUP, "set-user-id and set-group-id bits on files"),
    group("attributes", NO_GROUP, "flags and projects of files"),
    group("leases", NO_GROUP, "leases on files"),
    group("sockets", NO_GROUP, "every address family and protocol"),
    group("memfd", NO_GROUP, "memory that can be executed as a file"),
    group("personality", NO_GROUP, "every execution domain"),
];

/// The group of this name.
pub fn find(name: &str) -> Option<&'static Group> {
    GROUPS.iter().find(|group| group.name == name)
}
