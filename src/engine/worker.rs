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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::backend::{Request, Step};
    use super::super::mailbox::Mailbox;
    use super::super::prompt::Prompt;
    use super::super::queue::Job;
    use super::*;
    use crate::domain::{SamplingParams, UserId};

    struct Broken;

    impl Backend for Broken {
        type Sequence = ();

        fn open(&mut self, _: &Request) -> Result<(), String> {
            Ok(())
        }

        fn step(&mut self, _: &mut ()) -> Result<Step, String> {
            panic!("the model broke")
        }
    }

    #[tokio::test]
    async fn a_backend_that_panics_fails_the_reply_and_frees_its_place() {
        let (queue, mailbox, user) = (Queue::new(1, 1), Arc::new(Mailbox::default()), UserId::new());
        let prompt = Prompt { segments: Vec::new(), left_out: 0, tokens: vec![1] };
        let request = Request { user, prompt, params: SamplingParams::default(), seed: 1 };
        queue.push(Job::new(queue.reserve(user).unwrap(), Arc::clone(&mailbox), request)).unwrap();

        let worker = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || run(&queue, &mut Broken)
        });

        assert!(worker.join().is_err());
        assert_eq!(mailbox.next().await, Event::Queued { position: 1 });
        assert!(matches!(mailbox.next().await, Event::Failed(_)));
        assert_eq!(queue.taken(), 0);
    }
}
