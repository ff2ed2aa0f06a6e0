//! The list of a person's conversations: pinned ones, the others by their time, archived ones; read page by page.

use super::{Store, StoreError, found};
use crate::domain::{Conversation, ConversationId, Shelf, UnixMillis, UserId};

/// A place in the list: behind the conversation that was last written in then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// When it was last written in.
    pub updated_at: UnixMillis,
    /// Which one it is, among those of that moment.
    pub id: ConversationId,
}

impl Place {
    /// Before the first one.
    pub const TOP: Self = Self { updated_at: UnixMillis::MAX, id: ConversationId::UNKNOWN };

    /// Behind a conversation.
    pub fn behind(conversation: &Conversation) -> Self {
        Self { updated_at: conversation.updated_at, id: conversation.id }
    }
}

impl Store {
    /// A person's conversations on one shelf, the last one written in first.
    pub async fn shelf(
        &self,
        user: UserId,
        shelf: Shelf,
        behind: Place,
        at_most: u32,
    ) -> Result<Vec<Conversation>, StoreError> {
        let query = sqlx::query_as(
            "SELECT * FROM conversations WHERE user_id = $1 AND shelf = $2 AND (updated_at, id) < ($3, $4) \
             ORDER BY updated_at DESC, id DESC LIMIT $5",
        );
        let query = query.bind(user).bind(shelf).bind(behind.updated_at).bind(behind.id);
        Ok(query.bind(i64::from(at_most)).fetch_all(&self.pool).await?)
    }

    /// Puts a conversation somewhere else; its time stays.
    pub async fn put_on_shelf(
        &self,
        user: UserId,
        conversation: ConversationId,
        shelf: Shelf,
    ) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE conversations SET shelf = $3 WHERE id = $1 AND user_id = $2");
        found(
            self.execute_in(conversation.is_temporary(), update.bind(conversation).bind(user).bind(shelf))
                .await?,
        )
    }

    /// The conversation that comes after this one by its time, or else the one before it; archived ones do not count.
    pub async fn neighbour(
        &self,
        user: UserId,
        conversation: ConversationId,
    ) -> Result<Option<Conversation>, StoreError> {
        let here = Place::behind(&self.find_conversation(user, conversation).await?);
        let sides = [
            "SELECT * FROM conversations WHERE user_id = $1 AND shelf <> 'archived' \
             AND (updated_at, id) < ($2, $3) ORDER BY updated_at DESC, id DESC LIMIT 1",
            "SELECT * FROM conversations WHERE user_id = $1 AND shelf <> 'archived' \
             AND (updated_at, id) > ($2, $3) ORDER BY updated_at, id LIMIT 1",
        ];
        for side in sides {
            let query = sqlx::query_as(side).bind(user).bind(here.updated_at).bind(here.id);
            if let Some(neighbour) = query.fetch_optional(&self.pool).await? {
                return Ok(Some(neighbour));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{store, turn, user};

    #[tokio::test]
    async fn a_shelf_is_read_page_by_page() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await.id;
        let mut made = Vec::new();
        for _ in 0..5 {
            made.push(store.create_conversation(ada).await.unwrap().id);
        }
        // Equal times: the id decides.
        sqlx::query("UPDATE conversations SET updated_at = 7").execute(&store.pool).await.unwrap();
        store.put_on_shelf(ada, made[3], Shelf::Archived).await.unwrap();

        let first = store.shelf(ada, Shelf::Listed, Place::TOP, 2).await.unwrap();
        let rest = store.shelf(ada, Shelf::Listed, Place::behind(&first[1]), 9).await.unwrap();

        let ids: Vec<_> = first.iter().chain(&rest).map(|conversation| conversation.id).collect();
        assert_eq!(ids, [made[4], made[2], made[1], made[0]]);
        let archived = store.shelf(ada, Shelf::Archived, Place::TOP, 9).await.unwrap();
        assert_eq!(archived[0].id, made[3]);
    }

    #[tokio::test]
    async fn what_is_archived_is_no_neighbour_and_comes_back_when_it_is_written_in() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await.id;
        let old = store.create_conversation(ada).await.unwrap().id;
        let middle = store.create_conversation(ada).await.unwrap().id;
        let new = store.create_conversation(ada).await.unwrap().id;
        let beside = async |id| store.neighbour(ada, id).await.unwrap().map(|neighbour| neighbour.id);
        assert_eq!((beside(new).await, beside(old).await), (Some(middle), Some(middle)));

        for id in [middle, new] {
            store.put_on_shelf(ada, id, Shelf::Archived).await.unwrap();
        }

        assert_eq!(beside(old).await, None);
        assert_eq!(store.latest_conversation(ada).await.unwrap().unwrap().id, old);
        store.begin_turn(ada, middle, turn("Again")).await.unwrap();
        assert_eq!(store.find_conversation(ada, middle).await.unwrap().shelf, Shelf::Listed);
    }
}
