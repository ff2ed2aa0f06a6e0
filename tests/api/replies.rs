//! A reply belongs to the server, not to a connection.

use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;

use crate::support::{ECHO, Home, Reply, TestApp, reply_id, unescape};

#[tokio::test]
async fn a_reply_streams_and_is_there_after_a_reload() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;

    let reply = ada.send(&conversation, "hello there, dear echo").await;
    let (text, named) = ada.follow(&reply, 0).await.rest().await;

    assert_eq!(text, "hello there, dear echo");
    assert_eq!(named.last().unwrap().name, "done");
    assert_eq!(ada.bubble(&reply).await.matches("hello there, dear echo").count(), 1);
    let page = ada.page(&format!("/c/{conversation}")).await;
    assert!(page.contains(&reply.id) && !page.contains("/events"), "the page shows a reply that is over");
}

#[tokio::test]
async fn spaces_newlines_emoji_and_markup_arrive_byte_for_byte() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let pieces = json!({ "pieces": [
        "Hello", "\n", "\n", "- a", "\n", "  ", "  ", "- b\n", "```\n", "    indented", "\n\t", "tab\n", "```", " ",
        [240, 159], [166, 128], "👩‍", "👩‍👧", "<script>alert(1)</script>", "<b hx-get='/'>&amp;", "\r", "\u{feff}", "x\u{a0}", "\n", "end",
    ]});

    let text = ada.ask(&conversation, &pieces.to_string()).await;

    assert_eq!(
        text,
        "Hello\n\n- a\n    - b\n```\n    indented\n\ttab\n``` 🦀👩‍👩‍👧<script>alert(1)</script><b hx-get='/'>&amp;\r\u{feff}x\u{a0}\nend"
    );
}

#[tokio::test]
async fn a_fast_reply_comes_in_pieces_that_lie_apart() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let script = json!({ "pieces": ["word "], "repeat": 300, "delay_ms": 1 }).to_string();

    let begun = Instant::now();
    let reply = ada.send(&conversation, &script).await;
    let (mut pieces, mut text) = (0, String::new());
    let mut events = ada.follow(&reply, 0).await;
    while let Some(event) = events.next().await {
        if event.name.is_empty() {
            pieces += 1;
            text += &event.data;
        }
    }

    assert_eq!(text.trim_end(), "word ".repeat(300).trim_end());
    // The first and the last come at once.
    let most = 2 + begun.elapsed().as_millis() / 25;
    assert!((3..=most).contains(&pieces), "{pieces} pieces, at most {most}");
}

#[tokio::test]
async fn f03_two_tabs_see_one_reply_and_a_late_one_catches_up() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let script = json!({ "pieces": ["one ", "two ", "three "], "repeat": 20, "delay_ms": 10 }).to_string();

    let reply = ada.send(&conversation, &script).await;
    let mut first = ada.follow(&reply, 0).await;
    let piece = first.first_text().await;
    let late = ada.follow(&reply, 0).await;

    let ((rest, _), (whole, _)) = tokio::join!(first.rest(), late.rest());
    assert_eq!(piece.data + rest.as_str(), whole);
    assert_eq!(whole.trim_end(), "one two three ".repeat(20).trim_end());
}

#[tokio::test]
async fn f02_a_viewer_that_comes_back_gets_what_it_missed_and_nothing_twice() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let script = json!({ "pieces": ["zwölf ", "🦀 ", "\n"], "repeat": 15, "delay_ms": 10 }).to_string();

    let reply = ada.send(&conversation, &script).await;
    let mut cut_off = ada.follow(&reply, 0).await;
    let seen = cut_off.first_text().await;
    drop(cut_off);
    let (rest, _) = ada.follow(&reply, seen.id.parse().unwrap()).await.rest().await;

    let text = seen.data + rest.as_str();
    assert_eq!(text.trim_end(), "zwölf 🦀 \n".repeat(15).trim_end());
}

#[tokio::test]
async fn f01_a_reply_goes_on_when_nobody_looks() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let script = json!({ "pieces": ["step "], "repeat": 30, "delay_ms": 10 }).to_string();

    let reply = ada.send(&conversation, &script).await;
    drop(ada.follow(&reply, 0).await);

    assert_eq!(ada.read(&reply).await.trim_end(), "step ".repeat(30).trim_end());
    assert!(ada.bubble(&reply).await.contains("step step"));
}

#[tokio::test]
async fn stop_keeps_the_text_so_far() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let script = json!({ "pieces": ["word "], "repeat": 10_000, "delay_ms": 5 }).to_string();

    let reply = ada.send(&conversation, &script).await;
    let mut events = ada.follow(&reply, 0).await;
    let first = events.first_text().await;
    let path = format!("/c/{conversation}/messages/{}/stop", reply.id);
    let stopped = ada.htmx(Method::POST, &path).send().await.unwrap();
    let (rest, _) = events.rest().await;

    assert!(stopped.status().is_success());
    let text = first.data + rest.as_str();
    assert!(text.starts_with("word") && text.len() < 50_000, "{} bytes", text.len());
    assert_eq!(ada.follow(&reply, 0).await.rest().await.0.trim_end(), text.trim_end());
    assert!(!ada.ask(&conversation, "again").await.is_empty(), "the conversation goes on");
}

