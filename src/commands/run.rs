//! `stockade run`

use std::process::ExitCode;

use crate::error::Failure;
use crate::manifest::{self, Request};

/// Not written yet.
pub(crate) fn run(request: &Request) -> Result<ExitCode, Failure> {
    manifest::load(request).map_err(|findings| Failure::manifest(findings, &request.jail))?;
    super::not_yet("run")
}
