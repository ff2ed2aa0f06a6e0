//! Who writes, and for how long: one after the other, in the order in which they came, each for a moment only.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::any::{AnyArguments, AnyQueryResult};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AnyPool, Transaction};
use tokio::sync::OwnedSemaphorePermit;

use super::pool::ACQUIRE_TIMEOUT;
use super::{Store, StoreError};
use crate::domain::ConversationId;

/// How long work of many rows may hold the database at a time: everybody else who writes waits so long.
pub(super) const HOLD: Duration = Duration::from_millis(40);

/// A transaction that writes. Dropping it undoes it.
pub(super) struct Write {
    transaction: Transaction<'static, Any>,
    /// None in the database in memory, whose one connection is a turn already.
    _turn: Option<OwnedSemaphorePermit>,
}

impl Deref for Write {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.transaction
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }
}

impl Write {
    /// Ends it: what was written is on disk when this returns.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        Ok(self.transaction.commit().await?)
    }
}

impl Store {
    /// A transaction that writes. It takes the write lock at once: one that began reading could not wait for it,
    /// SQLite would refuse it as busy.
    pub(super) async fn write(&self) -> Result<Write, StoreError> {
        self.begin(false).await
    }

    /// As [`Store::write`], where a conversation lies. Nothing else may be asked of the store before the end of the transaction:
    /// the database in memory has one connection.
    pub(super) async fn write_in(&self, conversation: ConversationId) -> Result<Write, StoreError> {
        if conversation.is_temporary() {
            self.check_memory().await?;
        }
        self.begin(conversation.is_temporary()).await
    }

    /// As [`Store::write`], in the file or in memory.
    pub(super) async fn begin(&self, temporary: bool) -> Result<Write, StoreError> {
        let turn = if temporary { None } else { Some(self.turn().await?) };
        Ok(Write { transaction: self.pool_of(temporary).begin_with("BEGIN IMMEDIATE").await?, _turn: turn })
    }

    /// Runs one statement that writes to the file, in its turn.
    pub(super) async fn execute(
        &self,
        statement: Query<'_, Any, AnyArguments>,
    ) -> Result<AnyQueryResult, sqlx::Error> {
        let _turn = self.turn().await?;
        statement.execute(&self.pool).await
    }

    /// As [`Store::execute`], in the file or in memory.
    pub(super) async fn execute_in(
        &self,
        temporary: bool,
        statement: Query<'_, Any, AnyArguments>,
    ) -> Result<AnyQueryResult, sqlx::Error> {
        match temporary {
            true => statement.execute(&self.memory).await,
            false => self.execute(statement).await,
        }
    }

    /// SQLite has one writer, and lets the others ask again and again: who asks most often wins. Here they queue, and what waits
    /// holds no connection that a reader needs.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, sqlx::Error> {
        match tokio::time::timeout(ACQUIRE_TIMEOUT, self.turns.clone().acquire_owned()).await {
            Ok(turn) => turn.map_err(|_| sqlx::Error::PoolClosed),
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// Where a conversation lies, for reading.
    pub(super) fn of(&self, conversation: ConversationId) -> &AnyPool {
        self.pool_of(conversation.is_temporary())
    }

    /// The database in memory or in the file, for reading.
    pub(super) fn pool_of(&self, temporary: bool) -> &AnyPool {
        if temporary { &self.memory } else { &self.pool }
    }
}
