//! Conversations that arrive whole: written in many short transactions, and there for nobody before the last one.

use std::time::Instant;

use sqlx::AnyConnection;

use super::write::HOLD;
use super::{Store, StoreError, found};
use crate::domain::{ConversationId, MessageId, UserId};

/// Messages that are written one after the other.
pub(super) trait Source: Send {
    /// Writes the next one; false behind the last.
    fn write_one(
        &mut self,
        write: &mut AnyConnection,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

impl Store {
    /// Writes the messages of a conversation that arrives, as many at a time as others can wait for, then gives it to its person.
    /// Where something fails nothing of it stays.
    pub(super) async fn arrive(
        &self,
        user: UserId,
        conversation: ConversationId,
        head: Option<MessageId>,
        source: impl Source,
    ) -> Result<(), StoreError> {
        let arrived = self.write_messages(user, conversation, head, source).await;
        if arrived.is_err() {
            let leave =
                sqlx::query("UPDATE conversations SET arriving_for = NULL WHERE id = $1 AND user_id = $2");
            let leave = leave.bind(conversation).bind(UserId::NOBODY);
            if let Err(error) = self.execute_in(conversation.is_temporary(), leave).await {
                tracing::warn!(%error, "what arrived in part goes at the next start");
            }
            self.erasure.notify_one();
        }
        arrived
    }

    async fn write_messages(
        &self,
        user: UserId,
        conversation: ConversationId,
        head: Option<MessageId>,
        mut source: impl Source,
    ) -> Result<(), StoreError> {
        loop {
            let mut write = self.write_in(conversation).await?;
            let begun = Instant::now();
            let mut more = true;
            while more && begun.elapsed() < HOLD {
                more = source.write_one(&mut write).await?;
            }
            if !more {
                let give = sqlx::query(
                    "UPDATE conversations SET user_id = arriving_for, arriving_for = NULL, head_id = $4 \
                     WHERE id = $1 AND user_id = $2 AND arriving_for = $3",
                );
                let give = give.bind(conversation).bind(UserId::NOBODY).bind(user).bind(head);
                found(give.execute(&mut *write).await?)?;
                return write.commit().await;
            }
            write.commit().await?;
        }
    }

    /// At start: what had not arrived when the server last ended is on its way out.
    pub(super) async fn forget_arrivals(&self) -> Result<(), StoreError> {
        let leave = sqlx::query("UPDATE conversations SET arriving_for = NULL WHERE user_id = $1");
        self.execute(leave.bind(UserId::NOBODY)).await?;
        Ok(())
    }
}
