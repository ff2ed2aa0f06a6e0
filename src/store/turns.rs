//! The life of one reply on disk: begun with the message it answers, checkpointed while it grows, finished once.

use sqlx::{AnyConnection, Row};

use super::text::to_json;
use super::{Store, StoreError, found, messages, traces};
use crate::domain::{
    ConversationId, FinishReason, Mark, Message, MessageId, MessageStatus, Role, SendKey, Title, Trace,
    UnixMillis, Usage, UserId, now,
};

/// A message of a person, about to be answered.
#[derive(Debug, Clone)]
pub struct NewTurn {
    /// The id of the reply: chosen before, so that it can be announced as soon as the turn is written.
    pub reply_id: MessageId,
    /// The message of which this is another version; none: it follows the head.
    pub instead_of: Option<MessageId>,
    /// What the person said, after the plugins.
    pub text: String,
    /// Becomes the conversation's title when it has none yet.
    pub title: Title,
    /// What the reader should know about the reply already now.
    pub marks: Vec<Mark>,
    /// With the same, a message of this conversation is written once.
    pub key: Option<SendKey>,
}

/// The two messages of a turn, as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// What the person said.
    pub user_message: Message,
    /// What answers it.
    pub reply: Message,
}

/// How a reply ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The whole text.
    pub content: String,
    /// Anything but `Generating`.
    pub status: MessageStatus,
    /// Why the model stopped, when it did.
    pub finish_reason: Option<FinishReason>,
    /// The sentence shown when it failed.
    pub error: Option<String>,
    /// All marks, those the turn began with included.
    pub marks: Vec<Mark>,
    /// What it cost.
    pub usage: Option<Usage>,
    /// The seed that was really used.
    pub seed: Option<u32>,
    /// The tokens of `content`, when they are exactly its text.
    pub token_ids: Option<Vec<i32>>,
    /// How it came about.
    pub trace: Option<Box<Trace>>,
}

impl Store {
    /// Writes a person's message and an empty reply to it, which become the end of the branch that is shown.
    ///
    /// # Errors
    /// [`StoreError::ReplyRunning`] while another reply is written in this conversation; [`StoreError::NotFound`] also when
    /// it would be another version of what is no person's message; [`StoreError::AlreadySent`] when its key was used.
    pub async fn begin_turn(
        &self,
        user: UserId,
        conversation: ConversationId,
        turn: NewTurn,
    ) -> Result<Turn, StoreError> {
        self.write_turn(user, conversation, turn, |_| {}, None).await
    }

    /// As [`Store::begin_turn`], with the reply that a plugin gave in the model's place: it is complete at once.
    pub async fn begin_answered_turn(
        &self,
        user: UserId,
        conversation: ConversationId,
        turn: NewTurn,
        answer: String,
        trace: &Trace,
    ) -> Result<Turn, StoreError> {
        let answered = |reply: &mut Message| {
            reply.content = answer;
            reply.status = MessageStatus::Complete;
            reply.finish_reason = Some(FinishReason::Plugin);
        };
        self.write_turn(user, conversation, turn, answered, Some(trace)).await
    }

    async fn write_turn(
        &self,
        user: UserId,
        conversation: ConversationId,
        turn: NewTurn,
        settle: impl FnOnce(&mut Message),
        trace: Option<&Trace>,
    ) -> Result<Turn, StoreError> {
        let now = now();
        let mut write = self.write_in(conversation).await?;
        let key = turn.key.as_ref().map(SendKey::as_str);
        let sent = sqlx::query("SELECT 1 FROM messages WHERE conversation_id = $1 AND send_key = $2");
        if sent.bind(conversation).bind(key).fetch_optional(&mut *write).await?.is_some() {
            return Err(StoreError::AlreadySent);
        }
        let head = quiet_head(&mut write, user, conversation).await?;
        let parent = match turn.instead_of {
            None => head,
            Some(old) => {
                let parent = sqlx::query_scalar(
                    "SELECT parent_id FROM messages WHERE id = $2 AND conversation_id = $1 AND role = 'user'",
                );
                parent.bind(conversation).bind(old).fetch_one(&mut *write).await?
            }
        };
        let user_message = Message {
            role: Role::User,
            content: turn.text,
            status: MessageStatus::Complete,
            ..blank_reply(MessageId::within(conversation), conversation, parent, now)
        };
        let mut reply = Message {
            marks: turn.marks,
            ..blank_reply(turn.reply_id, conversation, Some(user_message.id), now)
        };
        settle(&mut reply);
        messages::insert(&mut write, &user_message).await?;
        messages::insert(&mut write, &reply).await?;
        let keep = sqlx::query("UPDATE messages SET send_key = $2 WHERE id = $1");
        keep.bind(user_message.id).bind(key).execute(&mut *write).await?;
        if let Some(trace) = trace {
            traces::insert(&mut write, reply.id, trace).await?;
        }
        // The first message names a conversation, another version of it does so again.
        let titled = sqlx::query(
            "UPDATE conversations SET title = $3, title_by = 'words' WHERE id = $1 AND user_id = $2 \
             AND (title_by = 'nobody' OR title_by = 'words' AND $4 = 1)",
        );
        let first = i64::from(parent.is_none());
        titled.bind(conversation).bind(user).bind(&turn.title).bind(first).execute(&mut *write).await?;
        set_head(&mut write, user, conversation, reply.id, now).await?;
        write.commit().await?;
        Ok(Turn { user_message, reply })
    }

