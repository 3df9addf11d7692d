//! Which system calls a jail may make: what is decided, and the filter that enforces it, see seccomp(2).
//!
//! Theory of operation:
//!
//! 1. `table` lists every system call of the kernels known to us, with its number on each processor, systemd's groups it is in, and
//!    what the profile `default` says of it: allowed, refused because of a [`Decision`], or allowed if its arguments pass a [`Test`].
//!    What the kernel can look at are the six registers; what is behind a pointer it cannot.
//! 2. `decisions` has the reason of each refusal and what opens it; `groups` and `profiles` are the words of a manifest.
//! 3. A manifest's words become a [`Policy`] (`policy`): the calls that are allowed, and the decisions that are opened.
//! 4. `compile` turns a policy into a program of classic BPF for each processor whose calls are let in. The profile `default` is
//!    compiled with this crate: a start finds it ready.
//!
//! A number that is not in the table, because the kernel is newer than we are, is answered as an older kernel would: ENOSYS.

mod answer;
pub mod arguments;
mod compile;
pub mod decisions;
pub mod groups;
#[cfg(test)]
mod oracle;
mod policy;
pub mod profiles;
pub mod table;

use std::borrow::Cow;
use std::fmt;

use super::display::join;

pub use answer::{decisive, position};
pub use arguments::Test;
pub use compile::{INIT_PROGRAM, PROBE, PROBE_ANSWER, watching};
pub use decisions::{Decision, REASONS};
pub use policy::{ALWAYS, Entry, Policy, Word};
pub use table::{CALLS, Call};

/// A processor, by whose numbers system calls are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86, which a 64-bit kernel serves as well.
    X86_32,
    /// 64-bit ARM.
    Aarch64,
}

impl Architecture {
    /// The one this binary is built for; none if we have no table of it.
    pub const NATIVE: Option<Self> = if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
        Some(Self::X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Self::Aarch64)
    } else {
        None
    };

    /// The name in a manifest, which is systemd's where it has one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86-64",
            Self::X86_32 => "x86-32",
            Self::Aarch64 => "arm64",
        }
    }

    /// `AUDIT_ARCH_…` of linux/audit.h: the ELF machine with a bit for little-endian and one for 64 bits.
    pub const fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xC000_003E,
            Self::X86_32 => 0x4000_0003,
            Self::Aarch64 => 0xC000_00B7,
        }
    }

    /// Its column in the table.
    const fn column(self) -> usize {
        match self {
            Self::X86_64 => 0,
            Self::X86_32 => 1,
            Self::Aarch64 => 2,
        }
    }
}

/// The errors a refused call may get, see errno(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errno {
    /// It is not permitted: what most programs expect of a call they have no right to.
    EPERM,
    /// The kernel has no such call: the C library, or the program, then does it another way.
    ENOSYS,
    /// The kernel has no such kind of socket.
    EPROTONOSUPPORT,
    /// The kernel has no such address family.
    EAFNOSUPPORT,
    /// None: the call is not made, and the program is told that it was. For what careful programs do to protect themselves and
    /// take a failure of as a reason to end.
    Success,
}

impl Errno {
    /// The number, the same on all of [`Architecture`].
    pub const fn number(self) -> u16 {
        match self {
            Self::EPERM => 1,
            Self::ENOSYS => 38,
            Self::EPROTONOSUPPORT => 93,
            Self::EAFNOSUPPORT => 97,
            Self::Success => 0,
        }
    }

    /// The kernel's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EPERM => "EPERM",
            Self::ENOSYS => "ENOSYS",
            Self::EPROTONOSUPPORT => "EPROTONOSUPPORT",
            Self::EAFNOSUPPORT => "EAFNOSUPPORT",
            Self::Success => "success",
        }
    }
}

/// What the profile `default` says of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It is allowed whatever its arguments are.
    Allow,
    /// It is refused with this error.
    Refuse(Decision, Errno),
    /// Its arguments decide.
    Test(Test),
}

/// What becomes of a call that is refused. A call that the table answers with ENOSYS, or with success, is answered so in any case:
/// the C library tries it before another, or every careful program makes it, so it says nothing about the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Refusal {
    /// It fails with the table's error.
    #[default]
    Errno,
    /// The process that makes it is killed by SIGSYS.
    Kill,
    /// It is made, and the kernel writes it to its log.
    Log,
}

impl Refusal {
    /// The name in a manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Errno => "errno",
            Self::Kill => "kill",
            Self::Log => "log",
        }
    }
}

/// One instruction of classic BPF: `struct sock_filter` of linux/filter.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// How many instructions to skip if the comparison holds.
    pub then: u8,
    /// How many to skip if it does not.
    pub otherwise: u8,
    /// Operand.
    pub operand: u32,
}

/// What a filter refuses because of one decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The decision's name.
    pub name: &'static str,
    /// The calls that are refused whole.
    pub calls: Vec<&'static str>,
    /// What is refused of other calls; empty if nothing is.
    pub when: &'static str,
    /// The errors of both.
    pub errors: Vec<Errno>,
    /// Why.
    pub why: &'static str,
}

impl Refused {
    /// One more error, if it is not there yet.
    fn error(&mut self, errno: Errno) {
        if !self.errors.contains(&errno) {
            self.errors.push(errno);
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, join(", ", &self.calls))?;
        if !self.when.is_empty() {
            let separator = if self.calls.is_empty() { "" } else { "; " };
            write!(f, "{separator}{}", self.when)?;
        }
        write!(f, ": {}", join(" or ", self.errors.iter().map(|errno| errno.name())))
    }
}

/// A filter: a policy with its words and the program made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The profile or the list it was made of, as in a manifest.
    pub words: String,
    /// What it allows.
    pub policy: Policy,
    /// What becomes of the rest.
    pub refusal: Refusal,
    /// Processors whose calls are let in, this binary's own first.
    pub architectures: Vec<Architecture>,
    /// What the kernel runs at every call.
    pub program: Cow<'static, [Instruction]>,
}

impl Filter {
    /// Compiles a policy. The most frequent one, `default` on this processor alone, is there already.
    pub fn new(words: String, policy: Policy, refusal: Refusal, architectures: Vec<Architecture>) -> Self {
        let program = compile::program(&policy, refusal, &architectures);
        Self { words, policy, refusal, architectures, program }
    }
}
