//! Where plugins rehearse: each hook of each plugin alone, in the order of a server.

use std::sync::Arc;

use serde_json::Value;

use super::choices::Plugin;
use super::diff::{DiffLine, diff_lines};
use super::draft;
use super::hooks::{Context, Denied, Draft, Hook, MessageAction, RenderedSegment, ResponseAction};
use super::rehearsal::{Outcome, Rehearsal, Rehearsed, Step, Template};
use super::set::{Member, PluginSet};
use super::trial;
use super::value::to_json;
use super::workbench::Workbench;
use crate::domain::{Mark, PromptMessage, Role};

/// Largest draft that is shown, in bytes.
const MAX_DRAFT_BYTES: usize = 64 << 20;

pub(super) struct Stage {
    pub(super) ctx: Context,
    /// In the order of the way in.
    actors: Vec<Actor>,
    pub(super) told: Rehearsed,
}

/// One plugin as a set of its own, so that what it does is seen alone.
#[derive(Clone)]
struct Actor {
    plugin: Arc<Plugin>,
    set: Arc<PluginSet>,
}

impl Stage {
    pub(super) fn new(bench: &Workbench) -> Self {
        let mut plugins: Vec<_> = bench.pieces.iter().filter_map(|piece| piece.plugin.clone()).collect();
        plugins.sort_by_key(|plugin| (plugin.manifest.priority, plugin.id.clone()));
        let actor = |plugin: Arc<Plugin>| {
            let set = PluginSet::new(bench.sandbox.clone(), vec![Member::Loaded(plugin.clone())]);
            Actor { plugin, set: Arc::new(set) }
        };
        let actors = plugins.into_iter().map(actor).collect();
        Self { ctx: trial::context(), actors, told: Rehearsed::default() }
    }

    /// The message as `on_message` left it, if the model is asked.
    pub(super) async fn message(&mut self, mut text: String) -> Option<String> {
        self.show("message", &text);
        for actor in self.actors.clone() {
            let plugin = &actor.plugin;
            if plugin.commands.is_empty() && !plugin.hooks.contains(&Hook::OnMessage) {
                continue;
            }
            let outcome = match actor.set.on_message(&self.ctx, text.clone()).await {
                Ok(outcome) => outcome,
                Err(denied) => {
                    self.refused(Hook::OnMessage, &actor, denied);
                    return None;
                }
            };
            match outcome.action {
                MessageAction::Continue(after) => {
                    self.passed(Hook::OnMessage, &actor, &text, &after, outcome.marks);
                    text = after;
                }
                MessageAction::Reply { reply, .. } => {
                    self.said(Hook::OnMessage, &actor, Outcome::Answers, &reply);
                    return None;
                }
            }
        }
        Some(text)
    }

    pub(super) async fn prompt(&mut self, rehearsal: &Rehearsal, message: &str) -> Option<Draft> {
        let system = rehearsal.system_prompt.trim();
        let system = (!system.is_empty()).then(|| said(Role::System, system));
        let history = rehearsal.history.iter().cloned();
        let messages = system.into_iter().chain(history).chain([said(Role::User, message)]).collect();
        let base = Draft { messages, params: rehearsal.params.clone(), ..Draft::default() };
        let mut draft = base.clone();
        self.show("draft", &lines(&draft, &base));
        for actor in self.taking_part(Hook::OnPrompt) {
            match actor.set.on_prompt(&self.ctx, draft.clone()).await {
                Err(denied) => {
                    self.refused(Hook::OnPrompt, &actor, denied);
                    return None;
                }
                Ok((after, marks)) => {
                    self.passed(Hook::OnPrompt, &actor, &lines(&draft, &base), &lines(&after, &base), marks);
                    draft = after;
                }
            }
        }
        Some(draft)
    }

