use sha2::{Digest, Sha256};

/// Tells a message that arrives twice from one that a person sends again: what the form sent along, with what was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendKey(String);

impl SendKey {
    /// Of a form. The text is part of it: a page that "back" brings up again still holds a key that was used.
    pub fn new(key: &str, text: &str) -> Self {
        let hash = Sha256::new()
            .chain_update(key.len().to_le_bytes())
            .chain_update(key)
            .chain_update(text)
            .finalize();
        Self(hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// As it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_and_text_make_a_send_key() {
        let key = SendKey::new("ab", "c");

        assert_eq!(key, SendKey::new("ab", "c"));
        assert_ne!(key, SendKey::new("ab", "d"));
        assert_ne!(key, SendKey::new("a", "bc"));
    }
}
