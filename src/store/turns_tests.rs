use super::testing::{complete, store, turn, user};
use super::{NewTurn, Outcome, Store, StoreError};
use crate::domain::{
    ConversationId, FinishReason, Mark, Message, MessageId, MessageStatus, Role, Trace, Usage, UserId,
};
use tempfile::TempDir;

async fn conversation() -> (TempDir, Store, UserId, ConversationId) {
    let (folder, store) = store().await;
    let ada = user(&store, "ada").await.id;
    let conversation = store.create_conversation(ada).await.unwrap().id;
    (folder, store, ada, conversation)
}

fn texts(branch: &[Message]) -> Vec<&str> {
    branch.iter().map(|message| message.content.as_str()).collect()
}

fn mark(text: &str) -> Mark {
    Mark { source: "clock".into(), text: text.into() }
}

#[tokio::test]
async fn a_branch_runs_from_the_first_message_to_the_head() {
    let (_folder, store, ada, id) = conversation().await;
    assert_eq!(store.branch(ada, id).await.unwrap(), []);

    for (text, answer) in [("One?", "One."), ("Two?", "Two."), ("Three?", "Three.")] {
        let reply = store.begin_turn(ada, id, turn(text)).await.unwrap().reply;
        assert!(store.finish(reply.id, &complete(answer)).await.unwrap());
    }

    let branch = store.branch(ada, id).await.unwrap();
    assert_eq!(texts(&branch), ["One?", "One.", "Two?", "Two.", "Three?", "Three."]);
    assert!(branch.windows(2).all(|pair| pair[1].parent_id == Some(pair[0].id)));
    assert_eq!(store.find_conversation(ada, id).await.unwrap().head, Some(branch[5].id));
}

#[tokio::test]
async fn a_turn_is_read_as_it_was_written() {
    let (_folder, store, ada, id) = conversation().await;
    let new = NewTurn {
        marks: vec![mark("was late")], ..turn("Odd: 'x'; -- \"ü\" 👩‍👩‍👧 \u{202e}\n\t<b>")
    };
    let reply_id = new.reply_id;

    let turn = store.begin_turn(ada, id, new).await.unwrap();

    assert_eq!((turn.reply.id, turn.user_message.role), (reply_id, Role::User));
    assert_eq!(store.branch(ada, id).await.unwrap(), [turn.user_message, turn.reply]);
}

#[tokio::test]
async fn everything_about_a_finished_reply_is_kept() {
    let (_folder, store, ada, id) = conversation().await;
    let reply = store.begin_turn(ada, id, turn("Hi")).await.unwrap().reply;
    let outcome = Outcome {
        status: MessageStatus::Failed,
        finish_reason: Some(FinishReason::Length),
        error: Some("It broke.".into()),
        marks: vec![mark("one"), mark("two")],
        usage: Some(Usage { prompt_tokens: 7, completion_tokens: u32::MAX }),
        seed: Some(u32::MAX),
        token_ids: Some(vec![i32::MIN, 0, 42]),
        ..complete("Half a")
    };

    assert!(store.finish(reply.id, &outcome).await.unwrap());

    let expected = Message {
        content: outcome.content,
        status: outcome.status,
        finish_reason: outcome.finish_reason,
        error: outcome.error,
        marks: outcome.marks,
        usage: outcome.usage,
        seed: outcome.seed,
        token_ids: outcome.token_ids,
        ..reply
    };
    assert_eq!(store.find_message(ada, id, expected.id).await.unwrap(), expected);
}

#[tokio::test]
async fn only_the_first_end_of_a_reply_counts() {
    let (_folder, store, ada, id) = conversation().await;
    let reply = store.begin_turn(ada, id, turn("Hi")).await.unwrap().reply.id;
    assert!(store.checkpoint(reply, "Hel").await.unwrap());

    assert!(store.finish(reply, &complete("Hello")).await.unwrap());
    assert!(!store.finish(reply, &complete("Good bye")).await.unwrap());
    assert!(!store.checkpoint(reply, "Hel").await.unwrap());

    assert_eq!(texts(&store.branch(ada, id).await.unwrap()), ["Hi", "Hello"]);
}

