//! `files`: files and directories of the host, by path or pattern.
//!
//! A path listed brings every link on its way and what it leads to. Below a directory links stay links: what they lead to
//! is not brought (the tree would grow without anybody having said so), but a warning names those that lead nowhere in the
//! tree. With `target`, what the path leads to is placed there, as `cp -rH` does.
//!
//! Programs among the files come without their libraries: a directory of a thousand scripts and tools would pull in half of
//! the host. Those that shall run are named in `programs` or `libraries`.

#![forbid(unsafe_code)]

use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::accounts::Accounts;
use super::content::{Attributes, Content};
use super::draft::{Claim, Draft};
use super::expand::{self, Pattern};
use super::glob::Glob;
use super::notes::Notes;
use crate::manifest::finding::Finding;
use crate::manifest::links::{self, Kind};
use crate::manifest::schema::Files;
use crate::plan::{At, Origin};

/// Directories that show the kernel and not files; a copy of them is a snapshot of nonsense.
const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];
/// Directories passed over when one above them is copied: the kernel's, and our own, where a tree would be copied into itself.
const PASSED_OVER: [&str; 5] = ["/proc", "/sys", "/dev", "/var/lib/stockade", "/run/stockade"];

/// Places what one entry asks for.
pub(super) fn place(draft: &mut Draft<'_>, accounts: &Accounts, entry: &At<Files>) {
    let origin = &entry.origin;
    let mut wrong = Vec::new();
    let copier = Copier::new(accounts, entry, &mut wrong);
    let pattern = expand::pattern(&draft.view, entry.value.path.as_path()).map_err(|error| {
        wrong.push(Finding::error(format!("`{}` is no pattern: {error}", entry.value.path), origin));
    });
    draft.findings.append(&mut wrong);
    let (Some(mut copier), Ok(pattern)) = (copier, pattern) else { return };
    match pattern {
        None => copier.one(draft),
        Some(pattern) => copier.many(draft, &pattern),
    }
    copier.notes.report(&format!("`{}`", entry.value.path), origin, &mut draft.findings);
}

/// One entry at work.
struct Copier<'e> {
    entry: &'e Files,
    origin: &'e Origin,
    exclude: Vec<(Scope, Glob)>,
    attributes: Attributes,
    notes: Notes,
}

/// What a pattern of `exclude` is compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Each name: the pattern has no `/`.
    Name,
    /// The path below the one listed.
    Below,
    /// The whole path: the pattern begins with `/`.
    Whole,
}

impl<'e> Copier<'e> {
    fn new(accounts: &Accounts, entry: &'e At<Files>, wrong: &mut Vec<Finding>) -> Option<Self> {
        let At { value: files, origin } = entry;
        let mut found = |finding| wrong.push(finding);
        let exclude: Vec<_> =
            files.exclude.iter().filter_map(|text| exclude(text, origin).map_err(&mut found).ok()).collect();
        let uid = files
            .owner
            .as_ref()
            .map(|owner| accounts.uid_of(owner, origin))
            .transpose()
            .map_err(&mut found)
            .ok();
        let gid = match (&files.group, &files.owner) {
            (Some(group), _) => Some(accounts.gid_of(group, origin)).transpose().map_err(&mut found).ok(),
            // If the owner is unknown, that has been said.
            (None, Some(owner)) => accounts.primary_group(owner, origin).ok().map(Some),
            (None, None) => Some(None),
        };
        if exclude.len() < files.exclude.len() {
            return None;
        }
        let attributes = Attributes { uid: uid?, gid: gid?, mode: files.mode, keep: files.keep };
        Some(Self { entry: files, origin, exclude, attributes, notes: Notes::default() })
    }

    /// A path without a pattern.
    fn one(&mut self, draft: &mut Draft<'_>) {
        let path = self.entry.path.as_path();
        let target = self.entry.target.as_ref().map(|target| target.as_path().to_owned());
        self.listed(draft, path, Path::new(""), target, Claim::Named);
    }

    fn many(&mut self, draft: &mut Draft<'_>, pattern: &Pattern) {
        let found = pattern.matches(&draft.view);
        if found.is_empty() && !self.entry.optional {
            let path = &self.entry.path;
            let mut finding = Finding::error(format!("nothing matches `{path}`"), self.origin);
            if let Err(error) = draft.view.chain(&pattern.base) {
                finding = finding.why(error.to_string());
            }
            draft.findings.push(finding.hint("write `optional = true` if it may be so"));
        }
        for below in found {
            let path = pattern.base.join(&below);
            if !self.is_excluded(&path, &below) {
                let target = self.entry.target.as_ref().map(|target| target.as_path().join(&below));
                self.listed(draft, &path, &below, target, Claim::Along);
            }
        }
    }

