//! A plugin that lets the model write, beside the replies.

use serde_json::json;

use crate::support::program::{Program, content, one};
use crate::support::{ECHO, Home, TestApp, real_model};

const TWICE: &str = "const PLUGIN = #{ capabilities: [\"llm\"] };
fn on_message(ctx, text) { reply(llm_generate(text) + \" and \" + llm_generate(\"again\")) }";

const GRANT: &str = "[default.plugins]\ngrants = { pen = [\"llm\"] }\n";

#[tokio::test]
async fn in_a_reply_the_model_writes_on_the_replys_own_place() {
    // There is one place, and the reply holds it.
    let home = Home::new(&format!("{ECHO}n_parallel = 1\nqueue_size = 1\nmax_per_user = 1\n{GRANT}"));
    home.write("plugins/pen.rhai", TWICE);
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let program = Program::new(&app, "ada");

    let answer = ada.try_send(&ada.new_conversation().await, "hello").await.text().await.unwrap();

    assert!(answer.contains("hello and again"), "{answer}");
    assert_eq!(content(&program.ask(one("hi")).await), "hi and again");
}

#[tokio::test]
async fn without_the_operators_grant_it_is_an_error_that_names_the_key() {
    let home = Home::new(ECHO);
    home.write("plugins/pen.rhai", TWICE);
    let app = TestApp::start_in(home).await;
    app.person("ada").await;

    let answer = Program::new(&app, "ada").ask(one("hi")).await;

    assert_eq!(content(&answer), "hi");
    let mark = answer["marks"][0]["text"].as_str().unwrap();
    assert!(mark.contains("pen.rhai:2:") && mark.contains("grants = { pen"), "{mark}");
}

#[tokio::test]
async fn it_ends_when_the_reply_is_stopped_and_when_the_server_stops() {
    let script = json!({ "pieces": ["word "], "repeat": 100_000, "delay_ms": 1_000 }).to_string();
    let home = Home::new(&format!("{ECHO}n_parallel = 1\n{GRANT}llm_deadline_ms = 600000\n"));
    let asks = format!("llm_generate({}); draft", serde_json::Value::from(script));
    home.write(
        "plugins/pen.rhai",
        &format!("const PLUGIN = #{{ capabilities: [\"llm\"] }};\nfn on_prompt(ctx, draft) {{ {asks} }}"),
    );
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;

    let reply = ada.send(&conversation, "hello").await;
    let path = format!("/c/{conversation}/messages/{}/stop", reply.id);
    ada.htmx(reqwest::Method::POST, &path).send().await.unwrap();
    ada.read(&reply).await;
    std::fs::remove_file(app.home.path().join("plugins/pen.rhai")).unwrap();
    // The only place that computes is free again.
    assert_eq!(ada.ask(&ada.new_conversation().await, "next").await, "next");
    app.home.write(
        "plugins/pen.rhai",
        &format!("const PLUGIN = #{{ capabilities: [\"llm\"] }};\nfn on_prompt(ctx, draft) {{ {asks} }}"),
    );
    ada.send(&conversation, "once more").await;
    let (status, took, _home) = tokio::task::spawn_blocking(move || app.terminate()).await.unwrap();

    assert!(status.success(), "{status}");
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn with_a_schema_a_real_model_gives_a_typed_value() {
    let model = real_model().canonicalize().unwrap();
    let home = Home::new(&format!("[default.llm]\nmodel = {model:?}\nn_ctx = 2048\n{GRANT}"));
    home.write(
        "plugins/pen.rhai",
        "const PLUGIN = #{ capabilities: [\"llm\"] };
        const SCHEMA = #{ type: \"object\", required: [\"mood\"], properties: #{ mood: #{ enum: [\"good\", \"bad\"] } } };
        fn on_message(ctx, text) {
            let found = llm_generate(`Mood of: ${text}`, #{ json_schema: global::SCHEMA, max_tokens: 40, temperature: 0.0 });
            reply(`${type_of(found)} ${found.mood} ${tokens(\"Hello world\")}`)
        }",
    );
    let app = TestApp::start_in(home).await;
    app.person("ada").await;

    let answer = Program::new(&app, "ada").ask(one("What a lovely day!")).await;

    let said = content(&answer);
    assert!(["map good 2", "map bad 2"].contains(&said), "{answer}");
}
