//! A person's conversations, but for what is said in them.

use super::{Chat, ChatError};
use crate::domain::{
    Conversation, ConversationId, Invalid, Message, MessageId, Piece, Search, Shelf, Title, User,
};
use crate::store::{Found, Place};

/// Most characters of a search; what is behind them is passed over.
const MAX_SEARCH_CHARS: usize = 200;
/// Most conversations that can be pinned: they are shown with every page.
const MAX_PINNED: usize = 50;

/// A place that was found, and what of it is shown.
pub struct Hit {
    /// The place.
    pub found: Found,
    /// Around the first words that were looked for.
    pub excerpt: Vec<Piece>,
}

impl Hit {
    fn new(search: &Search, found: Found) -> Self {
        let text = found.message.as_ref().map_or(found.title.as_str(), |message| &message.content);
        Self { excerpt: search.excerpt(text), found }
    }
}

impl Chat {
    /// A new, blank conversation; a blank one that exists already is used again.
    pub async fn create(&self, user: &User) -> Result<Conversation, ChatError> {
        match self.store.latest_conversation(user.id).await? {
            Some(latest) if latest.head.is_none() && latest.title == Title::default() => Ok(latest),
            _ => Ok(self.store.create_conversation(user.id).await?),
        }
    }

    /// A new conversation that is never written to the disk.
    pub async fn create_temporary(&self, user: &User) -> Result<Conversation, ChatError> {
        let (conversation, gone) = self.store.create_temporary(user.id).await?;
        for id in gone {
            self.engine.forget(id);
            self.queues.forget(id);
        }
        Ok(conversation)
    }

    /// The conversation that was last written in, or a new one.
    pub async fn latest(&self, user: &User) -> Result<Conversation, ChatError> {
        match self.store.latest_conversation(user.id).await? {
            Some(conversation) => Ok(conversation),
            None => Ok(self.store.create_conversation(user.id).await?),
        }
    }

    /// The pinned conversations, the last written in first.
    pub async fn pinned(&self, user: &User) -> Result<Vec<Conversation>, ChatError> {
        Ok(self.store.shelf(user.id, Shelf::Pinned, Place::TOP, MAX_PINNED as u32).await?)
    }

    /// The temporary conversations in which something was said.
    pub async fn temporary(&self, user: &User) -> Result<Vec<Conversation>, ChatError> {
        Ok(self.store.temporary(user.id).await?)
    }

    /// A page of the conversations on a shelf, the last written in first.
    pub async fn shelf(
        &self,
        user: &User,
        shelf: Shelf,
        behind: Place,
        at_most: u32,
    ) -> Result<Vec<Conversation>, ChatError> {
        Ok(self.store.shelf(user.id, shelf, behind, at_most).await?)
    }

    /// Pins a conversation, puts it away, or puts it back among the others.
    pub async fn put_on_shelf(&self, user: &User, id: ConversationId, shelf: Shelf) -> Result<(), ChatError> {
        if shelf == Shelf::Pinned && self.pinned(user).await?.len() >= MAX_PINNED {
            let sentence =
                format!("At most {MAX_PINNED} conversations can be pinned; unpin one of them first.");
            return Err(Invalid(sentence).into());
        }
        Ok(self.store.put_on_shelf(user.id, id, shelf).await?)
    }

    /// What a person finds in titles and messages before a position, the last that came first. `typed` may say anything.
    pub async fn search(
        &self,
        user: &User,
        typed: &str,
        before: i64,
        at_most: u32,
    ) -> Result<Option<Vec<Hit>>, ChatError> {
        let typed: String = typed.chars().take(MAX_SEARCH_CHARS).collect();
        let Some(search) = Search::parse(&typed) else { return Ok(None) };
        let found = self.store.search(user.id, &search, before, at_most).await?;
        // Long texts are taken apart: no work for a thread of the runtime.
        let hits = move || found.into_iter().map(|found| Hit::new(&search, found)).collect();
        Ok(Some(tokio::task::spawn_blocking(hits).await.map_err(|_| ChatError::Panicked)?))
    }

    /// One conversation of the person's.
    pub async fn conversation(&self, user: &User, id: ConversationId) -> Result<Conversation, ChatError> {
        Ok(self.store.find_conversation(user.id, id).await?)
    }

    /// All messages of the branch that is shown, oldest first.
    pub async fn messages(&self, user: &User, id: ConversationId) -> Result<Vec<Message>, ChatError> {
        Ok(self.store.branch(user.id, id).await?)
    }

    /// One message of the person's.
    pub async fn message(
        &self,
        user: &User,
        conversation: ConversationId,
        id: MessageId,
    ) -> Result<Message, ChatError> {
        Ok(self.store.find_message(user.id, conversation, id).await?)
    }

    /// Gives a conversation the name that its owner typed.
    pub async fn rename(
        &self,
        user: &User,
        id: ConversationId,
        title: &str,
    ) -> Result<Conversation, ChatError> {
        let title = Title::parse(title, self.config.max_title_chars)?;
        self.store.rename_conversation(user.id, id, &title).await?;
        self.conversation(user, id).await
    }

    /// Deletes a conversation, also while a reply runs in it. Returns the one that takes its place on the screen.
    pub async fn delete(&self, user: &User, id: ConversationId) -> Result<Conversation, ChatError> {
        let neighbour = self.store.neighbour(user.id, id).await?;
        let running = self.store.running_reply(user.id, id).await?;
        self.store.delete_conversation(user.id, id).await?;
        self.sums.forget(user.id);
        if let Some(reply) = running {
            self.live.stop(reply);
        }
        self.engine.forget(id);
        self.queues.forget(id);
        match neighbour {
            Some(neighbour) => Ok(neighbour),
            None => Ok(self.store.create_conversation(user.id).await?),
        }
    }
}
