use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

use super::logprobs::TokenLogprob;
use crate::domain::{FinishReason, Usage};

/// What a reader learns about a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It waits; 1 is the next in line.
    Queued {
        /// Place in line.
        position: usize,
        /// How long it will probably wait, once the engine has seen enough replies to tell.
        wait: Option<Duration>,
    },
    /// The model reads the prompt.
    Prefill {
        /// Prompt tokens read, those that were still in memory included.
        done: usize,
        /// Prompt tokens in all.
        total: usize,
    },
    /// The reply goes on.
    Text {
        /// What is new since the last such event: whole characters, never a part of a stop string.
        text: String,
        /// How likely the new tokens were, where that was asked for. A token may come before its text, which waits for whole
        /// characters and for what may become a stop string.
        logprobs: Vec<TokenLogprob>,
    },
    /// The reply is over.
    Finished(Finished),
    /// The reply broke off; a sentence. The text so far stands.
    Failed(String),
}

/// How a reply ended and what it cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Why it ended.
    pub reason: FinishReason,
    /// Tokens in and out.
    pub usage: Usage,
    /// The seed that was used; with the same prompt and parameters it repeats the reply.
    pub seed: u32,
    /// The tokens of the reply, where they spell exactly its text; to be handed back with it in the next prompt.
    pub token_ids: Option<Vec<i32>>,
    /// Where the time went.
    pub timings: Timings,
}

/// Where a request spent its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// In the queue.
    pub waited: Duration,
    /// Reading the prompt.
    pub prefill: Duration,
    /// Writing the reply.
    pub decode: Duration,
    /// Prompt tokens that were still in memory and not read again.
    pub reused_tokens: u32,
}

/// Carries one reply from the engine's thread to its reader.
///
/// It is no channel of tokens: new text is appended to what was not fetched yet and the latest status replaces the one
/// before, so a slow reader gets fewer and larger events, the engine never waits for a reader, and memory is bounded by the
/// length of the reply. The engine hands over once a step, all that the step brought.
#[derive(Default)]
pub(super) struct Mailbox {
    // A std mutex: held for a few lines and never while anything waits.
    contents: Mutex<Contents>,
    filled: Notify,
    /// Told once there is an end.
    ended: Notify,
    cancelled: AtomicBool,
}

/// Bytes of text that usually come between two visits of a reader.
const TEXT_CAPACITY: usize = 256;

#[derive(Default)]
struct Contents {
    status: Option<Event>,
    text: String,
    logprobs: Vec<TokenLogprob>,
    /// What of these is not to be read yet; in their order.
    ahead: VecDeque<Ahead>,
    end: Option<Event>,
}

/// From here on, nothing is read before a moment.
struct Ahead {
    text_at: usize,
    logprobs_at: usize,
    until: Instant,
}

impl Mailbox {
    /// Replaces the status that was not fetched yet.
    pub(super) fn status(&self, status: Event) {
        self.fill(|contents| contents.status = Some(status));
    }

    /// Appends to what was not fetched yet, and empties what it is given.
    pub(super) fn text(&self, text: &mut String, logprobs: &mut Vec<TokenLogprob>) {
        if !(text.is_empty() && logprobs.is_empty()) {
            self.fill(|contents| contents.append(text, logprobs, None));
        }
    }

    /// As [`Mailbox::text`], unless the reader is at the mailbox at this moment: then nothing happens, and the engine brings
    /// the text with the next step. What was written ahead is read only after `until`, or when more comes without such a moment.
    pub(super) fn offer(&self, text: &mut String, logprobs: &mut Vec<TokenLogprob>, until: Option<Instant>) {
        if text.is_empty() && logprobs.is_empty() {
            return;
        }
        let mut contents = match self.contents.try_lock() {
            Err(TryLockError::WouldBlock) => return,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Ok(contents) => contents,
        };
        contents.append(text, logprobs, until);
        drop(contents);
        self.filled.notify_one();
    }

    /// The last event. Only the first call counts.
    pub(super) fn end(&self, end: Event) {
        self.fill(|contents| {
            contents.ahead.clear();
            contents.end.get_or_insert(end);
        });
        self.ended.notify_one();
    }

    /// Asks the engine to stop; it does within one step.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// The next event: status, then text, then the end, which repeats when asked for again. For one reader at a time.
    /// May be dropped while it waits: no event is lost.
    pub(super) async fn next(&self) -> Event {
        loop {
            let patience = match self.take() {
                Ok(event) => return event,
                Err(patience) => patience,
            };
            match patience {
                // Over when the moment comes, or earlier when the engine brings more.
                Some(patience) => drop(timeout(patience, self.filled.notified()).await),
                None => self.filled.notified().await,
            }
        }
    }

    /// Returns when nothing comes any more that is not there. For the reader, who is not woken by what comes before.
    pub(super) async fn ended(&self) {
        while lock(&self.contents).end.is_none() {
            self.ended.notified().await;
        }
    }

    /// The next event, or how long it takes at most until there is one, where that is known.
    fn take(&self) -> Result<Event, Option<Duration>> {
        let mut contents = lock(&self.contents);
        if let Some(event) = contents.status.take().or_else(|| contents.take_text()) {
            return Ok(event);
        }
        match contents.ahead.front() {
            Some(ahead) => Err(Some(ahead.until.saturating_duration_since(Instant::now()))),
            None => contents.end.clone().ok_or(None),
        }
    }

