//! Reads `/etc/ld.so.cache`, the list ldconfig(8) makes of every library in the directories of ld.so.conf(5).
//!
//! The format is documented only by glibc's `sysdeps/generic/dl-cache.h`: a header `glibc-ld.so.cache1.1`, 24-byte entries,
//! then strings. Until 2.32 it could follow an older list that begins `ld.so-1.7.0`; strings are counted from the newer
//! header. Libraries for newer processors (glibc-hwcaps) are marked by an index into an extension section.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::machine::{Class, Machine};
use super::reader::Layout;

/// Where the loader looks for it.
pub(super) const PATH: &str = "/etc/ld.so.cache";
/// A desktop with 5000 libraries has 400 KiB.
pub(super) const MOST_BYTES: u64 = 16 << 20;

const OLD_MAGIC: &[u8] = b"ld.so-1.7.0";
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;
const EXTENSION_MAGIC: u64 = 0xeaa4_2174;
/// High half of `hwcap` when its low half is an index into the list of glibc-hwcaps names; ten bits of ISA level masked.
const HWCAPS_INDEX: u64 = 1 << 30;
const ISA_LEVEL: u64 = 0x3ff;

/// The file, checked as far as lookups need.
pub(super) struct Cache {
    bytes: Vec<u8>,
    layout: Layout,
    /// Where the newer header begins.
    base: usize,
    entries: usize,
    /// Names such as `x86-64-v3`, as offsets.
    hwcaps: Vec<usize>,
}

/// One library of the wanted name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub path: PathBuf,
    /// Kind of C library and processor.
    pub flags: u32,
    /// The glibc-hwcaps directory it is from.
    pub level: Option<&'a [u8]>,
}

impl Cache {
    /// `None` if the file has another format: then a loader goes on without it, and so do we.
    pub(super) fn parse(bytes: Vec<u8>) -> Option<Self> {
        let native = Layout { wide: true, little: cfg!(target_endian = "little") };
        let base = if bytes.starts_with(OLD_MAGIC) {
            let entries = native.number(bytes.get(12..16)?, 0, 4) as usize;
            (16 + entries.checked_mul(12)?).checked_next_multiple_of(8)?
        } else {
            0
        };
        let header = bytes.get(base..base.checked_add(HEADER)?)?;
        if !header.starts_with(MAGIC) {
            return None;
        }
        // Byte order, two bits: 0 written by an old ldconfig, 2 little, 3 big.
        let little = match header.get(28)? & 3 {
            0 => native.little,
            order => order == 2,
        };
        let layout = Layout { wide: true, little };
        let entries = layout.number(header, 20, 4) as usize;
        let end = entries.checked_mul(ENTRY)?.checked_add(base + HEADER)?;
        if end > bytes.len() {
            return None;
        }
        let extension = layout.number(header, 32, 4) as usize;
        let hwcaps = hwcaps_section(&bytes, extension, layout).unwrap_or_default();
        Some(Self { bytes, layout, base, entries, hwcaps })
    }

    /// Every library called `name`, for any processor, in the order of the file.
    pub(super) fn lookup<'a>(&'a self, name: &'a OsStr) -> impl Iterator<Item = Entry<'a>> {
        let start = self.base + HEADER;
        let entries = self.bytes.get(start..start + self.entries * ENTRY).unwrap_or_default();
        entries.chunks_exact(ENTRY).filter_map(move |entry| {
            let offset = |at| self.base.checked_add(self.layout.number(entry, at, 4) as usize);
            let key = self.bytes.get(offset(4)?..)?;
            if !key.starts_with(name.as_bytes()) || key.get(name.len()) != Some(&0) {
                return None;
            }
            let hwcap = self.layout.number(entry, 16, 8);
            let level = match hwcap {
                0 => None,
                _ if (hwcap >> 32) & !ISA_LEVEL == HWCAPS_INDEX => {
                    Some(text(&self.bytes, *self.hwcaps.get(hwcap as u32 as usize)?)?)
                }
                _ => return None, // "legacy hwcaps", no longer read since glibc 2.37
            };
            let path = PathBuf::from(OsStr::from_bytes(text(&self.bytes, offset(8)?)?));
            Some(Entry { path, flags: self.layout.number(entry, 0, 4) as u32, level })
        })
    }
}

/// The flags a loader of this kind accepts, from `_DL_CACHE_DEFAULT_ID` of each architecture; empty if we do not know.
pub(super) fn accepted_flags(machine: Machine) -> &'static [u32] {
    match (machine.number, machine.class, machine.little) {
        (62, Class::Bits64, _) => &[0x303, 1],
        (62, Class::Bits32, _) => &[0x803, 1],
        (3, ..) => &[0x003, 1],
        (183, _, true) => &[0xa03, 1],
        (40, ..) => &[0x903, 0xb03, 0x003, 1],
        (21, ..) => &[0x503, 1],
        (22, Class::Bits64, _) => &[0x403, 1],
        (243, Class::Bits64, _) => &[0x1003, 0xf03, 1],
        (258, ..) => &[0x1203, 0x1103, 1],
        _ => &[],
    }
}

