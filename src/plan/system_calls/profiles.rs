//! The profiles: what a manifest's `system_calls` may say in one word. Each is a list as a manifest could write it.

/// A profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// What ordinary programs need, and daemons that start as their own user.
    Default,
    /// For daemons that start as root and give up rights by themselves: what each capability of the manifest is for is opened.
    Daemon,
    /// For a computation: no network, nothing of other users.
    Compute,
    /// Every call. By itself it is no filter at all; in a list, all that is in the table.
    All,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 4] = [Self::Default, Self::Daemon, Self::Compute, Self::All];

    /// The name in a manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Daemon => "daemon",
            Self::Compute => "compute",
            Self::All => "all",
        }
    }

    /// What it is, in one line.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Default => "what ordinary programs and daemons need; what is refused is listed below",
            Self::Daemon => "the same, and what the capabilities in the manifest are for",
            Self::Compute => {
                "`default` without sockets, but for a connected pair of them, and without other ids: for a program that computes"
            }
            Self::All => "no filter",
        }
    }
}

/// What `compute` is made of, as words of a list.
pub(super) const COMPUTE: [&str; 12] = [
    "default",
    "-@network-io",
    "-@setuid",
    // What is left to do with a connected pair of sockets; the pair itself has to be connected.
    "socketpair",
    "sendto",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "shutdown",
    "getsockname",
    "getsockopt",
    "setsockopt",
];
