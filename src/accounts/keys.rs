//! API keys: with one, a program acts as its person. It is told once; what is kept cannot be turned back into it.

use sha2::{Digest, Sha256};

use super::{AccountError, Accounts};
use crate::domain::{ApiKey, ApiKeyId, Invalid, KeyName, UnixMillis, User, now};

/// What every key begins with, so that a person or a scanner for leaked secrets recognizes one.
const PREFIX: &str = "fs-";

/// Random bytes of a key.
const SECRET_BYTES: usize = 32;

/// Characters of a key that stay visible: the prefix and six of 64 digits.
const HINT_CHARS: usize = PREFIX.len() + 6;

/// How exactly the last use of a key is known: a busy one writes to the database once in this time.
const USE_NOTED_EVERY: UnixMillis = 60_000;

impl Accounts {
    /// Makes a key of a person's: what is known about it, and the key itself, which is never to be had again.
    pub async fn create_key(&self, user: &User, name: &str) -> Result<(ApiKey, String), AccountError> {
        let name = KeyName::parse(name).map_err(AccountError::Key)?;
        let secret = generate()?;
        let hint = secret.chars().take(HINT_CHARS).collect();
        let key = ApiKey { id: ApiKeyId::new(), name, hint, created_at: now(), last_used_at: None };
        if self.0.store.create_api_key(user.id, &key, &hash(&secret)).await? {
            return Ok((key, secret));
        }
        let full = format!("You have {} keys already; delete one that is no longer used.", ApiKey::MOST);
        Err(AccountError::Key(Invalid(full)))
    }

    /// A person's keys, oldest first.
    pub async fn keys(&self, user: &User) -> Result<Vec<ApiKey>, AccountError> {
        Ok(self.0.store.list_api_keys(user.id).await?)
    }

    /// Deletes a key of a person's; requests with it are refused from now on.
    pub async fn delete_key(&self, user: &User, key: ApiKeyId) -> Result<(), AccountError> {
        Ok(self.0.store.delete_api_key(user.id, key).await?)
    }

    /// Whose key this is; nobody's when it was deleted or never was.
    pub async fn user_of_key(&self, secret: &str) -> Result<Option<User>, AccountError> {
        let Some((user, key, last_use)) = self.0.store.find_user_by_api_key(&hash(secret)).await? else {
            return Ok(None);
        };
        let now = now();
        if last_use.is_none_or(|last| now - last >= USE_NOTED_EVERY)
            && let Err(error) = self.0.store.touch_api_key(key, now).await
        {
            // The request is no worse for it.
            tracing::warn!(%error, "the last use of an API key was not noted");
        }
        Ok(Some(user))
    }
}

fn generate() -> Result<String, AccountError> {
    let mut random = [0; SECRET_BYTES];
    getrandom::fill(&mut random).map_err(|e| AccountError::Random(e.to_string()))?;
    Ok(format!("{PREFIX}{}", hexadecimal(&random)))
}

/// A fast hash is enough: nobody can try 256 random bits, whatever a trial costs. It is looked up by the hash, so the
/// time that a comparison takes says nothing about a key.
fn hash(secret: &str) -> String {
    hexadecimal(&Sha256::digest(secret))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use crate::accounts::{AccountError, Accounts};
    use crate::config::AccountsConfig;
    use crate::domain::ApiKey;
    use crate::store::testing::{store, user};

    #[tokio::test]
    async fn a_key_opens_its_persons_account_until_it_is_deleted() {
        let (_folder, store) = store().await;
        let (ada, eve) = (user(&store, "ada").await, user(&store, "eve").await);
        let accounts = Accounts::new(store, AccountsConfig::default());

        let (key, secret) = accounts.create_key(&ada, " my editor ").await.unwrap();

        assert!(secret.starts_with(&key.hint) && secret.len() == 67 && key.hint.len() == 9, "{secret}");
        assert_eq!(accounts.user_of_key(&secret).await.unwrap(), Some(ada.clone()));
        assert_eq!(accounts.user_of_key(&secret.replace("fs-", "")).await.unwrap(), None);
        assert!(matches!(accounts.delete_key(&eve, key.id).await, Err(AccountError::Store(_))));
        accounts.delete_key(&ada, key.id).await.unwrap();
        assert_eq!(accounts.user_of_key(&secret).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_person_has_no_more_keys_than_allowed_however_many_are_asked_for_at_once() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await;
        let accounts = Accounts::new(store, AccountsConfig::default());

        let made = futures::future::join_all((0..120).map(|_| accounts.create_key(&ada, "one more"))).await;

        let most = ApiKey::MOST as usize;
        assert_eq!(made.iter().filter(|made| made.is_ok()).count(), most);
        assert_eq!(accounts.keys(&ada).await.unwrap().len(), most);
        assert!(made.into_iter().all(|made| made.is_ok() || matches!(made, Err(AccountError::Key(_)))));
    }

    #[tokio::test]
    async fn s23_a_use_is_noted_once_a_minute_and_the_key_itself_nowhere() {
        let (folder, store) = store().await;
        let ada = user(&store, "ada").await;
        let accounts = Accounts::new(store.clone(), AccountsConfig::default());
        let (key, secret) = accounts.create_key(&ada, "editor").await.unwrap();
        let last_use = async || accounts.keys(&ada).await.unwrap()[0].last_used_at;

        assert_eq!(last_use().await, None);
        accounts.user_of_key(&secret).await.unwrap();
        let first = last_use().await;
        store.touch_api_key(key.id, first.unwrap() - 59_000).await.unwrap();
        accounts.user_of_key(&secret).await.unwrap();
        assert_eq!(last_use().await, first.map(|first| first - 59_000));
        store.touch_api_key(key.id, first.unwrap() - 61_000).await.unwrap();
        accounts.user_of_key(&secret).await.unwrap();
        assert!(last_use().await >= first);

        store.close().await;
        let file = std::fs::read(folder.path().join("fireside.db")).unwrap();
        assert!(!String::from_utf8_lossy(&file).contains(&secret[3..]));
    }
}
