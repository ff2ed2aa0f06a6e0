//! Counts what a plugin call allocates: the process's allocator with a counter for each thread.
//!
//! Invariants: bytes are counted only while a [`Meter`] lives on the thread, and counting never allocates itself.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::marker::PhantomData;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    // Const and without a destructor: reading it cannot allocate, and it is there until the thread is gone.
    static COUNTER: Counter = const {
        Counter { on: Cell::new(false), used: Cell::new(0), peak: Cell::new(0), requests: Cell::new(0) }
    };
}

struct Counter {
    on: Cell<bool>,
    used: Cell<isize>,
    peak: Cell<isize>,
    requests: Cell<u64>,
}

/// Counts the allocations of this thread while it lives. One at a time on a thread; the last one counts.
pub(super) struct Meter {
    // The counter belongs to the thread that started it.
    not_send: PhantomData<*const ()>,
}

impl Meter {
    /// Starts counting at zero.
    pub(super) fn start() -> Self {
        COUNTER.with(|counter| {
            counter.used.set(0);
            counter.peak.set(0);
            counter.on.set(true);
        });
        Self { not_send: PhantomData }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        COUNTER.with(|counter| counter.on.set(false));
    }
}

/// Runs `work` without counting: for memory that changes hands with other threads, which would be counted by halves.
pub(super) fn uncounted<T>(work: impl FnOnce() -> T) -> T {
    let on = COUNTER.with(|counter| counter.on.replace(false));
    let result = work();
    COUNTER.with(|counter| counter.on.set(on));
    result
}

/// Bytes that this thread holds of what it allocated under the meter.
pub(super) fn used() -> usize {
    COUNTER.with(|counter| usize::try_from(counter.used.get()).unwrap_or(0))
}

/// The most bytes that this thread held at once under the last meter.
pub(super) fn peak() -> usize {
    COUNTER.with(|counter| usize::try_from(counter.peak.get()).unwrap_or(0))
}

/// Times that Rust code on this thread has asked for memory, or for more of it, since the thread began. The tests of what a
/// token costs ask; C++ code has an allocator of its own and is not counted.
pub fn allocations() -> u64 {
    COUNTER.with(|counter| counter.requests.get())
}

struct Counting;

fn count_request() {
    COUNTER.with(|counter| counter.requests.set(counter.requests.get().wrapping_add(1)));
}

fn count(bytes: isize) {
    COUNTER.with(|counter| {
        if counter.on.get() {
            let used = counter.used.get().saturating_add(bytes);
            counter.used.set(used);
            counter.peak.set(counter.peak.get().max(used));
        }
    });
}

/// The size as a number that can be subtracted; a layout never exceeds `isize::MAX`.
fn signed(size: usize) -> isize {
    isize::try_from(size).unwrap_or(isize::MAX)
}

// SAFETY: every call goes unchanged to `System`, which upholds the contract of `GlobalAlloc`. The counting
// touches only plain cells of this thread: it neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_request();
        // SAFETY: the caller's promises about `layout` are passed on.
        let block = unsafe { System.alloc(layout) };
        if !block.is_null() {
            count(signed(layout.size()));
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_request();
        // SAFETY: as in `alloc`.
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            count(signed(layout.size()));
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count_request();
        // SAFETY: the caller's promises about `block`, `layout` and `new_size` are passed on.
        let moved = unsafe { System.realloc(block, layout, new_size) };
        if !moved.is_null() {
            count(signed(new_size) - signed(layout.size()));
        }
        moved
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises about `block` and `layout` are passed on.
        unsafe { System.dealloc(block, layout) };
        count(-signed(layout.size()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meter_counts_what_this_thread_holds_and_the_most_it_held() {
        let meter = Meter::start();

        let block = std::hint::black_box(vec![0_u8; 1 << 20]);
        let held = used();
        drop(block);
        let (left, most) = (used(), peak());
        drop(meter);

        assert!((1 << 20..2 << 20).contains(&held), "{held}");
        assert!(left < 1 << 16, "{left}");
        assert!(most >= 1 << 20, "{most}");
    }

    #[test]
    fn nothing_is_counted_without_a_meter() {
        drop(Meter::start());

        let block = std::hint::black_box(vec![0_u8; 1 << 20]);

        assert_eq!(used(), 0);
        drop(block);
    }
}
