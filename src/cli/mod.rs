//! The command line: how words become the structs of `verbs.rs`. Nothing is done here.

mod once;
mod verbs;

use std::ffi::OsString;

use argh::FromArgs;

use crate::error::{self, Failure, exit};
use crate::manifest::{Request, suggest};
use crate::report::diagnostic::Diagnostic;
pub(crate) use once::{Once, descriptor_content, parse as once, words as once_words};
use verbs::Words;
pub(crate) use verbs::{
    Build, Check, Diagnose, Doctor, Exec, Export, Freeze, Import, Learn, Limit, List, Plan, Run, Serve,
    Signal, Stats, Stop, Test, Thaw, Verb, Verify, Why,
};

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// What to do.
    pub(crate) verb: Verb,
    /// The words that follow `--`.
    pub(crate) program: Vec<OsString>,
}

/// Why there is no command to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Early {
    /// Help or a version was asked for: goes to stdout.
    Answer(String),
    /// The command line cannot be understood.
    Usage(Failure),
}

impl Early {
    /// Tells it. Returns the exit code.
    pub(crate) fn report(&self) -> u8 {
        match self {
            Self::Answer(text) => error::print(text),
            Self::Usage(failure) => failure.report(),
        }
    }
}

/// The verbs, and every option with whether it takes a value. Kept by hand because argh tells neither before it parses; a
/// test compares them with the structs.
const VERBS: [(&str, &[(&str, bool)]); 22] = [
    ("check", &[("--json", false)]),
    ("plan", &[("--explain", false), ("--json", false), ("--all", false), ("--set", true)]),
    (
        "build",
        &[
            ("--dry-run", false),
            ("--json", false),
            ("--rollback", false),
            ("--test", false),
            ("--keep", true),
            ("--all", false),
            ("--set", true),
        ],
    ),
    (
        "run",
        &[
            ("--report", true),
            ("--pid-file", true),
            ("--detach", false),
            ("--log", true),
            ("--generation", true),
            ("--set", true),
        ],
    ),
    (
        "serve",
        &[
            ("--listen", true),
            ("--max", true),
            ("--max-per-source", true),
            ("--grace", true),
            ("--set", true),
        ],
    ),
    ("test", &[("--all", false)]),
    ("doctor", &[("--json", false)]),
    ("verify", &[("--all", false), ("--json", false)]),
    ("list", &[("--json", false), ("--names", false)]),
    ("exec", &[("--user", true)]),
    ("signal", &[]),
    ("stats", &[("--json", false), ("--watch", false)]),
    ("stop", &[("--timeout", true), ("--all", false)]),
    ("limit", &[]),
    ("freeze", &[]),
    ("thaw", &[]),
    ("diagnose", &[("--for", true), ("--apply", false), ("--json", false), ("--set", true)]),
    ("why", &[("--json", false)]),
    ("export", &[("--output", true), ("--set", true)]),
    ("remove", &[]),
    (
        "learn",
        &[
            ("--output", true),
            ("--into", true),
            ("--probe", true),
            ("--for", true),
            ("--name", true),
            ("--prove", false),
        ],
    ),
    ("import", &[("--output", true), ("--file", true)]),
];

/// A usage error.
fn usage(message: String, hint: impl Into<String>) -> Early {
    Early::Usage(Failure::new(Diagnostic::error(message).hint(hint), exit::USAGE))
}

/// Reads the command line; the first word is the program's own name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Early> {
    let mut ours: Vec<OsString> = arguments.into_iter().skip(1).collect();
    if ours.first().is_some_and(|word| word == "once") {
        let verb = Verb::Once(once::parse(ours.split_off(1))?);
        return Ok(Command { verb, program: Vec::new() });
    }
    // What follows the first `--` belongs to the jailed program, and need not be text.
    let split = ours.iter().position(|word| word == "--");
    let program: Vec<_> =
        split.map(|at| ours.split_off(at)).unwrap_or_default().into_iter().skip(1).collect();
    let words = ours
        .into_iter()
        .map(|word| {
            word.into_string().map_err(|word| {
                usage(
                    format!("`{}` is not UTF-8", word.to_string_lossy()),
                    "only words after `--` may be any bytes",
                )
            })
        })
        .collect::<Result<Vec<String>, Early>>()?;
    if words.first().is_some_and(|word| matches!(word.as_str(), "--version" | "-V")) {
        return Err(Early::Answer(format!("stockade {}\n", env!("CARGO_PKG_VERSION"))));
    }
    let words = normalised(words)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let parsed = Words::from_args(&["stockade"], &words).map_err(|early| match early.status {
        Ok(()) => Early::Answer(early.output),
        Err(()) => explained(&early.output, words.first().copied()),
    })?;
    meaningful(&parsed.verb, split.is_some().then_some(&program))?;
    Ok(Command { verb: parsed.verb, program })
}

