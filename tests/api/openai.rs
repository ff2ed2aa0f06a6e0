//! The OpenAI-compatible API, as programs use it.

use std::time::{Duration, Instant};

use futures::StreamExt;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::support::program::{Program, Said, content, one, with};
use crate::support::{ECHO, PATIENCE, TestApp};

/// A request for a reply that takes minutes, so that only cancelling it frees its place in time.
pub(super) fn endless() -> Value {
    let script = json!({ "pieces": ["word "], "repeat": 1_000_000, "delay_ms": 30 });
    with(one(&script.to_string()), json!({ "max_tokens": 8_000 }))
}

/// Waits until there is a place for this program.
pub(super) async fn until_free(program: &Program) {
    let start = Instant::now();
    while program.post(&one("hi")).await.status() != 200 {
        assert!(start.elapsed() < PATIENCE, "the place was never freed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn start(toml: &str) -> (TestApp, Program) {
    let app = TestApp::start(toml).await;
    app.person("ada").await;
    let program = Program::new(&app, "ada");
    (app, program)
}

#[tokio::test]
async fn a_stream_and_a_whole_answer_say_the_same_and_count_the_same() {
    let (_app, program) = start(ECHO).await;
    let request = one("Hello \"big\"\nworld é🦊");

    let whole = program.ask(request.clone()).await;
    let plain = program.stream(request.clone()).await;
    let said = program.stream(with(request, json!({ "stream_options": { "include_usage": true } }))).await;

    assert_eq!(content(&whole), "Hello \"big\"\nworld é🦊");
    assert_eq!(whole["object"], "chat.completion");
    assert_eq!(whole["choices"][0]["message"]["role"], "assistant");
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    assert_eq!(whole["model"], "echo");
    for stream in [&plain, &said] {
        assert_eq!(stream.text, content(&whole));
        assert!(stream.done);
        assert_eq!(stream.chunks[0]["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
        assert!(stream.chunks.iter().all(|chunk| chunk["object"] == "chat.completion.chunk"));
        assert!(stream.chunks.iter().all(|chunk| chunk["id"] == stream.chunks[0]["id"]));
    }
    assert_eq!(plain.last()["choices"][0]["finish_reason"], "stop");
    assert!(plain.last()["usage"].is_null() && plain.last()["timings"]["predicted_n"] == 4);
    // The operator's prompt of 5 words, "system:", "user:", 4 words of the message, "assistant:".
    let usage = json!({
        "prompt_tokens": 12, "completion_tokens": 4, "total_tokens": 16,
        "prompt_tokens_details": { "cached_tokens": 0 },
    });
    assert_eq!((&whole["usage"], &said.last()["usage"]), (&usage, &usage));
    assert_eq!(said.last()["choices"], json!([]));
    for field in ["cache_n", "prompt_n", "prompt_ms", "predicted_n", "predicted_ms"] {
        assert!(whole["timings"][field].is_number() && said.last()["timings"][field].is_number(), "{field}");
    }
}

#[tokio::test]
async fn f12_a_reply_ends_at_its_limit_and_at_its_stop_strings() {
    let (_app, program) = start(ECHO).await;
    let ask = async |fields| program.ask(with(one("one two three four"), fields)).await;
    let said = |answer: &Value| (content(answer).to_owned(), answer["choices"][0]["finish_reason"].clone());

    let limits = [
        json!({ "max_tokens": 2 }),
        json!({ "max_completion_tokens": 2, "max_tokens": 3 }),
        json!({ "n_predict": 2, "max_tokens": null }),
    ];
    for fields in limits {
        assert_eq!(said(&ask(fields).await), ("one two".into(), "length".into()));
    }
    for stop in [json!(" three"), json!(["nothing", " three"])] {
        assert_eq!(said(&ask(json!({ "stop": stop })).await), ("one two".into(), "stop".into()));
    }
}

#[tokio::test]
async fn messages_come_as_texts_and_as_parts_and_with_the_operators_prompt() {
    let (app, program) = start(&format!("{ECHO}[default.chat]\nsystem_prompt = \"Be kind.\"\n")).await;
    let show = "fn on_prompt(ctx, draft) { draft.messages[draft.messages.len() - 1].content = \
                `${ctx.source} ${ctx.user} ${ctx.conversation} ` + draft.messages.map(|m| `${m.role}=${m.content}`).to_string(); draft }";
    app.home.write("plugins/show.rhai", show);
    let parts = json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }]);

    let without = program.ask(json!({ "messages": [{ "role": "user", "content": parts }] })).await;
    let own = json!([{ "role": "developer", "content": "Be brief." }, { "role": "user", "content": "hi" }]);
    let own = program.ask(json!({ "messages": own })).await;

    assert_eq!(content(&without), r#"api ada  ["system=Be kind.", "user=a\nb"]"#);
    assert_eq!(content(&own), r#"api ada  ["system=Be brief.", "user=hi"]"#);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_name_and_what_nobody_knows_is_ignored() {
    let (_app, program) = start(ECHO).await;
    let picture =
        json!([{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "x" } }] }]);
    let tool = json!([{ "role": "user", "content": "hi" }, { "role": "tool", "content": "42" }]);
    let refused = [
        (json!({ "tools": [{ "type": "function" }] }), "tools"),
        (json!({ "n": 2 }), "n"),
        (json!({ "messages": picture }), "messages[0].content"),
        (json!({ "messages": tool }), "messages[1]"),
        (json!({ "messages": [] }), "messages"),
        (json!({ "messages": [{ "role": "king", "content": "hi" }] }), "messages[0].role"),
        (json!({ "messages": [{ "role": "user", "content": "a\0b" }] }), "messages[0].content"),
        (json!({ "messages": [{ "role": "user", "content": null }] }), "messages[0].content"),
        (json!({ "messages": "hi" }), "messages"),
        (json!({ "temperature": 9 }), "temperature"),
        (json!({ "temperature": "hot" }), "temperature"),
        (json!({ "top_k": 1.5 }), "top_k"),
        (json!({ "max_tokens": 0 }), "max_tokens"),
        (json!({ "max_completion_tokens": -5 }), "max_tokens"),
        (json!({ "seed": -7 }), "seed"),
        (json!({ "logit_bias": { "word": 1 } }), "logit_bias"),
        (json!({ "stop": [""] }), "stop"),
        (json!({ "stream": "yes" }), "stream"),
        (json!({ "response_format": { "type": "json_object" } }), "json_schema"),
        (json!({ "response_format": { "type": "poem" } }), "response_format"),
        (json!({ "grammar": "root ::= \"x\"" }), "grammar"),
        (json!({ "grammar": "(".repeat(100) }), "grammar"),
        (json!({ "json_schema": {} }), "json_schema"),
        (json!({ "logprobs": 3 }), "logprobs"),
        (json!({ "top_logprobs": 3 }), "top_logprobs"),
        (json!({ "logprobs": true, "top_logprobs": 21 }), "top_logprobs"),
    ];
    for (fields, param) in refused {
        for stream in [false, true] {
            let request = with(with(one("hi"), json!({ "stream": stream })), fields.clone());
            let (status, answer) = program.try_ask(request).await;

            assert_eq!(
                (status, answer["error"]["param"].as_str()),
                (StatusCode::BAD_REQUEST, Some(param)),
                "{fields}: {answer}"
            );
            assert_eq!(answer["error"]["type"], "invalid_request_error", "{fields}");
            assert!(answer["error"]["message"].as_str().unwrap().ends_with('.'), "{answer}");
        }
    }
    let harmless = json!({
        "user": "u-1", "metadata": { "a": "b" }, "store": false, "n": 1, "tools": [], "logprobs": false, "seed": 4294967295_u32,
        "response_format": { "type": "text" }, "modalities": ["text"], "top_p": null, "cache_prompt": true, "dynatemp_range": 0,
        "grammar": "", "min_p": 0.1, "typical_p": 0.9, "repeat_penalty": 1.1, "repeat_last_n": 32, "dry_multiplier": 0.5,
        "xtc_probability": 0.1, "mirostat": 0, "mirostat_tau": 5, "presence_penalty": 1, "logit_bias": { "5": -100 },
    });
    assert_eq!(content(&program.ask(with(one("hi"), harmless)).await), "hi");
}

