use std::time::Duration;

use crate::domain::{Invalid, UserName};
use crate::store::StoreError;

/// Why an account was not made, opened or changed: the sentence that its person reads.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The name breaks a rule.
    #[error("{0}")]
    Name(Invalid),
    /// The password breaks a rule.
    #[error("{0}")]
    Password(Invalid),
    /// The name of an API key breaks a rule, or there are too many keys.
    #[error("{0}")]
    Key(Invalid),
    /// An account has this name, in whatever case.
    #[error("That name is taken. Choose another one.")]
    NameTaken,
    /// The operator takes no new accounts.
    #[error("This server takes no new accounts. Ask the person who runs it.")]
    RegistrationClosed,
    /// No such name, or not its password: the two are not told apart.
    #[error("That name and password do not match.")]
    NoMatch,
    /// Too many wrong passwords from this address or browser; `retry_after` is at least a second.
    #[error("Too many failed attempts. Try again in {}.", in_words(*retry_after))]
    TooManyAttempts {
        /// Until one more attempt is allowed, in whole seconds.
        retry_after: Duration,
    },
    /// This address made as many accounts as it may for now; `retry_after` is at least a second.
    #[error("Too many accounts were made from your address. Try again in {}.", in_words(*retry_after))]
    TooManyRegistrations {
        /// Until one more account may be made, in whole seconds.
        retry_after: Duration,
    },
    /// As many passwords wait to be checked as may wait.
    #[error("The server is busy checking passwords. Try again in a moment.")]
    Busy,
    /// The command line named an account that does not exist.
    #[error("There is no account named \"{0}\".")]
    NoSuchAccount(UserName),
    /// The store could not answer.
    #[error(transparent)]
    Store(StoreError),
    /// The system gave no random numbers.
    #[error("No key could be made: {0}.")]
    Random(String),
    /// A password could not be hashed, or a stored hash not be read.
    #[error("The password could not be checked: {0}.")]
    Hash(String),
}

impl From<StoreError> for AccountError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NameTaken => Self::NameTaken,
            StoreError::RegistrationClosed => Self::RegistrationClosed,
            error => Self::Store(error),
        }
    }
}

/// Rounded up, so that whoever waits as long as told is not refused again.
fn in_words(wait: Duration) -> String {
    match wait.as_secs() {
        1 => "1 second".into(),
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds.div_ceil(60)),
    }
}
