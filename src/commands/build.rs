//! `stockade build`

use std::process::ExitCode;

use crate::error::Failure;
use crate::manifest::{self, Request};

/// Not written yet.
pub(crate) fn build(request: &Request) -> Result<ExitCode, Failure> {
    manifest::load(request).map_err(|findings| Failure::manifest(findings, &request.jail))?;
    super::not_yet("build")
}
