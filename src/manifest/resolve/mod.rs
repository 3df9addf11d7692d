//! Manifest and host to steps: reads facts, changes nothing. The only place with defaults.

pub mod accounts;
mod identity;
mod mounts;
mod key;
pub mod run;

pub use key::tree_key;
