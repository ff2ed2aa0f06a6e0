//! What the engine costs beside the model: the scripted model produces tokens for nothing, so that all of the time is the
//! queue's, the scheduler's and the mailboxes'. `benches/README.md` says how to run it.

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fireside::config::{Backend, LlmConfig};
use fireside::domain::{PromptMessage, Role, SamplingParams, UserId};
use fireside::engine::{Engine, EngineOptions, EngineState, Event, Generation};
use futures::future::try_join_all;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Streams at once.
const STREAMS: [usize; 3] = [1, 8, 32];

/// Tokens of one round, of all streams together.
const TOKENS: usize = 320_000;

/// Short requests of one round, of all streams together.
const REQUESTS: usize = 3_200;

/// Rounds of which the median counts.
const ROUNDS: usize = 5;

/// A row of the table.
struct Row {
    streams: usize,
    /// From the first submit to the last end, for each token.
    wall: Duration,
    /// Processor time of the engine's thread, for each token.
    engine: Duration,
    /// Tokens that a reader got with one wake-up, on average.
    tokens_an_event: f64,
    /// From submit to the first text: half of the requests, and 99 of 100.
    first: [Duration; 2],
}

// The readers share one thread; the engine has its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("Nothing was measured: start this with `cargo bench`.");
        return ExitCode::SUCCESS;
    }
    match measure().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scheduler: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> Outcome<()> {
    let engine = start().await?;
    println!(
        "| streams | wall, ns/token | engine's thread, ns/token | tokens an event | first text, median | first text, p99 |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for streams in STREAMS {
        let row = Row::measure(&engine, streams).await?;
        println!(
            "| {} | {} | {} | {:.1} | {:.1?} | {:.1?} |",
            row.streams,
            row.wall.as_nanos(),
            row.engine.as_nanos(),
            row.tokens_an_event,
            row.first[0],
            row.first[1],
        );
    }
    engine.shutdown();
    Ok(())
}

async fn start() -> Outcome<Engine> {
    let most = STREAMS[STREAMS.len() - 1];
    let config = LlmConfig {
        backend: Backend::Echo,
        // Room for the longest reply.
        n_ctx: 1_048_576,
        n_parallel: u32::try_from(most)?,
        queue_size: most,
        max_per_user: most,
        ..LlmConfig::default()
    };
    let engine = Engine::start(config, EngineOptions::default())?;
    let mut state = engine.watch();
    state.wait_for(|state| !matches!(state, EngineState::Loading { .. })).await?;
    Ok(engine)
}

impl Row {
    async fn measure(engine: &Engine, streams: usize) -> Outcome<Self> {
        let mut long = Vec::new();
        for _ in 0..ROUNDS {
            long.push(Long::measure(engine, streams, TOKENS / streams).await?);
        }
        long.sort_by_key(|long| long.wall);
        let median = &long[ROUNDS / 2];
        let mut first = Vec::new();
        for _ in 0..ROUNDS {
            let clients = (0..streams).map(|_| first_texts(engine, REQUESTS / streams));
            first.extend(try_join_all(clients).await?.into_iter().flatten());
        }
        first.sort();
        let tokens = u32::try_from(TOKENS)?;
        Ok(Self {
            streams,
            wall: median.wall / tokens,
            engine: median.engine / tokens,
            tokens_an_event: f64::from(tokens) / median.events as f64,
            first: [first[first.len() / 2], first[first.len() * 99 / 100]],
        })
    }
}

/// Long replies at once.
struct Long {
    wall: Duration,
    engine: Duration,
    events: usize,
}

impl Long {
    async fn measure(engine: &Engine, streams: usize, tokens: usize) -> Outcome<Self> {
        let (before, begin) = (engine_cpu()?, Instant::now());
        let replies = (0..streams).map(|_| async {
            let mut generation = submit(engine, tokens)?;
            let (mut events, mut letters) = (0, 0);
            while let Some(text) = next_text(&mut generation).await? {
                events += 1;
                letters += text.len();
            }
            // One letter a token.
            if letters != tokens {
                return Err(format!("a reply has {letters} tokens, not {tokens}").into());
            }
            Outcome::Ok(events)
        });
        let events = try_join_all(replies).await?.into_iter().sum();
        Ok(Self { wall: begin.elapsed(), engine: engine_cpu()? - before, events })
    }
}

/// Short replies one after the other: from submit to the first text of each.
async fn first_texts(engine: &Engine, requests: usize) -> Outcome<Vec<Duration>> {
    let mut times = Vec::with_capacity(requests);
    for _ in 0..requests {
        let submitted = Instant::now();
        let mut generation = submit(engine, 4)?;
        let text = next_text(&mut generation).await?;
        text.ok_or("a reply ended without text")?;
        times.push(submitted.elapsed());
        while next_text(&mut generation).await?.is_some() {}
    }
    Ok(times)
}

/// Asks the scripted model for a reply of so many tokens of one letter each.
fn submit(engine: &Engine, tokens: usize) -> Outcome<Generation> {
    let script = format!(r#"{{"pieces": ["x"], "repeat": {tokens}}}"#);
    let message = PromptMessage { role: Role::User, content: script, token_ids: None };
    let params = SamplingParams { max_tokens: u32::try_from(tokens)?, ..SamplingParams::default() };
    let place = engine.reserve(UserId::new())?;
    let prompt = place.model().prepare(&[message], params.max_tokens)?;
    Ok(place.submit(prompt, params)?)
}

/// The next text of a reply; none at its end.
async fn next_text(generation: &mut Generation) -> Outcome<Option<String>> {
    loop {
        match generation.next().await {
            Event::Text { text, .. } => return Ok(Some(text)),
            Event::Finished(_) => return Ok(None),
            Event::Failed(sentence) => return Err(sentence.into()),
            Event::Queued { .. } | Event::Prefill { .. } => {}
        }
    }
}

/// Processor time of the thread "engine" so far.
fn engine_cpu() -> Outcome<Duration> {
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm"))?.trim() == "engine" {
            let schedule = fs::read_to_string(task.join("schedstat"))?;
            let nanoseconds = schedule.split_whitespace().next().ok_or("an empty schedstat")?;
            return Ok(Duration::from_nanos(nanoseconds.parse()?));
        }
    }
    Err("the engine's thread is gone".into())
}