#[tokio::test]
async fn a_failure_is_told_with_its_sentence_and_can_be_tried_again() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let script = json!({ "pieces": ["half ", "way "], "delay_ms": 300, "fail": "The lamp went out." });

    let reply = ada.send(&conversation, &script.to_string()).await;
    let (text, named) = ada.follow(&reply, 0).await.rest().await;

    assert_eq!(text, "half way ");
    let names: Vec<_> =
        named.iter().map(|event| event.name.as_str()).filter(|name| *name != "status").collect();
    assert_eq!(names, ["failed", "done"]);
    assert!(named.iter().any(|event| event.data.contains("The lamp went out.")));
    assert!(ada.bubble(&reply).await.contains("The lamp went out."));
    let path = format!("/c/{conversation}/messages/{}/regenerate", reply.id);
    let again = ada.htmx(Method::POST, &path).send().await.unwrap();
    assert!(again.status().is_success());
    assert!(again.text().await.unwrap().contains("/events"), "a new reply streams");
}

#[tokio::test]
async fn messages_sent_while_a_reply_runs_wait_for_its_end_and_are_answered_in_their_order() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let script = json!({ "pieces": ["word "], "repeat": 40, "delay_ms": 10 }).to_string();

    let first = ada.send(&conversation, &script).await;
    let mut waiting = Vec::new();
    for text in ["second words", "third words", "fourth words"] {
        let answer = ada.try_send(&conversation, text).await;
        assert_eq!(answer.status(), 200);
        waiting.push(answer.text().await.unwrap());
    }
    let full = ada.try_send(&conversation, "fifth words").await;

    assert_eq!(full.status(), 422);
    assert!(waiting[0].contains("second words") && waiting[0].contains("It is sent when"), "{}", waiting[0]);
    let id = unescape(&waiting[2]).split("/queued/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let path = format!("/c/{conversation}/queued/{id}");
    let bob = app.person("bob").await;
    assert_eq!(bob.htmx(Method::DELETE, &path).send().await.unwrap().status(), 404);
    assert!(ada.htmx(Method::DELETE, &path).send().await.unwrap().status().is_success());
    ada.read(&first).await;
    let page = loop {
        let page = ada.page(&format!("/c/{conversation}")).await;
        match reply_id(&page) {
            Some(id) => drop(ada.read(&Reply { conversation: conversation.clone(), id }).await),
            None if page.contains("/queued/") => tokio::task::yield_now().await,
            None => break page,
        }
    };
    let places: Vec<_> =
        ["word word", "second words", "third words"].map(|text| page.rfind(text).unwrap()).into();
    assert!(places.is_sorted(), "{places:?}");
    assert!(!page.contains("fourth words") && !page.contains("fifth words"));
}

#[tokio::test]
async fn a_waiting_message_that_is_refused_says_why_and_waits_for_its_person() {
    let home = Home::new(ECHO);
    home.write("plugins/no.rhai", r#"fn on_message(ctx, text) { if text == "no" { deny("Not that.") } }"#);
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let script = json!({ "pieces": ["word "], "repeat": 20, "delay_ms": 10 }).to_string();
    let first = ada.send(&conversation, &script).await;
    for text in ["no", "yes"] {
        assert_eq!(ada.try_send(&conversation, text).await.status(), 200);
    }

    ada.read(&first).await;
    let page = ada.page(&format!("/c/{conversation}")).await;

    assert!(page.contains("Not that.") && page.matches("queued-").count() == 2, "{page}");
    let id = page.split("queued-").nth(1).unwrap().split('"').next().unwrap();
    let path = format!("/c/{conversation}/queued/{id}");
    let rest = ada.htmx(Method::DELETE, &path).send().await.unwrap().text().await.unwrap();
    assert!(rest.contains(">yes<") && !rest.contains("queued-"), "the next one is sent: {rest}");
}

#[tokio::test]
async fn f06_sigterm_with_open_streams_ends_within_three_seconds_and_keeps_the_text() {
    a_signal_ends_within_three_seconds_and_keeps_the_text(Signal::TERM).await;
}

/// What a terminal sends that was closed.
#[tokio::test]
async fn sighup_ends_the_server_as_sigterm_does() {
    a_signal_ends_within_three_seconds_and_keeps_the_text(Signal::HUP).await;
}

async fn a_signal_ends_within_three_seconds_and_keeps_the_text(signal: Signal) {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let script = json!({ "pieces": ["word "], "repeat": 10_000, "delay_ms": 5 }).to_string();
    let reply = ada.send(&conversation, &script).await;
    let mut events = ada.follow(&reply, 0).await;
    let first = events.first_text().await;

    let (status, took, home) = tokio::task::spawn_blocking(move || app.end_by(signal)).await.unwrap();
    let (rest, _) = events.rest().await;

    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    let app = TestApp::start_in(home).await;
    let ada = crate::support::Person { url: app.url.clone(), ..ada };
    ada.sign_in().await;
    let kept = ada.read(&reply).await;
    assert_eq!(kept.trim_end(), (first.data + rest.as_str()).trim_end(), "what was shown is kept");
    assert!(ada.bubble(&reply).await.contains("interrupted"));
}
