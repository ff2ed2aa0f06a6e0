//! People: making an account, signing in and out, passwords, API keys.
//!
//! Invariants: a password or a key leaves this room only as a hash; whoever guesses cannot tell a wrong name from a wrong
//! password, neither by the answer nor by the time it takes. Knows nothing of cookies and pages.

mod attempts;
mod error;
mod keys;
mod password;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attempts::{Attempts, network};
pub use error::AccountError;
use password::Hasher;

use crate::config::{AccountsConfig, Registration};
use crate::domain::{Invalid, SignInId, User, UserName, UserRole, now};
use crate::store::Store;

const MILLIS_PER_DAY: i64 = 24 * 60 * 60 * 1000;

/// The accounts of this server; clones share their limits.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    store: Store,
    config: AccountsConfig,
    hasher: Hasher,
    by_name: Attempts<String>,
    by_network: Attempts<IpAddr>,
}

impl Accounts {
    /// Accounts kept in `store`.
    pub fn new(store: Store, config: AccountsConfig) -> Self {
        let attempts = config.failed_sign_ins_per_minute;
        Self(Arc::new(Inner {
            store,
            config,
            hasher: Hasher::new(),
            by_name: Attempts::new(attempts),
            by_network: Attempts::new(attempts),
        }))
    }

    /// The rules in force.
    pub fn config(&self) -> &AccountsConfig {
        &self.0.config
    }

    /// Whether nobody has made an account yet.
    pub async fn is_empty(&self) -> Result<bool, AccountError> {
        Ok(self.0.store.count_users().await? == 0)
    }

    /// Whether a newcomer may make an account now: always the first one, then as the operator says.
    pub async fn takes_newcomers(&self) -> Result<bool, AccountError> {
        let open = self.0.config.registration == Registration::Open;
        Ok(open || self.0.store.count_users().await? == 0)
    }

    /// Makes an account. The first one is the administrator's.
    pub async fn register(&self, name: &str, password: &str) -> Result<User, AccountError> {
        if !self.takes_newcomers().await? {
            return Err(AccountError::RegistrationClosed);
        }
        let name = UserName::parse(name).map_err(AccountError::Name)?;
        self.check_rules(&name, password)?;
        let hash = self.0.hasher.hash(password).await?;
        Ok(self.0.store.create_user(&name, &hash, self.0.config.registration).await?)
    }

