//! Rules about rights: what a program that is root may do, ids of the jail's own, capabilities, and marks on files that give some.

use crate::manifest::finding::Finding;
use crate::manifest::schema::{Manifest, Network, Proc, SystemCalls};
use crate::plan::capability;
use crate::plan::system_calls::decisions::Reason;
use crate::plan::system_calls::profiles::Profile;
use crate::plan::system_calls::{Decision, REASONS};
use crate::plan::value::Account;
use crate::plan::{At, Origin};

/// All rules of this file.
pub(super) fn rules(manifest: &Manifest, findings: &mut Vec<Finding>) {
    root_cannot_rewrite_itself(manifest, findings);
    root_cannot_set_the_host(manifest, findings);
    first_id_is_used(manifest, findings);
    a_range_has_a_user_namespace(manifest, findings);
    capability_leaves_a_jail(manifest, findings);
    capability_counts_on_the_host(manifest, findings);
    capability_can_be_used(manifest, findings);
    marks_have_an_effect(manifest, findings);
}

/// Whether the program runs as root, as far as the manifest tells.
fn runs_as_root(manifest: &Manifest) -> bool {
    match manifest.program.user.as_ref().map(|user| &user.value) {
        None => false,
        Some(Account::Name(name)) => name == "root",
        Some(Account::Id(id)) => *id == 0,
    }
}

fn root_cannot_rewrite_itself(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let writable = manifest.root.read_only.as_ref().filter(|read_only| !read_only.value);
    if let Some(writable) = writable.filter(|_| runs_as_root(manifest)) {
        findings.push(
            Finding::warning(
                "a program that is root can replace every program and library of this jail",
                &writable.origin,
            )
            .hint("keep the root read-only, and give each directory it writes to a `[[mounts]]`"),
        );
    }
}

/// Whether root's jail of this manifest has a user namespace, and so ids of its own.
fn has_own_ids(manifest: &Manifest) -> bool {
    let namespaces = &manifest.namespaces;
    let host = namespaces.network.as_ref().is_some_and(|network| network.value == Network::Host);
    namespaces.user.as_ref().map_or(!host, |user| user.value)
}

fn root_cannot_set_the_host(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let full = manifest.root.proc.as_ref().filter(|proc| proc.value == Proc::Full);
    if let Some(full) = full.filter(|_| runs_as_root(manifest) && !has_own_ids(manifest)) {
        findings.push(
            Finding::warning(
                "started by root, this program can change the settings of the host's kernel",
                &full.origin,
            )
            .why("/proc/sys and /proc/sysrq-trigger belong to root, which needs no capability to write there")
            .hint("leave `proc` out, choose another `user`, or say `user = true` under `[namespaces]`"),
        );
    }
}

fn a_range_has_a_user_namespace(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let namespaces = &manifest.namespaces;
    let wanted = namespaces.id_range.as_ref().filter(|wanted| wanted.value);
    if let (Some(wanted), Some(At { value: false, .. })) = (wanted, &namespaces.user) {
        findings.push(
            Finding::error("ids of the jail's own need a user namespace", &wanted.origin)
                .hint("take `user = false` out, or `id_range`"),
        );
    }
}

fn first_id_is_used(manifest: &Manifest, findings: &mut Vec<Finding>) {
    if let Some(first) = manifest.namespaces.first_id.as_ref().filter(|_| !has_own_ids(manifest)) {
        findings.push(
            Finding::warning("`first_id` has no effect", &first.origin)
                .why("without a user namespace of the jail's own its ids are the host's")
                .hint("say `user = true`, or leave it out"),
        );
    }
}

fn capability_leaves_a_jail(manifest: &Manifest, findings: &mut Vec<Finding>) {
    const TOTAL: [(&str, &str); 4] = [
        ("SYS_ADMIN", "can do most of what root of the host can"),
        ("SYS_MODULE", "can load code into the kernel"),
        ("SYS_RAWIO", "can write to the host's memory and disks"),
        (
            "DAC_READ_SEARCH",
            "can open any file of the host's file systems by its number, see open_by_handle_at(2)",
        ),
    ];
    // In a user namespace a capability counts for nothing outside it.
    if has_own_ids(manifest) {
        return;
    }
    for given in &manifest.privileges.capabilities {
        if capability::number("SYS_PTRACE") == Some(given.value) {
            findings.push(
                Finding::warning("with `SYS_PTRACE` the program can look into stockade's own process", &given.origin)
                    .why("PID 1 of the jail is a copy of the supervisor: in a jail started by root, who has this capability can read its memory, with the environment stockade was started with")
                    .hint("leave it out: processes of one's own user can be traced without it"),
            );
        }
        for (name, why) in TOTAL {
            if capability::number(name) == Some(given.value) {
                findings.push(
                    Finding::warning(format!("with `{name}` this jail holds nobody"), &given.origin)
                        .why(format!("who has it, in a jail started by root, {why}"))
                        .hint("look for a narrower capability in capabilities(7)"),
                );
            }
        }
    }
}

fn capability_counts_on_the_host(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let namespaces = &manifest.namespaces;
    let inside = namespaces.user.as_ref().is_some_and(|user| user.value);
    let host = namespaces.network.as_ref().is_some_and(|network| network.value == Network::Host);
    for given in manifest.privileges.capabilities.iter().filter(|_| inside && host) {
        let name = capability::NAMES[usize::from(given.value)];
        if name.starts_with("NET_") {
            findings.push(
                Finding::warning(format!("`{name}` has no effect on the host's network here"), &given.origin)
                    .why("with `user = true` a capability counts only in the jail's own user namespace")
                    .hint("run as root without `user = true`, or with `network = \"none\"`"),
            );
        }
    }
}

/// A capability whose calls the filter refuses. That for networks has other uses beside sockets of netlink.
fn capability_can_be_used(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let profile = match &manifest.privileges.system_calls {
        None => Profile::Default,
        Some(At { value: SystemCalls::Profile(profile), .. }) => *profile,
        Some(_) => return,
    };
    if matches!(profile, Profile::Daemon | Profile::All) {
        return;
    }
    for given in &manifest.privileges.capabilities {
        let refused =
            |reason: &&Reason| reason.capability == Some(given.value) && reason.decision != Decision::Netlink;
        if let Some(reason) = REASONS.iter().find(refused) {
            let name = capability::NAMES[usize::from(given.value)];
            findings.push(
                Finding::warning(format!("`{name}` cannot be used"), &given.origin)
                    .why(format!("the profile `{}` of system calls refuses {}", profile.name(), reason.name))
                    .hint("write `system_calls = \"daemon\"` under `[privileges]`, which allows what capabilities are for"),
            );
        }
    }
}

fn marks_have_an_effect(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let privileges = &manifest.privileges;
    if privileges.no_new_privileges.as_ref().is_some_and(|on| !on.value) {
        return;
    }
    let mut warn = |what: &str, origin: &Origin| {
        findings.push(
            Finding::warning(format!("{what} have no effect"), origin)
                .why("under no_new_privileges, the default, no program gains rights by being started")
                .hint("add `no_new_privileges = false` under `[privileges]`, or leave this out"),
        );
    };
    if let Some(first) = privileges.bounding.first() {
        warn("capabilities in `bounding`", &first.origin);
    }
    let programs = manifest.tree.programs.iter().map(|program| (program.value.keep, &program.origin));
    let files = manifest.tree.files.iter().map(|files| (files.value.keep, &files.origin));
    for (keep, origin) in programs.chain(files) {
        if keep.setid || keep.capabilities {
            warn("kept setuid bits and file capabilities", origin);
        }
    }
}
