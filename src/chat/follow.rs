use tokio::sync::watch;

use super::LiveReply;
use crate::domain::{Message, MessageStatus};

/// One step of what a viewer sees of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyEvent {
    /// The next piece of the text. It is never white space only: a browser would drop it.
    Text {
        /// The piece.
        piece: String,
        /// Unicode scalar values of the reply up to the end of this piece: where to resume.
        position: usize,
    },
    /// What the reply is waiting for, as a sentence.
    Status(String),
    /// It failed, and why.
    Failed(String),
    /// It is over; nothing follows.
    Done,
}

/// A view of one reply from a position on. It generates nothing: the reply runs with or without it.
#[derive(Debug)]
pub struct Follower {
    source: Source,
    seen: Seen,
    over: bool,
}

#[derive(Debug)]
enum Source {
    Live(watch::Receiver<LiveReply>),
    Stored(LiveReply),
}

impl Follower {
    /// Follows a running reply; `position` is what the viewer has already, in Unicode scalar values.
    pub(super) fn live(view: watch::Receiver<LiveReply>, position: usize) -> Self {
        let seen = Seen::new(&view.borrow().text, position);
        Self { source: Source::Live(view), seen, over: false }
    }

    /// Replays a reply that is over.
    pub(super) fn stored(message: Message, position: usize) -> Self {
        let failed = (message.status == MessageStatus::Failed).then(|| message.error.unwrap_or_default());
        let seen = Seen::new(&message.content, position);
        let reply = LiveReply { text: message.content, over: true, failed, ..LiveReply::default() };
        Self { source: Source::Stored(reply), seen, over: false }
    }

    /// The next event, or none after [`ReplyEvent::Done`].
    pub async fn next(&mut self) -> Option<ReplyEvent> {
        while !self.over {
            let event = match &mut self.source {
                Source::Stored(reply) => self.seen.next_event(reply),
                Source::Live(view) => {
                    let event = self.seen.next_event(&view.borrow_and_update());
                    match event {
                        Some(event) => Some(event),
                        // The writer is gone without an end only after a panic: the stream still ends.
                        None if view.changed().await.is_err() => Some(ReplyEvent::Done),
                        None => None,
                    }
                }
            };
            if let Some(event) = event {
                self.over = event == ReplyEvent::Done;
                return Some(event);
            }
        }
        None
    }
}

/// What one viewer has seen. A reply's text only grows, so both counts stay valid.
#[derive(Debug)]
struct Seen {
    chars: usize,
    bytes: usize,
    status: String,
    failure: bool,
}

impl Seen {
    fn new(text: &str, chars: usize) -> Self {
        let bytes = text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
        let chars = text[..bytes].chars().count();
        Self { chars, bytes, status: String::new(), failure: false }
    }

    fn next_event(&mut self, reply: &LiveReply) -> Option<ReplyEvent> {
        let piece = &reply.text[self.bytes..];
        if piece.chars().any(is_visible) {
            self.bytes = reply.text.len();
            self.chars += piece.chars().count();
            return Some(ReplyEvent::Text { piece: piece.to_owned(), position: self.chars });
        }
        if reply.over {
            return match &reply.failed {
                Some(sentence) if !self.failure => {
                    self.failure = true;
                    Some(ReplyEvent::Failed(sentence.clone()))
                }
                _ => Some(ReplyEvent::Done),
            };
        }
        if !reply.waiting_for.is_empty() && reply.waiting_for != self.status {
            self.status.clone_from(&reply.waiting_for);
            return Some(ReplyEvent::Status(self.status.clone()));
        }
        None
    }
}

/// False for what JavaScript's `trim` removes, so that a piece survives it.
fn is_visible(c: char) -> bool {
    !c.is_whitespace() && c != '\u{feff}'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Live;
    use crate::domain::MessageId;

    async fn all(mut follower: Follower) -> Vec<ReplyEvent> {
        let mut events = Vec::new();
        while let Some(event) = follower.next().await {
            events.push(event);
        }
        events
    }

    fn text(piece: &str, position: usize) -> ReplyEvent {
        ReplyEvent::Text { piece: piece.into(), position }
    }

    #[tokio::test]
    async fn white_space_waits_for_the_next_visible_character() {
        let live = Live::default();
        let reply = MessageId::new();
        let writer = live.open(reply);
        let mut follower = Follower::live(live.view(reply).unwrap(), 0);

        writer.push("Hi");
        assert_eq!(follower.next().await, Some(text("Hi", 2)));
        writer.push("\n\n    ");
        writer.push("é");
        assert_eq!(follower.next().await, Some(text("\n\n    é", 9)));
        writer.push("  ");
        writer.close(None);

        assert_eq!(all(follower).await, [ReplyEvent::Done]);
    }

    #[tokio::test]
    async fn a_viewer_resumes_after_the_characters_it_has() {
        let live = Live::default();
        let reply = MessageId::new();
        let writer = live.open(reply);
        writer.push("añb🦀c");
        let follower = Follower::live(live.view(reply).unwrap(), 3);

        writer.close(Some("The model stopped.".into()));

        assert_eq!(
            all(follower).await,
            [text("🦀c", 5), ReplyEvent::Failed("The model stopped.".into()), ReplyEvent::Done]
        );
    }

    #[tokio::test]
    async fn a_writer_that_vanishes_ends_the_stream() {
        let live = Live::default();
        let reply = MessageId::new();
        let writer = live.open(reply);
        let follower = Follower::live(live.view(reply).unwrap(), 0);

        drop(writer);

        assert_eq!(all(follower).await, [ReplyEvent::Done]);
    }
}
