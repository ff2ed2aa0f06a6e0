//! Two people, and every method that names a conversation or a key: what is one's is not there for the other.

use super::testing::{complete, key, listed, store, turn, user};
use super::{Extent, Store, StoreError, Versions};
use crate::domain::{ApiKeyId, ConversationId, MessageId, Parameters, Search, Shelf, Title, Trace, UserId};

/// What each method answers about the conversation and the reply in it, to `user`.
async fn attempts(
    store: &Store,
    user: UserId,
    conversation: ConversationId,
    reply: MessageId,
    key: ApiKeyId,
) -> Vec<(&'static str, Result<(), StoreError>)> {
    let title = Title::stored("Taken over".into());
    let answer = "Taken over".to_owned();
    vec![
        ("begin_continuation", continue_and_finish(store, user, conversation, reply).await),
        ("find", store.find_conversation(user, conversation).await.map(drop)),
        ("branch", store.branch(user, conversation).await.map(drop)),
        ("find_message", store.find_message(user, conversation, reply).await.map(drop)),
        ("trace", store.trace(user, conversation, reply).await.map(drop)),
        ("neighbour", store.neighbour(user, conversation).await.map(drop)),
        ("put_on_shelf", store.put_on_shelf(user, conversation, Shelf::Pinned).await),
        ("stretch", store.stretch(user, conversation, reply, Extent::WHOLE).await.map(drop)),
        ("rename", store.rename_conversation(user, conversation, &title).await),
        (
            "begin_answered_turn",
            store
                .begin_answered_turn(user, conversation, turn("x"), answer, &Trace::default())
                .await
                .map(drop),
        ),
        ("begin_turn", begin_and_finish(store, user, conversation).await),
        (
            "set_conversation_parameters",
            store.set_conversation_parameters(user, conversation, &Parameters::default()).await,
        ),
        ("show", store.show(user, conversation, reply).await),
        ("fork", store.fork(user, conversation, reply).await.map(drop)),
        ("revise", store.revise(user, conversation, reply, "x".into(), vec![]).await.map(drop)),
        ("begin_retry", retry_and_finish(store, user, conversation, reply).await),
        ("delete_message", store.delete_message(user, conversation, reply).await),
        ("restore", store.restore(user, conversation, reply).await),
        ("delete", store.delete_conversation(user, conversation).await),
        ("delete_api_key", store.delete_api_key(user, key).await),
    ]
}

async fn begin_and_finish(
    store: &Store,
    user: UserId,
    conversation: ConversationId,
) -> Result<(), StoreError> {
    let turn = store.begin_turn(user, conversation, turn("x")).await?;
    store.finish(turn.reply.id, &complete("y")).await.map(drop)
}

async fn continue_and_finish(
    store: &Store,
    user: UserId,
    conversation: ConversationId,
    reply: MessageId,
) -> Result<(), StoreError> {
    let reply = store.begin_continuation(user, conversation, reply).await?;
    store.finish(reply.id, &complete("Kept, and more")).await.map(drop)
}

async fn retry_and_finish(
    store: &Store,
    user: UserId,
    conversation: ConversationId,
    reply: MessageId,
) -> Result<(), StoreError> {
    let reply = store.begin_retry(user, conversation, reply, MessageId::new()).await?;
    store.finish(reply.id, &complete("y")).await.map(drop)
}

#[tokio::test]
async fn s16_what_is_mine_is_not_there_for_anyone_else() {
    let (_folder, store) = store().await;
    let (ada, eve) = (user(&store, "ada").await.id, user(&store, "eve").await.id);
    let mine = store.create_conversation(ada).await.unwrap().id;
    let reply = store.begin_turn(ada, mine, turn("A secret")).await.unwrap().reply.id;
    store.finish(reply, &complete("Kept")).await.unwrap();
    let key = key("A secret");
    store.create_api_key(ada, &key, "hash").await.unwrap();
    let all = async || {
        let conversations = listed(&store, ada).await;
        (conversations, store.branch(ada, mine).await.unwrap(), store.list_api_keys(ada).await.unwrap())
    };
    let before = all().await;

    for (method, answer) in attempts(&store, eve, mine, reply, key.id).await {
        assert!(matches!(answer, Err(StoreError::NotFound)), "{method}: {answer:?}");
    }

    assert_eq!(listed(&store, eve).await, []);
    assert_eq!(store.search(eve, &Search::parse("secret").unwrap(), i64::MAX, 10).await.unwrap(), []);
    assert_eq!(store.latest_conversation(eve).await.unwrap(), None);
    assert_eq!(store.list_api_keys(eve).await.unwrap(), []);
    assert_eq!(all().await, before);
    assert_eq!(store.versions(eve, mine, reply, 9).await.unwrap(), Versions::default());
    for (method, answer) in attempts(&store, ada, mine, reply, key.id).await {
        assert!(answer.is_ok(), "{method}: {answer:?}");
    }
}

#[tokio::test]
async fn a_message_is_found_in_its_own_conversation_only() {
    let (_folder, store) = store().await;
    let eve = user(&store, "eve").await.id;
    let ada = user(&store, "ada").await.id;
    let (hers, mine) =
        (store.create_conversation(eve).await.unwrap().id, store.create_conversation(ada).await.unwrap().id);
    let reply = store.begin_turn(ada, mine, turn("A secret")).await.unwrap().reply.id;

    let found = store.find_message(eve, hers, reply).await;
    let retried = store.begin_retry(eve, hers, reply, MessageId::new()).await;

    assert!(matches!(found, Err(StoreError::NotFound)), "{found:?}");
    assert!(matches!(retried, Err(StoreError::NotFound)), "{retried:?}");
}
