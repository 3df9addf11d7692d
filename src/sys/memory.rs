//! The memory of a process that works for a millisecond or two: what it will need it gets at once, and at the end it gives nothing back.
#![allow(unsafe_code)]

use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;

/// So many bytes of the stack does the start of a jail write to, of the 128 KiB that are mapped from the beginning (`setup_arg_pages` in
/// fs/exec.c).
const STACK: usize = 32 << 10;

/// So many of what is allocated, of 64 KiB or more that the allocator asks for.
const ALLOCATED: usize = 40 << 10;

/// So many of the executable are read: its constants, and behind them the functions that `.cargo/start-order` lists.
const EXECUTABLE: usize = if cfg!(start_order) { 1 << 20 } else { 0 };

/// The smallest page there is.
const PAGE: usize = 4 << 10;

/// Has the memory mapped that a start will need, in a quarter of the time that a page fault for each page takes, see madvise(2),
/// `MADV_POPULATE_READ` and `MADV_POPULATE_WRITE`. Where that is not to be had, which is before Linux 5.14 or with larger pages, each is
/// mapped when it is needed.
pub fn populate() {
    let on_stack = 0_u8;
    let allocated = black_box(Box::new(0_u8));
    let page_of = |address: usize| address & !(PAGE - 1);
    // SAFETY: a number is looked up in what the kernel has left on the stack.
    let headers = unsafe { libc::getauxval(libc::AT_PHDR) } as usize;
    for (first, length, advice) in [
        (page_of(headers), EXECUTABLE, libc::MADV_POPULATE_READ),
        (page_of(ptr::from_ref(&on_stack).addr()) + PAGE - STACK, STACK, libc::MADV_POPULATE_WRITE),
        (page_of(ptr::from_ref(&*allocated).addr()), ALLOCATED, libc::MADV_POPULATE_WRITE),
    ] {
        // SAFETY: what is in memory stays as it is, and what is not mapped stays so.
        if let 0 | -1 = unsafe { libc::madvise(ptr::without_provenance_mut(first), length, advice) } {}
    }
}

/// Whether nothing is given back any more.
static ENDS: AtomicBool = AtomicBool::new(false);

/// From here on nothing is freed: the process is about to end, and the kernel takes all of its memory back at once. What else values do
/// when they are dropped, as closing descriptors and removing files, they still do.
pub fn keep_all() {
    ENDS.store(true, Ordering::Relaxed);
}

/// Whether nothing is freed any more: asked by the allocator.
pub fn keeps_all() -> bool {
    ENDS.load(Ordering::Relaxed)
}
