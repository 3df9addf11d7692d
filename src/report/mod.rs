//! What people and programs read: a plan as text and as JSON. Imports `plan` alone, so that any value of it can be shown.
#![forbid(unsafe_code)]

mod explain;
pub mod json;
mod layout;
pub mod plan;
