//! Reads from an ELF file what the kernel and the dynamic loader read at start, and nothing else.
//!
//! Programs can be hundreds of megabytes and hostile. So the headers, the dynamic section, the few strings it points at and
//! the notes are read with pread(2), each with a cap, and every offset is checked before use. See elf(5).

use std::cell::OnceCell;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::machine::{Class, Machine};
use super::problem::{Part, Problem};

/// Read at once: the headers and most often the interpreter and notes are in the first page.
const FIRST_READ: usize = 4096;
/// The kernel's own limit, `load_elf_phdrs()` in fs/binfmt_elf.c: 64 KiB of program headers.
const MOST_HEADER_BYTES: u64 = 65536;
/// 4096 entries of a 64-bit dynamic section; large desktop programs have about 200.
const MOST_DYNAMIC_BYTES: u64 = 65536;
/// All notes of one file. Build id, ABI tag and properties take 200 bytes.
const MOST_NOTE_BYTES: u64 = 65536;
/// One name or search path. Search paths of Nix packages exceed `PATH_MAX`.
const MOST_STRING_BYTES: usize = 32768;

/// Where bytes come from: a file, or a slice in tests.
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

#[cfg(test)]
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

/// What the start of a program or library depends on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Elf {
    pub class: Class,
    pub machine: Machine,
    /// `PT_INTERP`: the dynamic loader, opened by the kernel at exactly this path.
    pub interpreter: Option<PathBuf>,
    /// `DT_NEEDED`, in order.
    pub needed: Vec<OsString>,
    /// `DT_FILTER`, and `DT_AUXILIARY`, which may be absent.
    pub filters: Vec<(OsString, bool)>,
    pub soname: Option<OsString>,
    /// `DT_RPATH`; as the loaders do, `None` if there is a `DT_RUNPATH`.
    pub rpath: Option<OsString>,
    pub runpath: Option<OsString>,
    /// `DF_1_NODEFLIB`: do not search the system's directories.
    pub no_default_libs: bool,
    /// The text of each `.note.dlopen`.
    pub dlopen: Vec<Vec<u8>>,
    /// Where the dynamic symbols and their names are in the file, for [`super::threads`].
    pub symbols: Option<Symbols>,
}

/// File ranges as (offset, length), inside the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Symbols {
    pub table: (u64, u64),
    pub strings: (u64, u64),
    pub layout: Layout,
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
    fn word(self, bytes: &[u8], narrow_at: usize, wide_at: usize) -> u64 {
        if self.wide { self.number(bytes, wide_at, 8) } else { self.number(bytes, narrow_at, 4) }
    }
}

/// One program header.
struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    size: u64,
    align: u64,
}

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const PT_NOTE: u64 = 4;

/// The magic number every ELF file begins with.
pub(super) const MAGIC: &[u8] = b"\x7fELF";

impl Elf {
    /// Reads what matters from `source`, whose first bytes are [`MAGIC`].
    pub(super) fn read(source: &dyn Source) -> Result<Self, Problem> {
        let file = Reader::new(source)?;
        let header = file.bytes(0, 16, Part::Header)?;
        let class = match header.get(4) {
            Some(1) => Class::Bits32,
            Some(2) => Class::Bits64,
            _ => return Err(Part::Header.corrupt("the class is neither 32-bit nor 64-bit")),
        };
        let little = match header.get(5) {
            Some(1) => true,
            Some(2) => false,
            _ => return Err(Part::Header.corrupt("the byte order is neither little nor big endian")),
        };
        let layout = Layout { wide: class == Class::Bits64, little };
        let header = file.bytes(0, if layout.wide { 64 } else { 52 }, Part::Header)?;
        if header.get(6) != Some(&1) || layout.number(&header, 20, 4) != 1 {
            return Err(Part::Header.corrupt("the version is not 1"));
        }
        let machine = Machine { number: layout.number(&header, 18, 2) as u16, class, little };
        // ET_EXEC and ET_DYN; neither the kernel nor a loader takes object files or core dumps.
        if !matches!(layout.number(&header, 16, 2), 2 | 3) {
            return Err(Problem::NotLoadable);
        }
        let segments = file.segments(&header, layout)?;
        let mut elf = Self {
            class,
            machine,
            interpreter: file.interpreter(&segments)?,
            needed: Vec::new(),
            filters: Vec::new(),
            soname: None,
            rpath: None,
            runpath: None,
            no_default_libs: false,
            dlopen: file.dlopen_notes(&segments, layout),
            symbols: None,
        };
        elf.read_dynamic(&file, &segments, layout)?;
        Ok(elf)
    }

