//! Loads one binary and its libraries as the dynamic loader would: `_dl_map_object_deps()` of glibc's `elf/dl-deps.c`,
//! `_dl_map_object()` of `elf/dl-load.c`, and `load_library()` of musl's `ldso/dynlink.c`.

use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::dlopen::{self, Priority, Request};
use super::elf::Elf;
use super::error::{Error, Missing};
use super::loader::{self, Family, Loader};
use super::machine::Machine;
use super::object::Object;
use super::places::{self, Place, Source};
use super::resolver::{Output, Resolver};
use super::search::{Found, Miss, Scope, check};
use super::{Note, Why, cache};

/// Objects in one closure. Chromium has 100, LibreOffice 200.
const MOST_OBJECTS: usize = 2048;
/// Bytes of names and search paths, all objects together.
const MOST_TEXT: usize = 16 << 20;
/// Missing libraries that are reported.
const MOST_MISSING: usize = 64;

/// The loader's state: which objects are loaded, and under which names.
pub(super) struct Graph<'a, 'r> {
    pub(super) resolver: &'a mut Resolver<'r>,
    output: &'a mut Output,
    pub(super) machine: Machine,
    pub(super) loader: Rc<Loader>,
    pub(super) nodes: Vec<Node>,
    names: HashMap<OsString, usize>,
    ids: HashMap<(u64, u64), usize>,
    missing: Vec<Missing>,
    /// Where the libraries of one node are looked for.
    pub(super) places: Option<(usize, Rc<[Place]>)>,
    pub(super) tries: usize,
    text: usize,
}

pub(super) struct Node {
    pub(super) path: PathBuf,
    /// `$ORIGIN`.
    pub(super) origin: PathBuf,
    object: Rc<Object>,
    /// Who caused it to be loaded.
    parent: Option<usize>,
}

impl Node {
    /// Every node was checked to be ELF before it was added.
    pub(super) fn elf(&self) -> Option<&Elf> {
        self.object.elf().ok()
    }
}

impl<'a, 'r> Graph<'a, 'r> {
    /// Starts with the binary and its loader.
    pub(super) fn new(
        resolver: &'a mut Resolver<'r>,
        output: &'a mut Output,
        program: &Path,
        object: &Rc<Object>,
    ) -> Result<Self, Error> {
        let failed = |problem| Error::File { path: program.to_owned(), chain: Vec::new(), problem };
        let elf = object.elf().map_err(failed)?;
        let machine = elf.machine;
        let interpreter = elf.interpreter.as_deref();
        let guessed = if interpreter.is_none() { loader::usual_path(machine, &elf.needed) } else { None };
        let loader_path = interpreter.or(guessed.as_deref()).unwrap_or(Path::new("/lib/ld.so.1"));

        let mut loader_object = None;
        if let Some(path) = interpreter {
            let failed =
                |problem| Error::Interpreter { path: path.to_owned(), by: program.to_owned(), problem };
            let found = resolver.object(path).map_err(failed)?;
            check(&found, machine).map_err(failed)?;
            output.need(path, program, Why::Interpreter);
            loader_object = Some(found);
        }
        let loader = resolver.loader(loader_path, machine);
        // The loader asks /proc/self/exe, and that has no links in it.
        let real = resolver.root().real(program).unwrap_or_else(|_| program.to_owned());
        let (nodes, missing) = (Vec::new(), Vec::new());
        let (names, ids) = (HashMap::new(), HashMap::new());
        let mut graph = Self {
            resolver,
            output,
            machine,
            loader,
            nodes,
            names,
            ids,
            missing,
            places: None,
            tries: 0,
            text: 0,
        };
        graph.add(program.to_owned(), &real, Rc::clone(object), None);
        if let Some(object) = loader_object {
            let path = graph.loader.path.clone();
            graph.add(path.clone(), &path, object, Some(0));
        }
        Ok(graph)
    }

    /// Loads everything, the late comers last.
    pub(super) fn run(mut self) -> Result<(), Error> {
        let mut late = VecDeque::new();
        let mut threads_asked = false;
        let mut next = 0;
        loop {
            while next < self.nodes.len() {
                self.load_needed(next, &mut late)?;
                next += 1;
            }
            if let Some((from, request)) = late.pop_front() {
                self.load_requested(from, request)?;
            } else if !threads_asked {
                threads_asked = true;
                self.load_unwinder()?;
            } else {
                break;
            }
        }
        if self.missing.is_empty() { Ok(()) } else { Err(Error::Missing(self.missing)) }
    }

