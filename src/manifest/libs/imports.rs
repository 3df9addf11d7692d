//! What an object's undefined symbols tell of it: whether it loads libraries by name, and whether the program may need
//! `libgcc_s.so.1` although nothing lists it.
//!
//! glibc ends a thread early by unwinding its stack, and loads the unwinder with dlopen(3) at that moment; without it the
//! process dies: "libgcc_s.so.1 must be installed for pthread_exit to work". The functions that get there are
//! `pthread_exit`, `pthread_cancel` and `thrd_exit` (glibc, `nptl/unwind.c`, `misc/unwind-link.c`). A thread that returns
//! from its start function does not, so `pthread_create` alone is no reason.
//!
//! The rule: some object of a glibc closure has one of the three as an undefined symbol that is not weak. Weak
//! ones are libgcc's own probes for threads ("gthr"). `backtrace(3)` loads it too, but lives without.

use super::elf::Symbols;
use super::reader::Source;

const NAMES: [&[u8]; 3] = [b"pthread_exit\0", b"pthread_cancel\0", b"thrd_exit\0"];
/// libLLVM, the largest in wide use, has 8 MiB of symbol names.
const MOST_BYTES: u64 = 16 << 20;

/// Whether an object ends threads by unwinding them.
pub(super) fn ends_threads(source: &dyn Source, symbols: &Symbols) -> bool {
    imports(source, symbols, &NAMES)
}

/// Whether an object loads libraries by name, see dlopen(3).
pub(super) fn loads_by_name(source: &dyn Source, symbols: &Symbols) -> bool {
    imports(source, symbols, &[b"dlopen\0", b"dlmopen\0"])
}

/// Whether one of the dynamic symbols is an undefined, not weak, reference to one of these names.
/// A file that cannot be read to the end has none: this only ever adds a library.
fn imports(source: &dyn Source, symbols: &Symbols, names: &[&[u8]]) -> bool {
    let read = |(offset, size): (u64, u64)| {
        let mut bytes = vec![0; usize::try_from(size).ok().filter(|_| size <= MOST_BYTES)?];
        source.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    };
    let Some(strings) = read(symbols.strings) else { return false };
    if !mentions(&strings, names) {
        return false;
    }
    let Some(table) = read(symbols.table) else { return false };
    let layout = symbols.layout;
    let (size, info, section) = if layout.wide { (24, 4, 6) } else { (16, 12, 14) };
    table.chunks_exact(size).any(|entry| {
        let undefined = layout.number(entry, section, 2) == 0 && layout.number(entry, info, 1) >> 4 == 1; // STB_GLOBAL
        undefined && {
            let name = strings.get(layout.number(entry, 0, 4) as usize..).unwrap_or_default();
            names.iter().any(|wanted| name.starts_with(wanted))
        }
    })
}

/// Whether one of the names ends a string of the table; linkers share the tails of strings.
/// Few files have one, and so the larger table need not be read.
fn mentions(strings: &[u8], names: &[&[u8]]) -> bool {
    let ends = |text: &[u8]| names.iter().any(|name| text.ends_with(name));
    strings.split_inclusive(|byte| *byte == 0).any(ends)
}

#[cfg(test)]
mod tests {
    use super::super::elf::Elf;
    use super::super::testing::Builder;
    use super::*;

    const GLOBAL: u8 = 0x12;
    const WEAK: u8 = 0x22;

    fn found(builder: &Builder) -> bool {
        let bytes = builder.build();
        let elf = Elf::read(&bytes.as_slice()).unwrap();
        ends_threads(&bytes.as_slice(), &elf.symbols.unwrap())
    }

    #[test]
    fn only_strong_references_count() {
        for wide in [true, false] {
            let with = |name, info, section| {
                found(
                    &Builder { wide, ..Builder::default() }
                        .symbol("other", GLOBAL, 0)
                        .symbol(name, info, section),
                )
            };
            assert!(with("pthread_exit", GLOBAL, 0));
            assert!(with("pthread_cancel", GLOBAL, 0));
            assert!(with("thrd_exit", GLOBAL, 0));
            assert!(!with("pthread_exit", GLOBAL, 7), "defined here");
            assert!(!with("pthread_cancel", WEAK, 0), "only probed for");
            assert!(!with("pthread_create", GLOBAL, 0));
            assert!(!with("my_pthread_exit", GLOBAL, 0));
        }
    }
}
