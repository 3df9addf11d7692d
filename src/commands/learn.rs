//! `learn`: watches a program on the host, proposes a manifest for it, and proves that it works by building and testing it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::import::write;
use super::prepare::{Result, state_directory};
use super::suite;
use crate::cli;
use crate::error::{self, Failure, exit};
use crate::manifest::learn::{Facts, environment, of_caller, propose};
use crate::manifest::resolve::accounts::Accounts;
use crate::manifest::{self, Request};
use crate::plan::{JailName, Source, Span};
use crate::report::diagnostic::Diagnostic;
use crate::seen::Seen;
use crate::sys::host::Host;
use crate::sys::process;
use crate::trace::{self, Happened, Tracer};

/// How long a program is watched if nothing is said.
const DURATION: Duration = Duration::from_secs(10);
/// Between two tries of the probe.
const PAUSE: Duration = Duration::from_millis(200);
/// How long what the probe has set off may still go on.
const SETTLE: Duration = Duration::from_millis(300);
/// How long the program may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// A run that was watched.
struct Watched {
    seen: Seen,
    /// Whether others went on when the first process had ended.
    forking: bool,
    /// How the first process ended, if it did by itself.
    status: Option<i32>,
}

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
    let mut facts = Facts {
        name: name.as_str().to_owned(),
        path: path.clone().unwrap_or_else(|| format!("{name}.toml").into()),
        command: called(command, &current),
        current,
        forking: false,
        probe: options.probe.clone(),
        status: None,
        environment: of_caller(),
        trusted: Vec::new(),
        host: &host,
        accounts: &accounts,
    };
    let command = trace::Command {
        arguments: program,
        environment: Some(environment(&facts)),
        ..trace::Command::default()
    };
    let watched = watch(&command, options.probe.as_deref(), duration)?;
    (facts.forking, facts.status) = (watched.forking, watched.status);
    let text = proposed(&watched.seen, &facts, &there)?;
    let Some(path) = path else { return Ok(error::print(&text)) };
    write(&path, &text)?;
    if !options.prove {
        error::note(&format!("learned jail `{name}`: `stockade run {}` runs it", path.display()));
        return Ok(0);
    }
    prove(&path, &watched.seen, &mut facts, &there)
}

/// Builds and tests what was learned, with more and more of what was left out, until it works.
fn prove(path: &Path, seen: &Seen, facts: &mut Facts<'_>, there: &str) -> Result<u8> {
    let request = Request { jail: as_argument(path), ..Request::default() };
    if let Err(failure) = suite::proved(&request) {
        let secrets = manifest::learn::secrets(seen, facts);
        let failure = if secrets.is_empty() {
            Some(failure)
        } else {
            error::note(
                "it does not work without what was left out as secret: now with it, shown and not copied",
            );
            let without = proposed(seen, facts, there)?;
            facts.trusted = secrets;
            write(path, &proposed(seen, facts, there)?)?;
            let failed = suite::proved(&request).err();
            if failed.is_some() {
                // They were not what it lacked.
                write(path, &without)?;
            }
            failed
        };
        if let Some(failure) = failure {
            error::note("what was learned does not do yet what it does on the host:");
            return Err(failure);
        }
    }
    let (name, path) = (&facts.name, path.display());
    error::note(&format!("learned and proved jail `{name}`: `stockade run {path}` runs it"));
    Ok(0)
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

/// Runs the program and what tries it.
fn watch(command: &trace::Command, probe: Option<&str>, duration: Duration) -> Result<Watched> {
    let mut tracer = Tracer::start(command).map_err(|error| cannot(&error))?;
    let deadline = Instant::now() + duration;
    let (mut ended, mut all_ended) = (false, false);
    let mut probing =
        Probe { command: probe, running: None, next: Some(Instant::now() + PAUSE), passed: false };
    loop {
        let until = probing.next.map_or(deadline, |next| next.min(deadline));
        match tracer.run(Some(until)).map_err(|error| cannot(&error))? {
            Happened::Deadline if Instant::now() >= deadline => break,
            Happened::Deadline => probing.start(&mut tracer)?,
            Happened::Beside(pid, status) if probing.running == Some(pid) => {
                probing.running = None;
                probing.next = Some(Instant::now() + if status.success() { SETTLE } else { PAUSE });
                probing.passed = status.success();
            }
            Happened::Ended(_) => ended = true,
            Happened::AllEnded => {
                all_ended = true;
                break;
            }
            Happened::Signal(_) => break,
            Happened::Beside(..) | Happened::Entered => {}
        }
        if probing.passed && probing.next.is_some_and(|next| Instant::now() >= next) {
            break;
        }
    }
    let status = tracer.status().and_then(|status| status.code());
    tracer.stop(GRACE).map_err(|error| cannot(&error))?;
    probing.end();
    let seen = tracer.finish().map_err(|error| cannot(&error))?;
    if probe.is_some() && !probing.passed {
        let failed = Diagnostic::error("the probe did not succeed while the program was watched");
        let hint = "a longer `--for` gives it more time; outside a jail it has to succeed first";
        return Err(Failure::new(failed.hint(hint), exit::FINDING));
    }
    Ok(Watched { seen, forking: ended && !all_ended, status })
}

/// The command that tries the program.
struct Probe<'a> {
    command: Option<&'a str>,
    /// Its process, while it runs.
    running: Option<u32>,
    /// When it is to be started, or, once it has passed, when all is over.
    next: Option<Instant>,
    passed: bool,
}

impl Probe<'_> {
    /// Starts it, if it is time.
    fn start(&mut self, tracer: &mut Tracer) -> Result<()> {
        let Some(text) = self.command.filter(|_| !self.passed && self.running.is_none()) else {
            self.next = self.next.filter(|_| self.passed);
            return Ok(());
        };
        let mut command = std::process::Command::new("sh");
        command.args(["-c", text]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.process_group(0);
        let started = tracer.beside(process::killed_with_parent(&mut command));
        self.running = Some(started.map_err(|error| {
            let cannot = Diagnostic::error("the probe cannot be started").why(error.to_string());
            Failure::new(cannot.hint("`sh` is needed for it"), exit::FAILED)
        })?);
        self.next = None;
        Ok(())
    }

    /// Ends it with all it has started.
    fn end(&self) {
        if let Some(pid) = self.running {
            match process::kill(-(pid as i32), nix::libc::SIGKILL) {
                Ok(()) | Err(_) => {}
            }
        }
    }
}

/// A program that cannot be watched.
pub(super) fn cannot(error: &trace::Error) -> Failure {
    let failed = Diagnostic::error("the program cannot be watched").why(error.to_string());
    let failed = Diagnostic { hint: error.hint().map(str::to_owned), ..failed };
    Failure::new(failed, exit::FAILED)
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

/// Where the manifest goes, and what is there.
fn target(options: &cli::Learn) -> Result<(Option<PathBuf>, String)> {
    match (&options.output, &options.into) {
        (Some(path), _) => Ok((Some(path.clone()), String::new())),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                let cannot = Diagnostic::error(format!("cannot read the manifest `{}`", path.display()));
                let hint = "`--into` adds to a manifest that is there; `-o FILE` makes a new one";
                Failure::new(cannot.why(error.to_string()).hint(hint), exit::FAILED)
            })?;
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
