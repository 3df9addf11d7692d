//! Tells the entries of a tar archive, one after the other, see tar(5): of POSIX (ustar, pax) and of GNU, with long names, extended
//! attributes and sparse files of either.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::error::{Error, Fault};
use super::{Attributes, Member, Piece};

/// Everything in an archive is a multiple of it.
const BLOCK: u64 = 512;
/// Longest extended header that is read: names have 4 KiB, attributes 64.
const MOST_EXTENDED: u64 = 1 << 20;
/// Most pieces of all sparse files together.
const MOST_PIECES: usize = 1 << 20;
/// Most bytes of all sparse files together, as their holes are hashed too.
const MOST_SPARSE: u64 = 64 << 30;

const SIZE: Fault = Fault::Header("its size is no number");
const MAP: Fault = Fault::Header("its map of holes makes no sense");
const CUT: Fault = Fault::Header("its map of holes is cut short");
const SAID: Fault = Fault::Header("what it says of the next entry makes no sense");

/// One entry.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) kind: Kind,
    /// Of a file all of it, of the rest the attributes.
    pub(super) member: Member,
    /// Of a link its text, of a second name the first.
    pub(super) target: Vec<u8>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
    Link,
    SecondName,
    /// A device, FIFO or socket.
    Special,
}

/// What an extended header says of the next entry.
#[derive(Debug, Default)]
struct Extended {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<(i64, i64)>,
    xattrs: Vec<(CString, Vec<u8>)>,
    /// Of a sparse file: its name, its size, where its pieces are, and whether that is told where its content begins.
    sparse_name: Option<Vec<u8>>,
    sparse_size: Option<u64>,
    map: Vec<u64>,
    map_is_inside: bool,
}

/// An archive being read.
pub(super) struct Reader<'f> {
    file: &'f File,
    length: u64,
    at: u64,
    /// Of the entry that is read, for who has to be told.
    name: Option<Vec<u8>>,
    pieces: usize,
    sparse: u64,
}

impl<'f> Reader<'f> {
    pub(super) fn new(file: &'f File, length: u64) -> Self {
        Self { file, length, at: 0, name: None, pieces: 0, sparse: 0 }
    }

