//! Reads the first line of a script as the kernel does (`fs/binfmt_script.c`; execve(2), "Interpreter scripts"), and the
//! arguments of env(1) that name a further program there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::problem::Problem;

/// `BINPRM_BUF_SIZE` since Linux 5.1: nothing behind it is seen.
pub(super) const FIRST_BYTES: usize = 256;
/// Scripts interpreted by scripts, `exec_binprm()` in fs/exec.c: five, then ELOOP.
pub(super) const MOST_SCRIPTS: usize = 5;
/// Where env(1) looks under the root; the usual `PATH` of root.
pub(super) const SEARCH_PATH: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The `#!` line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub interpreter: PathBuf,
    /// All the rest, as one argument.
    pub argument: Option<Vec<u8>>,
}

/// Reads the line from the first bytes of a file that begins with `#!`.
pub(super) fn first_line(start: &[u8]) -> Result<Line, Problem> {
    let start = start.get(..FIRST_BYTES).unwrap_or(start);
    let rest = start.get(2..).unwrap_or_default();
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    // A file shorter than the kernel's buffer ends there as if by a NUL.
    let (line, complete) = match rest.iter().position(|byte| *byte == b'\n') {
        Some(end) => (rest.get(..end).unwrap_or_default(), true),
        None => (rest, start.len() < FIRST_BYTES),
    };
    let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let from =
        line.iter().position(|byte| !blank(byte)).ok_or(Problem::BadFirstLine("it names no interpreter"))?;
    let line = line.get(from..).unwrap_or_default();
    let end = line.iter().position(blank);
    if end.is_none() && !complete && !rest.contains(&0) {
        return Err(Problem::BadFirstLine("the interpreter's path does not end within the first 256 bytes"));
    }
    let (interpreter, argument) = line.split_at_checked(end.unwrap_or(line.len())).unwrap_or_default();
    let interpreter = PathBuf::from(OsStr::from_bytes(interpreter));
    if !interpreter.is_absolute() {
        return Err(Problem::BadFirstLine("the interpreter's path is not absolute"));
    }
    // Blanks around it go, but not the CR of a line end from Windows.
    let from = argument.iter().position(|byte| !blank(byte));
    let until = argument.iter().rposition(|byte| !blank(byte));
    let argument = from.zip(until).and_then(|(from, until)| argument.get(from..=until));
    Ok(Line { interpreter, argument: argument.map(<[u8]>::to_vec) })
}

/// The program env(1) will run, if `line` starts it: `#!/usr/bin/env X`, `#!/usr/bin/env -S NAME=value X arguments`.
pub(super) fn program_of_env(line: &Line) -> Option<PathBuf> {
    if line.interpreter.file_name() != Some(OsStr::new("env")) {
        return None;
    }
    let argument = line.argument.as_deref()?;
    let Some(text) = split_string(argument) else {
        // Without -S everything is one word: an option, an assignment or a program.
        let is_program = !argument.starts_with(b"-") && !argument.contains(&b'=');
        return is_program.then(|| PathBuf::from(OsStr::from_bytes(argument)));
    };
    let mut words = words(text).into_iter();
    while let Some(word) = words.next() {
        match word.as_slice() {
            b"-u" | b"-C" | b"--unset" | b"--chdir" => _ = words.next(),
            b"--" => {
                return words
                    .find(|word| !word.contains(&b'='))
                    .map(|word| PathBuf::from(OsStr::from_bytes(&word)));
            }
            option if option.starts_with(b"-") => {}
            assignment if assignment.contains(&b'=') => {}
            program => return Some(PathBuf::from(OsStr::from_bytes(program))),
        }
    }
    None
}

/// What follows `-S`, `-iS`, `--split-string=`.
fn split_string(argument: &[u8]) -> Option<&[u8]> {
    if let Some(text) = argument.strip_prefix(b"--split-string") {
        return text.strip_prefix(b"=").or_else(|| text.strip_prefix(b" "));
    }
    let flags = argument.strip_prefix(b"-")?;
    let end = flags.iter().position(|flag| !matches!(flag, b'i' | b'v' | b'0'))?;
    flags.get(end..)?.strip_prefix(b"S")
}

