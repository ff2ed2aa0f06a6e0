use std::time::{Duration, Instant};

use super::backend::{Backend, Piece, Request, Step};
use super::pace::Pace;
use super::queue::Queue;
use super::slot::{Slot, Stage};
use crate::domain::FinishReason;

/// Quiet time after which what can wait is done: a person who writes on at once is not held up by it.
const QUIET: Duration = Duration::from_secs(1);

/// Longest tidying when the queue stops.
const LAST_TIDYING: Duration = Duration::from_secs(1);

/// What may run at the same time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Requests.
    pub(super) parallel: usize,
    /// Tokens of one request.
    pub(super) n_ctx: usize,
    /// Tokens of all requests; at least `n_ctx`.
    pub(super) tokens: usize,
    /// Longest time that a running reply stands still while prompts are read.
    pub(super) max_stall: Duration,
}

/// Runs requests until the queue stops; then cancels what runs and returns.
///
/// Each step either reads one piece of one prompt or takes every running reply one token further. The two are never mixed
/// in one computation, which would be slower than one after the other.
pub(super) fn run<B: Backend>(queue: &Queue, backend: &mut B, limits: Limits) {
    let slots = Vec::with_capacity(limits.parallel);
    let pace = Pace::new(limits.max_stall);
    Scheduler { queue, backend, limits, slots, pace, until: None, bytes: Vec::new(), untidy: true }.run();
}

struct Scheduler<'a, B: Backend> {
    queue: &'a Queue,
    backend: &'a mut B,
    limits: Limits,
    slots: Vec<Slot<B::Sequence>>,
    pace: Pace,
    /// What this step wrote is not to be read before this moment.
    until: Option<Instant>,
    /// What the last token spells.
    bytes: Vec<u8>,
    /// Whether something waits for a quiet moment.
    untidy: bool,
}

impl<B: Backend> Scheduler<'_, B> {
    fn run(mut self) {
        loop {
            let orders = self.queue.orders();
            orders.forget.into_iter().for_each(|conversation| self.backend.forget(conversation));
            if orders.stop {
                break;
            }
            self.let_in();
            self.step();
            self.hand_over();
        }
        for slot in self.slots.drain(..) {
            slot.close(self.backend);
        }
        let deadline = Instant::now() + LAST_TIDYING;
        while Instant::now() < deadline && self.backend.tidy() {}
    }

    /// Begins requests while there is room. Each keeps room for its longest reply, so that none that runs is ever pushed out.
    fn let_in(&mut self) {
        let Limits { parallel, n_ctx, tokens, .. } = self.limits;
        while self.slots.len() < parallel {
            let taken: usize = self.slots.iter().map(|slot| slot.job.request.longest(n_ctx)).sum();
            let fits = |request: &Request| taken + request.longest(n_ctx) <= tokens;
            let Some(job) = self.queue.next(fits) else { break };
            let due = self.pace.due(self.backend.missing(&job.request));
            self.slots.push(Slot::new(job, due));
            self.untidy = true;
        }
        self.set_back();
    }

    /// What nobody waits for stands still while anything else runs, and ends where there was no room for somebody.
    fn set_back(&mut self) {
        if self.slots.iter().any(Slot::is_background) {
            let yields = self.slots.iter().any(|slot| !slot.is_background());
            let ends = self.queue.is_awaited();
            for slot in self.slots.iter_mut().filter(|slot| slot.is_background()) {
                slot.yields = yields;
                if ends {
                    slot.finish(FinishReason::Cancelled);
                }
            }
        }
    }

    fn step(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.is_cancelled()) {
            slot.finish(FinishReason::Cancelled);
        }
        let now = Instant::now();
        let replies_run = self.slots.iter().any(|slot| slot.is_writing(now));
        match self.next_prompt() {
            None if replies_run => self.write(now, None),
            None => self.rest(),
            Some(at) => {
                self.pace.waiting(self.slots.iter().filter(|slot| slot.is_reading()).count());
                let Some(whole) = self.open(at) else { return };
                let piece = if replies_run { self.pace.piece(whole) } else { whole };
                match replies_run && self.pace.replies_first(piece) {
                    true => self.write(now, Some(piece)),
                    false => self.read(at, piece, replies_run),
                }
            }
        }
    }

    /// The prompt to go on with: the one that would be read first if each were alone. A short one so passes a long one, but
    /// not for longer than the long one would have taken.
    fn next_prompt(&self) -> Option<usize> {
        let reading = self.slots.iter().enumerate().filter(|(_, slot)| slot.is_reading());
        reading.min_by_key(|(_, slot)| slot.due).map(|(at, _)| at)
    }

    /// What of a prompt comes next. It is opened when its turn has come; if that fails, there is none.
    fn open(&mut self, at: usize) -> Option<Piece> {
        let slot = &mut self.slots[at];
        if slot.sequence.is_none() {
            match self.backend.open(&slot.job.request) {
                Ok(sequence) => slot.sequence = Some(sequence),
                Err(sentence) => slot.fail(sentence),
            }
        }
        slot.sequence.as_ref().map(|sequence| self.backend.piece(sequence))
    }

    fn read(&mut self, at: usize, piece: Piece, replies_run: bool) {
        let slot = &mut self.slots[at];
        let before = Instant::now();
        let Some(mut sequence) = slot.sequence.take() else { return };
        match self.backend.prefill(&mut sequence, piece.tokens) {
            Ok(prefill) => {
                slot.prefilled(prefill);
                let read = Piece { tokens: prefill.read, ..piece };
                self.pace.read(read, before.elapsed(), replies_run);
            }
            Err(sentence) => slot.fail(sentence),
        }
        if slot.stage == Stage::Writing {
            sample(self.backend, slot, &mut sequence, &mut self.bytes);
        }
        slot.sequence = Some(sequence);
    }

    /// Takes every running reply one token further, before a `piece` of a prompt that waits.
    fn write(&mut self, now: Instant, piece: Option<Piece>) {
        for slot in self.slots.iter_mut().filter(|slot| slot.is_writing(now)) {
            let Some(sequence) = &mut slot.sequence else { continue };
            match self.backend.stage(sequence) {
                Ok(true) => slot.stage = Stage::Staged,
                Ok(false) => slot.finish(FinishReason::Length),
                Err(sentence) => slot.fail(sentence),
            }
        }
        let computed = self.backend.compute();
        for slot in self.slots.iter_mut().filter(|slot| slot.stage == Stage::Staged) {
            let Some(mut sequence) = slot.sequence.take() else { continue };
            match &computed {
                Ok(()) => sample(self.backend, slot, &mut sequence, &mut self.bytes),
                Err(sentence) => slot.fail(sentence.clone()),
            }
            slot.sequence = Some(sequence);
        }
        self.until = self.pace.stepped(now.elapsed(), piece);
    }

    /// Hands over what the step brought, and ends what is over.
    fn hand_over(&mut self) {
        for at in (0..self.slots.len()).rev() {
            if self.slots[at].is_over() {
                self.slots.swap_remove(at).close(self.backend);
            } else {
                self.slots[at].offer(self.until);
            }
        }
        self.until = None;
    }

    /// Nothing can be computed now.
    fn rest(&mut self) {
        if self.slots.is_empty() {
            let patience = self.untidy.then_some(QUIET);
            if !self.queue.wait(patience, true, || false) && self.untidy {
                self.tidy();
            }
            return;
        }
        self.slots.iter_mut().for_each(Slot::hand_over);
        let paused = self.slots.iter().filter_map(|slot| match slot.stage {
            Stage::Paused(until) if !slot.yields => Some(until),
            _ => None,
        });
        let patience = paused.min().map(|until| until.saturating_duration_since(Instant::now()));
        let room = self.slots.len() < self.limits.parallel;
        let interrupted = || self.slots.iter().any(|slot| slot.is_over() || slot.is_cancelled());
        self.queue.wait(patience, room, interrupted);
    }

    /// Does what can wait, until somebody comes.
    fn tidy(&mut self) {
        while self.backend.read_ahead() || self.backend.tidy() {
            if self.queue.wait(Some(Duration::ZERO), true, || false) {
                return;
            }
        }
        self.untidy = false;
    }
}

