//! The list of conversations as templates receive it.

use serde::Serialize;

use crate::chat::{Chat, ChatError};
use crate::domain::{Conversation, ConversationId, Shelf, User, period};
use crate::store::Place;

/// Conversations of one page.
const PAGE: u32 = 50;

/// A page of conversations, divided by time.
#[derive(Serialize)]
pub struct SidebarView {
    groups: Vec<GroupView>,
    /// Where the next page begins.
    more: Option<String>,
}

/// Conversations under one heading; none where they go on with the last one of the page before.
#[derive(Serialize)]
struct GroupView {
    /// A period as [`period`] tells it, `pinned` or `temporary`.
    name: Option<String>,
    conversations: Vec<ConversationView>,
}

/// One row.
#[derive(Serialize)]
pub struct ConversationView {
    id: String,
    title: String,
    active: bool,
    shelf: Shelf,
    temporary: bool,
}

impl ConversationView {
    /// `active` marks the conversation on the screen.
    pub fn new(conversation: &Conversation, active: bool) -> Self {
        let Conversation { id, title, shelf, .. } = conversation;
        Self {
            id: id.to_string(),
            title: title.to_string(),
            active,
            shelf: *shelf,
            temporary: id.is_temporary(),
        }
    }
}

impl SidebarView {
    /// What stands beside every conversation: temporary and pinned ones, and the first page of the others. `open` is the one on the screen.
    pub async fn load(chat: &Chat, user: &User, open: Option<ConversationId>) -> Result<Self, ChatError> {
        let mut sidebar = Self::page(chat, user, Shelf::Listed, Place::TOP, open).await?;
        for (name, above) in
            [("pinned", chat.pinned(user).await?), ("temporary", chat.temporary(user).await?)]
        {
            if !above.is_empty() {
                let rows = above.iter().map(|one| ConversationView::new(one, Some(one.id) == open));
                sidebar
                    .groups
                    .insert(0, GroupView { name: Some(name.into()), conversations: rows.collect() });
            }
        }
        Ok(sidebar)
    }

    /// A page of the conversations on one shelf.
    pub async fn page(
        chat: &Chat,
        user: &User,
        shelf: Shelf,
        behind: Place,
        open: Option<ConversationId>,
    ) -> Result<Self, ChatError> {
        let mut page = chat.shelf(user, shelf, behind, PAGE + 1).await?;
        let more = page.len() > PAGE as usize;
        page.truncate(PAGE as usize);
        let mut groups: Vec<GroupView> = Vec::new();
        let mut last = (behind != Place::TOP).then(|| period(behind.updated_at));
        for conversation in &page {
            let name = period(conversation.updated_at);
            if groups.is_empty() || last.as_ref() != Some(&name) {
                let name = (last.as_ref() != Some(&name)).then(|| name.clone());
                groups.push(GroupView { name, conversations: Vec::new() });
            }
            last = Some(name);
            if let Some(group) = groups.last_mut() {
                group.conversations.push(ConversationView::new(conversation, Some(conversation.id) == open));
            }
        }
        let more = page.last().filter(|_| more).map(|last| written(Place::behind(last)));
        Ok(Self { groups, more })
    }
}

/// A place as an address names it.
fn written(place: Place) -> String {
    format!("{}.{}", place.updated_at, place.id)
}

/// The place that an address names; the top for whatever is none.
pub fn place(text: Option<&str>) -> Place {
    let read = || {
        let (updated_at, id) = text?.split_once('.')?;
        Some(Place { updated_at: updated_at.parse().ok()?, id: id.parse().ok()? })
    };
    read().unwrap_or(Place::TOP)
}
