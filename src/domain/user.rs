use std::fmt;

use serde::Serialize;

use super::{Invalid, UnixMillis, UserId};

/// What an account may do beyond its own conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UserRole {
    /// Chats.
    User,
    /// Chats, and looks after the server. The first account gets this role.
    Administrator,
}

impl UserRole {
    /// The word stored in the database and shown on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Administrator => "administrator",
        }
    }

    /// The inverse of [`UserRole::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::User, Self::Administrator].into_iter().find(|role| role.as_str() == text)
    }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Never reused.
    pub id: UserId,
    /// As the person wrote it.
    pub name: UserName,
    /// What it may do.
    pub role: UserRole,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// A well-formed account name: 2 to 32 letters, digits, `.`, `_` or `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserName(String);

impl UserName {
    /// Fewest characters of a name.
    pub const MIN_CHARS: usize = 2;
    /// Most characters of a name.
    pub const MAX_CHARS: usize = 32;

    /// Accepts a name as typed, without the white space around it.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        let length = text.chars().count();
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !(Self::MIN_CHARS..=Self::MAX_CHARS).contains(&length) || !text.chars().all(allowed) {
            return Err(Invalid(format!(
                "A user name has {} to {} letters, digits, dots, underscores or hyphens.",
                Self::MIN_CHARS,
                Self::MAX_CHARS
            )));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What makes it unique: `Ada` and `ada` are one name.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_regardless_of_case() {
        let (upper, lower) = (UserName::parse(" Ädä ").unwrap(), UserName::parse("äDÄ").unwrap());

        assert_eq!(upper.as_str(), "Ädä");
        assert_eq!(upper.key(), lower.key());
    }

    #[test]
    fn a_name_with_space_markup_or_wrong_length_is_refused() {
        for bad in ["", "a", "a b", "<b>", "a\u{202e}b", &"x".repeat(33)] {
            assert!(UserName::parse(bad).is_err(), "{bad:?} passed");
        }
    }
}
