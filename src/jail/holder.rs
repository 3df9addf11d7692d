//! Whose a record is, asked of the kernel: the numbers of processes that a record tells mean something in one PID namespace of one host
//! only, while a lock is seen in all of them, over a network file system also on other hosts. The kernel lists each lock with the
//! number that its holder has for the reader, see proc_locks(5); so nothing needs to be written down, or read at a start, for this.

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
    for _ in 0..LOOKS {
        let text = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        let device = (major(file.st_dev), minor(file.st_dev));
        let is_named = |lock: &Held| lock.pid == named && lock.inode == file.st_ino;
        // Some file systems (btrfs, overlayfs) tell stat(2) another device than the list has.
        if locks(&text).filter(is_named).any(|lock| lock.device == device || has_open(named, file)) {
            return Holder::Named;
        }
        if let Some(lock) = locks(&text).find(|lock| (lock.device, lock.inode) == (device, file.st_ino)) {
            // In a namespace below ours it has a number of its own.
            let is_it = |found: Process| found.numbers.last() == Some(&named);
            let below = Process::read(lock.pid).is_some_and(is_it);
            return if below { Holder::Elsewhere } else { Holder::Another };
        }
    }
    Holder::Elsewhere
}

/// Whether a process has a file open.
fn has_open(pid: i32, file: &FileStat) -> bool {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.filter_map(|entry| stat(&entry.path()).ok())
        .any(|found| (found.st_dev, found.st_ino) == (file.st_dev, file.st_ino))
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
    use super::*;

    #[test]
    fn locks_are_read_as_the_kernel_lists_them() {
        let text = "1: POSIX  ADVISORY  WRITE 7 00:1a:5 0 EOF\n2: FLOCK  ADVISORY  WRITE 8 fe:1f:12 0 EOF\n\
                    2: -> FLOCK  ADVISORY  WRITE 9 fe:1f:12 0 EOF\n3: FLOCK  ADVISORY  READ 10 00:1a:6 0 EOF\nx\n";
        let expected = [Held { pid: 8, device: (0xfe, 0x1f), inode: 12 }];
        assert_eq!(locks(text).collect::<Vec<_>>(), expected);
    }
}
