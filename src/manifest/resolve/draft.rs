//! The tree while it is being put together: what shall be at each path, and because of what.
//!
//! The draft keeps the promises the builder relies on. Every path in it is real: a path asked for below a link is placed
//! behind the link. Nothing is there without its directories, and nothing is there twice.
//!
//! Where a directory or a link on the way is not in the draft yet, it is taken from the host: `/bin` becomes a link to
//! `usr/bin` where the host has it so, `/tmp` gets mode 1777. What the host has not becomes a directory of root, 0755.

#![forbid(unsafe_code)]

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use super::base::Base;
use super::content::Content;
use super::view::View;
use crate::manifest::finding::Finding;
use crate::manifest::links::{self, Kind};
use crate::manifest::schema::Manifest;
use crate::plan::step::Owner;
use crate::plan::{Mode, Origin};
use crate::sys::host::Host;

/// Links followed before a path counts as a loop: the kernel's `MAXSYMLINKS`, see path_resolution(7).
const MOST_LINKS: usize = 40;
/// Bytes of the longest path the kernel takes: `PATH_MAX` less the closing NUL.
const MOST_BYTES: usize = 4095;
/// Components walked before a path counts as too long; `PATH_MAX` allows 2048 and links bring more.
const MOST_STEPS: usize = 4096;

/// How much a path is meant. The stronger claim wins without a word; two of the same strength must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claim {
    /// Nobody asked: it is on the way to something.
    Implied,
    /// It is in the root that everything comes over.
    Base,
    /// It came with a directory, a glob, a package, as a library, or by default.
    Along,
    /// A line of the manifest names this very path.
    Named,
}

/// One path of the tree.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) content: Content,
    pub(super) claim: Claim,
    pub(super) origin: Origin,
    /// A link that something was placed behind: replacing it would tear the tree apart.
    pinned: bool,
}

/// The tree so far, and everything found wrong on the way.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) view: View<'a>,
    pub(super) nodes: BTreeMap<PathBuf, Node>,
    pub(super) findings: Vec<Finding>,
    /// The root that everything comes over, placed.
    pub(super) base: Option<Base>,
    /// Files of it that others of the host have taken the place of, without being named.
    pub(super) overlaid: Vec<PathBuf>,
    /// Directories as they were asked for, and their real paths.
    known: HashMap<PathBuf, PathBuf>,
    /// Whether what is on the way is as on the host. What is made in memory is what the manifest says: it may show another's tree.
    mirrors: bool,
}

impl<'a> Draft<'a> {
    pub(super) fn new(host: &'a Host, manifest: &Manifest) -> Self {
        let root = PathBuf::from("/");
        Self {
            view: View::new(host, manifest),
            nodes: BTreeMap::new(),
            findings: Vec::new(),
            base: None,
            overlaid: Vec::new(),
            known: HashMap::from([(root.clone(), root)]),
            mirrors: !manifest.root.is_in_memory(),
        }
    }

