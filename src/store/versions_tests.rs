use super::testing::{complete, store, turn, user};
use super::{NewTurn, Outcome, Store, StoreError, UNDO_WITHIN};
use crate::domain::{ConversationId, Message, MessageId, MessageStatus, Role, Trace, UserId};
use tempfile::TempDir;

async fn conversation() -> (TempDir, Store, UserId, ConversationId) {
    let (folder, store) = store().await;
    let ada = user(&store, "ada").await.id;
    let conversation = store.create_conversation(ada).await.unwrap().id;
    (folder, store, ada, conversation)
}

/// Says something and lets it be answered; the ids of both messages.
async fn exchange(
    store: &Store,
    (user, id): (UserId, ConversationId),
    new: NewTurn,
    answer: &str,
) -> (MessageId, MessageId) {
    let turn = store.begin_turn(user, id, new).await.unwrap();
    let outcome = Outcome { trace: Some(Box::new(about(answer))), ..complete(answer) };
    store.finish(turn.reply.id, &outcome).await.unwrap();
    (turn.user_message.id, turn.reply.id)
}

fn about(model: &str) -> Trace {
    Trace { model: model.into(), ..Trace::default() }
}

async fn shown(store: &Store, user: UserId, id: ConversationId) -> Vec<String> {
    store.branch(user, id).await.unwrap().into_iter().map(|message| message.content).collect()
}

async fn count(store: &Store, table: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) FROM {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&store.pool).await.unwrap()
}

#[tokio::test]
async fn an_edited_message_begins_a_branch_and_the_old_one_can_be_shown_again() {
    let (_folder, store, ada, id) = conversation().await;
    let (one, _) = exchange(&store, (ada, id), turn("One?"), "One.").await;
    let (two, _) = exchange(&store, (ada, id), turn("Two?"), "Two.").await;
    let edited = NewTurn { instead_of: Some(one), ..turn("Uno?") };

    let (uno, reply) = exchange(&store, (ada, id), edited, "Uno.").await;

    assert_eq!(shown(&store, ada, id).await, ["Uno?", "Uno."]);
    let versions = store.versions(ada, id, reply, 9).await.unwrap();
    let message = async |id_of| store.find_message(ada, id, id_of).await.unwrap();
    let version = versions.of(&message(uno).await).unwrap();
    assert_eq!((version.number, version.count, version.previous, version.next), (2, 2, Some(one), None));
    assert_eq!((versions.of(&message(two).await), versions.of(&message(reply).await)), (None, None));
    let old = store.versions(ada, id, two, 9).await.unwrap();
    assert_eq!((old.of(&message(one).await).unwrap().next, old.of(&message(two).await)), (Some(uno), None));

    store.show(ada, id, one).await.unwrap();
    assert_eq!(shown(&store, ada, id).await, ["One?", "One.", "Two?", "Two."], "to the end of its branch");
    store.show(ada, id, one).await.unwrap();
    assert_eq!(shown(&store, ada, id).await.len(), 4);
}

#[tokio::test]
async fn a_branch_is_shown_to_the_message_that_was_written_last() {
    let (_folder, store, ada, id) = conversation().await;
    let (one, _) = exchange(&store, (ada, id), turn("One?"), "One.").await;
    let (_, two) = exchange(&store, (ada, id), turn("Two?"), "Two.").await;
    let retry = store.begin_retry(ada, id, two, MessageId::new()).await.unwrap();
    store.finish(retry.id, &complete("Two again.")).await.unwrap();
    exchange(&store, (ada, id), NewTurn { instead_of: Some(one), ..turn("Uno?") }, "Uno.").await;

    store.show(ada, id, one).await.unwrap();

    assert_eq!(shown(&store, ada, id).await, ["One?", "One.", "Two?", "Two again."]);
}

