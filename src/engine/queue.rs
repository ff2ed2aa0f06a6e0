use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::EngineError;
use super::backend::Request;
use super::mailbox::{Event, Finished, Mailbox, Timings, lock};
use crate::domain::{FinishReason, Usage, UserId};

/// Longest sleep of a worker that has nothing to do; it looks again and goes back to sleep.
const IDLE: Duration = Duration::from_secs(3600);

/// The one queue before the model: who holds a place, and who waits.
///
/// Invariant: a place is a [`Ticket`], it is given back when the ticket is dropped, and every request carries its ticket from
/// reservation to its end. So no path, a panic included, can leak a place.
pub(super) struct Queue {
    size: usize,
    max_per_user: usize,
    // A std mutex with a condition variable, since the engine's thread waits here outside the async runtime.
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    taken: usize,
    by_user: HashMap<UserId, usize>,
    waiting: VecDeque<Job>,
    stopping: bool,
}

/// One place in the queue, for a request that waits or runs. Dropping it frees the place.
pub(super) struct Ticket {
    queue: Arc<Queue>,
    user: UserId,
}

/// A request on its way.
pub(super) struct Job {
    // Dropped before the outbox: whoever reads the end of a reply finds its place free again.
    ticket: Ticket,
    outbox: Outbox,
    pub(super) request: Request,
    pub(super) queued_at: Instant,
}

/// The writing end of a mailbox. A reader always gets an end, even if the request is dropped on the way.
struct Outbox(Arc<Mailbox>);

/// What the worker does next.
#[allow(clippy::large_enum_variant)] // made once a request, and moved on at once
pub(super) enum Next {
    /// Begin this request.
    Begin(Job),
    /// Nobody waits.
    Nothing,
    /// End everything.
    Stop,
}

impl Queue {
    pub(super) fn new(size: usize, max_per_user: usize) -> Arc<Self> {
        Arc::new(Self { size, max_per_user, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Takes a place, or says why there is none.
    pub(super) fn reserve(self: &Arc<Self>, user: UserId) -> Result<Ticket, EngineError> {
        let mut state = lock(&self.state);
        if state.stopping {
            return Err(EngineError::Stopping);
        }
        if state.by_user.get(&user).is_some_and(|&count| count >= self.max_per_user) {
            return Err(EngineError::UserLimit { max: self.max_per_user });
        }
        if state.taken >= self.size {
            return Err(EngineError::QueueFull { size: self.size });
        }
        state.taken += 1;
        *state.by_user.entry(user).or_default() += 1;
        Ok(Ticket { queue: Arc::clone(self), user })
    }

    /// Lines up at the end.
    pub(super) fn push(&self, job: Job) -> Result<(), EngineError> {
        let mut state = lock(&self.state);
        if state.stopping {
            drop(state);
            return Err(EngineError::Stopping);
        }
        job.mailbox().status(Event::Queued { position: state.waiting.len() + 1 });
        state.waiting.push_back(job);
        self.changed.notify_all();
        Ok(())
    }

    /// Cancels the request behind this mailbox: at once if it waits, within one step if it runs.
    pub(super) fn cancel(&self, mailbox: &Arc<Mailbox>) {
        mailbox.cancel();
        let mut state = lock(&self.state);
        let at = state.waiting.iter().position(|job| Arc::ptr_eq(&job.outbox.0, mailbox));
        let job = at.and_then(|at| state.waiting.remove(at));
        state.renumber(at.unwrap_or(usize::MAX));
        self.changed.notify_all();
        drop(state);
        if let Some(job) = job {
            job.cancelled_unread();
        }
    }

    /// The next request, without waiting.
    pub(super) fn next(&self) -> Next {
        lock(&self.state).next()
    }

    /// Sleeps until `until`, and no longer than until the queue stops, someone waits and there is `room`, or the worker is
    /// `interrupted`, which is asked after each call of [`Queue::cancel`].
    pub(super) fn wait(&self, until: Option<Instant>, room: bool, interrupted: impl Fn() -> bool) {
        let state = lock(&self.state);
        let patience = until.map_or(IDLE, |until| until.saturating_duration_since(Instant::now()));
        let sleeps = |state: &mut State| {
            let work = room && !state.waiting.is_empty();
            !(state.stopping || work || interrupted())
        };
        drop(self.changed.wait_timeout_while(state, patience, sleeps));
    }

    /// Refuses everything from now on and cancels what waits; the worker cancels what runs.
    pub(super) fn stop(&self) {
        self.close().into_iter().for_each(Job::cancelled_unread);
    }

    /// Refuses everything from now on; those who wait are the caller's. Dropped, they fail.
    pub(super) fn close(&self) -> VecDeque<Job> {
        let mut state = lock(&self.state);
        state.stopping = true;
        self.changed.notify_all();
        // Handed out and not dropped here, since a dropped ticket locks the queue again.
        std::mem::take(&mut state.waiting)
    }

    pub(super) fn is_stopping(&self) -> bool {
        lock(&self.state).stopping
    }

    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        lock(&self.state).taken
    }
}

impl State {
    fn next(&mut self) -> Next {
        if self.stopping {
            return Next::Stop;
        }
        match self.waiting.pop_front() {
            None => Next::Nothing,
            Some(job) => {
                self.renumber(0);
                Next::Begin(job)
            }
        }
    }

    /// Tells those who wait from index `from` on that they moved up.
    fn renumber(&self, from: usize) {
        for (index, job) in self.waiting.iter().enumerate().skip(from) {
            job.mailbox().status(Event::Queued { position: index + 1 });
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = lock(&self.queue.state);
        state.taken = state.taken.saturating_sub(1);
        match state.by_user.get_mut(&self.user) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(state.by_user.remove(&self.user)),
        }
    }
}

impl Ticket {
    /// Whose place it is.
    pub(super) fn user(&self) -> UserId {
        self.user
    }

    pub(super) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }
}

impl Job {
    pub(super) fn new(ticket: Ticket, mailbox: Arc<Mailbox>, request: Request) -> Self {
        Self { ticket, outbox: Outbox(mailbox), request, queued_at: Instant::now() }
    }

    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.outbox.0
    }

    /// Frees the place, then tells the reader.
    pub(super) fn end(self, end: Event) {
        let Self { ticket, outbox, .. } = self;
        drop(ticket);
        outbox.0.end(end);
    }

    /// The end of a request that the model never saw.
    fn cancelled_unread(self) {
        let finished = Finished {
            reason: FinishReason::Cancelled,
            usage: Usage { prompt_tokens: 0, completion_tokens: 0 },
            seed: self.request.seed,
            token_ids: None,
            timings: Timings { waited: self.queued_at.elapsed(), ..Timings::default() },
        };
        self.end(Event::Finished(finished));
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.0.end(Event::Failed("The engine broke off while it worked on this reply; try again.".into()));
    }
}
