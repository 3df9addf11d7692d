//! Checked reads of an ELF file: nothing outside it, and no more than asked for.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;

use super::problem::{Part, Problem};

/// Read at once: the headers and most often the interpreter and notes are in the first page.
const FIRST_READ: usize = 4096;
/// One name or search path. Search paths of Nix packages exceed `PATH_MAX`.
const MOST_STRING_BYTES: usize = 32768;

/// Where bytes come from: a file, or, in tests and fuzz targets, a slice.
pub(super) trait Source {
    fn length(&self) -> u64;
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl Source for (File, u64) {
    fn length(&self) -> u64 {
        self.1
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

impl Source for &[u8] {
    fn length(&self) -> u64 {
        self.len() as u64
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        buffer.copy_from_slice(rest.get(..buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Width and byte order of the numbers in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub wide: bool,
    pub little: bool,
}

impl Layout {
    /// The number of `size` bytes at `at`; callers have checked the length, a short buffer reads as zeros.
    pub(super) fn number(self, bytes: &[u8], at: usize, size: usize) -> u64 {
        let field = at.checked_add(size).and_then(|end| bytes.get(at..end)).unwrap_or_default();
        let append = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        if self.little { field.iter().rev().fold(0, append) } else { field.iter().fold(0, append) }
    }

    /// A number that is 4 bytes in 32-bit files and 8 in 64-bit ones, at different places.
    pub(super) fn word(self, bytes: &[u8], narrow_at: usize, wide_at: usize) -> u64 {
        if self.wide { self.number(bytes, wide_at, 8) } else { self.number(bytes, narrow_at, 4) }
    }
}

/// Checked reads; the first page is kept.
pub(super) struct Reader<'a> {
    source: &'a dyn Source,
    pub length: u64,
    first: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a dyn Source) -> Result<Self, Problem> {
        let length = source.length();
        let mut first = vec![0; FIRST_READ.min(usize::try_from(length).unwrap_or(FIRST_READ))];
        source.read_exact_at(&mut first, 0)?;
        Ok(Self { source, length, first })
    }

    /// `size` bytes at `offset`; every caller has capped `size`.
    pub(super) fn bytes(&self, offset: u64, size: u64, part: Part) -> Result<Vec<u8>, Problem> {
        let end = offset.checked_add(size).filter(|end| *end <= self.length);
        let (Some(_), Ok(start), Ok(size)) = (end, usize::try_from(offset), usize::try_from(size)) else {
            return Err(Problem::Truncated { part, end: offset.saturating_add(size), length: self.length });
        };
        if let Some(known) = start.checked_add(size).and_then(|end| self.first.get(start..end)) {
            return Ok(known.to_vec());
        }
        let mut bytes = vec![0; size];
        self.source.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

/// The dynamic string table: read string by string, as it can have megabytes of symbol names.
pub(super) struct Strings<'a> {
    file: &'a Reader<'a>,
    pub range: Option<(u64, u64)>,
    /// The first bytes, read when a string is first asked for; small tables fit.
    start: OnceCell<Vec<u8>>,
}

impl<'a> Strings<'a> {
    /// `range` is where the table is in the file, as (offset, length).
    pub(super) fn new(file: &'a Reader<'a>, range: Option<(u64, u64)>) -> Self {
        Self { file, range, start: OnceCell::new() }
    }

    /// The string at `at`, by the reckoning of the dynamic section.
    pub(super) fn get(&self, at: u64) -> Result<OsString, Problem> {
        let outside = || Part::Strings.corrupt("a name of the dynamic section lies outside it");
        let (offset, size) = self.range.ok_or_else(outside)?;
        let left = size.checked_sub(at).filter(|left| *left > 0).ok_or_else(outside)?;
        let ended = |bytes: &[u8]| {
            bytes.iter().position(|byte| *byte == 0).and_then(|end| bytes.get(..end).map(<[u8]>::to_vec))
        };

        let read = |at: u64, size: u64| self.file.bytes(offset + at, size, Part::Strings);
        let start = if let Some(start) = self.start.get() {
            start
        } else {
            let start = read(0, size.min(FIRST_READ as u64))?;
            self.start.get_or_init(|| start)
        };
        if let Some(text) = usize::try_from(at).ok().and_then(|at| start.get(at..)).and_then(ended) {
            return Ok(OsString::from_vec(text));
        }
        for most in [256, MOST_STRING_BYTES as u64] {
            if let Some(text) = ended(&read(at, left.min(most))?) {
                return Ok(OsString::from_vec(text));
            }
        }
        Err(Part::Strings.corrupt("a name of the dynamic section does not end"))
    }
}