#[tokio::test]
async fn an_edited_first_message_names_the_conversation_anew() {
    let (_folder, store, ada, id) = conversation().await;
    let (one, _) = exchange(&store, (ada, id), turn("One?"), "One.").await;
    let (two, _) = exchange(&store, (ada, id), turn("Two?"), "Two.").await;
    let title = async || store.find_conversation(ada, id).await.unwrap().title.to_string();

    exchange(&store, (ada, id), NewTurn { instead_of: Some(two), ..turn("Due?") }, "Due.").await;
    assert_eq!(title().await, "One?");
    exchange(&store, (ada, id), NewTurn { instead_of: Some(one), ..turn("Uno?") }, "Uno.").await;
    assert_eq!(title().await, "Uno?");
}

#[tokio::test]
async fn a_reply_in_a_persons_words_stands_beside_the_models() {
    let (_folder, store, ada, id) = conversation().await;
    let (message, reply) = exchange(&store, (ada, id), turn("One?"), "One.").await;

    let revised = store.revise(ada, id, reply, "Uno, ".into(), vec![]).await.unwrap();

    assert_eq!(shown(&store, ada, id).await, ["One?", "Uno, "]);
    assert_eq!((revised.role, revised.status), (Role::Assistant, MessageStatus::Complete));
    assert_eq!(
        store.versions(ada, id, revised.id, 9).await.unwrap().of(&revised).unwrap().previous,
        Some(reply)
    );
    let of_a_question = store.revise(ada, id, message, "Uno?".into(), vec![]).await;
    assert!(matches!(of_a_question, Err(StoreError::NotFound)), "{of_a_question:?}");
}

#[tokio::test]
async fn a_reply_is_written_on_where_it_is_the_last_and_its_new_trace_takes_the_olds_place() {
    let (_folder, store, ada, id) = conversation().await;
    let (message, reply) = exchange(&store, (ada, id), turn("Count!"), "One,").await;

    let was = store.begin_continuation(ada, id, reply).await.unwrap();

    assert_eq!((was.content.as_str(), was.status), ("One,", MessageStatus::Complete));
    let now = store.find_message(ada, id, reply).await.unwrap();
    assert_eq!((now.content.as_str(), now.status), ("One,", MessageStatus::Generating));
    let twice = store.begin_continuation(ada, id, reply).await;
    assert!(matches!(twice, Err(StoreError::ReplyRunning)), "{twice:?}");
    let more = Outcome { trace: Some(Box::new(about("more"))), ..complete("One, two") };
    assert!(store.finish(reply, &more).await.unwrap());
    assert_eq!(store.trace(ada, id, reply).await.unwrap(), Some(about("more")));
    exchange(&store, (ada, id), turn("And?"), "Three").await;
    for not_last in [reply, message] {
        let refused = store.begin_continuation(ada, id, not_last).await;
        assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
    }
}

#[tokio::test]
async fn what_follows_a_deleted_message_goes_with_it_and_comes_back_as_it_was() {
    let (_folder, store, ada, id) = conversation().await;
    exchange(&store, (ada, id), turn("One?"), "One.").await;
    let (two, _) = exchange(&store, (ada, id), turn("Two?"), "Two.").await;
    let (three, _) = exchange(&store, (ada, id), turn("Three?"), "Three.").await;
    exchange(&store, (ada, id), NewTurn { instead_of: Some(three), ..turn("Tre?") }, "Tre.").await;
    store.show(ada, id, three).await.unwrap();
    let before = store.branch(ada, id).await.unwrap();
    let traces = count(&store, "reply_traces").await;

    store.delete_message(ada, id, two).await.unwrap();

    assert_eq!(shown(&store, ada, id).await, ["One?", "One."]);
    assert_eq!((count(&store, "messages").await, count(&store, "reply_traces").await), (2, 1));
    store.restore(ada, id, two).await.unwrap();
    assert_eq!(store.branch(ada, id).await.unwrap(), before);
    assert_eq!((count(&store, "messages").await, count(&store, "reply_traces").await), (8, traces));
    assert_eq!(count(&store, "deleted_messages").await, 0);
    store.restore(ada, id, two).await.unwrap();
}

