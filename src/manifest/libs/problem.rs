//! What can be wrong with one file.

use std::{fmt, io};

use super::machine::Machine;

/// A part of an ELF file, so that a message can say which one is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first 52 or 64 bytes.
    Header,
    /// The list of segments.
    ProgramHeaders,
    /// The path in `PT_INTERP`.
    Interpreter,
    /// `PT_DYNAMIC`.
    Dynamic,
    /// `DT_STRTAB`.
    Strings,
    /// `PT_NOTE`.
    Notes,
}

impl Part {
    pub(super) fn corrupt(self, detail: &'static str) -> Problem {
        Problem::Corrupt { part: self, detail }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "ELF header",
            Self::ProgramHeaders => "program headers",
            Self::Interpreter => "interpreter path (PT_INTERP)",
            Self::Dynamic => "dynamic section",
            Self::Strings => "dynamic string table",
            Self::Notes => "notes",
        })
    }
}

/// Why a file cannot be used, or is not the one searched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There is no such file.
    Absent,
    /// The system refused, in its words.
    Unreadable(String),
    /// A directory, device, FIFO or socket.
    NotAFile,
    /// Nobody may execute it: no `x` bit.
    NotExecutable,
    /// Neither ELF nor a script.
    UnknownFormat,
    /// An ELF file, but an object file or core dump.
    NotLoadable,
    /// Built for another processor than the program that needs it; a loader passes over such a library.
    Foreign {
        /// What the library was built for.
        found: Machine,
        /// What the program was built for.
        wanted: Machine,
    },
    /// The file ends too early.
    Truncated {
        /// What was being read.
        part: Part,
        /// How long the file would have to be.
        end: u64,
        /// How long it is.
        length: u64,
    },
    /// The file contradicts the format.
    Corrupt {
        /// Where.
        part: Part,
        /// In which way.
        detail: &'static str,
    },
    /// The first line of a script is unusable, see execve(2), "Interpreter scripts".
    BadFirstLine(&'static str),
}

impl Problem {
    /// Whether a search goes on to the next directory. For anything else ld.so gives up: "invalid ELF header".
    pub(super) fn is_passed_over(&self) -> bool {
        matches!(self, Self::Absent | Self::Unreadable(_) | Self::Foreign { .. })
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Absent,
            _ => Self::Unreadable(error.to_string()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("no such file"),
            Self::Unreadable(reason) => write!(f, "cannot be read: {reason}"),
            Self::NotAFile => f.write_str("not a regular file"),
            Self::NotExecutable => f.write_str("not executable (no x bit)"),
            Self::UnknownFormat => f.write_str("neither an ELF file nor a script that begins with #!"),
            Self::NotLoadable => f.write_str("an ELF file, but neither a program nor a shared library"),
            Self::Foreign { found, wanted } => {
                write!(f, "built for {found} ({}), not for {wanted} ({})", found.class, wanted.class)
            }
            Self::Truncated { part, end, length } => {
                write!(f, "truncated in the {part}: {end} bytes expected, {length} there")
            }
            Self::Corrupt { part, detail } => write!(f, "corrupt {part}: {detail}"),
            Self::BadFirstLine(detail) => write!(f, "the #! line cannot be used: {detail}"),
        }
    }
}
