use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::domain::MessageId;
use crate::store::{Store, StoreError};

/// At most this much of a reply is lost to a crash, and a little for the write itself.
const EVERY: Duration = Duration::from_millis(700);

/// Stores a running reply now and then. A database that waits for a lock holds up the next checkpoint and nothing
/// else.
pub(super) struct Checkpoints {
    store: Store,
    reply: MessageId,
    clock: Interval,
    unsaved: bool,
    saving: Option<JoinHandle<Result<bool, StoreError>>>,
}

/// The reply was deleted while it was written.
#[derive(Debug)]
pub(super) struct Deleted;

impl Checkpoints {
    pub(super) fn new(store: Store, reply: MessageId) -> Self {
        let mut clock = interval_at(Instant::now() + EVERY, EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { store, reply, clock, unsaved: false, saving: None }
    }

    /// Says that there is something new to store.
    pub(super) fn changed(&mut self) {
        self.unsaved = true;
    }

    /// Stores `text` at each due moment; resolves only when there is nothing left to store it in. May be dropped
    /// at any time and called again with a longer text: a write that was begun goes on.
    pub(super) async fn keep(&mut self, text: &str) -> Deleted {
        loop {
            if let Some(saving) = &mut self.saving {
                let saved = saving.await;
                self.saving = None;
                match saved {
                    Ok(Ok(true)) => {}
                    Ok(Ok(false)) => return Deleted,
                    Ok(Err(error)) => self.failed(&error),
                    Err(error) => self.failed(&error),
                }
            }
            if !self.unsaved {
                std::future::pending::<()>().await;
            }
            self.clock.tick().await;
            self.unsaved = false;
            let (store, reply, text) = (self.store.clone(), self.reply, text.to_owned());
            self.saving = Some(tokio::spawn(async move { store.checkpoint(reply, &text).await }));
        }
    }

    fn failed(&mut self, error: &dyn std::error::Error) {
        tracing::warn!(reply = %self.reply, %error, "a checkpoint failed");
        self.unsaved = true;
    }
}
