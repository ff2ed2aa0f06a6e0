use std::sync::Arc;

use uuid::Uuid;

use super::backend::Request;
use super::mailbox::{Event, Mailbox};
use super::queue::{Job, Queue, Ticket};
use super::task::MOST_LOGPROBS;
use super::{EngineError, Model, Prompt, Task};
use crate::domain::OutOfRange;

/// A place in the queue, taken before anything is written. Dropping it frees the place.
#[must_use = "dropping a place gives it back"]
pub struct Place {
    pub(super) ticket: Ticket,
    pub(super) model: Arc<Model>,
}

impl Place {
    /// The model that will answer.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Lines up. The place is held until the reply is over. Takes milliseconds with a grammar: then not for a thread of the
    /// async runtime.
    ///
    /// # Errors
    /// [`EngineError::Parameter`] for a value out of its range; [`EngineError::Stopping`].
    pub fn submit(self, prompt: Prompt, task: impl Into<Task>) -> Result<Generation, EngineError> {
        let mut task = task.into();
        let matcher = task.grammar.take().map(|grammar| self.model.compile(&grammar)).transpose()?;
        if task.logprobs.is_some_and(|top| top > MOST_LOGPROBS) {
            let why = format!("must be from 0 to {MOST_LOGPROBS}");
            return Err(EngineError::Parameter(OutOfRange { key: "top_logprobs", why }));
        }
        let params = &task.params;
        params.check().map_err(EngineError::Parameter)?;
        let n_vocab = i64::from(self.model.n_vocab);
        if let Some((token, _)) = params.biases().find(|&(token, _)| i64::from(token) >= n_vocab) {
            let why = format!("has no token {token}: this model knows 0 to {}", n_vocab - 1);
            return Err(EngineError::Parameter(OutOfRange { key: "logit_bias", why }));
        }
        let seed = u32::try_from(params.seed).unwrap_or_else(|_| random_seed());
        let mailbox = Arc::new(Mailbox::default());
        let queue = Arc::clone(self.ticket.queue());
        let shared = self.model.shared_tokens(&prompt.tokens);
        let request = Request { user: self.ticket.user(), prompt, shared, task, matcher, seed };
        queue.push(Job::new(self.ticket, Arc::clone(&mailbox), request))?;
        Ok(Generation { mailbox, queue })
    }
}

/// A reply that is on its way. Dropping it cancels it.
#[must_use = "dropping a generation cancels it"]
pub struct Generation {
    mailbox: Arc<Mailbox>,
    queue: Arc<Queue>,
}

impl Generation {
    /// What happened since the last call, as one event: the engine does not wait for its reader. The last event
    /// ([`Event::Finished`] or [`Event::Failed`]) always comes, and repeats when asked for again. Safe to drop while it waits.
    pub async fn next(&mut self) -> Event {
        self.mailbox.next().await
    }

    /// As [`Generation::next`], but not before `pause` is over, unless the reply is: what comes meanwhile is one event, and wakes
    /// nobody.
    pub async fn next_after(&mut self, pause: impl Future<Output = ()>) -> Event {
        tokio::select! {
            biased;
            () = pause => {}
            () = self.mailbox.ended() => {}
        }
        self.mailbox.next().await
    }

    /// Ends the reply within one step; then comes [`Event::Finished`] with the text so far.
    pub fn cancel(&self) {
        self.queue.cancel(&self.mailbox);
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Any seed but `u32::MAX`, which llama.cpp takes for "random".
fn random_seed() -> u32 {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    u32::try_from(high >> 32).unwrap_or_default() % u32::MAX
}
