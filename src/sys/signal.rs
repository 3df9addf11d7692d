//! Signals as a descriptor, and the dispositions a program starts with.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc;

use super::check;

/// A set of signals as the kernel keeps it: bit n-1 for signal n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);

    /// The same with one more.
    #[must_use]
    pub const fn with(self, signal: i32) -> Self {
        Self(self.0 | 1 << (signal - 1))
    }

    /// Those in it.
    pub fn numbers(self) -> impl Iterator<Item = i32> {
        (1..=LAST).filter(move |number| self.0 & 1 << (number - 1) != 0)
    }

    /// The set of these.
    pub const fn of(signals: &[i32]) -> Self {
        let mut set = 0;
        let mut at = 0;
        while at < signals.len() {
            set |= 1 << (signals[at] - 1);
            at += 1;
        }
        Self(set)
    }
}

/// A signal by its name, with or without `SIG`, or by its number; `None` if this kernel has none such. See signal(7).
pub fn parse(text: &str) -> Option<i32> {
    let word = text.to_ascii_uppercase();
    let word = word.strip_prefix("SIG").unwrap_or(&word);
    let offset = |rest: &str, sign: char| match rest.strip_prefix(sign) {
        Some(number) => number.parse::<i32>().ok().filter(|number| *number >= 0),
        None => rest.is_empty().then_some(0),
    };
    let number = if let Ok(number) = word.parse() {
        number
    } else if let Some(rest) = word.strip_prefix("RTMIN") {
        libc::SIGRTMIN() + offset(rest, '+')?
    } else if let Some(rest) = word.strip_prefix("RTMAX") {
        libc::SIGRTMAX() - offset(rest, '-')?
    } else {
        format!("SIG{word}").parse::<nix::sys::signal::Signal>().ok()? as i32
    };
    (1..=LAST).contains(&number).then_some(number)
}

/// Highest signal number, real-time signals included.
pub const LAST: i32 = 64;

/// rt_sigprocmask(2) with `SIG_SETMASK`; returns the mask before.
pub fn set_mask(set: SignalSet) -> Result<SignalSet, Errno> {
    let mut old = 0_u64;
    // SAFETY: the kernel reads and writes 8 bytes each.
    check(unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const set.0,
            &raw mut old,
            size_of::<u64>(),
        )
    })?;
    Ok(SignalSet(old))
}

/// rt_sigpending(2): the signals that have come while they were blocked.
pub fn pending() -> Result<SignalSet, Errno> {
    let mut set = 0_u64;
    // SAFETY: the kernel writes 8 bytes.
    check(unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut set, size_of::<u64>()) })?;
    Ok(SignalSet(set))
}

/// signalfd4(2), non-blocking: the signals of `set`, which are to be blocked, become readable.
pub fn descriptor(set: SignalSet) -> Result<OwnedFd, Errno> {
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the kernel reads 8 bytes of the set; the new descriptor is nobody else's.
    check(unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const set.0, size_of::<u64>(), flags) })
        .map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// The next signal of a [`descriptor`]: its number and whether a process sent it (and not the kernel or a terminal).
pub fn next(descriptor: BorrowedFd<'_>) -> Result<Option<(i32, bool)>, Errno> {
    let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
    // SAFETY: the kernel writes whole structures of this size into the buffer.
    match check(unsafe {
        libc::syscall(libc::SYS_read, descriptor.as_raw_fd(), info.as_mut_ptr(), info.len())
    }) {
        // signalfd(2): ssi_signo is the first field, ssi_code the third, 4 bytes each.
        Ok(_) => {
            let field = |at: usize| i32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
            Ok(Some((field(0), field(8) == libc::SI_USER)))
        }
        Err(Errno::EAGAIN) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// rt_sigaction(2): every signal at its default; ignored ones would stay ignored across execve(2).
pub fn reset_dispositions() -> Result<(), Errno> {
    // struct kernel_sigaction: handler SIG_DFL (0), flags, restorer, mask.
    let default = [0_u64; 4];
    for signal in 1..=LAST {
        if signal != libc::SIGKILL && signal != libc::SIGSTOP {
            // SAFETY: the kernel reads one kernel_sigaction of 32 bytes; SIG_DFL needs no restorer.
            check(unsafe {
                let no_old = ptr::null_mut::<u8>();
                libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), no_old, size_of::<u64>())
            })?;
        }
    }
    Ok(())
}

/// rt_sigaction(2): whether a signal is ignored, as nohup(1) and a shell's `&` arrange it for some.
pub fn is_ignored(signal: i32) -> Result<bool, Errno> {
    let mut action = [0_u64; 4];
    // SAFETY: the kernel writes one kernel_sigaction of 32 bytes; null changes nothing.
    check(unsafe {
        let no_new = ptr::null::<u8>();
        libc::syscall(libc::SYS_rt_sigaction, signal, no_new, action.as_mut_ptr(), size_of::<u64>())
    })?;
    Ok(action[0] == libc::SIG_IGN as u64)
}

/// rt_sigaction(2): one signal ignored.
pub fn ignore(signal: i32) -> Result<(), Errno> {
    set_disposition(signal, libc::SIG_IGN)
}

/// rt_sigaction(2): one signal at its default.
pub fn reset(signal: i32) -> Result<(), Errno> {
    set_disposition(signal, libc::SIG_DFL)
}

/// One signal, if it is pending, has not come: ignoring it discards it, see sigaction(2). Afterwards it is at its default, unless it was
/// ignored before.
pub fn discard(signal: i32) -> Result<(), Errno> {
    if is_ignored(signal)? { Ok(()) } else { ignore(signal).and_then(|()| reset(signal)) }
}

/// rt_sigaction(2) without a handler of our own.
fn set_disposition(signal: i32, disposition: libc::sighandler_t) -> Result<(), Errno> {
    let action = [disposition as u64, 0, 0, 0];
    // SAFETY: as in `reset_dispositions`.
    check(unsafe {
        let no_old = ptr::null_mut::<u8>();
        libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), no_old, size_of::<u64>())
    })
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [
            ("HUP", 1),
            ("sighup", 1),
            ("SIGUSR1", 10),
            ("9", 9),
            ("64", 64),
            ("RTMIN+1", libc::SIGRTMIN() + 1),
            ("SIGRTMAX-2", libc::SIGRTMAX() - 2),
            ("rtmin", libc::SIGRTMIN()),
        ] {
            assert_eq!(parse(text), Some(number), "{text}");
        }
        for text in ["", "0", "65", "-1", "SIG", "NOPE", "RTMIN-1", "RTMIN+99", "RTMAX+1", "SIGSIGHUP"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
