//! The life of one reply, from the history to its end in the store. It belongs to the server: no connection,
//! closed tab or slow reader can end it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::checkpoints::{Checkpoints, Deleted};
use super::{Chat, ChatError, LiveWriter, host_mark, prompt};
use crate::domain::{FinishReason, Mark, Message, MessageStatus, SamplingParams, UserId};
use crate::engine::{Event, Generation, Place, Prompt, Task};
use crate::plugins::{Context, Denied, Draft, PluginSet};
use crate::store::Outcome;

/// How long to wait before the end of a reply is offered to a failing database again.
const STORE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// One reply, and what it is written with. Plugins that change meanwhile do not change it.
pub(super) struct ReplyTask {
    pub(super) chat: Chat,
    pub(super) user: UserId,
    pub(super) reply: Message,
    pub(super) plugins: Arc<PluginSet>,
    pub(super) context: Context,
}

impl ReplyTask {
    /// Writes the reply, commits it, then announces its end.
    pub(super) async fn run(self, place: Place, writer: LiveWriter) {
        let mut marks = self.reply.marks.clone();
        let outcome = match self.prepare(&mut marks).await {
            Ok((prompt, params)) => match place.submit(prompt, self.task(params)) {
                Ok(generation) => match self.collect(generation, marks.clone(), &writer).await {
                    Ok(outcome) => self.release(outcome).await,
                    Err(denied) => failed(denied.to_string(), marks),
                },
                Err(error) => failed(error.to_string(), marks),
            },
            Err(error) => failed(error.to_string(), marks),
        };
        let outcome = Outcome { marks: without_doubles(outcome.marks), ..outcome };
        self.commit(&outcome, &writer).await;
        if self.plugins.holds_reply() {
            writer.push(&outcome.content);
        }
        writer.close(outcome.error);
    }

    /// History, then `on_prompt`, then the chat template, with the oldest turns left out until it fits.
    async fn prepare(&self, marks: &mut Vec<Mark>) -> Result<(Prompt, SamplingParams), ChatError> {
        let branch = self.chat.store.branch(self.user, self.reply.conversation_id).await?;
        let draft = Draft {
            messages: prompt::messages(&self.chat.config, branch, self.reply.id),
            params: self.chat.generation.clone(),
        };
        let (draft, skipped) =
            self.plugins.on_prompt(&self.context, draft).await.map_err(ChatError::Denied)?;
        marks.extend(skipped);
        let model = self.chat.engine.model()?;
        let Draft { messages, params } = draft;
        let max_tokens = params.max_tokens;
        let prompt = tokio::task::spawn_blocking(move || model.prepare(&messages, max_tokens))
            .await
            .map_err(|_| ChatError::Panicked)??;
        marks.extend((prompt.left_out > 0).then(|| left_out(prompt.left_out)));
        Ok((prompt, params))
    }

    /// A reply that a plugin may still change is kept nowhere before it did.
    fn task(&self, params: SamplingParams) -> Task {
        Task {
            conversation: Some(self.reply.conversation_id),
            keep_reply: !self.plugins.filters_reply(),
            ..Task::from(params)
        }
    }