    /// The turn that was begun with a key.
    pub async fn sent_turn(
        &self,
        user: UserId,
        conversation: ConversationId,
        key: &SendKey,
    ) -> Result<Option<Turn>, StoreError> {
        let query = sqlx::query_as(
            "WITH sent (id) AS ( \
                 SELECT m.id FROM messages m JOIN conversations c ON c.id = m.conversation_id \
                 WHERE c.id = $1 AND c.user_id = $2 AND m.send_key = $3) \
             SELECT m.* FROM sent s JOIN messages m ON m.id = s.id \
             UNION ALL SELECT * FROM (SELECT m.* FROM sent s \
                 JOIN messages m ON m.conversation_id = $1 AND m.parent_id = s.id ORDER BY m.id LIMIT 1) AS reply",
        );
        let query = query.bind(conversation).bind(user).bind(key.as_str());
        let mut turn = query.fetch_all(self.of(conversation)).await?.into_iter();
        Ok(turn.next().zip(turn.next()).map(|(user_message, reply)| Turn { user_message, reply }))
    }

    /// Writes an empty reply beside `old`, answering the same message, or to `old` where that is a person's message that nothing follows;
    /// it becomes the head, and `old` stays.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] also for a person's message that has an answer; [`StoreError::ReplyRunning`] as for a turn.
    pub async fn begin_retry(
        &self,
        user: UserId,
        conversation: ConversationId,
        old: MessageId,
        reply_id: MessageId,
    ) -> Result<Message, StoreError> {
        let now = now();
        let mut write = self.write_in(conversation).await?;
        quiet_head(&mut write, user, conversation).await?;
        let parent = sqlx::query_scalar(
            "SELECT CASE WHEN role = 'assistant' THEN parent_id ELSE id END FROM messages m \
             WHERE id = $2 AND conversation_id = $1 AND (role = 'assistant' OR NOT EXISTS ( \
                 SELECT 1 FROM messages f WHERE f.conversation_id = $1 AND f.parent_id = m.id))",
        );
        let parent: Option<MessageId> = parent.bind(conversation).bind(old).fetch_one(&mut *write).await?;
        let reply = blank_reply(reply_id, conversation, parent, now);
        messages::insert(&mut write, &reply).await?;
        set_head(&mut write, user, conversation, reply.id, now).await?;
        write.commit().await?;
        Ok(reply)
    }

    /// Lets a reply that is over be written on; it keeps its text and becomes the head. Returns it as it was.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] also when it is no reply or something follows it; [`StoreError::ReplyRunning`] as for a turn.
    pub async fn begin_continuation(
        &self,
        user: UserId,
        conversation: ConversationId,
        reply: MessageId,
    ) -> Result<Message, StoreError> {
        let now = now();
        let mut write = self.write_in(conversation).await?;
        quiet_head(&mut write, user, conversation).await?;
        let last = sqlx::query_as(
            "SELECT * FROM messages m WHERE m.id = $2 AND m.conversation_id = $1 AND m.role = 'assistant' \
             AND NOT EXISTS (SELECT 1 FROM messages f WHERE f.conversation_id = $1 AND f.parent_id = m.id)",
        );
        let was: Message = last.bind(conversation).bind(reply).fetch_one(&mut *write).await?;
        let update = sqlx::query(
            "UPDATE messages SET status = 'generating', finish_reason = NULL, error = NULL, updated_at = $2 WHERE id = $1",
        );
        update.bind(reply).bind(now).execute(&mut *write).await?;
        set_head(&mut write, user, conversation, reply, now).await?;
        write.commit().await?;
        Ok(was)
    }

