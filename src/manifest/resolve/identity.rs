//! Who the program is: ids, groups, capabilities.

use std::ffi::OsString;

use super::accounts::Accounts;
use super::context::{Context, Ids, Steps};
use super::hosts_tree;
use super::ids::{not_granted, out_of_range};
use crate::manifest::finding::Finding;
use crate::manifest::schema::Manifest;
use crate::plan::IdMap;
use crate::plan::ids::COUNT;
use crate::plan::secure_bits::SecureBits;
use crate::plan::step::{Action, CapabilitySet};
use crate::plan::{Origin, Phase};

/// The program's ids with what they come from.
pub(super) struct Identity {
    /// User id inside.
    pub(super) uid: u32,
    /// Group id inside.
    pub(super) gid: u32,
    /// Supplementary groups, sorted as the kernel keeps them.
    pub(super) groups: Vec<u32>,
    /// The user's name, for USER and LOGNAME.
    pub(super) name: String,
    /// The user's home, for HOME.
    pub(super) home: OsString,
    /// Where the user comes from.
    pub(super) user_origin: Origin,
    /// Where the group comes from.
    pub(super) group_origin: Origin,
    /// Where the supplementary groups come from.
    pub(super) supplementary_origin: Origin,
}

/// The user a program runs as when the manifest names none.
const NOBODY: u32 = 65534;

/// Looks up the program's user and groups; what cannot be found is added to `findings`.
pub(super) fn resolve(
    manifest: &Manifest,
    accounts: &Accounts,
    ids: Ids,
    granted: Option<&IdMap>,
    findings: &mut Vec<Finding>,
) -> Identity {
    let mut found = |result: Result<u32, Finding>| {
        result.unwrap_or_else(|finding| {
            findings.push(finding);
            NOBODY
        })
    };
    let program = &manifest.program;
    let nobody = Origin::Default("a program that needs no rights gets none: user nobody");
    let (uid, primary, user_origin) = match &program.user {
        Some(user) => (
            found(accounts.uid_of(&user.value, &user.origin)),
            program.group.is_none().then(|| accounts.primary_group(&user.value, &user.origin)),
            user.origin.clone(),
        ),
        None => (NOBODY, Some(Ok(NOBODY)), nobody),
    };
    let (gid, group_origin) = match (&program.group, primary) {
        (Some(group), _) => (found(accounts.gid_of(&group.value, &group.origin)), group.origin.clone()),
        // An unknown user is one finding, not two.
        (None, primary) => {
            (primary.and_then(Result::ok).unwrap_or(NOBODY), user_origin.found("the user's own group"))
        }
    };
    let mut groups: Vec<u32> = program
        .supplementary_groups
        .iter()
        .map(|group| found(accounts.gid_of(&group.value, &group.origin)))
        .collect();
    groups.sort_unstable();
    groups.dedup();
    let supplementary_origin = program
        .supplementary_groups
        .first()
        .map_or(Origin::Default("the caller's groups are not the jail's"), |group| group.origin.clone());
    if ids == Ids::One
        && let Some(group) = program.supplementary_groups.first()
    {
        findings.push(
            Finding::error("an ordinary user cannot give supplementary groups", &group.origin)
                .why("user_namespaces(7): setgroups(2) is denied where an ordinary user wrote the id map")
                .hint("run as root, or use `group` for the one group that is needed"),
        );
    }
    if matches!(ids, Ids::Range(_)) {
        // A group that came with the user is no second finding.
        let group = (uid < COUNT || program.group.is_some()).then_some(("group", gid, &group_origin));
        let users = [("user", uid, &user_origin)].into_iter().chain(group);
        let more = groups.iter().map(|gid| ("group", *gid, &supplementary_origin));
        let beyond = users.chain(more).filter(|(_, id, _)| *id >= COUNT);
        findings.extend(beyond.map(|(what, id, origin)| out_of_range(what, id, origin)));
    }
    if let Some(map) = granted {
        let users = (map.outside_user(uid).is_none()).then_some(("user", uid, &user_origin));
        let all =
            [(gid, &group_origin)].into_iter().chain(groups.iter().map(|gid| (*gid, &supplementary_origin)));
        let groups = all.filter(|(gid, _)| !map.has_group(*gid)).map(|(gid, origin)| ("group", gid, origin));
        findings
            .extend(users.into_iter().chain(groups).map(|(what, id, origin)| not_granted(what, id, origin)));
    }
    let account = program.user.as_ref().and_then(|user| accounts.user(&user.value));
    let named = program.user.as_ref().map_or_else(|| "nobody".to_owned(), |user| user.value.to_string());
    Identity {
        uid,
        gid,
        groups,
        name: account.map_or(named, |user| user.name.clone()),
        home: account.map_or_else(|| "/".into(), |user| user.home.clone().into()),
        user_origin,
        group_origin,
        supplementary_origin,
    }
}