    fn read_dynamic(&mut self, file: &Reader, segments: &[Segment], layout: Layout) -> Result<(), Problem> {
        let Some(segment) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC) else { return Ok(()) };
        if segment.size > MOST_DYNAMIC_BYTES {
            return Err(Part::Dynamic.corrupt("larger than 64 KiB"));
        }
        let bytes = file.bytes(segment.offset, segment.size, Part::Dynamic)?;
        let word = if layout.wide { 8 } else { 4 };
        let entries: Vec<(u64, u64)> = bytes
            .chunks_exact(2 * word)
            .map(|entry| (layout.number(entry, 0, word), layout.number(entry, word, word)))
            .take_while(|(tag, _)| *tag != 0)
            .collect();

        let find = |wanted: u64| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
        let strings = Strings::locate(file, segments, find(5), find(10));
        for (tag, value) in &entries {
            match tag {
                1 => self.needed.push(strings.get(*value)?),     // DT_NEEDED
                14 => self.soname = Some(strings.get(*value)?),  // DT_SONAME
                15 => self.rpath = Some(strings.get(*value)?),   // DT_RPATH
                29 => self.runpath = Some(strings.get(*value)?), // DT_RUNPATH
                0x6fff_fffb => self.no_default_libs = value & 0x800 != 0, // DT_FLAGS_1
                0x7fff_fffd => self.filters.push((strings.get(*value)?, true)), // DT_AUXILIARY
                0x7fff_ffff => self.filters.push((strings.get(*value)?, false)), // DT_FILTER
                _ => {}
            }
        }
        if self.runpath.is_some() {
            self.rpath = None;
        }
        self.symbols = symbol_table(&entries, segments, &strings, file.length, layout);
        Ok(())
    }

    /// How much text the file made us keep; bounds the memory of a whole closure.
    pub(super) fn weight(&self) -> usize {
        let names = self.needed.iter().chain(self.filters.iter().map(|(name, _)| name));
        let paths = [&self.soname, &self.rpath, &self.runpath];
        names.chain(paths.into_iter().flatten()).map(|text| text.len()).sum::<usize>()
            + self.dlopen.iter().map(Vec::len).sum::<usize>()
    }
}

/// The other dynamic tables:
/// DT_HASH, STRTAB, RELA, REL, JMPREL, INIT_ARRAY, FINI_ARRAY, RELR, GNU_HASH, VERSYM, VERDEF, VERNEED
const TABLES: [u64; 12] = [4, 5, 7, 17, 23, 25, 26, 36, 0x6fff_fef5, 0x6fff_fff0, 0x6fff_fffc, 0x6fff_fffe];

/// Where the dynamic symbols are. No entry tells their number, but linkers put another of the dynamic tables right behind
/// them, so the nearest address above is taken for the end.
fn symbol_table(
    entries: &[(u64, u64)],
    segments: &[Segment],
    strings: &Strings,
    length: u64,
    layout: Layout,
) -> Option<Symbols> {
    let (_, start) = *entries.iter().find(|(tag, _)| *tag == 6)?; // DT_SYMTAB
    let load = segments.iter().find(|segment| segment.holds(start))?;
    let tables = entries.iter().filter(|(tag, _)| TABLES.contains(tag)).map(|(_, address)| *address);
    let end = tables
        .filter(|address| *address > start)
        .min()
        .unwrap_or(u64::MAX)
        .min(load.address.checked_add(load.size)?);
    let offset = load.offset.checked_add(start - load.address)?;
    let size = end.checked_sub(start)?.min(length.checked_sub(offset)?);
    Some(Symbols { table: (offset, size), strings: strings.range?, layout })
}

impl Segment {
    fn holds(&self, address: u64) -> bool {
        self.kind == PT_LOAD && address.checked_sub(self.address).is_some_and(|inside| inside < self.size)
    }
}

