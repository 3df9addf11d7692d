//! Telling whoever waits for it that the program has been executed, and which process it is. No call reports the success of an
//! execve(2) that somebody else makes; but the kernel keeps a mark on a process that was forked and has executed nothing yet.

use std::time::Duration;

use super::processes;
use super::state::Unwritten;

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// The number of the program's process, as the host counts.
    pub pid: i32,
    /// Whether that is one that the program has left when it went into the background.
    pub in_background: bool,
}

/// Who is told.
pub type Tell<'a> = &'a dyn Fn(Started) -> Result<(), Unwritten>;

/// How often it is looked, once the program is about to be executed.
const GLANCE: Duration = Duration::from_millis(1);

/// Who is to be told, and what has been.
pub(super) struct Announcement<'a> {
    tell: Option<Tell<'a>>,
    /// Who is the program now, also if it has ended already.
    program: Option<i32>,
    /// Whether that is one that the program has left: it need not have executed anything itself.
    is_heir: bool,
    told: Option<i32>,
    forking: bool,
}

impl<'a> Announcement<'a> {
    /// Nothing told yet. With `forking` another process may take the place of the first.
    pub(super) fn new(tell: Option<Tell<'a>>, forking: bool) -> Self {
        Self { tell, program: None, is_heir: false, told: None, forking }
    }

    /// Whether reports of the jail's first processes are waited for.
    pub(super) fn is_urgent(&self) -> bool {
        (self.tell.is_some() && self.told.is_none()) || self.follows()
    }

    /// This process is the program, or is about to be.
    pub(super) fn is(&mut self, program: i32) {
        (self.program, self.is_heir) = (Some(program), false);
    }

    /// The program has been executed and has ended, and this process stands for it from now on.
    pub(super) fn has_become(&mut self, heir: i32) {
        (self.program, self.is_heir) = (Some(heir), true);
    }

    /// Whether it is told of those that take the program's place.
    pub(super) fn follows(&self) -> bool {
        self.tell.is_some() && self.forking
    }

    /// After what time to look again at it.
    pub(super) fn glance(&self) -> Option<Duration> {
        (self.tell.is_some() && self.told.is_none() && self.program.is_some()).then_some(GLANCE)
    }

    /// Whether it is to be told of: it has not been, and may have executed something.
    pub(super) fn is_due(&self) -> bool {
        let is_mere_copy = |pid| !self.is_heir && processes::is_mere_copy(pid);
        self.tell.is_some() && self.told != self.program && !self.program.is_some_and(is_mere_copy)
    }

    /// Tells of it.
    pub(super) fn make(&mut self) -> Result<(), Unwritten> {
        self.told = self.program;
        match (self.tell, self.program) {
            (Some(tell), Some(pid)) => tell(Started { pid, in_background: self.is_heir }),
            _ => Ok(()),
        }
    }
}
