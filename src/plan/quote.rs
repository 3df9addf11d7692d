//! Writing paths and texts that others chose. A file name may hold any byte but NUL and `/`: an escape sequence that repaints a
//! terminal, a newline that forges a line of output, bytes that are no UTF-8. Nothing leaves this program unquoted.

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;

/// A text between double quotes for people: letters of every script stay, what is invisible or turns the line around
/// (control characters, bidirectional marks, invalid UTF-8) becomes `\n`, `\u{202e}` or `\xff`.
pub struct Quoted<'a>(pub &'a [u8]);

impl<'a> Quoted<'a> {
    /// Of a path or any other text.
    pub fn of(text: &'a (impl AsRef<OsStr> + ?Sized)) -> Self {
        Self(text.as_ref().as_bytes())
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        escape(self.0, f)?;
        f.write_char('"')
    }
}

/// The same escapes without the quotes, for a text that stands in a sentence of its own, such as a file name before a line number.
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\'' | '"' | '\\' => f.write_char(c)?,
                    _ => write!(f, "{}", c.escape_debug())?,
                }
            }
            bytes(chunk.invalid(), f)?;
        }
        Ok(())
    }
}

/// Writes the inside of a [`Quoted`].
fn escape(text: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' => f.write_char(c)?,
                _ => write!(f, "{}", c.escape_debug())?,
            }
        }
        bytes(chunk.invalid(), f)?;
    }
    Ok(())
}

/// Bytes that are no UTF-8.
fn bytes(invalid: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    invalid.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
}

/// A text as strace(1) prints it: everything but printable ASCII as a C escape, octal as short as the next character allows.
pub fn strace(text: impl AsRef<OsStr>) -> String {
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
                let digit_follows = bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
                let octal = if digit_follows { format!("\\{byte:03o}") } else { format!("\\{byte:o}") };
                quoted.push_str(&octal);
            }
        }
    }
    quoted.push('"');
    quoted
}

/// A text as one word of a POSIX shell, `$'…'` where it holds what cannot be shown.
pub fn shell(text: impl AsRef<OsStr>) -> String {
    let bytes = text.as_ref().as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+=:,@%".contains(byte);
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    if bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return format!("'{}'", String::from_utf8_lossy(bytes).replace('\'', "'\\''"));
    }
    let mut word = String::from("$'");
    for byte in bytes {
        match byte {
            b'\'' => word.push_str("\\'"),
            b'\\' => word.push_str("\\\\"),
            b' '..=b'~' => word.push(char::from(*byte)),
            _ => word.extend(['\\', octal(byte >> 6), octal(byte >> 3), octal(*byte)]),
        }
    }
    word.push('\'');
    word
}

/// The lowest octal digit.
fn octal(byte: u8) -> char {
    char::from(b'0' + (byte & 7))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_reaches_a_terminal_as_it_is() {
        for (text, shown) in [
            (&b"/srv/www"[..], r#""/srv/www""#),
            (b"it's", r#""it's""#),
            (b"a\"b\\c", r#""a\"b\\c""#),
            (b"\x1b[2Jfake\nline", r#""\u{1b}[2Jfake\nline""#),
            ("caf\u{e9}".as_bytes(), "\"caf\u{e9}\""),
            ("\u{202e}gnp.exe".as_bytes(), r#""\u{202e}gnp.exe""#),
            (b"\xff\xfe", r#""\xff\xfe""#),
        ] {
            assert_eq!(Quoted(text).to_string(), shown);
        }
        assert_eq!(Escaped(b"it's\n\"x\"").to_string(), r#"it's\n"x""#);
    }

    #[test]
    fn a_trace_has_short_octal_escapes() {
        assert_eq!(strace("it's \"\u{1b} \u{e9}\\\n9"), r#""it's \"\33 \303\251\\\n9""#);
        assert_eq!(strace("\u{1b}9"), r#""\0339""#);
    }

    #[test]
    fn a_shell_reads_back_the_same_text() {
        assert_eq!(shell("/usr/bin/a-b"), "/usr/bin/a-b");
        assert_eq!(shell("a b"), "'a b'");
        assert_eq!(shell("it's"), r"'it'\''s'");
        assert_eq!(shell("\u{1b}9'"), r"$'\0339\''");
        assert_eq!(shell(""), "''");
    }
}
