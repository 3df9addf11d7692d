//! The binary's `main`, called by the C library without Rust's own start-up, which reads /proc/self/maps and sets up a signal
//! stack: a fifth of the time a jail takes to start. What of it is needed here, open standard descriptors, is done by
//! [`crate::sys::process::fill_standard_descriptors`]; std finds its arguments by itself (in `.init_array`, with glibc).
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};

/// See the module.
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
    stockade::run(std::env::args_os()).into()
}
