//! Plugins as a person meets them: what they remove, refuse and break.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::support::{ECHO, Home, TestApp, unescape};

const MAIL: &str = "grace.hopper@example.org";
const CARD: &str = "4111 1111 1111 1111";

#[tokio::test]
async fn what_the_redactor_removes_is_nowhere() {
    let home = Home::new(ECHO);
    home.add_plugin("examples/redact");
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    // Split over pieces, so that no single piece holds it: the model says what the person did not write.
    let (head, tail) = MAIL.split_at(7);
    let script = json!({ "pieces": ["Write to ", head, tail, " or pay with ", &CARD[..6], &CARD[6..], " today."], "delay_ms": 20 });

    let mut seen = String::new();
    let typed = ada.try_send(&conversation, &format!("I am {MAIL} and my card is {CARD}.")).await;
    let body = typed.text().await.unwrap();
    let reply = crate::support::Reply {
        conversation: conversation.clone(),
        id: crate::support::reply_id(&body).unwrap(),
    };
    seen.push_str(&body);
    seen.push_str(&format!("{:?}", ada.follow(&reply, 0).await.rest().await));
    let reply = ada.send(&conversation, &script.to_string()).await;
    let (text, events) = ada.follow(&reply, 0).await.rest().await;
    seen.push_str(&format!("{text} {events:?}"));
    seen.push_str(&ada.bubble(&reply).await);
    seen.push_str(&ada.page(&format!("/c/{conversation}")).await);

    assert!(text.contains("Write to") && text.contains("today."), "the rest of the reply arrives: {text}");
    let (_, _, home) = tokio::task::spawn_blocking(move || app.terminate()).await.unwrap();
    let written = String::from_utf8_lossy(&home.everything_written()).into_owned();
    for secret in [MAIL, "grace.hopper", CARD, "4111111111111111"] {
        assert!(!seen.contains(secret), "{secret} was shown: {seen}");
        assert!(!written.contains(secret), "{secret} was written");
    }
}

#[tokio::test]
async fn a_held_reply_that_is_cut_off_leaves_nothing_behind() {
    let home = Home::new(ECHO);
    home.add_plugin("examples/redact");
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let script =
        json!({ "pieces": ["my mail is ", "grace.hop", "per@example.org "], "repeat": 1000, "delay_ms": 5 });
    ada.send(&conversation, &script.to_string()).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await; // Past two checkpoints.

    let app = app.kill_and_restart().await;

    let written = String::from_utf8_lossy(&app.home.everything_written()).into_owned();
    assert!(!written.contains("per@example.org"));
}

#[tokio::test]
async fn the_word_filter_refuses_by_name_and_nothing_is_written() {
    let home = Home::new(&format!("{ECHO}[default.plugins.settings.word_filter]\nwords = [\"xyzzy\"]\n"));
    home.add_plugin("examples/word_filter");
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;

    let refused = ada.try_send(&conversation, "please say Xyzzy for me").await;

    assert_eq!(refused.status(), 422);
    assert!(refused.text().await.unwrap().contains("word_filter"));
    assert!(!ada.page(&format!("/c/{conversation}")).await.contains("Xyzzy"));
    assert_eq!(ada.ask(&conversation, "a harmless word").await, "a harmless word");
}

#[tokio::test]
async fn an_edited_plugin_takes_effect_on_the_next_message_and_a_broken_edit_keeps_the_old_one() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let shout = |mark: &str| format!("fn on_message(ctx, text) {{ text + \"{mark}\" }}");

    app.home.write("plugins/shout.rhai", &shout("!"));
    let first = ada.ask(&conversation, "hey").await;
    app.home.write("plugins/shout.rhai", &shout("?!"));
    let second = ada.ask(&conversation, "hey").await;
    app.home.write("plugins/shout.rhai", "fn on_message(ctx, text) { text + ");
    let third = ada.ask(&conversation, "hey").await;
    std::fs::remove_file(app.home.path().join("plugins/shout.rhai")).unwrap();
    let fourth = ada.ask(&conversation, "hey").await;

    assert_eq!([first, second, third, fourth], ["hey!", "hey?!", "hey?!", "hey"]);
    let log = app.home.log();
    assert!(log.contains("shout") && log.contains('1'), "the log names plugin and line: {log}");
}

