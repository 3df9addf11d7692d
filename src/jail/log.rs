//! What the program logs by syslog(3): the supervisor reads it from a socket of its own and shows it on standard error. Nothing of the
//! host's logger is in it, so it goes on whatever becomes of that; and a unit of systemd's has its standard error in the journal.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, socket};

use super::stream::{Stream, Waited};
use crate::plan::quote::is_harmful;
use crate::sys::Error;

/// Lines that are taken in one period. Who writes more waits for the next: syslog(3) blocks while the socket is full, and nothing
/// is lost, and no log of the host's filled, faster than this.
const MOST: u32 = 1000;

/// The period.
const PERIOD: Duration = Duration::from_secs(1);

/// Longest line that is shown whole, as the least that RFC 5424 wants a receiver to take.
const LONGEST: usize = 2048;

/// The receiving end of the jail's /dev/log.
#[derive(Debug)]
pub(super) struct Log {
    socket: OwnedFd,
    /// When the period began.
    since: Instant,
    /// Lines taken in it.
    taken: u32,
    /// Standard error, and what is on its way there.
    shown: Stream,
    /// How a line is shown.
    style: Style,
}

/// How a line is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Style {
    /// Standard error goes to the journal, which wants to be told how grave a line is, see sd-daemon(3).
    journal: bool,
    /// The caller's terminal is raw while the program has one of its own.
    raw: bool,
}

impl Log {
    /// A socket without a name: the jail's first process gives it one.
    pub(super) fn open(raw: bool) -> Result<Self, Error> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket =
            socket(AddressFamily::Unix, SockType::Datagram, flags, None).map_err(Error::of("socket"))?;
        let style = Style { journal: std::env::var_os("JOURNAL_STREAM").is_some(), raw };
        Ok(Self { socket, since: Instant::now(), taken: 0, shown: Stream::new(2), style })
    }

    /// The socket.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// For how long nothing more is taken, if so.
    pub(super) fn pause(&self) -> Option<Duration> {
        (self.taken >= MOST && !self.shown.is_full()).then(|| PERIOD.saturating_sub(self.since.elapsed()))
    }

    /// What is waited for: room on standard error, or something to be shown.
    pub(super) fn awaited(&self) -> Option<PollFd<'_>> {
        let logged = || PollFd::new(self.socket.as_fd(), PollFlags::POLLIN);
        self.shown.awaited().or_else(|| self.pause().is_none().then(logged))
    }

    /// Shows what is there, as far as this period allows and standard error has room.
    pub(super) fn pass(&mut self) -> Result<(), Error> {
        if self.since.elapsed() >= PERIOD {
            (self.since, self.taken) = (Instant::now(), 0);
        }
        while self.taken < MOST && self.show()? {
            self.taken += 1;
        }
        Ok(())
    }

    /// Shows what is left when the jail has ended; somebody outside, to whom the program has given its end, may go on writing. Who reads
    /// standard error is waited for until a time, or until one of these signals asks for an end; whether it still is when time is over.
    pub(super) fn finish(&mut self, signals: BorrowedFd<'_>, until: Option<Instant>) -> Result<bool, Error> {
        let mut lines = 0;
        while lines < MOST {
            if self.show()? {
                lines += 1;
            } else if !self.shown.is_full() {
                break;
            } else {
                match self.shown.wait(Some(signals), until)? {
                    Waited::Room => {}
                    Waited::Late => return Ok(true),
                    Waited::Ended => break,
                }
            }
        }
        Ok(false)
    }

    /// Shows one line; whether there was one, and room for all of it. A reader that takes nothing would hold up the time limit and every
    /// signal: what there is no room for is left to whoever logs, as above, but for the line that is begun.
    fn show(&mut self) -> Result<bool, Error> {
        if !self.send(&[]) {
            return Ok(false);
        }
        // One byte more tells that a line was longer.
        let mut buffer = [0; LONGEST + 1];
        loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) => return Ok(self.send(line(&buffer[..length], self.style).as_bytes())),
                Err(Errno::EAGAIN) => return Ok(false),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error { call: "recvfrom", errno }),
            }
        }
    }

    /// Whether there is room for this. Nobody may be there to read it, as after `2>&-`: no reason to end a daemon.
    fn send(&mut self, bytes: &[u8]) -> bool {
        self.shown.send(bytes).unwrap_or(true)
    }
}

