use sqlx::error::ErrorKind;

/// Why the store did not do what it was asked. Each sentence can be shown to a person; what SQLite said is the source.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such row, or it is someone else's: the two are not told apart.
    #[error("There is nothing here. It may have been deleted.")]
    NotFound,
    /// An account has this name, in whatever case.
    #[error("That name is taken. Choose another one.")]
    NameTaken,
    /// The operator takes no new accounts and there is one already.
    #[error("This server takes no new accounts. Ask the person who runs it.")]
    RegistrationClosed,
    /// One reply at a time is written in a conversation.
    #[error("A reply is still being written in this conversation. Wait for it, or stop it first.")]
    ReplyRunning,
    /// The form was sent twice.
    #[error("This message has been sent already.")]
    AlreadySent,
    /// A message with all that follows it goes in one transaction, for which everybody else waits.
    #[error(
        "More than {0} messages follow this one, too many to delete at once. Delete a later one first, or the whole \
         conversation."
    )]
    TooManyFollow(i64),
    /// Temporary conversations lie in memory, and there is none left for them.
    #[error(
        "Temporary conversations have taken all the memory that is meant for them. Delete one of yours, or wait."
    )]
    TemporaryFull,
    /// The database cannot serve now, and may later: locked, disk full, closing. Nothing was written.
    #[error("{0}")]
    Unavailable(&'static str, #[source] sqlx::Error),
    /// A part of the file cannot be read. What the database says of it is the source, or stands in the sentence.
    #[error(
        "The database is damaged{0}. Stop the server, keep a copy of its files, and put the last backup in their place; \
         README says how."
    )]
    Damaged(String),
    /// The database cannot be opened, or a backup cannot be made; the sentence names the file and the reason.
    #[error("{0}")]
    Refused(String),
    /// A defect: the database and this program disagree.
    #[error("The database gave an answer that this program does not understand. The log says more.")]
    Unexpected(#[source] sqlx::Error),
}

impl StoreError {
    /// As `From`, but a row that exists already becomes `conflict`.
    pub(super) fn on_conflict(error: sqlx::Error, conflict: Self) -> Self {
        match error.as_database_error().map(|e| e.kind()) {
            Some(ErrorKind::UniqueViolation) => conflict,
            _ => error.into(),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{Io, PoolClosed, PoolTimedOut, RowNotFound, WorkerCrashed};
        match &error {
            RowNotFound => Self::NotFound,
            PoolTimedOut => Self::Unavailable("The database is busy. Try again in a moment.", error),
            PoolClosed | WorkerCrashed => Self::Unavailable("The server is closing its database.", error),
            Io(_) => Self::Unavailable("The database cannot be reached.", error),
            // Every foreign key points at an owner: it was deleted in the meantime.
            sqlx::Error::Database(e) if e.is_foreign_key_violation() => Self::NotFound,
            sqlx::Error::Database(e) if is_damage(e.as_ref()) => Self::Damaged(String::new()),
            sqlx::Error::Database(e) => match e.code().and_then(|code| sqlite_trouble(&code)) {
                Some(sentence) => Self::Unavailable(sentence, error),
                None => Self::Unexpected(error),
            },
            _ => Self::Unexpected(error),
        }
    }
}

/// Whether SQLite met a page that it cannot understand.
fn is_damage(error: &dyn sqlx::error::DatabaseError) -> bool {
    let code = error.code().and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 11 | 26))
}

/// The sentence for the SQLite result codes that come from the machine and not from a statement.
fn sqlite_trouble(code: &str) -> Option<&'static str> {
    // The low byte is the primary code; the rest only refines it.
    match code.parse::<u32>().ok()? & 0xff {
        5 | 6 => Some("The database is busy. Try again in a moment."),
        8 => Some("The database is read-only. Check the permissions of the data folder."),
        10 => Some("The disk failed while the database was read or written."),
        13 => Some("The disk is full. Free some space, then try again."),
        14 => Some("The database file cannot be opened. Check the permissions of the data folder."),
        _ => None,
    }
}
