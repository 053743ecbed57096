//! An allocator that counts what each thread has allocated now, and at most. Shared by the fuzz target `decode` and the
//! tests of the plan's memory, whose global allocator it is.
//!
//! It sees Rust's memory. libjpeg-turbo has its own: `tests/it/hostile` measures the resident memory of the program.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

pub(crate) struct Counting;

thread_local! {
    /// May be below zero: memory may be freed by another thread than the one that took it.
    static NOW: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// Bytes, as allocators count them: never more than `isize::MAX`.
fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn add(bytes: usize) {
    NOW.set(NOW.get().saturating_add(signed(bytes)));
    PEAK.set(PEAK.get().max(NOW.get()));
}

fn subtract(bytes: usize) {
    NOW.set(NOW.get().saturating_sub(signed(bytes)));
}

#[expect(unsafe_code, reason = "the trait of allocators is unsafe; all calls are passed on unchanged")]
// SAFETY: `System` keeps the trait's promises, and counting does not touch the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        subtract(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // A block that moves exists twice for a moment; for one that grows in place, this counts too much.
        add(new_size);
        subtract(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

/// The result of `work`, and the maximum of bytes that this thread held at once for it.
pub(crate) fn peak_of<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = NOW.get();
    PEAK.set(before);
    let result = work();
    (result, u64::try_from(PEAK.get() - before).unwrap_or(0))
}
