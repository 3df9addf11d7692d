//! The record of a generation: what was put where, from where and because of what. `verify`, `why` and `export` read it.
//!
//! JSON, one entry a line, so that `diff` and `grep` of two records are of use. A path is text as far as it is UTF-8;
//! in it a backslash is written `\\`, and a byte that is not part of valid UTF-8 `\xff` (JSON doubles these
//! backslashes again). So every name that Linux allows survives, and most read as they are.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::plan::Mode;

/// Version of the record and of the layout around it. A tree of another version is built anew.
pub const FORMAT: u32 = 2;

/// Everything about one generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What it is and where it was made.
    #[serde(flatten)]
    pub head: Head,
    /// Every path of the tree, in the order of the plan; the root first.
    pub entries: Vec<Entry>,
}

/// What a generation is and where it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// [`FORMAT`] of who wrote it.
    pub format: u32,
    /// Version of stockade that built it.
    pub stockade: String,
    /// The jail.
    pub jail: String,
    /// The generation's number.
    pub generation: u64,
    /// Digest of the manifest it was built from.
    pub manifest: Digest,
    /// When, in seconds since 1970; also the time of everything that has no source.
    pub built: i64,
    /// Host name of the machine that built it.
    pub host: String,
    /// Its kernel's release.
    pub kernel: String,
    /// Effective user id of who built it.
    pub uid: u32,
    /// Whether `uid` and `gid` of the entries are those on disk.
    pub ownership: Ownership,
    /// Whether the jailed program may have written to the tree: then its files are shared with no other generation.
    pub writable: bool,
    /// What it was asked for by, so that it can be asked for again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_from: Option<MadeFrom>,
}

/// The words that asked for a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeFrom {
    /// The manifest's path, absolute.
    pub path: Name,
    /// Each `--set KEY=VALUE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<String>,
}

/// What the ids of the entries mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ownership {
    /// They are the files' owners on disk: root built it.
    Real,
    /// They are wished for only: an ordinary user built it and owns every file; modes are as in [`on_disk`].
    Recorded,
}

/// One path of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Absolute, as the jailed program says it.
    pub path: Name,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Permission bits, after what is not kept was taken off.
    #[serde(with = "octal")]
    pub mode: Mode,
    /// Owning user, as seen inside.
    pub uid: u32,
    /// Owning group, as seen inside.
    pub gid: u32,
    /// Seconds since 1970 and nanoseconds.
    pub mtime: (i64, i64),
    /// Bytes, of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Digest of a file's content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Text of a symbolic link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Name>,
    /// Major and minor number of a device. As an ordinary user an empty file stands in its place, for the host's node
    /// to be bound on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<(u32, u32)>,
    /// The path this is a second name of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard_link_to: Option<Name>,
    /// The host's file it was copied from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Name>,
    /// Inode of that file, and when it was changed last, in seconds and nanoseconds: while these are the same its content
    /// is, since nobody can set the time of a change, see inode(7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_state: Option<SourceState>,
    /// Names of the extended attributes that were copied with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<String>,
    /// Digest of their names and values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xattrs_sha256: Option<Digest>,
    /// What the source had and this has not: names of extended attributes, `setuid`, `setgid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_kept: Vec<String>,
    /// Why it is there.
    pub reason: String,
}

/// What tells one state of a source from the next: inode, seconds and nanoseconds of its last change.
pub type SourceState = (u64, i64, i64);

/// Type of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Directory.
    Directory,
    /// Regular file.
    File,
    /// Symbolic link.
    Link,
    /// Character device.
    Device,
}

/// The permission bits that an entry of this mode has on disk. An ordinary user's tree must stay readable to its
/// owner and its directories removable, and set-id bits would make the caller's own identity what a program is raised
/// to.
pub fn on_disk(ownership: Ownership, kind: Kind, mode: Mode) -> Mode {
    match (ownership, kind) {
        (_, Kind::Link) => Mode(0o777),
        (Ownership::Real, _) => mode,
        (Ownership::Recorded, Kind::Directory) => Mode(mode.0 & 0o1777 | 0o700),
        (Ownership::Recorded, Kind::File) => Mode(mode.0 & 0o777 | 0o400),
        // The empty file in a device's place.
        (Ownership::Recorded, Kind::Device) => Mode(0o600),
    }
}