#[tokio::test]
async fn a_plugin_that_takes_long_to_load_holds_up_neither_messages_nor_the_end_of_the_server() {
    let limits = "[default.plugins]\ndeadline_ms = 20000\nmax_operations = 1000000000\n";
    let home = Home::new(&format!("{ECHO}{limits}"));
    home.write("plugins/shout.rhai", "fn on_message(ctx, text) { text + \"!\" }");
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let slow = "fn on_message(ctx, text) { text + \"?\" }\nfn test_slow() { loop { } }";
    app.home.write("plugins/shout.rhai", slow);
    let start = Instant::now();

    assert_eq!(ada.ask(&conversation, "hello").await, "hello!");
    ada.page("/admin/plugins").await;

    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let (status, took, _) = tokio::task::spawn_blocking(move || app.terminate()).await.unwrap();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn a_disabled_plugin_is_not_called() {
    let home = Home::new(&format!("{ECHO}[default.plugins]\ndisabled = [\"shout\"]\n"));
    home.write("plugins/shout.rhai", "fn on_message(ctx, text) { text + \"!\" }");
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;

    assert_eq!(ada.ask(&ada.new_conversation().await, "hey").await, "hey");
}

#[tokio::test]
async fn a_closed_plugin_that_fails_refuses_the_reply_by_name_and_text_is_withheld() {
    let home = Home::new(ECHO);
    home.write(
        "plugins/guard.rhai",
        "const PLUGIN = #{ fail: \"closed\", hold: \"reply\" };\nfn on_response(ctx, text) { throw \"no\" }",
    );
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;

    let reply = ada.send(&conversation, "the withheld words").await;
    let (text, events) = ada.follow(&reply, 0).await.rest().await;

    assert_eq!(text, "");
    let failed = events.iter().find(|event| event.name == "failed").expect("a failure is told");
    assert!(failed.data.contains("guard"), "{}", failed.data);
    assert!(ada.bubble(&reply).await.contains("guard"));
}

#[tokio::test]
async fn a_plugin_answers_in_the_models_place() {
    let home = Home::new(ECHO);
    home.write("plugins/ping.rhai", "fn on_message(ctx, text) { if text == \"ping\" { reply(\"pong\") } }");
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;

    let answer = ada.try_send(&conversation, "ping").await;
    let body = answer.text().await.unwrap();

    assert!(body.contains("pong") && !body.contains("/events"), "{body}");
    let page = ada.page(&format!("/c/{conversation}")).await;
    assert!(page.contains("ping") && page.contains("pong"));
    // What a plugin kept from the model does not reach it by Retry.
    let reply = body.split("id=\"message-").nth(2).unwrap().split('"').next().unwrap();
    let path = format!("/c/{conversation}/messages/{reply}/regenerate");
    let refused = ada.htmx(Method::POST, &path).send().await.unwrap();
    assert_eq!(refused.status(), 422);
    assert!(!page.contains("regenerate"), "no Retry is offered");
    let user_message =
        unescape(&page).split("id=\"message-").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let path = format!("/c/{conversation}/messages/{user_message}/regenerate");
    let refused = ada.htmx(Method::POST, &path).send().await.unwrap();
    assert_eq!(refused.status(), 404, "nor by way of the message that was answered");
}

#[tokio::test]
async fn a_request_with_a_plugin_goes_through_regenerate_too() {
    let home = Home::new(ECHO);
    home.write("plugins/tail.rhai", "fn on_response(ctx, text) { text + \" (checked)\" }");
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let reply = ada.send(&conversation, "hello").await;
    ada.read(&reply).await;
    assert!(ada.bubble(&reply).await.contains("hello (checked)"));

    let path = format!("/c/{conversation}/messages/{}/regenerate", reply.id);
    let body = ada.htmx(Method::POST, &path).send().await.unwrap().text().await.unwrap();
    let again = crate::support::Reply { conversation, id: crate::support::begun_reply(&body).unwrap() };
    ada.read(&again).await;

    assert!(ada.bubble(&again).await.contains("hello (checked)"));
}
