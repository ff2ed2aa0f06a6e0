use std::time::Instant;

use super::backend::Backend;
use super::mailbox::Event;
use super::queue::{Next, Queue};
use super::slot::{Progress, Slot};

/// Requests that run at the same time.
const SLOTS: usize = 1;

/// Runs requests until the queue stops; then cancels what runs and returns.
pub(super) fn run<B: Backend>(queue: &Queue, backend: &mut B) {
    let mut slots: Vec<Slot<B::Sequence>> = Vec::with_capacity(SLOTS);
    loop {
        while slots.len() < SLOTS {
            match queue.next() {
                Next::Begin(job) => match backend.open(&job.request) {
                    Ok(sequence) => slots.push(Slot::new(job, sequence)),
                    Err(sentence) => job.end(Event::Failed(sentence)),
                },
                Next::Nothing => break,
                Next::Stop => return slots.into_iter().for_each(Slot::cancel),
            }
        }
        if slots.is_empty() {
            queue.wait(None, true, || false);
            continue;
        }
        let mut paused_until = None;
        for at in (0..slots.len()).rev() {
            match slots[at].step(backend) {
                Progress::Running => paused_until = Some(Instant::now()),
                Progress::Paused(until) => {
                    paused_until = Some(paused_until.map_or(until, |earliest: Instant| earliest.min(until)));
                }
                Progress::Over(end) => slots.swap_remove(at).end(end),
            }
        }
        if let Some(until) = paused_until.filter(|until| *until > Instant::now()) {
            queue.wait(Some(until), slots.len() < SLOTS, || slots.iter().any(Slot::is_cancelled));
        }
        if queue.is_stopping() {
            return slots.into_iter().for_each(Slot::cancel);
        }
    }
}