/// Offsets of the glibc-hwcaps names: extension header, then sections of (tag, flags, offset, size); tag 1 is ours.
fn hwcaps_section(bytes: &[u8], at: usize, layout: Layout) -> Option<Vec<usize>> {
    let header = bytes.get(at..at.checked_add(8)?).filter(|_| at != 0)?;
    if layout.number(header, 0, 4) != EXTENSION_MAGIC {
        return None;
    }
    let sections = bytes.get(at + 8..)?.chunks_exact(16).take(layout.number(header, 4, 4) as usize);
    let section = sections.into_iter().find(|section| layout.number(section, 0, 4) == 1)?;
    let start = layout.number(section, 8, 4) as usize;
    let names = bytes.get(start..start.checked_add(layout.number(section, 12, 4) as usize)?)?;
    Some(names.chunks_exact(4).map(|offset| layout.number(offset, 0, 4) as usize).collect())
}

/// The NUL-terminated text at `at`, `PATH_MAX` at most.
fn text(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    let rest = rest.get(..4096).unwrap_or(rest);
    rest.get(..rest.iter().position(|byte| *byte == 0)?)
}

#[cfg(test)]
mod tests {
    use super::super::testing::XorShift;
    use super::*;

    /// Writes what ldconfig would: (name, path, flags, index of hwcaps).
    fn file(entries: &[(&str, &str, u32, Option<u32>)], hwcaps: &[&str], little: bool, old: bool) -> Vec<u8> {
        let number = |value: u64, size: usize| -> Vec<u8> {
            let mut bytes = value.to_le_bytes()[..size].to_vec();
            if !little {
                bytes.reverse();
            }
            bytes
        };
        let base = if old { 16 + 3 * 12 + 4 } else { 0 };
        let mut strings: Vec<u8> = Vec::new();
        let strings_at = HEADER + entries.len() * ENTRY;
        let mut add = |text: &str| {
            strings.extend(text.as_bytes());
            strings.push(0);
            (strings_at + strings.len() - text.len() - 1) as u64
        };
        let mut table = Vec::new();
        for (name, path, flags, level) in entries {
            let hwcap = level.map_or(0, |level| 1 << 62 | 2 << 32 | u64::from(level));
            for (value, size) in [(u64::from(*flags), 4), (add(name), 4), (add(path), 4), (0, 4), (hwcap, 8)]
            {
                table.extend(number(value, size));
            }
        }
        let names: Vec<u8> = hwcaps.iter().flat_map(|name| number(add(name) + base as u64, 4)).collect();
        let extension = base + strings_at + strings.len();
        let mut bytes = Vec::new();
        if old {
            bytes.extend(OLD_MAGIC);
            bytes.push(0);
            bytes.extend(3_u32.to_ne_bytes());
            bytes.resize(base, 0);
        }
        bytes.extend(MAGIC);
        bytes.extend(number(entries.len() as u64, 4));
        bytes.extend(number(strings.len() as u64, 4));
        bytes.extend([if little { 2 } else { 3 }, 0, 0, 0]);
        bytes.extend(number(extension as u64, 4));
        bytes.resize(base + HEADER, 0);
        bytes.extend(table);
        bytes.extend(strings);
        for value in [EXTENSION_MAGIC, 1, 1, 0, extension as u64 + 24, names.len() as u64] {
            bytes.extend(number(value, 4));
        }
        bytes.extend(names);
        bytes
    }

    const ENTRIES: &[(&str, &str, u32, Option<u32>)] = &[
        ("libz.so.1", "/lib/glibc-hwcaps/x86-64-v3/libz.so.1", 0x303, Some(1)),
        ("libz.so.1", "/lib/libz.so.1", 0x303, None),
        ("libz.so.1", "/lib32/libz.so.1", 3, None),
        ("libz.so", "/lib/libz.so", 0x303, None),
    ];

    #[test]
    fn every_form_gives_the_same_entries() {
        for (little, old) in [(true, false), (false, false), (true, true)] {
            let cache = Cache::parse(file(ENTRIES, &["x86-64-v2", "x86-64-v3"], little, old)).unwrap();
            let found: Vec<_> = cache.lookup("libz.so.1".as_ref()).collect();
            let level = |number: usize| {
                (found[number].path.to_str().unwrap(), found[number].flags, found[number].level)
            };
            assert_eq!(found.len(), 3, "little {little}, old {old}");
            assert_eq!(level(0), (ENTRIES[0].1, 0x303, Some(b"x86-64-v3".as_slice())));
            assert_eq!(level(1), (ENTRIES[1].1, 0x303, None));
            assert_eq!(level(2), (ENTRIES[2].1, 3, None));
            assert_eq!(cache.lookup("libz".as_ref()).count(), 0);
            assert_eq!(cache.lookup("libz.so".as_ref()).count(), 1);
        }
    }

    #[test]
    fn other_files_are_no_cache() {
        assert!(Cache::parse(Vec::new()).is_none());
        assert!(Cache::parse(b"ld.so-1.7.0\0".to_vec()).is_none());
        assert!(Cache::parse(b"glibc-ld.so.cache1.1".to_vec()).is_none());
    }

    #[test]
    fn damage_is_survived() {
        let whole = file(ENTRIES, &["x86-64-v2", "x86-64-v3"], true, true);
        let look =
            |bytes: Vec<u8>| Cache::parse(bytes).map(|cache| cache.lookup("libz.so.1".as_ref()).count());
        for length in 0..whole.len() {
            look(whole[..length].to_vec());
        }
        let mut random = XorShift::new(1);
        for _ in 0..20_000 {
            look(random.mutate(&whole));
        }
    }
}
