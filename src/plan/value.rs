//! The small values a manifest is made of, each with its own type, so that a host path cannot be used as a path of the jail
//! nor a size as a time. Each has `parse`, whose error is a sentence, and `Display`, which writes what `parse` reads.

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Name of a jail: it becomes a directory name, a host name and an argument, so it is kept to what all of them take.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JailName(String);

impl JailName {
    /// Longest name, in bytes: the limit of sethostname(2) on Linux.
    pub const MAX: usize = 64;

    /// Reads a name: letters, digits, `-`, `_`, `.`; not starting with `-` or `.`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() {
            return Err("a jail's name cannot be empty".into());
        }
        if text.len() > Self::MAX {
            return Err(format!(
                "a jail's name has at most {} bytes, this one has {}",
                Self::MAX,
                text.len()
            ));
        }
        if let Some(c) = text.chars().find(|c| !legal(*c)) {
            return Err(format!(
                "a jail's name is made of letters, digits, `-`, `_` and `.`; {c:?} is none of them"
            ));
        }
        if text.starts_with(['-', '.']) {
            return Err("a jail's name starts with a letter, a digit or `_`".into());
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JailName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path on the host: absolute, without `.` and `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPath(PathBuf);

/// A path as the jailed program sees it: absolute, without `.` and `..`, so that it cannot name a place outside the jail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JailPath(PathBuf);

/// Normalises an absolute path, refusing what has no single meaning.
fn absolute(path: &Path, whose: &str) -> Result<PathBuf, String> {
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(format!("{whose} cannot contain a NUL byte"));
    }
    if !path.is_absolute() {
        return Err(format!("{whose} must be absolute (start with `/`), `{}` is not", path.display()));
    }
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => {
                return Err(format!("{whose} cannot contain `..`, `{}` does", path.display()));
            }
            Component::Normal(name) => clean.push(name),
        }
    }
    Ok(clean)
}

impl HostPath {
    /// Reads an absolute host path.
    pub fn parse(path: impl AsRef<Path>) -> Result<Self, String> {
        absolute(path.as_ref(), "a host path").map(Self)
    }

    /// The path itself.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl JailPath {
    /// Reads an absolute path of the jail.
    pub fn parse(path: impl AsRef<Path>) -> Result<Self, String> {
        absolute(path.as_ref(), "a path in the jail").map(Self)
    }

    /// The jail's root, `/`.
    pub fn root() -> Self {
        Self(PathBuf::from("/"))
    }

    /// The path itself, absolute as the jailed program says it.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The path without its leading `/`, to be used below a descriptor of the tree; `.` for the root.
    pub fn relative(&self) -> &Path {
        match self.0.strip_prefix("/") {
            Ok(rest) if rest != Path::new("") => rest,
            _ => Path::new("."),
        }
    }

    /// The path from `other` on, which it is below; `.` for that itself.
    pub fn relative_to(&self, other: &Self) -> &Path {
        match self.0.strip_prefix(&other.0) {
            Ok(rest) if rest != Path::new("") => rest,
            _ => Path::new("."),
        }
    }

    /// The directory this path stands in; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        self.0.parent().map(|parent| Self(parent.to_owned()))
    }

    /// This path with one more component, which must be a plain name.
    pub fn join(&self, name: impl AsRef<Path>) -> Result<Self, String> {
        Self::parse(self.0.join(name.as_ref()))
    }

    /// Whether this path is `other` or below it. By the bytes, as both are normalised: a plan compares many.
    pub fn starts_with(&self, other: &Self) -> bool {
        let [own, other] = [self, other].map(|path| path.0.as_os_str().as_bytes());
        match own.strip_prefix(other) {
            Some([] | [b'/', ..]) => true,
            Some(_) => other == b"/",
            None => false,
        }
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl fmt::Display for JailPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// A size in bytes. Suffixes `K`, `M`, `G`, `T` are powers of 1024, as in systemd and the kernel's tmpfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// Suffixes of a size with the power of two each stands for.
const UNITS: [(char, u32); 4] = [('T', 40), ('G', 30), ('M', 20), ('K', 10)];

impl Size {
    /// Reads `4096`, `64K`, `256M`, `2G`, `1T`; an `iB` or `B` after the suffix is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a size; write bytes or a number with K, M, G or T, such as `256M`");
        let bare = text.trim().trim_end_matches('B').trim_end_matches('i');
        let (digits, shift) = UNITS
            .iter()
            .find_map(|(unit, shift)| {
                bare.strip_suffix([*unit, unit.to_ascii_lowercase()]).map(|digits| (digits, *shift))
            })
            .unwrap_or((bare, 0));
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        let number: u64 = digits.parse().map_err(|_| format!("`{text}` is more than 64 bits hold"))?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(|| format!("`{text}` is more than 64 bits hold"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, shift)| self.0 != 0 && self.0.trailing_zeros() >= *shift) {
            Some((unit, shift)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A span of time. Units `ms`, `s`, `m` (or `min`), `h`, `d`; several may follow each other, as in `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

impl Span {
    /// Reads `10s`, `500ms`, `1h30m`; a bare number means seconds.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is not a time; write a number with ms, s, m, h or d, such as `10s` or `1h30m`")
        };
        let mut total: u64 = 0;
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = rest[digits..].trim_start();
            let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let milliseconds = match &rest[..letters] {
                "ms" => 1,
                "" | "s" | "sec" => 1_000,
                "m" | "min" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return Err(wrong()),
            };
            rest = rest[letters..].trim_start();
            total = number
                .checked_mul(milliseconds)
                .and_then(|ms| total.checked_add(ms))
                .ok_or_else(|| format!("`{text}` is longer than this machine can count"))?;
        }
        Ok(Self(Duration::from_millis(total)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_millis() {
            0 => write!(f, "{}s", self.0.as_secs()),
            _ => write!(f, "{}ms", self.0.as_millis()),
        }
    }
}

