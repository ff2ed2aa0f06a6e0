//! Many requests at the same time.

use std::time::Duration;

use super::*;
use crate::domain::FinishReason;

fn lines(engine: &Engine, count: usize, user: UserId) -> Vec<Generation> {
    (0..count).map(|_| send(engine, user, "a b c d e f g h", SamplingParams::default())).collect()
}

/// The next event that is not about the prompt.
async fn next_text(generation: &mut Generation) -> Event {
    loop {
        match generation.next().await {
            Event::Queued { .. } | Event::Prefill { .. } => {}
            event => return event,
        }
    }
}

async fn is_running(generation: &mut Generation) {
    while !matches!(generation.next().await, Event::Prefill { .. }) {}
}

fn one_at_a_time() -> LlmConfig {
    LlmConfig { n_parallel: 1, ..echo_config() }
}

const LONG: &str = r#"{"pieces": ["a"], "delay_ms": 60000}"#;

#[tokio::test]
async fn all_places_run_at_once_and_the_next_request_joins_when_one_leaves() {
    let engine = echo(LlmConfig { n_parallel: 3, ..echo_config() }).await;
    let endless = r#"{"pieces": ["a "], "delay_ms": 1, "repeat": 1000000}"#;
    let params = || SamplingParams { max_tokens: 100_000, ..SamplingParams::default() };
    let mut running: Vec<_> = (0..3).map(|_| send(&engine, UserId::new(), endless, params())).collect();
    let mut waits = send(&engine, UserId::new(), "b", SamplingParams::default());

    for generation in running.iter_mut().rev() {
        assert!(matches!(next_text(generation).await, Event::Text { .. }));
    }
    assert_eq!(waits.next().await, Event::Queued { position: 1, wait: None });
    drop(running.pop());

    assert_eq!(read(waits).await.0, "b");
    assert!(matches!(next_text(&mut running[0]).await, Event::Text { .. }));
}

#[tokio::test]
async fn f26_somebody_with_many_requests_does_not_make_another_wait_for_all_of_them() {
    let engine = echo(one_at_a_time()).await;
    let (ada, ben) = (UserId::new(), UserId::new());
    let mut first = send(&engine, ada, LONG, SamplingParams::default());
    is_running(&mut first).await;
    let mut of_ada = lines(&engine, 3, ada);
    let mut of_ben = lines(&engine, 1, ben);

    assert_eq!(of_ben[0].next().await, Event::Queued { position: 1, wait: None });
    assert_eq!(of_ada[2].next().await, Event::Queued { position: 4, wait: None });
}

#[tokio::test]
async fn what_nobody_waits_for_goes_last() {
    let engine = echo(one_at_a_time()).await;
    let mut first = send(&engine, UserId::new(), LONG, SamplingParams::default());
    is_running(&mut first).await;
    let prompt = engine.model().unwrap().prepare(&[says(Role::User, "a title")], 8).unwrap();
    let task = Task { priority: Priority::Background, ..SamplingParams::default().into() };
    let mut title = engine.reserve(UserId::new()).unwrap().submit(prompt, task).unwrap();
    let mut chats = lines(&engine, 2, UserId::new());

    assert_eq!(title.next().await, Event::Queued { position: 3, wait: None });
    assert_eq!(chats[1].next().await, Event::Queued { position: 2, wait: None });
}

/// A reply that nobody waits for and that does not end by itself, once it runs.
async fn background(engine: &Engine) -> Generation {
    let script = r#"{"pieces": ["t "], "delay_ms": 1, "repeat": 1000000}"#;
    let params = SamplingParams { max_tokens: 100_000, ..SamplingParams::default() };
    let prompt = engine.model().unwrap().prepare(&[says(Role::User, script)], params.max_tokens).unwrap();
    let task = Task { priority: Priority::Background, ..params.into() };
    let mut title = engine.reserve_background(UserId::new()).unwrap().submit(prompt, task).unwrap();
    assert!(matches!(next_text(&mut title).await, Event::Text { .. }));
    title
}

#[tokio::test]
async fn what_nobody_waits_for_stands_still_while_a_reply_is_written() {
    let engine = echo(LlmConfig { n_parallel: 2, ..echo_config() }).await;
    let mut title = background(&engine).await;
    let mut reply = send(&engine, UserId::new(), LONG, SamplingParams::default());
    is_running(&mut reply).await;

    // What it wrote before is still there to be read.
    let moment = Duration::from_millis(200);
    let mut reads = 0;
    while tokio::time::timeout(moment, title.next()).await.is_ok() {
        reads += 1;
        assert!(reads < 5, "it goes on");
    }
    drop(reply);

    assert!(matches!(next_text(&mut title).await, Event::Text { .. }));
}

