//! What a reply took, and how full the model's context is, in numbers.

use serde::Serialize;

use super::traces::duration;
use super::views::grouped;
use crate::chat::Chat;
use crate::domain::{Message, Trace};

/// Share of the context, in percent, from which on a reader should expect the oldest messages to be left out.
const NEARLY_FULL: u32 = 85;

/// How much of the model's context the newest reply used.
#[derive(Serialize)]
pub struct ContextView {
    used: u32,
    of: u32,
    nearly_full: u32,
    /// Both numbers, as people read them.
    in_words: [String; 2],
    percent: u32,
}

impl ContextView {
    /// Of the newest of these messages that cost something; none while the model is not loaded.
    pub fn new(chat: &Chat, messages: &[Message]) -> Option<Self> {
        let of = chat.model().ok()?.n_ctx;
        let usage = messages.iter().rev().find_map(|message| message.usage)?;
        // What was read and written for a plugin that wanted another reply counts as cost, but did not stay.
        let used = usage.prompt_tokens.saturating_add(usage.completion_tokens).min(of);
        let percent = |part: u32| u32::try_from(u64::from(part) * 100 / u64::from(of.max(1))).unwrap_or(100);
        Some(Self {
            used,
            of,
            nearly_full: u32::try_from(u64::from(of) * u64::from(NEARLY_FULL) / 100).unwrap_or(of),
            in_words: [used, of].map(|tokens| grouped(tokens.into())),
            percent: percent(used),
        })
    }
}

/// A line about a reply: which text tells it, and its numbers.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Figure {
    says: &'static str,
    count: String,
    /// Tokens that were in memory.
    reused: String,
}

impl Figure {
    fn new(says: &'static str, count: String) -> Self {
        Self { says, count, reused: String::new() }
    }
}

/// Tokens, speed and waiting time of a reply.
pub(super) fn figures(reply: &Message, trace: Option<&Trace>) -> Vec<Figure> {
    let Some(spent) = trace.and_then(|trace| trace.spent) else {
        return match reply.usage {
            Some(usage) => vec![
                Figure::new("written", grouped(usage.completion_tokens.into())),
                Figure::new("read", grouped(usage.prompt_tokens.into())),
            ],
            None => vec![Figure::new("none", String::new())],
        };
    };
    let seconds = spent.decode_micros as f64 / 1e6;
    // The first token comes with the reading of the prompt.
    let speed = f64::from(spent.written_tokens.saturating_sub(1)) / seconds;
    let mut lines = vec![Figure::new("written", grouped(spent.written_tokens.into()))];
    if speed.is_finite() && speed > 0.0 {
        lines.push(Figure::new("speed", format!("{speed:.1}")));
    }
    let read = grouped(spent.prompt_tokens.into());
    lines.push(match spent.reused_tokens {
        0 => Figure::new("read", read),
        reused => Figure { reused: grouped(reused.into()), ..Figure::new("read_partly", read) },
    });
    let first = spent.queue_micros.saturating_add(spent.prefill_micros);
    lines.push(Figure::new("first", duration(first)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ConversationId, MessageId, MessageStatus, Role, Spent, Usage};

    fn told(reply: &Message, trace: Option<&Trace>) -> Vec<String> {
        let line = |Figure { says, count, reused }| format!("{says} {count} {reused}").trim_end().to_owned();
        figures(reply, trace).into_iter().map(line).collect()
    }

    fn reply(usage: Option<Usage>) -> Message {
        Message {
            id: MessageId::UNKNOWN,
            conversation_id: ConversationId::UNKNOWN,
            parent_id: None,
            role: Role::Assistant,
            content: "Yes.".into(),
            status: MessageStatus::Complete,
            finish_reason: None,
            error: None,
            marks: Vec::new(),
            usage,
            seed: None,
            token_ids: None,
            created_at: 0,
        }
    }

    #[test]
    fn figures_are_told_as_far_as_they_are_known() {
        let spent = Spent {
            queue_micros: 250_000,
            prefill_micros: 1_000_000,
            decode_micros: 2_000_000,
            prompt_tokens: 1_200,
            reused_tokens: 1_000,
            written_tokens: 101,
        };
        let trace = Trace { spent: Some(spent), ..Trace::default() };
        let usage = Usage { prompt_tokens: 7, completion_tokens: 3 };

        assert_eq!(
            told(&reply(None), Some(&trace)),
            ["written 101", "speed 50.0", "read_partly 1,200 1,000", "first 1.2 s"]
        );
        assert_eq!(told(&reply(Some(usage)), None), ["written 3", "read 7"]);
        assert_eq!(told(&reply(None), None), ["none"]);
    }

    #[test]
    fn a_reply_that_came_at_once_has_no_speed() {
        let spent = Spent {
            queue_micros: 0,
            prefill_micros: 0,
            decode_micros: 0,
            prompt_tokens: 1,
            reused_tokens: 0,
            written_tokens: 1,
        };

        let lines = told(&reply(None), Some(&Trace { spent: Some(spent), ..Trace::default() }));

        assert_eq!(lines, ["written 1", "read 1", "first 0 µs"]);
    }
}
