//! Whose a record is, asked of the kernel: the numbers of processes that a record tells mean something in one PID namespace of one host
//! only, while a lock is seen in all of them, over a network file system also on other hosts. The kernel lists each lock with the
//! number that its holder has for the reader, see proc_locks(5); so nothing needs to be written down, or read at a start, for this.
//! Where that list is covered, as it is in some containers, the descriptors of the process that is named tell the same.

use std::ffi::OsString;
use std::path::Path;

use nix::sys::stat::{FileStat, major, minor, stat};

use super::processes::Process;

/// How often it is looked: of a long list an entry can be missed, as it is read in pieces while others come and go.
const LOOKS: usize = 3;

/// Whose a locked record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// The process that it names.
    Named,
    /// One that has another number here than it had for itself, or none.
    Elsewhere,
    /// Another process than the record says: it is none.
    Another,
}

/// Who holds the lock on this file that a process which calls itself so is said to hold.
pub(super) fn of(file: &FileStat, named: i32) -> Holder {
    // With the /proc of a namespace around ours every number that is read there is another process here.
    if Process::own().is_none_or(|own| own.numbers.len() != 1) {
        return Holder::Elsewhere;
    }
    let listed = || std::fs::read_to_string("/proc/locks").unwrap_or_default();
    by_list(file, named, listed)
        .unwrap_or_else(|| if has_locked(named, file) { Holder::Named } else { Holder::Elsewhere })
}

/// Who holds it by the list of locks; `None` if it is not there.
fn by_list(file: &FileStat, named: i32, listed: impl Fn() -> String) -> Option<Holder> {
    for _ in 0..LOOKS {
        let text = listed();
        let device = (major(file.st_dev), minor(file.st_dev));
        let is_named = |lock: &Held| lock.pid == named && lock.inode == file.st_ino;
        // Some file systems (btrfs, overlayfs) tell stat(2) another device than the list has.
        if locks(&text).filter(is_named).any(|lock| lock.device == device || has_open(named, file)) {
            return Some(Holder::Named);
        }
        if let Some(lock) = locks(&text).find(|lock| (lock.device, lock.inode) == (device, file.st_ino)) {
            // In a namespace below ours it has a number of its own.
            let is_it = |found: Process| found.numbers.last() == Some(&named);
            let below = Process::read(lock.pid).is_some_and(is_it);
            return Some(if below { Holder::Elsewhere } else { Holder::Another });
        }
    }
    None
}

/// The descriptors by which a process has a file open.
fn open_as(pid: i32, file: &FileStat) -> impl Iterator<Item = OsString> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let id = |found: &FileStat| (found.st_dev, found.st_ino);
    let wanted = id(file);
    open.filter(move |entry| stat(&entry.path()).is_ok_and(|found| id(&found) == wanted))
        .map(|entry| entry.file_name())
}

/// Whether a process has a file open.
fn has_open(pid: i32, file: &FileStat) -> bool {
    open_as(pid, file).next().is_some()
}

/// Whether a process has a file open and locked: what it is told of a descriptor, see proc_pid_fdinfo(5), has the lock's line of the
/// list, which is shown for the file description that holds the lock alone.
fn has_locked(pid: i32, file: &FileStat) -> bool {
    open_as(pid, file).any(|descriptor| {
        let path = Path::new("/proc").join(pid.to_string()).join("fdinfo").join(descriptor);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().filter_map(|line| line.strip_prefix("lock:")).any(|line| locks(line).next().is_some())
    })
}

/// One lock of the kind that records have.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    pid: i32,
    device: (u64, u64),
    inode: u64,
}

/// Those of a list. Of who waits for one, `->` stands where a held one has its kind.
fn locks(text: &str) -> impl Iterator<Item = Held> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        (words.next()? == "FLOCK").then_some(())?;
        (words.nth(1)? == "WRITE").then_some(())?;
        let pid = words.next()?.parse().ok()?;
        let mut place = words.next()?.split(':');
        let mut number = |radix| u64::from_str_radix(place.next()?, radix).ok();
        Some(Held { pid, device: (number(16)?, number(16)?), inode: number(10)? })
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::sys::fs::{Lock, try_lock};

    #[test]
    fn locks_are_read_as_the_kernel_lists_them() {
        let text = "1: POSIX  ADVISORY  WRITE 7 00:1a:5 0 EOF\n2: FLOCK  ADVISORY  WRITE 8 fe:1f:12 0 EOF\n\
                    2: -> FLOCK  ADVISORY  WRITE 9 fe:1f:12 0 EOF\n3: FLOCK  ADVISORY  READ 10 00:1a:6 0 EOF\nx\n";
        let expected = [Held { pid: 8, device: (0xfe, 0x1f), inode: 12 }];
        assert_eq!(locks(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn without_the_list_the_holders_own_descriptors_tell() {
        let directory = crate::testing::Scratch::new("holder");
        let path = directory.path().join("record");
        let file = OwnedFd::from(std::fs::File::create(&path).unwrap());
        let found = stat(&path).unwrap();
        let own = std::process::id() as i32;
        let parent = nix::unistd::getppid().as_raw();
        assert_eq!(by_list(&found, own, String::new), None);
        assert!(has_open(own, &found) && !has_locked(own, &found));
        try_lock(&file, Lock::Exclusive).unwrap();
        // Who has it open beside does not hold it.
        let _beside = std::fs::File::open(&path).unwrap();
        assert!(has_locked(own, &found) && !has_locked(parent, &found));
        assert_eq!((of(&found, own), of(&found, parent)), (Holder::Named, Holder::Another));
    }
}
