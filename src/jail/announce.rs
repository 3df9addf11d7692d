//! Telling whoever waits for it that the program has been executed, and which process it is. No call reports the success of an
//! execve(2) that somebody else makes; but the kernel keeps a mark on a process that was forked and has executed nothing yet.

use std::time::Duration;

use super::processes;
use super::state::Unwritten;

/// What is told: the number of the program's process, as the host counts.
pub type Tell<'a> = &'a dyn Fn(i32) -> Result<(), Unwritten>;

/// How often it is looked, once the program is about to be executed.
const GLANCE: Duration = Duration::from_millis(1);

/// Who is to be told, and what has been.
pub(super) struct Announcement<'a> {
    tell: Option<Tell<'a>>,
    /// Who is the program now, also if it has ended already.
    program: Option<i32>,
    told: Option<i32>,
    forking: bool,
}

impl<'a> Announcement<'a> {
    /// Nothing told yet. With `forking` another process may take the place of the first.
    pub(super) fn new(tell: Option<Tell<'a>>, forking: bool) -> Self {
        Self { tell, program: None, told: None, forking }
    }

    /// Whether reports of the jail's first processes are waited for.
    pub(super) fn is_urgent(&self) -> bool {
        self.tell.is_some() && (self.told.is_none() || self.forking)
    }

    /// This process is the program, or is about to be.
    pub(super) fn is(&mut self, program: i32) {
        self.program = Some(program);
    }

    /// After what time to look again at it.
    pub(super) fn glance(&self) -> Option<Duration> {
        (self.tell.is_some() && self.told.is_none() && self.program.is_some()).then_some(GLANCE)
    }

    /// Whether it is to be told of: it has not been, and may have executed something.
    pub(super) fn is_due(&self) -> bool {
        let is_mere_copy = |pid| processes::is_mere_copy(pid);
        self.tell.is_some() && self.told != self.program && !self.program.is_some_and(is_mere_copy)
    }

    /// Tells of it.
    pub(super) fn make(&mut self) -> Result<(), Unwritten> {
        self.told = self.program;
        match (self.tell, self.program) {
            (Some(tell), Some(program)) => tell(program),
            _ => Ok(()),
        }
    }
}
