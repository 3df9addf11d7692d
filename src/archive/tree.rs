//! A root put together in memory from the entries of its layers.
//!
//! Above whatever is in the tree are directories of the tree, so that an entry that names something below a link, or below a file, is
//! found out when it is met. What comes later takes the place of what came before, as tar(1) and the OCI image specification have
//! it; a directory keeps what is in it, anything else that takes its place does not.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::error::{Error, Problem};
use super::spool::Spooled;
use super::tar::{Entry, Kind, Reader};
use super::{Attributes, Member, Node};

/// Most entries of all layers, those that take another's place included.
const MOST_ENTRIES: usize = 1 << 20;
/// Most bytes of their names, link texts and attributes, which are kept in memory.
const MOST_REMEMBERED: usize = 256 << 20;
/// Longest path: `PATH_MAX` less the closing NUL and the slash at its beginning.
const MOST_BYTES: usize = 4094;
/// Longest name: `NAME_MAX`.
const MOST_NAME: usize = 255;

/// What a name begins with that takes away what lower layers have under the rest of it.
const WHITEOUT: &[u8] = b".wh.";
/// The name that takes away everything that they have in its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What a name begins with that is of no meaning to others than aufs.
const AUFS: &[u8] = b".wh..wh.";

/// A root.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// What is at which path, relative to the root.
    pub(super) nodes: BTreeMap<PathBuf, Node>,
    /// The files of the nodes, and those whose place another took.
    pub(super) members: Vec<Member>,
    /// Devices, FIFOs and sockets.
    pub(super) passed_over: Vec<PathBuf>,
    entries: usize,
    remembered: usize,
}

/// A directory that no entry speaks of.
const IMPLIED: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };

impl Tree {
    /// Adds the entries of a layer; with `whiteouts`, names that say so take away what lower layers have.
    pub(super) fn layer(&mut self, layer: &Spooled, number: usize, whiteouts: bool) -> Result<(), Error> {
        if whiteouts {
            // First, as they are about lower layers only, wherever in this one they stand.
            let mut reader = Reader::new(&layer.file, layer.length);
            while let Some(entry) = reader.next()? {
                self.count(&entry)?;
                self.take_away(&path(&entry.name)?);
            }
        }
        let mut reader = Reader::new(&layer.file, layer.length);
        while let Some(entry) = reader.next()? {
            self.count(&entry)?;
            let path = path(&entry.name)?;
            let is_whiteout = || path.file_name().is_some_and(|name| name.as_bytes().starts_with(WHITEOUT));
            if !(whiteouts && is_whiteout()) {
                self.add(path, entry, number)?;
            }
        }
        self.nodes.entry(PathBuf::new()).or_insert(Node::Directory(IMPLIED));
        Ok(())
    }

    fn count(&mut self, entry: &Entry) -> Result<(), Error> {
        let attributes = entry.member.xattrs.iter().map(|(name, value)| name.count_bytes() + value.len());
        self.remember(entry.name.len() + entry.target.len() + attributes.sum::<usize>())
    }

    /// Another entry, with so many bytes to be kept.
    fn remember(&mut self, bytes: usize) -> Result<(), Error> {
        self.entries += 1;
        self.remembered += bytes;
        if self.entries > MOST_ENTRIES || self.remembered > MOST_REMEMBERED {
            return Err(Error::of_all(Problem::TooMany("entries")));
        }
        Ok(())
    }

    /// Does what a name says that is a whiteout.
    fn take_away(&mut self, path: &Path) {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return };
        let name = name.as_bytes();
        if name == OPAQUE {
            self.remove_below(directory);
        } else if let Some(name) = name.strip_prefix(WHITEOUT).filter(|_| !name.starts_with(AUFS)) {
            // `.` and `..` are no names of anything in the tree.
            let gone = directory.join(OsStr::from_bytes(name));
            if !matches!(name, b"" | b"." | b"..") {
                self.remove_below(&gone);
                self.nodes.remove(&gone);
            }
        }
    }

    fn remove_below(&mut self, directory: &Path) {
        if !matches!(self.nodes.get(directory), Some(Node::Directory(_))) {
            return;
        }
        let from = (std::ops::Bound::Excluded(directory), std::ops::Bound::Unbounded);
        let below = self.nodes.range::<Path, _>(from).map(|(path, _)| path);
        let below: Vec<PathBuf> = below.take_while(|path| path.starts_with(directory)).cloned().collect();
        for path in below {
            self.nodes.remove(&path);
        }
    }

    fn add(&mut self, path: PathBuf, entry: Entry, layer: usize) -> Result<(), Error> {
        let Entry { name, kind, mut member, target } = entry;
        let attributes = member.attributes;
        self.make_way(&path, &name)?;
        let node = match kind {
            Kind::Special => {
                self.passed_over.push(path);
                return Ok(());
            }
            Kind::Directory => Node::Directory(attributes),
            Kind::Link if target.is_empty() || target.contains(&0) => {
                return Err(Error::of(&name, Problem::Header("its link leads nowhere")));
            }
            Kind::Link => Node::Link(target, attributes),
            Kind::SecondName => {
                let first = self::path(&target).map_err(|error| Error { of: Some(name.clone()), ..error })?;
                match self.nodes.get(&first) {
                    Some(found @ (Node::File(_) | Node::Link(..))) => found.clone(),
                    _ => return Err(Error::of(&name, Problem::NothingToLink(target))),
                }
            }
            Kind::File => {
                member.layer = layer;
                self.members.push(member);
                Node::File(self.members.len() - 1)
            }
        };
        if !matches!(node, Node::Directory(_)) {
            if path == Path::new("") {
                return Err(Error::of(&name, Problem::Name("is the root's, which is a directory")));
            }
            self.remove_below(&path);
        }
        self.nodes.insert(path, node);
        Ok(())
    }

    /// Makes the directories above a path that no entry has spoken of yet.
    fn make_way(&mut self, path: &Path, name: &[u8]) -> Result<(), Error> {
        let mut missing = Vec::new();
        for above in path.ancestors().skip(1) {
            match self.nodes.get(above) {
                Some(Node::Directory(_)) => break,
                Some(Node::Link(..)) => return Err(Error::of(name, Problem::ThroughLink)),
                Some(Node::File(_)) => return Err(Error::of(name, Problem::NoDirectory)),
                None => missing.push(above.to_owned()),
            }
            // What nobody speaks of takes memory as well: one long name is thousands of directories.
            self.remember(above.as_os_str().len())?;
        }
        self.nodes.extend(missing.into_iter().map(|path| (path, Node::Directory(IMPLIED))));
        Ok(())
    }
}

/// The path of an entry, relative to the root. A name that leads elsewhere than it says is an error.
fn path(name: &[u8]) -> Result<PathBuf, Error> {
    let wrong = |what| Err(Error::of(name, Problem::Name(what)));
    if name.is_empty() {
        return wrong("is empty");
    }
    if name.starts_with(b"/") {
        return wrong("begins with `/`, and would be a path of the host");
    }
    if name.contains(&0) {
        return wrong("has a NUL byte in it");
    }
    if name.len() > MOST_BYTES {
        return wrong("is longer than a path may be");
    }
    let mut path = PathBuf::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return wrong("has `..` in it"),
            _ if part.len() > MOST_NAME => return wrong("is longer than a name may be"),
            _ => path.push(OsStr::from_bytes(part)),
        }
    }
    Ok(path)
}