/// Takes the next token of a reply, and those that are certain behind it; `bytes` is where one is spelled.
fn sample<B: Backend>(
    backend: &mut B,
    slot: &mut Slot<B::Sequence>,
    sequence: &mut B::Sequence,
    bytes: &mut Vec<u8>,
) {
    loop {
        bytes.clear();
        let step = backend.sample(sequence, bytes);
        if let (Some(top), Ok(Step::Token(_))) = (slot.job.request.task.logprobs, &step) {
            slot.logprobs.extend(backend.logprobs(sequence, top as usize));
        }
        slot.sampled(step, bytes);
        if slot.is_over() || !backend.is_certain(sequence) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::backend::Prefill;
    use super::super::logprobs::TokenLogprob;
    use super::super::mailbox::{Event, Mailbox};
    use super::super::prompt::Prompt;
    use super::super::queue::Job;
    use super::*;
    use crate::domain::{ConversationId, SamplingParams, UserId};

    struct Broken;

    impl Backend for Broken {
        type Sequence = ();

        fn piece(&self, (): &()) -> Piece {
            Piece { tokens: 64, for_one: 64 }
        }

        fn missing(&self, _: &Request) -> usize {
            1
        }

        fn open(&mut self, _: &Request) -> Result<(), String> {
            Ok(())
        }

        fn prefill(&mut self, (): &mut (), _: usize) -> Result<Prefill, String> {
            panic!("the model broke")
        }

        fn stage(&mut self, (): &mut ()) -> Result<bool, String> {
            Ok(true)
        }

        fn compute(&mut self) -> Result<(), String> {
            Ok(())
        }

        fn sample(&mut self, (): &mut (), _: &mut Vec<u8>) -> Result<Step, String> {
            Ok(Step::End)
        }

        fn logprobs(&mut self, (): &(), _: usize) -> Option<TokenLogprob> {
            None
        }

        fn close(&mut self, (): ()) {}

        fn forget(&mut self, _: ConversationId) {}

        fn read_ahead(&mut self) -> bool {
            false
        }

        fn tidy(&mut self) -> bool {
            false
        }
    }

    #[tokio::test]
    async fn f07_a_backend_that_panics_fails_the_reply_and_frees_its_place() {
        let (queue, mailbox, user) = (Queue::new(1, 1, 1), Arc::new(Mailbox::default()), UserId::new());
        let prompt = Prompt { segments: Vec::new(), left_out: 0, tokens: vec![1] };
        let request = Request {
            user,
            prompt,
            shared: 0,
            task: SamplingParams::default().into(),
            matcher: None,
            seed: 1,
        };
        queue.push(Job::new(queue.reserve(user).unwrap(), Arc::clone(&mailbox), request)).unwrap();

        let worker = std::thread::spawn({
            let queue = Arc::clone(&queue);
            let max_stall = Duration::from_secs(1);
            let limits = Limits { parallel: 1, n_ctx: 2048, tokens: 2048, max_stall };
            move || run(&queue, &mut Broken, limits)
        });

        assert!(worker.join().is_err());
        assert!(matches!(mailbox.next().await, Event::Queued { position: 1, .. }));
        assert!(matches!(mailbox.next().await, Event::Failed(_)));
        assert_eq!(queue.taken(), 0);
    }
}
