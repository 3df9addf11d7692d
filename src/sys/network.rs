//! What a new network or host-name namespace needs done inside it, and the name of a socket.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};

use super::{Error, check};

/// Brings `lo` up, see netdevice(7): the kernel gives it 127.0.0.1 and ::1 by itself.
pub fn loopback_up() -> Result<(), Error> {
    let any = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .map_err(Error::of("socket"))?;
    // SAFETY: zero is a value of every field of an ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq.
    check(libc::c_long::from(unsafe {
        libc::ioctl(any.as_raw_fd(), libc::SIOCSIFFLAGS as libc::Ioctl, &raw const request)
    }))
    .map(drop)
    .map_err(Error::of("ioctl"))
}

/// Names a socket in the current directory, so that everybody may write to it.
pub fn name_socket(socket: BorrowedFd<'_>, name: &str) -> Result<(), Error> {
    let address = UnixAddr::new(name).map_err(Error::of("bind"))?;
    bind(socket.as_raw_fd(), &address).map_err(Error::of("bind"))?;
    // Whatever the caller's umask is.
    let everybody = Mode::from_bits_truncate(0o666);
    fchmodat(AT_FDCWD, name, everybody, FchmodatFlags::FollowSymlink).map_err(Error::of("fchmodat"))
}

/// sethostname(2).
pub fn set_hostname(name: &CStr) -> Result<(), Errno> {
    // SAFETY: the kernel reads as many bytes as the string has.
    check(libc::c_long::from(unsafe { libc::sethostname(name.as_ptr(), name.count_bytes()) })).map(drop)
}
