use std::time::{Duration, Instant};

use super::backend::{Backend, Step};
use super::mailbox::{Event, Finished, Timings};
use super::queue::Job;
use super::reply::ReplyText;
use crate::domain::{FinishReason, Usage};

/// All state of one request that runs. The worker may hold many.
pub(super) struct Slot<S> {
    job: Job,
    sequence: S,
    text: ReplyText,
    opened_at: Instant,
    /// When the prompt had been read.
    read_at: Option<Instant>,
    reused_tokens: usize,
}

/// How a request goes on after a step.
pub(super) enum Progress {
    /// At once.
    Running,
    /// Not before this moment.
    Paused(Instant),
    /// It is over; the reader gets this.
    Over(Event),
}

impl<S> Slot<S> {
    pub(super) fn new(job: Job, sequence: S) -> Self {
        let text = ReplyText::new(&job.request.params.stop);
        Self { job, sequence, text, opened_at: Instant::now(), read_at: None, reused_tokens: 0 }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.job.mailbox().is_cancelled()
    }

    /// Takes the request one step further and passes on what came of it.
    pub(super) fn step<B: Backend<Sequence = S>>(&mut self, backend: &mut B) -> Progress {
        if self.is_cancelled() {
            return self.over(FinishReason::Cancelled);
        }
        match backend.step(&mut self.sequence) {
            Ok(Step::Prefill { done, reused }) => {
                let total = self.job.request.prompt.token_count();
                self.reused_tokens = reused;
                if done == total {
                    self.read_at = Some(Instant::now());
                }
                self.job.mailbox().status(Event::Prefill { done, total });
                Progress::Running
            }
            Ok(Step::Token { id, bytes }) => self.token(id, &bytes),
            Ok(Step::Pause(until)) => Progress::Paused(until),
            Ok(Step::End) => self.over(FinishReason::Stop),
            Ok(Step::Full) => self.over(FinishReason::Length),
            Err(sentence) => {
                self.release_text();
                Progress::Over(Event::Failed(sentence))
            }
        }
    }

    /// Ends the request: its place is free, then its reader knows.
    pub(super) fn end(self, end: Event) {
        self.job.end(end);
    }

    /// The end of a request that did not come to its own.
    pub(super) fn cancel(mut self) {
        if let Progress::Over(end) = self.over(FinishReason::Cancelled) {
            self.end(end);
        }
    }

    fn token(&mut self, id: i32, bytes: &[u8]) -> Progress {
        let (text, stopped) = self.text.push(id, bytes);
        self.job.mailbox().text(&text);
        if stopped {
            return Progress::Over(self.finished(FinishReason::Stop));
        }
        if self.text.tokens() >= self.job.request.params.max_tokens as usize {
            return self.over(FinishReason::Length);
        }
        Progress::Running
    }

    fn over(&mut self, reason: FinishReason) -> Progress {
        self.release_text();
        Progress::Over(self.finished(reason))
    }

    fn release_text(&mut self) {
        self.job.mailbox().text(&self.text.finish());
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
