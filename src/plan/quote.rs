//! Writing paths and texts that others chose. A file name may hold any byte but NUL and `/`: an escape sequence that repaints a
//! terminal, a newline that forges a line of output, bytes that are no UTF-8. Nothing leaves this program unquoted.

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;

/// Whether a terminal would obey a character, or show what follows in another order than it is written: control characters, and
/// marks that turn the direction of writing.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

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
        escape(self.0, "'", f)?;
        f.write_char('"')
    }
}

/// The same escapes without the quotes, for a text that stands in a sentence of its own, such as a file name before a line number.
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(self.0, "'\"\\", f)
    }
}

/// Writes a text with escapes, but for the characters in `plain`, which Rust would escape although they do no harm here.
fn escape(text: &[u8], plain: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            if plain.contains(c) {
                f.write_char(c)?;
            } else {
                write!(f, "{}", c.escape_debug())?;
            }
        }
        chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
    }
    Ok(())
}

/// A text as one word of a shell, `$'…'` (POSIX since 2024) where it holds what cannot be shown.
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
            // Three digits always, so that a digit may follow.
            _ => word.extend(['\\', octal(byte >> 6), octal(byte >> 3), octal(*byte)]),
        }
    }
    word.push('\'');
    word
}

/// The last octal digit of a byte.
const fn octal(byte: u8) -> char {
    (b'0' + (byte & 7)) as char
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
    fn a_shell_reads_back_the_same_text() {
        assert_eq!(shell("/usr/bin/a-b"), "/usr/bin/a-b");
        assert_eq!(shell("a b"), "'a b'");
        assert_eq!(shell("it's"), r"'it'\''s'");
        assert_eq!(shell("\u{1b}9'"), r"$'\0339\''");
        assert_eq!(shell(""), "''");
    }
}
