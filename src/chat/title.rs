//! The name that plugins give a conversation after its first exchange.

use super::{Chat, ChatError};
use crate::domain::{ConversationId, MessageStatus, PromptMessage, Title, UserId};
use crate::plugins::{Context, PluginSet};

/// Lets plugins name a conversation of which the first exchange has just been stored. It keeps the first words as its name when
/// they have no title or fail.
pub(super) async fn name(
    chat: &Chat,
    plugins: &PluginSet,
    context: &Context,
    user: UserId,
    conversation: ConversationId,
) {
    if !plugins.names_conversations() {
        return;
    }
    if let Err(error) = try_to_name(chat, plugins, context, user, conversation).await {
        tracing::warn!(%conversation, "no plugin named it: {error}");
    }
}

async fn try_to_name(
    chat: &Chat,
    plugins: &PluginSet,
    context: &Context,
    user: UserId,
    conversation: ConversationId,
) -> Result<(), ChatError> {
    let branch = chat.store.branch(user, conversation).await?;
    if branch.len() != 2
        || branch.iter().any(|it| it.status != MessageStatus::Complete || it.content.is_empty())
    {
        return Ok(());
    }
    let exchange = branch.into_iter().map(|message| PromptMessage {
        role: message.role,
        content: message.content,
        token_ids: None,
    });
    let context = Context { kind: "title", ..context.clone() };
    let (title, _) = plugins.on_title(&context, exchange.collect()).await.map_err(ChatError::Denied)?;
    if let Some(title) = title.and_then(|title| Title::shortened(&title, chat.config.max_title_chars)) {
        chat.store.title_conversation(user, conversation, &title).await?;
    }
    Ok(())
}
