//! A manifest is made of layers: the files it includes, in order, then the file itself, then each `--set`. A later layer wins
//! over an earlier one: tables are merged, lists appended, everything else replaced.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::finding::Finding;
use super::keys;
use super::lookup::{self, FileId};
use super::node::{Entry, Node, Table, Value};
use super::suggest;
use super::text;
use crate::plan::{Origin, Source};

/// How deep includes may lead.
const DEEPEST: usize = 16;

/// The layers read so far, as one tree.
#[derive(Default)]
pub(super) struct Layers {
    /// Everything merged.
    pub(super) table: Table,
    /// What went wrong.
    pub(super) findings: Vec<Finding>,
    /// Every file that was read, the first the manifest itself.
    pub(super) sources: Vec<Rc<Source>>,
    /// Texts that were read before, to be taken in the place of the files.
    given: Option<Vec<Rc<Source>>>,
    /// Every file read.
    seen: Vec<FileId>,
    /// The files that are being read: each includes the next.
    open: Vec<(FileId, PathBuf)>,
}

/// A text that was read before. It is told apart from the others by its place among them.
fn remembered(given: &[Rc<Source>], path: &Path) -> Result<(Rc<Source>, FileId), Finding> {
    let at = given.iter().position(|source| source.path == path);
    at.map(|at| (Rc::clone(&given[at]), (0, at as u64)))
        .ok_or_else(|| Finding::plain(format!("nothing is known of `{}`", path.display())))
}

/// What a list does to a list of an earlier layer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lists {
    /// A file adds to what it includes.
    Append,
    /// An option says exactly what it wants.
    Replace,
}

impl Layers {
    /// No layer yet, and texts to be taken in the place of the files.
    pub(super) fn again(given: Vec<Rc<Source>>) -> Self {
        Self { given: Some(given), ..Self::default() }
    }

    /// Adds a file, after everything it includes. Returns its text, when it could be read.
    pub(super) fn file(&mut self, path: &Path, asked: Option<&Origin>) -> Option<Rc<Source>> {
        let read = match &self.given {
            None => lookup::read(path, asked),
            Some(given) => remembered(given, path),
        };
        let (source, id) = match read {
            Ok(read) => read,
            Err(finding) => {
                self.findings.push(finding);
                return None;
            }
        };
        if let Some(finding) = self.refuse(path, id, asked) {
            self.findings.push(finding);
            return None;
        }
        // Included by two files, it is one layer, at its first place: a base of two bases does not append its lists twice.
        if self.seen.contains(&id) {
            return None;
        }
        self.seen.push(id);
        self.text(&source, id);
        Some(source)
    }

    /// Adds a text, as that of the file at its path.
    pub(super) fn text(&mut self, source: &Rc<Source>, id: FileId) {
        self.sources.push(Rc::clone(source));
        match text::parse(source) {
            Ok(table) => {
                self.open.push((id, source.path.clone()));
                self.layer(table, &source.path);
                self.open.pop();
            }
            Err(findings) => self.findings.extend(findings),
        }
    }

    /// Why a file cannot be included here, if it cannot.
    fn refuse(&self, path: &Path, id: FileId, asked: Option<&Origin>) -> Option<Finding> {
        let asked = asked?;
        if let Some(first) = self.open.iter().position(|(open, _)| *open == id) {
            let mut cycle: Vec<String> =
                self.open[first..].iter().map(|(_, path)| format!("`{}`", path.display())).collect();
            cycle.push(cycle[0].clone());
            return Some(
                Finding::error("files include each other in a circle", asked)
                    .why(cycle.join(" includes "))
                    .hint("take this entry out of `include`"),
            );
        }
        (self.open.len() >= DEEPEST).then(|| {
            Finding::error(format!("`{}` is included more than {DEEPEST} files deep", path.display()), asked)
        })
    }

    /// Adds one file's tree: what it includes, what it replaces, what it says.
    fn layer(&mut self, mut table: Table, path: &Path) {
        let include = table.remove("include");
        let replace = table.remove("replace");
        // A jail keeps its trees under its name. Were it inherited, two jails would overwrite each other's.
        if self.open.len() > 1 {
            table.remove("name");
        }
        let directory = path.parent().unwrap_or(Path::new(""));
        for (included, place) in self.texts("include", include) {
            self.file(&directory.join(included), Some(&place));
        }
        for (dotted, place) in self.texts("replace", replace) {
            if replaceable().any(|known| known == dotted) {
                remove(&mut self.table, &dotted);
            } else {
                self.findings.push(not_replaceable(&dotted, &place));
            }
        }
        merge(&mut self.table, table, "", Lists::Append);
    }

    /// Adds a layer that is a tree of values already.
    pub(super) fn add(&mut self, table: Table) {
        merge(&mut self.table, table, "", Lists::Append);
    }

