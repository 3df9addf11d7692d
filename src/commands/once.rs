//! `once`: runs one command isolated. Its options become a manifest, and from there on it is a run like any other, but that
//! nothing of it is kept, and that there is a record of it only where there is a place for one.

use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use super::overlay::Overlays;
use super::prepare::{Jail, Result};
use super::{diagnose, manifest_file, report_file, run};
use crate::cli::{Once, descriptor_content};
use crate::error::{self, Failure, exit};
use crate::manifest::edit::Line;
use crate::manifest::once::{Asked, Facts, Found, IN_A_MANIFEST, option_for};
use crate::manifest::resolve::accounts::Accounts;
use crate::manifest::{self, OfOptions, Unusable};
use crate::plan::Account;
use crate::report::diagnostic::Diagnostic;
use crate::report::printed;
use crate::report::run::{self as report, Course};
use crate::sys;

/// Runs it; its exit code, by the conventions in README.
pub(super) fn once(options: &Once) -> Result<u8> {
    if options.value("--die-with-parent").is_some() {
        die_with_parent()?;
    }
    if options.value("--diagnose").is_some() {
        return diagnosed(options);
    }
    let from = options.value("--from");
    let OfOptions { loaded, note, text } = options_as_manifest(options, from)?;
    if let Some(path) = options.value("--save") {
        return save(path, &text);
    }
    if let Some(note) = note {
        error::note(&format!("note: {note}"));
    }
    let outputs = Outputs::open(options)?;
    let report = options.value("--report");
    let report = report.map(|place| report_file(place).map(|file| (place, file))).transpose()?;
    let jail = Jail::of(loaded, Vec::new()).map_err(|failure| failure.code(exit::FAILED))?;
    let overlays = Overlays::of(options, &jail.loaded.manifest)?;
    let tell = |program| outputs.tell(program);
    let tells_bytes = report.is_some() || options.value("-v").is_some();
    let mut course = Course { tells_bytes, ..Course::default() };
    let result = run::run_once(&jail, outputs.listens().then_some(&tell), overlays.as_ref(), &mut course);
    let mut result = result.map_err(|failure| failure.code(exit::FAILED));
    if let (Ok(code), Some(overlays)) = (&mut result, &overlays) {
        (*code, course.changes) = overlays.finish(*code);
    }
    let code = result.as_ref().map_or(exit::FAILED, |code| *code);
    outputs.end(code);
    if options.value("-v").is_some() {
        error::note(&format!("once: {}", course.line()));
    }
    if let Some((path, mut file)) = report {
        let text = printed::json(&report::json(&jail.name, &course, code));
        file.write_all(text.as_bytes()).map_err(|error| report_file::not_written(path, &error))?;
    }
    run::end_if_interrupted(course.interrupted);
    result
}

/// Runs it under trace, and tells what it lacked if it ends with an error.
fn diagnosed(options: &Once) -> Result<u8> {
    // What can be read once is left to the run.
    const READ: [&str; 4] = ["--diagnose", "--file", "--bind-data", "--ro-bind-data"];
    let known = options.options.iter().filter(|asked| !READ.contains(&asked.name)).cloned().collect();
    let known = Once { options: known, command: options.command.clone() };
    let loaded = options_as_manifest(&known, known.value("--from"))?.loaded;
    let jail = Jail::of(loaded, Vec::new()).map_err(|failure| failure.code(exit::FAILED))?;
    let mut words: Vec<OsString> = vec!["once".into()];
    for asked in options.options.iter().filter(|asked| asked.name != "--diagnose") {
        words.push(asked.name.into());
        words.extend(asked.values.iter().map(OsString::from));
    }
    words.push("--".into());
    words.extend(options.command.iter().cloned());
    let (watched, lacks) = diagnose::watched(&jail, words, None, None)?;
    let code = watched.status.and_then(|status| u8::try_from(status).ok()).unwrap_or(exit::FAILED);
    if code == 0 || watched.seen.executions.is_empty() {
        return Ok(code);
    }
    if lacks.is_empty() {
        error::note("diagnose: nothing that the host has was lacking");
    }
    for lack in lacks {
        error::note(&format!("diagnose: {}", lack.what));
        let given: Vec<_> = lack.lines.iter().map(|line| option_for(line).ok_or(line)).collect();
        let is_said = |hint: &String| hint.contains("`sockets = true`");
        let is_for_a_manifest =
            given.iter().any(std::result::Result::is_err) || lack.hint.as_ref().is_some_and(is_said);
        let given = given.into_iter().map(|option| option.unwrap_or_else(Line::told));
        let how = is_for_a_manifest.then(|| IN_A_MANIFEST.to_owned());
        for line in given.chain(lack.hint).chain(how) {
            error::note(&format!("    {line}"));
        }
    }
    Ok(code)
}

/// The manifest that options amount to, as text.
pub(super) fn as_text(options: &Once) -> Result<String> {
    options_as_manifest(options, options.value("--from")).map(|made| made.text)
}

/// Where the report goes: a descriptor of the caller's, or a file.
fn report_file(place: &str) -> Result<File> {
    if place.bytes().all(|byte| byte.is_ascii_digit()) {
        return descriptor("--report", place);
    }
    report_file::create(place)
}

