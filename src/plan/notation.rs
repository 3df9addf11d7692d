//! How strace(1) writes values: what [`super::calls`] is made of.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::Mode;
use super::display::join;
use super::step::{Bound, MountFlags};

/// A text as strace(1) prints it: everything but printable ASCII as a C escape, octal as short as the next character allows.
pub(super) fn text(text: impl AsRef<OsStr>) -> String {
    let bytes = text.as_ref().as_bytes();
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' => quoted.push_str("\\\""),
            b'\\' => quoted.push_str("\\\\"),
            b'\t' => quoted.push_str("\\t"),
            b'\n' => quoted.push_str("\\n"),
            0x0b => quoted.push_str("\\v"),
            0x0c => quoted.push_str("\\f"),
            b'\r' => quoted.push_str("\\r"),
            b' '..=b'~' => quoted.push(char::from(*byte)),
            _ => {
                let digits = if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) { 3 } else { 1 };
                quoted.extend(format!("\\{byte:0digits$o}").chars());
            }
        }
    }
    quoted.push('"');
    quoted
}

/// The standard signals that may have a handler, by number.
pub(super) const SIGNALS: [&str; 29] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// A mask of permission bits: a leading zero and at least three digits.
pub(super) fn mask(mask: Mode) -> String {
    format!("{:0>3}", format!("0{:o}", mask.0))
}

/// The mask of mount_setattr(2).
pub(super) fn attributes(flags: MountFlags) -> String {
    let names = join("|", flags.attributes());
    if names.is_empty() { "0".into() } else { names }
}

/// One bound of a limit, counted in KiB where it comes out even.
pub(super) fn bound(bound: Bound) -> String {
    match bound {
        None | Some(u64::MAX) => "RLIM64_INFINITY".into(),
        Some(bytes) if bytes > 1024 && bytes % 1024 == 0 => format!("{}*1024", bytes / 1024),
        Some(count) => count.to_string(),
    }
}

/// The flags of personality(2) in the order of their values, after the execution domain.
pub(super) fn persona(flags: &[&str]) -> String {
    const ORDER: [&str; 10] = [
        "UNAME26",
        "ADDR_NO_RANDOMIZE",
        "MMAP_PAGE_ZERO",
        "ADDR_COMPAT_LAYOUT",
        "READ_IMPLIES_EXEC",
        "ADDR_LIMIT_32BIT",
        "SHORT_INODE",
        "WHOLE_SECONDS",
        "STICKY_TIMEOUTS",
        "ADDR_LIMIT_3GB",
    ];
    let domain = flags.iter().copied().find(|flag| flag.starts_with("PER_")).unwrap_or("PER_LINUX");
    join("|", [domain].into_iter().chain(ORDER.into_iter().filter(|flag| flags.contains(flag))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_has_short_octal_escapes() {
        assert_eq!(text("it's \"\u{1b} \u{e9}\\\n9"), r#""it's \"\33 \303\251\\\n9""#);
        assert_eq!(text("\u{1b}9"), r#""\0339""#);
    }

    #[test]
    fn numbers_have_the_form_of_their_kind() {
        for (bits, written) in [(0o22, "022"), (0, "000"), (0o777, "0777"), (7, "007")] {
            assert_eq!(mask(Mode(bits)), written);
        }
        for (value, written) in
            [(Some(1024), "1024"), (Some(4096), "4*1024"), (Some(0), "0"), (None, "RLIM64_INFINITY")]
        {
            assert_eq!(bound(value), written);
        }
        assert_eq!(persona(&["ADDR_NO_RANDOMIZE", "UNAME26"]), "PER_LINUX|UNAME26|ADDR_NO_RANDOMIZE");
        assert_eq!(persona(&["ADDR_NO_RANDOMIZE", "PER_LINUX32"]), "PER_LINUX32|ADDR_NO_RANDOMIZE");
    }
}
