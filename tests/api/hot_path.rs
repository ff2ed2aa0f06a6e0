//! What one more token costs the engine's thread beside the model: no memory and no line of the log.
//!
//! A reader is woken on the engine's thread, so its waker can ask there how often that thread has asked for memory. Counted is
//! all Rust code on that thread, from one token to a later one: scheduler, text, stop strings, mailbox, the tokens that stay in
//! memory, and the bindings of llama.cpp. llama.cpp itself has an allocator of its own, which is not counted.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use fireside::config::{Backend, LlmConfig};
use fireside::domain::{PromptMessage, Role, SamplingParams, UserId};
use fireside::engine::{Engine, EngineOptions, EngineState, Event, Generation};
use fireside::plugins::allocations;
use futures::executor::block_on;
use tracing::Subscriber;
use tracing_subscriber::layer::{Layer, SubscriberExt};

use crate::support::real_model;

/// Wakes a reader, and notes what the engine's thread has done until then.
struct Spy {
    reader: Thread,
    allocations: AtomicU64,
}

impl Wake for Spy {
    fn wake(self: Arc<Self>) {
        if on_the_engines_thread() {
            self.allocations.store(allocations(), Ordering::Release);
        }
        self.reader.unpark();
    }
}

fn on_the_engines_thread() -> bool {
    thread::current().name() == Some("engine")
}

/// Lines that the engine's thread has logged, at any level.
static LINES: AtomicU64 = AtomicU64::new(0);

struct CountsLines;

impl<S: Subscriber> Layer<S> for CountsLines {
    fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if on_the_engines_thread() {
            LINES.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn count_lines() {
    static COUNTING: OnceLock<()> = OnceLock::new();
    COUNTING.get_or_init(|| {
        let counting = tracing_subscriber::registry().with(CountsLines);
        tracing::subscriber::set_global_default(counting).unwrap();
    });
}

/// What the engine's thread did between two moments of a long reply.
#[derive(Debug)]
struct Cost {
    tokens: u64,
    allocations: u64,
    lines: u64,
}

impl Cost {
    /// Reads a reply of at least twice `skipped` words. What comes before word number `skipped` is not counted: the buffers
    /// get their size there.
    fn of(mut generation: Generation, skipped: u64) -> Self {
        let spy = Arc::new(Spy { reader: thread::current(), allocations: AtomicU64::new(0) });
        let (mut words, mut start) = (0, None);
        loop {
            match next(&mut generation, &spy) {
                Event::Text { text, .. } => {
                    words += text.bytes().filter(|&byte| byte == b' ').count() as u64;
                    if words >= skipped && start.is_none() {
                        let allocations = spy.allocations.load(Ordering::Acquire);
                        start = Some((words, allocations, LINES.load(Ordering::Relaxed)));
                    }
                }
                Event::Finished(_) => break,
                Event::Failed(sentence) => panic!("{sentence}"),
                Event::Queued { .. } | Event::Prefill { .. } => {}
            }
        }
        let (first, before, lines) = start.expect("the reply was too short");
        Self {
            tokens: words - first,
            allocations: spy.allocations.load(Ordering::Acquire) - before,
            lines: LINES.load(Ordering::Relaxed) - lines,
        }
    }
}

/// The next event, waited for on this thread.
fn next(generation: &mut Generation, spy: &Arc<Spy>) -> Event {
    let waker = Waker::from(Arc::clone(spy));
    let mut next = pin!(generation.next());
    loop {
        match next.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(event) => return event,
            Poll::Pending => thread::park(),
        }
    }
}

fn start(config: LlmConfig) -> Engine {
    count_lines();
    let engine = Engine::start(config, EngineOptions::default()).unwrap();
    let mut state = engine.watch();
    drop(block_on(state.wait_for(|state| matches!(state, EngineState::Ready(_)))).unwrap());
    engine
}

fn ask(engine: &Engine, message: &str, max_tokens: u32) -> Generation {
    let model = engine.model().unwrap();
    // The end of a turn is banned: the reply has its full length.
    let bans = model.end_tokens().iter().map(|token| (token.to_string(), -100.0));
    let params =
        SamplingParams { max_tokens, logit_bias: bans.collect(), seed: 1, ..SamplingParams::default() };
    let message = PromptMessage { role: Role::User, content: message.into(), token_ids: None };
    let prompt = model.prepare(&[message], 16).unwrap();
    engine.reserve(UserId::new()).unwrap().submit(prompt, params).unwrap()
}

#[test]
fn a_scripted_token_takes_no_memory_and_no_line_of_the_log() {
    let config = LlmConfig { backend: Backend::Echo, n_ctx: 1 << 20, ..LlmConfig::default() };
    let engine = start(config);

    let cost = Cost::of(ask(&engine, r#"{"pieces": ["word "], "repeat": 200000}"#, 200_000), 1_000);

    assert!(cost.tokens > 100_000, "{cost:?}");
    assert!(cost.allocations * 20 < cost.tokens, "{cost:?}");
    assert_eq!(cost.lines, 0, "{cost:?}");
}

#[test]
fn a_real_token_takes_no_memory_and_no_line_of_the_log() {
    let engine = start(LlmConfig { model: real_model(), n_ctx: 2048, n_threads: 1, ..LlmConfig::default() });
    // Others write at the same time: a batch of several takes no more.
    let others: Vec<_> = (0..3).map(|_| ask(&engine, "Tell me about bread.", 300)).collect();

    let cost = Cost::of(ask(&engine, "Tell me a long story about a fox.", 300), 40);

    drop(others);
    assert!(cost.tokens > 150, "{cost:?}");
    // Of each of the four, half a dozen buffers double their size a few times.
    assert!(cost.allocations < 100, "{cost:?}");
    assert_eq!(cost.lines, 0, "{cost:?}");
}
