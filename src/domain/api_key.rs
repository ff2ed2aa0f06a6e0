use std::fmt;

use super::conversation::one_line;
use super::{ApiKeyId, Invalid, UnixMillis};

/// What is known about an API key. The key itself is shown once and never kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Never reused.
    pub id: ApiKeyId,
    /// By which its person knows it.
    pub name: KeyName,
    /// Its first characters: enough to tell it from others, of no use to anybody.
    pub hint: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When a request last came with it, to the minute.
    pub last_used_at: Option<UnixMillis>,
}

impl ApiKey {
    /// Most keys of one person.
    pub const MOST: u32 = 100;
}

/// What a person calls an API key: one line, not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName(String);

impl KeyName {
    /// Most characters of a name.
    pub const MAX_CHARS: usize = 60;

    /// Accepts a name as typed.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let name = one_line(text);
        match name.chars().count() {
            0 => Err(Invalid("Give the key a name, such as the program that will use it.".into())),
            n if n > Self::MAX_CHARS => Err(Invalid(format!(
                "A key's name has at most {} characters; this one has {n}.",
                Self::MAX_CHARS
            ))),
            _ => Ok(Self(name)),
        }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_name_of_one_line() {
        assert_eq!(KeyName::parse(" my\n editor ").unwrap().to_string(), "my editor");
        assert!(KeyName::parse(" \t").is_err());
        assert!(KeyName::parse(&"x".repeat(61)).is_err());
    }
}
