//! What is measured. Each sample begins with a server that was just started and answered one request.

mod conversations;
mod json;
mod pages;
mod resources;
mod stall;
mod streams;
mod variance;

use clap::ValueEnum;

use crate::Outcome;
use crate::client::{Endpoint, Message, Reply};
use crate::contestant::{Contestant, Server};
use crate::text::Text;

use pages::Route;

/// One number that a scenario yields, and what it should be.
pub struct Measure {
    pub name: &'static str,
    pub unit: &'static str,
    pub goal: Goal,
}

/// What a measured number should be.
#[derive(Clone, Copy)]
pub enum Goal {
    /// At most this many times the other side's.
    RatioAtMost(f64),
    /// At least this many times the other side's.
    RatioAtLeast(f64),
    /// At most this much more than the other side's, in the measure's unit.
    AtMostMore(f64),
    /// At most this, in the measure's unit.
    AtMost(f64),
    /// At least this, in the measure's unit.
    AtLeast(f64),
}

/// One value for each measure of the scenario; none where a server does not tell.
pub type Sample = Vec<Option<f64>>;

/// A scenario, by the name that `--only` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// One stream alone.
    OneStream,
    /// The same beside programs that keep every processor busy.
    Busy,
    /// 8 clients at once, with prompts that have nothing in common.
    Unique,
    /// 8 clients at once, with one system prompt that no server has seen.
    Shared,
    /// A long prompt arrives while a reply is running.
    Stall,
    /// A reply that must follow a JSON schema, and one that need not.
    Json,
    /// The fifth turn of a conversation.
    Turns,
    /// The fifth turn of a conversation, right after the server was started again.
    Restart,
    /// 24 conversations take turns on 8 places.
    Many,
    /// Time to start, and memory.
    Resources,
    /// One stream through Fireside's pages, against its API.
    Pages,
    /// What 8 conversations say at once, against what each says alone.
    Variance,
}

impl Scenario {
    /// What it yields, in this order.
    pub fn measures(self) -> &'static [Measure] {
        match self {
            Self::OneStream => streams::ONE,
            Self::Busy => streams::BUSY,
            Self::Unique => streams::UNIQUE,
            Self::Shared => streams::SHARED,
            Self::Stall => stall::MEASURES,
            Self::Json => json::MEASURES,
            Self::Turns => conversations::TURNS,
            Self::Restart => conversations::RESTART,
            Self::Many => conversations::MANY,
            Self::Resources => resources::MEASURES,
            Self::Pages => pages::MEASURES,
            Self::Variance => variance::MEASURES,
        }
    }

    /// Measures one side once; none where it cannot take part.
    pub async fn run(
        self,
        servers: [Option<&Contestant>; 2],
        side: usize,
        text: &mut Text,
    ) -> Outcome<Option<Sample>> {
        let Some(server) = self.server(servers, side) else { return Ok(None) };
        let sample = match self {
            Self::OneStream => streams::one(server, text).await,
            Self::Busy => streams::busy(server, text).await,
            Self::Unique => streams::unique(server, text).await,
            Self::Shared => streams::shared(server, text).await,
            Self::Stall => stall::run(server, text).await,
            Self::Json => json::run(server, text).await,
            Self::Turns => conversations::turns(server, text).await,
            Self::Restart => conversations::restart(server, text).await,
            Self::Many => conversations::many(server, text).await,
            Self::Resources => resources::run(server, text).await,
            Self::Pages => pages::run(server, [Route::Pages, Route::Api][side], text).await,
            Self::Variance => variance::run(server, text).await,
        };
        Ok(Some(sample?))
    }

    /// Who is measured: of the pages, both sides are Fireside.
    fn server(self, servers: [Option<&Contestant>; 2], side: usize) -> Option<&Contestant> {
        match self {
            Self::Pages => servers[0].filter(|server| server.is_fireside()),
            Self::Restart | Self::Resources | Self::Variance => {
                servers[side].filter(|server| server.is_ours())
            }
            _ => servers[side],
        }
    }
}

/// Shows what a prompt was, so that one sees whether both sides did the same.
fn note(reply: &Reply) {
    eprintln!("  {} prompt tokens, {} of them cached", reply.prompt_tokens, reply.cached_tokens);
}

/// A server that has just started and answered one request.
async fn fresh(side: &Contestant) -> Outcome<Server> {
    fresh_with(side, &[]).await
}

async fn fresh_with(side: &Contestant, settings: &[(&str, &str)]) -> Outcome<Server> {
    let server = side.start_with(settings).await?;
    warm(&server.endpoint).await?;
    Ok(server)
}

/// One request, with a system prompt of its own: the operator's stays cold.
async fn warm(endpoint: &Endpoint) -> Outcome<()> {
    let messages = [Message::system("Be brief.".into()), Message::user("Say hello.".into())];
    endpoint.chat(0, &messages, 16).await?;
    Ok(())
}
