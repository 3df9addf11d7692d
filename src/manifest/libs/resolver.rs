//! Follows a program through scripts to binaries, and remembers what was read.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::super::links::Root;
use super::cache::{self, Cache};
use super::error::Error;
use super::graph::Graph;
use super::loader::Loader;
use super::machine::Machine;
use super::object::{Content, Object};
use super::problem::Problem;
use super::{Closure, Needed, Note, Why, conf, file, hwcaps, script};

/// Programs one script can lead to: each `#!` line names up to two.
const MOST_PROGRAMS: usize = 64;

/// Finds the closures of programs under one root. No file is read twice while this lives, so it is meant for one
/// plan, not for keeping.
pub struct Resolver<'r> {
    root: &'r Root,
    objects: HashMap<PathBuf, Result<Rc<Object>, Problem>>,
    loaders: HashMap<PathBuf, Rc<Loader>>,
    directories: HashMap<PathBuf, bool>,
    lists: Option<Rc<Lists>>,
    /// Replaces what the processor says, in tests.
    levels: Option<&'static [&'static str]>,
}

/// The host's lists of libraries or library directories.
pub(super) enum Lists {
    Cache(Cache),
    /// Without a cache, what ldconfig(8) would look through.
    Conf(Vec<PathBuf>),
}

/// The closure being made.
#[derive(Default)]
pub(super) struct Output {
    closure: Closure,
    seen: HashSet<PathBuf>,
}

impl Output {
    /// Adds a file unless its path is there already.
    pub(super) fn need(&mut self, path: &Path, by: &Path, why: Why) -> bool {
        let new = self.seen.insert(path.to_owned());
        if new {
            self.closure.files.push(Needed { path: path.to_owned(), by: by.to_owned(), why });
        }
        new
    }

    pub(super) fn note(&mut self, note: Note) {
        if !self.closure.notes.contains(&note) {
            self.closure.notes.push(note);
        }
    }
}

/// A program still to be looked at.
struct Program {
    path: PathBuf,
    why: Why,
    /// The scripts that led the kernel here; ends at env(1), which makes a new execve(2).
    scripts: Vec<PathBuf>,
    by: PathBuf,
}

impl<'r> Resolver<'r> {
    /// A resolver that has read nothing yet.
    pub fn new(root: &'r Root) -> Self {
        let (objects, loaders, directories) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { root, objects, loaders, directories, lists: None, levels: None }
    }

    /// Everything `program` needs to start: itself, its interpreters, and the libraries of each.
    pub fn closure(&mut self, program: &Path) -> Result<Closure, Error> {
        let mut output = Output::default();
        let first = Program {
            path: program.to_owned(),
            why: Why::Program,
            scripts: Vec::new(),
            by: program.to_owned(),
        };
        let mut waiting = VecDeque::from([first]);
        let mut seen = 0;
        while let Some(next) = waiting.pop_front() {
            seen += 1;
            if seen > MOST_PROGRAMS {
                return Err(Error::TooMuch { program: program.to_owned(), what: "interpreters" });
            }
            if output.need(&next.path, &next.by, next.why.clone()) {
                waiting.extend(self.one(next, &mut output)?);
            } else if next.scripts.contains(&next.path) {
                return Err(Error::Scripts { chain: [next.scripts, vec![next.path]].concat() });
            }
        }
        Ok(output.closure)
    }

    /// Looks at one program; returns those a `#!` line names.
    fn one(&mut self, program: Program, output: &mut Output) -> Result<Vec<Program>, Error> {
        let Program { path, why, mut scripts, by } = program;
        let failed = |problem| match &why {
            Why::Script { .. } => Error::Interpreter { path: path.clone(), by: by.clone(), problem },
            _ => Error::File { path: path.clone(), chain: Vec::new(), problem },
        };
        let object = self.object(&path).map_err(failed)?;
        let line = match &object.content {
            Content::Elf(_) => {
                Graph::new(self, output, &path, &object)?.run()?;
                return Ok(Vec::new());
            }
            Content::Script(line) => line,
            Content::Other => return Err(failed(Problem::UnknownFormat)),
        };

        scripts.push(path.clone());
        if scripts.len() > script::MOST_SCRIPTS {
            scripts.push(line.interpreter.clone());
            return Err(Error::Scripts { chain: scripts });
        }
        let mut text = line.interpreter.clone().into_os_string();
        if let Some(argument) = &line.argument {
            text.push(" ");
            text.push(OsString::from_vec(argument.clone()));
        }
        let why = Why::Script { line: text };
        let interpreter = line.interpreter.clone();
        let mut named = vec![Program { path: interpreter, why: why.clone(), scripts, by: path.clone() }];
        if let Some(wanted) = script::program_of_env(line) {
            let found = script::candidates(&wanted)
                .into_iter()
                .find(|candidate| self.object(candidate).is_ok_and(|object| object.executable));
            let absent = || Error::Interpreter { path: wanted, by: path.clone(), problem: Problem::Absent };
            named.push(Program {
                path: found.ok_or_else(absent)?,
                why,
                scripts: Vec::new(),
                by: path.clone(),
            });
        }
        Ok(named)
    }

    pub(super) fn root(&self) -> &'r Root {
        self.root
    }

    /// The file at `path`, read once.
    pub(super) fn object(&mut self, path: &Path) -> Result<Rc<Object>, Problem> {
        if let Some(known) = self.objects.get(path) {
            return known.clone();
        }
        let read = Object::read(self.root, path).map(Rc::new);
        // Absence is cheap to find again, and hostile search paths could fill the memory with it.
        if !matches!(read, Err(Problem::Absent)) {
            self.objects.insert(path.to_owned(), read.clone());
        }
        read
    }

    pub(super) fn loader(&mut self, path: &Path, machine: Machine) -> Rc<Loader> {
        let new = || Rc::new(Loader::read(self.root, path, machine));
        Rc::clone(self.loaders.entry(path.to_owned()).or_insert_with(new))
    }

    /// Whether `directory` is one; asked for `glibc-hwcaps`, which hardly any library directory has.
    pub(super) fn is_directory(&mut self, directory: PathBuf) -> bool {
        let root = self.root;
        let look = |path: &PathBuf| root.is_directory(path);
        *self.directories.entry(directory).or_insert_with_key(look)
    }

    pub(super) fn lists(&mut self) -> Rc<Lists> {
        let root = self.root;
        let read = || {
            let bytes = file::read(root, Path::new(cache::PATH), cache::MOST_BYTES);
            let cache = bytes.ok().and_then(Cache::parse).map(Lists::Cache);
            Rc::new(cache.unwrap_or_else(|| Lists::Conf(conf::ld_so_conf(root))))
        };
        Rc::clone(self.lists.get_or_insert_with(read))
    }

    pub(super) fn levels(&self, machine: Machine) -> &'static [&'static str] {
        self.levels.unwrap_or_else(|| hwcaps::levels(machine))
    }

    #[cfg(test)]
    pub(super) fn with_levels(root: &'r Root, levels: &'static [&'static str]) -> Self {
        Self { levels: Some(levels), ..Self::new(root) }
    }
}