    /// `DT_NEEDED`, `DT_FILTER` and `DT_AUXILIARY` of one object; its dlopen notes are put off.
    fn load_needed(&mut self, from: usize, late: &mut VecDeque<(usize, Request)>) -> Result<(), Error> {
        let Some(node) = self.nodes.get(from) else { return Ok(()) };
        let (path, object) = (node.path.clone(), Rc::clone(&node.object));
        let Ok(elf) = object.elf() else { return Ok(()) };
        for soname in &elf.needed {
            let missed = self.load(from, soname, &path, &Why::Needed { soname: soname.clone() });
            self.must(from, soname, missed)?;
        }
        for (soname, auxiliary) in &elf.filters {
            let missed = self.load(from, soname, &path, &Why::Filter { soname: soname.clone() });
            if *auxiliary {
                self.may(&missed, || Note::AuxiliaryAbsent { by: path.clone(), soname: soname.clone() })?;
            } else {
                self.must(from, soname, missed)?;
            }
        }
        for text in &elf.dlopen {
            match dlopen::parse(text) {
                Ok(requests) => late.extend(requests.into_iter().map(|request| (from, request))),
                Err(problem) => self.output.note(Note::DlopenUnreadable { by: path.clone(), problem }),
            }
        }
        Ok(())
    }

    /// One entry of a dlopen note.
    fn load_requested(&mut self, from: usize, request: Request) -> Result<(), Error> {
        let by = self.nodes.get(from).map(|node| node.path.clone()).unwrap_or_default();
        if request.priority == Priority::Suggested {
            self.output.note(Note::DlopenSuggested { by, request });
            return Ok(());
        }
        let mut missed = Err(Miss::Nowhere(Vec::new()));
        for soname in &request.soname {
            let soname = OsString::from(soname);
            missed = self.load(
                from,
                &soname,
                &by,
                &Why::Dlopen { soname: soname.clone(), priority: request.priority },
            );
            if matches!(missed, Ok(()) | Err(Miss::TooMuch(_))) {
                break;
            }
        }
        if request.priority == Priority::Required {
            self.must(from, OsStr::new(&request.soname.join(" or ")), missed)
        } else {
            self.may(&missed, || Note::DlopenAbsent { by, request })
        }
    }

    /// `libgcc_s.so.1`, if the rule of [`super::imports`] says so.
    fn load_unwinder(&mut self) -> Result<(), Error> {
        let soname = OsStr::new("libgcc_s.so.1");
        let Some(libc) = self.names.get(OsStr::new("libc.so.6")).copied() else { return Ok(()) };
        if self.names.contains_key(soname) {
            return Ok(());
        }
        let root = self.resolver.root();
        let caller = self.nodes.iter().find(|node| node.object.ends_threads(root, &node.path));
        let Some(by) = caller.map(|node| node.path.clone()) else { return Ok(()) };
        let missed = self.load(libc, soname, &by, &Why::ThreadExit);
        self.may(&missed, || Note::ThreadExitAbsent { by: by.clone() })
    }

    /// Without it the program does not start.
    fn must(&mut self, from: usize, name: &OsStr, missed: Result<(), Miss>) -> Result<(), Error> {
        match missed {
            Ok(()) => Ok(()),
            Err(Miss::Nowhere(tried)) => {
                if self.missing.len() < MOST_MISSING
                    && !self.missing.iter().any(|missing| missing.name == name)
                {
                    let chain = self.chain(from);
                    self.missing.push(Missing { name: name.to_owned(), chain, tried });
                }
                Ok(())
            }
            Err(Miss::Broken(path, problem)) => Err(Error::File { path, chain: self.chain(from), problem }),
            Err(Miss::TooMuch(what)) => Err(self.too_much(what)),
        }
    }

    /// Without it there is a note.
    fn may(&mut self, missed: &Result<(), Miss>, note: impl FnOnce() -> Note) -> Result<(), Error> {
        match missed {
            Ok(()) => Ok(()),
            Err(Miss::TooMuch(what)) => Err(self.too_much(what)),
            Err(Miss::Nowhere(_) | Miss::Broken(..)) => {
                self.output.note(note());
                Ok(())
            }
        }
    }

    fn too_much(&self, what: &'static str) -> Error {
        Error::TooMuch { program: self.nodes.first().map(|node| node.path.clone()).unwrap_or_default(), what }
    }

