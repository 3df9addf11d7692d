//! What a program starts with beside its rights: limits, priority, execution domain, umask. Whatever the manifest does not say is set
//! all the same, so that a start does not depend on who starts it; where the caller has less than the default, or asked to be
//! less favoured than others, it is left at that.

use super::context::{Context, Steps, or_default};
use crate::manifest::schema::{Manifest, Personality};
use crate::plan::step::{Action, Scheduling};
use crate::plan::{Bound, Mode, Origin, Phase};
use crate::sys::host::Host;

/// One limit of a jail whose manifest does not name it.
struct Limit {
    resource: &'static str,
    /// What is enforced; `None` leaves what the caller has.
    soft: Bound,
    /// How far the program may raise it; `None` leaves what the caller has.
    hard: Bound,
    why: &'static str,
}

/// Short for one with both bounds equal.
const fn both(resource: &'static str, bound: u64, why: &'static str) -> Limit {
    Limit { resource, soft: Some(bound), hard: Some(bound), why }
}

/// Limits of every jail. A caller who has less hands on less.
const LIMITS: [Limit; 9] = [
    both(
        "RLIMIT_CORE",
        1,
        "a crash does not reach the host's core_pattern, whose programs pass over a limit of 0 and not of 1 (core(5))",
    ),
    both(
        "RLIMIT_MEMLOCK",
        8 << 20,
        "memory that cannot be swapped out is everybody's; the kernel's own default",
    ),
    both("RLIMIT_MSGQUEUE", 819_200, "message queues are memory of the kernel's; its own default"),
    both("RLIMIT_NICE", 0, "no program of a jail goes before the host's"),
    Limit {
        resource: "RLIMIT_NOFILE",
        soft: Some(1024),
        hard: Some(65_536),
        why: "select(2) breaks above 1024, and there are programs that close every descriptor they could have",
    },
    both("RLIMIT_NPROC", 1024, "a fork bomb stays inside"),
    both("RLIMIT_RTPRIO", 0, "no program of a jail keeps the host's off a processor"),
    both("RLIMIT_SIGPENDING", 4096, "signals and timers that wait are memory of the kernel's"),
    Limit {
        resource: "RLIMIT_STACK",
        soft: Some(8 << 20),
        hard: None,
        why: "without a limit on the stack, memory is laid out as it was before addresses were randomised (mmap(2), legacy layout)",
    },
];

/// Every step of these.
pub(super) fn steps(context: &Context<'_>, steps: &mut Steps) {
    limits(context, steps);
    scheduling(context, steps);
    let program = &context.manifest.program;
    if let Some(processors) = &program.cpu_affinity {
        let action = Action::SetAffinity { processors: processors.value.clone() };
        steps.push(Phase::Confine, action, &processors.origin);
    }
    let (flags, value) = persona(context.manifest);
    let plain =
        Origin::Default("not the caller's, whose debugger may have switched off what makes exploits hard");
    let origin = program.personality.first().map_or(&plain, |first| &first.origin);
    steps.push(Phase::Confine, Action::SetPersonality { flags, value }, origin);
    let (mask, origin) =
        or_default(program.umask.as_ref(), Mode(0o022), "not the caller's, so that each start is alike");
    steps.push(Phase::Confine, Action::SetUmask { mask }, &origin);
}

/// The limits of the manifest, and those of every jail that it does not name.
fn limits(context: &Context<'_>, steps: &mut Steps) {
    let given = &context.manifest.limits.resources;
    for limit in given {
        let action = Action::SetLimit {
            resource: limit.value.resource.name,
            soft: limit.value.soft,
            hard: limit.value.hard,
        };
        steps.push(Phase::Confine, action, &limit.origin);
    }
    for Limit { resource, soft, hard, why } in LIMITS {
        if given.iter().any(|given| given.value.resource.name == resource) {
            continue;
        }
        let (soft, hard) = at_most(context.host, resource, soft, hard);
        steps.push(Phase::Confine, Action::SetLimit { resource, soft, hard }, &Origin::Default(why));
    }
}

