use crate::domain::Invalid;
use crate::engine::EngineError;
use crate::plugins::Denied;
use crate::store::StoreError;

/// Why something could not be done in a conversation. Nothing was written when one of these is returned.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// What was typed cannot be used; the sentence says what is allowed.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A plugin refused.
    #[error("{0}")]
    Denied(Denied),
    /// The queue, or the model behind it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The database; `NotFound` also for what belongs to somebody else.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The person keeps as much as the operator allows.
    #[error(
        "Your conversations take all the {mib} MiB that this server keeps for you. Delete some; “Download everything” on the \
         page of your account keeps a copy."
    )]
    StorageFull {
        /// The limit.
        mib: u64,
    },
    /// A thread of the server ended in the middle of the work.
    #[error("The server could not finish this step. Try again.")]
    Panicked,
}
