//! A reply for a program: the same hooks and the same queue as a conversation's, and nothing of it is stored.
//!
//! Unlike a conversation's reply it belongs to whoever asked: dropping it cancels it.

mod begin;

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use super::attempts::Attempts;
use super::render::submit;
use super::request::{CompletionEnd, CompletionEvent, Piece};
use super::turn::{told_to_stop, without_doubles};
use super::{Chat, ChatError};
use crate::domain::{FinishReason, Mark, PromptMessage, Usage, UserId};
use crate::engine::{EngineError, Event, Finished, Generation, Model, Task, Timings};
use crate::plugins::{Context, Denied, PluginSet, ReplyStream, ResponseAction, Retry};

/// A reply on its way to a program. Dropping it cancels it.
#[must_use = "dropping a completion cancels it"]
pub struct Completion {
    source: Source,
    model: Arc<Model>,
    pub(super) plugins: Arc<PluginSet>,
    context: Context,
    marks: Vec<Mark>,
    /// What a plugin lets the reply begin with, until it is told.
    opening: String,
    /// The way through `on_chunk`.
    stream: ReplyStream,
    /// A plugin ended the reply.
    stopped: bool,
    /// What was asked, where a plugin may want another reply.
    asked: Option<Asked>,
    attempts: Attempts,
    stopping: watch::Receiver<bool>,
    /// What passed through without a plugin that holds the reply; `on_response` sees it at the end.
    passed: String,
    ready: VecDeque<CompletionEvent>,
}

/// All that a new attempt takes.
#[derive(Clone)]
struct Asked {
    chat: Chat,
    user: UserId,
    messages: Vec<PromptMessage>,
    opening: String,
    task: Task,
}

enum Source {
    Model(Generation),
    /// The model has ended, and so did it.
    Ended(Finished),
    Plugin(String),
}

impl Completion {
    /// The model that answers.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What comes next, as `CompletionEvents` gives it.
    pub(super) async fn next(&mut self) -> Result<CompletionEvent, ChatError> {
        if let Some(event) = self.ready.pop_front() {
            return Ok(event);
        }
        if self.plugins.holds_reply() || matches!(self.source, Source::Plugin(_)) {
            let (said, end) = self.collect().await?;
            self.ready.push_back(CompletionEvent::End(end));
            return Ok(CompletionEvent::Piece(said));
        }
        match self.step().await? {
            Step::Piece(piece) => {
                self.passed.push_str(&piece.text);
                Ok(CompletionEvent::Piece(piece))
            }
            Step::End(finished) => {
                let text = std::mem::take(&mut self.passed);
                if let ResponseAction::Retry(retry) = self.release(text).await? {
                    self.again(retry).await?; // Plugins that do not hold the reply cannot ask for that.
                }
                Ok(CompletionEvent::End(self.end(&finished)))
            }
        }
    }

    /// The whole reply as `on_response` leaves it.
    pub(super) async fn collect(&mut self) -> Result<(Piece, CompletionEnd), ChatError> {
        loop {
            let (mut said, finished) = self.attempt().await?;
            match self.release(said.text).await? {
                ResponseAction::Keep(text) => {
                    said.text = text;
                    return Ok((said, self.end(&finished)));
                }
                ResponseAction::Retry(retry) => self.again(retry).await?,
            }
        }
    }

    /// The reply as it leaves `on_chunk`.
    async fn attempt(&mut self) -> Result<(Piece, Finished), ChatError> {
        let mut said = Piece::default();
        loop {
            match self.step().await? {
                Step::Piece(piece) => {
                    said.text.push_str(&piece.text);
                    said.logprobs.extend(piece.logprobs);
                }
                Step::End(finished) => return Ok((said, finished)),
            }
        }
    }

