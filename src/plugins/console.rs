//! What an administrator sees of plugins and does with them, while they run.
//!
//! Tests and rehearsals work on copies of their own, on threads of their own, one at a time: neither the breaker nor
//! the statistics of what runs learns of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folder::{self, Text};
use super::registry::Entry;
use super::rehearsal::{Outcome, Rehearsal, Rehearsed, Step};
use super::sandbox::Sandbox;
use super::scratch::Scratch;
use super::services::{Services, Tokens};
use super::workbench::{Tested, Workbench, Workpiece};
use super::{PluginInfo, PluginState, Plugins};
use crate::config::PluginsConfig;

/// A plugin as its own page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginDetail {
    /// What a list shows of it.
    pub info: PluginInfo,
    /// Its files as they were read last, the main one first.
    pub files: Vec<PluginFile>,
    /// The names of its tests, as far as it ever loaded.
    pub tests: Vec<String>,
}

/// A file of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginFile {
    /// Below the plugins' folder: `clock.rhai` or `glossary/main.rhai`.
    pub name: String,
    /// What it says; lossy where it is no UTF-8.
    pub text: String,
    /// The line where it does not load or failed last, from 1 on.
    pub wrong_line: Option<usize>,
}

impl Plugins {
    /// Every plugin in the folder: those that messages meet, in their order, then the others.
    pub fn in_order(&self) -> Vec<PluginInfo> {
        let mut plugins = self.list();
        plugins.sort_by_key(|plugin| {
            let first = plugin.state == PluginState::Broken;
            (!plugin.takes_part(), !first, plugin.priority, plugin.id.clone())
        });
        plugins
    }

    /// One plugin, as the last look found it.
    pub fn detail(&self, id: &str) -> Option<PluginDetail> {
        let entry = self.entry(id)?;
        let info = entry.info(id);
        let wrong = info.error.clone().or_else(|| info.last_failure.clone()).unwrap_or_default();
        let source = &entry.source;
        let folder = Path::new(&source.file).parent().unwrap_or(Path::new(""));
        let neighbours = source.neighbours.iter().map(|(name, text)| {
            let file = folder.join(format!("{name}.rhai")).display().to_string();
            (file, text)
        });
        let files = std::iter::once((source.file.clone(), &source.text)).chain(neighbours);
        let files = files.map(|(name, text)| PluginFile {
            wrong_line: line_in(&wrong, &name),
            text: text.clone(),
            name,
        });
        let tests = entry.plugin.as_ref().map_or_else(Vec::new, |plugin| plugin.tests.clone());
        Some(PluginDetail { files: files.filter(|file| !file.name.is_empty()).collect(), info, tests })
    }

    /// Turns a plugin on or off, whatever `[default.plugins] disabled` says of it: from the next message on.
    pub fn switch(&self, id: &str, enabled: bool) {
        self.update(|registry| {
            registry.switch(id, enabled);
            true
        });
    }

    /// Lets a plugin that rests work again, on trial.
    pub fn wake(&self, id: &str) {
        if let Some(plugin) = self.entry(id).and_then(|entry| entry.plugin) {
            plugin.breaker.take_over(&plugin.breaker, &plugin.hooks);
        }
    }

    /// Runs the tests of a plugin's files as they are now, in the way in which an edit is tested. The error says why
    /// the files do not load.
    pub async fn test(&self, id: &str) -> Option<Result<Vec<Tested>, String>> {
        let entry = self.entry(id)?;
        let id = id.to_owned();
        let tested = self.at_the_bench(move |config, services| {
            let Some(text) = folder::read(&entry.found, config.max_file_bytes) else {
                return Err("Somebody is writing its files. Try again.".to_owned());
            };
            let piece = Workpiece::load(&id, text, &config, Path::new("."));
            let bench = Workbench::with(Sandbox::new(config, services), vec![piece], PathBuf::from("."));
            match &bench.pieces()[0].error {
                Some(error) => Err(error.clone()),
                None => Ok(bench.test(&bench.pieces()[0])),
            }
        });
        Some(tested.await.unwrap_or_else(Err))
    }

