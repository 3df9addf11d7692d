//! Why a program cannot start, with everything needed to say so.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::places::Source;
use super::problem::Problem;

/// Why there is no closure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The program itself, or a library a loader would stop at, is unusable.
    File {
        /// The file.
        path: PathBuf,
        /// Who needs it, the program first; empty if it is the program.
        chain: Vec<PathBuf>,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The file named by `PT_INTERP` or `#!`. execve(2) then fails with ENOENT, as if the program itself were missing.
    Interpreter {
        /// The interpreter.
        path: PathBuf,
        /// The file that names it.
        by: PathBuf,
        /// What is wrong with the interpreter.
        problem: Problem,
    },
    /// No script of a chain is interpreted by a binary; the kernel says ELOOP.
    Scripts {
        /// The scripts, each interpreted by the next.
        chain: Vec<PathBuf>,
    },
    /// Libraries found nowhere.
    Missing(Vec<Missing>),
    /// More than any honest program needs.
    TooMuch {
        /// The program.
        program: PathBuf,
        /// What there is too much of.
        what: &'static str,
    },
}

/// A library found nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The name in `DT_NEEDED` or `.note.dlopen`.
    pub name: OsString,
    /// Who needs it: the program, then library by library down to the one that names it.
    pub chain: Vec<PathBuf>,
    /// Where it was looked for; the first 64 places.
    pub tried: Vec<Tried>,
}

/// One place where a library is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The file that would have served.
    pub path: PathBuf,
    /// Why it was tried.
    pub source: Source,
    /// Why it does not serve.
    pub problem: Problem,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, chain, problem } => {
                write!(f, "`{}`: {problem}", path.display())?;
                if chain.is_empty() { Ok(()) } else { write!(f, "; needed by {}", Chain(chain)) }
            }
            Self::Interpreter { path, by, problem } => {
                // `escape_debug` shows the CR of a script with line ends from Windows.
                write!(
                    f,
                    "`{}` is to be started by `{}`: {problem}",
                    by.display(),
                    path.to_string_lossy().escape_debug()
                )
            }
            Self::Scripts { chain } => {
                write!(f, "more than five scripts interpret each other (ELOOP): {}", Chain(chain))
            }
            Self::Missing(missing) => {
                for (number, missing) in missing.iter().enumerate() {
                    f.write_str(if number == 0 { "" } else { "\n" })?;
                    write!(f, "{missing}")?;
                }
                Ok(())
            }
            Self::TooMuch { program, what } => write!(f, "`{}` has too many {what}", program.display()),
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is nowhere to be found; needed by {}", self.name.display(), Chain(&self.chain))?;
        for tried in &self.tried {
            write!(f, "\n  {tried}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({}): {}", self.path.display(), self.source, self.problem)
    }
}

struct Chain<'a>(&'a [PathBuf]);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, path) in self.0.iter().enumerate() {
            write!(f, "{}`{}`", if number == 0 { "" } else { " -> " }, path.display())?;
        }
        Ok(())
    }
}
