//! Plain data that every room may import: ids, people, messages, sampling parameters.
//!
//! Invariant: nothing here knows a database, a model, a script or a web server.

mod api_key;
mod conversation;
mod id;
mod message;
mod parameter;
mod parameters;
mod plugin_choices;
mod plugin_data;
mod preset;
mod sampling;
mod search;
mod send_key;
mod time;
mod trace;
mod user;

pub use api_key::{ApiKey, KeyName};
pub use conversation::{Conversation, Shelf, Title};
pub use id::{ApiKeyId, ConversationId, KnownBrowser, MessageId, PresetId, SignInId, UserId};
pub use message::{FinishReason, Mark, Message, MessageStatus, PromptMessage, Role, Usage, UserText};
pub use parameter::{Parameter, ParameterKind};
pub use parameters::{Level, ParameterLevels, Parameters};
pub use plugin_choices::{OperatorChoices, PersonChoices, SettingChanges, SettingValues};
pub use plugin_data::{KvQuota, KvScope, KvShelf};
pub use preset::{Preset, PresetName};
pub use sampling::{OutOfRange, Range, SamplingParams};
pub use search::{Piece, Search, Term, is_spaceless};
pub use send_key::SendKey;
pub use time::{UnixMillis, in_iso, in_words, now, period};
pub use trace::{
    Calls, Change, HookOutcome, HookTrace, ParamTrace, PartOrigin, PromptPart, Reread, SetBy, Spent, Trace,
};
pub use user::{User, UserName, UserRole};

/// A sentence that tells a person why their input was refused and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);
