//! One function for each verb; only commands join manifest, tree, jail and report.

mod build;
mod run;
mod test;
mod view;

use std::process::ExitCode;

use crate::cli::Command;
use crate::error::Failure;

/// Does what the command line asks for.
pub(crate) fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Check(check) => view::check(&check),
        Command::Plan(plan, request) => view::plan(&plan, &request),
        Command::Build(request) => build::build(&request),
        Command::Run(request) => run::run(&request),
        Command::Test(test) => test::test(&test),
    }
}

/// For verbs that are still being written.
fn not_yet(verb: &str) -> Result<ExitCode, Failure> {
    let diagnostic = crate::report::diagnostic::Diagnostic::error(format!("`{verb}` is not there yet"));
    Err(Failure::new(diagnostic, crate::error::exit::FAILED))
}
