//! Where the layers' errors meet: each becomes a diagnostic and, with the others, an exit code. Only commands import this, so
//! that no layer points upward.

use std::fs::File;
use std::sync::{Mutex, PoisonError};

use crate::manifest::finding::{self, Finding};
use crate::manifest::lookup;
use crate::report::diagnostic::{self, Diagnostic, Style};

/// Exit codes of stockade itself; a jailed program's own are passed on. README documents them.
pub mod exit {
    /// A difference, or a manifest that is not right.
    pub const FINDING: u8 = 1;
    /// The command line cannot be understood.
    pub const USAGE: u8 = 2;
    /// stockade failed.
    pub const FAILED: u8 = 125;
}

/// Why a command ends without having done what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What to tell, in order.
    pub diagnostics: Vec<Diagnostic>,
    /// What they are about, for the closing line: a manifest's path.
    pub subject: String,
    /// The exit code.
    pub code: u8,
}

impl Failure {
    /// One error with its exit code.
    pub fn new(diagnostic: Diagnostic, code: u8) -> Self {
        Self { diagnostics: vec![diagnostic], subject: String::new(), code }
    }

    /// A manifest that cannot be used.
    pub fn manifest(findings: Vec<Finding>, jail: &std::ffi::OsStr) -> Self {
        let path = lookup::find(jail).unwrap_or_else(|_| jail.into());
        let subject = path.display().to_string();
        Self {
            diagnostics: findings.into_iter().map(Diagnostic::from).collect(),
            subject,
            code: exit::FINDING,
        }
    }

    /// What was found while a manifest met the host.
    pub fn findings(findings: Vec<Finding>, subject: &std::path::Path) -> Self {
        Self {
            diagnostics: findings.into_iter().map(Diagnostic::from).collect(),
            subject: subject.display().to_string(),
            code: exit::FINDING,
        }
    }

    /// The same with another exit code.
    #[must_use]
    pub fn code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// Tells it on stderr. Returns the exit code.
    pub fn report(&self) -> u8 {
        eprint_all(&self.diagnostics, &self.subject);
        self.code
    }
}

/// Where messages go, if not to standard error.
static ELSEWHERE: Mutex<Option<File>> = Mutex::new(None);

/// Sends messages elsewhere from now on, or to standard error again: a run that goes into the background has its caller's until its
/// program has started, and then what it will go on with.
pub fn redirect(to: Option<File>) {
    *ELSEWHERE.lock().unwrap_or_else(PoisonError::into_inner) = to;
}

/// A message. That nobody can read it is no reason to fail twice.
fn message(text: &[u8]) {
    use std::io::Write as _;
    let elsewhere = ELSEWHERE.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = match &*elsewhere {
        Some(file) => (&*file).write_all(text),
        None => std::io::stderr().lock().write_all(text),
    };
}

/// Diagnostics on stderr. That nobody can read them is no reason to fail twice.
pub fn eprint_all(diagnostics: &[Diagnostic], subject: &str) {
    let text = diagnostic::texts(diagnostics, subject, Style::for_stderr());
    message(text.as_bytes());
}

/// Data on stdout; the exit code. A reader that has gone (`| head`) wanted no more; any other error, such as a full disk, is told.
#[must_use]
pub fn print(text: &str) -> u8 {
    use std::io::Write as _;
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            let diagnostic = Diagnostic::error("cannot write to standard output").why(error.to_string());
            Failure::new(diagnostic, exit::FAILED).report()
        }
        _ => 0,
    }
}

/// A message on stderr.
pub fn note(line: &str) {
    message(format!("{line}\n").as_bytes());
}

/// Ends the process when there is no memory to go on with. Nothing is allocated for that, and nobody else is left to be told.
pub fn out_of_memory() -> ! {
    use std::io::Write as _;
    const MESSAGE: &[u8] = b"error: out of memory\n  why: no more memory can be allocated (ENOMEM)\n\
        hint: the host has none left, or a limit is reached: see `ulimit -v` and `ulimit -d`\n";
    let _ = std::io::stderr().write_all(MESSAGE);
    crate::sys::process::exit(exit::FAILED.into())
}

/// The empty line between the diagnostics of two manifests.
pub fn separate() {
    message(b"\n");
}

impl From<Finding> for Diagnostic {
    fn from(finding: Finding) -> Self {
        Self {
            severity: match finding.severity {
                finding::Severity::Error => diagnostic::Severity::Error,
                finding::Severity::Warning => diagnostic::Severity::Warning,
            },
            message: finding.message,
            origin: finding.origin,
            why: finding.why,
            hint: finding.hint,
        }
    }
}
