//! What is never copied: a copy of a key is one more to be stolen, and the old one after the next change.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::paths::Used;
use crate::manifest::key_names::is_named_as_key;

/// How secret a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secret {
    /// Not at all: everybody may read it.
    No,
    /// Somebody's alone, as a configuration with a password in it: it is shown, and not copied.
    Private,
    /// A key, a token, passwords: it is named for the reader to decide.
    Key,
}

/// Parts of the names of what is not everybody's to read that tell what it is.
const PARTS: [&str; 6] = ["credential", "key", "passw", "pwd", "secret", "token"];

/// How a key in its text form begins, see RFC 7468.
const MARK: &[u8] = b"PRIVATE KEY-----";

/// How much of a file is looked through for one.
const LOOKED_THROUGH: u64 = 64 << 10;

/// How secret a file is, by its name, its mode and its first lines.
pub(super) fn of(path: &Path, used: &Used) -> Secret {
    let Some(now) = &used.now else { return Secret::No };
    if is_key(path) {
        return Secret::Key;
    }
    if now.mode() & 0o004 != 0 || !now.is_file() {
        return Secret::No;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    if PARTS.iter().any(|part| name.contains(part)) { Secret::Key } else { Secret::Private }
}

/// Whether it is a key, whoever may read it.
pub(in crate::manifest) fn is_key(path: &Path) -> bool {
    // Root's home is root's.
    is_named_as_key(path) || path.starts_with("/root") || begins_with_a_key(path).unwrap_or(false)
}

/// Whether a key stands in a file.
fn begins_with_a_key(path: &Path) -> std::io::Result<bool> {
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Ok(false);
    }
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(LOOKED_THROUGH).read_to_end(&mut text)?;
    Ok(text.windows(MARK.len()).any(|part| part == MARK))
}