    pub(super) async fn rendered(&mut self, template: Template, draft: Draft) {
        let actors = self.taking_part(Hook::OnRendered);
        if actors.is_empty() {
            return;
        }
        let rendered = tokio::task::spawn_blocking(move || template(draft)).await;
        let mut segments = match rendered.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(segments) => segments,
            Err(why) => {
                self.told.failed = true;
                return self.tell("prompt", None, Outcome::Failed(why), Vec::new());
            }
        };
        self.show("prompt", &segment_lines(&segments));
        for actor in actors {
            match actor.set.on_rendered(&self.ctx, segments.clone()).await {
                Err(denied) => return self.refused(Hook::OnRendered, &actor, denied),
                Ok((after, marks)) => {
                    let (before, now) = (segment_lines(&segments), segment_lines(&after));
                    self.passed(Hook::OnRendered, &actor, &before, &now, marks);
                    segments = after;
                }
            }
        }
    }

    /// The reply as `on_chunk` left it, given as one piece.
    pub(super) async fn chunks(&mut self, mut text: String) -> Option<String> {
        self.show("reply", &text);
        for actor in self.taking_part(Hook::OnChunk).into_iter().rev() {
            match actor.set.stream(&self.ctx).whole(text.clone()).await {
                Err(denied) => {
                    self.refused(Hook::OnChunk, &actor, denied);
                    return None;
                }
                Ok((after, marks)) => {
                    self.passed(Hook::OnChunk, &actor, &text, &after, marks);
                    text = after;
                }
            }
        }
        Some(text)
    }

    pub(super) async fn response(&mut self, mut text: String) -> Option<String> {
        for actor in self.taking_part(Hook::OnResponse).into_iter().rev() {
            match actor.set.on_response(&self.ctx, text.clone()).await {
                Err(denied) => {
                    self.refused(Hook::OnResponse, &actor, denied);
                    return None;
                }
                Ok(outcome) => match outcome.action {
                    ResponseAction::Keep(after) => {
                        self.passed(Hook::OnResponse, &actor, &text, &after, outcome.marks);
                        text = after;
                    }
                    ResponseAction::Retry(retry) => {
                        self.said(Hook::OnResponse, &actor, Outcome::AsksAgain, &retry.hint);
                        return None;
                    }
                },
            }
        }
        Some(text)
    }

    pub(super) async fn title(&mut self, message: String, reply: String) {
        let exchange = vec![said(Role::User, &message), said(Role::Assistant, &reply)];
        let ctx = Context { kind: "title", ..self.ctx.clone() };
        for actor in self.taking_part(Hook::OnTitle) {
            match actor.set.on_title(&ctx, exchange.clone()).await {
                Err(denied) => return self.refused(Hook::OnTitle, &actor, denied),
                Ok((Some(title), _)) => return self.said(Hook::OnTitle, &actor, Outcome::Names, &title),
                Ok((None, marks)) => self.passed(Hook::OnTitle, &actor, "", "", marks),
            }
        }
    }

    fn taking_part(&self, hook: Hook) -> Vec<Actor> {
        self.actors.iter().filter(|actor| actor.plugin.hooks.contains(&hook)).cloned().collect()
    }

    fn show(&mut self, what: &'static str, text: &str) {
        self.tell(what, None, Outcome::Shown, diff_lines(text, text));
    }

    fn said(&mut self, hook: Hook, actor: &Actor, outcome: Outcome, text: &str) {
        self.tell(hook.name(), Some(actor), outcome, diff_lines(text, text));
    }

    fn passed(&mut self, hook: Hook, actor: &Actor, before: &str, after: &str, marks: Vec<Mark>) {
        self.told.failed |= !marks.is_empty();
        let (outcome, lines) = match marks.into_iter().next() {
            Some(mark) => (Outcome::Failed(mark.text), Vec::new()),
            None if before == after => (Outcome::Unchanged, Vec::new()),
            None => (Outcome::Changed, diff_lines(before, after)),
        };
        self.tell(hook.name(), Some(actor), outcome, lines);
    }

    fn refused(&mut self, hook: Hook, actor: &Actor, denied: Denied) {
        self.told.failed |= actor.plugin.breaker.has_failures();
        self.tell(hook.name(), Some(actor), Outcome::Refuses(denied.reason), Vec::new());
    }

    fn tell(&mut self, what: &'static str, actor: Option<&Actor>, outcome: Outcome, lines: Vec<DiffLine>) {
        let plugin = actor.map(|actor| actor.plugin.id.clone());
        self.told.steps.push(Step { what, plugin, outcome, lines });
    }
}

fn said(role: Role, content: &str) -> PromptMessage {
    PromptMessage { role, content: content.into(), token_ids: None }
}

fn segment_lines(segments: &[RenderedSegment]) -> String {
    let line = |segment: &RenderedSegment| {
        format!("{}: {}\n", segment.origin.as_str(), segment.text.replace('\n', "\n    "))
    };
    segments.iter().map(line).collect()
}

/// A draft as lines: its messages, and everything else that is no longer as in `base`.
fn lines(draft: &Draft, base: &Draft) -> String {
    let mut text = String::new();
    for message in &draft.messages {
        let content = message.content.replace('\n', "\n    ");
        text.push_str(&format!("{}: {content}\n", message.role.as_str()));
    }
    let json = |draft| to_json(&draft::to_script(draft), MAX_DRAFT_BYTES).unwrap_or_default();
    push_changes(&mut text, "", &json(draft), &json(base));
    text
}

fn push_changes(text: &mut String, path: &str, value: &Value, base: &Value) {
    for (key, value) in value.as_object().into_iter().flatten().filter(|(key, _)| *key != "messages") {
        let before = &base[key];
        match value {
            _ if value == before => {}
            Value::Object(_) if before.is_object() => {
                push_changes(text, &format!("{path}{key}."), value, before)
            }
            _ => text.push_str(&format!("{path}{key} = {value}\n")),
        }
    }
}
