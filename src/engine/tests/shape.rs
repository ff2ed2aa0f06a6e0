//! Replies of a given form, and how likely their tokens were.

use super::*;
use crate::domain::FinishReason;

async fn ask(question: &str, task: Task) -> Result<(String, Vec<TokenLogprob>, Finished), EngineError> {
    let engine = real().await;
    let prompt = engine.model()?.prepare(&[says(Role::User, question)], 64)?;
    let mut generation = engine.reserve(UserId::new())?.submit(prompt, task)?;
    let (mut reply, mut tokens) = (String::new(), Vec::new());
    loop {
        match generation.next().await {
            Event::Text { text, logprobs } => {
                reply += &text;
                tokens.extend(logprobs);
            }
            Event::Finished(finished) => return Ok((reply, tokens, finished)),
            Event::Failed(sentence) => return Err(EngineError::Failed(sentence)),
            Event::Queued { .. } | Event::Prefill { .. } => {}
        }
    }
}

fn task(max_tokens: u32) -> Task {
    SamplingParams { temperature: 0.0, max_tokens, ..SamplingParams::default() }.into()
}

#[tokio::test]
async fn a_grammar_decides_what_can_be_said_also_at_a_high_temperature() {
    let grammar = Some(Grammar::Rules(r#"root ::= ("yes" | "no") "!""#.into()));
    for seed in 1..6 {
        let params = SamplingParams {
            temperature: 3.0,
            top_k: 0,
            min_p: 0.0,
            top_p: 1.0,
            seed,
            ..SamplingParams::default()
        };
        let task = Task { grammar: grammar.clone(), ..params.into() };

        let (reply, _, finished) = ask("Is the sky green?", task).await.unwrap();

        assert!(["yes!", "no!"].contains(&reply.as_str()), "{reply:?}");
        assert_eq!(finished.reason, FinishReason::Stop);
    }
}

#[tokio::test]
async fn a_schema_brings_json_that_it_describes() {
    let schema = r#"{"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "legs": {"type": "integer"}},
        "required": ["name", "legs"]}"#;
    let task = Task { grammar: Some(Grammar::JsonSchema(schema.into())), ..task(100) };

    let (reply, ..) = ask("Describe a dog as JSON.", task).await.unwrap();

    let value: serde_json::Value =
        serde_json::from_str(&reply).unwrap_or_else(|error| panic!("{error}: {reply}"));
    assert!(value["name"].is_string() && value["legs"].is_i64(), "{value}");
}

#[tokio::test]
async fn a_broken_grammar_or_schema_is_refused_before_it_is_queued() {
    let broken = [
        (Grammar::Rules("root ::= (".into()), "grammar is no grammar"),
        (Grammar::Rules("other ::= \"a\"".into()), "grammar is no grammar"),
        (Grammar::Rules("root ::= root \"a\"".into()), "grammar is no grammar"),
        (Grammar::Rules("root ::= \"a\"{100000}".into()), "grammar is no grammar"),
        (Grammar::JsonSchema("{".into()), "json_schema is no JSON schema"),
        (Grammar::JsonSchema(r#"{"type": "nonsense"}"#.into()), "json_schema is no JSON schema"),
    ];
    for (grammar, sentence) in broken {
        let error = ask("Hi", Task { grammar: Some(grammar.clone()), ..task(8) }).await.unwrap_err();

        assert!(matches!(&error, EngineError::Parameter(_)), "{grammar:?}: {error:?}");
        assert!(error.to_string().starts_with(sentence), "{error}");
    }
    assert_eq!(real().await.handle.queue.taken(), 0);
}

#[tokio::test]
async fn each_token_comes_with_its_probability_and_those_of_the_likeliest() {
    let (reply, tokens, finished) =
        ask("What is the capital of France?", Task { logprobs: Some(5), ..task(12) }).await.unwrap();

    let spelled: Vec<u8> = tokens.iter().flat_map(|token| token.token.bytes.clone()).collect();
    assert_eq!(spelled, reply.as_bytes());
    assert_eq!(tokens.len(), finished.usage.completion_tokens as usize);
    for token in &tokens {
        // Greedy: the chosen one is the likeliest.
        assert_eq!(token.token, token.top[0]);
        assert_eq!(token.top.len(), 5);
        assert!(token.top.is_sorted_by(|left, right| left.logprob >= right.logprob));
        assert!(token.top.iter().map(|token| token.logprob.exp()).sum::<f32>() <= 1.001);
    }
}

#[tokio::test]
async fn a_reply_that_was_begun_is_continued() {
    let model = real().await.model().unwrap();
    let messages = [
        says(Role::User, "What is the capital of France?"),
        says(Role::Assistant, "The capital of France is"),
    ];
    let prompt = model.prepare(&messages, 8).unwrap();

    let (reply, _) =
        read(real().await.reserve(UserId::new()).unwrap().submit(prompt, task(6)).unwrap()).await;

    assert!(reply.starts_with(" Paris"), "{reply:?}");
}
