//! The layers of a jail's confinement, and what became of each: enforced, degraded because this host lacks something and the
//! manifest allows that, or off because the manifest says so. Decided while resolving, never while running: a layer that
//! is enforced has steps in the plan, and a step that fails ends the start.

use super::Origin;

/// One layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// Ids that mean nothing to the host, see user_namespaces(7).
    UserNamespace,
    /// A session keyring of the jail's own, see keyrings(7).
    Keyring,
    /// What of /proc tells of the host is covered or hidden.
    Proc,
    /// Limits on what the jail can use up.
    Limits,
    /// Where files may be written, and which sockets and processes be reached, see landlock(7).
    Landlock,
    /// Which system calls may be made, see seccomp(2).
    Seccomp,
}

impl Layer {
    /// All layers, from the outermost in.
    pub const ALL: [Self; 6] =
        [Self::UserNamespace, Self::Keyring, Self::Proc, Self::Limits, Self::Landlock, Self::Seccomp];

    /// The name in a manifest and in a report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserNamespace => "user_namespace",
            Self::Keyring => "keyring",
            Self::Proc => "proc",
            Self::Limits => "limits",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
        }
    }
}

/// What became of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// All of it is enforced.
    Enforced,
    /// All is enforced that this host knows, and what it does not know is held by other layers: what that is.
    EnforcedBut(String),
    /// A part of it, or all, is not, since this host lacks something and the manifest allows that: what is missing.
    Degraded(String),
    /// It is not wanted, or does not apply: why.
    Off(String),
}

impl Enforcement {
    /// The word for it in a report.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Enforced | Self::EnforcedBut(_) => "enforced",
            Self::Degraded(_) => "degraded",
            Self::Off(_) => "off",
        }
    }

    /// What is missing, or why it is off.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Enforced => None,
            Self::EnforcedBut(reason) | Self::Degraded(reason) | Self::Off(reason) => Some(reason),
        }
    }
}

/// A layer with what became of it and because of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerState {
    /// Which.
    pub layer: Layer,
    /// What became of it.
    pub enforcement: Enforcement,
    /// Because of what.
    pub origin: Origin,
}
