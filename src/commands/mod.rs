//! One function for each verb; only commands join manifest, tree, jail and report.

mod background;
mod build;
mod control;
mod diagnose;
mod doctor;
mod exec;
mod export;
mod failure;
mod limits;
mod list;
mod once;
mod pid_file;
mod prepare;
mod remove;
mod run;
mod select;
mod serve;
mod signal;
mod stats;
mod stop;
mod suite;
mod test;
mod verify;
mod view;
mod why;

use crate::cli::Command;
use crate::error::Failure;

/// Does what the command line asks for.
pub(crate) fn run(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Check(check) => view::check(&check),
        Command::Plan(plan, request) => view::plan(&plan, &request),
        Command::Build(build, request) => build::build(&build, &request),
        Command::Run(run, request) => run::run(&run, &request),
        Command::Once(options) => once::once(&options),
        Command::Serve(serve, request) => serve::serve(&serve, &request),
        Command::Test(test) => suite::test(&test),
        Command::Doctor(doctor) => Ok(doctor::doctor(&doctor)),
        Command::Verify(verify) => verify::verify(&verify),
        Command::List(list) => list::list(&list),
        Command::Exec(exec, command) => exec::exec(&exec, command),
        Command::Limit(limit) => control::limit(&limit),
        Command::Freeze(freeze) => control::freeze(&freeze),
        Command::Thaw(thaw) => control::thaw(&thaw),
        Command::Signal(words) => signal::signal(&words),
        Command::Stats(options) => stats::stats(&options),
        Command::Stop(stop) => stop::stop(&stop),
        Command::Why(why) => why::why(&why),
        Command::Export(options, request) => export::export(&options, &request),
        Command::Remove(remove) => remove::remove(&remove.jails),
    }
}
