//! What scripts keep while they rehearse: it is there from one hook to the next, and gone afterwards.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::services::KeyValue;
use crate::domain::{KvQuota, KvShelf};

/// Few entries: each call of a hook may use the functions over it a hundred times.
#[derive(Default)]
pub(super) struct Scratch(Mutex<Vec<Entry>>);

struct Entry {
    shelf: KvShelf,
    key: String,
    value: String,
}

impl Scratch {
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(entries: &mut Vec<Entry>, shelf: &KvShelf, key: &str) -> bool {
        let before = entries.len();
        entries.retain(|entry| entry.shelf != *shelf || entry.key != key);
        entries.len() < before
    }
}

impl KeyValue for Scratch {
    fn get(&self, shelf: &KvShelf, key: &str, _: Duration) -> Result<Option<String>, String> {
        let entries = self.entries();
        let found = entries.iter().find(|entry| entry.shelf == *shelf && entry.key == key);
        Ok(found.map(|entry| entry.value.clone()))
    }

    fn set(
        &self,
        shelf: &KvShelf,
        key: &str,
        value: &str,
        _: Option<Duration>,
        quota: KvQuota,
        _: Duration,
    ) -> Result<bool, String> {
        let mut entries = self.entries();
        let others = entries.iter().filter(|entry| entry.shelf == *shelf && entry.key != key);
        let (keys, bytes) = others.fold((1, key.len() + value.len()), |(keys, bytes), entry| {
            (keys + 1, bytes + entry.key.len() + entry.value.len())
        });
        if keys > quota.keys || bytes as u64 > quota.bytes {
            return Ok(false);
        }
        Self::remove(&mut entries, shelf, key);
        entries.push(Entry { shelf: shelf.clone(), key: key.to_owned(), value: value.to_owned() });
        Ok(true)
    }

    fn delete(&self, shelf: &KvShelf, key: &str, _: Duration) -> Result<bool, String> {
        Ok(Self::remove(&mut self.entries(), shelf, key))
    }

    fn keys(&self, shelf: &KvShelf, _: Duration) -> Result<Vec<String>, String> {
        let entries = self.entries();
        let own = entries.iter().filter(|entry| entry.shelf == *shelf);
        let mut keys: Vec<_> = own.map(|entry| entry.key.clone()).collect();
        keys.sort();
        Ok(keys)
    }
}
