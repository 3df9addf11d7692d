//! What people and programs read: the only code that formats for stdout and stderr. Imports `plan` alone, so that any value of it
//! can be shown.
#![forbid(unsafe_code)]

pub mod amount;
pub mod diagnostic;
pub mod doctor;
mod explain;
pub mod json;
pub mod lacks;
mod layout;
pub mod list;
pub mod plan;
pub mod printed;
pub mod rows;
pub mod run;
pub mod stats;
#[cfg(test)]
mod system_calls;
pub mod systemd;
