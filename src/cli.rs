//! The command line: one struct for each verb, and how words become them. Nothing is done here.

use std::ffi::OsString;

use argh::FromArgs;

use crate::error::{self, Failure, exit};
use crate::manifest::{Request, suggest};
use crate::report::diagnostic::Diagnostic;

/// Build jails from manifests and run programs confined in them.
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(
    error_code(0, "done"),
    error_code(1, "a finding: a manifest that is not right, a difference, a failed test"),
    error_code(2, "the command line cannot be understood"),
    error_code(124, "the program ran into its time limit"),
    error_code(125, "stockade failed"),
    error_code(126, "the program cannot be executed"),
    error_code(127, "the program was not found"),
    note = "JAIL is a manifest's path, or its name in ./jails, ~/.config/stockade or /etc/stockade."
)]
struct Words {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand)]
enum Verb {
    Check(Check),
    Plan(Plan),
    Build(Build),
    Run(Run),
    Test(Test),
    Doctor(Doctor),
    Verify(Verify),
    List(List),
    Exec(Exec),
    Signal(Signal),
    Stats(Stats),
    Stop(Stop),
    Limit(Limit),
    Freeze(Freeze),
    Thaw(Thaw),
    Why(Why),
    Export(Export),
    Remove(Remove),
}

/// check manifests and show every finding with its place
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "check")]
pub(crate) struct Check {
    /// print the findings as a JSON array
    #[argh(switch)]
    pub(crate) json: bool,
    /// manifests; all that can be named if none is given
    #[argh(positional, arg_name = "JAIL")]
    pub(crate) jails: Vec<String>,
}

/// show the ordered steps of building and running a jail, and do nothing
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "plan")]
#[allow(clippy::struct_excessive_bools, reason = "independent switches of a command line")]
pub(crate) struct Plan {
    /// say of each step why it is there and what breaks without it
    #[argh(switch)]
    pub(crate) explain: bool,
    /// print the plan as JSON
    #[argh(switch)]
    pub(crate) json: bool,
    /// show every file of the tree instead of a summary
    #[argh(switch)]
    pub(crate) all: bool,
    /// change a value of the manifest, as in `program.nice=5`
    #[argh(option, arg_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// a manifest's path or name
    #[argh(positional, arg_name = "JAIL")]
    pub(crate) jail: String,
}

/// prepare or update a jail's tree
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "build")]
#[allow(clippy::struct_excessive_bools, reason = "independent switches of a command line")]
pub(crate) struct Build {
    /// show what would be added, changed and removed, and why; write nothing
    #[argh(switch)]
    pub(crate) dry_run: bool,
    /// print what is or would be changed as JSON
    #[argh(switch)]
    pub(crate) json: bool,
    /// go back to the tree before the current one
    #[argh(switch)]
    pub(crate) rollback: bool,
    /// run the manifest's `[test]` in the new tree before it becomes the current one
    #[argh(switch)]
    pub(crate) test: bool,
    /// how many older trees are kept to go back to, from now on (1 unless ever said)
    #[argh(option, arg_name = "COUNT")]
    pub(crate) keep: Option<u32>,
    /// every jail that has been built, each from the manifest and with the `--set` it was built with
    #[argh(switch)]
    pub(crate) all: bool,
    /// change a value of the manifest, as in `program.nice=5`
    #[argh(option, arg_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// a manifest's path or name
    #[argh(positional, arg_name = "JAIL")]
    pub(crate) jail: Option<String>,
}

/// run a jail's program in the foreground; what follows `--` is added to its arguments
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "run")]
pub(crate) struct Run {
    /// write what was enforced, and how the program ended, as JSON to this file
    #[argh(option, arg_name = "FILE")]
    pub(crate) report: Option<String>,
    /// write the host's number of the program's process to this file, which is removed at the end
    #[argh(option, arg_name = "FILE")]
    pub(crate) pid_file: Option<String>,
    /// go on in the background, and return when the program has been executed
    #[argh(switch)]
    pub(crate) detach: bool,
    /// with --detach: append the output to this file; without it, it is lost
    #[argh(option, arg_name = "FILE")]
    pub(crate) log: Option<String>,
    /// run in this generation of the tree instead of the current one
    #[argh(option, arg_name = "NUMBER")]
    pub(crate) generation: Option<u64>,
    /// change a value of the manifest, as in `program.nice=5`
    #[argh(option, arg_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// a manifest's path or name
    #[argh(positional, arg_name = "JAIL")]
    pub(crate) jail: String,
}

