use std::collections::VecDeque;

use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use super::cells::id;
use super::chooser::Chooser;
use super::memory::Memory;
use super::pieces::Pieces;
use super::sampler;
use super::sequence::Sequence;
use super::trail::Trail;
use crate::domain::ConversationId;
use crate::engine::Priority;
use crate::engine::backend::{Backend, Piece, Prefill, Request, Step};
use crate::engine::grammar::Constraint;
use crate::engine::logprobs::{TokenLogprob, logprobs};

/// llama.cpp's name for the last output of a computation.
const LAST_OUTPUT: i32 = -1;

/// The model at work: pieces of prompts, and batches of what running replies said last, mostly one token each.
pub(super) struct Decoder<'model> {
    model: &'model LlamaModel,
    memory: Memory<'model>,
    batch: LlamaBatch<'static>,
    sizes: Sizes,
    /// The tokens that come between a reply and its person's next message; none where they are not read ahead.
    between_turns: Vec<i32>,
    /// Sequences of the next computation, and their tokens.
    staged: Vec<(usize, i32)>,
    /// Where the last computation left the outcome of each sequence.
    outputs: Vec<i32>,
}

/// Sizes of a computation, in tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Pieces of a prompt.
    pub(super) pieces: Pieces,
    /// The longest rest of a prompt that is read as one piece; at most the context's `n_batch`.
    pub(super) short: usize,
    /// Replies that go on together; at most the context's `n_batch`.
    pub(super) parallel: usize,
    /// A conversation.
    pub(super) n_ctx: usize,
    /// Whether the reply itself is computed again as a part of the next prompt.
    pub(super) reread_replies: bool,
}

impl Sizes {
    /// Tokens of one batch.
    fn batch(&self) -> usize {
        self.short.max(self.parallel)
    }

    /// Most tokens that a reply which needs not choose reads in one computation: all of them have room in a batch.
    fn leap(&self) -> usize {
        self.batch() / self.parallel.max(1)
    }
}

impl<'model> Decoder<'model> {
    pub(super) fn new(
        model: &'model LlamaModel,
        memory: Memory<'model>,
        sizes: Sizes,
        between_turns: Vec<i32>,
    ) -> Self {
        let batch = LlamaBatch::new(sizes.batch(), 1);
        let outputs = vec![LAST_OUTPUT; memory.sequences()];
        let staged = Vec::with_capacity(sizes.batch());
        Self { model, memory, batch, sizes, between_turns, staged, outputs }
    }

    fn held(&self, sequence: usize) -> usize {
        self.memory.trail(sequence).map_or(0, Trail::len)
    }

    fn add(&mut self, token: i32, position: usize, sequence: usize, output: bool) -> Result<(), String> {
        let position = i32::try_from(position).map_err(|error| error.to_string())?;
        let added = self.batch.add(LlamaToken(token), position, &[id(sequence)], output);
        added.map_err(|error| error.to_string())
    }

    fn compute_staged(&mut self) -> Result<(), String> {
        self.batch.clear();
        let (mut last, mut offset) = (None, 0);
        for at in 0..self.staged.len() {
            let (sequence, token) = self.staged[at];
            offset = if last == Some(sequence) { offset + 1 } else { 0 };
            last = Some(sequence);
            let is_last = self.staged.get(at + 1).is_none_or(|next| next.0 != sequence);
            self.outputs[sequence] = self.batch.n_tokens();
            self.add(token, self.held(sequence) + offset, sequence, is_last)?;
        }
        let computed = self.memory.context().decode(&mut self.batch);
        computed.map_err(|error| format!("The model could not go on ({error}); try again."))
    }

    /// Reads tokens at the end of a sequence; at the `end` of a prompt the outcome of the last one can then be sampled.
    fn read(&mut self, sequence: usize, tokens: &[i32], end: bool) -> Result<(), String> {
        let start = self.held(sequence);
        if tokens.is_empty() || tokens.len() > self.sizes.short || start + tokens.len() > self.sizes.n_ctx {
            return Err("The engine was given more than fits the context; this should not happen.".into());
        }
        self.batch.clear();
        for (offset, &token) in tokens.iter().enumerate() {
            self.add(token, start + offset, sequence, end && offset + 1 == tokens.len())?;
        }
        let computed = self.memory.context().decode(&mut self.batch);
        self.batch.clear();
        if let Err(error) = computed {
            self.memory.spoil(sequence);
            return Err(format!("The model could not go on ({error}); try again."));
        }
        self.memory.extend(sequence, tokens);
        Ok(())
    }
}

