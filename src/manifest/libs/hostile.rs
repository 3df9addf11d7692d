//! The parsers of this directory, handed the bytes of a file directly: `tests/fuzz/` sees what is public only, and a file written
//! and opened for each try would cost ten times the parsing. What must hold of an answer, whatever the bytes, is asserted here.

#![allow(
    clippy::missing_panics_doc,
    reason = "to panic at an answer that cannot be right is what these are for"
)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::cache::{Cache, accepted_flags};
use super::elf::{Elf, MAGIC};
use super::machine::Machine;
use super::{conf, dlopen, imports, loader, script};

/// A program or shared library. Whether it can be read as one.
pub fn elf(bytes: &[u8]) -> bool {
    loader::system_directories(bytes);
    if !bytes.starts_with(MAGIC) {
        return false;
    }
    let elf = match Elf::read(&bytes) {
        Ok(elf) => elf,
        Err(problem) => {
            assert!(!problem.to_string().is_empty());
            return false;
        }
    };
    let names = elf.needed.iter().chain(elf.filters.iter().map(|(name, _)| name));
    let paths = [&elf.soname, &elf.rpath, &elf.runpath].into_iter().flatten();
    for text in names.chain(paths) {
        assert!(!text.as_bytes().contains(&0) && text.len() < bytes.len());
    }
    assert!(elf.interpreter.is_none_or(|path| !path.as_os_str().as_bytes().contains(&0)));
    if let Some(symbols) = &elf.symbols {
        for (offset, size) in [symbols.table, symbols.strings] {
            assert!(offset.checked_add(size).is_some_and(|end| end <= bytes.len() as u64));
        }
        imports::ends_threads(&bytes, symbols);
    }
    elf.dlopen.iter().for_each(|text| drop(dlopen::parse(text)));
    true
}

/// `/etc/ld.so.cache`, asked for a name.
pub fn cache(bytes: &[u8], name: &[u8]) {
    let Some(cache) = Cache::parse(bytes.to_vec()) else { return };
    let flags = Machine::ours().map(accepted_flags).unwrap_or_default();
    for entry in cache.lookup(OsStr::from_bytes(name)) {
        assert!(entry.path.as_os_str().len() < 4096);
        let _ = flags.contains(&entry.flags);
    }
}

/// The text of a dlopen note.
pub fn note(text: &[u8]) {
    match dlopen::parse(text) {
        Ok(requests) => {
            assert!(requests.iter().map(|request| request.soname.len()).sum::<usize>() < text.len());
        }
        Err(problem) => assert!(!problem.is_empty()),
    }
}

/// The first bytes of a script.
pub fn script(start: &[u8]) {
    if !start.starts_with(b"#!") {
        return;
    }
    let line = match script::first_line(start) {
        Ok(line) => line,
        Err(problem) => return assert!(!problem.to_string().is_empty()),
    };
    let interpreter = line.interpreter.as_os_str().as_bytes();
    assert!(line.interpreter.is_absolute());
    assert!(!interpreter.iter().any(|byte| matches!(byte, 0 | b'\n' | b' ' | b'\t')));
    assert!(interpreter.len() + line.argument.as_ref().map_or(0, Vec::len) <= script::FIRST_BYTES);
    if let Some(program) = script::program_of_env(&line) {
        assert!(!script::candidates(&program).is_empty());
    }
}

/// A pattern of an `include` line of ld.so.conf(5). Whether it matches.
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    conf::matches(pattern, name)
}
