//! Which system calls are looked at, and where each has its paths and addresses.

use crate::plan::step::CapabilitySet;
use crate::plan::system_calls::profiles::Profile;
use crate::plan::system_calls::{Architecture, CALLS, Instruction, Policy, position, table, watching};
use crate::seen::Use;

/// Where a call has a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    /// The argument with the directory's descriptor, if there is one.
    pub directory: Option<u8>,
    /// The argument with the path.
    pub text: u8,
    /// What becomes of a link at its end.
    pub link: Link,
}

/// What becomes of a link at the end of a path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Link {
    Followed,
    Kept,
    /// Kept if this argument has these bits.
    KeptIf(u8, u64),
    /// Followed if this argument has these bits.
    FollowedIf(u8, u64),
}

/// What a call does with what it names.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// open(2) and the like: where the path is; the argument with the flags, and the mode.
    Open(Path, u8),
    /// openat2(2), whose flags are behind a pointer.
    Open2,
    /// creat(2).
    Create,
    /// Looks, changes and the like: one use.
    Uses(Path, Use),
    /// access(2): where the wanted rights are.
    Access(Path, u8),
    /// One use of an open descriptor.
    Descriptor(u8, Use),
    /// Makes something.
    Make(Path),
    /// Removes something.
    Remove(Path),
    /// Renames one to another.
    Rename(Path, Path),
    /// Another name for something.
    Link(Path, Path),
    /// execve(2): the argument with the program's arguments.
    Execute(Path, u8),
    /// bind(2), connect(2): descriptor, address, its length.
    Bind,
    Connect,
    /// sendto(2).
    SendTo,
    /// sendmsg(2).
    SendMessage,
    /// sendmmsg(2).
    SendMessages,
    /// socketcall(2): one of the others, with its arguments behind a pointer.
    SocketCall,
}

const AT_SYMLINK_NOFOLLOW: u64 = 0x100;
const AT_SYMLINK_FOLLOW: u64 = 0x400;
const O_NOFOLLOW: u64 = nix::libc::O_NOFOLLOW as u64;

/// A path that is followed, one that is not, and the same below a directory's descriptor.
const fn path(text: u8) -> Path {
    Path { directory: None, text, link: Link::Followed }
}

const fn kept(text: u8) -> Path {
    Path { directory: None, text, link: Link::Kept }
}

const fn at(directory: u8) -> Path {
    Path { directory: Some(directory), text: directory + 1, link: Link::Followed }
}

const fn kept_at(directory: u8) -> Path {
    Path { directory: Some(directory), text: directory + 1, link: Link::Kept }
}

/// The same, followed unless the argument with flags has `AT_SYMLINK_NOFOLLOW`.
const fn flagged(directory: u8, flags: u8) -> Path {
    let link = Link::KeptIf(flags, AT_SYMLINK_NOFOLLOW);
    Path { directory: Some(directory), text: directory + 1, link }
}

