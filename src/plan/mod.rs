//! The plan: one ordered list of typed steps. It is printed, explained, built and run; nothing else decides what happens.
//! Pure data: this directory imports nothing of ours and touches nothing.

pub mod calls;
pub mod capability;
mod class;
pub mod control;
mod display;
pub mod explain;
pub mod forward;
pub mod ids;
pub mod landlock;
pub mod layer;
pub mod listen;
mod notation;
mod operand;
pub mod order;
pub mod quote;
mod rules;
#[cfg(test)]
pub(crate) mod sample;
pub mod secure_bits;
pub mod step;
pub mod system_calls;
pub mod value;

use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;

pub use control::{Control, ControlGroup, ControlLimit};
pub use forward::{Port, Publish};
pub use ids::{Extent, IdMap};
pub use layer::{Enforcement, Layer, LayerState};
pub use listen::{Address, Listen, SocketKind};
pub use step::{Action, Bound, Step};
pub use value::{Account, HostPath, JailName, JailPath, Mode, Size, Span};

/// Everything that will happen to build a jail's tree and to run its program, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which jail.
    pub jail: JailName,
    /// The steps, grouped by phase in the order of [`Phase`].
    pub steps: Vec<Step>,
    /// What became of each layer of the run's confinement; empty for a plan that only builds.
    pub layers: Vec<LayerState>,
}

impl Plan {
    /// The steps of one phase, in order.
    pub fn phase(&self, phase: Phase) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |step| step.phase == phase)
    }

    /// The number of the step at `index`, from 1: the build and the run are counted each for itself, since a run does without
    /// the steps of a build that was done before.
    pub fn number(&self, index: usize) -> usize {
        let built = self.phase(Phase::Build).count();
        if index < built { index + 1 } else { index + 1 - built }
    }

    /// The steps that run a program: every phase but [`Phase::Build`], in order.
    pub fn run_steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.phase != Phase::Build)
    }
}

/// When and by whom a step is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// On disk, by `build`, below the tree's root descriptor.
    Build,
    /// By the supervisor, outside the jail.
    Parent,
    /// By PID 1 in the new namespaces, until the host's files are out of reach.
    Enter,
    /// By PID 1 (by the program's own process when `init = false`): what takes rights away.
    Confine,
    /// By the program's own process, last before it becomes the program.
    Exec,
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Self; 5] = [Self::Build, Self::Parent, Self::Enter, Self::Confine, Self::Exec];

    /// The phase's name, as printed and as in `--json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Parent => "parent",
            Self::Enter => "enter",
            Self::Confine => "confine",
            Self::Exec => "exec",
        }
    }

    /// What the phase is, in one line.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Build => "the tree on disk, made once by `stockade build`",
            Self::Parent => "by the supervisor, outside",
            Self::Enter => "in the new namespaces, while the host's files are still in reach",
            Self::Confine => "inside, taking rights away",
            Self::Exec => "by the program's own process, last",
        }
    }
}

/// Why a step or a value is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of a manifest asks for it.
    Manifest(Place),
    /// A command-line option asks for it; the option as typed.
    CommandLine(String),
    /// Nobody asked: it is the default, for the reason given.
    Default(&'static str),
    /// Found while resolving what somebody asked for: the finding (`DT_NEEDED libz.so.1 of /usr/sbin/nginx`) and what it serves.
    Resolved(String, Box<Origin>),
}

impl Origin {
    /// The same origin with a finding that leads from it to a step.
    #[must_use]
    pub fn found(&self, finding: impl Into<String>) -> Self {
        Self::Resolved(finding.into(), Box::new(self.clone()))
    }

    /// The place in a manifest this goes back to, if any.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Manifest(place) => Some(place),
            Self::Resolved(_, from) => from.place(),
            Self::CommandLine(_) | Self::Default(_) => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(place) => place.fmt(f),
            Self::CommandLine(option) => write!(f, "option `{option}`"),
            Self::Default(reason) => write!(f, "default: {reason}"),
            Self::Resolved(finding, from) => write!(f, "{finding}; {from}"),
        }
    }
}

/// A manifest's text, kept for as long as anything may have to point into it.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The file, as the user named it or as an include names it.
    pub path: PathBuf,
    /// Its whole text.
    pub text: String,
}

/// A place in a manifest.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// The manifest.
    pub source: Rc<Source>,
    /// Line, counted from 1.
    pub line: u32,
    /// Column, counted from 1, in characters.
    pub column: u32,
    /// How many characters of the line it covers, at least 1.
    pub length: u32,
}

impl Place {
    /// The line it stands in.
    pub fn excerpt(&self) -> &str {
        self.source.text.lines().nth(self.line as usize - 1).unwrap_or_default()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source.path.display(), self.line, self.column)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source.path.display(), self.line)
    }
}

/// A value together with where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

impl<T> At<T> {
    /// The value from another place of the same origin.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> At<U> {
        At { value: f(self.value), origin: self.origin }
    }
}