    /// A path with the links on its way. `below` is what excludes see of it.
    fn listed(
        &mut self,
        draft: &mut Draft<'_>,
        path: &Path,
        below: &Path,
        target: Option<PathBuf>,
        claim: Claim,
    ) {
        let chain = match draft.view.chain(path) {
            Ok(chain) => chain,
            Err(links::Error::Missing { .. }) if self.entry.optional => return,
            Err(error) if claim == Claim::Named => {
                let finding = draft.view.missing_unless_optional(path, &error, self.origin);
                draft.findings.push(finding);
                return;
            }
            // A link that a pattern came upon and that leads nowhere on the host either.
            Err(_) => return self.dangling(draft, path, target),
        };
        let last = match &target {
            Some(_) => chain.into_iter().next_back(),
            None => draft.place_chain(chain, claim, self.origin),
        };
        let Some(last) = last else { return };
        let at = target.unwrap_or_else(|| last.path.clone());
        if let Some(kernel) = KERNEL.iter().find(|kernel| last.path.starts_with(kernel)) {
            draft.findings.push(kernels(kernel, &last.path, self.origin));
            return;
        }
        let Ok(metadata) = draft.view.metadata(&last.path) else { return self.notes.unreadable(&last.path) };
        match last.kind {
            Kind::Directory => self.directory(draft, &last.path, below, &at, &metadata),
            Kind::File => self.file(draft, &last.path, &at, &metadata, claim),
            _ if claim == Claim::Along => self.notes.special(&last.path),
            _ => draft.findings.push(
                Finding::error(
                    format!("`{}` is a socket, FIFO or device, which is not copied", path.display()),
                    self.origin,
                )
                .hint(format!(
                    "show the host's own: `[[mounts]]` with `source = \"{0}\"`, `target = \"{0}\"`",
                    path.display()
                )),
            ),
        }
    }

    fn dangling(&self, draft: &mut Draft<'_>, path: &Path, target: Option<PathBuf>) {
        let Some(real) = draft.view.in_real_directory(path) else { return };
        if let Ok(metadata) = draft.view.metadata(&real) {
            self.link(draft, &real, &target.unwrap_or_else(|| real.clone()), &metadata);
        }
    }

    fn file(&mut self, draft: &mut Draft<'_>, source: &Path, at: &Path, metadata: &Metadata, claim: Claim) {
        if claim == Claim::Along && !self.notes.admit(source, metadata) {
            return;
        }
        if !draft.view.host.can_read(&draft.view.outside(source)) {
            if claim == Claim::Named {
                let finding = Finding::error(format!("`{}` cannot be read", source.display()), self.origin);
                return draft
                    .findings
                    .push(finding.hint("run as a user who may read it, or take the entry out"));
            }
            return self.notes.unreadable(source);
        }
        let content = self.attributes.file(source.to_owned(), metadata);
        draft.place(at, content, claim, self.origin);
    }

    fn link(&self, draft: &mut Draft<'_>, source: &Path, at: &Path, metadata: &Metadata) {
        if let Ok(text) = draft.view.link_text(source) {
            let content = Content::Symlink { text, owner: self.attributes.owner(metadata) };
            draft.place(at, content, Claim::Along, self.origin);
        }
    }

    /// A directory with everything below it, links not followed.
    fn directory(
        &mut self,
        draft: &mut Draft<'_>,
        source: &Path,
        below: &Path,
        at: &Path,
        metadata: &Metadata,
    ) {
        let (mode, owner) = self.attributes.directory(metadata);
        if draft.place_directory(at, mode, owner, Claim::Along, self.origin).is_none() {
            return; // what is below would fail for the same reason
        }
        let outside = draft.view.outside(source);
        let mut walk = WalkDir::new(&outside).min_depth(1).into_iter();
        while let Some(entry) = walk.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let path = error.path().and_then(|path| path.strip_prefix(&outside).ok());
                    self.notes.unreadable(&source.join(path.unwrap_or(Path::new(""))));
                    continue;
                }
            };
            let Ok(inner) = entry.path().strip_prefix(&outside) else { continue };
            let kind = entry.file_type();
            let (path, below) = (source.join(inner), below.join(inner));
            let is_passed_over = PASSED_OVER.iter().any(|known| path == Path::new(known));
            if is_passed_over || self.is_excluded(&path, &below) {
                if kind.is_dir() {
                    walk.skip_current_dir();
                }
                continue;
            }
            let Ok(metadata) = entry.metadata() else {
                self.notes.unreadable(&path);
                continue;
            };
            let at = at.join(inner);
            if kind.is_dir() {
                let (mode, owner) = self.attributes.directory(&metadata);
                if draft.place_directory(&at, mode, owner, Claim::Along, self.origin).is_none() {
                    walk.skip_current_dir();
                }
            } else if kind.is_file() {
                self.file(draft, &path, &at, &metadata, Claim::Along);
            } else if kind.is_symlink() {
                self.link(draft, &path, &at, &metadata);
            } else {
                self.notes.special(&path);
            }
        }
    }

    fn is_excluded(&self, path: &Path, below: &Path) -> bool {
        self.exclude.iter().any(|(scope, glob)| {
            let text = match scope {
                Scope::Name => below.file_name(),
                Scope::Below => Some(below.as_os_str()),
                Scope::Whole => Some(path.as_os_str()),
            };
            text.is_some_and(|text| glob.matches(text.as_bytes()))
        })
    }
}

fn exclude(text: &str, origin: &Origin) -> Result<(Scope, Glob), Finding> {
    let scope = match text.trim_end_matches('/') {
        text if text.starts_with('/') => Scope::Whole,
        text if text.contains('/') => Scope::Below,
        _ => Scope::Name,
    };
    Glob::parse_exclude(text.trim_end_matches('/').as_bytes())
        .map(|glob| (scope, glob))
        .map_err(|error| Finding::error(format!("`{text}` in `exclude` is no pattern: {error}"), origin))
}

fn kernels(kernel: &str, path: &Path, origin: &Origin) -> Finding {
    let finding =
        Finding::error(format!("`{}` belongs to the kernel and is not copied", path.display()), origin);
    finding.hint(match kernel {
        "/proc" => "the jail has its own /proc; see `proc` under `[root]`",
        "/dev" => "name the devices in `devices`, or show the host's with `[[mounts]]`",
        _ => "show the host's with `[[mounts]]`",
    })
}
