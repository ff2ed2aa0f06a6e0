//! The application: ties store, plugins and engine into the life of one reply.
//!
//! Invariants: no Rocket here; a place in the queue comes before anything is written; a reply runs in a task of
//! the server's and never in a connection; what a holding plugin has not released is neither live nor stored.

mod answer;
mod aside;
mod attempts;
mod checkpoints;
mod completion;
mod conversations;
mod delivery;
mod error;
mod export;
mod follow;
mod housekeeping;
mod import;
mod live;
mod parameters;
mod plugin_settings;
mod prompt;
mod queued;
mod reasoning;
mod render;
mod request;
mod services;
mod storage;
mod stretch;
mod title;
mod trace;
mod turn;
mod versions;
mod workshop;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use completion::Completion;
pub use conversations::Hit;
pub use delivery::CompletionEvents;
pub use error::ChatError;
pub use export::Export;
pub use follow::{Follower, ReplyEvent};
pub use housekeeping::check_database;
pub use import::Taken;
pub use live::{Live, LiveReply, LiveWriter};
pub use parameters::{PRESET_FIELD, ParameterField, Refused, Typed};
pub use plugin_settings::{Filled, PluginSwitch};
pub use queued::{Queued, Sent};
pub use request::{CompletionEnd, CompletionEvent, CompletionRequest, Piece};
pub use services::services;
pub use storage::Storage;
pub use stretch::{Part, Stretch};
pub use workshop::{Script, restore_plugin_states};

use self::trace::Story;
use self::turn::ReplyTask;
use crate::config::{ChatConfig, LimitsConfig};
use crate::domain::{
    ConversationId, Invalid, Mark, Message, MessageId, PromptMessage, Role, SamplingParams, SendKey, Title,
    User, UserId, UserText,
};
use crate::engine::{Engine, EngineState, Model, Place};
use crate::plugins::{Context, MessageAction, PluginSet, Plugins, Recorder, RequestSource};
use crate::store::{NewTurn, Store, StoreError, Turn};

/// The chat service: one for the whole server, cheap to clone.
#[derive(Clone)]
pub struct Chat {
    store: Store,
    plugins: Plugins,
    engine: Engine,
    live: Live,
    naming: title::Naming,
    queues: queued::Queues,
    imports: storage::Imports,
    sums: storage::Sums,
    config: ChatConfig,
    generation: SamplingParams,
    limits: LimitsConfig,
    stopping: Arc<watch::Sender<bool>>,
    // Each running reply holds one receiver, so that the shutdown can wait for the last.
    running: Arc<watch::Sender<()>>,
}

impl Chat {
    /// Ties the rooms together. `stopping` becomes true when the server stops.
    pub fn new(
        store: Store,
        plugins: Plugins,
        engine: Engine,
        config: ChatConfig,
        generation: SamplingParams,
        limits: LimitsConfig,
        stopping: Arc<watch::Sender<bool>>,
    ) -> Self {
        Self {
            store,
            plugins,
            engine,
            live: Live::default(),
            naming: title::Naming::default(),
            queues: queued::Queues::default(),
            imports: storage::Imports::default(),
            sums: storage::Sums::default(),
            config,
            generation,
            limits,
            stopping,
            running: Arc::new(watch::Sender::new(())),
        }
    }

    /// Limits and texts of a conversation.
    pub fn config(&self) -> &ChatConfig {
        &self.config
    }

    /// How far the model is.
    pub fn engine_state(&self) -> EngineState {
        self.engine.state()
    }

    /// The model, once it is loaded.
    pub fn model(&self) -> Result<Arc<Model>, ChatError> {
        Ok(self.engine.model()?)
    }

    /// The operator's sampling parameters.
    pub fn generation(&self) -> &SamplingParams {
        &self.generation
    }

    /// A message as typed, checked against the operator's limit.
    pub fn parse_text(&self, text: &str) -> Result<UserText, Invalid> {
        UserText::parse(text, self.config.max_message_chars)
    }

    /// Sends a message: takes a place, asks the plugins, writes both messages, starts the reply.
    pub async fn send(
        &self,
        user: &User,
        conversation: ConversationId,
        text: UserText,
        key: Option<SendKey>,
    ) -> Result<Turn, ChatError> {
        self.check_quiet(user, conversation).await?;
        self.turn(user, conversation, None, text, key).await
    }

