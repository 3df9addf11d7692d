//! `programs` and `libraries`: files with everything they need to start.

#![forbid(unsafe_code)]

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::content::Attributes;
use super::draft::{Claim, Draft};
use super::expand;
use crate::manifest::finding::{Finding, Severity};
use crate::manifest::libs::{Error, Missing, Needed, Note, Problem, Resolver, Why};
use crate::manifest::links::{self, Kind};
use crate::plan::Origin;
use crate::plan::step::Keep;

/// How many of the places where a library is not are shown.
const SHOWN: usize = 8;

/// What a file is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is run, so somebody must be allowed to.
    Program,
    /// It is opened with dlopen(3).
    Library,
}

/// Places every file that a path or pattern means, each with all it needs.
pub(super) fn place_all(
    draft: &mut Draft<'_>,
    libs: &mut Resolver<'_>,
    path: &Path,
    role: Role,
    keep: Keep,
    origin: &Origin,
) {
    match expand::pattern(&draft.view, path) {
        Ok(None) => place(draft, libs, path, role, keep, origin),
        Ok(Some(pattern)) => {
            let matches = pattern.matches(&draft.view);
            if matches.is_empty() {
                let finding = Finding::error(format!("nothing matches `{}`", path.display()), origin);
                draft.findings.push(finding.hint("install what brings it, or take the entry out"));
            }
            for below in matches {
                place(draft, libs, &pattern.base.join(below), role, keep, origin);
            }
        }
        Err(why) => draft
            .findings
            .push(Finding::error(format!("`{}` is no pattern", path.display()), origin).why(why)),
    }
}

/// Places a file and all it needs.
pub(super) fn place(
    draft: &mut Draft<'_>,
    libs: &mut Resolver<'_>,
    path: &Path,
    role: Role,
    keep: Keep,
    origin: &Origin,
) {
    let closure = match libs.closure(path) {
        Ok(closure) => closure,
        Err(error) => {
            let mut findings = failures(draft, path, &error, origin);
            return draft.findings.append(&mut findings);
        }
    };
    for needed in &closure.files {
        match needed.why {
            Why::Program => {
                let mode = place_file(draft, &needed.path, keep, Claim::Named, origin);
                if role == Role::Program && mode.is_some_and(|mode| mode & 0o111 == 0) {
                    draft.findings.push(
                        Finding::error(
                            format!("`{}` is no program: nobody may execute it", path.display()),
                            origin,
                        )
                        .hint("set its x bit with chmod(1), or list it under `libraries` or `files`"),
                    );
                }
            }
            _ => place_needed(draft, needed, origin),
        }
    }
    for note in &closure.notes {
        // What is only suggested is left out on purpose and needs no warning.
        if !matches!(note, Note::DlopenSuggested { .. }) {
            draft.findings.push(Finding::warning(note.to_string(), origin));
        }
    }
}

/// Places what a file needs that is in the tree already. What is missing is a warning: of a package's many files few are run.
pub(super) fn place_needs(draft: &mut Draft<'_>, libs: &mut Resolver<'_>, path: &Path, origin: &Origin) {
    match libs.closure(path) {
        Ok(closure) => {
            for needed in closure.files.iter().filter(|needed| needed.why != Why::Program) {
                place_needed(draft, needed, origin);
            }
        }
        Err(error) => {
            let findings = failures(draft, path, &error, origin);
            draft.findings.extend(
                findings.into_iter().map(|finding| Finding { severity: Severity::Warning, ..finding }),
            );
        }
    }
}

/// Places a program that a package has as a link into another package, such as `redis-server` on Debian, and all it needs.
pub(super) fn place_linked(draft: &mut Draft<'_>, libs: &mut Resolver<'_>, path: &Path, origin: &Origin) {
    let origin = origin.found(format!("{} leads to it", path.display()));
    if place_file(draft, path, Keep::default(), Claim::Along, &origin).is_some() {
        place_needs(draft, libs, path, &origin);
    }
}

fn place_needed(draft: &mut Draft<'_>, needed: &Needed, origin: &Origin) {
    place_file(draft, &needed.path, Keep::default(), Claim::Along, &origin.found(reason(needed)));
}

