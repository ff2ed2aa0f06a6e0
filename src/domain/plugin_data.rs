use super::{ConversationId, UserId};

/// Whose entries of a plugin's are meant: they go when their owner goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvScope {
    /// The server's.
    Global,
    /// A person's.
    User(UserId),
    /// One conversation's of a person's.
    Conversation(UserId, ConversationId),
}

/// The entries of one plugin in one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvShelf {
    /// The plugin's id.
    pub plugin: String,
    /// Whose they are.
    pub scope: KvScope,
}

/// How much one shelf holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvQuota {
    /// Entries.
    pub keys: u32,
    /// Bytes of their keys and values.
    pub bytes: u64,
}
