//! Turns a checked manifest into steps. Facts are read below `host.root`; nothing is changed. The only place with defaults.
//!
//! Theory of operation, for the tree ([`tree::tree_steps`]):
//!
//! 1. Everything that shall be in the tree is placed in a `draft`, which keeps paths real and finds entries that disagree.
//!    First the `base`, as the lowest layer; then what the manifest gives itself (links, directories, text), as that decides the tree's shape; then what is copied:
//!    `programs` with their libraries, `files` (chosen by `expand` and [`glob`]), `packages`; then what the tree owes to
//!    the run: `devices`, mount points, and the `names` of users.
//! 2. What is wrong becomes a finding, and the work goes on, so that all findings are reported at once.
//! 3. A draft without an error becomes steps in the order of their paths (`content`).

#![forbid(unsafe_code)]

pub mod accounts;
mod base;
mod circumstances;
pub mod command;
mod content;
mod context;
pub mod control_groups;
pub(in crate::manifest) mod covered;
pub(super) mod devices;
mod draft;
mod environment;
mod expand;
mod files;
mod filesystems;
mod furniture;
pub mod glob;
pub mod hosts_tree;
mod identity;
pub mod ids;
pub mod join;
mod key;
mod landlock;
mod layers;
mod mounts;
mod names;
mod nearest;
pub mod network;
mod notes;
mod overlay;
mod owner;
mod packages;
mod passed;
mod proc;
mod programs;
mod rates;
pub mod run;
mod shared;
pub(in crate::manifest) mod sockets;
pub mod standard;
mod sys;
pub mod system_calls;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod tree;
mod view;

pub use key::{may_write_tree, shows, tree_key};
pub use owner::{package_of, packages_of};
pub use packages::listed as package_files;
pub use passed::count as passed_count;
pub use rates::Rate;
