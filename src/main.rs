//! The binary: hands its arguments to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    stockade::run(std::env::args_os())
}
