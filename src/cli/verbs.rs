//! The verbs of the command line, one struct for each: what argh reads, and what `--help` tells of it.

use std::path::PathBuf;

use argh::FromArgs;

use super::Once;

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
pub(super) struct Words {
    #[argh(subcommand)]
    pub(super) verb: Verb,
}

#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand)]
pub(crate) enum Verb {
    Check(Check),
    Plan(Plan),
    Build(Build),
    Run(Run),
    Once(Once),
    Learn(Learn),
    Diagnose(Diagnose),
    Import(Import),
    Serve(Serve),
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

/// listen, and run the jail's program for each connection, which is its standard input and output, as inetd(8) does
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "serve")]
pub(crate) struct Serve {
    /// where: `PORT`, `ADDRESS:PORT`, `[ADDRESS]:PORT`, or the path of a unix socket; any number of times; not needed for sockets that a
    /// service manager has passed
    #[argh(option, arg_name = "WHERE")]
    pub(crate) listen: Vec<String>,
    /// how many connections are served at once; 64 if not given
    #[argh(option, arg_name = "COUNT")]
    pub(crate) max: Option<u32>,
    /// how many of one address at once, or of one user of a unix socket; as many as in all if not given
    #[argh(option, arg_name = "COUNT")]
    pub(crate) max_per_source: Option<u32>,
    /// how long the programs that run may go on after a signal to end; 30s if not given
    #[argh(option, arg_name = "TIME")]
    pub(crate) grace: Option<String>,
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
    /// write it to this file instead of standard output, or all units into this directory; `-o FILE` for short
    #[argh(option, arg_name = "FILE")]
    pub(crate) output: Option<String>,
    /// change a value of the manifest, as in `program.nice=5`; the unit says so too
    #[argh(option, arg_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// what to write: systemd, the unit that starts the jail, or systemd-socket, the one that listens for it
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

/// run a program on the host, watch what it uses, and write the manifest of a jail for it: `stockade learn -- PROGRAM`
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "learn")]
pub(crate) struct Learn {
    /// where the manifest goes; standard output without it; `-o FILE` for short
    #[argh(option, arg_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// a manifest that is there already: what it lacks is added, and nothing is taken away
    #[argh(option, arg_name = "FILE")]
    pub(crate) into: Option<PathBuf>,
    /// a command for sh that uses the program while it is watched, repeated until it succeeds; it becomes the manifest's test
    #[argh(option, arg_name = "COMMAND")]
    pub(crate) probe: Option<String>,
    /// for how long the program is watched at most, such as 10s, unless the probe succeeds before or the program ends
    #[argh(option, long = "for", arg_name = "10s")]
    pub(crate) duration: Option<String>,
    /// the jail's name; without it that of the manifest's file, or of the program
    #[argh(option, arg_name = "NAME")]
    pub(crate) name: Option<String>,
    /// then build the jail, run it and its test, and add what it lacks, until it does
    #[argh(switch)]
    pub(crate) prove: bool,
}

/// run a jail, and tell what its program lacks in it and which line of the manifest gives that; what follows `--` is added to its arguments
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "diagnose")]
pub(crate) struct Diagnose {
    /// for how long it runs at most, such as 10s; without it until it ends
    #[argh(option, long = "for", arg_name = "10s")]
    pub(crate) duration: Option<String>,
    /// add the lines to the manifest
    #[argh(switch)]
    pub(crate) apply: bool,
    /// print what is lacking as JSON
    #[argh(switch)]
    pub(crate) json: bool,
    /// change a value of the manifest, as in `program.nice=5`
    #[argh(option, arg_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// a manifest's path or name
    #[argh(positional, arg_name = "JAIL")]
    pub(crate) jail: String,
}

/// make a manifest of what another tool is told: sections of jailkit's jk_init.ini, or options of bubblewrap after `--`
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(subcommand, name = "import")]
pub(crate) struct Import {
    /// where the manifest goes; standard output without it; `-o FILE` for short
    #[argh(option, arg_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// another file than /etc/jailkit/jk_init.ini
    #[argh(option, arg_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// jailkit or bwrap
    #[argh(positional, arg_name = "TOOL")]
    pub(crate) tool: String,
    /// sections of the file
    #[argh(positional, arg_name = "SECTION")]
    pub(crate) sections: Vec<String>,
}
