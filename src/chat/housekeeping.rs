//! What is nobody's request.

use std::time::Duration;

use super::Chat;
use crate::store::{Store, StoreError, UNDO_WITHIN};

/// A database up to so many bytes is checked before the server starts, a larger one while it serves.
const CHECKED_FIRST: u64 = 256 << 20;

/// At start: refuses a database of which a part cannot be read.
pub async fn check_database(store: &Store) -> Result<(), StoreError> {
    if store.size().await? <= CHECKED_FIRST { store.check().await } else { Ok(()) }
}

async fn checked_later(store: &Store) -> Result<(), StoreError> {
    if store.size().await? > CHECKED_FIRST { store.check().await } else { Ok(()) }
}

impl Chat {
    /// Erases what is deleted, as long as the server runs. To be called once, at start: then also goes what an end in the middle
    /// left behind.
    pub fn keep_house(&self) {
        let store = self.store.clone();
        tokio::spawn(async move {
            if let Err(error) = checked_later(&store).await {
                tracing::error!("{error}");
            }
            loop {
                if let Err(error) = store.erase().await {
                    tracing::warn!(%error, "what was deleted is erased from the files with the next deletion or start");
                }
                store.something_deleted().await;
            }
        });
        self.erase_after(UNDO_WITHIN);
    }

    /// Erases what is deleted when a while has passed.
    pub(super) fn erase_after(&self, a_while: Duration) {
        let store = self.store.clone();
        tokio::spawn(async move {
            tokio::time::sleep(a_while).await;
            store.erase_soon();
        });
    }
}
