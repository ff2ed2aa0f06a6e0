use proptest::prelude::*;

use super::*;
use crate::domain::FinishReason;

/// A script that goes on for a minute.
const LONG: &str = r#"{"pieces": ["a"], "delay_ms": 60000}"#;

fn config(queue_size: usize, max_per_user: usize) -> LlmConfig {
    LlmConfig { queue_size, max_per_user, ..echo_config() }
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
async fn those_who_wait_see_their_place_change_and_a_cancelled_one_leaves_at_once() {
    let engine = echo(echo_config()).await;
    let first = running(&engine, UserId::new()).await;
    let second = send(&engine, UserId::new(), "b", SamplingParams::default());
    let mut third = send(&engine, UserId::new(), "c", SamplingParams::default());
    assert_eq!(third.next().await, Event::Queued { position: 2 });

    second.cancel();
    assert_eq!(third.next().await, Event::Queued { position: 1 });
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
async fn numbers_are_checked_before_they_reach_the_model() {
    let engine = echo(echo_config()).await;
    let prompt = engine.model().unwrap().prepare(&[says(Role::User, "Hi")], 8).unwrap();
    let params = SamplingParams { top_p: f32::NAN, ..SamplingParams::default() };

    let error = engine.reserve(UserId::new()).unwrap().submit(prompt, params).err().unwrap();

    assert_eq!(error.to_string(), "top_p must be from 0 to 1, not NaN.");
    assert_eq!(taken(&engine), 0);
}

#[derive(Debug, Clone)]
enum Act {
    Reserve(usize),
    Submit,
    Cancel(usize),
    Drop(usize),
    GiveBack,
    Read(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..3usize).prop_map(Act::Reserve),
        3 => Just(Act::Submit),
        1 => (0..8usize).prop_map(Act::Cancel),
        1 => (0..8usize).prop_map(Act::Drop),
        1 => Just(Act::GiveBack),
        1 => (0..8usize).prop_map(Act::Read),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_no_place_leaks_and_every_reply_ends(acts in prop::collection::vec(act(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let engine = echo(config(5, 3)).await;
            let users = [UserId::new(), UserId::new(), UserId::new()];
            let prompt = engine.model().unwrap().prepare(&[says(Role::User, "a b c")], 8).unwrap();
            let (mut places, mut generations) = (Vec::new(), Vec::new());
            for act in acts {
                match act {
                    Act::Reserve(user) => places.extend(engine.reserve(users[user])),
                    Act::Submit => generations.extend(
                        places.pop().map(|place| place.submit(prompt.clone(), SamplingParams::default()).unwrap()),
                    ),
                    Act::Cancel(at) => if let Some(generation) = generations.get(at) { generation.cancel() },
                    Act::Drop(at) => if at < generations.len() { drop(generations.remove(at)) },
                    Act::GiveBack => drop(places.pop()),
                    Act::Read(at) => if at < generations.len() {
                        assert!(read(generations.remove(at)).await.1.is_ok());
                    },
                }
                assert!(taken(&engine) <= 5 && taken(&engine) >= places.len());
            }
            drop(places);
            for generation in generations {
                assert!(read(generation).await.1.is_ok());
            }
            engine.shutdown();
            assert!(engine.stopped(Duration::from_secs(30)).await);
            assert_eq!(taken(&engine), 0);
        });
    }
}
