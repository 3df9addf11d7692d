//! `stockade`: prepares a jail's directory tree from a manifest and runs a program confined in it.

pub mod jail;
pub mod manifest;
pub mod plan;
pub mod report;
pub mod sys;
