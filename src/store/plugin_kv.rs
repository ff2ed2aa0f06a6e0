use sqlx::AnyConnection;

use super::{Store, StoreError, found};
use crate::domain::{KvQuota, KvScope, KvShelf, UnixMillis, UserId, now};

/// Expired entries that one write removes, whoever they belong to. More than it adds, so that none pile up.
const SWEPT_AT_ONCE: i64 = 100;

/// The rows of a shelf that have not expired: plugin, owner, person, now.
macro_rules! on_the_shelf {
    () => {
        "plugin = $1 AND owner = $2 AND COALESCE(user_id, '') = $3 AND (expires_at IS NULL OR expires_at > $4)"
    };
}

impl Store {
    /// A value of a plugin's, as it was kept.
    pub async fn kv_get(&self, shelf: &KvShelf, key: &str) -> Result<Option<String>, StoreError> {
        let query = sqlx::query_scalar(concat!(
            "SELECT value FROM plugin_kv WHERE ",
            on_the_shelf!(),
            " AND entry_key = $5"
        ));
        let query = query.bind(&shelf.plugin).bind(owner(shelf)).bind(person(shelf)).bind(now()).bind(key);
        Ok(query.fetch_optional(self.pool_of(is_temporary(shelf))).await?)
    }

    /// The keys of a plugin's, in order.
    pub async fn kv_keys(&self, shelf: &KvShelf) -> Result<Vec<String>, StoreError> {
        let query = sqlx::query_scalar(concat!(
            "SELECT entry_key FROM plugin_kv WHERE ",
            on_the_shelf!(),
            " ORDER BY entry_key"
        ));
        let query = query.bind(&shelf.plugin).bind(owner(shelf)).bind(person(shelf)).bind(now());
        Ok(query.fetch_all(self.pool_of(is_temporary(shelf))).await?)
    }

    /// Keeps a value until `expires_at`, or for good; false when it does not fit the quota, and nothing is kept.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the person or their conversation is gone.
    pub async fn kv_set(
        &self,
        shelf: &KvShelf,
        key: &str,
        value: &str,
        expires_at: Option<UnixMillis>,
        quota: KvQuota,
    ) -> Result<bool, StoreError> {
        let mut write = self.begin(is_temporary(shelf)).await?;
        sweep(&mut write).await?;
        check_owner(&mut write, shelf.scope).await?;
        let bytes = i64::try_from(key.len() + value.len()).unwrap_or(i64::MAX);
        let (keys, kept) = used_beside(&mut write, shelf, key).await?;
        if keys >= i64::from(quota.keys)
            || u64::try_from(kept.saturating_add(bytes)).unwrap_or(0) > quota.bytes
        {
            return Ok(false);
        }
        let conversation = match shelf.scope {
            KvScope::Conversation(_, conversation) => Some(conversation.to_string()),
            KvScope::Global | KvScope::User(_) => None,
        };
        sqlx::query(
            "INSERT INTO plugin_kv (plugin, owner, entry_key, user_id, conversation_id, value, bytes, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (plugin, owner, entry_key) DO UPDATE \
             SET value = excluded.value, bytes = excluded.bytes, expires_at = excluded.expires_at",
        )
        .bind(&shelf.plugin)
        .bind(owner(shelf))
        .bind(key)
        .bind(user(shelf.scope).map(|user| user.to_string()))
        .bind(conversation)
        .bind(value)
        .bind(bytes)
        .bind(expires_at)
        .execute(&mut *write)
        .await?;
        write.commit().await?;
        Ok(true)
    }

    /// Forgets a value; whether there was one.
    pub async fn kv_delete(&self, shelf: &KvShelf, key: &str) -> Result<bool, StoreError> {
        let query =
            sqlx::query(concat!("DELETE FROM plugin_kv WHERE ", on_the_shelf!(), " AND entry_key = $5"));
        let query = query.bind(&shelf.plugin).bind(owner(shelf)).bind(person(shelf)).bind(now()).bind(key);
        match found(self.execute_in(is_temporary(shelf), query).await?) {
            Err(StoreError::NotFound) => Ok(false),
            ended => ended.map(|()| true),
        }
    }
}

/// Whether a shelf stands in the database in memory.
fn is_temporary(shelf: &KvShelf) -> bool {
    matches!(shelf.scope, KvScope::Conversation(_, conversation) if conversation.is_temporary())
}

fn user(scope: KvScope) -> Option<UserId> {
    match scope {
        KvScope::Global => None,
        KvScope::User(user) | KvScope::Conversation(user, _) => Some(user),
    }
}

/// What the column `owner` holds.
fn owner(shelf: &KvShelf) -> String {
    match shelf.scope {
        KvScope::Global => String::new(),
        KvScope::User(user) => user.to_string(),
        KvScope::Conversation(_, conversation) => conversation.to_string(),
    }
}

/// The column `user_id`, where none is an empty text.
fn person(shelf: &KvShelf) -> String {
    user(shelf.scope).map_or_else(String::new, |user| user.to_string())
}

async fn sweep(write: &mut AnyConnection) -> Result<(), StoreError> {
    let delete = sqlx::query(
        "DELETE FROM plugin_kv WHERE (plugin, owner, entry_key) IN (SELECT plugin, owner, entry_key \
         FROM plugin_kv WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
    );
    delete.bind(now()).bind(SWEPT_AT_ONCE).execute(&mut *write).await?;
    Ok(())
}

/// A conversation must be that person's; the person's own row is checked by its foreign key.
async fn check_owner(write: &mut AnyConnection, scope: KvScope) -> Result<(), StoreError> {
    if let KvScope::Conversation(user, conversation) = scope {
        let query = sqlx::query("SELECT id FROM conversations WHERE id = $1 AND user_id = $2");
        query.bind(conversation).bind(user).fetch_one(&mut *write).await?;
    }
    Ok(())
}

