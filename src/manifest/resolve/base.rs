//! `base`: an existing root, the lowest layer of the tree. Everything else that a manifest asks for comes over it.
//!
//! A directory is copied file by file, as `files` does; a tar archive or an image of an OCI layout is read first ([`archive`]) and
//! unpacked file by file. Either way each path becomes a step like any other, so that what holds for those of the host holds here.
//!
//! The programs of a base find what they need in it: their own loader, its libraries, its cache. Nothing of the host is brought for
//! them, and names of users are its own. `/dev`, `/proc` and `/sys` are the jail's, so what a base has below is left out; devices,
//! FIFOs and sockets elsewhere too, which is told.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use walkdir::WalkDir;

use super::accounts::Accounts;
use super::content::{Attributes, Content};
use super::draft::{Claim, Draft};
use super::notes;
use crate::archive::{self, Archive, Choice, LAYOUT, Node};
use crate::manifest::finding::Finding;
use crate::manifest::libs::Resolver;
use crate::manifest::links::Kind;
use crate::manifest::root::{Opened, Root};
use crate::manifest::schema::{self, Manifest};
use crate::plan::step::Owner;
use crate::plan::{At, HostPath, Mode, Origin};

/// Directories that are the jail's own, whatever a base has there.
const JAILS: [&str; 3] = ["dev", "proc", "sys"];
/// Where stockade keeps trees and records: a tree would be copied into itself.
const OWN: [&str; 2] = ["/var/lib/stockade", "/run/stockade"];
/// Longest passwd that is read.
const MOST_BYTES: u64 = 64 << 20;

/// A base whose content is in the draft.
#[derive(Debug)]
pub(super) struct Base {
    /// The archive or the directory, without links.
    pub(super) path: HostPath,
    /// What it was read into, unless it is a directory.
    pub(super) archive: Option<Rc<Archive>>,
    /// The directory.
    root: Option<Root>,
}

/// Places everything that the base has.
pub(super) fn place(draft: &mut Draft<'_>, manifest: &Manifest) {
    let Some(At { value, origin }) = &manifest.tree.base else { return };
    match find(draft, value, origin) {
        Ok(base) => {
            let origin = origin.found(format!("in the base {}", value.path));
            let mut copier = Copier {
                draft,
                base: &base,
                given: value,
                origin,
                special: Vec::new(),
                unreadable: Vec::new(),
            };
            match &base.archive {
                Some(archive) => copier.unpack(archive),
                None => copier.copy(),
            }
            copier.report();
            draft.base = Some(base);
        }
        Err(finding) => draft.findings.push(*finding),
    }
}

/// The users and groups of the base, after those that the manifest gives as text; none without a base that has some.
pub(super) fn accounts(draft: &Draft<'_>, manifest: &Manifest) -> Option<Accounts> {
    let base = draft.base.as_ref()?;
    let read = |path: &str| match (&base.archive, &base.root) {
        (Some(archive), _) => archive.content(Path::new(path), MOST_BYTES),
        (None, root) => root.as_ref()?.read(&Path::new("/").join(path), MOST_BYTES).ok(),
    };
    Some(Accounts::over(manifest, &read("etc/passwd")?, &read("etc/group").unwrap_or_default()))
}

/// Whether a path leads to a file of the base.
pub(super) fn has(draft: &Draft<'_>, path: &Path) -> bool {
    let found = draft.find(path).and_then(|(_, node)| node);
    found.is_some_and(|node| node.claim == Claim::Base && !node.content.is_directory())
}

/// Warns of a program of a base that lacks something there; what only an archive has is not looked through.
pub(super) fn warn_of_needs(draft: &mut Draft<'_>, path: &Path, origin: &Origin) {
    let root = draft.base.as_ref().and_then(|base| base.root.as_ref());
    let Some(Err(error)) = root.map(|root| Resolver::new(root).closure(path)) else { return };
    let finding = Finding::warning(format!("`{}` of the base would not start", path.display()), origin);
    draft.findings.push(finding.why(error.to_string()).hint("add what is missing to the base"));
}

