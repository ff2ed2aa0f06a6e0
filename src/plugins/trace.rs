//! What the hooks did to one request, written down while the chains run.
//!
//! Invariant: the text that a sensitive plugin took away or put in is not in what [`Recorder::hooks`] gives, nor is any text of
//! a reply that such a plugin, or one that holds text back, works on: of these there are only places and lengths. So what
//! stood there before another plugin's change is not there either, nor what another one made of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::budget;
use super::change::{self, By, Traced};
use super::choices::Plugin;
use super::hooks::Hook;
use super::set::{NoEffect, Step};
use super::window::LetGo;
use crate::domain::{Calls, Change, HookOutcome, HookTrace, PartOrigin, PromptMessage, Role};

/// Most calls of hooks that are written down.
const MAX_HOOKS: usize = 500;
/// Most changes of one of them that are listed.
const MAX_CHANGES: usize = 20;
/// … of all of them together …
const MAX_ALL_CHANGES: usize = 200;
/// … and of one that is called for every piece of a reply.
const MAX_CHANGED_PIECES: usize = 8;
/// Longest version that is kept, in characters.
const MAX_VERSION_CHARS: usize = 40;

/// Where the hooks write down what they did. Clones write to the same place; the default one writes nothing.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Option<Arc<Mutex<Record>>>);

/// A message of a draft: where it comes from, and who changed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageOrigin {
    /// Who said it.
    pub origin: PartOrigin,
    /// Its number among the messages of its origin, from 1 on; none for a plugin's.
    pub number: Option<usize>,
    /// The plugins that made or changed it.
    pub plugins: Vec<String>,
    /// Its text must not be kept.
    pub withheld: bool,
}

/// The plugin that set something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedBy {
    /// Its id.
    pub plugin: String,
    /// What it set must not be kept, if it is text.
    pub withheld: bool,
}

#[derive(Debug, Default)]
pub(super) struct Record {
    /// Not only who set which parameter.
    whole: bool,
    hooks: Vec<HookTrace>,
    /// Changes in them.
    listed: usize,
    /// A sensitive plugin changed the message. From then on what others change of it may hold what that one put in.
    sealed_message: bool,
    /// … or the prompt.
    sealed_prompt: bool,
    /// So many of the hooks may hold what a sensitive plugin took away after them.
    sealed_before: usize,
    /// One for each message of the draft, once a plugin changed it.
    pub(super) messages: Option<Vec<MessageOrigin>>,
    /// Text that plugins put into the rendered prompt.
    pub(super) rendered: Vec<(String, AskedBy)>,
    asked: BTreeMap<String, AskedBy>,
}

impl Recorder {
    /// One that writes everything down.
    pub fn whole() -> Self {
        Self(Some(Arc::new(Mutex::new(Record { whole: true, ..Record::default() }))))
    }

    /// One that writes down who set which parameter, and nothing else.
    pub fn of_parameters() -> Self {
        Self(Some(Arc::default()))
    }

    /// What the hooks did, in the order in which they were called. It is given once.
    pub fn hooks(&self) -> Vec<HookTrace> {
        let Some(mut record) = self.record() else { return Vec::new() };
        let mut hooks = std::mem::take(&mut record.hooks);
        let sealed = hooks.iter_mut().take(record.sealed_before);
        sealed.flat_map(|hook| &mut hook.changes).for_each(|change| change.diff = None);
        hooks
    }

    /// Where these messages of a draft come from, as `on_prompt` left them.
    pub fn origins(&self, messages: &[PromptMessage]) -> Vec<MessageOrigin> {
        let Some(record) = self.record() else { return origins(messages) };
        match &record.messages {
            Some(kept) if kept.len() == messages.len() => kept.clone(),
            _ => {
                let withheld = record.sealed_prompt;
                origins(messages).into_iter().map(|it| MessageOrigin { withheld, ..it }).collect()
            }
        }
    }

    /// Who set which part of a draft beside its messages, by name.
    pub fn asked(&self) -> BTreeMap<String, AskedBy> {
        self.record().map(|record| record.asked.clone()).unwrap_or_default()
    }

    /// Who put a text into the rendered prompt.
    pub fn rendered_by(&self, text: &str) -> Option<AskedBy> {
        let record = self.record()?;
        record.rendered.iter().rev().find(|(own, _)| own == text).map(|(_, by)| by.clone())
    }

