use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::EngineError;
use super::backend::Request;
use super::line::{Line, Running};
use super::mailbox::{Event, Finished, Mailbox, Timings, lock};
use crate::domain::{ConversationId, FinishReason, Usage, UserId};

/// Longest sleep of a worker that has nothing to do; it looks again and goes back to sleep.
const IDLE: Duration = Duration::from_secs(3600);

/// The one queue before the model: who holds a place, who waits, who runs.
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

struct State {
    taken: usize,
    by_user: HashMap<UserId, usize>,
    line: Line,
    /// Conversations of which nothing may be kept any more.
    forget: Vec<ConversationId>,
    stopping: bool,
}

/// One place in the queue, for a request that waits or runs. Dropping it frees the place.
pub(super) struct Ticket {
    queue: Arc<Queue>,
    user: UserId,
    /// Whether the limits count it.
    counts: bool,
    /// While it runs.
    running: Option<Running>,
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

/// What the worker is told between two steps.
#[derive(Default)]
pub(super) struct Orders {
    /// End everything.
    pub(super) stop: bool,
    /// Forget these.
    pub(super) forget: Vec<ConversationId>,
}

impl Queue {
    /// A queue of `size` places, at most `max_per_user` of them one person's, before a worker that runs `parallel` requests.
    pub(super) fn new(size: usize, max_per_user: usize, parallel: usize) -> Arc<Self> {
        let state = State {
            taken: 0,
            by_user: HashMap::new(),
            line: Line::new(parallel),
            forget: Vec::new(),
            stopping: false,
        };
        Arc::new(Self { size, max_per_user, state: Mutex::new(state), changed: Condvar::new() })
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
        Ok(self.take_place(&mut state, user))
    }

    /// Takes a place whatever the limits.
    pub(super) fn reserve_beside(self: &Arc<Self>, user: UserId) -> Result<Ticket, EngineError> {
        let mut state = lock(&self.state);
        if state.stopping {
            return Err(EngineError::Stopping);
        }
        Ok(self.take_place(&mut state, user))
    }

    /// Takes a place that no limit counts.
    pub(super) fn reserve_background(self: &Arc<Self>, user: UserId) -> Result<Ticket, EngineError> {
        match self.is_stopping() {
            true => Err(EngineError::Stopping),
            false => Ok(Ticket { queue: Arc::clone(self), user, counts: false, running: None }),
        }
    }

    fn take_place(self: &Arc<Self>, state: &mut State, user: UserId) -> Ticket {
        state.taken += 1;
        *state.by_user.entry(user).or_default() += 1;
        Ticket { queue: Arc::clone(self), user, counts: true, running: None }
    }

    /// Lines up.
    pub(super) fn push(&self, job: Job) -> Result<(), EngineError> {
        let mut state = lock(&self.state);
        if state.stopping {
            drop(state);
            return Err(EngineError::Stopping);
        }
        state.line.push(job);
        self.changed.notify_all();
        Ok(())
    }

    /// Cancels the request behind this mailbox: at once if it waits, within one step if it runs.
    pub(super) fn cancel(&self, mailbox: &Arc<Mailbox>) {
        mailbox.cancel();
        let job = {
            let mut state = lock(&self.state);
            self.changed.notify_all();
            state.line.remove(mailbox)
        };
        if let Some(job) = job {
            job.cancelled_unread();
        }
    }

    /// The request whose turn it is, if it `fits` beside those that run; whoever comes after it waits with it.
    pub(super) fn next(&self, fits: impl Fn(&Request) -> bool) -> Option<Job> {
        lock(&self.state).line.next(fits)
    }

    /// Whether somebody waits for a request that has not begun.
    pub(super) fn is_awaited(&self) -> bool {
        lock(&self.state).line.is_awaited()
    }

    /// Drops what is kept of a conversation, before the next step.
    pub(super) fn forget(&self, conversation: ConversationId) {
        lock(&self.state).forget.push(conversation);
        self.changed.notify_all();
    }

    /// What the worker has to know before its next step.
    pub(super) fn orders(&self) -> Orders {
        let mut state = lock(&self.state);
        Orders { stop: state.stopping, forget: std::mem::take(&mut state.forget) }
    }

    /// Sleeps for `patience`, and no longer than until there are orders, someone waits and there is `room`, or the
    /// worker is `interrupted`, which is asked after each call of [`Queue::cancel`]. Whether it was woken.
    pub(super) fn wait(
        &self,
        patience: Option<Duration>,
        room: bool,
        interrupted: impl Fn() -> bool,
    ) -> bool {
        let sleeps = |state: &mut State| {
            let work = room && !state.line.is_empty();
            !(state.stopping || work || !state.forget.is_empty() || interrupted())
        };
        let waited = self.changed.wait_timeout_while(lock(&self.state), patience.unwrap_or(IDLE), sleeps);
        // A poisoned lock is as good as any, see `lock`; the caller looks at everything again.
        waited.map_or(true, |(_, waited)| !waited.timed_out())
    }

    /// Refuses everything from now on and cancels what waits; the worker cancels what runs.
    pub(super) fn stop(&self) {
        self.close().into_iter().for_each(Job::cancelled_unread);
    }

    /// Refuses everything from now on; those who wait are the caller's. Dropped, they fail.
    pub(super) fn close(&self) -> Vec<Job> {
        let mut state = lock(&self.state);
        state.stopping = true;
        self.changed.notify_all();
        // Handed out and not dropped here, since a dropped ticket locks the queue again.
        state.line.take()
    }

    pub(super) fn is_stopping(&self) -> bool {
        lock(&self.state).stopping
    }

    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        lock(&self.state).taken
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = lock(&self.queue.state);
        if self.counts {
            state.taken = state.taken.saturating_sub(1);
            match state.by_user.get_mut(&self.user) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(state.by_user.remove(&self.user)),
            }
        }
        if let Some(running) = self.running.take() {
            state.line.ended(running);
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

    pub(super) fn is_behind(&self, mailbox: &Arc<Mailbox>) -> bool {
        Arc::ptr_eq(&self.outbox.0, mailbox)
    }

    /// Notes that it runs from now on, until its ticket is dropped.
    pub(super) fn begin(&mut self, running: Running) {
        self.ticket.running = Some(running);
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
