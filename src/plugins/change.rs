//! What a hook changed, as places and short differences.

use serde_json::Value;

use super::diff::diff;
use super::draft::params_as_json;
use super::hooks::{Draft, RenderedSegment, SegmentOrigin};
use super::trace::{AskedBy, MessageOrigin, Record};
use crate::domain::{Change, PartOrigin, PromptMessage, Role};

/// Longest side of a difference, in characters …
const MAX_CHARS: usize = 2_000;
/// … and in lines.
const MAX_LINES: usize = 60;
/// Most bytes of a line that are shown around what changed in it.
const CONTEXT: usize = 120;
/// Above so many pairs of messages, what a plugin returned is not matched with what it was given.
const MAX_PAIRS: usize = 10_000;

/// Most texts that plugins put into one rendered prompt and that stay theirs.
const MAX_RENDERED: usize = 500;

/// Whose changes are looked at, and what may be kept of them.
pub(super) struct By<'a> {
    pub(super) plugin: &'a str,
    /// What a text that it is given is called.
    pub(super) text: &'static str,
    /// Whether the text may be kept.
    pub(super) keeps: bool,
    /// No text of the reply may be kept, nor what it begins with.
    pub(super) seals_reply: bool,
}

/// A value that passes through a chain.
pub(super) trait Traced: Sized {
    /// What of it is set by name and was set to something else: name, before, after.
    fn asked(_: &Self, _: &Self) -> Vec<(String, String, String)> {
        Vec::new()
    }

    /// Everything that differs.
    fn changes(
        before: &Self,
        after: &Self,
        asked: Vec<(String, String, String)>,
        by: &By<'_>,
        record: &mut Record,
    ) -> Vec<Change>;
}

impl By<'_> {
    fn asked(&self) -> AskedBy {
        AskedBy { plugin: self.plugin.to_owned(), withheld: !self.keeps }
    }
}

impl Traced for String {
    fn changes(
        before: &Self,
        after: &Self,
        _: Vec<(String, String, String)>,
        by: &By<'_>,
        _: &mut Record,
    ) -> Vec<Change> {
        of_text(by.text.into(), before, after, by.keeps).into_iter().collect()
    }
}

impl Traced for Draft {
    fn asked(before: &Self, after: &Self) -> Vec<(String, String, String)> {
        let mut asked = Vec::new();
        if before.params != after.params {
            let old = params_as_json(&before.params);
            for (key, new) in params_as_json(&after.params) {
                let old = old.get(&key).unwrap_or(&Value::Null);
                if *old != new {
                    asked.push((key, old.to_string(), new.to_string()));
                }
            }
            asked.sort();
        }
        for (key, old, new) in [
            ("grammar", &before.grammar, &after.grammar),
            ("json_schema", &before.json_schema, &after.json_schema),
            ("prefill", &before.prefill, &after.prefill),
        ] {
            if old != new {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                asked.push((key.to_owned(), text(old), text(new)));
            }
        }
        asked
    }

    fn changes(
        before: &Self,
        after: &Self,
        asked: Vec<(String, String, String)>,
        by: &By<'_>,
        record: &mut Record,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        if before.messages != after.messages {
            messages(&before.messages, &after.messages, by, record, &mut changes);
        }
        changes.extend(asked.into_iter().filter_map(|(key, old, new)| {
            let keeps = by.keeps && !(key == "prefill" && by.seals_reply);
            of_text(key, &old, &new, keeps)
        }));
        changes
    }
}

impl Traced for Vec<RenderedSegment> {
    fn changes(
        before: &Self,
        after: &Self,
        _: Vec<(String, String, String)>,
        by: &By<'_>,
        record: &mut Record,
    ) -> Vec<Change> {
        let head = before.iter().zip(after).take_while(|(old, new)| old == new).count();
        let (old, new) = (&before[head..], &after[head..]);
        let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
        let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);
        // What the reply begins with is part of it.
        let of_the_model = |segment: &RenderedSegment| segment.origin == SegmentOrigin::Assistant;
        let keeps = by.keeps && !(by.seals_reply && old.iter().chain(new).any(of_the_model));
        let by = By { keeps, ..*by };
        for segment in new.iter().filter(|segment| segment.origin == SegmentOrigin::Plugin) {
            // The last of the same text counts; one that was there before is its maker's.
            if record.rendered.len() < MAX_RENDERED && !old.contains(segment) {
                record.rendered.push((segment.text.clone(), by.asked()));
            }
        }
        let text = |segments: &[RenderedSegment]| {
            segments.iter().map(|segment| segment.text.as_str()).collect::<String>()
        };
        let mut change = of_text("rendered prompt".into(), &text(old), &text(new), by.keeps);
        if let Some(change) = &mut change {
            change.at += before[..head].iter().map(|segment| segment.text.chars().count()).sum::<usize>();
        }
        change.into_iter().collect()
    }
}

/// A conversation that gets its name; nobody changes it.
impl Traced for Vec<PromptMessage> {
    fn changes(
        _: &Self,
        _: &Self,
        _: Vec<(String, String, String)>,
        _: &By<'_>,
        _: &mut Record,
    ) -> Vec<Change> {
        Vec::new()
    }
}

