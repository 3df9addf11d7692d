//! Descriptors passed over a socket of unix(7), see `SCM_RIGHTS` there: from the jail's first process to its supervisor.

#![allow(unsafe_code)]

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, socketpair,
};

use super::Error;

/// The end that takes, and the end that gives. Neither ever waits: a jail with more to give than a socket holds is refused.
pub fn channel() -> Result<(OwnedFd, OwnedFd), Error> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).map_err(Error::of("socketpair"))
}

/// Room for one control message with one descriptor, aligned as the kernel wants it (cmsg(3)).
#[repr(C, align(8))]
struct Control([u8; Control::SPACE]);

impl Control {
    // SAFETY: it computes.
    const SPACE: usize = unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as libc::c_uint) } as usize;
}

/// Passes one. Nothing is allocated; nix's own call does.
pub fn send(to: BorrowedFd<'_>, what: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut byte = [0_u8];
    let mut control = Control([0; Control::SPACE]);
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: byte.len() };
    // SAFETY: a struct of numbers and pointers, for which zero is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = Control::SPACE as _;
    // SAFETY: the control buffer is aligned and long enough for the header and one number, so the first header lies in it whole; the
    // kernel reads what these pointers lead to, all of which lives through the call.
    Errno::result(unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as libc::c_uint) as _;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(what.as_raw_fd());
        libc::sendmsg(to.as_raw_fd(), &raw const message, 0)
    })
    .map(drop)
}

/// Takes those that were passed, `most` at most, without waiting.
pub fn receive_all(from: BorrowedFd<'_>, most: usize) -> Result<Vec<OwnedFd>, Error> {
    let mut found = Vec::new();
    while found.len() < most {
        let mut byte = [0_u8];
        let mut space = nix::cmsg_space!(RawFd);
        let mut parts = [IoSliceMut::new(&mut byte)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = match recvmsg::<()>(from.as_raw_fd(), &mut parts, Some(&mut space), flags) {
            Err(Errno::EAGAIN) => break,
            Err(Errno::EINTR) => continue,
            message => message.map_err(Error::of("recvmsg"))?,
        };
        if message.bytes == 0 {
            break;
        }
        for control in message.cmsgs().map_err(Error::of("recvmsg"))? {
            if let ControlMessageOwned::ScmRights(numbers) = control {
                // SAFETY: the kernel has just made these descriptors for this process, and nobody else knows them.
                found.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn descriptors_come_in_the_order_in_which_they_were_passed() {
        let (ours, theirs) = channel().unwrap();
        let files: Vec<_> = ["/dev/null", "/dev/zero"].map(|path| std::fs::File::open(path).unwrap()).into();
        for file in &files {
            send(theirs.as_fd(), file.as_fd()).unwrap();
        }
        let number = |fd: BorrowedFd<'_>| nix::sys::stat::fstat(fd).unwrap().st_rdev;
        let found = receive_all(ours.as_fd(), 3).unwrap();
        let numbers: Vec<_> = found.iter().map(|fd| number(fd.as_fd())).collect();
        assert_eq!(numbers, [number(files[0].as_fd()), number(files[1].as_fd())]);
        drop(theirs);
        assert!(receive_all(ours.as_fd(), 3).unwrap().is_empty());
    }
}
