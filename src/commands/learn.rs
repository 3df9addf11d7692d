//! `learn`: watches a program on the host, proposes a manifest for it, and proves that it works by building and testing it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::manifest_file::{write, write_edited};
use super::prepare::{Jail, Result, state_directory};
use super::{diagnose, suite, watch};
use crate::cli;
use crate::error::{self, Failure, exit};
use crate::manifest::edit::{self, Line};
use crate::manifest::learn::{Facts, Lack, environment, is_given, of_caller, propose};
use crate::manifest::resolve::accounts::Accounts;
use crate::manifest::schema::Manifest;
use crate::manifest::{self, Request};
use crate::plan::{JailName, Source, Span};
use crate::report::diagnostic::Diagnostic;
use crate::seen::Seen;
use crate::sys::host::Host;
use crate::trace;

/// How often what a jail lacks is added.
const ROUNDS: usize = 8;
/// How long a program is watched if nothing is said.
const DURATION: Duration = Duration::from_secs(10);

/// Learns a manifest.
pub(super) fn learn(options: &cli::Learn, program: Vec<OsString>) -> Result<u8> {
    let command = texts(&program)?;
    let duration = options.duration.as_deref().map_or(Ok(DURATION), span)?;
    let (path, there) = target(options)?;
    let host = Host::current(&state_directory()?);
    let accounts =
        Accounts::read(&host).map_err(|finding| Failure::findings(vec![finding], Path::new("")))?;
    let name = name(options, path.as_deref(), &command)?;
    let current = std::env::current_dir().unwrap_or_else(|_| "/".into());
    let file = path.clone().unwrap_or_else(|| format!("{name}.toml").into());
    let mut facts = Facts {
        command: called(command, &current),
        current,
        probe: options.probe.clone(),
        watched: duration,
        environment: of_caller(),
        ..Facts::new(name.as_str().to_owned(), file, &host, &accounts)
    };
    let command = trace::Command {
        arguments: program,
        environment: Some(environment(&facts)),
        ..trace::Command::default()
    };
    let watched = watch::watch(&command, options.probe.as_deref(), Some(duration))?;
    if options.probe.is_some() && !watched.passed {
        let failed = Diagnostic::error("the probe did not succeed while the program was watched");
        let hint = "a longer `--for` gives it more time; outside a jail it has to succeed first";
        return Err(Failure::new(failed.hint(hint), exit::FINDING));
    }
    (facts.forking, facts.status, facts.stopped) = (watched.forking, watched.status, watched.stopped);
    let text = proposed(&watched.seen, &facts, &there)?;
    let Some(path) = path else { return Ok(error::print(&text)) };
    write(&path, &text)?;
    if !options.prove {
        error::note(&format!("learned jail `{name}`: `stockade run {}` runs it", path.display()));
        return Ok(0);
    }
    prove(&path, &watched.seen, &mut facts, &there)
}

/// Builds and tests what was learned, with what the jailed run lacked, until it works or there is nothing to be added unasked.
fn prove(path: &Path, seen: &Seen, facts: &mut Facts<'_>, there: &str) -> Result<u8> {
    let request = Request { jail: as_argument(path), ..Request::default() };
    let secrets = manifest::learn::secrets(seen, facts);
    let mut added: Vec<Line> = Vec::new();
    for round in 1.. {
        let Err(failure) = suite::proved(&request) else { break };
        let jail = Jail::load(&request)?;
        let lacks = diagnose::lacking(&jail, &request, facts.probe.as_deref(), Some(facts.watched))?;
        let text = read(path)?;
        let (mut lines, withheld) = lacking_lines(&text, &lacks, &jail.loaded.manifest);
        if lines.is_empty() {
            lines = edit::unsaid(&text, &needed(&secrets, &lacks));
        }
        if lines.is_empty() && !facts.is_host_root {
            // What else differs is who is who.
            facts.is_host_root = true;
            let other = proposed(seen, facts, there)?;
            let other = edit::add(&other, &edit::unsaid(&other, &added)).0;
            if other != text {
                error::note("it does not work yet; tried without a user namespace of its own");
                write_edited(path, other)?;
                continue;
            }
        }
        if lines.is_empty() || round == ROUNDS {
            error::note("what was learned does not do yet what it does on the host:");
            for line in withheld.iter().chain(&manifest::learn::passwords(seen)) {
                error::note(&format!("    not given unasked: {}, {}", line.told(), line.reason));
            }
            return Err(failure);
        }
        error::note(&format!("it does not work yet; {} added", counted(lines.len())));
        write_edited(path, edit::add(&edit::taken_in(&text, &lines), &lines).0)?;
        added.extend(lines);
    }
    let (name, path) = (&facts.name, path.display());
    error::note(&format!("learned and proved jail `{name}`: `stockade run {path}` runs it"));
    Ok(0)
}