/// Warns of files of the base that those of the host have taken the place of without anybody naming them.
pub(super) fn warn_of_overlaid(draft: &mut Draft<'_>, manifest: &Manifest) {
    let (Some(base), false) = (&manifest.tree.base, draft.overlaid.is_empty()) else { return };
    let message = match draft.overlaid.len() {
        1 => "a file of the base is replaced by the host's".to_owned(),
        many => format!("{many} files of the base are replaced by the host's"),
    };
    let finding = notes::shown(Finding::warning(message, &base.origin), &draft.overlaid);
    draft.findings.push(finding.hint(
        "programs of the host bring their libraries, and those of the base may not work with them: take them from the base too",
    ));
}

/// Finds out what a base is, and reads it if it is an archive.
fn find(draft: &Draft<'_>, base: &schema::Base, origin: &Origin) -> Result<Base, Box<Finding>> {
    let wrong = |message: String| Finding::error(message, origin);
    let path = base.path.as_path();
    if let Some(own) = OWN.iter().find(|own| Path::new(own).starts_with(path)) {
        let finding = wrong(format!("`{}` cannot be a base: it has `{own}` in it", path.display()));
        return Err(Box::new(finding.hint("name a root made for it, such as debootstrap(8) makes")));
    }
    let chain = draft.view.chain(path).map_err(|error| draft.view.missing(path, &error, origin))?;
    let real = chain.last().map_or_else(|| path.to_owned(), |last| last.path.clone());
    let kind = chain.last().map(|last| &last.kind);
    let is_layout = || draft.view.follow(&real.join(LAYOUT)).is_some_and(|found| found.is_file());
    let archive = match kind {
        Some(Kind::Directory) if is_layout() => {
            Some(Archive::oci(&|below| open(draft, &real.join(below)), &choice(base)))
        }
        Some(Kind::Directory) => None,
        Some(Kind::File) => Some(open(draft, &real).map_err(Into::into).and_then(Archive::tar)),
        _ => {
            let finding =
                wrong(format!("`{}` cannot be a base: it is a socket, FIFO or device", path.display()));
            return Err(Box::new(
                finding.hint("name a directory, a tar archive, or a directory with an OCI image layout"),
            ));
        }
    };
    let is_image = archive.is_some() && kind == Some(&Kind::Directory);
    if !is_image && (base.image.is_some() || base.architecture.is_some()) {
        let finding =
            wrong(format!("`{}` is no OCI image layout, of which one image could be named", path.display()));
        return Err(Box::new(finding.hint("leave `image` and `architecture` out")));
    }
    let archive = archive.transpose().map_err(|error: archive::Error| {
        let finding = wrong(format!("`{}` cannot be a base", path.display())).why(error.to_string());
        Finding { hint: error.hint(), ..finding }
    })?;
    let root = archive.is_none().then(|| Root::at(draft.view.outside(&real)));
    let path = HostPath::parse(real).map_err(wrong)?;
    Ok(Base { path, archive: archive.map(Rc::new), root })
}

fn choice(base: &schema::Base) -> Choice<'_> {
    Choice { image: base.image.as_deref(), architecture: base.architecture.as_deref() }
}

/// Opens a regular file of the host.
fn open(draft: &Draft<'_>, path: &Path) -> io::Result<File> {
    match draft.view.root.open(path)? {
        Opened::File(file, _) => Ok(file),
        Opened::Other(_) => Err(io::Error::other("not a regular file")),
    }
}

/// A base on its way into the draft.
struct Copier<'c, 'd> {
    draft: &'c mut Draft<'d>,
    base: &'c Base,
    given: &'c schema::Base,
    origin: Origin,
    special: Vec<PathBuf>,
    unreadable: Vec<PathBuf>,
}

impl Copier<'_, '_> {
    /// Whether something of the base is left to the jail. What is no directory there would lead the jail's own elsewhere.
    fn is_jails(&mut self, below: &Path, is_directory: bool) -> bool {
        let mut parts = below.components();
        let Some(first) = parts.next().filter(|first| JAILS.iter().any(|own| first.as_os_str() == *own))
        else {
            return false;
        };
        if parts.next().is_some() {
            return true;
        }
        if !is_directory {
            let name = first.as_os_str().display();
            let finding = Finding::error(format!("`/{name}` of the base is no directory"), &self.origin);
            self.draft.findings.push(
                finding.why("the jail's own would be made wherever it leads").hint("do not trust this base"),
            );
        }
        !is_directory
    }

