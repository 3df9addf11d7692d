//! A test: starts a jail for real, probes it with a real client, stops it, and says whether it did what its `[test]` expects.

use std::io::{PipeReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::libc;

use super::prepare::{Jail, Result};
use super::select;
use crate::manifest::Request;
use crate::manifest::finding::Finding;
use crate::manifest::schema::{Network, Test};
use crate::plan::{At, Span};
use crate::sys::process;
use crate::sys::signal::{self, SignalSet};
use crate::tree::Generation;

/// How long a test may take when its manifest says nothing.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Between two tries of a client.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a jail may take to stop.
const GRACE: Duration = Duration::from_secs(10);
/// How long a client that was asked shortly before the end may still take; how long what was said is read when who said it has ended.
const LAST_CHANCE: Duration = Duration::from_secs(1);
/// How much of what somebody says is looked at, in bytes: the memory of this process is not theirs to fill.
const LISTENED: usize = 16 << 20;

/// Tests a jail in its current tree, which is there.
pub(super) fn test(jail: &Jail, request: &Request) -> Result<()> {
    tried(jail, request, wanted(jail)?, None)
}

/// Tests a jail in a generation that is not the current one.
pub(super) fn trial(jail: &Jail, request: &Request, generation: &Generation) -> Result<()> {
    tried(jail, request, wanted(jail)?, Some(generation.number))
}

/// Refuses the test of a new tree where its client would find the jail that runs from the old one, and be content with it.
pub(super) fn refuse_beside_a_running(jail: &Jail) -> Result<()> {
    let test = wanted(jail)?;
    let network = jail.loaded.manifest.namespaces.network.as_ref().map(|at| at.value);
    if network != Some(Network::Host) || test.value.command.is_none() || !test.value.arguments.is_empty() {
        return Ok(());
    }
    let running = select::all()?;
    let Some(run) = running.iter().find(|run| run.entry.jail == jail.name) else { return Ok(()) };
    let finding =
        Finding::error(format!("jail `{}` cannot be tested while it runs", jail.name), &test.origin);
    let finding = finding
        .why(format!(
            "process {} runs it in the host's network, where the test's client would find that one",
            run.supervisor
        ))
        .hint("give the tested one another port with `arguments` under [test], stop the running one, or build without `--test`");
    Err(jail.findings(vec![finding]))
}

/// The test of a manifest.
pub(super) fn wanted(jail: &Jail) -> Result<&At<Test>> {
    jail.loaded.manifest.test.as_ref().ok_or_else(|| {
        jail.findings(vec![Finding::plain(format!("jail `{}` has no test", jail.name))
            .hint("end its manifest with a [test] table: a `command` that probes it, or what its output is to `expect`")])
    })
}

/// Starts a jail that is built, probes it, and stops it.
fn tried(jail: &Jail, request: &Request, test: &At<Test>, generation: Option<u64>) -> Result<()> {
    let limit = test.value.timeout.map_or(TIMEOUT, |Span(limit)| limit);
    let running = Running::start(request, &test.value, generation)
        .map_err(|why| jail.findings(vec![failure(jail, test, why)]))?;
    let result = match &test.value.command {
        Some(client) => running.probe(client, &test.value, limit),
        None => running.finish(&test.value, limit),
    };
    result.map_err(|why| jail.findings(vec![failure(jail, test, why)]))
}

/// A test that failed, at the place of its table.
fn failure(jail: &Jail, test: &At<Test>, Trouble { why, hint }: Trouble) -> Finding {
    let finding = Finding::error(format!("the test of jail `{}` failed", jail.name), &test.origin);
    Finding { why, hint, ..finding }
}

/// A failure: facts about it, and what to do where that is known.
#[derive(Default)]
struct Trouble {
    why: Vec<String>,
    hint: Option<String>,
}

impl From<Vec<String>> for Trouble {
    fn from(why: Vec<String>) -> Self {
        Self { why, hint: None }
    }
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Self { why: vec![why], hint: None }
    }
}

/// What may go wrong with a test.
type Why<T> = std::result::Result<T, Trouble>;

/// How an attempt of the client's ended that is no success.
enum Attempt {
    /// It may be repeated.
    Refused(Trouble),
    /// It would be the same again.
    Hopeless(Trouble),
}

/// A jail started as a user would start it: by this very binary, in a process of its own.
struct Running {
    supervisor: Child,
    output: Output,
}