#[tokio::test]
async fn what_nobody_waits_for_makes_room_and_counts_for_no_limit() {
    let engine = echo(LlmConfig { queue_size: 1, max_per_user: 1, ..one_at_a_time() }).await;
    let title = background(&engine).await;

    let reply = send(&engine, UserId::new(), "hello", SamplingParams::default());

    assert_eq!(read(reply).await.0, "hello");
    assert_eq!(read(title).await.1.unwrap().reason, FinishReason::Cancelled);
}

#[tokio::test]
async fn the_wait_is_told_once_a_reply_has_shown_how_long_they_take() {
    let engine = echo(one_at_a_time()).await;
    let script = r#"{"pieces": ["a ", "b ", "c "], "delay_ms": 100}"#;
    assert!(read(send(&engine, UserId::new(), script, SamplingParams::default())).await.1.is_ok());
    let mut running = send(&engine, UserId::new(), script, SamplingParams::default());
    is_running(&mut running).await;
    let mut waits: Vec<_> =
        (0..2).map(|_| send(&engine, UserId::new(), script, SamplingParams::default())).collect();

    let Event::Queued { position: 2, wait: Some(told) } = waits[1].next().await else {
        panic!("no estimate")
    };
    let waited = read(waits.remove(1)).await.1.unwrap().timings.waited;

    // Two of 0.3 seconds each; loose, since the machine may be busy.
    assert!(told > Duration::from_millis(300) && told < Duration::from_millis(1_500), "{told:?}");
    assert!(waited > told / 3, "{waited:?} after being told {told:?}");
}

#[tokio::test]
async fn a_short_prompt_passes_a_long_one_and_running_replies_go_on_meanwhile() {
    // The scripted model reads 64 words in a step, so the long prompt takes some 80 of them.
    let engine = echo(echo_config()).await;
    let params = || SamplingParams { max_tokens: 100_000, ..SamplingParams::default() };
    let mut stream = send(&engine, UserId::new(), r#"{"pieces": ["a "], "repeat": 7000}"#, params());
    assert!(matches!(next_text(&mut stream).await, Event::Text { .. }));

    let long = read(send(&engine, UserId::new(), &"word ".repeat(5_000), params()));
    let short = read(send(&engine, UserId::new(), "short", params()));
    let (long, short) = tokio::join!(long, short);

    assert_eq!(short.0, "short");
    assert_eq!(long.1.unwrap().reason, FinishReason::Length);
    assert_eq!(read(stream).await.1.unwrap().reason, FinishReason::Stop);
}

fn greedy(max_tokens: u32) -> SamplingParams {
    SamplingParams { temperature: 0.0, max_tokens, ..SamplingParams::default() }
}

const QUESTIONS: [&str; 8] = [
    "Tell me a story about a fox.",
    "What is the capital of France?",
    "Write a haiku about the sea.",
    "Count from one to twenty.",
    "Explain why the sky is blue.",
    "Give me a recipe for pancakes.",
    "Who wrote Hamlet?",
    "List five animals that can fly.",
];

/// What the model says to each question: one after another, then all at once.
async fn alone_and_together(config: LlmConfig, max_tokens: u32) -> (Vec<String>, Vec<String>) {
    let engine = Engine::start(config, EngineOptions::default()).unwrap();
    ready(&engine).await;
    let ask = |question: &&str| read(send(&engine, UserId::new(), question, greedy(max_tokens)));
    let mut alone = Vec::new();
    for question in &QUESTIONS {
        alone.push(ask(question).await.0);
    }
    let together = futures::future::join_all(QUESTIONS.iter().map(ask)).await;
    (alone, together.into_iter().map(|(reply, _)| reply).collect())
}

#[tokio::test]
async fn eight_at_once_say_word_for_word_what_each_says_alone_where_the_operator_wants_it() {
    let (alone, together) = alone_and_together(LlmConfig { deterministic: true, ..real_config() }, 24).await;

    assert_eq!(alone, together);
}

#[tokio::test]
async fn eight_at_once_answer_as_each_does_alone_but_for_the_rounding_of_llama_cpp() {
    let (alone, together) = alone_and_together(real_config(), 24).await;

    // llama.cpp computes a batch of eight with other kernels than a batch of one, so where two tokens are all but equally
    // likely another may win; from there on texts differ. A mixed-up memory would show at once, in every one.
    let starts =
        |left: &str, right: &str| left.bytes().zip(right.bytes()).take_while(|(l, r)| l == r).count();
    let same = alone.iter().zip(&together).filter(|(alone, together)| alone == together).count();
    assert!(same >= 4, "{same} of 8 are the same: {alone:#?} {together:#?}");
    for (alone, together) in alone.iter().zip(&together) {
        assert!(starts(alone, together) >= 8, "{alone:?} {together:?}");
    }
}
