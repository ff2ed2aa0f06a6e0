//! One attempt at a reply, from its place in the queue to its last token.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::LiveWriter;
use super::checkpoints::{Checkpoints, Deleted};
use super::trace::Story;
use super::turn::{ReplyTask, told_to_stop, unfinished};
use crate::domain::{FinishReason, Message, MessageStatus};
use crate::engine::{Event, Finished, Generation};
use crate::plugins::{Denied, ReplyStream};
use crate::store::Outcome;

/// A reply's text is published in pieces at least this far apart: smooth to the eye, while a fast model wakes nobody more often
/// than a slow one, here and in the browser that renders them.
const PACE: Duration = Duration::from_millis(25);

/// Text on its way from the engine through `on_chunk` to viewers and checkpoints.
pub(super) struct Writing<'a> {
    task: &'a ReplyTask,
    story: &'a mut Story,
    writer: &'a LiveWriter,
    /// What readers are told while a plugin holds the reply.
    held: Option<&'a str>,
    stream: ReplyStream,
    /// A plugin ended the reply.
    stopped: bool,
    outcome: Outcome,
    checkpoints: Checkpoints,
    /// When the next piece may be published.
    due: Instant,
}

impl<'a> Writing<'a> {
    /// An attempt that has no text yet. Readers of a reply that a plugin holds are told `held`.
    pub(super) fn new(
        task: &'a ReplyTask,
        story: &'a mut Story,
        writer: &'a LiveWriter,
        held: &'a str,
    ) -> Self {
        Self {
            held: task.plugins.holds_reply().then_some(held),
            stream: task.plugins.stream(&task.context),
            stopped: false,
            outcome: unfinished(Vec::new()),
            checkpoints: Checkpoints::new(task.chat.store.clone(), task.reply.id),
            due: Instant::now(),
            task,
            story,
            writer,
        }
    }

    /// Follows the engine to the end of the reply, which begins with `opening`. Text is published as it comes and stored at
    /// every checkpoint, unless a plugin holds it. What `on_chunk` keeps back when the reply breaks off is dropped: it may be the
    /// beginning of what a plugin would remove.
    pub(super) async fn run(
        mut self,
        mut generation: Generation,
        opening: String,
    ) -> Result<Outcome, Denied> {
        let mut stopping = self.task.chat.stopping.subscribe();
        let is_opened = !opening.is_empty();
        if is_opened && self.push(opening).await? {
            generation.cancel();
        }
        loop {
            let pause = async {
                self.stream.pace().await;
                sleep_until(self.due).await;
            };
            let text = if self.held.is_some() { "" } else { &self.outcome.content };
            tokio::select! {
                event = generation.next_after(pause) => match event {
                    Event::Queued { position, wait } => self.writer.wait_for(waiting(position, wait)),
                    Event::Prefill { done, total } => {
                        let percent = 100 * done / total.max(1);
                        self.writer.wait_for(format!("Reading the prompt: {percent} %."));
                    }
                    Event::Text { text, .. } => {
                        if self.push(text).await? {
                            generation.cancel();
                        }
                    }
                    Event::Finished(end) => return self.finish(end, is_opened).await,
                    Event::Failed(sentence) => {
                        self.outcome.error = Some(sentence);
                        return Ok(self.end(MessageStatus::Failed));
                    }
                },
                () = self.writer.stopped() => generation.cancel(),
                Deleted = self.checkpoints.keep(self.task.at_least(text)) => generation.cancel(),
                () = told_to_stop(&mut stopping) => return Ok(self.end(MessageStatus::Interrupted)),
            }
        }
    }

    /// Lets a piece through; whether the reply ends with it: a plugin says so, or it is as long as a message may be. What comes after that is nothing any more.
    async fn push(&mut self, text: String) -> Result<bool, Denied> {
        if self.stopped {
            return Ok(false);
        }
        self.due = Instant::now() + PACE;
        let released = self.stream.push(text).await?;
        self.publish(&released.text);
        self.checkpoints.changed();
        self.stopped = released.stop;
        Ok(released.stop || self.outcome.content.len() > Message::MOST_BYTES)
    }

    async fn finish(mut self, mut end: Finished, is_opened: bool) -> Result<Outcome, Denied> {
        self.story.finished(&end);
        if self.stopped {
            end.reason = FinishReason::Stop;
        }
        let status = if end.reason == FinishReason::Cancelled {
            self.stream.break_off();
            MessageStatus::Stopped
        } else {
            let rest = self.stream.finish().await?;
            self.publish(&rest);
            MessageStatus::Complete
        };
        let is_unchanged = !is_opened && !self.stream.altered();
        self.outcome.finish_reason = Some(end.reason);
        self.outcome.usage = Some(end.usage);
        self.outcome.seed = Some(end.seed);
        self.outcome.token_ids = end.token_ids.filter(|_| is_unchanged);
        Ok(self.end(status))
    }

    fn end(mut self, status: MessageStatus) -> Outcome {
        Outcome { status, marks: self.stream.marks(), ..self.outcome }
    }

    /// Shows a piece, or what to say where a plugin holds the reply.
    fn publish(&mut self, text: &str) {
        match self.held {
            Some(held) => self.writer.wait_for(held.to_owned()),
            None if text.is_empty() => {}
            None => self.writer.push(text),
        }
        self.outcome.content.push_str(text);
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