impl Backend for Decoder<'_> {
    type Sequence = Sequence;

    fn missing(&self, request: &Request) -> usize {
        self.memory.missing(request)
    }

    fn open(&mut self, request: &Request) -> Result<Sequence, String> {
        let (prompt, n_ctx) = (request.prompt.tokens.clone(), self.sizes.n_ctx);
        let known = 0..self.model.n_vocab();
        if prompt.is_empty() || prompt.len() >= n_ctx || prompt.iter().any(|token| !known.contains(token)) {
            return Err("This prompt was not made for this model; try again.".into());
        }
        let chain = sampler::chain(self.model, &request.task.params, request.seed, &prompt, n_ctx);
        let shortlist = sampler::shortlist(&request.task.params, n_ctx);
        let constraint = request.matcher.clone().map(Constraint::start).transpose()?;
        // Probabilities are those of a computation for each token.
        let leap = if request.task.logprobs.is_some() { 1 } else { self.sizes.leap() };
        let (sequence, reused) = self.memory.open(request, request.longest(n_ctx))?;
        Ok(Sequence {
            sequence,
            prompt,
            shared: request.shared,
            reused,
            keep_reply: request.task.keep_reply && !self.sizes.reread_replies,
            is_awaited: request.task.priority == Priority::Interactive,
            chooser: Chooser::new(chain, shortlist),
            constraint,
            leap,
            certain: VecDeque::new(),
            pending: Vec::new(),
            logits: None,
        })
    }

    fn piece(&self, request: &Sequence) -> Piece {
        self.sizes.pieces.at(self.held(request.sequence))
    }

    fn prefill(&mut self, request: &mut Sequence, limit: usize) -> Result<Prefill, String> {
        let Sequence { sequence, shared, reused, .. } = *request;
        let done = self.held(sequence);
        // The operator's part ends a piece, so that it is computed in the same way whatever follows it.
        let end = if done < shared { shared } else { request.prompt.len() };
        // What a turn of a conversation adds is not torn into a piece and a small rest. Nothing but prompt and memory decides
        // on that, so that what else runs does not change how a prompt is computed.
        let (piece, short) = (self.sizes.pieces.at(done).tokens, self.sizes.short);
        let in_one = done == reused && limit == piece && end - done <= short;
        let end = if in_one { end } else { end.min(done + limit.min(piece)) };
        self.read(sequence, &request.prompt[done..end], end == request.prompt.len())?;
        if end == shared {
            self.memory.pin(sequence);
        }
        self.outputs[sequence] = LAST_OUTPUT;
        Ok(Prefill { done: end, reused, read: end - done })
    }

    fn stage(&mut self, request: &mut Sequence) -> Result<bool, String> {
        if request.pending.is_empty() {
            // Nothing new is computed for a reply whose next token could not be chosen yet.
            return Ok(request.logits.is_some());
        }
        request.logits = None;
        if self.held(request.sequence) + request.pending.len() > self.sizes.n_ctx {
            return Ok(false);
        }
        self.staged.extend(request.pending.drain(..).map(|token| (request.sequence, token)));
        Ok(true)
    }

    fn compute(&mut self) -> Result<(), String> {
        if self.staged.is_empty() {
            return Ok(());
        }
        // llama.cpp computes neighbours together only where they come in their order. That of a sequence's tokens stays.
        self.staged.sort_by_key(|&(sequence, _)| sequence);
        let computed = self.compute_staged();
        self.batch.clear();
        for (sequence, token) in self.staged.drain(..) {
            match computed {
                Ok(()) => self.memory.extend(sequence, &[token]),
                Err(_) => self.memory.spoil(sequence),
            }
        }
        computed
    }

    fn sample(&mut self, request: &mut Sequence, bytes: &mut Vec<u8>) -> Result<Step, String> {
        let step = match request.certain.pop_front() {
            Some(token) => Step::Token(token),
            // Others have been computed since: the context no longer has an outcome for it.
            None if request.logits.is_some() => request.choose(self.model, &[])?,
            None => {
                let output = self.outputs[request.sequence];
                request.choose(self.model, self.memory.context().get_logits_ith(output))?
            }
        };
        if let Step::Token(token) = step {
            request.chooser.accept(token);
            request.pending.push(token);
            self.model.vocab().token_to_piece_into(LlamaToken(token), bytes, false, None);
        }
        Ok(step)
    }

    fn is_certain(&self, request: &Sequence) -> bool {
        !request.certain.is_empty()
    }

    fn logprobs(&mut self, request: &Sequence, top: usize) -> Option<TokenLogprob> {
        let vocab = self.model.vocab();
        let spell = |token| {
            let mut bytes = Vec::new();
            vocab.token_to_piece_into(LlamaToken(token), &mut bytes, false, None);
            bytes
        };
        let logits = match &request.logits {
            Some(logits) => logits,
            None => self.memory.context().get_logits_ith(self.outputs[request.sequence]),
        };
        Some(logprobs(logits, *request.pending.last()?, top, spell))
    }

    fn close(&mut self, request: Sequence) {
        let keep = if request.keep_reply { usize::MAX } else { request.prompt.len() };
        self.memory.close(request.sequence, keep);
        let is_whole = self.held(request.sequence) >= request.prompt.len();
        if request.keep_reply && request.is_awaited && is_whole && !self.between_turns.is_empty() {
            let next = request.pending.into_iter().chain(self.between_turns.iter().copied());
            self.memory.expect(request.sequence, next.collect());
        }
    }

    fn forget(&mut self, conversation: ConversationId) {
        self.memory.forget(conversation);
    }

    fn read_ahead(&mut self) -> bool {
        let Some((sequence, tokens)) = self.memory.expected() else { return false };
        if self.held(sequence) + tokens.len() < self.sizes.n_ctx
            && let Err(error) = self.read(sequence, &tokens, false)
        {
            tracing::warn!(error, "a turn could not be read ahead");
            self.memory.close(sequence, 0);
        }
        true
    }

    fn tidy(&mut self) -> bool {
        self.memory.tidy()
    }
}