    /// The next entry; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Error> {
        self.name = None;
        self.read().map_err(|fault| Error { of: self.name.take(), problem: fault.into() })
    }

    fn read(&mut self) -> Result<Option<Entry>, Fault> {
        let mut extended = Extended::default();
        loop {
            let first = self.at == 0;
            let Some(header) = self.header(first)? else { return Ok(None) };
            let size = number(&header[124..136]).ok_or(SIZE)?;
            match header[156] {
                b'x' => pax(&self.text(size)?, &mut extended)?,
                b'L' => extended.name = Some(until_nul(&self.text(size)?).to_owned()),
                b'K' => extended.target = Some(until_nul(&self.text(size)?).to_owned()),
                // The name of the whole, and what is said of all entries: git(1) writes a commit there, nobody names or owners.
                b'V' | b'g' => self.skip(size)?,
                _ => return self.entry(&header, size, extended).map(Some),
            }
        }
    }

    fn header(&mut self, first: bool) -> Result<Option<[u8; BLOCK as usize]>, Fault> {
        let none = if first { Fault::NoArchive } else { Fault::Short };
        let header = self.block()?.ok_or(none)?;
        if header.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let mut sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        sum = sum - header[148..156].iter().map(|byte| u64::from(*byte)).sum::<u64>() + 8 * u64::from(b' ');
        match number(&header[148..156]) {
            Some(said) if said == sum => Ok(Some(header)),
            _ if first => Err(Fault::NoArchive),
            _ => Err(Fault::Header("its checksum differs")),
        }
    }

    fn entry(&mut self, header: &[u8], size: u64, extended: Extended) -> Result<Entry, Fault> {
        let name = extended.sparse_name.clone().or_else(|| extended.name.clone());
        let name = name.unwrap_or_else(|| name_of(header));
        self.name = Some(name.clone());
        let attributes = Attributes {
            mode: number(&header[100..108]).ok_or(Fault::Header("its mode is no number"))? as u32 & 0o7777,
            uid: id(extended.uid, &header[108..116]).ok_or(Fault::Header("its owner is no id"))?,
            gid: id(extended.gid, &header[116..124]).ok_or(Fault::Header("its group is no id"))?,
        };
        let seconds = number(&header[136..148]).and_then(|seconds| i64::try_from(seconds).ok());
        let mtime = extended.mtime.or_else(|| seconds.map(|seconds| (seconds, 0)));
        let mtime = mtime.ok_or(Fault::Header("its time is no number"))?;
        let target = extended.target.clone().unwrap_or_else(|| until_nul(&header[157..257]).to_owned());
        let kind = match header[156] {
            // Before there were directories a slash at the end meant one.
            b'0' | 0 if name.ends_with(b"/") => Kind::Directory,
            b'0' | b'7' | b'S' | 0 => Kind::File,
            b'1' => Kind::SecondName,
            b'2' => Kind::Link,
            b'3' | b'4' | b'6' => Kind::Special,
            b'5' => Kind::Directory,
            b'M' => return Err(Fault::Header("it goes on from another archive")),
            _ => return Err(Fault::Header("it is of an unknown type")),
        };
        let size = extended.size.unwrap_or(size);
        let mut member = Member { attributes, mtime, ..Member::default() };
        if kind == Kind::File {
            self.content(header, size, &extended, &mut member)?;
        } else if kind == Kind::SecondName || kind == Kind::Directory {
            // pax(1) may repeat the content of a second name; nobody needs it.
            self.skip(size)?;
        }
        member.xattrs = extended.xattrs;
        Ok(Entry { name, kind, member, target })
    }

    /// Where the content of a file lies, which is passed over.
    fn content(
        &mut self,
        header: &[u8],
        size: u64,
        extended: &Extended,
        member: &mut Member,
    ) -> Result<(), Fault> {
        let old = header[156] == b'S';
        let is_sparse = old || extended.map_is_inside || extended.sparse_size.is_some();
        let mut map = extended.map.clone();
        let mut whole = extended.sparse_size;
        if old {
            whole = Some(number(&header[483..495]).ok_or(SIZE)?);
            map = self.old_map(header)?;
        }
        let end = self.end(size)?;
        if extended.map_is_inside {
            map = self.map_inside(end)?;
        }
        if !is_sparse {
            member.size = size;
            if size > 0 {
                member.pieces.push(Piece { at: 0, length: size, from: self.at });
            }
            return self.seek(end);
        }
        member.size = whole.ok_or(Fault::Header("it does not say how large it is"))?;
        self.sparse = self.sparse.saturating_add(member.size);
        self.pieces += map.len() / 2;
        if self.sparse > MOST_SPARSE || self.pieces > MOST_PIECES {
            return Err(Fault::TooMany("bytes or pieces of sparse files"));
        }
        let (mut reached, mut from) = (0, self.at);
        for pair in map.chunks(2) {
            let [at, length] = *pair else { return Err(CUT) };
            let stop = at.checked_add(length).filter(|stop| at >= reached && *stop <= member.size);
            reached = stop.ok_or(MAP)?;
            if length > 0 {
                member.pieces.push(Piece { at, length, from });
            }
            from = from.checked_add(length).filter(|from| *from <= end).ok_or(Fault::Short)?;
        }
        self.seek(end)
    }

    /// The map of a sparse file as GNU tar wrote it first: four pieces in the header, more in blocks after it.
    fn old_map(&mut self, header: &[u8]) -> Result<Vec<u64>, Fault> {
        let mut map = Vec::new();
        let mut more = old_pieces(&header[386..482], &mut map)? && header[482] != 0;
        while more {
            let block = self.block()?.ok_or(Fault::Short)?;
            more = old_pieces(&block[..504], &mut map)? && block[504] != 0;
            self.bounded(&map)?;
        }
        Ok(map)
    }

    /// The map of a sparse file as newer versions write it: lines of numbers before the content, filled up to a block.
    fn map_inside(&mut self, end: u64) -> Result<Vec<u64>, Fault> {
        let (mut map, mut wanted, mut digits) = (Vec::new(), None, 0_u64);
        while self.at < end {
            let block = self.block()?.ok_or(Fault::Short)?;
            for byte in block {
                match (byte, wanted) {
                    (b'0'..=b'9', _) => {
                        let more =
                            digits.checked_mul(10).and_then(|ten| ten.checked_add(u64::from(byte - b'0')));
                        digits = more.ok_or(MAP)?;
                        continue;
                    }
                    (b'\n', None) => wanted = Some(digits.saturating_mul(2)),
                    (b'\n', Some(_)) => map.push(digits),
                    _ => return Err(MAP),
                }
                digits = 0;
                if wanted == Some(map.len() as u64) {
                    return Ok(map);
                }
            }
            self.bounded(&map)?;
        }
        Err(CUT)
    }

    fn bounded(&self, map: &[u64]) -> Result<(), Fault> {
        let many = self.pieces + map.len() / 2 > MOST_PIECES;
        if many { Err(Fault::TooMany("pieces of sparse files")) } else { Ok(()) }
    }

    /// The text of an extended header.
    fn text(&mut self, size: u64) -> Result<Vec<u8>, Fault> {
        let end = self.end(size)?;
        if size > MOST_EXTENDED {
            return Err(Fault::Header("what it says of the next entry is too long"));
        }
        let mut text = vec![0; size as usize];
        self.file.read_exact_at(&mut text, self.at)?;
        self.seek(end)?;
        Ok(text)
    }

    fn skip(&mut self, size: u64) -> Result<(), Fault> {
        let end = self.end(size)?;
        self.seek(end)
    }

    /// Where content of this size ends, its last block not filled up.
    fn end(&self, size: u64) -> Result<u64, Fault> {
        let end = self.at.checked_add(size).filter(|end| *end <= self.length);
        end.ok_or(Fault::Short)
    }

    /// Goes on at the block after `end`.
    fn seek(&mut self, end: u64) -> Result<(), Fault> {
        self.at = end.checked_next_multiple_of(BLOCK).ok_or(Fault::Short)?;
        Ok(())
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK as usize]>, Fault> {
        let mut block = [0; BLOCK as usize];
        match self.file.read_exact_at(&mut block, self.at) {
            Ok(()) => {
                self.at += BLOCK;
                Ok(Some(block))
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// An owner or group: what is said of it, or the header's.
fn id(said: Option<u64>, field: &[u8]) -> Option<u32> {
    // 2^32-1 is no id: to chown(2) it means to leave the owner as it is.
    let id = said.or_else(|| number(field)).and_then(|id| u32::try_from(id).ok());
    id.filter(|id| *id != u32::MAX)
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The name in a header; POSIX has room for its beginning where GNU has times.
fn name_of(header: &[u8]) -> Vec<u8> {
    let (name, prefix) = (until_nul(&header[..100]), until_nul(&header[345..500]));
    if header[257..263] == *b"ustar\0" && !prefix.is_empty() {
        [prefix, b"/", name].concat()
    } else {
        name.to_owned()
    }
}

/// A number in a header: octal digits, or big-endian after a byte with its highest bit set. None for a negative one.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let start = u64::from(first & 0x7f);
        return rest.iter().try_fold(start, |number, byte| Some(number.checked_mul(256)? | u64::from(*byte)));
    }
    let text = until_nul(field).trim_ascii();
    text.iter().try_fold(0_u64, |number, byte| match byte {
        b'0'..=b'7' => Some(number.checked_mul(8)? | u64::from(byte - b'0')),
        _ => None,
    })
}

/// Reads pairs of numbers; false at the first that is not used.
fn old_pieces(fields: &[u8], map: &mut Vec<u64>) -> Result<bool, Fault> {
    for pair in fields.chunks_exact(24) {
        if pair[0] == 0 {
            return Ok(false);
        }
        for field in pair.chunks_exact(12) {
            map.push(number(field).ok_or(MAP)?);
        }
    }
    Ok(true)
}

/// Reads the records of an extended header: `LENGTH KEY=VALUE`, each ended by a line feed.
fn pax(mut text: &[u8], into: &mut Extended) -> Result<(), Fault> {
    while !text.is_empty() {
        let blank = text.iter().position(|byte| *byte == b' ').ok_or(SAID)?;
        let length = decimal(&text[..blank]).and_then(|length| usize::try_from(length).ok()).ok_or(SAID)?;
        if length <= blank + 1 || length > text.len() || text[length - 1] != b'\n' {
            return Err(SAID);
        }
        let record = &text[blank + 1..length - 1];
        text = &text[length..];
        let equal = record.iter().position(|byte| *byte == b'=').ok_or(SAID)?;
        record_of(&record[..equal], &record[equal + 1..], into).ok_or(SAID)?;
    }
    Ok(())
}

/// Takes what one record says; none if it cannot say that.
fn record_of(key: &[u8], value: &[u8], into: &mut Extended) -> Option<()> {
    match key {
        b"path" => into.name = Some(value.to_owned()),
        b"linkpath" => into.target = Some(value.to_owned()),
        b"size" => into.size = Some(decimal(value)?),
        b"uid" => into.uid = Some(decimal(value)?),
        b"gid" => into.gid = Some(decimal(value)?),
        b"mtime" => into.mtime = Some(time(value)?),
        b"GNU.sparse.name" => into.sparse_name = Some(value.to_owned()),
        b"GNU.sparse.size" | b"GNU.sparse.realsize" => into.sparse_size = Some(decimal(value)?),
        b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => into.map.push(decimal(value)?),
        b"GNU.sparse.map" => {
            into.map = value.split(|byte| *byte == b',').map(decimal).collect::<Option<_>>()?;
        }
        b"GNU.sparse.major" => into.map_is_inside = decimal(value)? == 1,
        _ => {
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                into.xattrs.push((CString::new(name).ok()?, value.to_owned()));
            }
        }
    }
    Some(())
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| match byte {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// Seconds, perhaps negative and with a fraction: `1700000000.25`.
fn time(text: &[u8]) -> Option<(i64, i64)> {
    let (sign, text) = text.strip_prefix(b"-").map_or((1, text), |text| (-1, text));
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(decimal(parts.next()?)?).ok()?;
    let mut fraction = parts.next().unwrap_or_default().to_vec();
    fraction.resize(9, b'0');
    let nanoseconds = decimal(&fraction)? as i64;
    // The fraction counts forward, see timespec(3).
    Some(match (sign, nanoseconds) {
        (-1, 1..) => (-seconds - 1, 1_000_000_000 - nanoseconds),
        (-1, _) => (-seconds, 0),
        _ => (seconds, nanoseconds),
    })
}
