//! Undoes gzip: members one after the other, each with its checksum.

use std::io::{self, BufRead as _, Read as _};

use flate2::bufread::GzDecoder;

use super::error::Fault;
use super::spool::Input;

/// The bytes a member begins with, see RFC 1952.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// How much is undone at once.
const CHUNK: usize = 64 << 10;

/// Hands `output` what the members hold. Zeros after one are the padding of a tape.
pub(super) fn undo(
    input: &mut Input,
    output: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let mut member = GzDecoder::new(&mut *input);
        loop {
            match member.read(&mut buffer).map_err(fault)? {
                0 => break,
                read => output(&buffer[..read])?,
            }
        }
        while input.fill_buf()?.first() == Some(&0) {
            input.consume(1);
        }
        if input.fill_buf()?.is_empty() {
            return Ok(());
        }
    }
}

fn fault(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Fault::Damaged("it cannot be undone"),
        _ => error.into(),
    }
}
