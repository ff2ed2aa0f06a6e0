//! What is gathered of a reply's trace while it is written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::parameters::InEffect;
use super::prompt::Request;
use super::{Chat, ChatError, reasoning};
use crate::domain::{
    ConversationId, Message, MessageId, ParamTrace, PartOrigin, PromptPart, Reread, Role, SamplingParams,
    SetBy, Spent, Trace, User,
};
use crate::engine::{Finished, Model, Origin, Segment};
use crate::plugins::{AskedBy, Draft, MessageOrigin, Recorder};
use crate::store::StoreError;

impl Chat {
    /// How a reply of the person's came about; none while it runs, and for one of which nothing was kept.
    pub async fn trace(
        &self,
        user: &User,
        conversation: ConversationId,
        reply: MessageId,
    ) -> Result<(Message, Option<Trace>), ChatError> {
        let message = self.message(user, conversation, reply).await?;
        if message.role != Role::Assistant {
            return Err(StoreError::NotFound.into());
        }
        Ok((message, self.store.trace(user.id, conversation, reply).await?))
    }
}

/// Tokens by which the place of a segment may be off.
const SLACK: usize = 2;

/// A trace on its way. A new attempt replaces what was gathered about the one before.
#[derive(Default)]
pub(super) struct Story {
    trace: Trace,
    /// Where each message of the request comes from.
    origins: Vec<MessageOrigin>,
    /// Grammar, schema and beginning of the reply.
    forms: Vec<(&'static str, String)>,
    sent: Option<Sent>,
    /// What the prompt has opened for the reply.
    opening: String,
}

struct Sent {
    model: Arc<Model>,
    segments: Vec<Segment>,
}

impl Story {
    /// The draft as the plugins left it. `seals_reply`: what the reply begins with is part of what must not be kept.
    pub(super) fn drafted(&mut self, recorder: &Recorder, draft: &Draft, seals_reply: bool) {
        self.origins = recorder.origins(&draft.messages);
        let forms =
            [("grammar", &draft.grammar), ("json_schema", &draft.json_schema), ("prefill", &draft.prefill)];
        self.forms = forms.into_iter().filter_map(|(key, text)| Some((key, text.clone()?))).collect();
        if draft.prefill.is_some() {
            let by = recorder.asked().remove("prefill");
            let origin = if by.is_some() { PartOrigin::Plugin } else { PartOrigin::Assistant };
            let withheld = by.is_some() && seals_reply || by.as_ref().is_some_and(|by| by.withheld);
            let plugins = by.into_iter().map(|by| by.plugin).collect();
            self.origins.push(MessageOrigin { origin, number: None, plugins, withheld });
        }
    }

    /// The parameters within the operator's limits; `own` are those before any plugin.
    pub(super) fn settled(
        &mut self,
        request: &Request,
        own: &InEffect,
        asked: &BTreeMap<String, AskedBy>,
        seals_reply: bool,
    ) {
        let before = as_json(&own.params);
        let set_by = |key: &str| own.set_by.get(key).cloned().unwrap_or(SetBy::Operator);
        let params = as_json(&request.params).into_iter().map(|(key, value)| {
            let lowered = request.lowered.iter().find(|lowered| lowered.key == key);
            let by = asked.get(&key);
            let withheld = by.is_some_and(|by| by.withheld) && !value.is_number();
            let by = match (lowered, by) {
                (Some(lowered), by) => {
                    let plugin = by.map(|by| by.plugin.clone());
                    SetBy::Limit { plugin, asked: lowered.asked.clone() }
                }
                (None, Some(by)) if before.get(&key) != Some(&value) => SetBy::Plugin(by.plugin.clone()),
                _ => set_by(&key),
            };
            ParamTrace { key, value: (!withheld).then(|| value.to_string()), by }
        });
        let mut params: Vec<_> = params.collect();
        params.extend(self.forms.drain(..).map(|(key, text)| {
            let by = asked.get(key);
            let withheld = by.is_some_and(|by| by.withheld) || key == "prefill" && seals_reply;
            let by = by.map_or_else(|| set_by(key), |by| SetBy::Plugin(by.plugin.clone()));
            ParamTrace { key: key.to_owned(), value: (!withheld).then_some(text), by }
        }));
        // Its text stands in the prompt, unless a plugin took it out there.
        params.extend(own.set_by.get("system_prompt").map(|by| ParamTrace {
            key: "system_prompt".into(),
            value: Some(format!("{} characters", own.system_prompt.chars().count())),
            by: by.clone(),
        }));
        params.sort_by_key(|param| param.by == SetBy::Operator);
        self.trace.params = params;
    }