/// A jail with the `--set`s and the words that are for it.
pub(crate) fn request(jail: &str, sets: &[String], program: Vec<OsString>) -> Request {
    Request { jail: jail.into(), sets: sets.to_vec(), extra_arguments: program }
}

/// Refuses what says nothing together. Few verbs know what to do with words after `--`.
fn meaningful(verb: &Verb, program: Option<&Vec<OsString>>) -> Result<(), Early> {
    match verb {
        Verb::Run(run) if run.log.is_some() && !run.detach => Err(usage(
            "`--log` goes with `--detach` only".into(),
            "in the foreground the output is where the caller has it: `> FILE`",
        )),
        Verb::Exec(exec) if program.is_none_or(Vec::is_empty) => Err(usage(
            "no program is named".into(),
            format!("write `stockade exec {} -- PROGRAM`", exec.jail),
        )),
        Verb::Learn(_) if program.is_none_or(Vec::is_empty) => {
            Err(usage("no program is named".into(), "write `stockade learn -- PROGRAM ARGUMENTS`"))
        }
        Verb::Learn(learn) => meaningful_learn(learn),
        Verb::Run(_)
        | Verb::Serve(_)
        | Verb::Plan(_)
        | Verb::Exec(_)
        | Verb::Import(_)
        | Verb::Diagnose(_) => Ok(()),
        _ if program.is_some() => Err(usage(
            "`--` and what follows it mean nothing here".into(),
            "only `stockade run JAIL -- ARGUMENTS` passes them on",
        )),
        Verb::Build(build) => meaningful_build(build),
        _ => Ok(()),
    }
}

/// Words as argh takes them: `--set=a=b` becomes two, `-h` and `help` become `--help`. A wrong verb or option ends here, since
/// argh does not know what was meant.
fn normalised(words: Vec<String>) -> Result<Vec<String>, Early> {
    let mut out = Vec::new();
    let mut options: Option<&[(&str, bool)]> = None;
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if matches!(word.as_str(), "-h" | "--help") || (word == "help" && options.is_none()) {
            out.push("--help".into());
            continue;
        }
        if let Some(known) = options {
            if !word.starts_with('-') || word == "-" {
                out.push(word);
                continue;
            }
            // The short options there are.
            let word = match word.as_str() {
                "-u" => "--user".to_owned(),
                "-o" => "--output".to_owned(),
                _ => word,
            };
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            let Some((_, takes_value)) = known.iter().find(|(option, _)| *option == name) else {
                return Err(unknown_option(name, known));
            };
            match (takes_value, value) {
                (false, Some(_)) => {
                    return Err(usage(format!("`{name}` takes no value"), format!("write `{name}`")));
                }
                (false, None) => out.push(name.to_owned()),
                (true, value) => {
                    let Some(value) = value.or_else(|| words.next()) else {
                        return Err(usage(
                            format!("`{name}` needs a value"),
                            format!("write `{name} {}`", kind_of_value(name)),
                        ));
                    };
                    out.extend([name.to_owned(), value]);
                }
            }
            continue;
        }
        let Some((_, known)) = VERBS.iter().find(|(verb, _)| *verb == word) else {
            return Err(unknown_verb(&word));
        };
        options = Some(known);
        out.push(word);
    }
    Ok(out)
}

/// What stands after an option, as its help calls it.
fn kind_of_value(option: &str) -> &'static str {
    match option {
        "--set" => "KEY=VALUE",
        "--keep" | "--max" | "--max-per-source" => "COUNT",
        "--listen" => "WHERE",
        "--generation" => "NUMBER",
        "--timeout" | "--grace" | "--for" => "10s",
        "--user" => "USER",
        "--probe" => "COMMAND",
        "--name" => "NAME",
        _ => "FILE",
    }
}

/// A manifest goes to one place, and what is proved needs one.
fn meaningful_learn(learn: &Learn) -> Result<(), Early> {
    if learn.output.is_some() && learn.into.is_some() {
        let hint = "`--output` makes a new manifest, `--into` adds to one that is there";
        return Err(usage("`--output` does not go with `--into`".into(), hint));
    }
    if learn.prove && learn.output.is_none() && learn.into.is_none() {
        return Err(usage(
            "`--prove` needs a manifest's file".into(),
            "name it with `--output FILE` or `--into FILE`",
        ));
    }
    Ok(())
}