/// Every call with a path or an address.
#[rustfmt::skip]
static SHAPES: [(&str, Shape); 81] = [
    ("access", Shape::Access(path(0), 1)),
    ("bind", Shape::Bind),
    ("chdir", Shape::Uses(path(0), Use::Entered)),
    ("chmod", Shape::Uses(path(0), Use::Moded)),
    ("chown", Shape::Uses(path(0), Use::Owned)),
    ("chown32", Shape::Uses(path(0), Use::Owned)),
    ("chroot", Shape::Uses(path(0), Use::Entered)),
    ("connect", Shape::Connect),
    ("creat", Shape::Create),
    ("execve", Shape::Execute(path(0), 1)),
    ("execveat", Shape::Execute(flagged(0, 4), 2)),
    ("faccessat", Shape::Access(at(0), 2)),
    ("faccessat2", Shape::Access(flagged(0, 3), 2)),
    ("fchdir", Shape::Descriptor(0, Use::Entered)),
    ("fchmod", Shape::Descriptor(0, Use::Moded)),
    ("fchmodat", Shape::Uses(at(0), Use::Moded)),
    ("fchmodat2", Shape::Uses(flagged(0, 3), Use::Moded)),
    ("fchown", Shape::Descriptor(0, Use::Owned)),
    ("fchown32", Shape::Descriptor(0, Use::Owned)),
    ("fchownat", Shape::Uses(flagged(0, 4), Use::Owned)),
    ("file_getattr", Shape::Uses(flagged(0, 4), Use::Looked)),
    ("file_setattr", Shape::Uses(flagged(0, 4), Use::Written)),
    ("fremovexattr", Shape::Descriptor(0, Use::Written)),
    ("fsetxattr", Shape::Descriptor(0, Use::Written)),
    ("fstatat64", Shape::Uses(flagged(0, 3), Use::Looked)),
    ("futimesat", Shape::Uses(at(0), Use::Written)),
    ("getxattr", Shape::Uses(path(0), Use::Looked)),
    ("getxattrat", Shape::Uses(flagged(0, 2), Use::Looked)),
    ("inotify_add_watch", Shape::Uses(path(1), Use::Looked)),
    ("lchown", Shape::Uses(kept(0), Use::Owned)),
    ("lchown32", Shape::Uses(kept(0), Use::Owned)),
    ("lgetxattr", Shape::Uses(kept(0), Use::Looked)),
    ("link", Shape::Link(kept(0), kept(1))),
    ("linkat", Shape::Link(Path { link: Link::FollowedIf(4, AT_SYMLINK_FOLLOW), ..at(0) }, kept_at(2))),
    ("listxattr", Shape::Uses(path(0), Use::Looked)),
    ("listxattrat", Shape::Uses(flagged(0, 2), Use::Looked)),
    ("llistxattr", Shape::Uses(kept(0), Use::Looked)),
    ("lremovexattr", Shape::Uses(kept(0), Use::Written)),
    ("lsetxattr", Shape::Uses(kept(0), Use::Written)),
    ("lstat", Shape::Uses(kept(0), Use::Looked)),
    ("lstat64", Shape::Uses(kept(0), Use::Looked)),
    ("mkdir", Shape::Make(kept(0))),
    ("mkdirat", Shape::Make(kept_at(0))),
    ("mknod", Shape::Make(kept(0))),
    ("mknodat", Shape::Make(kept_at(0))),
    ("name_to_handle_at", Shape::Uses(Path { link: Link::FollowedIf(4, AT_SYMLINK_FOLLOW), ..at(0) }, Use::Looked)),
    ("newfstatat", Shape::Uses(flagged(0, 3), Use::Looked)),
    ("oldlstat", Shape::Uses(kept(0), Use::Looked)),
    ("oldstat", Shape::Uses(path(0), Use::Looked)),
    ("open", Shape::Open(Path { link: Link::KeptIf(1, O_NOFOLLOW), ..path(0) }, 1)),
    ("openat", Shape::Open(Path { link: Link::KeptIf(2, O_NOFOLLOW), ..at(0) }, 2)),
    ("openat2", Shape::Open2),
    ("readlink", Shape::Uses(kept(0), Use::Followed)),
    ("readlinkat", Shape::Uses(kept_at(0), Use::Followed)),
    ("removexattr", Shape::Uses(path(0), Use::Written)),
    ("removexattrat", Shape::Uses(flagged(0, 2), Use::Written)),
    ("rename", Shape::Rename(kept(0), kept(1))),
    ("renameat", Shape::Rename(kept_at(0), kept_at(2))),
    ("renameat2", Shape::Rename(kept_at(0), kept_at(2))),
    ("rmdir", Shape::Remove(kept(0))),
    ("sendmmsg", Shape::SendMessages),
    ("sendmsg", Shape::SendMessage),
    ("sendto", Shape::SendTo),
    ("setxattr", Shape::Uses(path(0), Use::Written)),
    ("setxattrat", Shape::Uses(flagged(0, 2), Use::Written)),
    ("socketcall", Shape::SocketCall),
    ("stat", Shape::Uses(path(0), Use::Looked)),
    ("stat64", Shape::Uses(path(0), Use::Looked)),
    ("statfs", Shape::Uses(path(0), Use::Looked)),
    ("statfs64", Shape::Uses(path(0), Use::Looked)),
    ("statx", Shape::Uses(flagged(0, 2), Use::Looked)),
    ("symlink", Shape::Make(kept(1))),
    ("symlinkat", Shape::Make(kept_at(1))),
    ("truncate", Shape::Uses(path(0), Use::Written)),
    ("truncate64", Shape::Uses(path(0), Use::Written)),
    ("unlink", Shape::Remove(kept(0))),
    ("unlinkat", Shape::Remove(kept_at(0))),
    ("utime", Shape::Uses(path(0), Use::Written)),
    ("utimensat", Shape::Uses(flagged(0, 3), Use::Written)),
    ("utimensat_time64", Shape::Uses(flagged(0, 3), Use::Written)),
    ("utimes", Shape::Uses(path(0), Use::Written)),
];

