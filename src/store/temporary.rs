//! Temporary conversations: in memory only, few, and not for long.

use std::time::Duration;

use sqlx::Row;

use super::{Store, StoreError};
use crate::domain::{Conversation, ConversationId, UserId, now};

/// Temporary conversations of one person; the one that was not written in for longest gives way to a new one.
const MOST: i64 = 5;
/// How long one stays that nobody writes in.
const IDLE: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes that all of them may take.
const MOST_BYTES: i64 = 256 << 20;

impl Store {
    /// Makes a blank temporary conversation. Also returns those that went for it.
    ///
    /// # Errors
    /// [`StoreError::TemporaryFull`] when there is no memory for one more.
    pub async fn create_temporary(
        &self,
        user: UserId,
    ) -> Result<(Conversation, Vec<ConversationId>), StoreError> {
        let mut gone = Vec::new();
        let idle = now() - i64::try_from(IDLE.as_millis()).unwrap_or(i64::MAX);
        let old = sqlx::query("DELETE FROM conversations WHERE updated_at < $1 RETURNING id").bind(idle);
        let others = sqlx::query(
            "DELETE FROM conversations WHERE user_id = $1 AND id NOT IN ( \
                 SELECT id FROM conversations WHERE user_id = $1 ORDER BY updated_at DESC, id DESC LIMIT $2) \
             RETURNING id",
        );
        for delete in [old, others.bind(user).bind(MOST - 1)] {
            for row in delete.fetch_all(&self.memory).await? {
                gone.push(row.try_get("id")?);
            }
        }
        self.check_memory().await?;
        // Whose it is, so that the tables hold together; the account itself lies in the other database.
        let owner = sqlx::query(
            "INSERT INTO users (id, name, name_key, password_hash, role, created_at) \
             VALUES ($1, $1, $1, '', 'user', 0) ON CONFLICT DO NOTHING",
        );
        owner.bind(user).execute(&self.memory).await?;
        Ok((self.insert_blank(user, ConversationId::temporary()).await?, gone))
    }

    /// A person's temporary conversations, the last written in first; blank ones do not count.
    pub async fn temporary(&self, user: UserId) -> Result<Vec<Conversation>, StoreError> {
        let query = sqlx::query_as(
            "SELECT * FROM conversations WHERE user_id = $1 AND head_id IS NOT NULL ORDER BY updated_at DESC, id DESC",
        );
        Ok(query.bind(user).fetch_all(&self.memory).await?)
    }

    /// Refuses what would be written into memory that is full.
    pub(super) async fn check_memory(&self) -> Result<(), StoreError> {
        let used = sqlx::query_scalar(
            "SELECT (page_count - freelist_count) * page_size \
             FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
        );
        let used: i64 = used.fetch_one(&self.memory).await?;
        if used < MOST_BYTES { Ok(()) } else { Err(StoreError::TemporaryFull) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{MessageId, Search, Trace};
    use crate::store::NewTurn;
    use crate::store::testing::{complete, listed, store, turn, user};

    fn said(conversation: ConversationId, text: &str) -> NewTurn {
        NewTurn { reply_id: MessageId::within(conversation), ..turn(text) }
    }

    #[tokio::test]
    async fn a_temporary_conversation_is_one_like_others_and_leaves_nothing_in_the_file() {
        let (folder, store) = store().await;
        let (ada, eve) = (user(&store, "ada").await.id, user(&store, "eve").await.id);
        let id = store.create_temporary(ada).await.unwrap().0.id;

        let begun = store.begin_turn(ada, id, said(id, "xylophone one")).await.unwrap();
        assert!(store.checkpoint(begun.reply.id, "xylophone").await.unwrap());
        let outcome =
            crate::store::Outcome { trace: Some(Box::new(Trace::default())), ..complete("xylophone two") };
        assert!(store.finish(begun.reply.id, &outcome).await.unwrap());
        store.rename_conversation(ada, id, &crate::domain::Title::stored("xylophones".into())).await.unwrap();
        let retried = store.begin_retry(ada, id, begun.reply.id, MessageId::within(id)).await.unwrap();
        store.finish(retried.id, &complete("xylophone three")).await.unwrap();
        let fork = store.fork(ada, id, retried.id).await.unwrap();
        store.delete_message(ada, id, retried.id).await.unwrap();
        store.restore(ada, id, retried.id).await.unwrap();

        let texts: Vec<_> = store.branch(ada, id).await.unwrap().into_iter().map(|m| m.content).collect();
        assert_eq!(texts, ["xylophone one", "xylophone three"]);
        assert_eq!(store.branch(ada, fork.id).await.unwrap().len(), 2);
        assert!(store.trace(ada, id, begun.reply.id).await.is_ok());
        assert!(matches!(store.branch(eve, id).await, Err(StoreError::NotFound)));
        assert_eq!(listed(&store, ada).await, []);
        let mine: Vec<_> = store.temporary(ada).await.unwrap().into_iter().map(|it| it.id).collect();
        assert_eq!((mine, store.temporary(eve).await.unwrap()), (vec![fork.id, id], vec![]));
        assert_eq!(store.search(ada, &Search::parse("xylophone").unwrap(), i64::MAX, 9).await.unwrap(), []);
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(9).any(|window| window == b"xylophone"));
        }
        store.delete_user(ada).await.unwrap();
        assert!(matches!(store.branch(ada, id).await, Err(StoreError::NotFound)));
    }

    #[tokio::test]
    async fn old_ones_and_more_than_a_few_give_way() {
        let (_folder, store) = store().await;
        let (ada, eve) = (user(&store, "ada").await.id, user(&store, "eve").await.id);
        let old = store.create_temporary(eve).await.unwrap().0.id;
        sqlx::query("UPDATE conversations SET updated_at = 1").execute(&store.memory).await.unwrap();
        let (first, gone) = store.create_temporary(ada).await.unwrap();
        assert_eq!(gone, [old]);
        for _ in 1..MOST {
            assert_eq!(store.create_temporary(ada).await.unwrap().1, []);
        }

        assert_eq!(store.create_temporary(ada).await.unwrap().1, [first.id]);
        assert!(matches!(store.find_conversation(ada, first.id).await, Err(StoreError::NotFound)));
    }
}
