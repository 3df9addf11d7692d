//! Pseudo-terminals and terminal modes, see pty(7), ioctl_tty(2), termios(3).
#![allow(unsafe_code)]

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{
    self, InputFlags, LocalFlags, OutputFlags, SetArg, SpecialCharacterIndices, Termios,
};

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

/// Sets the modes of a terminal. At once: the kernel makes of output what the modes want when it is written, not when it is read, and until
/// somebody reads it nothing is to wait.
pub fn set_modes(fd: BorrowedFd<'_>, modes: &Termios) -> Result<(), Errno> {
    termios::tcsetattr(fd, SetArg::TCSANOW, modes)
}

/// The same modes made raw: every byte passes, no key is a signal here.
pub fn raw(modes: &Termios) -> Termios {
    let mut raw = modes.clone();
    termios::cfmakeraw(&mut raw);
    raw
}

/// What a terminal does with keys that nobody has told it otherwise: it edits lines, shows them, and makes signals.
const USUAL: LocalFlags = LocalFlags::ICANON.union(LocalFlags::ECHO).union(LocalFlags::ISIG);

/// Whether these modes are so.
pub fn is_usual(modes: &Termios) -> bool {
    modes.local_flags.contains(USUAL)
}

/// Whether a terminal hands out lines.
pub fn is_canonical(fd: BorrowedFd<'_>) -> bool {
    modes(fd).is_ok_and(|modes| modes.local_flags.contains(LocalFlags::ICANON))
}

/// Raw for what is typed, and what is written stays as it is.
pub fn raw_input(modes: &Termios) -> Termios {
    let mut raw = raw(modes);
    raw.output_flags = modes.output_flags;
    raw
}

/// Raw for what is written, and what is typed stays as it is.
pub fn raw_output(modes: &Termios) -> Termios {
    let mut raw = modes.clone();
    raw.output_flags -= OutputFlags::OPOST;
    raw
}

/// Modes of a terminal whose lines another has edited and shown, and whose output another completes (`EXTPROC`, ioctl_tty(2)).
pub fn external(modes: &Termios) -> Termios {
    let mut external = modes.clone();
    external.local_flags |= USUAL | LocalFlags::IEXTEN | LocalFlags::EXTPROC;
    external.input_flags |= InputFlags::ICRNL;
    external.output_flags -= OutputFlags::OPOST;
    external
}

/// Sets whether another edits the lines of a terminal that has these modes.
pub fn set_external(fd: BorrowedFd<'_>, modes: &Termios, external: bool) -> Result<(), Errno> {
    let mut modes = modes.clone();
    modes.local_flags.set(LocalFlags::EXTPROC, external);
    set_modes(fd, &modes)
}

/// Whether a terminal makes SIGINT of one of these keys.
pub fn is_interrupt(fd: BorrowedFd<'_>, keys: &[u8]) -> bool {
    let key = |modes: &Termios| modes.control_chars[SpecialCharacterIndices::VINTR as usize];
    // It is a control character, whatever it is set to, and text has hardly any: mostly nobody has to be asked.
    keys.iter().any(u8::is_ascii_control)
        && modes(fd).is_ok_and(|modes| {
            modes.local_flags.contains(LocalFlags::ISIG) && keys.contains(&key(&modes)) && key(&modes) != 0
        })
}

/// The key that ends a file.
pub fn end_of_file(modes: &Termios) -> u8 {
    modes.control_chars[SpecialCharacterIndices::VEOF as usize]
}

/// Whether nobody plays a terminal any more.
pub fn has_hung_up(fd: BorrowedFd<'_>) -> bool {
    let mut ready = [PollFd::new(fd, PollFlags::empty())];
    poll(&mut ready, PollTimeout::ZERO).is_ok()
        && ready[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
}

/// `TIOCSIG`: a signal for the foreground of the terminal that is played by this master.
pub fn signal_foreground(master: BorrowedFd<'_>, number: i32) -> Result<(), Errno> {
    ioctl(master, TIOCSIG, number.into()).map(drop)
}

/// `_IOW('T', 0x36, int)`, whose argument is the number itself.
const TIOCSIG: libc::Ioctl = 0x4004_5436;

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
