//! Standard input, output and error: files of the caller's own that the program gets although they are outside the jail. What could
//! lead out, or act on the host, is refused; what there is to decide about the rest is decided here.

//!
//! - A terminal is relayed: see `AttachTerminal`.
//! - A file to be read is opened again through a read-only mount of its own, which no mode, owner or capability gets past. One that
//!   was deleted has no path to be mounted by, and nobody else to whom a change could matter.
//! - A file to be written is written by the supervisor; the program has a pipe.
//! - A device is as harmless as it is, but for its mode, where the program may change that.
//! - Where output is limited, so is whatever else is written, but for a terminal, which is relayed anyway.
//! - A pipe that the program could open again the other way round is not given to it: what is to be read PID 1 passes on, see
//!   `ForkProgram`, what is written the supervisor.
//! - Else pipes and sockets are given as they are. A connection of TCP, as inetd(8) gives it, is the one door of a jail without the host's
//!   network: connect(2) could exchange it for another one, so Landlock refuses that.

#![forbid(unsafe_code)]

use std::path::Path;

use nix::fcntl::{OFlag, open, readlink};
use nix::libc;
use nix::sys::stat::{Mode, fstat};

use super::context::{Context, Steps};
use super::landlock;
use super::network;
use crate::manifest::finding::Finding;
use crate::plan::landlock::NETWORK_SINCE;
use crate::plan::step::{Action, MountFlags, Reopen};
use crate::plan::{HostPath, Origin, Phase};
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

/// Whether what a descriptor is for is being written. Opened for both, standard input is still there to be read, and the others to
/// be written.
fn is_output(number: i32, found: &Descriptor) -> bool {
    matches!(found.kind, Kind::File { .. }) && found.writable && (number != 0 || !found.readable)
}

/// Whether a rule of Landlock has to be made for a standard descriptor to be opened again, and as what: to be read, and to be written.
pub(super) fn reopens(number: i32, found: &Descriptor) -> (bool, bool) {
    match found.kind {
        Kind::File { .. } => (!is_output(number, found), false),
        Kind::Terminal | Kind::Device { .. } | Kind::Pipe { named: true } => (found.readable, found.writable),
        _ => (false, false),
    }
}

/// The steps that put something else in the place of the caller's own files.
pub(super) fn replace(context: &Context<'_>, steps: &mut Steps) -> Result<(), Finding> {
    let numbered: Vec<(i32, &Descriptor)> = (0..).zip(&context.host.standard).collect();
    for (number, found) in &numbered {
        let file = matches!(found.kind, Kind::File { named: true, .. }) && !is_output(*number, found);
        let device = matches!(found.kind, Kind::Device { .. })
            && may_change(context, found)
            && !is_relayed(context, *number, found);
        if (file || device)
            && let Some(action) = reopened(context, *number, found)?
        {
            let reason = if file {
                "the caller's file is to be read, and no more"
            } else {
                "the host's device is the host's"
            };
            steps.push(Phase::Enter, action, &Origin::Default(reason));
        }
    }
    for (number, found) in &numbered {
        if let Some(why) = reaches_network(context, found) {
            return Err(refusal(*number, why));
        }
    }
    relay_outputs(context, steps)
}

/// Whether the program has a pipe in the place of a descriptor.
pub(super) fn is_relayed(context: &Context<'_>, number: i32, found: &Descriptor) -> bool {
    let is_counted = context.manifest.limits.output_size.is_some()
        && matches!(found.kind, Kind::Pipe { .. } | Kind::Socket { .. } | Kind::Device { .. });
    let is_stream = (is_counted || opens_again(context, found)) && found.writable;
    is_output(number, found) || is_stream && (number != 0 || !found.readable)
}

/// Whether it is a pipe that the program could open again by /proc/self/fd, the other way round: to read what others have written to it,
/// or to write what others read. A pipe's owner may.
fn opens_again(context: &Context<'_>, found: &Descriptor) -> bool {
    matches!(found.kind, Kind::Pipe { .. }) && may_change(context, found)
}

/// Whether PID 1 passes standard input on.
pub(super) fn is_input_relayed(context: &Context<'_>) -> bool {
    let found = &context.host.standard[0];
    let has_init = context.manifest.program.init.as_ref().is_none_or(|init| init.value);
    has_init && found.readable && !found.writable && opens_again(context, found)
}

/// Pipes in the place of the caller's files that are to be written, and of all that is written where that is limited.
pub(super) fn relay_outputs(context: &Context<'_>, steps: &mut Steps) -> Result<(), Finding> {
    let numbered: Vec<(i32, &Descriptor)> = (0..).zip(&context.host.standard).collect();
    let outputs: Vec<_> =
        numbered.iter().filter(|(number, found)| is_relayed(context, *number, found)).collect();
    let input = context.host.standard[0];
    if let Some(limit) = &context.manifest.limits.output_size
        && matches!(input.kind, Kind::Pipe { .. } | Kind::Socket { .. })
        && outputs.iter().any(|(number, found)| *number != 0 && input.writable && found.file == input.file)
    {
        return Err(Finding::error("the size of the output cannot be limited", &limit.origin)
            .why("standard input is the same connection, and can be written to past any count")
            .hint("give it an input of its own: `< /dev/null`, or a pipe"));
    }
    let first = |(at, (_, found)): &(usize, &&(i32, &Descriptor))| {
        outputs.iter().position(|(_, other)| other.file == found.file) == Some(*at)
    };
    for (_, (_, found)) in outputs.iter().enumerate().filter(first) {
        let same = outputs.iter().filter(|(_, other)| other.file == found.file);
        let onto = same.map(|(number, _)| *number).collect();
        let stream = !matches!(found.kind, Kind::File { .. });
        let file = Origin::Default("the caller's file is the caller's to write");
        let limit = context.manifest.limits.output_size.as_ref().filter(|_| stream);
        let pipe = Origin::Default("what others write to the caller's pipe is not the program's to read");
        let origin = limit.map_or(if stream { &pipe } else { &file }, |limit| &limit.origin);
        steps.push(Phase::Enter, Action::RelayOutput { onto, stream }, origin);
    }
    Ok(())
}