    fn place(&mut self, below: &Path, content: Content) {
        self.draft.place(&Path::new("/").join(below), content, Claim::Base, &self.origin.clone());
    }

    /// Copies a directory, links not followed.
    fn copy(&mut self) {
        let source = self.base.path.as_path().to_owned();
        let outside = self.draft.view.outside(&source);
        let attributes = Attributes { keep: self.given.keep, ..Attributes::default() };
        let mut walk = WalkDir::new(&outside).min_depth(1).into_iter();
        while let Some(entry) = walk.next() {
            let found = entry.and_then(|entry| Ok((entry.metadata()?, entry)));
            let (metadata, entry) = match found {
                Ok(found) => found,
                Err(error) => {
                    let below = error.path().and_then(|path| path.strip_prefix(&outside).ok());
                    self.unreadable.push(source.join(below.unwrap_or(Path::new(""))));
                    continue;
                }
            };
            let Ok(below) = entry.path().strip_prefix(&outside) else { continue };
            let path = source.join(below);
            if self.is_jails(below, metadata.is_dir()) {
                if metadata.is_dir() {
                    walk.skip_current_dir();
                }
            } else if metadata.is_dir() {
                let (mode, owner) = attributes.directory(&metadata);
                self.place(below, Content::Directory { mode, owner });
            } else if metadata.is_symlink() {
                match self.draft.view.link_text(&path) {
                    Ok(text) => {
                        self.place(below, Content::Symlink { text, owner: attributes.owner(&metadata) });
                    }
                    Err(_) => self.unreadable.push(path),
                }
            } else if !metadata.is_file() {
                self.special.push(path);
            } else if self.draft.view.host.can_read(entry.path()) {
                self.place(below, attributes.file(path, &metadata));
            } else {
                self.unreadable.push(path);
            }
        }
    }

    fn unpack(&mut self, archive: &Archive) {
        let keep = self.given.keep;
        let special =
            archive.passed_over().iter().filter(|below| !JAILS.iter().any(|own| below.starts_with(own)));
        self.special.extend(special.map(|below| Path::new("/").join(below)));
        for (below, node) in archive.nodes() {
            if below == Path::new("") || self.is_jails(below, matches!(node, Node::Directory(_))) {
                continue;
            }
            let of = |attributes: &archive::Attributes, kept: u32| {
                (Mode(attributes.mode & kept), Owner { uid: attributes.uid, gid: attributes.gid })
            };
            let content = match node {
                Node::Directory(attributes) => {
                    let (mode, owner) = of(attributes, if keep.setid { 0o7777 } else { 0o1777 });
                    Content::Directory { mode, owner }
                }
                Node::Link(text, attributes) => {
                    Content::Symlink { text: OsString::from_vec(text.clone()), owner: of(attributes, 0).1 }
                }
                Node::File(number) => {
                    let Some(member) = archive.member(*number) else { continue };
                    let (mode, owner) = of(&member.attributes, if keep.setid { 0o6777 } else { 0o777 });
                    Content::Member { number: *number, size: member.size, mode, owner, keep }
                }
            };
            self.place(below, content);
        }
    }

    fn report(self) {
        let path = &self.given.path;
        if !self.unreadable.is_empty() {
            let finding = Finding::error(
                format!("{} of the base `{path}` cannot be read", count(&self.unreadable)),
                &self.origin,
            );
            let finding = notes::shown(finding, &self.unreadable);
            self.draft.findings.push(finding.hint("run as a user who may read it, such as root"));
        }
        if !self.special.is_empty() {
            let finding = Finding::warning(
                format!("{} of the base `{path}` left out: no file, directory or link", count(&self.special)),
                &self.origin,
            );
            let finding = notes::shown(finding, &self.special);
            self.draft.findings.push(
                finding.hint(
                    "the jail has the devices that `devices` names, and sockets are made by who listens",
                ),
            );
        }
    }
}

/// How many entries, in words.
fn count(paths: &[PathBuf]) -> String {
    if paths.len() == 1 { "1 entry".to_owned() } else { format!("{} entries", paths.len()) }
}
