//! A plan as text for people: its steps by phase, each with where it comes from. The build, which may have thousands of steps, is
//! folded to a line for each line of the manifest; `explain` adds to each step that runs what there is to learn about it.

use std::fmt::Write as _;

use super::explain;
use super::layout::{self, Style};
use crate::plan::quote::Escaped;
use crate::plan::{Action, LayerState, Origin, Phase, Plan, Step};

/// How a plan is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// Each step of the build on a line of its own.
    pub all: bool,
    /// With calls, reasons, man pages and shell lines.
    pub explain: bool,
    /// With colours; whether the reader wants them (a terminal, NO_COLOR) is the caller's to know.
    pub colour: bool,
    /// Columns to fill.
    pub width: usize,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { all: false, explain: false, colour: false, width: 100 }
    }
}

/// The plan as text, ending with a newline.
pub fn text(plan: &Plan, options: TextOptions) -> String {
    let style = Style { colour: options.colour };
    let mut out = String::new();
    let built = plan.phase(Phase::Build).count();
    let run = plan.steps.len() - built;
    let header = format!("jail {}", style.bold(plan.jail.as_str()));
    line(
        &mut out,
        &format!("{header}: {}, {}", count(built, "step of the build"), count(run, "step of the run")),
    );
    // Wide enough for the largest number, or for two with a dash.
    let digits = plan.steps.len().to_string().len();
    let numbers = if options.all || built == 0 { digits } else { 2 * digits + 1 };
    for phase in Phase::ALL {
        let steps = plan.steps.iter().enumerate().filter(|(_, step)| step.phase == phase);
        let steps: Vec<(usize, &Step)> = steps.collect();
        if steps.is_empty() {
            continue;
        }
        out.push('\n');
        line(&mut out, &format!("{}: {}", style.bold(phase.name()), phase.summary()));
        let sheet = Sheet { options, style, numbers };
        if phase == Phase::Build && !options.all {
            for group in steps.chunk_by(|(_, a), (_, b)| same_line(&a.origin, &b.origin)) {
                sheet.group(&mut out, group);
            }
        } else {
            for (at, step) in &steps {
                sheet.step(&mut out, plan.number(*at), step);
                if options.explain && phase != Phase::Build {
                    sheet.page().step(&mut out, &plan.steps, *at);
                }
            }
        }
        if options.explain && phase == Phase::Build {
            sheet.page().kinds(&mut out, &steps);
        }
    }
    layers(&mut out, style, &plan.layers);
    out
}

/// What became of each layer of confinement, a line each.
fn layers(out: &mut String, style: Style, layers: &[LayerState]) {
    if layers.is_empty() {
        return;
    }
    out.push('\n');
    line(out, &format!("{}: what confines the program", style.bold("layers")));
    for state in layers {
        let reason = state.enforcement.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
        let text = format!("    {:15} {}{reason}", state.layer.name(), state.enforcement.name());
        line(out, &text);
    }
}

/// What every line of one plan has in common.
struct Sheet {
    options: TextOptions,
    style: Style,
    /// Columns of the numbers.
    numbers: usize,
}

impl Sheet {
    /// One step with its number, and its origin at the right.
    fn step(&self, out: &mut String, number: usize, step: &Step) {
        self.entry(out, &number.to_string(), &step.action.to_string(), &origin(&step.origin));
    }

    /// How explanations are laid out below a step.
    fn page(&self) -> explain::Page {
        explain::Page { indent: self.numbers + 4, width: self.options.width, style: self.style }
    }

    /// Consecutive steps that one line of a manifest asks for.
    fn group(&self, out: &mut String, group: &[(usize, &Step)]) {
        match group {
            [] => {}
            [(at, step)] => self.step(out, at + 1, step),
            [(first, step), ..] => {
                let root = asked(&step.origin);
                let steps = format!("{}-{}", first + 1, first + group.len());
                let (what, place) = match root {
                    Origin::Manifest(place) => (layout::shorten(place.excerpt(), 48), origin(root)),
                    Origin::Default(reason) => (Escaped(reason.as_bytes()).to_string(), "default".to_owned()),
                    _ => (origin(root), String::new()),
                };
                self.entry(out, &steps, &format!("{what}: {}", kinds(group)), &place);
            }
        }
    }

    /// A number, a text, and an origin: on the same line if it fits, else below.
    fn entry(&self, out: &mut String, number: &str, what: &str, origin: &str) {
        let indent = self.numbers + 4;
        let number = format!("{number:>width$}  ", width = indent - 2);
        let used = indent + what.chars().count();
        let room = self.options.width.saturating_sub(used + 2);
        if origin.is_empty() {
            line(out, &format!("{number}{what}"));
        } else if origin.chars().count() <= room {
            let gap = " ".repeat(2 + room - origin.chars().count());
            line(out, &format!("{number}{what}{gap}{}", self.style.dim(origin)));
        } else {
            line(out, &format!("{number}{what}"));
            for part in layout::wrap(origin, self.options.width.saturating_sub(indent + 2)) {
                line(out, &format!("{}{}", " ".repeat(indent + 2), self.style.dim(&part)));
            }
        }
    }
}

/// An origin in one line; a file's name or an option is the user's text, so it is escaped.
pub(super) fn origin(origin: &Origin) -> String {
    Escaped(origin.to_string().as_bytes()).to_string()
}

/// What was asked for in the first place.
fn asked(origin: &Origin) -> &Origin {
    match origin {
        Origin::Resolved(_, from) => asked(from),
        origin => origin,
    }
}

/// Whether two origins go back to the same line, option or default.
fn same_line(one: &Origin, other: &Origin) -> bool {
    match (asked(one), asked(other)) {
        (Origin::Manifest(one), Origin::Manifest(other)) => {
            one.line == other.line && one.source.path == other.source.path
        }
        (one, other) => one == other,
    }
}