/// A default, no higher than what the caller has: only root may raise a hard limit, and a caller's low one is meant.
fn at_most(host: &Host, resource: &str, soft: Bound, hard: Bound) -> (Bound, Bound) {
    // No bound is more than any bound.
    let lower = |one: Bound, other: Bound| one.into_iter().chain(other).min();
    let (callers_soft, callers_hard) = host.limit(resource);
    let hard = lower(hard, callers_hard);
    // A soft limit of 0 on core files, as many shells set it, holds less than 1.
    let soft = if resource == "RLIMIT_CORE" { soft } else { lower(soft, callers_soft) };
    (lower(soft, hard), hard)
}

/// Whether the limit on core files is the one under which the kernel starts no program that core_pattern may name.
pub(super) fn no_core_is_piped(manifest: &Manifest) -> bool {
    let mut given =
        manifest.limits.resources.iter().filter(|limit| limit.value.resource.name == "RLIMIT_CORE");
    given.all(|limit| limit.value.soft == Some(1) && limit.value.hard == Some(1))
}

/// How the kernel favours the program over others.
fn scheduling(context: &Context<'_>, steps: &mut Steps) {
    let callers = context.host.priorities;
    if let Some(nice) = &context.manifest.program.nice {
        steps.push(Phase::Confine, Action::SetNice { nice: nice.value }, &nice.origin);
    } else if callers.nice < 0 {
        let origin = Origin::Default("the caller goes before others, the jail does not");
        steps.push(Phase::Confine, Action::SetNice { nice: 0 }, &origin);
    }
    let what = [
        (Scheduling::TimerSlack, true),
        (Scheduling::Policy, callers.is_real_time()),
        (Scheduling::Io, callers.is_first_at_disks()),
        (Scheduling::Memory, callers.memory_policy != 0),
        (Scheduling::Merging, callers.memory_merge),
    ];
    let what = what.into_iter().filter_map(|(what, reset)| reset.then_some(what)).collect();
    let origin = Origin::Default("the caller's favours are not the jail's");
    steps.push(Phase::Confine, Action::ResetScheduling { what }, &origin);
}

/// How the out-of-memory killer is to rate the jail, if that is not as it rates the caller.
pub(super) fn oom_score(context: &Context<'_>, steps: &mut Steps) {
    if let Some(adjustment) = &context.manifest.program.oom_score_adjust {
        let action = Action::SetOomScore { adjustment: adjustment.value };
        steps.push(Phase::Enter, action, &adjustment.origin);
    } else if context.host.priorities.oom_score < 0 {
        let origin = Origin::Default("the caller is spared when memory runs out, the jail is not");
        steps.push(Phase::Enter, Action::SetOomScore { adjustment: 0 }, &origin);
    }
}

/// What the manifest makes of personality(2): names of flags and their value.
pub(super) fn persona(manifest: &Manifest) -> (Vec<&'static str>, u64) {
    let flags: Vec<_> = manifest.program.personality.iter().map(|flag| persona_flag(flag.value)).collect();
    let value = flags.iter().fold(0, |all, (_, value)| all | value);
    (flags.into_iter().map(|(name, _)| name).collect(), value)
}

/// A flag of personality(2) by the kernel's name and value, see linux/personality.h.
const fn persona_flag(flag: Personality) -> (&'static str, u64) {
    match flag {
        Personality::Linux32 => ("PER_LINUX32", 0x0008),
        Personality::Uname26 => ("UNAME26", 0x002_0000),
        Personality::NoRandomize => ("ADDR_NO_RANDOMIZE", 0x004_0000),
        Personality::MmapPageZero => ("MMAP_PAGE_ZERO", 0x010_0000),
        Personality::CompatLayout => ("ADDR_COMPAT_LAYOUT", 0x020_0000),
        Personality::ReadImpliesExec => ("READ_IMPLIES_EXEC", 0x040_0000),
        Personality::ShortInode => ("SHORT_INODE", 0x100_0000),
        Personality::WholeSeconds => ("WHOLE_SECONDS", 0x200_0000),
        Personality::StickyTimeouts => ("STICKY_TIMEOUTS", 0x400_0000),
        Personality::Limit3Gb => ("ADDR_LIMIT_3GB", 0x800_0000),
    }
}
