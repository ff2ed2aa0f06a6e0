//! What templates receive: views, never rows.

use serde::Serialize;

use super::figures::ContextView;
use super::sidebar_views::{ConversationView, SidebarView};
use crate::chat::{Chat, ChatError, Part, Queued};
use crate::domain::{
    Conversation, ConversationId, FinishReason, Mark, Message, MessageId, MessageStatus, Role, User,
    UserRole, in_iso, in_words,
};
use crate::engine::EngineState;
use crate::plugins::Command;
use crate::store::{Turn, Versions};

/// The whole page, and every partial of it.
#[derive(Serialize)]
pub struct PageView {
    user: UserView,
    #[serde(flatten)]
    sidebar: SidebarView,
    chat: ChatView,
    model: ModelView,
    being_named: bool,
}

impl PageView {
    /// Reads what the page of one conversation shows.
    pub async fn load(
        chat: &Chat,
        user: &User,
        conversation: Conversation,
        part: Part,
    ) -> Result<Self, ChatError> {
        Ok(Self {
            user: UserView::new(user),
            sidebar: SidebarView::load(chat, user, Some(conversation.id)).await?,
            model: ModelView::new(chat.engine_state()),
            being_named: chat.is_being_named(conversation.id),
            chat: ChatView::load(chat, user, conversation, part).await?,
        })
    }
}

/// What a sent message adds to the page: two bubbles, and a title that may be new.
#[derive(Serialize)]
pub struct TurnView {
    messages: [MessageView; 2],
    /// For the next message.
    send_key: String,
    naming: bool,
    chat: ConversationView,
    #[serde(flatten)]
    sidebar: SidebarView,
}

impl TurnView {
    /// Reads what changed around the turn.
    pub async fn load(chat: &Chat, user: &User, open: &Conversation, turn: Turn) -> Result<Self, ChatError> {
        Ok(Self {
            messages: [turn.user_message, turn.reply].map(MessageView::from),
            send_key: send_key(),
            naming: chat.is_being_named(open.id),
            chat: ConversationView::new(open, true),
            sidebar: SidebarView::load(chat, user, Some(open.id)).await?,
        })
    }
}

/// A key that no form held before.
pub fn send_key() -> String {
    MessageId::new().to_string()
}

/// The person who looks.
#[derive(Serialize)]
pub struct UserView {
    name: String,
    administrator: bool,
}

impl UserView {
    /// What a page shows of an account.
    pub fn new(user: &User) -> Self {
        Self { name: user.name.to_string(), administrator: user.role == UserRole::Administrator }
    }
}

/// The open conversation.
#[derive(Serialize)]
pub struct ChatView {
    id: String,
    title: String,
    greeting: String,
    max_message_chars: usize,
    /// Whether it is never written to the disk.
    temporary: bool,
    /// Whether there are plugins to turn off.
    switches: bool,
    messages: Vec<MessageView>,
    /// The message before them, where they do not begin the conversation.
    earlier: Option<String>,
    /// Whether they do not end it.
    later: bool,
    /// A message that was asked for and stands in a branch that is not shown.
    elsewhere: Option<String>,
    /// Messages that wait for the end of a reply.
    queued: Vec<QueuedView>,
    commands: Vec<CommandView>,
    /// None before the first reply.
    context: Option<ContextView>,
    /// Comes back with the next message.
    send_key: String,
    /// How full the person's storage is, in percent, where it nearly is.
    storage: Option<u64>,
}

/// What may be typed behind a `/`.
#[derive(Serialize)]
pub struct CommandView {
    name: String,
    about: String,
}

impl From<Command> for CommandView {
    fn from(Command { name, about, .. }: Command) -> Self {
        Self { name, about }
    }
}

impl ChatView {
    async fn load(
        chat: &Chat,
        user: &User,
        conversation: Conversation,
        part: Part,
    ) -> Result<Self, ChatError> {
        let commands = chat.commands(user, conversation.id).await?;
        let (queued, conversation) = chat.queued(user, conversation.id).await?;
        let stretch = chat.stretch(user, &conversation, part).await?;
        let versions = chat.versions(user, conversation.id, &stretch.messages).await?;
        let sought = match part {
            Part::Around(message) => Some(message),
            _ => None,
        };
        let missed = sought.filter(|sought| stretch.messages.iter().all(|message| message.id != *sought));
        let elsewhere = match missed {
            Some(id) if chat.message(user, conversation.id, id).await.is_ok() => Some(id.to_string()),
            _ => None,
        };
        Ok(Self {
            context: ContextView::new(chat, &stretch.messages),
            send_key: send_key(),
            storage: chat.storage(user).await?.nearly_full(),
            queued: queued.into_iter().map(|queued| QueuedView::new(conversation.id, queued)).collect(),
            commands: commands.into_iter().map(CommandView::from).collect(),
            id: conversation.id.to_string(),
            title: conversation.title.to_string(),
            greeting: chat.config().greeting.clone(),
            max_message_chars: chat.config().max_message_chars,
            temporary: conversation.id.is_temporary(),
            switches: chat.has_optional_plugins(),
            earlier: stretch.earlier.map(|id| id.to_string()),
            later: stretch.messages.last().is_some_and(|last| Some(last.id) != conversation.head),
            elsewhere,
            messages: stretch
                .messages
                .into_iter()
                .map(|message| MessageView {
                    last: Some(message.id) == conversation.head,
                    sought: Some(message.id) == sought,
                    ..MessageView::new(message, &versions)
                })
                .collect(),
        })
    }
}

