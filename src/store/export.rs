//! Everything of a person's, page by page: the one way to read it whole without holding it whole.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row};

use super::{Store, StoreError};
use crate::domain::{Conversation, ConversationId, Message, MessageId, UnixMillis, UserId, now};

/// What a plugin keeps for a person, or in a conversation of theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvEntry {
    /// Which one it is.
    pub key: KvKey,
    /// Where it belongs to one conversation.
    pub conversation: Option<ConversationId>,
    /// Its value: the text of a JSON value.
    pub value: String,
    /// When it goes by itself.
    pub expires_at: Option<UnixMillis>,
}

/// What tells an entry from others, and says where the next page begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KvKey {
    /// The plugin's id.
    pub plugin: String,
    /// Whose it is, as the table says it.
    pub owner: String,
    /// Under what it is kept.
    pub key: String,
}

impl FromRow<'_, AnyRow> for KvEntry {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let key = KvKey {
            plugin: row.try_get("plugin")?,
            owner: row.try_get("owner")?,
            key: row.try_get("entry_key")?,
        };
        Ok(Self {
            key,
            conversation: row.try_get("conversation_id")?,
            value: row.try_get("value")?,
            expires_at: row.try_get("expires_at")?,
        })
    }
}

impl Store {
    /// Conversations of a person behind `after`, the oldest first.
    pub async fn conversations_after(
        &self,
        user: UserId,
        after: ConversationId,
        at_most: u32,
    ) -> Result<Vec<Conversation>, StoreError> {
        let query =
            sqlx::query_as("SELECT * FROM conversations WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3");
        Ok(query.bind(user).bind(after).bind(i64::from(at_most)).fetch_all(&self.pool).await?)
    }

    /// Bytes that a person's conversations take: what messages say, their tokens and their traces.
    pub async fn stored_bytes(&self, user: UserId) -> Result<u64, StoreError> {
        let sum = sqlx::query_scalar(
            "SELECT CAST(COALESCE(SUM(octet_length(m.content) + COALESCE(octet_length(m.token_ids), 0) \
                 + COALESCE(octet_length(t.trace), 0)), 0) AS BIGINT) \
             FROM conversations c JOIN messages m ON m.conversation_id = c.id \
             LEFT JOIN reply_traces t ON t.message_id = m.id WHERE c.user_id = $1",
        );
        let sum: i64 = sum.bind(user).fetch_one(&self.pool).await?;
        Ok(sum.cast_unsigned())
    }

    /// Messages of a conversation behind `after`, the oldest first and of every branch.
    pub async fn messages_after(
        &self,
        user: UserId,
        conversation: ConversationId,
        after: MessageId,
        at_most: u32,
    ) -> Result<Vec<Message>, StoreError> {
        let query = sqlx::query_as(
            "SELECT m.* FROM messages m JOIN conversations c ON c.id = m.conversation_id \
             WHERE c.id = $1 AND c.user_id = $2 AND m.id > $3 ORDER BY m.id LIMIT $4",
        );
        let query = query.bind(conversation).bind(user).bind(after).bind(i64::from(at_most));
        Ok(query.fetch_all(self.of(conversation)).await?)
    }

    /// What plugins keep for a person and in their conversations, behind `after`.
    pub async fn kv_after(
        &self,
        user: UserId,
        after: &KvKey,
        at_most: u32,
    ) -> Result<Vec<KvEntry>, StoreError> {
        let query = sqlx::query_as(
            "SELECT * FROM plugin_kv WHERE user_id = $1 AND (expires_at IS NULL OR expires_at > $2) \
             AND (plugin, owner, entry_key) > ($3, $4, $5) ORDER BY plugin, owner, entry_key LIMIT $6",
        );
        let query = query.bind(user).bind(now()).bind(&after.plugin).bind(&after.owner).bind(&after.key);
        Ok(query.bind(i64::from(at_most)).fetch_all(&self.pool).await?)
    }
}
