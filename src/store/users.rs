use sqlx::any::AnyRow;
use sqlx::{FromRow, Row};

use super::{Store, StoreError, found};
use crate::config::Registration;
use crate::domain::{User, UserId, UserName, UserRole, now};

impl FromRow<'_, AnyRow> for User {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            role: row.try_get("role")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

const COUNT: &str = "SELECT COUNT(*) FROM users WHERE id <> $1";

impl Store {
    /// Makes an account; the first one is the administrator's, whatever `registration` says.
    pub async fn create_user(
        &self,
        name: &UserName,
        password_hash: &str,
        registration: Registration,
    ) -> Result<User, StoreError> {
        let mut write = self.write().await?;
        let accounts: i64 = sqlx::query_scalar(COUNT).bind(UserId::NOBODY).fetch_one(&mut *write).await?;
        let role = match (accounts, registration) {
            (0, _) => UserRole::Administrator,
            (_, Registration::Open) => UserRole::User,
            (_, Registration::Closed) => return Err(StoreError::RegistrationClosed),
        };
        let user = User { id: UserId::new(), name: name.clone(), role, created_at: now() };
        sqlx::query(
            "INSERT INTO users (id, name, name_key, password_hash, role, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(user.id)
        .bind(&user.name)
        .bind(user.name.key())
        .bind(password_hash)
        .bind(user.role)
        .bind(user.created_at)
        .execute(&mut *write)
        .await
        .map_err(|e| StoreError::on_conflict(e, StoreError::NameTaken))?;
        write.commit().await?;
        Ok(user)
    }

    /// How many accounts there are.
    pub async fn count_users(&self) -> Result<u64, StoreError> {
        let accounts: i64 = sqlx::query_scalar(COUNT).bind(UserId::NOBODY).fetch_one(&self.pool).await?;
        Ok(accounts.cast_unsigned())
    }

    /// An account by its id.
    pub async fn find_user(&self, user: UserId) -> Result<User, StoreError> {
        Ok(sqlx::query_as("SELECT * FROM users WHERE id = $1").bind(user).fetch_one(&self.pool).await?)
    }

    /// An account by its name in whatever case, with the hash of its password as a PHC string.
    pub async fn find_credentials(&self, name: &UserName) -> Result<Option<(User, String)>, StoreError> {
        sqlx::query("SELECT * FROM users WHERE name_key = $1")
            .bind(name.key())
            .fetch_optional(&self.pool)
            .await?
            .map(|row| Ok((User::from_row(&row)?, row.try_get("password_hash")?)))
            .transpose()
    }

    /// Every account, oldest first, with the number of its conversations.
    pub async fn list_users(&self) -> Result<Vec<(User, u64)>, StoreError> {
        sqlx::query(
            "SELECT u.*, COUNT(c.id) AS conversations FROM users u \
             LEFT JOIN conversations c ON c.user_id = u.id WHERE u.id <> $1 \
             GROUP BY u.id ORDER BY u.created_at, u.id",
        )
        .bind(UserId::NOBODY)
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(|row| Ok((User::from_row(row)?, row.try_get::<i64, _>("conversations")?.cast_unsigned())))
        .collect()
    }

    /// Changes a password and ends every sign-in that was made with the old one.
    pub async fn set_password_hash(&self, user: UserId, password_hash: &str) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        let changed = sqlx::query("UPDATE users SET password_hash = $2 WHERE id = $1")
            .bind(user)
            .bind(password_hash)
            .execute(&mut *write)
            .await?;
        found(changed)?;
        sqlx::query("DELETE FROM sign_ins WHERE user_id = $1").bind(user).execute(&mut *write).await?;
        write.commit().await
    }