    fn fill(&self, change: impl FnOnce(&mut Contents)) {
        change(&mut lock(&self.contents));
        self.filled.notify_one();
    }
}

impl Contents {
    fn append(&mut self, text: &mut String, logprobs: &mut Vec<TokenLogprob>, until: Option<Instant>) {
        match until {
            None => self.ahead.clear(),
            Some(until) => {
                let (text_at, logprobs_at) = (self.text.len(), self.logprobs.len());
                self.ahead.push_back(Ahead { text_at, logprobs_at, until });
            }
        }
        self.text.push_str(text);
        text.clear();
        self.logprobs.append(logprobs);
    }

    fn take_text(&mut self) -> Option<Event> {
        while self.ahead.front().is_some_and(|ahead| ahead.until <= Instant::now()) {
            self.ahead.pop_front();
        }
        let (text_end, logprobs_end) = match self.ahead.front() {
            Some(ahead) => (ahead.text_at, ahead.logprobs_at),
            None => (self.text.len(), self.logprobs.len()),
        };
        if text_end == 0 && logprobs_end == 0 {
            return None;
        }
        for ahead in &mut self.ahead {
            ahead.text_at -= text_end;
            ahead.logprobs_at -= logprobs_end;
        }
        // A buffer of the usual size is made here, so that the engine need not grow one for each token.
        let mut text = std::mem::replace(&mut self.text, String::with_capacity(TEXT_CAPACITY));
        self.text.push_str(&text[text_end..]);
        text.truncate(text_end);
        let later = self.logprobs.split_off(logprobs_end);
        Some(Event::Text { text, logprobs: std::mem::replace(&mut self.logprobs, later) })
    }
}

/// Locks, also when a thread panicked while it held the lock: every change under the engine's locks is a single
/// assignment, so there is no half-made state to protect anyone from.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn text(text: &str) -> Event {
        Event::Text { text: text.into(), logprobs: Vec::new() }
    }

    #[tokio::test]
    async fn f25_a_slow_reader_gets_all_text_at_once_and_the_latest_status_only() {
        let mailbox = Mailbox::default();
        mailbox.status(Event::Queued { position: 2, wait: None });
        mailbox.status(Event::Prefill { done: 1, total: 2 });
        mailbox.text(&mut "Hel".into(), &mut Vec::new());
        mailbox.offer(&mut String::new(), &mut Vec::new(), None);
        mailbox.offer(&mut "lo".into(), &mut Vec::new(), None);

        assert_eq!(mailbox.next().await, Event::Prefill { done: 1, total: 2 });
        assert_eq!(mailbox.next().await, text("Hello"));
    }

    #[tokio::test]
    async fn what_was_written_ahead_is_read_at_its_moment() {
        let mailbox = Mailbox::default();
        let start = Instant::now();
        for (piece, after) in [("a", 0), ("b", 40), ("c", 80)] {
            let until = start + Duration::from_millis(after);
            mailbox.offer(&mut piece.into(), &mut Vec::new(), Some(until));
        }

        for (piece, after) in [("a", 0), ("b", 40), ("c", 80)] {
            assert_eq!(mailbox.next().await, text(piece));
            assert!(start.elapsed() >= Duration::from_millis(after));
        }
    }

    #[tokio::test]
    async fn nothing_waits_behind_text_that_is_not_ahead_nor_behind_the_end() {
        let far = Instant::now() + Duration::from_secs(3600);
        let (flowing, ended) = (Mailbox::default(), Mailbox::default());
        for mailbox in [&flowing, &ended] {
            mailbox.offer(&mut "a".into(), &mut Vec::new(), Some(far));
        }

        flowing.offer(&mut "b".into(), &mut Vec::new(), None);
        ended.end(Event::Failed("over".into()));

        assert_eq!(flowing.next().await, text("ab"));
        assert_eq!(ended.next().await, text("a"));
        assert_eq!(ended.next().await, Event::Failed("over".into()));
    }

    #[tokio::test]
    async fn the_end_comes_after_the_text_and_the_first_one_counts() {
        let mailbox = Mailbox::default();
        mailbox.end(Event::Failed("first".into()));
        mailbox.end(Event::Failed("second".into()));
        mailbox.text(&mut "late".into(), &mut Vec::new());

        assert_eq!(mailbox.next().await, text("late"));
        assert_eq!(mailbox.next().await, Event::Failed("first".into()));
        assert_eq!(mailbox.next().await, Event::Failed("first".into()));
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken_and_one_that_gave_up_loses_nothing() {
        let mailbox = Arc::new(Mailbox::default());
        let gave_up =
            tokio::select! { biased; _ = mailbox.next() => false, () = std::future::ready(()) => true };
        let waiting = tokio::spawn({
            let mailbox = Arc::clone(&mailbox);
            async move { mailbox.next().await }
        });
        tokio::task::yield_now().await;

        mailbox.text(&mut "x".into(), &mut Vec::new());

        assert!(gave_up);
        assert_eq!(waiting.await.unwrap(), text("x"));
    }
}