    /// A plugin asked for another reply: its hint stands at `at` among the messages. It may quote what must not be seen.
    pub(super) fn hinted(&mut self, plugin: String, at: usize) {
        let (origin, plugins) = (PartOrigin::Plugin, vec![plugin]);
        let hint = MessageOrigin { origin, number: None, plugins, withheld: true };
        self.origins.insert(at.min(self.origins.len()), hint);
    }

    /// What the model will read.
    pub(super) fn sent(
        &mut self,
        recorder: &Recorder,
        model: &Arc<Model>,
        segments: &[Segment],
        left_out: usize,
    ) {
        self.trace.model.clone_from(&model.name);
        self.trace.attempts += 1;
        (self.trace.spent, self.trace.seed) = (None, None);
        self.trace.left_out = left_out;
        self.trace.prompt = self.parts(recorder, segments);
        self.sent = Some(Sent { model: Arc::clone(model), segments: segments.to_vec() });
        // What was said to the model opens nothing, whoever said it.
        let opens = |end: &&Segment| matches!(end.origin, Origin::Template | Origin::Plugin);
        let end = segments.last().filter(opens);
        self.opening = end.and_then(|end| reasoning::opened_by(&end.text)).unwrap_or_default();
    }

    /// What a reply to the prompt begins with.
    pub(super) fn opening(&self) -> &str {
        &self.opening
    }

    /// What it took.
    pub(super) fn finished(&mut self, end: &Finished) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.trace.seed = Some(end.seed);
        self.trace.spent = Some(Spent {
            queue_micros: micros(end.timings.waited),
            prefill_micros: micros(end.timings.prefill),
            decode_micros: micros(end.timings.decode),
            prompt_tokens: end.usage.prompt_tokens,
            reused_tokens: end.timings.reused_tokens,
            written_tokens: end.usage.completion_tokens,
        });
    }

    /// The trace, within its bound.
    pub(super) async fn end(mut self, recorder: &Recorder) -> Trace {
        let recorder = recorder.clone();
        let bounded = move || {
            // A hook that still runs may be writing to it.
            self.trace.hooks = recorder.hooks();
            self.trace.reread = self.reread();
            self.trace.bounded()
        };
        tokio::task::spawn_blocking(bounded).await.unwrap_or_else(|error| {
            tracing::error!("a trace is lost: {error}");
            Trace::default()
        })
    }

    /// A template that cuts a message up leaves pieces of it among its own text: where one is missing whose text must not be
    /// kept, the template's is not kept either.
    fn parts(&self, recorder: &Recorder, segments: &[Segment]) -> Vec<PromptPart> {
        let stands = |at| segments.iter().any(|it| it.message == Some(at) && !it.text.is_empty());
        let lost = self.origins.iter().enumerate().any(|(at, origin)| origin.withheld && !stands(at));
        let mut parts: Vec<_> = segments.iter().map(|segment| self.part(recorder, segment)).collect();
        for part in parts.iter_mut().filter(|part| lost && part.origin == PartOrigin::Template) {
            part.text = None;
        }
        parts
    }

