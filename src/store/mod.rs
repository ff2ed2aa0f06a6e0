//! Everything that is kept: accounts, sign-ins, API keys, conversations, messages, what plugins keep. The only room with SQL.
//!
//! Invariants:
//! - Whose a conversation or message is stands in the WHERE clause: someone else's is [`StoreError::NotFound`].
//!   Only the writing of a reply that is already running ([`Store::checkpoint`], [`Store::finish`]) goes by its id.
//! - What a method wrote is on disk when it returns; what it could not write whole is not written at all.
//! - The statements run on SQLite and PostgreSQL alike; what differs is in `pool.rs`, `search.rs`, `erase.rs` and
//!   `write.rs`.

mod api_keys;
mod arrive;
mod backup;
mod conversations;
mod erase;
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
mod write;

use std::sync::Arc;

use sqlx::AnyPool;
use sqlx::any::AnyQueryResult;
use tokio::sync::{Notify, Semaphore};

pub use error::StoreError;
pub use export::{KvEntry, KvKey};
pub use import::Imported;
pub use messages::Extent;
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
    /// One: whoever writes to the file holds it, see `write.rs`.
    turns: Arc<Semaphore>,
    /// Told when there is something to erase.
    erasure: Arc<Notify>,
    memory: AnyPool,
}

/// An update or delete that met no row met nothing that is yours.
fn found(result: AnyQueryResult) -> Result<(), StoreError> {
    if result.rows_affected() == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}

#[cfg(test)]
mod erase_tests;
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
