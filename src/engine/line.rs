use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backend::Request;
use super::mailbox::{Event, Mailbox};
use super::queue::Job;
use super::task::Priority;
use crate::domain::UserId;

/// Weight of the newest reply in what is known of their length.
const NEWEST: f64 = 0.2;

/// Who waits and who runs, and whose turn is next.
///
/// People take turns: a request goes behind those of people who have fewer before it, running or waiting; among equals the
/// first to come is first. What nobody waits for goes behind everything. So somebody with ten requests delays another
/// by one of them at most, and nobody is overtaken for ever, for the requests before him only end.
pub(super) struct Line {
    parallel: usize,
    /// In the order of arrival.
    waiting: Vec<Job>,
    running: Vec<Running>,
    /// How long a request runs, in seconds: a moving mean. None until the first one ended.
    length: Option<f64>,
}

/// A request that runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Running {
    user: UserId,
    priority: Priority,
    since: Instant,
}

impl Running {
    /// Whether somebody waits for it. What nobody waits for stands still for others, so it says nothing about their turns.
    fn is_awaited(&self) -> bool {
        self.priority == Priority::Interactive
    }
}

impl Line {
    pub(super) fn new(parallel: usize) -> Self {
        Self { parallel, waiting: Vec::new(), running: Vec::new(), length: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether somebody waits for one of those who wait.
    pub(super) fn is_awaited(&self) -> bool {
        self.waiting.iter().any(|job| job.request.task.priority == Priority::Interactive)
    }

    pub(super) fn push(&mut self, job: Job) {
        self.waiting.push(job);
        self.tell();
    }

    pub(super) fn remove(&mut self, mailbox: &Arc<Mailbox>) -> Option<Job> {
        let at = self.waiting.iter().position(|job| job.is_behind(mailbox))?;
        let job = self.waiting.remove(at);
        self.tell();
        Some(job)
    }

    /// The request whose turn it is, if it `fits`; from now on it runs.
    pub(super) fn next(&mut self, fits: impl Fn(&Request) -> bool) -> Option<Job> {
        // Asked before every step: nothing is put in order, and no memory taken for it, while nobody waits.
        if self.waiting.is_empty() {
            return None;
        }
        let first = *self.order().first()?;
        if !fits(&self.waiting[first].request) {
            return None;
        }
        let mut job = self.waiting.remove(first);
        let (user, priority) = (job.request.user, job.request.task.priority);
        let running = Running { user, priority, since: Instant::now() };
        self.running.push(running);
        job.begin(running);
        self.tell();
        Some(job)
    }

    /// A request that ran is over.
    pub(super) fn ended(&mut self, request: Running) {
        if let Some(at) = self.running.iter().position(|running| *running == request) {
            self.running.swap_remove(at);
        }
        if request.is_awaited() {
            let seconds = request.since.elapsed().as_secs_f64();
            self.length = Some(self.length.map_or(seconds, |length| length + NEWEST * (seconds - length)));
        }
        self.tell();
    }

    /// Everyone who waits; the line is empty then.
    pub(super) fn take(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.waiting)
    }

    /// Those who wait, by their index, in the order of their turns.
    fn order(&self) -> Vec<usize> {
        let mut running: HashMap<UserId, usize> = HashMap::new();
        for request in self.running.iter().filter(|request| request.is_awaited()) {
            *running.entry(request.user).or_default() += 1;
        }
        let mut before: HashMap<(UserId, Priority), usize> = HashMap::new();
        let mut order: Vec<(Priority, usize, usize)> = Vec::with_capacity(self.waiting.len());
        for (at, Job { request, .. }) in self.waiting.iter().enumerate() {
            let (user, priority) = (request.user, request.task.priority);
            let waits = before.entry((user, priority)).or_default();
            order.push((priority, running.get(&user).unwrap_or(&0) + *waits, at));
            *waits += 1;
        }
        order.sort_unstable();
        order.into_iter().map(|(_, _, at)| at).collect()
    }

    /// Tells those who wait their place, and how long it will probably take.
    fn tell(&self) {
        if self.waiting.is_empty() {
            return;
        }
        let waits = self.length.map(|length| self.waits(length));
        for (place, at) in self.order().into_iter().enumerate() {
            let wait = waits.as_ref().map(|waits| waits[place]);
            self.waiting[at].mailbox().status(Event::Queued { position: place + 1, wait });
        }
    }

    /// How long each in line will wait if every request takes `length` seconds: those that run end one after another, and
    /// each end lets the next one in. One that runs longer than usual is taken to be in its last quarter.
    fn waits(&self, length: f64) -> Vec<Duration> {
        let rest = |running: &Running| (length - running.since.elapsed().as_secs_f64()).max(length / 4.0);
        let running = self.running.iter().filter(|request| request.is_awaited());
        let mut free_in: Vec<f64> = running.map(rest).collect();
        free_in.resize(free_in.len().max(self.parallel), 0.0);
        let wait = |_| {
            let earliest = free_in.iter_mut().min_by(|left, right| left.total_cmp(right));
            let Some(earliest) = earliest else { return Duration::ZERO };
            let wait = *earliest;
            *earliest += length;
            Duration::try_from_secs_f64(wait).unwrap_or_default()
        };
        (0..self.waiting.len()).map(wait).collect()
    }
}
