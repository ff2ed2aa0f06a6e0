//! One bounded queue before the model.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::{ECHO, Person, Reply, TestApp, reply_id};

/// A reply that runs until it is stopped.
fn endless() -> String {
    json!({ "pieces": ["word "], "repeat": 100_000, "delay_ms": 5 }).to_string()
}

fn one_at_a_time() -> String {
    ECHO.replace("[default.llm]\n", "[default.llm]\nn_parallel = 1\n")
}

async fn stop(person: &Person, reply: &Reply) {
    let path = format!("/c/{}/messages/{}/stop", reply.conversation, reply.id);
    assert!(person.htmx(Method::POST, &path).send().await.unwrap().status().is_success());
}

#[tokio::test]
async fn f26_a_full_queue_refuses_writes_nothing_and_says_when_to_come_back() {
    let app = TestApp::start(
        "[default.llm]\nbackend = \"echo\"\nn_parallel = 1\nqueue_size = 2\nmax_per_user = 2\n",
    )
    .await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let first = ada.send(&ada.new_conversation().await, &endless()).await;
    let second = ada.send(&ada.new_conversation().await, "waiting").await;

    let bobs = bob.new_conversation().await;
    let refused = bob.try_send(&bobs, "one too many").await;

    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.headers()["hx-retarget"], "#alert");
    assert!(!bob.page(&format!("/c/{bobs}")).await.contains("one too many"));
    stop(&ada, &first).await;
    assert_eq!(ada.read(&second).await, "waiting");
    assert_eq!(bob.ask(&bobs, "now there is room").await, "now there is room");
}

#[tokio::test]
async fn one_person_cannot_take_every_place() {
    let app = TestApp::start("[default.llm]\nbackend = \"echo\"\nqueue_size = 10\nmax_per_user = 1\n").await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let running = ada.send(&ada.new_conversation().await, &endless()).await;

    let refused = ada.try_send(&ada.new_conversation().await, "greedy").await;
    let bobs = bob.send(&bob.new_conversation().await, "patient").await;
    stop(&ada, &running).await;

    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(bob.read(&bobs).await, "patient");
}

#[tokio::test]
async fn who_waits_sees_the_position() {
    let app = TestApp::start(&one_at_a_time()).await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let running = ada.send(&ada.new_conversation().await, &endless()).await;
    ada.follow(&running, 0).await.first_text().await;

    let waiting = bob.send(&bob.new_conversation().await, "hello").await;
    let status = bob.follow(&waiting, 0).await.next().await.unwrap();
    stop(&ada, &running).await;

    assert_eq!((status.name.as_str(), status.data.as_str()), ("status", "Yours is next."));
    assert_eq!(bob.read(&waiting).await, "hello");
}

#[tokio::test]
async fn a_waiting_reply_can_be_stopped() {
    let app = TestApp::start(&one_at_a_time()).await;
    let ada = app.person("ada").await;
    let running = ada.send(&ada.new_conversation().await, &endless()).await;
    let waiting = ada.send(&ada.new_conversation().await, "never mind").await;

    stop(&ada, &waiting).await;
    let ended = tokio::time::timeout(Duration::from_secs(5), ada.read(&waiting)).await;

    assert_eq!(ended.expect("it ended while the other one runs"), "");
    stop(&ada, &running).await;
}

#[tokio::test]
async fn f10_a_message_that_cannot_fit_is_refused_with_both_counts() {
    let app = TestApp::start("[default.llm]\nbackend = \"echo\"\nn_ctx = 256\n").await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;

    let refused = ada.try_send(&conversation, &"word ".repeat(400)).await;

    assert_eq!(refused.status(), 422);
    let sentence = refused.text().await.unwrap();
    assert!(sentence.contains("408 tokens") && sentence.contains("at most 192 fit"), "{sentence}");
    assert!(!ada.page(&format!("/c/{conversation}")).await.contains("word word"));
}

