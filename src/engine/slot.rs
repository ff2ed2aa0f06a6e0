use std::time::{Duration, Instant};

use super::backend::{Backend, Prefill, Step};
use super::logprobs::TokenLogprob;
use super::mailbox::{Event, Finished, Timings};
use super::queue::Job;
use super::reply::ReplyText;
use super::task::Priority;
use crate::domain::{FinishReason, Usage};

/// All state of one request that runs.
pub(super) struct Slot<S> {
    pub(super) job: Job,
    /// None until its first piece is to be read.
    pub(super) sequence: Option<S>,
    /// When its prompt would be read if it were alone.
    pub(super) due: Instant,
    pub(super) stage: Stage,
    /// It stands still for others.
    pub(super) yields: bool,
    text: ReplyText,
    /// What this step brought.
    out: String,
    pub(super) logprobs: Vec<TokenLogprob>,
    opened_at: Instant,
    /// When the prompt had been read.
    read_at: Option<Instant>,
    reused_tokens: usize,
    end: Option<Event>,
}

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stage {
    /// Its prompt is being read.
    Reading,
    /// Its reply is being written.
    Writing,
    /// … and it takes part in the computation that comes now.
    Staged,
    /// Nothing can be done before this moment.
    Paused(Instant),
}

impl<S> Slot<S> {
    /// A request whose prompt would be read by `due` if it were alone.
    pub(super) fn new(job: Job, due: Instant) -> Self {
        let text = ReplyText::new(&job.request.task.params.stop);
        Self {
            job,
            sequence: None,
            due,
            stage: Stage::Reading,
            yields: false,
            text,
            out: String::new(),
            logprobs: Vec::new(),
            opened_at: Instant::now(),
            read_at: None,
            reused_tokens: 0,
            end: None,
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.job.mailbox().is_cancelled()
    }

    /// Whether nobody waits for it.
    pub(super) fn is_background(&self) -> bool {
        self.job.request.task.priority == Priority::Background
    }

    pub(super) fn is_over(&self) -> bool {
        self.end.is_some()
    }

    pub(super) fn is_reading(&self) -> bool {
        self.end.is_none() && self.stage == Stage::Reading && !self.yields
    }

    /// Whether its next token can be computed now.
    pub(super) fn is_writing(&self, now: Instant) -> bool {
        let ready = match self.stage {
            Stage::Reading => false,
            Stage::Writing | Stage::Staged => true,
            Stage::Paused(until) => until <= now,
        };
        ready && self.end.is_none() && !self.yields
    }

    /// A piece of the prompt was read.
    pub(super) fn prefilled(&mut self, Prefill { done, reused, .. }: Prefill) {
        let total = self.job.request.prompt.token_count();
        self.reused_tokens = reused;
        self.job.mailbox().status(Event::Prefill { done, total });
        if done >= total {
            self.read_at = Some(Instant::now());
            self.stage = Stage::Writing;
        }
    }

    /// A token came, or what came in its place.
    pub(super) fn sampled(&mut self, step: Result<Step, String>, bytes: &[u8]) {
        self.stage = Stage::Writing;
        match step {
            Ok(Step::Token(id)) => {
                if self.text.push(id, bytes, &mut self.out) {
                    self.end = Some(self.finished(FinishReason::Stop));
                } else if self.text.tokens() >= self.job.request.task.params.max_tokens as usize {
                    self.finish(FinishReason::Length);
                }
            }
            Ok(Step::Pause(until)) => self.stage = Stage::Paused(until),
            Ok(Step::End) => self.finish(FinishReason::Stop),
            Err(sentence) => self.fail(sentence),
        }
    }

    /// Ends the request, unless it is over already.
    pub(super) fn finish(&mut self, reason: FinishReason) {
        if self.end.is_none() {
            self.text.finish(&mut self.out);
            self.end = Some(self.finished(reason));
        }
    }

    /// Ends the request with a sentence, unless it is over already. Its text so far stands.
    pub(super) fn fail(&mut self, sentence: String) {
        if self.end.is_none() {
            self.text.finish(&mut self.out);
            self.end = Some(Event::Failed(sentence));
        }
    }

    /// Hands over what the last step brought, or with the next step if its reader is in the way.
    pub(super) fn offer(&mut self, until: Option<Instant>) {
        self.job.mailbox().offer(&mut self.out, &mut self.logprobs, until);
    }

    /// As [`Slot::offer`], where no step follows soon.
    pub(super) fn hand_over(&mut self) {
        self.job.mailbox().text(&mut self.out, &mut self.logprobs);
    }

    /// Gives back what it used, then its place; then its reader knows.
    pub(super) fn close<B: Backend<Sequence = S>>(mut self, backend: &mut B) {
        self.finish(FinishReason::Cancelled);
        if let Some(sequence) = self.sequence.take() {
            backend.close(sequence);
        }
        self.hand_over();
        if let Some(end) = self.end {
            self.job.end(end);
        }
    }

    fn finished(&self, reason: FinishReason) -> Event {
        let read_at = self.read_at.unwrap_or_else(Instant::now);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Event::Finished(Finished {
            reason,
            usage: Usage {
                prompt_tokens: count(self.job.request.prompt.token_count()),
                completion_tokens: count(self.text.tokens()),
            },
            seed: self.job.request.seed,
            token_ids: self.text.token_ids(),
            timings: Timings {
                waited: self.opened_at - self.job.queued_at,
                prefill: read_at - self.opened_at,
                decode: self.read_at.map_or(Duration::ZERO, |read_at| read_at.elapsed()),
                reused_tokens: count(self.reused_tokens),
            },
        })
    }
}