/// A `build` is of one jail, or with `--all` of none that is named.
fn meaningful_build(build: &Build) -> Result<(), Early> {
    let refused = |message: &str, hint: &str| Err(usage(message.to_owned(), hint));
    if build.rollback && (build.dry_run || build.test || !build.set.is_empty() || build.json) {
        return refused(
            "`--rollback` goes with no other option but `--keep`",
            "it builds nothing: it goes back to the tree before",
        );
    }
    if build.dry_run && (build.test || build.keep.is_some()) {
        return refused(
            "`--dry-run` does not go with `--test` and `--keep`",
            "it writes nothing, so there is nothing to test or to keep",
        );
    }
    match (&build.jail, build.all) {
        (Some(_), true) => refused("`--all` names every jail already", "name one, or write `--all`"),
        (None, true) if build.rollback || !build.set.is_empty() => refused(
            "`--rollback` and `--set` are for one jail",
            "with `--all` each jail is built as it was built before",
        ),
        (None, false) => refused(
            "no jail is named",
            "write `stockade build JAIL`, with a manifest's path or name, or `stockade build --all`",
        ),
        _ => Ok(()),
    }
}

fn unknown_option(name: &str, known: &[(&str, bool)]) -> Early {
    let names = || known.iter().map(|(option, _)| *option).chain(["--help"]);
    let hint = match suggest::nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "the options here are {}; arguments of the jailed program follow `--`",
            suggest::listed(names())
        ),
    };
    usage(format!("unknown option `{name}`"), hint)
}

/// The names of the commands, in the order of the help.
fn verbs() -> impl Iterator<Item = &'static str> {
    VERBS.iter().flat_map(|(verb, _)| std::iter::once(*verb).chain((*verb == "run").then_some("once")))
}

fn unknown_verb(word: &str) -> Early {
    if word.starts_with('-') {
        return usage(
            format!("unknown option `{word}`"),
            "options follow the command, as in `stockade plan --json JAIL`",
        );
    }
    let hint = match suggest::nearest(word, verbs()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if word.contains('/') || word.to_ascii_lowercase().ends_with(".toml") => {
            format!("to run a jail write `stockade run {word}`")
        }
        None => format!("the commands are {}; `stockade --help` tells more", suggest::listed(verbs())),
    };
    usage(format!("unknown command `{word}`"), hint)
}

/// What is left for argh to refuse: something missing, or one too many.
fn explained(output: &str, verb: Option<&str>) -> Early {
    let Some(verb) = verb else {
        let names = suggest::listed(verbs());
        return usage(
            "no command is given".into(),
            format!("the commands are {names}; `stockade --help` tells more"),
        );
    };
    let help = format!("`stockade {verb} --help` tells more");
    if output.starts_with("Required positional") && verb == "signal" {
        return usage("a jail and a signal are wanted".into(), "write `stockade signal JAIL HUP`");
    }
    if output.starts_with("Required positional") && verb == "why" {
        return usage("a jail and a path are wanted".into(), "write `stockade why JAIL PATH`");
    }
    if output.starts_with("Required positional") && verb == "export" {
        return usage("a format and a jail are wanted".into(), "write `stockade export systemd JAIL`");
    }
    if output.starts_with("Required positional") && verb == "import" {
        return usage("a tool is wanted".into(), "write `stockade import jailkit SECTION`");
    }
    if output.starts_with("Required positional") && ["exec", "limit"].contains(&verb) {
        let more = if verb == "exec" { "-- PROGRAM" } else { "memory=64M" };
        let hint = format!("write `stockade {verb} JAIL {more}`; `stockade list` shows those that run");
        return usage("no jail is named".into(), hint);
    }
    if output.starts_with("Required positional") {
        return usage(
            "no jail is named".into(),
            format!("write `stockade {verb} JAIL`, with a manifest's path or name"),
        );
    }
    if let Some(word) = output.strip_prefix("Unrecognized argument: ") {
        return usage(
            format!("`{}` is one word too many", word.trim()),
            format!("`{verb}` takes one jail; {help}"),
        );
    }
    let lines: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    usage(lines.join(" "), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> Result<Command, Early> {
        parse(std::iter::once("stockade").chain(line.iter().copied()).map(OsString::from))
    }

    #[test]
    fn every_verb_and_option_is_known_to_argh() {
        for (verb, options) in VERBS {
            let Err(Early::Answer(help)) = words(&[verb, "--help"]) else { panic!("{verb} has no help") };
            for (option, takes_value) in options {
                assert!(help.contains(option), "{verb} {option}");
                assert_eq!(help.contains(&format!("{option} <")), *takes_value, "{verb} {option}");
            }
            assert_eq!(help.matches("\n  --").count(), options.len() + 1, "{help}");
        }
    }

    #[test]
    fn the_programs_arguments_stay_as_they_are() {
        let Ok(Command { verb: Verb::Run(run), program }) =
            words(&["run", "--set=a.b=c=d", "--set", "e=-f", "web", "--", "--json", "--", "x"])
        else {
            panic!("not a run")
        };
        assert_eq!(run.jail, "web");
        assert_eq!(run.set, ["a.b=c=d", "e=-f"]);
        assert_eq!(program, ["--json", "--", "x"]);
    }
}
