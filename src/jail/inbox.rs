//! What a program with `type = "notify"` says of itself by sd_notify(3): read from a socket of the supervisor's own, and passed on to
//! the service manager as far as it can be nothing else. A program that is not to be trusted may say that it is ready, is reloading, is
//! well, or is about to end; it may not name another process as the service, have descriptors kept (those that come with a message
//! are closed by recv(2), which has no place for them), change its watchdog, or put off its own end.

use std::fmt::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, socket};

use super::notify::Manager;
use crate::plan::quote::is_harmful;
use crate::sys::Error;

/// Messages that are taken in one period; who sends more waits, as sd_notify(3) does while the socket is full.
const MOST: u32 = 100;

/// The period.
const PERIOD: Duration = Duration::from_secs(1);

/// Longest message that is taken: the manager takes none that is longer.
const LONGEST: usize = 4096;

/// Longest text of a status that is passed on, in characters.
const STATUS: usize = 256;

/// The receiving end of the jail's NOTIFY_SOCKET.
#[derive(Debug)]
pub(super) struct Inbox<'a> {
    socket: OwnedFd,
    /// Without one what the program says is nobody's to hear.
    manager: Option<&'a Manager>,
    /// Whether the program has said that it is ready.
    ready: bool,
    /// When the period began.
    since: Instant,
    /// Messages taken in it.
    taken: u32,
}

impl<'a> Inbox<'a> {
    /// A socket without a name: the jail's first process gives it one.
    pub(super) fn open(manager: Option<&'a Manager>) -> Result<Self, Error> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket =
            socket(AddressFamily::Unix, SockType::Datagram, flags, None).map_err(Error::of("socket"))?;
        Ok(Self { socket, manager, ready: false, since: Instant::now(), taken: 0 })
    }

    /// The socket.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// For how long nothing more is taken, if so.
    pub(super) fn pause(&self) -> Option<Duration> {
        (self.taken >= MOST).then(|| PERIOD.saturating_sub(self.since.elapsed()))
    }

    /// Passes on what is there, as far as this period allows.
    pub(super) fn pass(&mut self) -> Result<(), Error> {
        if self.since.elapsed() >= PERIOD {
            (self.since, self.taken) = (Instant::now(), 0);
        }
        self.take(MOST.saturating_sub(self.taken))
    }

    /// Passes on what is left when the jail has ended.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.take(MOST)
    }

    fn take(&mut self, most: u32) -> Result<(), Error> {
        // One byte more tells that a message was longer.
        let mut buffer = [0; LONGEST + 1];
        for _ in 0..most {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) => {
                    self.taken += 1;
                    if length <= LONGEST {
                        self.hear(&buffer[..length]);
                    }
                }
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error { call: "recvfrom", errno }),
            }
        }
        Ok(())
    }

    /// One message.
    fn hear(&mut self, message: &[u8]) {
        let said = passed(message, self.ready);
        self.ready |= said.contains("READY=1\n");
        if let Some(manager) = self.manager.filter(|_| !said.is_empty()) {
            manager.pass(&said);
        }
    }
}

/// What of a message is passed on, a line for each word. To put off the end of its start is the program's, as long as it has not started;
/// to put off the end of its stop is not.
fn passed(message: &[u8], ready: bool) -> String {
    let mut said = String::new();
    for line in String::from_utf8_lossy(message).split('\n') {
        let Some((word, value)) = line.split_once('=') else { continue };
        let is_number =
            !value.is_empty() && value.len() <= 20 && value.bytes().all(|byte| byte.is_ascii_digit());
        let allowed = match word {
            "READY" | "RELOADING" | "STOPPING" => value == "1",
            "WATCHDOG" => matches!(value, "1" | "trigger"),
            "ERRNO" | "MONOTONIC_USEC" => is_number,
            "EXTEND_TIMEOUT_USEC" => is_number && !ready,
            "STATUS" => {
                said.push_str("STATUS=");
                for letter in value.chars().take(STATUS) {
                    if is_harmful(letter) {
                        said.extend(letter.escape_default());
                    } else {
                        said.push(letter);
                    }
                }
                said.push('\n');
                false
            }
            _ => false,
        };
        if allowed {
            // That a String cannot be written to is not heard of.
            let _ = writeln!(said, "{word}={value}");
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_say_of_itself_how_it_is_and_nothing_else() {
        let all = b"READY=1\nSTATUS=a\x1b[2Jb\nMAINPID=1\nFDSTORE=1\nFDNAME=x\nWATCHDOG_USEC=0\nWATCHDOG=1\nERRNO=5\nBUSERROR=x\n\
                    NOTIFYACCESS=all\nBARRIER=1\nSTOPPING=1\nRELOADING=1\nMONOTONIC_USEC=12\nEXTEND_TIMEOUT_USEC=7\nX";
        let passed_on =
            "READY=1\nSTATUS=a\\u{1b}[2Jb\nWATCHDOG=1\nERRNO=5\nSTOPPING=1\nRELOADING=1\nMONOTONIC_USEC=12\n";
        assert_eq!(passed(all, true), passed_on);
        assert_eq!(passed(all, false), format!("{passed_on}EXTEND_TIMEOUT_USEC=7\n"));
    }

    #[test]
    fn a_value_that_is_none_is_not_passed_on() {
        for wrong in [
            "READY=0",
            "READY=1 ",
            "WATCHDOG=2",
            "ERRNO=",
            "ERRNO=-1",
            "ERRNO=123456789012345678901",
            " READY=1",
        ] {
            assert_eq!(passed(wrong.as_bytes(), false), "", "{wrong}");
        }
        let status = format!("STATUS={}", "x".repeat(1000));
        assert_eq!(passed(status.as_bytes(), false).len(), "STATUS=\n".len() + STATUS);
    }
}
