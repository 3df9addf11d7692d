//! The shared libraries a program needs, found as the dynamic loader will find them, without running anything.
//!
//! ldd(1) starts the loader, and thereby may start the program it is asked about (CVE-2009-5064). So the files are read
//! here, as data. Theory of operation:
//!
//! 1. `object` opens a file and tells ELF from script; `elf` reads the parts of an ELF file that matter at start,
//!    through the bounds of `reader`.
//! 2. `resolver` follows scripts to their interpreters (`script`), then hands each binary to `graph`.
//! 3. `graph` loads, breadth first as ld.so(8) does, what `DT_NEEDED` names, and `search` finds the file of each: `places`
//!    gives the directories in order, from the search paths of the objects and from what the `loader` has built in;
//!    `cache` and `conf` read the host's lists; `hwcaps` knows which variants this processor can use.
//! 4. Beyond `DT_NEEDED` there are libraries loaded later: those a `dlopen` note declares, and the unwinder
//!    that ending a thread takes (`imports`).
//!
//! Files may be hostile: each kind of reading has a cap beside its code, and what a whole closure may cost is in `graph`.
//!
//! What cannot be seen: libraries opened under names made at run time (plugins, PAM, NSS), `LD_LIBRARY_PATH` and
//! `LD_PRELOAD` (the jail's environment starts empty), `/etc/ld.so.preload` (a host's policy, not a program's need).

#![forbid(unsafe_code)]

mod cache;
mod conf;
mod dlopen;
mod elf;
mod error;
mod file;
mod graph;
pub mod hostile;
mod hwcaps;
mod imports;
mod loader;
mod machine;
mod object;
mod places;
mod problem;
mod reader;
mod resolver;
mod script;
mod search;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::links::Root;

pub use dlopen::{Priority, Request};
pub use error::{Error, Missing, Tried};
pub use machine::{Class, Machine};
pub use places::Source;
pub use problem::{Part, Problem};
pub use resolver::Resolver;

/// Everything a program needs to start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// The files, the program first; each path once.
    pub files: Vec<Needed>,
    /// What the reader should know although it is no error.
    pub notes: Vec<Note>,
}

/// One file, and who wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// The path the kernel or the loader will open, links not resolved: see [`super::links::chain`].
    pub path: PathBuf,
    /// Who needs it first; the program itself for [`Why::Program`].
    pub by: PathBuf,
    /// What for.
    pub why: Why,
}

/// Why a file is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is what was asked for.
    Program,
    /// `PT_INTERP`: the kernel starts the program by starting this loader.
    Interpreter,
    /// `DT_NEEDED`.
    Needed {
        /// The name asked for.
        soname: OsString,
    },
    /// What a processor without the extensions of this one will load instead: glibc-hwcaps.
    Baseline {
        /// The name asked for.
        soname: OsString,
    },
    /// `DT_FILTER` or `DT_AUXILIARY`.
    Filter {
        /// The name asked for.
        soname: OsString,
    },
    /// `.note.dlopen`.
    Dlopen {
        /// The name asked for.
        soname: OsString,
        /// How much it is missed.
        priority: Priority,
    },
    /// The unwinder, loaded when a thread ends early.
    ThreadExit,
    /// A `#!` line.
    Script {
        /// Interpreter and argument, separated by one blank.
        line: OsString,
    },
    /// The loader finds `library` only with this file: its directory is not one the loader has built in.
    SearchPath {
        /// The library.
        library: PathBuf,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program => f.write_str("the program"),
            Self::Interpreter => f.write_str("the dynamic loader (PT_INTERP)"),
            Self::Needed { soname } => write!(f, "{} (DT_NEEDED)", soname.display()),
            Self::Baseline { soname } => write!(f, "{} for lesser processors", soname.display()),
            Self::Filter { soname } => write!(f, "{} (DT_FILTER)", soname.display()),
            Self::Dlopen { soname, priority } => write!(f, "{} (dlopen note, {priority})", soname.display()),
            Self::ThreadExit => f.write_str("loaded by the C library when a thread ends early"),
            Self::Script { line } => write!(f, "the first line, #!{}", line.display()),
            Self::SearchPath { library } => write!(f, "tells the loader where {} is", library.display()),
        }
    }
}

