//! The contract: the hooks that a script may define, and what goes in and out.

use rhai::{Dynamic, Map};

use super::trace::Recorder;
use crate::domain::{ConversationId, PromptMessage, SamplingParams, UserId};

/// Declares the hooks: each is a function of a script, found by its name and its parameters.
macro_rules! hooks {
    ($($(#[$doc:meta])* $variant:ident = $name:literal ($($parameter:literal),+);)+) => {
        /// A function that a script may define and the host calls.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Hook { $($(#[$doc])* $variant,)+ }

        impl Hook {
            /// Every hook, in the order in which a message meets them.
            pub const ALL: &'static [Hook] = &[$(Self::$variant),+];

            /// The function's name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The names of its parameters, as the manual writes them.
            pub fn parameters(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($parameter),+]),+ }
            }
        }
    };
}

hooks! {
    /// The user typed `/name args`: what `on_message` may return, whose plugins get it next. Only one plugin gets it.
    Command = "command_<name>" ("ctx", "args");
    /// The user's message arrived, before it is stored: `()`, a new text, `reply(text)` or `deny(reason)`.
    OnMessage = "on_message" ("ctx", "text");
    /// The prompt is constructed, before the chat template: `()` or the changed draft.
    OnPrompt = "on_prompt" ("ctx", "draft");
    /// The chat template was rendered, before it becomes tokens: `()` or the changed segments. Only those of the template parse
    /// special tokens, and they cannot be changed, only moved or left out.
    OnRendered = "on_rendered" ("ctx", "segments");
    /// Text leaves the model: `()`, a new text, `stop()` or `stop(text)`. With `hold: n` it also gets the last n characters
    /// that came before, which are kept back until more has come.
    OnChunk = "on_chunk" ("ctx", "text");
    /// The reply is complete, before it is stored as finished: `()`, a new text or, with `hold: "reply"`, `retry(hint)`.
    OnResponse = "on_response" ("ctx", "text");
    /// A conversation gets its name, after its first exchange: `()` or a title. The first plugin that has one names it.
    OnTitle = "on_title" ("ctx", "messages");
}

impl Hook {
    /// The way out runs in the reverse of the priority order.
    pub(super) fn is_on_the_way_out(self) -> bool {
        matches!(self, Self::OnChunk | Self::OnResponse)
    }
}

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestSource {
    /// A browser.
    Web,
    /// The JSON API.
    Api,
}

/// What every hook is told about the request: the read-only `ctx` of a script, which also holds its `settings` and the
/// person's `user_settings`.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where the request came from: `ctx.source`, "web" or "api".
    pub source: RequestSource,
    /// What is being made: `ctx.kind`, "chat" for a reply, "title" for a conversation's name.
    pub kind: &'static str,
    /// The person's account name: `ctx.user`.
    pub user: String,
    /// The account; what `kv_get("user", …)` goes by. A script does not see it.
    pub user_id: UserId,
    /// The conversation's id, where there is one: `ctx.conversation`, else `()`.
    pub conversation: Option<ConversationId>,
    /// The model's name: `ctx.model`.
    pub model: String,
    /// Where the hooks write down what they did. A script does not see it.
    pub trace: Recorder,
}

impl Context {
    pub(super) fn to_script(&self, settings: &Dynamic, user_settings: &Dynamic) -> Dynamic {
        let source = match self.source {
            RequestSource::Web => "web",
            RequestSource::Api => "api",
        };
        let conversation = self.conversation.map_or(Dynamic::UNIT, |id| id.to_string().into());
        let entries: [(&str, Dynamic); 7] = [
            ("source", source.into()),
            ("kind", self.kind.into()),
            ("user", self.user.clone().into()),
            ("conversation", conversation),
            ("model", self.model.clone().into()),
            ("settings", settings.clone()),
            ("user_settings", user_settings.clone()),
        ];
        let map: Map = entries.into_iter().map(|(key, value)| (key.into(), value)).collect();
        Dynamic::from_map(map).into_read_only()
    }
}

/// The request to the model, as `on_prompt` sees it. A script finds `stop` beside `params`, not in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Draft {
    /// The conversation, oldest first.
    pub messages: Vec<PromptMessage>,
    /// How the reply is sampled and when it ends.
    pub params: SamplingParams,
    /// What the reply must look like, in GBNF; not together with `json_schema`.
    pub grammar: Option<String>,
    /// What JSON the reply must be: the text of a schema.
    pub json_schema: Option<String>,
    /// What the reply begins with.
    pub prefill: Option<String>,
}

/// A stretch of a rendered prompt, `#{origin, text}` in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedSegment {
    /// Where it comes from.
    pub origin: SegmentOrigin,
    /// What it says.
    pub text: String,
}

/// Where a stretch of a rendered prompt comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentOrigin {
    /// The model's chat template.
    Template,
    /// A system message.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// `on_rendered` of a plugin.
    Plugin,
}

impl SegmentOrigin {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Template, Self::System, Self::User, Self::Assistant, Self::Plugin];

    /// As a script reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Plugin => "plugin",
        }
    }

    /// The inverse of `as_str`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.as_str() == text)
    }
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageAction {
    /// It goes on, perhaps rewritten.
    Continue(String),
    /// A plugin answers in place of the model.
    Reply {
        /// The message, as far as it was rewritten before.
        message: String,
        /// The answer.
        reply: String,
    },
}

/// What becomes of a complete reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseAction {
    /// It is kept, perhaps changed.
    Keep(String),
    /// It is thrown away unseen and written anew.
    Retry(Retry),
}

/// A plugin wants a reply written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// The plugin's id.
    pub plugin: String,
    /// What the model should do differently; not blank.
    pub hint: String,
}

/// A plugin refused, or one that must not be skipped failed: nothing may be written or sent on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("The plugin {plugin} refused: {reason}")]
pub struct Denied {
    /// The plugin's id.
    pub plugin: String,
    /// The reason that it gave, or what is wrong with it.
    pub reason: String,
}
