//! What can be wrong with an archive.

use std::fmt;
use std::io;

/// Why an archive cannot be used as a root.
#[derive(Debug)]
pub struct Error {
    /// The entry, layer or file of it, as it is named there; none for the archive as a whole.
    pub of: Option<Vec<u8>>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong.
#[derive(Debug)]
pub enum Problem {
    /// It cannot be read, or what was read not be kept.
    Call(io::Error),
    /// It is neither a tar archive nor compressed.
    NoArchive,
    /// It is compressed by this program, which we are not able to undo.
    Compressed(&'static str),
    /// The compressed data makes no sense.
    Damaged(&'static str),
    /// It ends in the middle.
    Short,
    /// It unpacks to more bytes than there is room for.
    TooLarge {
        /// How many there is room for.
        room: u64,
    },
    /// There is more of something than is read.
    TooMany(&'static str),
    /// A header is not as tar(5) has it.
    Header(&'static str),
    /// A name that leads outside, or nowhere.
    Name(&'static str),
    /// It is below a link, which would be followed.
    ThroughLink,
    /// It is below what is no directory.
    NoDirectory,
    /// A second name of a file that is not in the archive by then.
    NothingToLink(Vec<u8>),
    /// An image's file that is not what it should be.
    Layout(String),
}

/// The same without anything that has to be freed, for the innermost loops: what a part is called is known to who reads it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// [`Problem::NoArchive`]
    NoArchive,
    /// [`Problem::Short`]
    Short,
    /// [`Problem::TooMany`]
    TooMany(&'static str),
    /// [`Problem::Header`]
    Header(&'static str),
    /// [`Problem::Damaged`]
    Damaged(&'static str),
    /// [`Problem::TooLarge`]
    TooLarge(u64),
    /// [`Problem::Call`], by the number of its error.
    Call(i32),
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NoArchive => Self::NoArchive,
            Fault::Short => Self::Short,
            Fault::TooMany(what) => Self::TooMany(what),
            Fault::Header(what) => Self::Header(what),
            Fault::Damaged(what) => Self::Damaged(what),
            Fault::TooLarge(room) => Self::TooLarge { room },
            Fault::Call(number) => Self::Call(io::Error::from_raw_os_error(number)),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        // The few that std makes up itself are about ends and about writing nothing.
        error.raw_os_error().map_or(Self::Short, Self::Call)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::of_all(fault.into())
    }
}

impl Error {
    /// Something wrong with the whole.
    pub(super) fn of_all(problem: Problem) -> Self {
        Self { of: None, problem }
    }

    /// Something wrong with a part.
    pub(super) fn of(name: &[u8], problem: Problem) -> Self {
        Self { of: Some(name.to_owned()), problem }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match &self.problem {
            Problem::Compressed(program) => {
                format!("undo that first: `{program} -dk FILE`, and name what that makes")
            }
            Problem::NoArchive => {
                "name a directory, a tar archive (plain or by gzip), or a directory with an OCI image layout".into()
            }
            Problem::TooLarge { .. } => {
                "make room there, or set TMPDIR to a directory that has some; if it is a small archive, do not trust it".into()
            }
            Problem::Name(_) | Problem::ThroughLink | Problem::NoDirectory | Problem::NothingToLink(_) => {
                "no tool makes such an archive of a root by itself: do not trust it, or make it anew with `tar -C ROOT -c .`"
                    .into()
            }
            Problem::Short | Problem::Damaged(_) => "fetch or make it anew".into(),
            _ => return None,
        })
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::of_all(Problem::Call(error))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.of {
            let shown: String = String::from_utf8_lossy(name).chars().take(200).collect();
            write!(f, "`{}`: ", shown.escape_debug())?;
        }
        match &self.problem {
            Problem::Call(error) => error.fmt(f),
            Problem::NoArchive => f.write_str("this is no tar archive"),
            Problem::Compressed(program) => write!(f, "it is compressed by {program}"),
            Problem::Damaged(what) => write!(f, "the compressed data is damaged: {what}"),
            Problem::Short => f.write_str("it ends in the middle"),
            Problem::TooLarge { room } => {
                write!(f, "it unpacks to more than the {room} bytes that there is room for")
            }
            Problem::TooMany(what) => write!(f, "it has too many {what}"),
            Problem::Header(what) => write!(f, "its header is wrong: {what}"),
            Problem::Name(what) => write!(f, "its name {what}"),
            Problem::ThroughLink => f.write_str("it is below a symbolic link of the same archive"),
            Problem::NoDirectory => f.write_str("it is below what is no directory"),
            Problem::NothingToLink(target) => {
                let shown: String = String::from_utf8_lossy(target).chars().take(200).collect();
                write!(f, "it is a second name of `{}`, which is no file before it", shown.escape_debug())
            }
            Problem::Layout(what) => f.write_str(what),
        }
    }
}
