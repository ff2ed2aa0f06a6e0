//! What a program asks for, and what it gets.

use crate::domain::{FinishReason, Mark, PromptMessage, SamplingParams, Usage};
use crate::engine::{Grammar, Timings, TokenLogprob};

/// What a program asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionRequest {
    /// The conversation, oldest first; not empty. A last message of the assistant's is continued.
    pub messages: Vec<PromptMessage>,
    /// How the reply is sampled and when it ends.
    pub params: SamplingParams,
    /// Goes on to `max_tokens` where the model would end: for measurements.
    pub ignore_eos: bool,
    /// What the reply must look like.
    pub grammar: Option<Grammar>,
    /// Whether each token comes with its probability, and with those of how many others.
    pub logprobs: Option<u32>,
}

/// One step of a completion.
#[derive(Debug, Clone, PartialEq)]
pub enum CompletionEvent {
    /// The next piece of the reply.
    Piece(Piece),
    /// The reply is whole; nothing follows.
    End(CompletionEnd),
}

/// A piece of a reply.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Piece {
    /// Its text.
    pub text: String,
    /// How likely its tokens were, where that was asked for.
    pub logprobs: Vec<TokenLogprob>,
}

/// How a completion ended and what it cost.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionEnd {
    /// Why it ended.
    pub reason: FinishReason,
    /// Tokens in and out; none where a plugin answered.
    pub usage: Usage,
    /// Where the time went.
    pub timings: Timings,
    /// What the reader should know: a plugin that was skipped, turns that were left out.
    pub marks: Vec<Mark>,
}
