use std::fmt;

use super::grammar::Matcher;
use super::prompt::{Origin, Prompt, PromptBuilder, Segment};
use super::{EngineError, Grammar};
use crate::domain::PromptMessage;

/// A loaded model: what is known about it, and the work that needs its vocabulary but not its turn in the queue.
pub struct Model {
    /// That of its file, by which its person knows it; the name inside is often a build's.
    pub name: String,
    /// The family, as in the file: `llama`, `qwen3` …
    pub architecture: String,
    /// Tokens that a prompt and its reply may have together.
    pub n_ctx: u32,
    /// Tokens of context that it was trained with.
    pub n_ctx_train: u32,
    /// Tokens it knows; ids are smaller.
    pub n_vocab: u32,
    /// Its weights, in bytes.
    pub size: u64,
    /// What every prompt under the operator's system prompt begins with.
    pub(super) shared: Vec<i32>,
    pub(super) prompts: PromptBuilder,
}

impl Model {
    /// How many tokens a text has inside a prompt. Takes about a millisecond for 1,000 characters: not for
    /// a thread of the async runtime.
    pub fn count_tokens(&self, text: &str) -> usize {
        self.prompts.count(text)
    }

    /// The tokens with which it ends its turn; whoever bans them makes it go on to `max_tokens`.
    pub fn end_tokens(&self) -> &[i32] {
        self.prompts.tokenizer.end_tokens()
    }

    /// How many tokens neighbouring segments of a prompt have, to within one where they are cut out of their surroundings. As
    /// slow as [`Model::count_tokens`].
    pub fn count_segments(&self, segments: &[Segment]) -> usize {
        self.prompts.inner_tokens(segments).len()
    }

    /// The prompt for a reply of up to `max_tokens` tokens: messages through the chat template, the oldest turns left out
    /// until it fits. If the last message is the assistant's, the reply continues it. As slow as [`Model::count_tokens`].
    ///
    /// # Errors
    /// [`EngineError::TooLong`] if the last message alone does not fit; [`EngineError::Template`] if the model's template
    /// refuses the messages.
    pub fn prepare(&self, messages: &[PromptMessage], max_tokens: u32) -> Result<Prompt, EngineError> {
        self.prompts.fit(messages, max_tokens as usize)
    }

    /// The prompt with other segments in place of its own. Those that it had before keep their tokens; any other is text that
    /// forms no special token, whatever origin it claims. As slow as [`Model::count_tokens`].
    ///
    /// # Errors
    /// [`EngineError::TooLong`] if it no longer fits.
    pub fn rewrite(
        &self,
        prompt: Prompt,
        segments: Vec<(Origin, String)>,
        max_tokens: u32,
    ) -> Result<Prompt, EngineError> {
        self.prompts.rewrite(prompt, segments, max_tokens as usize)
    }

    /// Whether the model can follow a grammar. Takes milliseconds: not for a thread of the async runtime.
    ///
    /// # Errors
    /// [`EngineError::Parameter`] says what is wrong with it.
    pub fn check_grammar(&self, grammar: &Grammar) -> Result<(), EngineError> {
        self.compile(grammar).map(drop)
    }

    /// A grammar as the model follows it.
    pub(super) fn compile(&self, grammar: &Grammar) -> Result<Matcher, EngineError> {
        grammar.check()?;
        self.prompts.tokenizer.compile(grammar).map_err(|why| grammar.wrong(why))
    }

    /// Tokens at the beginning of a prompt that are the operator's and not a person's: all of them, or none.
    pub(super) fn shared_tokens(&self, prompt: &[i32]) -> usize {
        if prompt.starts_with(&self.shared) { self.shared.len() } else { 0 }
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("name", &self.name).field("n_ctx", &self.n_ctx).finish_non_exhaustive()
    }
}
