//! Searches the file of one library, place by place, as `_dl_map_object()` of glibc's `elf/dl-load.c` does.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::cache;
use super::error::Tried;
use super::graph::{Graph, Node};
use super::machine::Machine;
use super::object::Object;
use super::places::{self, Place, Source, Voice};
use super::problem::Problem;
use super::resolver::Lists;

/// Files tried for all libraries of one closure together, and places thought of.
const MOST_TRIES: usize = 200_000;
/// Places reported for one missing library.
const MOST_REPORTED: usize = 64;

/// A library that serves.
pub(super) struct Found {
    pub path: PathBuf,
    pub object: Rc<Object>,
    pub source: Source,
    /// From a glibc-hwcaps directory.
    pub special: bool,
}

/// Why a library was not loaded.
pub(super) enum Miss {
    /// Every place was looked at.
    Nowhere(Vec<Tried>),
    /// A file of that name at which the loader gives up.
    Broken(PathBuf, Problem),
    /// A cap was reached.
    TooMuch(&'static str),
}

/// How far a search goes.
#[derive(Clone, Copy)]
pub(super) struct Scope {
    /// The glibc-hwcaps directories to look in, best first.
    pub levels: &'static [&'static str],
    /// With the cache, or what stands for it.
    pub lists: bool,
}

impl Graph<'_, '_> {
    /// Where the libraries of `from` are looked for; the last answer is kept, as they are wanted one after the other.
    fn places(&mut self, from: usize) -> Rc<[Place]> {
        if let Some((node, known)) = &self.places
            && *node == from
        {
            return Rc::clone(known);
        }
        let voices: Vec<Voice> = self
            .ancestors(from)
            .filter_map(|node| {
                let elf = node.elf()?;
                let (rpath, runpath) = (elf.rpath.as_deref(), elf.runpath.as_deref());
                let no_default_libs = elf.no_default_libs;
                Some(Voice { path: &node.path, origin: &node.origin, rpath, runpath, no_default_libs })
            })
            .collect();
        let places: Rc<[Place]> = places::places(&voices, &self.loader, self.machine.platform()).into();
        self.tries += places.len();
        self.places = Some((from, Rc::clone(&places)));
        places
    }

    /// Searches for `name` on behalf of `from`.
    pub(super) fn find(&mut self, from: usize, name: &OsStr, scope: Scope) -> Result<Found, Miss> {
        let mut tried = Vec::new();
        if name.as_bytes().contains(&b'/') {
            let found = if Path::new(name).is_absolute() {
                self.attempt(name.into(), Source::Name, false, &mut tried)?
            } else {
                let problem = Problem::Unreadable("its path depends on the current directory".to_owned());
                tried.push(Tried { path: name.into(), source: Source::Name, problem });
                None
            };
            return found.ok_or(Miss::Nowhere(tried));
        }
        for place in &*self.places(from) {
            let found = match place {
                Place::Directory(directory, source) => {
                    self.look(directory, name, source, scope, &mut tried)?
                }
                Place::Cache if scope.lists => self.look_in_lists(from, name, scope, &mut tried)?,
                Place::Cache => None,
            };
            if let Some(found) = found {
                return Ok(found);
            }
        }
        Err(Miss::Nowhere(tried))
    }

    /// Looks in one directory, in its glibc-hwcaps first.
    fn look(
        &mut self,
        directory: &Path,
        name: &OsStr,
        source: &Source,
        scope: Scope,
        tried: &mut Vec<Tried>,
    ) -> Result<Option<Found>, Miss> {
        let special = directory.join("glibc-hwcaps");
        if !scope.levels.is_empty() && !self.loader.is_musl() && self.resolver.is_directory(special.clone()) {
            for level in scope.levels {
                let path = special.join(level).join(name);
                if let Some(found) = self.attempt(path, source.clone(), true, &mut Vec::new())? {
                    return Ok(Some(found));
                }
            }
        }
        self.attempt(directory.join(name), source.clone(), false, tried)
    }

    /// Asks the cache, or goes through the directories it would be made from.
    fn look_in_lists(
        &mut self,
        from: usize,
        name: &OsStr,
        scope: Scope,
        tried: &mut Vec<Tried>,
    ) -> Result<Option<Found>, Miss> {
        let no_default_libs = self.nodes.get(from).and_then(Node::elf).is_some_and(|elf| elf.no_default_libs);
        match &*self.resolver.lists() {
            Lists::Cache(known) => {
                let flags = cache::accepted_flags(self.machine);
                let rank = |level: Option<&[u8]>| match level {
                    None => Some(usize::MAX),
                    Some(level) => scope.levels.iter().position(|known| known.as_bytes() == level),
                };
                let mut entries: Vec<_> = known
                    .lookup(name)
                    .filter(|entry| flags.is_empty() || flags.contains(&entry.flags))
                    .filter_map(|entry| Some((rank(entry.level)?, entry.path)))
                    .collect();
                entries.sort_by_key(|(rank, _)| *rank); // stable: the file's order within a rank
                // The loader tries the best entry only. Where we cannot tell which are for it, the files themselves say.
                entries.truncate(if flags.is_empty() { MOST_REPORTED } else { 1 });
                for (rank, path) in entries {
                    let system = || {
                        path.parent().is_some_and(|parent| self.loader.system.iter().any(|dir| dir == parent))
                    };
                    if !path.is_absolute() || (no_default_libs && system()) {
                        continue;
                    }
                    if let Some(found) = self.attempt(path, Source::Cache, rank != usize::MAX, tried)? {
                        return Ok(Some(found));
                    }
                }
            }
            Lists::Conf(directories) => {
                for directory in directories {
                    if let Some(found) = self.look(directory, name, &Source::Conf, scope, tried)? {
                        return Ok(Some(found));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Tries one file. Absent, unreadable or for another processor: the search goes on; anything else ends it.
    fn attempt(
        &mut self,
        path: PathBuf,
        source: Source,
        special: bool,
        tried: &mut Vec<Tried>,
    ) -> Result<Option<Found>, Miss> {
        self.tries += 1;
        if self.tries > MOST_TRIES {
            return Err(Miss::TooMuch("places to look for libraries"));
        }
        let machine = self.machine;
        let read = self.resolver.object(&path);
        match read.and_then(|object| check(&object, machine).map(|()| object)) {
            Ok(object) => Ok(Some(Found { path, object, source, special })),
            // musl takes the first file there is, for whatever processor, and fails.
            Err(problem)
                if problem.is_passed_over() && (problem == Problem::Absent || !self.loader.is_musl()) =>
            {
                if tried.len() < MOST_REPORTED {
                    tried.push(Tried { path, source, problem });
                }
                Ok(None)
            }
            Err(problem) => Err(Miss::Broken(path, problem)),
        }
    }
}

/// Whether a loader for `machine` takes the file.
pub(super) fn check(object: &Object, machine: Machine) -> Result<(), Problem> {
    let found = object.elf()?.machine;
    if found == machine { Ok(()) } else { Err(Problem::Foreign { found, wanted: machine }) }
}
