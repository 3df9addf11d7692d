//! Pseudo-terminals and terminal modes, see pty(7), ioctl_tty(2), termios(3).
#![allow(unsafe_code)]

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::termios::{self, SetArg, Termios};

use super::{Error, check};

/// Both ends of a new pseudo-terminal.
#[derive(Debug)]
pub struct Pty {
    /// The end of who plays the terminal.
    pub master: OwnedFd,
    /// The terminal the program sees.
    pub slave: OwnedFd,
}

/// One ioctl(2) with an integer argument.
fn ioctl(fd: BorrowedFd<'_>, request: libc::Ioctl, argument: libc::c_long) -> Result<i64, Errno> {
    // SAFETY: the requests of this module that go through here take an integer.
    check(libc::c_long::from(unsafe { libc::ioctl(fd.as_raw_fd(), request, argument) }))
}

/// A new pseudo-terminal. The slave is opened through its master (`TIOCGPTPEER`), not by a name in /dev/pts that could mean
/// another file.
pub fn open_pty() -> Result<Pty, Error> {
    let master = nix::fcntl::open(
        "/dev/ptmx",
        nix::fcntl::OFlag::O_RDWR | nix::fcntl::OFlag::O_NOCTTY | nix::fcntl::OFlag::O_CLOEXEC,
        nix::sys::stat::Mode::empty(),
    )
    .map_err(Error::of("open"))?;
    let unlock = 0_i32;
    // SAFETY: TIOCSPTLCK reads one int.
    check(libc::c_long::from(unsafe {
        libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlock)
    }))
    .map_err(Error::of("ioctl"))?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    let slave = ioctl(master.as_fd(), libc::TIOCGPTPEER, flags.into()).map_err(Error::of("ioctl"))?;
    // SAFETY: TIOCGPTPEER returned a new descriptor.
    Ok(Pty { master, slave: unsafe { OwnedFd::from_raw_fd(slave as RawFd) } })
}

/// Whether a descriptor is a terminal.
pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    nix::unistd::isatty(fd).unwrap_or(false)
}

/// `TIOCSCTTY`: the terminal becomes the controlling terminal of this session's leader.
pub fn control(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    ioctl(fd, libc::TIOCSCTTY, 0).map(drop)
}

/// tcsetpgrp(3): the caller's own process group goes to the foreground. Asked from the background it would stop the caller
/// with SIGTTOU, which is to be blocked.
pub fn take_foreground(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    nix::unistd::tcsetpgrp(fd, nix::unistd::getpgrp())
}

/// The modes of a terminal.
pub fn modes(fd: BorrowedFd<'_>) -> Result<Termios, Errno> {
    termios::tcgetattr(fd)
}

/// Sets the modes of a terminal, once its output is written.
pub fn set_modes(fd: BorrowedFd<'_>, modes: &Termios) -> Result<(), Errno> {
    termios::tcsetattr(fd, SetArg::TCSADRAIN, modes)
}

/// The same modes made raw: every byte passes, no key is a signal here.
pub fn raw(modes: &Termios) -> Termios {
    let mut raw = modes.clone();
    termios::cfmakeraw(&mut raw);
    raw
}

/// Copies rows and columns from one terminal to another; the program's group gets SIGWINCH if they changed.
pub fn copy_size(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: a winsize is four u16; zero is a value of it.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: TIOCGWINSZ writes and TIOCSWINSZ reads one winsize.
    unsafe {
        check(libc::c_long::from(libc::ioctl(from.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size)))?;
        check(libc::c_long::from(libc::ioctl(to.as_raw_fd(), libc::TIOCSWINSZ, &raw const size))).map(drop)
    }
}