    /// One plugin of a chain did its part. `seals_reply`: no text of the reply may be kept.
    pub(super) fn step<T: Traced>(
        &self,
        plugin: &Plugin,
        function: &str,
        seals_reply: bool,
        before: &T,
        result: &Result<Step<T>, NoEffect>,
    ) {
        let Some(mut record) = self.record() else { return };
        let record = &mut *record;
        let (text, keeps) = match function {
            "on_title" => return,
            "on_response" => ("reply", !seals_reply),
            "on_prompt" | "on_rendered" => ("", !plugin.is_sensitive() && !record.sealed_prompt),
            _ => ("message", !plugin.is_sensitive() && !record.sealed_message),
        };
        let by = By { plugin: &plugin.id, text, keeps, seals_reply };
        let mut changes = Vec::new();
        if let Ok(Step::Changed(after)) = result {
            let asked = T::asked(before, after);
            for key in asked.iter().map(|(key, ..)| key.clone()) {
                record.asked.insert(key, AskedBy { plugin: plugin.id.clone(), withheld: !keeps });
            }
            if record.whole {
                changes = T::changes(before, after, asked, &by, record);
            }
        }
        if !record.whole {
            return;
        }
        let outcome = match result {
            Ok(Step::Unchanged) => HookOutcome::Unchanged,
            Ok(Step::Changed(_)) if changes.is_empty() => HookOutcome::Unchanged,
            Ok(Step::Changed(_)) => HookOutcome::Changed,
            Ok(Step::Ended(_)) if function == Hook::OnResponse.name() => HookOutcome::Retry,
            Ok(Step::Ended(_)) => HookOutcome::Answered,
            Ok(Step::Denied(_)) => HookOutcome::Denied,
            Err(no_effect) => no_effect.outcome.clone(),
        };
        if plugin.is_sensitive() && outcome == HookOutcome::Changed {
            match function {
                "on_prompt" | "on_rendered" => record.sealed_prompt = true,
                "on_response" => {}
                _ => record.sealed_message = true,
            }
            if changes.iter().any(|change| change.removed > 0) {
                record.sealed_before = record.hooks.len();
            }
        }
        let mut trace = blank(plugin, function);
        if outcome != HookOutcome::Resting {
            (trace.micros, trace.operations) = budget::last();
        }
        trace.outcome = outcome;
        trace.more_changes = changes.len().saturating_sub(MAX_CHANGES);
        changes.truncate(MAX_CHANGES);
        trace.changes = changes;
        record.push(trace);
    }

    fn record(&self) -> Option<MutexGuard<'_, Record>> {
        // Every critical section leaves it whole enough to be read.
        self.0.as_ref().map(|record| record.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Record {
    fn push(&mut self, mut trace: HookTrace) {
        let room = MAX_ALL_CHANGES.saturating_sub(self.listed).min(trace.changes.len());
        trace.more_changes += trace.changes.drain(room..).count();
        self.listed += room;
        if self.hooks.len() < MAX_HOOKS {
            self.hooks.push(trace);
        }
    }
}

/// Where messages come from that no plugin touched.
pub(super) fn origins(messages: &[PromptMessage]) -> Vec<MessageOrigin> {
    let mut seen = [0_usize; 3];
    let origin = |message: &PromptMessage| {
        let origin = match message.role {
            Role::System => PartOrigin::System,
            Role::User => PartOrigin::User,
            Role::Assistant => PartOrigin::Assistant,
        };
        let count = &mut seen[message.role as usize];
        *count += 1;
        MessageOrigin { origin, number: Some(*count), plugins: Vec::new(), withheld: false }
    };
    messages.iter().map(origin).collect()
}

fn blank(plugin: &Plugin, function: &str) -> HookTrace {
    HookTrace {
        plugin: plugin.id.clone(),
        version: plugin.manifest.version.chars().take(MAX_VERSION_CHARS).collect(),
        hook: function.to_owned(),
        micros: 0,
        operations: 0,
        outcome: HookOutcome::Unchanged,
        changes: Vec::new(),
        more_changes: 0,
        calls: None,
    }
}

/// What `on_chunk` of one plugin does to one reply, summed up; written down when it is dropped. A piece that passes unchanged
/// takes no memory.
#[derive(Debug)]
pub(super) struct ChunkTally {
    recorder: Recorder,
    keeps: bool,
    calls: Calls,
    /// Characters that it let go.
    passed: usize,
    trace: HookTrace,
}

impl ChunkTally {
    /// None where nobody will look.
    pub(super) fn new(recorder: &Recorder, plugin: &Plugin, seals_reply: bool) -> Option<Self> {
        let looked_at = recorder.record().is_some_and(|record| record.whole);
        looked_at.then(|| Self {
            recorder: recorder.clone(),
            keeps: !seals_reply,
            calls: Calls::default(),
            passed: 0,
            trace: blank(plugin, Hook::OnChunk.name()),
        })
    }

    /// It was called, or rests.
    pub(super) fn called(&mut self, no_effect: Option<&NoEffect>) {
        if let Some(no_effect) = no_effect {
            self.trace.outcome = no_effect.outcome.clone();
        }
        if self.trace.outcome != HookOutcome::Resting {
            let (micros, operations) = budget::last();
            self.calls.count += 1;
            self.calls.worst_micros = self.calls.worst_micros.max(micros);
            self.trace.micros += micros;
            self.trace.operations += operations;
        }
    }

    /// What it made of the text that it was shown, to be told to [`ChunkTally::let_go`].
    pub(super) fn change(&self, before: &str, after: &str) -> Option<Change> {
        if self.trace.changes.len() >= MAX_CHANGED_PIECES {
            return None;
        }
        let mut change = change::of_text("reply".into(), before, after, self.keeps)?;
        change.at += self.passed;
        Some(change)
    }

    /// What became of it.
    pub(super) fn let_go(&mut self, let_go: &LetGo, change: Option<Change>, ends: bool) {
        self.passed += let_go.text.chars().count();
        if let_go.altered {
            self.calls.changed += 1;
            match change {
                Some(change) => self.trace.changes.push(change),
                None => self.trace.more_changes += 1,
            }
        }
        match self.trace.outcome {
            _ if ends => self.trace.outcome = HookOutcome::Stopped,
            HookOutcome::Unchanged if let_go.altered => self.trace.outcome = HookOutcome::Changed,
            _ => {}
        }
    }
}

impl Drop for ChunkTally {
    fn drop(&mut self) {
        if self.calls.count > 0 || self.trace.outcome != HookOutcome::Unchanged {
            let mut trace = std::mem::take(&mut self.trace);
            trace.calls = Some(self.calls);
            if let Some(mut record) = self.recorder.record() {
                record.push(trace);
            }
        }
    }
}
