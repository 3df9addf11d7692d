//! One function for each verb; only commands join manifest, tree, jail and report.

mod background;
mod build;
mod control;
mod diagnose;
mod doctor;
mod exec;
mod export;
mod failure;
mod import;
mod learn;
mod limits;
mod list;
mod manifest_file;
mod obstacle;
mod once;
mod overlay;
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
mod watch;
mod why;

use crate::cli::{Command, Verb, request};
use crate::error::Failure;

/// Does what the command line asks for.
pub(crate) fn run(Command { verb, program }: Command) -> Result<u8, Failure> {
    match verb {
        Verb::Check(check) => view::check(&check),
        Verb::Plan(plan) => view::plan(&plan, &request(&plan.jail, &plan.set, program)),
        Verb::Build(build) => build::build(&build),
        Verb::Run(run) => run::run(&run, &request(&run.jail, &run.set, program)),
        Verb::Once(options) => once::once(&options),
        Verb::Diagnose(options) => {
            diagnose::diagnose(&options, &request(&options.jail, &options.set, program))
        }
        Verb::Learn(options) => learn::learn(&options, program),
        Verb::Import(options) => import::import(&options, program),
        Verb::Serve(serve) => serve::serve(&serve, &request(&serve.jail, &serve.set, program)),
        Verb::Test(test) => suite::test(&test),
        Verb::Doctor(doctor) => Ok(doctor::doctor(&doctor)),
        Verb::Verify(verify) => verify::verify(&verify),
        Verb::List(list) => list::list(&list),
        Verb::Exec(exec) => exec::exec(&exec, program),
        Verb::Limit(limit) => control::limit(&limit),
        Verb::Freeze(freeze) => control::freeze(&freeze),
        Verb::Thaw(thaw) => control::thaw(&thaw),
        Verb::Signal(words) => signal::signal(&words),
        Verb::Stats(options) => stats::stats(&options),
        Verb::Stop(stop) => stop::stop(&stop),
        Verb::Why(why) => why::why(&why),
        Verb::Export(options) => export::export(&options),
        Verb::Remove(remove) => remove::remove(&remove.jails),
    }
}
