//! The API over a real GGUF model.

use serde_json::{Value, json};

use crate::support::program::{Program, content, one, with};
use crate::support::{TestApp, real_model};

async fn start() -> (TestApp, Program) {
    let model = real_model().canonicalize().unwrap();
    let app = TestApp::start(&format!("[default.llm]\nmodel = {model:?}\nn_ctx = 2048\n")).await;
    app.person("ada").await;
    let program = Program::new(&app, "ada");
    (app, program)
}

#[tokio::test]
async fn a_seed_repeats_a_reply_streamed_or_whole_and_tokens_are_counted() {
    let (_app, program) = start().await;
    let fields = json!({ "seed": 7, "temperature": 1.0, "max_tokens": 30, "stream_options": { "include_usage": true } });
    let request = with(one("Tell me a story about a lighthouse."), fields);

    let whole = program.ask(request.clone()).await;
    let stream = program.stream(request).await;

    assert!(content(&whole).len() > 40, "{whole}");
    assert_eq!(stream.text, content(&whole));
    assert_eq!(whole["choices"][0]["finish_reason"], "length");
    for usage in [&whole["usage"], &stream.last()["usage"]] {
        assert_eq!(usage["completion_tokens"], 30);
        let prompt = usage["prompt_tokens"].as_u64().unwrap();
        assert!((20..60).contains(&prompt) && usage["total_tokens"] == prompt + 30, "{usage}");
    }
    let timings = &whole["timings"];
    assert_eq!(
        timings["cache_n"].as_u64().unwrap() + timings["prompt_n"].as_u64().unwrap(),
        whole["usage"]["prompt_tokens"]
    );
    assert!(timings["prompt_ms"].as_f64().unwrap() > 0.0 && timings["predicted_ms"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn a_reply_goes_on_where_the_assistant_left_off_and_past_its_end_if_asked() {
    let (_app, program) = start().await;
    let greedy = json!({ "temperature": 0, "max_tokens": 24 });
    let capital = "What is the capital of France? Answer in one word.";
    let prefill = json!({ "messages": [
        { "role": "user", "content": "Count from one to five in words." },
        { "role": "assistant", "content": "one, two, three," },
    ] });

    let short = program.ask(with(one(capital), greedy.clone())).await;
    let measured = program.ask(with(one(capital), with(greedy.clone(), json!({ "ignore_eos": true })))).await;
    let continued = program.ask(with(prefill, greedy)).await;

    let reason = |answer: &Value| answer["choices"][0]["finish_reason"].clone();
    assert!(content(&short).contains("Paris") && reason(&short) == "stop", "{short}");
    assert!(content(&measured).starts_with(content(&short)), "{measured}");
    assert_eq!((&measured["usage"]["completion_tokens"], reason(&measured)), (&json!(24), json!("length")));
    assert!(content(&continued).trim_start().starts_with("four"), "{continued}");
}

#[tokio::test]
async fn a_reply_has_the_form_that_was_asked_for() {
    let (_app, program) = start().await;
    let schema =
        json!({ "type": "object", "properties": { "legs": { "type": "integer" } }, "required": ["legs"] });
    let format =
        json!({ "type": "json_schema", "json_schema": { "name": "animal", "schema": schema.clone() } });
    let ask = |fields| {
        program.ask(with(with(one("How many legs has a dog?"), json!({ "temperature": 0 })), fields))
    };

    let by_schema = ask(json!({ "response_format": format })).await;
    let by_grammar = ask(json!({ "grammar": "root ::= [0-9] \" legs\"" })).await;
    let by_regex = ask(json!({ "guided_regex": "[0-9]/[a-z]{2}" })).await;
    let by_choice = ask(json!({ "structured_outputs": { "choice": ["four", "\"4\""] } })).await;
    let cut = ask(json!({ "guided_json": schema, "max_tokens": 2 })).await;

    let value: Value = serde_json::from_str(content(&by_schema)).unwrap_or_else(|_| panic!("{by_schema}"));
    assert!(value["legs"].is_i64(), "{value}");
    assert!(content(&by_regex).len() == 4 && content(&by_regex).contains('/'), "{by_regex}");
    assert!(["four", "\"4\""].contains(&content(&by_choice)), "{by_choice}");
    assert_eq!(cut["choices"][0]["finish_reason"], "length", "{cut}");
    assert!(content(&by_grammar).ends_with(" legs") && content(&by_grammar).len() == 6, "{by_grammar}");
}

#[tokio::test]
async fn tokens_come_with_their_probabilities_streamed_or_whole() {
    let (_app, program) = start().await;
    let fields = json!({ "temperature": 0, "max_tokens": 8, "logprobs": true, "top_logprobs": 2 });
    let request = with(one("What is the capital of France?"), fields);

    let whole = program.ask(request.clone()).await;
    let stream = program.stream(request).await;

    let tokens = whole["choices"][0]["logprobs"]["content"].as_array().unwrap();
    let spelled: String = tokens.iter().map(|token| token["token"].as_str().unwrap()).collect();
    assert_eq!(spelled, content(&whole));
    assert!(tokens.iter().all(|token| token["top_logprobs"].as_array().unwrap().len() == 2), "{whole}");
    assert!(tokens.iter().all(|token| token["logprob"].as_f64().unwrap() <= 0.0), "{whole}");
    let streamed =
        stream.chunks.iter().filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array());
    assert_eq!(streamed.flatten().count(), tokens.len());
}