/// start a jail, try it with a real client as its `[test]` says, and stop it
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "test")]
pub(crate) struct Test {
    /// test every jail that can be named and whose program is installed; what is built for that is removed again
    #[argh(switch)]
    pub(crate) all: bool,
    /// manifests' paths or names
    #[argh(positional, arg_name = "JAIL")]
    pub(crate) jails: Vec<String>,
}

/// tell what this kernel and this user can do for jails, and the cure for what they cannot
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "doctor")]
pub(crate) struct Doctor {
    /// print it as JSON
    #[argh(switch)]
    pub(crate) json: bool,
}

/// compare trees with their records, and with what the host has now
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "verify")]
pub(crate) struct Verify {
    /// every jail that has been built
    #[argh(switch)]
    pub(crate) all: bool,
    /// print what is found as JSON
    #[argh(switch)]
    pub(crate) json: bool,
    /// manifests' paths or names, or names of jails whose manifests are gone
    #[argh(positional, arg_name = "JAIL")]
    pub(crate) jails: Vec<String>,
}

/// list the jails that run
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "list")]
pub(crate) struct List {
    /// print them as JSON
    #[argh(switch)]
    pub(crate) json: bool,
    /// print a name a line and nothing else
    #[argh(switch)]
    pub(crate) names: bool,
    /// names, or manifests' paths, of the jails to list; all if none is given
    #[argh(positional, arg_name = "JAIL")]
    pub(crate) jails: Vec<String>,
}

/// run another program in a running jail, confined as the jail is; the program and its arguments follow `--`
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "exec")]
pub(crate) struct Exec {
    /// as this user of the jail, with that user's own group; `-u USER` for short
    #[argh(option, arg_name = "USER")]
    pub(crate) user: Option<String>,
    /// its name, or its manifest's path; NAME@PID for one of several runs
    #[argh(positional, arg_name = "JAIL")]
    pub(crate) jail: String,
}

/// send the program of a running jail a signal
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "signal")]
pub(crate) struct Signal {
    /// its name, or its manifest's path; NAME@PID for one of several runs
    #[argh(positional, arg_name = "JAIL")]
    pub(crate) jail: String,
    /// a name, with or without SIG, or a number
    #[argh(positional, arg_name = "SIGNAL")]
    pub(crate) signal: String,
}

/// tell what running jails use: time on processors, memory, processes
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "stats")]
pub(crate) struct Stats {
    /// print it as JSON; with --watch a line for each look
    #[argh(switch)]
    pub(crate) json: bool,
    /// again each second, until none of them runs any more
    #[argh(switch)]
    pub(crate) watch: bool,
    /// names, or manifests' paths; all that run if none is given
    #[argh(positional, arg_name = "JAIL")]
    pub(crate) jails: Vec<String>,
}

/// stop running jails: SIGTERM to the program, then, after a time, SIGKILL to everything in the jail
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "stop")]
pub(crate) struct Stop {
    /// how long a jail has for ending by itself; 10s if not given, 0 kills at once
    #[argh(option, arg_name = "TIME")]
    pub(crate) timeout: Option<String>,
    /// stop every jail that runs
    #[argh(switch)]
    pub(crate) all: bool,
    /// names, or manifests' paths; NAME@PID for one of several runs
    #[argh(positional, arg_name = "JAIL")]
    pub(crate) jails: Vec<String>,
}

/// change limits of running jails, until they end: memory, swap, tasks and the like under `[limits]`
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "limit")]
pub(crate) struct Limit {
    /// a name, or a manifest's path; NAME@PID for one of several runs
    #[argh(positional, arg_name = "JAIL")]
    pub(crate) jail: String,
    /// limits as in a manifest, such as memory=64M tasks=100 cpu=150%
    #[argh(positional, arg_name = "KEY=VALUE")]
    pub(crate) limits: Vec<String>,
}