/// Entries of a shelf beside one, and their bytes.
async fn used_beside(
    write: &mut AnyConnection,
    shelf: &KvShelf,
    key: &str,
) -> Result<(i64, i64), StoreError> {
    let query = sqlx::query_as(concat!(
        "SELECT COUNT(*), CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM plugin_kv WHERE ",
        on_the_shelf!(),
        " AND entry_key <> $5"
    ));
    let query = query.bind(&shelf.plugin).bind(owner(shelf)).bind(person(shelf)).bind(now()).bind(key);
    Ok(query.fetch_one(&mut *write).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ConversationId;
    use crate::store::testing::{store, user};

    const QUOTA: KvQuota = KvQuota { keys: 2, bytes: 20 };

    fn shelf(plugin: &str, scope: KvScope) -> KvShelf {
        KvShelf { plugin: plugin.into(), scope }
    }

    #[tokio::test]
    async fn plugins_people_and_conversations_have_shelves_of_their_own() {
        let (_folder, store) = store().await;
        let (ada, eve) = (user(&store, "ada").await.id, user(&store, "eve").await.id);
        let conversation = store.create_conversation(ada).await.unwrap().id;
        let shelves = [
            shelf("a", KvScope::Global),
            shelf("b", KvScope::Global),
            shelf("a", KvScope::User(ada)),
            shelf("a", KvScope::User(eve)),
            shelf("a", KvScope::Conversation(ada, conversation)),
        ];
        for (at, shelf) in shelves.iter().enumerate() {
            assert!(store.kv_set(shelf, "k", &at.to_string(), None, QUOTA).await.unwrap());
        }

        for (at, shelf) in shelves.iter().enumerate() {
            assert_eq!(store.kv_get(shelf, "k").await.unwrap(), Some(at.to_string()));
            assert_eq!(store.kv_keys(shelf).await.unwrap(), ["k"]);
        }
        // Someone else's conversation has nothing, takes nothing and loses nothing.
        let stolen = shelf("a", KvScope::Conversation(eve, conversation));
        assert_eq!(store.kv_get(&stolen, "k").await.unwrap(), None);
        assert!(!store.kv_delete(&stolen, "k").await.unwrap());
        let taken = store.kv_set(&stolen, "k", "x", None, QUOTA).await;
        assert!(matches!(taken, Err(StoreError::NotFound)), "{taken:?}");
        assert_eq!(store.kv_get(&shelves[4], "k").await.unwrap(), Some("4".into()));
    }

    #[tokio::test]
    async fn entries_go_with_their_person_and_their_conversation() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await;
        let conversation = store.create_conversation(ada.id).await.unwrap().id;
        let (hers, said) =
            (shelf("a", KvScope::User(ada.id)), shelf("a", KvScope::Conversation(ada.id, conversation)));
        for shelf in [&hers, &said] {
            store.kv_set(shelf, "k", "1", None, QUOTA).await.unwrap();
        }

        store.delete_conversation(ada.id, conversation).await.unwrap();
        let after_conversation =
            (store.kv_keys(&said).await.unwrap().len(), store.kv_keys(&hers).await.unwrap().len());
        store.delete_user(ada.id).await.unwrap();
        let gone = store.kv_set(&hers, "k", "1", None, QUOTA).await;

        assert_eq!(after_conversation, (0, 1));
        assert_eq!(store.kv_keys(&hers).await.unwrap(), [""; 0]);
        assert!(matches!(gone, Err(StoreError::NotFound)), "{gone:?}");
    }

    #[tokio::test]
    async fn a_shelf_is_full_at_its_keys_or_bytes_and_a_value_may_replace_itself() {
        let (_folder, store) = store().await;
        let global = shelf("a", KvScope::Global);
        let set =
            async |key: &str, value: &str| store.kv_set(&global, key, value, None, QUOTA).await.unwrap();

        let too_long = set("k", &"x".repeat(20)).await;
        let (first, second, third) = (set("a", "1").await, set("b", "2").await, set("c", "3").await);
        let (grown, burst) = (set("a", &"x".repeat(17)).await, set("b", "22").await);

        assert_eq!((too_long, first, second, third), (false, true, true, false));
        assert_eq!((grown, burst), (true, false));
        assert_eq!(store.kv_get(&global, "b").await.unwrap(), Some("2".into()));
    }

    #[tokio::test]
    async fn what_expired_is_neither_seen_nor_counted_and_the_next_write_sweeps_it() {
        let (_folder, store) = store().await;
        let global = shelf("a", KvScope::Global);
        for key in ["old", "older"] {
            store.kv_set(&global, key, "1", Some(now() - 1), QUOTA).await.unwrap();
        }
        store.kv_set(&global, "new", "1", Some(now() + 60_000), QUOTA).await.unwrap();

        let seen = store.kv_keys(&global).await.unwrap();
        let fits = store.kv_set(&global, "newer", "1", None, QUOTA).await.unwrap();
        let rows: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM plugin_kv").fetch_one(&store.pool).await.unwrap();

        assert_eq!((seen, fits, rows), (vec!["new".to_owned()], true, 2));
        assert!(!store.kv_delete(&global, "old").await.unwrap());
        assert!(store.kv_delete(&global, "new").await.unwrap());
        let unknown = shelf("a", KvScope::Conversation(UserId::new(), ConversationId::new()));
        assert!(store.kv_set(&unknown, "k", "1", None, QUOTA).await.is_err());
    }
}
