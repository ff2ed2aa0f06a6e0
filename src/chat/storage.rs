//! How much of a person's is kept, against the operator's limit; and how far an import has come.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Chat, ChatError};
use crate::domain::{User, UserId};

/// How long a sum is taken for true: it reads all of a person's rows.
const TRUE_FOR: Duration = Duration::from_secs(120);
/// People whose sums are remembered.
const MOST_PEOPLE: usize = 10_000;
/// From this share of the limit on, in percent, a page says how full it is.
const TOLD_FROM: u64 = 80;
/// Imports that run at the same time; further ones wait.
const AT_ONCE: usize = 2;

/// What a person keeps, and may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Storage {
    /// Bytes of what messages say, of their tokens and of their traces.
    pub used: u64,
    /// The limit; none where there is none.
    pub limit: Option<u64>,
}

impl Storage {
    /// Of the limit, in percent, where it is worth a word.
    pub fn nearly_full(self) -> Option<u64> {
        let percent = self.used.saturating_mul(100) / self.limit?.max(1);
        (percent >= TOLD_FROM).then_some(percent.min(100))
    }

    pub(super) fn check(self) -> Result<(), ChatError> {
        match self.limit {
            Some(limit) if self.used >= limit => Err(ChatError::StorageFull { mib: limit >> 20 }),
            _ => Ok(()),
        }
    }
}

/// The last sum of each person.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums(Arc<Mutex<HashMap<UserId, (Instant, u64)>>>);

impl Sums {
    // A std mutex: held for a few lines.
    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, (Instant, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was written since.
    pub(super) fn add(&self, user: UserId, text: &str) {
        if let Some((_, sum)) = self.lock().get_mut(&user) {
            *sum += text.len() as u64;
        }
    }

    /// The next look asks the database.
    pub(super) fn forget(&self, user: UserId) {
        self.lock().remove(&user);
    }
}

/// Imports that run or wait: how many messages each has written.
#[derive(Debug, Clone)]
pub(super) struct Imports {
    places: Arc<Semaphore>,
    written: Arc<Mutex<HashMap<UserId, Arc<AtomicU64>>>>,
}

/// An import that runs, until it is dropped.
pub(super) struct Running {
    pub(super) written: Arc<AtomicU64>,
    imports: Imports,
    user: UserId,
    _place: OwnedSemaphorePermit,
}

impl Default for Imports {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), written: Arc::default() }
    }
}

impl Imports {
    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Arc<AtomicU64>>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn begin(&self, user: UserId) -> Result<Running, ChatError> {
        let place = self.places.clone().acquire_owned().await.map_err(|_| ChatError::Panicked)?;
        let written = Arc::<AtomicU64>::default();
        self.lock().insert(user, written.clone());
        Ok(Running { written, imports: self.clone(), user, _place: place })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.imports.lock().remove(&self.user);
    }
}

impl Chat {
    /// What a person keeps.
    pub async fn storage(&self, user: &User) -> Result<Storage, ChatError> {
        let limit = u64::from(self.config.max_storage_mib) << 20;
        let limit = Some(limit).filter(|limit| *limit > 0);
        let known =
            self.sums.lock().get(&user.id).filter(|(at, _)| at.elapsed() < TRUE_FOR).map(|(_, sum)| *sum);
        let used = match known {
            Some(used) => used,
            None => {
                let used = self.store.stored_bytes(user.id).await?;
                let mut sums = self.sums.lock();
                if sums.len() >= MOST_PEOPLE {
                    sums.retain(|_, (at, _)| at.elapsed() < TRUE_FOR);
                }
                sums.insert(user.id, (Instant::now(), used));
                used
            }
        };
        Ok(Storage { used, limit })
    }

    /// Messages that a person's import has written so far; none where none runs.
    pub fn import_progress(&self, user: &User) -> Option<u64> {
        self.imports.lock().get(&user.id).map(|written| written.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_told_before_it_bites() {
        let storage = |used, limit| Storage { used, limit };

        assert_eq!(storage(79, Some(100)).nearly_full(), None);
        assert_eq!(storage(80, Some(100)).nearly_full(), Some(80));
        assert!(storage(99, Some(100)).check().is_ok());
        assert!(storage(100, Some(100)).check().is_err());
        assert_eq!(storage(u64::MAX, Some(100)).nearly_full(), Some(100));
        assert!(storage(u64::MAX, None).check().is_ok() && storage(u64::MAX, None).nearly_full().is_none());
    }
}