impl Running {
    /// Starts it, with the test's arguments and input.
    fn start(request: &Request, test: &Test, generation: Option<u64>) -> Why<Self> {
        let cannot = |what: &str, error: std::io::Error| Trouble::from(format!("cannot {what}: {error}"));
        let (reader, writer) = std::io::pipe().map_err(|error| cannot("make a pipe", error))?;
        let mut command = Command::new("/proc/self/exe");
        command.arg("run");
        for set in &request.sets {
            command.args(["--set", set]);
        }
        if let Some(number) = generation {
            command.args(["--generation", &number.to_string()]);
        }
        command.arg(&request.jail).arg("--").args(&request.extra_arguments).args(&test.arguments);
        let errors = writer.try_clone().map_err(|error| cannot("copy a pipe", error))?;
        let input = if test.input.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut supervisor = process::killed_with_parent(&mut command)
            .stdin(input)
            .stdout(writer)
            .stderr(errors)
            .spawn()
            .map_err(|error| cannot("start stockade itself", error))?;
        // The pipe's writing ends, which `command` holds, are closed with it: then the reader sees the jail's end.
        drop(command);
        if let (Some(text), Some(mut stdin)) = (test.input.clone(), supervisor.stdin.take()) {
            // Beside the wait for its end: more than a pipe holds is written as fast as the program reads it.
            std::thread::spawn(move || {
                // A program that ends without reading its input is judged by its output, not by this; without the mask its end would be ours.
                let masked = signal::set_mask(SignalSet::of(&[libc::SIGPIPE]));
                match masked.map(|_| stdin.write_all(text.as_bytes())) {
                    Ok(_) | Err(_) => drop(stdin),
                }
            });
        }
        Ok(Self { supervisor, output: Output::of(reader) })
    }

    /// Repeats a client until it succeeds, then stops the jail, which must end by the signal or in peace.
    fn probe(mut self, client: &[std::ffi::OsString], test: &Test, limit: Duration) -> Why<()> {
        let deadline = Instant::now() + limit;
        let probed = loop {
            if let Some(status) = self.ended()? {
                let mut why = vec![format!("the jail ended before it was probed: {}", said(status))];
                why.extend(shown("it said", &self.collect()));
                return Err(why.into());
            }
            match ask(client, test, deadline) {
                Ok(()) => break Ok(()),
                Err(Attempt::Hopeless(trouble)) => break Err(trouble),
                Err(Attempt::Refused(trouble)) if Instant::now() >= deadline => break Err(trouble),
                Err(Attempt::Refused(_)) => std::thread::sleep(PAUSE),
            }
        };
        let stopped = self.stop(GRACE);
        let output = self.collect();
        probed.map_err(|mut trouble| {
            trouble.why.extend(shown("the jail said", &output));
            trouble
        })?;
        // That it does not stop in time was said.
        if test.stop_status == Some(128 + libc::SIGKILL) {
            return Ok(());
        }
        let status = stopped?;
        let is_expected =
            |code: i32| [0, 128 + libc::SIGTERM].contains(&code) || test.stop_status == Some(code);
        if status.code().is_some_and(is_expected) {
            return Ok(());
        }
        let mut why = vec![format!("after SIGTERM {}", said(status))];
        why.extend(shown("the jail said", &output));
        let hint = "if that is how it ends, say so with `stop_status` under [test]";
        Err(Trouble { why, hint: Some(hint.into()) })
    }

    /// Waits for a program that ends by itself, and looks at its output.
    fn finish(mut self, test: &Test, limit: Duration) -> Why<()> {
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.ended()? {
                break status;
            }
            if Instant::now() >= deadline {
                self.stop(Duration::ZERO)?;
                let mut why = vec![format!("not done after {}", Span(limit))];
                why.extend(shown("it said", &self.collect()));
                let hint = "a longer `timeout` under [test] gives it more time; a server needs a `command` that probes it";
                return Err(Trouble { why, hint: Some(hint.into()) });
            }
            std::thread::sleep(PAUSE / 10);
        };
        let output = self.collect();
        judge(status, &output, test).map_err(Trouble::from)
    }

    /// The jail's exit status if it has ended.
    fn ended(&mut self) -> Why<Option<ExitStatus>> {
        self.supervisor.try_wait().map_err(|error| format!("cannot wait for the jail: {error}").into())
    }

    /// SIGTERM, and SIGKILL when that was not enough in time, which is a failure unless no time was given.
    fn stop(&mut self, grace: Duration) -> Why<ExitStatus> {
        let pid = self.supervisor.id() as i32;
        let deadline = Instant::now() + grace;
        if process::kill(pid, libc::SIGTERM).is_err() {
            return self.ended()?.ok_or_else(|| "the jail cannot be signalled".to_owned().into());
        }
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                break;
            }
            std::thread::sleep(PAUSE / 10);
        }
        self.supervisor.kill().map_err(|error| format!("cannot kill the jail: {error}"))?;
        let status = self.supervisor.wait().map_err(|error| format!("cannot wait for the jail: {error}"))?;
        if grace.is_zero() {
            Ok(status)
        } else {
            Err(format!("it did not stop within {}", Span(grace)).into())
        }
    }

    /// Everything the jail has said, once it has ended.
    fn collect(&self) -> Vec<u8> {
        self.output.collect()
    }
}

/// Whatever happens, a tested jail does not stay.
impl Drop for Running {
    fn drop(&mut self) {
        match self.stop(Duration::ZERO) {
            Ok(_) | Err(_) => {}
        }
    }
}

