//! From a manifest's text to a plan: parse, check, resolve.

pub mod finding;
pub mod libs;
pub mod links;
pub mod resolve;
pub mod schema;
pub mod suggest;