    /// Puts a new hash of the same password in the place of an old one, unless the password was changed meanwhile. Sign-ins
    /// go on.
    pub async fn renew_password_hash(&self, user: UserId, old: &str, new: &str) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2");
        self.execute(update.bind(user).bind(old).bind(new)).await?;
        Ok(())
    }

    /// Changes what an account may do.
    pub async fn set_role(&self, user: UserId, role: UserRole) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE users SET role = $2 WHERE id = $1").bind(user).bind(role);
        found(self.execute(update).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{complete, key, store, turn, user};

    fn name(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    #[tokio::test]
    async fn names_are_unique_regardless_of_case() {
        let (_folder, store) = store().await;
        let ada = user(&store, "Ädä").await;

        let again = store.create_user(&name("äDÄ"), "hash", Registration::Open).await;

        assert!(matches!(again, Err(StoreError::NameTaken)), "{again:?}");
        assert_eq!(store.find_credentials(&name("ÄDÄ")).await.unwrap(), Some((ada, "no hash".into())));
    }

    #[tokio::test]
    async fn a_closed_server_takes_its_first_account_only() {
        let (_folder, store) = store().await;

        let first = store.create_user(&name("first"), "hash", Registration::Closed).await.unwrap();
        let second = store.create_user(&name("second"), "hash", Registration::Closed).await;

        assert_eq!(first.role, UserRole::Administrator);
        assert!(matches!(second, Err(StoreError::RegistrationClosed)), "{second:?}");
        assert_eq!(store.count_users().await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_list_of_accounts_counts_their_conversations() {
        let (_folder, store) = store().await;
        let (ada, bob) = (user(&store, "ada").await, user(&store, "bob").await);
        store.create_conversation(ada.id).await.unwrap();
        store.create_conversation(ada.id).await.unwrap();

        assert_eq!(store.list_users().await.unwrap(), [(ada, 2), (bob, 0)]);
    }

    #[tokio::test]
    async fn a_renewed_hash_ends_no_sign_in_and_never_replaces_a_new_password() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await;
        let sign_in = store.create_sign_in(ada.id, i64::MAX, i64::MAX).await.unwrap();

        store.renew_password_hash(ada.id, "no hash", "renewed").await.unwrap();
        store.renew_password_hash(ada.id, "no hash", "too late").await.unwrap();

        assert!(store.find_user_by_sign_in(sign_in, 0).await.unwrap().is_some());
        assert_eq!(store.find_credentials(&ada.name).await.unwrap(), Some((ada, "renewed".into())));
    }

    #[tokio::test]
    async fn a_role_can_be_changed() {
        let (_folder, store) = store().await;
        user(&store, "ada").await;
        let bob = user(&store, "bob").await;

        store.set_role(bob.id, UserRole::Administrator).await.unwrap();

        assert_eq!(store.find_user(bob.id).await.unwrap().role, UserRole::Administrator);
        assert!(matches!(store.set_role(UserId::new(), UserRole::User).await, Err(StoreError::NotFound)));
    }

    #[tokio::test]
    async fn a_deleted_account_takes_everything_with_it() {
        let (_folder, store) = store().await;
        let (ada, bob) = (user(&store, "ada").await, user(&store, "bob").await);
        for owner in [&ada, &bob] {
            store.create_sign_in(owner.id, i64::MAX, i64::MAX).await.unwrap();
            store.create_api_key(owner.id, &key(owner.name.as_str()), owner.name.as_str()).await.unwrap();
            let conversation = store.create_conversation(owner.id).await.unwrap().id;
            let turn = store.begin_turn(owner.id, conversation, turn("Hi")).await.unwrap();
            store.finish(turn.reply.id, &complete("Hello")).await.unwrap();
        }

        store.delete_user(ada.id).await.unwrap();
        store.erase().await.unwrap();

        for (table, left) in
            [("users", 2), ("sign_ins", 1), ("api_keys", 1), ("conversations", 1), ("messages", 2)]
        {
            let count = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
            let rows: i64 = sqlx::query_scalar(count).fetch_one(&store.pool).await.unwrap();
            assert_eq!(rows, left, "{table}");
        }
        assert!(matches!(store.delete_user(ada.id).await, Err(StoreError::NotFound)));
        assert!(matches!(store.create_conversation(ada.id).await, Err(StoreError::NotFound)));
    }
}