#[tokio::test]
async fn where_a_version_is_deleted_the_one_beside_it_is_shown() {
    let (_folder, store, ada, id) = conversation().await;
    let (one, _) = exchange(&store, (ada, id), turn("One?"), "One.").await;
    exchange(&store, (ada, id), turn("Two?"), "Two.").await;
    let (uno, _) =
        exchange(&store, (ada, id), NewTurn { instead_of: Some(one), ..turn("Uno?") }, "Uno.").await;

    store.delete_message(ada, id, uno).await.unwrap();
    assert_eq!(shown(&store, ada, id).await, ["One?", "One.", "Two?", "Two."]);

    store.delete_message(ada, id, one).await.unwrap();
    assert!(shown(&store, ada, id).await.is_empty());
    exchange(&store, (ada, id), turn("Anew?"), "Anew.").await;
    assert_eq!(shown(&store, ada, id).await, ["Anew?", "Anew."]);
}

#[tokio::test]
async fn nothing_comes_back_to_a_place_that_is_gone_or_after_its_time_or_to_somebody_else() {
    let (_folder, store, ada, id) = conversation().await;
    let eve = user(&store, "eve").await.id;
    let (one, _) = exchange(&store, (ada, id), turn("One?"), "One.").await;
    let (two, reply) = exchange(&store, (ada, id), turn("Two?"), "Two.").await;
    store.delete_message(ada, id, reply).await.unwrap();
    store.delete_message(ada, id, two).await.unwrap();
    let missing = async |user, message| {
        let refused = store.restore(user, id, message).await;
        assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
    };

    missing(ada, reply).await;
    missing(eve, two).await;
    store.erase().await.unwrap();
    assert_eq!(count(&store, "deleted_messages").await, 2);
    let past = i64::try_from(UNDO_WITHIN.as_millis()).unwrap();
    let age = sqlx::query("UPDATE deleted_messages SET deleted_at = deleted_at - $1");
    age.bind(past).execute(&store.pool).await.unwrap();
    store.erase().await.unwrap();
    assert_eq!(count(&store, "deleted_messages").await, 0);
    missing(ada, two).await;
    assert!(matches!(store.delete_message(eve, id, one).await, Err(StoreError::NotFound)));
    assert_eq!(shown(&store, ada, id).await, ["One?", "One."]);
}

#[tokio::test]
async fn a_fork_is_a_copy_that_goes_its_own_way() {
    let (_folder, store, ada, id) = conversation().await;
    exchange(&store, (ada, id), turn("One?"), "One.").await;
    let (two, _) = exchange(&store, (ada, id), turn("Two?"), "Two.").await;

    let fork = store.fork(ada, id, two).await.unwrap();

    assert_eq!(fork.title, store.find_conversation(ada, id).await.unwrap().title);
    assert_eq!(shown(&store, ada, fork.id).await, ["One?", "One.", "Two?"]);
    let copies: Vec<Message> = store.branch(ada, fork.id).await.unwrap();
    assert_eq!(store.trace(ada, fork.id, copies[1].id).await.unwrap(), Some(about("One.")));
    store.delete_conversation(ada, id).await.unwrap();
    assert_eq!(shown(&store, ada, fork.id).await, ["One?", "One.", "Two?"]);
    let running = store.begin_turn(ada, fork.id, turn("Three?")).await.unwrap().reply.id;
    assert!(matches!(store.fork(ada, fork.id, running).await, Err(StoreError::ReplyRunning)));
}

#[tokio::test]
async fn a_message_without_an_answer_gets_one() {
    let (_folder, store, ada, id) = conversation().await;
    let (message, reply) = exchange(&store, (ada, id), turn("One?"), "One.").await;
    store.delete_message(ada, id, reply).await.unwrap();
    assert_eq!(shown(&store, ada, id).await, ["One?"]);

    let new = store.begin_retry(ada, id, message, MessageId::new()).await.unwrap();

    assert_eq!((new.parent_id, new.role), (Some(message), Role::Assistant));
}
