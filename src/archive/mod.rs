//! An existing root that is not a directory: a tar archive, plain or compressed by gzip, or an OCI image layout.
//!
//! # Theory of operation
//!
//! Nothing of an archive ever becomes a name on the host. Each layer is read once, from its beginning to its end, into a file
//! without a name ([`spool`]); its digest is taken on the way and, for an image, compared. [`tar`] then tells one entry after the
//! other, [`tree`] puts them together in memory: what is at which path, and where in which layer the content of each file lies.
//! Only a finished tree is handed out, as a plan's steps, which the builder carries out like any other: beneath its root descriptor,
//! following no link. So there is nothing that an archive's names could lead to but what is in the archive itself.
//!
//! What is wrong ends the reading with an [`Error`]: names with `..` or from `/`, names that lead through a link, second names
//! of what is not there, sizes beyond the end, digests that differ. Devices, FIFOs and sockets are passed over and told.
//!
//! A file without a name goes with its descriptor: whoever kills the reader leaves nothing.

#![forbid(unsafe_code)]

mod error;
mod gzip;
mod oci;
mod spool;
mod tar;
#[cfg(test)]
mod tests;
mod tree;

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

pub use error::{Error, Problem};
pub use oci::{Choice, LAYOUT};

/// A root, read and ready to be unpacked.
#[derive(Debug)]
pub struct Archive {
    tree: tree::Tree,
    layers: Vec<File>,
    /// SHA-256 of the archive, or of the image's manifest, which has the digests of all the rest.
    digest: [u8; 32],
}

/// What is at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory(Attributes),
    /// The file of this number; several paths may have one.
    File(usize),
    /// A symbolic link with this text.
    Link(Vec<u8>, Attributes),
}

/// Whose something is, and who may do what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits, with set-user-id and its like.
    pub mode: u32,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
}

/// A regular file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Owner and mode.
    pub attributes: Attributes,
    /// Bytes, holes included.
    pub size: u64,
    /// Seconds since 1970 and nanoseconds.
    pub mtime: (i64, i64),
    /// Extended attributes, as pax(1) archives have them.
    pub xattrs: Vec<(CString, Vec<u8>)>,
    /// Which layer it lies in.
    layer: usize,
    /// What is not a hole, in order.
    pieces: Vec<Piece>,
}

/// A stretch of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where in the file it begins.
    pub at: u64,
    /// Its bytes.
    pub length: u64,
    /// Where in the layer it lies.
    from: u64,
}

impl Archive {
    /// Reads a tar archive.
    pub fn tar(file: File) -> Result<Self, Error> {
        let spooled = spool::layer(file)?;
        let mut tree = tree::Tree::default();
        tree.layer(&spooled, 0, false)?;
        Ok(Self { tree, layers: vec![spooled.file], digest: spooled.digest })
    }

    /// Reads an image of an OCI layout, whose files `open` opens by their paths in it.
    pub fn oci(open: &dyn Fn(&Path) -> io::Result<File>, choice: &Choice<'_>) -> Result<Self, Error> {
        let image = oci::image(open, choice)?;
        let (mut tree, mut layers) = (tree::Tree::default(), Vec::new());
        for (number, layer) in image.layers.iter().enumerate() {
            let spooled = layer.spool(open)?;
            tree.layer(&spooled, number, true)?;
            layers.push(spooled.file);
        }
        Ok(Self { tree, layers, digest: image.digest })
    }

    /// Every path, relative to the root, which is the empty one; directories before what is in them.
    pub fn nodes(&self) -> impl Iterator<Item = (&Path, &Node)> {
        self.tree.nodes.iter().map(|(path, node)| (path.as_path(), node))
    }

    /// The file of a number.
    pub fn member(&self, number: usize) -> Option<&Member> {
        self.tree.members.get(number)
    }

    /// Devices, FIFOs and sockets, which are not unpacked.
    pub fn passed_over(&self) -> &[PathBuf] {
        &self.tree.passed_over
    }

    /// What tells it from any other.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Reads from a piece of a member, so much as there is from `at` bytes after the piece's beginning.
    pub fn read(&self, member: &Member, piece: Piece, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let layer = self.layers.get(member.layer).ok_or(io::ErrorKind::NotFound)?;
        let length = buffer.len().min(piece.length.saturating_sub(at).try_into().unwrap_or(usize::MAX));
        layer.read_at(&mut buffer[..length], piece.from + at)
    }

    /// The whole of a file of at most so many bytes; none if it is not there, larger or has holes. Links are not followed.
    pub fn content(&self, path: &Path, most: u64) -> Option<Vec<u8>> {
        let Node::File(number) = self.tree.nodes.get(path)? else { return None };
        let member = self.member(*number).filter(|member| member.size <= most)?;
        let mut content = vec![0; usize::try_from(member.size).ok()?];
        match &member.pieces[..] {
            [] if content.is_empty() => {}
            [whole] if whole.length == member.size => {
                self.layers.get(member.layer)?.read_exact_at(&mut content, whole.from).ok()?;
            }
            _ => return None,
        }
        Some(content)
    }
}

impl Member {
    /// What is not a hole, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Whether something of it is a hole.
    pub fn has_holes(&self) -> bool {
        self.pieces.iter().map(|piece| piece.length).sum::<u64>() < self.size
    }
}

/// For fuzzing: reads bytes as one layer of an image or as an archive, and looks at everything it says.
pub fn hostile(bytes: &[u8], is_layer: bool) -> Option<Archive> {
    let spooled = spool::bytes(bytes).ok()?;
    let mut tree = tree::Tree::default();
    tree.layer(&spooled, 0, is_layer).ok()?;
    Some(Archive { tree, layers: vec![spooled.file], digest: spooled.digest })
}
