//! A program's request passes the same hooks as a person's message.

use std::time::Duration;

use serde_json::{Value, json};

use super::openai::{endless, until_free};
use crate::support::program::{Program, content, one, with};
use crate::support::{ECHO, Home, TestApp};

async fn start(id: &str, plugin: &str) -> (TestApp, Program) {
    let home = Home::new(ECHO);
    home.write(&format!("plugins/{id}.rhai"), plugin);
    let app = TestApp::start_in(home).await;
    app.person("ada").await;
    let program = Program::new(&app, "ada");
    (app, program)
}

#[tokio::test]
async fn a_plugin_rewrites_the_last_message_and_a_whole_reply() {
    let (_app, program) = start(
        "loud",
        "fn on_message(ctx, text) { text.to_upper() }\nfn on_response(ctx, text) { text + \" (checked)\" }",
    )
    .await;
    let said = json!([
        { "role": "user", "content": "first" },
        { "role": "assistant", "content": "said" },
        { "role": "user", "content": "second" },
    ]);

    let whole = program.ask(json!({ "messages": said })).await;
    let stream = program.stream(one("second")).await;

    assert_eq!(content(&whole), "SECOND (checked)");
    assert_eq!(
        (stream.text.as_str(), stream.done),
        ("SECOND", true),
        "what is out cannot be changed any more"
    );
}

#[tokio::test]
async fn a_refusal_names_the_plugin_before_anything_is_sent() {
    let (_app, program) = start("guard", "fn on_message(ctx, text) { deny(\"not today\") }").await;

    for stream in [false, true] {
        let (status, answer) = program.try_ask(with(one("hi"), json!({ "stream": stream }))).await;

        assert_eq!((status.as_u16(), &answer["error"]["code"]), (400, &json!("plugin_denied")));
        assert_eq!(answer["error"]["message"], "The plugin guard refused: not today");
    }
}

#[tokio::test]
async fn a_plugin_answers_in_the_models_place() {
    let (_app, program) =
        start("ping", "fn on_message(ctx, text) { if text == \"ping\" { reply(\"pong\") } }").await;

    let whole = program.ask(one("ping")).await;
    let stream = program.stream(one("ping")).await;

    assert_eq!((content(&whole), stream.text.as_str()), ("pong", "pong"));
    assert_eq!(
        (&whole["choices"][0]["finish_reason"], &whole["usage"]["total_tokens"]),
        (&json!("stop"), &json!(0))
    );
}

#[tokio::test]
async fn what_a_holding_plugin_removes_is_neither_sent_nor_written() {
    let home = Home::new(ECHO);
    home.add_plugin("examples/redact");
    let app = TestApp::start_in(home).await;
    app.person("ada").await;
    let program = Program::new(&app, "ada");
    let mail = "grace.hopper@example.org";
    let script = json!({ "pieces": ["Write to ", &mail[..7], &mail[7..], " today."], "delay_ms": 20 });

    let stream = program.stream(one(&script.to_string())).await;
    let whole = program.ask(one(&script.to_string())).await;

    assert_eq!(stream.text, content(&whole));
    assert!(
        stream.done && stream.text.starts_with("Write to ") && stream.text.ends_with(" today."),
        "{stream:?}"
    );
    assert!(!format!("{stream:?} {whole}").contains("hopper"), "{stream:?} {whole}");
    let written = String::from_utf8_lossy(&app.home.everything_written()).into_owned();
    assert!(!written.contains("hopper") && !written.contains("Write to"), "nothing of it is stored");
}

#[tokio::test]
async fn a_closed_plugin_that_fails_withholds_the_reply() {
    let guard =
        "const PLUGIN = #{ fail: \"closed\", hold: \"reply\" };\nfn on_response(ctx, text) { throw \"no\" }";
    let (_app, program) = start("guard", guard).await;

    let (status, whole) = program.try_ask(one("the withheld words")).await;
    let stream = program.stream(one("the withheld words")).await;

    assert_eq!((status.as_u16(), &whole["error"]["code"]), (400, &json!("plugin_denied")));
    assert_eq!((stream.text.as_str(), stream.done), ("", false));
    assert_eq!(stream.error.unwrap()["code"], "plugin_denied");
}

#[tokio::test]
async fn a_skipped_plugin_and_turns_that_no_longer_fit_leave_a_mark() {
    let home = Home::new("[default.llm]\nbackend = \"echo\"\nn_ctx = 256\n");
    home.write("plugins/broken.rhai", "fn on_prompt(ctx, draft) { throw \"broken on purpose\"; }");
    let app = TestApp::start_in(home).await;
    app.person("ada").await;
    let program = Program::new(&app, "ada");
    let turn = |role: &str| json!({ "role": role, "content": "word ".repeat(60) });
    let request = json!({ "messages": [turn("user"), turn("assistant"), turn("user"), turn("assistant"), turn("user")] });

    let whole = program.ask(request.clone()).await;
    let stream = program.stream(request).await;

    for marks in [&whole["marks"], &stream.last()["marks"]] {
        let sources: Vec<_> = marks.as_array().unwrap().iter().map(|mark| mark["source"].clone()).collect();
        assert_eq!(sources, ["broken", "fireside"], "{marks}");
    }
    assert_eq!(program.ask(one("short")).await["choices"][0]["finish_reason"], Value::from("stop"));
}

#[tokio::test]
async fn probabilities_do_not_tell_what_a_plugin_takes_out() {
    let (_app, program) =
        start("censor", "const PLUGIN = #{ hold: \"reply\" };\nfn on_response(ctx, text) { \"removed\" }")
            .await;

    let (status, answer) = program.try_ask(with(one("secret"), json!({ "logprobs": true }))).await;

    assert_eq!(status, 400, "{answer}");
    assert!(!answer.to_string().contains("secret"), "{answer}");
}

#[tokio::test]
async fn who_leaves_a_reply_that_plugins_follow_piece_by_piece_frees_the_place() {
    let home = Home::new("[default.llm]\nbackend = \"echo\"\nqueue_size = 1\nmax_per_user = 1\n");
    home.write("plugins/loud.rhai", "fn on_chunk(ctx, text) { text.to_upper() }");
    let app = TestApp::start_in(home).await;
    app.person("ada").await;
    let program = Program::new(&app, "ada");
    let stream = program.post(&with(endless(), json!({ "stream": true }))).await;
    let busy = program.post(&one("hi")).await.status();

    drop(stream);
    until_free(&program).await;
    let whole = program.client.post(format!("{}/v1/chat/completions", program.url));
    let whole = whole.bearer_auth(&program.key).json(&endless()).timeout(Duration::from_secs(1));
    let gave_up = whole.send().await;
    until_free(&program).await;

    assert_eq!(busy, 429);
    assert!(gave_up.is_err());
    assert_eq!(content(&program.ask(one("hi")).await), "HI");
}

#[tokio::test]
async fn a_stream_that_plugins_follow_piece_by_piece_ends_when_the_server_stops() {
    let (app, program) = start("loud", "fn on_chunk(ctx, text) { text.to_upper() }").await;
    let mut stream = program.post(&with(endless(), json!({ "stream": true }))).await;
    let mut said = String::new();
    while !said.contains("WORD") {
        said.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap()));
    }

    let stopped = tokio::task::spawn_blocking(move || app.terminate());
    said.push_str(&stream.text().await.unwrap());
    let (status, took, _home) = stopped.await.unwrap();

    assert!(status.success() && took < Duration::from_secs(3), "{status} after {took:?}");
    assert!(said.contains("\"stopping\"") && !said.contains("[DONE]"), "{said}");
}
