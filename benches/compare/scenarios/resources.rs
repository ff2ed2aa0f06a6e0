//! Time to start, and memory beyond what llama.cpp allocates.

use std::cell::Cell;

use futures::future::{Either, select, try_join_all};
use tokio::sync::Notify;

use super::{Goal, Measure, Sample, fresh_with};
use crate::Outcome;
use crate::client::{Endpoint, Message, milliseconds};
use crate::contestant::Contestant;
use crate::fireside::PLACES;
use crate::text::Text;

pub const MEASURES: &[Measure] = &[
    Measure { name: "start to ready", unit: "ms", goal: Goal::AtMost(500.0) },
    Measure { name: "memory beyond llama.cpp's buffers, idle", unit: "MiB", goal: Goal::AtMost(40.0) },
    Measure { name: "memory for each open stream", unit: "KiB", goal: Goal::AtMost(64.0) },
];

/// Streams that are open at once: 8 are written, the others wait.
const OPEN: usize = 4 * PLACES;

/// Pieces after which all streams are open and 8 of them are being written.
const PIECES: usize = 16 * PLACES;

const REPLY: u32 = 48;

pub async fn run(side: &Contestant, text: &mut Text) -> Outcome<Sample> {
    // Conversations that were pushed out are part of the KV cache, and so not part of what is measured here.
    let no_store = [("FIRESIDE_LLM__KV_RAM_MIB", "0"), ("FIRESIDE_LLM__KV_DISK_MIB", "0")];
    let server = fresh_with(side, &no_store).await?;
    let ready_after = server.ready_after;
    // All buffers are touched, as they are in a server that has worked for a while: those for large pieces of a prompt too.
    let long = [Message::user(text.unique(1200) + " Summarize this.")];
    server.endpoint.chat(0, &long, REPLY).await?;
    try_join_all((0..OPEN).map(|person| {
        let prompt = question(text);
        let endpoint = &server.endpoint;
        async move { endpoint.chat(person, &prompt, REPLY).await }
    }))
    .await?;
    let process = server.process()?;
    let idle = process.resident_bytes()?;
    let buffers = llama_buffers_mib(&process.log()?);

    let prompts: Vec<_> = (0..OPEN).map(|_| question(text)).collect();
    until_all_are_open(&server.endpoint, &prompts).await?;
    let busy = process.resident_bytes()?;
    server.stop().await?;

    let beyond = buffers.map(|buffers| idle / f64::from(1 << 20) - buffers);
    Ok(vec![Some(milliseconds(ready_after)), beyond, Some((busy - idle) / 1024.0 / OPEN as f64)])
}

fn question(text: &mut Text) -> [Message; 1] {
    [Message::user(text.unique(20) + " Tell a long story.")]
}

/// Opens all streams and returns when enough was written; they are closed then.
async fn until_all_are_open(endpoint: &Endpoint, prompts: &[[Message; 1]]) -> Outcome<()> {
    let (pieces, enough) = (Cell::new(0), Notify::new());
    let (pieces, reached) = (&pieces, &enough);
    let streams = prompts.iter().enumerate().map(|(person, prompt)| {
        endpoint.stream(person, prompt, REPLY, true, move |_| {
            pieces.set(pieces.get() + 1);
            if pieces.get() == PIECES {
                reached.notify_one();
            }
        })
    });
    let streams = try_join_all(streams);
    match select(std::pin::pin!(streams), std::pin::pin!(enough.notified())).await {
        Either::Left((ended, _)) => ended.map(drop),
        Either::Right(_) => Ok(()),
    }
}

/// The sum of the buffers that llama.cpp logged, in MiB; none when it logged nothing.
fn llama_buffers_mib(log: &str) -> Option<f64> {
    let sizes = log.lines().filter_map(|line| {
        let (_, size) = line.split_once("buffer size =")?;
        size.split_whitespace().next()?.parse::<f64>().ok()
    });
    sizes.fold(None, |sum, size| Some(sum.unwrap_or(0.0) + size))
}