    /// Follows the engine to the end of the reply, through `on_chunk`. Unless a plugin holds it, text is published as it
    /// comes and stored at every checkpoint. What `on_chunk` keeps back when the reply breaks off is dropped: it may be the
    /// beginning of what a plugin would remove.
    async fn collect(
        &self,
        mut generation: Generation,
        marks: Vec<Mark>,
        writer: &LiveWriter,
    ) -> Result<Outcome, Denied> {
        let hold = self.plugins.holds_reply();
        let mut stream = self.plugins.stream(&self.context);
        let mut stopped = false;
        let mut outcome = unfinished(marks);
        let mut stopping = self.chat.stopping.subscribe();
        let mut checkpoints = Checkpoints::new(self.chat.store.clone(), self.reply.id);
        loop {
            tokio::select! {
                event = generation.next() => match event {
                    Event::Queued { position, wait } => writer.wait_for(waiting(position, wait)),
                    Event::Prefill { done, total } => {
                        writer.wait_for(format!("Reading the prompt: {} %.", 100 * done / total.max(1)));
                    }
                    Event::Text { .. } if stopped => {}
                    Event::Text { text, .. } => {
                        let released = stream.push(text).await?;
                        show(writer, &released.text, hold);
                        outcome.content.push_str(&released.text);
                        checkpoints.changed();
                        if released.stop {
                            stopped = true;
                            generation.cancel();
                        }
                    }
                    Event::Finished(mut end) => {
                        if stopped {
                            end.reason = FinishReason::Stop;
                        }
                        if end.reason == FinishReason::Cancelled {
                            outcome.status = MessageStatus::Stopped;
                            stream.break_off();
                        } else {
                            outcome.status = MessageStatus::Complete;
                            let rest = stream.finish().await?;
                            show(writer, &rest, hold);
                            outcome.content.push_str(&rest);
                        }
                        outcome.marks.extend(stream.marks());
                        outcome.finish_reason = Some(end.reason);
                        outcome.usage = Some(end.usage);
                        outcome.seed = Some(end.seed);
                        outcome.token_ids = end.token_ids.filter(|_| !stream.altered());
                        return Ok(outcome);
                    }
                    Event::Failed(sentence) => {
                        outcome.status = MessageStatus::Failed;
                        outcome.error = Some(sentence);
                        outcome.marks.extend(stream.marks());
                        return Ok(outcome);
                    }
                },
                () = writer.stopped() => generation.cancel(),
                Deleted = checkpoints.keep(if hold { "" } else { &outcome.content }) => generation.cancel(),
                () = told_to_stop(&mut stopping) => {
                    outcome.status = MessageStatus::Interrupted;
                    outcome.marks.extend(stream.marks());
                    return Ok(outcome);
                }
            }
        }
    }

    /// Lets the plugins see the reply. What they refuse is not kept, nor is a held reply that they did not see.
    async fn release(&self, mut outcome: Outcome) -> Outcome {
        if outcome.status == MessageStatus::Interrupted {
            if self.plugins.holds_reply() {
                outcome.content.clear();
            }
            return outcome;
        }
        if outcome.content.is_empty() {
            return outcome; // It failed or was stopped before the first word.
        }
        match self.plugins.on_response(&self.context, outcome.content.clone()).await {
            Ok((text, marks)) => {
                outcome.token_ids = outcome.token_ids.filter(|_| text == outcome.content);
                outcome.content = text;
                outcome.marks.extend(marks);
                outcome
            }
            Err(denied) => failed(denied.to_string(), outcome.marks),
        }
    }

    /// Stores the end of the reply, as often as it takes while the database is out of reach.
    async fn commit(&self, outcome: &Outcome, writer: &LiveWriter) {
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
fn unfinished(marks: Vec<Mark>) -> Outcome {
    Outcome {
        content: String::new(),
        status: MessageStatus::Failed,
        finish_reason: None,
        error: None,
        marks,
        usage: None,
        seed: None,
        token_ids: None,
    }
}

/// Publishes a piece, unless a plugin holds the reply.
fn show(writer: &LiveWriter, text: &str, hold: bool) {
    if hold {
        writer.wait_for("Writing. A plugin checks the reply before it is shown.".into());
    } else if !text.is_empty() {
        writer.push(text);
    }
}

fn waiting(position: usize, wait: Option<Duration>) -> String {
    let place = match position {
        1 => "Yours is next".into(),
        n => format!("Waiting: number {n} in line"),
    };
    match wait.map(|wait| wait.as_secs_f64().round() as u64) {
        None => format!("{place}."),
        Some(0..=1) => format!("{place}, in a moment."),
        Some(seconds @ 2..=90) => format!("{place}, in about {seconds} seconds."),
        Some(seconds) => format!("{place}, in about {} minutes.", seconds.div_ceil(60)),
    }
}

/// The mark of a reply that was written without the oldest messages.
pub(super) fn left_out(messages: usize) -> Mark {
    let text = match messages {
        1 => {
            "The oldest message no longer fits the model's context; this reply was written without it.".into()
        }
        n => format!(
            "The {n} oldest messages no longer fit the model's context; this reply was written without them."
        ),
    };
    host_mark(text)
}