/// Calls without a path that are looked at for the capability they may need, or because they change who or where a process is. Those
/// that the profiles refuse are looked at in any case.
static OTHERS: [&str; 22] = [
    "capset",
    "ioprio_set",
    "kill",
    "mlock",
    "mlock2",
    "mlockall",
    "nice",
    "prctl",
    "prlimit64",
    "rt_sigqueueinfo",
    "sched_setattr",
    "sched_setscheduler",
    "setfsgid",
    "setfsgid32",
    "setfsuid",
    "setfsuid32",
    "setpriority",
    "setrlimit",
    "setsockopt",
    "tgkill",
    "tkill",
    "unshare",
];

/// Numbers in the table are below this.
const NUMBERS: u32 = 512;

/// What is looked at, and how.
#[derive(Debug)]
pub(super) struct Calls {
    /// Places in the table by number, for each processor.
    places: Vec<(Architecture, Vec<Option<usize>>)>,
    /// What each call of the table names.
    shapes: Vec<Option<Shape>>,
    /// What needs no telling: what every profile lets in, of which `compute` has least; or what a jail's filter does.
    common: Policy,
}

impl Calls {
    /// `jail`: what the filter of a jail lets in, if there is one.
    pub(super) fn new(jail: Option<Policy>) -> Self {
        let mut shapes = vec![None; CALLS.len()];
        for (name, shape) in SHAPES {
            if let Some(at) = table::find(name) {
                shapes[at] = Some(shape);
            }
        }
        let common = jail.unwrap_or_else(|| Policy::profile(Profile::Compute, CapabilitySet::EMPTY));
        let places = |architecture| (0..NUMBERS).map(|number| position(architecture, number)).collect();
        let places = architectures().iter().map(|each| (*each, places(*each))).collect();
        Self { places, shapes, common }
    }

    /// The place in the table of a call.
    pub(super) fn find(&self, architecture: Architecture, number: u64) -> Option<usize> {
        let (_, places) = self.places.iter().find(|(each, _)| *each == architecture)?;
        *places.get(usize::try_from(number).ok()?)?
    }

    /// Where it has its paths.
    pub(super) fn shape(&self, at: usize) -> Option<Shape> {
        self.shapes[at]
    }

    /// Whether there is a profile that refuses it, or the jail's filter does.
    pub(super) fn is_noted(&self, at: usize, arguments: &[u64; 6]) -> bool {
        self.common.refuses_at(at, arguments).is_some()
    }

    /// The filter by which the kernel stops at what is looked at.
    pub(super) fn filter() -> Vec<Instruction> {
        let names = SHAPES.iter().map(|(name, _)| *name).chain(OTHERS);
        let common = Policy::profile(Profile::Compute, CapabilitySet::EMPTY);
        let passed = names.filter_map(table::find).fold(common, Policy::without);
        watching(&passed, architectures())
    }
}

/// Processors by whose numbers a program may call here.
fn architectures() -> &'static [Architecture] {
    match Architecture::NATIVE {
        Some(Architecture::X86_64) => &[Architecture::X86_64, Architecture::X86_32],
        Some(Architecture::Aarch64) => &[Architecture::Aarch64],
        Some(Architecture::X86_32) | None => &[],
    }
}

/// The processor of an `AUDIT_ARCH_…`.
pub(super) fn architecture(audit: u32) -> Option<Architecture> {
    architectures().iter().copied().find(|each| each.audit() == audit)
}

/// The name of a call's man page: of several calls that differ by the width of a number there is one.
pub(super) fn manual(at: usize) -> &'static str {
    let name = CALLS[at].name;
    if name == "newfstatat" {
        return "fstatat";
    }
    let stem = ["_time64", "64", "32"].iter().find_map(|suffix| name.strip_suffix(suffix));
    stem.unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_that_is_looked_at_exists() {
        let names = || SHAPES.iter().map(|(name, _)| *name).chain(OTHERS);
        for name in names() {
            assert!(table::find(name).is_some(), "{name}");
            assert_eq!(names().filter(|other| *other == name).count(), 1, "{name}");
        }
        let manual = |name| manual(table::find(name).unwrap());
        assert_eq!(
            ["newfstatat", "fstatat64", "setuid32", "prlimit64", "clock_settime64", "umount2"].map(manual),
            ["fstatat", "fstatat", "setuid", "prlimit", "clock_settime", "umount2"]
        );
    }
}
