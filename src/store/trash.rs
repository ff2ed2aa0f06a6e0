//! Deleting a message with all that follows it, and undoing that for a while.

use std::time::Duration;

use sqlx::{AnyConnection, Row};

use super::turns::quiet_head;
use super::versions::last_end;
use super::{Store, StoreError, found};
use crate::domain::{ConversationId, MessageId, UnixMillis, UserId, now};

/// How long a deletion can be undone; after that [`Store::erase`] leaves nothing of it.
pub const UNDO_WITHIN: Duration = Duration::from_secs(600);

/// Most messages that are deleted at once, and so most that an undo writes at once.
const MOST_AT_ONCE: i64 = 2_000;

/// The columns of a message.
macro_rules! columns {
    () => {
        "id, conversation_id, parent_id, role, content, status, finish_reason, error, marks, prompt_tokens, \
         completion_tokens, seed, token_ids, created_at, updated_at"
    };
}

impl Store {
    /// Deletes a message and all that follow it, whatever their branch. Where it was shown, the version beside it is shown then, or
    /// what it followed. [`Store::restore`] undoes it within [`UNDO_WITHIN`].
    ///
    /// # Errors
    /// [`StoreError::ReplyRunning`] while a reply is written in this conversation; [`StoreError::TooManyFollow`].
    pub async fn delete_message(
        &self,
        user: UserId,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), StoreError> {
        let mut write = self.write_in(conversation).await?;
        let head = quiet_head(&mut write, user, conversation).await?;
        let below = sqlx::query_scalar(
            "WITH RECURSIVE below (id) AS ( \
                 SELECT id FROM messages WHERE conversation_id = $1 AND id = $2 \
                 UNION ALL \
                 SELECT m.id FROM below b JOIN messages m ON m.conversation_id = $1 AND m.parent_id = b.id \
                 LIMIT $3 \
             ) SELECT COUNT(*) FROM below",
        );
        let below = below.bind(conversation).bind(message).bind(MOST_AT_ONCE + 2);
        let below: i64 = below.fetch_one(&mut *write).await?;
        if below > MOST_AT_ONCE + 1 {
            return Err(StoreError::TooManyFollow(MOST_AT_ONCE));
        }
        let moved = sqlx::query(concat!(
            "INSERT INTO deleted_messages (",
            columns!(),
            ", deletion, deleted_at, was_head, trace) \
             WITH RECURSIVE below (below_id) AS ( \
                 SELECT id FROM messages WHERE conversation_id = $1 AND id = $2 \
                 UNION ALL \
                 SELECT m.id FROM below b JOIN messages m ON m.conversation_id = $1 AND m.parent_id = b.below_id \
             ) SELECT ",
            columns!(),
            ", $2, $3, CASE WHEN id = $4 THEN 1 ELSE 0 END, trace \
             FROM below JOIN messages ON id = below_id LEFT JOIN reply_traces ON message_id = id"
        ));
        found(moved.bind(conversation).bind(message).bind(now()).bind(head).execute(&mut *write).await?)?;
        let shown = beside(&mut write, conversation, message).await?;
        let update = sqlx::query(
            "UPDATE conversations SET head_id = $3 WHERE id = $1 AND user_id = $2 AND head_id IN ( \
                 SELECT id FROM deleted_messages WHERE conversation_id = $1)",
        );
        update.bind(conversation).bind(user).bind(shown).execute(&mut *write).await?;
        let delete = sqlx::query(
            "DELETE FROM messages WHERE conversation_id = $1 AND id IN ( \
                 SELECT id FROM deleted_messages WHERE conversation_id = $1 AND deletion = $2)",
        );
        delete.bind(conversation).bind(message).execute(&mut *write).await?;
        write.commit().await
    }

    /// Undoes the deletion of a message. Nothing happens where it is there already.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] also when it is too late, or when what it followed was deleted after it;
    /// [`StoreError::ReplyRunning`] while a reply is written in this conversation.
    pub async fn restore(
        &self,
        user: UserId,
        conversation: ConversationId,
        deletion: MessageId,
    ) -> Result<(), StoreError> {
        let mut write = self.write_in(conversation).await?;
        quiet_head(&mut write, user, conversation).await?;
        let there = sqlx::query("SELECT 1 FROM messages WHERE conversation_id = $1 AND id = $2");
        if there.bind(conversation).bind(deletion).fetch_optional(&mut *write).await?.is_some() {
            return Ok(());
        }
        let follows = sqlx::query(
            "SELECT 1 FROM deleted_messages d WHERE d.conversation_id = $1 AND d.id = $2 AND d.deletion = $2 \
             AND (d.parent_id IS NULL OR EXISTS ( \
                 SELECT 1 FROM messages m WHERE m.conversation_id = $1 AND m.id = d.parent_id))",
        );
        follows.bind(conversation).bind(deletion).fetch_one(&mut *write).await?;
        let steps = [
            concat!(
                "INSERT INTO messages (",
                columns!(),
                ") SELECT ",
                columns!(),
                " FROM deleted_messages WHERE conversation_id = $1 AND deletion = $2"
            ),
            "INSERT INTO reply_traces (message_id, trace) SELECT id, trace FROM deleted_messages \
             WHERE conversation_id = $1 AND deletion = $2 AND trace IS NOT NULL",
            "UPDATE conversations SET head_id = (SELECT id FROM deleted_messages \
                 WHERE conversation_id = $1 AND deletion = $2 AND was_head = 1) \
             WHERE id = $1 AND EXISTS (SELECT 1 FROM deleted_messages \
                 WHERE conversation_id = $1 AND deletion = $2 AND was_head = 1)",
            "DELETE FROM deleted_messages WHERE conversation_id = $1 AND deletion = $2",
        ];
        for step in steps {
            sqlx::query(step).bind(conversation).bind(deletion).execute(&mut *write).await?;
        }
        write.commit().await
    }
}

/// What was deleted until then can no longer be restored.
pub(super) fn undo_ended() -> UnixMillis {
    now() - i64::try_from(UNDO_WITHIN.as_millis()).unwrap_or(i64::MAX)
}

/// What is shown when a message goes: the version before it, or else the one after it, to its end; or what it follows.
async fn beside(
    write: &mut AnyConnection,
    conversation: ConversationId,
    message: MessageId,
) -> Result<Option<MessageId>, StoreError> {
    let row = sqlx::query(
        "SELECT m.parent_id, \
             (SELECT MAX(o.id) FROM messages o WHERE o.conversation_id = $1 \
                 AND o.parent_id IS NOT DISTINCT FROM m.parent_id AND o.id < m.id) AS before, \
             (SELECT MIN(o.id) FROM messages o WHERE o.conversation_id = $1 \
                 AND o.parent_id IS NOT DISTINCT FROM m.parent_id AND o.id > m.id) AS after \
         FROM messages m WHERE m.conversation_id = $1 AND m.id = $2",
    );
    let row = row.bind(conversation).bind(message).fetch_one(&mut *write).await?;
    let version: Option<MessageId> = match row.try_get("before")? {
        Some(before) => Some(before),
        None => row.try_get("after")?,
    };
    match version {
        Some(version) => last_end(write, conversation, version).await.map(Some),
        None => Ok(row.try_get("parent_id")?),
    }
}