/// What the options amount to.
fn options_as_manifest(options: &Once, from: Option<&str>) -> Result<OfOptions> {
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let current = std::env::current_dir().map_err(|error| {
        let gone = Diagnostic::error("the current directory cannot be told").why(error.to_string());
        Failure::new(gone.hint("start it in another directory"), exit::FAILED)
    })?;
    let read = |path: &str| std::fs::read(path).unwrap_or_default();
    let accounts = Accounts::parse(&read("/etc/passwd"), &read("/etc/group"));
    let own = accounts.user(&Account::Id(uid));
    let user = own.map_or("user", |own| &own.name).to_owned();
    let group = accounts.group(&Account::Id(gid)).map_or("group", |own| &own.name).to_owned();
    let own = own.map(|own| PathBuf::from(&own.home)).filter(|home| home != Path::new(""));
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let facts = Facts {
        uid,
        gid,
        home: Facts::home(&user, home.into_iter().chain(own)),
        user,
        group,
        current,
        umask: sys::process::callers_umask(),
        terminal: [
            std::io::stdin().is_terminal(),
            std::io::stdout().is_terminal(),
            std::io::stderr().is_terminal(),
        ]
        .contains(&true),
        look: &look,
        names: &names,
        read: &descriptor_content,
    };
    let asked: Vec<Asked> = options.options.iter().map(with_own_path).collect();
    manifest::load_options(from, &asked, &options.command, &facts).map_err(|error| match error {
        Unusable::Refused((message, hint)) => {
            Failure::new(Diagnostic::error(message).hint(hint), exit::USAGE)
        }
        Unusable::Wrong(findings) => Failure::findings(findings, Path::new("the options")).code(exit::FAILED),
    })
}

/// `--env PATH` with the caller's value: the program is looked for in it before anything is passed.
fn with_own_path(asked: &Asked) -> Asked {
    let is_path = asked.name == "--env" && asked.values == ["PATH"];
    match std::env::var("PATH") {
        Ok(path) if is_path => Asked { values: vec![format!("PATH={path}")], ..asked.clone() },
        _ => asked.clone(),
    }
}

/// What is at a path.
fn look(path: &Path) -> Found {
    let Ok(found) = path.symlink_metadata() else { return Found::Nothing };
    if found.is_symlink() {
        let text = std::fs::read_link(path).ok().and_then(|text| text.into_os_string().into_string().ok());
        return text.map_or(Found::Nothing, Found::Link);
    }
    if found.is_dir() { Found::Directory } else { Found::Other }
}

/// The names in a directory that are text, sorted.
fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().filter_map(std::result::Result::ok);
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// Writes the manifest.
fn save(path: &str, text: &str) -> Result<u8> {
    if path == "-" {
        return Ok(error::print(text));
    }
    manifest_file::write(Path::new(path), text).map(|()| 0)
}

/// This process ends when the one that started it does, and with it the jail.
fn die_with_parent() -> Result<()> {
    let parent = nix::unistd::getppid();
    sys::process::die_with_parent().map_err(|errno| {
        let failed = Diagnostic::error("the end of the caller cannot be watched");
        Failure::new(failed.why(sys::Error { call: "prctl", errno }.to_string()), exit::FAILED)
    })?;
    // It may have ended just before.
    if nix::unistd::getppid() != parent {
        sys::process::exit(exit::FAILED.into());
    }
    Ok(())
}

/// Descriptors of the caller's that are told of the start and the end, as bubblewrap tells of them.
struct Outputs {
    status: Option<File>,
    info: Option<File>,
}

impl Outputs {
    /// Those that the options name.
    fn open(options: &Once) -> Result<Self> {
        let open = |name: &str| options.value(name).map(|number| descriptor(name, number)).transpose();
        Ok(Self { status: open("--json-status-fd")?, info: open("--info-fd")? })
    }

    /// Whether there are any.
    fn listens(&self) -> bool {
        self.status.is_some() || self.info.is_some()
    }

    /// The program runs. Who does not listen any more is not told.
    fn tell(&self, program: i32) {
        if let Some(mut file) = self.info.as_ref() {
            let _ = write!(file, "{{\n    \"child-pid\": {program}\n}}\n");
        }
        if let Some(mut file) = self.status.as_ref() {
            let _ = writeln!(file, "{{ \"child-pid\": {program} }}");
        }
    }

    /// It has ended.
    fn end(&self, code: u8) {
        if let Some(mut file) = self.status.as_ref() {
            let _ = writeln!(file, "{{ \"exit-code\": {code} }}");
        }
    }
}

/// A descriptor that the caller passed, to be written to.
fn descriptor(option: &str, number: &str) -> Result<File> {
    let unusable = |why: String| {
        let hint = format!("give a descriptor that is open for writing: `{option} 3 3> FILE`");
        Failure::new(
            Diagnostic::error(format!("`{option} {number}` cannot be written to")).why(why).hint(hint),
            exit::USAGE,
        )
    };
    let number = number.parse().map_err(|_| unusable("it is not the number of a descriptor".into()))?;
    let copy = sys::process::duplicate(number)
        .map_err(|errno| unusable(sys::Error { call: "fcntl", errno }.to_string()))?;
    // Before the program has run, not after it.
    match sys::descriptor::Descriptor::of(copy.as_fd()) {
        Ok(found) if !found.writable => Err(unusable("it is open for reading only".into())),
        _ => Ok(copy.into()),
    }
}