/// The messages of the open conversation, after something was done to one of them.
#[derive(Serialize)]
pub struct ThreadView {
    chat: ChatView,
    being_named: bool,
    /// What can be brought back.
    deleted: Option<String>,
}

impl ThreadView {
    /// Reads a part of what is shown now.
    pub async fn load(
        chat: &Chat,
        user: &User,
        conversation: Conversation,
        part: Part,
        deleted: Option<MessageId>,
    ) -> Result<Self, ChatError> {
        Ok(Self {
            being_named: chat.is_being_named(conversation.id),
            chat: ChatView::load(chat, user, conversation, part).await?,
            deleted: deleted.map(|id| id.to_string()),
        })
    }
}

/// One bubble.
#[derive(Serialize)]
pub struct MessageView {
    id: String,
    conversation_id: String,
    role: Role,
    content: String,
    status: MessageStatus,
    finish_reason: Option<&'static str>,
    error: Option<String>,
    marks: Vec<Mark>,
    can_retry: bool,
    /// It ended before the model was done, or a person wrote its end.
    unfinished: bool,
    /// Nothing follows it.
    last: bool,
    /// A search leads to it.
    sought: bool,
    version: Option<VersionView>,
    /// What it follows; versions have it in common.
    follows: String,
    /// When it was made, for machines and for people.
    at: [String; 2],
}

/// A message among its versions.
#[derive(Serialize)]
pub struct VersionView {
    number: u32,
    count: u32,
    previous: Option<String>,
    next: Option<String>,
}

impl MessageView {
    /// A message with its place among its versions.
    pub fn new(message: Message, versions: &Versions) -> Self {
        let version = versions.of(&message).map(|version| VersionView {
            number: version.number,
            count: version.count,
            previous: version.previous.map(|id| id.to_string()),
            next: version.next.map(|id| id.to_string()),
        });
        Self { version, ..Self::from(message) }
    }
}

impl From<Message> for MessageView {
    fn from(message: Message) -> Self {
        let live = message.status == MessageStatus::Generating;
        Self {
            id: message.id.to_string(),
            conversation_id: message.conversation_id.to_string(),
            at: [in_iso(message.created_at), in_words(message.created_at)],
            role: message.role,
            // The text of a running reply comes through its event stream, from the start.
            content: if live { String::new() } else { message.content },
            status: message.status,
            finish_reason: message.finish_reason.map(|reason| reason.as_str()),
            error: message.error,
            marks: message.marks,
            unfinished: message.status != MessageStatus::Complete
                || message.finish_reason == Some(FinishReason::Length)
                || message.usage.is_none(),
            last: message.role == Role::Assistant, // shown by itself when it has just ended
            sought: false,
            version: None,
            follows: message.parent_id.unwrap_or(MessageId::UNKNOWN).to_string(),
            can_retry: message.role == Role::Assistant
                && !live
                && message.finish_reason != Some(FinishReason::Plugin),
        }
    }
}

/// A message that waits for the end of a reply.
#[derive(Serialize)]
pub struct QueuedView {
    id: String,
    conversation_id: String,
    content: String,
    problem: Option<String>,
}

impl QueuedView {
    /// One in this conversation.
    pub fn new(conversation: ConversationId, queued: Queued) -> Self {
        Self {
            id: queued.id.to_string(),
            conversation_id: conversation.to_string(),
            content: queued.text.into_string(),
            problem: queued.problem,
        }
    }
}

/// How far the model is.
#[derive(Serialize)]
pub struct ModelView {
    state: &'static str,
    name: String,
    percent: u8,
    /// Why it failed; empty when the server is stopping.
    sentence: String,
}

impl ModelView {
    /// Of the engine's state.
    pub fn new(state: EngineState) -> Self {
        let view = |state, name, percent, sentence| Self { state, name, percent, sentence };
        match state {
            EngineState::Loading { percent } => view("loading", String::new(), percent, String::new()),
            EngineState::Ready(model) => view("ready", model.name.clone(), 100, String::new()),
            EngineState::Failed(sentence) => view("failed", String::new(), 0, sentence),
            EngineState::Stopped => view("failed", String::new(), 0, String::new()),
        }
    }
}

/// 1234567 as 1,234,567.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group));
    groups.collect::<Vec<_>>().join(",")
}
