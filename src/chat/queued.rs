//! Messages that were sent while a reply was running: each is sent when what stands before it has been answered.
//!
//! They are in memory only: what a plugin would take out of a message is stored nowhere before it did.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Chat, ChatError};
use crate::domain::{Conversation, ConversationId, Invalid, MessageId, SendKey, User, UserId, UserText};
use crate::store::{StoreError, Turn};

/// Most messages that wait in one conversation.
const MOST: usize = 3;

/// Most conversations in which messages wait. Each has a running reply, or a message that could not be sent.
const MOST_CONVERSATIONS: usize = 1_000;

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// Names it while it waits.
    pub id: MessageId,
    /// What was typed, before any plugin has seen it.
    pub text: UserText,
    /// What tells it from the same message that arrives again.
    key: Option<SendKey>,
    /// Why it could not be sent; it waits for its person then.
    pub problem: Option<String>,
    /// It is being sent: whoever looks now finds it here, in the conversation, or in both, but always somewhere.
    leaving: bool,
}

/// What became of a message.
#[derive(Debug, Clone)]
pub enum Sent {
    /// It was written, and is being answered.
    Now(Box<Turn>),
    /// It waits.
    Later(Queued),
}

/// The messages that wait, by conversation.
#[derive(Debug, Clone, Default)]
pub(super) struct Queues {
    // A std mutex: held for a few lines.
    waiting: Arc<Mutex<HashMap<ConversationId, VecDeque<Queued>>>>,
}

impl Queues {
    fn lock(&self) -> MutexGuard<'_, HashMap<ConversationId, VecDeque<Queued>>> {
        // Every critical section leaves whole queues.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The message that waits already, where its key is the same.
    fn push(
        &self,
        conversation: ConversationId,
        text: UserText,
        key: Option<SendKey>,
    ) -> Result<Queued, ChatError> {
        let mut waiting = self.lock();
        let others = waiting.len();
        let queue = waiting.entry(conversation).or_default();
        if let Some(same) = queue.iter().find(|queued| key.is_some() && queued.key == key) {
            return Ok(same.clone());
        }
        if queue.len() >= MOST || (queue.is_empty() && others >= MOST_CONVERSATIONS) {
            let sentence = format!("{} messages wait here already. Let the reply come first.", queue.len());
            if queue.is_empty() {
                waiting.remove(&conversation);
            }
            return Err(Invalid(sentence).into());
        }
        let queued = Queued { id: MessageId::new(), text, key, problem: None, leaving: false };
        queue.push_back(queued.clone());
        Ok(queued)
    }

    /// The message to send next; none while the first one waits for its person or is being sent.
    fn send(&self, conversation: ConversationId) -> Option<Leaving<'_>> {
        let mut waiting = self.lock();
        let first = waiting.get_mut(&conversation)?.front_mut()?;
        if first.leaving || first.problem.is_some() {
            return None;
        }
        first.leaving = true;
        Some(Leaving { queues: self, conversation, queued: first.clone() })
    }

    /// Takes a message out, unless it is being sent.
    fn take_back(&self, conversation: ConversationId, id: MessageId) {
        self.remove(conversation, |queued| queued.id == id && !queued.leaving);
    }

    fn remove(&self, conversation: ConversationId, which: impl Fn(&Queued) -> bool) {
        let mut waiting = self.lock();
        let Some(queue) = waiting.get_mut(&conversation) else { return };
        queue.retain(|queued| !which(queued));
        if queue.is_empty() {
            waiting.remove(&conversation);
        }
    }

    /// Forgets what waits in a conversation that is gone.
    pub(super) fn forget(&self, conversation: ConversationId) {
        self.lock().remove(&conversation);
    }
}

/// A message that is being sent. It stays where it was if this is dropped.
struct Leaving<'a> {
    queues: &'a Queues,
    conversation: ConversationId,
    queued: Queued,
}