/// The lines that a manifest lacks, and those that are not given unasked.
fn lacking_lines(text: &str, lacks: &[Lack], manifest: &Manifest) -> (Vec<Line>, Vec<Line>) {
    let wanted: Vec<Line> = lacks.iter().flat_map(|lack| lack.lines.iter().cloned()).collect();
    let wanted = edit::unsaid(text, &edit::merged(wanted));
    wanted.into_iter().partition(|line| is_given(line, manifest))
}

/// The secrets that were lacking.
fn needed(secrets: &[(PathBuf, Line)], lacks: &[Lack]) -> Vec<Line> {
    let lacking = |path: &Path| {
        let mut places = lacks.iter().filter_map(|lack| lack.secret.as_ref());
        places.any(|place| path.starts_with(place))
    };
    secrets.iter().filter(|(path, _)| lacking(path)).map(|(_, line)| line.clone()).collect()
}

/// So many lines.
fn counted(lines: usize) -> String {
    if lines == 1 { "1 line is".to_owned() } else { format!("{lines} lines are") }
}

/// The manifest's text, which is right: what is proposed is checked like any other.
fn proposed(seen: &Seen, facts: &Facts<'_>, there: &str) -> Result<String> {
    let failed = |findings| Failure::findings(findings, &facts.path);
    let text = propose(seen, facts, there).map_err(failed)?;
    let source = Source { path: facts.path.clone(), text: text.clone() };
    let loaded = manifest::load_text(Rc::new(source)).map_err(failed)?;
    let warnings: Vec<_> = loaded.warnings.into_iter().map(Diagnostic::from).collect();
    error::eprint_all(&warnings, &facts.path.display().to_string());
    Ok(text)
}

/// The command as it can be called from everywhere.
fn called(mut command: Vec<String>, current: &Path) -> Vec<String> {
    if let Some(program) = command.first_mut().filter(|word| word.contains('/') && !word.starts_with('/')) {
        let whole: PathBuf = current.join(&*program).components().collect();
        *program = whole.to_string_lossy().into_owned();
    }
    command
}

/// The command as text, as a manifest has it.
fn texts(program: &[OsString]) -> Result<Vec<String>> {
    let text = |word: &OsString| {
        word.clone().into_string().map_err(|word| {
            let wrong = Diagnostic::error(format!("`{}` is not UTF-8", word.display()));
            Failure::new(wrong.hint("a manifest is text, its command too"), exit::USAGE)
        })
    };
    program.iter().map(text).collect()
}

/// A time of an option.
pub(super) fn span(text: &str) -> Result<Duration> {
    Span::parse(text).map(|Span(duration)| duration).map_err(|why| {
        let wrong = Diagnostic::error(format!("`--for {text}` is not a time")).why(why);
        Failure::new(wrong.hint("write `--for 10s`"), exit::USAGE)
    })
}

/// The text of a manifest that is there.
pub(super) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| {
        let cannot = Diagnostic::error(format!("cannot read the manifest `{}`", path.display()));
        let hint = "`--into` adds to a manifest that is there; `-o FILE` makes a new one";
        Failure::new(cannot.why(error.to_string()).hint(hint), exit::FAILED)
    })
}

/// Where the manifest goes, and what is there.
fn target(options: &cli::Learn) -> Result<(Option<PathBuf>, String)> {
    match (&options.output, &options.into) {
        (Some(path), _) => Ok((Some(path.clone()), String::new())),
        (None, Some(path)) => {
            let text = read(path)?;
            Ok((Some(path.clone()), text))
        }
        (None, None) => Ok((None, String::new())),
    }
}

/// The jail's name: as asked, that of its file, or that of the program.
fn name(options: &cli::Learn, path: Option<&Path>, command: &[String]) -> Result<JailName> {
    let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let program = command.first().map(|word| {
        let name = Path::new(word).file_name().unwrap_or_default().to_string_lossy().into_owned();
        // `php-fpm8.2`, `in.tftpd`: what a name must not have is left out.
        name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect::<String>()
    });
    let wanted = options.name.clone().or_else(|| path.and_then(stem)).or(program).unwrap_or_default();
    JailName::parse(&wanted).map_err(|why| {
        let wrong = Diagnostic::error(format!("the jail cannot be called `{wanted}`")).why(why);
        Failure::new(wrong.hint("give it another name with `--name`"), exit::USAGE)
    })
}

/// A path that is not taken for a jail's name.
fn as_argument(path: &Path) -> OsString {
    if path.components().count() > 1 { path.into() } else { Path::new(".").join(path).into() }
}
