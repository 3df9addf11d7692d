//! Which files of /sys are covered where a manifest asks for one. As with /proc the list is of what is shown: whatever else the kernel
//! has there tells of the host's hardware, disks, drivers, modules and file systems, and is covered.

#![forbid(unsafe_code)]

use super::context::Context;
use super::proc::{self, Covers};
use crate::plan::JailPath;

/// What stays as it is, a directory a line: processors, memory and clocks (C libraries and runtimes count processors here), the
/// settings of memory that allocators and databases ask for, and network devices, of which the kernel shows those of the jail's own
/// network namespace (`sysfs_init_fs_context` in fs/sysfs/mount.c).
const SHOWN: [(&str, &[&str]); 6] = [
    ("/sys", &["class", "devices", "fs", "kernel"]),
    ("/sys/class", &["net"]),
    ("/sys/devices", &["system", "virtual"]),
    ("/sys/devices/virtual", &["net"]),
    ("/sys/fs", &["cgroup"]),
    ("/sys/kernel", &["address_bits", "cgroup", "cpu_byteorder", "fscaps", "mm"]),
];

/// A directory that the kernel keeps empty, as the place of a mount (`cgroup_init` in kernel/cgroup/cgroup.c); a mount of the host's
/// on it is not part of a new /sys.
pub(super) const EMPTY: &str = "/sys/fs/cgroup";

/// The covers this kernel makes necessary; `None` if the host's /sys does not show what there is.
pub(super) fn covers(context: &Context<'_>) -> Option<Covers> {
    let mut covers = Covers::default();
    for (directory, shown) in SHOWN {
        for (name, is_directory) in proc::names(context, directory).ok()? {
            if !shown.contains(&name.as_str()) {
                let path = JailPath::parse(format!("{directory}/{name}")).ok()?;
                if is_directory { &mut covers.directories } else { &mut covers.files }.push(path);
            }
        }
    }
    covers.files.sort();
    covers.directories.sort();
    Some(covers)
}
