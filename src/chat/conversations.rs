//! A person's conversations, but for what is said in them.

use super::{Chat, ChatError};
use crate::domain::{Conversation, ConversationId, Message, MessageId, MessageStatus, Title, User};

impl Chat {
    /// A new, blank conversation; a blank one that exists already is used again.
    pub async fn create(&self, user: &User) -> Result<Conversation, ChatError> {
        match self.store.latest_conversation(user.id).await? {
            Some(latest) if latest.head.is_none() && latest.title == Title::default() => Ok(latest),
            _ => Ok(self.store.create_conversation(user.id).await?),
        }
    }

    /// The conversation that was last written in, or a new one.
    pub async fn latest(&self, user: &User) -> Result<Conversation, ChatError> {
        match self.store.latest_conversation(user.id).await? {
            Some(conversation) => Ok(conversation),
            None => Ok(self.store.create_conversation(user.id).await?),
        }
    }

    /// The person's conversations, the last written first.
    pub async fn conversations(&self, user: &User) -> Result<Vec<Conversation>, ChatError> {
        Ok(self.store.list_conversations(user.id).await?)
    }

    /// One conversation of the person's.
    pub async fn conversation(&self, user: &User, id: ConversationId) -> Result<Conversation, ChatError> {
        Ok(self.store.find_conversation(user.id, id).await?)
    }

    /// The messages that are shown, oldest first.
    pub async fn messages(&self, user: &User, id: ConversationId) -> Result<Vec<Message>, ChatError> {
        Ok(self.store.branch(user.id, id).await?)
    }

    /// One message of the person's.
    pub async fn message(
        &self,
        user: &User,
        conversation: ConversationId,
        id: MessageId,
    ) -> Result<Message, ChatError> {
        Ok(self.store.find_message(user.id, conversation, id).await?)
    }

    /// Gives a conversation the name that its owner typed.
    pub async fn rename(
        &self,
        user: &User,
        id: ConversationId,
        title: &str,
    ) -> Result<Conversation, ChatError> {
        let title = Title::parse(title, self.config.max_title_chars)?;
        self.store.rename_conversation(user.id, id, &title).await?;
        self.conversation(user, id).await
    }

    /// Deletes a conversation, also while a reply runs in it. Returns the one that takes its place on the screen.
    pub async fn delete(&self, user: &User, id: ConversationId) -> Result<Conversation, ChatError> {
        let position = self.conversations(user).await?.iter().position(|conversation| conversation.id == id);
        let messages = self.messages(user, id).await?;
        self.store.delete_conversation(user.id, id).await?;
        for message in messages.iter().filter(|message| message.status == MessageStatus::Generating) {
            self.live.stop(message.id);
        }
        self.engine.forget(id);
        self.queues.forget(id);
        let mut rest = self.conversations(user).await?;
        match rest.len() {
            0 => Ok(self.store.create_conversation(user.id).await?),
            n => Ok(rest.swap_remove(position.unwrap_or(0).min(n - 1))),
        }
    }
}
