//! What goes wrong around the server, and what a person sees of it.

use sqlx::{Connection, Executor, SqliteConnection};

use crate::support::{ECHO, TestApp};

#[tokio::test]
async fn a_locked_database_refuses_a_message_whole_and_recovers() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let file = app.home.path().join("data/fireside.db");
    let mut other = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();

    let refused = ada.try_send(&conversation, "written while locked").await;
    other.execute("ROLLBACK").await.unwrap();

    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert!(!ada.page(&format!("/c/{conversation}")).await.contains("written while locked"));
    assert_eq!(ada.ask(&conversation, "written after").await, "written after");
}

#[tokio::test]
async fn a_reply_that_ends_while_the_database_is_locked_is_stored_when_it_is_free() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let file = app.home.path().join("data/fireside.db");
    let mut other = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    let script = serde_json::json!({ "pieces": ["some ", "words"], "delay_ms": 150 }).to_string();
    let reply = ada.send(&conversation, &script).await;

    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let mut events = ada.follow(&reply, 0).await;
    events.first_text().await;
    tokio::time::sleep(std::time::Duration::from_secs(6)).await; // Longer than a statement waits for the lock.
    other.execute("ROLLBACK").await.unwrap();

    assert_eq!(events.rest().await.1.last().unwrap().name, "done");
    assert!(ada.bubble(&reply).await.contains("some words"));
}

#[tokio::test]
async fn a_deleted_conversation_takes_its_running_reply_along() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let script = serde_json::json!({ "pieces": ["word "], "repeat": 10_000, "delay_ms": 5 }).to_string();
    let reply = ada.send(&conversation, &script).await;
    let mut events = ada.follow(&reply, 0).await;
    events.first_text().await;

    let answer = ada.htmx(reqwest::Method::DELETE, &format!("/c/{conversation}")).send().await.unwrap();

    assert!(answer.status().is_success());
    assert_eq!(events.rest().await.1.last().unwrap().name, "done", "the stream ends");
    assert_eq!(ada.get(&format!("/c/{conversation}")).await.status(), 404);
    assert_eq!(ada.ask(&ada.new_conversation().await, "the place is free").await, "the place is free");
}

#[tokio::test]
async fn operations_answer_without_a_sign_in() {
    let app = TestApp::start(ECHO).await;

    for (path, said) in [("/healthz", "ok\n"), ("/readyz", "ready: echo\n")] {
        let answer = reqwest::get(format!("{}{path}", app.url)).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, said));
    }
}