/// `3 directories, 41 files, 2 links`.
fn kinds(group: &[(usize, &Step)]) -> String {
    let number = |wanted: fn(&Action) -> bool| group.iter().filter(|(_, step)| wanted(&step.action)).count();
    let counts = [
        ("directory", number(|action| matches!(action, Action::MakeDirectory { .. }))),
        (
            "file",
            number(|action| {
                matches!(
                    action,
                    Action::CopyFile { .. } | Action::UnpackFile { .. } | Action::WriteFile { .. }
                )
            }),
        ),
        ("link", number(|action| matches!(action, Action::MakeSymlink { .. } | Action::MakeHardLink { .. }))),
        ("device", number(|action| matches!(action, Action::MakeDevice { .. }))),
    ];
    let parts = counts.iter().filter(|(_, number)| *number != 0).map(|(name, number)| count(*number, name));
    parts.collect::<Vec<_>>().join(", ")
}

/// A number with its noun: `1 step of the run`, `3 directories`.
fn count(number: usize, noun: &str) -> String {
    let (head, tail) = noun.split_at(noun.find(' ').unwrap_or(noun.len()));
    match (number, head.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies{tail}"),
        (_, None) => format!("{number} {head}s{tail}"),
    }
}

/// Writes a line without trailing blanks.
pub(super) fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    if writeln!(out, "{}", text.trim_end()).is_err() {}
}

#[cfg(test)]
pub(super) mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::plan::{JailName, Place, Source, sample};

    /// Two lines of a manifest, a default, and a few steps of a run.
    pub(in crate::report) fn plan() -> Plan {
        let text = "files = [\"/etc/nginx\"]\nprograms = [\"/usr/sbin/nginx\"]\n".to_owned();
        let source = Rc::new(Source { path: "nginx.toml".into(), text });
        let at = |line| Origin::Manifest(Place { source: Rc::clone(&source), line, column: 9, length: 12 });
        let build = sample::build();
        let mut steps: Vec<Step> = [(0, at(1)), (1, at(1)), (5, at(1)), (4, at(1).found("link on the way"))]
            .into_iter()
            .chain([(1, at(2).found("DT_NEEDED libz.so.1 of /usr/sbin/nginx"))])
            .map(|(index, origin)| Step { action: build[index].clone(), phase: Phase::Build, origin })
            .collect();
        steps.extend(sample::run().into_iter().filter(|step| {
            let action = &step.action;
            matches!(action, Action::Clone { .. } | Action::SetGid { .. } | Action::SetUid { .. })
        }));
        Plan { jail: JailName::parse("nginx").unwrap(), steps, layers: Vec::new() }
    }

    #[test]
    fn a_plan_is_folded_by_the_lines_of_its_manifest() {
        let expected = "\
jail nginx: 5 steps of the build, 3 steps of the run

build: the tree on disk, made once by `stockade build`
  1-4  files = [\"/etc/nginx\"]: 1 directory, 2 files, 1 link                             nginx.toml:1
    5  copy(\"/usr/sbin/nginx\" \u{2192} same, 0755, root:root, keep capabilities)
         DT_NEEDED libz.so.1 of /usr/sbin/nginx; nginx.toml:2

parent: by the supervisor, outside
    1  clone(CLONE_NEWNS|CLONE_NEWUSER|CLONE_NEWPID|SIGCHLD)              default: every jail has it

confine: inside, taking rights away
    2  setresgid(33, 33, 33)                                              default: every jail has it
    3  setresuid(33, 33, 33)                                              default: every jail has it
";
        assert_eq!(text(&plan(), TextOptions::default()), expected);
    }

    #[test]
    fn every_step_can_be_shown() {
        let shown = text(&plan(), TextOptions { all: true, ..TextOptions::default() });
        assert!(shown.contains("  1  mkdir(\"/var/www\", 0750, 33:33) "), "{shown}");
        assert!(shown.contains("link on the way; nginx.toml:1\n"), "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
    }

    #[test]
    fn colours_change_nothing_else() {
        let plain = text(&plan(), TextOptions::default());
        let coloured = text(&plan(), TextOptions { colour: true, ..TextOptions::default() });
        assert!(coloured.contains("\u{1b}["), "{coloured}");
        let codes = ["\u{1b}[1m", "\u{1b}[2m", "\u{1b}[0m"];
        assert_eq!(codes.iter().fold(coloured, |text, code| text.replace(code, "")), plain);
        assert!(!plain.contains('\u{1b}'));
    }

    #[test]
    fn an_explained_step_says_what_to_know() {
        let shown = text(&plan(), TextOptions { explain: true, ..TextOptions::default() });
        let step = shown.split("    3  setresuid").nth(1).unwrap();
        let expected = "\
(33, 33, 33)                                              default: every jail has it
       why      Real, effective and saved user id all become the program's; with the last 0 gone the
                kernel empties the permitted, effective and ambient capability sets. If the manifest
                grants capabilities, the permitted ones are kept over this call (SECBIT_KEEP_CAPS)
                for the next step to choose from.
       without  The program is root. seteuid(2) alone would not do: a saved 0 lets any exploit call
                seteuid(0) and be root again. And a result nobody looks at may be a failure:
                sendmail went on as root that way (CVE-2000-0506).
       calls    setresuid(33, 33, 33)
       shell    setpriv --reuid=33 \u{2026}
       order    after the group ids, because setresgid(2) needs CAP_SETGID, which leaves with uid 0:
                gid 0 would stay
       read     setresuid(2), capabilities(7), prctl(2)
";
        assert_eq!(step, expected);
        assert!(shown.contains("why      A jail is an ordinary directory tree."), "{shown}");
    }
}
