//! A database of their own for tests.

use tempfile::TempDir;

use super::{NewTurn, Outcome, Place, Store, sqlite_url};
use crate::config::Registration;
use crate::domain::{
    ApiKey, ApiKeyId, Conversation, FinishReason, KeyName, MessageId, MessageStatus, Shelf, Title, User,
    UserId, UserName,
};

/// A fresh store in a folder that goes with the first value.
pub(crate) async fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&sqlite_url(&folder.path().join("fireside.db"))).await.unwrap();
    (folder, store)
}

/// An account that nobody can sign in to.
pub(crate) async fn user(store: &Store, name: &str) -> User {
    store.create_user(&UserName::parse(name).unwrap(), "no hash", Registration::Open).await.unwrap()
}

/// A person's conversations that are neither pinned nor archived.
pub(crate) async fn listed(store: &Store, user: UserId) -> Vec<Conversation> {
    store.shelf(user, Shelf::Listed, Place::TOP, 100).await.unwrap()
}

/// Keeps the database locked against every other writer while it lives.
pub(crate) async fn locked(store: &Store) -> impl Sized + use<> {
    store.write().await.unwrap()
}

/// A turn that says `text`.
pub(crate) fn turn(text: &str) -> NewTurn {
    NewTurn {
        reply_id: MessageId::new(),
        instead_of: None,
        text: text.into(),
        title: Title::from_first_words(text, 80),
        marks: vec![],
        key: None,
    }
}

/// A reply that went well.
pub(crate) fn complete(content: &str) -> Outcome {
    Outcome {
        content: content.into(),
        status: MessageStatus::Complete,
        finish_reason: Some(FinishReason::Stop),
        error: None,
        marks: vec![],
        usage: None,
        seed: None,
        token_ids: None,
        trace: None,
    }
}

/// An API key of this name.
pub(crate) fn key(name: &str) -> ApiKey {
    ApiKey {
        id: ApiKeyId::new(),
        name: KeyName::parse(name).unwrap(),
        hint: "fs-012345".into(),
        created_at: 1_000,
        last_used_at: None,
    }
}
