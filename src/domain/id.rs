use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid, Version};

/// Declares an id: a UUID of version 7 (sortable by time of creation) that cannot be mistaken for another kind.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Names nothing, ever: what an id that does not parse is taken for.
            pub const UNKNOWN: Self = Self(Uuid::nil());

            /// A fresh id, larger than every id made before it on this machine.
            #[allow(clippy::new_without_default)] // a default that differs each time would surprise
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.simple().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }
    };
}

id!(
    /// Names an account.
    UserId
);
id!(
    /// Names a conversation; it appears in the address bar.
    ConversationId
);
id!(
    /// Names a message, whoever wrote it.
    MessageId
);

impl UserId {
    /// Owns what is being written or erased: nobody may see it.
    pub const NOBODY: Self = Self(Uuid::max());
}

impl ConversationId {
    /// A fresh id of a conversation that is never written to the disk. The id itself says so (version 8 in place of 7).
    pub fn temporary() -> Self {
        Self(temporary(Uuid::now_v7()))
    }

    /// Whether the conversation is never written to the disk.
    pub fn is_temporary(self) -> bool {
        self.0.get_version() == Some(Version::Custom)
    }
}

impl MessageId {
    /// A fresh id of a message in a conversation: a temporary one where the conversation is.
    pub fn within(conversation: ConversationId) -> Self {
        match conversation.is_temporary() {
            true => Self(temporary(Uuid::now_v7())),
            false => Self::new(),
        }
    }

    /// Whether it belongs to a conversation that is never written to the disk.
    pub fn is_temporary(self) -> bool {
        self.0.get_version() == Some(Version::Custom)
    }
}

/// The same id, marked. Ids of one kind stay sorted by time.
fn temporary(id: Uuid) -> Uuid {
    Builder::from_bytes(id.into_bytes()).with_version(Version::Custom).into_uuid()
}

id!(
    /// Names an API key; it is no secret.
    ApiKeyId
);
id!(
    /// Names a preset of parameters.
    PresetId
);

/// Names one sign-in of one browser. It is the secret in the cookie, so all of it is random.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SignInId(Uuid);

impl SignInId {
    /// A fresh, unguessable id (122 random bits).
    #[allow(clippy::new_without_default)] // a default that differs each time would surprise
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for SignInId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl fmt::Debug for SignInId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignInId(…)")
    }
}

impl FromStr for SignInId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self)
    }
}

/// Names a browser in which a person has signed in, for as long as it keeps the cookie. It opens nothing: wrong passwords
/// from it are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KnownBrowser {
    user: UserId,
    browser: Uuid,
}

impl KnownBrowser {
    /// A browser in which `user` has just signed in.
    pub fn new(user: UserId) -> Self {
        Self { user, browser: Uuid::new_v4() }
    }

    /// Who signed in.
    pub fn user(self) -> UserId {
        self.user
    }
}

impl fmt::Display for KnownBrowser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.user, self.browser.simple())
    }
}

impl FromStr for KnownBrowser {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (user, browser) = text.split_once('.').unwrap_or((text, ""));
        Ok(Self { user: user.parse()?, browser: Uuid::try_parse(browser)? })
    }
}