#[tokio::test]
async fn f28_an_empty_or_too_long_message_is_refused_in_place() {
    let app = TestApp::start(&format!("{ECHO}[default.chat]\nmax_message_chars = 100\n")).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;

    let empty = ada.try_send(&conversation, " \n ").await;
    let long = ada.try_send(&conversation, &"ß".repeat(101)).await;
    let huge = ada.try_send(&conversation, &"x".repeat(400_000)).await;

    assert_eq!((empty.status().as_u16(), long.status().as_u16(), huge.status().as_u16()), (422, 422, 413));
    assert!(long.text().await.unwrap().contains("101 characters; at most 100"));
}

#[tokio::test]
async fn f10_history_that_no_longer_fits_is_left_out_and_the_page_says_so() {
    let app = TestApp::start("[default.llm]\nbackend = \"echo\"\nn_ctx = 256\n").await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;

    let mut last = None;
    for _ in 0..4 {
        let reply = ada.send(&conversation, &"word ".repeat(45)).await;
        ada.read(&reply).await;
        last = Some(reply);
    }

    let bubble = ada.bubble(&last.unwrap()).await;
    assert!(bubble.contains("no longer fit"), "{bubble}");
}

#[tokio::test]
async fn f31_a_form_that_is_sent_twice_is_one_message() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let send = async |key: &str, text: &str| {
        let path = format!("/c/{conversation}/messages");
        let form = [("message", text), ("key", key)];
        let answer = ada.htmx(Method::POST, &path).form(&form).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap()
    };

    let (once, twice) = futures::join!(send("k1", "Hello"), send("k1", "Hello"));
    let first = reply_id(&once).or_else(|| reply_id(&twice)).unwrap();
    ada.read(&Reply { conversation: conversation.clone(), id: first }).await;
    let later = send("k1", "Hello").await;
    let other = send("k1", "Another one, from a page that \"back\" brought up").await;

    assert!(later.contains("id=\"send-key\""), "the next message gets another key: {later}");
    ada.read(&Reply { conversation: conversation.clone(), id: reply_id(&other).unwrap() }).await;
    let page = ada.page(&format!("/c/{conversation}")).await;
    assert_eq!(page.matches("<article class=\"message user").count(), 2, "{page}");
}

#[tokio::test]
async fn f31_a_form_that_is_sent_twice_while_a_reply_runs_waits_once() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let reply = ada.send(&conversation, &endless()).await;
    let path = format!("/c/{conversation}/messages");
    let queue = async || {
        ada.htmx(Method::POST, &path).form(&[("message", "next"), ("key", "k")]).send().await.unwrap()
    };

    let (once, twice) = futures::join!(queue(), queue());

    assert!(
        once.text().await.unwrap().contains("queued-") && twice.text().await.unwrap().contains("queued-")
    );
    let page = ada.page(&format!("/c/{conversation}")).await;
    assert_eq!(page.matches("id=\"queued-").count(), 1, "{page}");
    stop(&ada, &reply).await;
}

#[tokio::test]
async fn what_one_person_keeps_has_a_limit_that_is_told_before() {
    let app =
        TestApp::start(&format!("{ECHO}[default.chat]\nmax_storage_mib = 1\nmax_message_chars = 1000000\n"))
            .await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let conversation = ada.new_conversation().await;
    assert!(ada.page("/account").await.contains("of 1 MiB"));

    // Said back by the scripted model, and so kept twice.
    ada.ask(&conversation, &"x".repeat(450_000)).await;
    let told = ada.page(&format!("/c/{conversation}")).await;
    ada.ask(&conversation, &"x".repeat(100_000)).await;
    let refused = ada.try_send(&conversation, "one more").await;

    assert!(told.contains("id=\"storage\""), "{told}");
    assert_eq!(refused.status(), 507);
    assert!(refused.text().await.unwrap().contains("take all the 1 MiB"));
    assert_eq!(bob.ask(&bob.new_conversation().await, "mine").await, "mine");
    assert!(
        ada.htmx(Method::DELETE, &format!("/c/{conversation}")).send().await.unwrap().status().is_success()
    );
    assert_eq!(ada.ask(&ada.new_conversation().await, "room again").await, "room again");
}
