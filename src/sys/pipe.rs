//! What pipe(7) has beside reading and writing. Nothing is allocated.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::libc;

use super::check;

/// Copies what is in a pipe to another one, as far as there is room, and leaves it where it is: how much; 0 when nobody writes to
/// it any more. It never waits, see tee(2).
pub fn tee(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<usize, Errno> {
    // SAFETY: descriptors and numbers.
    let copied =
        unsafe { libc::tee(from.as_raw_fd(), to.as_raw_fd(), i32::MAX as usize, libc::SPLICE_F_NONBLOCK) };
    check(copied as libc::c_long).map(|copied| copied as usize)
}

/// How much is in a pipe, by either of its ends: `FIONREAD`.
pub fn unread(pipe: BorrowedFd<'_>) -> Result<usize, Errno> {
    let mut count: libc::c_int = 0;
    // SAFETY: the kernel writes an integer.
    check(libc::c_long::from(unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut count) }))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Has a pipe hold one page, and no other piece beside one: `F_SETPIPE_SZ`. `EBUSY` if it has more than one.
pub fn set_smallest(pipe: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: integers.
    check(libc::c_long::from(unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, 1) })).map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn what_is_copied_stays_and_is_counted() {
        let (mut from, mut writer) = std::io::pipe().unwrap();
        let (mut to_reader, to) = std::io::pipe().unwrap();
        set_smallest(to.as_fd()).unwrap();
        assert_eq!(tee(from.as_fd(), to.as_fd()), Err(Errno::EAGAIN));
        writer.write_all(b"abc").unwrap();
        writer.write_all(&[b'x'; 9000]).unwrap();
        let copied = tee(from.as_fd(), to.as_fd()).unwrap();
        assert!((3..9003).contains(&copied), "{copied}");
        assert_eq!(tee(from.as_fd(), to.as_fd()), Err(Errno::EAGAIN));
        assert_eq!((unread(from.as_fd()), unread(to.as_fd())), (Ok(9003), Ok(copied)));
        to_reader.read_exact(&mut vec![0; copied]).unwrap();
        from.read_exact(&mut vec![0; 9003]).unwrap();
        drop(writer);
        assert_eq!(tee(from.as_fd(), to.as_fd()), Ok(0));
    }
}