    /// A turn in a quiet conversation, perhaps with another version of a message.
    async fn turn(
        &self,
        user: &User,
        conversation: ConversationId,
        instead_of: Option<MessageId>,
        text: UserText,
        key: Option<SendKey>,
    ) -> Result<Turn, ChatError> {
        self.storage(user).await?.check()?;
        let place = self.engine.reserve(user.id)?;
        let plugins = self.plugins_of(user, Some(conversation)).await?;
        let context = self.context(user, conversation);
        let outcome = plugins.on_message(&context, text.into_string()).await.map_err(ChatError::Denied)?;
        match outcome.action {
            MessageAction::Continue(text) => {
                let text = self.parse_text(&text)?;
                self.check_fits(user.id, conversation, text.as_str()).await?;
                let turn = self.new_turn(conversation, instead_of, text.into_string(), outcome.marks);
                let turn = NewTurn { key, ..turn };
                let writer = self.live.open(turn.reply_id);
                let turn = self.store.begin_turn(user.id, conversation, turn).await?;
                self.sums.add(user.id, &turn.user_message.content);
                self.start(user.id, turn.reply.clone(), place, writer, plugins, context);
                Ok(turn)
            }
            MessageAction::Reply { message, reply } => {
                let mut marks = outcome.marks;
                let reply = answer::release(&plugins, &context, reply, &mut marks).await?;
                let message = self.parse_text(&message)?.into_string();
                let turn = self.new_turn(conversation, instead_of, message, turn::without_doubles(marks));
                let turn = NewTurn { key, ..turn };
                let trace = Story::default().end(&context.trace).await;
                let begun = self.store.begin_answered_turn(user.id, conversation, turn, reply, &trace);
                let turn = begun.await?;
                if let Some(begun) = title::begin(self, &plugins, user.id, conversation).await {
                    let (chat, user) = (self.clone(), user.id);
                    tokio::spawn(async move { begun.name(&chat, &plugins, &context, user).await });
                }
                Ok(turn)
            }
        }
    }

    /// Stops a running reply and keeps its text; nothing happens to one that is over.
    pub async fn stop(
        &self,
        user: &User,
        conversation: ConversationId,
        reply: MessageId,
    ) -> Result<(), ChatError> {
        self.message(user, conversation, reply).await?;
        self.live.stop(reply);
        Ok(())
    }

    /// A view of a reply from a position on, whether it runs or is over.
    pub async fn follow(
        &self,
        user: &User,
        conversation: ConversationId,
        reply: MessageId,
        position: usize,
    ) -> Result<Follower, ChatError> {
        // Live first: a reply that ends between the two look-ups is then found in the store, whole.
        let view = self.live.view(reply);
        let message = self.message(user, conversation, reply).await?;
        Ok(match view {
            Some(view) => Follower::live(view, position),
            None => Follower::stored(message, position),
        })
    }

    /// Ends every running reply as interrupted, with its text so far, and waits until that is stored.
    pub async fn shut_down(&self, at_most: Duration) {
        self.stopping.send_replace(true);
        if tokio::time::timeout(at_most, self.running.closed()).await.is_err() {
            tracing::warn!("some replies did not end in time; they are marked interrupted at the next start");
        }
    }

    /// Refuses early while a reply runs in the conversation; the transaction that begins a turn decides.
    async fn check_quiet(&self, user: &User, conversation: ConversationId) -> Result<(), ChatError> {
        let head = self.conversation(user, conversation).await?.head;
        match head.is_some_and(|head| self.live.view(head).is_some()) {
            true => Err(StoreError::ReplyRunning.into()),
            false => Ok(()),
        }
    }

    /// Refuses a message that cannot fit the context even alone, before anything is written.
    async fn check_fits(
        &self,
        user: UserId,
        conversation: ConversationId,
        text: &str,
    ) -> Result<(), ChatError> {
        let model = self.engine.model()?;
        let own = self.in_effect(user, conversation).await?;
        let message = PromptMessage { role: Role::User, content: text.to_owned(), token_ids: None };
        let messages: Vec<_> = prompt::system(&own.system_prompt).into_iter().chain([message]).collect();
        let max_tokens = own.params.max_tokens;
        tokio::task::spawn_blocking(move || model.prepare(&messages, max_tokens).map(drop))
            .await
            .map_err(|_| ChatError::Panicked)?
            .map_err(ChatError::Engine)
    }

    fn new_turn(
        &self,
        conversation: ConversationId,
        instead_of: Option<MessageId>,
        text: String,
        marks: Vec<Mark>,
    ) -> NewTurn {
        let title = Title::from_first_words(&text, self.config.max_title_chars);
        NewTurn { reply_id: MessageId::within(conversation), instead_of, text, title, marks, key: None }
    }

    fn context(&self, user: &User, conversation: ConversationId) -> Context {
        Context {
            source: RequestSource::Web,
            kind: "chat",
            user: user.name.to_string(),
            user_id: user.id,
            conversation: Some(conversation),
            model: self.engine.model().map(|model| model.name.clone()).unwrap_or_default(),
            trace: Recorder::whole(),
        }
    }

    /// Hands a reply to a task of the server's. It was opened before it was written, so that whoever finds it in the
    /// store as running finds it live.
    fn start(
        &self,
        user: UserId,
        reply: Message,
        place: Place,
        writer: LiveWriter,
        plugins: Arc<PluginSet>,
        context: Context,
    ) {
        let running = self.running.subscribe();
        let (store, id) = (self.store.clone(), reply.id);
        let task = ReplyTask { chat: self.clone(), user, reply, plugins: plugins.clone(), context };
        tokio::spawn(async move {
            if plugins.spawn(task.run(place, writer)).await.is_err() {
                let outcome = turn::failed(ChatError::Panicked.to_string(), Vec::new());
                if let Err(error) = store.finish(id, &outcome).await {
                    tracing::error!(reply = %id, %error, "a broken reply is marked at the next start");
                }
            }
            drop(running);
        });
    }
}

/// A mark that the host itself makes.
fn host_mark(text: String) -> Mark {
    Mark { source: "fireside".into(), text }
}
