//! Opens files under a root without side effects: never a device, and never waiting for the other end of a FIFO.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

use super::super::links::{self, Root};
use super::problem::Problem;

/// Opens a regular file for reading; its metadata says which file it was.
pub(super) fn open(root: &Root, path: &Path) -> Result<(File, Metadata), Problem> {
    let outside = root.open_path(path).map_err(|error| match error {
        links::Error::Missing { .. } | links::Error::NotADirectory { .. } => Problem::Absent,
        other => Problem::Unreadable(other.to_string()),
    })?;
    // Opening a device can already do something (rewind a tape, arm a watchdog), so look first. O_NONBLOCK is for what
    // might be put in its place in between.
    if !fs::metadata(&outside)?.is_file() {
        return Err(Problem::NotAFile);
    }
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(outside)?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(Problem::NotAFile) }
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
