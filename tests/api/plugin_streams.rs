//! Plugins that work on a reply while it is written: what they remove is nowhere, however it arrives.

use reqwest::Method;
use serde_json::json;

use crate::support::program::{Program, content, one};
use crate::support::{ECHO, Home, TestApp};

const MAIL: &str = "grace.hopper@example.org";
const CARD: &str = "4111 1111 1111 1111";

/// A text as JSON that shows none of its letters, so that the redactor finds nothing in what was typed.
fn hidden(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// A reply of these pieces, a few milliseconds apart, so that most of them arrive alone.
fn script(pieces: &[&str]) -> String {
    let pieces: Vec<_> = pieces.iter().map(|piece| format!("\"{}\"", hidden(piece))).collect();
    format!("{{ \"pieces\": [{}], \"delay_ms\": 3 }}", pieces.join(", "))
}

#[tokio::test]
async fn a_secret_is_nowhere_wherever_it_is_split() {
    let home = Home::new(ECHO);
    home.add_plugin("examples/redact");
    // Works on the reply before the redactor does, so that what it changed holds what is removed then.
    home.write("plugins/early.rhai", r#"fn on_chunk(ctx, text) { text.replace("hopper", "Hopper"); text }"#);
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let program = Program::new(&app, "ada");
    let conversation = ada.new_conversation().await;
    let expected = "Write to [e-mail removed] or pay with [card number removed] today.";

    let mut seen = String::new();
    for at in 0..=MAIL.len() {
        let (mail, card) = (MAIL.split_at(at), CARD.split_at(at.min(CARD.len())));
        let script = script(&["Write to ", mail.0, mail.1, " or pay with ", card.0, card.1, " today."]);
        let reply = ada.send(&conversation, &script).await;
        let (text, events) = ada.follow(&reply, 0).await.rest().await;
        let stream = program.stream(one(&script)).await;
        let whole = program.ask(one(&script)).await;

        assert_eq!(text, expected, "the browser's stream, split at {at}");
        assert_eq!((stream.text.as_str(), stream.done), (expected, true), "the API's stream, split at {at}");
        assert_eq!(content(&whole), expected, "the API's answer, split at {at}");
        seen.push_str(&format!("{events:?} {stream:?} {whole} {}", ada.bubble(&reply).await));
        seen.push_str(&ada.page(&format!("/c/{conversation}/messages/{}/trace", reply.id)).await);
    }
    seen.push_str(&ada.page(&format!("/c/{conversation}")).await);
    let export = ada.page("/account/export").await;
    assert!(export.contains(expected), "{export}");
    seen.push_str(&export);

    let (_, _, home) = tokio::task::spawn_blocking(move || app.terminate()).await.unwrap();
    let written = String::from_utf8_lossy(&home.everything_written()).into_owned();
    assert!(written.contains(expected) && seen.contains(expected));
    assert!(seen.contains("early") && seen.contains("The text is not kept."), "traces are kept");
    let (seen, written) = (seen.to_lowercase(), written.to_lowercase());
    for secret in ["grace", "hopper", "@example", "example.org", "4111 ", "1111 1"] {
        assert!(!seen.contains(secret), "{secret} was shown");
        assert!(!written.contains(secret), "{secret} was written");
    }
}

#[tokio::test]
async fn what_is_kept_back_is_dropped_when_the_reply_breaks_off() {
    let home = Home::new(ECHO);
    home.write("plugins/slow.rhai", "const PLUGIN = #{ hold: 9 }; fn on_chunk(ctx, text) { }");
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    // All but the last nine characters are shown at any time.
    let slow = json!({ "pieces": ["0123456789", "secret it", "x"], "delay_ms": 1_000 });
    let reply = ada.send(&conversation, &slow.to_string()).await;
    let mut events = ada.follow(&reply, 0).await;
    let mut shown = events.first_text().await.data;

    let path = format!("/c/{conversation}/messages/{}/stop", reply.id);
    let stopped = ada.htmx(Method::POST, &path).send().await.unwrap();
    shown.push_str(&events.rest().await.0);

    assert!(stopped.status().is_success());
    let kept = ada.read(&reply).await;
    assert_eq!(kept, shown, "what was shown is what is kept");
    assert!("0123456789secret itx".starts_with(&kept) && kept.len() <= 11, "{kept}");
}

#[tokio::test]
async fn a_plugin_ends_a_reply_and_the_model_stops() {
    let home = Home::new(ECHO);
    let guard = r#"fn on_chunk(ctx, text) {
        if "three" in text { stop(text.sub_string(0, text.index_of("three")) + "(the end)") }
    }"#;
    home.write("plugins/guard.rhai", guard);
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let program = Program::new(&app, "ada");
    // Without the plugin this would take minutes.
    let counting = json!({ "pieces": ["one ", "two ", "three ", "four "], "delay_ms": 20, "repeat": 1_000 });

    let reply = ada.send(&ada.new_conversation().await, &counting.to_string()).await;
    let text = ada.read(&reply).await;
    let stream = program.stream(one(&counting.to_string())).await;
    let whole = program.ask(one(&counting.to_string())).await;

    assert_eq!(text, "one two (the end)");
    assert_eq!((stream.text.as_str(), content(&whole)), (text.as_str(), text.as_str()));
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    assert!(ada.bubble(&reply).await.contains("one two (the end)"));
}

#[tokio::test]
async fn a_closed_plugin_that_fails_in_the_middle_ends_the_reply_by_name() {
    let home = Home::new(ECHO);
    let guard = r#"const PLUGIN = #{ fail: "closed" };
        fn on_chunk(ctx, text) { if "bad" in text { throw "no" } }"#;
    home.write("plugins/guard.rhai", guard);
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let program = Program::new(&app, "ada");
    let script = json!({ "pieces": ["fine ", "bad ", "after"], "delay_ms": 20 }).to_string();

    let reply = ada.send(&ada.new_conversation().await, &script).await;
    let (text, events) = ada.follow(&reply, 0).await.rest().await;
    let stream = program.stream(one(&script)).await;
    let (status, whole) = program.try_ask(one(&script)).await;

    let failed = events.iter().find(|event| event.name == "failed").expect("a failure is told");
    assert!(failed.data.contains("The plugin guard refused"), "{}", failed.data);
    assert!(!text.contains("bad") && !text.contains("after"), "{text}");
    assert!(!stream.text.contains("bad") && !stream.done, "{stream:?}");
    assert_eq!(stream.error.unwrap()["code"], "plugin_denied");
    assert_eq!((status.as_u16(), &whole["error"]["code"]), (400, &json!("plugin_denied")));
}

#[tokio::test]
async fn a_plugins_own_answer_passes_too() {
    let home = Home::new(ECHO);
    home.write("plugins/ping.rhai", "fn on_message(ctx, text) { reply(\"pong\") }");
    home.write("plugins/loud.rhai", "fn on_chunk(ctx, text) { text.to_upper() }");
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let program = Program::new(&app, "ada");

    let page = ada.try_send(&ada.new_conversation().await, "ping").await.text().await.unwrap();
    let whole = program.ask(one("ping")).await;
    let stream = program.stream(one("ping")).await;

    assert!(page.contains("PONG"), "{page}");
    assert_eq!((content(&whole), stream.text.as_str()), ("PONG", "PONG"));
}
