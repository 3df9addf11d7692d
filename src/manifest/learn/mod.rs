//! From what a program did to the manifest of a jail in which it can do the same: `learn`.
//!
//! Theory of operation:
//!
//! 1. `paths` follows the links of every path that was used, so that each thing is known by one name, and keeps the links.
//! 2. `purpose` says of each what it is for: a device, a switch such as `dns`, something written, a program, data, a secret.
//! 3. What is written becomes mounts (`written`): memory for what may be lost, the host's own directory for what may not, unless the host
//!    executes from it or is configured by it (`power`).
//!    Rights, ids, network and system calls are `rights`, variables `environment`.
//! 4. That much is a manifest already. It is resolved as any other is ([`Covered`]), and what the tree has by then nobody needs to
//!    list: libraries, loaders, interpreters, links.
//! 5. The rest is copied (`copied`): a file by its name, a directory or a package where much of one was read; what must not be copied
//!    is shown (`data`), or only mentioned (`secrets`).
//!
//! Every line has its reason: who did what, by which call and when.

mod copied;
mod data;
mod environment;
mod lacked;
mod paths;
mod power;
mod purpose;
mod rights;
mod secrets;
mod written;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::edit::{self, Line, Place};
use super::finding::Finding;
use super::resolve::accounts::Accounts;
use super::resolve::covered::Covered;
use super::resolve::tree::{Nodes, tree_steps};
use crate::plan::quote::Escaped;
use crate::plan::system_calls::profiles::Profile;
use crate::plan::{Source, Span};
use crate::seen::{Kind, Moment, Seen, Use};
use crate::sys::host::Host;
pub use environment::{environment, of_caller};
pub use lacked::{Lack, lacks};
pub use power::{is_given, is_powerful};
pub(super) use secrets::is_key;

use paths::Paths;
use purpose::Purpose;
use secrets::Secret;

/// How long a test may take of which nothing is said.
const TEST: Duration = Duration::from_secs(10);

/// What is known beside what was seen.
pub struct Facts<'a> {
    /// The jail's name.
    pub name: String,
    /// The manifest's file, for what it includes.
    pub path: PathBuf,
    /// The command, as it was called.
    pub command: Vec<String>,
    /// The directory it was called in.
    pub current: PathBuf,
    /// Whether the first process ended while others went on.
    pub forking: bool,
    /// The command that tried it.
    pub probe: Option<String>,
    /// The status with which it ended by itself.
    pub status: Option<i32>,
    /// The status with which it ended when it was stopped.
    pub stopped: Option<i32>,
    /// Whether its root is to be the host's, without a user namespace.
    pub is_host_root: bool,
    /// How long it was watched at most.
    pub watched: Duration,
    /// Variables of the caller's, see [`of_caller`].
    pub environment: Vec<(String, String)>,
    /// The host.
    pub host: &'a Host,
    /// The host's accounts.
    pub accounts: &'a Accounts,
}

impl<'a> Facts<'a> {
    /// Of a program that is yet to be watched, and of which nothing else is known.
    pub fn new(name: String, path: PathBuf, host: &'a Host, accounts: &'a Accounts) -> Self {
        Self {
            name,
            path,
            command: Vec::new(),
            current: "/".into(),
            forking: false,
            probe: None,
            status: None,
            stopped: None,
            is_host_root: false,
            watched: Duration::ZERO,
            environment: Vec::new(),
            host,
            accounts,
        }
    }
}

/// The text of a manifest for what was seen: a new one, or one that is there already with what it lacks.
pub fn propose(seen: &Seen, facts: &Facts<'_>, there: &str) -> Result<String, Vec<Finding>> {
    let seen = &seen.clone().named(&called(seen));
    let paths = Paths::of(seen, facts);
    let purposes = purpose::all(&paths);
    let mut lines = beginning(seen, facts, &paths, &purposes);
    lines.extend(environment::lines(seen, facts, &paths));
    lines.extend(written::lines(seen, &paths, &purposes, facts));
    if written::hides(&lines, &facts.current) {
        lines.retain(|line| line.place != Place::Value("program", "working_directory"));
    }
    lines.extend(rights::lines(seen, facts, &lines, &paths));
    lines.extend(programs(seen, &paths));
    lines.extend(helpers(&paths, &purposes));
    lines.extend(unnamed(&paths));
    lines.extend(passwords(seen));
    if is_said(there, "program", "command") {
        lines = only_adding(lines, there);
    }
    let draft = |lines: &[Line]| edit::add(there, &edit::unsaid(there, lines)).0;
    let covered = covered(&draft(&lines), facts)?;
    let libraries = copied::libraries(&paths, &purposes, &covered);
    let covered = if libraries.is_empty() {
        covered
    } else {
        lines.extend(libraries);
        self::covered(&draft(&lines), facts)?
    };
    lines.extend(copied::lines(&paths, &purposes, &covered, facts));
    Ok(draft(&deduplicated(lines)))
}

