//! Conversations of several turns: what was computed for a turn should serve the next.

use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt, TryStreamExt};

use super::{Goal, Measure, Sample, fresh, note};
use crate::Outcome;
use crate::client::{Endpoint, Message, Reply};
use crate::contestant::Contestant;
use crate::fireside::PLACES;
use crate::report::median;
use crate::text::Text;

pub const TURNS: &[Measure] =
    &[Measure { name: "turn 5, warm: first token", unit: "ms", goal: Goal::RatioAtMost(0.95) }];

pub const RESTART: &[Measure] =
    &[Measure { name: "turn 5 after a restart: first token", unit: "ms", goal: Goal::RatioAtMost(0.2) }];

pub const MANY: &[Measure] = &[
    Measure {
        name: "24 conversations on 8 places: first token of turn 2, median",
        unit: "ms",
        goal: Goal::RatioAtMost(1.0),
    },
    Measure {
        name: "24 conversations on 8 places: first token of turn 3, median",
        unit: "ms",
        goal: Goal::RatioAtMost(1.0),
    },
    Measure { name: "24 conversations on 8 places: all", unit: "s", goal: Goal::RatioAtMost(1.0) },
];

/// Turns before the one that is measured.
const EARLIER_TURNS: usize = 4;

/// Words of a message that make about 95 tokens with the number before them and the template around them.
const WORDS: usize = 64;

/// Tokens of a reply in a long conversation.
const REPLY: u32 = 100;

/// What a person takes at least to read a reply and to write the next message.
const READING: Duration = Duration::from_secs(3);

/// Conversations that take turns, and how.
const CONVERSATIONS: usize = 24;
const ROUNDS: usize = 3;
const FIRST_WORDS: usize = 350;
const SHORT_REPLY: u32 = 32;

/// A conversation of one person.
struct Conversation {
    person: usize,
    messages: Vec<Message>,
}

impl Conversation {
    fn begin(person: usize, text: &mut Text) -> Self {
        Self { person, messages: vec![Message::system(text.unique(30))] }
    }

    fn say(&mut self, message: String) {
        self.messages.push(Message::user(message));
    }

    /// Asks for the reply to what was said last.
    async fn reply(&mut self, endpoint: &Endpoint, tokens: u32) -> Outcome<Reply> {
        let reply = endpoint.chat(self.person, &self.messages, tokens).await?;
        self.messages.push(Message::assistant(reply.text.clone()));
        Ok(reply)
    }

    async fn turn(&mut self, endpoint: &Endpoint, text: &mut Text) -> Outcome<Reply> {
        self.say(text.unique(WORDS) + " Go on.");
        let reply = self.reply(endpoint, REPLY).await;
        tokio::time::sleep(READING).await;
        reply
    }
}

pub async fn turns(side: &Contestant, text: &mut Text) -> Outcome<Sample> {
    let server = fresh(side).await?;
    let mut conversation = Conversation::begin(0, text);
    for _ in 0..EARLIER_TURNS {
        conversation.turn(&server.endpoint, text).await?;
    }
    let fifth = conversation.turn(&server.endpoint, text).await?;
    note(&fifth);
    server.stop().await?;
    Ok(vec![Some(fifth.ttft_ms())])
}

pub async fn restart(side: &Contestant, text: &mut Text) -> Outcome<Sample> {
    let server = fresh(side).await?;
    let mut conversation = Conversation::begin(0, text);
    for _ in 0..EARLIER_TURNS {
        conversation.turn(&server.endpoint, text).await?;
    }
    server.stop().await?;
    let server = side.start().await?;
    let fifth = conversation.turn(&server.endpoint, text).await?;
    note(&fifth);
    server.stop().await?;
    Ok(vec![Some(fifth.ttft_ms())])
}

pub async fn many(side: &Contestant, text: &mut Text) -> Outcome<Sample> {
    let server = fresh(side).await?;
    let mut conversations: Vec<_> =
        (0..CONVERSATIONS).map(|number| Conversation::begin(number % PLACES, text)).collect();
    let begin = Instant::now();
    let mut first_tokens = Vec::new();
    for round in 0..ROUNDS {
        for conversation in &mut conversations {
            conversation.say(text.unique(if round == 0 { FIRST_WORDS } else { WORDS }) + " Go on.");
        }
        let replies = conversations.iter_mut().map(|one| one.reply(&server.endpoint, SHORT_REPLY));
        // The next one begins when a place is free.
        let replies: Vec<_> = stream::iter(replies).buffer_unordered(PLACES).try_collect().await?;
        note(&replies[0]);
        first_tokens.push(median(&replies.iter().map(Reply::ttft_ms).collect::<Vec<_>>()));
    }
    let seconds = begin.elapsed().as_secs_f64();
    server.stop().await?;
    Ok(vec![first_tokens[1], first_tokens[2], Some(seconds)])
}
