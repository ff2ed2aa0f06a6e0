use super::{Store, StoreError};
use crate::domain::{SignInId, UnixMillis, User, UserId, now};

impl Store {
    /// Keeps a new sign-in of a person until `expires_at`.
    pub async fn create_sign_in(&self, user: UserId, expires_at: UnixMillis) -> Result<SignInId, StoreError> {
        let id = SignInId::new();
        let insert =
            sqlx::query("INSERT INTO sign_ins (id, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)");
        self.execute(insert.bind(id).bind(user).bind(now()).bind(expires_at)).await?;
        Ok(id)
    }

    /// Who signed in; nobody when the sign-in was revoked or had expired at `now`.
    pub async fn find_user_by_sign_in(
        &self,
        sign_in: SignInId,
        now: UnixMillis,
    ) -> Result<Option<User>, StoreError> {
        let query = sqlx::query_as(
            "SELECT u.* FROM users u JOIN sign_ins s ON s.user_id = u.id WHERE s.id = $1 AND s.expires_at > $2",
        );
        Ok(query.bind(sign_in).bind(now).fetch_optional(&self.pool).await?)
    }

    /// Ends one sign-in; one that has ended already is no error.
    pub async fn delete_sign_in(&self, sign_in: SignInId) -> Result<(), StoreError> {
        self.execute(sqlx::query("DELETE FROM sign_ins WHERE id = $1").bind(sign_in)).await?;
        Ok(())
    }

    /// Ends every sign-in of a person but the one to `keep`; returns how many there were.
    pub async fn delete_other_sign_ins(&self, user: UserId, keep: SignInId) -> Result<u64, StoreError> {
        let delete =
            sqlx::query("DELETE FROM sign_ins WHERE user_id = $1 AND id <> $2").bind(user).bind(keep);
        Ok(self.execute(delete).await?.rows_affected())
    }

    /// Forgets the sign-ins that had expired at `now`; returns how many there were.
    pub async fn delete_expired_sign_ins(&self, now: UnixMillis) -> Result<u64, StoreError> {
        let delete = sqlx::query("DELETE FROM sign_ins WHERE expires_at <= $1").bind(now);
        Ok(self.execute(delete).await?.rows_affected())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{store, user};

    #[tokio::test]
    async fn a_sign_in_is_a_person_until_it_expires() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await;
        let sign_in = store.create_sign_in(ada.id, 1_000).await.unwrap();

        assert_eq!(store.find_user_by_sign_in(sign_in, 999).await.unwrap(), Some(ada));
        assert_eq!(store.find_user_by_sign_in(sign_in, 1_000).await.unwrap(), None);
        assert_eq!(store.find_user_by_sign_in(SignInId::new(), 0).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_revoked_sign_in_is_nobody() {
        let (_folder, store) = store().await;
        let (ada, bob) = (user(&store, "ada").await, user(&store, "bob").await);
        let mut sign_ins = Vec::new();
        for owner in [&ada, &ada, &ada, &ada, &bob] {
            sign_ins.push(store.create_sign_in(owner.id, i64::MAX).await.unwrap());
        }

        store.delete_sign_in(sign_ins[0]).await.unwrap();
        assert_eq!(store.find_user_by_sign_in(sign_ins[0], 0).await.unwrap(), None);
        assert_eq!(store.find_user_by_sign_in(sign_ins[1], 0).await.unwrap(), Some(ada.clone()));

        assert_eq!(store.delete_other_sign_ins(ada.id, sign_ins[3]).await.unwrap(), 2);
        assert_eq!(store.find_user_by_sign_in(sign_ins[2], 0).await.unwrap(), None);
        assert_eq!(store.find_user_by_sign_in(sign_ins[3], 0).await.unwrap(), Some(ada));
        assert_eq!(store.find_user_by_sign_in(sign_ins[4], 0).await.unwrap(), Some(bob));
    }

    #[tokio::test]
    async fn expired_sign_ins_are_forgotten() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await;
        store.create_sign_in(ada.id, 10).await.unwrap();
        let lasting = store.create_sign_in(ada.id, 11).await.unwrap();

        assert_eq!(store.delete_expired_sign_ins(10).await.unwrap(), 1);

        assert_eq!(store.find_user_by_sign_in(lasting, 0).await.unwrap(), Some(ada));
    }

    #[tokio::test]
    async fn a_new_password_ends_every_sign_in() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await;
        let sign_in = store.create_sign_in(ada.id, i64::MAX).await.unwrap();

        store.set_password_hash(ada.id, "new hash").await.unwrap();

        assert_eq!(store.find_user_by_sign_in(sign_in, 0).await.unwrap(), None);
        assert_eq!(store.find_credentials(&ada.name).await.unwrap(), Some((ada, "new hash".into())));
    }
}
