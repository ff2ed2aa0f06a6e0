//! Erasing for good, a little at a time: what is deleted is nobody's at once, and leaves the files soon after.
//!
//! Three places keep what a DELETE took away: free pages (`secure_delete` overwrites them), the index of words, which forgets a
//! row's words only when it is merged, and the write-ahead log.

use std::time::Instant;

use sqlx::{AnyConnection, Executor, Row};

use super::trash::undo_ended;
use super::write::HOLD;
use super::{Store, StoreError, found};
use crate::domain::{ConversationId, MessageId, UserId};

/// Pages of the index that are merged in one transaction.
const MERGED_AT_ONCE: i64 = 64;

/// Messages whose ids are read at once.
const READ_AT_ONCE: i64 = 200;

/// A part of the work, as long as others can wait.
#[derive(Clone, Copy)]
enum Step {
    /// Erases rows.
    Rows,
    /// Merges so many pages of the index of words; a negative number begins.
    Words(i64),
}

impl Store {
    /// Deletes a conversation with its messages. A reply that is being written there has nowhere to go any more:
    /// its [`Store::checkpoint`] and [`Store::finish`] return `false`. [`Store::erase`] takes the messages out of the files.
    pub async fn delete_conversation(
        &self,
        user: UserId,
        conversation: ConversationId,
    ) -> Result<(), StoreError> {
        if conversation.is_temporary() {
            let delete = sqlx::query("DELETE FROM conversations WHERE id = $1 AND user_id = $2");
            return found(self.execute_in(true, delete.bind(conversation).bind(user)).await?);
        }
        let mut write = self.write().await?;
        let leave = sqlx::query("UPDATE conversations SET user_id = $3 WHERE id = $1 AND user_id = $2");
        found(leave.bind(conversation).bind(user).bind(UserId::NOBODY).execute(&mut *write).await?)?;
        for end in [
            "UPDATE messages SET status = 'interrupted' WHERE conversation_id = $1 AND status = 'generating'",
            "DELETE FROM plugin_kv WHERE conversation_id = $1",
        ] {
            sqlx::query(end).bind(conversation).execute(&mut *write).await?;
        }
        write.commit().await?;
        self.erasure.notify_one();
        Ok(())
    }

    /// Deletes an account with its sign-ins, keys and settings, and all its conversations as [`Store::delete_conversation`] does.
    pub async fn delete_user(&self, user: UserId) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        let end = sqlx::query(
            "UPDATE messages SET status = 'interrupted' WHERE status = 'generating' \
             AND conversation_id IN (SELECT id FROM conversations WHERE user_id = $1)",
        );
        end.bind(user).execute(&mut *write).await?;
        let leave = sqlx::query("UPDATE conversations SET user_id = $2 WHERE user_id = $1");
        leave.bind(user).bind(UserId::NOBODY).execute(&mut *write).await?;
        found(sqlx::query("DELETE FROM users WHERE id = $1").bind(user).execute(&mut *write).await?)?;
        write.commit().await?;
        self.erasure.notify_one();
        self.execute_in(true, sqlx::query("DELETE FROM users WHERE id = $1").bind(user)).await?;
        Ok(())
    }

    /// Lets [`Store::something_deleted`] return.
    pub fn erase_soon(&self) {
        self.erasure.notify_one();
    }

    /// Waits until there is something to erase.
    pub async fn something_deleted(&self) {
        self.erasure.notified().await;
    }

    /// Takes what was deleted out of the database and its files, in short transactions between which others write.
    pub async fn erase(&self) -> Result<(), StoreError> {
        let temporary = sqlx::query("DELETE FROM deleted_messages WHERE deleted_at <= $1");
        self.execute_in(true, temporary.bind(undo_ended())).await?;
        if !self.step(Step::Rows).await? {
            return Ok(());
        }
        while self.step(Step::Rows).await? {}
        let mut more = self.step(Step::Words(-MERGED_AT_ONCE)).await?;
        while more {
            more = self.step(Step::Words(MERGED_AT_ONCE)).await?;
        }
        self.truncate_log().await
    }

    /// Takes a step in a transaction of its own, then rests as long as it took; whether there is more to do.
    async fn step(&self, step: Step) -> Result<bool, StoreError> {
        let mut write = self.write().await?;
        let begun = Instant::now();
        let more = match step {
            Step::Rows => erase_some(&mut write).await?,
            Step::Words(pages) => merge_words(&mut write, pages).await?,
        };
        write.commit().await?;
        tokio::time::sleep(begun.elapsed()).await;
        Ok(more)
    }

    /// Empties the write-ahead log, unless somebody reads what stands in it: then a later erasure does.
    async fn truncate_log(&self) -> Result<(), StoreError> {
        let _turn = self.turn().await?;
        let mut connection = self.pool.acquire().await?;
        connection.execute("PRAGMA busy_timeout = 200").await?;
        let truncated = connection.fetch_one("PRAGMA wal_checkpoint(TRUNCATE)").await;
        connection.execute("PRAGMA busy_timeout = 5000").await?;
        if truncated?.try_get::<i64, _>(0)? != 0 {
            tracing::info!("the write-ahead log is being read; it is emptied after the next deletion");
        }
        Ok(())
    }
}

