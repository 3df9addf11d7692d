//! File calls that nix lacks: extended attributes by descriptor, reflinks, locks on a borrowed descriptor, random
//! bytes for a name, directories read in small pieces. Everything else (openat2, mkdirat, …) is called through nix where it is used.

#![allow(unsafe_code)]

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::stat::Mode;

use super::check;

/// pwritev2(2) with `RWF_NOWAIT`: writes what there is room for (`EAGAIN`: none), although the descriptor is one that waits, as it has to
/// stay for all others who have it. `EOPNOTSUPP` where it knows nothing of that.
pub fn write_at_once(to: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    const HERE: libc::c_long = -1;
    let piece = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: the kernel reads `bytes` and no more, by an iovec that outlives the call. musl lacks a function for it.
    let result = unsafe {
        let (fd, pieces) = (to.as_raw_fd(), &raw const piece);
        libc::syscall(libc::SYS_pwritev2, fd, pieces, 1_usize, HERE, HERE, libc::RWF_NOWAIT)
    };
    check(result).map(|count| count as usize)
}

/// Makes `target` share the blocks of `source` copy-on-write, see ioctl_ficlone(2). Both must be regular files of one
/// file system that can do it (btrfs, XFS, bcachefs, …): `EOPNOTSUPP`, `EXDEV` or `EINVAL` otherwise.
pub fn reflink(source: impl AsFd, target: impl AsFd) -> Result<(), Errno> {
    // SAFETY: FICLONE takes a descriptor number by value and writes no memory of ours; both borrows outlive the call.
    let result =
        unsafe { libc::ioctl(target.as_fd().as_raw_fd(), libc::FICLONE, source.as_fd().as_raw_fd()) };
    Errno::result(result).map(drop)
}

