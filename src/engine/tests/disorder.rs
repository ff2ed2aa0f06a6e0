//! Whatever happens in whatever order: no place leaks, no text is wrong, nothing stands still.

use futures::FutureExt;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;
use crate::domain::FinishReason;

/// Longest time until a reply is over that nobody disturbs; a stall shows as more.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
enum Act {
    Reserve(usize),
    Submit(usize),
    Cancel(usize),
    Disconnect(usize),
    GiveBack,
    Glance(usize),
    Read(usize),
    Forget(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..4usize).prop_map(Act::Reserve),
        5 => (0..6usize).prop_map(Act::Submit),
        1 => (0..8usize).prop_map(Act::Cancel),
        1 => (0..8usize).prop_map(Act::Disconnect),
        1 => Just(Act::GiveBack),
        2 => (0..8usize).prop_map(Act::Glance),
        2 => (0..8usize).prop_map(Act::Read),
        1 => (0..4usize).prop_map(Act::Forget),
    ]
}

/// A request, and what its reply must be.
struct Request {
    prompt: Prompt,
    task: Task,
    reply: Expected,
}

#[derive(Debug, Clone)]
enum Expected {
    /// Exactly this, unless it is cancelled: then the beginning of it.
    Text(String),
    /// This and then whatever, unless it is cancelled.
    Beginning(String),
    /// The text, then a failure.
    Failure(String),
}

/// Runs the acts against an engine whose requests `make` makes; returns what was wrong with which text, and how many
/// replies were read.
async fn play(
    engine: &Engine,
    acts: Vec<Act>,
    make: &dyn Fn(usize, usize) -> Request,
) -> (Vec<String>, usize) {
    let mut verdicts = Vec::new();
    let users = [UserId::new(), UserId::new(), UserId::new(), UserId::new()];
    let (mut places, mut running) = (Vec::new(), Vec::new());
    for act in acts {
        match act {
            Act::Reserve(user) => places.extend(engine.reserve(users[user]).map(|place| (place, user))),
            Act::Submit(kind) => {
                if let Some((place, user)) = places.pop() {
                    let Request { prompt, task, reply } = make(kind, user);
                    running.push((place.submit(prompt, task).unwrap(), reply, String::new()));
                }
            }
            Act::Cancel(at) => running.get(at).into_iter().for_each(|(generation, ..)| generation.cancel()),
            Act::Disconnect(at) if at < running.len() => drop(running.remove(at)),
            Act::GiveBack => drop(places.pop()),
            Act::Glance(at) => {
                if let Some((generation, _, so_far)) = running.get_mut(at)
                    && let Some(Event::Text { text, .. }) = generation.next().now_or_never()
                {
                    so_far.push_str(&text);
                }
            }
            Act::Read(at) if at < running.len() => verdicts.push(check(running.remove(at)).await),
            Act::Forget(user) => engine.forget(conversation(user)),
            Act::Disconnect(_) | Act::Read(_) => {}
        }
        assert!(engine.handle.queue.taken() >= places.len());
    }
    drop(places);
    for reply in running {
        verdicts.push(check(reply).await);
    }
    let read = verdicts.len();
    (verdicts.into_iter().flatten().collect(), read)
}

/// One conversation for each user.
fn conversation(user: usize) -> ConversationId {
    uuid::Uuid::from_u128(user as u128 + 1).to_string().parse().unwrap()
}

/// Reads a reply to its end; what is wrong with it.
async fn check((generation, expected, so_far): (Generation, Expected, String)) -> Option<String> {
    let (rest, end) = tokio::time::timeout(PATIENCE, read(generation)).await.expect("a reply stands still");
    let text = so_far + rest.as_str();
    let cancelled = end.as_ref().is_ok_and(|end| end.reason == FinishReason::Cancelled);
    let right = match (&expected, &end) {
        (Expected::Text(whole) | Expected::Failure(whole), Ok(_)) if cancelled => whole.starts_with(&text),
        (Expected::Beginning(sure), Ok(_)) => text.starts_with(sure) || cancelled && sure.starts_with(&text),
        (Expected::Text(whole), Ok(_)) | (Expected::Failure(whole), Err(_)) => text == *whole,
        _ => false,
    };
    (!right).then(|| format!("{text:?} {end:?} instead of {expected:?}"))
}

/// Nobody holds a place any more, and everything ends.
async fn is_empty(engine: Engine) {
    engine.shutdown();
    assert!(engine.stopped(PATIENCE).await);
    assert_eq!(engine.handle.queue.taken(), 0);
}

fn scripted(kind: usize, _user: usize, model: &Model) -> Request {
    let (message, reply) = match kind {
        0 => ("one two three".to_owned(), Expected::Text("one two three".into())),
        1 => (
            r#"{"pieces": ["a", [240, 159], [166, 138]], "repeat": 3}"#.into(),
            Expected::Text("a🦊a🦊a🦊".into()),
        ),
        2 => (r#"{"pieces": ["x"], "fail": "It broke."}"#.into(), Expected::Failure("x".into())),
        3 => ("long ".repeat(400), Expected::Text("long ".repeat(8).trim_end().into())),
        4 => (r#"{"pieces": ["b "], "repeat": 9, "delay_ms": 1}"#.into(), Expected::Text("b ".repeat(8))),
        _ => ("until END of it".into(), Expected::Text("until ".into())),
    };
    let params = SamplingParams {
        max_tokens: if kind == 1 { 9 } else { 8 },
        stop: vec!["END".into()],
        ..SamplingParams::default()
    };
    let prompt = model.prepare(&[says(Role::User, &message)], 8).unwrap();
    Request { prompt, task: params.into(), reply }
}

proptest! {
    // 64 runs of up to 300 operations: about 10,000.
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn ten_thousand_random_operations_leak_no_place_and_spoil_no_text(
        acts in prop::collection::vec(act(), 20..300),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let config = LlmConfig { queue_size: 9, max_per_user: 4, n_parallel: 3, ..echo_config() };
            let engine = echo(config).await;
            let model = engine.model().unwrap();
            let (wrong, _) = play(&engine, acts, &|kind, user| scripted(kind, user, &model)).await;
            assert!(wrong.is_empty(), "{wrong:#?}");
            is_empty(engine).await;
        });
    }
}

