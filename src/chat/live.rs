use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::domain::MessageId;

/// What a viewer of a running reply can see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveReply {
    /// The whole text so far.
    pub text: String,
    /// What the reply is waiting for, as a sentence; empty once text flows.
    pub waiting_for: String,
    /// Set once, when the reply is over and committed.
    pub over: bool,
    /// Why it failed; set together with `over`.
    pub failed: Option<String>,
}

/// The replies that this process is writing now.
///
/// A reply is published in a `watch` channel that holds its whole text: a late viewer sees all of it, a slow viewer
/// skips steps and loses nothing, and a writer never waits for a viewer.
#[derive(Debug, Clone, Default)]
pub struct Live {
    // A std mutex: it is held for a lookup, never across an await.
    replies: Arc<Mutex<HashMap<MessageId, Handle>>>,
}

#[derive(Debug, Clone)]
struct Handle {
    view: watch::Receiver<LiveReply>,
    stop: Arc<Notify>,
}

impl Live {
    /// Publishes a reply; it stays visible until the returned writer is dropped.
    pub fn open(&self, reply: MessageId) -> LiveWriter {
        let (text, view) = watch::channel(LiveReply::default());
        let stop = Arc::new(Notify::new());
        self.lock().insert(reply, Handle { view, stop: stop.clone() });
        LiveWriter { live: self.clone(), reply, text, stop, end: None }
    }

    /// As [`Live::open`], for a reply that may be running: there is none then.
    pub fn open_again(&self, reply: MessageId) -> Option<LiveWriter> {
        let (text, view) = watch::channel(LiveReply::default());
        let stop = Arc::new(Notify::new());
        match self.lock().entry(reply) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(free) => free.insert(Handle { view, stop: stop.clone() }),
        };
        Some(LiveWriter { live: self.clone(), reply, text, stop, end: None })
    }

    /// A view of a running reply; none when it is not running here.
    pub fn view(&self, reply: MessageId) -> Option<watch::Receiver<LiveReply>> {
        self.lock().get(&reply).map(|handle| handle.view.clone())
    }

    /// Asks a running reply to stop. Does nothing when it is over already.
    pub fn stop(&self, reply: MessageId) {
        if let Some(handle) = self.lock().get(&reply) {
            handle.stop.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MessageId, Handle>> {
        // Every critical section is one map operation, so a poisoned map is still whole.
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one writer of a running reply. Dropping it closes the reply for every viewer, also after a panic.
#[derive(Debug)]
pub struct LiveWriter {
    live: Live,
    reply: MessageId,
    text: watch::Sender<LiveReply>,
    stop: Arc<Notify>,
    /// How it ended, once it did: with or without a failure.
    end: Option<Option<String>>,
}

impl LiveWriter {
    /// Appends a piece of text.
    pub fn push(&self, piece: &str) {
        self.text.send_modify(|reply| {
            reply.text.push_str(piece);
            reply.waiting_for.clear();
        });
    }

    /// Says what the reply is waiting for.
    pub fn wait_for(&self, sentence: String) {
        self.text.send_if_modified(|reply| {
            let changed = reply.waiting_for != sentence;
            reply.waiting_for = sentence;
            changed
        });
    }

    /// Announces the end. Call it after the outcome is committed.
    pub fn close(mut self, failed: Option<String>) {
        self.end = Some(failed);
    }

    /// Resolves when somebody asked the reply to stop.
    pub async fn stopped(&self) {
        self.stop.notified().await;
    }
}

impl Drop for LiveWriter {
    fn drop(&mut self) {
        // Before its end is announced: whoever has seen that may write in the conversation at once.
        self.live.lock().remove(&self.reply);
        if let Some(failed) = self.end.take() {
            self.text.send_modify(|reply| {
                reply.over = true;
                reply.failed = failed;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_late_viewer_sees_the_whole_text_and_the_end() {
        let live = Live::default();
        let reply = MessageId::new();
        let writer = live.open(reply);

        writer.push("Hel");
        let mut late = live.view(reply).unwrap();
        writer.push("lo");
        writer.close(None);

        let seen = late.wait_for(|reply| reply.over).await.unwrap().clone();
        assert_eq!(seen.text, "Hello");
        assert!(live.view(reply).is_none());
    }

    #[test]
    fn a_running_reply_has_one_writer() {
        let live = Live::default();
        let reply = MessageId::new();
        let writer = live.open(reply);

        assert!(live.open_again(reply).is_none());
        assert!(live.view(reply).is_some());

        drop(writer);
        assert!(live.open_again(reply).is_some());
    }

    #[test]
    fn whoever_sees_the_end_finds_nothing_running() {
        let live = Live::default();
        for _ in 0..2_000 {
            let reply = MessageId::new();
            let writer = live.open(reply);
            let view = live.view(reply).unwrap();
            let closing = std::thread::spawn(move || writer.close(None));
            while !view.borrow().over {
                std::hint::spin_loop();
            }
            assert!(live.view(reply).is_none());
            closing.join().unwrap();
        }
    }

    #[tokio::test]
    async fn a_stop_that_comes_before_the_writer_listens_is_not_lost() {
        let live = Live::default();
        let reply = MessageId::new();
        let writer = live.open(reply);

        live.stop(reply);

        writer.stopped().await;
    }
}
