//! Opens files under a root without side effects: never a device, and never waiting for the other end of a FIFO.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::Path;

use super::super::links::Root;
use super::super::root::Opened;
use super::problem::Problem;

/// Opens a regular file for reading; its metadata says which file it was.
pub(super) fn open(root: &Root, path: &Path) -> Result<(File, Metadata), Problem> {
    match root.open(path)? {
        Opened::File(file, metadata) => Ok((file, metadata)),
        Opened::Other(_) => Err(Problem::NotAFile),
    }
}

/// The whole of a small file, or an error if it is larger than `most` bytes.
pub(super) fn read(root: &Root, path: &Path, most: u64) -> Result<Vec<u8>, Problem> {
    let (file, metadata) = open(root, path)?;
    let too_large = || Problem::Unreadable(format!("larger than {most} bytes"));
    if metadata.len() > most {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_large()) } else { Ok(bytes) }
}