/// A message as it is shown: what syslog(3) puts before it is of the program's making, and so is every byte: none may move a
/// terminal's cursor, or begin a line of another's.
fn line(message: &[u8], style: Style) -> String {
    let (severity, rest) = severity(message);
    let rest = without_time(rest);
    let cut = if rest.len() > LONGEST { "\u{2026}" } else { "" };
    let rest = &rest[..rest.len().min(LONGEST)];
    let mut text = match severity {
        Some(severity) if style.journal => format!("<{severity}>"),
        _ => String::new(),
    };
    for letter in String::from_utf8_lossy(rest).trim_end_matches(['\n', '\0']).chars() {
        if is_harmful(letter) && letter != '\t' {
            text.extend(letter.escape_default());
        } else {
            text.push(letter);
        }
    }
    text.push_str(cut);
    text.push_str(if style.raw { "\r\n" } else { "\n" });
    text
}

/// How grave a message is, 0 to 7, and what follows: it begins with `<facility * 8 + severity>`.
fn severity(message: &[u8]) -> (Option<u32>, &[u8]) {
    let number = message.strip_prefix(b"<").and_then(|rest| {
        let end = rest.iter().take(4).position(|byte| *byte == b'>')?;
        let number: u32 = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        Some((number % 8, &rest[end + 1..]))
    });
    number.map_or((None, message), |(severity, rest)| (Some(severity), rest))
}

/// What follows the time of syslog(3), `Nov 25 01:02:03 `, which whoever reads standard error knows better.
fn without_time(message: &[u8]) -> &[u8] {
    const SHAPE: &[u8; 16] = b"Aaa 99 99:99:99 ";
    let Some((time, rest)) = message.split_at_checked(SHAPE.len()) else { return message };
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'A' | b'a' => byte.is_ascii_alphabetic(),
        b'9' => byte.is_ascii_digit() || *byte == b' ',
        other => byte == other,
    };
    if time.iter().zip(SHAPE).all(fits) { rest } else { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { journal: false, raw: false };

    #[test]
    fn a_line_is_shown_without_what_syslog_puts_before_it() {
        let shown = |message: &str| line(message.as_bytes(), PLAIN);
        assert_eq!(shown("<30>Nov  5 01:02:03 in.tftpd[3]: hello"), "in.tftpd[3]: hello\n");
        assert_eq!(shown("<30>named[3]: hello\n\0"), "named[3]: hello\n");
        assert_eq!(shown("no priority"), "no priority\n");
        assert_eq!(shown("<x>Nov 25 01:02:0"), "<x>Nov 25 01:02:0\n");
        assert_eq!(shown(""), "\n");
    }

    #[test]
    fn the_journal_is_told_how_grave_a_line_is() {
        let journal = Style { journal: true, ..PLAIN };
        assert_eq!(line(b"<30>a[1]: b", journal), "<6>a[1]: b\n");
        assert_eq!(line(b"a[1]: b", journal), "a[1]: b\n");
    }

    #[test]
    fn no_byte_of_the_programs_moves_a_terminals_cursor_or_begins_a_line() {
        let shown = line(b"<3>a: x\x1b[2J\r\nroot: y\xff\xc2\x9b\tz\xe2\x80\xae", PLAIN);
        assert_eq!(shown, "a: x\\u{1b}[2J\\r\\nroot: y\u{fffd}\\u{9b}\tz\\u{202e}\n");
        assert_eq!(line(b"a", Style { raw: true, ..PLAIN }), "a\r\n");
    }

    #[test]
    fn a_long_line_is_cut() {
        let shown = line(&[b'a'; LONGEST + 1], PLAIN);
        assert_eq!(shown, format!("{}\u{2026}\n", "a".repeat(LONGEST)));
    }
}
