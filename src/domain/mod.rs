//! Plain data that every room may import: ids, people, messages, sampling parameters.
//!
//! Invariant: nothing here knows a database, a model, a script or a web server.

mod api_key;
mod conversation;
mod id;
mod message;
mod plugin_choices;
mod plugin_data;
mod sampling;
mod trace;
mod user;

pub use api_key::{ApiKey, KeyName};
pub use conversation::{Conversation, Title};
pub use id::{ApiKeyId, ConversationId, MessageId, SignInId, UserId};
pub use message::{FinishReason, Mark, Message, MessageStatus, PromptMessage, Role, Usage, UserText};
pub use plugin_choices::{OperatorChoices, PersonChoices, SettingChanges, SettingValues};
pub use plugin_data::{KvQuota, KvScope, KvShelf};
pub use sampling::{OutOfRange, SamplingParams};
pub use trace::{
    Calls, Change, HookOutcome, HookTrace, ParamTrace, PartOrigin, PromptPart, Reread, SetBy, Spent, Trace,
};
pub use user::{User, UserName, UserRole};

/// Milliseconds since the Unix epoch, UTC: the one notion of time that is stored.
pub type UnixMillis = i64;

/// The current time.
pub fn now() -> UnixMillis {
    jiff::Timestamp::now().as_millisecond()
}

/// A moment as people read it, to the minute, in UTC.
pub fn in_words(time: UnixMillis) -> String {
    let time = jiff::Timestamp::from_millisecond(time).unwrap_or_default();
    time.strftime("%-d %b %Y, %H:%M UTC").to_string()
}

/// A moment as machines read it: `2026-01-31T12:00:00Z`.
pub fn in_iso(time: UnixMillis) -> String {
    let time = jiff::Timestamp::from_millisecond(time).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A sentence that tells a person why their input was refused and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);
