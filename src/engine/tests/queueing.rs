use super::*;
use crate::domain::FinishReason;

/// A script that goes on for a minute.
const LONG: &str = r#"{"pieces": ["a"], "delay_ms": 60000}"#;

fn config(queue_size: usize, max_per_user: usize) -> LlmConfig {
    LlmConfig { queue_size, max_per_user, n_parallel: 1, ..echo_config() }
}

fn taken(engine: &Engine) -> usize {
    engine.handle.queue.taken()
}

async fn running(engine: &Engine, user: UserId) -> Generation {
    let mut generation = send(engine, user, LONG, SamplingParams::default());
    while !matches!(generation.next().await, Event::Prefill { .. }) {}
    generation
}

#[tokio::test]
async fn the_echo_says_back_what_it_was_told() {
    let engine = echo(echo_config()).await;

    let (reply, finished) =
        read(send(&engine, UserId::new(), "  Hello <b>\n you", SamplingParams::default())).await;

    assert_eq!(reply, "  Hello <b>\n you");
    let finished = finished.unwrap();
    assert_eq!((finished.reason, finished.usage.completion_tokens), (FinishReason::Stop, 3));
}

#[tokio::test]
async fn a_reader_who_pauses_gets_what_came_meanwhile_at_once_and_waits_for_no_more_than_the_end() {
    let engine = echo(echo_config()).await;
    let mut generation = send(&engine, UserId::new(), "one two three", SamplingParams::default());

    let mut events = Vec::new();
    while !matches!(events.last(), Some(Event::Finished(_))) {
        events.push(generation.next_after(std::future::pending()).await);
    }

    events.retain(|event| matches!(event, Event::Text { .. }));
    assert_eq!(events, [Event::Text { text: "one two three".into(), logprobs: Vec::new() }]);
}

#[tokio::test]
async fn scripts_split_characters_stop_strings_and_failures() {
    let engine = echo(echo_config()).await;
    let ask = |script: &str, params| read(send(&engine, UserId::new(), script, params));

    let fox =
        ask(r#"{"pieces": [[240, 159], [166, 138], " "], "repeat": 2}"#, SamplingParams::default()).await;
    let stop = SamplingParams { stop: vec!["END".into()], ..SamplingParams::default() };
    let cut = ask(r#"{"pieces": ["a E", "N", "D b"]}"#, stop).await;
    let short = ask("one two three", SamplingParams { max_tokens: 2, ..SamplingParams::default() }).await;
    let failed = ask(r#"{"pieces": ["a"], "fail": "It broke."}"#, SamplingParams::default()).await;

    assert_eq!(fox.0, "🦊 🦊 ");
    assert_eq!((cut.0.as_str(), cut.1.unwrap().reason), ("a ", FinishReason::Stop));
    assert_eq!((short.0.as_str(), short.1.unwrap().reason), ("one two", FinishReason::Length));
    assert_eq!(failed, ("a".into(), Err("It broke.".into())));
}

#[tokio::test]
async fn a_place_beside_one_that_is_held_is_never_refused_and_frees_itself() {
    let engine = echo(config(1, 1)).await;
    let ada = UserId::new();
    let held = engine.reserve(ada).unwrap();

    let beside = engine.reserve_beside(ada).unwrap();
    let prompt = beside.model().prepare(&[says(Role::User, "aside")], 100).unwrap();
    let (said, _) = read(beside.submit(prompt, SamplingParams::default()).unwrap()).await;

    assert_eq!((said.as_str(), taken(&engine)), ("aside", 1));
    drop(held);
    assert_eq!(taken(&engine), 0);
    engine.shutdown();
    assert!(engine.reserve_beside(ada).is_err());
}

#[tokio::test]
async fn a_full_queue_and_a_busy_person_are_refused_until_a_place_is_free() {
    let engine = echo(config(2, 1)).await;
    let ada = UserId::new();
    let place = engine.reserve(ada).unwrap();

    assert_eq!(engine.reserve(ada).err(), Some(EngineError::UserLimit { max: 1 }));
    let _other = engine.reserve(UserId::new()).unwrap();
    assert_eq!(engine.reserve(UserId::new()).err(), Some(EngineError::QueueFull { size: 2 }));
    drop(place);
    assert!(engine.reserve(ada).is_ok());
}

#[tokio::test]
async fn f27_those_who_wait_see_their_place_change_and_a_cancelled_one_leaves_at_once() {
    let engine = echo(config(8, 4)).await;
    let first = running(&engine, UserId::new()).await;
    let second = send(&engine, UserId::new(), "b", SamplingParams::default());
    let mut third = send(&engine, UserId::new(), "c", SamplingParams::default());
    assert_eq!(third.next().await, Event::Queued { position: 2, wait: None });

    second.cancel();
    assert_eq!(third.next().await, Event::Queued { position: 1, wait: None });
    assert_eq!(read(second).await.1.unwrap().reason, FinishReason::Cancelled);
    drop(first);

    assert_eq!(read(third).await.0, "c");
}

#[tokio::test]
async fn a_cancelled_reply_ends_during_a_pause_and_its_place_is_free_when_its_reader_knows() {
    let engine = echo(echo_config()).await;
    let generation = running(&engine, UserId::new()).await;

    generation.cancel();

    assert_eq!(read(generation).await.1.unwrap().reason, FinishReason::Cancelled);
    assert_eq!(taken(&engine), 0);
}

#[tokio::test]
async fn s30_numbers_are_checked_before_they_reach_the_model() {
    let engine = echo(echo_config()).await;
    let prompt = engine.model().unwrap().prepare(&[says(Role::User, "Hi")], 8).unwrap();
    let params = SamplingParams { top_p: f32::NAN, ..SamplingParams::default() };

    let error = engine.reserve(UserId::new()).unwrap().submit(prompt, params).err().unwrap();

    assert_eq!(error.to_string(), "top_p must be from 0 to 1, not NaN.");
    assert_eq!(taken(&engine), 0);
}
