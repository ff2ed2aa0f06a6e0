//! One stream through the routes that a browser uses, against the same one through the API. Fireside only.

use std::time::Instant;

use super::{Goal, Measure, Sample, warm};
use crate::Outcome;
use crate::client::{Endpoint, Message, expect_success, milliseconds};
use crate::contestant::Contestant;
use crate::fireside::browser;
use crate::process::Process;
use crate::report::median;
use crate::sse::Events;
use crate::text::Text;

pub const MEASURES: &[Measure] = &[
    Measure { name: "first token", unit: "ms", goal: Goal::AtMostMore(5.0) },
    Measure { name: "processor time for 1,000 characters", unit: "ms", goal: Goal::RatioAtMost(1.0) },
    Measure { name: "… of these, outside the model's threads", unit: "ms", goal: Goal::RatioAtMost(1.0) },
];

/// Which way a message takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    Pages,
    Api,
}

/// Replies of one sample.
const REPLIES: usize = 4;

const REPLY: &str = "128";

/// Processor time of a server so far, in seconds.
struct Spent {
    all: f64,
    delivery: f64,
}

/// A way to send one message and read the reply: the time to its first text, and its length in characters.
enum Sender<'a> {
    Pages(reqwest::Client, &'a str),
    Api(&'a Endpoint),
}

pub async fn run(side: &Contestant, route: Route, text: &mut Text) -> Outcome<Sample> {
    // The seed makes both ways get the same replies; pages have no switch that forbids their end.
    let settings = [("FIRESIDE_GENERATION__SEED", "42"), ("FIRESIDE_GENERATION__MAX_TOKENS", REPLY)];
    let server = side.start_with(&settings).await?;
    warm(&server.endpoint).await?;
    let sender = match route {
        Route::Pages => Sender::Pages(browser(&server.endpoint.url).await?, &server.endpoint.url),
        Route::Api => Sender::Api(&server.endpoint),
    };
    let place = sender.place().await?;
    sender.send(&place, "Say hello.").await?;

    let mut spent = Spent { all: 0.0, delivery: 0.0 };
    let (mut first, mut characters) = (Vec::new(), 0);
    let mut before = None;
    for _ in 0..REPLIES {
        // What it takes to make a conversation is not the reply's.
        let pause = Spent::so_far(server.process()?)?;
        spent.add(before.as_ref(), &pause);
        let place = sender.place().await?;
        before = Some(Spent::so_far(server.process()?)?);
        let (ttft_ms, length) = sender.send(&place, &(text.unique(20) + " Tell a long story.")).await?;
        first.push(ttft_ms);
        characters += length;
    }
    spent.add(before.as_ref(), &Spent::so_far(server.process()?)?);
    server.stop().await?;
    let per_thousand = |seconds: f64| Some(seconds * 1e6 / characters as f64);
    Ok(vec![median(&first), per_thousand(spent.all), per_thousand(spent.delivery)])
}

impl Spent {
    fn so_far(process: &Process) -> Outcome<Self> {
        let (all, delivery) = process.threads_cpu_seconds()?;
        Ok(Self { all, delivery })
    }

    fn add(&mut self, before: Option<&Self>, after: &Self) {
        if let Some(before) = before {
            self.all += after.all - before.all;
            self.delivery += after.delivery - before.delivery;
        }
    }
}

impl Sender<'_> {
    /// Where the next message goes: a new conversation, or nowhere in particular.
    async fn place(&self) -> Outcome<String> {
        let Self::Pages(http, url) = self else { return Ok(String::new()) };
        let made = expect_success(post(http, format!("{url}/c")).send().await?).await?;
        let place = made.headers().get("location").ok_or("POST /c answered without a place")?;
        Ok(place.to_str()?.to_owned())
    }

    async fn send(&self, place: &str, message: &str) -> Outcome<(f64, usize)> {
        match self {
            Self::Pages(http, url) => send_by_page(http, url, place, message).await,
            Self::Api(endpoint) => {
                let prompt = [Message::user(message.to_owned())];
                let reply = endpoint.stream(0, &prompt, REPLY.parse()?, false, |_| ()).await?;
                Ok((reply.ttft_ms(), reply.text.chars().count()))
            }
        }
    }
}

fn post(http: &reqwest::Client, address: String) -> reqwest::RequestBuilder {
    http.post(address).header("Sec-Fetch-Site", "same-origin")
}

/// Sends as the form does, and follows the reply's event stream as its bubble does.
async fn send_by_page(
    http: &reqwest::Client,
    url: &str,
    place: &str,
    message: &str,
) -> Outcome<(f64, usize)> {
    let request = post(http, format!("{url}{place}/messages")).header("HX-Request", "true");
    let request = request.form(&[("message", message)]);

    let sent = Instant::now();
    let bubbles = expect_success(request.send().await?).await?.text().await?;
    let events = event_stream(&bubbles).ok_or("the answer to a message names no event stream")?;
    let mut answer = expect_success(http.get(format!("{url}{events}")).send().await?).await?;
    let (mut first, mut position) = (None, 0);
    let mut events = Events::default();
    while let Some(bytes) = answer.chunk().await? {
        let now = Instant::now();
        events.push(&bytes);
        for event in &mut events {
            match event.name.as_str() {
                "" => {
                    first.get_or_insert(now);
                    // A piece's id is the number of characters sent so far.
                    position = event.id.parse()?;
                }
                "failed" => return Err(format!("a reply failed: {}", event.data).into()),
                "done" => {
                    let first = first.ok_or("a reply came without any text")?;
                    return Ok((milliseconds(first - sent), position));
                }
                _ => {}
            }
        }
    }
    Err("an event stream ended without `done`".into())
}

/// The path `…/events` in a fragment.
fn event_stream(html: &str) -> Option<String> {
    let html = html.replace("&#x2f;", "/").replace("&#x2F;", "/");
    let end = html.find("/events")? + "/events".len();
    let begin = html[..end].rfind("/c/")?;
    Some(html[begin..end].to_owned())
}