/// stop all processes of running jails where they are, until they are thawed
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "freeze")]
pub(crate) struct Freeze {
    /// names, or manifests' paths; NAME@PID for one of several runs
    #[argh(positional, arg_name = "JAIL")]
    pub(crate) jails: Vec<String>,
}

/// let frozen jails go on
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "thaw")]
pub(crate) struct Thaw {
    /// names, or manifests' paths; NAME@PID for one of several runs
    #[argh(positional, arg_name = "JAIL")]
    pub(crate) jails: Vec<String>,
}

/// tell where a path of a jail comes from, and who needs it
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "why")]
pub(crate) struct Why {
    /// print it as JSON
    #[argh(switch)]
    pub(crate) json: bool,
    /// a manifest's path or name, or the name of a jail whose manifest is gone
    #[argh(positional, arg_name = "JAIL")]
    pub(crate) jail: String,
    /// a path, as the jailed program says it
    #[argh(positional, arg_name = "PATH")]
    pub(crate) path: String,
}

/// write a unit of systemd's that starts a jail, with the reason of each line
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "export")]
pub(crate) struct Export {
    /// write it to this file instead of standard output; `-o FILE` for short
    #[argh(option, arg_name = "FILE")]
    pub(crate) output: Option<String>,
    /// change a value of the manifest, as in `program.nice=5`; the unit says so too
    #[argh(option, arg_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// what to write: systemd
    #[argh(positional, arg_name = "FORMAT")]
    pub(crate) format: String,
    /// a manifest's path or name
    #[argh(positional, arg_name = "JAIL")]
    pub(crate) jail: String,
}

/// remove jails from the state directory: trees, records and all; their manifests stay
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "remove")]
pub(crate) struct Remove {
    /// manifests' paths or names, or names of jails whose manifests are gone
    #[argh(positional, arg_name = "JAIL")]
    pub(crate) jails: Vec<String>,
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// `stockade check`
    Check(Check),
    /// `stockade plan`
    Plan(Plan, Request),
    /// `stockade build`
    Build(Build, Request),
    /// `stockade run`
    Run(Run, Request),
    /// `stockade test`
    Test(Test),
    /// `stockade doctor`
    Doctor(Doctor),
    /// `stockade verify`
    Verify(Verify),
    /// `stockade list`
    List(List),
    /// `stockade exec`, with the program and its arguments
    Exec(Exec, Vec<OsString>),
    /// `stockade signal`
    Signal(Signal),
    /// `stockade stats`
    Stats(Stats),
    /// `stockade stop`
    Stop(Stop),
    /// `stockade limit`
    Limit(Limit),
    /// `stockade freeze`
    Freeze(Freeze),
    /// `stockade thaw`
    Thaw(Thaw),
    /// `stockade why`
    Why(Why),
    /// `stockade export`
    Export(Export, Request),
    /// `stockade remove`
    Remove(Remove),
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
const VERBS: [(&str, &[(&str, bool)]); 18] = [
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
    ("why", &[("--json", false)]),
    ("export", &[("--output", true), ("--set", true)]),
    ("remove", &[]),
];

/// A usage error.
fn usage(message: String, hint: impl Into<String>) -> Early {
    Early::Usage(Failure::new(Diagnostic::error(message).hint(hint), exit::USAGE))
}

/// Reads the command line; the first word is the program's own name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Early> {
    let mut ours: Vec<OsString> = arguments.into_iter().skip(1).collect();
    // What follows the first `--` belongs to the jailed program, and need not be text.
    let split = ours.iter().position(|word| word == "--");
    let extra_arguments =
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
    command(parsed.verb, extra_arguments, split.is_some())
}

