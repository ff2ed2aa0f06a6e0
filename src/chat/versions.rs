//! Messages form a tree: a reply is written anew, written on, edited, deleted; another branch is shown, or becomes a conversation.

use super::{Chat, ChatError, answer, host_mark};
use crate::domain::{
    Conversation, ConversationId, FinishReason, Invalid, Message, MessageId, Role, User, UserText,
};
use crate::store::{StoreError, UNDO_WITHIN, Versions};

impl Chat {
    /// The versions of messages that follow each other.
    pub async fn versions(
        &self,
        user: &User,
        conversation: ConversationId,
        messages: &[Message],
    ) -> Result<Versions, ChatError> {
        let Some(last) = messages.last() else { return Ok(Versions::default()) };
        let count = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        Ok(self.store.versions(user.id, conversation, last.id, count).await?)
    }

    /// Shows the branch that leads through a message.
    pub async fn show(
        &self,
        user: &User,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), ChatError> {
        Ok(self.store.show(user.id, conversation, message).await?)
    }

    /// Writes a reply anew, or one to a person's message that has none; the earlier version stays.
    pub async fn regenerate(
        &self,
        user: &User,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<Message, ChatError> {
        self.check_is_the_models(user, conversation, message).await?;
        let place = self.engine.reserve(user.id)?;
        let plugins = self.plugins_of(user, Some(conversation)).await?;
        let id = MessageId::within(conversation);
        let writer = self.live.open(id);
        let reply = self.store.begin_retry(user.id, conversation, message, id).await?;
        let context = self.context(user, conversation);
        self.start(user.id, reply.clone(), place, writer, plugins, context);
        Ok(reply)
    }

    /// Writes on where a reply ends.
    pub async fn go_on(
        &self,
        user: &User,
        conversation: ConversationId,
        reply: MessageId,
    ) -> Result<(), ChatError> {
        if self.check_is_the_models(user, conversation, reply).await?.content.is_empty() {
            return Err(Invalid("This reply has no text to go on from; write it anew.".into()).into());
        }
        self.check_quiet(user, conversation).await?;
        let place = self.engine.reserve(user.id)?;
        let plugins = self.plugins_of(user, Some(conversation)).await?;
        let writer = self.live.open_again(reply).ok_or(StoreError::ReplyRunning)?;
        let reply = self.store.begin_continuation(user.id, conversation, reply).await?;
        let context = self.context(user, conversation);
        self.start(user.id, reply, place, writer, plugins, context);
        Ok(())
    }

    /// Makes another version of a message with this text: a person's is answered as if it had just been sent, a reply stays
    /// as it was edited.
    pub async fn edit(
        &self,
        user: &User,
        conversation: ConversationId,
        message: MessageId,
        text: &str,
    ) -> Result<Message, ChatError> {
        match self.message(user, conversation, message).await?.role {
            Role::Assistant => {
                let text = UserText::exactly(text, self.config.max_message_chars)?;
                self.revise(user, conversation, message, text).await
            }
            _ => {
                let text = self.parse_text(text)?;
                self.check_quiet(user, conversation).await?;
                Ok(self.turn(user, conversation, Some(message), text, None).await?.reply)
            }
        }
    }

    /// A reply in a person's words goes the way of the model's: no plugin that checks replies misses it.
    async fn revise(
        &self,
        user: &User,
        conversation: ConversationId,
        reply: MessageId,
        text: UserText,
    ) -> Result<Message, ChatError> {
        self.check_quiet(user, conversation).await?;
        let plugins = self.plugins_of(user, Some(conversation)).await?;
        let mut marks = vec![host_mark("You edited this answer.".into())];
        let context = self.context(user, conversation);
        let text = answer::release(&plugins, &context, text.into_string(), &mut marks).await?;
        Ok(self.store.revise(user.id, conversation, reply, text, marks).await?)
    }

    /// Copies the branch up to a message into a new conversation.
    pub async fn fork(
        &self,
        user: &User,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<Conversation, ChatError> {
        // A long branch takes a while, and its person may go: what was begun is ended all the same.
        self.storage(user).await?.check()?;
        let (store, user) = (self.store.clone(), user.id);
        let fork = tokio::spawn(async move { store.fork(user, conversation, message).await });
        Ok(fork.await.map_err(|_| ChatError::Panicked)??)
    }

    /// Deletes a message with all that follows it, in each branch. What of it the engine remembers goes too; the text itself is
    /// gone for good when the deletion can no longer be undone.
    pub async fn delete_message(
        &self,
        user: &User,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), ChatError> {
        self.store.delete_message(user.id, conversation, message).await?;
        self.engine.forget(conversation);
        self.erase_after(UNDO_WITHIN);
        Ok(())
    }

    /// Undoes the deletion of a message.
    pub async fn restore(
        &self,
        user: &User,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), ChatError> {
        Ok(self.store.restore(user.id, conversation, message).await?)
    }

    async fn check_is_the_models(
        &self,
        user: &User,
        conversation: ConversationId,
        id: MessageId,
    ) -> Result<Message, ChatError> {
        let message = self.message(user, conversation, id).await?;
        if message.finish_reason == Some(FinishReason::Plugin) {
            // It kept the message from the model, and on_message is not asked again.
            return Err(Invalid("A plugin gave this answer; send the message again instead.".into()).into());
        }
        Ok(message)
    }
}