    /// Keeps the text so far of a reply. `false`: it is not being written any more, nothing was kept.
    pub async fn checkpoint(&self, reply: MessageId, content: &str) -> Result<bool, StoreError> {
        let update = sqlx::query(
            "UPDATE messages SET content = $2, updated_at = $3 WHERE id = $1 AND status = 'generating'",
        );
        let kept =
            self.execute_in(reply.is_temporary(), update.bind(reply).bind(content).bind(now())).await?;
        Ok(kept.rows_affected() == 1)
    }

    /// Ends a reply. Only the first end counts: `false` when it had ended already or was deleted.
    pub async fn finish(&self, reply: MessageId, outcome: &Outcome) -> Result<bool, StoreError> {
        let mut write = self.begin(reply.is_temporary()).await?;
        let ended = sqlx::query(
            "UPDATE messages SET content = $2, status = $3, finish_reason = $4, error = $5, marks = $6, \
                 prompt_tokens = $7, completion_tokens = $8, seed = $9, token_ids = $10, updated_at = $11 \
             WHERE id = $1 AND status = 'generating'",
        )
        .bind(reply)
        .bind(outcome.content.as_str())
        .bind(outcome.status)
        .bind(outcome.finish_reason)
        .bind(outcome.error.as_deref())
        .bind(to_json(&outcome.marks)?)
        .bind(outcome.usage.map(|usage| i64::from(usage.prompt_tokens)))
        .bind(outcome.usage.map(|usage| i64::from(usage.completion_tokens)))
        .bind(outcome.seed.map(i64::from))
        .bind(outcome.token_ids.as_deref().map(to_json).transpose()?)
        .bind(now())
        .execute(&mut *write)
        .await?;
        let ended = ended.rows_affected() == 1;
        if let Some(trace) = outcome.trace.as_ref().filter(|_| ended) {
            traces::insert(&mut write, reply, trace).await?;
        }
        write.commit().await?;
        Ok(ended)
    }

    /// The reply that is being written in a conversation.
    pub async fn running_reply(
        &self,
        user: UserId,
        conversation: ConversationId,
    ) -> Result<Option<MessageId>, StoreError> {
        let query = sqlx::query_scalar(
            "SELECT m.id FROM messages m JOIN conversations c ON c.id = m.conversation_id \
             WHERE c.id = $1 AND c.user_id = $2 AND m.status = 'generating'",
        );
        Ok(query.bind(conversation).bind(user).fetch_optional(self.of(conversation)).await?)
    }

    /// At start: forgets what had not arrived, and marks the replies that the end of the last run cut off; returns how many there
    /// were.
    pub async fn interrupt_unfinished(&self) -> Result<u64, StoreError> {
        self.forget_arrivals().await?;
        let update = sqlx::query(
            "UPDATE messages SET status = 'interrupted', updated_at = $1 WHERE status = 'generating'",
        );
        Ok(self.execute(update.bind(now())).await?.rows_affected())
    }
}

/// The head of this person's conversation, in which no reply is being written.
pub(super) async fn quiet_head(
    write: &mut AnyConnection,
    user: UserId,
    conversation: ConversationId,
) -> Result<Option<MessageId>, StoreError> {
    let row = sqlx::query(
        "SELECT c.head_id, (SELECT COUNT(*) FROM messages m \
                            WHERE m.conversation_id = c.id AND m.status = 'generating') AS running \
         FROM conversations c WHERE c.id = $1 AND c.user_id = $2",
    )
    .bind(conversation)
    .bind(user)
    .fetch_one(&mut *write)
    .await?;
    match row.try_get::<i64, _>("running")? {
        0 => Ok(row.try_get("head_id")?),
        _ => Err(StoreError::ReplyRunning),
    }
}

/// What is written in comes back from the archive.
pub(super) async fn set_head(
    write: &mut AnyConnection,
    user: UserId,
    conversation: ConversationId,
    head: MessageId,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let update = sqlx::query(
        "UPDATE conversations SET head_id = $3, updated_at = $4, \
             shelf = CASE shelf WHEN 'archived' THEN 'listed' ELSE shelf END \
         WHERE id = $1 AND user_id = $2",
    );
    found(update.bind(conversation).bind(user).bind(head).bind(now).execute(&mut *write).await?)
}

/// A reply of which nothing has been said.
pub(super) fn blank_reply(
    id: MessageId,
    conversation_id: ConversationId,
    parent_id: Option<MessageId>,
    created_at: UnixMillis,
) -> Message {
    Message {
        id,
        conversation_id,
        parent_id,
        role: Role::Assistant,
        content: String::new(),
        status: MessageStatus::Generating,
        finish_reason: None,
        error: None,
        marks: Vec::new(),
        usage: None,
        seed: None,
        token_ids: None,
        created_at,
    }
}
