//! `stockade test`

use std::process::ExitCode;

use crate::cli::Test;
use crate::error::Failure;

/// Not written yet.
pub(crate) fn test(_test: &Test) -> Result<ExitCode, Failure> {
    super::not_yet("test")
}
