use sqlx::any::AnyRow;
use sqlx::{AnyConnection, FromRow, Row};

use super::text::{from_json, to_json};
use super::{Store, StoreError};
use crate::domain::{ConversationId, Message, MessageId, Usage, UserId};

impl FromRow<'_, AnyRow> for Message {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let usage = match (number(row, "prompt_tokens")?, number(row, "completion_tokens")?) {
            (Some(prompt_tokens), Some(completion_tokens)) => {
                Some(Usage { prompt_tokens, completion_tokens })
            }
            _ => None,
        };
        Ok(Self {
            id: row.try_get("id")?,
            conversation_id: row.try_get("conversation_id")?,
            parent_id: row.try_get("parent_id")?,
            role: row.try_get("role")?,
            content: row.try_get("content")?,
            status: row.try_get("status")?,
            finish_reason: row.try_get("finish_reason")?,
            error: row.try_get("error")?,
            marks: from_json(row, "marks")?.unwrap_or_default(),
            usage,
            seed: number(row, "seed")?,
            token_ids: from_json(row, "token_ids")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

fn number(row: &AnyRow, column: &str) -> Result<Option<u32>, sqlx::Error> {
    row.try_get::<Option<i64>, _>(column)?
        .map(u32::try_from)
        .transpose()
        .map_err(|e| sqlx::Error::ColumnDecode { index: column.into(), source: e.into() })
}

/// The branch that ends at a message, back from it, for as long as a condition holds: conversation, person, message.
macro_rules! branch_back_while {
    ($condition:literal) => {
        concat!(
            "WITH RECURSIVE branch (id, parent_id, distance) AS ( \
                 SELECT m.id, m.parent_id, 0 FROM conversations c \
                 JOIN messages m ON m.conversation_id = c.id AND m.id = $3 \
                 WHERE c.id = $1 AND c.user_id = $2 \
                 UNION ALL \
                 SELECT m.id, m.parent_id, b.distance + 1 FROM branch b \
                 JOIN messages m ON m.conversation_id = $1 AND m.id = b.parent_id WHERE ",
            $condition,
            ") "
        )
    };
}
pub(super) use branch_back_while;

/// How much of a branch is read, from its end on.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Messages that are passed over before.
    pub skip: u32,
    /// Most messages.
    pub messages: u32,
    /// Most bytes of what they say, where there is more than one.
    pub bytes: i64,
}

impl Extent {
    /// All of it.
    pub const WHOLE: Self = Self { skip: 0, messages: u32::MAX, bytes: i64::MAX };
}

impl Store {
    /// The branch of a conversation that is shown, from its first message to its head.
    pub async fn branch(
        &self,
        user: UserId,
        conversation: ConversationId,
    ) -> Result<Vec<Message>, StoreError> {
        match self.find_conversation(user, conversation).await?.head {
            Some(head) => self.branch_to(user, conversation, head).await,
            None => Ok(Vec::new()),
        }
    }

    /// The branch that ends at a message, from its first message on.
    pub async fn branch_to(
        &self,
        user: UserId,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<Vec<Message>, StoreError> {
        self.stretch(user, conversation, message, Extent::WHOLE).await
    }

    /// The ids of the branch that ends at a message, the oldest first.
    pub async fn branch_ids(
        &self,
        user: UserId,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<Vec<MessageId>, StoreError> {
        let ids = sqlx::query_scalar(concat!(
            branch_back_while!("1 = 1"),
            "SELECT id FROM branch ORDER BY distance DESC"
        ));
        let ids = ids.bind(conversation).bind(user).bind(message);
        let ids: Vec<MessageId> = ids.fetch_all(self.of(conversation)).await?;
        if ids.is_empty() { Err(StoreError::NotFound) } else { Ok(ids) }
    }

    /// How many messages lie between one and a later one that follows from it; none where it does not.
    pub async fn distance(
        &self,
        user: UserId,
        conversation: ConversationId,
        from: MessageId,
        to: MessageId,
    ) -> Result<Option<u32>, StoreError> {
        let distance: Option<i64> = sqlx::query_scalar(concat!(
            branch_back_while!("b.id <> $4"),
            "SELECT distance FROM branch WHERE id = $4"
        ))
        .bind(conversation)
        .bind(user)
        .bind(to)
        .bind(from)
        .fetch_optional(self.of(conversation))
        .await?;
        Ok(distance.map(|distance| u32::try_from(distance).unwrap_or(u32::MAX)))
    }

    /// The end of the branch that ends at a message, the oldest first. At least its last message, however large.
    pub async fn stretch(
        &self,
        user: UserId,
        conversation: ConversationId,
        message: MessageId,
        extent: Extent,
    ) -> Result<Vec<Message>, StoreError> {
        let branch: Vec<Message> = sqlx::query_as(concat!(
            branch_back_while!("b.distance + 1 < $4"),
            ", sized (id, distance, bytes) AS ( \
                 SELECT b.id, b.distance, SUM(octet_length(m.content)) OVER (ORDER BY b.distance) \
                 FROM branch b JOIN messages m ON m.id = b.id WHERE b.distance >= $5) \
             SELECT m.* FROM sized s JOIN messages m ON m.id = s.id WHERE s.bytes <= $6 OR s.distance = $5 \
             ORDER BY s.distance DESC"
        ))
        .bind(conversation)
        .bind(user)
        .bind(message)
        .bind(i64::from(extent.skip) + i64::from(extent.messages))
        .bind(i64::from(extent.skip))
        .bind(extent.bytes)
        .fetch_all(self.of(conversation))
        .await?;
        if branch.is_empty() { Err(StoreError::NotFound) } else { Ok(branch) }
    }

    /// One message.
    pub async fn find_message(
        &self,
        user: UserId,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<Message, StoreError> {
        let query = sqlx::query_as(
            "SELECT m.* FROM messages m JOIN conversations c ON c.id = m.conversation_id \
             WHERE m.id = $3 AND c.id = $1 AND c.user_id = $2",
        );
        Ok(query.bind(conversation).bind(user).bind(message).fetch_one(self.of(conversation)).await?)
    }
}

/// Writes a message as it is.
pub(super) async fn insert(write: &mut AnyConnection, message: &Message) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO messages (id, conversation_id, parent_id, role, content, status, finish_reason, error, \
             marks, prompt_tokens, completion_tokens, seed, token_ids, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)",
    )
    .bind(message.id)
    .bind(message.conversation_id)
    .bind(message.parent_id)
    .bind(message.role)
    .bind(message.content.as_str())
    .bind(message.status)
    .bind(message.finish_reason)
    .bind(message.error.as_deref())
    .bind(to_json(&message.marks)?)
    .bind(message.usage.map(|usage| i64::from(usage.prompt_tokens)))
    .bind(message.usage.map(|usage| i64::from(usage.completion_tokens)))
    .bind(message.seed.map(i64::from))
    .bind(message.token_ids.as_deref().map(to_json).transpose()?)
    .bind(message.created_at)
    .execute(&mut *write)
    .await
    .map_err(|e| StoreError::on_conflict(e, StoreError::ReplyRunning))?;
    Ok(())
}