/// Permission bits of a file, written in octal: `0750`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mode(pub u32);

impl Mode {
    /// Reads octal digits, at most `7777`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        u32::from_str_radix(digits, 8)
            .ok()
            .filter(|mode| *mode <= 0o7777 && !digits.starts_with('+'))
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a mode; write octal digits up to 7777, such as `0750`"))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// A user or a group, by name or by number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// By name, to be looked up in the host's passwd or group file.
    Name(String),
    /// By number, inside the jail.
    Id(u32),
}

impl Account {
    /// Reads a name as useradd(8) allows it, or a decimal id.
    pub fn parse(text: &str) -> Result<Self, String> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
        if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
            // 2^32-1 means "leave unchanged" to chown(2) and setresuid(2), so it is nobody's id.
            return text
                .parse()
                .ok()
                .filter(|id| *id != u32::MAX)
                .map(Self::Id)
                .ok_or_else(|| format!("{text} is not an id; the largest is {}", u32::MAX - 1));
        }
        if text.is_empty() || text.starts_with('-') || !text.chars().all(legal) {
            return Err(format!("`{text}` is not the name of a user or group"));
        }
        Ok(Self::Name(text.to_owned()))
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Id(id) => write!(f, "{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::config;

    #[test]
    fn a_size_is_written_as_it_is_read() {
        for (text, bytes, written) in
            [("0", 0, "0"), ("4096", 4096, "4K"), ("256M", 256 << 20, "256M"), ("1GiB", 1 << 30, "1G")]
        {
            assert_eq!(Size::parse(text), Ok(Size(bytes)), "{text}");
            assert_eq!(Size(bytes).to_string(), written);
        }
        for text in ["", "M", "-1", "1.5G", "12Q", "99999999999T", "0x10"] {
            assert!(Size::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_adds_its_units() {
        for (text, ms) in
            [("10s", 10_000), ("1h30m", 5_400_000), ("500ms", 500), ("7", 7_000), ("1d", 86_400_000)]
        {
            assert_eq!(Span::parse(text), Ok(Span(Duration::from_millis(ms))), "{text}");
        }
        for text in ["", "s", "10 parsecs", "-1s", "1.5s"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
        // What is longer than 64 bits of milliseconds could be written, but not read again.
        assert!(Span::parse("18446744073709551s").is_ok());
        assert!(Span::parse("18446744073709551s 1s").is_err());
    }

    #[test]
    fn a_jail_path_cannot_leave_the_jail() {
        assert_eq!(JailPath::parse("/a//b/./c/").map(|p| p.to_string()), Ok("/a/b/c".into()));
        for text in ["", "a", "../a", "/a/../b", "/..", "/a\0b"] {
            assert!(JailPath::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_mode_is_octal() {
        assert_eq!(Mode::parse("0750"), Ok(Mode(0o750)));
        assert_eq!(Mode(0o750).to_string(), "0750");
        for text in ["", "8", "17777", "rwx", "+7", "-1"] {
            assert!(Mode::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_account_is_a_name_or_a_number() {
        assert_eq!(Account::parse("www-data"), Ok(Account::Name("www-data".into())));
        assert_eq!(Account::parse("33"), Ok(Account::Id(33)));
        for text in ["", "4294967295", "-x", "a b", "a:b"] {
            assert!(Account::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_jail_name_is_a_file_name() {
        assert!(JailName::parse("web-1.example_a").is_ok());
        for text in ["", ".", "..", "a/b", "-a", "a b", &"x".repeat(65)] {
            assert!(JailName::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(config(1000))]

        #[test]
        fn every_value_is_read_as_it_is_written(number in any::<u64>(), shift in 0_u32..64, id in 0..u32::MAX, mode in 0_u32..=0o7777) {
            // Of every length: most numbers of 64 bits are large.
            let number = number >> shift;
            prop_assert_eq!(Size::parse(&Size(number).to_string()), Ok(Size(number)));
            let span = Span(Duration::from_millis(number));
            prop_assert_eq!(Span::parse(&span.to_string()), Ok(span));
            prop_assert_eq!(Mode::parse(&Mode(mode).to_string()), Ok(Mode(mode)));
            prop_assert_eq!(Account::parse(&Account::Id(id).to_string()), Ok(Account::Id(id)));
        }

        #[test]
        fn every_name_and_path_is_read_as_it_is_written(name in "[a-zA-Z_][a-zA-Z0-9_.-]{0,30}", path in "(/[^/\0]{0,5}){1,6}/?") {
            prop_assert_eq!(JailName::parse(&name).map(|name| name.to_string()), Ok(name.clone()));
            prop_assert_eq!(Account::parse(&name).map(|name| name.to_string()), Ok(name));
            match (HostPath::parse(&path), JailPath::parse(&path)) {
                (Ok(host), Ok(jail)) => {
                    prop_assert_eq!(HostPath::parse(host.to_string()), Ok(host.clone()));
                    prop_assert_eq!(JailPath::parse(jail.to_string()), Ok(jail.clone()));
                    // The same path, without what says nothing.
                    prop_assert_eq!(host.as_path(), jail.as_path());
                    prop_assert_eq!(host.as_path(), Path::new(&path));
                    prop_assert_eq!(Path::new("/").join(jail.relative()), Path::new(&path));
                }
                _ => prop_assert!(path.split('/').any(|component| component == "..")),
            }
        }

        #[test]
        fn what_can_be_read_can_be_read_again(text in "[0-9a-zA-Z .+-]{0,12}") {
            if let Ok(value) = Size::parse(&text) {
                prop_assert_eq!(Size::parse(&value.to_string()), Ok(value));
            }
            if let Ok(value) = Span::parse(&text) {
                prop_assert_eq!(Span::parse(&value.to_string()), Ok(value));
            }
            if let Ok(value) = Mode::parse(&text) {
                prop_assert_eq!(Mode::parse(&value.to_string()), Ok(value));
            }
            if let Ok(value) = Account::parse(&text) {
                prop_assert_eq!(Account::parse(&value.to_string()), Ok(value));
            }
        }
    }
}