/// Words between blanks; quotes keep blanks together, `\_` is a blank. No variables: what they hold is not known here.
fn words(text: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match (byte, quote) {
            (b'\\', _) => match bytes.next() {
                Some(b'_') if quote.is_none() => words.extend(word.take()),
                Some(b'_') => word.get_or_insert_default().push(b' '),
                Some(escaped) => word.get_or_insert_default().push(escaped),
                None => {}
            },
            (b'"' | b'\'', None) => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            (_, Some(open)) if byte == open => quote = None,
            (b' ' | b'\t', None) => words.extend(word.take()),
            _ => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    words
}

/// The files env(1) would try for `program`, in order.
pub(super) fn candidates(program: &Path) -> Vec<PathBuf> {
    if program.as_os_str().as_bytes().contains(&b'/') {
        return vec![program.to_owned()];
    }
    SEARCH_PATH.iter().map(|directory| Path::new(directory).join(program)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::XorShift;
    use super::*;

    fn line(text: &str) -> String {
        match first_line(text.as_bytes()) {
            Ok(line) => format!(
                "{} [{}]",
                line.interpreter.display(),
                line.argument.map(|argument| String::from_utf8(argument).unwrap()).unwrap_or_default()
            ),
            Err(problem) => problem.to_string(),
        }
    }

    #[test]
    fn the_line_is_read_as_the_kernel_does() {
        assert_eq!(line("#!/bin/sh\nrest"), "/bin/sh []");
        assert_eq!(line("#! \t/bin/awk  -f  x \t\n"), "/bin/awk [-f  x]");
        assert_eq!(line("#!/bin/sh"), "/bin/sh []");
        assert_eq!(line("#!/bin/sh\r\n"), "/bin/sh\r []");
        assert_eq!(line("#!/bin/sh -e \r\n"), "/bin/sh [-e \r]");
        assert!(line("#!\n/bin/sh").contains("names no interpreter"));
        assert!(line("#!").contains("names no interpreter"));
        assert!(line("#!perl\n").contains("not absolute"));
        assert!(line(&format!("#!/{}\n", "x".repeat(260))).contains("256 bytes"));
        assert_eq!(line(&format!("#!/x {}\n", "y".repeat(300))), format!("/x [{}]", "y".repeat(251)));
    }

    #[test]
    fn env_names_a_further_program() {
        let program = |text: &str| program_of_env(&first_line(text.as_bytes()).unwrap());
        let is = |text, wanted: &str| assert_eq!(program(text), Some(PathBuf::from(wanted)), "{text}");
        is("#!/usr/bin/env python3\n", "python3");
        is("#!/bin/env -S python3 -u\n", "python3");
        is("#!/usr/bin/env -Spython3 -u\n", "python3");
        is("#!/usr/bin/env -vS -i A=b 'C=d e' -u X \"perl\" -w\n", "perl");
        is("#!/usr/bin/env --split-string=node\\_--flag\n", "node");
        is("#!/usr/bin/env -S -- A=b /opt/x y\n", "/opt/x");
        // One word with a blank in it: env itself fails on this, and so shall the search.
        is("#!/usr/bin/env python3 -u\n", "python3 -u");
        assert_eq!(program("#!/usr/bin/env\n"), None);
        assert_eq!(program("#!/usr/bin/env -i\n"), None);
        assert_eq!(program("#!/usr/bin/env A=b\n"), None);
        assert_eq!(program("#!/bin/sh x\n"), None);
    }

    #[test]
    fn any_bytes_are_survived() {
        let mut random = XorShift::new(2);
        for _ in 0..20_000 {
            let bytes = random.mutate(b"#!/usr/bin/env -S -u X 'A=\\_' --split-string= \"p\\\0\t\n");
            if let Ok(line) = first_line(&bytes) {
                program_of_env(&line);
            }
        }
    }
}