/// The difference of two texts; none where there is none.
pub(super) fn of_text(part: String, before: &str, after: &str, keeps: bool) -> Option<Change> {
    if before == after {
        return None;
    }
    let same = |(left, right): &(char, char)| left == right;
    let start = before.chars().zip(after.chars()).take_while(same).map(|(c, _)| c.len_utf8()).sum();
    let (old, new) = (&before[start..], &after[start..]);
    let backwards = old.chars().rev().zip(new.chars().rev());
    let tail: usize = backwards.take_while(same).map(|(c, _)| c.len_utf8()).sum();
    let (old_end, new_end) = (before.len() - tail, after.len() - tail);
    let chars = |text: &str| text.chars().count();
    Some(Change {
        part,
        at: chars(&before[..start]),
        removed: chars(&before[start..old_end]),
        added: chars(&after[start..new_end]),
        diff: keeps.then(|| diff(&excerpt(before, start, old_end), &excerpt(after, start, new_end))),
    })
}

/// What lies between two places, with the rest of its lines as far as they are short.
fn excerpt(text: &str, from: usize, to: usize) -> String {
    let line = text[..from].rfind('\n').map_or(0, |at| at + 1);
    let begin = text.ceil_char_boundary(line.max(from.saturating_sub(CONTEXT)));
    let line = text[to..].find('\n').map_or(text.len(), |at| to + at);
    let end = text.floor_char_boundary(line.min(to + CONTEXT));
    let ahead = if begin > 0 && !text[..begin].ends_with('\n') { "…" } else { "" };
    let mut shown = format!("{ahead}{}", &text[begin..end]);
    let lines = shown.match_indices('\n').nth(MAX_LINES).map_or(shown.len(), |(at, _)| at);
    let cut = shown.char_indices().nth(MAX_CHARS).map_or(shown.len(), |(at, _)| at).min(lines);
    if cut < shown.len() || end < line {
        shown.truncate(cut);
        shown.push('…');
    }
    shown
}

/// What became of each message, and whose they are now.
fn messages(
    before: &[PromptMessage],
    after: &[PromptMessage],
    by: &By<'_>,
    record: &mut Record,
    changes: &mut Vec<Change>,
) {
    let known = record.messages.take().filter(|known| known.len() == before.len());
    let old = known.unwrap_or_else(|| super::trace::origins(before));
    let sources = sources(before, after);
    let mut origins = Vec::with_capacity(after.len());
    for (message, source) in after.iter().zip(&sources) {
        let (mut origin, was) = match source {
            Some(at) => (old[*at].clone(), before[*at].content.as_str()),
            None => {
                let (origin, plugins) = (PartOrigin::Plugin, Vec::new());
                (MessageOrigin { origin, number: None, plugins, withheld: false }, "")
            }
        };
        if source.is_none() || was != message.content {
            // What the reply begins with is part of it.
            let keeps = by.keeps && !(message.role == Role::Assistant && by.seals_reply);
            let part = match source {
                Some(_) => origin.name(message.role),
                None => format!("new message ({})", message.role.as_str()),
            };
            changes.extend(of_text(part, was, &message.content, keeps));
            origin.withheld |= !keeps;
            if !origin.plugins.iter().any(|plugin| plugin == by.plugin) {
                origin.plugins.push(by.plugin.to_owned());
            }
        }
        origins.push(origin);
    }
    for (at, message) in before.iter().enumerate().filter(|(at, _)| !sources.contains(&Some(*at))) {
        let part = format!("{}, left out", old[at].name(message.role));
        changes.extend(of_text(part, &message.content, "", by.keeps && !old[at].withheld));
    }
    record.messages = Some(origins);
}

impl MessageOrigin {
    fn name(&self, role: Role) -> String {
        match (self.number, role) {
            (Some(1), Role::System) => "system message".into(),
            (Some(number), role) => format!("{} message {number}", role.as_str()),
            (None, role) => format!("message of {} ({})", self.plugins.join(", "), role.as_str()),
        }
    }
}

/// For each message of `after` the one of `before` that it was: the same, or one of the same role in its place.
fn sources(before: &[PromptMessage], after: &[PromptMessage]) -> Vec<Option<usize>> {
    let same = |left: &PromptMessage, right: &PromptMessage| {
        left.role == right.role && left.content == right.content
    };
    let head = before.iter().zip(after).take_while(|(old, new)| same(old, new)).count();
    let backwards = before[head..].iter().rev().zip(after[head..].iter().rev());
    let tail = backwards.take_while(|(old, new)| same(old, new)).count();
    let (old_end, new) = (before.len() - tail, &after[head..after.len() - tail]);
    let too_many = (old_end - head).saturating_mul(new.len()) > MAX_PAIRS;
    let stands = |old: &PromptMessage| !too_many && new.iter().any(|other| same(other, old));
    let stands: Vec<bool> = before[head..old_end].iter().map(stands).collect();
    let mut from = head;
    let mut sources: Vec<_> = (0..head).map(Some).collect();
    for message in new {
        let is_its_version = |at: &usize| before[*at].role == message.role && !stands[*at - head];
        let rest = if too_many { old_end..old_end } else { from..old_end };
        let unchanged = rest.clone().find(|at| same(&before[*at], message));
        let source = unchanged.or_else(|| rest.clone().find(is_its_version));
        from = source.map_or(from, |at| at + 1);
        sources.push(source);
    }
    sources.extend((old_end..before.len()).map(Some));
    sources
}
