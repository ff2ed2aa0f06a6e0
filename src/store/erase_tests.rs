use std::path::Path;
use std::sync::atomic::AtomicU64;

use super::testing::{complete, listed, store, turn, user};
use super::{Imported, Outcome, Store, StoreError};
use crate::domain::{
    ConversationId, Message, MessageId, MessageStatus, Parameters, Role, Search, Shelf, Title, Trace, UserId,
};

const CANARY: &str = "xylophonecanary";

/// Whether a text stands in any file of a folder.
fn in_files(folder: &Path, text: &str) -> bool {
    let holds = |bytes: Vec<u8>| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    std::fs::read_dir(folder).unwrap().any(|file| holds(std::fs::read(file.unwrap().path()).unwrap()))
}

/// Whether a word stands in the index, deleted or not.
async fn in_index(store: &Store, word: &str) -> bool {
    let blocks =
        sqlx::query_scalar("SELECT COUNT(*) FROM words_data WHERE instr(block, CAST($1 AS BLOB)) > 0");
    blocks.bind(word).fetch_one(&store.pool).await.unwrap_or(0_i64) > 0
}

/// A conversation in which the canary is everywhere.
async fn written(store: &Store, user: UserId) -> ConversationId {
    let id = store.create_conversation(user).await.unwrap().id;
    for _ in 0..3 {
        let begun = store.begin_turn(user, id, turn(&format!("{CANARY} one"))).await.unwrap();
        let trace = Trace { model: CANARY.into(), ..Trace::default() };
        let outcome = Outcome { trace: Some(Box::new(trace)), ..complete(&format!("{CANARY} two")) };
        store.finish(begun.reply.id, &outcome).await.unwrap();
    }
    let gone = store.begin_turn(user, id, turn(CANARY)).await.unwrap();
    store.finish(gone.reply.id, &complete(CANARY)).await.unwrap();
    store.delete_message(user, id, gone.user_message.id).await.unwrap();
    id
}

#[tokio::test]
async fn s18_what_is_deleted_is_gone_from_the_files() {
    let (folder, store) = store().await;
    let (ada, bob) = (user(&store, "ada").await.id, user(&store, "bob").await.id);
    let other = store.create_conversation(bob).await.unwrap().id;
    let kept = store.begin_turn(bob, other, turn("a marimba stays")).await.unwrap();
    store.finish(kept.reply.id, &complete("as it is")).await.unwrap();
    let first = written(&store, ada).await;
    written(&store, ada).await;

    store.delete_conversation(ada, first).await.unwrap();
    assert!(matches!(store.branch(ada, first).await, Err(StoreError::NotFound)));
    store.delete_user(ada).await.unwrap();
    assert!(
        in_files(folder.path(), CANARY) && in_index(&store, CANARY).await,
        "the test looks in the right place"
    );
    store.erase().await.unwrap();

    assert!(!in_files(folder.path(), CANARY));
    assert!(!in_index(&store, CANARY).await);
    assert!(in_files(folder.path(), "marimba"));
    assert_eq!(store.search(bob, &Search::parse("marimba").unwrap(), i64::MAX, 9).await.unwrap().len(), 2);
    let left: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM conversations").fetch_one(&store.pool).await.unwrap();
    assert_eq!(left, 1);
}

/// A conversation of a chain of messages, to be imported.
fn long(count: usize) -> Imported {
    let id = ConversationId::new();
    let mut messages: Vec<Message> = Vec::new();
    for number in 0..count {
        messages.push(Message {
            id: MessageId::new(),
            conversation_id: id,
            parent_id: messages.last().map(|last| last.id),
            role: if number % 2 == 0 { Role::User } else { Role::Assistant },
            content: format!("{CANARY} number {number}"),
            status: MessageStatus::Complete,
            finish_reason: None,
            error: None,
            marks: vec![],
            usage: None,
            seed: None,
            token_ids: None,
            created_at: 1,
        });
    }
    let head = messages.last().map(|last| last.id);
    let title = Title::stored("long".into());
    let parameters = Parameters::default();
    Imported { id, title, shelf: Shelf::Listed, created_at: 1, updated_at: 1, messages, head, parameters }
}

