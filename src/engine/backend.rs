use std::time::Instant;

use super::prompt::Prompt;
use crate::domain::{SamplingParams, UserId};

/// A request as the model sees it.
pub(super) struct Request {
    /// Who asked; what one person's request left in memory is never used for another's.
    pub(super) user: UserId,
    pub(super) prompt: Prompt,
    /// Checked.
    pub(super) params: SamplingParams,
    /// The seed to use; never `u32::MAX`, which llama.cpp takes for "random".
    pub(super) seed: u32,
}

/// What the worker drives: something that turns a prompt into tokens, one step at a time.
///
/// A step is short (one token, or one piece of a prompt), for cancelling takes effect between steps. An error is a sentence and
/// ends this request only. Queue, stop strings, UTF-8, `max_tokens` and cancelling lie above this seam.
pub(super) trait Backend {
    /// State of one request.
    type Sequence;

    /// Begins a request.
    fn open(&mut self, request: &Request) -> Result<Self::Sequence, String>;

    /// Takes a request one step further.
    fn step(&mut self, sequence: &mut Self::Sequence) -> Result<Step, String>;
}

/// What one step did.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// A piece of the prompt was read.
    Prefill {
        /// Tokens read so far.
        done: usize,
        /// Of these, tokens that were in memory already.
        reused: usize,
    },
    /// The model produced a token.
    Token {
        /// Its id.
        id: i32,
        /// What it spells; not always whole characters, and nothing for a control token.
        bytes: Vec<u8>,
    },
    /// Nothing can be done before this moment.
    Pause(Instant),
    /// The model ended its turn.
    End,
    /// The context is used up.
    Full,
}
