//! What is executed with a program: the one that its first line names, and the loader that its ELF header names. Both are read
//! from the memory of the process that the kernel has just made, so no file is opened.

use nix::errno::Errno;

use super::memory::Memory;

/// Types of getauxval(3).
const END: u64 = 0;
const HEADERS: u64 = 3;
const HEADER_SIZE: u64 = 4;
const HEADER_COUNT: u64 = 5;
const NAME: u64 = 31;

/// Types of program headers, see elf(5).
const INTERPRETER: u32 = 3;
const OWN: u32 = 6;
/// More than any program has.
const MOST_HEADERS: u64 = 64;

/// The first argument that a process starts with: for a script, the kernel makes it the interpreter's path, see execve(2). `stack` is where
/// the stack begins, with the number of arguments.
pub(super) fn first_argument(memory: Memory, stack: u64) -> Result<Vec<u8>, Errno> {
    memory.path(memory.word(stack, 1)?)
}

/// The loader of the program that a process executes; none if it is static.
pub(super) fn loader(memory: Memory) -> Option<Vec<u8>> {
    let auxiliary = auxiliary(memory)?;
    let value = |wanted| value(&auxiliary, wanted);
    let (start, size, count) = (value(HEADERS)?, value(HEADER_SIZE)?, value(HEADER_COUNT)?.min(MOST_HEADERS));
    // Elf32_Phdr and Elf64_Phdr: the type first, the address two words later.
    let at = |number: u64| start.wrapping_add(number * size);
    let address = |header: u64| memory.word(header, 2).ok();
    let (mut own, mut interpreter) = (None, None);
    for header in (0..count).map(at) {
        match memory.number(header).ok()? {
            OWN => own = address(header),
            INTERPRETER => interpreter = address(header),
            _ => {}
        }
    }
    // Where it was loaded, less where it says that it is: 0 if it cannot be moved.
    let moved = own.map_or(0, |own| start.wrapping_sub(own));
    memory.path(interpreter?.wrapping_add(moved)).ok()
}

/// The path by which the program was executed, as the caller wrote it.
pub(super) fn name(memory: Memory) -> Option<Vec<u8>> {
    memory.path(value(&auxiliary(memory)?, NAME)?).ok()
}

/// The auxiliary vector, see getauxval(3): types and values in turn.
fn auxiliary(memory: Memory) -> Option<Vec<u64>> {
    let bytes = std::fs::read(format!("/proc/{}/auxv", memory.thread)).ok()?;
    let words = bytes.chunks_exact(if memory.narrow { 4 } else { 8 }).map(|word| match word.try_into() {
        Ok(word) => u64::from_ne_bytes(word),
        Err(_) => word.try_into().map_or(0, |word| u64::from(u32::from_ne_bytes(word))),
    });
    Some(words.collect())
}

/// The value of a type in it.
fn value(auxiliary: &[u64], wanted: u64) -> Option<u64> {
    let pairs = auxiliary.chunks_exact(2).take_while(|pair| pair[0] != END);
    pairs.filter(|pair| pair[0] == wanted).map(|pair| pair[1]).next()
}
