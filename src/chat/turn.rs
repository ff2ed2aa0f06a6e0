//! The life of one reply, from the history to its end in the store. It belongs to the server: no connection,
//! closed tab or slow reader can end it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::checkpoints::{Checkpoints, Deleted};
use super::{Chat, ChatError, LiveWriter, host_mark, prompt};
use crate::domain::{FinishReason, Mark, Message, MessageStatus, PromptMessage, UserId};
use crate::engine::{EngineError, Event, Generation, Place, Task};
use crate::plugins::{Context, PluginSet};
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
        let mut stopping = self.chat.stopping.subscribe();
        let begun = tokio::select! {
            begun = self.begin(place, &mut marks) => Ok(begun),
            () = writer.stopped() => Err(MessageStatus::Stopped),
            () = told_to_stop(&mut stopping) => Err(MessageStatus::Interrupted),
        };
        let outcome = match begun {
            Ok(Ok((generation, opening))) => {
                self.release(self.collect(generation, opening, marks, &writer).await).await
            }
            Ok(Err(error)) => failed(error.to_string(), marks),
            Err(status) => Outcome { status, ..unfinished(marks) },
        };
        let outcome = Outcome { marks: without_doubles(outcome.marks), ..outcome };
        self.commit(&outcome, &writer).await;
        if self.plugins.holds_reply() {
            writer.push(&outcome.content);
        }
        writer.close(outcome.error);
    }

    /// History, then `on_prompt`, then the chat template, with the oldest turns left out until it fits, then the queue. Also
    /// returns what the reply begins with.
    async fn begin(&self, place: Place, marks: &mut Vec<Mark>) -> Result<(Generation, String), ChatError> {
        let branch = self.chat.store.branch(self.user, self.reply.conversation_id).await?;
        let messages = prompt::messages(&self.chat.config, branch, self.reply.id);
        let draft = prompt::draft(messages, self.chat.generation.clone(), None);
        let (draft, skipped) =
            self.plugins.on_prompt(&self.context, draft).await.map_err(ChatError::Denied)?;
        marks.extend(skipped);
        let request = prompt::request(draft, None, &self.chat.limits);
        marks.extend(request.marks);
        let task = Task {
            conversation: Some(self.reply.conversation_id),
            // A reply that a plugin may still change is kept nowhere before it did.
            keep_reply: !self.plugins.holds_reply(),
            grammar: request.grammar,
            ..Task::from(request.params)
        };
        let (generation, messages) = submit(place, request.messages, task).await?;
        marks.extend((messages > 0).then(|| left_out(messages)));
        Ok((generation, request.opening))
    }

    /// Follows the engine to the end of the reply. Unless a plugin holds it, text is published as it comes and
    /// stored at every checkpoint.
    async fn collect(
        &self,
        mut generation: Generation,
        opening: String,
        marks: Vec<Mark>,
        writer: &LiveWriter,
    ) -> Outcome {
        let hold = self.plugins.holds_reply();
        let mut outcome = unfinished(marks);
        let mut stopping = self.chat.stopping.subscribe();
        let mut checkpoints = Checkpoints::new(self.chat.store.clone(), self.reply.id);
        if !opening.is_empty() {
            outcome.content.push_str(&opening);
            if !hold {
                writer.push(&opening);
            }
            checkpoints.changed();
        }
        loop {
            tokio::select! {
                event = generation.next() => match event {
                    Event::Queued { position, wait } => writer.wait_for(waiting(position, wait)),
                    Event::Prefill { done, total } => {
                        writer.wait_for(format!("Reading the prompt: {} %.", 100 * done / total.max(1)));
                    }
                    Event::Text { text, .. } => {
                        outcome.content.push_str(&text);
                        if hold {
                            writer.wait_for("Writing. A plugin checks the reply before it is shown.".into());
                        } else {
                            writer.push(&text);
                        }
                        checkpoints.changed();
                    }
                    Event::Finished(end) => {
                        outcome.status = match end.reason {
                            FinishReason::Cancelled => MessageStatus::Stopped,
                            _ => MessageStatus::Complete,
                        };
                        outcome.finish_reason = Some(end.reason);
                        outcome.usage = Some(end.usage);
                        outcome.seed = Some(end.seed);
                        outcome.token_ids = end.token_ids.filter(|_| opening.is_empty());
                        return outcome;
                    }
                    Event::Failed(sentence) => {
                        outcome.status = MessageStatus::Failed;
                        outcome.error = Some(sentence);
                        return outcome;
                    }
                },
                () = writer.stopped() => generation.cancel(),
                Deleted = checkpoints.keep(if hold { "" } else { &outcome.content }) => generation.cancel(),
                () = told_to_stop(&mut stopping) => {
                    outcome.status = MessageStatus::Interrupted;
                    return outcome;
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

/// The chat template, with the oldest turns left out until it fits, then the queue. Also returns how many were left out.
pub(super) async fn submit(
    place: Place,
    messages: Vec<PromptMessage>,
    task: Task,
) -> Result<(Generation, usize), ChatError> {
    let submitted = tokio::task::spawn_blocking(move || {
        let prompt = place.model().prepare(&messages, task.params.max_tokens)?;
        let left_out = prompt.left_out;
        Ok::<_, EngineError>((place.submit(prompt, task)?, left_out))
    });
    Ok(submitted.await.map_err(|_| ChatError::Panicked)??)
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
