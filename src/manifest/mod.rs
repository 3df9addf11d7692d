//! From a manifest's text to a plan: parse, check, resolve.
//!
//! `load` goes through these, each a file of its own:
//! [`lookup`] (argument → file → text), `text` (text → tree of values with places), `layers` (includes and `--set` → one tree),
//! `decode` (tree → [`schema::Manifest`], key by key), `check` (rules across keys). Each returns all it finds.

mod advice;
mod check;
mod control_sockets;
mod cursor;
mod decode;
pub mod edit;
pub mod finding;
pub mod host_files;
pub mod import;
mod key_names;
pub mod keys;
mod layers;
pub mod learn;
pub mod libs;
pub mod links;
pub mod lookup;
pub mod named;
mod node;
pub mod once;
mod read;
pub mod resolve;
pub mod root;
pub mod schema;
pub mod suggest;
mod syntax;
mod text;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use self::finding::{Finding, Severity};
use self::layers::Layers;
use self::schema::Manifest;
use crate::plan::{At, JailName, Origin, Source};

/// What a user asks for on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The manifest's path, or its name.
    pub jail: OsString,
    /// Each `--set KEY=VALUE`, without the `--set`; they win over the manifest.
    pub sets: Vec<String>,
    /// What stands after `--`: appended to the program's command.
    pub extra_arguments: Vec<OsString>,
}

/// A manifest that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The manifest, with everything it includes and every option.
    pub manifest: Manifest,
    /// The file it was read from.
    pub path: PathBuf,
    /// What is probably not meant.
    pub warnings: Vec<Finding>,
    /// The files it was read from, with their texts; the first is [`path`](Self::path).
    pub sources: Vec<Rc<Source>>,
}

/// Reads, merges, decodes and checks a manifest. Every finding is returned, at least one of them an error; without an error,
/// the manifest.
pub fn load(request: &Request) -> Result<Loaded, Vec<Finding>> {
    let path = lookup::find(&request.jail).map_err(|finding| vec![finding])?;
    merge(path, request, Layers::default())
}

/// The same from the texts that a manifest was read from before, whatever its files say by now.
pub fn load_again(sources: &[Rc<Source>], sets: &[String]) -> Result<Loaded, Vec<Finding>> {
    let path = sources.first().map(|source| source.path.clone()).unwrap_or_default();
    let request = Request { sets: sets.to_vec(), ..Request::default() };
    merge(path, &request, Layers::again(sources.to_vec()))
}

/// The same of a text that is in no file yet; what it includes is read.
pub fn load_text(source: Rc<Source>) -> Result<Loaded, Vec<Finding>> {
    let path = source.path.clone();
    let mut layers = Layers::default();
    layers.text(&source, (0, 0));
    finish(path, Some(source), Vec::new(), layers)
}

/// What the options of `stockade once` amount to.
#[derive(Debug)]
pub struct OfOptions {
    /// The manifest.
    pub loaded: Loaded,
    /// What the caller should know.
    pub note: Option<String>,
    /// The same as the text of a manifest.
    pub text: String,
}

/// Why options amount to nothing.
#[derive(Debug)]
pub enum Unusable {
    /// One of them cannot be taken: what is wrong, and what to do.
    Refused(once::Refused),
    /// The manifest they make is not right.
    Wrong(Vec<Finding>),
}

/// The manifest that options make: alone, or over the one that is called `from`. Words of the command that are no text are kept as
/// they are, as its last.
pub fn load_options(
    from: Option<&str>,
    asked: &[once::Asked],
    command: &[OsString],
    facts: &once::Facts<'_>,
) -> Result<OfOptions, Unusable> {
    let is_text = |word: &&OsString| word.to_str().is_some();
    let (texts, rest) = command.split_at(command.iter().take_while(is_text).count());
    let texts: Vec<String> = texts.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let once::Layer { table, note } = once::layer(asked, &texts, facts).map_err(Unusable::Refused)?;
    let wrong = |finding| Unusable::Wrong(vec![finding]);
    let path = from.map(|name| lookup::find(name.as_ref())).transpose().map_err(wrong)?;
    let base = path.as_deref().and_then(|path| std::path::absolute(path).ok());
    let text = once::text(&table, base.as_deref());
    let mut layers = Layers::default();
    let source = match &path {
        Some(path) => layers.file(path, None),
        None => Some(Rc::new(Source { path: "stockade once".into(), text: String::new() })),
    };
    layers.add(table);
    let path = path.unwrap_or_else(|| "stockade once".into());
    let loaded = finish(path, source, rest.to_vec(), layers).map_err(Unusable::Wrong)?;
    Ok(OfOptions { loaded, note, text })
}

/// Reads the manifest at `path` and makes one of its layers.
fn merge(path: PathBuf, request: &Request, mut layers: Layers) -> Result<Loaded, Vec<Finding>> {
    let source = layers.file(&path, None);
    for set in &request.sets {
        layers.option(set);
    }
    finish(path, source, request.extra_arguments.clone(), layers)
}

/// Decodes and checks what the layers amount to.
fn finish(
    path: PathBuf,
    source: Option<Rc<Source>>,
    extra_arguments: Vec<OsString>,
    mut layers: Layers,
) -> Result<Loaded, Vec<Finding>> {
    // What a broken file would have said is unknown, and so is whether the rest is right.
    let Some(source) = source.filter(|_| layers.findings.is_empty()) else {
        return Err(sorted(layers.findings));
    };

    let sources = std::mem::take(&mut layers.sources);
    let top = text::Locator::new(&source).origin(&(0..0));
    let program = layers.table.get("program").map_or(top.clone(), |entry| entry.node.origin.clone());
    let mut findings = Vec::new();
    let mut manifest = decode::manifest(layers.table, &top, &mut findings);
    manifest.program.extra_arguments = extra_arguments;
    host_files::forward_names(&mut manifest);
    // First, so that a mount of the manifest's own may go over them.
    manifest.mounts.splice(0..0, host_files::mounts(&manifest.tree.host));
    if manifest.name.is_none() {
        manifest.name = name_of(&path, &top, &mut findings);
    }
    let complete = findings.is_empty();
    check::rules(&manifest, &program, complete, &mut findings);

    let findings = sorted(findings);
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(findings);
    }
    Ok(Loaded { manifest, path, warnings: findings, sources })
}

/// The name of a jail whose manifest gives none: the file's.
fn name_of(path: &Path, top: &Origin, findings: &mut Vec<Finding>) -> Option<At<JailName>> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    match JailName::parse(&stem) {
        Ok(value) => Some(At { value, origin: Origin::Default("the name of the manifest's file") }),
        Err(why) => {
            findings.push(
                Finding::error(format!("the jail cannot be named after its file, `{stem}`"), top)
                    .why(why)
                    .hint("rename the file, or write `name = \"…\"` at its top"),
            );
            None
        }
    }
}

/// Findings in the order of the text, file by file; those of options last.
fn sorted(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| {
        let place = finding.origin.as_ref().and_then(Origin::place);
        (place.is_none(), place.map(|place| (place.source.path.clone(), place.line, place.column)))
    });
    // Errors are kept before warnings: without one the manifest would count as right.
    if findings.len() > Finding::MOST {
        findings.sort_by_key(|finding| finding.severity == Severity::Warning);
        findings.truncate(Finding::MOST);
    }
    findings
}
