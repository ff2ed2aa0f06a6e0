//! Signing in: whose attempt it is, the check of the password, and the renewal of an old hash.

use std::net::IpAddr;
use std::time::Instant;

use super::limits::Guesser;
use super::password::Verdict;
use super::threads::Caller;
use super::{AccountError, Accounts};
use crate::config::AccountsConfig;
use crate::domain::{KnownBrowser, SignInId, User, UserName};
use crate::store::StoreError;

/// Where an attempt to sign in comes from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Visitor {
    /// The address.
    pub address: Option<IpAddr>,
    /// What its cookie says of an earlier sign-in.
    pub browser: Option<KnownBrowser>,
}

impl Accounts {
    /// Checks a password and signs its person in. Wrong ones are limited for each address, and for each browser in which the
    /// person has signed in before.
    pub async fn sign_in(
        &self,
        name: &str,
        password: &str,
        from: Visitor,
    ) -> Result<(User, SignInId), AccountError> {
        // Such a name was never given out, and everybody may know.
        let name = UserName::parse(name).map_err(|_| AccountError::NoMatch)?;
        let guesser = match from.browser {
            Some(browser) if self.belongs_to(browser, &name).await? => Guesser::Browser(browser),
            _ => Guesser::stranger(&name, from.address),
        };
        let user = self.check_password(&name, password, guesser).await?;
        let sign_in = self.start_sign_in(&user).await?;
        Ok((user, sign_in))
    }

    async fn belongs_to(&self, browser: KnownBrowser, name: &UserName) -> Result<bool, AccountError> {
        match self.0.store.find_user(browser.user()).await {
            Ok(user) => Ok(user.name.key() == name.key()),
            Err(StoreError::NotFound) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn check_password(
        &self,
        name: &UserName,
        password: &str,
        guesser: Guesser,
    ) -> Result<User, AccountError> {
        if password.chars().count() > AccountsConfig::MAX_PASSWORD_CHARS {
            return Err(AccountError::NoMatch);
        }
        let caller = match guesser {
            Guesser::Stranger { .. } => Caller::Stranger,
            Guesser::Browser(_) | Guesser::SignedIn(_) => Caller::Known,
        };
        let attempt = self.0.limits.take(guesser, Instant::now())?;
        let checked = self.match_password(name, password, caller).await;
        if !matches!(checked, Err(AccountError::NoMatch)) {
            self.0.limits.give_back(&attempt);
        }
        checked
    }

    async fn match_password(
        &self,
        name: &UserName,
        password: &str,
        caller: Caller,
    ) -> Result<User, AccountError> {
        let (user, stored) = self.0.store.find_credentials(name).await?.unzip();
        let verdict = self.0.hasher.verify(password, stored.clone(), caller).await?;
        match (user, stored, verdict) {
            (Some(user), _, Verdict::Right) => Ok(user),
            (Some(user), Some(stored), Verdict::RightAndWeak) => {
                if let Err(error) = self.renew_hash(&user, &stored, password).await {
                    // The next sign-in tries again.
                    tracing::warn!(%error, "an old hash of a password was not renewed");
                }
                Ok(user)
            }
            _ => Err(AccountError::NoMatch),
        }
    }

    async fn renew_hash(&self, user: &User, stored: &str, password: &str) -> Result<(), AccountError> {
        let hash = self.0.hasher.hash(password, Caller::Known).await?;
        self.0.store.renew_password_hash(user.id, stored, &hash).await?;
        Ok(())
    }
}
