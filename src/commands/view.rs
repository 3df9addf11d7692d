//! Commands that only look: check, plan.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::prepare::Jail;
use crate::cli::{Check, Plan};
use crate::error::{self, Failure, exit};
use crate::manifest::resolve::run::Tree;
use crate::manifest::resolve::tree::TreeSteps;
use crate::manifest::root::Root;
use crate::manifest::{self, Request, lookup, named, suggest};
use crate::report;
use crate::report::diagnostic::{self, Diagnostic, Severity};
use crate::report::plan::TextOptions;

/// `stockade check`: every finding of every manifest. What is right is said on stdout, what is not on stderr.
pub(crate) fn check(check: &Check) -> Result<u8, Failure> {
    let jails = match &check.jails[..] {
        [] => lookup::all().into_iter().map(PathBuf::into_os_string).collect(),
        named => named.iter().map(Into::into).collect::<Vec<_>>(),
    };
    if jails.is_empty() && !check.json {
        let places: Vec<String> =
            lookup::directories().iter().map(|place| place.display().to_string()).collect();
        let nothing = Diagnostic::error("there is no manifest to check")
            .why(format!("looked in {}", suggest::listed(places.iter().map(String::as_str))))
            .hint("name one: `stockade check PATH`");
        return Err(Failure::new(nothing, exit::FINDING));
    }
    let mut all = Vec::new();
    let mut lines = String::new();
    for jail in &jails {
        let Checked { path, diagnostics, loading } = check_one(jail);
        if !check.json && !diagnostics.is_empty() {
            if !all.is_empty() {
                error::separate();
            }
            error::eprint_all(&diagnostics, &path);
        }
        if !diagnostics.iter().any(|one| one.severity == Severity::Error) {
            let ok = match diagnostics.len() {
                0 => "ok".to_owned(),
                _ => format!("ok, {}", diagnostic::counted(&diagnostics)),
            };
            lines.extend([&diagnostic::escape(&path), ": ", &ok, "\n"]);
            lines.extend(loading.iter().map(|program| {
                let program = diagnostic::escape(&program.display().to_string());
                format!("    `{program}` loads libraries by name (dlopen(3)): `stockade learn` tells which\n")
            }));
        }
        all.extend(diagnostics);
    }
    let text = if check.json { diagnostic::json(&all) } else { lines };
    let printed = error::print(&text);
    let failed = all.iter().any(|one| one.severity == Severity::Error);
    Ok(if failed { exit::FINDING } else { printed })
}

/// What was found of one manifest.
struct Checked {
    /// Its path.
    path: String,
    /// What is wrong, or may be.
    diagnostics: Vec<Diagnostic>,
    /// Programs that load libraries of which nothing tells.
    loading: Vec<PathBuf>,
}

/// Checks one manifest, also where it meets this host, as far as it does: one may well be checked where its program is not installed.
fn check_one(jail: &OsStr) -> Checked {
    let request = Request { jail: jail.to_owned(), ..Request::default() };
    let loaded = match manifest::load(&request) {
        Ok(loaded) => loaded,
        Err(findings) => {
            let Failure { subject, diagnostics, .. } = Failure::manifest(findings, jail);
            return Checked { path: subject, diagnostics, loading: Vec::new() };
        }
    };
    let path = loaded.path.display().to_string();
    let mut warnings = loaded.warnings.clone();
    let mut loading = Vec::new();
    if let Ok(jail) = Jail::of(loaded, Vec::new())
        && let Ok(made) = jail.build_steps()
    {
        let (manifest, root) = (&jail.loaded.manifest, Root::at(&jail.host.root));
        warnings.extend(named::missing(manifest, &made.steps, &root));
        loading = named::loading(manifest, &made.steps, &root);
    }
    Checked { path, diagnostics: warnings.into_iter().map(Diagnostic::from).collect(), loading }
}

/// `stockade plan`: the same plan that build and run carry out, handed to the printer instead.
pub(crate) fn plan(options: &Plan, request: &Request) -> Result<u8, Failure> {
    let jail = Jail::load(request)?;
    let tree = jail.tree_path()?;
    let TreeSteps { mut steps, program, warnings, accounts, .. } = jail.build_steps()?;
    let mut layers = Vec::new();
    // What is made in memory is made by the run.
    let made = if jail.is_in_memory() { std::mem::take(&mut steps) } else { Vec::new() };
    if let Some(command) = program {
        let run = jail.run_steps_as(&Tree { path: &tree, made: &made }, &command, accounts)?;
        steps.extend(run.steps);
        layers = run.layers;
    }
    let plan = jail.plan(steps, layers)?;
    let warnings: Vec<_> =
        jail.loaded.warnings.iter().chain(&warnings).cloned().map(Diagnostic::from).collect();
    error::eprint_all(&warnings, &jail.loaded.path.display().to_string());
    let text = if options.json {
        report::printed::json(&report::json::json(&plan))
    } else {
        let colour = diagnostic::Style::for_stdout().has_colour();
        let text =
            TextOptions { all: options.all, explain: options.explain, colour, ..TextOptions::default() };
        report::plan::text(&plan, text)
    };
    Ok(error::print(&text))
}