/// Checked reads; the first page is kept.
struct Reader<'a> {
    source: &'a dyn Source,
    length: u64,
    first: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn new(source: &'a dyn Source) -> Result<Self, Problem> {
        let length = source.length();
        let mut first = vec![0; FIRST_READ.min(usize::try_from(length).unwrap_or(FIRST_READ))];
        source.read_exact_at(&mut first, 0)?;
        Ok(Self { source, length, first })
    }

    /// `size` bytes at `offset`; every caller has capped `size`.
    fn bytes(&self, offset: u64, size: u64, part: Part) -> Result<Vec<u8>, Problem> {
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

    fn segments(&self, header: &[u8], layout: Layout) -> Result<Vec<Segment>, Problem> {
        let at = layout.word(header, 28, 32);
        let (entry_size, count) = if layout.wide { (54, 56) } else { (42, 44) };
        let size = if layout.wide { 56 } else { 32 };
        let count = layout.number(header, count, 2);
        if count == 0 || layout.number(header, entry_size, 2) != size {
            return Err(Part::ProgramHeaders.corrupt("there are none, or of an unknown size"));
        }
        if count * size > MOST_HEADER_BYTES {
            return Err(Part::ProgramHeaders.corrupt("more than the kernel accepts"));
        }
        let bytes = self.bytes(at, count * size, Part::ProgramHeaders)?;
        let segment = |entry: &[u8]| Segment {
            kind: layout.number(entry, 0, 4),
            offset: layout.word(entry, 4, 8),
            address: layout.word(entry, 8, 16),
            size: layout.word(entry, 16, 32),
            align: layout.word(entry, 28, 48),
        };
        Ok(bytes.chunks_exact(size as usize).map(segment).collect())
    }

    /// `PT_INTERP` under the rules of the kernel: `PATH_MAX` at most, and ended by a NUL.
    fn interpreter(&self, segments: &[Segment]) -> Result<Option<PathBuf>, Problem> {
        let Some(segment) = segments.iter().find(|segment| segment.kind == PT_INTERP) else {
            return Ok(None);
        };
        if !(2..=4096).contains(&segment.size) {
            return Err(Part::Interpreter.corrupt("its length is not between 2 and 4096"));
        }
        let mut path = self.bytes(segment.offset, segment.size, Part::Interpreter)?;
        if path.last() != Some(&0) {
            return Err(Part::Interpreter.corrupt("it does not end with a NUL byte"));
        }
        path.truncate(path.iter().position(|byte| *byte == 0).unwrap_or(path.len()));
        Ok(Some(PathBuf::from(OsString::from_vec(path))))
    }

    /// The text of every note `FDO`, type 0x407c0c0a. A damaged note ends the search but is no error: neither the kernel
    /// nor the loader would refuse the file for it.
    fn dlopen_notes(&self, segments: &[Segment], layout: Layout) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let mut left = MOST_NOTE_BYTES;
        for segment in segments.iter().filter(|segment| segment.kind == PT_NOTE) {
            if segment.size > left {
                break;
            }
            left -= segment.size;
            let Ok(bytes) = self.bytes(segment.offset, segment.size, Part::Notes) else { break };
            let align = if segment.align == 8 { 8 } else { 4 };
            let mut rest = bytes.as_slice();
            while rest.len() >= 12 {
                let size = |at| layout.number(rest, at, 4) as usize;
                let text_at = (12 + size(0)).next_multiple_of(align);
                let end = text_at + size(4);
                let Some(text) = rest.get(text_at..end) else { break };
                if layout.number(rest, 8, 4) == 0x407c_0c0a && rest.get(12..16) == Some(b"FDO\0") {
                    found.push(text.iter().copied().take_while(|byte| *byte != 0).collect());
                }
                rest = rest.get(end.next_multiple_of(align)..).unwrap_or_default();
            }
        }
        found
    }
}

/// The dynamic string table: read string by string, as it can have megabytes of symbol names.
struct Strings<'a> {
    file: &'a Reader<'a>,
    range: Option<(u64, u64)>,
    /// The first bytes, read when a string is first asked for; small tables fit.
    start: OnceCell<Vec<u8>>,
}

impl<'a> Strings<'a> {
    fn locate(file: &'a Reader<'a>, segments: &[Segment], address: Option<u64>, size: Option<u64>) -> Self {
        let range = address.zip(size).and_then(|(address, size)| {
            let load = segments.iter().find(|segment| segment.holds(address))?;
            let offset = load.offset.checked_add(address - load.address)?;
            Some((offset, size.min(file.length.checked_sub(offset)?)))
        });
        Self { file, range, start: OnceCell::new() }
    }

