//! One layer, from wherever it comes into a file without a name, its compression undone, its digest taken on the way.

use std::fs::File;
use std::io::{self, BufRead, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::statvfs::fstatvfs;
use sha2::{Digest as _, Sha256};

use super::error::{Error, Fault, Problem};
use super::gzip;

/// How much is read at once.
const CHUNK: usize = 128 << 10;

/// What other programs begin their output with, see magic(5), and the programs.
const OTHERS: [(&[u8], &str); 4] =
    [(b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bzip2"), (b"\x04\x22\x4d\x18", "lz4")];

/// A layer as it is read from.
#[derive(Debug)]
pub(super) struct Spooled {
    /// A tar archive, plain, which nobody else can reach.
    pub(super) file: File,
    /// Its bytes.
    pub(super) length: u64,
    /// SHA-256 of what it was read from.
    pub(super) digest: [u8; 32],
    /// How many bytes that had.
    pub(super) read: u64,
}

/// What is read, with its digest.
pub(super) struct Input {
    file: File,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    hash: Sha256,
    read: u64,
}

impl Input {
    fn new(file: File) -> Self {
        Self { file, buffer: vec![0; CHUNK], start: 0, end: 0, hash: Sha256::new(), read: 0 }
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.start == self.end {
            match self.file.read(&mut self.buffer) {
                Ok(read) => {
                    (self.start, self.end) = (0, read);
                    self.hash.update(&self.buffer[..read]);
                    self.read += read as u64;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// Reads a layer.
pub(super) fn layer(file: File) -> Result<Spooled, Error> {
    let mut input = Input::new(file);
    let mut target = nameless()?;
    let room = room(&target)?;
    let mut length = 0;
    let begin = input.fill_buf()?;
    if let Some((_, program)) = OTHERS.iter().find(|(magic, _)| begin.starts_with(magic)) {
        return Err(Error::of_all(Problem::Compressed(program)));
    }
    let is_compressed = begin.starts_with(&gzip::MAGIC);
    let mut write = |data: &[u8]| {
        length += data.len() as u64;
        if length > room {
            return Err(Fault::TooLarge(room));
        }
        Ok(target.write_all(data)?)
    };
    if is_compressed {
        gzip::undo(&mut input, &mut write)?;
    } else {
        loop {
            let data = input.fill_buf()?;
            if data.is_empty() {
                break;
            }
            write(data)?;
            let taken = data.len();
            input.consume(taken);
        }
    }
    Ok(Spooled { file: target, length, digest: input.hash.finalize().into(), read: input.read })
}

/// The same of bytes that are at hand.
pub(super) fn bytes(bytes: &[u8]) -> Result<Spooled, Error> {
    use std::io::Seek as _;
    let mut file = memory()?;
    file.write_all(bytes)?;
    file.rewind()?;
    layer(file)
}

/// A file without a name, in memory only where a directory cannot have one.
fn nameless() -> io::Result<File> {
    let place = std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    let mut options = File::options();
    // With O_EXCL it can never be given a name, see open(2).
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE | libc::O_EXCL);
    options.open(place).or_else(|_| memory())
}

fn memory() -> io::Result<File> {
    Ok(memfd_create(c"stockade-layer", MFdFlags::MFD_CLOEXEC)?.into())
}

/// How much may be written there: most of what is free, as the host needs some itself.
fn room(file: &File) -> Result<u64, Error> {
    let found = fstatvfs(file).map_err(io::Error::from)?;
    let free = found.blocks_available().saturating_mul(found.fragment_size());
    // A memory file tells of no blocks.
    Ok(if found.blocks() == 0 { 1 << 30 } else { free - free / 10 })
}
