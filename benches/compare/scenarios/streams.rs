//! Replies that begin at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::try_join_all;

use super::{Goal, Measure, Sample, fresh, fresh_with, note};
use crate::Outcome;
use crate::client::{Endpoint, Message, Reply};
use crate::contestant::Contestant;
use crate::fireside::PLACES;
use crate::report::{median, percentile};
use crate::text::Text;

/// Tokens of each reply.
const REPLY: u32 = 128;
/// … beside busy programs, where each may take long.
const BUSY_REPLY: u32 = 32;

pub const ONE: &[Measure] =
    &[Measure { name: "one stream: speed", unit: "tokens/s", goal: Goal::RatioAtLeast(1.0) }];

pub const BUSY: &[Measure] = &[Measure {
    name: "one stream beside busy programs: speed",
    unit: "tokens/s",
    goal: Goal::RatioAtLeast(1.0),
}];

pub const UNIQUE: &[Measure] = &[
    Measure { name: "8 unique prompts: first token, median", unit: "ms", goal: Goal::RatioAtMost(0.8) },
    Measure {
        name: "8 unique prompts: first token, 95th percentile",
        unit: "ms",
        goal: Goal::RatioAtMost(1.05),
    },
    Measure { name: "8 unique prompts: speed in all", unit: "tokens/s", goal: Goal::RatioAtLeast(1.05) },
];

pub const SHARED: &[Measure] = &[
    Measure {
        name: "8 cold users, one system prompt: first token, median",
        unit: "ms",
        goal: Goal::RatioAtMost(0.35),
    },
    Measure {
        name: "8 cold users, one system prompt: speed in all",
        unit: "tokens/s",
        goal: Goal::RatioAtLeast(1.3),
    },
];

pub async fn one(side: &Contestant, text: &mut Text) -> Outcome<Sample> {
    let server = fresh(side).await?;
    let question = Message::user(format!("{} Tell a long story.", text.unique(20)));
    let reply = server.endpoint.chat(0, &[question], REPLY).await?;
    note(&reply);
    server.stop().await?;
    Ok(vec![Some(reply.tokens_per_second())])
}

/// One stream, while as many others compute as the machine has hardware threads.
pub async fn busy(side: &Contestant, text: &mut Text) -> Outcome<Sample> {
    let server = fresh(side).await?;
    let question = Message::user(format!("{} Tell a long story.", text.unique(20)));
    let others = Others::begin()?;
    let reply = server.endpoint.chat(0, &[question], BUSY_REPLY).await?;
    drop(others);
    note(&reply);
    server.stop().await?;
    Ok(vec![Some(reply.tokens_per_second())])
}

/// Threads that compute until this is dropped.
struct Others(Arc<AtomicBool>);

impl Others {
    fn begin() -> Outcome<Self> {
        let over = Arc::new(AtomicBool::new(false));
        for _ in 0..std::thread::available_parallelism()?.get() {
            let over = over.clone();
            std::thread::spawn(move || while !over.load(Ordering::Relaxed) {});
        }
        Ok(Self(over))
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub async fn unique(side: &Contestant, text: &mut Text) -> Outcome<Sample> {
    let server = fresh(side).await?;
    let prompts = (0..PLACES).map(|_| vec![Message::user(text.unique(252) + " Continue this story.")]);
    let burst = Burst::run(&server.endpoint, prompts.collect()).await?;
    note(&burst.replies[0]);
    server.stop().await?;
    let first = burst.first_tokens_ms();
    Ok(vec![median(&first), percentile(&first, 95.0), Some(burst.tokens_per_second)])
}

/// Fireside has the system prompt in its configuration, other servers get it with each request: the tokens are the same.
pub async fn shared(side: &Contestant, text: &mut Text) -> Outcome<Sample> {
    let system = text.unique(180);
    let server = fresh_with(side, &[("FIRESIDE_CHAT__SYSTEM_PROMPT", &system)]).await?;
    let prompts = (0..PLACES).map(|_| {
        let question = Message::user(text.unique(12) + " What do you say?");
        let own = (!side.is_fireside()).then(|| Message::system(system.clone()));
        own.into_iter().chain([question]).collect()
    });
    let burst = Burst::run(&server.endpoint, prompts.collect()).await?;
    note(&burst.replies[0]);
    server.stop().await?;
    Ok(vec![median(&burst.first_tokens_ms()), Some(burst.tokens_per_second)])
}

/// Replies of several people that were asked for at once.
struct Burst {
    replies: Vec<Reply>,
    /// Of all of them together, from the first request to the last token.
    tokens_per_second: f64,
}

impl Burst {
    async fn run(endpoint: &Endpoint, prompts: Vec<Vec<Message>>) -> Outcome<Self> {
        let begin = std::time::Instant::now();
        let asked = prompts.iter().enumerate().map(|(person, prompt)| endpoint.chat(person, prompt, REPLY));
        let replies = try_join_all(asked).await?;
        let tokens: u32 = replies.iter().map(|reply| reply.tokens).sum();
        Ok(Self { replies, tokens_per_second: f64::from(tokens) / begin.elapsed().as_secs_f64() })
    }

    fn first_tokens_ms(&self) -> Vec<f64> {
        self.replies.iter().map(Reply::ttft_ms).collect()
    }
}