    /// Begins another reply, in a new place in the queue.
    async fn again(&mut self, retry: Retry) -> Result<(), ChatError> {
        let Some(asked) = &mut self.asked else {
            let reason = "it wants another reply, but this one is out".into();
            return Err(ChatError::Denied(Denied { plugin: retry.plugin, reason }));
        };
        self.attempts.again(retry, &mut asked.messages).map_err(ChatError::Denied)?;
        let place = asked.chat.engine.reserve(asked.user)?;
        let (messages, task) = (asked.messages.clone(), asked.task.clone());
        self.opening.clone_from(&asked.opening);
        let (plugins, context) = (&self.plugins, &self.context);
        let begun = submit(plugins, context, place, messages, task, &mut self.marks, None);
        self.source = Source::Model(begun.await?);
        self.stream = self.plugins.stream(&self.context);
        self.stopped = false;
        Ok(())
    }

    /// The next text or the end, whoever it comes from.
    async fn step(&mut self) -> Result<Step, ChatError> {
        let generation = match &mut self.source {
            Source::Model(generation) => generation,
            Source::Ended(finished) => return Ok(Step::End(finished.clone())),
            Source::Plugin(reply) if reply.is_empty() => return Ok(Step::End(answered())),
            Source::Plugin(reply) => {
                let text = std::mem::take(reply);
                return Ok(Step::Piece(Piece { text, logprobs: Vec::new() }));
            }
        };
        loop {
            let event = match std::mem::take(&mut self.opening) {
                opening if opening.is_empty() => tokio::select! {
                    event = generation.next_after(self.stream.pace()) => event,
                    () = told_to_stop(&mut self.stopping) => return Err(EngineError::Stopping.into()),
                },
                text => Event::Text { text, logprobs: Vec::new() },
            };
            match event {
                Event::Queued { .. } | Event::Prefill { .. } => {}
                Event::Text { .. } if self.stopped => {}
                Event::Text { text, logprobs } => {
                    let released = self.stream.push(text).await.map_err(ChatError::Denied)?;
                    if released.stop {
                        self.stopped = true;
                        generation.cancel();
                    }
                    if !released.text.is_empty() || !logprobs.is_empty() {
                        return Ok(Step::Piece(Piece { text: released.text, logprobs }));
                    }
                }
                // Whoever asked cannot cancel without dropping this, so the engine was shut down.
                Event::Finished(finished) if finished.reason == FinishReason::Cancelled && !self.stopped => {
                    return Err(EngineError::Stopping.into());
                }
                Event::Finished(mut finished) => {
                    if self.stopped {
                        finished.reason = FinishReason::Stop;
                    }
                    finished.usage = self.attempts.spent(finished.usage);
                    let text = self.stream.finish().await.map_err(ChatError::Denied)?;
                    self.marks.extend(self.stream.marks());
                    if text.is_empty() {
                        return Ok(Step::End(finished));
                    }
                    self.source = Source::Ended(finished);
                    return Ok(Step::Piece(Piece { text, logprobs: Vec::new() }));
                }
                Event::Failed(sentence) => return Err(EngineError::Failed(sentence).into()),
            }
        }
    }

    /// Lets the plugins see the reply.
    async fn release(&mut self, text: String) -> Result<ResponseAction, ChatError> {
        if text.is_empty() || matches!(self.source, Source::Plugin(_)) {
            return Ok(ResponseAction::Keep(text)); // They saw a plugin's own answer before it came here.
        }
        let outcome = self.plugins.on_response(&self.context, text).await.map_err(ChatError::Denied)?;
        self.marks.extend(outcome.marks);
        Ok(outcome.action)
    }

    fn end(&mut self, finished: &Finished) -> CompletionEnd {
        CompletionEnd {
            reason: finished.reason,
            usage: finished.usage,
            timings: finished.timings,
            marks: without_doubles(std::mem::take(&mut self.marks)),
        }
    }
}

enum Step {
    Piece(Piece),
    End(Finished),
}

/// The end of an answer that no model gave.
fn answered() -> Finished {
    Finished {
        reason: FinishReason::Plugin,
        usage: Usage { prompt_tokens: 0, completion_tokens: 0 },
        seed: 0,
        token_ids: None,
        timings: Timings::default(),
    }
}