#[tokio::test]
async fn every_failure_has_openais_shape() {
    let (_app, program) = start("[default.llm]\nbackend = \"echo\"\nn_ctx = 256\n").await;
    let completions = || program.request(Method::POST, "/v1/chat/completions");
    let get = |path| program.request(Method::GET, path);
    let nobody = Client::new();
    let url = |path| format!("{}{path}", program.url);
    let long = one(&"word ".repeat(400));
    let rows = [
        (nobody.get(url("/v1/models")), 401, json!("invalid_api_key")),
        (nobody.get(url("/v1/models")).bearer_auth("fs-guessed"), 401, json!("invalid_api_key")),
        (nobody.get(url("/v1/models")).basic_auth("ada", Some("x")), 401, json!("invalid_api_key")),
        (completions().body("{"), 400, Value::Null),
        (completions().body("[]"), 400, Value::Null),
        (completions().body(vec![0xff]), 400, Value::Null),
        (completions().json(&with(one("hi"), json!({ "model": "gpt-4" }))), 404, json!("model_not_found")),
        (completions().json(&long), 400, json!("context_length_exceeded")),
        (completions().body("x".repeat(2 << 20)), 413, json!("request_too_large")),
        (get("/v1/models/gpt-4"), 404, json!("model_not_found")),
        (get("/v1/nothing"), 404, json!("not_found")),
        (get("/v1/chat/completions"), 404, json!("not_found")),
    ];
    for (request, status, code) in rows {
        let shown = format!("{request:?}");
        let answer = request.send().await.unwrap();

        assert_eq!(answer.status(), status, "{shown}");
        assert_eq!(answer.headers()["content-type"], "application/json", "{shown}");
        assert_eq!(answer.headers().contains_key("www-authenticate"), status == 401, "{shown}");
        let error = answer.json::<Value>().await.unwrap()["error"].clone();
        assert_eq!((&error["code"], &error["type"]), (&code, &json!("invalid_request_error")), "{shown}");
        assert!(!error["message"].as_str().unwrap().is_empty() && error.get("param").is_some(), "{error}");
    }
}

