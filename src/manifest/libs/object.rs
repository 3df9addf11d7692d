//! One file as the kernel or a loader sees it first: ELF, script, or neither.

use std::cell::OnceCell;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::super::links::Root;
use super::elf::{Elf, MAGIC};
use super::problem::Problem;
use super::reader::Source;
use super::{file, imports, script};

/// What a file begins with decides who takes it.
#[derive(Debug)]
pub(super) enum Content {
    Elf(Elf),
    Script(script::Line),
    Other,
}

/// A file that was read.
#[derive(Debug)]
pub(super) struct Object {
    pub content: Content,
    /// Device and inode: a loader does not load the same file twice, whatever the names.
    pub id: (u64, u64),
    /// Some `x` bit is set.
    pub executable: bool,
    ends_threads: OnceCell<bool>,
}

impl Object {
    pub(super) fn read(root: &Root, path: &Path) -> Result<Self, Problem> {
        let (file, metadata) = file::open(root, path)?;
        let source = (file, metadata.len());
        let mut start =
            vec![0; script::FIRST_BYTES.min(usize::try_from(source.1).unwrap_or(script::FIRST_BYTES))];
        source.read_exact_at(&mut start, 0)?;
        let content = if start.starts_with(MAGIC) {
            Content::Elf(Elf::read(&source)?)
        } else if start.starts_with(b"#!") {
            Content::Script(script::first_line(&start)?)
        } else {
            Content::Other
        };
        let id = (metadata.dev(), metadata.ino());
        Ok(Self { content, id, executable: metadata.mode() & 0o111 != 0, ends_threads: OnceCell::new() })
    }

    /// The ELF part, without which it is no library.
    pub(super) fn elf(&self) -> Result<&Elf, Problem> {
        match &self.content {
            Content::Elf(elf) => Ok(elf),
            _ => Err(Problem::UnknownFormat),
        }
    }

    /// See [`imports`]; read when first asked for, as few closures come to that.
    pub(super) fn ends_threads(&self, root: &Root, path: &Path) -> bool {
        *self.ends_threads.get_or_init(|| {
            let Content::Elf(Elf { symbols: Some(symbols), .. }) = &self.content else { return false };
            let Ok((file, metadata)) = file::open(root, path) else { return false };
            // Another file by now? Then what we know of its layout is void; nothing is read outside it anyway.
            (metadata.dev(), metadata.ino()) == self.id
                && imports::ends_threads(&(file, metadata.len()), symbols)
        })
    }
}