    /// Passes a conversation through every plugin that messages meet now, and through `id` also where it is disabled.
    /// What the scripts keep meanwhile is gone afterwards, and there is no model.
    pub async fn rehearse(
        &self,
        id: &str,
        rehearsal: &Rehearsal,
        tokens: Option<Arc<dyn Tokens>>,
    ) -> Option<Rehearsed> {
        self.entry(id)?;
        let entries = self.seen().entries.clone();
        let id = id.to_owned();
        let _alone = self.bench.lock().await;
        let config = self.sandbox.config.clone();
        let services = Services { tokens, kv: Some(Arc::new(Scratch::default())), llm: None };
        let prepared = tokio::task::spawn_blocking(move || {
            let (mut pieces, mut refusals) = (Vec::new(), Vec::new());
            for (other, entry) in entries.iter().filter(|(other, entry)| !entry.disabled || **other == id) {
                match &entry.plugin {
                    Some(plugin) => {
                        let text = Text { source: plugin.source.clone(), problem: None };
                        let piece = Workpiece::load(other, text, &config, Path::new("."));
                        pieces.push(piece.with_operator(&plugin.operator));
                    }
                    None if entry.refuses => refusals.push(refusal(other, entry)),
                    None => {}
                }
            }
            (Workbench::with(Sandbox::new(config, services), pieces, PathBuf::from(".")), refusals)
        });
        let (bench, refusals) = match prepared.await {
            Ok(prepared) => prepared,
            Err(error) => return Some(broken_off(&error)),
        };
        // What it shows is compared on the way, which takes long for long texts.
        let (runtime, rehearsal) = (tokio::runtime::Handle::current(), rehearsal.clone());
        let rehearse = move || runtime.block_on(bench.rehearse(&rehearsal));
        let mut rehearsed = match tokio::task::spawn_blocking(rehearse).await {
            Ok(rehearsed) => rehearsed,
            Err(error) => return Some(broken_off(&error)),
        };
        rehearsed.failed |= !refusals.is_empty();
        rehearsed.steps.splice(0..0, refusals);
        Some(rehearsed)
    }

    async fn at_the_bench<T: Send + 'static>(
        &self,
        work: impl FnOnce(PluginsConfig, Services) -> T + Send + 'static,
    ) -> Result<T, String> {
        let _alone = self.bench.lock().await;
        let config = self.sandbox.config.clone();
        let worked = tokio::task::spawn_blocking(move || work(config, Services::default()));
        worked.await.map_err(|error| format!("It could not run: {error}."))
    }

    fn entry(&self, id: &str) -> Option<Entry> {
        self.seen().entries.get(id).cloned()
    }
}

impl PluginInfo {
    /// Whether messages meet it, or what stands in its place.
    pub fn takes_part(&self) -> bool {
        match self.state {
            PluginState::Running | PluginState::Resting | PluginState::OnTrial => true,
            PluginState::Broken => self.refuses,
            PluginState::Disabled => false,
        }
    }
}

fn refusal(id: &str, entry: &Entry) -> Step {
    let why = entry.error.clone().unwrap_or_default();
    Step {
        what: "every message",
        plugin: Some(id.to_owned()),
        outcome: Outcome::Refuses(format!("it cannot work: {why}")),
        lines: Vec::new(),
    }
}

fn broken_off(error: &tokio::task::JoinError) -> Rehearsed {
    let outcome = Outcome::Failed(format!("It could not run: {error}."));
    Rehearsed {
        steps: vec![Step { what: "rehearsal", plugin: None, outcome, lines: Vec::new() }],
        failed: true,
    }
}

/// The line of a file that a fault names first, as `file:line…: sentence`.
fn line_in(fault: &str, file: &str) -> Option<usize> {
    let rest = fault.strip_prefix(file)?.strip_prefix(':')?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