/// Places one file with the links on its way, and returns its mode.
fn place_file(draft: &mut Draft<'_>, path: &Path, keep: Keep, claim: Claim, origin: &Origin) -> Option<u32> {
    let last: links::Link = draft.mirror_links(path, claim, origin)?;
    let metadata = draft.view.metadata(&last.path).ok()?;
    if last.kind == Kind::File {
        let content = Attributes { keep, ..Attributes::default() }.file(last.path.clone(), &metadata);
        draft.place(&last.path, content, claim, origin)?;
    }
    Some(metadata.mode())
}

/// Why a file of a closure is there, for the origin of its step.
fn reason(needed: &Needed) -> String {
    let by = needed.by.display();
    match &needed.why {
        Why::Program => format!("{by} itself"),
        Why::Interpreter => format!("PT_INTERP of {by}"),
        Why::Needed { soname } => format!("DT_NEEDED {} of {by}", soname.display()),
        Why::Baseline { soname } => {
            format!("{} of {by}, for processors with fewer extensions", soname.display())
        }
        Why::Filter { soname } => format!("DT_FILTER {} of {by}", soname.display()),
        Why::Dlopen { soname, priority } => format!("dlopen note {} of {by} ({priority})", soname.display()),
        Why::ThreadExit => format!("opened by the C library when a thread of {by} ends early"),
        Why::Script { line } => format!("first line of {by}, #!{}", line.display()),
        Why::SearchPath { library } => format!("tells the loader where {} is, for {by}", library.display()),
    }
}

/// What to say when there is no closure.
fn failures(draft: &Draft<'_>, path: &Path, error: &Error, origin: &Origin) -> Vec<Finding> {
    let finding = match error {
        Error::Missing(missing) => {
            return missing.iter().map(|missing| missing_library(missing, origin)).collect();
        }
        Error::File { path: file, chain, problem } if chain.is_empty() => {
            match (problem, draft.view.chain(file)) {
                (Problem::Absent, Err(error)) => return vec![draft.view.missing(file, &error, origin)],
                _ => Finding::error(format!("`{}` cannot be run: {problem}", file.display()), origin),
            }
            .hint(match problem {
                Problem::UnknownFormat => "list it under `files`, which brings it as it is",
                Problem::NotAFile => "list directories under `files`",
                Problem::Unreadable(_) => "run as a user who may read it",
                _ => "install it anew, or take the entry out",
            })
        }
        Error::Interpreter { path: interpreter, .. } => {
            let hint = if interpreter.as_os_str().as_bytes().ends_with(b"\r") {
                "its lines end in CR LF, as on Windows: take the carriage returns out, as dos2unix(1) does"
            } else if interpreter.is_absolute() {
                "install what it is to be started by at that very path"
            } else {
                "install it: env(1) looks for it in the directories of PATH"
            };
            Finding::error(format!("`{}` would not start", path.display()), origin)
                .why(error.to_string())
                .hint(hint)
        }
        Error::File { .. } => Finding::error(format!("`{}` would not start", path.display()), origin)
            .why(error.to_string())
            .hint("install the package of that file anew"),
        _ => Finding::error(format!("`{}` would not start", path.display()), origin).why(error.to_string()),
    };
    vec![finding]
}

fn missing_library(missing: &Missing, origin: &Origin) -> Finding {
    let name = missing.name.display();
    let chain: Vec<_> = missing.chain.iter().map(|path| format!("`{}`", path.display())).collect();
    let mut finding = Finding::error(format!("the library `{name}` is not on the host"), origin)
        .why(format!("needed by {}", chain.join(" -> ")));
    for tried in missing.tried.iter().take(SHOWN) {
        finding = finding.why(format!("looked for at {tried}"));
    }
    if missing.tried.len() > SHOWN {
        finding = finding.why(format!("and at {} more places", missing.tried.len() - SHOWN));
    }
    finding.hint(format!(
        "install the package that has `{name}`; if it is in a directory of its own, name that in /etc/ld.so.conf.d and run ldconfig(8)"
    ))
}
