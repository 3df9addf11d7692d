//! Whose a record is, asked of the kernel: the numbers of processes that a record tells mean something in one PID namespace of one host
//! only, while a lock is seen in all of them, over a network file system also on other hosts. The kernel lists each lock with the
//! number that its holder has for the reader, see proc_locks(5); so nothing needs to be written down, or read at a start, for this.
//! Where that list is covered, as it is in some containers, the descriptors of the process that is named tell the same.

use std::path::Path;

use nix::sys::stat::FileStat;

use super::processes::Process;
use crate::sys::{Error, locks};

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
pub(super) fn of(file: &FileStat, named: i32) -> Result<Holder, Error> {
    // With the /proc of a namespace around ours every number that is read there is another process here.
    if Process::own()?.is_none_or(|own| own.numbers.len() != 1) {
        return Ok(Holder::Elsewhere);
    }
    let by_list = by_list(file, named, locks::list)?;
    Ok(by_list.unwrap_or_else(|| if has_locked(named, file) { Holder::Named } else { Holder::Elsewhere }))
}

/// Who holds it by the list of locks; `None` if it is not there.
fn by_list(
    file: &FileStat,
    named: i32,
    listed: impl Fn() -> Result<String, Error>,
) -> Result<Option<Holder>, Error> {
    for _ in 0..LOOKS {
        let text = listed()?;
        let taken = || locks::held(&text).filter(|lock| lock.exclusive);
        if taken().any(|lock| lock.pid == named && lock.is_on(file)) {
            return Ok(Some(Holder::Named));
        }
        if let Some(lock) = taken().find(|lock| lock.is_listed_for(file)) {
            // In a namespace below ours it has a number of its own.
            let is_it = |found: Process| found.numbers.last() == Some(&named);
            let below = Process::look(lock.pid)?.is_some_and(is_it);
            return Ok(Some(if below { Holder::Elsewhere } else { Holder::Another }));
        }
    }
    Ok(None)
}

/// Whether a process has a file open and locked: what it is told of a descriptor, see proc_pid_fdinfo(5), has the lock's line of the
/// list, which is shown for the file description that holds the lock alone.
fn has_locked(pid: i32, file: &FileStat) -> bool {
    locks::open_as(pid, file).any(|descriptor| {
        let path = Path::new("/proc").join(pid.to_string()).join("fdinfo").join(descriptor);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.strip_prefix("lock:"));
        lines.flat_map(locks::held).any(|lock| lock.exclusive)
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use nix::sys::stat::stat;

    use super::*;
    use crate::sys::fs::{Lock, try_lock};

    #[test]
    fn without_the_list_the_holders_own_descriptors_tell() {
        let directory = crate::testing::Scratch::new("holder");
        let path = directory.path().join("record");
        let file = OwnedFd::from(std::fs::File::create(&path).unwrap());
        let found = stat(&path).unwrap();
        let own = std::process::id() as i32;
        let parent = nix::unistd::getppid().as_raw();
        assert_eq!(by_list(&found, own, || Ok(String::new())), Ok(None));
        assert!(!has_locked(own, &found));
        try_lock(&file, Lock::Exclusive).unwrap();
        // Who has it open beside does not hold it.
        let _beside = std::fs::File::open(&path).unwrap();
        assert!(has_locked(own, &found) && !has_locked(parent, &found));
        assert_eq!((of(&found, own), of(&found, parent)), (Ok(Holder::Named), Ok(Holder::Another)));
    }
}
