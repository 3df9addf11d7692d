//! Which system calls the program may make: the manifest's words as a filter, and where in the run it is installed.

use super::context::Context;
use super::{circumstances, command, hosts_tree, identity};
use crate::manifest::finding::Finding;
use crate::manifest::libs::Machine;
use crate::manifest::schema::{Manifest, SystemCalls};
use crate::plan::step::Action;
use crate::plan::system_calls::profiles::Profile;
use crate::plan::system_calls::{Architecture, Decision, Entry, Filter, Policy, Refusal};
use crate::plan::{Enforcement, JailPath, Origin, Phase, Step};

/// What the manifest wants, or the default.
fn wanted(manifest: &Manifest) -> (SystemCalls, Origin) {
    match &manifest.privileges.system_calls {
        Some(given) => (given.value.clone(), given.origin.clone()),
        None => (
            SystemCalls::Profile(Profile::Default),
            Origin::Default("most programs need two thirds of the kernel's calls, most exploits the rest"),
        ),
    }
}

/// What becomes of calls that are refused.
fn refusal(manifest: &Manifest) -> Refusal {
    manifest.privileges.system_calls_action.as_ref().map(|given| given.value).unwrap_or_default()
}

/// Whether there is a filter, and whether it holds anything.
pub(super) fn layer(context: &Context<'_>) -> (Enforcement, Origin) {
    let (wanted, origin) = wanted(context.manifest);
    if matches!(wanted, SystemCalls::Profile(Profile::All)) {
        return (Enforcement::Off("every system call is allowed".into()), origin);
    }
    if Architecture::NATIVE.is_none() {
        return (Enforcement::Degraded("there is no table of this processor's system calls".into()), origin);
    }
    if !context.host.seccomp {
        let missing = "this kernel takes no filters, or an outer filter forbids them (seccomp(2))";
        return (Enforcement::Degraded(missing.into()), origin);
    }
    match &context.manifest.privileges.system_calls_action {
        Some(given) if given.value == Refusal::Log => {
            (Enforcement::Off("calls that would be refused are logged and made".into()), given.origin.clone())
        }
        _ => (Enforcement::Enforced, origin),
    }
}

/// The words of a manifest, and what a filter made of them answers by: every call is let in where there is no filter.
pub fn of(manifest: &Manifest) -> (Vec<String>, Policy) {
    let capabilities = identity::capabilities(manifest);
    let wanted = wanted(manifest).0;
    let wanted = if manifest.root.is_hosts() { in_hosts_tree(wanted, manifest) } else { wanted };
    let (words, mut policy) = match wanted {
        SystemCalls::Profile(profile) => {
            (vec![profile.name().to_owned()], Policy::profile(profile, capabilities))
        }
        SystemCalls::List(list) => {
            let policy = Policy::list(list.iter().map(|(_, entry)| *entry), capabilities);
            (list.into_iter().map(|(word, _)| word).collect(), policy)
        }
    };
    policy.persona = circumstances::persona(manifest).1 as u32;
    if !circumstances::no_core_is_piped(manifest) {
        policy.open(Decision::CoreLimit);
    }
    (words, policy)
}

/// What the program may call, with the manifest's words for it; none where there is no filter.
fn policy(context: &Context<'_>) -> Option<(String, Policy, Origin)> {
    let (wanted, origin) = wanted(context.manifest);
    if !context.host.seccomp || matches!(wanted, SystemCalls::Profile(Profile::All)) {
        return None;
    }
    let (words, policy) = of(context.manifest);
    Some((words.join(" "), policy, origin))
}

/// The same without what only the filter can keep from the host's files and sockets.
fn in_hosts_tree(wanted: SystemCalls, manifest: &Manifest) -> SystemCalls {
    let mut list = match wanted {
        SystemCalls::Profile(profile) => vec![profile.name()].into_iter().filter_map(entry).collect(),
        SystemCalls::List(list) => list,
    };
    list.extend(hosts_tree::refused_calls(manifest).filter_map(entry));
    SystemCalls::List(list)
}

/// A word of a list, with what it means.
fn entry(word: &str) -> Option<(String, Entry)> {
    Entry::parse(word).map(|entry| (word.to_owned(), entry))
}

/// The step that installs the filter, if there is one: last of all, or, without no_new_privs, while there is CAP_SYS_ADMIN.
pub(super) fn filter(context: &Context<'_>, program: &JailPath) -> Result<Option<Step>, Finding> {
    let manifest = context.manifest;
    let privileged = !identity::no_new_privileges(manifest);
    let (Some(native), Some((words, policy, origin))) = (Architecture::NATIVE, policy(context)) else {
        return Ok(None);
    };
    if privileged && !matches!(wanted(manifest).0, SystemCalls::Profile(Profile::Default | Profile::Daemon)) {
        return Err(Finding::error("this filter cannot be had without no_new_privs", &origin)
            .why("seccomp(2): without it the filter is installed while the jail still has CAP_SYS_ADMIN, and would hold the rest of the set-up too")
            .hint("leave `no_new_privileges` out, or write `system_calls = \"daemon\"`"));
    }
    let (architectures, origin) = architectures(context, native, program, origin)?;
    let filter = Filter::new(words, policy, refusal(manifest), architectures);
    let phase = if privileged { Phase::Confine } else { Phase::Exec };
    Ok(Some(Step { action: Action::FilterSystemCalls { filter, privileged }, phase, origin }))
}

/// The processors whose calls are let in: this one's, and those that the manifest names; or, if it names none, what the program is for.
fn architectures(
    context: &Context<'_>,
    native: Architecture,
    program: &JailPath,
    origin: Origin,
) -> Result<(Vec<Architecture>, Origin), Finding> {
    let mut architectures = vec![native];
    let given = context.manifest.privileges.architectures.as_deref();
    for named in given.unwrap_or_default() {
        match (native, named.value) {
            (native, named) if native == named => {}
            (Architecture::X86_64, Architecture::X86_32) => architectures.push(named.value),
            _ => {
                return Err(Finding::error(
                    format!("this machine runs no programs for {}", named.value.name()),
                    &named.origin,
                )
                .hint(format!("take it out: this is {}", native.name())));
            }
        }
    }
    architectures.dedup();
    let is_narrow = native == Architecture::X86_64
        && !architectures.contains(&Architecture::X86_32)
        && command::machine(context.manifest, context.host, context.tree.as_path(), program)
            == Some(Machine::X86_32);
    match (is_narrow, given) {
        (false, _) => Ok((architectures, origin)),
        (true, None) => {
            architectures.push(Architecture::X86_32);
            Ok((architectures, origin.found(format!("`{program}` is a 32-bit program"))))
        }
        (true, Some(_)) => {
            let origin = context.manifest.program.command.as_ref().map_or(&origin, |command| &command.origin);
            Err(Finding::error(
                format!("`{program}` is a 32-bit program, whose system calls are not let in"),
                origin,
            )
            .hint("write `architectures = [\"x86-32\"]` under `[privileges]`, or leave the key out"))
        }
    }
}

/// Whether PID 1 filters itself, which only no_new_privs allows it by then.
pub(super) fn init_is_filtered(context: &Context<'_>) -> bool {
    Architecture::NATIVE.is_some() && context.host.seccomp && identity::no_new_privileges(context.manifest)
}
