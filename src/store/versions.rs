//! The tree that a conversation's messages form: which versions a message has, which branch is shown, copies of a branch.

use std::collections::HashMap;

use sqlx::{Any, Row, Transaction};

use super::turns::{blank_reply, quiet_head, set_head};
use super::{Store, StoreError, found, messages, parameters};
use crate::domain::{
    Conversation, ConversationId, FinishReason, Mark, Message, MessageId, MessageStatus, Role, UserId, now,
};

/// The messages of a conversation that have versions beside them, the oldest first, by what they follow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions(HashMap<Option<MessageId>, Vec<MessageId>>);

/// A message among its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// From 1 on.
    pub number: usize,
    /// How many there are, at least 2.
    pub count: usize,
    /// The one before it.
    pub previous: Option<MessageId>,
    /// The one after it.
    pub next: Option<MessageId>,
}

impl Versions {
    /// Where a message stands among its versions; none where it is the only one.
    pub fn of(&self, message: &Message) -> Option<Version> {
        let all = self.0.get(&message.parent_id)?;
        let at = all.iter().position(|id| *id == message.id)?;
        let previous = at.checked_sub(1).map(|before| all[before]);
        Some(Version { number: at + 1, count: all.len(), previous, next: all.get(at + 1).copied() })
    }
}

impl Store {
    /// The versions in a conversation.
    pub async fn versions(&self, user: UserId, conversation: ConversationId) -> Result<Versions, StoreError> {
        let rows = sqlx::query(
            "SELECT m.id, m.parent_id FROM conversations c JOIN messages m ON m.conversation_id = c.id \
             WHERE c.id = $1 AND c.user_id = $2 AND EXISTS ( \
                 SELECT 1 FROM messages other WHERE other.conversation_id = m.conversation_id \
                 AND other.parent_id IS NOT DISTINCT FROM m.parent_id AND other.id <> m.id) \
             ORDER BY m.id",
        );
        let mut versions = Versions::default();
        for row in rows.bind(conversation).bind(user).fetch_all(self.of(conversation)).await? {
            versions.0.entry(row.try_get("parent_id")?).or_default().push(row.try_get("id")?);
        }
        Ok(versions)
    }

    /// Shows the branch that leads through a message: the one in which was written last. Nothing changes where it is shown already.
    pub async fn show(
        &self,
        user: UserId,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), StoreError> {
        self.find_message(user, conversation, message).await?;
        if self.branch(user, conversation).await?.iter().any(|shown| shown.id == message) {
            return Ok(());
        }
        let mut write = self.write_in(conversation).await?;
        let last = last_end(&mut write, conversation, message).await?;
        let update = sqlx::query("UPDATE conversations SET head_id = $3 WHERE id = $1 AND user_id = $2");
        found(update.bind(conversation).bind(user).bind(last).execute(&mut *write).await?)?;
        Ok(write.commit().await?)
    }

    /// Writes another version of a reply, in a person's words; it becomes the head.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] also when `old` is no reply; [`StoreError::ReplyRunning`] as for a turn.
    pub async fn revise(
        &self,
        user: UserId,
        conversation: ConversationId,
        old: MessageId,
        content: String,
        marks: Vec<Mark>,
    ) -> Result<Message, StoreError> {
        let now = now();
        let mut write = self.write_in(conversation).await?;
        quiet_head(&mut write, user, conversation).await?;
        let parent = sqlx::query_scalar(
            "SELECT parent_id FROM messages WHERE id = $2 AND conversation_id = $1 AND role = 'assistant'",
        );
        let parent: Option<MessageId> = parent.bind(conversation).bind(old).fetch_one(&mut *write).await?;
        let revised = Message {
            content,
            status: MessageStatus::Complete,
            finish_reason: Some(FinishReason::Stop),
            marks,
            ..blank_reply(MessageId::within(conversation), conversation, parent, now)
        };
        messages::insert(&mut write, &revised).await?;
        set_head(&mut write, user, conversation, revised.id, now).await?;
        write.commit().await?;
        Ok(revised)
    }

    /// A new conversation with copies of the messages up to this one, and its title.
    ///
    /// # Errors
    /// [`StoreError::ReplyRunning`] when one of them is still being written.
    pub async fn fork(
        &self,
        user: UserId,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<Conversation, StoreError> {
        let branch = self.branch_to(user, conversation, message).await?;
        if branch.iter().any(|message| message.status == MessageStatus::Generating) {
            return Err(StoreError::ReplyRunning);
        }
        let fork =
            if conversation.is_temporary() { ConversationId::temporary() } else { ConversationId::new() };
        let now = now();
        let mut write = self.write_in(conversation).await?;
        let copied = sqlx::query(
            "INSERT INTO conversations (id, user_id, title, title_by, created_at, updated_at) \
             SELECT $3, user_id, title, title_by, $4, $4 FROM conversations WHERE id = $1 AND user_id = $2",
        );
        found(copied.bind(conversation).bind(user).bind(fork).bind(now).execute(&mut *write).await?)?;
        let off = sqlx::query(
            "INSERT INTO conversation_plugins_off (conversation_id, plugin) \
             SELECT $2, plugin FROM conversation_plugins_off WHERE conversation_id = $1",
        );
        off.bind(conversation).bind(fork).execute(&mut *write).await?;
        parameters::copy(&mut write, conversation, fork).await?;
        let mut parent = None;
        for message in branch {
            let copy =
                Message { id: MessageId::within(fork), conversation_id: fork, parent_id: parent, ..message };
            messages::insert(&mut write, &copy).await?;
            if copy.role == Role::Assistant {
                let trace = sqlx::query(
                    "INSERT INTO reply_traces (message_id, trace) \
                     SELECT $2, trace FROM reply_traces WHERE message_id = $1",
                );
                trace.bind(message.id).bind(copy.id).execute(&mut *write).await?;
            }
            parent = Some(copy.id);
        }
        let head = parent.ok_or(StoreError::NotFound)?;
        set_head(&mut write, user, fork, head, now).await?;
        write.commit().await?;
        self.find_conversation(user, fork).await
    }
}

/// The end of a branch that was begun last, among those that lead through a message. A reply's id is older than that of the message
/// which it answers, so only ends are compared.
pub(super) async fn last_end(
    write: &mut Transaction<'static, Any>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<MessageId, StoreError> {
    let last = sqlx::query_scalar(
        "WITH RECURSIVE below (id) AS ( \
             SELECT id FROM messages WHERE conversation_id = $1 AND id = $2 \
             UNION ALL \
             SELECT m.id FROM below b JOIN messages m ON m.conversation_id = $1 AND m.parent_id = b.id \
         ) SELECT MAX(id) FROM below WHERE NOT EXISTS ( \
             SELECT 1 FROM messages f WHERE f.conversation_id = $1 AND f.parent_id = below.id)",
    );
    let last: Option<MessageId> = last.bind(conversation).bind(message).fetch_one(&mut **write).await?;
    last.ok_or(StoreError::NotFound)
}