#[tokio::test]
async fn a_full_queue_and_a_greedy_person_are_told_when_to_come_back() {
    let (app, ada) = start("[default.llm]\nbackend = \"echo\"\nqueue_size = 2\nmax_per_user = 1\n").await;
    for name in ["bob", "eve"] {
        app.person(name).await;
    }
    let (bob, eve) = (Program::new(&app, "bob"), Program::new(&app, "eve"));
    let request = with(endless(), json!({ "stream": true }));
    let adas = ada.post(&request).await;
    let bobs = bob.post(&request).await;

    let again = ada.post(&one("hi")).await;
    let full = eve.post(&one("hi")).await;

    assert_eq!((adas.status(), bobs.status()), (StatusCode::OK, StatusCode::OK));
    for (refused, status, code) in [(again, 429, "rate_limit_exceeded"), (full, 503, "queue_full")] {
        assert_eq!(refused.status(), status);
        assert!(refused.headers().contains_key("retry-after"));
        assert_eq!(refused.json::<Value>().await.unwrap()["error"]["code"], code);
    }
    // Who hangs up frees the place, also in the middle of a reply and while waiting.
    drop((adas, bobs));
    until_free(&eve).await;
    assert_eq!(content(&ada.ask(one("me again")).await), "me again");
}

#[tokio::test]
async fn who_waits_gets_signs_of_life_and_the_server_leaves_at_once() {
    let (app, program) = start("[default.llm]\nbackend = \"echo\"\n").await;
    let silent = json!({ "pieces": ["late"], "delay_ms": 60_000 }).to_string();
    let mut bytes = program.post(&with(one(&silent), json!({ "stream": true }))).await.bytes_stream();
    let mut seen = String::new();
    while !seen.contains("\n\n: \n\n") {
        seen.push_str(std::str::from_utf8(&bytes.next().await.unwrap().unwrap()).unwrap());
    }

    let (status, took, _home) = tokio::task::spawn_blocking(move || app.terminate()).await.unwrap();
    while let Some(Ok(more)) = bytes.next().await {
        seen.push_str(std::str::from_utf8(&more).unwrap());
    }

    assert!(status.success() && took.as_secs() < 3, "{status} after {took:?}");
    assert!(
        seen.contains("event: error\n") && seen.contains("\"stopping\"") && !seen.contains("[DONE]"),
        "{seen}"
    );
}

