//! A message's way through plugins without a model, and what each hook changed on it.

use std::sync::Arc;

use serde_json::Value;

use super::choices::Plugin;
use super::diff::diff;
use super::draft;
use super::hooks::{Context, Denied, Draft, Hook, MessageAction, ResponseAction};
use super::set::{Member, PluginSet};
use super::trial;
use super::value::to_json;
use super::workbench::Workbench;
use crate::domain::{Mark, PromptMessage, Role, SamplingParams};

/// Largest draft that is shown, in bytes.
const MAX_DRAFT_BYTES: usize = 64 << 20;

/// What is passed through the plugins.
#[derive(Debug, Clone, Default)]
pub struct Rehearsal {
    /// What the user writes.
    pub message: String,
    /// What the model would answer; without it, `on_chunk` and `on_response` are not called.
    pub reply: Option<String>,
    /// The user's name; empty for that of the tests.
    pub user: String,
    /// The operator's system prompt; may be empty.
    pub system_prompt: String,
    /// The operator's sampling parameters.
    pub params: SamplingParams,
}

/// What happened, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rehearsed {
    /// A heading for each hook of each plugin, and below it the lines that it changed.
    pub text: String,
    /// Whether a plugin failed.
    pub failed: bool,
}

impl Workbench {
    /// Passes a message through commands, `on_message` and `on_prompt`, and a reply through `on_chunk` and `on_response`, of
    /// each plugin that loads, in the order of a server.
    pub async fn rehearse(&self, rehearsal: &Rehearsal) -> Rehearsed {
        let mut stage = Stage::new(self);
        if !rehearsal.user.is_empty() {
            stage.ctx.user.clone_from(&rehearsal.user);
        }
        if let Some(message) = stage.message(rehearsal.message.clone()).await {
            stage.prompt(rehearsal, &message).await;
        }
        if let Some(reply) = &rehearsal.reply
            && let Some(reply) = stage.chunks(reply.clone()).await
        {
            stage.response(reply).await;
        }
        stage.told
    }
}

struct Stage {
    ctx: Context,
    /// In the order of the way in.
    actors: Vec<Actor>,
    told: Rehearsed,
}

/// One plugin as a set of its own, so that what it does is seen alone.
#[derive(Clone)]
struct Actor {
    plugin: Arc<Plugin>,
    set: Arc<PluginSet>,
}

impl Stage {
    fn new(bench: &Workbench) -> Self {
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
    async fn message(&mut self, mut text: String) -> Option<String> {
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
                    self.show(&format!("{} answers", heading(Hook::OnMessage, &actor)), &reply);
                    return None;
                }
            }
        }
        Some(text)
    }

    async fn prompt(&mut self, rehearsal: &Rehearsal, message: &str) {
        let said = |role, content: &str| PromptMessage { role, content: content.into(), token_ids: None };
        let system = rehearsal.system_prompt.trim();
        let system = (!system.is_empty()).then(|| said(Role::System, system));
        let messages = system.into_iter().chain([said(Role::User, message)]).collect();
        let base = Draft { messages, params: rehearsal.params.clone(), ..Draft::default() };
        let mut draft = base.clone();
        self.show("draft", &lines(&draft, &base));
        for actor in self.taking_part(Hook::OnPrompt) {
            match actor.set.on_prompt(&self.ctx, draft.clone()).await {
                Err(denied) => return self.refused(Hook::OnPrompt, &actor, denied),
                Ok((after, marks)) => {
                    self.passed(Hook::OnPrompt, &actor, &lines(&draft, &base), &lines(&after, &base), marks);
                    draft = after;
                }
            }
        }
    }

    /// The reply as `on_chunk` left it, given as one piece.
    async fn chunks(&mut self, mut text: String) -> Option<String> {
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

    async fn response(&mut self, mut text: String) {
        for actor in self.taking_part(Hook::OnResponse).into_iter().rev() {
            match actor.set.on_response(&self.ctx, text.clone()).await {
                Err(denied) => return self.refused(Hook::OnResponse, &actor, denied),
                Ok(outcome) => match outcome.action {
                    ResponseAction::Keep(after) => {
                        self.passed(Hook::OnResponse, &actor, &text, &after, outcome.marks);
                        text = after;
                    }
                    ResponseAction::Retry(retry) => {
                        let heading = format!("{} asks for another reply", heading(Hook::OnResponse, &actor));
                        return self.show(&heading, &retry.hint);
                    }
                },
            }
        }
    }

    fn taking_part(&self, hook: Hook) -> Vec<Actor> {
        self.actors.iter().filter(|actor| actor.plugin.hooks.contains(&hook)).cloned().collect()
    }

    fn show(&mut self, heading: &str, text: &str) {
        self.told.text.push_str(&format!("{heading}\n{}", diff(text, text)));
    }

    fn passed(&mut self, hook: Hook, actor: &Actor, before: &str, after: &str, marks: Vec<Mark>) {
        self.told.failed |= !marks.is_empty();
        let heading = heading(hook, actor);
        let told = match marks.first() {
            Some(mark) => format!("{heading}: {}\n", mark.text),
            None if before == after => format!("{heading} changes nothing\n"),
            None => format!("{heading}\n{}", diff(before, after)),
        };
        self.told.text.push_str(&told);
    }

    fn refused(&mut self, hook: Hook, actor: &Actor, denied: Denied) {
        self.told.failed |= actor.plugin.breaker.has_failures();
        self.told.text.push_str(&format!("{} refuses: {}\n", heading(hook, actor), denied.reason));
    }
}

fn heading(hook: Hook, actor: &Actor) -> String {
    format!("{} of {}", hook.name(), actor.plugin.id)
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