    /// The program, then who needs whom down to `node`.
    fn chain(&self, node: usize) -> Vec<PathBuf> {
        let mut chain: Vec<_> = self.ancestors(node).map(|node| node.path.clone()).collect();
        chain.reverse();
        chain
    }

    /// `node`, its parent, and so on; parents come before their children in `nodes`.
    pub(super) fn ancestors(&self, node: usize) -> impl Iterator<Item = &Node> {
        std::iter::successors(self.nodes.get(node), |node| self.nodes.get(node.parent?))
    }

    /// Makes sure the library `name` of `from` is loaded.
    fn load(&mut self, from: usize, name: &OsStr, by: &Path, why: &Why) -> Result<(), Miss> {
        let expanded = self.expand(from, name);
        let name = expanded.as_os_str();
        if self.names.contains_key(name) || self.loader.provides(name) {
            return Ok(());
        }
        let scope = Scope { levels: self.resolver.levels(self.machine), lists: true };
        let found = self.find(from, name, scope)?;
        self.output.need(&found.path, by, why.clone());
        self.note_configuration(from, name, &found, scope, by, why);
        let special = found.special;
        let node = self.keep(found, from)?;
        self.names.insert(name.to_owned(), node);

        if special && let Ok(plain) = self.find(from, name, Scope { levels: &[], lists: true }) {
            self.output.need(&plain.path, by, Why::Baseline { soname: name.to_owned() });
            self.keep(plain, from)?;
        }
        Ok(())
    }

    /// Adds what was found, unless it is loaded already under another name.
    fn keep(&mut self, found: Found, parent: usize) -> Result<usize, Miss> {
        if let Some(known) = self.ids.get(&found.object.id) {
            return Ok(*known);
        }
        self.text += found.object.elf().map_or(0, Elf::weight);
        if self.nodes.len() >= MOST_OBJECTS || self.text > MOST_TEXT {
            return Err(Miss::TooMuch("libraries"));
        }
        let path = found.path;
        Ok(self.add(path.clone(), &path, found.object, Some(parent)))
    }

    fn add(&mut self, path: PathBuf, real: &Path, object: Rc<Object>, parent: Option<usize>) -> usize {
        let index = self.nodes.len();
        self.ids.entry(object.id).or_insert(index);
        // musl compares only the names searched for, glibc also what an object calls itself.
        if let (Ok(Elf { soname: Some(soname), .. }), false) = (object.elf(), self.loader.is_musl()) {
            self.names.entry(soname.clone()).or_insert(index);
        }
        self.names.entry(path.clone().into_os_string()).or_insert(index);
        let origin = real.parent().unwrap_or(Path::new("/")).to_owned();
        self.nodes.push(Node { path, origin, object, parent });
        index
    }

    /// Library names may have tokens too, for glibc.
    fn expand(&self, from: usize, name: &OsStr) -> OsString {
        let Some(node) =
            self.nodes.get(from).filter(|_| !self.loader.is_musl() && name.as_bytes().contains(&b'$'))
        else {
            return name.to_owned();
        };
        places::expand(name, &node.origin, &self.loader, self.machine.platform())
    }

    /// A jail has only the files we name. If the library is in a directory the loader does not know by itself, the
    /// list it was found with is one of them.
    fn note_configuration(
        &mut self,
        from: usize,
        name: &OsStr,
        found: &Found,
        scope: Scope,
        by: &Path,
        why: &Why,
    ) {
        let list = || Why::SearchPath { library: found.path.clone() };
        match &found.source {
            Source::Cache | Source::Conf => {
                let alone = self.find(from, name, Scope { lists: false, ..scope });
                if let Ok(alone) = alone
                    && alone.object.id == found.object.id
                {
                    // The same file, perhaps by another path: then that is where a loader without a list looks.
                    self.output.need(&alone.path, by, why.clone());
                    return;
                }
                if found.source == Source::Cache {
                    self.output.need(Path::new(cache::PATH), &self.loader.path.clone(), list());
                } else {
                    self.output.note(Note::NotInCache { library: found.path.clone() });
                }
            }
            Source::System => {
                let Family::Musl { configured: Some(configured) } = &self.loader.family else { return };
                let built_in = ["/lib", "/usr/local/lib", "/usr/lib"].map(Path::new);
                if !found.path.parent().is_some_and(|directory| built_in.contains(&directory)) {
                    self.output.need(configured, &self.loader.path.clone(), list());
                }
            }
            Source::Rpath(_) | Source::Runpath(_) | Source::Name => {}
        }
    }
}
