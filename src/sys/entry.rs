//! The binary's `main`, called by the C library without Rust's own start-up, which reads /proc/self/maps and sets up a signal
//! stack: a fifth of the time a jail takes to start. What of it is needed here, open standard descriptors, is done by
//! [`crate::sys::process::fill_standard_descriptors`].
//!
//! And the binary's allocator: the system's, but for what happens when there is no memory.
#![allow(unsafe_code)]

#[cfg(target_env = "musl")]
use dlmalloc::GlobalDlmalloc as System;
#[cfg(not(target_env = "musl"))]
use std::alloc::System;
use std::alloc::{GlobalAlloc, Layout};
use std::ffi::{CStr, OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt as _;

/// See the module.
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, arguments: *const *const c_char) -> c_int {
    let argument = |at| {
        // SAFETY: the C library hands over `count` pointers to strings ended by NUL, which stay where they are.
        let text = unsafe { CStr::from_ptr(*arguments.add(at)) };
        OsStr::from_bytes(text.to_bytes()).to_owned()
    };
    stockade::sys::memory::populate();
    stockade::run((0..usize::try_from(count).unwrap_or(0)).map(argument)).into()
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
        if !stockade::sys::memory::keeps_all() {
            // SAFETY: as above.
            unsafe { System.dealloc(pointer, layout) }
        }
    }
}

/// What was allocated; ends the process if that is nothing.
fn or_end(allocated: *mut u8) -> *mut u8 {
    if allocated.is_null() {
        stockade::error::out_of_memory();
    }
    allocated
}

/// The walk over the stack that std's message of a panic would print: the released binary has neither the tables to walk by nor symbols
/// to name what is found, so this finds nothing, and what would read both is not linked. `.cargo/link.rs` says when.
// SAFETY: name and signature are those of every compiler's library; with `_URC_END_OF_STACK` nobody has been called.
#[cfg(no_backtrace)]
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_found: *const u8, _argument: *const u8) -> c_int {
    const END_OF_STACK: c_int = 5;
    END_OF_STACK
}