/// Erases for as long as others can wait; whether there may be more.
async fn erase_some(write: &mut AnyConnection) -> Result<bool, StoreError> {
    let trash = sqlx::query(
        "DELETE FROM deleted_messages WHERE id IN (SELECT id FROM deleted_messages WHERE deleted_at <= $1 LIMIT $2)",
    );
    let trash = trash.bind(undo_ended()).bind(READ_AT_ONCE).execute(&mut *write).await?;
    if trash.rows_affected() > 0 {
        return Ok(true);
    }
    let leaving = sqlx::query_scalar(
        "SELECT id FROM conversations WHERE user_id = $1 AND arriving_for IS NULL LIMIT 1",
    );
    let Some(conversation) = leaving.bind(UserId::NOBODY).fetch_optional(&mut *write).await? else {
        return Ok(false);
    };
    if !erase_messages(write, conversation).await? {
        let trash = sqlx::query(
            "DELETE FROM deleted_messages WHERE id IN ( \
                 SELECT id FROM deleted_messages WHERE conversation_id = $1 LIMIT $2)",
        );
        if trash.bind(conversation).bind(READ_AT_ONCE).execute(&mut *write).await?.rows_affected() == 0 {
            sqlx::query("DELETE FROM conversations WHERE id = $1").bind(conversation).execute(write).await?;
        }
    }
    Ok(true)
}

/// Erases messages of a conversation, the last ones first; whether there were any.
async fn erase_messages(write: &mut AnyConnection, conversation: ConversationId) -> Result<bool, StoreError> {
    let last =
        sqlx::query_scalar("SELECT id FROM messages WHERE conversation_id = $1 ORDER BY id DESC LIMIT $2");
    let last: Vec<MessageId> = last.bind(conversation).bind(READ_AT_ONCE).fetch_all(&mut *write).await?;
    let begun = Instant::now();
    for message in &last {
        // A reply's id is older than that of the message which it answers.
        for step in [
            "UPDATE messages SET parent_id = NULL WHERE conversation_id = $1 AND parent_id = $2",
            "DELETE FROM messages WHERE conversation_id = $1 AND id = $2",
        ] {
            sqlx::query(step).bind(conversation).bind(message).execute(&mut *write).await?;
        }
        if begun.elapsed() >= HOLD {
            break;
        }
    }
    Ok(!last.is_empty())
}

/// Merges a part of the index; a negative number begins. Whether there is more to merge: FTS5 says so by the rows it changes.
async fn merge_words(write: &mut AnyConnection, pages: i64) -> Result<bool, StoreError> {
    let changes = "SELECT total_changes()";
    let before: i64 = sqlx::query_scalar(changes).fetch_one(&mut *write).await?;
    let merge = sqlx::query("INSERT INTO words (words, rank) VALUES ('merge', $1)");
    merge.bind(pages).execute(&mut *write).await?;
    let after: i64 = sqlx::query_scalar(changes).fetch_one(write).await?;
    Ok(after - before >= 2)
}
