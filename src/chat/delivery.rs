//! How a program's reply comes to it. Where plugins see every piece of it, it is written near them, and comes through a channel.

use tokio::select;
use tokio::sync::{mpsc, oneshot};

use super::request::{CompletionEnd, CompletionEvent, Piece};
use super::{ChatError, Completion};

/// Pieces that wait for a program that reads slowly; what comes then waits in the engine's mailbox.
const PIECES: usize = 1;

/// A reply as it comes. Dropping it cancels the reply.
#[must_use = "dropping a reply cancels it"]
pub struct CompletionEvents(Way);

enum Way {
    Here(Box<Completion>),
    Near(mpsc::Receiver<Result<CompletionEvent, ChatError>>),
}

impl CompletionEvents {
    /// What comes next; [`CompletionEvent::End`] is the last. With a plugin that holds the reply, its text comes as one piece after
    /// `on_response`. Without one, that hook runs when the text is out, and what it changes is not sent. Not to be dropped and
    /// called again.
    ///
    /// # Errors
    /// The reply broke off: the engine failed, a plugin refused, the server stops. Nothing follows.
    pub async fn next(&mut self) -> Result<CompletionEvent, ChatError> {
        match &mut self.0 {
            Way::Here(completion) => completion.next().await,
            Way::Near(events) => events.recv().await.unwrap_or(Err(ChatError::Panicked)),
        }
    }
}

impl Completion {
    /// The reply as it comes.
    pub fn events(self) -> CompletionEvents {
        if !self.plugins.sees_pieces() {
            return CompletionEvents(Way::Here(Box::new(self)));
        }
        let (events, received) = mpsc::channel(PIECES);
        self.plugins.clone().spawn(self.send(events));
        CompletionEvents(Way::Near(received))
    }

    /// The whole reply as `on_response` leaves it.
    ///
    /// # Errors
    /// As [`CompletionEvents::next`].
    pub async fn whole(mut self) -> Result<(Piece, CompletionEnd), ChatError> {
        if !self.plugins.sees_pieces() {
            return self.collect().await;
        }
        let (mut whole, received) = oneshot::channel();
        self.plugins.clone().spawn(async move {
            select! {
                said = self.collect() => if whole.send(said).is_err() {
                    tracing::debug!("a program went away when its reply was whole");
                },
                () = whole.closed() => {}
            }
        });
        received.await.unwrap_or(Err(ChatError::Panicked))
    }

    /// To the end, or until nobody reads any more.
    async fn send(mut self, events: mpsc::Sender<Result<CompletionEvent, ChatError>>) {
        loop {
            let event = select! {
                event = self.next() => event,
                () = events.closed() => return,
            };
            let is_last = !matches!(event, Ok(CompletionEvent::Piece(_)));
            if events.send(event).await.is_err() || is_last {
                return;
            }
        }
    }
}