    /// Places something that is not a directory and returns its real path; `None` if that failed, which is then a finding.
    pub(super) fn place(
        &mut self,
        path: &Path,
        content: Content,
        claim: Claim,
        origin: &Origin,
    ) -> Option<PathBuf> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            self.findings.push(Finding::error(format!("{content} cannot stand at `/`"), origin));
            return None;
        };
        let real = self.directory_for(parent, path, origin)?.join(name);
        self.put(real, content, claim, origin)
    }

    /// Places a directory; if the path is a link, this is the directory behind it.
    pub(super) fn place_directory(
        &mut self,
        path: &Path,
        mode: Mode,
        owner: Owner,
        claim: Claim,
        origin: &Origin,
    ) -> Option<PathBuf> {
        let real = self.directory_for(path, path, origin)?;
        if real == Path::new("/") {
            return Some(real); // the root itself is the builder's
        }
        self.put(real, Content::Directory { mode, owner }, claim, origin)
    }

    /// The real path of a directory, made as on the host if it is not there yet.
    pub(super) fn directory(&mut self, path: &Path, origin: &Origin) -> Option<PathBuf> {
        self.directory_for(path, path, origin)
    }

    /// Places every link on the way to a path of the host and returns what the path leads to.
    pub(super) fn mirror_links(&mut self, path: &Path, claim: Claim, origin: &Origin) -> Option<links::Link> {
        match self.view.chain(path) {
            Ok(chain) => self.place_chain(chain, claim, origin),
            Err(error) => {
                let finding = self.view.missing(path, &error, origin);
                self.findings.push(finding);
                None
            }
        }
    }

    /// Places the links of a chain; what it leads to is returned for the caller to place.
    pub(super) fn place_chain(
        &mut self,
        mut chain: Vec<links::Link>,
        claim: Claim,
        origin: &Origin,
    ) -> Option<links::Link> {
        let last = chain.pop()?;
        for link in chain {
            if let Kind::Symlink { target } = link.kind {
                let owner = self.view.metadata(&link.path).map(|at| Owner { uid: at.uid(), gid: at.gid() });
                let content = Content::Symlink { text: target.into(), owner: owner.unwrap_or_default() };
                self.place(&link.path, content, claim, origin)?;
            } else {
                self.directory(&link.path, origin)?;
            }
        }
        Some(last)
    }

    /// What is at a path of the tree, links followed: its real path, and the node unless it is the root.
    pub(super) fn find(&self, path: &Path) -> Option<(PathBuf, Option<&Node>)> {
        let mut walk = Walk::new(path);
        let mut node = None;
        while let Some(at) = walk.next()? {
            let found = self.nodes.get(&at)?;
            match &found.content {
                Content::Symlink { text, .. } => walk.follow(text)?,
                Content::Directory { .. } => walk.here = at,
                _ if walk.ahead.is_empty() => return Some((at, Some(found))),
                _ => return None,
            }
            node = Some(found);
        }
        let node = self.nodes.get(&walk.here).or(node.filter(|_| walk.here != Path::new("/")));
        Some((walk.here, node))
    }

    /// Where a path leads as far as the tree knows, the rest of it as it is: what is behind a mount the tree does not know.
    pub(super) fn beyond(&self, path: &Path) -> PathBuf {
        let mut walk = Walk::new(path);
        while let Some(Some(at)) = walk.next() {
            match self.nodes.get(&at).map(|node| &node.content) {
                Some(Content::Symlink { text, .. }) => _ = walk.follow(text),
                _ => walk.here = at,
            }
        }
        walk.here
    }

    fn directory_for(&mut self, path: &Path, wanted: &Path, origin: &Origin) -> Option<PathBuf> {
        if let Some(real) = self.known.get(path) {
            return Some(real.clone());
        }
        if wanted.as_os_str().len() > MOST_BYTES {
            let shown: String = wanted.to_string_lossy().chars().take(40).collect();
            self.findings
                .push(Finding::error(format!("the path `{shown}…` is longer than 4095 bytes"), origin));
            return None;
        }
        let mut walk = Walk::new(path);
        loop {
            let at = match walk.next() {
                Some(Some(at)) => at,
                Some(None) => break,
                None => {
                    self.findings
                        .push(Finding::error(format!("`{}` leads nowhere", path.display()), origin).why(
                        "more than 40 symbolic links or 4096 components on the way, probably a loop (ELOOP)",
                    ));
                    return None;
                }
            };
            if !self.nodes.contains_key(&at) {
                let node = self.implied(&at, wanted, origin);
                self.nodes.insert(at.clone(), node);
            }
            let node = self.nodes.get_mut(&at)?;
            match &node.content {
                Content::Directory { .. } => walk.here = at,
                Content::Symlink { text, .. } => {
                    node.pinned = true;
                    // What is too much is found on the next turn.
                    let _ = walk.follow(text);
                }
                other => {
                    let message = if at == wanted {
                        format!("`{}` is no directory, and has to be one", at.display())
                    } else {
                        format!("`{}` needs a directory at `{}`", wanted.display(), at.display())
                    };
                    let finding = Finding::error(message, origin)
                        .why(format!("{other} is there: {}", node.origin))
                        .hint("take one of them out, or choose another path for it");
                    self.findings.push(finding);
                    return None;
                }
            }
        }
        self.known.insert(path.to_owned(), walk.here.clone());
        Some(walk.here)
    }

    /// A directory or link on the way, as the host has it.
    fn implied(&self, at: &Path, wanted: &Path, origin: &Origin) -> Node {
        let content =
            match self.view.metadata(at) {
                _ if !self.mirrors => None,
                Ok(there) if there.is_symlink() => self.view.link_text(at).ok().map(|text| {
                    Content::Symlink { text, owner: Owner { uid: there.uid(), gid: there.gid() } }
                }),
                Ok(there) if there.is_dir() => Some(Content::Directory {
                    mode: Mode(there.mode() & 0o1777),
                    owner: Owner { uid: there.uid(), gid: there.gid() },
                }),
                _ => None,
            };
        let content = content.unwrap_or(Content::Directory { mode: Mode(0o755), owner: Owner::default() });
        let origin = if at == wanted {
            origin.clone()
        } else {
            origin.found(format!("on the way to {}", wanted.display()))
        };
        Node { content, claim: Claim::Implied, origin, pinned: false }
    }

    fn put(&mut self, real: PathBuf, content: Content, claim: Claim, origin: &Origin) -> Option<PathBuf> {
        let node = Node { content, claim, origin: origin.clone(), pinned: false };
        match self.nodes.entry(real.clone()) {
            Entry::Vacant(free) => {
                free.insert(node);
            }
            Entry::Occupied(mut taken) => {
                let there = taken.get_mut();
                let (directory, other) = (there.content.is_directory(), node.content.is_directory());
                let weaker = claim < there.claim || (directory && other && claim == Claim::Implied);
                if there.content == node.content || (directory == other && weaker) {
                    if claim > there.claim {
                        (there.claim, there.origin) = (node.claim, node.origin);
                    }
                } else if directory == other && claim > there.claim && !there.pinned {
                    let is_copy =
                        |content: &Content| matches!(content, Content::File { .. } | Content::Member { .. });
                    if (there.claim, claim) == (Claim::Base, Claim::Along)
                        && is_copy(&there.content)
                        && is_copy(&node.content)
                    {
                        self.overlaid.push(real.clone());
                    }
                    *there = node;
                } else {
                    let finding = conflict(&real, there, &node);
                    self.findings.push(finding);
                    return None;
                }
            }
        }
        Some(real)
    }
}