/// Whether the program may change mode or owner of a file by its descriptor: the file's owner may, and who has root's rights.
fn may_change(context: &Context<'_>, found: &Descriptor) -> bool {
    context.privileged() || found.owner == context.outside_uid()
}

/// The step that opens a file again through a mount of its own; none if its path does not lead to it any more, which matters only
/// where the program could change the file.
fn reopened(context: &Context<'_>, number: i32, found: &Descriptor) -> Result<Option<Action>, Finding> {
    let device = matches!(found.kind, Kind::Device { .. });
    let (access, mode) = match (device, found.readable, found.writable) {
        (false, ..) => (Reopen::File, OFlag::O_RDONLY),
        (true, true, false) => (Reopen::ReadDevice, OFlag::O_RDONLY),
        (true, false, _) => (Reopen::WriteDevice, OFlag::O_WRONLY),
        (true, true, true) => (Reopen::Device, OFlag::O_RDWR),
    };
    let path = readlink(Path::new(&format!("/proc/self/fd/{number}"))).unwrap_or_default();
    let flags = mode | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let leads_to = open(path.as_os_str(), flags, Mode::empty()).and_then(fstat);
    let is_same = leads_to.is_ok_and(|there| (there.st_dev, there.st_ino) == found.file);
    match HostPath::parse(&path) {
        Ok(source) if is_same => {
            let flags = MountFlags { no_dev: !device, ..MountFlags::GUARDED }.read_only().no_exec();
            let file = found.file;
            Ok(Some(Action::ReopenDescriptor { descriptor: number, source, flags, access, file }))
        }
        _ if may_change(context, found) => Err(refusal(
            number,
            format!(
                "the program could change the file, since this user may, and its path, `{}`, leads to another or to none, so that it cannot be shown read-only",
                path.display()
            ),
        )),
        _ => Ok(None),
    }
}

/// Whether a standard descriptor is a socket of the host's network, which a jail with a network of its own is not to have.
fn is_hosts_network(context: &Context<'_>, found: &Descriptor) -> bool {
    let internet = matches!(found.kind, Kind::Socket { family: libc::AF_INET | libc::AF_INET6, .. });
    internet && network::is_own(context.manifest)
}

/// Whether the program is given a connection, or a socket that waits for them, and no network.
pub(super) fn holds_connection(context: &Context<'_>) -> bool {
    context.host.standard.iter().chain(&context.passed).any(|found| is_hosts_network(context, found))
}

/// Why a socket would be the host's network to a program that is to have none.
pub(super) fn reaches_network(context: &Context<'_>, found: &Descriptor) -> Option<String> {
    let Kind::Socket { kind, protocol, .. } = found.kind else { return None };
    if !is_hosts_network(context, found) {
        None
    } else if (kind, protocol) != (libc::SOCK_STREAM, libc::IPPROTO_TCP) {
        Some("it is a socket of the host's network that is not bound to one connection, and the jail has `network = \"none\"`".into())
    } else if landlock::version(context).is_none_or(|version| version < NETWORK_SINCE) {
        Some("the program could exchange its connection for another, which Landlock prevents from version 4 on (Linux 6.7), and the jail has `network = \"none\"`".into())
    } else {
        None
    }
}

/// What is said of a descriptor that no program is given.
fn refusal(number: i32, why: impl Into<String>) -> Finding {
    let name = NAMES.get(number as usize).unwrap_or(&"descriptor");
    Finding::plain(format!("standard {name} cannot be given to a jail")).why(why).hint(HINT)
}

/// What the standard descriptors are called.
const NAMES: [&str; 3] = ["input", "output", "error"];

/// What serves instead of a descriptor that is refused.
const HINT: &str =
    "give it a file or /dev/null, or pass the data through a pipe: `cat FILE | stockade run JAIL`";

/// The first standard descriptor that no program is given, with the reason.
pub fn refused(host: &Host) -> Option<Finding> {
    let mut standard = (0..).zip(&host.standard);
    standard.find_map(|(number, found)| danger(found).map(|why| refusal(number, why)))
}

/// What a program could do with a descriptor that it shall not.
pub(super) fn danger(found: &Descriptor) -> Option<String> {
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
        let socket = |family, kind| Kind::Socket { family, kind, protocol: 0 };
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

    #[test]
    fn what_a_descriptor_is_for_is_told_by_its_number_where_it_allows_both() {
        let file = Kind::File { file_system: 0xef53, named: true };
        for (number, readable, writable, expected) in [
            (0, true, true, false),
            (0, false, true, true),
            (1, true, true, true),
            (1, true, false, false),
            (2, false, true, true),
        ] {
            let found = Descriptor { kind: file, readable, writable, ..Descriptor::UNKNOWN };
            assert_eq!(is_output(number, &found), expected, "{number} {readable} {writable}");
            assert_eq!(reopens(number, &found), (!expected, false));
        }
        assert!(!is_output(1, &Descriptor { kind: Kind::Device { major: 1, minor: 3 }, ..Descriptor::PIPE }));
    }
}