/// The capabilities the program has.
pub(super) fn capabilities(manifest: &Manifest) -> CapabilitySet {
    manifest.privileges.capabilities.iter().fold(CapabilitySet::EMPTY, |set, number| set.with(number.value))
}

/// Capabilities it may still get by executing a privileged file.
fn bounding(manifest: &Manifest) -> CapabilitySet {
    manifest.privileges.bounding.iter().fold(capabilities(manifest), |set, number| set.with(number.value))
}

/// What user 0 means in the jail, and what of it is final.
pub(super) fn secure_bits(manifest: &Manifest) -> SecureBits {
    // What is gained by a setuid program is for `bounding` to say, and such a program may use every bit.
    let root = if no_new_privileges(manifest) { SecureBits::NO_ROOT } else { SecureBits::default() };
    let bits = SecureBits::FIXUP.and(root);
    if capabilities(manifest) != CapabilitySet::EMPTY {
        // Kept over our own change of ids; and daemons that change theirs keep some the same way.
        bits.and(SecureBits::KEEP)
    } else if no_new_privileges(manifest) {
        bits.and(SecureBits::NO_KEEP).and(SecureBits::NO_AMBIENT)
    } else {
        bits
    }
}

/// The steps that give up rights, in the order in which each is still allowed.
pub(super) fn confine(context: &Context<'_>, steps: &mut Steps) {
    let identity = &context.identity;
    let privileges = &context.manifest.privileges;
    let mut push = |action, origin: &Origin| steps.push(Phase::Confine, action, origin);
    let none = Origin::Default("no capability unless the manifest names it");
    let origin = privileges.capabilities.first().map_or(&none, |first| &first.origin);
    push(
        Action::DropBounding { keep: bounding(context.manifest) },
        privileges.bounding.first().map_or(origin, |first| &first.origin),
    );
    let reason = if no_new_privileges(context.manifest) {
        "user 0 is a user like any other, whatever the caller's bits are"
    } else {
        "the caller's bits are not the jail's"
    };
    push(Action::LockSecureBits { bits: secure_bits(context.manifest) }, &Origin::Default(reason));
    if context.ids != Ids::One {
        push(Action::SetGroups { groups: identity.groups.clone() }, &identity.supplementary_origin);
    }
    push(Action::SetGid { gid: identity.gid }, &identity.group_origin);
    push(Action::SetUid { uid: identity.uid }, &identity.user_origin);
    let set = capabilities(context.manifest);
    push(Action::SetCapabilities { set }, origin);
    push(Action::SetAmbient { set }, origin);
    if no_new_privileges(context.manifest) {
        let default = Origin::Default("no program may gain what was dropped");
        let origin = privileges.no_new_privileges.as_ref().map_or(&default, |given| &given.origin);
        push(Action::NoNewPrivileges, origin);
    }
    // A change of ids sets the dumpable bit to what fs.suid_dumpable says, see PR_SET_DUMPABLE in prctl(2).
    push(Action::SetUndumpable, &Origin::Default("a change of ids may have made PID 1 dumpable again"));
    push(Action::DieWithParent, &Origin::Default("nothing is left behind when the supervisor is killed"));
}

/// Whether no_new_privs is set.
pub(super) fn no_new_privileges(manifest: &Manifest) -> bool {
    manifest.privileges.no_new_privileges.as_ref().is_none_or(|given| given.value)
}

/// What the child reads back and compares.
pub(super) fn verification(context: &Context<'_>) -> Action {
    let is_hosts = context.manifest.root.is_hosts();
    let may_set_groups = context.ids != Ids::One && (!is_hosts || context.host.is_root());
    let bits = if is_hosts { hosts_tree::secure_bits(context) } else { secure_bits(context.manifest) };
    Action::Verify {
        uid: context.identity.uid,
        gid: context.identity.gid,
        groups: may_set_groups.then(|| context.identity.groups.clone()),
        capabilities: capabilities(context.manifest),
        secure_bits: bits,
        no_new_privileges: no_new_privileges(context.manifest),
    }
}