/// The command of a verb. Only `run` and `plan` know what to do with words after `--`.
fn command(verb: Verb, extra_arguments: Vec<OsString>, split: bool) -> Result<Command, Early> {
    let request = |jail: &String, sets: &[String], extra_arguments| Request {
        jail: jail.into(),
        sets: sets.to_vec(),
        extra_arguments,
    };
    if split && !matches!(verb, Verb::Run(_) | Verb::Plan(_) | Verb::Exec(_)) {
        return Err(usage(
            "`--` and what follows it mean nothing here".into(),
            "only `stockade run JAIL -- ARGUMENTS` passes them on",
        ));
    }
    Ok(match verb {
        Verb::Check(check) => Command::Check(check),
        Verb::Plan(plan) => {
            let request = request(&plan.jail, &plan.set, extra_arguments);
            Command::Plan(plan, request)
        }
        Verb::Build(build) => {
            let request = request(&build_of(&build)?, &build.set, extra_arguments);
            Command::Build(build, request)
        }
        Verb::Run(run) => {
            if run.log.is_some() && !run.detach {
                return Err(usage(
                    "`--log` goes with `--detach` only".into(),
                    "in the foreground the output is where the caller has it: `> FILE`",
                ));
            }
            let request = request(&run.jail, &run.set, extra_arguments);
            Command::Run(run, request)
        }
        Verb::Test(test) => Command::Test(test),
        Verb::Doctor(doctor) => Command::Doctor(doctor),
        Verb::Verify(verify) => Command::Verify(verify),
        Verb::List(list) => Command::List(list),
        Verb::Exec(exec) => match extra_arguments.first() {
            Some(_) => Command::Exec(exec, extra_arguments),
            None => {
                return Err(usage(
                    "no program is named".into(),
                    format!("write `stockade exec {} -- PROGRAM`", exec.jail),
                ));
            }
        },
        Verb::Signal(words) => Command::Signal(words),
        Verb::Stats(options) => Command::Stats(options),
        Verb::Stop(stop) => Command::Stop(stop),
        Verb::Limit(limit) => Command::Limit(limit),
        Verb::Freeze(freeze) => Command::Freeze(freeze),
        Verb::Thaw(thaw) => Command::Thaw(thaw),
        Verb::Why(why) => Command::Why(why),
        Verb::Export(export) => {
            if export.format != "systemd" {
                return Err(usage(
                    format!("`{}` is nothing that can be written", export.format),
                    format!("write `stockade export systemd {}`", export.jail),
                ));
            }
            let request = request(&export.jail, &export.set, extra_arguments);
            Command::Export(export, request)
        }
        Verb::Remove(remove) => Command::Remove(remove),
    })
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
        "--keep" => "COUNT",
        "--generation" => "NUMBER",
        "--timeout" => "10s",
        "--user" => "USER",
        _ => "FILE",
    }
}

/// The jail that a `build` is of: one, or with `--all` none. Refuses options that say nothing together.
fn build_of(build: &Build) -> Result<String, Early> {
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
        (jail, _) => Ok(jail.clone().unwrap_or_default()),
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

fn unknown_verb(word: &str) -> Early {
    let names = || VERBS.iter().map(|(verb, _)| *verb);
    if word.starts_with('-') {
        return usage(
            format!("unknown option `{word}`"),
            "options follow the command, as in `stockade plan --json JAIL`",
        );
    }
    let hint = match suggest::nearest(word, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if word.contains('/') || word.to_ascii_lowercase().ends_with(".toml") => {
            format!("to run a jail write `stockade run {word}`")
        }
        None => format!("the commands are {}; `stockade --help` tells more", suggest::listed(names())),
    };
    usage(format!("unknown command `{word}`"), hint)
}

/// What is left for argh to refuse: something missing, or one too many.
fn explained(output: &str, verb: Option<&str>) -> Early {
    let Some(verb) = verb else {
        let names = suggest::listed(VERBS.iter().map(|(verb, _)| *verb));
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
        let Ok(Command::Run(_, request)) =
            words(&["run", "--set=a.b=c=d", "--set", "e=-f", "web", "--", "--json", "--", "x"])
        else {
            panic!("not a run")
        };
        assert_eq!(request.jail, "web");
        assert_eq!(request.sets, ["a.b=c=d", "e=-f"]);
        assert_eq!(request.extra_arguments, ["--json", "--", "x"]);
    }
}
