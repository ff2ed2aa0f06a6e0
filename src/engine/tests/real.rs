use super::*;
use crate::domain::FinishReason;

fn greedy(max_tokens: u32) -> SamplingParams {
    SamplingParams { temperature: 0.0, max_tokens, ..SamplingParams::default() }
}

#[tokio::test]
async fn a_real_model_answers() {
    let engine = real().await;
    let model = engine.model().unwrap();

    let (reply, finished) =
        read(send(&engine, UserId::new(), "Write a haiku about the sea.", greedy(60))).await;

    assert!(reply.contains("ocean") || reply.contains("sea"), "{reply}");
    let finished = finished.unwrap();
    assert_eq!(finished.reason, FinishReason::Stop);
    let ids = finished.token_ids.unwrap();
    assert_eq!(model.prompts.tokenizer.spell(&ids).unwrap(), reply.as_bytes());
    assert_eq!(finished.usage.completion_tokens as usize, ids.len());
    assert_eq!((model.n_ctx, model.n_ctx_train), (2048, 8192));
}

#[tokio::test]
async fn the_next_turn_reads_only_what_is_new_and_never_anothers_memory() {
    // An engine of its own, for another test's request would take the memory.
    let (engine, user) = (Engine::start(real_config(), EngineOptions::default()).unwrap(), UserId::new());
    let model = ready(&engine).await;
    let mut talk = vec![says(Role::User, &"Count from one to nine. ".repeat(30))];
    let ask = |user, talk: &[PromptMessage]| {
        let prompt = model.prepare(talk, 16).unwrap();
        read(engine.reserve(user).unwrap().submit(prompt, greedy(16)).unwrap())
    };

    let (reply, first) = ask(user, &talk).await;
    talk.push(PromptMessage { token_ids: first.unwrap().token_ids, ..says(Role::Assistant, &reply) });
    talk.push(says(Role::User, "And now backwards."));
    let next = ask(user, &talk).await.1.unwrap();
    let anothers = ask(UserId::new(), &talk).await.1.unwrap();

    assert!(next.timings.reused_tokens + 2 * 64 > next.usage.prompt_tokens, "{next:?}");
    // The operator's beginning is everybody's.
    assert_eq!(anothers.timings.reused_tokens as usize, model.shared.len());
    assert!(model.shared.len() < 64);
}

#[tokio::test]
async fn f04_cancelling_takes_effect_in_the_middle_of_a_long_prompt() {
    let (engine, user) = (real().await, UserId::new());
    let mut generation = send(&engine, user, &"a long way to go ".repeat(380), greedy(16));
    let (mut read_so_far, total) = loop {
        if let Event::Prefill { done, total } = generation.next().await {
            break (done, total);
        }
    };

    generation.cancel();

    let finished = loop {
        match generation.next().await {
            Event::Prefill { done, .. } => read_so_far = done,
            Event::Finished(finished) => break finished,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((finished.reason, finished.usage.completion_tokens), (FinishReason::Cancelled, 0));
    assert!(read_so_far < total / 2, "{read_so_far} of {total} tokens were read");
    assert!(read(send(&engine, user, "Hi", greedy(4))).await.1.is_ok());
}

#[tokio::test]
async fn a_full_context_ends_with_length() {
    let engine = Engine::start(LlmConfig { n_ctx: 256, ..real_config() }, EngineOptions::default()).unwrap();
    let model = ready(&engine).await;
    let prompt = model.prepare(&[says(Role::User, &"word ".repeat(150))], 1000).unwrap();
    // Without the tokens that end a turn.
    let bans = ["0", "2"].map(|token| (token.to_owned(), -100.0));
    let params = SamplingParams { logit_bias: bans.into(), ..greedy(1000) };
    let tokens = prompt.token_count();

    let (_, finished) = read(engine.reserve(UserId::new()).unwrap().submit(prompt, params).unwrap()).await;

    let finished = finished.unwrap();
    assert_eq!(finished.reason, FinishReason::Length);
    assert_eq!(finished.usage.completion_tokens as usize, 256 - tokens + 1);
}

#[tokio::test]
async fn a_message_longer_than_the_context_is_refused_with_both_counts() {
    let model = real().await.model().unwrap();

    let error = model.prepare(&[says(Role::User, &"word ".repeat(3000))], 512).unwrap_err();

    assert!(matches!(error, EngineError::TooLong { tokens: 3000.., limit: 1984 }), "{error:?}");
}