    /// Checks a password and signs its person in. Wrong ones are limited for each name and for each address they come
    /// `from`.
    pub async fn sign_in(
        &self,
        name: &str,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<(User, SignInId), AccountError> {
        // Such a name was never given out, and everybody may know.
        let name = UserName::parse(name).map_err(|_| AccountError::NoMatch)?;
        let user = self.check_password(&name, password, from).await?;
        let sign_in = self.start_sign_in(&user).await?;
        Ok((user, sign_in))
    }

    /// Signs in a person who has just proved to be one: after a registration or a change of password.
    pub async fn start_sign_in(&self, user: &User) -> Result<SignInId, AccountError> {
        let now = now();
        self.0.store.delete_expired_sign_ins(now).await?;
        let expires_at = now + i64::from(self.0.config.sign_in_days) * MILLIS_PER_DAY;
        Ok(self.0.store.create_sign_in(user.id, expires_at).await?)
    }

    /// Who a sign-in belongs to; nobody when it expired, was revoked or never was.
    pub async fn user_of(&self, sign_in: SignInId) -> Result<Option<User>, AccountError> {
        Ok(self.0.store.find_user_by_sign_in(sign_in, now()).await?)
    }

    /// Ends a sign-in.
    pub async fn sign_out(&self, sign_in: SignInId) -> Result<(), AccountError> {
        Ok(self.0.store.delete_sign_in(sign_in).await?)
    }

    /// Ends every sign-in of a person but this one; returns how many there were.
    pub async fn sign_out_elsewhere(&self, user: &User, here: SignInId) -> Result<u64, AccountError> {
        Ok(self.0.store.delete_other_sign_ins(user.id, here).await?)
    }

    /// Changes a password, which ends every sign-in of the person; the one returned goes on.
    pub async fn change_password(&self, user: &User, old: &str, new: &str) -> Result<SignInId, AccountError> {
        self.check_rules(&user.name, new)?;
        self.check_password(&user.name, old, None).await?;
        let hash = self.0.hasher.hash(new).await?;
        self.0.store.set_password_hash(user.id, &hash).await?;
        self.start_sign_in(user).await
    }

    /// For the operator: sets a password, or one that is made up when none is given, and returns it. Every sign-in of the
    /// person ends.
    pub async fn reset_password(&self, name: &str, password: Option<&str>) -> Result<String, AccountError> {
        let user = self.find(name).await?;
        let password = match password {
            Some(password) => password.to_owned(),
            None => password::generate()?,
        };
        self.check_rules(&user.name, &password)?;
        let hash = self.0.hasher.hash(&password).await?;
        self.0.store.set_password_hash(user.id, &hash).await?;
        Ok(password)
    }

    /// For the operator: makes a person an administrator.
    pub async fn promote(&self, name: &str) -> Result<User, AccountError> {
        let user = self.find(name).await?;
        self.0.store.set_role(user.id, UserRole::Administrator).await?;
        Ok(User { role: UserRole::Administrator, ..user })
    }

    /// For the operator: deletes an account and all that was said in it; returns what it was.
    pub async fn delete(&self, name: &str) -> Result<User, AccountError> {
        let user = self.find(name).await?;
        self.0.store.delete_user(user.id).await?;
        self.0.store.erase().await?;
        Ok(user)
    }

    /// For the operator: every account, oldest first, with the number of its conversations.
    pub async fn list(&self) -> Result<Vec<(User, u64)>, AccountError> {
        Ok(self.0.store.list_users().await?)
    }

    /// For the operator: the account of this name.
    pub async fn find(&self, name: &str) -> Result<User, AccountError> {
        let name = UserName::parse(name).map_err(AccountError::Name)?;
        match self.0.store.find_credentials(&name).await? {
            Some((user, _)) => Ok(user),
            None => Err(AccountError::NoSuchAccount(name)),
        }
    }

    async fn check_password(
        &self,
        name: &UserName,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<User, AccountError> {
        if password.chars().count() > AccountsConfig::MAX_PASSWORD_CHARS {
            return Err(AccountError::NoMatch);
        }
        let Inner { by_name, by_network, .. } = &*self.0;
        let (key, network) = (name.key(), from.map(network));
        if let Some(network) = &network {
            by_network.take(network, Instant::now()).map_err(too_many)?;
        }
        by_name.take(&key, Instant::now()).map_err(too_many)?;
        let checked = self.match_password(name, password).await;
        if !matches!(checked, Err(AccountError::NoMatch)) {
            by_name.give_back(&key);
            if let Some(network) = &network {
                by_network.give_back(network);
            }
        }
        checked
    }

    async fn match_password(&self, name: &UserName, password: &str) -> Result<User, AccountError> {
        let (user, hash) = self.0.store.find_credentials(name).await?.unzip();
        let matches = self.0.hasher.verify(password, hash).await?;
        user.filter(|_| matches).ok_or(AccountError::NoMatch)
    }

    fn check_rules(&self, name: &UserName, password: &str) -> Result<(), AccountError> {
        let (min, max) = (self.0.config.min_password_chars, AccountsConfig::MAX_PASSWORD_CHARS);
        let sentence = match password.chars().count() {
            n if n < min => format!("A password has at least {min} characters; this one has {n}."),
            n if n > max => format!("A password has at most {max} characters; this one has {n}."),
            _ if password.to_lowercase() == name.key() => {
                "The password must differ from the name.".to_owned()
            }
            _ => return Ok(()),
        };
        Err(AccountError::Password(Invalid(sentence)))
    }
}

/// Rounded up to a second, so that whoever waits as long as told is not refused again.
fn too_many(wait: Duration) -> AccountError {
    AccountError::TooManyAttempts { retry_after: Duration::from_secs(wait.as_secs() + 1) }
}

#[cfg(test)]
mod tests;
