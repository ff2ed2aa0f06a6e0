//! What templates receive: views, never rows.

use serde::Serialize;

use super::error::WebError;
use super::plugin_form_view::PluginFormView;
use crate::accounts::Accounts;
use crate::chat::{Chat, ChatError};
use crate::domain::{
    ApiKey, Conversation, FinishReason, KeyName, Mark, Message, MessageStatus, Role, User, UserRole, in_words,
};
use crate::engine::EngineState;
use crate::plugins::Command;
use crate::store::Turn;

/// The whole page, and every partial of it.
#[derive(Serialize)]
pub struct PageView {
    user: UserView,
    conversations: Vec<ConversationView>,
    chat: ChatView,
    model: ModelView,
    being_named: bool,
}

impl PageView {
    /// Reads what the page of one conversation shows.
    pub async fn load(chat: &Chat, user: &User, conversation: Conversation) -> Result<Self, ChatError> {
        let messages = chat.messages(user, conversation.id).await?;
        let sidebar = SidebarView::load(chat, user, Some(&conversation)).await?;
        Ok(Self {
            user: UserView::new(user),
            conversations: sidebar.conversations,
            model: ModelView::new(chat.engine_state()),
            being_named: chat.is_being_named(conversation.id),
            chat: ChatView::load(chat, user, conversation, messages).await?,
        })
    }
}

/// What a sent message adds to the page: two bubbles, and a title that may be new.
#[derive(Serialize)]
pub struct TurnView {
    messages: [MessageView; 2],
    naming: bool,
    chat: ConversationView,
    conversations: Vec<ConversationView>,
}

impl TurnView {
    /// Reads what changed around the turn.
    pub async fn load(chat: &Chat, user: &User, open: &Conversation, turn: Turn) -> Result<Self, ChatError> {
        Ok(Self {
            messages: [turn.user_message, turn.reply].map(MessageView::from),
            naming: chat.is_being_named(open.id),
            chat: ConversationView::new(open, true),
            conversations: SidebarView::load(chat, user, Some(open)).await?.conversations,
        })
    }
}

/// The list of conversations.
#[derive(Serialize)]
pub struct SidebarView {
    conversations: Vec<ConversationView>,
}

impl SidebarView {
    /// Reads the person's conversations; `open` is the one on the screen.
    pub async fn load(chat: &Chat, user: &User, open: Option<&Conversation>) -> Result<Self, ChatError> {
        let open = open.map(|conversation| conversation.id);
        let conversations = chat.conversations(user).await?;
        let conversations =
            conversations.iter().map(|c| ConversationView::new(c, Some(c.id) == open)).collect();
        Ok(Self { conversations })
    }
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

/// One row of the sidebar.
#[derive(Serialize)]
pub struct ConversationView {
    id: String,
    title: String,
    active: bool,
}

impl ConversationView {
    /// `active` marks the conversation on the screen.
    pub fn new(conversation: &Conversation, active: bool) -> Self {
        Self { id: conversation.id.to_string(), title: conversation.title.to_string(), active }
    }
}

/// The open conversation.
#[derive(Serialize)]
pub struct ChatView {
    id: String,
    title: String,
    greeting: String,
    max_message_chars: usize,
    /// Whether there are plugins to turn off.
    switches: bool,
    messages: Vec<MessageView>,
    commands: Vec<CommandView>,
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
        messages: Vec<Message>,
    ) -> Result<Self, ChatError> {
        let commands = chat.commands(user, conversation.id).await?;
        Ok(Self {
            commands: commands.into_iter().map(CommandView::from).collect(),
            id: conversation.id.to_string(),
            title: conversation.title.to_string(),
            greeting: chat.config().greeting.clone(),
            max_message_chars: chat.config().max_message_chars,
            switches: chat.has_optional_plugins(),
            messages: messages.into_iter().map(MessageView::from).collect(),
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
}

impl From<Message> for MessageView {
    fn from(message: Message) -> Self {
        let live = message.status == MessageStatus::Generating;
        Self {
            id: message.id.to_string(),
            conversation_id: message.conversation_id.to_string(),
            role: message.role,
            // The text of a running reply comes through its event stream, from the start.
            content: if live { String::new() } else { message.content },
            status: message.status,
            finish_reason: message.finish_reason.map(|reason| reason.as_str()),
            error: message.error,
            marks: message.marks,
            can_retry: message.role == Role::Assistant
                && !live
                && message.finish_reason != Some(FinishReason::Plugin),
        }
    }
}

/// How far the model is.
#[derive(Serialize)]
pub struct ModelView {
    state: &'static str,
    name: String,
    percent: u8,
    sentence: String,
}

impl ModelView {
    /// Puts the engine's state into words.
    pub fn new(state: EngineState) -> Self {
        let view = |state, name, percent, sentence| Self { state, name, percent, sentence };
        match state {
            EngineState::Loading { percent } => {
                view("loading", String::new(), percent, format!("The model is loading: {percent} %."))
            }
            EngineState::Ready(model) => view("ready", model.name.clone(), 100, String::new()),
            EngineState::Failed(sentence) => view("failed", String::new(), 0, sentence),
            EngineState::Stopped => view("failed", String::new(), 0, "The server is stopping.".into()),
        }
    }
}

/// The page of one's own account, and every part of it.
#[derive(Serialize)]
pub struct AccountView {
    user: UserView,
    keys: Vec<KeyView>,
    max_name_chars: usize,
    min_password_chars: usize,
    plugins: Vec<PluginFormView>,
    said: Said,
}

/// What the page says about what was just done.
#[derive(Default, Serialize)]
pub struct Said {
    /// A new API key, shown this once.
    pub secret: Option<String>,
    /// Why no key was made.
    pub key_error: Option<String>,
    /// The password is a new one.
    pub password_changed: bool,
    /// Why it is not.
    pub password_error: Option<String>,
    /// Browsers that were signed out.
    pub signed_out: Option<u64>,
}

impl AccountView {
    /// Reads what the page shows.
    pub async fn load(accounts: &Accounts, chat: &Chat, user: &User, said: Said) -> Result<Self, WebError> {
        Ok(Self {
            user: UserView::new(user),
            keys: accounts.keys(user).await?.into_iter().map(KeyView::from).collect(),
            max_name_chars: KeyName::MAX_CHARS,
            min_password_chars: accounts.config().min_password_chars,
            plugins: PluginFormView::of_person(chat, user).await?,
            said,
        })
    }

    /// The page with one form as it was just filled in.
    pub fn with_form(mut self, filled: PluginFormView) -> Self {
        for form in &mut self.plugins {
            if form.plugin == filled.plugin {
                form.clone_from(&filled);
            }
        }
        self
    }
}

/// One API key.
#[derive(Serialize)]
pub struct KeyView {
    id: String,
    name: String,
    hint: String,
    created: String,
    last_used: Option<String>,
}

impl From<ApiKey> for KeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.to_string(),
            hint: key.hint,
            created: in_words(key.created_at),
            last_used: key.last_used_at.map(in_words),
        }
    }
}

/// 1234567 as 1,234,567.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group));
    groups.collect::<Vec<_>>().join(",")
}
