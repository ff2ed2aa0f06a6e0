//! What is nobody's request.

use std::time::Duration;

use super::Chat;
use crate::store::UNDO_WITHIN;

impl Chat {
    /// Erases what is deleted, as long as the server runs. To be called once, at start: then also goes what an end in the middle
    /// left behind.
    pub fn keep_house(&self) {
        let store = self.store.clone();
        tokio::spawn(async move {
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
