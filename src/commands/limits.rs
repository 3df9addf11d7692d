//! Which limits of its control groups a jail has reached, told when it has ended.

use super::prepare::Jail;
use crate::jail::{self, Effect, End, Hit, Program};
use crate::manifest::finding::{Finding, Severity};
use crate::plan::{Action, Control, ControlLimit, Origin, Step};
use crate::report::run::LimitHit;

/// Tells of the limits that were reached, and of groups that could not be removed.
pub(super) fn tell(
    jail: &Jail,
    steps: &[Step],
    program: &Program,
    result: &Result<End, jail::Error>,
) -> Vec<LimitHit> {
    let mut hits = Vec::new();
    for hit in program.hits() {
        let (limit, origin) = given(jail, steps, hit.control);
        hits.push(LimitHit { limit, effect: hit.effect.name(), times: hit.times });
        if let Some(finding) = told(jail.name.as_str(), hit, limit, origin, result) {
            jail.findings(vec![finding]).report();
        }
    }
    for (path, errno) in program.left_groups() {
        let finding = Finding::plain(format!("the control group `{}` could not be removed", path.display()))
            .why(crate::sys::Error { call: "rmdir", errno }.to_string())
            .hint("some process is still in it; the next start of a jail removes it when it is empty");
        jail.findings(vec![Finding { severity: Severity::Warning, ..finding }]).report();
    }
    hits
}

/// The limit as the manifest has it, or the one that nobody asked for.
fn given(jail: &Jail, steps: &[Step], control: Control) -> (ControlLimit, Option<Origin>) {
    let controls = &jail.loaded.manifest.limits.controls;
    if let Some(given) = controls.iter().find(|given| given.value.control == control) {
        return (given.value, Some(given.origin.clone()));
    }
    let amount = steps.iter().find_map(|step| match &step.action {
        Action::MakeControlGroups { groups, .. } => groups.iter().find_map(|group| {
            let file = control.file(group.version)?;
            let setting = group.settings.iter().find(|setting| setting.file == file.name)?;
            control.parse(&setting.value).ok()?
        }),
        _ => None,
    });
    (ControlLimit { control, amount }, None)
}

/// What people are told of it, if anything.
fn told(
    name: &str,
    Hit { control, effect, times }: Hit,
    limit: ControlLimit,
    origin: Option<Origin>,
    result: &Result<End, jail::Error>,
) -> Option<Finding> {
    let key = control.key();
    let reached = format!("the limit `{key}` of {limit} was reached");
    let raise = format!("a higher `{key}` under `[limits]` lets it have more");
    let many = |one: &str, more: &str| if times == 1 { one.to_owned() } else { format!("{times} {more}") };
    let finding = match (effect, result) {
        (Effect::Killed, _) => {
            let who = many("a process", "processes");
            let was = if times == 1 { "was" } else { "were" };
            Finding::plain(format!("{who} of jail `{name}` {was} killed for lack of memory"))
                .why(reached)
                .hint(raise)
        }
        (Effect::Refused, _) if control == Control::Tasks => {
            let what = many("one more process", "more processes");
            Finding::plain(format!("jail `{name}` was refused {what}")).why(reached).hint(raise)
        }
        (Effect::Delayed, Ok(End::TimedOut(_))) => {
            let times = many("once", "times");
            Finding::plain(format!("jail `{name}` was held back {times} by its limit `{key}` of {limit}"))
                .hint(raise)
        }
        _ => return None,
    };
    // What ended the program is an error, what it survived is not.
    let is_fatal = effect == Effect::Killed && *result == Ok(End::Signaled(nix::libc::SIGKILL));
    let severity = if is_fatal { Severity::Error } else { Severity::Warning };
    Some(Finding { severity, origin, ..finding })
}