    fn part(&self, recorder: &Recorder, segment: &Segment) -> PromptPart {
        let known = segment.message.and_then(|at| self.origins.get(at)).cloned();
        let (origin, by) = match segment.origin {
            Origin::Template => (PartOrigin::Template, None),
            Origin::System => (PartOrigin::System, None),
            Origin::User => (PartOrigin::User, None),
            Origin::Assistant => (PartOrigin::Assistant, None),
            Origin::Plugin => (PartOrigin::Plugin, recorder.rendered_by(&segment.text)),
        };
        let known = known.unwrap_or_else(|| MessageOrigin {
            origin,
            number: None,
            withheld: by.as_ref().map_or(origin == PartOrigin::Plugin, |by| by.withheld),
            plugins: by.into_iter().map(|by| by.plugin).collect(),
        });
        PromptPart {
            origin: known.origin,
            number: known.number,
            plugins: known.plugins,
            chars: segment.text.chars().count(),
            text: (!known.withheld).then(|| segment.text.clone()),
        }
    }

    /// The tokens of earlier messages that had to be read again, if the prompt left what was in memory where a plugin had a
    /// hand in it.
    fn reread(&self) -> Option<Reread> {
        let (spent, Sent { model, segments }) = (self.trace.spent?, self.sent.as_ref()?);
        let newest = segments.iter().rposition(|segment| segment.origin == Origin::User)?;
        let earlier = |segment: &Segment| matches!(segment.origin, Origin::User | Origin::Assistant);
        if !segments[..newest].iter().any(earlier) {
            return None;
        }
        let changed = self.trace.prompt[..newest].iter().position(|part| !part.plugins.is_empty())?;
        let reused = spent.reused_tokens as usize;
        let tail = model.count_segments(&segments[newest..]);
        let tokens =
            (spent.prompt_tokens as usize).checked_sub(tail + reused).filter(|tokens| *tokens > SLACK)?;
        (changed..newest)
            .filter(|at| !self.trace.prompt[*at].plugins.is_empty())
            .find_map(|at| {
                // What stands before a message that was not there belongs to it too.
                let from = at - usize::from(at > 0 && segments[at - 1].origin == Origin::Template);
                let before = model.count_segments(&segments[..from]);
                let behind = before + model.count_segments(&segments[from..=at]);
                let here = before.saturating_sub(SLACK) <= reused && reused <= behind;
                here.then(|| self.trace.prompt[at].plugins.last().cloned()).flatten()
            })
            .map(|plugin| Reread { plugin, tokens })
    }
}

/// Through text, because a 32-bit float then keeps its short form.
pub(super) fn as_json(params: &SamplingParams) -> serde_json::Map<String, Value> {
    let text = serde_json::to_string(params).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_not_be_kept_is_not_found_in_the_template_that_cut_it_up() {
        let message = |withheld| MessageOrigin {
            origin: PartOrigin::Assistant,
            number: Some(1),
            plugins: Vec::new(),
            withheld,
        };
        let segment = |origin, message, text: &str| Segment::new(origin, message, text.into());
        let cut = [
            segment(Origin::Template, None, "<assistant>the secret"),
            segment(Origin::Assistant, Some(0), ""),
            segment(Origin::Template, None, "<end>"),
        ];
        let whole = [
            segment(Origin::Template, None, "<assistant>"),
            segment(Origin::Assistant, Some(0), "the secret"),
            segment(Origin::Template, None, "<end>"),
        ];
        let texts = |withheld, segments: &[Segment]| {
            let story = Story { origins: vec![message(withheld)], ..Story::default() };
            let parts = story.parts(&Recorder::default(), segments);
            parts.into_iter().map(|part| part.text).collect::<Vec<_>>()
        };
        let some = |text: &str| Some(text.to_owned());

        assert_eq!(texts(true, &cut), [None, None, None]);
        assert_eq!(texts(true, &whole), [some("<assistant>"), None, some("<end>")]);
        assert_eq!(texts(false, &cut), [some("<assistant>the secret"), some(""), some("<end>")]);
    }
}
