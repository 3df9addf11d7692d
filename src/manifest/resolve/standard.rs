//! Standard input, output and error: files of the caller's own that the program gets although they are outside the jail. What could
//! lead out, or act on the host, is refused; what there is to decide about the rest is decided here.

#![forbid(unsafe_code)]

use nix::libc;

use crate::manifest::finding::Finding;
use crate::sys::descriptor::{Descriptor, Kind};
use crate::sys::host::Host;

/// Character devices that reach neither hardware nor another process, by their numbers: null, zero, full, random, urandom.
const HARMLESS: [(u64, u64); 5] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9)];

/// File systems whose files are no data but the kernel itself, by `f_type`, see statfs(2) and linux/magic.h.
const KERNELS_OWN: [(i64, &str); 25] = [
    (0x9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x6e73_6673, "nsfs, a namespace"),
    (0x5049_4446, "pidfs, a process"),
    (0x0027_e0eb, "cgroup"),
    (0x6367_7270, "cgroup2"),
    (0x6462_6720, "debugfs"),
    (0x7472_6163, "tracefs"),
    (0x7363_6673, "securityfs"),
    (0x5a3c_69f0, "apparmorfs"),
    (0xf97c_ff8c, "selinuxfs"),
    (0x4341_5d53, "smackfs"),
    (0xcafe_4a11, "bpf"),
    (0x6265_6570, "configfs"),
    (0xde5e_81e4, "efivarfs"),
    (0x6165_676c, "pstore"),
    (0x4249_4e4d, "binfmt_misc"),
    (0x1980_0202, "mqueue"),
    (0x0765_5821, "resctrl"),
    (0x6573_5543, "fusectl"),
    (0x6759_6969, "rpc_pipefs"),
    (0x6e66_7364, "nfsd"),
    (0x6c6f_6f70, "binder"),
    (0x444d_4142, "dma-buf"),
    (0x5345_434d, "secretmem"),
];

/// The first standard descriptor that no program is given, with the reason.
pub fn refused(host: &Host) -> Option<Finding> {
    let (name, why) = ["input", "output", "error"]
        .into_iter()
        .zip(&host.standard)
        .find_map(|(name, found)| Some((name, danger(found)?)))?;
    Some(
        Finding::plain(format!("standard {name} cannot be given to a jail")).why(why).hint(
            "give it a file or /dev/null, or pass the data through a pipe: `cat FILE | stockade run JAIL`",
        ),
    )
}

/// What a program could do with a descriptor that it shall not.
fn danger(found: &Descriptor) -> Option<String> {
    Some(match found.kind {
        Kind::Directory => {
            "it is a directory, and the host's files are below and above it (CVE-2024-21626)".into()
        }
        Kind::Place => {
            "it is a place in the host's tree, opened with O_PATH: what is there could be opened through it"
                .into()
        }
        Kind::Block => {
            "it is a block device: what is on it can be read and written past every permission".into()
        }
        Kind::Device { major, minor } if !HARMLESS.contains(&(major, minor)) => {
            format!("it is the device {major}:{minor}, and what that does to the host is not known")
        }
        Kind::File { file_system, .. } => {
            let (_, name) = KERNELS_OWN.iter().find(|(magic, _)| *magic == file_system)?;
            format!("it is a file of the kernel's own ({name}), which tells of the host or acts on it")
        }
        Kind::Socket { family, .. } if ![libc::AF_UNIX, libc::AF_INET, libc::AF_INET6].contains(&family) => {
            format!("it is a socket of address family {family}, which reaches past the jail's network")
        }
        Kind::Socket { kind: libc::SOCK_RAW, .. } => "it is a raw socket, which can send any packet".into(),
        Kind::Anonymous => {
            "it is no file but a handle to something in the kernel, such as epoll, io_uring or a process"
                .into()
        }
        Kind::Unknown => "it cannot be told what it is".into(),
        Kind::Terminal | Kind::Device { .. } | Kind::Pipe { .. } | Kind::Socket { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: Kind) -> Option<String> {
        danger(&Descriptor { kind, ..Descriptor::PIPE })
    }

    #[test]
    fn what_carries_bytes_and_nothing_else_is_given() {
        let file = |file_system| Kind::File { file_system, named: true };
        let socket = |family, kind| Kind::Socket { family, kind };
        for kind in [
            Kind::Terminal,
            Kind::Pipe { named: false },
            Kind::Pipe { named: true },
            Kind::Device { major: 1, minor: 3 },
            Kind::Device { major: 1, minor: 9 },
            file(0xef53),
            file(0x0102_1994),
            socket(libc::AF_UNIX, libc::SOCK_STREAM),
            socket(libc::AF_INET6, libc::SOCK_DGRAM),
        ] {
            assert_eq!(of(kind), None, "{kind:?}");
        }
        for kind in [
            Kind::Directory,
            Kind::Place,
            Kind::Block,
            Kind::Anonymous,
            Kind::Unknown,
            Kind::Device { major: 1, minor: 1 },
            Kind::Device { major: 10, minor: 232 },
            file(0x9fa0),
            file(0x6e73_6673),
            socket(libc::AF_PACKET, libc::SOCK_DGRAM),
            socket(libc::AF_VSOCK, libc::SOCK_STREAM),
            socket(libc::AF_INET, libc::SOCK_RAW),
        ] {
            assert!(of(kind).is_some(), "{kind:?}");
        }
    }
}
