//! Which files of /proc tell of the host, and are covered. The list is not of those: whatever the kernel has there beside the
//! jail's processes is covered unless it is known here as harmless, so that what the next driver adds is not shown by default.

#![forbid(unsafe_code)]

use std::os::fd::AsFd as _;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::context::{Context, Ids};
use crate::plan::JailPath;
use crate::sys::fs;

/// What stays as it is: the jail's own (of its processes, its network, its IPC), what programs count on (processors, memory, load, the
/// kernel's version and settings), and what the kernel can do. Figures of the host's load are among them: sysinfo(2) tells the same.
const SHOWN: [&str; 28] = [
    "buddyinfo",
    "cgroups",
    "consoles",
    "cpuinfo",
    "crypto",
    "devices",
    "dma",
    "driver",
    "execdomains",
    "fb",
    "filesystems",
    "loadavg",
    "meminfo",
    "misc",
    "pressure",
    "schedstat",
    "softirqs",
    "stat",
    "swaps",
    "sys",
    "sysvipc",
    "tty",
    "uptime",
    "version",
    "version_signature",
    "vmstat",
    "zoneinfo",
    // Its mount is read-only.
    "sysrq-trigger",
];

/// What tells something to the host's root only, by its mode or by whom the kernel gives zeros: covered for a program that may be
/// that, and left to the kernel's own refusal for every other, as each cover takes its time at the start.
const OF_ROOT: [&str; 12] = [
    "iomem",
    "ioports",
    "kcore",
    "kmsg",
    "kpagecgroup",
    "kpagecount",
    "kpageflags",
    "mtrr",
    "pagetypeinfo",
    "slabinfo",
    "timer_list",
    "vmallocinfo",
];

/// What every kernel has: without it this is no whole /proc. In `tty` is the directory that covers others.
const ALWAYS: [&str; 2] = ["version", "tty"];

/// An empty directory of /proc, kept as such by the kernel since programs know it (`proc_tty_init` in drivers/tty/tty_ldisc.c).
pub(super) const EMPTY: &str = "/proc/tty/ldisc";

/// What of a file system of the kernel's is to be covered, by its path in the jail.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Covers {
    /// Files.
    pub(super) files: Vec<JailPath>,
    /// Directories.
    pub(super) directories: Vec<JailPath>,
}

/// The covers this kernel makes necessary; `None` if the host's /proc does not show what there is.
pub(super) fn covers(context: &Context<'_>) -> Option<Covers> {
    let names = names(context, "/proc").ok()?;
    if !ALWAYS.iter().all(|known| names.iter().any(|(name, _)| name == known)) {
        return None;
    }
    let mut covers = Covers::default();
    for (name, is_directory) in names {
        let of_root = OF_ROOT.contains(&name.as_str());
        // In a user namespace it tells of the users of that namespace.
        let of_jail = name == "key-users" && context.ids != Ids::Host;
        if SHOWN.contains(&name.as_str()) || of_jail || (of_root && !context.privileged()) {
            continue;
        }
        let path = JailPath::parse(format!("/proc/{name}")).ok()?;
        if is_directory { &mut covers.directories } else { &mut covers.files }.push(path);
    }
    covers.files.sort();
    covers.directories.sort();
    Some(covers)
}

/// The names in this directory of the host's, with whether each is a directory, but for those of processes, and of links: each shows no more
/// than what it leads to in the jail, which may be nothing (`/proc/device-tree` is something of /sys). The kernel lists what else is in
/// /proc before the processes (`proc_root_readdir` in fs/proc/root.c), which may be many and take long to list: there the reading stops.
pub(super) fn names(context: &Context<'_>, path: &str) -> Result<Vec<(String, bool)>, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = open(&context.host.path(path.as_ref()), flags, Mode::empty())?;
    let mut names: Vec<(String, bool)> = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        let mut entries = fs::entries(directory.as_fd(), &mut buffer)?.peekable();
        if entries.peek().is_none() {
            return Ok(names);
        }
        let mut at_processes = false;
        for (name, kind) in entries {
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            at_processes = path == "/proc" && name.starts_with(|first: char| first.is_ascii_digit());
            if !at_processes && kind != fs::Kind::Link {
                names.push((name.to_owned(), kind == fs::Kind::Directory));
            }
        }
        if at_processes && !names.is_empty() {
            return Ok(names);
        }
    }
}
