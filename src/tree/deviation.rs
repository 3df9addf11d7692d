//! How a tree differs from its record.

use std::path::PathBuf;

/// A path that is not as it was built.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deviation {
    /// The path, as the jailed program says it.
    pub path: PathBuf,
    /// What is the matter with it.
    pub kind: DeviationKind,
    /// What is different, a phrase each.
    pub details: Vec<String>,
    /// Why it is in the tree, unless it does not belong there.
    pub reason: Option<String>,
}

/// What is the matter with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviationKind {
    /// It is not what was built.
    Altered,
    /// It is not there.
    Missing,
    /// It was not built.
    Added,
}

impl DeviationKind {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Altered => "altered",
            Self::Missing => "missing",
            Self::Added => "added",
        }
    }
}

/// What a verification came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// What is not as it was built, by path.
    pub deviations: Vec<Deviation>,
    /// How many more there are.
    pub untold: usize,
    /// Paths looked at.
    pub paths: usize,
    /// Bytes read.
    pub bytes: u64,
}
