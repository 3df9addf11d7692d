//! The binary's `main`, called by the C library without Rust's own start-up, which reads /proc/self/maps and sets up a signal
//! stack: a fifth of the time a jail takes to start. What of it is needed here, open standard descriptors, is done by
//! [`crate::sys::process::fill_standard_descriptors`]; std finds its arguments by itself (in `.init_array`, with glibc).
//!
//! And the binary's allocator: the system's, but for what happens when there is no memory.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{c_char, c_int};

/// See the module.
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
    stockade::run(std::env::args_os()).into()
}

/// The system's allocator. Where it has nothing to give, Rust would abort, which looks like a mistake of ours; this says what
/// is the matter and ends the process. Whatever it has half made is found by the next one, as after SIGKILL.
struct OrEnd;

#[global_allocator]
static ALLOCATOR: OrEnd = OrEnd;

// SAFETY: every call is passed on, and its result is returned unless it is null.
unsafe impl GlobalAlloc for OrEnd {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the ones asked for.
        or_end(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        or_end(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        or_end(unsafe { System.realloc(pointer, layout, size) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What was allocated; ends the process if that is nothing.
fn or_end(allocated: *mut u8) -> *mut u8 {
    if allocated.is_null() {
        stockade::error::out_of_memory();
    }
    allocated
}
