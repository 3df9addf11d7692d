//! What each part of a run's plan is made with: all that it depends on, the steps so far, and the choice between what somebody wrote and
//! a default.

use super::accounts::Accounts;
use super::control_groups::Controls;
use super::identity::Identity;
use super::ids::Granted;
use super::proc::Covers;
use super::view::host_root;
use crate::manifest::links;
use crate::manifest::schema::Manifest;
use crate::plan::ids::UNMAPPED;
use crate::plan::step::{Action, IdSpace, Idmap};
use crate::plan::{At, HostPath, Origin, Phase, Step};
use crate::sys::descriptor::Descriptor;
use crate::sys::host::Host;

/// Everything the run part depends on.
pub(super) struct Context<'a> {
    /// The manifest.
    pub(super) manifest: &'a Manifest,
    /// The host.
    pub(super) host: &'a Host,
    /// Where the tree is.
    pub(super) tree: &'a HostPath,
    /// What ids inside are outside.
    pub(super) ids: Ids,
    /// The ids of [`Ids::Granted`].
    pub(super) granted: Option<Granted>,
    /// The users and groups known to the host, and those the manifest brings; none if it names none.
    pub(super) accounts: &'a Accounts,
    /// The program's ids.
    pub(super) identity: Identity,
    /// What is to be covered of a masked /proc; `None` if that is not wanted, or cannot be told.
    pub(super) covers: Option<Covers>,
    /// The sockets that a service manager has passed for the program.
    pub(super) passed: Vec<Descriptor>,
    /// The control groups for its limits.
    pub(super) controls: Controls,
}

impl Context<'_> {
    /// A source as the manifest means it, symbolic links followed: the kernel is told to follow none, so that none that is put there
    /// later leads elsewhere. What is absent or out of reach stays as it is, for the run to say so; a link that leads nowhere, or where it must not since
    /// somebody may have put it there for the jail, is an error.
    pub(super) fn without_link(&self, source: &HostPath) -> Result<HostPath, links::Error> {
        let is_link = || {
            let found = self.host.path(source.as_path()).symlink_metadata();
            found.is_ok_and(|found| found.is_symlink())
        };
        match host_root(self.host, self.manifest).real(source.as_path()) {
            Ok(real) => Ok(HostPath::parse(real).unwrap_or_else(|_| source.clone())),
            Err(error @ links::Error::Distrusted { .. }) => Err(error),
            Err(error) if is_link() => Err(error),
            Err(_) => Ok(source.clone()),
        }
    }

    /// How owners on a single mount are translated, by the maps of one of the user namespaces, if there are any.
    pub(super) fn translated(&self, space: IdSpace) -> Option<Idmap> {
        matches!(self.ids, Ids::Range(_)).then_some(Idmap { space, below: false })
    }

    /// Who the program is outside.
    pub(super) fn outside_uid(&self) -> u32 {
        match self.ids {
            Ids::Host => self.identity.uid,
            Ids::One => self.host.uid,
            Ids::Granted => {
                let granted =
                    self.granted.as_ref().and_then(|granted| granted.map.outside_user(self.identity.uid));
                granted.unwrap_or(UNMAPPED)
            }
            Ids::Range(first) => first + self.identity.uid,
        }
    }

    /// Whether the program has any right of the host's root.
    pub(super) fn privileged(&self) -> bool {
        let privileges = &self.manifest.privileges;
        let named = !privileges.capabilities.is_empty() || !privileges.bounding.is_empty();
        self.ids == Ids::Host && (self.identity.uid == 0 || named)
    }

    /// Whether the caller is the kernel's user 0, and lacks the capabilities to give other ids than that, as in many containers.
    pub(super) fn is_hosts_root_with_one_id(&self) -> bool {
        self.ids == Ids::One && self.host.uid == 0 && self.host.first_user_namespace
    }

    /// Whether no limit on a user's processes holds the program: none holds the kernel's user 0.
    pub(super) fn has_no_limit_of_processes(&self) -> bool {
        self.privileged() || self.is_hosts_root_with_one_id()
    }
}

/// What the ids inside a jail are outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    /// The same.
    Host,
    /// One user and one group, which are the caller's: an ordinary user has no more to give.
    One,
    /// The caller, who is root inside, and what the host grants to it: [`Context::granted`].
    Granted,
    /// As many as there are in [`crate::plan::IdMap::range`], from this one on.
    Range(u32),
}

/// Steps in the making.
#[derive(Default)]
pub(super) struct Steps(pub(super) Vec<Step>);

impl Steps {
    /// One more step.
    pub(super) fn push(&mut self, phase: Phase, action: Action, origin: &Origin) {
        self.0.push(Step { action, phase, origin: origin.clone() });
    }

    /// One more step that nobody asked for.
    pub(super) fn unasked(&mut self, phase: Phase, action: Action, reason: &'static str) {
        self.push(phase, action, &Origin::Default(reason));
    }
}

/// The value somebody wrote, or the default with its reason.
pub(super) fn or_default<T: Clone>(given: Option<&At<T>>, default: T, reason: &'static str) -> (T, Origin) {
    match given {
        Some(at) => (at.value.clone(), at.origin.clone()),
        None => (default, Origin::Default(reason)),
    }
}