#[tokio::test]
async fn who_waits_for_a_whole_answer_and_leaves_frees_the_place_too() {
    let (_app, program) =
        start("[default.llm]\nbackend = \"echo\"\nqueue_size = 1\nmax_per_user = 1\n").await;
    let slow = json!({ "pieces": ["slow "], "repeat": 8, "delay_ms": 800 }).to_string();

    let late = program.ask(one(&slow)).await;
    let impatient = program.client.post(format!("{}/v1/chat/completions", program.url));
    let impatient = impatient.bearer_auth(&program.key).json(&endless()).timeout(Duration::from_secs(1));
    let gave_up = impatient.send().await;
    until_free(&program).await;

    assert_eq!(content(&late), "slow ".repeat(8));
    assert!(gave_up.is_err());
}

#[tokio::test]
async fn what_breaks_in_the_middle_is_an_error_event_and_no_end() {
    let (_app, program) = start(ECHO).await;
    let script = json!({ "pieces": ["half "], "fail": "The wood was wet." }).to_string();

    let said = program.stream(one(&script)).await;
    let (status, whole) = program.try_ask(one(&script)).await;

    assert_eq!((said.text.as_str(), said.done), ("half ", false));
    let error = said.error.unwrap();
    assert_eq!((&error["message"], &error["type"]), (&json!("The wood was wet."), &json!("server_error")));
    assert_eq!((status.as_u16(), &whole["error"]), (503, &error));
}

#[tokio::test]
async fn two_streams_run_at_once_and_end_whole() {
    let (app, ada) = start(ECHO).await;
    app.person("bob").await;
    let bob = Program::new(&app, "bob");
    let script = |word: &str| json!({ "pieces": [word], "repeat": 50, "delay_ms": 2 }).to_string();

    let (first, second) = tokio::join!(ada.stream(one(&script("tick "))), bob.stream(one(&script("tock "))));

    assert_eq!((first.text, second.text), ("tick ".repeat(50), "tock ".repeat(50)));
    assert!(first.done && second.done);
}

#[tokio::test]
async fn every_event_comes_in_one_piece() {
    let (_app, program) = start(ECHO).await;
    let script = json!({ "pieces": ["words and words "], "repeat": 200, "delay_ms": 1 }).to_string();

    let mut chunks = program.post(&with(one(&script), json!({ "stream": true }))).await.bytes_stream();
    let mut all = String::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = String::from_utf8(chunk.unwrap().to_vec()).unwrap();
        assert!(chunk.ends_with('\n'), "cut: {chunk:?}");
        all.push_str(&chunk);
    }

    let said = Said::parse(&all);
    assert_eq!((said.text, said.done), ("words and words ".repeat(200), true));
}

#[tokio::test]
async fn the_model_is_listed_and_found_by_its_name() {
    let (_app, program) = start(ECHO).await;
    let get = async |path: &str| {
        program.request(Method::GET, path).send().await.unwrap().json::<Value>().await.unwrap()
    };

    let list = get("/v1/models").await;
    let one_model = get("/v1/models/echo").await;
    let named = program.ask(with(one("hi"), json!({ "model": "echo" }))).await;

    assert_eq!((&list["object"], &list["data"][0]["id"]), (&json!("list"), &json!("echo")));
    assert_eq!((&one_model["object"], &one_model["id"]), (&json!("model"), &json!("echo")));
    assert_eq!(content(&named), "hi");
}
