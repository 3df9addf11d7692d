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
mod named_file;
mod obstacle;
mod once;
mod outcome;
mod overlay;
mod pid_file;
mod prepare;
mod remove;
mod report_file;
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
        Verb::Check(check) => apart(|| view::check(&check)),
        Verb::Plan(plan) => apart(|| view::plan(&plan, &request(&plan.jail, &plan.set, program))),
        Verb::Build(build) => apart(|| build::build(&build)),
        Verb::Run(run) => run::run(&run, &request(&run.jail, &run.set, program)),
        Verb::Once(options) => apart(|| once::once(&options)),
        Verb::Diagnose(options) => {
            apart(|| diagnose::diagnose(&options, &request(&options.jail, &options.set, program)))
        }
        Verb::Learn(options) => apart(|| learn::learn(&options, program)),
        Verb::Import(options) => apart(|| import::import(&options, program)),
        Verb::Serve(serve) => apart(|| serve::serve(&serve, &request(&serve.jail, &serve.set, program))),
        Verb::Test(test) => apart(|| suite::test(&test)),
        Verb::Doctor(doctor) => apart(|| Ok(doctor::doctor(&doctor))),
        Verb::Verify(verify) => apart(|| verify::verify(&verify)),
        Verb::List(list) => apart(|| list::list(&list)),
        Verb::Exec(exec) => apart(|| exec::exec(&exec, program)),
        Verb::Limit(limit) => apart(|| control::limit(&limit)),
        Verb::Freeze(freeze) => apart(|| control::freeze(&freeze)),
        Verb::Thaw(thaw) => apart(|| control::thaw(&thaw)),
        Verb::Signal(words) => apart(|| signal::signal(&words)),
        Verb::Stats(options) => apart(|| stats::stats(&options)),
        Verb::Stop(stop) => apart(|| stop::stop(&stop)),
        Verb::Why(why) => apart(|| why::why(&why)),
        Verb::Export(options) => apart(|| export::export(&options)),
        Verb::Remove(remove) => apart(|| remove::remove(&remove.jails)),
    }
}

/// Keeps a command's code in a place of its own. Each is called from one place only, into which all would be put together otherwise, and a
/// start of a jail would walk through them.
#[inline(never)]
fn apart<T>(command: impl FnOnce() -> T) -> T {
    command()
}
