//! The life of one reply, from the history to its end in the store. It belongs to the server: no connection,
//! closed tab or slow reader can end it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::attempts::Attempts;
use super::prompt::{self, Request};
use super::render::submit;
use super::trace::Story;
use super::writing::Writing;
use super::{Chat, ChatError, LiveWriter, title};
use crate::domain::{Mark, Message, MessageStatus, UserId};
use crate::engine::{Grammar, Place, Task};
use crate::plugins::{Context, Denied, PluginSet, ResponseAction, Retry};
use crate::store::{Extent, Outcome};

/// What of a conversation can become part of a prompt: more than fits any context. What is older is not even counted.
const HISTORY: Extent = Extent { skip: 0, messages: 20_000, bytes: 8 << 20 };

/// How long to wait before the end of a reply is offered to a failing database again.
const STORE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// One reply, and what it is written with. Plugins that change meanwhile do not change it. A reply that has text already is
/// written on.
pub(super) struct ReplyTask {
    pub(super) chat: Chat,
    pub(super) user: UserId,
    pub(super) reply: Message,
    pub(super) plugins: Arc<PluginSet>,
    pub(super) context: Context,
}

impl ReplyTask {
    /// Writes the reply, commits it, then announces its end; after that the conversation may get a name.
    pub(super) async fn run(self, place: Place, writer: LiveWriter) {
        let mut marks = self.reply.marks.clone();
        let mut story = Story::default();
        let written = self.write(place, &mut marks, &mut story, &writer).await;
        let mut outcome = written.unwrap_or_else(|error| failed(error.to_string(), Vec::new()));
        if outcome.status != MessageStatus::Complete {
            outcome.content = self.at_least(&outcome.content).to_owned();
        }
        let trace = Some(Box::new(story.end(&self.context.trace).await));
        let outcome = Outcome { marks: without_doubles(marks), trace, ..outcome };
        self.commit(&outcome, &writer).await;
        if self.plugins.holds_reply() {
            writer.push(&outcome.content);
        }
        // Before viewers look again.
        let conversation = self.reply.conversation_id;
        let begun = title::begin(&self.chat, &self.plugins, self.user, conversation).await;
        self.chat.send_next(self.user, conversation).await;
        writer.close(outcome.error);
        self.chat.send_next(self.user, conversation).await; // What was sent in between.
        if let Some(begun) = begun {
            begun.name(&self.chat, &self.plugins, &self.context, self.user).await;
        }
    }

    /// History, request, model, `on_response`; from the model on once more for each time that a plugin wants another reply. A
    /// new attempt takes a new place in the queue.
    async fn write(
        &self,
        mut place: Place,
        marks: &mut Vec<Mark>,
        story: &mut Story,
        writer: &LiveWriter,
    ) -> Result<Outcome, ChatError> {
        let mut request = match self.unless_over(writer, self.request(marks, story)).await? {
            Ok(request) => request,
            Err(outcome) => return Ok(outcome),
        };
        let mut attempts = Attempts::new(self.plugins.max_retries());
        let mut held = "Writing. A plugin checks the reply before it is shown.".to_owned();
        loop {
            let (messages, task) = (request.messages.clone(), self.task(&request));
            let begun = submit(&self.plugins, &self.context, place, messages, task, marks, Some(&mut *story));
            let generation = match self.unless_over(writer, begun).await? {
                Ok(generation) => generation,
                Err(outcome) => return Ok(outcome),
            };
            let opening = format!("{}{}", story.opening(), request.opening);
            let writing = Writing::new(self, story, writer, &held);
            let mut outcome = writing.run(generation, opening).await.map_err(ChatError::Denied)?;
            marks.append(&mut outcome.marks);
            outcome.usage = outcome.usage.map(|usage| attempts.spent(usage));
            let retry = match self.release(outcome, marks).await.map_err(ChatError::Denied)? {
                Released::Over(outcome) => return Ok(outcome),
                Released::Again(retry) => retry,
            };
            let (plugin, hint) = (retry.plugin.clone(), retry.hint.clone());
            held = attempts.again(retry, &mut request.messages).map_err(ChatError::Denied)?;
            let at = request.messages.iter().rposition(|message| message.content == hint);
            story.hinted(plugin, at.unwrap_or(request.messages.len()));
            writer.wait_for(held.clone());
            place = self.chat.engine.reserve(self.user)?;
        }
    }

    /// What some work brings, or how the reply ends if it is stopped first: a plugin may ask the model on the way.
    async fn unless_over<T>(
        &self,
        writer: &LiveWriter,
        work: impl Future<Output = Result<T, ChatError>>,
    ) -> Result<Result<T, Outcome>, ChatError> {
        let mut stopping = self.chat.stopping.subscribe();
        let status = tokio::select! {
            done = work => return done.map(Ok),
            () = writer.stopped() => MessageStatus::Stopped,
            () = told_to_stop(&mut stopping) => MessageStatus::Interrupted,
        };
        Ok(Err(Outcome { status, ..unfinished(Vec::new()) }))
    }

