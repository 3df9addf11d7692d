//! The binary: its `main` is in `sys/entry.rs`, as it needs a line of unsafe code.
#![no_main]

#[path = "sys/entry.rs"]
mod entry;
