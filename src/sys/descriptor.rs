//! What a descriptor is, for whoever decides whether the program may have it. No policy: the decision is made elsewhere.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::stat::{FileStat, fstat, major, minor};

use super::{check, terminal};

/// What an open descriptor leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// The type of its file system, `f_type` of statfs(2).
        file_system: i64,
        /// Whether it has a name: one that was deleted, or made by memfd_create(2), is nobody's but who has it open.
        named: bool,
    },
    /// A directory.
    Directory,
    /// A file opened with `O_PATH`, which is a place and no content.
    Place,
    /// A terminal.
    Terminal,
    /// Any other character device.
    Device {
        /// Major number.
        major: u64,
        /// Minor number.
        minor: u64,
    },
    /// A block device.
    Block,
    /// A pipe.
    Pipe {
        /// Whether it is a FIFO with a path, see fifo(7).
        named: bool,
    },
    /// A socket: its address family, type and protocol, see socket(2).
    Socket {
        /// `SO_DOMAIN`
        family: i32,
        /// `SO_TYPE`
        kind: i32,
        /// `SO_PROTOCOL`
        protocol: i32,
    },
    /// Something without a file: epoll(7), signalfd(2), io_uring(7), a process (on older kernels) and the like.
    Anonymous,
    /// None of these.
    Unknown,
}

/// `PIPEFS_MAGIC` of linux/magic.h
const PIPEFS: i64 = 0x5049_5045;

/// One descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// What it leads to.
    pub kind: Kind,
    /// Whether it was opened for reading.
    pub readable: bool,
    /// Whether it was opened for writing.
    pub writable: bool,
    /// The file itself, by device and inode number.
    pub file: (u64, u64),
    /// Who owns that file.
    pub owner: u32,
}

impl Descriptor {
    /// One end of a pipe: what a caller gives that wants to be on the safe side.
    pub const PIPE: Self =
        Self { kind: Kind::Pipe { named: false }, readable: true, writable: true, ..Self::UNKNOWN };
    /// What could not be looked at.
    pub const UNKNOWN: Self =
        Self { kind: Kind::Unknown, readable: false, writable: false, file: (0, 0), owner: 0 };

    /// Looks at an open descriptor: by fstat(2), `F_GETFL`, and what its kind needs.
    pub fn of(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        let flags = fcntl(fd, FcntlArg::F_GETFL)?;
        let mode = flags & libc::O_ACCMODE;
        let found = fstat(fd)?;
        let kind = if flags & OFlag::O_PATH.bits() == 0 { kind(fd, &found)? } else { Kind::Place };
        Ok(Self {
            kind,
            readable: mode != libc::O_WRONLY,
            writable: mode != libc::O_RDONLY,
            file: (found.st_dev, found.st_ino),
            owner: found.st_uid,
        })
    }
}

/// What a descriptor that was really opened leads to.
fn kind(fd: BorrowedFd<'_>, found: &FileStat) -> Result<Kind, Errno> {
    Ok(match found.st_mode & libc::S_IFMT {
        libc::S_IFREG => Kind::File { file_system: file_system(fd)?, named: found.st_nlink > 0 },
        libc::S_IFDIR => Kind::Directory,
        libc::S_IFCHR if terminal::is_terminal(fd) => Kind::Terminal,
        libc::S_IFCHR => Kind::Device { major: major(found.st_rdev), minor: minor(found.st_rdev) },
        libc::S_IFBLK => Kind::Block,
        libc::S_IFIFO => Kind::Pipe { named: file_system(fd)? != PIPEFS },
        libc::S_IFSOCK => Kind::Socket {
            family: option(fd, libc::SO_DOMAIN)?,
            kind: option(fd, libc::SO_TYPE)?,
            protocol: option(fd, libc::SO_PROTOCOL)?,
        },
        0 => Kind::Anonymous,
        _ => Kind::Unknown,
    })
}

/// `f_type` of statfs(2).
#[allow(clippy::unnecessary_cast, reason = "musl has it without a sign")]
fn file_system(fd: BorrowedFd<'_>) -> Result<i64, Errno> {
    nix::sys::statfs::fstatfs(fd).map(|found| found.filesystem_type().0 as i64)
}

/// An option of a socket that is an integer, see socket(7).
fn option(fd: BorrowedFd<'_>, name: libc::c_int) -> Result<i32, Errno> {
    let mut value = 0_i32;
    let mut length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `value` and their number to `length`.
    let result = unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, name, (&raw mut value).cast(), &raw mut length)
    };
    check(libc::c_long::from(result)).map(|_| value)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn each_kind_is_told_apart() {
        let of = |path: &str| Descriptor::of(File::open(path).unwrap().as_fd()).unwrap();
        let access = |found: Descriptor| (found.readable, found.writable);
        let null = of("/dev/null");
        assert_eq!((null.kind, null.owner), (Kind::Device { major: 1, minor: 3 }, 0));
        assert_eq!(access(null), (true, false));
        assert_eq!(of("/").kind, Kind::Directory);
        assert_eq!(of("/proc/self/status").kind, Kind::File { file_system: 0x9fa0, named: true });
        let (read, write) = nix::unistd::pipe().unwrap();
        for (end, expected) in [(read, (true, false)), (write, (false, true))] {
            let found = Descriptor::of(end.as_fd()).unwrap();
            assert_eq!((found.kind, access(found)), (Kind::Pipe { named: false }, expected));
        }
        let (socket, _) = std::os::unix::net::UnixStream::pair().unwrap();
        let stream = Kind::Socket { family: libc::AF_UNIX, kind: libc::SOCK_STREAM, protocol: 0 };
        assert_eq!(Descriptor::of(socket.as_fd()).unwrap().kind, stream);
        let place = nix::fcntl::open("/", OFlag::O_PATH, nix::sys::stat::Mode::empty()).unwrap();
        assert_eq!(Descriptor::of(place.as_fd()).unwrap().kind, Kind::Place);
        let poll = nix::sys::epoll::Epoll::new(nix::sys::epoll::EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        assert_eq!(Descriptor::of(poll.0.as_fd()).unwrap().kind, Kind::Anonymous);
    }
}
