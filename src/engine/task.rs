use super::Grammar;
use crate::domain::{ConversationId, SamplingParams};

/// Most alternatives that a token comes with; as many as the OpenAI API allows.
pub(super) const MOST_LOGPROBS: u32 = 20;

/// What is wanted of a reply, beside its prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// How tokens are chosen and when the reply ends.
    pub params: SamplingParams,
    /// The conversation it belongs to, by which [`super::Engine::forget`] finds what is kept of it.
    pub conversation: Option<ConversationId>,
    /// Who goes first.
    pub priority: Priority,
    /// Whether the reply may stay in memory, and on disk, for the next turn. Not so where a plugin may still take text
    /// back: what it removes is kept nowhere.
    pub keep_reply: bool,
    /// What the reply must look like.
    pub grammar: Option<Grammar>,
    /// Whether each token comes with its probability, and with those of how many others, at most 20.
    pub logprobs: Option<u32>,
}

/// Who goes first in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// Somebody waits for it.
    #[default]
    Interactive,
    /// Nobody does: it begins when nobody else waits, stands still while anything else runs, and is cancelled when its room
    /// is needed.
    Background,
}

impl From<SamplingParams> for Task {
    fn from(params: SamplingParams) -> Self {
        Self {
            params,
            conversation: None,
            priority: Priority::default(),
            keep_reply: true,
            grammar: None,
            logprobs: None,
        }
    }
}
