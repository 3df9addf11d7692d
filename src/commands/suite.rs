//! `test`: builds jails, tests each, verifies its tree, and says what came of it; `--all` leaves nothing that was not there before.

use std::time::Instant;

use super::prepare::{Jail, Result};
use super::{remove, test};
use crate::cli;
use crate::error::{self, Failure, exit};
use crate::manifest::resolve::command;
use crate::manifest::{self, Request};
use crate::plan::{JailName, capability};
use crate::report::diagnostic::Diagnostic;
use crate::tree::{self, Verified};

/// How many paths that a test has changed are told.
const TOLD: usize = 8;

/// What became of a test that did not fail.
enum Verdict {
    /// The jail did what its test expects.
    Passed(JailName),
    /// It cannot be tested here, and why.
    Skipped(JailName, String),
}

/// Tests each of these jails; 1 if any fails.
pub(super) fn test(options: &cli::Test) -> Result<u8> {
    let named = options.jails.iter().map(|jail| Request { jail: jail.into(), ..Request::default() });
    let requests = if options.all { all() } else { named.collect() };
    if requests.is_empty() {
        let nothing = Diagnostic::error("no jail is named")
            .hint("write `stockade test JAIL`, or `stockade test --all`");
        return Err(Failure::new(nothing, exit::USAGE));
    }
    let (mut code, mut passed, mut skipped) = (0, 0, 0);
    for request in &requests {
        let started = Instant::now();
        let done = if options.all { one_of_all(request) } else { one(request) };
        let line = match done {
            Ok(Verdict::Passed(name)) => {
                passed += 1;
                format!("test {name} ... ok ({} ms)\n", started.elapsed().as_millis())
            }
            Ok(Verdict::Skipped(name, why)) => {
                skipped += 1;
                format!("test {name} ... skipped: {why}\n")
            }
            Err(failure) => {
                code = code.max(failure.report().max(exit::FINDING));
                format!("test {} ... FAILED\n", request.jail.display())
            }
        };
        code = code.max(error::print(&line));
    }
    if options.all {
        let failed = requests.len() - passed - skipped;
        code = code.max(error::print(&format!("{passed} passed, {failed} failed, {skipped} skipped\n")));
    }
    Ok(code)
}

/// Every manifest that has a `[test]`, as requests.
fn all() -> Vec<Request> {
    let requests =
        manifest::lookup::all().into_iter().map(|path| Request { jail: path.into(), ..Request::default() });
    // A manifest that cannot be loaded stays in the list: its test fails, and says why.
    requests
        .filter(|request| manifest::load(request).map_or(true, |loaded| loaded.manifest.test.is_some()))
        .collect()
}

/// Tests one jail that was named. Its tree stays.
fn one(request: &Request) -> Result<Verdict> {
    let jail = Jail::load(request)?;
    tested(&jail, request)?;
    Ok(Verdict::Passed(jail.name))
}

/// Builds a jail anew, tests it and looks at its tree.
pub(super) fn proved(request: &Request) -> Result<()> {
    let jail = Jail::load(request)?;
    tested(&jail, request)
}

/// Tests one jail of all there are. What cannot be tested here is skipped, and what was not there before does not stay.
fn one_of_all(request: &Request) -> Result<Verdict> {
    let jail = Jail::load(request)?;
    if let Some(why) = obstacle(&jail) {
        return Ok(Verdict::Skipped(jail.name, why));
    }
    let cannot = |error: tree::Error| jail.tree_failure(&error);
    let is_new = jail.store()?.latest(&jail.name).map_err(cannot)?.is_none();
    let result = tested(&jail, request);
    if is_new {
        let removed = jail.store()?.remove(&jail.name);
        let what = format!("cannot remove jail `{}`, which was built to be tested", jail.name);
        removed.map_err(|error| remove::failed(&what, &error))?;
    }
    result.map(|()| Verdict::Passed(jail.name))
}

/// Why a jail cannot be tested by this user on this host, if that can be told beforehand.
fn obstacle(jail: &Jail) -> Option<String> {
    let manifest = &jail.loaded.manifest;
    if let Some(program) = command::not_installed(manifest, &jail.host) {
        return Some(format!("`{}` is not installed", program.display()));
    }
    let asked = |name| {
        let number = capability::number(name);
        manifest.privileges.capabilities.iter().any(|given| Some(given.value) == number)
    };
    (!jail.host.is_root() && (asked("SETUID") || asked("SETGID"))).then(|| {
        "it changes to other users by itself, and in an ordinary user's jail there is one".to_owned()
    })
}

/// Builds, tests and verifies a jail.
fn tested(jail: &Jail, request: &Request) -> Result<()> {
    test::wanted(jail)?;
    // Built first, so that the time a build takes is not the test's.
    drop(jail.held(|_, _| {})?);
    test::test(jail, request)?;
    verified(jail)
}

/// Looks whether the tree is still as it was built.
fn verified(jail: &Jail) -> Result<()> {
    let cannot = |error: tree::Error| jail.tree_failure(&error);
    let store = jail.store()?;
    let Some(generation) = store.latest(&jail.name).map_err(cannot)? else { return Ok(()) };
    let record = store.record(&generation).map_err(cannot)?;
    let Verified { deviations, untold, .. } = tree::verify(store, &generation, &record).map_err(cannot)?;
    // A program that may write to its tree was allowed to.
    if record.head.writable || deviations.is_empty() {
        return Ok(());
    }
    let message = format!("the tree of jail `{}` is not as it was built, after its test", jail.name);
    let mut altered = Diagnostic::error(message);
    for deviation in deviations.iter().take(TOLD) {
        let (path, kind) = (deviation.path.display(), deviation.kind.name());
        let details = match &deviation.details[..] {
            [] => String::new(),
            details => format!(" ({})", details.join(", ")),
        };
        altered = altered.why(format!("`{path}` is {kind}{details}"));
    }
    let more = deviations.len().saturating_sub(TOLD) + untold;
    if more > 0 {
        altered = altered.why(format!("and {more} more"));
    }
    let hint = format!("`stockade build {}` makes it anew", jail.loaded.path.display());
    Err(Failure::new(altered.hint(hint), exit::FINDING))
}
