use sqlx::any::AnyRow;
use sqlx::{FromRow, Row};

use super::{Store, StoreError, found};
use crate::domain::{Conversation, ConversationId, Shelf, Title, UserId, now};

impl FromRow<'_, AnyRow> for Conversation {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            user_id: row.try_get("user_id")?,
            title: row.try_get("title")?,
            shelf: row.try_get("shelf")?,
            head: row.try_get("head_id")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
        })
    }
}

impl Store {
    /// Makes a blank conversation.
    pub async fn create_conversation(&self, user: UserId) -> Result<Conversation, StoreError> {
        self.insert_blank(user, ConversationId::new()).await
    }

    pub(super) async fn insert_blank(
        &self,
        user: UserId,
        id: ConversationId,
    ) -> Result<Conversation, StoreError> {
        let now = now();
        let conversation = Conversation {
            id,
            user_id: user,
            title: Title::default(),
            shelf: Shelf::default(),
            head: None,
            created_at: now,
            updated_at: now,
        };
        let insert = sqlx::query(
            "INSERT INTO conversations (id, user_id, title, title_by, created_at, updated_at) \
             VALUES ($1, $2, $3, 'nobody', $4, $4)",
        );
        let insert = insert.bind(id).bind(user).bind(&conversation.title).bind(now);
        self.execute_in(id.is_temporary(), insert).await?;
        Ok(conversation)
    }

    /// The conversation that the person wrote in last, but for archived ones; none when there is none.
    pub async fn latest_conversation(&self, user: UserId) -> Result<Option<Conversation>, StoreError> {
        let query = sqlx::query_as(
            "SELECT * FROM conversations WHERE user_id = $1 AND shelf <> 'archived' \
             ORDER BY updated_at DESC, id DESC LIMIT 1",
        );
        Ok(query.bind(user).fetch_optional(&self.pool).await?)
    }

    /// One conversation.
    pub async fn find_conversation(
        &self,
        user: UserId,
        conversation: ConversationId,
    ) -> Result<Conversation, StoreError> {
        let query = sqlx::query_as("SELECT * FROM conversations WHERE id = $1 AND user_id = $2");
        Ok(query.bind(conversation).bind(user).fetch_one(self.of(conversation)).await?)
    }

    /// Gives a conversation the title that its person chose; it keeps its place in the list.
    pub async fn rename_conversation(
        &self,
        user: UserId,
        conversation: ConversationId,
        title: &Title,
    ) -> Result<(), StoreError> {
        let update = sqlx::query(
            "UPDATE conversations SET title = $3, title_by = 'person' WHERE id = $1 AND user_id = $2",
        );
        found(
            self.execute_in(conversation.is_temporary(), update.bind(conversation).bind(user).bind(title))
                .await?,
        )
    }

