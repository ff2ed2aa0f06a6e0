//! The tree that a conversation's messages form: which versions a message has, which branch is shown, copies of a branch.

use std::collections::HashMap;
use std::vec;

use sqlx::{AnyConnection, Row};

use super::arrive::Source;
use super::messages::branch_back_while;
use super::turns::{blank_reply, quiet_head, set_head};
use super::{Store, StoreError, found, messages, parameters};
use crate::domain::{
    Conversation, ConversationId, FinishReason, Mark, Message, MessageId, MessageStatus, UserId, now,
};

/// Which of some messages have versions beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions(HashMap<MessageId, Version>);

/// A message among its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// From 1 on.
    pub number: u32,
    /// How many there are, at least 2.
    pub count: u32,
    /// The one before it.
    pub previous: Option<MessageId>,
    /// The one after it.
    pub next: Option<MessageId>,
}

impl Versions {
    /// Where a message stands among its versions; none where it is the only one.
    pub fn of(&self, message: &Message) -> Option<Version> {
        self.0.get(&message.id).copied()
    }
}

impl Store {
    /// The versions of the messages of a stretch, as [`Store::stretch`] reads it.
    pub async fn versions(
        &self,
        user: UserId,
        conversation: ConversationId,
        message: MessageId,
        at_most: u32,
    ) -> Result<Versions, StoreError> {
        macro_rules! beside {
            ($what:literal) => {
                concat!(
                    "(SELECT ",
                    $what,
                    " FROM messages o WHERE o.conversation_id = $1 AND o.parent_id IS NOT DISTINCT FROM b.parent_id) "
                )
            };
        }
        let rows = sqlx::query(concat!(
            branch_back_while!("b.distance + 1 < $4"),
            "SELECT b.id, ",
            beside!("COUNT(*)"),
            "AS count, ",
            beside!("COUNT(CASE WHEN o.id < b.id THEN 1 END)"),
            "AS before, ",
            beside!("MAX(CASE WHEN o.id < b.id THEN o.id END)"),
            "AS previous, ",
            beside!("MIN(CASE WHEN o.id > b.id THEN o.id END)"),
            "AS next FROM branch b WHERE EXISTS ( \
                 SELECT 1 FROM messages o WHERE o.conversation_id = $1 \
                 AND o.parent_id IS NOT DISTINCT FROM b.parent_id AND o.id <> b.id)"
        ));
        let rows = rows.bind(conversation).bind(user).bind(message).bind(i64::from(at_most));
        let mut versions = HashMap::new();
        for row in rows.fetch_all(self.of(conversation)).await? {
            let number = |column| row.try_get::<i64, _>(column).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
            let version = Version {
                number: number("before")?.saturating_add(1),
                count: number("count")?,
                previous: row.try_get("previous")?,
                next: row.try_get("next")?,
            };
            versions.insert(row.try_get("id")?, version);
        }
        Ok(Versions(versions))
    }

    /// Shows the branch that leads through a message: the one in which was written last. Nothing changes where it is shown already.
    pub async fn show(
        &self,
        user: UserId,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), StoreError> {
        self.find_message(user, conversation, message).await?;
        if let Some(head) = self.find_conversation(user, conversation).await?.head
            && self.distance(user, conversation, message, head).await?.is_some()
        {
            return Ok(());
        }
        let mut write = self.write_in(conversation).await?;
        let last = last_end(&mut write, conversation, message).await?;
        let update = sqlx::query("UPDATE conversations SET head_id = $3 WHERE id = $1 AND user_id = $2");
        found(update.bind(conversation).bind(user).bind(last).execute(&mut *write).await?)?;
        write.commit().await
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
        let branch = self.branch_ids(user, conversation, message).await?;
        if self.running_reply(user, conversation).await?.is_some_and(|running| branch.contains(&running)) {
            return Err(StoreError::ReplyRunning);
        }
        let fork =
            if conversation.is_temporary() { ConversationId::temporary() } else { ConversationId::new() };
        let mut write = self.write_in(conversation).await?;
        let copied = sqlx::query(
            "INSERT INTO conversations (id, user_id, arriving_for, title, title_by, created_at, updated_at) \
             SELECT $3, $5, user_id, title, title_by, $4, $4 FROM conversations WHERE id = $1 AND user_id = $2",
        );
        let copied = copied.bind(conversation).bind(user).bind(fork).bind(now()).bind(UserId::NOBODY);
        found(copied.execute(&mut *write).await?)?;
        let off = sqlx::query(
            "INSERT INTO conversation_plugins_off (conversation_id, plugin) \
             SELECT $2, plugin FROM conversation_plugins_off WHERE conversation_id = $1",
        );
        off.bind(conversation).bind(fork).execute(&mut *write).await?;
        parameters::copy(&mut write, conversation, fork).await?;
        write.commit().await?;
        let copies: Vec<_> = branch.into_iter().map(|old| (old, MessageId::within(fork))).collect();
        let head = copies.last().map(|(_, copy)| *copy);
        let source = Copies { from: conversation, to: fork, ids: copies.into_iter(), parent: None };
        self.arrive(user, fork, head, source).await?;
        self.find_conversation(user, fork).await
    }
}

/// Messages that are copied, each with its trace.
struct Copies {
    from: ConversationId,
    to: ConversationId,
    /// Of the messages and of their copies.
    ids: vec::IntoIter<(MessageId, MessageId)>,
    /// What the next copy follows.
    parent: Option<MessageId>,
}

impl Source for Copies {
    async fn write_one(&mut self, write: &mut AnyConnection) -> Result<bool, StoreError> {
        let Some((old, copy)) = self.ids.next() else { return Ok(false) };
        let message = sqlx::query(
            "INSERT INTO messages (id, conversation_id, parent_id, role, content, status, finish_reason, error, marks, \
                 prompt_tokens, completion_tokens, seed, token_ids, created_at, updated_at) \
             SELECT $3, $4, $5, role, content, status, finish_reason, error, marks, prompt_tokens, completion_tokens, \
                 seed, token_ids, created_at, updated_at FROM messages WHERE conversation_id = $1 AND id = $2",
        );
        let message = message.bind(self.from).bind(old).bind(copy).bind(self.to).bind(self.parent);
        found(message.execute(&mut *write).await?)?;
        let trace = sqlx::query(
            "INSERT INTO reply_traces (message_id, trace) SELECT $2, trace FROM reply_traces WHERE message_id = $1",
        );
        trace.bind(old).bind(copy).execute(write).await?;
        self.parent = Some(copy);
        Ok(true)
    }
}

/// The end of a branch that was begun last, among those that lead through a message. A reply's id is older than that of the message
/// which it answers, so only ends are compared.
pub(super) async fn last_end(
    write: &mut AnyConnection,
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
    let last: Option<MessageId> = last.bind(conversation).bind(message).fetch_one(&mut *write).await?;
    last.ok_or(StoreError::NotFound)
}