#[tokio::test]
async fn a_reply_cut_off_keeps_its_last_checkpoint_and_stays_interrupted() {
    let (_folder, store, ada, id) = conversation().await;
    let reply = store.begin_turn(ada, id, turn("Hi")).await.unwrap().reply.id;
    store.checkpoint(reply, "Hel").await.unwrap();

    assert_eq!(store.interrupt_unfinished().await.unwrap(), 1);
    assert_eq!(store.interrupt_unfinished().await.unwrap(), 0);
    assert!(!store.finish(reply, &complete("Hello")).await.unwrap());

    let message = store.find_message(ada, id, reply).await.unwrap();
    assert_eq!((message.status, message.content.as_str()), (MessageStatus::Interrupted, "Hel"));
}

#[tokio::test]
async fn nothing_is_begun_while_a_reply_is_written() {
    let (_folder, store, ada, id) = conversation().await;
    let begun = store.begin_turn(ada, id, turn("One?")).await.unwrap();
    let before = (store.find_conversation(ada, id).await.unwrap(), store.branch(ada, id).await.unwrap());

    let refusals = [
        store.begin_turn(ada, id, turn("Two?")).await.map(drop),
        store.begin_answered_turn(ada, id, turn("Two?"), "Two.".into(), &Trace::default()).await.map(drop),
        store.begin_retry(ada, id, begun.reply.id, MessageId::new()).await.map(drop),
    ];

    for refusal in refusals {
        assert!(matches!(refusal, Err(StoreError::ReplyRunning)), "{refusal:?}");
    }
    let after = (store.find_conversation(ada, id).await.unwrap(), store.branch(ada, id).await.unwrap());
    assert_eq!(after, before);
    let elsewhere = store.create_conversation(ada).await.unwrap().id;
    store.begin_turn(ada, elsewhere, turn("Two?")).await.unwrap();
}

#[tokio::test]
async fn of_turns_sent_at_once_one_begins() {
    let (_folder, store, ada, id) = conversation().await;

    let sent = (0..8).map(|_| store.begin_turn(ada, id, turn("Hi")));
    let answers = futures::future::join_all(sent).await;

    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(StoreError::ReplyRunning))));
    assert_eq!(store.branch(ada, id).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_database_itself_refuses_a_second_running_reply() {
    let (_folder, store, ada, id) = conversation().await;
    store.begin_answered_turn(ada, id, turn("Hi"), "Yes.".into(), &Trace::default()).await.unwrap();
    store.begin_turn(ada, id, turn("Hi")).await.unwrap();

    let second = sqlx::query("UPDATE messages SET status = 'generating' WHERE role = 'assistant'");
    let refused = second.execute(&store.pool).await.unwrap_err();

    assert!(refused.as_database_error().unwrap().is_unique_violation(), "{refused}");
}

#[tokio::test]
async fn a_plugins_answer_is_complete_at_once() {
    let (_folder, store, ada, id) = conversation().await;

    let turn =
        store.begin_answered_turn(ada, id, turn("/roll"), "Four.".into(), &Trace::default()).await.unwrap();

    assert_eq!(turn.reply.status, MessageStatus::Complete);
    assert_eq!(turn.reply.finish_reason, Some(FinishReason::Plugin));
    assert_eq!(store.branch(ada, id).await.unwrap(), [turn.user_message, turn.reply]);
    assert_eq!(store.interrupt_unfinished().await.unwrap(), 0);
}

#[tokio::test]
async fn a_retry_keeps_the_old_version() {
    let (_folder, store, ada, id) = conversation().await;
    let turn = store.begin_turn(ada, id, turn("Hi")).await.unwrap();
    store.finish(turn.reply.id, &complete("First try")).await.unwrap();

    let retry = store.begin_retry(ada, id, turn.reply.id, MessageId::new()).await.unwrap();
    store.finish(retry.id, &complete("Second try")).await.unwrap();

    assert_eq!(texts(&store.branch(ada, id).await.unwrap()), ["Hi", "Second try"]);
    let old = store.find_message(ada, id, turn.reply.id).await.unwrap();
    assert_eq!((old.content.as_str(), old.parent_id), ("First try", retry.parent_id));
    let of_a_question = store.begin_retry(ada, id, turn.user_message.id, MessageId::new()).await;
    assert!(matches!(of_a_question, Err(StoreError::NotFound)), "{of_a_question:?}");
}

#[tokio::test]
async fn a_reply_whose_conversation_is_deleted_ends_nowhere() {
    let (_folder, store, ada, id) = conversation().await;
    let reply = store.begin_turn(ada, id, turn("Hi")).await.unwrap().reply.id;

    store.delete_conversation(ada, id).await.unwrap();

    assert!(!store.checkpoint(reply, "Hel").await.unwrap());
    assert!(!store.finish(reply, &complete("Hello")).await.unwrap());
}
