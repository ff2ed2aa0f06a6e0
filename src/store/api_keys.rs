use sqlx::any::AnyRow;
use sqlx::{FromRow, Row};

use super::{Store, StoreError, found};
use crate::domain::{ApiKey, ApiKeyId, UnixMillis, User, UserId};

impl FromRow<'_, AnyRow> for ApiKey {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            hint: row.try_get("hint")?,
            created_at: row.try_get("created_at")?,
            last_used_at: row.try_get("last_used_at")?,
        })
    }
}

impl Store {
    /// Keeps a new key of a person's by its hash; `false` where the person has [`ApiKey::MOST`].
    pub async fn create_api_key(&self, user: UserId, key: &ApiKey, hash: &str) -> Result<bool, StoreError> {
        let insert = sqlx::query(
            "INSERT INTO api_keys (id, user_id, name, key_hash, hint, created_at) SELECT $1, $2, $3, $4, $5, $6 \
             WHERE (SELECT COUNT(*) FROM api_keys WHERE user_id = $2) < $7",
        );
        let insert = insert.bind(key.id).bind(user).bind(&key.name).bind(hash).bind(&key.hint);
        let insert = insert.bind(key.created_at).bind(i64::from(ApiKey::MOST));
        Ok(self.execute(insert).await?.rows_affected() == 1)
    }

    /// A person's keys, oldest first.
    pub async fn list_api_keys(&self, user: UserId) -> Result<Vec<ApiKey>, StoreError> {
        let query = sqlx::query_as("SELECT * FROM api_keys WHERE user_id = $1 ORDER BY created_at, id");
        Ok(query.bind(user).fetch_all(&self.pool).await?)
    }

    /// Forgets a key of a person's: it opens nothing from now on.
    pub async fn delete_api_key(&self, user: UserId, key: ApiKeyId) -> Result<(), StoreError> {
        let delete = sqlx::query("DELETE FROM api_keys WHERE id = $1 AND user_id = $2").bind(key).bind(user);
        found(self.execute(delete).await?)
    }

    /// Whose key has this hash, which one it is and when it was last used; nobody's when it was deleted or never was.
    pub async fn find_user_by_api_key(
        &self,
        hash: &str,
    ) -> Result<Option<(User, ApiKeyId, Option<UnixMillis>)>, StoreError> {
        sqlx::query(
            "SELECT u.*, k.id AS key_id, k.last_used_at AS key_used_at \
             FROM users u JOIN api_keys k ON k.user_id = u.id WHERE k.key_hash = $1",
        )
        .bind(hash)
        .fetch_optional(&self.pool)
        .await?
        .map(|row| Ok((User::from_row(&row)?, row.try_get("key_id")?, row.try_get("key_used_at")?)))
        .transpose()
    }

    /// Notes that a key was used at `now`; one that was deleted meanwhile is no error.
    pub async fn touch_api_key(&self, key: ApiKeyId, now: UnixMillis) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE api_keys SET last_used_at = $2 WHERE id = $1").bind(key).bind(now);
        self.execute(update).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::store::testing::{key, store, user};

    #[tokio::test]
    async fn a_key_is_its_person_until_it_is_deleted() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await;
        let key = key("editor");
        store.create_api_key(ada.id, &key, "hash").await.unwrap();

        assert_eq!(store.find_user_by_api_key("hash").await.unwrap(), Some((ada.clone(), key.id, None)));
        assert_eq!(store.find_user_by_api_key("other").await.unwrap(), None);
        store.touch_api_key(key.id, 2_000).await.unwrap();
        assert_eq!(store.list_api_keys(ada.id).await.unwrap()[0].last_used_at, Some(2_000));

        store.delete_api_key(ada.id, key.id).await.unwrap();

        assert_eq!(store.find_user_by_api_key("hash").await.unwrap(), None);
        assert_eq!(store.list_api_keys(ada.id).await.unwrap(), []);
    }
}