/// Whether a text has a key.
fn is_said(text: &str, table: &'static str, key: &'static str) -> bool {
    !text.is_empty() && edit::unsaid(text, &[Line::value(table, key, "", "")]).is_empty()
}

/// What adds to a manifest that is there: nothing that gives it less, or another user, than what is the case where it is silent.
fn only_adding(lines: Vec<Line>, there: &str) -> Vec<Line> {
    let takes_away = |line: &Line| match line.place {
        Place::Value("program", "user") => true,
        Place::Value("tree", "devices") => line.value == "[]",
        Place::Value("privileges", "system_calls") => line.value == text(Profile::Compute.name()),
        _ => false,
    };
    let mut lines: Vec<Line> = lines.into_iter().filter(|line| !takes_away(line)).collect();
    let first = lines.iter().position(|line| line.place == Place::Entry("tree", "devices"));
    if let Some(first) = first.filter(|_| !is_said(there, "tree", "devices")) {
        lines.splice(first..first, lacked::default_devices());
    }
    deduplicated(lines)
}

/// What a manifest, being text, has no word for: told, with what names it all the same.
fn unnamed(paths: &Paths) -> impl Iterator<Item = Line> {
    // One that was only looked for is nobody's loss.
    let there = paths.unnamed.iter().filter(|(path, _)| path.symlink_metadata().is_ok());
    there.map(|(path, why)| Line {
        place: Place::Remark("tree"),
        value: format!("{}: its name is no text, so name the directory it is in", shown(path)),
        reason: why.clone(),
    })
}

/// The passwords of the host's users, if they were read: they have no way into a jail.
pub fn passwords(seen: &Seen) -> Option<Line> {
    let shadow = seen.files.get(Path::new("/etc/shadow"))?;
    let moment = shadow.uses.get(&Use::Read)?;
    let value = "/etc/shadow: passwords of the host's users are never taken into a jail".to_owned();
    let reason = format!("{}: who logs in there needs a list of the jail's own", reason(moment, "read"));
    Some(Line { place: Place::Remark("tree"), value, reason })
}

/// What a draft's tree has already, by resolving it as any manifest is.
fn covered(text: &str, facts: &Facts<'_>) -> Result<Covered, Vec<Finding>> {
    let source = Source { path: facts.path.clone(), text: text.to_owned() };
    let loaded = super::load_text(Rc::new(source))?;
    let manifest = &loaded.manifest;
    let accounts = Accounts::of(manifest, facts.host).map_err(|finding| vec![finding])?;
    let nodes = if facts.host.device_nodes { Nodes::Made } else { Nodes::Bound };
    let made = tree_steps(manifest, facts.host, &accounts, nodes)?;
    Ok(Covered::of(manifest, &made.steps))
}

/// What programs were called as, by their paths: one that has several names is known to people by the one it was called by.
fn called(seen: &Seen) -> BTreeMap<PathBuf, Rc<str>> {
    let mut names = BTreeMap::new();
    for execution in &seen.executions {
        let own = execution.path.as_os_str();
        let word = execution.arguments.first().map_or(own, |word| word.as_os_str());
        let name = Path::new(word).file_name().unwrap_or(own).to_string_lossy();
        names.entry(execution.path.clone()).or_insert_with(|| name.trim_start_matches('-').into());
    }
    names
}

/// What was executed. Loaders and interpreters come with what they are for.
fn programs(seen: &Seen, paths: &Paths) -> Vec<Line> {
    let mut known: Vec<&Path> = Vec::new();
    let mut lines = Vec::new();
    for (at, execution) in seen.executions.iter().enumerate() {
        let path = execution.path.as_path();
        let is_there =
            path.to_str().is_some() && paths.files.get(path).is_none_or(|used| used.kind == Kind::Regular);
        if is_there && !known.contains(&path) {
            known.push(path);
            let by_somebody = || reason(&execution.moment, "executed");
            let why = if at == 0 { "the program".to_owned() } else { by_somebody() };
            lines.push(Line::entry("tree", "programs", quoted(path), why));
        }
    }
    lines
}

/// What was made sure of, to be executed when there is need.
fn helpers(paths: &Paths, purposes: &purpose::All<'_>) -> Vec<Line> {
    let helpers = purposes.iter().filter(|(_, purpose)| **purpose == Purpose::Program);
    let used = helpers.map(|(path, _)| (*path, &paths.files[*path]));
    let unexecuted = used.filter(|(_, used)| !used.is(Use::Executed));
    unexecuted.map(|(path, used)| Line::entry("tree", "programs", quoted(path), used.reason())).collect()
}

/// Keys and the like that were read and are left out: the mounts that show them.
pub fn secrets(seen: &Seen, facts: &Facts<'_>) -> Vec<(PathBuf, Line)> {
    let paths = Paths::of(seen, facts);
    let read = paths.files.iter().filter(|(path, used)| {
        used.is(Use::Read)
            && matches!(purpose::of(path, used), Purpose::File | Purpose::Data)
            && secrets::of(path, used) == Secret::Key
    });
    let shown = |(path, used): (&PathBuf, &paths::Used)| {
        let place = Place::Table("mounts");
        let value = format!("source = {0}\ntarget = {0}", quoted(path));
        let reason = format!("a secret without which it does not work, {}", used.reason());
        (path.clone(), Line { place, value, reason })
    };
    read.map(shown).collect()
}