    /// The history as `on_prompt` leaves it.
    async fn request(&self, marks: &mut Vec<Mark>, story: &mut Story) -> Result<Request, ChatError> {
        let conversation = self.reply.conversation_id;
        let branch = self.chat.store.stretch(self.user, conversation, self.reply.id, HISTORY).await?;
        let mut own = self.chat.in_effect(self.user, conversation).await?;
        if !self.reply.content.is_empty() {
            own = own.of_a_continuation();
        }
        let messages = prompt::messages(&own.system_prompt, branch, &self.reply);
        let grammar = own.json_schema.take().map(Grammar::JsonSchema);
        let mut draft = prompt::draft(messages, own.params.clone(), grammar);
        draft.prefill = draft.prefill.or_else(|| own.prefill.take());
        let (draft, skipped) =
            self.plugins.on_prompt(&self.context, draft).await.map_err(ChatError::Denied)?;
        marks.extend(skipped);
        let (asked, seals_reply) = (self.context.trace.asked(), self.plugins.seals_reply());
        story.drafted(&self.context.trace, &draft, seals_reply);
        let mut request = prompt::request(draft, None, &self.chat.limits, &asked);
        story.settled(&request, &own, &asked, seals_reply);
        marks.append(&mut request.marks);
        Ok(request)
    }

    /// A reply that a plugin may still change is kept nowhere before it did.
    fn task(&self, request: &Request) -> Task {
        Task {
            conversation: Some(self.reply.conversation_id),
            keep_reply: !self.plugins.filters_reply(),
            grammar: request.grammar.clone(),
            ..Task::from(request.params.clone())
        }
    }

    /// What is stored of a reply that is written on is never less than it was.
    pub(super) fn at_least<'a>(&'a self, text: &'a str) -> &'a str {
        if text.len() < self.reply.content.len() { &self.reply.content } else { text }
    }

    /// Lets the plugins see the reply. What they refuse is not kept, nor is a held reply that they did not see.
    async fn release(&self, mut outcome: Outcome, marks: &mut Vec<Mark>) -> Result<Released, Denied> {
        if outcome.status == MessageStatus::Interrupted && self.plugins.holds_reply() {
            outcome.content.clear();
        }
        if outcome.status == MessageStatus::Interrupted || outcome.content.is_empty() {
            return Ok(Released::Over(outcome)); // Or it failed or was stopped before the first word.
        }
        let response = self.plugins.on_response(&self.context, outcome.content.clone()).await?;
        marks.extend(response.marks);
        match response.action {
            ResponseAction::Keep(text) => {
                outcome.token_ids = outcome.token_ids.filter(|_| text == outcome.content);
                outcome.content = text;
                Ok(Released::Over(outcome))
            }
            ResponseAction::Retry(retry) if outcome.status == MessageStatus::Complete => {
                Ok(Released::Again(retry))
            }
            ResponseAction::Retry(retry) => {
                let reason = "it wants another reply, but this one was broken off".into();
                Err(Denied { plugin: retry.plugin, reason })
            }
        }
    }

    /// Stores the end of the reply, as often as it takes while the database is out of reach.
    async fn commit(&self, outcome: &Outcome, writer: &LiveWriter) {
        self.chat.sums.add(self.user, &outcome.content);
        while let Err(error) = self.chat.store.finish(self.reply.id, outcome).await {
            tracing::error!(reply = %self.reply.id, %error, "the end of a reply could not be stored; trying again");
            if *self.chat.stopping.borrow() {
                return; // The next start marks it interrupted.
            }
            writer.wait_for("The reply is complete and waits for the database.".into());
            sleep(STORE_AGAIN_AFTER).await;
        }
    }
}

/// What the plugins make of a reply.
enum Released {
    Over(Outcome),
    Again(Retry),
}

/// A plugin that is skipped by every hook says so once.
pub(super) fn without_doubles(marks: Vec<Mark>) -> Vec<Mark> {
    marks.into_iter().fold(Vec::new(), |mut kept, mark| {
        if !kept.contains(&mark) {
            kept.push(mark);
        }
        kept
    })
}

/// Resolves when the server stops.
pub(super) async fn told_to_stop(stopping: &mut watch::Receiver<bool>) {
    if stopping.wait_for(|stopping| *stopping).await.is_err() {
        std::future::pending::<()>().await; // Nobody is left who could say so.
    }
}

/// A reply that ends with a sentence in place of text.
pub(super) fn failed(sentence: String, marks: Vec<Mark>) -> Outcome {
    Outcome { error: Some(sentence), ..unfinished(marks) }
}

/// No text and no end: what a reply is until it gets further.
pub(super) fn unfinished(marks: Vec<Mark>) -> Outcome {
    Outcome {
        content: String::new(),
        status: MessageStatus::Failed,
        finish_reason: None,
        error: None,
        marks,
        usage: None,
        seed: None,
        token_ids: None,
        trace: None,
    }
}
