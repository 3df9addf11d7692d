//! `[program]`: values of its own, and what follows from them.

use super::Program;
use crate::plan::At;

/// What a jail lives as long as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProgramType {
    /// `simple`: the program's own process. The default.
    Simple,
    /// `forking`: any process; the program goes into the background by itself, as daemons of old do.
    Forking,
    /// `notify`: the program's own process, which says by sd_notify(3) when it is ready.
    Notify,
}

impl Program {
    /// What says that the program says itself when it is ready, if it does.
    pub(in crate::manifest) fn notifies(&self) -> Option<&At<ProgramType>> {
        self.kind.as_ref().filter(|kind| kind.value == ProgramType::Notify)
    }

    /// The number of its process inside: that of the first after PID 1, unless it is PID 1 itself.
    pub(in crate::manifest) fn own_number(&self) -> &'static str {
        if self.init.as_ref().is_none_or(|init| init.value) { "2" } else { "1" }
    }
}
