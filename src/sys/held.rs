//! Signals held back while something must not be cut in half.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// What a user or a service manager sends to end a command.
const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// The calling thread's ending signals, blocked for as long as this lives, see sigprocmask(2).
///
/// A handler with a flag would do too, but it is global state and changes what the process does with the signal.
/// Blocked, a signal waits: [`pending`](Self::pending) tells that one came, and when this is dropped it does what it
/// would have done.
#[derive(Debug)]
pub struct HeldSignals {
    before: SigSet,
}

impl HeldSignals {
    /// Blocks them.
    pub fn hold() -> Result<Self, Errno> {
        // One that the caller ignores (nohup(1)) is no reason to stop; blocked, it would wait like any other.
        let ignored = |signal: &Signal| super::signal::is_ignored(*signal as i32).unwrap_or(false);
        let set: SigSet = ENDING.into_iter().filter(|signal| !ignored(signal)).collect();
        Ok(Self { before: set.thread_swap_mask(SigmaskHow::SIG_BLOCK)? })
    }

    /// Whether one of them waits, and which, see sigpending(2).
    pub fn pending(&self) -> Option<Signal> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigpending fills the whole set when it returns 0 and fails only for a bad pointer, which this is not.
        let set = unsafe {
            if libc::sigpending(set.as_mut_ptr()) != 0 {
                return None;
            }
            SigSet::from_sigset_t_unchecked(set.assume_init())
        };
        ENDING.into_iter().find(|signal| set.contains(*signal) && !self.before.contains(*signal))
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        // Fails for a wrong `how` only; there is nothing to do about it here either way.
        let _ = self.before.thread_set_mask();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::raise;

    #[test]
    fn a_held_signal_waits() {
        let held = HeldSignals::hold().unwrap();
        assert_eq!(held.pending(), None);
        // To this thread only; taken back before the mask is restored, or the test run would end here.
        raise(Signal::SIGHUP).unwrap();
        assert_eq!(held.pending(), Some(Signal::SIGHUP));
        assert_eq!(SigSet::from(Signal::SIGHUP).wait(), Ok(Signal::SIGHUP));
        assert_eq!(held.pending(), None);
    }
}
