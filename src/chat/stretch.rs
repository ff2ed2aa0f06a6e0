//! Long conversations are read a stretch at a time, from their end.

use super::{Chat, ChatError};
use crate::domain::{Conversation, Message, MessageId, User};
use crate::store::Extent;

/// Messages of a stretch.
const STRETCH: u32 = 40;
/// Messages that are shown before one that was asked for.
const BEFORE: u32 = 6;
/// Most messages of one, however far back it begins; the latest are shown by a click then.
const MOST: u32 = 200;
/// Most bytes of what they say.
const MOST_BYTES: i64 = 2 << 20;

/// Which messages of a conversation are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Its end.
    Last,
    /// Its end, from a few before this message on at the latest, or what follows from there where that is long; as [`Part::Last`] where the branch that is shown does not hold it.
    Around(MessageId),
    /// Its end, from exactly this message on, or what follows from there where that is long; as [`Part::Last`] likewise.
    Since(MessageId),
    /// The stretch that ends with this message.
    UpTo(MessageId),
}

/// Messages that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The oldest first.
    pub messages: Vec<Message>,
    /// The message before them.
    pub earlier: Option<MessageId>,
}

impl Chat {
    /// A part of the branch that is shown.
    pub async fn stretch(
        &self,
        user: &User,
        conversation: &Conversation,
        part: Part,
    ) -> Result<Stretch, ChatError> {
        let Some(head) = conversation.head else {
            return Ok(Stretch { messages: Vec::new(), earlier: None });
        };
        let since = async |message| self.store.distance(user.id, conversation.id, message, head).await;
        let (end, length) = match part {
            Part::Last => (head, STRETCH),
            Part::UpTo(message) => (message, STRETCH),
            Part::Around(message) => {
                (head, since(message).await?.map_or(STRETCH, |distance| STRETCH.max(distance + 1 + BEFORE)))
            }
            Part::Since(message) => (head, since(message).await?.map_or(STRETCH, |distance| distance + 1)),
        };
        let extent =
            Extent { skip: length.saturating_sub(MOST), messages: length.min(MOST), bytes: MOST_BYTES };
        let messages = self.store.stretch(user.id, conversation.id, end, extent).await?;
        let earlier = messages.first().and_then(|first| first.parent_id);
        Ok(Stretch { messages, earlier })
    }
}
