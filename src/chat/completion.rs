//! A reply for a program: the same hooks and the same queue as a conversation's, and nothing of it is stored.
//!
//! Unlike a conversation's reply it belongs to whoever asked: dropping it cancels it.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use super::turn::{left_out, submit, told_to_stop, without_doubles};
use super::{Chat, ChatError, prompt};
use crate::domain::{FinishReason, Invalid, Mark, PromptMessage, Role, SamplingParams, Usage, User};
use crate::engine::{EngineError, Event, Finished, Generation, Grammar, Model, Task, Timings, TokenLogprob};
use crate::plugins::{Context, MessageAction, PluginSet, RequestSource};

/// The bias that bans a token.
const BAN: f32 = -100.0;

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

/// A reply on its way to a program. Dropping it cancels it.
#[must_use = "dropping a completion cancels it"]
pub struct Completion {
    source: Source,
    model: Arc<Model>,
    plugins: Arc<PluginSet>,
    context: Context,
    marks: Vec<Mark>,
    /// What a plugin lets the reply begin with, until it is told.
    opening: String,
    stopping: watch::Receiver<bool>,
    /// What passed through without a plugin that holds the reply; `on_response` sees it at the end.
    passed: String,
    ready: VecDeque<CompletionEvent>,
}

enum Source {
    Model(Generation),
    Plugin(String),
}

impl Chat {
    /// Begins a reply for a program: takes a place, asks the plugins, lines up. Where the messages carry no system message,
    /// the operator's comes first.
    ///
    /// # Errors
    /// Everything that can be known before the model begins, as of [`Chat::send`].
    pub async fn complete(&self, user: &User, request: CompletionRequest) -> Result<Completion, ChatError> {
        let place = self.engine.reserve(user.id)?;
        let CompletionRequest { mut messages, params, ignore_eos, grammar, logprobs } = request;
        let model = Arc::clone(place.model());
        let context = Context {
            source: RequestSource::Api,
            kind: "chat",
            user: user.name.to_string(),
            user_id: user.id,
            conversation: None,
            model: model.name.clone(),
        };
        let plugins = self.plugins.current().await;
        if logprobs.is_some() && plugins.holds_reply() {
            // They would tell what a plugin takes out.
            return Err(Invalid(
                "A plugin checks every reply before it is sent, so logprobs cannot be told.".into(),
            )
            .into());
        }
        let mut marks = Vec::new();
        let (mut answer, mut opening) = (None, String::new());
        if let Some(last) = messages.iter_mut().rfind(|message| message.role == Role::User) {
            let text = std::mem::take(&mut last.content);
            let outcome = plugins.on_message(&context, text).await.map_err(ChatError::Denied)?;
            marks = outcome.marks;
            match outcome.action {
                MessageAction::Continue(text) => last.content = text,
                MessageAction::Reply { reply, .. } => answer = Some(reply),
            }
        }
        let source = match answer {
            Some(reply) => Source::Plugin(reply),
            None => {
                if !messages.iter().any(|message| message.role == Role::System) {
                    messages.splice(0..0, prompt::system(&self.config));
                }
                let draft = prompt::draft(messages, params, grammar);
                let given = draft.prefill.clone();
                let (draft, skipped) = plugins.on_prompt(&context, draft).await.map_err(ChatError::Denied)?;
                let mut request = prompt::request(draft, given.as_deref(), &self.limits);
                if ignore_eos {
                    let bans = model.end_tokens().iter().map(|token| (token.to_string(), BAN));
                    request.params.logit_bias.extend(bans);
                }
                let keep_reply = !plugins.holds_reply();
                let task = Task { grammar: request.grammar, logprobs, keep_reply, ..request.params.into() };
                let (generation, messages) = submit(place, request.messages, task).await?;
                marks.extend(skipped.into_iter().chain(request.marks));
                marks.extend((messages > 0).then(|| left_out(messages)));
                opening = request.opening;
                Source::Model(generation)
            }
        };
        Ok(Completion {
            source,
            model,
            plugins,
            context,
            marks,
            opening,
            stopping: self.stopping.subscribe(),
            passed: String::new(),
            ready: VecDeque::new(),
        })
    }
}

impl Completion {
    /// The model that answers.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What comes next, as it comes; [`CompletionEvent::End`] is the last. With a plugin that holds the reply, its text
    /// comes as one piece after `on_response`. Without one, that hook runs when the text is out, and what it changes is not
    /// sent. Not to be dropped and called again.
    ///
    /// # Errors
    /// The reply broke off: the engine failed, a plugin refused, the server stops. Nothing follows.
    pub async fn next(&mut self) -> Result<CompletionEvent, ChatError> {
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
                self.release(text).await?;
                Ok(CompletionEvent::End(self.end(&finished)))
            }
        }
    }

    /// The whole reply as `on_response` leaves it.
    ///
    /// # Errors
    /// As [`Completion::next`].
    pub async fn whole(mut self) -> Result<(Piece, CompletionEnd), ChatError> {
        self.collect().await
    }

    async fn collect(&mut self) -> Result<(Piece, CompletionEnd), ChatError> {
        let mut said = Piece::default();
        loop {
            match self.step().await? {
                Step::Piece(piece) => {
                    said.text.push_str(&piece.text);
                    said.logprobs.extend(piece.logprobs);
                }
                Step::End(finished) => {
                    said.text = self.release(said.text).await?;
                    return Ok((said, self.end(&finished)));
                }
            }
        }
    }

    /// The next text or the end, whoever it comes from.
    async fn step(&mut self) -> Result<Step, ChatError> {
        if !self.opening.is_empty() {
            let text = std::mem::take(&mut self.opening);
            return Ok(Step::Piece(Piece { text, logprobs: Vec::new() }));
        }
        let generation = match &mut self.source {
            Source::Model(generation) => generation,
            Source::Plugin(reply) if reply.is_empty() => return Ok(Step::End(answered())),
            Source::Plugin(reply) => {
                let text = std::mem::take(reply);
                return Ok(Step::Piece(Piece { text, logprobs: Vec::new() }));
            }
        };
        loop {
            let event = tokio::select! {
                event = generation.next() => event,
                () = told_to_stop(&mut self.stopping) => return Err(EngineError::Stopping.into()),
            };
            match event {
                Event::Queued { .. } | Event::Prefill { .. } => {}
                Event::Text { text, logprobs } => return Ok(Step::Piece(Piece { text, logprobs })),
                // Whoever asked cannot cancel without dropping this, so the engine was shut down.
                Event::Finished(finished) if finished.reason == FinishReason::Cancelled => {
                    return Err(EngineError::Stopping.into());
                }
                Event::Finished(finished) => return Ok(Step::End(finished)),
                Event::Failed(sentence) => return Err(EngineError::Failed(sentence).into()),
            }
        }
    }

    /// Lets the plugins see the reply.
    async fn release(&mut self, text: String) -> Result<String, ChatError> {
        if text.is_empty() {
            return Ok(text);
        }
        let released = self.plugins.on_response(&self.context, text).await;
        let (text, marks) = released.map_err(ChatError::Denied)?;
        self.marks.extend(marks);
        Ok(text)
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
