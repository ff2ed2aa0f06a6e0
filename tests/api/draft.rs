//! A plugin that sets more of a request than its messages, as people and programs meet it.

use serde_json::{Value, json};

use crate::support::program::{Program, content, one, with};
use crate::support::{ECHO, Home, TestApp};

async fn start(toml: &str, plugin: &str) -> TestApp {
    let home = Home::new(&format!("{ECHO}{toml}"));
    home.write("plugins/plan.rhai", plugin);
    TestApp::start_in(home).await
}

#[tokio::test]
async fn what_a_plugin_lets_a_reply_begin_with_is_a_part_of_it() {
    let app = start("", "fn on_prompt(ctx, draft) { draft.prefill = \"Well, \"; draft }").await;
    let ada = app.person("ada").await;
    let program = Program::new(&app, "ada");
    let conversation = ada.new_conversation().await;

    let reply = ada.send(&conversation, "hello").await;
    let read = ada.read(&reply).await;
    let (whole, stream) = (program.ask(one("hello")).await, program.stream(one("hello")).await);

    assert_eq!(read, "Well, hello");
    assert!(ada.bubble(&reply).await.contains("Well, hello"));
    assert_eq!((content(&whole), stream.text.as_str()), ("Well, hello", "Well, hello"));
}

#[tokio::test]
async fn a_program_does_not_get_again_what_it_prefilled_itself() {
    let script = "fn on_prompt(ctx, draft) { if draft.prefill != () { draft.prefill += \"so\"; } draft }";
    let app = start("", script).await;
    app.person("ada").await;
    let program = Program::new(&app, "ada");
    let begun = json!({ "messages": [
        { "role": "user", "content": "hello" }, { "role": "assistant", "content": "And " },
    ] });

    assert_eq!(content(&program.ask(begun).await), "sohello");
    assert_eq!(content(&program.ask(one("hello")).await), "hello");
}

#[tokio::test]
async fn a_plugin_sees_and_takes_away_the_form_that_a_program_asks_for() {
    let script = "fn on_prompt(ctx, draft) {
        draft.messages[-1].content = `${draft.grammar ?? json_stringify(draft.json_schema)}`;
        draft.grammar = ();
        draft.json_schema = ();
        draft
    }";
    let app = start("", script).await;
    app.person("ada").await;
    let program = Program::new(&app, "ada");

    let grammar = program.ask(with(one("hi"), json!({ "grammar": "root" }))).await;
    let schema = program.ask(with(one("hi"), json!({ "json_schema": { "type": "object" } }))).await;

    assert_eq!((content(&grammar), content(&schema)), ("root", r#"{"type":"object"}"#));
}

#[tokio::test]
async fn what_is_above_the_operators_limits_is_lowered_and_said() {
    let script = "fn on_prompt(ctx, draft) { draft.params.max_tokens = 5000; draft }";
    let app =
        start("[default.generation]\nmax_tokens = 3\n[default.generation_limits]\nmax_tokens = 3\n", script)
            .await;
    let ada = app.person("ada").await;
    let program = Program::new(&app, "ada");
    let conversation = ada.new_conversation().await;
    let told = "The plugin plan set max_tokens to 5000, above the operator's limit: 3 was used.";

    let reply = ada.send(&conversation, "one two three four").await;
    let read = ada.read(&reply).await;
    let whole = program.ask(one("one two three four")).await;

    assert_eq!((read.as_str(), content(&whole)), ("one two three", "one two three"));
    assert_eq!(whole["marks"], json!([{ "source": "fireside", "text": told }]));
    assert_eq!(whole["choices"][0]["finish_reason"], Value::from("length"));
    assert!(ada.bubble(&reply).await.contains("The plugin plan set max_tokens to 5000"));
}

#[tokio::test]
async fn a_form_that_the_model_cannot_follow_is_told() {
    let app = start("", "fn on_prompt(ctx, draft) { draft.grammar = \"root\"; draft }").await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;

    let reply = ada.send(&conversation, "hello").await;
    let (_, events) = ada.follow(&reply, 0).await.rest().await;

    let failed = events.iter().find(|event| event.name == "failed").expect("a failure is told");
    assert!(failed.data.contains("grammar is not for the scripted model"), "{}", failed.data);
}

#[tokio::test]
async fn what_plugins_keep_survives_a_restart_and_is_each_persons_own() {
    let script = "fn on_message(ctx, text) {
        let count = (kv_get(\"user\", \"n\") ?? 0) + 1;
        kv_set(\"user\", \"n\", count);
        reply(`${count}`)
    }";
    let app = start("", script).await;
    let (ada, eve) = (app.person("ada").await, app.person("eve").await);
    let program = Program::new(&app, "ada");

    let first = content(&program.ask(one("hi")).await).to_owned();
    let eves = content(&Program::new(&app, "eve").ask(one("hi")).await).to_owned();
    drop((ada, eve));
    let app = app.kill_and_restart().await;
    let program = Program { url: app.url.clone(), ..program };
    let second = content(&program.ask(one("hi")).await).to_owned();

    assert_eq!([first, eves, second], ["1", "1", "2"]);
}

#[tokio::test]
async fn tokens_are_the_loaded_models() {
    let app = start("", "fn on_message(ctx, text) { reply(`${tokens(text)} ${hash(text).len()}`) }").await;
    app.person("ada").await;

    assert_eq!(content(&Program::new(&app, "ada").ask(one("one two three")).await), "3 64");
}

#[test]
fn a_limit_below_the_operators_own_parameters_stops_the_start() {
    let home = Home::new(&format!("{ECHO}[default.generation_limits]\nmax_tokens = 512\n"));

    let output = home.program().output().unwrap();

    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said,
        "fireside: Rocket.toml: [default.generation_limits] max_tokens must not be below max_tokens of [default.generation], 1024.\n"
    );
}
