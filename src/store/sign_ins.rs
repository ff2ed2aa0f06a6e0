use sha2::{Digest, Sha256};
use sqlx::{FromRow, Row};

use super::{Store, StoreError};
use crate::domain::{SignInId, UnixMillis, User, UserId, now};

/// What stands in the database for the secret of a cookie. A fast hash is enough: nobody can try 122 random bits.
fn hash(sign_in: SignInId) -> String {
    Sha256::digest(sign_in.to_string()).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Store {
    /// Keeps a new sign-in of a person until `expires_at`, or `idle_at` when it is not used before.
    pub async fn create_sign_in(
        &self,
        user: UserId,
        idle_at: UnixMillis,
        expires_at: UnixMillis,
    ) -> Result<SignInId, StoreError> {
        let id = SignInId::new();
        let insert = sqlx::query(
            "INSERT INTO sign_ins (id_hash, user_id, created_at, idle_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5)",
        );
        self.execute(insert.bind(hash(id)).bind(user).bind(now()).bind(idle_at).bind(expires_at)).await?;
        Ok(id)
    }

    /// Who signed in, and when the sign-in ends unless it is used; nobody when it was revoked or had ended at `now`.
    pub async fn find_user_by_sign_in(
        &self,
        sign_in: SignInId,
        now: UnixMillis,
    ) -> Result<Option<(User, UnixMillis)>, StoreError> {
        sqlx::query(
            "SELECT u.*, s.idle_at FROM users u JOIN sign_ins s ON s.user_id = u.id \
             WHERE s.id_hash = $1 AND s.idle_at > $2 AND s.expires_at > $2",
        )
        .bind(hash(sign_in))
        .bind(now)
        .fetch_optional(&self.pool)
        .await?
        .map(|row| Ok((User::from_row(&row)?, row.try_get("idle_at")?)))
        .transpose()
    }

    /// Notes that a sign-in is used: it goes on until `idle_at`.
    pub async fn touch_sign_in(&self, sign_in: SignInId, idle_at: UnixMillis) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE sign_ins SET idle_at = $2 WHERE id_hash = $1");
        self.execute(update.bind(hash(sign_in)).bind(idle_at)).await?;
        Ok(())
    }

    /// Ends one sign-in; one that has ended already is no error.
    pub async fn delete_sign_in(&self, sign_in: SignInId) -> Result<(), StoreError> {
        self.execute(sqlx::query("DELETE FROM sign_ins WHERE id_hash = $1").bind(hash(sign_in))).await?;
        Ok(())
    }

    /// Ends every sign-in of a person but the one to `keep`; returns how many there were.
    pub async fn delete_other_sign_ins(&self, user: UserId, keep: SignInId) -> Result<u64, StoreError> {
        let delete = sqlx::query("DELETE FROM sign_ins WHERE user_id = $1 AND id_hash <> $2");
        Ok(self.execute(delete.bind(user).bind(hash(keep))).await?.rows_affected())
    }

    /// Forgets the sign-ins that had ended at `now`; returns how many there were.
    pub async fn delete_expired_sign_ins(&self, now: UnixMillis) -> Result<u64, StoreError> {
        let delete = sqlx::query("DELETE FROM sign_ins WHERE expires_at <= $1 OR idle_at <= $1").bind(now);
        Ok(self.execute(delete).await?.rows_affected())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{store, user};

    async fn person(store: &Store, sign_in: SignInId, now: UnixMillis) -> Option<User> {
        store.find_user_by_sign_in(sign_in, now).await.unwrap().map(|(user, _)| user)
    }

    #[tokio::test]
    async fn s08_a_sign_in_that_is_used_goes_on_and_one_that_is_not_ends() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await;
        let sign_in = store.create_sign_in(ada.id, 100, 1_000).await.unwrap();

        assert_eq!(store.find_user_by_sign_in(sign_in, 99).await.unwrap(), Some((ada.clone(), 100)));
        assert_eq!(person(&store, sign_in, 100).await, None);
        store.touch_sign_in(sign_in, 2_000).await.unwrap();
        assert_eq!(store.find_user_by_sign_in(sign_in, 999).await.unwrap(), Some((ada, 2_000)));
        assert_eq!(person(&store, sign_in, 1_000).await, None, "not for ever");
        store.touch_sign_in(sign_in, 500).await.unwrap();
        assert_eq!(store.delete_expired_sign_ins(500).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_sign_in_is_a_person_until_it_expires() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await;
        let sign_in = store.create_sign_in(ada.id, i64::MAX, 1_000).await.unwrap();

        assert_eq!(person(&store, sign_in, 999).await, Some(ada));
        assert_eq!(person(&store, sign_in, 1_000).await, None);
        assert_eq!(person(&store, SignInId::new(), 0).await, None);
    }

    #[tokio::test]
    async fn a_revoked_sign_in_is_nobody() {
        let (_folder, store) = store().await;
        let (ada, bob) = (user(&store, "ada").await, user(&store, "bob").await);
        let mut sign_ins = Vec::new();
        for owner in [&ada, &ada, &ada, &ada, &bob] {
            sign_ins.push(store.create_sign_in(owner.id, i64::MAX, i64::MAX).await.unwrap());
        }

        store.delete_sign_in(sign_ins[0]).await.unwrap();
        assert_eq!(person(&store, sign_ins[0], 0).await, None);
        assert_eq!(person(&store, sign_ins[1], 0).await, Some(ada.clone()));

        assert_eq!(store.delete_other_sign_ins(ada.id, sign_ins[3]).await.unwrap(), 2);
        assert_eq!(person(&store, sign_ins[2], 0).await, None);
        assert_eq!(person(&store, sign_ins[3], 0).await, Some(ada));
        assert_eq!(person(&store, sign_ins[4], 0).await, Some(bob));
    }

    #[tokio::test]
    async fn s07_nobody_signs_in_with_what_stands_in_the_database() {
        let (folder, store) = store().await;
        let ada = user(&store, "ada").await;
        let sign_in = store.create_sign_in(ada.id, i64::MAX, i64::MAX).await.unwrap();
        let stored: String =
            sqlx::query_scalar("SELECT id_hash FROM sign_ins").fetch_one(&store.pool).await.unwrap();

        store.close().await;

        let file = std::fs::read(folder.path().join("fireside.db")).unwrap();
        let file = String::from_utf8_lossy(&file);
        assert!(file.contains(&stored) && stored.len() == 64);
        assert!(!file.contains(&sign_in.to_string()));
    }

    #[tokio::test]
    async fn expired_sign_ins_are_forgotten() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await;
        store.create_sign_in(ada.id, i64::MAX, 10).await.unwrap();
        let lasting = store.create_sign_in(ada.id, i64::MAX, 11).await.unwrap();

        assert_eq!(store.delete_expired_sign_ins(10).await.unwrap(), 1);

        assert_eq!(person(&store, lasting, 0).await, Some(ada));
    }

    #[tokio::test]
    async fn a_new_password_ends_every_sign_in() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await;
        let sign_in = store.create_sign_in(ada.id, i64::MAX, i64::MAX).await.unwrap();

        store.set_password_hash(ada.id, "new hash").await.unwrap();

        assert_eq!(person(&store, sign_in, 0).await, None);
        assert_eq!(store.find_credentials(&ada.name).await.unwrap(), Some((ada, "new hash".into())));
    }
}
