//! Memory that is given back to nobody: a process that is about to end has no use for what freeing it would cost.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether it is.
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
