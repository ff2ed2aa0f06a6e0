use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;

use super::sampler;
use crate::domain::UserId;
use crate::engine::backend::{Backend, Request, Step};

/// The only sequence of the context.
const SEQUENCE: i32 = 0;

/// The model's context, and what lies in it.
///
/// The last request's tokens stay in memory: the same person's next prompt reads only what differs. Prompts are read in
/// pieces that begin at multiples of `piece`, and reuse ends at one too, so that the same prompt goes through the same
/// computation whether or not it was in memory, and a fixed seed repeats word for word.
pub(super) struct Decoder<'model> {
    model: &'model LlamaModel,
    context: LlamaContext<'model>,
    batch: LlamaBatch<'static>,
    piece: usize,
    n_ctx: usize,
    /// The tokens in memory, by position.
    cached: Vec<LlamaToken>,
    /// Whose they are: one person's are never used for another.
    owner: Option<UserId>,
}

/// One request.
pub(super) struct Sequence {
    prompt: Vec<LlamaToken>,
    reused: usize,
    sampler: LlamaSampler,
    /// Produced, not yet read by the model itself.
    pending: Option<LlamaToken>,
}

impl<'model> Decoder<'model> {
    /// At most `n_ctx` tokens, which the context must have, are in memory at a time. `piece` tokens of a prompt are
    /// read in one step, at most the context's `n_batch`.
    pub(super) fn new(
        model: &'model LlamaModel,
        context: LlamaContext<'model>,
        n_ctx: usize,
        piece: usize,
    ) -> Self {
        let piece = piece.clamp(1, context.n_batch() as usize);
        Self {
            model,
            context,
            batch: LlamaBatch::new(piece, 1),
            piece,
            n_ctx,
            cached: Vec::new(),
            owner: None,
        }
    }

    /// Keeps of what is in memory only what this prompt begins with; how many tokens that is.
    fn keep_prefix(&mut self, prompt: &[LlamaToken]) -> usize {
        let common = prompt.iter().zip(&self.cached).take_while(|(new, old)| new == old).count();
        // The last token of the prompt is always read again: its outcome is what the reply starts from.
        let keep = common.min(prompt.len() - 1) / self.piece * self.piece;
        let kept = keep > 0
            && u32::try_from(keep).is_ok_and(|keep| {
                matches!(
                    self.context.clear_kv_cache_seq(Some(SEQUENCE.unsigned_abs()), Some(keep), None),
                    Ok(true)
                )
            });
        if kept {
            self.cached.truncate(keep);
        } else {
            self.forget();
        }
        self.cached.len()
    }

    fn forget(&mut self) {
        self.context.clear_kv_cache();
        self.cached.clear();
    }

    /// Reads tokens at the end of what is in memory; the outcome of the last one can then be sampled.
    fn read(&mut self, tokens: &[LlamaToken]) -> Result<(), String> {
        let start = self.cached.len();
        if tokens.is_empty() || tokens.len() > self.piece || start + tokens.len() > self.n_ctx {
            return Err("The engine was given more than fits the context; this should not happen.".into());
        }
        self.batch.clear();
        for (offset, &token) in tokens.iter().enumerate() {
            let position = i32::try_from(start + offset).map_err(|error| error.to_string())?;
            let last = offset + 1 == tokens.len();
            self.batch.add(token, position, &[SEQUENCE], last).map_err(|error| error.to_string())?;
        }
        if let Err(error) = self.context.decode(&mut self.batch) {
            // What a failed call leaves behind is undefined.
            self.forget();
            return Err(format!("The model could not go on ({error}); try again."));
        }
        self.cached.extend_from_slice(tokens);
        Ok(())
    }
}

impl Backend for Decoder<'_> {
    type Sequence = Sequence;

    fn open(&mut self, request: &Request) -> Result<Sequence, String> {
        let prompt: Vec<_> = request.prompt.tokens.iter().map(|&token| LlamaToken(token)).collect();
        let known = 0..self.model.n_vocab();
        if prompt.is_empty()
            || prompt.len() >= self.n_ctx
            || prompt.iter().any(|token| !known.contains(&token.0))
        {
            return Err("This prompt was not made for this model; try again.".into());
        }
        if self.owner.replace(request.user) != Some(request.user) {
            self.forget();
        }
        let reused = self.keep_prefix(&prompt);
        let sampler = sampler::chain(self.model, &request.params, request.seed, &prompt, self.n_ctx);
        Ok(Sequence { prompt, reused, sampler, pending: None })
    }

    fn step(&mut self, sequence: &mut Sequence) -> Result<Step, String> {
        let done = self.cached.len();
        if done < sequence.prompt.len() {
            let end = sequence.prompt.len().min(done + self.piece);
            self.read(&sequence.prompt[done..end])?;
            return Ok(Step::Prefill { done: end, reused: sequence.reused });
        }
        if let Some(token) = sequence.pending.take() {
            if done >= self.n_ctx {
                return Ok(Step::Full);
            }
            self.read(&[token])?;
        }
        let token = sequence.sampler.sample(&self.context, -1);
        let vocab = self.model.vocab();
        if vocab.is_eog(token) {
            return Ok(Step::End);
        }
        sequence.pending = Some(token);
        Ok(Step::Token { id: token.0, bytes: vocab.token_to_piece(token, false, None) })
    }
}