/// How much likelier a token is than the next one, as a logarithm, where no rounding can change the choice: llama.cpp
/// computes a batch of three with other kernels than a batch of one, and attention over other cells in another order. It rounds
/// what goes into each product to 8 bits, which made differences of up to 0.3 (with AMX).
const SURE: f32 = 0.6;

struct Known {
    prompt: Prompt,
    /// What the model says to it.
    whole: String,
    /// The beginning of that, as far as the model is sure of it.
    sure: String,
}

/// What a real model says to each of a few prompts when nothing else runs: turns of a conversation for each user, all
/// beginning alike, so that they share, copy, push out and bring back each other's memory.
async fn known_replies(engine: &Engine) -> Vec<Known> {
    let model = engine.model().unwrap();
    let story = "There was a fox who lived by the river and counted the ships. ".repeat(6);
    let talks = [
        vec![says(Role::User, &story)],
        vec![
            says(Role::User, &story),
            says(Role::Assistant, "I see."),
            says(Role::User, "What did the fox count?"),
        ],
        vec![
            says(Role::User, &story),
            says(Role::Assistant, "I see."),
            says(Role::User, "Where did the fox live?"),
        ],
        vec![says(Role::User, "Count to nine.")],
        vec![says(Role::User, &story.repeat(4))],
        vec![says(Role::User, &story), says(Role::Assistant, "Go on."), says(Role::User, "Thank you.")],
    ];
    let mut known = Vec::new();
    for talk in talks {
        let prompt = model.prepare(&talk, 8).unwrap();
        let task = Task { logprobs: Some(2), ..real_params().into() };
        let mut generation = engine.reserve(UserId::new()).unwrap().submit(prompt.clone(), task).unwrap();
        let (mut whole, mut tokens) = (String::new(), Vec::new());
        loop {
            match generation.next().await {
                Event::Text { text, logprobs } => {
                    whole += &text;
                    tokens.extend(logprobs);
                }
                Event::Finished(_) => break,
                Event::Failed(sentence) => panic!("{sentence}"),
                Event::Queued { .. } | Event::Prefill { .. } => {}
            }
        }
        let is_sure = |token: &TokenLogprob| token.top[0].logprob - token.top[1].logprob > SURE;
        let sure: Vec<u8> =
            tokens.into_iter().take_while(is_sure).flat_map(|token| token.token.bytes).collect();
        known.push(Known { prompt, whole, sure: String::from_utf8_lossy(&sure).into_owned() });
    }
    known
}

fn real_params() -> SamplingParams {
    SamplingParams { temperature: 0.0, max_tokens: 8, ..SamplingParams::default() }
}

/// 500 operations on a model whose memory is so small that everything is pushed out again and again; what was wrong.
fn five_hundred(config: LlmConfig, expected: impl Fn(&Known) -> Expected) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let config = LlmConfig { queue_size: 9, kv_ram_mib: 40, kv_disk_mib: 60, ..config };
        let options = EngineOptions { kv_dir: Some(dir.path().into()), ..EngineOptions::default() };
        let engine = Engine::start(config, options).unwrap();
        ready(&engine).await;
        let known = known_replies(&engine).await;
        let sure = known.iter().filter(|known| known.sure.len() >= 3).count();
        let texts: Vec<_> = known.iter().map(|known| (&known.sure, &known.whole)).collect();
        assert!(sure * 2 >= known.len(), "the model is sure of too little for a test: {texts:?}");
        let acts =
            prop::collection::vec(act(), 500).new_tree(&mut TestRunner::deterministic()).unwrap().current();

        let (wrong, _) = play(&engine, acts, &|kind, user| Request {
            prompt: known[kind].prompt.clone(),
            task: Task { conversation: Some(conversation(user)), ..real_params().into() },
            reply: expected(&known[kind]),
        })
        .await;

        is_empty(engine).await;
        wrong
    })
}

#[test]
fn five_hundred_random_operations_on_a_real_model_spoil_no_text() {
    let config = LlmConfig { deterministic: true, ..real_config() };

    let wrong = five_hundred(config, |known| Expected::Text(known.whole.clone()));

    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn five_hundred_random_operations_on_replies_that_share_batches_and_memory_spoil_no_text() {
    // Three at a time; 2048 tokens are less than 3 times 1024, so they share their memory.
    let config = LlmConfig { n_parallel: 3, kv_tokens: 2048, n_ctx: 1024, ..real_config() };

    let wrong = five_hundred(config, |known| Expected::Beginning(known.sure.clone()));

    assert!(wrong.is_empty(), "{wrong:#?}");
}
