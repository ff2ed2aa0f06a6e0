//! Conversations that were made elsewhere.

use std::collections::HashSet;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::AnyConnection;

use super::arrive::Source;
use super::{Store, StoreError, messages, parameters};
use crate::domain::{ConversationId, Message, MessageId, Parameters, Shelf, Title, UnixMillis, UserId};

/// A conversation to be written as it is.
#[derive(Debug, Clone)]
pub struct Imported {
    /// A new one.
    pub id: ConversationId,
    /// Its name, which stays.
    pub title: Title,
    /// Where it stands among the others.
    pub shelf: Shelf,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last written in.
    pub updated_at: UnixMillis,
    /// Its messages with new ids, each behind the one that it follows; none is being written.
    pub messages: Vec<Message>,
    /// The last message of the branch that is shown.
    pub head: Option<MessageId>,
    /// What its person set for it.
    pub parameters: Parameters,
}

impl Store {
    /// Title and time of every conversation of a person's.
    pub async fn titles(&self, user: UserId) -> Result<HashSet<(String, UnixMillis)>, StoreError> {
        let query = sqlx::query_as("SELECT title, created_at FROM conversations WHERE user_id = $1");
        Ok(query.bind(user).fetch_all(&self.pool).await?.into_iter().collect())
    }

    /// Writes a conversation with all its messages: all of it or nothing, however long it takes.
    /// `written` counts the messages.
    pub async fn import(
        &self,
        user: UserId,
        imported: &Imported,
        written: &AtomicU64,
    ) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        let insert = sqlx::query(
            "INSERT INTO conversations (id, user_id, arriving_for, title, title_by, created_at, updated_at, shelf) \
             VALUES ($1, $2, $3, $4, 'person', $5, $6, $7)",
        );
        let insert = insert.bind(imported.id).bind(UserId::NOBODY).bind(user).bind(&imported.title);
        let insert = insert.bind(imported.created_at).bind(imported.updated_at).bind(imported.shelf);
        insert.execute(&mut *write).await?;
        parameters::insert(&mut write, imported.id, &imported.parameters).await?;
        write.commit().await?;
        let messages = imported.messages.iter();
        self.arrive(user, imported.id, imported.head, Told { messages, written }).await
    }
}

struct Told<'a> {
    messages: slice::Iter<'a, Message>,
    written: &'a AtomicU64,
}

impl Source for Told<'_> {
    async fn write_one(&mut self, write: &mut AnyConnection) -> Result<bool, StoreError> {
        let Some(message) = self.messages.next() else { return Ok(false) };
        messages::insert(write, message).await?;
        self.written.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }
}
