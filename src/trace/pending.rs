//! A call between its beginning and its end: what will have been seen when its result is known.

use nix::libc;

use super::walk::{Found, Walked};
use crate::seen::{Kind, Use};

/// A path with what was there.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub path: Vec<u8>,
    pub kind: Kind,
}

/// What a call does with one path, if it succeeds.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub named: Named,
    pub uses: Vec<Use>,
    /// Whether it has to be there.
    pub needed: bool,
}

impl Planned {
    pub(super) fn of(walked: Walked, uses: Vec<Use>, needed: bool) -> Self {
        Self { named: Named { kind: walked.found.kind(), path: walked.path }, uses, needed }
    }
}

/// What a successful call changes for those that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    /// Where the process is.
    Place,
    /// Who it is.
    Credentials,
    /// What paths lead to.
    Names,
    /// Both.
    Mounts,
    /// Which program it executes, with these arguments.
    Program(Vec<Vec<u8>>),
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// The call's place in the table.
    pub at: usize,
    /// What it does with files.
    pub files: Vec<Planned>,
    /// Capabilities without which it would have failed.
    pub capabilities: Vec<u8>,
    pub after: After,
    /// Its result, where that is known beforehand: as the kernel returns it.
    pub expected: Option<i64>,
}

/// Results that are known beforehand.
pub(super) const DONE: i64 = 0;
pub(super) const MISSING: i64 = -(libc::ENOENT as i64);

impl Pending {
    pub(super) fn new(at: usize) -> Self {
        Self { at, files: Vec::new(), capabilities: Vec::new(), after: After::Nothing, expected: None }
    }

    /// Whether nothing depends on the result.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.capabilities.is_empty() && self.after == After::Nothing
    }

    /// The uses of one of its files that a result amounts to.
    pub(super) fn uses<'a>(&'a self, file: &'a Planned, result: i64) -> &'a [Use] {
        let error = i32::try_from(-result).unwrap_or(0);
        let is_nothing = file.named.kind == Kind::Nothing;
        match error {
            _ if result >= 0 => &file.uses,
            libc::ENOENT | libc::ENOTDIR => {
                // Of two, the one that had to be there and was not; if both were, who knows.
                let blamed = |file: &Planned| file.needed && file.named.kind == Kind::Nothing;
                let is_it = if self.files.iter().any(blamed) { blamed(file) } else { is_nothing };
                if is_it || self.files.len() == 1 { &[Use::Missing] } else { &[] }
            }
            libc::EACCES | libc::EPERM | libc::EROFS => &[Use::Refused],
            // It was in the way: that it is there is what the program has learnt.
            libc::EEXIST | libc::ENOTEMPTY if !is_nothing => &[Use::Looked],
            // Nobody listens now, or another kind of socket does; the way was found.
            libc::EINPROGRESS
            | libc::EAGAIN
            | libc::EINTR
            | libc::EALREADY
            | libc::ECONNREFUSED
            | libc::EPROTOTYPE
                if file.uses == [Use::Connected] =>
            {
                &file.uses
            }
            _ => &[],
        }
    }
}

impl Found {
    /// What is known of the result of looking there.
    pub(super) fn expected(self) -> Option<i64> {
        match self {
            Self::There(_) => Some(DONE),
            Self::Nothing => Some(MISSING),
            Self::Unknown => None,
        }
    }
}
