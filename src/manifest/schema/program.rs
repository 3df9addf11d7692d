//! `[program]`: values of its own, and what follows from them.

use super::Program;
use crate::plan::At;

/// One flag of personality(2) under the name setarch(8) gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personality {
    /// `linux32`: `PER_LINUX32`, uname(2) says `i686`.
    Linux32,
    /// `uname26`: `UNAME26`, uname(2) says 2.6.x.
    Uname26,
    /// `no-randomize`: `ADDR_NO_RANDOMIZE`.
    NoRandomize,
    /// `compat-layout`: `ADDR_COMPAT_LAYOUT`, legacy order of mappings.
    CompatLayout,
    /// `read-implies-exec`: `READ_IMPLIES_EXEC`.
    ReadImpliesExec,
    /// `mmap-page-zero`: `MMAP_PAGE_ZERO`, page 0 is mapped read-only.
    MmapPageZero,
    /// `3gb`: `ADDR_LIMIT_3GB`.
    Limit3Gb,
    /// `sticky-timeouts`: `STICKY_TIMEOUTS`.
    StickyTimeouts,
    /// `whole-seconds`: `WHOLE_SECONDS`.
    WholeSeconds,
    /// `short-inode`: `SHORT_INODE`.
    ShortInode,
}

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