/// What comes from a pipe, read as it comes, so that nobody waits for room in it.
struct Output {
    said: Arc<Mutex<Vec<u8>>>,
    /// Nothing ever comes of it: it is closed with the pipe.
    end: Receiver<()>,
}

impl Output {
    fn of(mut pipe: PipeReader) -> Self {
        let (sender, end) = mpsc::channel();
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&said);
        std::thread::spawn(move || {
            let _open = sender;
            let mut piece = [0; 4096];
            // What was read before an error is what there is to show. What is more than is kept is read all the same.
            while let Ok(length @ 1..) = pipe.read(&mut piece)
                && Arc::strong_count(&kept) > 1
                && let Ok(mut kept) = kept.lock()
            {
                let room = LISTENED.saturating_sub(kept.len());
                kept.extend_from_slice(&piece[..length.min(room)]);
            }
        });
        Self { said, end }
    }

    /// Everything that was said by one who has ended. What it has put into the background may have the pipe open for ever: not more than
    /// a while is waited for its end.
    fn collect(&self) -> Vec<u8> {
        match self.end.recv_timeout(LAST_CHANCE) {
            Ok(()) | Err(_) => {}
        }
        self.said.lock().map(|mut said| std::mem::take(&mut *said)).unwrap_or_default()
    }
}

/// Asks a client once, and kills it if it has no answer by the deadline.
fn ask(client: &[std::ffi::OsString], test: &Test, deadline: Instant) -> std::result::Result<(), Attempt> {
    let Some((program, arguments)) = client.split_first() else {
        return Err(Attempt::Hopeless("the client is empty".to_owned().into()));
    };
    let failed = |what: &str, error: &std::io::Error| {
        let errno = nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
        let why =
            format!("the client `{}` cannot be {what}: {}", program.display(), crate::sys::describe(errno));
        let hint = "install it on the host, or correct `command` under [test]";
        Attempt::Hopeless(Trouble { why: vec![why], hint: Some(hint.into()) })
    };
    let (reader, writer) = std::io::pipe().map_err(|error| failed("given a pipe", &error))?;
    let errors = writer.try_clone().map_err(|error| failed("given a pipe", &error))?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(writer).stderr(errors).process_group(0);
    let mut asking =
        process::killed_with_parent(&mut command).spawn().map_err(|error| failed("started", &error))?;
    drop(command);
    let deadline = deadline.max(Instant::now() + LAST_CHANCE);
    let answer = Output::of(reader);
    let status = loop {
        match asking.try_wait().map_err(|error| failed("waited for", &error))? {
            Some(status) => break Some(status),
            None if Instant::now() >= deadline => break None,
            None => std::thread::sleep(PAUSE / 10),
        }
    };
    // With whatever it has started: a shell's children hold the pipe.
    match process::kill(-(asking.id() as i32), libc::SIGKILL) {
        Ok(()) | Err(_) => {}
    }
    let reaped = asking.wait().map_err(|error| failed("waited for", &error));
    let answer = answer.collect();
    if let Some(status) = status {
        return judge(status, &answer, test).map_err(|why| Attempt::Refused(why.into()));
    }
    reaped?;
    let mut why = vec![format!("the client `{}` had not ended when the time was over", program.display())];
    why.extend(shown("it said", &answer));
    let hint = "a longer `timeout` under [test] gives it more time";
    Err(Attempt::Refused(Trouble { why, hint: Some(hint.into()) }))
}

/// Compares a status and an output with what is expected.
fn judge(status: ExitStatus, output: &[u8], test: &Test) -> std::result::Result<(), Vec<String>> {
    // A terminal's or a protocol's carriage returns are not what a manifest means to expect.
    let said_text = String::from_utf8_lossy(output).replace("\r\n", "\n");
    let expected = test.status.unwrap_or(0);
    let mut why = Vec::new();
    if status.code() != Some(expected) {
        why.push(format!("{} instead of {expected}", said(status)));
    }
    why.extend(
        test.expect
            .iter()
            .filter(|part| !said_text.contains(*part))
            .map(|part| format!("{part:?} is not in the output")),
    );
    if !why.is_empty() && output.len() >= LISTENED {
        why.push("only the first 16 MiB of the output are looked at".into());
    }
    if why.is_empty() {
        return Ok(());
    }
    why.extend(shown("the output was", output));
    Err(why)
}

/// An exit status in words.
fn said(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with status {code}"),
        (None, Some(signal)) => format!("it was killed by signal {signal}"),
        (None, None) => "it ended".into(),
    }
}

/// The end of an output, for a message, line by line.
fn shown(what: &str, output: &[u8]) -> Vec<String> {
    const MOST: usize = 2000;
    let text = String::from_utf8_lossy(&output[output.len().saturating_sub(MOST)..]).into_owned();
    match text.trim_end() {
        "" => vec![format!("{what} nothing")],
        text => {
            std::iter::once(format!("{what}:")).chain(text.lines().map(|line| format!("| {line}"))).collect()
        }
    }
}
