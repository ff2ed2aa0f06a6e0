//! Keeps the plugins as their files are: takes what is new, swaps what changed, keeps what an edit broke.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use regex::Regex;

use super::choices::Plugin;
use super::fault::{Fault, Source};
use super::folder::Found;
use super::look::{New, News};
use super::sandbox::Sandbox;
use super::set::{Member, PluginSet};
use super::{PluginInfo, PluginState};
use crate::domain::OperatorChoices;

/// A plugin as it is known: its files, the last version that loaded, and what is wrong with the files now.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) found: Found,
    pub(super) source: Source,
    pub(super) plugin: Option<Arc<Plugin>>,
    pub(super) error: Option<String>,
    /// It never compiled, but its text says that it must not be skipped.
    pub(super) refuses: bool,
    /// It is loaded like any other, and no message meets it.
    pub(super) disabled: bool,
}

/// All plugins, by id.
pub(super) struct Registry {
    sandbox: Arc<Sandbox>,
    entries: Arc<BTreeMap<String, Entry>>,
    /// What the operator chose, by plugin.
    choices: BTreeMap<String, OperatorChoices>,
    /// What an administrator turned on or off.
    switches: BTreeMap<String, bool>,
}

impl Registry {
    pub(super) fn new(sandbox: Arc<Sandbox>) -> Self {
        Self { sandbox, entries: Arc::default(), choices: BTreeMap::new(), switches: BTreeMap::new() }
    }

    /// Takes over what the operator chose. Nothing is compiled for it.
    pub(super) fn configure(&mut self, choices: BTreeMap<String, OperatorChoices>) {
        self.choices = choices;
        for (id, entry) in Arc::make_mut(&mut self.entries) {
            let chosen = self.choices.get(id).cloned().unwrap_or_default();
            if let Some(plugin) = entry.plugin.as_mut().filter(|plugin| *plugin.operator != chosen) {
                *plugin = Arc::new(plugin.with_operator(chosen));
            }
        }
    }

    /// Turns a plugin on or off, whether it is there already or not.
    pub(super) fn switch(&mut self, id: &str, enabled: bool) {
        self.switches.insert(id.to_owned(), enabled);
        if let Some(entry) = Arc::make_mut(&mut self.entries).get_mut(id) {
            entry.disabled = !enabled;
        }
    }

    fn is_disabled(&self, id: &str) -> bool {
        let configured = || self.sandbox.config.disabled.iter().any(|disabled| disabled == id);
        self.switches.get(id).map_or_else(configured, |enabled| !enabled)
    }

    /// Takes over what a look found. Returns whether a message could notice.
    pub(super) fn take_over(&mut self, news: News) -> bool {
        let changed = !news.removed.is_empty() || news.plugins.iter().any(|(_, new)| !new.is_touched());
        for id in news.removed {
            tracing::info!(plugin = id, "removed");
            Arc::make_mut(&mut self.entries).remove(&id);
        }
        for (id, new) in news.plugins {
            match new {
                New::Touched(found) => {
                    if let Some(entry) = Arc::make_mut(&mut self.entries).get_mut(&id) {
                        entry.found = found;
                    }
                }
                New::Changed { found, source, plugin } => self.replace(id, found, source, plugin),
            }
        }
        changed
    }

    fn replace(&mut self, id: String, found: Found, source: Source, plugin: Result<Plugin, Fault>) {
        let disabled = self.is_disabled(&id);
        let plugin = plugin.map(|plugin| match self.choices.get(&id) {
            Some(chosen) => plugin.with_operator(chosen.clone()),
            None => plugin,
        });
        let entries = Arc::make_mut(&mut self.entries);
        let previous = entries.remove(&id).and_then(|entry| entry.plugin);
        let entry = Entry::loaded(Entry { source, disabled, ..Entry::new(found) }, previous, plugin);
        match &entry.error {
            Some(error) => tracing::error!(plugin = id, kept = entry.plugin.is_some(), "{error}"),
            None => tracing::info!(plugin = id, "loaded"),
        }
        entries.insert(id, entry);
    }

    /// The plugins as a set that messages can pass through.
    pub(super) fn set(&self) -> PluginSet {
        let enabled = self.entries.iter().filter(|(_, entry)| !entry.disabled);
        let members = enabled.filter_map(|(id, entry)| match &entry.plugin {
            Some(plugin) => Some(Member::Loaded(plugin.clone())),
            None if entry.refuses => {
                Some(Member::Refusing { id: id.clone(), error: entry.error.clone().unwrap_or_default() })
            }
            None => None,
        });
        PluginSet::new(self.sandbox.clone(), members.collect())
    }

    pub(super) fn entries(&self) -> Arc<BTreeMap<String, Entry>> {
        self.entries.clone()
    }
}

impl Entry {
    fn new(found: Found) -> Self {
        Self { found, source: Source::default(), plugin: None, error: None, refuses: false, disabled: false }
    }

    /// The entry after its files were compiled; a broken edit leaves the previous version running.
    fn loaded(entry: Self, previous: Option<Arc<Plugin>>, result: Result<Plugin, Fault>) -> Self {
        match result {
            Ok(plugin) => {
                if let Some(previous) = previous {
                    plugin.breaker.take_over(&previous.breaker, &plugin.hooks);
                    plugin.tally.take_over(&previous.tally);
                }
                Self { plugin: Some(Arc::new(plugin)), ..entry }
            }
            Err(fault) => {
                let refuses = previous.is_none() && says_closed(&entry.source);
                Self { plugin: previous, error: Some(fault.to_string()), refuses, ..entry }
            }
        }
    }

    pub(super) fn info(&self, id: &str) -> PluginInfo {
        let plugin = self.plugin.as_deref();
        let state = match plugin {
            _ if self.disabled => PluginState::Disabled,
            None => PluginState::Broken,
            Some(plugin) if plugin.breaker.is_open() => PluginState::Resting,
            Some(plugin) if plugin.breaker.is_on_trial() => PluginState::OnTrial,
            Some(_) => PluginState::Running,
        };
        let manifest = plugin.map(|plugin| plugin.manifest.clone());
        PluginInfo {
            id: id.to_owned(),
            name: manifest.as_ref().map_or_else(|| id.to_owned(), |it| it.name.clone()),
            version: manifest.as_ref().map_or_else(String::new, |it| it.version.clone()),
            description: manifest.as_ref().map_or_else(String::new, |it| it.description.clone()),
            hooks: plugin.map_or_else(Vec::new, |plugin| plugin.hooks.clone()),
            priority: manifest.map_or(100, |it| it.priority),
            state,
            error: self.error.clone(),
            last_failure: plugin.and_then(|plugin| plugin.tally.last_failure()),
            refuses: plugin.map_or(self.refuses, Plugin::is_closed),
            stats: plugin.map_or_else(Vec::new, Plugin::stats),
        }
    }
}

/// Whether the text of a plugin that never compiled seems to say `fail: "closed"`. It cannot be asked, and a
/// plugin that must not be skipped is better taken for one too often than too seldom.
fn says_closed(source: &Source) -> bool {
    // The pattern is a constant that the tests compile.
    static CLOSED: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"\bfail"?\s*:\s*["`]closed["`]"#).ok());
    CLOSED.as_ref().is_none_or(|closed| closed.is_match(&source.text))
}
