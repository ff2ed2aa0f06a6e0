//! The budget of the one script call that runs on a thread: time, memory, log lines.
//!
//! The engine is shared by all calls and its callbacks get no context, so the budget belongs to the thread.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::caller;
use super::memory::{self, Meter};
use crate::config::PluginsConfig;

/// Most lines that one call may write to the log; more are dropped.
const MAX_LOG_LINES: u32 = 50;
/// Longest line of a plugin in the log, in characters; the rest is cut.
const MAX_LOG_CHARS: usize = 1_000;

thread_local! {
    static CALL: Call = const {
        Call {
            plugin: RefCell::new(String::new()),
            deadline: Cell::new(None),
            late: Cell::new(""),
            look_at: Cell::new(Duration::ZERO),
            memory: Cell::new(0),
            log_lines: Cell::new(0),
            operations: Cell::new(0),
            last: Cell::new((0, 0)),
        }
    };
}

struct Call {
    plugin: RefCell<String>,
    deadline: Cell<Option<Instant>>,
    /// Why it must end then.
    late: Cell<&'static str>,
    /// From these [`ticks`] on the deadline may have passed.
    look_at: Cell<Duration>,
    memory: Cell<usize>,
    log_lines: Cell<u32>,
    operations: Cell<u64>,
    /// What the call before took.
    last: Cell<(u64, u64)>,
}

/// What a call cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent {
    /// Wall-clock time.
    pub(super) time: Duration,
    /// The most bytes it held at once.
    pub(super) peak_bytes: usize,
}

/// Host code panicked inside a call.
#[derive(Debug)]
pub(super) struct Panicked;

/// Longest time that something may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    pub(super) time: Duration,
    /// The sentence for what takes longer.
    pub(super) late: &'static str,
}

/// Runs one call of `plugin` under its budget. A panic ends the call and nothing else.
pub(super) fn within<T>(
    config: &PluginsConfig,
    plugin: &str,
    call: impl FnOnce() -> T,
) -> (Result<T, Panicked>, Spent) {
    let time = Duration::from_millis(config.deadline_ms);
    within_deadline(config, Deadline { time, late: "it takes longer than deadline_ms allows" }, plugin, call)
}

/// As [`within`], with a deadline that is not that of a hook.
pub(super) fn within_deadline<T>(
    config: &PluginsConfig,
    Deadline { time, late }: Deadline,
    plugin: &str,
    call: impl FnOnce() -> T,
) -> (Result<T, Panicked>, Spent) {
    let start = Instant::now();
    CALL.with(|it| {
        plugin.clone_into(&mut it.plugin.borrow_mut());
        it.deadline.set(Some(start + time));
        it.late.set(late);
        it.look_at.set(ticks() + time);
        it.memory.set(config.max_memory_bytes);
        it.log_lines.set(0);
        it.operations.set(0);
    });
    let meter = Meter::start();
    // Nothing that the call touched is used after a panic: its scope and arguments died with it, and the
    // shared engine holds no state of calls.
    let result = catch_unwind(AssertUnwindSafe(call)).map_err(|_| Panicked);
    drop(meter);
    let time = start.elapsed();
    CALL.with(|it| {
        it.deadline.set(None);
        it.last.set((u64::try_from(time.as_micros()).unwrap_or(u64::MAX), it.operations.get()));
    });
    (result, Spent { time, peak_bytes: memory::peak() })
}

/// What the last call on this thread took: microseconds, and operations of its script.
pub(super) fn last() -> (u64, u64) {
    CALL.with(|it| it.last.get())
}

/// The running call has come to so many operations; why it must end now, if it must.
pub(super) fn progress(operations: u64) -> Option<String> {
    CALL.with(|it| it.operations.set(operations));
    exceeded()
}

/// Why the running call must end now, if it must. Asked before every operation of a script.
pub(super) fn exceeded() -> Option<String> {
    CALL.with(|it| late(it).or_else(|| large(it)))
}

/// What is left of the running call's time.
pub(super) fn left() -> Duration {
    let deadline = CALL.with(|it| it.deadline.get());
    deadline.map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(Instant::now()))
}

/// Moves the running call's deadline: time that it spent waiting for the model is not its own.
pub(super) fn extend(by: Duration) {
    CALL.with(|it| {
        it.deadline.set(it.deadline.get().map(|deadline| deadline + by));
        it.look_at.set(it.look_at.get() + by);
    });
}

/// Whether the running call is over its deadline. For host functions that loop by themselves.
pub(super) fn is_late() -> bool {
    CALL.with(|it| late(it).is_some())
}

/// A clock that costs less than a small operation of a script and is some milliseconds behind.
#[cfg(target_os = "linux")]
fn ticks() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    Duration::try_from(now).unwrap_or(Duration::MAX)
}

/// Where there is no such clock, the true one is looked at each time.
#[cfg(not(target_os = "linux"))]
fn ticks() -> Duration {
    Duration::from_secs(u64::MAX / 2)
}

fn late(call: &Call) -> Option<String> {
    match call.deadline.get() {
        Some(_) if ticks() < call.look_at.get() => None,
        Some(deadline) if Instant::now() <= deadline => None,
        Some(_) => Some(call.late.get().into()),
        None => Some("it runs outside of a call".into()),
    }
}

fn large(call: &Call) -> Option<String> {
    let most = call.memory.get();
    (memory::used() > most)
        .then(|| format!("it uses more memory than max_memory_bytes allows ({most} bytes)"))
}

/// Writes a line of the running plugin to the log, without its secrets.
pub(super) fn log(text: &str) {
    CALL.with(|it| {
        let lines = it.log_lines.get();
        it.log_lines.set(lines.saturating_add(1));
        if lines < MAX_LOG_LINES {
            let text = &*caller::without_secrets(text);
            let cut = text.char_indices().nth(MAX_LOG_CHARS).map_or(text.len(), |(at, _)| at);
            tracing::info!(plugin = %it.plugin.borrow(), "{}", &text[..cut]);
        }
    });
}