impl Kind {
    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Directory => "a directory",
            Self::File => "a file",
            Self::Link => "a link",
            Self::Device => "a device",
        }
    }
}

impl Record {
    /// The record as text.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = serde_json::to_vec(&self.head)?;
        text.pop();
        text.extend_from_slice(b",\"entries\":[");
        for (index, entry) in self.entries.iter().enumerate() {
            text.extend_from_slice(if index == 0 { b"\n" } else { b",\n" });
            serde_json::to_writer(&mut text, entry)?;
        }
        text.extend_from_slice(b"\n]}\n");
        Ok(text)
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    pub fn from_json(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }
}

/// A path or a link's text in a record, whatever its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub PathBuf);

impl From<&Path> for Name {
    fn from(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

/// A name in the record's spelling.
pub fn escape(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The bytes of a name in the record's spelling; `None` when it is not in it.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        name.extend_from_slice(before.as_bytes());
        if let Some(next) = after.strip_prefix('\\') {
            name.push(b'\\');
            rest = next;
        } else {
            let digits = after.strip_prefix('x')?.get(..2)?;
            // from_str_radix takes a sign, this does not.
            name.push(u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?);
            rest = &after[3..];
        }
    }
    name.extend_from_slice(rest.as_bytes());
    Some(name)
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&escape(self.0.as_os_str().as_bytes()))
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let name = unescape(&text).ok_or_else(|| D::Error::custom("a `\\` that starts no escape"))?;
        Ok(Self(OsString::from_vec(name).into()))
    }
}

/// A SHA-256 digest, written in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut digest = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
        }
        Some(Self(digest))
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("a digest is 64 hexadecimal digits"))
    }
}

/// A mode as octal text.
mod octal {
    use super::{Deserialize, Deserializer, Mode, Serializer};
    use serde::de::Error as _;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
    pub(super) fn serialize<S: Serializer>(mode: &Mode, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(mode)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mode, D::Error> {
        Mode::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_survives() {
        for (name, text) in [
            (&b"/usr/bin/[h\xc3\xa4]"[..], "/usr/bin/[hä]"),
            (b"/a\\b", "/a\\\\b"),
            (b"/\xff\nx\xc3", "/\\xff\nx\\xc3"),
            (b"/\\xff", "/\\\\xff"),
        ] {
            assert_eq!(escape(name), text);
            assert_eq!(unescape(text).as_deref(), Some(name));
        }
        for wrong in ["\\", "\\x", "\\xf", "\\xgg", "\\x+f", "\\n", "\\x€"] {
            assert_eq!(unescape(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_ordinary_users_tree_stays_the_callers() {
        let on_disk = |kind, mode| on_disk(Ownership::Recorded, kind, Mode(mode));
        assert_eq!(on_disk(Kind::File, 0o4050), Mode(0o450));
        assert_eq!(on_disk(Kind::Directory, 0o3055), Mode(0o1755));
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let entry = Entry {
            path: Path::new("/dev/null").into(),
            kind: Kind::Device,
            mode: Mode(0o666),
            uid: 0,
            gid: 5,
            mtime: (-1, 999_999_999),
            size: None,
            sha256: Some(Digest([0xab; 32])),
            target: None,
            device: Some((1, 3)),
            hard_link_to: None,
            source: None,
            source_state: Some((12, -1, 5)),
            xattrs: vec!["user.a".to_owned()],
            xattrs_sha256: Some(Digest([0xcd; 32])),
            not_kept: Vec::new(),
            reason: "x.toml:3".to_owned(),
        };
        let head = Head {
            format: FORMAT,
            stockade: "0.1.0".to_owned(),
            jail: "web".to_owned(),
            generation: 7,
            manifest: Digest([1; 32]),
            built: 1_700_000_000,
            host: "h".to_owned(),
            kernel: "6.1".to_owned(),
            uid: 0,
            ownership: Ownership::Real,
            writable: false,
            made_from: Some(MadeFrom {
                path: Path::new("/etc/stockade/web.toml").into(),
                sets: vec!["a=1".into()],
            }),
        };
        for entries in [vec![], vec![entry.clone(), entry]] {
            let record = Record { head: head.clone(), entries };
            let text = record.to_json().unwrap();
            assert_eq!(Record::from_json(&text).unwrap(), record);
            assert_eq!(text.split(|byte| *byte == b'\n').count(), record.entries.len() + 3);
        }
    }
}