/// Something to know about a closure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A recommended library of a dlopen note is not on this host, or is broken.
    DlopenAbsent {
        /// Who declares it.
        by: PathBuf,
        /// The declaration.
        request: Request,
    },
    /// A library of a dlopen note is left out, as few need it.
    DlopenSuggested {
        /// Who declares it.
        by: PathBuf,
        /// The declaration.
        request: Request,
    },
    /// A dlopen note is not the JSON it should be.
    DlopenUnreadable {
        /// Whose note it is.
        by: PathBuf,
        /// What the parser says.
        problem: String,
    },
    /// A `DT_AUXILIARY` library is not there; the loader goes on without it.
    AuxiliaryAbsent {
        /// Who names it.
        by: PathBuf,
        /// The name.
        soname: OsString,
    },
    /// Ending a thread early will abort the program, as `libgcc_s.so.1` is not on this host.
    ThreadExitAbsent {
        /// Who calls `pthread_exit`, `pthread_cancel` or `thrd_exit`.
        by: PathBuf,
    },
    /// The library is in a directory of `/etc/ld.so.conf`, but no cache was made: ldconfig(8) must run before the loader
    /// can find it.
    NotInCache {
        /// The library.
        library: PathBuf,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DlopenAbsent { by, request } => write!(
                f,
                "`{}` recommends {} ({}), not found here",
                by.display(),
                request.soname.join(" or "),
                request.feature
            ),
            Self::DlopenSuggested { by, request } => write!(
                f,
                "`{}` can use {} ({}), left out: only suggested",
                by.display(),
                request.soname.join(" or "),
                request.feature
            ),
            Self::DlopenUnreadable { by, problem } => {
                write!(f, "the dlopen note of `{}` cannot be read: {problem}", by.display())
            }
            Self::AuxiliaryAbsent { by, soname } => {
                write!(f, "`{}` would use {} (DT_AUXILIARY), not found here", by.display(), soname.display())
            }
            Self::ThreadExitAbsent { by } => write!(
                f,
                "`{}` ends threads early, which aborts the program without libgcc_s.so.1, not found here",
                by.display()
            ),
            Self::NotInCache { library } => write!(
                f,
                "`{}` is in a directory of /etc/ld.so.conf, but there is no /etc/ld.so.cache: run ldconfig(8)",
                library.display()
            ),
        }
    }
}

/// Everything `program` needs to start, as seen under `root`. For several programs make one [`Resolver`].
pub fn closure(root: &Root, program: &Path) -> Result<Closure, Error> {
    Resolver::new(root).closure(program)
}

/// Whether a program loads libraries by name, of which its headers tell nothing. Of a file that cannot be read nothing is known.
pub fn loads_by_name(root: &Root, path: &Path) -> bool {
    let Ok(object::Object { content: object::Content::Elf(elf), .. }) = object::Object::read(root, path)
    else {
        return false;
    };
    let Ok((file, metadata)) = file::open(root, path) else { return false };
    elf.symbols.is_some_and(|symbols| imports::loads_by_name(&(file, metadata.len()), &symbols))
}

/// The processor that a program is for, or the interpreter of a script; by a look at the first bytes, as it is taken at every start.
pub fn machine(root: &Root, path: &Path) -> Option<Machine> {
    use std::os::unix::fs::FileExt;
    let first_bytes = |path: &Path| {
        let (file, _) = file::open(root, path).ok()?;
        let mut start = [0; script::FIRST_BYTES];
        let length = file.read_at(&mut start, 0).ok()?;
        Some((start, length))
    };
    let (start, length) = first_bytes(path)?;
    if !start.starts_with(b"#!") {
        return elf::machine(&start);
    }
    let line = script::first_line(start.get(..length)?).ok()?;
    elf::machine(&first_bytes(&line.interpreter)?.0)
}

/// What kind of file execve(2) would find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A program or shared library.
    Elf {
        /// What it was built for; compare with [`Machine::ours`].
        machine: Machine,
        /// `PT_INTERP`.
        interpreter: Option<PathBuf>,
        /// Neither loader nor libraries.
        is_static: bool,
    },
    /// It begins with `#!`.
    Script {
        /// The program to start.
        interpreter: PathBuf,
        /// All the rest of the line.
        argument: Option<OsString>,
    },
    /// Neither: execve(2) says ENOEXEC, and a shell would try to run it as a script.
    Other,
}

/// What the file at `path` is, without asking for the libraries.
pub fn describe(root: &Root, path: &Path) -> Result<Kind, Error> {
    use std::os::unix::ffi::OsStringExt;
    let failed = |problem| Error::File { path: path.to_owned(), chain: Vec::new(), problem };
    let content = match object::Object::read(root, path) {
        Ok(object) => object.content,
        Err(Problem::NotLoadable) => object::Content::Other,
        Err(problem) => return Err(failed(problem)),
    };
    Ok(match content {
        object::Content::Elf(elf) => Kind::Elf {
            machine: elf.machine,
            is_static: elf.interpreter.is_none() && elf.needed.is_empty(),
            interpreter: elf.interpreter,
        },
        object::Content::Script(line) => {
            Kind::Script { interpreter: line.interpreter, argument: line.argument.map(OsString::from_vec) }
        }
        object::Content::Other => Kind::Other,
    })
}