/// Two entries that cannot both have their way.
fn conflict(path: &Path, there: &Node, wanted: &Node) -> Finding {
    Finding::error(format!("two entries want different things at `{}`", path.display()), &wanted.origin)
        .why(format!("{}: {}", there.content, there.origin))
        .why(format!("{}: {}", wanted.content, wanted.origin))
        .hint("take one of them out; what comes with a directory or a glob is left out with `exclude`")
}

/// A walk along a path that may go through links.
struct Walk {
    /// The directory reached; no link in it.
    here: PathBuf,
    /// Components still to walk, the next one last.
    ahead: Vec<OsString>,
    links: usize,
    steps: usize,
}

impl Walk {
    fn new(path: &Path) -> Self {
        let mut walk = Self { here: PathBuf::from("/"), ahead: Vec::new(), links: 0, steps: 0 };
        walk.prepend(path);
        walk
    }

    /// The next path to look at; `Some(None)` at the end, `None` when it goes on for too long.
    #[allow(clippy::option_option, reason = "the outer level lets `?` end the caller's walk")]
    fn next(&mut self) -> Option<Option<PathBuf>> {
        while let Some(name) = self.ahead.pop() {
            self.steps += 1;
            if self.steps > MOST_STEPS || self.links > MOST_LINKS {
                return None;
            }
            if name == ".." {
                self.here.pop(); // never removes the root, as `/..` is `/`
            } else {
                return Some(Some(self.here.join(name)));
            }
        }
        Some(None)
    }

    /// Goes on along the text of a link.
    fn follow(&mut self, text: &OsString) -> Option<()> {
        self.links += 1;
        let text = Path::new(text);
        if text.is_absolute() {
            self.here = PathBuf::from("/");
        }
        self.prepend(text);
        (self.links <= MOST_LINKS).then_some(())
    }

    fn prepend(&mut self, path: &Path) {
        let names = path.components().rev().filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        });
        self.ahead.extend(names);
    }
}
