//! What there is to learn about a step, below its line in a plan.

use super::layout::{self, Style};
use super::plan::line;
use crate::plan::calls::Call;
use crate::plan::order::{self, Class, Rule, Side};
use crate::plan::{Action, Step};

/// Columns of the labels.
const LABEL: usize = 9;
/// So many calls of a step are shown each; of more, the first and the last.
const CALLS: usize = 8;

/// How explanations are laid out: where they start, how wide they are, in which style.
pub(super) struct Page {
    pub(super) indent: usize,
    pub(super) width: usize,
    pub(super) style: Style,
}

impl Page {
    /// Everything about the step at `at`.
    pub(super) fn step(&self, out: &mut String, steps: &[Step], at: usize) {
        let Some(step) = steps.get(at) else { return };
        let explanation = step.action.explain();
        self.field(out, "why", &self.wrapped(explanation.why));
        self.field(out, "without", &self.wrapped(explanation.without));
        self.field(out, "calls", &folded(&step.action.calls()));
        if let Action::FilterSystemCalls { filter, .. } = &step.action {
            let refused = filter
                .policy
                .refusals(&filter.architectures)
                .into_iter()
                .flat_map(|refused| self.wrapped(&refused.to_string()));
            self.field(out, "refuses", &refused.collect::<Vec<_>>());
        }
        // Not broken, so that it can be copied.
        self.field(out, "shell", &explanation.shell.into_iter().collect::<Vec<_>>());
        let rules = rules(steps, &step.action).flat_map(|rule| self.wrapped(&rule));
        self.field(out, "order", &rules.collect::<Vec<_>>());
        self.field(out, "read", &self.wrapped(&explanation.man.join(", ")));
    }

    /// What the kinds of steps among `steps` are for, each once: a build has thousands of them and only a few kinds.
    pub(super) fn kinds(&self, out: &mut String, steps: &[(usize, &Step)]) {
        let mut seen = Vec::new();
        for (_, step) in steps {
            let explanation = step.action.explain();
            if seen.contains(&explanation.why) {
                continue;
            }
            seen.push(explanation.why);
            let shown = step.action.to_string();
            let name = shown.split('(').next().unwrap_or_default();
            out.push('\n');
            line(out, &format!("{}{}", " ".repeat(self.indent - 2), self.style.bold(name)));
            self.field(out, "why", &self.wrapped(explanation.why));
            self.field(out, "without", &self.wrapped(explanation.without));
            self.field(out, "shell", &explanation.shell.into_iter().collect::<Vec<_>>());
            self.field(out, "read", &self.wrapped(&explanation.man.join(", ")));
        }
    }

    /// A label with its lines.
    fn field(&self, out: &mut String, label: &str, lines: &[String]) {
        for (at, text) in lines.iter().enumerate() {
            let label = format!("{:<LABEL$}", if at == 0 { label } else { "" });
            line(out, &format!("{}{}{text}", " ".repeat(self.indent), self.style.dim(&label)));
        }
    }

    /// A text in lines that leave room for the label.
    fn wrapped(&self, text: &str) -> Vec<String> {
        layout::wrap(text, self.width.saturating_sub(self.indent + LABEL).max(20))
    }
}

/// Calls a line each, the middle left out when they are many and alike.
fn folded(calls: &[Call]) -> Vec<String> {
    let shown = |calls: &[Call]| calls.iter().map(ToString::to_string).collect::<Vec<_>>();
    match calls {
        [first, second, middle @ .., before_last, last] if calls.len() > CALLS => {
            let more = format!("\u{2026} {} more \u{2026}", middle.len());
            let both = |a: &Call, b: &Call| [a.to_string(), b.to_string()];
            both(first, second).into_iter().chain([more]).chain(both(before_last, last)).collect()
        }
        all => shown(all),
    }
}

/// The rules that keep a step where it is in this plan: what it comes after and why. That everything comes after clone(2) is
/// said once, at clone(2).
pub(crate) fn rules(steps: &[Step], action: &Action) -> impl Iterator<Item = String> {
    let occurs = |class: Class| steps.iter().any(|step| class.has(&step.action));
    order::rules_for(action).filter_map(move |(side, Rule { before, after, because })| match (side, after) {
        (Side::Before, Class::Inside) => Some(format!("before {}, because {because}", after.name())),
        (Side::Before, _) | (Side::After, Class::Inside) => None,
        (Side::After, _) => occurs(*before).then(|| format!("after {}, because {because}", before.name())),
    })
}