    /// Adds a `--set KEY=VALUE`.
    pub(super) fn option(&mut self, set: &str) {
        let origin = Origin::CommandLine(format!("--set {set}"));
        let Some((dotted, value)) = set.split_once('=') else {
            let hint = format!("write `--set {set}=VALUE`");
            self.findings.push(Finding::error("the option gives no value", &origin).hint(hint));
            return;
        };
        let parts: Vec<&str> = dotted.split('.').map(str::trim).collect();
        if parts.len() > DEEPEST || parts.iter().any(|part| part.is_empty()) {
            let finding = Finding::error(format!("`{dotted}` is not a key"), &origin);
            self.findings.push(finding.hint("write `--set program.nice=5`"));
            return;
        }
        if matches!(parts[0], "include" | "replace") {
            let finding = Finding::error(format!("`{}` can be set in a file only", parts[0]), &origin);
            self.findings.push(finding.hint("a list set by an option replaces the manifest's"));
            return;
        }
        let layer = at(parts.into_iter(), text::parse_typed(value, &origin));
        merge(&mut self.table, layer, "", Lists::Replace);
    }

    /// The entries of `include` or `replace`.
    fn texts(&mut self, name: &'static str, entry: Option<Entry>) -> Vec<(String, Origin)> {
        let Some(Entry { node, .. }) = entry else { return Vec::new() };
        let example = || keys::find("", name).map_or("", |key| key.example);
        let mut texts = Vec::new();
        match node.value {
            Value::List(nodes) => {
                for node in nodes {
                    match &node.value {
                        Value::Text(text) if !text.is_empty() => texts.push((text.clone(), node.origin)),
                        _ => self.findings.push(
                            Finding::error(format!("an entry of `{name}` must be text"), &node.origin)
                                .hint(format!("for example `{}`", example())),
                        ),
                    }
                }
            }
            Value::Text(text) => self.findings.push(
                Finding::error(format!("`{name}` must be a list of text, this is text"), &node.origin)
                    .hint(format!("write `{name} = [{text:?}]`")),
            ),
            _ => self.findings.push(
                Finding::error(
                    format!("`{name}` must be a list of text, this is {}", node.kind()),
                    &node.origin,
                )
                .hint(format!("for example `{}`", example())),
            ),
        }
        texts
    }
}

/// A layer with nothing but a value at a dotted key.
fn at<'k>(parts: impl DoubleEndedIterator<Item = &'k str>, node: Node) -> Table {
    let origin = node.origin.clone();
    let within = |node: Node, part: &str| {
        let table = Table::from([(part.to_owned(), Entry { key: origin.clone(), node })]);
        Node::new(Value::Table(table), origin.clone())
    };
    match parts.rev().fold(node, within).value {
        Value::Table(table) => table,
        _ => Table::new(),
    }
}

/// Puts a value at a dotted key, as a later layer does: over what is there, and after it if both are lists.
pub(super) fn put(below: &mut Table, dotted: &str, node: Node) {
    merge(below, at(dotted.split('.'), node), "", Lists::Append);
}

/// Puts a later layer over an earlier one. `at` is the dotted path of the tables.
fn merge(below: &mut Table, above: Table, at: &str, lists: Lists) {
    use std::collections::btree_map::Entry as Slot;
    for (name, above) in above {
        let mut slot = match below.entry(name) {
            Slot::Vacant(slot) => {
                slot.insert(above);
                continue;
            }
            Slot::Occupied(slot) => slot,
        };
        let path = if at.is_empty() { slot.key().clone() } else { format!("{at}.{}", slot.key()) };
        let Entry { key, node } = above;
        let below = slot.get_mut();
        match (&mut below.node.value, node.value) {
            (Value::Table(below), Value::Table(above)) => merge(below, above, &path, lists),
            (Value::List(below), Value::List(above))
                if lists == Lists::Append && !keys::WHOLE.contains(&path.as_str()) =>
            {
                below.extend(above);
            }
            (_, value) => *below = Entry { key, node: Node { value, ..node } },
        }
    }
}

/// The dotted paths that `replace` may name: what would be merged or appended otherwise.
fn replaceable() -> impl Iterator<Item = String> {
    let merged = |key: &&keys::Key| key.expects.contains("list") || key.expects.starts_with("a table");
    keys::KEYS.iter().filter(merged).filter_map(|key| match (key.table, key.name) {
        ("", "include" | "replace") => None,
        ("", name) => Some(name.to_owned()),
        // The lists in an entry of a list are not merged: the entries themselves are appended.
        (table, _) if table.contains('.') || table == "mounts" => None,
        (table, name) => Some(format!("{table}.{name}")),
    })
}

/// The error for another path in `replace`.
fn not_replaceable(dotted: &str, place: &Origin) -> Finding {
    let all: Vec<String> = replaceable().collect();
    let last = dotted.rsplit('.').next().unwrap_or_default();
    let near = suggest::nearest(dotted, all.iter().map(String::as_str))
        .or_else(|| all.iter().map(String::as_str).find(|known| known.rsplit('.').next() == Some(last)));
    let finding = Finding::error(format!("`{dotted}` is not a list or table of a manifest"), place);
    match near {
        Some(near) => finding.hint(format!("did you mean `{near}`?")),
        None => finding.hint(
            "write the list's whole path, such as `tree.files`; a single value is replaced without being named here",
        ),
    }
}

/// Takes what a dotted path names out of a tree.
fn remove(table: &mut Table, dotted: &str) {
    match dotted.split_once('.') {
        None => {
            table.remove(dotted);
        }
        Some((first, rest)) => {
            if let Some(Value::Table(inner)) = table.get_mut(first).map(|entry| &mut entry.node.value) {
                remove(inner, rest);
            }
        }
    }
}