    /// Whether its first exchange is all that is shown of it, and neither its person nor a plugin has named it.
    pub async fn is_called_by_its_words(
        &self,
        user: UserId,
        conversation: ConversationId,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "SELECT 1 FROM conversations c \
             JOIN messages reply ON reply.conversation_id = c.id AND reply.id = c.head_id \
             JOIN messages message ON message.conversation_id = c.id AND message.id = reply.parent_id \
             WHERE c.id = $1 AND c.user_id = $2 AND c.title_by = 'words' AND message.parent_id IS NULL",
        );
        Ok(query.bind(conversation).bind(user).fetch_optional(self.of(conversation)).await?.is_some())
    }

    /// Gives a conversation the title that a plugin made of its first exchange, unless its person has chosen one or a plugin
    /// has already.
    pub async fn title_conversation(
        &self,
        user: UserId,
        conversation: ConversationId,
        title: &Title,
    ) -> Result<(), StoreError> {
        let update = sqlx::query(
            "UPDATE conversations SET title = $3, title_by = 'plugin' \
             WHERE id = $1 AND user_id = $2 AND title_by = 'words'",
        );
        self.execute_in(conversation.is_temporary(), update.bind(conversation).bind(user).bind(title))
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Trace;
    use crate::store::testing::{complete, listed, store, turn, user};

    #[tokio::test]
    async fn the_conversation_written_in_last_comes_first() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await.id;
        assert_eq!(store.latest_conversation(ada).await.unwrap(), None);
        let old = store.create_conversation(ada).await.unwrap();
        let new = store.create_conversation(ada).await.unwrap();
        assert_eq!(listed(&store, ada).await, [new.clone(), old.clone()]);

        sqlx::query("UPDATE conversations SET updated_at = 0").execute(&store.pool).await.unwrap();
        store.begin_turn(ada, old.id, turn("Hi")).await.unwrap();

        let ids: Vec<_> = listed(&store, ada).await.into_iter().map(|c| c.id).collect();
        assert_eq!(ids, [old.id, new.id]);
        assert_eq!(store.latest_conversation(ada).await.unwrap().unwrap().id, old.id);
    }

    #[tokio::test]
    async fn the_first_words_name_a_conversation_until_a_person_does() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await.id;
        let id = store.create_conversation(ada).await.unwrap().id;
        let title = async || store.find_conversation(ada, id).await.unwrap().title.to_string();
        assert_eq!(title().await, Title::BLANK);

        for text in ["First words", "Second words"] {
            let reply = store.begin_turn(ada, id, turn(text)).await.unwrap().reply;
            store.finish(reply.id, &complete("Yes.")).await.unwrap();
            assert_eq!(title().await, "First words");
        }

        store.rename_conversation(ada, id, &Title::stored("Mine".into())).await.unwrap();
        store.begin_turn(ada, id, turn("Third words")).await.unwrap();
        assert_eq!(title().await, "Mine");
    }

    #[tokio::test]
    async fn a_plugins_title_takes_the_place_of_the_first_words_only() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await.id;
        let id = store.create_conversation(ada).await.unwrap().id;
        let title = async || store.find_conversation(ada, id).await.unwrap().title.to_string();
        let made = |text: &str| Title::stored(text.into());
        store.begin_turn(ada, id, turn("First words")).await.unwrap();

        store.title_conversation(user(&store, "eve").await.id, id, &made("Stolen")).await.unwrap();
        assert_eq!(title().await, "First words");
        store.title_conversation(ada, id, &made("On words")).await.unwrap();
        store.title_conversation(ada, id, &made("On other words")).await.unwrap();
        assert_eq!(title().await, "On words");
        store.rename_conversation(ada, id, &made("Mine")).await.unwrap();
        store.title_conversation(ada, id, &made("On words")).await.unwrap();
        assert_eq!(title().await, "Mine");
    }

    #[tokio::test]
    async fn a_blank_conversation_that_a_person_named_keeps_its_name() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await.id;
        let id = store.create_conversation(ada).await.unwrap().id;
        store.rename_conversation(ada, id, &Title::stored("Mine".into())).await.unwrap();

        store.begin_turn(ada, id, turn("First words")).await.unwrap();

        assert_eq!(store.find_conversation(ada, id).await.unwrap().title.as_str(), "Mine");
    }

    #[tokio::test]
    async fn a_very_long_conversation_can_be_deleted() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await.id;
        let id = store.create_conversation(ada).await.unwrap().id;
        let other = store.create_conversation(ada).await.unwrap().id;
        for conversation in [id, other] {
            store
                .begin_answered_turn(ada, conversation, turn("Hi"), "Yes.".into(), &Trace::default())
                .await
                .unwrap();
        }
        let chain = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) \
                     INSERT INTO messages (id, conversation_id, parent_id, role, content, status, marks, created_at, updated_at) \
                     SELECT printf('%032d', i), $1, CASE WHEN i > 1 THEN printf('%032d', i - 1) END, 'user', '', 'complete', '[]', 0, 0 FROM n";
        sqlx::query(chain).bind(id).execute(&store.pool).await.unwrap();

        store.delete_conversation(ada, id).await.unwrap();
        store.erase().await.unwrap();

        let left: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM messages").fetch_one(&store.pool).await.unwrap();
        assert_eq!(left, 2);
        assert!(matches!(store.delete_conversation(ada, id).await, Err(StoreError::NotFound)));
    }
}
