//! What is behind the pointers of a traced process. All of it may change before the kernel reads it: it is observed, never acted on.

use nix::errno::Errno;

use crate::sys::ptrace::read_memory;

/// Longest path the kernel takes, its NUL included.
const PATH_MAX: usize = 4096;
/// A page is there whole or not at all, whatever its size is.
const PAGE: usize = 4096;
/// As much as is read of a program's arguments.
const ARGUMENTS: usize = 1 << 17;

/// The memory of a thread's process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub thread: i32,
    /// Whether its pointers are of 4 bytes.
    pub narrow: bool,
}

impl Memory {
    /// So many bytes.
    pub(super) fn bytes(self, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
        let mut buffer = vec![0; length];
        match read_memory(self.thread, address, &mut buffer)? {
            read if read == length => Ok(buffer),
            _ => Err(Errno::EFAULT),
        }
    }

    /// A string without its NUL, of at most so many bytes.
    fn text(self, address: u64, most: usize) -> Result<Vec<u8>, Errno> {
        let mut text = Vec::new();
        while text.len() < most {
            let next = address.wrapping_add(text.len() as u64);
            let mut piece = [0; PAGE];
            let length = (PAGE - next as usize % PAGE).min(most - text.len());
            // Most are short, and a copy costs by its length.
            let length = if text.is_empty() { length.min(256) } else { length };
            let read = read_memory(self.thread, next, &mut piece[..length])?;
            let piece = &piece[..read];
            if let Some(end) = piece.iter().position(|byte| *byte == 0) {
                text.extend_from_slice(&piece[..end]);
                return Ok(text);
            }
            text.extend_from_slice(piece);
        }
        Err(Errno::ENAMETOOLONG)
    }

    /// A path.
    pub(super) fn path(self, address: u64) -> Result<Vec<u8>, Errno> {
        self.text(address, PATH_MAX)
    }

    /// An integer as wide as a pointer, the one at this place of an array.
    pub(super) fn word(self, address: u64, at: u64) -> Result<u64, Errno> {
        if self.narrow {
            let bytes = self.bytes(address.wrapping_add(4 * at), 4)?;
            return Ok(bytes.try_into().map_or(0, |bytes| u64::from(u32::from_ne_bytes(bytes))));
        }
        let bytes = self.bytes(address.wrapping_add(8 * at), 8)?;
        Ok(bytes.try_into().map_or(0, u64::from_ne_bytes))
    }

    /// An integer of 32 bits.
    pub(super) fn number(self, address: u64) -> Result<u32, Errno> {
        Ok(self.bytes(address, 4)?.try_into().map_or(0, u32::from_ne_bytes))
    }

    /// The strings of an array of pointers that ends with a null; as many as one can look at.
    pub(super) fn strings(self, array: u64) -> Result<Vec<Vec<u8>>, Errno> {
        let mut strings = Vec::new();
        let mut left = ARGUMENTS;
        // A null array is an empty one, see execve(2).
        for at in 0..if array == 0 { 0 } else { ARGUMENTS as u64 } {
            let address = self.word(array, at)?;
            if address == 0 || left == 0 {
                break;
            }
            let text = match self.text(address, left) {
                Err(Errno::ENAMETOOLONG) => break,
                text => text?,
            };
            left -= text.len();
            strings.push(text);
        }
        Ok(strings)
    }
}
