//! Replies at once, without and with plugins.

use std::sync::Arc;
use std::time::Instant;

use fireside::config::{LlmConfig, PluginsConfig};
use fireside::domain::{Role, SamplingParams, UserId};
use fireside::engine::{Engine, EngineOptions, EngineState, Event};
use fireside::plugins::{PluginSet, Plugins, ReplyStream};

use super::{Outcome, STREAMS, context, processor, said};

/// What a reply is asked for with.
pub(super) trait Question: Copy + Send + Sync + 'static {
    fn tokens(&self) -> u32;
    fn message(&self, number: usize) -> String;
}

/// Of the scripted model.
#[derive(Clone, Copy)]
pub(super) struct Script {
    pub(super) tokens: u32,
    pub(super) delay_ms: u32,
}

impl Question for Script {
    fn tokens(&self) -> u32 {
        self.tokens
    }

    fn message(&self, _: usize) -> String {
        format!(r#"{{"pieces": [" token"], "repeat": {}, "delay_ms": {}}}"#, self.tokens, self.delay_ms)
    }
}

/// Of a real model.
#[derive(Clone, Copy)]
pub(super) struct Story {
    pub(super) tokens: u32,
}

impl Question for Story {
    fn tokens(&self) -> u32 {
        self.tokens
    }

    fn message(&self, number: usize) -> String {
        format!("Write a long story about the number {number}.")
    }
}

/// What `count` replies at once came to, without and with plugins: medians.
pub(super) struct Load {
    /// Tokens a second in all.
    speeds: [f64; 2],
    /// Parts of a processor.
    loads: [f64; 2],
    /// Part of the speed that plugins cost: the first quartile of all rounds, the median, the third. Both sides of a round stand
    /// next to each other, so that a machine whose speed drifts does not decide.
    losses: [f64; 3],
}

impl Load {
    /// As a row of the second table. What plugins cost a token says something where the model costs nothing.
    pub(super) fn print(&self, name: &str, tells_cost: bool) {
        let ([without, with], [idle, busy]) = (self.speeds, self.loads);
        let [least, loss, most] = self.losses.map(|loss| 100.0 * loss);
        let cost = match tells_cost {
            true => format!("{:.1} µs", 1e6 * (busy / with - idle / without)),
            false => "–".into(),
        };
        let [idle, busy] = [100.0 * idle, 100.0 * busy];
        println!(
            "| {name} | {without:.0} | {with:.0} | {loss:.1} % ({least:.1} to {most:.1}) | {idle:.1} % | {busy:.1} % | {cost} |"
        );
    }
}

/// Lets `count` replies be written at once, without and with plugins in alternation, as often as `rounds` says.
pub(super) async fn streams(
    rounds: usize,
    count: usize,
    engine: &Engine,
    plugins: &Arc<PluginSet>,
    question: impl Question,
) -> Outcome<Load> {
    let empty = tempfile::tempdir()?;
    let none = PluginsConfig { dir: empty.path().to_owned(), ..PluginsConfig::default() };
    let none = Plugins::open(none).current().await;
    let (mut speeds, mut loads) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for round in 0..=rounds {
        // Who begins takes turns; the first round does not count.
        for side in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let set = [&none, plugins][side];
            let (begin, cpu) = (Instant::now(), processor()?);
            let replies: Vec<_> = (0..count)
                .map(|number| set.spawn(reply(engine.clone(), set.stream(&context()), question, number)))
                .collect();
            let mut tokens = 0;
            for reply in replies {
                tokens += reply.await??;
            }
            let (took, cpu) = (begin.elapsed(), processor()? - cpu);
            if round > 0 {
                speeds[side].push(f64::from(tokens) / took.as_secs_f64());
                loads[side].push(cpu.as_secs_f64() / took.as_secs_f64());
            }
        }
    }
    let losses = std::iter::zip(&speeds[0], &speeds[1]).map(|(without, with)| 1.0 - with / without).collect();
    let losses = quartiles(losses);
    let middle = |values| quartiles(values)[1];
    Ok(Load { speeds: speeds.map(middle), loads: loads.map(middle), losses })
}

fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

/// One reply through `on_chunk`, as the server takes it; how many tokens it had.
async fn reply(
    engine: Engine,
    mut stream: ReplyStream,
    question: impl Question,
    number: usize,
) -> Outcome<u32> {
    let place = engine.reserve(UserId::new())?;
    // The likeliest token, to the last: every round is the same.
    let ends = place.model().end_tokens().iter().map(|token| (token.to_string(), -100.0));
    let params = SamplingParams {
        max_tokens: question.tokens(),
        temperature: 0.0,
        logit_bias: ends.collect(),
        ..SamplingParams::default()
    };
    let messages = [said(Role::User, question.message(number))];
    let prompt = place.model().prepare(&messages, params.max_tokens)?;
    let mut generation = place.submit(prompt, params)?;
    loop {
        match generation.next_after(stream.pace()).await {
            Event::Text { text, .. } => drop(stream.push(text).await?),
            Event::Finished(end) => {
                stream.finish().await?;
                return match stream.marks().is_empty() && end.usage.completion_tokens == question.tokens() {
                    true => Ok(question.tokens()),
                    false => Err("a reply is not as it was asked for".into()),
                };
            }
            Event::Failed(sentence) => return Err(sentence.into()),
            Event::Queued { .. } | Event::Prefill { .. } => {}
        }
    }
}

pub(super) async fn start(config: LlmConfig) -> Outcome<Engine> {
    let config = LlmConfig { n_parallel: u32::try_from(STREAMS)?, queue_size: STREAMS, ..config };
    let engine = Engine::start(config, EngineOptions::default())?;
    engine.watch().wait_for(|state| !matches!(state, EngineState::Loading { .. })).await?;
    engine.model()?;
    Ok(engine)
}
