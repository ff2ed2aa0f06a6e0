//! What a program reads: OpenAI's fields, and llama-server's timings.

use serde::Serialize;
use uuid::Uuid;

use super::logprobs::Logprobs;
use crate::chat::{CompletionEnd, Piece};
use crate::domain::{FinishReason, Mark, now};
use crate::engine;

/// What every part of one answer repeats.
pub(super) struct Answer {
    id: String,
    created: i64,
    model: String,
}

/// A whole answer.
#[derive(Serialize)]
pub(super) struct Whole {
    id: String,
    object: &'static str,
    created: i64,
    model: String,
    choices: [Choice; 1],
    usage: Usage,
    timings: Timings,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    marks: Vec<Mark>,
}

#[derive(Serialize)]
struct Choice {
    index: u32,
    message: Message,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Logprobs>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message {
    role: &'static str,
    content: String,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: &'a [Part<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timings: Option<Timings>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    marks: &'a [Mark],
}

#[derive(Serialize)]
struct Part<'a> {
    index: u32,
    delta: Delta<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Logprobs>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u32,
    prompt_tokens_details: PromptTokens,
}

#[derive(Serialize)]
struct PromptTokens {
    cached_tokens: u32,
}

/// Milliseconds and tokens a second; `prompt_n` leaves out the `cache_n` tokens that were still in memory.
#[derive(Serialize)]
struct Timings {
    cache_n: u32,
    queued_ms: f64,
    prompt_n: u32,
    prompt_ms: f64,
    prompt_per_second: f64,
    predicted_n: u32,
    predicted_ms: f64,
    predicted_per_second: f64,
}

impl Answer {
    pub(super) fn new(model: &engine::Model) -> Self {
        let id = format!("chatcmpl-{}", Uuid::new_v4().simple());
        Self { id, created: now() / 1000, model: model.name.clone() }
    }

    pub(super) fn whole(self, said: Piece, end: CompletionEnd) -> Whole {
        let message = Message { role: "assistant", content: said.text };
        let logprobs = Logprobs::of(said.logprobs);
        Whole {
            id: self.id,
            object: "chat.completion",
            created: self.created,
            model: self.model,
            choices: [Choice { index: 0, message, logprobs, finish_reason: word(end.reason) }],
            usage: Usage::of(&end),
            timings: Timings::of(&end),
            marks: end.marks,
        }
    }

    /// The first event of a stream: who speaks.
    pub(super) fn begin(&self) -> Vec<u8> {
        self.part(Delta { role: Some("assistant"), content: Some("") }, None, None, None, &[])
    }

    /// A piece of the reply.
    pub(super) fn piece(&self, piece: Piece) -> Vec<u8> {
        let delta = Delta { role: None, content: Some(&piece.text) };
        self.part(delta, Logprobs::of(piece.logprobs), None, None, &[])
    }

    /// The last events: why it ended, and the cost where it was asked for.
    pub(super) fn end(&self, end: &CompletionEnd, include_usage: bool) -> Vec<u8> {
        let timings = (!include_usage).then(|| Timings::of(end));
        let mut events = self.part(Delta::default(), None, Some(word(end.reason)), timings, &end.marks);
        if include_usage {
            let chunk = self.chunk(&[], Some(Usage::of(end)), Some(Timings::of(end)), &[]);
            events.extend(event(&chunk));
        }
        events.extend(b"data: [DONE]\n\n");
        events
    }

    fn part(
        &self,
        delta: Delta<'_>,
        logprobs: Option<Logprobs>,
        finish_reason: Option<&'static str>,
        timings: Option<Timings>,
        marks: &[Mark],
    ) -> Vec<u8> {
        event(&self.chunk(&[Part { index: 0, delta, logprobs, finish_reason }], None, timings, marks))
    }

    fn chunk<'a>(
        &'a self,
        choices: &'a [Part<'a>],
        usage: Option<Usage>,
        timings: Option<Timings>,
        marks: &'a [Mark],
    ) -> Chunk<'a> {
        let Self { id, created, model } = self;
        Chunk {
            id,
            object: "chat.completion.chunk",
            created: *created,
            model,
            choices,
            usage,
            timings,
            marks,
        }
    }
}

impl Whole {
    pub(super) fn to_json(&self) -> Vec<u8> {
        framed(b"", self, b"\n")
    }
}

impl Usage {
    fn of(end: &CompletionEnd) -> Self {
        Self {
            prompt_tokens: end.usage.prompt_tokens,
            completion_tokens: end.usage.completion_tokens,
            total_tokens: end.usage.prompt_tokens + end.usage.completion_tokens,
            prompt_tokens_details: PromptTokens { cached_tokens: end.timings.reused_tokens },
        }
    }
}

impl Timings {
    fn of(end: &CompletionEnd) -> Self {
        let engine::Timings { waited, prefill, decode, reused_tokens } = end.timings;
        let prompt_n = end.usage.prompt_tokens.saturating_sub(reused_tokens);
        let predicted_n = end.usage.completion_tokens;
        let per_second =
            |tokens: u32, seconds: f64| if seconds > 0.0 { f64::from(tokens) / seconds } else { 0.0 };
        Self {
            cache_n: reused_tokens,
            queued_ms: waited.as_secs_f64() * 1e3,
            prompt_n,
            prompt_ms: prefill.as_secs_f64() * 1e3,
            prompt_per_second: per_second(prompt_n, prefill.as_secs_f64()),
            predicted_n,
            predicted_ms: decode.as_secs_f64() * 1e3,
            predicted_per_second: per_second(predicted_n, decode.as_secs_f64()),
        }
    }
}

/// OpenAI knows two reasons: the reply is whole, or it was cut.
fn word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Length => "length",
        FinishReason::Stop | FinishReason::Cancelled | FinishReason::Plugin => "stop",
    }
}

/// JSON between two texts. It has no line ends of its own, so it fits an event's `data`.
pub(super) fn framed(before: &[u8], value: &impl Serialize, after: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(256);
    text.extend(before);
    if let Err(error) = serde_json::to_writer(&mut text, value) {
        tracing::error!(%error, "an answer could not be written");
    }
    text.extend(after);
    text
}

/// One server-sent event: clients insist on the space behind `data:`.
fn event(value: &impl Serialize) -> Vec<u8> {
    framed(b"data: ", value, b"\n\n")
}