/// What stands first: the name, the command, and what is chosen by one word.
fn beginning(seen: &Seen, facts: &Facts<'_>, paths: &Paths, purposes: &purpose::All<'_>) -> Vec<Line> {
    let command: Vec<String> = facts.command.iter().map(|word| text(word)).collect();
    let program = seen.executions.first().map_or_else(String::new, |first| shown(&first.path));
    let mut lines = vec![
        Line::value("", "name", text(&facts.name), ""),
        Line::value(
            "program",
            "command",
            format!("[{}]", command.join(", ")),
            format!("the program is {program}"),
        ),
    ];
    if facts.forking {
        lines.push(Line::value(
            "program",
            "type",
            "\"forking\"",
            "its first process ended, and others went on",
        ));
    }
    let is_used = |(path, used): (&PathBuf, &paths::Used)| {
        is_below(path, &facts.current) && used.uses.keys().any(|one| *one != Use::Executed)
    };
    if facts.current.to_str().is_some() && paths.files.iter().any(is_used) {
        lines.push(Line::value(
            "program",
            "working_directory",
            quoted(&facts.current),
            "where it was called, and where it used files",
        ));
    }
    for (path, purpose) in purposes {
        let why = paths.files[*path].reason();
        match purpose {
            Purpose::Device(name) => lines.push(Line::entry("tree", "devices", text(name), why)),
            Purpose::OtherDevice => lines.push(Line {
                place: Place::Remark("tree"),
                value: format!("{} is not among the devices that a jail can have", shown(path)),
                reason: why,
            }),
            Purpose::Host(name) => lines.push(Line::entry("tree", "host", text(name), why)),
            _ => {}
        }
    }
    if !lines.iter().any(|line| line.place == Place::Entry("tree", "devices")) {
        lines.push(Line::value("tree", "devices", "[]", "it used none"));
    }
    if let Some(probe) = &facts.probe {
        let command = format!("[\"sh\", \"-c\", {}]", text(probe));
        lines.push(Line::value("test", "command", command, "the probe it was learned with"));
        if facts.watched > TEST {
            let time = text(&Span(facts.watched).to_string());
            lines.push(Line::value("test", "timeout", time, "as long as it was watched at most"));
        }
        if let Some(status) = facts.stopped.filter(|status| ![0, 143].contains(status)) {
            let why = "how it ended when it was stopped";
            lines.push(Line::value("test", "stop_status", status.to_string(), why));
        }
    } else if let Some(status) = facts.status.filter(|_| !facts.forking) {
        lines.push(Line::value("test", "status", status.to_string(), "how it ended when it was learned"));
    }
    deduplicated(lines)
}

/// Lines that say the same are said once, with the first reason.
fn deduplicated(lines: Vec<Line>) -> Vec<Line> {
    let mut kept: Vec<Line> = Vec::new();
    for line in lines {
        if !kept.iter().any(|known| (known.place, &known.value) == (line.place, &line.value)) {
            kept.push(line);
        }
    }
    kept
}

/// Why a line is there: what was done, by whom, by which call, when.
fn reason(moment: &Moment, what: &str) -> String {
    let program = Path::new(&*moment.program).file_name().unwrap_or_default();
    let program = Escaped(program.as_encoded_bytes());
    format!("{what} by {program}, {}(2), at {:.3} s", moment.call, moment.at.as_secs_f64())
}

/// The word for a use, to be followed by who did it.
fn word(of: Use) -> &'static str {
    match of {
        Use::Executed => "executed",
        Use::Read => "read",
        Use::Written => "written",
        Use::Listed => "listed",
        Use::Entered => "entered",
        Use::Looked => "looked at",
        Use::Followed => "followed",
        Use::Made => "made",
        Use::Removed => "removed",
        Use::Owned => "given an owner",
        Use::Moded => "given a mode",
        Use::Connected => "connected to",
        Use::Missing => "missed",
        Use::Refused => "refused",
    }
}

/// Whether a path is in a directory that is no part of the system.
fn is_below(path: &Path, directory: &Path) -> bool {
    directory.components().count() > 2 && path != directory && path.starts_with(directory)
}

/// A path as text of TOML. One that is no UTF-8 has no way into a manifest; nobody gives a daemon such names.
fn quoted(path: &Path) -> String {
    text(&path.to_string_lossy())
}

/// Text of TOML.
fn text(text: &str) -> String {
    edit::quoted(text)
}

/// A path to be told.
fn shown(path: &Path) -> String {
    Escaped(path.as_os_str().as_encoded_bytes()).to_string()
}

#[cfg(test)]
mod tests;
