//! How a plugin did since the server started. It counts and times; it decides nothing.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::fault::Fault;
use super::hooks::Hook;

/// Calls of a hook, or of all hooks of a plugin, since the server started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallStats {
    /// How many.
    pub calls: u64,
    /// How many of them failed.
    pub failures: u64,
    /// How long they took together, with what they waited for the model.
    pub total: Duration,
    /// The longest one.
    pub worst: Duration,
}

impl CallStats {
    /// How long a call takes; nothing where there was none.
    pub fn mean(&self) -> Option<Duration> {
        (self.calls > 0).then(|| self.total.div_f64(self.calls as f64))
    }

    /// These calls and others.
    pub fn and(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            failures: self.failures + other.failures,
            total: self.total + other.total,
            worst: self.worst.max(other.worst),
        }
    }
}

/// The counts are a plugin's, through all of its edits; the last failure is one version's.
pub(super) struct Tally {
    counts: OnceLock<Arc<Counts>>,
    last_failure: Mutex<Option<String>>,
}

type Counts = [Count; Hook::ALL.len()];

#[derive(Default)]
struct Count {
    calls: AtomicU64,
    failures: AtomicU64,
    nanos: AtomicU64,
    worst_nanos: AtomicU64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { counts: OnceLock::new(), last_failure: Mutex::new(None) }
    }

    /// After an edit, before the first call: goes on counting where the version before was.
    pub(super) fn take_over(&self, previous: &Self) {
        self.counts.get_or_init(|| previous.counts().clone());
    }

    fn counts(&self) -> &Arc<Counts> {
        self.counts.get_or_init(|| Arc::new(array::from_fn(|_| Count::default())))
    }

    pub(super) fn record(&self, hook: Hook, took: Duration, failure: Option<&Fault>) {
        let count = &self.counts()[hook as usize];
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        count.calls.fetch_add(1, Ordering::Relaxed);
        count.nanos.fetch_add(nanos, Ordering::Relaxed);
        count.worst_nanos.fetch_max(nanos, Ordering::Relaxed);
        if let Some(fault) = failure {
            count.failures.fetch_add(1, Ordering::Relaxed);
            *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault.to_string());
        }
    }

    pub(super) fn of(&self, hook: Hook) -> CallStats {
        let count = &self.counts()[hook as usize];
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        CallStats {
            calls: read(&count.calls),
            failures: read(&count.failures),
            total: Duration::from_nanos(read(&count.nanos)),
            worst: Duration::from_nanos(read(&count.worst_nanos)),
        }
    }

    /// The last failure of this version, with file, line and column.
    pub(super) fn last_failure(&self) -> Option<String> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
