//! Undoes gzip, see RFC 1952: members one after the other, each with its checksum.

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

use super::error::Fault;
use super::spool::Input;

/// The bytes a member begins with.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// `FHCRC`, `FEXTRA`, `FNAME`, `FCOMMENT`: parts of a header that may be there.
const HEADER_CHECK: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;

/// How much is undone at once.
const CHUNK: usize = 64 << 10;

/// Hands `output` what the members hold. Zeros after the last are the padding of a tape.
pub(super) fn undo(
    input: &mut Input,
    output: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut state = InflateState::new_boxed(DataFormat::Raw);
    let mut buffer = vec![0; CHUNK];
    loop {
        header(input)?;
        state.reset(DataFormat::Raw);
        member(input, &mut state, &mut buffer, output)?;
        while input.peek()? == Some(0) {
            input.take()?;
        }
        if input.peek()?.is_none() {
            return Ok(());
        }
    }
}

fn header(input: &mut Input) -> Result<(), Fault> {
    let mut fixed = [0; 10];
    for byte in &mut fixed {
        *byte = input.take()?;
    }
    if fixed[..2] != MAGIC || fixed[2] != 8 {
        return Err(Fault::Damaged("what follows is not by gzip"));
    }
    let flags = fixed[3];
    if flags & EXTRA != 0 {
        let length = u16::from_le_bytes([input.take()?, input.take()?]);
        for _ in 0..length {
            input.take()?;
        }
    }
    for _ in 0..(flags & NAME != 0) as u8 + (flags & COMMENT != 0) as u8 {
        while input.take()? != 0 {}
    }
    if flags & HEADER_CHECK != 0 {
        input.take()?;
        input.take()?;
    }
    Ok(())
}

fn member(
    input: &mut Input,
    state: &mut InflateState,
    buffer: &mut [u8],
    output: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let (mut check, mut length) = (!0_u32, 0_u32);
    loop {
        let given = input.available()?;
        if given.is_empty() {
            return Err(Fault::Short);
        }
        let result = inflate(state, given, buffer, MZFlush::None);
        let (consumed, written) = (result.bytes_consumed, result.bytes_written);
        input.advance(consumed);
        let data = &buffer[..written];
        check = crc(check, data);
        length = length.wrapping_add(written as u32);
        output(data)?;
        match result.status {
            Ok(MZStatus::StreamEnd) => break,
            Ok(_) | Err(MZError::Buf) if consumed > 0 || written > 0 => {}
            _ => return Err(Fault::Damaged("it cannot be undone")),
        }
    }
    let mut word = || -> Result<u32, Fault> {
        Ok(u32::from_le_bytes([input.take()?, input.take()?, input.take()?, input.take()?]))
    };
    if (word()?, word()?) == (!check, length) { Ok(()) } else { Err(Fault::Damaged("its checksum differs")) }
}

/// The table of CRC-32, see RFC 1952, 8.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
};

fn crc(check: u32, data: &[u8]) -> u32 {
    data.iter().fold(check, |check, byte| TABLE[usize::from(check as u8 ^ byte)] ^ check >> 8)
}