/// Opens the file of a descriptor once more, with other rights: what a path might lead to by now does not matter.
/// `ENOENT` where /proc is not mounted. Nothing is allocated.
pub fn reopen(file: impl AsFd, flags: OFlag) -> Result<OwnedFd, Errno> {
    const DIRECTORY: &[u8] = b"/proc/self/fd/";
    // The directory, ten digits and NUL.
    let mut path = [0_u8; DIRECTORY.len() + 11];
    let mut at = path.len() - 1;
    let mut number = file.as_fd().as_raw_fd().unsigned_abs();
    loop {
        at -= 1;
        path[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let start = at - DIRECTORY.len();
    path[start..at].copy_from_slice(DIRECTORY);
    let path = CStr::from_bytes_with_nul(&path[start..]).map_err(|_| Errno::EINVAL)?;
    nix::fcntl::open(path, flags | OFlag::O_CLOEXEC | OFlag::O_NOCTTY, Mode::empty())
}

/// Opens (`O_PATH`) what is at a path, following no link: ELOOP where there is one on the way, for whoever wrote the path went round all
/// there were, and one that is there now was put there by somebody else. Nothing is allocated.
pub fn open_place(path: &CStr) -> Result<OwnedFd, Errno> {
    let how = nix::fcntl::OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(nix::fcntl::ResolveFlag::RESOLVE_NO_SYMLINKS);
    nix::fcntl::openat2(nix::fcntl::AT_FDCWD, path, how)
}

/// Opens (`O_PATH`) a path on which something is mounted, following no link; `None` if nothing is, see `STATX_ATTR_MOUNT_ROOT` in
/// statx(2). Nothing is allocated.
pub fn open_mount(path: &CStr) -> Result<Option<OwnedFd>, Errno> {
    let opened = open_place(path)?;
    let mut found = std::mem::MaybeUninit::<libc::statx>::zeroed();
    let (file, empty, flags) = (opened.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH);
    // By its number: std names the C library's function as one that may be missing, and then a static program is linked without it
    // although this names it as well.
    // SAFETY: an empty path is a C string; the kernel writes one struct statx, all of whose bytes may have any value.
    let found = unsafe {
        Errno::result(libc::syscall(libc::SYS_statx, file, empty, flags, 0, found.as_mut_ptr()))?;
        found.assume_init()
    };
    let is_mount = found.stx_attributes & libc::STATX_ATTR_MOUNT_ROOT as u64 != 0;
    Ok(is_mount.then_some(opened))
}

/// How flock(2) locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Together with others that hold it shared.
    Shared,
    /// Alone.
    Exclusive,
}

/// Locks an open file or directory without waiting, see flock(2): `EWOULDBLOCK` when somebody else holds it. The lock
/// belongs to the open file description and goes with its last descriptor, so also with a process that is killed.
///
/// nix's `Flock` owns its descriptor and unlocks on drop; a lock that a child inherits must outlive the parent's copy.
pub fn try_lock(file: impl AsFd, lock: Lock) -> Result<(), Errno> {
    let operation = match lock {
        Lock::Shared => libc::LOCK_SH,
        Lock::Exclusive => libc::LOCK_EX,
    };
    // SAFETY: no memory is passed; the borrow keeps the descriptor open across the call.
    let result = unsafe { libc::flock(file.as_fd().as_raw_fd(), operation | libc::LOCK_NB) };
    Errno::result(result).map(drop)
}

/// Writes the names of a file's extended attributes, each ended by NUL, into `buffer` and returns their length together;
/// `ERANGE` when it is too short, see flistxattr(2).
pub fn list_xattrs(file: impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most `buffer.len()` bytes, all of which are ours.
    let length = unsafe {
        libc::flistxattr(file.as_fd().as_raw_fd(), buffer.as_mut_ptr().cast::<libc::c_char>(), buffer.len())
    };
    Errno::result(length).map(|length| length as usize)
}

/// Writes one extended attribute's value into `buffer` and returns its length; `ERANGE` when it is too short, see
/// fgetxattr(2).
pub fn get_xattr(file: impl AsFd, name: &CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: `name` ends in NUL; the kernel writes at most `buffer.len()` bytes, all of which are ours.
    let length = unsafe {
        libc::fgetxattr(
            file.as_fd().as_raw_fd(),
            name.as_ptr(),
            buffer.as_mut_ptr().cast::<libc::c_void>(),
            buffer.len(),
        )
    };
    Errno::result(length).map(|length| length as usize)
}

/// Sets one extended attribute, see fsetxattr(2).
pub fn set_xattr(file: impl AsFd, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: `name` ends in NUL; the kernel only reads `value.len()` bytes, all of which are ours.
    let result = unsafe {
        libc::fsetxattr(
            file.as_fd().as_raw_fd(),
            name.as_ptr(),
            value.as_ptr().cast::<libc::c_void>(),
            value.len(),
            0,
        )
    };
    Errno::result(result).map(drop)
}

/// Removes one extended attribute; `ENODATA` when there is none, see fremovexattr(2).
pub fn remove_xattr(file: impl AsFd, name: &CStr) -> Result<(), Errno> {
    // SAFETY: `name` ends in NUL and outlives the call.
    let result = unsafe { libc::fremovexattr(file.as_fd().as_raw_fd(), name.as_ptr()) };
    Errno::result(result).map(drop)
}

/// What an entry of a directory is, as far as the file system says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// Another file, or one whose kind is not told.
    Other,
}

