//! The name that plugins give a conversation after its first exchange.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::{Chat, ChatError, reasoning};
use crate::domain::{Conversation, ConversationId, MessageStatus, PromptMessage, Role, Title, User, UserId};
use crate::plugins::{Context, PluginSet};
use crate::store::Extent;

/// Most conversations that are being named at the same time; further ones keep their first words.
const MOST: usize = 8;

/// Longest that somebody waits for a name before they ask again.
const PATIENCE: Duration = Duration::from_secs(25);

/// The conversations that are being named now.
#[derive(Debug, Clone, Default)]
pub(super) struct Naming {
    // A std mutex: held for a lookup.
    now: Arc<Mutex<HashMap<ConversationId, watch::Receiver<()>>>>,
}

/// A conversation that is being named, until it is dropped.
pub(super) struct Begun {
    naming: Naming,
    conversation: ConversationId,
    /// Its end is that of the naming.
    _over: watch::Sender<()>,
}

impl Naming {
    fn begin(&self, conversation: ConversationId) -> Option<Begun> {
        let mut now = self.lock();
        if now.len() >= MOST || now.contains_key(&conversation) {
            return None;
        }
        let (over, named) = watch::channel(());
        now.insert(conversation, named);
        Some(Begun { naming: self.clone(), conversation, _over: over })
    }

    fn view(&self, conversation: ConversationId) -> Option<watch::Receiver<()>> {
        self.lock().get(&conversation).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConversationId, watch::Receiver<()>>> {
        // Every critical section is a few map operations, so a poisoned map is still whole.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.naming.lock().remove(&self.conversation);
    }
}

/// From now on whoever asks is told to wait for the conversation's name; none where no plugin gives one, where it has one, or
/// where too many are being named. Call it before the end of the exchange is announced.
pub(super) async fn begin(
    chat: &Chat,
    plugins: &PluginSet,
    user: UserId,
    conversation: ConversationId,
) -> Option<Begun> {
    if !plugins.names_conversations() {
        return None;
    }
    match chat.store.is_called_by_its_words(user, conversation).await {
        Ok(true) => chat.naming.begin(conversation),
        Ok(false) => None,
        Err(error) => {
            tracing::warn!(%conversation, "whether it has a name: {error}");
            None
        }
    }
}

impl Begun {
    /// Lets plugins name the conversation, of which the first exchange has just been stored. It keeps the first words as its
    /// name when they have no title or fail.
    pub(super) async fn name(self, chat: &Chat, plugins: &PluginSet, context: &Context, user: UserId) {
        let conversation = self.conversation;
        if let Err(error) = try_to_name(chat, plugins, context, user, conversation).await {
            tracing::warn!(%conversation, "no plugin named it: {error}");
        }
    }
}

impl Chat {
    /// Whether a conversation is getting a name just now.
    pub fn is_being_named(&self, conversation: ConversationId) -> bool {
        self.naming.view(conversation).is_some()
    }

    /// One conversation of the person's, once it has its name, or after a while without.
    pub async fn once_named(&self, user: &User, id: ConversationId) -> Result<Conversation, ChatError> {
        let conversation = self.conversation(user, id).await?;
        let Some(mut naming) = self.naming.view(id) else { return Ok(conversation) };
        // Nothing is ever sent: it ends with its sender.
        let named = async { while naming.changed().await.is_ok() {} };
        drop(tokio::time::timeout(PATIENCE, named).await);
        self.conversation(user, id).await
    }
}

async fn try_to_name(
    chat: &Chat,
    plugins: &PluginSet,
    context: &Context,
    user: UserId,
    conversation: ConversationId,
) -> Result<(), ChatError> {
    let Some(head) = chat.store.find_conversation(user, conversation).await?.head else { return Ok(()) };
    let exchange = Extent { messages: 3, ..Extent::WHOLE };
    let branch = chat.store.stretch(user, conversation, head, exchange).await?;
    if branch.len() != 2
        || branch.iter().any(|it| it.status != MessageStatus::Complete || it.content.is_empty())
    {
        return Ok(());
    }
    let exchange = branch.into_iter().map(|message| PromptMessage {
        role: message.role,
        content: match message.role {
            Role::Assistant => reasoning::answer(&message.content).to_owned(),
            _ => message.content,
        },
        token_ids: None,
    });
    let context = Context { kind: "title", ..context.clone() };
    let (title, _) = plugins.on_title(&context, exchange.collect()).await.map_err(ChatError::Denied)?;
    if let Some(title) = title.and_then(|title| Title::shortened(&title, chat.config.max_title_chars)) {
        chat.store.title_conversation(user, conversation, &title).await?;
    }
    Ok(())
}