    fn get(&self, at: u64) -> Result<OsString, Problem> {
        let outside = || Part::Strings.corrupt("a name of the dynamic section lies outside it");
        let (offset, size) = self.range.ok_or_else(outside)?;
        let left = size.checked_sub(at).filter(|left| *left > 0).ok_or_else(outside)?;
        let ended = |bytes: &[u8]| {
            bytes.iter().position(|byte| *byte == 0).and_then(|end| bytes.get(..end).map(<[u8]>::to_vec))
        };

        let read = |at: u64, size: u64| self.file.bytes(offset + at, size, Part::Strings);
        if self.start.get().is_none() {
            let _ = self.start.set(read(0, size.min(FIRST_READ as u64))?);
        }
        let start = self.start.get().map(Vec::as_slice).unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::super::testing::{AUXILIARY, Builder, NEEDED, RPATH, RUNPATH, SONAME, XorShift};
    use super::*;

    fn full(wide: bool, little: bool) -> Builder {
        let builder = Builder { wide, little, flags_1: 0x800, ..Builder::default() };
        let builder = builder.interpreter("/lib64/ld.so").name(NEEDED, "libz.so.1").name(NEEDED, "libc.so.6");
        let builder = builder.name(SONAME, "me.so").name(RPATH, "$ORIGIN").name(AUXILIARY, "aux.so");
        builder.note("[]").note(r#"[{"soname":["a"]}]"#).symbol("pthread_exit", 0x12, 0)
    }

    fn read(bytes: &[u8]) -> Result<Elf, Problem> {
        Elf::read(&bytes)
    }

    #[test]
    fn both_widths_and_byte_orders() {
        for (wide, little) in [(true, true), (true, false), (false, true), (false, false)] {
            let elf = read(&full(wide, little).build()).unwrap();
            assert_eq!(elf.machine.number, 62);
            assert_eq!((elf.machine.class == Class::Bits64, elf.machine.little), (wide, little));
            assert_eq!(elf.interpreter, Some(PathBuf::from("/lib64/ld.so")));
            assert_eq!(elf.needed, ["libz.so.1", "libc.so.6"].map(OsString::from));
            assert_eq!(elf.filters, [(OsString::from("aux.so"), true)]);
            assert_eq!(
                (elf.soname, elf.rpath, elf.runpath),
                (Some("me.so".into()), Some("$ORIGIN".into()), None)
            );
            assert!(elf.no_default_libs);
            assert_eq!(elf.dlopen, [b"[]".to_vec(), br#"[{"soname":["a"]}]"#.to_vec()]);
            let symbols = elf.symbols.unwrap();
            assert_eq!(symbols.table.1, if wide { 48 } else { 32 }, "the strings end the symbols");
        }
    }

    #[test]
    fn runpath_replaces_rpath() {
        let elf = read(&full(true, true).name(RUNPATH, "/run").build()).unwrap();
        assert_eq!((elf.rpath, elf.runpath), (None, Some("/run".into())));
    }

    #[test]
    fn names_behind_the_first_page_and_very_long_ones() {
        let long = "x".repeat(30_000);
        let elf = read(&full(true, true).name(RUNPATH, &long).name(NEEDED, "after.so").build()).unwrap();
        assert_eq!((elf.runpath, elf.needed[2].to_str()), (Some(long.into()), Some("after.so")));
        let longer = "x".repeat(40_000);
        let problem = read(&full(true, true).name(RUNPATH, &longer).build()).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "corrupt dynamic string table: a name of the dynamic section does not end"
        );
    }

    #[test]
    fn every_truncation_is_an_error_that_names_the_part() {
        for wide in [true, false] {
            let whole = full(wide, true).build();
            for length in 4..whole.len() - 8 {
                // The dynamic section is at the end, so all that is shorter lacks something.
                let problem = read(&whole[..length]).unwrap_err();
                assert!(matches!(problem, Problem::Truncated { .. }), "{length}: {problem}");
            }
        }
        let problem = read(&full(true, true).build()[..70]).unwrap_err();
        assert!(
            problem.to_string().starts_with("truncated in the program headers: 288 bytes expected, 70 there"),
            "{problem}"
        );
    }

    /// A source that counts what is read, as a measure of work.
    struct Counting<'a>(&'a [u8], std::cell::Cell<usize>);

    impl Source for Counting<'_> {
        fn length(&self) -> u64 {
            1 << 40 // a sparse file can claim any length
        }
        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            self.1.set(self.1.get() + buffer.len());
            let rest =
                usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
            let size = rest.len().min(buffer.len());
            buffer[..size].copy_from_slice(&rest[..size]);
            Ok(())
        }
    }

    #[test]
    fn damage_neither_panics_nor_costs_much() {
        let mut random = XorShift::new(3);
        let mut most = 0;
        for (wide, little) in [(true, true), (false, true), (true, false)] {
            let whole = full(wide, little).build();
            for _ in 0..20_000 {
                let bytes = random.mutate(&whole);
                let source = Counting(&bytes, std::cell::Cell::new(0));
                if let Ok(elf) = Elf::read(&source)
                    && let Some(symbols) = elf.symbols
                {
                    super::super::threads::ends_threads(&bytes.as_slice(), &symbols);
                }
                most = most.max(source.1.get());
            }
        }
        assert!(most < 4 << 20, "{most} bytes read for a file of 1 KiB");
    }
}
