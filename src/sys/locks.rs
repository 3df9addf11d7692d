//! Who holds locks by flock(2): the kernel's list, see proc_locks(5). A number in it is the one that a process has for the reader, so that
//! those of PID namespaces around the reader's have none.

use std::ffi::OsString;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::stat::{FileStat, fstat, major, minor, stat};

use super::Error;

/// A lock that somebody holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Held {
    /// The process that took it; 0 for one without a number here.
    pub pid: i32,
    /// Whether nobody else has it.
    pub exclusive: bool,
    device: (u64, u64),
    inode: u64,
}

impl Held {
    /// Whether it is on this file. Some file systems (btrfs, overlayfs) tell stat(2) another device than the list has: there it is whoever
    /// has the file open.
    pub fn is_on(&self, file: &FileStat) -> bool {
        self.is_listed_for(file) || self.inode == file.st_ino && open_as(self.pid, file).next().is_some()
    }

    /// Whether it is on this file by the numbers of device and inode alone.
    pub fn is_listed_for(&self, file: &FileStat) -> bool {
        (self.device, self.inode) == ((major(file.st_dev), minor(file.st_dev)), file.st_ino)
    }
}

/// The list, empty where it is covered.
pub fn list() -> Result<String, Error> {
    match std::fs::read_to_string("/proc/locks") {
        Ok(list) => Ok(list),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(errno) if super::shortage(errno).is_some() => Err(Error { call: "open", errno }),
            _ => Ok(String::new()),
        },
    }
}

/// The locks of a list: `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`. Of who waits for one, `->` stands where a held one has its kind.
pub fn held(list: &str) -> impl Iterator<Item = Held> {
    list.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        (words.next()? == "FLOCK").then_some(())?;
        let exclusive = words.nth(1)? == "WRITE";
        let pid = words.next()?.parse().ok()?;
        let mut place = words.next()?.split(':');
        let mut number = |radix| u64::from_str_radix(place.next()?, radix).ok();
        Some(Held { pid, exclusive, device: (number(16)?, number(16)?), inode: number(10)? })
    })
}

/// The processes that hold a lock on an open file, as far as the list tells.
pub fn holders(file: impl AsFd) -> Vec<u32> {
    let Ok(file) = fstat(file) else { return Vec::new() };
    let on_file = |lock: Held| (lock.pid > 0 && lock.is_on(&file)).then_some(lock.pid.unsigned_abs());
    list().map_or_else(|_| Vec::new(), |list| held(&list).filter_map(on_file).collect())
}

/// The descriptors by which a process has a file open.
pub fn open_as(pid: i32, file: &FileStat) -> impl Iterator<Item = OsString> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let id = |found: &FileStat| (found.st_dev, found.st_ino);
    let wanted = id(file);
    open.filter(move |entry| stat(&entry.path()).is_ok_and(|found| id(&found) == wanted))
        .map(|entry| entry.file_name())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::sys::fs::{Lock, try_lock};

    #[test]
    fn locks_are_read_as_the_kernel_lists_them() {
        let text = "1: POSIX  ADVISORY  WRITE 7 00:1a:5 0 EOF\n2: FLOCK  ADVISORY  WRITE 8 fe:1f:12 0 EOF\n\
                    2: -> FLOCK  ADVISORY  WRITE 9 fe:1f:12 0 EOF\n3: FLOCK  ADVISORY  READ  0 00:1a:6 0 EOF\n\n\
                    nonsense\n5: FLOCK\n6: FLOCK a b c d:e:f\n";
        let expected = [
            Held { pid: 8, exclusive: true, device: (0xfe, 0x1f), inode: 12 },
            Held { pid: 0, exclusive: false, device: (0, 0x1a), inode: 6 },
        ];
        assert_eq!(held(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_lock_has_a_holder_whatever_device_the_list_has() {
        let path = std::env::temp_dir().join(format!("stockade-holder-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        assert!(holders(&file).is_empty());
        try_lock(&file, Lock::Shared).unwrap();
        assert_eq!(holders(&file), [std::process::id()]);
        std::fs::remove_file(&path).unwrap();
        let found = fstat(&file).unwrap();
        let listed = |pid, inode| Held { pid, exclusive: true, device: (0, 0), inode }.is_on(&found);
        let (own, parent) = (std::process::id() as i32, nix::unistd::getppid().as_raw());
        assert_eq!((listed(own, found.st_ino), listed(parent, found.st_ino)), (true, false));
        assert!(!listed(own, found.st_ino + 1));
    }
}
