//! The order between the steps of a plan: [`RULES`] are data, each with its reason. [`check`] holds every plan against them and
//! `explain` quotes them: the order cannot drift from its reasons.

use std::fmt;

pub use super::class::Class;
use super::class::{on_disk, targets};
pub use super::rules::RULES;
use super::step::{Action, Step};
use super::{JailPath, Phase};

/// One rule: whatever is in `before` stands before whatever is in `after`.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// What comes first.
    pub before: Class,
    /// What comes later.
    pub after: Class,
    /// Why, as the end of a sentence: "…, because …".
    pub because: &'static str,
}

/// Why the target of a mount must not lie above that of an earlier one.
const HIDES: &str = "a mount hides what was mounted below it before";

/// On which side of a rule an action stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It comes first.
    Before,
    /// It comes later.
    After,
}

/// The rules an action is bound by, with its side of each.
pub fn rules_for(action: &Action) -> impl Iterator<Item = (Side, &'static Rule)> {
    RULES.iter().filter_map(move |rule| {
        if rule.before.has(action) {
            Some((Side::Before, rule))
        } else {
            rule.after.has(action).then_some((Side::After, rule))
        }
    })
}

/// A plan whose steps stand in a wrong order: a mistake of whoever made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A step belongs to an earlier phase than the one before it.
    Phase {
        /// Its index.
        at: usize,
    },
    /// A step of the build in a phase that runs, or the other way round.
    Foreign {
        /// Its index.
        at: usize,
    },
    /// A step stands after one it must stand before.
    Order {
        /// Index of the step that is too late.
        late: usize,
        /// Index of the step it must precede.
        early: usize,
        /// The rule they break.
        rule: &'static Rule,
    },
    /// A mount covers an earlier one.
    Hidden {
        /// Index of the mount on top.
        late: usize,
        /// Index of the mount that disappears.
        early: usize,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phase { at } => write!(f, "step {} belongs to an earlier phase", at + 1),
            Self::Foreign { at } => write!(f, "step {} does not belong to its phase", at + 1),
            Self::Order { late, early, rule } => write!(
                f,
                "step {} ({}) must come before step {} ({}), because {}",
                late + 1,
                rule.before.name(),
                early + 1,
                rule.after.name(),
                rule.because
            ),
            Self::Hidden { late, early } => {
                write!(f, "step {} must come before step {}, because {HIDES}", late + 1, early + 1)
            }
        }
    }
}

impl std::error::Error for Violation {}

/// Holds the steps of a plan against every rule; tells the first one broken.
pub fn check(steps: &[Step]) -> Result<(), Violation> {
    if let Some(at) = steps.windows(2).position(|pair| pair[1].phase < pair[0].phase) {
        return Err(Violation::Phase { at: at + 1 });
    }
    if let Some(at) = steps.iter().position(|step| on_disk(&step.action) != (step.phase == Phase::Build)) {
        return Err(Violation::Foreign { at });
    }
    let places = Places::of(steps);
    for rule in RULES {
        if let (Some((early, _)), Some((_, late))) =
            (places.0[rule.after as usize], places.0[rule.before as usize])
            && late > early
        {
            return Err(Violation::Order { late, early, rule });
        }
    }
    let mut mounted: Vec<(usize, &JailPath)> = Vec::new();
    let run = steps.iter().enumerate().filter(|(_, step)| step.phase != Phase::Build);
    let mounts = run.flat_map(|(at, step)| targets(&step.action).iter().map(move |path| (at, path)));
    for (late, path) in mounts {
        if let Some((early, _)) = mounted.iter().find(|(_, earlier)| earlier.starts_with(path)) {
            return Err(Violation::Hidden { late, early: *early });
        }
        mounted.push((late, path));
    }
    Ok(())
}

/// Where the first and the last action of each class stand among the steps of a run.
struct Places([Option<(usize, usize)>; Class::COUNT]);

impl Places {
    fn of(steps: &[Step]) -> Self {
        let mut places = [None; Class::COUNT];
        for (at, step) in steps.iter().enumerate().filter(|(_, step)| step.phase != Phase::Build) {
            for number in Class::all_of(&step.action).numbers() {
                let (first, _) = places[number].unwrap_or((at, at));
                places[number] = Some((first, at));
            }
        }
        Self(places)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_good_order_breaks_no_rule() {
        let mut steps: Vec<Step> =
            sample::build().into_iter().map(|action| sample::step(Phase::Build, action)).collect();
        steps.extend(sample::run());
        assert_eq!(check(&steps), Ok(()));
    }

    #[test]
    fn every_rule_can_be_broken() {
        let mut all: Vec<Step> = sample::run();
        let mask = Action::AttachTree { target: sample::jail("/proc/kcore") };
        all.push(sample::step(Phase::Enter, mask));
        all.push(sample::step(Phase::Confine, sample::filter(true)));
        for rule in RULES {
            let first = all.iter().find(|step| rule.before.has(&step.action)).unwrap();
            let second = all.iter().find(|step| rule.after.has(&step.action)).unwrap();
            let same_phase = |step: &Step| sample::step(Phase::Enter, step.action.clone());
            let right = [same_phase(first), same_phase(second)];
            let wrong = [same_phase(second), same_phase(first)];
            assert_eq!(check(&right), Ok(()), "{rule:?}");
            let Err(Violation::Order { late: 1, early: 0, rule: broken }) = check(&wrong) else {
                panic!("{rule:?} is not checked");
            };
            // Another rule of the table may forbid the same pair.
            assert!(broken.before.has(&first.action) && broken.after.has(&second.action), "{broken:?}");
        }
    }

    #[test]
    fn phases_ascend_and_keep_to_their_own() {
        let mut steps = sample::run();
        let mkdir = sample::step(Phase::Build, sample::build().remove(0));
        steps.push(mkdir.clone());
        assert_eq!(check(&steps), Err(Violation::Phase { at: steps.len() - 1 }));
        assert_eq!(check(&[sample::step(Phase::Enter, mkdir.action)]), Err(Violation::Foreign { at: 0 }));
    }

    #[test]
    fn a_mount_must_not_hide_another() {
        let attach = |path| sample::step(Phase::Enter, Action::AttachTree { target: sample::jail(path) });
        assert_eq!(check(&[attach("/var"), attach("/var/www"), attach("/variant")]), Ok(()));
        let hidden = check(&[attach("/var/www"), attach("/var")]).unwrap_err();
        assert_eq!(hidden, Violation::Hidden { late: 1, early: 0 });
        assert_eq!(
            hidden.to_string(),
            "step 2 must come before step 1, because a mount hides what was mounted below it before"
        );
    }

    #[test]
    fn a_violation_names_both_steps_and_the_reason() {
        let steps = [
            sample::step(Phase::Confine, Action::SetUid { uid: 33 }),
            sample::step(Phase::Confine, Action::SetGid { gid: 33 }),
        ];
        assert_eq!(
            check(&steps).unwrap_err().to_string(),
            "step 2 (the group ids) must come before step 1 (the user ids), because setresgid(2) needs CAP_SETGID, \
             which leaves with uid 0: gid 0 would stay"
        );
        let rules: Vec<_> = rules_for(&steps[1].action).filter(|(side, _)| *side == Side::After).collect();
        assert!(rules.iter().any(|(_, rule)| rule.before == Class::Groups), "{rules:?}");
    }
}