impl Leaving<'_> {
    fn sent(self) {
        self.queues.remove(self.conversation, |queued| queued.id == self.queued.id);
    }

    /// It waits for its person.
    fn refused(mut self, problem: String) {
        self.queued.problem = Some(problem);
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut waiting = self.queues.lock();
        let queue = waiting.get_mut(&self.conversation);
        if let Some(queued) = queue.and_then(|queue| queue.iter_mut().find(|it| it.id == self.queued.id)) {
            (queued.leaving, queued.problem) = (false, self.queued.problem.take());
        }
    }
}

impl Chat {
    /// Sends a message, or lets it wait for the reply that is running. One that was sent with the same key is not sent again.
    pub async fn send_or_queue(
        &self,
        user: &User,
        conversation: ConversationId,
        text: UserText,
        key: Option<SendKey>,
    ) -> Result<Sent, ChatError> {
        let now = |turn| Ok(Sent::Now(Box::new(turn)));
        let sent = self.send(user, conversation, text.clone(), key.clone()).await;
        if let (Some(key), Err(ChatError::Store(StoreError::AlreadySent | StoreError::ReplyRunning))) =
            (&key, &sent)
            && let Some(turn) = self.store.sent_turn(user.id, conversation, key).await?
        {
            return now(turn);
        }
        match sent {
            Err(ChatError::Store(StoreError::ReplyRunning)) => {}
            sent => return sent.and_then(now),
        }
        let queued = self.queues.push(conversation, text, key)?;
        // The reply may have ended meanwhile.
        if self.check_quiet(user, conversation).await.is_ok() {
            self.send_next(user.id, conversation).await;
        }
        Ok(Sent::Later(queued))
    }

    /// The messages that wait in a conversation, the next one first, and the conversation as it is afterwards: what was sent
    /// before they were looked at stands behind its head.
    pub async fn queued(
        &self,
        user: &User,
        conversation: ConversationId,
    ) -> Result<(Vec<Queued>, Conversation), ChatError> {
        let waiting = self.queues.lock().get(&conversation).into_iter().flatten().cloned().collect();
        Ok((waiting, self.conversation(user, conversation).await?))
    }

    /// Takes a message back that waits. Nothing happens to one that was sent already.
    pub async fn take_back(
        &self,
        user: &User,
        conversation: ConversationId,
        id: MessageId,
    ) -> Result<(), ChatError> {
        self.conversation(user, conversation).await?;
        self.queues.take_back(conversation, id);
        // What waits behind it need not wait for its person any more.
        if self.check_quiet(user, conversation).await.is_ok() {
            self.send_next(user.id, conversation).await;
        }
        Ok(())
    }

    /// Sends the next message that waits in a conversation where no reply is being written any more.
    pub(super) async fn send_next(&self, user: UserId, conversation: ConversationId) {
        if *self.stopping.borrow() {
            return;
        }
        let Some(next) = self.queues.send(conversation) else { return };
        let sent = async {
            let user = self.store.find_user(user).await?;
            self.turn(&user, conversation, None, next.queued.text.clone(), next.queued.key.clone()).await
        };
        match sent.await {
            Ok(_) | Err(ChatError::Store(StoreError::NotFound | StoreError::AlreadySent)) => next.sent(),
            Err(ChatError::Store(StoreError::ReplyRunning)) => drop(next),
            Err(error) => next.refused(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> UserText {
        UserText::parse(text, 100).unwrap()
    }

    #[test]
    fn messages_leave_in_their_order_and_one_with_a_problem_holds_up_the_rest() {
        let (queues, here) = (Queues::default(), ConversationId::new());
        let all: Vec<_> = ["one", "two", "three"].map(|it| queues.push(here, text(it), None).unwrap()).into();
        assert!(queues.push(here, text("four"), None).is_err());

        let one = queues.send(here).unwrap();
        assert!(queues.send(here).is_none(), "it is sent once");
        queues.take_back(here, all[0].id);
        assert_eq!(queues.lock()[&here].front().unwrap().text, all[0].text, "and found until it is there");
        drop(one);
        queues.send(here).unwrap().refused("Too long.".into());
        assert!(queues.send(here).is_none());
        queues.take_back(here, all[0].id);

        for left in &all[1..] {
            let next = queues.send(here).unwrap();
            assert_eq!(next.queued.text, left.text);
            next.sent();
        }
        assert!(queues.lock().is_empty());
    }
}
