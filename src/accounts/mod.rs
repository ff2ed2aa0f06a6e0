//! People: making an account, signing in and out, passwords, API keys.
//!
//! Invariants: a password or a key leaves this room only as a hash; whoever guesses cannot tell a wrong name from a wrong
//! password, neither by the answer nor by the time it takes. Knows nothing of cookies and pages.

mod attempts;
mod error;
mod keys;
mod limits;
mod password;
mod policy;
mod sign_in;
mod threads;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

pub use error::AccountError;
use limits::{Guesser, Limits};
use password::Hasher;
pub use sign_in::Visitor;
use threads::Caller;

use crate::config::{AccountsConfig, Registration};
use crate::domain::{SignInId, UnixMillis, User, UserName, UserRole, now};
use crate::store::Store;

const MILLIS_PER_DAY: UnixMillis = 24 * 60 * 60 * 1000;

/// How exactly it is known when a sign-in was last used: a busy one writes to the database once in this time.
const USE_NOTED_EVERY: UnixMillis = 60 * 60 * 1000;

/// The accounts of this server; clones share their limits.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    store: Store,
    config: AccountsConfig,
    hasher: Hasher,
    limits: Limits,
}

impl Accounts {
    /// Accounts kept in `store`.
    pub fn new(store: Store, config: AccountsConfig) -> Self {
        let (hasher, limits) = (Hasher::new(&config), Limits::new(&config));
        Self(Arc::new(Inner { store, config, hasher, limits }))
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

    /// Makes an account. The first one is the administrator's; of others, an address makes so many an hour.
    pub async fn register(
        &self,
        name: &str,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<User, AccountError> {
        if !self.takes_newcomers().await? {
            return Err(AccountError::RegistrationClosed);
        }
        let name = UserName::parse(name).map_err(AccountError::Name)?;
        self.check_rules(&name, password)?;
        if self.is_empty().await? {
            return self.make(&name, password).await;
        }
        // A name that is taken counts as well: asking which names there are is limited like this.
        self.0.limits.take_registration(from, Instant::now())?;
        let made = self.make(&name, password).await;
        if matches!(made, Err(AccountError::Busy)) {
            self.0.limits.give_back_registration(from);
        }
        made
    }

    async fn make(&self, name: &UserName, password: &str) -> Result<User, AccountError> {
        let hash = self.0.hasher.hash(password, Caller::Stranger).await?;
        Ok(self.0.store.create_user(name, &hash, self.0.config.registration).await?)
    }

    /// Signs in a person who has just proved to be one: after a registration or a change of password.
    pub async fn start_sign_in(&self, user: &User) -> Result<SignInId, AccountError> {
        let now = now();
        self.0.store.delete_expired_sign_ins(now).await?;
        let expires_at = now + i64::from(self.0.config.sign_in_days) * MILLIS_PER_DAY;
        Ok(self.0.store.create_sign_in(user.id, self.idle_at(now), expires_at).await?)
    }

    /// Who a sign-in belongs to; nobody when it expired, was not used for long, was revoked or never was.
    pub async fn user_of(&self, sign_in: SignInId) -> Result<Option<User>, AccountError> {
        let now = now();
        let Some((user, idle_at)) = self.0.store.find_user_by_sign_in(sign_in, now).await? else {
            return Ok(None);
        };
        let goes_on_until = self.idle_at(now);
        if goes_on_until - idle_at >= USE_NOTED_EVERY
            && let Err(error) = self.0.store.touch_sign_in(sign_in, goes_on_until).await
        {
            // The request is no worse for it, and the next one tries again.
            tracing::warn!(%error, "the last use of a sign-in was not noted");
        }
        Ok(Some(user))
    }

    fn idle_at(&self, now: UnixMillis) -> UnixMillis {
        now + i64::from(self.0.config.sign_in_idle_days) * MILLIS_PER_DAY
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
        self.check_password(&user.name, old, Guesser::SignedIn(user.id)).await?;
        let hash = self.0.hasher.hash(new, Caller::Known).await?;
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
        let hash = self.0.hasher.hash(&password, Caller::Known).await?;
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

    fn check_rules(&self, name: &UserName, password: &str) -> Result<(), AccountError> {
        policy::check(name, password, self.0.config.min_password_chars).map_err(AccountError::Password)
    }
}

#[cfg(test)]
mod tests;
