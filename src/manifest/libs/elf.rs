//! Reads from an ELF file what the kernel and the dynamic loader read at start, and nothing else.
//!
//! Programs can be hundreds of megabytes and hostile. So the headers, the dynamic section, the few strings it points at and
//! the notes are read with pread(2), each with a cap, and every offset is checked before use. See elf(5).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::machine::{Class, Machine};
use super::problem::{Part, Problem};
use super::reader::{Layout, Reader, Source, Strings};

/// The kernel's own limit, `load_elf_phdrs()` in fs/binfmt_elf.c: 64 KiB of program headers.
const MOST_HEADER_BYTES: u64 = 65536;
/// 4096 entries of a 64-bit dynamic section; large desktop programs have about 200.
const MOST_DYNAMIC_BYTES: u64 = 65536;
/// All names and search paths of one file: 4096 entries that all name the same 32 KiB would come to 128 MiB. Chromium has 3 KiB.
const MOST_TEXT_BYTES: usize = 1 << 20;
/// All notes of one file. Build id, ABI tag and properties take 200 bytes.
const MOST_NOTE_BYTES: u64 = 65536;

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
    /// Where the dynamic symbols and their names are in the file, for [`super::imports`].
    pub symbols: Option<Symbols>,
}

/// File ranges as (offset, length), inside the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Symbols {
    pub table: (u64, u64),
    pub strings: (u64, u64),
    pub layout: Layout,
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

/// The processor that a file is for, by its first bytes alone, if they are those of an ELF file.
pub(super) fn machine(start: &[u8]) -> Option<Machine> {
    let class = match start.strip_prefix(MAGIC)?.first()? {
        1 => Class::Bits32,
        2 => Class::Bits64,
        _ => return None,
    };
    let little = *start.get(5)? == 1;
    let number = [*start.get(18)?, *start.get(19)?];
    let number = if little { u16::from_le_bytes(number) } else { u16::from_be_bytes(number) };
    Some(Machine { number, class, little })
}

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
        // DT_STRTAB is an address; the segment that holds it tells the offset in the file.
        let range = find(5).zip(find(10)).and_then(|(address, size)| {
            let load = segments.iter().find(|segment| segment.holds(address))?;
            let offset = load.offset.checked_add(address - load.address)?;
            Some((offset, size.min(file.length.checked_sub(offset)?)))
        });
        let strings = Strings::new(file, range);
        let mut kept = 0;
        let mut text = |at: &u64| {
            let text = strings.get(*at)?;
            kept += text.len();
            if kept > MOST_TEXT_BYTES {
                return Err(Part::Strings.corrupt("the names of the dynamic section exceed 1 MiB"));
            }
            Ok(text)
        };
        for (tag, value) in &entries {
            match tag {
                1 => self.needed.push(text(value)?),                      // DT_NEEDED
                14 => self.soname = Some(text(value)?),                   // DT_SONAME
                15 => self.rpath = Some(text(value)?),                    // DT_RPATH
                29 => self.runpath = Some(text(value)?),                  // DT_RUNPATH
                0x6fff_fffb => self.no_default_libs = value & 0x800 != 0, // DT_FLAGS_1
                0x7fff_fffd => self.filters.push((text(value)?, true)),   // DT_AUXILIARY
                0x7fff_ffff => self.filters.push((text(value)?, false)),  // DT_FILTER
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

impl Reader<'_> {
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

    /// `PT_INTERP` under the rules of the kernel: `PATH_MAX` at most, and ended by a NUL. A relative one is looked up from the working
    /// directory, which is the root unless a manifest says otherwise.
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
        Ok(Some(PathBuf::from("/").join(OsString::from_vec(path))))
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
                let padded = |size: usize| size.checked_next_multiple_of(align);
                let text_at = size(0).checked_add(12).and_then(padded);
                let Some((start, end)) = text_at.and_then(|start| Some((start, start.checked_add(size(4))?)))
                else {
                    break;
                };
                let Some(text) = rest.get(start..end) else { break };
                if layout.number(rest, 8, 4) == 0x407c_0c0a && rest.get(12..16) == Some(b"FDO\0") {
                    found.push(text.iter().copied().take_while(|byte| *byte != 0).collect());
                }
                rest = padded(end).and_then(|next| rest.get(next..)).unwrap_or_default();
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{AUXILIARY, Builder, NEEDED, RPATH, RUNPATH, SONAME, XorShift};
    use super::*;
    use std::io;

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
    fn a_relative_interpreter_is_below_the_root() {
        let relative = Builder::default().interpreter("lib64/ld.so").build();
        assert_eq!(read(&relative).unwrap().interpreter, Some(PathBuf::from("/lib64/ld.so")));
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
    fn names_that_add_up_are_refused() {
        let long = "x".repeat(30_000);
        let many = |count| (0..count).fold(full(true, true), |builder, _| builder.name(NEEDED, &long));
        assert_eq!(read(&many(30).build()).unwrap().needed.len(), 32);
        let problem = read(&many(40).build()).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "corrupt dynamic string table: the names of the dynamic section exceed 1 MiB"
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
                    super::super::imports::ends_threads(&bytes.as_slice(), &symbols);
                }
                most = most.max(source.1.get());
            }
        }
        assert!(most < 4 << 20, "{most} bytes read for a file of 1 KiB");
    }
}
