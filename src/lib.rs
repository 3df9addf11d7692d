//! `stockade`: prepares a jail's directory tree from a manifest and runs a program confined in it.

pub mod commands;
pub mod jail;
pub mod manifest;
pub mod plan;
pub mod report;
pub mod sys;
pub mod tree;

/// Stub.
pub fn run(args: Vec<std::ffi::OsString>) -> i32 {
    if sys::process::fill_standard_descriptors().is_err() {
        return 125;
    }
    commands::dispatch(args)
}