/// How many times another person could write while something else was done.
async fn writes_beside<T>(store: &Store, work: impl Future<Output = T>) -> (T, usize) {
    let bob = user(store, &format!("bob{}", MessageId::new())[..30]).await.id;
    let id = store.create_conversation(bob).await.unwrap().id;
    let mut writes = 0;
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return (done, writes),
            begun = store.begin_turn(bob, id, turn("Hi")) => {
                store.finish(begun.unwrap().reply.id, &complete("Hello")).await.unwrap();
                writes += 1;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn others_write_while_a_long_conversation_arrives_is_copied_and_goes() {
    let (_folder, store) = store().await;
    let ada = user(&store, "ada").await.id;
    let long = long(6_000);

    let spawn = |store: &Store| store.clone();
    let (one, import) = (spawn(&store), long.clone());
    let import = tokio::spawn(async move { one.import(ada, &import, &AtomicU64::default()).await });
    let (imported, during_import) = writes_beside(&store, import).await;
    imported.unwrap().unwrap();
    let (two, head) = (spawn(&store), long.head.unwrap());
    let fork = tokio::spawn(async move { two.fork(ada, long.id, head).await });
    let (fork, during_fork) = writes_beside(&store, fork).await;
    let fork = fork.unwrap().unwrap();
    assert_eq!(store.branch(ada, fork.id).await.unwrap().len(), 6_000);
    for id in [long.id, fork.id] {
        store.delete_conversation(ada, id).await.unwrap();
    }
    let three = spawn(&store);
    let (erased, during_erasure) =
        writes_beside(&store, tokio::spawn(async move { three.erase().await })).await;
    erased.unwrap().unwrap();

    assert!(
        during_import > 2 && during_fork > 2 && during_erasure > 2,
        "{during_import} {during_fork} {during_erasure}"
    );
    assert!(!in_index(&store, CANARY).await);
}

#[tokio::test]
async fn nothing_is_half_imported() {
    let (_folder, store) = store().await;
    let ada = user(&store, "ada").await.id;
    let mut broken = long(3_000);
    broken.messages[2_999].parent_id = Some(MessageId::new());

    assert!(store.import(ada, &broken, &AtomicU64::default()).await.is_err());

    assert_eq!(listed(&store, ada).await, []);
    assert_eq!(store.search(ada, &Search::parse(CANARY).unwrap(), i64::MAX, 9).await.unwrap(), []);
    store.erase().await.unwrap();
    assert!(!in_index(&store, CANARY).await);
}

#[tokio::test]
async fn what_had_not_arrived_when_the_server_ended_goes_at_its_start() {
    let (_folder, store) = store().await;
    let ada = user(&store, "ada").await.id;
    let long = long(3);
    store.import(ada, &long, &AtomicU64::default()).await.unwrap();
    let unfinished = sqlx::query("UPDATE conversations SET arriving_for = user_id, user_id = $1");
    unfinished.bind(UserId::NOBODY).execute(&store.pool).await.unwrap();
    store.erase().await.unwrap();
    assert!(in_index(&store, CANARY).await, "what still arrives stays");

    store.interrupt_unfinished().await.unwrap();
    store.erase().await.unwrap();

    assert!(!in_index(&store, CANARY).await);
    assert!(matches!(store.find_conversation(ada, long.id).await, Err(StoreError::NotFound)));
}

#[tokio::test]
async fn a_message_that_thousands_follow_is_not_deleted_in_one_go() {
    let (_folder, store) = store().await;
    let ada = user(&store, "ada").await.id;
    let long = long(2_102);
    store.import(ada, &long, &AtomicU64::default()).await.unwrap();

    let refused = store.delete_message(ada, long.id, long.messages[100].id).await;
    assert!(matches!(refused, Err(StoreError::TooManyFollow(2_000))), "{refused:?}");
    store.delete_message(ada, long.id, long.messages[101].id).await.unwrap();

    assert_eq!(store.branch(ada, long.id).await.unwrap().len(), 101);
    store.restore(ada, long.id, long.messages[101].id).await.unwrap();
    assert_eq!(store.branch(ada, long.id).await.unwrap().len(), 2_102);
}