/// The next entries of an open directory, as many as fit into `buffer`, see getdents64(2): name and kind of each. None at the end.
///
/// nix's `Dir` reads 32 KiB at a time, which in /proc means every process of the host.
pub fn entries<'b>(
    directory: BorrowedFd<'_>,
    buffer: &'b mut [u8],
) -> Result<impl Iterator<Item = (&'b OsStr, Kind)> + use<'b>, Errno> {
    // SAFETY: the kernel writes at most `buffer.len()` bytes, all of which are ours.
    let length = unsafe {
        libc::syscall(libc::SYS_getdents64, directory.as_raw_fd(), buffer.as_mut_ptr(), buffer.len())
    };
    let mut rest = &buffer[..Errno::result(length)? as usize];
    Ok(std::iter::from_fn(move || {
        // struct linux_dirent64: inode and offset of 8 bytes each, length of the record, type, name ended by NUL.
        let record = usize::from(u16::from_ne_bytes([*rest.get(16)?, *rest.get(17)?]));
        let kind = match *rest.get(18)? {
            libc::DT_DIR => Kind::Directory,
            libc::DT_LNK => Kind::Link,
            _ => Kind::Other,
        };
        let name = CStr::from_bytes_until_nul(rest.get(19..record)?).ok()?;
        rest = rest.get(record..)?;
        Some((OsStr::from_bytes(name.to_bytes()), kind))
    }))
}

/// renameat2(2) with these flags. nix has it for glibc alone.
pub fn rename(
    from: impl AsFd,
    name: &CStr,
    to: impl AsFd,
    target: &CStr,
    flags: libc::c_uint,
) -> Result<(), Errno> {
    let (from, to) = (from.as_fd().as_raw_fd(), to.as_fd().as_raw_fd());
    // SAFETY: two descriptors and two strings ended by NUL, which the kernel reads.
    let result =
        unsafe { libc::syscall(libc::SYS_renameat2, from, name.as_ptr(), to, target.as_ptr(), flags) };
    Errno::result(result).map(drop)
}

/// Eight bytes nobody can foresee, see getrandom(2): so few are always delivered whole.
pub fn random() -> Result<u64, Errno> {
    let mut bytes = [0_u8; 8];
    // SAFETY: the kernel writes at most `bytes.len()` bytes into an array of that length.
    let result = unsafe { libc::syscall(libc::SYS_getrandom, bytes.as_mut_ptr(), bytes.len(), 0) };
    Errno::result(result).map(|_| u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::fstat;

    use super::*;
    use std::fs::File;

    #[test]
    fn a_lock_is_exclusive_between_two_openings() {
        let path = std::env::temp_dir().join(format!("stockade-lock-{}", std::process::id()));
        let first = File::create(&path).unwrap();
        let second = File::open(&path).unwrap();
        assert_eq!(try_lock(&first, Lock::Shared), Ok(()));
        assert_eq!(try_lock(&second, Lock::Shared), Ok(()));
        assert_eq!(try_lock(&second, Lock::Exclusive), Err(Errno::EWOULDBLOCK));
        drop(first);
        assert_eq!(try_lock(&second, Lock::Exclusive), Ok(()));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_file_is_opened_again_whatever_its_number() {
        let null = File::open("/dev/null").unwrap();
        let is_null = |fd: &OwnedFd| fstat(fd).unwrap().st_rdev == 0x103;
        assert!(is_null(&reopen(null.as_fd(), OFlag::O_WRONLY).unwrap()));
        // SAFETY: the number is one nobody has, and is owned by this value from here on.
        let high = unsafe { nix::unistd::dup2_raw(&null, 1000).unwrap() };
        assert!(is_null(&reopen(high.as_fd(), OFlag::O_RDONLY).unwrap()));
    }

    #[test]
    fn a_directory_is_read_in_pieces() {
        let directory = std::env::temp_dir().join(format!("stockade-entries-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("below")).unwrap();
        std::os::unix::fs::symlink("below", directory.join("link")).unwrap();
        let mut expected = vec![("link".to_owned(), Kind::Link)];
        expected.extend([".", "..", "below"].map(|name| (name.to_owned(), Kind::Directory)));
        for number in 10..30 {
            std::fs::write(directory.join(format!("file-{number}")), "").unwrap();
            expected.push((format!("file-{number}"), Kind::Other));
        }
        let open = File::open(&directory).unwrap();
        let mut found = Vec::new();
        let mut buffer = [0; 100];
        loop {
            let piece = entries(open.as_fd(), &mut buffer).unwrap();
            let piece: Vec<_> = piece.map(|(name, kind)| (name.to_str().unwrap().to_owned(), kind)).collect();
            if piece.is_empty() {
                break;
            }
            found.extend(piece);
        }
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn random_differs() {
        assert_ne!(random().unwrap(), random().unwrap());
    }
}
