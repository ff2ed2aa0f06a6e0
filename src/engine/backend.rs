use std::time::Instant;

use super::grammar::Matcher;
use super::logprobs::TokenLogprob;
use super::prompt::Prompt;
use super::task::Task;
use crate::domain::{ConversationId, UserId};

/// A request as the model sees it. Its numbers have been checked.
pub(super) struct Request {
    /// Who asked; what one person's request left in memory is never used for another's.
    pub(super) user: UserId,
    pub(super) prompt: Prompt,
    /// Tokens at the beginning of the prompt that are the operator's; they alone may be shared between people.
    pub(super) shared: usize,
    pub(super) task: Task,
    /// What the reply must look like: the task's grammar, compiled.
    pub(super) matcher: Option<Matcher>,
    /// The seed to use; never `u32::MAX`, which llama.cpp takes for "random".
    pub(super) seed: u32,
}

impl Request {
    /// Tokens that prompt and reply may have together, in a context of `n_ctx`.
    pub(super) fn longest(&self, n_ctx: usize) -> usize {
        (self.prompt.token_count() + self.task.params.max_tokens as usize).min(n_ctx)
    }
}

/// What the scheduler drives: something that turns prompts into tokens, for many requests at once.
///
/// A request is opened, prefilled piece by piece, then staged, computed and sampled once for each token, and closed. Every call
/// is short (one piece of a prompt, or one token for each running reply), for cancelling takes effect between calls. An error is a
/// sentence and ends the requests it was about. Queue, turns, stop strings, UTF-8, `max_tokens` and cancelling lie above
/// this seam.
pub(super) trait Backend {
    /// State of one request.
    type Sequence;

    /// Tokens of the prompt that are not in memory now; an estimate.
    fn missing(&self, request: &Request) -> usize;

    /// Begins a request, with what is in memory of its prompt. Called when its first piece is to be read, so that requests that
    /// came together share what the first of them brought into memory.
    fn open(&mut self, request: &Request) -> Result<Self::Sequence, String>;

    /// What the next [`Backend::prefill`] usually reads.
    fn piece(&self, sequence: &Self::Sequence) -> Piece;

    /// Reads about `limit` more tokens of the prompt. After the last of them the sequence can be sampled.
    fn prefill(&mut self, sequence: &mut Self::Sequence, limit: usize) -> Result<Prefill, String>;

    /// Puts the token that was sampled last into the next computation; false when the context is used up.
    fn stage(&mut self, sequence: &mut Self::Sequence) -> Result<bool, String>;

    /// Computes what was staged, in one go.
    fn compute(&mut self) -> Result<(), String>;

    /// The next token of a sequence that was computed; appends what it spells to `bytes`.
    fn sample(&mut self, sequence: &mut Self::Sequence, bytes: &mut Vec<u8>) -> Result<Step, String>;

    /// Whether the next token is known without a computation; then the sequence can be sampled again at once.
    fn is_certain(&self, _sequence: &Self::Sequence) -> bool {
        false
    }

    /// How likely the token was that was sampled last, and the `top` likeliest in its place; none where the model has no
    /// probabilities.
    fn logprobs(&mut self, sequence: &Self::Sequence, top: usize) -> Option<TokenLogprob>;

    /// Ends a request; what it leaves in memory may serve its person's next one.
    fn close(&mut self, sequence: Self::Sequence);

    /// Drops all that is kept of a conversation; of a reply that runs in it nothing is kept either.
    fn forget(&mut self, conversation: ConversationId);

    /// Reads what is known of somebody's next prompt already, in a quiet moment; whether there was something.
    fn read_ahead(&mut self) -> bool;

    /// Does some of what can wait for a quiet moment; whether there is more.
    fn tidy(&mut self) -> bool;
}

/// What is read of a prompt at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Piece {
    pub(super) tokens: usize,
    /// For so many tokens of the prompt a running reply may get one more; never 0.
    pub(super) for_one: usize,
}

/// How far a prompt is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Prefill {
    /// Tokens in memory now.
    pub(super) done: usize,
    /// Of these, tokens that were there when the request was opened.
    pub(super) reused: usize,
    /// … and tokens that were read just now.
    pub(super) read: usize,
}

/// What sampling brought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    /// A token; what it spells is not always whole characters, and nothing for a control token.
    Token(i32),
    /// Nothing can be done before this moment.
    Pause(Instant),
    /// The model ended its turn.
    End,
}
