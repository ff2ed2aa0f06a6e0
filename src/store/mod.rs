//! Everything that is kept: accounts, sign-ins, API keys, conversations, messages, what plugins keep. The only room with SQL.
//!
//! Invariants:
//! - Whose a conversation or message is stands in the WHERE clause: someone else's is [`StoreError::NotFound`].
//!   Only the writing of a reply that is already running ([`Store::checkpoint`], [`Store::finish`]) goes by its id.
//! - What a method wrote is on disk when it returns; what it could not write whole is not written at all.
//! - The statements run on SQLite and PostgreSQL alike; what differs is in `pool.rs`, in `search.rs` and in
//!   [`Store::write`].

mod api_keys;
mod backup;
mod conversations;
mod error;
mod export;
mod import;
mod messages;
mod parameters;
mod plugin_kv;
mod plugin_settings;
mod plugin_states;
mod pool;
mod search;
mod shelves;
mod sign_ins;
mod temporary;
mod text;
mod traces;
mod trash;
mod turns;
mod users;
mod versions;

use sqlx::any::AnyQueryResult;
use sqlx::{Any, AnyPool, Transaction};

use crate::domain::{ConversationId, MessageId};

pub use error::StoreError;
pub use export::{KvEntry, KvKey};
pub use import::Imported;
pub use pool::{Database, FiresidePool, sqlite_url};
pub use search::{Found, FoundMessage};
pub use shelves::Place;
pub use trash::UNDO_WITHIN;
pub use turns::{NewTurn, Outcome, Turn};
pub use versions::{Version, Versions};

/// A handle on the database; clones share its connections.
///
/// Temporary conversations lie in a database of their own, in memory. It has the same tables, and an id says which of the two
/// is meant.
#[derive(Debug, Clone)]
pub struct Store {
    pool: AnyPool,
    memory: AnyPool,
}

impl Store {
    /// A transaction that writes. It takes the write lock at once: one that began reading could not wait for it,
    /// SQLite would refuse it as busy. Dropping it undoes it.
    async fn write(&self) -> Result<Transaction<'static, Any>, StoreError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// As [`Store::write`], where a conversation lies. Nothing else may be asked of the store before the end of the transaction:
    /// the database in memory has one connection.
    async fn write_in(&self, conversation: ConversationId) -> Result<Transaction<'static, Any>, StoreError> {
        if conversation.is_temporary() {
            self.check_memory().await?;
        }
        Ok(self.of(conversation).begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Where a conversation lies.
    fn of(&self, conversation: ConversationId) -> &AnyPool {
        if conversation.is_temporary() { &self.memory } else { &self.pool }
    }

    /// Where a message lies.
    fn of_message(&self, message: MessageId) -> &AnyPool {
        if message.is_temporary() { &self.memory } else { &self.pool }
    }
}

/// An update or delete that met no row met nothing that is yours.
fn found(result: AnyQueryResult) -> Result<(), StoreError> {
    if result.rows_affected() == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}

#[cfg(test)]
mod isolation;
#[cfg(test)]
mod pool_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod turns_tests;
#[cfg(test)]
mod versions_tests;
