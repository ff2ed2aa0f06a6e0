//! What goes wrong around the server, and what a person sees of it.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{Connection, Executor, SqliteConnection};

use crate::support::{ECHO, TestApp};

#[tokio::test]
async fn f18_a_locked_database_refuses_a_message_whole_and_recovers() {
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
    let script = json!({ "pieces": ["some ", "words"], "delay_ms": 150 }).to_string();
    let reply = ada.send(&conversation, &script).await;

    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let mut events = ada.follow(&reply, 0).await;
    events.first_text().await;
    tokio::time::sleep(Duration::from_secs(6)).await; // Longer than a statement waits for the lock.
    other.execute("ROLLBACK").await.unwrap();

    assert_eq!(events.rest().await.1.last().unwrap().name, "done");
    assert!(ada.bubble(&reply).await.contains("some words"));
}

#[tokio::test]
async fn a_deleted_conversation_takes_its_running_reply_along() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let script = json!({ "pieces": ["word "], "repeat": 10_000, "delay_ms": 5 }).to_string();
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
async fn a_second_server_on_the_same_folder_does_not_start_and_harms_nothing() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let script = json!({ "pieces": ["word "], "repeat": 100, "delay_ms": 10 }).to_string();
    let reply = ada.send(&conversation, &script).await;
    ada.follow(&reply, 0).await.first_text().await;

    let second = app.home.command(&[]);

    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8(second.stderr).unwrap().contains("Another Fireside is running"));
    assert_eq!(ada.read(&reply).await.trim_end(), "word ".repeat(100).trim_end());
    assert!(!ada.bubble(&reply).await.contains("interrupted"));
}

#[tokio::test]
async fn a_reply_whose_account_is_deleted_gives_its_place_back() {
    let app = TestApp::start("[default.llm]\nbackend = \"echo\"\nqueue_size = 1\nmax_per_user = 1\n").await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let script = json!({ "pieces": ["word "], "repeat": 10_000, "delay_ms": 5 }).to_string();
    let reply = ada.send(&ada.new_conversation().await, &script).await;
    let mut events = ada.follow(&reply, 0).await;
    events.first_text().await;

    assert!(app.home.command(&["user", "delete", "ada"]).status.success());
    assert_eq!(events.rest().await.1.last().unwrap().name, "done");

    assert_eq!(bob.ask(&bob.new_conversation().await, "my turn").await, "my turn");
}

#[tokio::test]
async fn a_stop_is_heard_while_the_database_is_locked() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let file = app.home.path().join("data/fireside.db");
    let mut other = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    let script = json!({ "pieces": ["word "], "repeat": 10_000, "delay_ms": 5 }).to_string();
    let reply = ada.send(&conversation, &script).await;
    let mut events = ada.follow(&reply, 0).await;
    events.first_text().await;

    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let locked = std::time::Instant::now();
    let mut longest = std::time::Duration::ZERO;
    while locked.elapsed().as_secs() < 3 {
        let before = std::time::Instant::now();
        events.next().await.unwrap();
        longest = longest.max(before.elapsed());
    }
    let path = format!("/c/{conversation}/messages/{}/stop", reply.id);
    ada.htmx(reqwest::Method::POST, &path).send().await.unwrap();
    other.execute("ROLLBACK").await.unwrap();

    assert!(longest.as_secs() < 2, "viewers stood still for {longest:?}");
    assert_eq!(events.rest().await.1.last().unwrap().name, "done");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_not_kept_by_a_browser() {
    let app = TestApp::start(ECHO).await;
    let cache = async |path: &str| {
        let answer = reqwest::get(format!("{}{path}", app.url)).await.unwrap();
        answer.headers()["cache-control"].to_str().unwrap().to_owned()
    };

    assert_eq!(cache("/static/nope.js?v=1").await, "no-cache");
    assert!(cache("/static/app.js?v=1").await.contains("immutable"));
}

#[tokio::test]
async fn operations_answer_without_a_sign_in() {
    let app = TestApp::start(ECHO).await;

    for (path, said) in [("/healthz", "ok\n"), ("/readyz", "ready: echo\n")] {
        let answer = reqwest::get(format!("{}{path}", app.url)).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, said));
    }
}

#[tokio::test]
async fn f23_control_characters_are_kept_and_a_nul_goes_no_further() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;

    let said = ada.ask(&conversation, "a\0b \u{1}\u{1b}[31m\u{7f}\t\u{85}\u{feff}c").await;

    assert_eq!(said, "ab \u{1}\u{1b}[31m\u{7f}\t\u{85}\u{feff}c");
    assert_eq!(ada.try_send(&conversation, "\0\0").await.status(), 422);
}

#[tokio::test]
async fn f24_streams_that_wait_take_little_and_leave_nothing_behind() {
    const STREAMS: usize = 300;
    // The database opens its connections when they are needed, and keeps them.
    const DATABASE: usize = 20;
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let script = json!({ "pieces": ["word "], "repeat": 1_000, "delay_ms": 60_000 }).to_string();
    let reply = ada.send(&conversation, &script).await;
    ada.page(&format!("/c/{conversation}")).await;
    let (files, before) = (app.open_files(), app.resident_bytes());

    let streams = futures::future::join_all((0..STREAMS).map(|_| ada.follow(&reply, 0))).await;
    let open = app.open_files();
    let start = Instant::now();
    ada.page(&format!("/c/{conversation}")).await;
    let took = start.elapsed();
    let grown = app.resident_bytes().saturating_sub(before) >> 20;
    drop(streams);
    let closed = Instant::now();
    while app.open_files() > files + DATABASE && closed.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    assert!(open >= files + STREAMS, "{open} files are open, {files} were before");
    assert!(grown < 50, "{STREAMS} streams took {grown} MiB");
    assert!(took < Duration::from_secs(2), "a page took {took:?}");
    assert!(closed.elapsed() < Duration::from_secs(20), "connections were open for {:?}", closed.elapsed());
}
